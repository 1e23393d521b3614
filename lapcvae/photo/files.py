"""Reading and writing picture files: which format, whole or not at all, and errors that name the file."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..protocol.errors import LapcvaeError
from . import pillow_formats, png, tiff
from .colours import Colours
from .picture import PhotoFile

_READERS = {
    "PNG": png.read,
    "JPEG": pillow_formats.read_jpeg,
    "TIFF": tiff.read,
    "WEBP": pillow_formats.read_webp,
    "GIF": pillow_formats.refuse_gif,
}
_ENCODERS = {
    "PNG": png.encoded,
    "JPEG": pillow_formats.encoded_jpeg,
    "TIFF": tiff.encoded,
    "WEBP": pillow_formats.encoded_webp,
}
_SUFFIXES = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff"), "WEBP": (".webp",)}
_TITLES = {"PNG": "PNG", "JPEG": "JPEG", "TIFF": "TIFF", "WEBP": "WebP"}
# What each can hold: dtypes, channel counts, longest side.
_HOLDS = {
    # The longest side is libpng's limit.
    "PNG": (("uint8", "uint16"), (1, 2, 3, 4), 10**6),
    "TIFF": (("uint8", "uint16", "float32"), (1, 2, 3, 4), 2**31 - 1),
    "JPEG": (("uint8",), (1, 3), 65535),
    "WEBP": (("uint8",), (3, 4), 16383),
}
_DEPTHS = {"uint8": "8 bits", "uint16": "16 bits", "float32": "32-bit float"}
_CHANNELS = {1: "gray", 2: "gray with alpha", 3: "RGB", 4: "RGB with alpha"}
_READABLE = "PNG, JPEG, TIFF or WebP"
# Pixels converted at once, to save memory.
_ROWS = 256


class OutputFormat(NamedTuple):
    """What a result is written as: format, suffix with its dot, whether that loses quality, a sentence for the user."""

    format: str
    suffix: str
    lossy: bool
    note: str


def read(path: str | os.PathLike) -> PhotoFile:
    """The photo in a PNG, JPEG, TIFF or WebP file, upright.

    Not kept: IPTC outside of TIFF, JPEG comments, and what `PhotoFile.notes` says. LapcvaeError, naming the file, if
    it cannot be read, is damaged, has several frames, or holds what cannot be edited.
    """
    data = _contents(path)
    name = str(path)
    try:
        return replace(_READERS[_format_of(data, name)](data, name), sha256=hashlib.sha256(data).hexdigest())
    except LapcvaeError:
        raise
    except MemoryError as error:
        raise LapcvaeError(f"{name} does not fit into the memory.", "Close other programs, or crop it.") from error
    except ImportError as error:
        raise LapcvaeError(f"{name} cannot be read: {error}.", "Repair the installation with install.sh.") from error
    except Exception as error:
        # Decoders fail on damaged files in more ways than they document.
        raise LapcvaeError(f"{name} is damaged or cut short: {error}.", "Copy or export it again.") from error


def write(path: str | os.PathLike, pixels: np.ndarray, like: PhotoFile, format: str | None = None) -> None:
    """Write `pixels` (H x W x C, dtype and C of `like`) with the metadata of `like`: whole, or not at all.

    `format` is as in `output_format`; without it the suffix of `path` decides, and a lossy format is refused.
    LapcvaeError if the format cannot hold the pixels or the file cannot be written; a former file then stays.
    """
    if pixels.dtype != like.pixels.dtype or pixels.shape[2:] != like.pixels.shape[2:] or pixels.size == 0:
        raise ValueError(f"{pixels.shape} {pixels.dtype} is not like {like.pixels.shape} {like.pixels.dtype}")
    by_suffix = next((f for f, known in _SUFFIXES.items() if Path(path).suffix.lower() in known), None)
    chosen = _named_format(format) if format else by_suffix
    if chosen is None or chosen != by_suffix:
        wanted = _SUFFIXES[chosen] if chosen else [s for known in _SUFFIXES.values() for s in known]
        raise LapcvaeError(
            f"The name {path} does not say {_TITLES.get(chosen, 'what format to write')}.",
            f"Let it end in {' or '.join(wanted)}.",
        )
    if chosen == "JPEG" and format is None:
        raise LapcvaeError(
            f"{path} would be a JPEG, which loses quality with every saving.",
            "Let it end in .png, or ask for the format jpeg.",
        )
    _check_holds(chosen, pixels)
    write_whole(path, _ENCODERS[chosen](np.ascontiguousarray(pixels), like))


def output_format(like: PhotoFile, requested: str | None = None) -> OutputFormat:
    """What to write a result of `like` as: `requested` ("png", "jpeg", "tiff", "webp"), else the photo's own format,
    but PNG for a JPEG. LapcvaeError if that is unknown or cannot hold the photo's pixels.
    """
    format = _named_format(requested) if requested else "PNG" if like.format == "JPEG" else like.format
    _check_holds(format, like.pixels)
    note = f"Written as {_TITLES[format]}, without loss."
    if format == "JPEG":
        note = "Written as JPEG, which loses quality: also outside of the change, pixels differ a little."
    elif not requested and like.format == "JPEG":
        note = "The photo is a JPEG; written as PNG, because saving as JPEG again would lose quality."
    return OutputFormat(format, _SUFFIXES[format][0], format == "JPEG", note)


def rgba_of(photo: PhotoFile) -> np.ndarray:
    """sRGB with straight alpha, H x W x 4: uint8 from 8-bit pictures, else float32 (1 = full scale)."""
    colours, pixels = Colours(photo), photo.pixels
    channels = colours.channels
    eight_bits = pixels.dtype == np.uint8
    rgba = np.empty(pixels.shape[:2] + (4,), np.uint8 if eight_bits else np.float32)
    if eight_bits and colours.as_srgb:
        rgba[..., :3] = pixels[..., :channels]
        rgba[..., 3] = pixels[..., channels] if photo.format_on_the_wire.alpha else 255
        return rgba
    scale = np.float32(1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max)
    for top in range(0, len(pixels), _ROWS):
        rows = pixels[top : top + _ROWS].astype(np.float32) / scale
        target = rgba[top : top + _ROWS]
        colour = colours.to_model(np.ascontiguousarray(rows[..., :channels]))
        alpha = rows[..., channels] if photo.format_on_the_wire.alpha else np.float32(1)
        if eight_bits:
            colour, alpha = np.rint(colour.clip(0, 1) * 255), np.rint(alpha * 255)
        target[..., :3], target[..., 3] = colour, alpha
    return rgba


def write_png_with_text(path: str | os.PathLike, rgba: np.ndarray, text: dict[str, str]) -> None:
    """Write an sRGB picture (H x W x 4 uint8) as PNG with `text` in it, whole or not at all. LapcvaeError if not."""
    if rgba.dtype != np.uint8 or rgba.ndim != 3 or rgba.shape[2] != 4:
        raise ValueError(f"expected H x W x 4 uint8, not {rgba.shape} {rgba.dtype}")
    # The chunk sRGB with the perceptual intent.
    chunks = ((b"sRGB", b"\0"), *(png.text_chunk(keyword, value) for keyword, value in text.items()))
    like = PhotoFile(rgba.copy(), "PNG", chunks=chunks)
    write_whole(path, png.encoded(like.pixels, like))


def png_text_of(photo: PhotoFile, name: str) -> dict[str, str]:
    """The text that came with a PNG, by keyword; `name` stands in errors. LapcvaeError if it is damaged or too much."""
    return png.text_of(photo.chunks, name)


def write_whole(path: str | os.PathLike, data: bytes) -> None:
    """Write a file so that at every moment it is the former one or the new one. LapcvaeError if it cannot be."""
    # A link stays one: what it points to is replaced.
    target = os.path.realpath(path)
    part = os.path.join(os.path.dirname(target), f".{os.path.basename(target)[:100]}.{os.urandom(4).hex()}.part")
    try:
        if os.path.isdir(target):
            raise IsADirectoryError(21, "it is a folder")
        mode = os.stat(target).st_mode & 0o777 if os.path.exists(target) else None
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                if mode is not None:
                    os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            os.replace(part, target)
        except BaseException:
            os.unlink(part)
            raise
    except OSError as error:
        raise LapcvaeError(
            f"{path} could not be written: {error.strerror or error}.",
            "Choose a folder that exists, that you may write to, and that has room.",
        ) from error


def _contents(path: str | os.PathLike) -> bytes:
    """The bytes of a file. LapcvaeError if there is none, or none that can be read."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise LapcvaeError(f"There is no file {path}.", "Check the name and the folder.") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if stat.S_ISDIR(mode):
        raise LapcvaeError(f"{path} is a folder.", "Give a picture file.")
    if not stat.S_ISREG(mode):
        raise LapcvaeError(f"{path} is not a regular file.", "Give a picture file.")
    try:
        with open(path, "rb") as file:
            # Nothing but a picture is worth reading to the end.
            _format_of(file.read(32), str(path))
            file.seek(0)
            return file.read()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | os.PathLike, error: OSError) -> LapcvaeError:
    return LapcvaeError(f"{path} cannot be read: {error.strerror or error}.", "Check its permissions.")


def _format_of(start: bytes, name: str) -> str:
    """By the first bytes, never by the suffix. LapcvaeError if it is none that can be read."""
    if start.startswith(png.SIGNATURE):
        return "PNG"
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if not start:
        raise LapcvaeError(f"{name} is empty.", "Copy or export it again.")
    raise LapcvaeError(f"{name} is not a {_READABLE} file.", f"Export the picture as {_READABLE}.")


def _named_format(requested: str) -> str:
    name = requested.lower().lstrip(".")
    found = next((f for f, known in _SUFFIXES.items() if name == f.lower() or "." + name in known), None)
    if not found:
        raise LapcvaeError(f'The format "{requested}" cannot be written.', "Choose png, tiff, webp or jpeg.")
    return found


def _check_holds(format: str, pixels: np.ndarray) -> None:
    dtypes, channels, longest = _HOLDS[format]
    height, width, count = pixels.shape
    if str(pixels.dtype) in dtypes and count in channels and max(height, width) <= longest:
        return
    others = [_TITLES[f] for f in ("PNG", "TIFF") if str(pixels.dtype) in _HOLDS[f][0]]
    raise LapcvaeError(
        f"{_TITLES[format]} cannot hold {width} x {height} pixels of {_CHANNELS[count]} with "
        f"{_DEPTHS[str(pixels.dtype)]} a channel.",
        f"Choose {' or '.join(others)}.",
    )
