"""The settings of Generate Variants as widgets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import commands
import gi
from words import _

from lapcvae.protocol.messages import MOST_VARIANTS, Settings

gi.require_version("Gtk", "3.0")
from gi.repository import Gimp, Gtk, Pango  # noqa: E402

SLIDERS = ("temperature", "realism", "structure", "grow")
SOURCES = {"auto": _("As the coarse layer"), "layer": _("Photo layer only"), "visible": _("What is visible")}
DEVICES = {"auto": _("Automatic"), "cpu": "CPU", "cuda": _("NVIDIA GPU")}


class SettingsPanel(Gtk.Grid):
    """What Generate Variants is told, on widgets; what they do not show stays as in the `edit` that it starts with.

    `paintings`: the layers that are offered as painting, by what the combo box calls them.
    """

    def __init__(self, edit: commands.Edit, new_seed: Callable, painting_changed: Callable):
        super().__init__(row_spacing=6, column_spacing=6)
        self._edit = edit
        self._rows = 0
        self.paintings = {str(edit.painting.get_id()): edit.painting} if edit.painting else {}
        self.painting = self._combo(
            "painting", _("_Painting"), {nick: layer.get_name() for nick, layer in self.paintings.items()},
            _("The layer that you painted on: a coarse layer of the photo, or strokes on a transparent layer above it."),
            next(iter(self.paintings), ""),
        )  # fmt: skip
        self._on_painting = self.painting.connect("changed", lambda _: painting_changed())
        self.count = self._spin("count", _("_Variants"), 1, MOST_VARIANTS, 0, _("How many variants to make."))
        tip = _("The same seed gives the same variants again.")
        self.seed = self._spin("seed", _("_Seed"), 0, commands.SEEDS - 1, 0, tip)
        new = Gtk.Button.new_with_mnemonic(_("Ne_w Seed"))
        new.set_name("new-seed")
        new.set_tooltip_text(_("Take another seed and generate: other variants of the same kind."))
        new.connect("clicked", lambda _: new_seed())
        self.attach(new, 2, self._rows - 1, 1, 1)
        self.temperature = self._slider(
            "temperature", _("_Temperature"), 0, 2,
            _("How far variants differ.\n0: all the same, the most likely one.\n1: all that the model finds possible."),
        )  # fmt: skip
        self.realism = self._slider(
            "realism", _("_Realism"), 0, 1,
            _("How crude your painting is.\n0: take its colours exactly.\n1: take it as a hint, and make it realistic."),
        )  # fmt: skip
        self.structure = self._slider(
            "structure", _("Photo's d_etail"), 0, 1,
            _("How much of the photo's own detail stays where you painted.\n0: all is drawn anew (glasses taken off).\n"
            "1: all of it, in your colours (hair of another colour)."),
        )  # fmt: skip
        self.grow = self._slider(
            "grow", _("Gr_ow"), 0, 8,
            _("How far the change fades out around what you painted, in coarse cells.\n"
            "More takes the traces of what was there before along."),
        )  # fmt: skip
        self.texture = Gtk.CheckButton.new_with_mnemonic(_("Te_xture of the skin around"))
        self.texture.set_active(edit.settings.texture)
        self._place("texture", None, self.texture,
                    _("Give new skin the grain of the skin around it, so that it does not look smooth."))  # fmt: skip
        self.source = self._combo(
            "source", _("So_urce"), SOURCES,
            _("What is read as the photo: the layer's own pixels, or what you see of it, with filters, masks and modes."),
            edit.source,
        )  # fmt: skip
        models = {"": _("Automatic")} | ({edit.model: edit.model} if edit.model else {})
        self.model = self._combo(
            "model", _("_Model"), models, _("What draws.\nAutomatic: the model that the coarse layer was made with."),
            edit.model,
        )  # fmt: skip
        self.device = self._combo(
            "device", _("_Device"), DEVICES, _("What computes.\nAutomatic: the GPU if there is a usable one."), edit.device
        )

    def painting_layer(self) -> Gimp.Layer | None:
        """The chosen one; None where none is, or it is gone."""
        layer = self.paintings.get(self.painting.get_active_id() or "")
        return layer if layer and layer.is_valid() else None

    def offer_paintings(self, there: list[Gimp.Layer], active: Gimp.Layer | None) -> None:
        """`active`: the one that is chosen now."""
        self.paintings = {str(layer.get_id()): layer for layer in there}
        # Nothing of this is the user's choice.
        with self.painting.handler_block(self._on_painting):
            self.painting.remove_all()
            for nick, layer in self.paintings.items():
                self.painting.append(nick, layer.get_name())
            self.painting.set_active_id(str(active.get_id()) if active else None)

    def offer_models(self, names) -> None:
        for name in sorted(set(names) - {row[1] for row in self.model.get_model()}):
            self.model.append(name, name)

    def edit(self) -> commands.Edit:
        """What the widgets say."""
        for spin in (self.count, self.seed, *(getattr(self, name) for name in SLIDERS)):
            # A number that is being typed counts, too.
            spin.update()
        settings = Settings(
            count=self.count.get_value_as_int(), seed=self.seed.get_value_as_int(), texture=self.texture.get_active(),
            **{name: getattr(self, name).get_value() for name in SLIDERS},
        )  # fmt: skip
        chosen_ids = {name: getattr(self, name).get_active_id() for name in ("model", "device", "source")}
        return dataclasses.replace(self._edit, settings=settings, painting=self.painting_layer(), **chosen_ids)

    # The rows.

    def _place(self, name: str, text: str | None, widget: Gtk.Widget, tip: str, width: int = 2) -> None:
        widget.set_name(name)
        widget.set_tooltip_text(tip)
        if text:
            label = Gtk.Label.new_with_mnemonic(text)
            label.set_xalign(0)
            label.set_mnemonic_widget(widget)
            label.set_tooltip_text(tip)
            self.attach(label, 0, self._rows, 1, 1)
            self.attach(widget, 1, self._rows, width, 1)
        else:
            self.attach(widget, 0, self._rows, 3, 1)
        self._rows += 1

    def _spin(self, name: str, text: str, least: float, most: float, digits: int, tip: str) -> Gtk.SpinButton:
        spin = Gtk.SpinButton(adjustment=self._adjustment(name, least, most), digits=digits)
        spin.set_width_chars(7)
        spin.set_activates_default(True)
        self._place(name, text, spin, tip, 1)
        return spin

    def _slider(self, name: str, text: str, least: float, most: float, tip: str) -> Gtk.SpinButton:
        """A scale and, beside it, the number; the number is what is named and returned."""
        adjustment = self._adjustment(name, least, most)
        scale = Gtk.Scale(adjustment=adjustment, draw_value=False, hexpand=True, tooltip_text=tip)
        scale.set_size_request(110, -1)
        spin = Gtk.SpinButton(adjustment=adjustment, digits=2)
        spin.set_width_chars(4)
        spin.set_activates_default(True)
        row = Gtk.Box(spacing=6)
        row.pack_start(scale, True, True, 0)
        row.pack_start(spin, False, False, 0)
        self._place(f"{name}-row", text, row, tip)
        self._label_of(row).set_mnemonic_widget(spin)
        spin.set_name(name)
        spin.set_tooltip_text(tip)
        return spin

    def _adjustment(self, name: str, least: float, most: float) -> Gtk.Adjustment:
        step = 0.05 if name in SLIDERS else 1
        return Gtk.Adjustment(
            value=getattr(self._edit.settings, name), lower=least, upper=most, step_increment=step, page_increment=4 * step
        )

    def _combo(self, name: str, text: str, choices: dict[str, str], tip: str, active: str) -> Gtk.ComboBoxText:
        combo = Gtk.ComboBoxText(hexpand=True)
        for nick, label in choices.items():
            combo.append(nick, label)
        combo.set_active(0)
        combo.set_active_id(active)
        # A long name of a layer or model does not widen the dialog. Its end stays: there GIMP tells a second coarse layer
        # of as many cells from the first ("#1").
        for cell in combo.get_cells():
            cell.set_property("ellipsize", Pango.EllipsizeMode.MIDDLE)
            cell.set_property("max-width-chars", 12)
        self._place(name, text, combo, tip)
        return combo

    def _label_of(self, widget: Gtk.Widget) -> Gtk.Widget:
        return self.get_child_at(0, self.child_get_property(widget, "top-attach"))
