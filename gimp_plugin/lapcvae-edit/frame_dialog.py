"""The dialog of Make Coarse Layer: where the face is, and how coarse the cells are."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import chosen
import commands
import dialogs
import frames
import help_dialog
import layers
from asking import Asking, CheckedHost
from dialogs import FAR, NEAR
from frame_canvas import FrameCanvas
from frame_settings import NAME, Choice, LayerPanel, named
from gi.repository import Gdk, Gimp, GLib, Gtk
from placing import DIGITS, SMALLEST_SIDE, Model, consequences, farthest, from_clicked_eyes
from words import _, explained, ngettext

import models
from lapcvae.protocol.errors import Cancelled, LapcvaeError
from lapcvae.protocol.geometry import Box, Eyes, Frame, Size
from lapcvae.protocol.messages import LARGEST_LOOK, Coarse, FindRequest, Found, StatusRequest

# How sure the finder must be. The user looks at every face that Find Face shows, so a doubtful one is better than none;
# nobody asked for the frame to move by itself. (At .8 that happens in all of 166 portraits and 4% of 300 faceless photos.)
LEAST_SURE, SURE = 0.5, 0.8
# Response of the dialog when the worker has made the coarse picture.
MADE = 1
_DRAG = _("Drag the frame onto the face; its corners scale it, the round grip above it turns it.")
_RINGS = _("The rings show where the model expects the eyes: drag them onto the eyes.")
_WHEEL = _("Wheel: scale, with Shift: turn, with Ctrl: zoom.")
HINT, HINT_WITHOUT_EYES = f"{_DRAG} {_RINGS} {_WHEEL}", f"{_DRAG} {_WHEEL}"
FIRST_EYE = _("Click the centre of one eye (Ctrl and wheel: zoom; Escape: leave it).")
SECOND_EYE = _("Now the centre of the other eye.")


def make_coarse(image: Gimp.Image | None, drawables: list, remembered: Choice) -> tuple[Gimp.Layer, Choice, int]:
    """Ask where and how, then make the coarse layer; also what was chosen, and its level. Cancelled: nothing changed."""
    selected = chosen.editable_layer(image, drawables)
    photo = chosen.photo(image, selected)
    if not dialogs.can_open():
        raise LapcvaeError(
            _("There is no screen to open a dialog on."), _("Call the procedure non-interactively, with its arguments.")
        )
    first = frames.first(image, selected, photo)
    # Where there is no coarse layer that says where the face is, the dialog looks for it.
    dialog = FrameDialog(image, photo, first, remembered, propose=first != frames.of_coarse(image, selected, photo))
    try:
        task, coarse = dialog.run()
    finally:
        dialog.close()
    return commands.insert_coarse(task, coarse), dialog.choice, task.request.level


class FrameDialog:
    """`first`: where the frame is when it opens; `propose`: whether it may be moved from there without being asked to."""

    def __init__(self, image: Gimp.Image, photo: Gimp.Layer, first: Frame, remembered: Choice, propose: bool):
        self._image, self._photo, self._first, self._propose = image, photo, first, propose
        self._size = Size(photo.get_width(), photo.get_height())
        self._brush = Gimp.context_get_brush_size()
        # Why there are no models.
        self._trouble: LapcvaeError | None = None
        self._asking = Asking()
        # While a face is looked for: whether by Find Face, and whether OK was pressed meanwhile.
        self._looking = self._by_hand = self._ok_waits = False
        self._made: tuple[commands.Task, Coarse] | None = None
        # Those that were found, with whether that is sure, the next one to show first, and where they were looked for.
        self._faces: list[tuple[Frame, bool]] = []
        self._looked_in: Box | None = None
        # The frame that the note below the settings speaks of, if it does.
        self._noted: Frame | None = None
        self._filling = dialogs.Filling()
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
        columns.pack_start(self._right(remembered), False, False, 0)
        # As the canvas shows it.
        self._first = self._canvas.frame
        box.pack_start(columns, True, True, 0)
        self._dialog.set_default_size(960, 700)
        self._dialog.show_all()
        self._canvas.grab_focus()
        self._changed()
        self._load()

    @property
    def choice(self) -> Choice:
        """What is chosen now, beside the frame."""
        return self._panel.choice

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
        self._dialog.destroy()
        # Now, not when the main loop comes to it.
        Gdk.Display.get_default().flush()
        self._asking.close()

    # --- the widgets ---

    def _message_bar(self) -> Gtk.InfoBar:
        self._bar = named(Gtk.InfoBar(no_show_all=True, valign=Gtk.Align.START), "message-bar")
        self._message = named(dialogs.text(), "message")
        self._message.show()
        self._bar.get_content_area().add(self._message)
        self._again = self._bar.add_button(_("_Try Again"), Gtk.ResponseType.ACCEPT)
        named(self._again, "try-again").set_no_show_all(True)
        self._bar.connect("response", lambda *_: self._load())
        return self._bar

    def _left(self) -> Gtk.Box:
        self._canvas = named(FrameCanvas(self._photo, self._first, self._changed), "canvas")
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
            button = named(Gtk.Button(label=label, use_underline=True), name)
            button.connect("clicked", lambda _, work=work: work())
            buttons.pack_start(button, False, False, 0)
        # As high as the longest hint, so that nothing moves when the hint changes.
        self._hint = named(Gtk.Stack(hhomogeneous=False), "hint")
        for words in (HINT, HINT_WITHOUT_EYES, FIRST_EYE, SECOND_EYE):
            self._hint.add_named(dialogs.text(words), words)
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=NEAR)
        box.pack_start(around, True, True, 0)
        box.pack_start(buttons, False, False, 0)
        box.pack_start(self._hint, False, False, 0)
        return box

    def _right(self, remembered: Choice) -> Gtk.Box:
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=FAR, hexpand=False)
        self._panel = LayerPanel(remembered, self._changed, self._forget_faces)
        box.pack_start(dialogs.section(_("Frame"), self._frame_box()), False, False, 0)
        box.pack_start(dialogs.section(_("Coarse Layer"), self._panel), False, False, 0)
        dialogs.align(self._frame_rows, self._panel.rows)
        # What goes on, with something that turns; or what came of it.
        self._state = Gtk.Box(spacing=NEAR, no_show_all=True)
        self._spinner = Gtk.Spinner(active=True, valign=Gtk.Align.START)
        self._state_text = named(dialogs.text(width=34), "state")
        for widget in (self._spinner, self._state_text):
            widget.show()
            self._state.pack_start(widget, False, False, 0)
        box.pack_end(self._state, False, False, 0)
        return box

    def _frame_box(self) -> Gtk.Box:
        self._place = named(Gtk.ToggleButton(label=_("Place by _Eyes"), use_underline=True), "place")
        self._place.set_tooltip_text(_("Click both eyes in the photo, in either order"))
        self._place.connect("toggled", self._on_place)
        find = named(Gtk.Button(label=_("F_ind Face"), use_underline=True), "find")
        find.set_tooltip_text(_("Let the model look for a face, in the selection if there is one; press again for the next"))
        find.connect("clicked", self._on_find)
        path = named(Gtk.Button(label=_("_From Path"), use_underline=True), "path")
        path.set_tooltip_text(_("Take the two points of the selected path for the eyes"))
        path.connect("clicked", self._on_path)
        reset = named(Gtk.Button(label=_("_Reset"), use_underline=True), "reset")
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
        spin = named(Gtk.SpinButton.new_with_range(least, most, step), name)
        spin.set_digits(DIGITS)
        spin.set_width_chars(8)
        spin.connect("value-changed", self._on_number)
        return spin

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
        if self._looking:
            # The answer that is under way counts as asked for.
            self._by_hand = True
        elif not self._asking.running:
            self._find_face()

    def _find_face(self) -> None:
        try:
            self._require_photo()
            region = frames.selected_part(self._image, self._photo)
            if self._faces and region == self._looked_in:
                self._show_next_face()
            else:
                self._look_for_faces(region, by_hand=True)
        except LapcvaeError as error:
            self._say(error)

    def _show_next_face(self) -> None:
        face, sure = self._faces.pop(0)
        self._faces.append((face, sure))
        self._set_frame(face)
        self._note("" if sure else _("This may be no face: the finder is not sure."), noted=self._canvas.frame)

    def _forget_faces(self) -> None:
        self._faces = []

    def _on_path(self, _button) -> None:
        try:
            self._require_photo()
            self._set_eyes(frames.eyes_of_path(self._image, self._photo))
        except LapcvaeError as error:
            self._say(error)

    def _on_number(self, _spin) -> None:
        if not self._filling:
            cx, cy, side, angle = (spin.get_value() for spin in self._spins)
            self._set_frame(Frame(cx, cy, side, angle))

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
        if not self._panel.model:
            raise self._trouble or LapcvaeError(_("LapCVAE is still starting."), _("Try again in a moment."))
        return self._panel.model

    def _require_photo(self) -> None:
        if not self._photo.is_valid() or Size(self._photo.get_width(), self._photo.get_height()) != self._size:
            raise LapcvaeError(
                _("The photo layer was removed or changed its size meanwhile."), _("Cancel, and make the coarse layer anew.")
            )

    def _set_eyes(self, points: list[tuple[float, float]]) -> None:
        self._set_frame(from_clicked_eyes(*points, self._eyes(), self._canvas.frame))

    def _set_frame(self, frame: Frame) -> None:
        self._canvas.show_frame(frame)
        self._changed()

    def _changed(self) -> None:
        """Something was chosen or dragged: show it everywhere."""
        frame = self._canvas.frame
        if not self._trouble:
            self._bar.hide()
        if self._noted not in (None, frame):
            self._note("")
        with self._filling():
            for spin, value in zip(self._spins, (frame.cx, frame.cy, frame.side, frame.angle)):
                spin.set_value(value)
            self._place.set_active(self._canvas.clicked is not None)
        clicked, hint = self._canvas.clicked, HINT
        if model := self._panel.model:
            self._canvas.show_eyes(model.eyes)
            hint = HINT if model.eyes else HINT_WITHOUT_EYES
            level = self._panel.level(frame.side, self._brush)
            self._panel.tell(consequences(frame, self._size, model, level, self._brush))
        self._hint.set_visible_child_name(hint if clicked is None else SECOND_EYE if clicked else FIRST_EYE)

    def _say(self, error: LapcvaeError) -> None:
        self._message.set_text(explained(error))
        self._bar.set_message_type(Gtk.MessageType.ERROR if self._trouble else Gtk.MessageType.WARNING)
        self._again.set_visible(self._trouble is not None)
        self._bar.show()

    def _note(self, words: str, waiting: bool = False, noted: Frame | None = None) -> None:
        """Quietly, below the settings. `waiting`: for something that goes on; `noted`: true as long as this is the frame."""
        self._noted = noted
        self._state_text.set_text(words)
        self._spinner.set_visible(waiting)
        self._state.set_visible(bool(words))

    # --- the worker ---

    def _ask(self, doing: str, request, host: CheckedHost | None, then: Callable[[list], None]) -> None:
        """`then` gets all that the worker answered, unless it failed."""
        answers = []

        def end(_done, error: Exception | None) -> None:
            self._note("")
            self._looking = False
            if self._ok_waits:
                self._ok_waits = False
                self._make()
                return
            try:
                if error:
                    raise error
                then(answers)
            except Exception as caught:
                self._failed(caught)

        self._note(doing, waiting=True)
        self._asking.ask(request, host, answers.append, end)

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, LapcvaeError):
            traceback.print_exception(error)
            error = LapcvaeError(
                _("Something unexpected went wrong ({kind}: {error}).").format(kind=type(error).__name__, error=error),
                _("Please report it."),
            )
        if not self._panel.model:
            self._trouble = error
        self._say(error)

    def _load(self) -> None:
        if self._asking.running:
            return
        self._trouble = None
        self._bar.hide()
        self._ask(_("Starting LapCVAE"), StatusRequest(), None, self._loaded)

    def _loaded(self, answers: list) -> None:
        self._panel.offer(*models.usable(models.facts(answers)))
        if self._propose:
            self._propose_frame()

    def _propose_frame(self) -> None:
        """Onto the eyes that a path marks, else onto the face that the finder is sure of."""
        model = self._panel.model
        if self._in_hand() or not self._photo.is_valid():
            return
        if model.eyes and (points := frames.eyes_on_photo(self._image, self._photo)):
            self._set_eyes(points)
            self._note(_("The frame was placed by the two points of the path."), noted=self._canvas.frame)
        elif model.finder:
            self._look_for_faces(frames.selected_part(self._image, self._photo), by_hand=False)

    def _in_hand(self) -> bool:
        """Whether the user has begun to place the frame."""
        typing = any(spin.is_focus() for spin in self._spins)
        return self._canvas.in_hand or typing or self._canvas.frame != self._first

    def _look_for_faces(self, region: Box | None, by_hand: bool) -> None:
        picture, box = layers.reduced(self._photo, region, LARGEST_LOOK)
        request = FindRequest(picture, box, region, self._present_model().name, LEAST_SURE)
        self._looked_in, self._looking, self._by_hand = region, True, by_hand
        self._ask(_("Looking for a face"), request, None, self._found)

    def _found(self, answers: list) -> None:
        found = commands.only(Found, answers)
        self._faces = [(face.rounded(DIGITS), c >= SURE) for face, c in zip(found.frames, found.confidences)]
        sure = sum(is_sure for _face, is_sure in self._faces)
        if self._by_hand and not self._faces:
            raise LapcvaeError(_("No face was found."), _("Select the face and try again, or place the frame by its eyes."))
        if self._by_hand:
            self._show_next_face()
        elif not self._faces:
            self._note(_("No face was found. Place the frame by hand, or by the eyes."))
        elif self._in_hand():
            self._note(_("A face was found; Find Face shows it."))
        elif not sure:
            self._note(_("No face was found for certain; Find Face shows what may be one."))
        else:
            self._show_next_face()
            said = ngettext(
                "{count} face was found; the frame is on it.",
                "{count} faces were found; the frame is on the surest. Find Face shows the next.",
                sure,
            )
            self._note(said.format(count=sure), noted=self._canvas.frame)

    def _make(self) -> None:
        if self._looking:
            # The frame is good as it is.
            self._ok_waits = True
            self._asking.cancel()
            return
        for spin in self._spins:
            # What was typed and not yet confirmed by Enter.
            spin.update()
        try:
            model = self._present_model()
            if self._asking.running:
                # Pressed twice.
                return
            self._require_photo()
            frame = self._canvas.frame
            task = commands.begin_coarse(
                self._image, self._photo, frame, self._panel.level(frame.side, self._brush), self.choice.style, model.name,
                self.choice.source,
            )  # fmt: skip
        except LapcvaeError as error:
            self._say(error)
            return
        host = CheckedHost(task.host, task.check, task.check)
        self._ask(_("Making the coarse layer"), task.request, host, lambda answers: self._ready(task, answers))

    def _ready(self, task: commands.Task, answers: list) -> None:
        self._made = task, commands.only(Coarse, answers)
        self._dialog.response(MADE)
