"""What the menu entries do: ask the runtime, then put the results into the image in one undo step."""

from __future__ import annotations

import dataclasses
import os
import time

import chosen
import layers
import records
from gi.repository import Gimp
from host import LayerHost
from images import one_undo_step
from records import Asked, CoarseRecord, Source

from lapcvae.protocol import client
from lapcvae.protocol.errors import Cancelled, LapcvaeError
from lapcvae.protocol.geometry import Frame, Size
from lapcvae.protocol.host import Host
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

# As many as the argument `seed` of GIMP's procedures can have.
SEEDS = 2**31


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
    photo = chosen.photo(image, chosen.editable_layer(image, drawables))
    request = coarse_request(photo, frame or _largest_frame(photo), level, style, model)
    return insert_coarse(image, photo, request, ask_coarse(request, LayerHost(image, photo, None, request.dtype)))


def coarse_request(photo: Gimp.Layer, frame: Frame, level: int, style: str, model: str) -> CoarseRequest:
    return CoarseRequest(layers.photo_of(photo), frame, level, style, model, layers.painting_dtype(photo))


def ask_coarse(request: CoarseRequest, host: Host) -> Coarse:
    """The slow part, which changes nothing."""
    return _only(Coarse, _ask(request, host))


def insert_coarse(image: Gimp.Image, photo: Gimp.Layer, request: CoarseRequest, coarse: Coarse) -> Gimp.Layer:
    with one_undo_step(image):
        x, y = layers.offsets(photo)
        layer = _new_layer(image, f"Coarse, {coarse.b_j.shape[1]} cells across: paint here", coarse.box, True)
        image.insert_layer(layer, photo.get_parent(), image.get_item_position(photo))
        layer.set_offsets(x + coarse.box.x, y + coarse.box.y)
        layers.write_srgb(layer, coarse.shown)
        records.attach(layer, CoarseRecord.of(coarse, request.frame, request.style, photo))
        records.attach_shown(layer, coarse.shown)
    return layer


@dataclasses.dataclass(frozen=True)
class Task:
    """One edit, ready to be asked for: what it is about in the image, and the request that was made of that."""

    image: Gimp.Image
    photo: Gimp.Layer
    painting: Gimp.Layer
    request: EditRequest
    host: LayerHost
    asked: Asked

    def check(self) -> None:
        """Raises LapcvaeError when the photo is not as it was when the task was begun; the user may do anything meanwhile.

        To be called before its pixels are touched: GIMP ends a plug-in that reads or writes a layer that is gone.
        """
        if not self.image.is_valid():
            raise LapcvaeError("The image was closed.", "Open it again and choose Generate Variants there.")
        if not self.photo.is_valid():
            raise LapcvaeError(
                "The photo layer was deleted, or what made it was undone.", "Bring it back (Edit > Undo or Redo)."
            )
        if layers.photo_of(self.photo) != self.request.photo:
            raise LapcvaeError(
                f'The photo layer "{self.photo.get_name()}" has another size or format than when this began.',
                "Undo that change, or generate variants again.",
            )

    def check_painting(self) -> None:
        """As `check`, for all that is read: also the layer that was painted on."""
        self.check()
        if not self.painting.is_valid():
            raise LapcvaeError(
                f'The layer "{self.asked.painting.name}", which was painted on, was deleted, or what made it was undone.',
                "Bring it back (Edit > Undo or Redo), or make a new coarse layer.",
            )

    def nothing_painted(self) -> LapcvaeError:
        return LapcvaeError(
            f'Nothing is painted in the layer "{self.asked.painting.name}".', "Paint on it, then generate variants again."
        )


def generate(image: Gimp.Image, drawables: list, edit: Edit) -> Gimp.GroupLayer:
    """Put a group of variants directly above the photo layer; the painting layer and older groups are hidden."""
    task = begin(image, drawables, edit)
    answers = _ask(task.request, task.host)
    prepared, variants = _only(Prepared, answers), [a for a in answers if isinstance(a, Variant)]
    if prepared.box.empty or not variants:
        raise task.nothing_painted()
    return insert(task, prepared, variants)


def begin(image: Gimp.Image, drawables: list, edit: Edit) -> Task:
    """Everything that an edit needs to know before the runtime is asked. Raises LapcvaeError for what is missing."""
    selected = chosen.editable_layer(image, drawables)
    photo = chosen.photo(image, selected)
    painting = edit.painting or chosen.painting(image, selected, photo)
    record = records.coarse_record(painting)
    request = _edit_request(photo, painting, record, edit, selection=not Gimp.Selection.is_empty(image))
    host = LayerHost(image, photo, painting, request.painting.dtype, record)
    asked = Asked(edit.settings, Source.of(painting), edit.level, edit.frame, edit.model, edit.device)
    return Task(image, photo, painting, request, host, asked)


def insert(task: Task, prepared: Prepared, variants: list[Variant]) -> Gimp.GroupLayer:
    """The variants as a group of layers, one undo step; what they cover (painting and older groups) is hidden."""
    task.check()
    image = task.image
    older = chosen.groups(image, task.photo)
    painting = [task.painting] if task.painting.is_valid() else []
    with one_undo_step(image):
        group = _insert_variants(image, task.photo, prepared, variants, task.asked)
        for hidden in (*painting, *older):
            hidden.set_visible(False)
        # GIMP selects what is inserted last; the one that is seen is what the user will paint on or keep.
        image.set_selected_layers(group.get_children()[:1])
    return group


def can_repeat(image: Gimp.Image | None, drawables: list) -> bool:
    """Whether the selected layer's photo has variants that `again` can start from."""
    selected = chosen.editable_layer(image, drawables)
    return bool(chosen.made_from(image, chosen.photo(image, selected)))


def again(image: Gimp.Image, drawables: list) -> Gimp.GroupLayer:
    """`generate` with the settings and painting of the newest variants (or the selected ones), and the next seed.

    A selected coarse layer is what counts as painting. The seed is one more than any that the photo's variants have.
    """
    selected = chosen.editable_layer(image, drawables)
    photo = chosen.photo(image, selected)
    earlier = chosen.made_from(image, photo)
    if not earlier:
        raise LapcvaeError(
            f'The layer "{photo.get_name()}" has no variants yet, so there is nothing to repeat.',
            "Select the photo layer or its coarse layer, paint, and choose Filters > LapCVAE > Generate Variants.",
        )
    last = records.asked(selected if selected in earlier else earlier[0])
    painting = selected if records.coarse_record(selected) else chosen.layer_like(image, last.painting)
    if painting is None:
        raise LapcvaeError(
            f'The layer "{last.painting.name}", which was painted on, is not in this image any more.',
            "Select another coarse layer of this photo, or make one, then generate variants.",
        )
    seed = (max(records.asked(layer).settings.seed for layer in earlier) + 1) % SEEDS
    settings = dataclasses.replace(last.settings, seed=seed)
    return generate(image, drawables, Edit(settings, painting, last.level, last.frame, last.model, last.device))


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


def _ask(request: CoarseRequest | EditRequest, host: Host) -> list:
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
    image: Gimp.Image, photo: Gimp.Layer, prepared: Prepared, variants: list[Variant], asked: Asked
) -> Gimp.GroupLayer:
    """A group directly above the photo; in it the variants, the first on top and the only visible one."""
    group = Gimp.GroupLayer.new(image, f"Variants of {photo.get_name()}")
    image.insert_layer(group, photo.get_parent(), image.get_item_position(photo))
    common = {
        "source": dataclasses.asdict(Source.of(photo)),
        "made": time.time(),
        "settings": dataclasses.asdict(asked.settings),
        "asked": {name: value for name, value in dataclasses.asdict(asked).items() if name != "settings"},
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
        own = {"index": variant.index, "seed": variant.seed, "content": layers.fingerprint(layer)}
        records.attach_facts(layer, records.VARIANT, {**common, **own})
    return group
