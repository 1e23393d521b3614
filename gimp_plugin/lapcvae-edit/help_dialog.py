"""A short help, which the Help buttons of the other dialogs open."""

from __future__ import annotations

import dialogs
from gi.repository import Gtk
from words import _

# Titles and what stands below them.
FRAME = {
    _("What this makes"): _(
        "A new layer above the photo that shows the face in coarse cells. Paint on it; Generate Variants then turns what "
        "you painted into sharp variants, and changes the photo nowhere else."
    ),
    _("Placing the frame"): _(
        "The frame belongs around the whole face, hair and chin included. The dialog looks for it, in the selection if "
        "there is one; Find Face shows the next. Place by Eyes asks you to click both eyes. Or drag the frame: its "
        "corners scale it, the round grip turns it. At the end the rings should lie on the eyes."
    ),
    _("Choosing the cells"): _(
        "Few large cells are for large changes, such as hair or sunglasses; many small ones for eyes and mouth. A stroke "
        "should be at least two cells wide. By brush size chooses the cells to fit the brush that you have now."
    ),
    _("Painting"): _(
        "Paint as crudely as the cells are: dark over both eyes becomes sunglasses, brown over the hair another colour of"
        " hair. Pick colours that lie in the photo. What you erase is invented anew."
    ),
}
GENERATE = {
    _("How to paint"): _(
        "Paint on the coarse layer with any brush and press Generate; this dialog may stay open meanwhile. Paint crudely "
        "and in large strokes: dark over both eyes becomes sunglasses. What you erase is invented anew. Strokes on a "
        "transparent layer above the photo count as well: choose it under Painting. A selection limits where the photo "
        "changes."
    ),
    _("Choosing variants"): _(
        "Click a variant to see it larger. Put a check mark under those that you like and press Keep as Layers: they "
        "become layers with a mask, and one undo takes all of them away again."
    ),
    _("Temperature"): _("How far variants differ: at 0 all are the most likely one; near 1 they are the most varied."),
    _("Realism"): _(
        "How crude your painting is: at 0 its colours are taken exactly, at 1 only as a hint. Raise it when the result "
        "looks painted, lower it when the result ignores what you painted."
    ),
    _("Photo's detail"): _(
        "How much of the photo's own detail stays where you painted. At 0 all is drawn anew, as to take glasses off; at 1"
        " all of it stays in your colours, as for hair of another colour."
    ),
    _("Grow"): _(
        "How many coarse cells the change fades out across. Raise it where traces of what was there before are left "
        "around."
    ),
}


def show(parent: Gtk.Window, topics: dict[str, str]) -> None:
    """Open the help and return at once, so that what goes on in `parent` is not held up."""
    dialog, box = dialogs.dialog("lapcvae-help", _("LapCVAE Help"), ("close", _("_Close"), Gtk.ResponseType.CLOSE))
    dialog.set_transient_for(parent)
    dialog.set_destroy_with_parent(True)
    # Else it could not be closed before `parent`, which may be modal itself.
    dialog.set_modal(True)
    for title, words in topics.items():
        box.pack_start(dialogs.section(title, dialogs.text(words, width=72)), False, False, 0)
    dialog.connect("response", lambda *_: dialog.destroy())
    dialog.set_default_response(Gtk.ResponseType.CLOSE)
    dialog.show_all()
