"""The dialog of Generate Variants: settings, previews, and which of them become layers.

It never holds up the canvas: the plug-in is a process of its own, the worker is asked in a thread, and the image stays
as it is until Keep as Layers. Whatever the user does to the image meanwhile becomes a message in the dialog.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import time
import traceback
from collections.abc import Callable

import chosen
import commands
import dialogs
import frames
import gi
import help_dialog
import records
from asking import Asking, CheckedHost
from images import every_layer
from words import _, explained, ngettext, translated

from lapcvae.protocol.errors import Cancelled, LapcvaeError
from lapcvae.protocol.messages import Prepared, Progress, Status, StatusRequest, Variant

gi.require_version("Gdk", "3.0")
gi.require_version("Gtk", "3.0")
gi.require_version("GimpUi", "3.0")
from generate_settings import SettingsPanel  # noqa: E402
from gi.repository import Gdk, Gimp, GimpUi, GLib, Gtk, Pango  # noqa: E402
from previews import Previews, Surroundings, fingerprint  # noqa: E402

# In milliseconds: how often the image is looked at, and for how long nothing may change before Live begins.
LOOK = 200
PAUSE = 500
# Fits beside a canvas on a screen of 1366 x 768, with room for eight variants and the photo.
WIDTH, HEIGHT = 960, 680
PROVIDERS = {"CPUExecutionProvider": "CPU", "CUDAExecutionProvider": _("NVIDIA GPU")}
PICK = _("Put a check mark under the variants that shall become layers, then press Keep as Layers.")
CHOOSE = _(
    "Choose under Painting which layer you painted on, or make a coarse layer (Filters > LapCVAE > Make Coarse Layer)."
)
FRAMELESS = _(
    "No frame is known for these strokes, so the largest square in the middle of the photo is taken for the face. For "
    "another one, make a coarse layer with the frame on the face (Filters > LapCVAE > Make Coarse Layer)."
)
ICONS = {"info": "dialog-information", "warning": "dialog-warning", "error": "dialog-error"}


def run(
    image: Gimp.Image, drawables: list, edit: commands.Edit, remember: Callable[[commands.Edit], None]
) -> Gimp.GroupLayer | None:
    """Open the dialog with the settings of `edit`; those that it ends with go to `remember`.

    Returns the group that was kept, None if none was. Raises Cancelled if nothing was even generated, or the image closed.
    """
    # What is missing altogether is said before any dialog appears.
    selected = chosen.editable_layer(image, drawables)
    photo = chosen.photo(image, selected)
    painting = edit.painting
    try:
        painting = painting or chosen.painting(image, selected, photo)
    except LapcvaeError:
        # Where there are other layers to choose from, the dialog asks.
        if not chosen.paintings(image, photo):
            raise
    if Gdk.Display.get_default() is None:
        raise LapcvaeError(_("There is no screen to open a dialog on."), _("Call this with the run mode NONINTERACTIVE."))
    # A progress bar in the image's window would have a Cancel that ends this process.
    Gimp.progress_end()
    GimpUi.init("lapcvae-edit")
    dialog = GenerateDialog(image, selected, photo, dataclasses.replace(edit, painting=painting))
    dialog.show()
    dialog.start()
    dialog.loop.run()
    remember(dialog.last)
    dialog.destroy()
    # After a success GIMP writes the settings into the image, too, which has to be there for that.
    if dialog.group is None and not (dialog.generated and image.is_valid()):
        raise Cancelled()
    return dialog.group


class GenerateDialog(Gtk.Dialog):
    """`loop` runs until the dialog is done with.

    Then `group` is what was kept, `generated` whether anything arrived, and `last` what the settings were.
    """

    def __init__(self, image: Gimp.Image, selected: Gimp.Layer, photo: Gimp.Layer, edit: commands.Edit):
        super().__init__(title=_("Generate Variants"), role="lapcvae-generate", default_width=WIDTH, default_height=HEIGHT)
        self.set_name("lapcvae-generate")
        dialogs.show_icon(self)
        self.loop = GLib.MainLoop()
        self.group: Gimp.GroupLayer | None = None
        self.generated = False
        self.last = edit
        self.asking = Asking()
        self._image, self._selected, self._photo = image, selected, photo
        # The edit that is being asked for, the one that the previews show, and what is the same for all of them.
        self._task: commands.EditTask | None = None
        self._shown: commands.EditTask | None = None
        self._prepared: Prepared | None = None
        self._again = False
        # Why the edit that is being asked for would change nothing, if so.
        self._nothing = ""
        self._asked_at = self._changed_at = 0.0
        # Of what is read from the image: as of the last look, and of the last generation.
        self._seen = self._read = b""
        self._gone = ""
        # The layers that were selected when the paintings were listed.
        self._selected_then = image.get_selected_layers()
        self._build(edit)
        self._offer_paintings()
        GimpUi.window_set_transient(self)
        self.connect("response", self._respond)
        self.connect("key-press-event", self._key)
        # Whoever comes back from the image may have made or deleted layers there.
        self.connect("notify::is-active", lambda *_: self.is_active() and self._offer_paintings())
        self._timer = GLib.timeout_add(LOOK, self._look)

    # -------------------------------------------------------------------------------------------- the widgets

    def _build(self, edit: commands.Edit) -> None:
        content = self.get_content_area()
        content.set_spacing(12)
        content.set_border_width(12)
        self.settings = SettingsPanel(edit, self._new_seed, self._say_where_strokes_are)
        self.live = Gtk.CheckButton.new_with_mnemonic(_("L_ive: generate while I paint"))
        self.live.set_name("live")
        self.live.set_tooltip_text(_("Generate anew half a second after you changed the painting or a setting."))
        left = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=12)
        # Else the sliders in it would make it as wide as the previews.
        left.set_hexpand(False)
        left.pack_start(self.settings, False, False, 0)
        left.pack_start(self.live, False, False, 0)
        self._facts = self._label("limits")
        left.pack_end(self._facts, False, False, 0)
        right = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=6)
        self.previews = Previews(self._picked)
        right.pack_start(self.previews, True, True, 0)
        right.pack_start(self._state_row(), False, False, 0)
        middle = Gtk.Box(spacing=12)
        middle.pack_start(left, False, False, 0)
        middle.pack_start(right, True, True, 0)
        content.pack_start(middle, True, True, 0)
        content.pack_start(self._message_row(), False, False, 0)
        for name, text, response, tip in (
            ("help", _("_Help"), Gtk.ResponseType.HELP, _("How to paint, and what the settings mean")),
            ("generate", _("_Generate"), Gtk.ResponseType.APPLY, _("Read the painted layer again and make new variants")),
            ("close", _("_Close"), Gtk.ResponseType.CLOSE, _("Close without changing the image")),
            ("keep", _("_Keep as Layers"), Gtk.ResponseType.OK, _("Put the variants with a check mark above the photo")),
        ):
            button = self.add_button(text, response)
            button.set_name(name)
            button.set_tooltip_text(tip)
        self.set_default_response(Gtk.ResponseType.APPLY)
        content.show_all()
        self._busy.set_visible_child_name("idle")

    def _state_row(self) -> Gtk.Box:
        """What runs and its Cancel, or what came of it; beside it what concerns all check marks."""
        self._busy = Gtk.Stack()
        self._state = self._label("state")
        self._state.set_line_wrap(False)
        self._state.set_valign(Gtk.Align.CENTER)
        self._state.set_ellipsize(Pango.EllipsizeMode.END)
        self._busy.add_named(self._state, "idle")
        self._bar = Gtk.ProgressBar(show_text=True, valign=Gtk.Align.CENTER)
        self._bar.set_name("progress")
        cancel = Gtk.Button.new_with_mnemonic(_("Cance_l"))
        cancel.set_name("cancel")
        cancel.set_tooltip_text(_("Stop; the variants that have arrived stay"))
        cancel.connect("clicked", lambda _: self.asking.cancel())
        running = Gtk.Box(spacing=6)
        running.pack_start(self._bar, True, True, 0)
        running.pack_start(cancel, False, False, 0)
        self._busy.add_named(running, "running")
        row = Gtk.Box(spacing=6)
        row.pack_start(self._busy, True, True, 0)
        for name, text, every in (("all", _("Pick _All"), True), ("none", _("Pick _None"), False)):
            button = Gtk.Button.new_with_mnemonic(text)
            button.set_name(name)
            button.connect("clicked", lambda _, every=every: self.previews.pick(every))
            row.pack_start(button, False, False, 0)
        return row

    def _message_row(self) -> Gtk.Box:
        self._icon = Gtk.Image(valign=Gtk.Align.START)
        self._message = self._label("message")
        self._message.set_selectable(True)
        self._message.set_can_focus(False)
        row = Gtk.Box(spacing=6)
        row.pack_start(self._icon, False, False, 0)
        row.pack_start(self._message, True, True, 0)
        # Room for two lines, so that nothing jumps when there is something to say.
        row.set_size_request(-1, 2 * self._message.create_pango_layout("X\nX").get_pixel_size()[1] // 2)
        return row

    def _label(self, name: str) -> Gtk.Label:
        # The width that it asks for is small; what it gets is up to the dialog.
        label = Gtk.Label(xalign=0, yalign=0, wrap=True, width_chars=20, max_width_chars=20)
        label.set_name(name)
        return label

    def _say(self, kind: str, text: str) -> None:
        """In the info area; an empty text clears it."""
        self._message.set_text(text)
        if text:
            self._icon.set_from_icon_name(ICONS[kind], Gtk.IconSize.BUTTON)
        else:
            self._icon.clear()

    def _say_error(self, error: Exception) -> None:
        if isinstance(error, LapcvaeError):
            self._say("error", explained(error))
            return
        traceback.print_exception(error)
        self._say(
            "error",
            _("Something unexpected went wrong ({kind}: {error}). Please report it.").format(
                kind=type(error).__name__, error=error
            ),
        )

    # --------------------------------------------------------------------------------------------- generating

    def start(self) -> None:
        """Ask which models there are, then generate for the first time."""
        self._show_running()
        self.asking.ask(StatusRequest(), None, self._hear, self._started)

    def _started(self, done, error: Exception | None) -> None:
        self._busy.set_visible_child_name("idle")
        self._again = False
        if error and not isinstance(error, Cancelled):
            self._say_error(error)
        else:
            self.generate()

    def _show_running(self) -> None:
        self._bar.set_fraction(0)
        self._bar.set_text(_("Starting"))
        self._busy.set_visible_child_name("running")

    def generate(self) -> None:
        """Read the image as it is now and ask for variants; what runs is cancelled first."""
        if self.asking.running:
            self._again = True
            self.asking.cancel()
            return
        self._say("", "")
        self._nothing = ""
        try:
            self._check_image()
            self._offer_paintings()
            if self.settings.paintings and not self.settings.painting_layer():
                # Only strokes, perhaps: which layer they are in is not for us to guess.
                self._say("info", CHOOSE)
                return
            self._task = commands.begin(self._image, self._present(), self.settings.edit())
            self._read = self._fingerprint()
        except Exception as error:
            self._say_error(error)
            return
        self._asked_at = time.monotonic()
        self._show_running()
        host = CheckedHost(self._task.host, self._task.check_painting, self._task.check)
        self.asking.ask(self._task.request, host, self._hear, self._end)

    def _check_image(self) -> None:
        if not self._image.is_valid():
            raise LapcvaeError(
                _("The image was closed."), _("Close this dialog; open the image and start again from there.")
            )

    def _present(self) -> list[Gimp.Layer]:
        """The layer that tells the photo: itself, or what this was opened with."""
        left = [layer for layer in (self._photo, self._selected) if layer.is_valid()]
        if not left:
            raise LapcvaeError(
                _("The photo layer was deleted, or what made it was undone."), _("Bring it back (Edit > Undo or Redo).")
            )
        return left[:1]

    def _offer_paintings(self) -> None:
        """List what can be the painting; a coarse layer that was selected since the last time becomes the chosen one."""
        if not self._image.is_valid() or not self._photo.is_valid():
            return
        there, selected = chosen.paintings(self._image, self._photo), self._image.get_selected_layers()
        active = self.settings.painting_layer()
        if selected != self._selected_then and selected and selected[0] in there and records.coarse_record(selected[0]):
            active = selected[0]
        self._selected_then = selected
        if active is None:
            with contextlib.suppress(LapcvaeError):
                active = chosen.painting(self._image, self._photo, self._photo)
        if active and active not in there:
            there.insert(0, active)
        self.settings.offer_paintings(there, active)

    def _say_where_strokes_are(self) -> None:
        """Strokes bring no frame along, and only a coarse layer can tell where the face is."""
        painting = self.settings.painting_layer()
        if painting is None or not self._image.is_valid() or not self._photo.is_valid() or self.last.frame:
            return
        if not records.coarse_record(painting) and not frames.of_coarse(self._image, self._photo, self._photo):
            self._say("info", FRAMELESS)
        elif self._message.get_text() in (CHOOSE, FRAMELESS):
            self._say("", "")

    def _hear(self, message) -> None:
        if isinstance(message, Progress):
            self._bar.set_fraction(message.done)
            self._bar.set_text(translated(message.text))
        elif isinstance(message, Status):
            self.settings.offer_models(message.facts["models"])
        elif isinstance(message, Prepared):
            if nothing := self._task.nothing_changes(message):
                # There is nothing to wait for.
                self._nothing = self._how_to_paint() if message.box.empty else str(nothing)
                self.asking.cancel()
            elif not self._again:
                self._begin_showing(message)
        elif isinstance(message, Variant) and self._shown is self._task:
            self.previews.add_variant(message)
            self.generated = True

    def _begin_showing(self, prepared: Prepared) -> None:
        try:
            self._task.check()
            around = Surroundings(self._task, prepared)
        except Exception as error:
            self.asking.cancel()
            self._say_error(error)
            return
        self._shown, self._prepared = self._task, prepared
        self.previews.begin(around, self._task.request.settings.count)
        side = self._task.request.frame.side
        provider = PROVIDERS.get(prepared.provider, prepared.provider)
        limits = _("Face {side:.0f} px, model {size:.0f} px: \u00d7{factor:.1f}").format(
            side=side, size=side / prepared.enlargement, factor=prepared.enlargement
        )
        if prepared.provider_reason and self._task.request.device != "cpu":
            computed = _("Computed on the {provider}, not on the GPU: {reason}")
        else:
            computed = _("Computed on the {provider}")
        reason = translated(prepared.provider_reason)
        self._facts.set_text(f"{limits}\n{computed.format(provider=provider, reason=reason)}")
        self._facts.set_tooltip_text(
            _(
                "The model draws this many pixels across the face; finer detail is taken from the photo around. "
                "A model with more pixels draws more detail."
            )
        )

    def _end(self, done, error: Exception | None) -> None:
        self._busy.set_visible_child_name("idle")
        if self._again:
            self._again = False
            self.generate()
            return
        if self._shown is self._task:
            self.previews.end()
            self._sum_up()
        if error and not isinstance(error, Cancelled):
            self._say_error(error)
        elif self._nothing:
            self._say("info", self._nothing)
        elif done and done.cancelled and not self._message.get_text():
            there, wanted = len(self.previews.variants), self._task.request.settings.count
            self._say("info", _("Cancelled; {count} of {wanted} arrived.").format(count=there, wanted=wanted))
        elif done and not self._message.get_text():
            self._say_where_strokes_are()

    def _how_to_paint(self) -> str:
        return _(
            'Nothing is painted yet. Take a brush and paint on the layer "{layer}", for example dark over the '
            "eyes for sunglasses or brown over the hair; or erase what shall be invented. Then press Generate."
        ).format(layer=self._task.asked.painting.name)

    def _sum_up(self) -> None:
        count = len(self.previews.variants)
        seconds = time.monotonic() - self._asked_at
        said = ngettext(
            "{count} variant in {seconds:.1f} s, by {model}", "{count} variants in {seconds:.1f} s, by {model}", count
        )
        self._state.set_text(said.format(count=count, seconds=seconds, model=self._prepared.model))

    def _new_seed(self) -> None:
        self.settings.seed.set_value(random.randrange(commands.SEEDS))
        self.generate()

    # ------------------------------------------------------------------------------- looking at the image meanwhile

    def _look(self) -> bool:
        """Several times a second: say what became of the image, and generate anew when Live is on."""
        try:
            self._say_what_is_gone()
            if self.live.get_active() and not self._gone:
                self._live()
        except Exception as error:
            self._say_error(error)
        return True

    def _say_what_is_gone(self) -> None:
        gone = ""
        try:
            self._check_image()
            task = self._task or self._shown
            if task:
                task.check_painting()
        except LapcvaeError as error:
            gone = str(error)
        if gone != self._gone:
            self._gone = gone
            self._say("warning", gone)

    def _fingerprint(self) -> bytes:
        task = self._task
        looked_at = [task.photo, task.painting]
        if task.reads == "visible":
            looked_at += [layer for layer in every_layer(self._image) if not records.added(layer)]
        return fingerprint(self._image, looked_at) + repr(self.settings.edit()).encode()

    def _live(self) -> None:
        if self._task is None:
            return
        seen, now = self._fingerprint(), time.monotonic()
        if seen != self._seen:
            self._seen, self._changed_at = seen, now
        elif seen != self._read and 1000 * (now - self._changed_at) >= PAUSE:
            self.generate()

    # ---------------------------------------------------------------------------------------------- the buttons

    def _picked(self) -> None:
        count = len(self.previews.picked)
        some = ngettext("_Keep {count} as Layer", "_Keep {count} as Layers", count).format(count=count)
        self.get_widget_for_response(Gtk.ResponseType.OK).set_label(some if count else _("_Keep as Layers"))
        if count and self._message.get_text() == PICK:
            self._say("", "")

    def _key(self, _widget, event) -> bool:
        # Escape closes an enlarged preview before it closes the dialog.
        return event.keyval == Gdk.KEY_Escape and self.previews.back()

    def _respond(self, _widget, response: Gtk.ResponseType) -> None:
        if response == Gtk.ResponseType.APPLY:
            self.generate()
        elif response == Gtk.ResponseType.HELP:
            help_dialog.show(self, help_dialog.GENERATE)
        elif response != Gtk.ResponseType.OK or self._keep():
            GLib.source_remove(self._timer)
            # Now: after the window's own close button its widgets are gone.
            self.last = self.settings.edit()
            self.hide()
            self.asking.close()
            self.loop.quit()

    def _keep(self) -> bool:
        """Whether the picked variants are layers now."""
        picked = self.previews.picked
        if not picked:
            self._say(
                "info", PICK if self.previews.variants else _("There are no variants to keep yet. Press Generate first.")
            )
            return False
        try:
            self._check_image()
            self.group = commands.insert(self._shown, self._prepared, picked)
        except Exception as error:
            self._say_error(error)
            return False
        return True
