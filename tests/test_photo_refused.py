"""Picture files that cannot be edited: each is named, with the reason, before anything large is made of it."""

import os
import struct
import zlib

import numpy as np
import pytest
import tifffile
from pictures import ADOBE_LIKE, XMP, exif_block, like, png_bytes, random_pixels, refusal
from PIL import Image

from lapcvae import photo
from lapcvae.photo import Colours
from lapcvae.protocol.errors import LapcvaeError


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
        photo.png_text_of(photo.read(tmp_path / "a.png"), "a.png")
    (tmp_path / "b.png").write_bytes(png_bytes(1, 1, 8, 2, b"\0abc", ((b"iCCP", b"p\0\0" + bomb),)))
    back = photo.read(tmp_path / "b.png")
    assert back.profile is None
    assert "profile is damaged" in back.notes[0]
