"""Where a coarse layer lies over its photo now, whatever happened to image and layers since it was made."""

from __future__ import annotations

from dataclasses import dataclass

import layers
from gi.repository import Gimp
from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Box, Frame
from records import CoarseRecord


@dataclass(frozen=True)
class Place:
    """`frame`, and the `box` of the picture that was shown, in the photo's present pixels.

    `scale`: how much larger the layer is than it was; `doubtful`: whether this was worked out from changed sizes.
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
    scale = 1.0
    if same:
        # Image, canvas or photo may have been cropped or moved; the frame goes where the coarse layer goes.
        shift = now.x - then.x, now.y - then.y
    elif same_photo:
        # Grown or cropped around what is painted (GIMP's brushes can do that), so only the photo says where it is.
        shift = photo_now.x - photo_then.x, photo_now.y - photo_then.y
    else:
        scale = _scale(then, now)
        together = scale is not None and _near(scale, _scale(photo_then, photo_now), then)
        shift = None if together else _cropped(then, now, photo_then, photo_now, image)
        if scale is None and shift is None:
            raise LapcvaeError(
                f'The coarse layer "{layer.get_name()}" and the photo layer "{photo.get_name()}" no longer fit together: '
                "they were cropped, turned or stretched since the coarse layer was made.",
                "Undo that, or select the photo layer, choose Filters > LapCVAE > Make Coarse Layer and paint anew.",
            )
    if shift is not None:
        x, y = shift[0] - photo_now.x + photo_then.x, shift[1] - photo_now.y + photo_then.y
        old = record.frame
        frame = Frame(old.cx + x, old.cy + y, old.side, old.angle)
        return Place(frame, _moved(record.box, x, y), 1.0, not (same and same_photo))
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


def _cropped(then: Box, now: Box, photo_then: Box, photo_now: Box, image: Gimp.Image) -> tuple[int, int] | None:
    """How far everything moved when the image was cropped through the coarse layer; None where that cannot be told."""
    if now.width > then.width or now.height > then.height:
        return None
    x = _end_shift(
        (then.x, then.right), (now.x, now.right), (photo_then.x, photo_then.right), (photo_now.x, photo_now.right),
        image.get_width(),
    )  # fmt: skip
    y = _end_shift(
        (then.y, then.bottom), (now.y, now.bottom), (photo_then.y, photo_then.bottom), (photo_now.y, photo_now.bottom),
        image.get_height(),
    )  # fmt: skip
    return None if x is None or y is None else (x, y)


def _end_shift(then, now, photo_then, photo_now, length: int) -> int | None:
    """One axis: an end that lies within the canvas was not cut off, so it tells how far it moved."""
    for (first, last), (now_first, now_last) in ((then, now), (photo_then, photo_now)):
        if now_last - now_first == last - first or now_first > 0:
            return now_first - first
        if now_last < length:
            return now_last - last
    return None
