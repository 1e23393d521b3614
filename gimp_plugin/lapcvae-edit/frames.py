"""What an image tells about where the frame is: its coarse layers, the selection, a path."""

from __future__ import annotations

import contextlib

import chosen
import layers
import places
import records
from gi.repository import Gimp
from placing import DIGITS, part, proposed_frame
from words import _

from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Box, Frame, Size


def of_coarse(image: Gimp.Image, selected: Gimp.Layer, photo: Gimp.Layer) -> Frame | None:
    """Where the frame of the selected coarse layer lies now, else of the topmost one of the photo; None if unknown."""
    coarse = selected if records.coarse_record(selected) else next(iter(chosen.coarse_layers(image, photo)), None)
    # Where the coarse layer lies now may not be known any more; then it says nothing.
    with contextlib.suppress(LapcvaeError):
        record = records.coarse_record(coarse) if coarse else None
        if record and not record.copied_to(image):
            return places.place(record, coarse, photo, image).frame.rounded(DIGITS)
    return None


def first(image: Gimp.Image, selected: Gimp.Layer, photo: Gimp.Layer) -> Frame:
    """Where the frame is before anybody places it: see `placing.proposed_frame`."""
    size = Size(photo.get_width(), photo.get_height())
    return proposed_frame(size, of_coarse(image, selected, photo), selection_box(image, photo)).rounded(DIGITS)


def for_strokes(image: Gimp.Image, photo: Gimp.Layer) -> Frame:
    """Of strokes that came without one. A selection says nothing here: it limits what changes."""
    known = of_coarse(image, photo, photo)
    return known or Frame.largest_centred(Size(photo.get_width(), photo.get_height()))


def selection_box(image: Gimp.Image, photo: Gimp.Layer) -> Box | None:
    """The selection's box in photo pixels; None where nothing is selected."""
    _, anything, left, top, right, bottom = Gimp.Selection.bounds(image)
    x, y = layers.offsets(photo)
    return Box(left - x, top - y, right - left, bottom - top) if anything else None


def selected_part(image: Gimp.Image, photo: Gimp.Layer) -> Box | None:
    """As `placing.part`."""
    return part(Size(photo.get_width(), photo.get_height()), selection_box(image, photo))


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


def eyes_on_photo(image: Gimp.Image, photo: Gimp.Layer) -> list[tuple[float, float]] | None:
    """As `eyes_of_path`, where it was most likely drawn for this: two points on the photo. None elsewhere."""
    with contextlib.suppress(LapcvaeError):
        points = eyes_of_path(image, photo)
        if all(0 <= x <= photo.get_width() and 0 <= y <= photo.get_height() for x, y in points):
            return points
    return None
