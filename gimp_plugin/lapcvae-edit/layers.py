"""Pixels of GIMP's drawables as arrays of the protocol, in their own format and, when model-sized, in sRGB.

What this rests on was measured on GIMP 3.0.4 and 3.2.6; see docs/gimp-facts.md. GEGL's bytes are in the machine's
order, which is little endian on every machine that GIMP's packages exist for.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator

from gi.repository import Babl, Gegl, Gimp, GLib
from words import _

from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Box, Size
from lapcvae.protocol.messages import Array, Photo, PixelFormat

DTYPES = {"u8": "u1", "u16": "u2", "u32": "u4", "half": "f2", "float": "f4", "double": "f8"}
# A mask is linear at every precision of GIMP: a number written in these formats is the factor that is applied.
MASK_FORMATS = {"u1": "Y u8", "u2": "Y u16", "f4": "Y float"}
SRGB_ALPHA = {"u1": "R'G'B'A u8", "f4": "R'G'B'A float"}
SRGB = "R'G'B' float"
INTENT = Gimp.ColorRenderingIntent.RELATIVE_COLORIMETRIC
# The side of the copy that alpha is counted on.
COUNTED = 256


def pixel_format(drawable: Gimp.Drawable) -> PixelFormat:
    """The drawable's own format. Raises LapcvaeError for an indexed one."""
    model, dtype = _encoding(drawable)
    return PixelFormat("Y" if model.startswith("Y") else "RGB", model.endswith("A"), DTYPES[dtype])


def mask_dtype(drawable: Gimp.Drawable) -> str:
    """What masks for this drawable are wanted in: as fine as its own channels."""
    return {"u1": "u1", "u2": "u2"}.get(pixel_format(drawable).dtype, "f4")


def painting_dtype(drawable: Gimp.Drawable) -> str:
    """What sRGB pictures are written to and read from a layer like this one in."""
    # What a profile of tables makes of sRGB and back is so far from it that finer steps say nothing.
    return "u1" if pixel_format(drawable).dtype == "u1" or _tables(drawable) else "f4"


def keeps_srgb(drawable: Gimp.Drawable) -> bool:
    """Whether 8-bit sRGB that is written to the layer is read back unchanged (to far less than one step)."""
    plain = native_name(drawable) in ("R'G'B' u8", "R'G'B'A u8", "Y' u8", "Y'A u8")
    return (plain or pixel_format(drawable).dtype != "u1") and not _tables(drawable)


def photo_of(layer: Gimp.Layer) -> Photo:
    return Photo(Size(layer.get_width(), layer.get_height()), pixel_format(layer))


def offsets(item: Gimp.Drawable) -> tuple[int, int]:
    """Where the item's upper left corner is in the image."""
    _, x, y = item.get_offsets()
    return x, y


def box_of(item: Gimp.Drawable) -> Box:
    """Where the item is in the image."""
    return Box(*offsets(item), item.get_width(), item.get_height())


def unlike_its_pixels(layer: Gimp.Layer) -> list[str]:
    """What makes a layer look different from the pixels it holds; empty: nothing does."""
    mask = layer.get_mask()
    normal = (Gimp.LayerMode.NORMAL, Gimp.LayerMode.NORMAL_LEGACY)
    found = {
        _("filters"): any(f.get_visible() for f in layer.get_filters()),
        _("a mask"): mask is not None and layer.get_apply_mask(),
        _("a mode"): layer.get_mode() not in normal,
        _("an opacity"): layer.get_opacity() < 100,
    }
    return [name for name, is_there in found.items() if is_there]


def native_name(drawable: Gimp.Drawable) -> str:
    """GEGL's name of the drawable's format, with its colour space."""
    return Babl.get_name(drawable.get_format())


def read_native(drawable: Gimp.Drawable, box: Box) -> Array:
    """The pixels over `box` in the drawable's own format, untouched: H x W x channels. Beyond it, its edge repeats."""
    pixels = pixel_format(drawable)
    return _read(drawable, box, None, pixels.dtype, pixels.channels, Gegl.AbyssPolicy.CLAMP)


def read_srgb(drawable: Gimp.Drawable, box: Box, dtype: str) -> Array:
    """H x W x 4 in sRGB over `box`; transparent beyond the drawable. `dtype` is "u1" or "f4"."""
    name, tables = SRGB_ALPHA[dtype], _tables(drawable)
    if not tables:
        return _read(drawable, box, name, dtype, 4, Gegl.AbyssPolicy.NONE)
    native = _read(drawable, box, SRGB_ALPHA["f4"], "f4", 4, Gegl.AbyssPolicy.NONE)
    return _by_tables(tables, native, SRGB_ALPHA["f4"], name, dtype, to_srgb=True)


def reduced(layer: Gimp.Layer, part: Box | None, most: int) -> tuple[Array, Box]:
    """H x W x 3 u1 sRGB, at most `most` pixels a side, and the box of the layer that it shows.

    That is the part with its surroundings, as much again to every side; without one the whole layer.
    """
    box = Box(0, 0, layer.get_width(), layer.get_height())
    if part:
        room = max(part.width, part.height)
        box = box.intersection(Box(part.x - room, part.y - room, part.width + 2 * room, part.height + 2 * room))
    scale = min(1.0, most / max(box.width, box.height))
    small = Box(int(box.x * scale), int(box.y * scale), max(1, int(box.width * scale)), max(1, int(box.height * scale)))
    data = layer.get_buffer().get(_rectangle(small), scale, "R'G'B' u8", Gegl.AbyssPolicy.CLAMP)
    return Array("u1", (small.height, small.width, 3), data), box


def opaque_share(layer: Gimp.Layer) -> float:
    """The mean alpha, 0 to 1, as a reduced copy tells it."""
    if not layer.has_alpha():
        return 1.0
    width, height = layer.get_width(), layer.get_height()
    scale = min(1.0, COUNTED / max(width, height))
    small = Box(0, 0, max(1, int(width * scale)), max(1, int(height * scale)))
    alpha = layer.get_buffer().get(_rectangle(small), scale, "R'G'B'A u8", Gegl.AbyssPolicy.CLAMP)[3::4]
    return sum(alpha) / (255 * len(alpha))


def read_mask(drawable: Gimp.Drawable, box: Box, dtype: str) -> Array:
    """H x W x 1 of a mask, channel or selection over `box`, full scale = 1; 0 beyond it. `dtype`: "u1", "u2", "f4"."""
    return _read(drawable, box, MASK_FORMATS[dtype], dtype, 1, Gegl.AbyssPolicy.NONE)


@contextlib.contextmanager
def with_filters(layer: Gimp.Layer) -> Iterator[Gimp.Layer]:
    """The layer, or, where it has filters, a copy outside the image in which they are part of the pixels."""
    if not any(effect.get_visible() for effect in layer.get_filters()):
        yield layer
        return
    copy = layer.copy()
    try:
        for effect in copy.get_filters():
            if not effect.get_visible():
                effect.delete()
        copy.merge_filters()
        yield copy
    finally:
        copy.delete()


def fingerprint(layer: Gimp.Layer, pixels: Array | None = None, mask_pixels: Array | None = None) -> str:
    """The same as long as the layer looks the same: its pixels, mask, filters, opacity, mode and colour tag.

    `pixels`, `mask_pixels`: the layer's and its mask's own, where they are known already.
    """
    mask = layer.get_mask()
    about = (
        layer.get_width(), layer.get_height(), layer.get_opacity(), int(layer.get_mode()), len(layer.get_filters()),
        mask is not None and layer.get_apply_mask(), int(layer.get_color_tag()),
    )  # fmt: skip
    digest = hashlib.sha256(repr(about).encode())
    for drawable, known in ((layer, pixels), (mask, mask_pixels)) if mask else ((layer, pixels),):
        array = known or read_native(drawable, Box(0, 0, drawable.get_width(), drawable.get_height()))
        digest.update(f" {array.dtype} {array.shape} ".encode())
        digest.update(array.data)
    return digest.hexdigest()


def write_native(drawable: Gimp.Drawable, pixels: Array) -> None:
    """Fill the drawable with H x W x channels in its own format."""
    wanted = pixel_format(drawable)
    if pixels.dtype != wanted.dtype:
        raise LapcvaeError(
            _("Pixels of type {dtype} cannot be written to a layer of {wanted}.").format(
                dtype=pixels.dtype, wanted=wanted.dtype
            )
        )
    _write(drawable, native_name(drawable), pixels, wanted.channels)


def write_srgb(drawable: Gimp.Drawable, pixels: Array) -> None:
    """Fill the drawable with H x W x 4 in sRGB."""
    if tables := _tables(drawable):
        pixels = _by_tables(tables, pixels, SRGB_ALPHA[pixels.dtype], SRGB_ALPHA["f4"], "f4", to_srgb=False)
    _write(drawable, SRGB_ALPHA[pixels.dtype], pixels, 4)


def write_mask(mask: Gimp.LayerMask, values: Array) -> None:
    """Fill the mask with H x W (or H x W x 1), full scale = 1."""
    _write(mask, MASK_FORMATS[values.dtype], values, 1)


def to_model(drawable: Gimp.Drawable, pixels: Array) -> Array:
    """H x W x (1 or 3) f4 in the drawable's space and curve, without alpha -> H x W x 3 f4 in sRGB."""
    plain = _convert(pixels, _float_name(drawable), pixel_format(drawable).colour_channels, SRGB, 3)
    tables = _tables(drawable)
    return _by_tables(tables, plain, SRGB, SRGB, "f4", to_srgb=True) if tables else plain


def to_photo(drawable: Gimp.Drawable, pixels: Array) -> Array:
    """H x W x 3 f4 in sRGB -> H x W x (1 or 3) f4 in the drawable's space and curve, without alpha."""
    if tables := _tables(drawable):
        pixels = _by_tables(tables, pixels, SRGB, SRGB, "f4", to_srgb=False)
    return _convert(pixels, SRGB, 3, _float_name(drawable), pixel_format(drawable).colour_channels)


def _encoding(drawable: Gimp.Drawable) -> tuple[str, str]:
    """("R'G'B'A", "u16"): model and type of the drawable's format, without its colour space."""
    native = drawable.get_format()
    if Babl.format_is_palette(native):
        raise LapcvaeError(
            _('The layer "{item}" has indexed colours, which cannot hold new ones.').format(item=drawable.get_name()),
            _("Choose Image > Mode > RGB, then try again."),
        )
    model, dtype = Babl.format_get_encoding(native).split(" ")
    return model, dtype


def _float_name(drawable: Gimp.Drawable) -> str:
    """The drawable's format as floats without alpha: the same channels, curve and space."""
    model = _encoding(drawable)[0].removesuffix("A")
    # Asking for the format also registers it, so that GEGL finds it by its name.
    return Babl.get_name(Babl.format_with_space(f"{model} float", drawable.get_format()))


def _rectangle(box: Box) -> Gegl.Rectangle:
    return Gegl.Rectangle.new(box.x, box.y, box.width, box.height)


def _read(drawable: Gimp.Drawable, box: Box, name: str | None, dtype: str, channels: int, beyond: Gegl.AbyssPolicy) -> Array:
    shape = (box.height, box.width, channels)
    if box.empty:
        return Array(dtype, shape, b"")
    # A buffer that was fetched earlier may show old pixels, so each reading fetches it again.
    return Array(dtype, shape, drawable.get_buffer().get(_rectangle(box), 1.0, name, beyond))


def _write(drawable: Gimp.Drawable, name: str, pixels: Array, channels: int) -> None:
    width, height = drawable.get_width(), drawable.get_height()
    # GEGL ignores data of the wrong length with nothing but a warning on stderr.
    if math.prod(pixels.shape) != width * height * channels or pixels.shape[:2] != (height, width):
        raise LapcvaeError(
            _('Pixels of shape {shape} do not fit the layer "{item}" of {width} x {height}.').format(
                shape=pixels.shape, item=drawable.get_name(), width=width, height=height
            ),
            _("Run install.sh again, so that the plug-in and its worker fit together."),
        )
    buffer = drawable.get_buffer()
    buffer.set(_rectangle(Box(0, 0, width, height)), name, pixels.data)
    buffer.flush()
    drawable.update(0, 0, width, height)


def _convert(pixels: Array, source: str, channels: int, target: str, target_channels: int) -> Array:
    height, width = pixels.shape[:2]
    if pixels.dtype != "f4" or pixels.shape != (height, width, channels):
        raise LapcvaeError(
            _("Colours of shape {shape} and type {dtype} cannot be converted.").format(
                shape=pixels.shape, dtype=pixels.dtype
            )
        )
    rectangle = Gegl.Rectangle.new(0, 0, width, height)
    scratch = Gegl.Buffer.new(source, 0, 0, width, height)
    scratch.set(rectangle, source, pixels.data)
    data = scratch.get(rectangle, 1.0, target, Gegl.AbyssPolicy.NONE)
    return Array("f4", (height, width, target_channels), data)


def _tables(drawable: Gimp.Drawable) -> Gimp.ColorProfile | None:
    """The image's profile if it is one of tables, without primaries and curves.

    GEGL cannot compute with such a space and takes the numbers for sRGB; only GIMP's own colour transforms know better.
    """
    profile = drawable.get_image().get_color_profile()
    if profile is None or not profile.is_rgb():
        return None
    try:
        profile.get_space(INTENT)
    except GLib.Error:
        return profile
    return None


def _by_tables(tables: Gimp.ColorProfile, pixels: Array, source: str, target: str, dtype: str, to_srgb: bool) -> Array:
    """Between the space of the tables and sRGB. `source`, `target`: GEGL's formats of the numbers; `dtype`: the new one."""
    profiles = (tables, Gimp.ColorProfile.new_rgb_srgb())
    before, after = profiles if to_srgb else profiles[::-1]
    transform = Gimp.ColorTransform.new(
        before, Babl.format(source), after, Babl.format(target), INTENT, Gimp.ColorTransformFlags.NOOPTIMIZE
    )
    height, width, channels = pixels.shape
    if not height * width:
        return Array(dtype, pixels.shape, b"")
    rectangle = Gegl.Rectangle.new(0, 0, width, height)
    old, new = (Gegl.Buffer.new(name, 0, 0, width, height) for name in (source, target))
    old.set(rectangle, source, pixels.data)
    transform.process_buffer(old, rectangle, new, rectangle)
    return Array(dtype, (height, width, channels), new.get(rectangle, 1.0, target, Gegl.AbyssPolicy.NONE))
