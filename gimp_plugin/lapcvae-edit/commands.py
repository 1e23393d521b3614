"""What the menu entries do: ask the runtime, then put the results into the image in one undo step."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
from collections.abc import Iterable, Iterator

import chosen
import frames
import insertion
import layers
import places
import records
import seen
from gi.repository import Gimp
from host import LayerHost
from records import Asked, CoarseRecord, Source
from words import _

from lapcvae.protocol import client
from lapcvae.protocol.errors import Cancelled, LapcvaeError
from lapcvae.protocol.geometry import Frame
from lapcvae.protocol.host import Host
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
    # opacity over the layers below) or "auto" (what the coarse layer was made of; with strokes, as `chosen.reads`).
    source: str = "auto"


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be asked for, and what it is about in the image: the photo, and the layer `base` that results go above.

    `reads`: "layer" or "visible", as `Edit.source`.
    """

    image: Gimp.Image
    photo: Gimp.Layer
    base: Gimp.Layer
    reads: str
    request: CoarseRequest | EditRequest
    host: LayerHost

    def check(self) -> None:
        """Raises LapcvaeError when the photo is not as it was when the task was begun; the user may do anything meanwhile.

        To be called before its pixels are touched: GIMP ends a plug-in that reads or writes a layer that is gone.
        """
        if not self.image.is_valid():
            raise LapcvaeError(_("The image was closed."), _("Open it again and choose the menu entry there."))
        if not self.photo.is_valid():
            raise LapcvaeError(
                _("The photo layer was deleted, or what made it was undone."), _("Bring it back (Edit > Undo or Redo).")
            )
        if _described(self.photo, self.reads) != self.request.photo:
            raise LapcvaeError(
                _('The photo layer "{layer}" has another size or format than when this began.').format(
                    layer=self.photo.get_name()
                ),
                _("Undo that change, or choose the menu entry again."),
            )


@dataclasses.dataclass(frozen=True)
class EditTask(Task):
    """An edit; `painting` is what was painted on."""

    painting: Gimp.Layer
    asked: Asked

    def check_painting(self) -> None:
        """As `check`, for all that is read: also the layer that was painted on."""
        self.check()
        if not self.painting.is_valid():
            raise LapcvaeError(
                _('The layer "{layer}", which was painted on, was deleted, or what made it was undone.').format(
                    layer=self.asked.painting.name
                ),
                _("Bring it back (Edit > Undo or Redo), or make a new coarse layer."),
            )

    def nothing_changes(self, prepared: Prepared) -> LapcvaeError | None:
        """Why the variants would change nothing, if so."""
        if prepared.box.empty:
            return LapcvaeError(
                _('Nothing is painted in the layer "{layer}".').format(layer=self.asked.painting.name),
                _("Paint on it, then generate variants again."),
            )
        mask = bytes(prepared.mask.data)
        if mask.count(0) == len(mask):
            return LapcvaeError(
                _("The selection leaves out everything that was painted."),
                _("Choose Select > None (or select what may change), then generate variants again."),
            )
        return None


# ------------------------------------------------------------------------------------------------ the coarse layer


def make_coarse(
    image: Gimp.Image, drawables: list, level: int, frame: Frame | None, style: str, model: str, source: str = "auto"
) -> Gimp.Layer:
    """Put a coarse layer to paint on directly above the photo layer; what would cover it is hidden.

    `frame` None: what the image says (`frames.first`). `source`: as in `Edit`, "auto" as in `chosen.reads`.
    """
    selected = chosen.editable_layer(image, drawables)
    photo = chosen.photo(image, selected)
    task = begin_coarse(image, photo, frame or frames.first(image, selected, photo), level, style, model, source)
    return insert_coarse(task, only(Coarse, _ask(task.request, task.host)))


def begin_coarse(
    image: Gimp.Image, photo: Gimp.Layer, frame: Frame, level: int, style: str, model: str, source: str
) -> Task:
    """Everything that has to be known before the runtime is asked. Raises LapcvaeError for what is in the way."""
    _require_paintable(photo.get_parent())
    source = chosen.reads(image, photo, source)
    if source == "layer" and layers.opaque_share(photo) == 0:
        raise LapcvaeError(
            _('The layer "{layer}" is transparent everywhere.').format(layer=photo.get_name()),
            _("Select the layer with the photo, then try again."),
        )
    base = chosen.base(image, photo, source)
    request = CoarseRequest(_described(photo, source), frame, level, style, model, layers.painting_dtype(photo))
    host = LayerHost(image, photo, None, request.dtype, below=base if source == "visible" else None)
    return Task(image, photo, base, source, request, host)


def insert_coarse(task: Task, coarse: Coarse) -> Gimp.Layer:
    """The coarse layer, in one undo step; earlier ones of the photo and its variants are hidden."""
    task.check()
    image, photo, unread = task.image, task.photo, _not_read(task)
    covering = chosen.covering(image, photo)
    layer = insertion.put_coarse(image, photo, task.base, coarse, task.request, task.reads, covering)
    _tell(photo, unread)
    return layer


# ---------------------------------------------------------------------------------------------------- the variants


def generate(image: Gimp.Image, drawables: list, edit: Edit) -> Gimp.GroupLayer:
    """Put a group of variants directly above the photo layer; the painting layer and older groups are hidden."""
    task = begin(image, drawables, edit)
    # Closed when a layer cannot be made, so that the worker is told to stop.
    with contextlib.closing(_ask(task.request, task.host)) as answers:
        prepared = only(Prepared, itertools.islice(answers, 1))
        if nothing := task.nothing_changes(prepared):
            raise nothing
        return insert(task, prepared, answers)


def begin(image: Gimp.Image, drawables: list, edit: Edit) -> EditTask:
    """Everything that an edit needs to know before the runtime is asked. Raises LapcvaeError for what is missing."""
    selected = chosen.editable_layer(image, drawables)
    photo = chosen.photo(image, selected)
    painting = edit.painting or chosen.painting(image, selected, photo)
    record = records.coarse_record(painting)
    source = record.reads if record and edit.source == "auto" else chosen.reads(image, photo, edit.source)
    base = chosen.base(image, photo, source)
    request = _edit_request(image, photo, _described(photo, source), painting, record, edit)
    below = base if source == "visible" else None
    host = LayerHost(image, photo, painting, request.painting.dtype, record, below)
    asked = Asked(edit.settings, Source.of(painting), edit.level, edit.frame, edit.model, edit.device, source)
    return EditTask(image, photo, base, source, request, host, painting, asked)


def insert(task: EditTask, prepared: Prepared, variants: Iterable[Variant]) -> Gimp.GroupLayer:
    """The variants as a group of layers, one undo step; what they cover (painting and older groups) is hidden.

    `variants` may still be arriving.
    """

    def covered() -> list[Gimp.Layer]:
        painting = [task.painting] if task.painting.is_valid() else []
        return [*painting, *chosen.covering(task.image, task.photo)]

    task.check()
    image, photo, unread = task.image, task.photo, _not_read(task)
    group = insertion.put_variants(image, photo, task.base, prepared, _while_there(task, variants), task.asked, covered)
    _tell(photo, unread)
    return group


def _while_there(task: EditTask, variants: Iterable[Variant]) -> Iterator[Variant]:
    """The variants, for as long as the photo is as it was when the task was begun."""
    for variant in variants:
        task.check()
        yield variant
    task.check()


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
            _('The layer "{layer}" has no variants yet, so there is nothing to repeat.').format(layer=photo.get_name()),
            _("Select the photo layer or its coarse layer, paint, and choose Filters > LapCVAE > Generate Variants."),
        )
    from_layer = selected if selected in earlier else earlier[0]
    last = records.asked(from_layer)
    painting = selected if records.coarse_record(selected) else chosen.layer_like(image, last.painting)
    if painting is None:
        raise LapcvaeError(
            _('The layer "{layer}", which was painted on, is not in this image any more.').format(layer=last.painting.name),
            _("Select another coarse layer of this photo, or make one, then generate variants."),
        )
    used = {records.asked(layer).settings.seed for layer in earlier}
    # After the greatest, or, where there is none greater, the first that is free.
    seed = max(used) + 1 if max(used) + 1 < SEEDS else next(s for s in itertools.count() if s not in used)
    settings = dataclasses.replace(last.settings, seed=seed)
    frame = _frame_now(last.frame, records.variant_source(from_layer), photo)
    edit = Edit(settings, painting, last.level, frame, last.model, last.device, last.source)
    return generate(image, drawables, edit)


# -------------------------------------------------------------------------------------------------- the request


def _require_paintable(group: Gimp.Layer | None) -> None:
    """GIMP lets nobody paint in a group with locked content."""
    while group is not None:
        if group.get_lock_content():
            raise LapcvaeError(
                _(
                    'The pixels of the layer group "{group}" are locked, so a coarse layer in it could not be painted on.'
                ).format(group=group.get_name()),
                _("Unlock them (in the Layers dialog), then try again."),
            )
        group = group.get_parent()


def _described(photo: Gimp.Layer, source: str) -> Photo:
    return seen.photo_of(photo) if source == "visible" else layers.photo_of(photo)


def _frame_now(frame: Frame | None, then: Source, photo: Gimp.Layer) -> Frame | None:
    """The frame that was given for a photo of then's size, in the photo's present pixels."""
    across, down = photo.get_width() / then.width, photo.get_height() / then.height
    if frame is None or across == down == 1:
        return frame
    if abs(across - down) > 1 / then.width + 1 / then.height:
        raise LapcvaeError(
            _('The photo layer "{layer}" was cropped, turned or stretched since its last variants.').format(
                layer=photo.get_name()
            ),
            _("Choose Filters > LapCVAE > Generate Variants and say where the frame is now."),
        )
    return Frame(frame.cx * across, frame.cy * down, frame.side * (across + down) / 2, frame.angle)


def _edit_request(
    image: Gimp.Image, photo: Gimp.Layer, described: Photo, painting: Gimp.Layer, record: CoarseRecord | None, edit: Edit
) -> EditRequest:
    if record:
        if copied := record.copied_to(image):
            _require_size(record.source, painting, photo)
        place = places.place(record, painting, photo, image)
        frame, level, model = place.frame, record.level, edit.model or record.model
        least = records.least_paint(record, painting, place.scale)
        painted = Painting("coarse", record.dtype, record.style, record.b_j, least, place.scale, place.doubtful, copied)
    else:
        if painting == photo or not painting.has_alpha():
            raise LapcvaeError(
                _('The layer "{layer}" is no layer of strokes on transparency.').format(layer=painting.get_name()),
                _("Paint on a new transparent layer above the photo, or on a coarse layer."),
            )
        frame, level, model = edit.frame or frames.for_strokes(image, photo), edit.level, edit.model
        painted = Painting("strokes", layers.painting_dtype(painting))
    return EditRequest(
        described, frame, level, painted, edit.settings, model, edit.device, layers.mask_dtype(photo),
        selection=not Gimp.Selection.is_empty(image),
    )  # fmt: skip


def _require_size(then: Source, painting: Gimp.Layer, photo: Gimp.Layer) -> None:
    """For a coarse layer that was copied from another image, whose photo was `then`."""
    if (then.width, then.height) != (photo.get_width(), photo.get_height()):
        raise LapcvaeError(
            _(
                'The coarse layer "{layer}" was copied from another image, whose photo had another size than "{photo}".'
            ).format(layer=painting.get_name(), photo=photo.get_name()),
            _("Select the photo layer, choose Filters > LapCVAE > Make Coarse Layer and paint on the new layer."),
        )


def _not_read(task: Task) -> list[str]:
    """What makes the photo look different from the pixels that were read of it."""
    return layers.unlike_its_pixels(task.photo) if task.reads == "layer" else []


def _tell(photo: Gimp.Layer, unread: list[str]) -> None:
    """Say, once in a session of GIMP, what was not read."""
    if not unread:
        return
    kept = Gimp.get_parasite(TOLD)
    told = json.loads(bytes(kept.get_data()).rstrip(b"\0")) if kept else []
    if photo.get_id() in told:
        return
    Gimp.attach_parasite(Gimp.Parasite.new(TOLD, 0, json.dumps([*told, photo.get_id()]).encode()))
    Gimp.message(
        _(
            'The layer "{layer}" has {reasons}, so it looks different from the pixels that it holds; LapCVAE read those '
            'pixels. To start from what is seen, choose the source "What is visible".'
        ).format(layer=photo.get_name(), reasons=_(" and ").join(unread))
    )


def _ask(request: CoarseRequest | EditRequest, host: Host) -> Iterator[Coarse | Prepared | Variant]:
    """What the runtime answers, as it arrives, but for its progress, which GIMP shows."""
    variants = 0
    # The worker should end after GIMP does, not after this short process.
    with client.connect(client_pid=os.getppid()) as connection:
        for message in connection.ask(request, host):
            if isinstance(message, Progress):
                host.progress(message.done, message.text)
            else:
                variants += isinstance(message, Variant)
                yield message
        if connection.done and connection.done.cancelled and not variants:
            raise Cancelled()


def only(kind: type, answers: Iterable):
    """The one answer of that kind."""
    found = [a for a in answers if isinstance(a, kind)]
    if len(found) != 1:
        raise LapcvaeError(
            _("The worker sent {count} answers of the kind {kind}, not one.").format(count=len(found), kind=kind.__name__),
            _("Run install.sh again, so that the plug-in and its worker fit together."),
        )
    return found[0]
