"""What the menu entries do: ask the runtime, then put the results into the image in one undo step."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Iterator

import chosen
import layers
import places
import records
import seen
from gi.repository import Gimp
from host import LayerHost
from images import one_undo_step
from lapcvae.protocol import client
from lapcvae.protocol.errors import Cancelled, LapcvaeError
from lapcvae.protocol.geometry import Box, Frame, Size
from lapcvae.protocol.messages import (
    Coarse,
    CoarseRequest,
    EditRequest,
    Painting,
    Photo,
    Prepared,
    Progress,
    Settings,
    Variant,
)
from records import Asked, CoarseRecord, Source

# As many as the argument `seed` of GIMP's procedures can have.
SEEDS = 2**31
# Which layers the user was told of; gone when GIMP ends.
TOLD = "lapcvae-told"


@dataclasses.dataclass(frozen=True)
class Edit:
    """What *Generate Variants* is told: the settings, what paints (None: the coarse layer), and for strokes where."""

    settings: Settings
    painting: Gimp.Layer | None = None
    level: int = 0
    frame: Frame | None = None
    model: str = ""
    device: str = "auto"
    # What is read: "layer" (the photo layer's own pixels), "visible" (what is seen of it, with filters, mask, mode and
    # opacity over the layers below) or "auto" (what the coarse layer was made of; with strokes, the layer).
    source: str = "auto"


def make_coarse(
    image: Gimp.Image, drawables: list, level: int, frame: Frame | None, style: str, model: str, source: str = "layer"
) -> Gimp.Layer:
    """Put a coarse layer to paint on directly above the photo layer; what would cover it is hidden.

    `frame` None: the largest centred square. `source`: "layer" or "visible", as in `Edit`.
    """
    photo = chosen.photo(image, chosen.editable_layer(image, drawables))
    _require_paintable(photo.get_parent())
    base = chosen.base(image, photo, source)
    before = _described(photo, source)
    request = CoarseRequest(before, frame or _largest_frame(photo), level, style, model, layers.painting_dtype(photo))
    host = LayerHost(image, photo, None, request.dtype, below=base if source == "visible" else None)
    coarse = _only(Coarse, _ask(request, host))
    _require_unchanged(image, photo, before, source)
    layer = _new_layer(image, f"Coarse, {coarse.b_j.shape[1]} cells across: paint here", coarse.box, photo, True)
    with _deleted_on_failure([layer]):
        layers.write_srgb(layer, coarse.shown)
        records.attach(layer, CoarseRecord.of(coarse, request, photo, layer, source))
        records.attach_shown(layer, coarse.shown)
    covering = [*chosen.coarse_layers(image, photo), *chosen.groups(image, photo)]
    with one_undo_step(image):
        for hidden in covering:
            hidden.set_visible(False)
        _insert(image, layer, base.get_parent(), image.get_item_position(base))
    if source == "layer":
        _tell_what_is_not_read(photo)
    return layer


def generate(image: Gimp.Image, drawables: list, edit: Edit) -> Gimp.GroupLayer:
    """Put a group of variants directly above the photo layer; the painting layer and older groups are hidden."""
    selected = chosen.editable_layer(image, drawables)
    photo = chosen.photo(image, selected)
    painting = edit.painting or chosen.painting(image, selected, photo)
    record = records.coarse_record(painting)
    source = edit.source if edit.source != "auto" else record.reads if record else "layer"
    base = chosen.base(image, photo, source)
    before = _described(photo, source)
    request = _edit_request(image, photo, before, painting, record, edit)
    host = LayerHost(
        image, photo, painting, request.painting.dtype, record, below=base if source == "visible" else None
    )
    answers = _ask(request, host)
    prepared, variants = _only(Prepared, answers), [a for a in answers if isinstance(a, Variant)]
    if prepared.box.empty or not variants:
        raise LapcvaeError(
            f'Nothing is painted in the layer "{painting.get_name()}".', "Paint on it, then generate variants again."
        )
    _require_unchanged(image, photo, before, source)
    asked = Asked(edit.settings, Source.of(painting), edit.level, edit.frame, edit.model, edit.device, source)
    group = _put_variants(image, photo, base, prepared, variants, asked, [painting, *chosen.groups(image, photo)])
    if source == "layer":
        _tell_what_is_not_read(photo)
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
    from_layer = selected if selected in earlier else earlier[0]
    last = records.asked(from_layer)
    painting = selected if records.coarse_record(selected) else chosen.layer_like(image, last.painting)
    if painting is None:
        raise LapcvaeError(
            f'The layer "{last.painting.name}", which was painted on, is not in this image any more.',
            "Select another coarse layer of this photo, or make one, then generate variants.",
        )
    seed = (max(records.asked(layer).settings.seed for layer in earlier) + 1) % SEEDS
    settings = dataclasses.replace(last.settings, seed=seed)
    frame = _frame_now(last.frame, records.variant_source(from_layer), photo)
    edit = Edit(settings, painting, last.level, frame, last.model, last.device, last.source)
    return generate(image, drawables, edit)


# -------------------------------------------------------------------------------------------------- the request


def _largest_frame(photo: Gimp.Layer) -> Frame:
    return Frame.largest_centred(Size(photo.get_width(), photo.get_height()))


def _require_paintable(group: Gimp.Layer | None) -> None:
    """GIMP lets nobody paint in a group with locked content."""
    while group is not None:
        if group.get_lock_content():
            raise LapcvaeError(
                f'The pixels of the layer group "{group.get_name()}" are locked, so a coarse layer in it could not be '
                "painted on.",
                "Unlock them (in the Layers dialog), then try again.",
            )
        group = group.get_parent()


def _described(photo: Gimp.Layer, source: str) -> Photo:
    return seen.photo_of(photo) if source == "visible" else layers.photo_of(photo)


def _require_unchanged(image: Gimp.Image, photo: Gimp.Layer, before: Photo, source: str) -> None:
    """The user goes on working while the runtime does; what came back must still fit."""
    if not (image.is_valid() and photo.is_valid() and _described(photo, source) == before):
        raise LapcvaeError(
            "The photo layer was changed or removed while LapCVAE was at work, so the result does not fit it any more.",
            "Choose the menu entry again.",
        )


def _frame_now(frame: Frame | None, then: Source, photo: Gimp.Layer) -> Frame | None:
    """The frame that was given for a photo of then's size, in the photo's present pixels."""
    across, down = photo.get_width() / then.width, photo.get_height() / then.height
    if frame is None or across == down == 1:
        return frame
    if abs(across - down) > 1 / then.width + 1 / then.height:
        raise LapcvaeError(
            f'The photo layer "{photo.get_name()}" was cropped, turned or stretched since its last variants.',
            "Choose Filters > LapCVAE > Generate Variants and say where the frame is now.",
        )
    return Frame(frame.cx * across, frame.cy * down, frame.side * (across + down) / 2, frame.angle)


def _edit_request(
    image: Gimp.Image, photo: Gimp.Layer, described: Photo, painting: Gimp.Layer, record: CoarseRecord | None, edit: Edit
) -> EditRequest:
    if record:
        place = places.place(record, painting, photo, image)
        frame, level, model = place.frame, record.level, edit.model or record.model
        least = records.least_paint(record, painting, place.scale)
        painted = Painting("coarse", record.dtype, record.style, record.b_j, least, place.scale, place.doubtful)
    else:
        if painting == photo or not painting.has_alpha():
            raise LapcvaeError(
                f'The layer "{painting.get_name()}" is no layer of strokes on transparency.',
                "Paint on a new transparent layer above the photo, or on a coarse layer.",
            )
        frame, level, model = edit.frame or _largest_frame(photo), edit.level, edit.model
        painted = Painting("strokes", layers.painting_dtype(painting))
    return EditRequest(
        described, frame, level, painted, edit.settings, model, edit.device, layers.mask_dtype(photo),
        selection=not Gimp.Selection.is_empty(image),
    )  # fmt: skip


def _tell_what_is_not_read(photo: Gimp.Layer) -> None:
    """Say, once in a session of GIMP, that the photo looks different from the pixels that were read."""
    found, kept = layers.unlike_its_pixels(photo), Gimp.get_parasite(TOLD)
    told = json.loads(bytes(kept.get_data()).rstrip(b"\0")) if kept else []
    if not found or photo.get_id() in told:
        return
    Gimp.attach_parasite(Gimp.Parasite.new(TOLD, 0, json.dumps([*told, photo.get_id()]).encode()))
    Gimp.message(
        f'The layer "{photo.get_name()}" has {" and ".join(found)}, so it looks different from the pixels that it holds; '
        'LapCVAE read those pixels. To start from what is seen, choose the source "What is visible".'
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


def _new_layer(image: Gimp.Image, name: str, box: Box, photo: Gimp.Layer, alpha: bool) -> Gimp.Layer:
    """A layer over `box` of the photo, not yet in the image.

    It has to be filled and moved before it is inserted: in a group whose content or position is locked, GIMP does neither,
    and ends a plug-in that tries to write.
    """
    kinds = {
        (Gimp.ImageBaseType.RGB, False): Gimp.ImageType.RGB_IMAGE,
        (Gimp.ImageBaseType.RGB, True): Gimp.ImageType.RGBA_IMAGE,
        (Gimp.ImageBaseType.GRAY, False): Gimp.ImageType.GRAY_IMAGE,
        (Gimp.ImageBaseType.GRAY, True): Gimp.ImageType.GRAYA_IMAGE,
    }
    kind = kinds[image.get_base_type(), alpha]
    layer = Gimp.Layer.new(image, name, box.width, box.height, kind, 100.0, Gimp.LayerMode.NORMAL)
    x, y = layers.offsets(photo)
    layer.set_offsets(x + box.x, y + box.y)
    return layer


@contextlib.contextmanager
def _deleted_on_failure(new: list[Gimp.Layer]) -> Iterator[None]:
    """For layers that are not in the image yet: nothing else would ever free them."""
    try:
        yield
    except BaseException:
        for layer in new:
            layer.delete()
        raise


def _insert(image: Gimp.Image, layer: Gimp.Layer, parent: Gimp.Layer | None, position: int) -> None:
    if not image.insert_layer(layer, parent, position):
        raise LapcvaeError(
            f'GIMP does not let the layer "{layer.get_name()}" into the image.', "Look at its message, then try again."
        )


def _put_variants(
    image: Gimp.Image, photo: Gimp.Layer, base: Gimp.Layer, prepared: Prepared, variants: list[Variant], asked: Asked,
    hide: list[Gimp.Layer],
) -> Gimp.GroupLayer:  # fmt: skip
    """A group directly above `base`; in it the variants, the first on top and the only visible one. `hide` is hidden."""
    new, own = [], []
    alpha = photo.has_alpha() or asked.source == "visible"
    with _deleted_on_failure(new):
        for variant in variants:
            layer = _new_layer(image, f"Variant {variant.index + 1}", prepared.box, photo, alpha)
            new.append(layer)
            layer.set_visible(variant is variants[0])
            layers.write_native(layer, variant.pixels)
            mask = layer.create_mask(Gimp.AddMaskType.BLACK)
            layer.add_mask(mask)
            layers.write_mask(mask, prepared.mask)
            # Painting goes to the picture unless the user clicks the mask.
            layer.set_edit_mask(False)
            own.append({"index": variant.index, "seed": variant.seed, "content": layers.fingerprint(layer)})
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
    with one_undo_step(image):
        group = Gimp.GroupLayer.new(image, f"Variants of {photo.get_name()}")
        _insert(image, group, base.get_parent(), image.get_item_position(base))
        for position, (layer, facts) in enumerate(zip(new, own, strict=True)):
            _insert(image, layer, group, position)
            records.seal(layer, photo, common, facts)
        records.seal(group, photo, common, {})
        for hidden in hide:
            hidden.set_visible(False)
        # GIMP selects what is inserted last; the one that is seen is what the user will paint on or keep.
        image.set_selected_layers(new[:1])
    return group
