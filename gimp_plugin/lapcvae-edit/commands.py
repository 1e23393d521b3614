"""What the menu entries do: ask the runtime, then put the results into the image in one undo step."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator

import layers
import records
from gi.repository import Gimp
from host import LayerHost
from lapcvae.protocol import client
from lapcvae.protocol.errors import Cancelled, LapcvaeError
from lapcvae.protocol.geometry import Frame, Size
from lapcvae.protocol.messages import (
    Coarse,
    CoarseRequest,
    EditRequest,
    Painting,
    Prepared,
    Progress,
    Settings,
    Variant,
)
from records import CoarseRecord, Source


@dataclasses.dataclass(frozen=True)
class Edit:
    """What *Generate Variants* is told: the settings, what paints (None: the coarse layer), and for strokes where."""

    settings: Settings
    painting: Gimp.Layer | None = None
    level: int = 0
    frame: Frame | None = None
    model: str = ""
    device: str = "auto"


def make_coarse(
    image: Gimp.Image, drawables: list, level: int, frame: Frame | None, style: str, model: str
) -> Gimp.Layer:
    """Put a coarse layer to paint on directly above the photo layer. `frame` None: the largest centred square."""
    photo = _photo(image, _selected_layer(image, drawables))
    request = CoarseRequest(
        layers.photo_of(photo), frame or _largest_frame(photo), level, style, model, layers.painting_dtype(photo)
    )
    coarse = _only(Coarse, _ask(request, LayerHost(image, photo, None, request.dtype)))
    with _one_undo_step(image):
        x, y = layers.offsets(photo)
        layer = _new_layer(image, f"Coarse, {coarse.b_j.shape[1]} cells across: paint here", coarse.box, True)
        image.insert_layer(layer, photo.get_parent(), image.get_item_position(photo))
        layer.set_offsets(x + coarse.box.x, y + coarse.box.y)
        layers.write_srgb(layer, coarse.shown)
        records.attach(layer, CoarseRecord.of(coarse, request.frame, style, photo))
        records.attach_shown(layer, coarse.shown)
    return layer


def generate(image: Gimp.Image, drawables: list, edit: Edit) -> Gimp.GroupLayer:
    """Put a group of variants directly above the photo layer; the painting layer is hidden."""
    selected = _selected_layer(image, drawables)
    photo = _photo(image, selected)
    painting = edit.painting or _painting(image, selected, photo)
    record = records.coarse_record(painting)
    request = _edit_request(photo, painting, record, edit, selection=not Gimp.Selection.is_empty(image))
    answers = _ask(request, LayerHost(image, photo, painting, request.painting.dtype, record))
    prepared, variants = _only(Prepared, answers), [a for a in answers if isinstance(a, Variant)]
    if prepared.box.empty or not variants:
        raise LapcvaeError(
            f'Nothing is painted in the layer "{painting.get_name()}".', "Paint on it, then generate variants again."
        )
    with _one_undo_step(image):
        group = _insert_variants(image, photo, prepared, variants, request.settings)
        painting.set_visible(False)
    return group


# ------------------------------------------------------------------------------------------------- which layers


def _selected_layer(image: Gimp.Image | None, drawables: list) -> Gimp.Layer:
    """The one selected layer that can be edited, or what is in the way."""
    if image is None:
        raise LapcvaeError("No image is open.", "Open a photo, then choose this menu entry again.")
    if image.get_base_type() == Gimp.ImageBaseType.INDEXED:
        raise LapcvaeError(
            "This image has indexed colours, which cannot hold new ones.", "Choose Image > Mode > RGB, then try again."
        )
    if len(drawables) != 1:
        found = f"{len(drawables)} layers are" if drawables else "No layer is"
        raise LapcvaeError(f"{found} selected.", "Select the one photo layer (or its coarse layer), then try again.")
    drawable = drawables[0]
    if not isinstance(drawable, Gimp.Layer):
        raise LapcvaeError(
            f'"{drawable.get_name()}" is a mask or channel, not a layer.',
            "Click the photo layer's picture, then try again.",
        )
    if drawable.is_group() and not records.remembers(drawable):
        raise LapcvaeError(
            f'"{drawable.get_name()}" is a layer group.', "Select the photo layer in it, then try again."
        )
    return drawable


def _photo(image: Gimp.Image, selected: Gimp.Layer) -> Gimp.Layer:
    """The photo layer: the selected one, or the one that a selected coarse layer or variant belongs to."""
    record = records.coarse_record(selected)
    source = record.source if record else records.variant_source(selected)
    return source.find(image) if source else selected


def _painting(image: Gimp.Image, selected: Gimp.Layer, photo: Gimp.Layer) -> Gimp.Layer:
    """The layer that was painted on: the selected coarse layer, else the topmost one of this photo."""
    if records.coarse_record(selected):
        return selected
    for layer in records.all_layers(image):
        record = records.coarse_record(layer)
        # The source is looked for, not compared: a duplicated image has new tattoos.
        with contextlib.suppress(LapcvaeError):
            if record and record.source.find(image) == photo:
                return layer
    raise LapcvaeError(
        f'The layer "{photo.get_name()}" has no coarse layer.',
        "Choose Filters > LapCVAE > Make Coarse Layer, paint on the new layer, then generate variants.",
    )


# -------------------------------------------------------------------------------------------------- the request


def _largest_frame(photo: Gimp.Layer) -> Frame:
    return Frame.largest_centred(Size(photo.get_width(), photo.get_height()))


def _edit_request(
    photo: Gimp.Layer, painting: Gimp.Layer, record: CoarseRecord | None, edit: Edit, selection: bool
) -> EditRequest:
    if record:
        frame, level, model = record.present_frame(painting, photo), record.level, edit.model or record.model
        painted = Painting("coarse", record.dtype, record.style, record.b_j)
    else:
        if painting == photo or not painting.has_alpha():
            raise LapcvaeError(
                f'The layer "{painting.get_name()}" is no layer of strokes on transparency.',
                "Paint on a new transparent layer above the photo, or on a coarse layer.",
            )
        frame, level, model = edit.frame or _largest_frame(photo), edit.level, edit.model
        painted = Painting("strokes", layers.painting_dtype(painting))
    return EditRequest(
        layers.photo_of(photo),
        frame,
        level,
        painted,
        edit.settings,
        model,
        edit.device,
        layers.mask_dtype(photo),
        selection,
    )


def _ask(request: CoarseRequest | EditRequest, host: LayerHost) -> list:
    """Everything the runtime answers but its progress, which GIMP shows."""
    answers = []
    # The worker should end after GIMP does, not after this short process.
    with client.connect(client_pid=os.getppid()) as connection:
        for message in connection.ask(request, host):
            if isinstance(message, Progress):
                host.progress(message.done, message.text)
            else:
                answers.append(message)
            if isinstance(message, Prepared) and message.box.empty:
                # Nothing can change, so there is nothing to wait for.
                return answers
        if connection.done and connection.done.cancelled and not any(isinstance(a, Variant) for a in answers):
            raise Cancelled()
    return answers


def _only(kind: type, answers: list):
    found = [a for a in answers if isinstance(a, kind)]
    if len(found) != 1:
        raise LapcvaeError(
            f"The worker sent {len(found)} answers of the kind {kind.__name__}, not one.",
            "Run install.sh again, so that the plug-in and its worker fit together.",
        )
    return found[0]


# --------------------------------------------------------------------------------------------------- the layers


@contextlib.contextmanager
def _one_undo_step(image: Gimp.Image) -> Iterator[None]:
    """Everything inside is one Ctrl+Z; what a failure leaves behind is taken away again."""
    before = {layer.get_id() for layer in _with_groups(image.get_layers())}
    image.undo_group_start()
    try:
        yield
    except BaseException:
        for layer in _with_groups(image.get_layers()):
            # A group takes its children with it.
            if layer.get_id() not in before and layer.is_valid():
                image.remove_layer(layer)
        raise
    finally:
        image.undo_group_end()
        Gimp.displays_flush()


def _with_groups(layers_: list) -> list:
    return [x for layer in layers_ for x in (layer, *(_with_groups(layer.get_children()) if layer.is_group() else ()))]


def _new_layer(image: Gimp.Image, name: str, box, alpha: bool) -> Gimp.Layer:
    kinds = {
        (Gimp.ImageBaseType.RGB, False): Gimp.ImageType.RGB_IMAGE,
        (Gimp.ImageBaseType.RGB, True): Gimp.ImageType.RGBA_IMAGE,
        (Gimp.ImageBaseType.GRAY, False): Gimp.ImageType.GRAY_IMAGE,
        (Gimp.ImageBaseType.GRAY, True): Gimp.ImageType.GRAYA_IMAGE,
    }
    kind = kinds[image.get_base_type(), alpha]
    return Gimp.Layer.new(image, name, box.width, box.height, kind, 100.0, Gimp.LayerMode.NORMAL)


def _insert_variants(
    image: Gimp.Image, photo: Gimp.Layer, prepared: Prepared, variants: list[Variant], settings: Settings
) -> Gimp.GroupLayer:
    """A group directly above the photo; in it the variants, the first on top and the only visible one."""
    group = Gimp.GroupLayer.new(image, f"Variants of {photo.get_name()}")
    image.insert_layer(group, photo.get_parent(), image.get_item_position(photo))
    common = {
        "source": dataclasses.asdict(Source.of(photo)),
        "settings": dataclasses.asdict(settings),
        "level": prepared.level,
        "model": prepared.model,
        "model_hash": prepared.model_hash,
        "provider": prepared.provider,
    }
    records.attach_facts(group, records.VARIANT, common)
    x, y = layers.offsets(photo)
    for position, variant in enumerate(variants):
        layer = _new_layer(image, f"Variant {variant.index + 1}", prepared.box, photo.has_alpha())
        layer.set_visible(position == 0)
        image.insert_layer(layer, group, position)
        layer.set_offsets(x + prepared.box.x, y + prepared.box.y)
        layers.write_native(layer, variant.pixels)
        mask = layer.create_mask(Gimp.AddMaskType.BLACK)
        layer.add_mask(mask)
        layers.write_mask(mask, prepared.mask)
        # Painting goes to the picture unless the user clicks the mask.
        layer.set_edit_mask(False)
        records.attach_facts(layer, records.VARIANT, {**common, "index": variant.index, "seed": variant.seed})
    return group
