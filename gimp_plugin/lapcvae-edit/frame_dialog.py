"""The dialog of Make Coarse Layer: where the face is, and how coarse the cells are."""

from __future__ import annotations

import contextlib
import traceback
from dataclasses import dataclass

import background
import chosen
import commands
import dialogs
import help_dialog
import layers
import places
import records
from dialogs import FAR, NEAR
from frame_canvas import FrameCanvas
from gi.repository import Gimp, GLib, Gtk
from placing import DIGITS, SMALLEST_SIDE, Model, consequences, farthest, from_clicked_eyes, proposed_frame
from words import _

import models
from lapcvae.protocol.errors import Cancelled, LapcvaeError
from lapcvae.protocol.geometry import Box, Eyes, Frame, Size
from lapcvae.protocol.messages import LARGEST_LOOK, Coarse, FindRequest

# The user looks at every face that is found, so a doubtful one is better than none.
LEAST_SURE = 0.5
# Response of the dialog when the worker has made the coarse picture.
MADE = 1
NAME = "lapcvae-frame"
_DRAG = _("Drag the frame onto the face; its corners scale it, the round grip above it turns it.")
_RINGS = _("The rings show where the model expects the eyes: drag them onto the eyes.")
_WHEEL = _("Wheel: scale, with Shift: turn, with Ctrl: zoom.")
HINT, HINT_WITHOUT_EYES = f"{_DRAG} {_RINGS} {_WHEEL}", f"{_DRAG} {_WHEEL}"
FIRST_EYE = _("Click the centre of one eye (Ctrl and wheel: zoom; Escape: leave it).")
BY_BRUSH = _("By brush size")
SOURCES = {"layer": _("Photo layer only"), "visible": _("What is visible")}
SECOND_EYE = _("Now the centre of the other eye.")


@dataclass(frozen=True)
class Choice:
    """What the dialog remembers. `level` 0: by the brush; `model` empty: the worker's own."""

    level: int
    style: str
    model: str
    source: str


def make_coarse(image: Gimp.Image | None, drawables: list, remembered: Choice) -> tuple[Gimp.Layer, Choice, int]:
    """Ask where and how, then make the coarse layer; also what was chosen, and its level. Cancelled: nothing changed."""
    selected = chosen.editable_layer(image, drawables)
    photo = chosen.photo(image, selected)
    if not dialogs.can_open():
        raise LapcvaeError(
            _("There is no screen to open a dialog on."), _("Call the procedure non-interactively, with its arguments.")
        )
    dialog = FrameDialog(image, photo, first_frame(image, selected, photo), remembered)
    try:
        task, coarse = dialog.run()
    finally:
        dialog.close()
    return commands.insert_coarse(task, coarse), dialog.choice, task.request.level


def first_frame(image: Gimp.Image, selected: Gimp.Layer, photo: Gimp.Layer) -> Frame:
    """Where the frame is when the dialog opens, by what the image tells."""
    coarse = selected if records.coarse_record(selected) else next(iter(chosen.coarse_layers(image, photo)), None)
    record = records.coarse_record(coarse) if coarse else None
    frame = None
    # Where the coarse layer lies now may not be known any more; then it says nothing.
    with contextlib.suppress(LapcvaeError):
        frame = places.place(record, coarse, photo, image).frame if record else None
    return proposed_frame(Size(photo.get_width(), photo.get_height()), frame, selection_box(image, photo)).rounded(DIGITS)


def selection_box(image: Gimp.Image, photo: Gimp.Layer) -> Box | None:
    """The selection's box in photo pixels; None where nothing is selected."""
    _, anything, left, top, right, bottom = Gimp.Selection.bounds(image)
    x, y = layers.offsets(photo)
    return Box(left - x, top - y, right - left, bottom - top) if anything else None


def eyes_of_path(image: Gimp.Image, photo: Gimp.Layer) -> list[tuple[float, float]]:
    """The two points of the selected (or only) path, in photo pixels."""
    draw = _("Choose the Paths tool and click one eye, then the other.")
    paths = image.get_selected_paths() or image.get_paths()
    if not paths:
        raise LapcvaeError(_("There is no path in this image."), draw)
    if len(paths) > 1:
        raise LapcvaeError(
            _("There are {count} paths to choose from.").format(count=len(paths)), _("Select the one with both eyes.")
        )
    x, y = layers.offsets(photo)
    found = []
    for stroke in paths[0].get_strokes():
        # Of each anchor: handle, point, handle.
        numbers = paths[0].stroke_get_points(stroke)[1]
        found += [(numbers[i + 2] - x, numbers[i + 3] - y) for i in range(0, len(numbers), 6)]
    if len(found) != 2:
        raise LapcvaeError(
            _('The path "{path}" has {count} points in place of two.').format(path=paths[0].get_name(), count=len(found)),
            draw,
        )
    return found


class FrameDialog:
    """`choice`: what is chosen now, beside the frame."""

    def __init__(self, image: Gimp.Image, photo: Gimp.Layer, first: Frame, remembered: Choice):
        self._image, self._photo, self._first = image, photo, first
        self._size = Size(photo.get_width(), photo.get_height())
        self._brush = Gimp.context_get_brush_size()
        self.choice = remembered
        self._models: dict[str, Model] = {}
        # Why there are none.
        self._trouble: LapcvaeError | None = None
        self._host: background.MainThreadHost | None = None
        self._made: tuple[commands.Task, Coarse] | None = None
        # Those that were found, the next one to show first.
        self._faces: list[Frame] = []
        self._filling = False
        self._dialog, box = dialogs.dialog(
            NAME,
            _("Make Coarse Layer"),
            ("help", _("_Help"), Gtk.ResponseType.HELP),
            ("cancel", _("_Cancel"), Gtk.ResponseType.CANCEL),
            ("ok", _("_OK"), Gtk.ResponseType.OK),
        )
        self._dialog.set_default_response(Gtk.ResponseType.OK)
        columns = Gtk.Box(spacing=FAR)
        columns.pack_start(self._left(), True, True, 0)
        columns.pack_start(self._right(), False, False, 0)
        box.pack_start(columns, True, True, 0)
        self._dialog.set_default_size(960, 700)
        self._dialog.show_all()
        self._canvas.grab_focus()
        self._changed()
        self._load()

    def run(self) -> tuple[commands.Task, Coarse]:
        """Until the coarse picture is there; raises Cancelled."""
        while True:
            answer = self._dialog.run()
            if answer == MADE:
                return self._made
            if answer == Gtk.ResponseType.HELP:
                # Later: the next run raises this dialog, which has to come first.
                GLib.idle_add(help_dialog.show, self._dialog, help_dialog.FRAME)
            elif answer == Gtk.ResponseType.OK:
                self._make()
            else:
                raise Cancelled()

    def close(self) -> None:
        if self._host:
            self._host.cancel()
        self._dialog.destroy()
        self._dialog = None

    # --- the widgets ---

    def _message_bar(self) -> Gtk.InfoBar:
        self._bar = _named(Gtk.InfoBar(no_show_all=True, valign=Gtk.Align.START), "message-bar")
        self._message = _named(dialogs.text(), "message")
        self._message.show()
        self._bar.get_content_area().add(self._message)
        self._again = self._bar.add_button(_("_Try Again"), Gtk.ResponseType.ACCEPT)
        _named(self._again, "try-again").set_no_show_all(True)
        self._bar.connect("response", lambda *_: self._load())
        return self._bar

    def _left(self) -> Gtk.Box:
        self._canvas = _named(FrameCanvas(self._photo, self._first, self._changed), "canvas")
        self._canvas.get_accessible().set_name(_("The photo with the frame"))
        # Over the photo, so that nothing moves under the mouse when a message comes or goes.
        over = Gtk.Overlay()
        over.add(self._canvas)
        over.add_overlay(self._message_bar())
        around = Gtk.Frame(shadow_type=Gtk.ShadowType.IN)
        around.add(over)
        buttons = Gtk.Box(spacing=NEAR)
        for label, name, work in (
            (_("_Zoom to Frame"), "zoom", self._canvas.zoom_to_frame), (_("_Whole Photo"), "whole", self._canvas.whole_photo)
        ):  # fmt: skip
            button = _named(Gtk.Button(label=label, use_underline=True), name)
            button.connect("clicked", lambda _, work=work: work())
            buttons.pack_start(button, False, False, 0)
        # As high as the longest hint, so that nothing moves when the hint changes.
        self._hint = _named(Gtk.Stack(hhomogeneous=False), "hint")
        for words in (HINT, HINT_WITHOUT_EYES, FIRST_EYE, SECOND_EYE):
            self._hint.add_named(dialogs.text(words), words)
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=NEAR)
        box.pack_start(around, True, True, 0)
        box.pack_start(buttons, False, False, 0)
        box.pack_start(self._hint, False, False, 0)
        return box

    def _right(self) -> Gtk.Box:
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=FAR, hexpand=False)
        box.pack_start(dialogs.section(_("Frame"), self._frame_box()), False, False, 0)
        box.pack_start(dialogs.section(_("Coarse Layer"), self._layer_box()), False, False, 0)
        dialogs.align(self._frame_rows, self._layer_rows)
        self._busy = Gtk.Box(spacing=NEAR, no_show_all=True)
        self._busy_text = _named(dialogs.text(), "busy")
        for widget in (Gtk.Spinner(active=True), self._busy_text):
            widget.show()
            self._busy.pack_start(widget, False, False, 0)
        box.pack_end(self._busy, False, False, 0)
        return box

    def _frame_box(self) -> Gtk.Box:
        self._place = _named(Gtk.ToggleButton(label=_("Place by _Eyes"), use_underline=True), "place")
        self._place.set_tooltip_text(_("Click both eyes in the photo, in either order"))
        self._place.connect("toggled", self._on_place)
        find = _named(Gtk.Button(label=_("F_ind Face"), use_underline=True), "find")
        find.set_tooltip_text(_("Let the model look for a face, in the selection if there is one; press again for the next"))
        find.connect("clicked", self._on_find)
        path = _named(Gtk.Button(label=_("_From Path"), use_underline=True), "path")
        path.set_tooltip_text(_("Take the two points of the selected path for the eyes"))
        path.connect("clicked", self._on_path)
        reset = _named(Gtk.Button(label=_("_Reset"), use_underline=True), "reset")
        reset.set_tooltip_text(_("Put the frame back to where it was at first"))
        reset.connect("clicked", lambda _: self._set_frame(self._first))
        buttons = Gtk.Grid(row_spacing=NEAR, column_spacing=NEAR, column_homogeneous=True)
        for i, button in enumerate((find, self._place, path, reset)):
            button.set_hexpand(True)
            buttons.attach(button, i % 2, i // 2, 1, 1)
        far = farthest(self._size)
        self._spins = [
            self._spin(name, least, most, step)
            for name, least, most, step in (
                ("center-x", -far, far, 1), ("center-y", -far, far, 1),
                ("side", SMALLEST_SIDE, far, 1), ("angle", -180.0, 180.0, 0.5),
            )
        ]  # fmt: skip
        x, y, side, angle = self._spins
        self._frame_rows = dialogs.rows(
            (_("Centre _X:"), x, "px"),
            (_("Centre _Y:"), y, "px"),
            (_("Si_de:"), side, "px"),
            (_("_Angle:"), angle, "\N{DEGREE SIGN}"),
        )
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=NEAR)
        box.pack_start(buttons, False, False, 0)
        box.pack_start(self._frame_rows, False, False, 0)
        return box

    def _spin(self, name: str, least: float, most: float, step: float) -> Gtk.SpinButton:
        spin = _named(Gtk.SpinButton.new_with_range(least, most, step), name)
        spin.set_digits(DIGITS)
        spin.set_width_chars(8)
        spin.connect("value-changed", self._on_number)
        return spin

    def _layer_box(self) -> Gtk.Box:
        self._model = _named(Gtk.ComboBoxText(), "model")
        self._level = _named(Gtk.ComboBoxText(), "level")
        self._level.set_tooltip_text(_("How many coarse cells lie across the frame"))
        self._level.append("0", BY_BRUSH)
        self._level.set_active(0)
        self._smooth = _named(Gtk.RadioButton(label=_("Smoo_th"), use_underline=True), "smooth")
        blocks = Gtk.RadioButton(label=_("_Blocks"), use_underline=True, group=self._smooth)
        self._blocks = _named(blocks, "blocks")
        (self._blocks if self.choice.style == "blocks" else self._smooth).set_active(True)
        styles = Gtk.Box(spacing=FAR)
        for button in (self._smooth, self._blocks):
            styles.pack_start(button, False, False, 0)
        self._source = _named(Gtk.ComboBoxText(), "source")
        self._source.set_tooltip_text(_("The layer's own pixels, or what you see of it, with filters, masks and modes"))
        for nick, label in SOURCES.items():
            self._source.append(nick, label)
        self._source.set_active_id(self.choice.source)
        self._source.connect("changed", self._on_choice)
        self._model.connect("changed", self._on_model)
        self._level.connect("changed", self._on_choice)
        self._smooth.connect("toggled", self._on_choice)
        self._layer_rows = dialogs.rows(
            (_("_Model:"), self._model, ""),
            (_("_Cells:"), self._level, ""),
            (_("Shown as:"), styles, ""),
            (_("So_urce:"), self._source, ""),
        )
        for column in (0, 1):
            # Only worth a line where there is something to choose.
            self._layer_rows.get_child_at(column, 0).set_no_show_all(True)
        self._facts = _named(dialogs.text(width=38), "facts")
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=FAR)
        box.pack_start(self._layer_rows, False, False, 0)
        box.pack_start(self._facts, False, False, 0)
        return box

    # --- what the user does ---

    def _on_place(self, button: Gtk.ToggleButton) -> None:
        if self._filling:
            return
        try:
            if button.get_active():
                self._eyes()
        except LapcvaeError as error:
            button.set_active(False)
            self._say(error)
            return
        self._canvas.place_eyes(button.get_active())
        self._canvas.grab_focus()
        self._changed()

    def _on_find(self, _button) -> None:
        if self._faces:
            self._show_next_face()
            return
        try:
            model = self._present_model()
            picture, box = layers.reduced(self._photo, LARGEST_LOOK)
            request = FindRequest(picture, box, self._region(), model.name, LEAST_SURE)
        except LapcvaeError as error:
            self._say(error)
            return
        self._wait(_("Looking for a face"))
        background.start(lambda: models.faces(request), self._found, self._failed)

    def _region(self) -> Box | None:
        box = selection_box(self._image, self._photo)
        there = box.intersection(self._size.box) if box else None
        return None if there is None or there.empty or there == self._size.box else there

    def _found(self, frames: list[Frame]) -> None:
        if not self._dialog:
            return
        self._wait("")
        if not frames:
            self._say(
                LapcvaeError(_("No face was found."), _("Select the face and try again, or place the frame by its eyes."))
            )
            return
        self._faces = frames
        self._show_next_face()

    def _show_next_face(self) -> None:
        face = self._faces.pop(0)
        self._faces.append(face)
        self._set_frame(face.rounded(DIGITS))

    def _on_path(self, _button) -> None:
        try:
            first, second = eyes_of_path(self._image, self._photo)
            self._set_frame(from_clicked_eyes(first, second, self._eyes(), self._canvas.frame))
        except LapcvaeError as error:
            self._say(error)

    def _on_number(self, _spin) -> None:
        if not self._filling:
            cx, cy, side, angle = (spin.get_value() for spin in self._spins)
            self._set_frame(Frame(cx, cy, side, angle))

    def _on_model(self, _combo) -> None:
        if not self._filling:
            self._faces = []
            self._fill_levels()
            self._on_choice()

    def _on_choice(self, _widget=None) -> None:
        if self._filling:
            return
        style = "smooth" if self._smooth.get_active() else "blocks"
        model = self._model.get_active_id() or self.choice.model
        self.choice = Choice(
            int(self._level.get_active_id() or self.choice.level), style, model, self._source.get_active_id()
        )
        self._changed()

    # --- what follows ---

    def _eyes(self) -> Eyes:
        model = self._present_model()
        if model.eyes is None:
            raise LapcvaeError(
                _('The model "{model}" is not one of faces.').format(model=model.title),
                _("Drag the frame, or type numbers."),
            )
        return model.eyes

    def _present_model(self) -> Model:
        if not self._models:
            raise self._trouble or LapcvaeError(_("LapCVAE is still starting."), _("Try again in a moment."))
        return self._models[self._model.get_active_id()]

    def _present_level(self) -> int:
        return self.choice.level or self._present_model().level_for_brush(self._canvas.frame.side, self._brush)

    def _set_frame(self, frame: Frame) -> None:
        self._canvas.show_frame(frame)
        self._changed()

    def _changed(self) -> None:
        """Something was chosen or dragged: show it everywhere."""
        frame = self._canvas.frame
        if not self._trouble:
            self._bar.hide()
        with self._filled():
            for spin, value in zip(self._spins, (frame.cx, frame.cy, frame.side, frame.angle)):
                spin.set_value(value)
            self._place.set_active(self._canvas.clicked is not None)
        clicked, hint = self._canvas.clicked, HINT
        if self._models:
            model = self._present_model()
            self._canvas.show_eyes(model.eyes)
            hint = HINT if model.eyes else HINT_WITHOUT_EYES
            lines = consequences(frame, self._size, model, self._present_level(), self._brush)
            self._facts.set_text("\n\n".join(lines))
        self._hint.set_visible_child_name(hint if clicked is None else SECOND_EYE if clicked else FIRST_EYE)

    def _say(self, error: LapcvaeError) -> None:
        self._message.set_text(str(error))
        self._bar.set_message_type(Gtk.MessageType.ERROR if self._trouble else Gtk.MessageType.WARNING)
        self._again.set_visible(self._trouble is not None)
        self._bar.show()

    def _wait(self, words: str) -> None:
        self._busy_text.set_text(words)
        self._busy.set_visible(bool(words))

    @contextlib.contextmanager
    def _filled(self):
        """Widgets are set by the program inside, so their signals mean nothing."""
        was, self._filling = self._filling, True
        try:
            yield
        finally:
            self._filling = was

    # --- the worker ---

    def _load(self) -> None:
        self._trouble = None
        self._bar.hide()
        self._wait(_("Starting LapCVAE"))
        background.start(models.usable, self._loaded, self._failed)

    def _loaded(self, answer: tuple[dict[str, Model], str]) -> None:
        if not self._dialog:
            return
        self._wait("")
        self._models, default = answer
        with self._filled():
            for model in self._models.values():
                self._model.append(model.name, model.title)
            self._model.set_active_id(self.choice.model if self.choice.model in self._models else default)
        for column in (0, 1):
            self._layer_rows.get_child_at(column, 0).set_visible(len(self._models) > 1)
        self._fill_levels()
        self._on_choice()

    def _fill_levels(self) -> None:
        model = self._present_model()
        with self._filled():
            self._level.remove_all()
            self._level.append("0", BY_BRUSH)
            for level in range(model.K, 0, -1):
                self._level.append(str(level), _cells(model.size >> level))
            self._level.set_active_id(str(min(self.choice.level, model.K)))

    def _make(self) -> None:
        if self._host:
            # Pressed twice.
            return
        for spin in self._spins:
            # What was typed and not yet confirmed by Enter.
            spin.update()
        try:
            task = self._begin()
        except LapcvaeError as error:
            self._say(error)
            return
        self._wait(_("Making the coarse layer"))
        self._host = background.MainThreadHost(task.host)
        background.start(lambda: (task, commands.ask_coarse(task, self._host)), self._ready, self._failed)

    def _begin(self) -> commands.Task:
        model = self._present_model()
        if not self._photo.is_valid() or (self._photo.get_width(), self._photo.get_height()) != (
            self._size.width, self._size.height
        ):  # fmt: skip
            raise LapcvaeError(
                _("The photo layer was removed or changed its size meanwhile."), _("Cancel, and make the coarse layer anew.")
            )
        return commands.begin_coarse(
            self._image, self._photo, self._canvas.frame, self._present_level(), self.choice.style, model.name,
            self.choice.source,
        )  # fmt: skip

    def _ready(self, made: tuple[commands.Task, Coarse]) -> None:
        if self._dialog:
            self._made = made
            self._dialog.response(MADE)

    def _failed(self, error: Exception) -> None:
        self._host = None
        if not self._dialog:
            return
        self._wait("")
        if not isinstance(error, LapcvaeError):
            traceback.print_exception(error)
            error = LapcvaeError(
                _("Something unexpected went wrong ({kind}: {error}).").format(kind=type(error).__name__, error=error),
                _("Please report it."),
            )
        if not self._models:
            self._trouble = error
        self._say(error)


def _cells(n: int) -> str:
    """A level as it is offered, by how many cells lie across the face."""
    good = _("hair, skin, sunglasses") if n < 24 else _("eyes, mouth") if n < 48 else _("small details")
    return f"{n} \N{MULTIPLICATION SIGN} {n}: {good}"


def _named(widget: Gtk.Widget, name: str) -> Gtk.Widget:
    widget.set_name(f"{NAME}-{name}")
    return widget
