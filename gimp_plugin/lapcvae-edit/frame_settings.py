"""How the coarse layer is made, as widgets of the dialog of Make Coarse Layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import dialogs
from dialogs import FAR
from gi.repository import Gtk
from placing import Model
from words import _

NAME = "lapcvae-frame"
BY_BRUSH = _("By brush size")
SOURCES = {"auto": _("Automatic"), "layer": _("Photo layer only"), "visible": _("What is visible")}


@dataclass(frozen=True)
class Choice:
    """What the dialog remembers. `level` 0: by the brush; `model` empty: the worker chooses."""

    level: int
    style: str
    model: str
    source: str


class LayerPanel(Gtk.Box):
    """Model, cells, look and source; below them what follows from it.

    `choice`: what is chosen. Calls `changed()` when the user chose something, `another_model()` before that.
    """

    def __init__(self, remembered: Choice, changed: Callable[[], None], another_model: Callable[[], None]):
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=FAR)
        self.choice = remembered
        self._changed, self._another_model = changed, another_model
        self._models: dict[str, Model] = {}
        self._filling = dialogs.Filling()
        self._model = named(Gtk.ComboBoxText(), "model")
        self._model.set_tooltip_text(_("What draws.\nAutomatic: the smallest model that is fine enough for the face."))
        self._level = named(Gtk.ComboBoxText(), "level")
        self._level.set_tooltip_text(_("How many coarse cells lie across the frame"))
        self._level.append("0", BY_BRUSH)
        self._level.set_active(0)
        self._smooth = named(Gtk.RadioButton(label=_("Smoo_th"), use_underline=True), "smooth")
        blocks = named(Gtk.RadioButton(label=_("_Blocks"), use_underline=True, group=self._smooth), "blocks")
        (blocks if remembered.style == "blocks" else self._smooth).set_active(True)
        styles = Gtk.Box(spacing=FAR)
        for button in (self._smooth, blocks):
            styles.pack_start(button, False, False, 0)
        self._source = named(Gtk.ComboBoxText(), "source")
        self._source.set_tooltip_text(
            _("The layer's own pixels, or what you see of it, with filters, masks and modes.\n"
              "Automatic: the layer's own pixels; what you see, once a variant was kept above it.")
        )  # fmt: skip
        for nick, label in SOURCES.items():
            self._source.append(nick, label)
        self._source.set_active_id(remembered.source)
        self._source.connect("changed", self._on_choice)
        self._model.connect("changed", self._on_model)
        self._level.connect("changed", self._on_choice)
        self._smooth.connect("toggled", self._on_choice)
        self.rows = dialogs.rows(
            (_("_Model:"), self._model, ""),
            (_("_Cells:"), self._level, ""),
            (_("Shown as:"), styles, ""),
            (_("So_urce:"), self._source, ""),
        )
        for column in (0, 1):
            # Only worth a line where there is something to choose.
            self.rows.get_child_at(column, 0).set_no_show_all(True)
        self._facts = named(dialogs.text(width=38), "facts")
        self.pack_start(self.rows, False, False, 0)
        self.pack_start(self._facts, False, False, 0)

    @property
    def model(self) -> Model | None:
        """The chosen one; None while the worker has not told which there are."""
        return self._models.get(self._model.get_active_id())

    def level(self, side: float, brush: float) -> int:
        """The chosen level, or that which the brush asks for on a frame of this side."""
        return self.choice.level or self.model.level_for_brush(side, brush)

    def offer(self, found: dict[str, Model], default: str) -> None:
        self._models = found
        with self._filling():
            for model in found.values():
                self._model.append(model.name, model.title)
            self._model.set_active_id(self.choice.model if self.choice.model in found else default)
        for column in (0, 1):
            self.rows.get_child_at(column, 0).set_visible(len(found) > 1)
        self._fill_levels()
        self._on_choice()

    def tell(self, lines: list[str]) -> None:
        self._facts.set_text("\n\n".join(lines))

    def _fill_levels(self) -> None:
        with self._filling():
            self._level.remove_all()
            self._level.append("0", BY_BRUSH)
            for level in range(self.model.K, 0, -1):
                self._level.append(str(level), _cells(self.model.size >> level))
            self._level.set_active_id(str(min(self.choice.level, self.model.K)))

    def _on_model(self, _combo) -> None:
        if not self._filling:
            self._another_model()
            self._fill_levels()
            self._on_choice()

    def _on_choice(self, _widget=None) -> None:
        if self._filling:
            return
        style = "smooth" if self._smooth.get_active() else "blocks"
        # One alone was not chosen: that it was the only one is not to be remembered.
        model = self._model.get_active_id() if len(self._models) > 1 else self.choice.model
        level = int(self._level.get_active_id() or self.choice.level)
        self.choice = Choice(level, style, model, self._source.get_active_id())
        self._changed()


def _cells(n: int) -> str:
    """A level as it is offered, by how many cells lie across the face."""
    good = _("hair, skin, sunglasses") if n < 24 else _("eyes, mouth") if n < 48 else _("small details")
    return f"{n} \N{MULTIPLICATION SIGN} {n}: {good}"


def named(widget: Gtk.Widget, name: str) -> Gtk.Widget:
    widget.set_name(f"{NAME}-{name}")
    return widget
