"""What layers remember: parasites with JSON, kept in XCF files and undone with the layer."""

from __future__ import annotations

import base64
import dataclasses
import json
import uuid
import zlib
from dataclasses import dataclass

import layers
from gi.repository import Gimp
from images import all_layers
from words import _

from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Box, Frame
from lapcvae.protocol.messages import ITEM_SIZES, LEAST_PAINT, Array, Coarse, CoarseRequest, Settings

COARSE = "lapcvae-coarse"
SHOWN = "lapcvae-shown"
VARIANT = "lapcvae-variant"
# Of an image: what tells it and its duplicates from others, to which a coarse layer may be copied.
IMAGE = "lapcvae-image"
# What counts as painted in an 8-bit layer that was converted to or from another space or curve than sRGB's: up to 11 steps
# of a first conversion and 6 of a second one are not the user's.
LEAST_PAINT_CONVERTED = 20 / 255


@dataclass(frozen=True)
class Source:
    """The photo layer: its tattoo survives renaming, name and size survive Image > Duplicate."""

    tattoo: int
    name: str
    width: int
    height: int

    @classmethod
    def of(cls, photo: Gimp.Layer) -> Source:
        return cls(photo.get_tattoo(), photo.get_name(), photo.get_width(), photo.get_height())

    def among(self, layers_: list[Gimp.Layer]) -> Gimp.Layer | None:
        """The layer of these that this most likely is; None if none is like it.

        A tattoo alone is the weakest sign: Image > Duplicate deals out new ones, so an old one can be another layer's.
        """
        same_size = [x for x in layers_ if (x.get_width(), x.get_height()) == (self.width, self.height)]
        named = [x for x in same_size if x.get_name() == self.name]
        named_only = [x for x in layers_ if x.get_name() == self.name]
        tattooed = [x for x in layers_ if x.get_tattoo() == self.tattoo]
        for found in (
            [x for x in named if x in tattooed],
            named if len(named) == 1 else [],
            [x for x in same_size if x in tattooed],
            [x for x in tattooed if x.get_name() == self.name],
            # Scaled, then duplicated: only the name is left.
            named_only if len(named_only) == 1 else [],
        ):
            if found:
                return found[0]
        return None

    def locate(self, image: Gimp.Image) -> Gimp.Layer | None:
        """The photo layer, whatever its present size; None if it is gone."""
        return self.among(pictures(image))

    def find(self, image: Gimp.Image) -> Gimp.Layer:
        """As `locate`, but LapcvaeError when there is none."""
        layer = self.locate(image)
        if layer is None:
            raise LapcvaeError(
                _('The photo layer "{layer}" that this belongs to is not in this image.').format(layer=self.name),
                _("Select the photo layer and choose Filters > LapCVAE > Generate Variants (or Make Coarse Layer) again."),
            )
        return layer


@dataclass(frozen=True)
class CoarseRecord:
    """What a coarse layer was made with. `frame` and `box` are in the photo's pixels; `b_j` as in `Coarse`."""

    frame: Frame
    box: Box
    level: int
    style: str
    # What the layer is read in: "u1" or "f4".
    dtype: str
    b_j: Array
    model: str
    model_hash: str
    source: Source

    # Where the photo's corner was in the image, and GEGL's name of the coarse layer's format.
    photo_x: int
    photo_y: int
    native: str
    # What was read: "layer" or "visible", as in `commands.Edit`.
    reads: str = "layer"
    # The mark of its image; empty where it was made before there were any.
    image: str = ""

    @classmethod
    def of(
        cls, coarse: Coarse, request: CoarseRequest, photo: Gimp.Layer, layer: Gimp.Layer, reads: str, mark: str
    ) -> CoarseRecord:
        return cls(
            request.frame, coarse.box, coarse.level, request.style, coarse.shown.dtype, coarse.b_j, coarse.model,
            coarse.model_hash, Source.of(photo), *layers.offsets(photo), layers.native_name(layer), reads, mark,
        )  # fmt: skip

    def copied_to(self, image: Gimp.Image) -> bool:
        """Whether it was made in another image."""
        return self.image not in ("", mark_of(image))


@dataclass(frozen=True)
class Shown:
    """A coarse layer as it was shown, H x W: in 8-bit sRGB, and the bytes that the layer's own format made of it.

    In 8-bit layers of another space or curve than sRGB's, sRGB comes back up to 11 steps off, and through a profile of
    tables any distance; only with this can what was painted be told from what was not.
    """

    srgb: bytes
    native: bytes

    def restored(self, pixels: Array, now: Array, box: Box, at: Box) -> Array:
        """`pixels` (H x W x 4 u1 over `box`) with exactly the shown sRGB wherever the layer's own bytes are as then.

        `now`: the layer's own pixels over `box`; `at`: where the shown picture lies, in the same coordinates as `box`.
        """
        step = now.shape[2] * ITEM_SIZES[now.dtype]
        common = box.intersection(at)
        if len(self.native) != at.width * at.height * step or common.empty:
            # The layer was scaled: nothing can be compared.
            return pixels
        data = bytearray(pixels.data)
        for y in range(common.y, common.bottom):
            here = (y - box.y) * box.width + common.x - box.x
            there = (y - at.y) * at.width + common.x - at.x
            then = self.native[there * step : (there + common.width) * step]
            for first, last in _same(now.data[here * step : (here + common.width) * step], then, step):
                data[(here + first) * 4 : (here + last) * 4] = self.srgb[(there + first) * 4 : (there + last) * 4]
        return Array("u1", pixels.shape, bytes(data))


def _same(a: bytes, b: bytes, step: int, first: int = 0):
    """The runs (first, last) of pixels of `step` bytes in which `a` and `b` agree; by halves, since runs are long."""
    count = len(a) // step
    if a == b:
        yield first, first + count
    elif count > 1:
        half = count // 2
        yield from _same(a[: half * step], b[: half * step], step, first)
        yield from _same(a[half * step :], b[half * step :], step, first + half)


def attach_shown(layer: Gimp.Layer, shown: Array) -> None:
    """Remember what was shown, where the layer's own format does not keep it. Call it before anything is painted."""
    if not layers.keeps_srgb(layer):
        native = layers.read_native(layer, Box(0, 0, layer.get_width(), layer.get_height()))
        _attach(layer, SHOWN, base64.b64encode(zlib.compress(shown.data + native.data, 6)))


def shown(layer: Gimp.Layer, record: CoarseRecord) -> Shown | None:
    """What can be restored from the coarse layer's own bytes; None where it need not or cannot."""
    parasite = layer.get_parasite(SHOWN)
    if parasite is None or layers.native_name(layer) != record.native:
        return None
    split = record.box.width * record.box.height * 4
    try:
        packed = base64.b64decode(_data(parasite))
        # No more than there can be, whatever a file claims.
        data = zlib.decompressobj().decompress(packed, split + split * max(ITEM_SIZES.values()))
    except (ValueError, zlib.error) as error:
        raise _unreadable(layer) from error
    return Shown(data[:split], data[split:])


def least_paint(record: CoarseRecord, layer: Gimp.Layer, scale: float) -> float:
    """`Painting.least` of a coarse layer that is `scale` times as large as it was."""
    restored = layers.native_name(layer) == record.native and scale == 1
    kept = layers.keeps_srgb(layer) and layer.get_parasite(SHOWN) is None
    return LEAST_PAINT if restored or kept else LEAST_PAINT_CONVERTED


def mark_of(image: Gimp.Image) -> str:
    """Empty: it has none yet."""
    parasite = image.get_parasite(IMAGE)
    return _data(parasite).decode("ascii", "replace") if parasite else ""


def new_mark() -> str:
    return uuid.uuid4().hex


def attach_mark(image: Gimp.Image, mark: str) -> None:
    image.attach_parasite(_parasite(IMAGE, mark.encode()))


def attach(layer: Gimp.Layer, record: CoarseRecord) -> None:
    b_j = record.b_j
    packed = {"dtype": b_j.dtype, "shape": b_j.shape, "data": base64.b64encode(b_j.data).decode()}
    attach_facts(layer, COARSE, {**dataclasses.asdict(dataclasses.replace(record, b_j=None)), "b_j": packed})


def attach_facts(layer: Gimp.Layer, name: str, values: dict) -> None:
    _attach(layer, name, json.dumps(values).encode())


def _data(parasite: Gimp.Parasite) -> bytes:
    return bytes(parasite.get_data()).rstrip(b"\0")


def _attach(layer: Gimp.Layer, name: str, data: bytes) -> None:
    layer.attach_parasite(_parasite(name, data))


def _parasite(name: str, data: bytes) -> Gimp.Parasite:
    """`data` must be ASCII: PyGObject takes the bytes of a parasite for signed numbers and refuses others."""
    # Without UNDOABLE the user's Ctrl+Z would complain that the parasite cannot be taken away.
    return Gimp.Parasite.new(name, Gimp.PARASITE_PERSISTENT | Gimp.PARASITE_UNDOABLE, data)


def facts(layer: Gimp.Layer, name: str) -> dict | None:
    parasite = layer.get_parasite(name)
    return json.loads(_data(parasite)) if parasite else None


def coarse_record(layer: Gimp.Layer) -> CoarseRecord | None:
    """What the layer remembers of being made by Make Coarse Layer; None for any other layer."""
    try:
        found = facts(layer, COARSE)
        if found is None:
            return None
        b_j = found.pop("b_j")
        array = Array(b_j["dtype"], tuple(b_j["shape"]), base64.b64decode(b_j["data"]))
        frame, box, source = Frame(**found.pop("frame")), Box(**found.pop("box")), Source(**found.pop("source"))
        return CoarseRecord(frame=frame, box=box, source=source, b_j=array, **found)
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(layer) from error


def _unreadable(layer: Gimp.Layer) -> LapcvaeError:
    return LapcvaeError(
        _('What the layer "{layer}" remembers cannot be read.').format(layer=layer.get_name()), _("Make a new coarse layer.")
    )


def variant_source(layer: Gimp.Layer) -> Source | None:
    """The photo that a variant (or the group of variants) belongs to; None for any other layer."""
    try:
        found = facts(layer, VARIANT)
        return Source(**found["source"]) if found else None
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable_variant(layer) from error


def _unreadable_variant(layer: Gimp.Layer) -> LapcvaeError:
    return LapcvaeError(
        _('What the layer "{layer}" remembers cannot be read.').format(layer=layer.get_name()),
        _("Select the photo layer, then try again."),
    )


@dataclass(frozen=True)
class Asked:
    """What a group of variants was asked with: enough to ask again. `level`, `frame` and `model` as in `Edit`."""

    settings: Settings
    painting: Source
    level: int
    frame: Frame | None
    model: str
    device: str
    # What was read of the photo: "layer" or "visible".
    source: str = "layer"


def asked(layer: Gimp.Layer) -> Asked:
    """What the variant or group of variants was asked with. Raises LapcvaeError where that cannot be read."""
    try:
        found = facts(layer, VARIANT)
        rest = dict(found["asked"])
        painting, frame = Source(**rest.pop("painting")), rest.pop("frame")
        return Asked(Settings(**found["settings"]), painting, frame=Frame(**frame) if frame else None, **rest)
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable_variant(layer) from error


def made(layer: Gimp.Layer) -> float:
    """When a variant or its group was made, in seconds; 0 where that is not known."""
    when = (facts(layer, VARIANT) or {}).get("made")
    return when if isinstance(when, float) else 0.0


def seal(variant: Gimp.Layer, photo: Gimp.Layer, common: dict, own: dict) -> None:
    """Remember the facts of a new variant (or of its group), and what it is like, so that a change can be told."""
    attach_facts(variant, VARIANT, {**common, **own, "name": variant.get_name(), "at": _whereabouts(variant, photo)})


def _whereabouts(layer: Gimp.Layer, photo: Gimp.Layer | None) -> list[list[int]]:
    """Where the layer is, in the image and from the photo's corner."""
    (x, y), (photo_x, photo_y) = layers.offsets(layer), layers.offsets(photo) if photo else (0, 0)
    return [[x, y], [x - photo_x, y - photo_y]]


def changed(variant: Gimp.Layer, photo: Gimp.Layer | None) -> bool:
    """Whether the user changed, moved or renamed the variant since it was made; also where that cannot be told.

    That it moved together with its photo is no change; without the photo, its place in the image counts.
    """
    try:
        then = facts(variant, VARIANT) or {}
        moved = then["at"][photo is not None] != _whereabouts(variant, photo)[photo is not None]
        return moved or then["name"] != variant.get_name() or then["content"] != layers.fingerprint(variant)
    except (ValueError, KeyError, TypeError, IndexError):
        return True


def changed_group(group: Gimp.GroupLayer) -> bool:
    """Whether the user gave the group of variants a name, a mask or a look of its own."""
    name = (facts(group, VARIANT) or {}).get("name")
    return name != group.get_name() or group.get_mask() is not None or bool(layers.unlike_its_pixels(group))


def added(layer: Gimp.Layer) -> bool:
    """Whether the layer is there to work with, not to be looked at: a coarse layer or a group of variants."""
    return layer.get_parasite(COARSE) is not None or (layer.is_group() and layer.get_parasite(VARIANT) is not None)


def pictures(image: Gimp.Image) -> list[Gimp.Layer]:
    """The layers that can be somebody's photo, from top to bottom: with pixels, and not made by this plug-in."""
    return [x for x in all_layers(image) if not remembers(x)]


def remembers(layer: Gimp.Layer) -> bool:
    """Whether the layer is one that this plug-in made."""
    return any(layer.get_parasite(name) is not None for name in (COARSE, VARIANT))
