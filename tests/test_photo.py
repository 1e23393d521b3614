"""Picture files: exact round trips, metadata, refusals that name the file, whole files or none, colours."""

import io
import os
import stat
import struct
import subprocess
import sys
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps
from PIL.ExifTags import IFD

from lapcvae import photo
from lapcvae.photo import Colours, PhotoFile, exif, png, tiff
from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.messages import PixelFormat

ADOBE_LIKE = imagecodecs.cms_profile(
    "rgb", whitepoint=[0.3127, 0.329], primaries=[0.64, 0.33, 0.21, 0.71, 0.15, 0.06], gamma=2.19921875
)
LINEAR = imagecodecs.cms_profile(
    "rgb", whitepoint=[0.3127, 0.329], primaries=[0.64, 0.33, 0.3, 0.6, 0.15, 0.06], gamma=1.0
)
GRAY = imagecodecs.cms_profile("gray", gamma=1.8)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="1"/></x:xmpmeta>'
COLOURS = {1: "Y", 2: "Y", 3: "RGB", 4: "RGB"}


def random_pixels(shape, dtype, seed=0):
    values = np.random.default_rng(seed).random(shape)
    if np.dtype(dtype).kind == "f":
        # Scene-linear values below 0 and above 1 are ordinary in float files.
        return (values * 3 - 1).astype(dtype)
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


def exif_block(orientation=None, size=(7, 5)):
    tags = Image.Exif()
    tags[271], tags[315] = "Maker of cameras", "Ada"
    if orientation:
        tags[274] = orientation
    details = tags.get_ifd(34665)
    details[36867], details[33434], details[40962], details[40963] = "2020:02:03 04:05:06", 0.01, *size
    tags.get_ifd(34853)[1] = "N"
    return tags.tobytes()[6:]


def tags_of(block):
    tags = Image.Exif()
    tags.load(b"Exif\0\0" + block)
    return dict(tags), dict(tags.get_ifd(34665)), dict(tags.get_ifd(34853))


def like(shape=(7, 5, 3), dtype="uint8", format="TIFF", **fields):
    return PhotoFile(random_pixels(shape, dtype), format, **fields)


def profile_for(channels):
    return GRAY if channels < 3 else ADOBE_LIKE


def png_bytes(width, height, depth, kind, scanlines, extra=(), interlace=0):
    """A PNG by hand, for what encoders do not write."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace)), *extra]
    chunks += [(b"IDAT", zlib.compress(scanlines)), (b"IEND", b"")]
    return png.SIGNATURE + b"".join(
        struct.pack(">I4s", len(c), k) + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks
    )


def refusal(path):
    with pytest.raises(LapcvaeError) as caught:
        photo.read(path)
    assert str(path) in caught.value.cause
    assert caught.value.remedy
    return caught.value.cause


# Round trips


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [(".png", "uint8"), (".png", "uint16"), (".tif", "uint8"), (".tif", "uint16"), (".tif", "float32")],
)
def test_pixels_and_metadata_return_unchanged(tmp_path, suffix, dtype, channels):
    source = like(
        (7, 5, channels), dtype, profile=profile_for(channels), exif=exif_block(), xmp=XMP, dpi=(300.0, 150.0)
    )
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    photo.write(first, source.pixels, source)
    once = photo.read(first)
    photo.write(second, once.pixels, once)
    twice = photo.read(second)
    assert first.read_bytes() == second.read_bytes()
    for back in (once, twice):
        assert back.pixels.dtype == dtype
        assert np.array_equal(back.pixels, source.pixels)
        assert (back.profile, back.xmp, back.notes) == (source.profile, XMP, ())
        assert tags_of(back.exif) == tags_of(source.exif)
        # A PNG counts whole pixels a metre.
        assert back.dpi == pytest.approx((300, 150), abs=0.0127 if suffix == ".png" else 1e-9)
        assert back.format_on_the_wire == PixelFormat(
            COLOURS[channels], channels in (2, 4), {"uint8": "u1", "uint16": "u2", "float32": "f4"}[dtype]
        )


@pytest.mark.parametrize("shape", [(1, 1), (10, 30000), (30000, 10), (1, 3), (3, 1), (4, 4), (2, 4)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_odd_sizes(tmp_path, shape, suffix, channels):
    source = like((*shape, channels), "uint16")
    photo.write(tmp_path / f"a{suffix}", source.pixels, source)
    back = photo.read(tmp_path / f"a{suffix}")
    assert np.array_equal(back.pixels, source.pixels)
    assert (back.size.height, back.size.width) == shape


@pytest.mark.parametrize("channels", [3, 4])
def test_webp_is_written_without_loss(tmp_path, channels):
    source = like((7, 5, channels), profile=ADOBE_LIKE, exif=exif_block(), xmp=XMP)
    photo.write(tmp_path / "a.webp", source.pixels, source)
    back = photo.read(tmp_path / "a.webp")
    assert np.array_equal(back.pixels, source.pixels)
    assert (back.format, back.profile, back.exif, back.xmp) == ("WEBP", ADOBE_LIKE, source.exif, XMP)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_on_request_keeps_metadata_and_stays_close(tmp_path, channels):
    ramp = np.linspace(40, 200, 64 * 48).reshape(64, 48, 1).repeat(channels, 2).astype(np.uint8)
    source = PhotoFile(ramp, "JPEG", profile_for(channels), exif_block(), XMP, (300.0, 300.0))
    photo.write(tmp_path / "a.jpg", ramp, source, "jpeg")
    back = photo.read(tmp_path / "a.jpg")
    # Quality 95 quantises the lowest frequencies in steps of 2.
    assert np.abs(back.pixels.astype(int) - ramp).max() <= 3
    assert (back.format, back.profile, back.exif, back.xmp) == ("JPEG", source.profile, source.exif, XMP)
    assert back.dpi == (300, 300)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_jpeg_metadata_reaches_other_formats(tmp_path, suffix):
    source = like(format="JPEG", profile=ADOBE_LIKE, exif=exif_block(), xmp=XMP, dpi=(240.0, 240.0))
    photo.write(tmp_path / f"a{suffix}", source.pixels, source)
    back = photo.read(tmp_path / f"a{suffix}")
    assert (back.profile, back.xmp) == (ADOBE_LIKE, XMP)
    assert tags_of(back.exif) == tags_of(source.exif)
    if suffix != ".webp":
        assert back.dpi == pytest.approx((240, 240), abs=0.0127)


def test_png_chunks_survive(tmp_path):
    chunks = (
        (b"gAMA", struct.pack(">I", 45455)),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        (b"pHYs", struct.pack(">IIB", 2, 1, 0)),
        (b"tEXt", b"Author\0Ada"),
        (b"zTXt", b"Note\0\0" + zlib.compress(b"x" * 100)),
        png.text_chunk("Title", "Zwölf Bögen"),
    )
    path, copy = tmp_path / "a.png", tmp_path / "b.png"
    path.write_bytes(png_bytes(1, 1, 8, 2, b"\0abc", (*chunks, (b"tIME", bytes(7)), (b"prVt", b"?"))))
    source = photo.read(path)
    photo.write(copy, source.pixels, source)
    assert png.read_chunks(copy.read_bytes(), "")[1:] == chunks
    assert photo.read_png_text(copy) == {"Author": "Ada", "Note": "x" * 100, "Title": "Zwölf Bögen"}
    assert (source.profile, source.dpi) == (None, None)


# What is read


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_turned_upright(tmp_path, orientation, suffix):
    path, copy = tmp_path / f"a{suffix}", tmp_path / "copy.png"
    stored = Image.fromarray(random_pixels((5, 7, 3), "uint8")).resize((56, 40), Image.Resampling.NEAREST)
    block = exif_block(orientation)
    stored.save(path, exif=Image.Exif() if suffix == ".tif" else b"Exif\0\0" + block, dpi=(100, 200), **(
        {"tiffinfo": {274: orientation}} if suffix == ".tif" else {}
    ))  # fmt: skip
    with Image.open(path) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    back = photo.read(path)
    assert np.array_equal(back.pixels, expected)
    sideways = orientation >= 5
    assert back.size.width == (40 if sideways else 56)
    assert back.dpi == pytest.approx((200, 100) if sideways else (100, 200), abs=0.0127)
    if suffix != ".tif":
        general, details, _ = tags_of(back.exif)
        assert general[274] == 1
        assert (details[40962], details[40963]) == ((5, 7) if sideways else (7, 5))
    photo.write(copy, back.pixels, back)
    assert np.array_equal(photo.read(copy).pixels, expected)


def test_orientation_in_xmp_alone_is_followed_and_reset(tmp_path):
    turned = XMP.replace(b'Orientation="1"', b'Orientation="6"')
    source = like(xmp=turned)
    photo.write(tmp_path / "a.png", source.pixels, source)
    back = photo.read(tmp_path / "a.png")
    assert np.array_equal(back.pixels, np.rot90(source.pixels, -1))
    assert back.xmp == XMP


def test_the_thumbnail_of_the_unedited_photo_is_removed(tmp_path):
    small = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(small, "JPEG")
    layout = exif.Layout(">")
    block = bytearray(exif_block())
    start = exif.first_directory(block, layout)
    link = start + 2 + 12 * struct.unpack_from(">H", block, start)[0]
    at = len(block) + len(block) % 2
    block += bytes(at - len(block))
    struct.pack_into(">I", block, link, at)
    block += struct.pack(">HHHIIHHIII", 2, 513, 4, 1, at + 30, 514, 4, 1, len(small.getvalue()), 0) + small.getvalue()
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + bytes(block))
    back = photo.read(tmp_path / "a.jpg")
    assert small.getvalue() not in back.exif
    assert tags_of(back.exif) == tags_of(bytes(block))
    with Image.open(tmp_path / "a.jpg") as opened:
        assert opened.getexif().get_ifd(IFD.IFD1)
    tags = Image.Exif()
    tags.load(b"Exif\0\0" + back.exif)
    assert not tags.get_ifd(IFD.IFD1)


def test_palettes_and_few_bits_become_8_bits_with_a_note(tmp_path):
    rgb = Image.fromarray(random_pixels((9, 9, 3), "uint8")).quantize(16)
    for suffix in (".png", ".tif"):
        rgb.save(tmp_path / f"palette{suffix}")
        back = photo.read(tmp_path / f"palette{suffix}")
        assert np.array_equal(back.pixels, np.asarray(rgb.convert("RGB")))
        assert "palette" in back.notes[0]
        Image.fromarray(np.eye(9, dtype=bool)).save(tmp_path / f"bits{suffix}")
        back = photo.read(tmp_path / f"bits{suffix}")
        assert np.array_equal(back.pixels[..., 0], np.eye(9, dtype=np.uint8) * 255)
        assert "1-bit" in back.notes[0]


def test_a_transparent_colour_becomes_alpha(tmp_path):
    pixels = random_pixels((6, 6, 3), "uint8")
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=tuple(int(v) for v in pixels[2, 3]))
    back = photo.read(tmp_path / "a.png").pixels
    assert np.array_equal(back[..., :3], pixels)
    assert back[2, 3, 3] == 0
    assert back[..., 3].sum() == 35 * 255


def test_interlaced_png(tmp_path):
    pixels = random_pixels((8, 8), "uint8")
    passes = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)]
    lines = b"".join(b"\0" + row.tobytes() for y, dy, x, dx in passes for row in pixels[y::dy, x::dx])
    (tmp_path / "a.png").write_bytes(png_bytes(8, 8, 8, 0, lines, interlace=1))
    assert np.array_equal(photo.read(tmp_path / "a.png").pixels[..., 0], pixels)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_tiff_of_other_writers(tmp_path, byteorder, bigtiff, planar):
    pixels = random_pixels((20, 30, 4), "uint16")
    tifffile.imwrite(
        tmp_path / "a.tif", pixels if planar == "contig" else pixels.transpose(2, 0, 1), photometric="rgb",
        planarconfig=planar, extrasamples=["unassalpha"], byteorder=byteorder, bigtiff=bigtiff, tile=(16, 16),
        compression="lzw", metadata=None, software="Other", extratags=[(315, 2, 0, "Ada", True)],
        resolution=(118, 118), resolutionunit="CENTIMETER",
    )  # fmt: skip
    back = photo.read(tmp_path / "a.tif")
    assert np.array_equal(back.pixels, pixels)
    assert back.dpi == pytest.approx((299.72, 299.72))
    photo.write(tmp_path / "b.tif", back.pixels, back)
    again = photo.read(tmp_path / "b.tif")
    assert np.array_equal(again.pixels, pixels)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages[0].tags.valueof("Artist") == "Ada"
        assert file.pages[0].tags.valueof("Software") == "Other"


def test_a_tiff_with_jpeg_inside(tmp_path):
    ramp = np.dstack(np.mgrid[:64, :48].astype(np.uint8) * 2 + 40)[..., [0, 1, 0]]
    Image.fromarray(ramp).save(tmp_path / "a.tif", compression="jpeg")
    # Its YCbCr is turned into RGB; quantisation may be off by a few steps.
    assert np.abs(photo.read(tmp_path / "a.tif").pixels.astype(int) - ramp).max() <= 8


def test_premultiplied_alpha_becomes_straight(tmp_path):
    straight = random_pixels((50, 40, 4), "uint16")
    straight[0] = 65535
    straight[1, :, 3] = 0
    weights = straight[..., 3:].astype(float) / 65535
    stored = straight.copy()
    stored[..., :3] = np.rint(straight[..., :3] * weights)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"], metadata=None)
    back = photo.read(tmp_path / "a.tif")
    assert "premultiplied" in back.notes[0]
    assert np.array_equal(back.pixels[0], straight[0])
    assert not back.pixels[1, :, :3].any()
    # Half a step of the stored product, divided by alpha, plus half a step of the quotient.
    error = np.abs(back.pixels[2:, :, :3].astype(float) - straight[2:, :, :3])
    assert (error <= 0.5 / weights[2:] + 0.5 + 1e-6).all()
    assert np.array_equal(back.pixels[..., 3], straight[..., 3])


def test_gray_that_counts_from_white(tmp_path):
    pixels = random_pixels((9, 4), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite", metadata=None)
    assert np.array_equal(photo.read(tmp_path / "a.tif").pixels[..., 0], 65535 - pixels)


def test_a_bigtiff_takes_exif():
    out = io.BytesIO()
    tifffile.imwrite(out, random_pixels((4, 4, 3), "uint8"), photometric="rgb", byteorder=">", bigtiff=True)
    data = exif.with_description(out.getvalue(), exif_block())
    back = tiff.read(data, "a.tif")
    assert tags_of(back.exif)[1:] == tags_of(exif_block())[1:]
    assert np.array_equal(back.pixels, random_pixels((4, 4, 3), "uint8"))


def test_the_photo_of_a_phone_with_more_pictures_in_its_file(tmp_path):
    large, small = Image.new("RGB", (40, 30), "teal"), Image.new("L", (8, 8))
    large.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[small])
    back = photo.read(tmp_path / "a.jpg")
    assert (back.format, back.pixels.shape) == ("JPEG", (30, 40, 3))
    assert "1 more picture" in back.notes[0]


def test_pictures_above_pillows_limit_read_without_a_word(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg")
    assert photo.read(tmp_path / "a.jpg").size.width == 40
    assert not recwarn.list


# What is refused


def test_each_unreadable_path_says_why(tmp_path):
    assert "no file" in refusal(tmp_path / "missing.png")
    assert "folder" in refusal(tmp_path)
    (tmp_path / "empty.png").write_bytes(b"")
    assert "empty" in refusal(tmp_path / "empty.png")
    (tmp_path / "text.png").write_text("not a picture")
    assert "not a PNG, JPEG, TIFF or WebP" in refusal(tmp_path / "text.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert "regular" in refusal(tmp_path / "pipe.png")
    if os.geteuid() != 0:
        Image.new("L", (1, 1)).save(tmp_path / "locked.png")
        (tmp_path / "locked.png").chmod(0)
        assert "cannot be read" in refusal(tmp_path / "locked.png")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_truncated_files(tmp_path, suffix, share):
    Image.fromarray(random_pixels((64, 64, 3), "uint8")).save(tmp_path / f"a{suffix}")
    data = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"a{suffix}").write_bytes(data[: max(16, int(len(data) * share))])
    assert "cut short" in refusal(tmp_path / f"a{suffix}")


def test_a_wrong_checksum(tmp_path):
    data = bytearray(png_bytes(1, 1, 8, 2, b"\0abc", ((b"tEXt", b"Author\0Ada"),)))
    data[data.index(b"Ada")] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    assert "tEXt" in refusal(tmp_path / "a.png")


def test_a_doubtful_profile_prints_nothing(tmp_path, capfd):
    doubtful = ADOBE_LIKE[:132] + b"\xff\xff" + ADOBE_LIKE[134:]
    (tmp_path / "a.png").write_bytes(png_bytes(1, 1, 8, 2, b"\0abc", ((b"iCCP", b"p\0\0" + zlib.compress(doubtful)),)))
    assert photo.read(tmp_path / "a.png").profile == doubtful
    assert capfd.readouterr() == ("", "")


def test_random_damage_never_raises_anything_else(tmp_path):
    source = like((20, 20, 3), "uint8", profile=ADOBE_LIKE, exif=exif_block(6), xmp=XMP, dpi=(300.0, 300.0))
    rng = np.random.default_rng(1)
    refused = 0
    for suffix in (".png", ".tif", ".jpg", ".webp"):
        path = tmp_path / f"a{suffix}"
        photo.write(path, source.pixels, source, "jpeg" if suffix == ".jpg" else None)
        data = path.read_bytes()
        for _ in range(60):
            damaged = bytearray(data)
            for at in rng.integers(4, len(data), 4):
                damaged[at] = rng.integers(256)
            path.write_bytes(damaged)
            try:
                back = photo.read(path)
                Colours(back).to_model(np.zeros((1, 1, back.format_on_the_wire.colour_channels), np.float32))
            except LapcvaeError as error:
                assert str(path) in error.cause
                refused += 1
    assert refused >= 60


def test_frames_are_counted(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    for suffix in (".gif", ".png", ".webp", ".tif"):
        frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
        assert "3 frames" in refusal(tmp_path / f"a{suffix}")
    frames[0].save(tmp_path / "one.gif")
    assert "palette" in refusal(tmp_path / "one.gif")


def test_a_reduced_copy_is_no_second_page(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(random_pixels((8, 8, 3), "uint8"), photometric="rgb", metadata=None)
        writer.write(random_pixels((4, 4, 3), "uint8"), photometric="rgb", metadata=None, subfiletype=1)
    assert photo.read(tmp_path / "a.tif").size.width == 8


def test_kinds_that_cannot_be_edited(tmp_path):
    Image.new("CMYK", (8, 8)).save(tmp_path / "a.jpg")
    assert "CMYK" in refusal(tmp_path / "a.jpg")
    Image.new("CMYK", (8, 8)).save(tmp_path / "a.tif")
    assert "CMYK" in refusal(tmp_path / "a.tif")
    Image.new("LAB", (8, 8)).save(tmp_path / "lab.tif")
    assert "Lab" in refusal(tmp_path / "lab.tif")
    for dtype in ("float64", "float16", "uint32", "int16"):
        tifffile.imwrite(tmp_path / "b.tif", np.zeros((4, 4), dtype), photometric="minisblack")
        assert dtype in refusal(tmp_path / "b.tif")
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((4, 4, 5), "uint8"), photometric="rgb", planarconfig="contig")
    assert "5 channels" in refusal(tmp_path / "c.tif")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers(tmp_path, bad):
    pixels = random_pixels((6, 6, 3), "float32")
    pixels[2, 3, 1] = pixels[5, 0, 0] = bad
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    assert "2 values" in refusal(tmp_path / "a.tif")


def test_sizes_are_checked_before_anything_is_allocated(tmp_path):
    for width, height, expected in ((60000, 60000, "1000 megapixels"), (0, 5, "0 x 5"), (5, 0, "5 x 0")):
        (tmp_path / "a.png").write_bytes(png_bytes(width, height, 16, 6, b"\0"))
        assert expected in refusal(tmp_path / "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    data = bytearray((tmp_path / "a.jpg").read_bytes())
    at = data.index(b"\xff\xc0") + 5
    for side in (40000, 65500):
        struct.pack_into(">HH", data, at, side, side)
        (tmp_path / "a.jpg").write_bytes(data)
        assert "1000 megapixels" in refusal(tmp_path / "a.jpg")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8))
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        for tag in ("ImageWidth", "ImageLength"):
            file.pages[0].tags[tag].overwrite(60000)
    assert "1000 megapixels" in refusal(tmp_path / "a.tif")


def test_a_tiff_whose_strips_are_missing_is_not_filled_with_black(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8))
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        for tag, value in (("ImageLength", 10**6), ("RowsPerStrip", 8)):
            file.pages[0].tags[tag].overwrite(value)
    assert "cut short" in refusal(tmp_path / "a.tif")


def test_metadata_that_would_inflate_without_end(tmp_path):
    bomb = zlib.compress(bytes(64 * 2**20))
    (tmp_path / "a.png").write_bytes(png_bytes(1, 1, 8, 2, b"\0abc", ((b"zTXt", b"Note\0\0" + bomb),)))
    with pytest.raises(LapcvaeError, match="beyond"):
        photo.read_png_text(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(png_bytes(1, 1, 8, 2, b"\0abc", ((b"iCCP", b"p\0\0" + bomb),)))
    back = photo.read(tmp_path / "b.png")
    assert back.profile is None
    assert "profile is damaged" in back.notes[0]


# What is written, and where


def test_output_formats():
    jpeg = photo.output_format(like(format="JPEG"))
    assert jpeg[:3] == ("PNG", ".png", False)
    assert "lose" in jpeg.note
    asked = photo.output_format(like(format="JPEG"), "jpg")
    assert asked[:3] == ("JPEG", ".jpg", True)
    assert "loses quality" in asked.note
    assert photo.output_format(like(dtype="float32"))[:3] == ("TIFF", ".tif", False)
    assert photo.output_format(like(format="PNG"), "webp")[:3] == ("WEBP", ".webp", False)
    for source, requested in (
        (like(dtype="uint16"), "jpeg"), (like((4, 4, 4)), "jpeg"), (like(dtype="float32"), "png"),
        (like((4, 4, 1)), "webp"), (like((1, 20000, 3)), "webp"), (like(), "bmp"),
    ):  # fmt: skip
        with pytest.raises(LapcvaeError) as caught:
            photo.output_format(source, requested)
        assert "hoose" in caught.value.remedy


def test_names_that_contradict_the_format_are_refused(tmp_path):
    source = like()
    for name, format in (("a.jpg", None), ("a.png", "jpeg"), ("a", None), ("a.bmp", None), ("a.tif", "png")):
        with pytest.raises(LapcvaeError, match=name):
            photo.write(tmp_path / name, source.pixels, source, format)
    with pytest.raises(ValueError, match="is not like"):
        photo.write(tmp_path / "a.png", source.pixels.astype(np.uint16), source)
    assert list(tmp_path.iterdir()) == []


def test_folders_that_cannot_be_written(tmp_path):
    source = like()
    with pytest.raises(LapcvaeError, match="No such file") as caught:
        photo.write(tmp_path / "none" / "a.png", source.pixels, source)
    assert "folder" in caught.value.remedy
    (tmp_path / "a.png").mkdir()
    with pytest.raises(LapcvaeError, match="folder"):
        photo.write(tmp_path / "a.png", source.pixels, source)
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(LapcvaeError, match="ermission"):
            photo.write(tmp_path / "locked" / "a.png", source.pixels, source)
    assert [p.name for p in tmp_path.rglob("*.part")] == []


def test_an_interrupted_writing_leaves_the_former_file(tmp_path, monkeypatch):
    source = like()
    path = tmp_path / "a.png"
    path.write_bytes(b"former")

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        photo.write(path, source.pixels, source)
    assert path.read_bytes() == b"former"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_mode_and_link_of_the_former_file_stay(tmp_path):
    source = like()
    (tmp_path / "real.png").write_bytes(b"former")
    (tmp_path / "real.png").chmod(0o640)
    (tmp_path / "link.png").symlink_to("real.png")
    photo.write(tmp_path / "link.png", source.pixels, source)
    assert (tmp_path / "link.png").is_symlink()
    assert stat.S_IMODE((tmp_path / "real.png").stat().st_mode) == 0o640
    assert np.array_equal(photo.read(tmp_path / "real.png").pixels, source.pixels)


def test_full_disk(tmp_path):
    mounted = os.geteuid() == 0 and sys.platform == "linux"
    if (
        not mounted
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], check=False).returncode
    ):
        pytest.skip("a small tmpfs can only be mounted by root on Linux")
    try:
        small, large = like((4, 4, 3)), like((300, 300, 3))
        photo.write(tmp_path / "a.png", small.pixels, small)
        with pytest.raises(LapcvaeError, match="No space left") as caught:
            photo.write(tmp_path / "a.png", large.pixels, large)
        assert "room" in caught.value.remedy
        assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
        assert np.array_equal(photo.read(tmp_path / "a.png").pixels, small.pixels)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


# Text and paintings


def test_text_of_the_coarse_picture(tmp_path):
    rgba = random_pixels((6, 4, 4), "uint8")
    text = {"lapcvae": "ä" * 5000, "short": "", "frame": "512,380,600,-8"}
    photo.write_png_with_text(tmp_path / "a.png", rgba, text)
    assert photo.read_png_text(tmp_path / "a.png") == text
    assert np.array_equal(photo.read_rgba(tmp_path / "a.png"), rgba)
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.text == text
    with pytest.raises(LapcvaeError, match="cannot be held"):
        photo.write_png_with_text(tmp_path / "b.png", rgba, {"k": "x" * (16 * 2**20 + 1)})
    (tmp_path / "c.png").write_bytes(b"GIF89a")
    with pytest.raises(LapcvaeError, match="not a PNG"):
        photo.read_png_text(tmp_path / "c.png")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_paintings(tmp_path, channels):
    eight = like((6, 4, channels))
    photo.write(tmp_path / "a.png", eight.pixels, eight)
    rgba = photo.read_rgba(tmp_path / "a.png")
    colour = eight.pixels[..., : 1 if channels < 3 else 3]
    assert rgba.dtype == np.uint8
    assert np.array_equal(rgba[..., :3], np.broadcast_to(colour, (6, 4, 3)))
    assert np.array_equal(rgba[..., 3], eight.pixels[..., -1] if channels % 2 == 0 else np.full((6, 4), 255))
    sixteen = like((6, 4, channels), "uint16")
    photo.write(tmp_path / "b.png", sixteen.pixels, sixteen)
    rgba = photo.read_rgba(tmp_path / "b.png")
    assert rgba.dtype == np.float32
    # Float rounding of v / 65535.
    np.testing.assert_allclose(
        rgba[..., :3], np.broadcast_to(sixteen.pixels[..., : colour.shape[2]] / 65535, (6, 4, 3)), atol=1e-7
    )


def test_paintings_are_converted_by_their_profile(tmp_path):
    green = np.zeros((2, 2, 3), np.uint8)
    green[..., 1] = 128
    tifffile.imwrite(tmp_path / "a.tif", green, photometric="rgb", iccprofile=LINEAR)
    # Linear 128 / 255 is 188 with sRGB's curve.
    assert np.array_equal(photo.read_rgba(tmp_path / "a.tif")[0, 0], [0, 188, 0, 255])
    srgb = random_pixels((16, 16, 3), "uint8")
    tifffile.imwrite(tmp_path / "b.tif", srgb, photometric="rgb", iccprofile=imagecodecs.cms_profile("srgb"))
    assert np.array_equal(photo.read_rgba(tmp_path / "b.tif")[..., :3], srgb)


# Colours


@pytest.mark.parametrize(
    ("profile", "channels", "tolerance"),
    [
        (None, 3, 0),
        (imagecodecs.cms_profile("srgb"), 3, 0),
        # Float rounding through two curves and two matrices.
        (ADOBE_LIKE, 3, 1e-5),
        (LINEAR, 3, 1e-5),
        (None, 1, 1e-6),
        (GRAY, 1, 1e-5),
        (imagecodecs.cms_profile("gray", gamma=1.0), 1, 1e-5),
    ],
)
def test_colours_return(profile, channels, tolerance):
    colours = Colours(like((5, 5, channels), profile=profile))
    native = np.random.default_rng(3).random((40, 30, channels), np.float32)
    seen = colours.to_model(native)
    back = colours.to_photo(seen)
    assert (seen.shape, seen.dtype, back.shape, back.dtype) == ((40, 30, 3), np.float32, native.shape, np.float32)
    error = np.abs(back - native)
    assert error[native > 0.02].max() <= tolerance
    # A power curve is infinitely steep at black: rounding by 1e-8 before it becomes (1e-8) ** (1 / 2.2) behind it.
    assert error.max() <= max(tolerance, 2.3e-4 * 4) * (tolerance > 0)
    assert colours.notes == ()
    if channels == 1:
        # Gray has no hue, up to the 16 fractional bits of a profile's numbers.
        assert np.ptp(seen, axis=2).max() <= 2 / 65536


def test_colours_are_those_of_the_profile():
    ends = np.array([[[0, 0, 0], [1, 1, 1]]], np.float32)
    for profile in (ADOBE_LIKE, LINEAR):
        np.testing.assert_allclose(Colours(like(profile=profile)).to_model(ends), ends, atol=1e-4)
    half = Colours(like(profile=LINEAR)).to_model(np.full((1, 1, 3), 0.5, np.float32))
    np.testing.assert_allclose(half, 1.055 * 0.5 ** (1 / 2.4) - 0.055, atol=1e-4)
    gray = Colours(like((1, 1, 1), profile=GRAY)).to_model(np.full((1, 1, 1), 0.5, np.float32))
    np.testing.assert_allclose(gray, 1.055 * (0.5**1.8) ** (1 / 2.4) - 0.055, atol=1e-4)
    # The greenest green of Adobe RGB is outside of sRGB, and is not clipped.
    green = Colours(like(profile=ADOBE_LIKE)).to_model(np.array([[[0, 1, 0]]], np.float32))
    assert green[0, 0, 0] < -0.1


def test_gray_gets_the_luminance_of_colours():
    srgb = np.array([[[0.2, 0.6, 0.4], [1, 0, 0]]], np.float32)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
    expected = 1.055 * linear ** (1 / 2.4) - 0.055
    np.testing.assert_allclose(Colours(like((1, 1, 1))).to_photo(srgb)[..., 0], expected, atol=1e-6)
    by_profile = Colours(like((1, 1, 1), profile=imagecodecs.cms_profile("gray", gamma=1.0))).to_photo(srgb)
    # Weights adapted to D50 differ by about a percent.
    np.testing.assert_allclose(by_profile[..., 0], linear, atol=0.015)


@pytest.mark.parametrize(("profile", "channels"), [(b"nonsense", 3), (ADOBE_LIKE[:200], 3), (GRAY, 3), (ADOBE_LIKE, 1)])
def test_unusable_profiles_are_named_and_taken_as_srgb(profile, channels):
    colours = Colours(like((2, 2, channels), profile=profile))
    native = np.full((1, 1, channels), 0.25, np.float32)
    assert "profile" in colours.notes[0]
    assert np.array_equal(colours.to_model(native), np.full((1, 1, 3), 0.25, np.float32))


def test_png_gamma_means_colours(tmp_path):
    linear = ((b"gAMA", struct.pack(">I", 100000)),)
    (tmp_path / "rgb.png").write_bytes(png_bytes(1, 1, 8, 2, b"\0\x80\x80\x80", linear))
    (tmp_path / "gray.png").write_bytes(png_bytes(1, 1, 8, 0, b"\0\x80", linear))
    for name in ("rgb.png", "gray.png"):
        assert photo.read_rgba(tmp_path / name)[0, 0].tolist() == [188, 188, 188, 255]
        source = photo.read(tmp_path / name)
        photo.write(tmp_path / f"copy-{name}", source.pixels, source)
        assert png.read_chunks((tmp_path / f"copy-{name}").read_bytes(), "")[1:] == linear


def test_pixels_cannot_be_changed_by_accident():
    mine = random_pixels((2, 2, 3), "uint8")
    source = PhotoFile(mine, "PNG")
    with pytest.raises(ValueError, match="read-only"):
        source.pixels[0, 0, 0] = 1
    mine[0, 0, 0] = 1


def test_codecs_are_imported_only_when_needed():
    script = (
        "import sys, lapcvae.photo; print([m for m in ('PIL', 'tifffile', 'imagecodecs', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
