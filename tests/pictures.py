"""Pictures, metadata and files made for the tests of `lapcvae.photo`."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from lapcvae import photo
from lapcvae.photo import PhotoFile, png
from lapcvae.protocol.errors import LapcvaeError

ADOBE_LIKE = imagecodecs.cms_profile(
    "rgb", whitepoint=[0.3127, 0.329], primaries=[0.64, 0.33, 0.21, 0.71, 0.15, 0.06], gamma=2.19921875
)
LINEAR = imagecodecs.cms_profile(
    "rgb", whitepoint=[0.3127, 0.329], primaries=[0.64, 0.33, 0.3, 0.6, 0.15, 0.06], gamma=1.0
)
GRAY = imagecodecs.cms_profile("gray", gamma=1.8)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="1"/></x:xmpmeta>'


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
