"""The dialog of Check Setup: the report, to read and to copy."""

from __future__ import annotations

import dialogs
from gi.repository import Gdk, Gtk
from words import _

COPY = 1


def show(report: str) -> None:
    """Until the user closes it. Needs a screen (`dialogs.can_open`)."""
    dialog, box = dialogs.dialog(
        "lapcvae-check", _("LapCVAE Setup"), ("copy", _("_Copy"), COPY), ("close", _("_Close"), Gtk.ResponseType.CLOSE)
    )
    dialog.set_default_response(Gtk.ResponseType.CLOSE)
    view = Gtk.TextView(editable=False, cursor_visible=False, monospace=True, wrap_mode=Gtk.WrapMode.WORD_CHAR)
    view.set_name("lapcvae-check-report")
    for side in ("left", "right", "top", "bottom"):
        getattr(view, f"set_{side}_margin")(dialogs.NEAR)
    view.get_buffer().set_text(report)
    scrolled = Gtk.ScrolledWindow(shadow_type=Gtk.ShadowType.IN, vexpand=True)
    scrolled.add(view)
    box.pack_start(scrolled, True, True, 0)
    dialog.set_default_size(760, 480)
    dialog.show_all()
    dialog.get_widget_for_response(Gtk.ResponseType.CLOSE).grab_focus()
    while dialog.run() == COPY:
        clipboard = Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD)
        clipboard.set_text(report, -1)
        # The plug-in ends with the dialog; whoever keeps the clipboard for others takes it over now.
        clipboard.store()
    dialog.destroy()
