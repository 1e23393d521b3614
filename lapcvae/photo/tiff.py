"""TIFF: 8 and 16 bits and 32-bit float a channel, by tifffile."""

from __future__ import annotations

import io
import logging
import math

import numpy as np

from ..protocol.errors import LapcvaeError
from . import exif as exif_blocks
from .picture import PhotoFile, assembled, check_one_frame, check_size, refuse_kind

_XMP_TAG = 700
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_REFUSED_COLOURS = {5: "CMYK (printing) colours", 8: "Lab colours", 9: "Lab colours", 10: "Lab colours"}
_JPEG_COMPRESSIONS = (6, 7)
_REDUCED_COPY, _MASK = 1, 4
_ASSOCIATED_ALPHA, _STRAIGHT_ALPHA = 1, 2
_CENTIMETRES_PER_INCH = 2.54
# So many at once, to save memory.
_ROWS = 256


def read(data: bytes, name: str) -> PhotoFile:
    """The TIFF file `data`; `name` stands in errors. LapcvaeError, or tifffile's own error if it is damaged."""
    tifffile = _tifffile()
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = [p for p in file.pages if not p.subfiletype & (_REDUCED_COPY | _MASK)]
        if not pages:
            raise LapcvaeError(f"{name} holds no picture of its full size.", "Export it again.")
        check_one_frame(name, len(pages))
        page = pages[0]
        check_size(name, page.imagewidth, page.imagelength)
        _check_kind(page, name)
        _check_complete(page, len(data), name)
        pixels = page.asarray()
        if page.axes.startswith("S"):
            pixels = np.moveaxis(pixels, 0, 2)
        pixels, notes = _standard(pixels, page)
        tags = page.tags
        photo = assembled(
            pixels,
            "TIFF",
            bytes(page.iccprofile) if page.iccprofile else None,
            exif_blocks.described(data),
            _as_bytes(tags.valueof(_XMP_TAG)),
            _dpi(page),
            orientation=int(tags.valueof(exif_blocks.ORIENTATION) or 1),
            notes=notes,
        )
    _check_finite(photo.pixels, name)
    return photo


def encoded(pixels: np.ndarray, like: PhotoFile) -> bytes:
    """A TIFF file of `pixels` (H x W x C, uint8, uint16 or float32) with the metadata of `like`."""
    channels = pixels.shape[2]
    options = {"extratags": [(_XMP_TAG, 1, len(like.xmp), like.xmp, True)]} if like.xmp else {}
    if channels % 2 == 0:
        options["extrasamples"] = ("unassalpha",)
    if like.dpi:
        options.update(resolution=like.dpi, resolutionunit="INCH")
    out = io.BytesIO()
    _tifffile().imwrite(
        out,
        pixels[..., 0] if channels == 1 else pixels,
        photometric="minisblack" if channels < 3 else "rgb",
        planarconfig=None if channels == 1 else "contig",
        compression="adobe_deflate",
        predictor=True,
        iccprofile=like.profile,
        metadata=None,
        software=False,
        # EXIF is copied as it is, in its own byte order.
        byteorder=exif_blocks.layout_of(like.exif).order if like.exif else "<",
        **options,
    )
    data = out.getvalue()
    return exif_blocks.with_description(data, like.exif) if like.exif else data


def _tifffile():
    import tifffile

    # What it warns about is either refused here or harmless; a terminal is no place for it.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    return tifffile


def _check_kind(page, name: str) -> None:
    photometric = int(page.photometric)
    if photometric in _REFUSED_COLOURS:
        raise refuse_kind(name, _REFUSED_COLOURS[photometric])
    if photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE) and not (
        photometric == _YCBCR and int(page.compression) in _JPEG_COMPRESSIONS
    ):
        raise refuse_kind(name, f"colours of the TIFF kind {photometric}")
    if page.axes not in ("YX", "YXS", "SYX"):
        raise refuse_kind(name, f"a stack of pictures ({page.axes})")
    kind = str(page.dtype)
    if kind not in ("bool", "uint8", "uint16", "float32") or (
        kind.startswith("uint") and page.bitspersample != page.dtype.itemsize * 8
    ):
        raise refuse_kind(name, f"{page.bitspersample} bits a channel ({kind})")
    extra = page.samplesperpixel - _colour_samples(page)
    if extra not in (0, 1) or (extra and photometric == _PALETTE):
        raise refuse_kind(name, f"{page.samplesperpixel} channels")
    if extra and kind == "bool":
        raise refuse_kind(name, "1-bit pixels with alpha")


def _colour_samples(page) -> int:
    return 3 if int(page.photometric) in (_RGB, _YCBCR) else 1


def _check_complete(page, length: int, name: str) -> None:
    """tifffile fills what is missing with zeros, however much that is."""
    places = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if len(places) < math.prod(page.chunked) or any(n < 1 or at < 8 or at + n > length for at, n in places):
        raise LapcvaeError(f"{name} is cut short: it ends after {length} bytes.", "Copy or export it again.")


def _standard(pixels: np.ndarray, page) -> tuple[np.ndarray, tuple[str, ...]]:
    """Black at 0, straight alpha, the machine's byte order, no palette; and notes on what was done."""
    notes = []
    photometric = int(page.photometric)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
        notes.append("Its 1-bit gray was turned into 8-bit gray.")
    pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    if photometric == _PALETTE:
        # A colour map has 16 bits; all programs fill them from 8.
        pixels = (np.asarray(page.colormap)[:, pixels[..., 0]] >> 8).astype(np.uint8).transpose(1, 2, 0)
        notes.append("Its palette was turned into 8-bit RGB.")
    if photometric == _WHITE_IS_ZERO:
        full = 1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max
        pixels[..., 0] = full - pixels[..., 0]
        notes.append("Its gray counted from white; it now counts from black.")
    if page.samplesperpixel > _colour_samples(page):
        kind = int(page.extrasamples[0]) if page.extrasamples else 0
        if kind == _ASSOCIATED_ALPHA:
            _divide_alpha(pixels)
            notes.append("Its premultiplied alpha was turned into straight alpha.")
        elif kind != _STRAIGHT_ALPHA:
            notes.append("Its extra channel is not named and is taken as straight alpha.")
    return pixels, tuple(notes)


def _divide_alpha(pixels: np.ndarray) -> None:
    """Premultiplied to straight, in place; where alpha is full or 0, the colours stay exactly as they are."""
    full = 1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max
    for top in range(0, len(pixels), _ROWS):
        rows = pixels[top : top + _ROWS]
        partial = (rows[..., -1] != full) & (rows[..., -1] > 0)
        colours = rows[partial].astype(np.float64)
        colours[:, :-1] *= full / colours[:, -1:]
        if full != 1:
            colours = np.minimum(np.rint(colours), full)
        rows[partial] = colours.astype(pixels.dtype)


def _check_finite(pixels: np.ndarray, name: str) -> None:
    """Refused, not repaired: a repaired pixel would differ from the photo where nobody painted."""
    if pixels.dtype != np.float32:
        return
    bad = sum(int(np.count_nonzero(~np.isfinite(rows))) for rows in pixels)
    if bad:
        raise LapcvaeError(
            f"{name} holds {bad} values that are not finite numbers (NaN or infinite).",
            "Replace them in the program that made the picture, and export it again.",
        )


def _as_bytes(value) -> bytes | None:
    return value.encode() if isinstance(value, str) else bytes(value) if value else None


def _dpi(page) -> tuple[float, float] | None:
    unit = page.tags.valueof(296, default=2)
    x, y = page.tags.valueof(282), page.tags.valueof(283)
    if int(unit) not in (2, 3) or not x or not y or not x[1] or not y[1]:
        return None
    scale = _CENTIMETRES_PER_INCH if int(unit) == 3 else 1
    return x[0] / x[1] * scale, y[0] / y[1] * scale
