"""A photo as it lies in memory, and what every format shares: limits, turning upright, alpha."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..protocol.errors import LapcvaeError
from ..protocol.geometry import Size
from ..protocol.messages import PixelFormat
from . import exif as exif_blocks

# One gigapixel: several times the largest camera's photo, and still allocatable on a workstation.
LARGEST_PIXEL_COUNT = 10**9
# Profiles, EXIF and text are decompressed up to here, so that a small file cannot fill the memory.
LARGEST_METADATA = 16 * 2**20

_WIRE_DTYPES = {"uint8": "u1", "uint16": "u2", "float32": "f4"}


@dataclass(frozen=True)
class PhotoFile:
    """A photo from a file, turned upright.

    `pixels`: H x W x C, uint8, uint16 or float32, read-only; C = 1 (gray), 2 (gray, alpha), 3 (RGB), 4 (RGB, alpha);
    alpha is straight; integers mean 0..1 over their full range, floats are finite and may lie outside of it.
    """

    pixels: np.ndarray
    # "PNG", "JPEG", "TIFF" or "WEBP".
    format: str
    # The ICC profile; None means sRGB (or gray with sRGB's curve).
    profile: bytes | None = None
    # From the TIFF header on (without "Exif\0\0"); orientation 1, no thumbnail, as both would be wrong after an edit.
    exif: bytes | None = None
    xmp: bytes | None = None
    # Pixels per inch across and down.
    dpi: tuple[float, float] | None = None
    # Those chunks of a PNG that only another PNG can hold, as (type, data).
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    # What was changed while reading, as sentences for the user.
    notes: tuple[str, ...] = ()
    # SHA-256 of the file's bytes as they were read; empty if it came from no file.
    sha256: str = ""

    def __post_init__(self):
        if self.pixels.ndim != 3 or self.pixels.shape[2] not in (1, 2, 3, 4) or self.pixels.size == 0:
            raise ValueError(f"a photo cannot have the shape {self.pixels.shape}")
        if str(self.pixels.dtype) not in _WIRE_DTYPES:
            raise ValueError(f"a photo cannot have the type {self.pixels.dtype}")
        # A view, so that the caller's own array stays writable.
        pixels = self.pixels.view()
        pixels.flags.writeable = False
        object.__setattr__(self, "pixels", pixels)

    @property
    def size(self) -> Size:
        return Size(self.pixels.shape[1], self.pixels.shape[0])

    @property
    def format_on_the_wire(self) -> PixelFormat:
        channels = self.pixels.shape[2]
        return PixelFormat("Y" if channels < 3 else "RGB", channels % 2 == 0, _WIRE_DTYPES[str(self.pixels.dtype)])


def check_size(name: str, width: int, height: int) -> None:
    """Raise LapcvaeError if a picture that claims this size should not be allocated."""
    if width < 1 or height < 1:
        raise LapcvaeError(
            f"{name} says it is {width} x {height} pixels, so there is nothing in it.", "Export the picture again."
        )
    if width * height > LARGEST_PIXEL_COUNT:
        raise too_large(name, f" ({width} x {height} pixels)")


def too_large(name: str, size: str = "") -> LapcvaeError:
    return LapcvaeError(
        f"{name} is too large{size}: at most {LARGEST_PIXEL_COUNT / 1e6:g} megapixels can be read.",
        "Crop the part to edit, or make the picture smaller.",
    )


def check_one_frame(name: str, frames: int) -> None:
    if frames > 1:
        raise LapcvaeError(
            f"{name} holds {frames} frames or pages; only single pictures can be edited.",
            "Export the one to edit as a PNG or TIFF of its own.",
        )


def refuse_kind(name: str, kind: str) -> LapcvaeError:
    """The error for pixels that no `PhotoFile` can hold."""
    return LapcvaeError(
        f"{name} holds {kind}, which cannot be edited.",
        "Convert it to RGB or gray with 8 or 16 bits or 32-bit float a channel, and export it as PNG or TIFF.",
    )


def assembled(
    pixels: np.ndarray,
    format: str,
    profile: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    orientation: int | None = None,
    notes: tuple[str, ...] = (),
) -> PhotoFile:
    """The photo of what a file holds, with pixels and metadata turned upright (`orientation`: else EXIF's or XMP's)."""
    exif = exif_blocks.cleaned(exif)
    orientation = orientation or exif_blocks.orientation(exif, xmp)
    if dpi and not (0 < dpi[0] < 1e6 and 0 < dpi[1] < 1e6):
        dpi = None
    if dpi and orientation in (5, 6, 7, 8):
        dpi = dpi[::-1]
    return PhotoFile(
        turned_upright(pixels if pixels.ndim == 3 else pixels[..., None], orientation),
        format, profile or None, exif_blocks.upright(exif, orientation), exif_blocks.upright_xmp(xmp), dpi, notes=notes,
    )  # fmt: skip


def turned_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """`pixels` (H x W x C) turned and mirrored as the EXIF `orientation` (1 to 8) asks for."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
