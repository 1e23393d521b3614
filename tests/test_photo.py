"""Picture files: exact round trips, metadata, and what is read of other programs' files."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from pictures import ADOBE_LIKE, XMP, exif_block, like, png_bytes, profile_for, random_pixels, tags_of
from PIL import Image, ImageOps
from PIL.ExifTags import IFD

from lapcvae import photo
from lapcvae.photo import PhotoFile, exif, png, tiff
from lapcvae.protocol.messages import PixelFormat

COLOURS = {1: "Y", 2: "Y", 3: "RGB", 4: "RGB"}


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
    assert photo.png_text_of(photo.read(copy), "") == {"Author": "Ada", "Note": "x" * 100, "Title": "Zwölf Bögen"}
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
