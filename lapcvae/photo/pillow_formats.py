"""JPEG and WebP (8 bits a channel), by Pillow."""

from __future__ import annotations

import io
import warnings

import numpy as np

from ..protocol.errors import LapcvaeError
from .picture import LARGEST_PIXEL_COUNT, PhotoFile, assembled, check_one_frame, check_size, refuse_kind, too_large

# Visually lossless, and no loss of colour resolution on top.
_JPEG_QUALITY = 95


def _pillow():
    from PIL import Image

    # Pillow's own limit warns at 89 megapixels, which cameras exceed; `check_size` has ours.
    Image.MAX_IMAGE_PIXELS = LARGEST_PIXEL_COUNT
    return Image


def _opened(data: bytes, format: str, name: str):
    """The file with its header read and its size checked, the pixels not yet decoded."""
    pillow = _pillow()
    try:
        with warnings.catch_warnings():
            # A warning up to twice the limit, an error beyond.
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            image = pillow.open(io.BytesIO(data), formats=(format,))
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
        raise too_large(name) from error
    except pillow.UnidentifiedImageError as error:
        raise LapcvaeError(
            f"{name} is damaged or cut short: its header cannot be read.", "Copy or export it again."
        ) from error
    check_size(name, *image.size)
    return image


def refuse_gif(data: bytes, name: str) -> PhotoFile:
    """Always LapcvaeError: a GIF is an animation, or has a palette and nothing to keep it for."""
    with _opened(data, "GIF", name) as image:
        check_one_frame(name, image.n_frames)
    raise refuse_kind(name, "a GIF's palette")


def read_jpeg(data: bytes, name: str) -> PhotoFile:
    """The JPEG file `data`. LapcvaeError, or Pillow's own error if it is damaged."""
    with _opened(data, "JPEG", name) as image:
        if image.mode == "CMYK":
            raise refuse_kind(name, "CMYK (printing) colours")
        # Phones put depth maps and small copies behind the photo; the photo is always the first.
        extra = getattr(image, "n_frames", 1) - 1
        notes = (f"{extra} more picture(s) inside the file (depth or preview) are left out.",) if extra > 0 else ()
        return _photo(image, "JPEG", ("L", "RGB"), name, notes)


def read_webp(data: bytes, name: str) -> PhotoFile:
    """The WebP file `data`. LapcvaeError, or Pillow's own error if it is damaged."""
    with _opened(data, "WEBP", name) as image:
        check_one_frame(name, getattr(image, "n_frames", 1))
        return _photo(image, "WEBP", ("RGB", "RGBA"), name)


def encoded_jpeg(pixels: np.ndarray, like: PhotoFile) -> bytes:
    """H x W x 1 or 3 uint8. LapcvaeError if the metadata does not fit into a JPEG."""
    options = {"quality": _JPEG_QUALITY, "subsampling": 0}
    if like.dpi:
        options["dpi"] = tuple(min(max(round(v), 1), 65535) for v in like.dpi)
    return _encoded(pixels, like, "JPEG", options)


def encoded_webp(pixels: np.ndarray, like: PhotoFile) -> bytes:
    """H x W x 3 or 4 uint8, without loss, colours under full transparency included."""
    # Effort 0..100 of the lossless coder: most of the time beyond 30 buys a percent.
    return _encoded(pixels, like, "WEBP", {"lossless": True, "exact": True, "quality": 30, "method": 1})


def _photo(image, format: str, modes: tuple[str, ...], name: str, notes: tuple[str, ...] = ()) -> PhotoFile:
    if image.mode not in modes:
        raise refuse_kind(name, f"pixels of the kind {image.mode}")
    info = image.info
    return assembled(
        np.asarray(image),
        format,
        info.get("icc_profile"),
        info.get("exif"),
        info.get("xmp"),
        info.get("dpi"),
        notes=notes,
    )


def _encoded(pixels: np.ndarray, like: PhotoFile, format: str, options: dict) -> bytes:
    options = dict(options, icc_profile=like.profile)
    if like.exif:
        options["exif"] = b"Exif\0\0" + like.exif
    if like.xmp:
        options["xmp"] = like.xmp
    image = _pillow().fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    out = io.BytesIO()
    try:
        image.save(out, format=format, **options)
    except (ValueError, OSError) as error:
        raise LapcvaeError(
            f"The photo cannot be written as {format}: {error}.", "Write it as PNG or TIFF instead."
        ) from error
    return out.getvalue()
