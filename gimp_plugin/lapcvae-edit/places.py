"""Where a coarse layer lies over its photo now, whatever happened to image and layers since it was made."""

from __future__ import annotations

from dataclasses import dataclass

import layers
from gi.repository import Gimp
from records import CoarseRecord
from words import _

from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Box, Frame


@dataclass(frozen=True)
class Place:
    """`frame`, and the `box` of the picture that was shown, in the photo's present pixels.

    `scale`: how much larger the layer is than it was; `doubtful`: whether this was worked out from changed sizes or names.
    """

    frame: Frame
    box: Box
    scale: float
    doubtful: bool


def place(record: CoarseRecord, layer: Gimp.Layer, photo: Gimp.Layer, image: Gimp.Image) -> Place:
    """Raises LapcvaeError where that cannot be told."""
    photo_then = Box(record.photo_x, record.photo_y, record.source.width, record.source.height)
    then = _moved(record.box, photo_then.x, photo_then.y)
    now, photo_now = layers.box_of(layer), layers.box_of(photo)
    same, same_photo = _size(now) == _size(then), _size(photo_now) == _size(photo_then)
    # The photo may also have been taken for another layer.
    as_it_was = same and same_photo and photo.get_name() == record.source.name
    scale = 1.0
    if same:
        # Image, canvas or photo may have been cropped or moved; the frame goes where the coarse layer goes.
        shift = now.x - then.x, now.y - then.y
    elif same_photo:
        # Grown or cropped around what is painted (GIMP's brushes can do that), so only the photo says where it is.
        shift = photo_now.x - photo_then.x, photo_now.y - photo_then.y
    else:
        scale = _scale(then, now)
        shift = None
        if scale is None or not _near(scale, _scale(photo_then, photo_now), then):
            # Not scaled together, so most likely cropped.
            spans = _spans([(then, now), (photo_then, photo_now)], image)
            if all(low == high for low, high in spans):
                shift, scale = tuple(low for low, _ in spans), 1.0
            elif scale is None or all(low <= high for low, high in spans):
                raise LapcvaeError(
                    _(
                        'The coarse layer "{layer}" and the photo layer "{photo}" no longer fit together: '
                        "they were cropped, turned or stretched since the coarse layer was made."
                    ).format(layer=layer.get_name(), photo=photo.get_name()),
                    _("Undo that, or select the photo layer, choose Filters > LapCVAE > Make Coarse Layer and paint anew."),
                )
    if shift is not None:
        x, y = shift[0] - photo_now.x + photo_then.x, shift[1] - photo_now.y + photo_then.y
        old = record.frame
        frame = Frame(old.cx + x, old.cy + y, old.side, old.angle)
        return Place(frame, _moved(record.box, x, y), 1.0, not as_it_was)
    # Scaled: as far from the coarse layer's corner as before, in the new measure.
    frame = Frame(
        now.x + (record.frame.cx - record.box.x) * scale - photo_now.x,
        now.y + (record.frame.cy - record.box.y) * scale - photo_now.y,
        record.frame.side * scale,
        record.frame.angle,
    )
    return Place(frame, frame.bounds(), scale, True)


def _moved(box: Box, x: int, y: int) -> Box:
    return Box(box.x + x, box.y + y, box.width, box.height)


def _size(box: Box) -> tuple[int, int]:
    return box.width, box.height


def _scale(then: Box, now: Box) -> float | None:
    """How many times as large it is, if that is the same both ways but for edges that were rounded to pixels."""
    across, down = now.width / then.width, now.height / then.height
    return (across + down) / 2 if _near(across, down, then) else None


def _near(a: float, b: float | None, measured: Box) -> bool:
    """Whether two scales of about this box are the same but for rounding."""
    return b is not None and abs(a - b) <= 1 / measured.width + 1 / measured.height


def _spans(boxes: list[tuple[Box, Box]], image: Gimp.Image) -> list[tuple[int, int]]:
    """How far layers can have moved, across and down (least, most), if these boxes (then, now) were cropped with the image.

    An end that lies at the canvas's edge may have been cut off, any other one tells how far it moved. Least above most:
    it was something else than a crop.
    """
    ends = [
        ([((a.x, a.right), (b.x, b.right)) for a, b in boxes], image.get_width()),
        ([((a.y, a.bottom), (b.y, b.bottom)) for a, b in boxes], image.get_height()),
    ]
    spans = []
    for pairs, length in ends:
        low, high = -(2**31), 2**31
        for (first, last), (now_first, now_last) in pairs:
            high = min(high, now_first - first)
            low = max(low, now_last - last)
            if now_first != 0:
                low = max(low, now_first - first)
            if now_last != length:
                high = min(high, now_last - last)
        spans.append((low, high))
    return spans
