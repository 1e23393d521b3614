"""What LapCVAE's dialogs have in common: that they look like GIMP's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import gi

gi.require_version("Gdk", "3.0")
gi.require_version("GimpUi", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import Gdk, GimpUi, GLib, Gtk  # noqa: E402

# GIMP's own distances: between widgets of one group, and around and between groups.
NEAR, FAR = 6, 12
ICON = Path(__file__).resolve().parent / "icons" / "lapcvae.svg"


def can_open() -> bool:
    """Whether there is a screen; GIMP's console has none. Call it before making any widget."""
    if Gdk.Display.get_default() is None:
        return False
    GimpUi.init("lapcvae-edit")
    return True


def dialog(name: str, title: str, *buttons: tuple[str, str, int]) -> tuple[GimpUi.Dialog, Gtk.Box]:
    """A dialog and the box for its content. `buttons`, from left to right: name, label with a mnemonic, response."""
    header = Gtk.Settings.get_default().get_property("gtk-dialogs-use-header")
    made = GimpUi.Dialog(use_header_bar=header, title=title, role=name)
    made.set_name(name)
    show_icon(made)
    for button, label, response in buttons:
        Gtk.Dialog.add_button(made, label, response).set_name(f"{name}-{button}")
    box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=FAR, border_width=FAR)
    made.get_content_area().pack_start(box, True, True, 0)
    return made, box


def show_icon(window: Gtk.Window) -> None:
    # Where nothing can read SVG, GIMP's own icon stays.
    with contextlib.suppress(GLib.Error):
        window.set_icon_from_file(str(ICON))


class Filling:
    """True while the program sets widgets: `with filling():`. Their signals mean nothing then."""

    def __init__(self):
        self._now = False

    def __bool__(self) -> bool:
        return self._now

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        was, self._now = self._now, True
        try:
            yield
        finally:
            self._now = was


def text(words: str = "", width: int = 0) -> Gtk.Label:
    """A text that wraps at about `width` characters, or where its place ends."""
    label = Gtk.Label(label=words, xalign=0.0, yalign=0.0, wrap=True)
    if width:
        label.set_width_chars(width)
        label.set_max_width_chars(width)
    return label


def section(title: str, content: Gtk.Widget) -> GimpUi.Frame:
    """A group under a bold title."""
    frame = GimpUi.Frame.new(title)
    frame.add(content)
    return frame


def rows(*lines: tuple[str, Gtk.Widget, str]) -> Gtk.Grid:
    """Label (with a mnemonic), widget and unit, one below the other."""
    grid = Gtk.Grid(row_spacing=NEAR, column_spacing=NEAR)
    for row, (words, widget, unit) in enumerate(lines):
        label = Gtk.Label(label=words, use_underline=True, xalign=0.0, mnemonic_widget=widget)
        widget.set_hexpand(True)
        grid.attach(label, 0, row, 1, 1)
        grid.attach(widget, 1, row, 1 if unit else 2, 1)
        if unit:
            grid.attach(Gtk.Label(label=unit, xalign=0.0), 2, row, 1, 1)
    return grid


def align(*grids: Gtk.Grid) -> None:
    """Give the labels of several `rows` one width."""
    labels = Gtk.SizeGroup(mode=Gtk.SizeGroupMode.HORIZONTAL)
    for grid in grids:
        for child in grid.get_children():
            if grid.child_get_property(child, "left-attach") == 0:
                labels.add_widget(child)
