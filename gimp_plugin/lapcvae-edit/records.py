"""What layers remember: parasites with JSON, kept in XCF files and undone with the layer."""

from __future__ import annotations

import base64
import dataclasses
import json
import zlib
from dataclasses import dataclass

import layers
from gi.repository import Gimp
from images import all_layers

from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Box, Frame
from lapcvae.protocol.messages import Array, Coarse, Settings

COARSE = "lapcvae-coarse"
SHOWN = "lapcvae-shown"
VARIANT = "lapcvae-variant"


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
        tattooed = [x for x in layers_ if x.get_tattoo() == self.tattoo]
        for found in (
            [x for x in named if x in tattooed],
            named if len(named) == 1 else [],
            [x for x in same_size if x in tattooed],
            [x for x in tattooed if x.get_name() == self.name],
        ):
            if found:
                return found[0]
        return None

    def locate(self, image: Gimp.Image) -> Gimp.Layer | None:
        """The photo layer, whatever its present size; None if it is gone."""
        return self.among([x for x in all_layers(image) if not remembers(x)])

    def find(self, image: Gimp.Image) -> Gimp.Layer:
        """The photo layer, unchanged in size. Raises LapcvaeError when there is none."""
        layer = self.locate(image)
        if layer and (layer.get_width(), layer.get_height()) == (self.width, self.height):
            return layer
        if layer:
            cause = f'The photo layer "{self.name}" no longer has the {self.width} x {self.height} pixels it had.'
        else:
            cause = f'The photo layer "{self.name}" that this belongs to is not in this image.'
        raise LapcvaeError(cause, "Select the photo layer and choose Filters > LapCVAE > Make Coarse Layer again.")


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

    @classmethod
    def of(cls, coarse: Coarse, frame: Frame, style: str, photo: Gimp.Layer) -> CoarseRecord:
        return cls(
            frame, coarse.box, coarse.level, style, coarse.shown.dtype, coarse.b_j, coarse.model, coarse.model_hash,
            Source.of(photo),
        )  # fmt: skip

    def moved_by(self, layer: Gimp.Layer, photo: Gimp.Layer) -> tuple[int, int]:
        """How far the coarse layer was moved against the photo since."""
        if (layer.get_width(), layer.get_height()) != (self.box.width, self.box.height):
            # Grown or cropped around what is painted (GIMP's brushes can do that), so its corner says nothing.
            return 0, 0
        (x, y), (photo_x, photo_y) = layers.offsets(layer), layers.offsets(photo)
        return x - photo_x - self.box.x, y - photo_y - self.box.y

    def present_frame(self, layer: Gimp.Layer, photo: Gimp.Layer) -> Frame:
        dx, dy = self.moved_by(layer, photo)
        return dataclasses.replace(self.frame, cx=self.frame.cx + dx, cy=self.frame.cy + dy)


@dataclass(frozen=True)
class Shown:
    """A coarse layer as it was shown, H x W: in 8-bit sRGB, and the bytes that the layer's own format made of it.

    In 8-bit layers of another space or curve than sRGB's, sRGB comes back up to 11 steps off; only with this can what
    was painted be told from what was not.
    """

    srgb: bytes
    native: bytes

    def restored(self, pixels: Array, now: Array, box: Box, at: Box) -> Array:
        """`pixels` (H x W x 4 u1 over `box`) with exactly the shown sRGB wherever the layer's own bytes are as then.

        `now`: the layer's own pixels over `box`; `at`: where the shown picture lies, in the same coordinates as `box`.
        """
        step = now.shape[2]
        common = box.intersection(at)
        if now.dtype != "u1" or len(self.native) != at.width * at.height * step or common.empty:
            # The image's precision was changed, or the alpha channel removed: nothing can be compared.
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


def shown(layer: Gimp.Layer) -> Shown | None:
    parasite = layer.get_parasite(SHOWN)
    record = coarse_record(layer)
    if parasite is None or record is None:
        return None
    split = record.box.width * record.box.height * 4
    try:
        packed = base64.b64decode(_data(parasite))
        # No more than there can be, whatever a file claims.
        data = zlib.decompressobj().decompress(packed, 2 * split)
    except (ValueError, zlib.error) as error:
        raise _unreadable(layer) from error
    return Shown(data[:split], data[split:])


def attach(layer: Gimp.Layer, record: CoarseRecord) -> None:
    b_j = record.b_j
    packed = {"dtype": b_j.dtype, "shape": b_j.shape, "data": base64.b64encode(b_j.data).decode()}
    attach_facts(layer, COARSE, {**dataclasses.asdict(dataclasses.replace(record, b_j=None)), "b_j": packed})


def attach_facts(layer: Gimp.Layer, name: str, values: dict) -> None:
    _attach(layer, name, json.dumps(values).encode())


def _data(parasite: Gimp.Parasite) -> bytes:
    return bytes(parasite.get_data()).rstrip(b"\0")


def _attach(layer: Gimp.Layer, name: str, data: bytes) -> None:
    """`data` must be ASCII: PyGObject takes the bytes of a parasite for signed numbers and refuses others."""
    # Without UNDOABLE the user's Ctrl+Z would complain that the parasite cannot be taken away.
    layer.attach_parasite(Gimp.Parasite.new(name, Gimp.PARASITE_PERSISTENT | Gimp.PARASITE_UNDOABLE, data))


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
    return LapcvaeError(f'What the layer "{layer.get_name()}" remembers cannot be read.', "Make a new coarse layer.")


def variant_source(layer: Gimp.Layer) -> Source | None:
    """The photo that a variant (or the group of variants) belongs to; None for any other layer."""
    try:
        found = facts(layer, VARIANT)
        return Source(**found["source"]) if found else None
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable_variant(layer) from error


def _unreadable_variant(layer: Gimp.Layer) -> LapcvaeError:
    return LapcvaeError(
        f'What the layer "{layer.get_name()}" remembers cannot be read.', "Select the photo layer, then try again."
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


def changed(variant: Gimp.Layer) -> bool:
    """Whether the user changed the variant or its mask since it was made; also where that cannot be told."""
    try:
        return (facts(variant, VARIANT) or {}).get("content") != layers.fingerprint(variant)
    except ValueError:
        return True


def remembers(layer: Gimp.Layer) -> bool:
    """Whether the layer is one that this plug-in made."""
    return any(layer.get_parasite(name) is not None for name in (COARSE, VARIANT))

