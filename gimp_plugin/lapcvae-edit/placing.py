"""Placing the frame on the photo: where it is first, how the hand changes it, and what follows from it. No GIMP in here.

Photo points are in photo pixels, widget points in pixels of the widget that shows the photo; `View` is between them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from words import _

from lapcvae.protocol.geometry import Box, Eyes, Frame, Size, fitting_size

Point = tuple[float, float]

# In widget pixels: how near to a grip counts as on it, and how far above the frame's upper edge the turning grip is.
REACH = 10.0
TURN_ARM = 26.0
# The frame's side in photo pixels, and how far its middle and side reach in sides of the photo.
SMALLEST_SIDE, FARTHEST = 8.0, 4
# The frame is set to tenths of a pixel and of a degree, which is what the dialog shows.
DIGITS = 1
# A turn with the modifier key stops at multiples of this, in degrees, as in GIMP's own tools.
TURN_STEP = 15.0
LARGEST_SCALE = 16.0
MOVE, TURN, CORNERS, EYES = "move", "turn", ("corner 0", "corner 1", "corner 2", "corner 3"), ("eye 0", "eye 1")


@dataclass(frozen=True)
class Model:
    """What the dialog needs to know of a model. `eyes` is None if it is not one of faces; `finder`: it looks for them;
    `sizes`: those that the worker chooses from by the face's size, if it does. Cells are those of the one that is here."""

    name: str
    title: str
    size: int
    K: int
    eyes: Eyes | None
    finder: bool
    sizes: tuple[int, ...] = ()

    def size_for(self, side: float) -> int:
        """The size that a frame of that side is drawn at."""
        return fitting_size(side, self.sizes or (self.size,))

    def cell(self, side: float, level: int) -> float:
        """Photo pixels across one cell of the level, with a frame of that side."""
        return side / self.size * (1 << level)

    def level_for_brush(self, side: float, brush: float) -> int:
        """The coarsest level at which a stroke of the brush covers two cells; the finest if there is none."""
        return max((j for j in range(1, self.K + 1) if 2 * self.cell(side, j) <= brush), default=1)


# ------------------------------------------------------------------------------------------------ where it is first


def proposed_frame(size: Size, coarse: Frame | None = None, selected: Box | None = None) -> Frame:
    """Where the frame is before anybody places it.

    `coarse`: that of the photo's coarse layer, so that a second one fits the first; `selected`: the selection's box in
    photo pixels. A selection away from the coarse layer means another face. Without both: the largest centred square.
    """
    around = _around(size, selected)
    if coarse and not (around and not _holds(coarse, (around.cx, around.cy))):
        return coarse
    return around or Frame.largest_centred(size)


def part(size: Size, selected: Box | None) -> Box | None:
    """What is selected of the photo; None if that is nothing, or all of it."""
    there = selected.intersection(size.box) if selected else None
    return None if there is None or there.empty or there == size.box else there


def _around(size: Size, selected: Box | None) -> Frame | None:
    """The square around what is selected of the photo."""
    there = part(size, selected)
    if there is None:
        return None
    side = max(there.width, there.height, SMALLEST_SIDE)
    return Frame(there.x + there.width / 2, there.y + there.height / 2, float(side))


def _holds(frame: Frame, point: Point) -> bool:
    return all(0 <= v <= 1 for v in frame.to_model(*point, 1))


def from_clicked_eyes(first: Point, second: Point, eyes: Eyes, present: Frame) -> Frame:
    """The frame for two eyes clicked in either order: of the two possible ones, that which is turned less against
    the present one."""
    angle = math.radians(present.angle)
    rightwards = (second[0] - first[0]) * math.cos(angle) + (second[1] - first[1]) * math.sin(angle)
    left, right = (first, second) if rightwards >= 0 else (second, first)
    return Frame.from_eyes(left, right, eyes)


# -------------------------------------------------------------------------------------------------- what is shown


@dataclass(frozen=True)
class View:
    """Photo point (left, top) is at the widget's corner; `scale` widget pixels are one photo pixel."""

    left: float
    top: float
    scale: float

    @classmethod
    def of(cls, box: Box, width: int, height: int, margin: int) -> View:
        """All of `box`, as large as the widget allows, centred, with at least `margin` widget pixels around it."""
        room_x, room_y = max(1, width - 2 * margin), max(1, height - 2 * margin)
        scale = min(room_x / max(1, box.width), room_y / max(1, box.height), LARGEST_SCALE)
        x, y = box.x + box.width / 2, box.y + box.height / 2
        return cls(x - width / 2 / scale, y - height / 2 / scale, scale)

    def to_photo(self, x: float, y: float) -> Point:
        return self.left + x / self.scale, self.top + y / self.scale

    def to_widget(self, x: float, y: float) -> Point:
        return (x - self.left) * self.scale, (y - self.top) * self.scale

    def zoomed(self, factor: float, x: float, y: float, least: float) -> View:
        """Larger by `factor`, but not smaller than `least`; the photo point under widget point (x, y) stays there."""
        scale = min(max(self.scale * factor, least), LARGEST_SCALE)
        px, py = self.to_photo(x, y)
        return View(px - x / scale, py - y / scale, scale)

    def moved(self, dx: float, dy: float) -> View:
        """The photo moved by so many widget pixels."""
        return replace(self, left=self.left - dx / self.scale, top=self.top - dy / self.scale)


# ------------------------------------------------------------------------------------------------------ the hand


def turn_grip(frame: Frame, view: View) -> Point:
    """Where the grip for turning is, in widget pixels: above the middle of the upper edge, as seen in the frame."""
    x, y = view.to_widget(*frame.to_photo(0.5, 0, 1))
    angle = math.radians(frame.angle)
    return x + TURN_ARM * math.sin(angle), y - TURN_ARM * math.cos(angle)


def grip_at(frame: Frame, eyes: Eyes | None, view: View, x: float, y: float) -> str:
    """What a press at widget point (x, y) takes hold of; empty: the photo beside the frame."""
    grips = {TURN: turn_grip(frame, view)}
    grips |= zip(CORNERS, (view.to_widget(*corner) for corner in frame.corners()))
    if eyes:
        grips |= zip(EYES, (view.to_widget(*eye) for eye in frame.eyes(eyes)))
    distance, nearest = min((math.hypot(x - gx, y - gy), name) for name, (gx, gy) in grips.items())
    # In a frame that is small on the screen the grips must leave some room to move it by.
    if distance <= min(REACH, max(3.0, frame.side * view.scale / 8)):
        return nearest
    return MOVE if _holds(frame, view.to_photo(x, y)) else ""


def dragged(
    grip: str, frame: Frame, eyes: Eyes | None, start: Point, now: Point, centred: bool = False, stepped: bool = False
) -> Frame:
    """`frame` as it was at `start`, after the grip went from photo point `start` to `now`.

    A corner scales around the opposite one, or (`centred`) around the middle; `stepped`: turn by steps.
    """
    dx, dy = now[0] - start[0], now[1] - start[1]
    if grip == MOVE:
        return replace(frame, cx=frame.cx + dx, cy=frame.cy + dy)
    if grip == TURN:
        return turned(frame, _bearing(frame, now) - _bearing(frame, start), stepped)
    if grip in EYES:
        points = list(frame.eyes(eyes))
        here = EYES.index(grip)
        points[here] = points[here][0] + dx, points[here][1] + dy
        # Eyes that meet have no direction; nearer than this is no face either.
        return frame if math.dist(*points) < SMALLEST_SIDE * eyes.distance else Frame.from_eyes(*points, eyes)
    corners, here = frame.corners(), CORNERS.index(grip)
    x, y = corners[here]
    fixed_x, fixed_y = (frame.cx, frame.cy) if centred else corners[(here + 2) % 4]
    # Along the frame's diagonal, so that it stays a square.
    length = math.hypot(x - fixed_x, y - fixed_y)
    ux, uy = (x - fixed_x) / length, (y - fixed_y) / length
    factor = max((length + dx * ux + dy * uy) / length, SMALLEST_SIDE / frame.side)
    return Frame(
        fixed_x + (frame.cx - fixed_x) * factor, fixed_y + (frame.cy - fixed_y) * factor, frame.side * factor, frame.angle
    )


def turned(frame: Frame, by: float, stepped: bool = False) -> Frame:
    """Turned around its middle by degrees; the angle stays above -180 and up to 180."""
    angle = frame.angle + by
    if stepped:
        angle = round(angle / TURN_STEP) * TURN_STEP
    return replace(frame, angle=180 - (180 - angle) % 360)


def scaled(frame: Frame, factor: float) -> Frame:
    return replace(frame, side=max(SMALLEST_SIDE, frame.side * factor))


def farthest(size: Size) -> float:
    """The largest coordinate and side that a frame on a photo of that size may have."""
    return max(float(FARTHEST * max(size.width, size.height)), SMALLEST_SIDE)


def settled(frame: Frame, size: Size) -> Frame:
    """As it is shown: rounded, and not lost in the distance."""
    far = farthest(size)
    cx, cy = (min(max(v, -far), far) for v in (frame.cx, frame.cy))
    return Frame(cx, cy, min(max(frame.side, SMALLEST_SIDE), far), frame.angle).rounded(DIGITS)


def _bearing(frame: Frame, point: Point) -> float:
    return math.degrees(math.atan2(point[1] - frame.cy, point[0] - frame.cx))


# ------------------------------------------------------------------------------------------------ what follows


def consequences(frame: Frame, size: Size, model: Model, level: int, brush: float) -> list[str]:
    """What the user should know of this choice, a sentence or two a line."""
    cell, drawn_at, n = model.cell(frame.side, level), model.size_for(frame.side), model.size >> level
    factor = frame.side / drawn_at
    lines = [
        _("One of {n} \u00d7 {n} cells is {cell}; your brush is {brush}.").format(n=n, cell=_px(cell), brush=_px(brush))
    ]
    if brush < cell and level > 1:
        lines[0] += " " + _("Paint with a larger brush, or choose finer cells.")
    elif brush < cell:
        lines[0] += " " + _("Paint with a larger brush.")
    face, other = _("Face {side}, model {size}: \u00d7{factor:.1f}"), _("Frame {side}, model {size}: \u00d7{factor:.1f}")
    limits = face if model.eyes else other
    lines.append(limits.format(side=_px(frame.side), size=_px(drawn_at), factor=factor))
    lines[-1] += _(", so results are softer than the photo.") if factor > 2 else "."
    if frame.bounds().intersection(size.box).empty:
        lines.append(_("The frame lies beside the layer. Move it onto the face."))
    elif not size.box.contains(frame.bounds()):
        lines.append(_("Where the frame passes the layer's edge, the edge is repeated."))
    if frame.angle % 90:
        lines.append(_("Outside the turned square the coarse layer is transparent."))
    return lines


def _px(length: float) -> str:
    return f"{length:.0f}\N{NO-BREAK SPACE}px"
