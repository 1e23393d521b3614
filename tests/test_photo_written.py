"""What is written and where, whole or not at all; text and paintings in files; colours."""

import os
import stat
import struct
import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
import tifffile
from pictures import ADOBE_LIKE, GRAY, LINEAR, like, png_bytes, random_pixels
from PIL import Image

from lapcvae import photo
from lapcvae.photo import Colours, png
from lapcvae.protocol.errors import LapcvaeError


def painted(path):
    return photo.rgba_of(photo.read(path))


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
    assert photo.png_text_of(photo.read(tmp_path / "a.png"), "a.png") == text
    assert np.array_equal(painted(tmp_path / "a.png"), rgba)
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.text == text
    with pytest.raises(LapcvaeError, match="cannot be held"):
        photo.write_png_with_text(tmp_path / "b.png", rgba, {"k": "x" * (16 * 2**20 + 1)})


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_paintings(tmp_path, channels):
    eight = like((6, 4, channels))
    photo.write(tmp_path / "a.png", eight.pixels, eight)
    rgba = painted(tmp_path / "a.png")
    colour = eight.pixels[..., : 1 if channels < 3 else 3]
    assert rgba.dtype == np.uint8
    assert np.array_equal(rgba[..., :3], np.broadcast_to(colour, (6, 4, 3)))
    assert np.array_equal(rgba[..., 3], eight.pixels[..., -1] if channels % 2 == 0 else np.full((6, 4), 255))
    sixteen = like((6, 4, channels), "uint16")
    photo.write(tmp_path / "b.png", sixteen.pixels, sixteen)
    rgba = painted(tmp_path / "b.png")
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
    assert np.array_equal(painted(tmp_path / "a.tif")[0, 0], [0, 188, 0, 255])
    srgb = random_pixels((16, 16, 3), "uint8")
    tifffile.imwrite(tmp_path / "b.tif", srgb, photometric="rgb", iccprofile=imagecodecs.cms_profile("srgb"))
    assert np.array_equal(painted(tmp_path / "b.tif")[..., :3], srgb)


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
        assert painted(tmp_path / name)[0, 0].tolist() == [188, 188, 188, 255]
        source = photo.read(tmp_path / name)
        photo.write(tmp_path / f"copy-{name}", source.pixels, source)
        assert png.read_chunks((tmp_path / f"copy-{name}").read_bytes(), "")[1:] == linear
