"""A brush: strokes with a soft or hard edge, varying width and a hand that is not quite steady.

Coordinates are shares of the aligned frame's side, (0, 0) at its top left.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Point = tuple[float, float]
# How far the hand strays from its line, and how much the pressure varies, as shares of the stroke's radius.
STRAY, PRESSURE = 0.12, 0.10


def curve(points: Sequence[Point], values: Sequence[float], per_part: int = 24) -> np.ndarray:
    """N x 3 (x, y, value) along the Bezier curves through `points`, whose tangents join (Catmull-Rom)."""
    knots = np.column_stack([np.asarray(points, float), np.asarray(values, float)])
    if len(knots) == 1:
        return knots
    padded = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    t = np.linspace(0, 1, per_part, endpoint=False)[:, None]
    parts = []
    for before, start, end, after in zip(padded, padded[1:], padded[2:], padded[3:]):
        first, second = start + (end - before) / 6, end - (after - start) / 6
        parts.append((1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * first + 3 * (1 - t) * t**2 * second + t**3 * end)
    return np.vstack([*parts, knots[-1:]])


class Canvas:
    """Paint on transparency, `side` x `side` pixels over the frame. `rgba`: premultiplied float32; `erased`: 0..1."""

    def __init__(self, side: int, seed: int = 0):
        self.side = side
        self.rgba = np.zeros((side, side, 4), np.float32)
        self.erased = np.zeros((side, side), np.float32)
        self._random = np.random.default_rng(seed)

    def stroke(
        self,
        points: Sequence[Point],
        radius: float | Sequence[float],
        colour: Sequence[float],
        opacity: float = 1.0,
        hardness: float = 0.5,
    ) -> None:
        """Paint along the curve through `points`; `radius` is one number or one for each point."""
        cover = opacity * self._cover(points, radius, hardness)[:, :, None]
        self.rgba *= 1 - cover
        self.rgba += cover * np.array([*colour, 1.0], np.float32)

    def erase(self, points: Sequence[Point], radius: float | Sequence[float], hardness: float = 0.8) -> None:
        """Make transparent what lies under the painting: "invent freely here"."""
        self.erased = np.maximum(self.erased, self._cover(points, radius, hardness))

    def _cover(self, points, radius, hardness: float) -> np.ndarray:
        """side x side, 0..1. A stroke covers a place once, however often the brush passes."""
        radii = [radius] * len(points) if isinstance(radius, (int, float)) else radius
        line = self._by_hand(curve(points, radii))
        cover = np.zeros((self.side, self.side), np.float32)
        last = None
        for x, y, r in line:
            # Dabs closer than a tenth of the brush cannot be told apart.
            if last is None or np.hypot(x - last[0], y - last[1]) > 0.1 * r or (x, y, r) == tuple(line[-1]):
                self._dab(cover, x * self.side, y * self.side, max(r * self.side, 0.6), hardness)
                last = x, y
        return cover

    def _by_hand(self, line: np.ndarray) -> np.ndarray:
        """The line with slow random deviations."""
        knots = max(3, len(line) // 12)
        at = np.linspace(0, knots - 1, len(line))
        slow = [np.interp(at, np.arange(knots), self._random.normal(size=knots)) for _ in range(3)]
        x, y, r = line.T
        return np.column_stack([x + STRAY * r * slow[0], y + STRAY * r * slow[1], r * (1 + PRESSURE * np.tanh(slow[2]))])

    def _dab(self, cover: np.ndarray, x: float, y: float, r: float, hardness: float) -> None:
        left, right = (int(np.clip(v, 0, self.side)) for v in (np.floor(x - r - 1), np.ceil(x + r + 1)))
        top, bottom = (int(np.clip(v, 0, self.side)) for v in (np.floor(y - r - 1), np.ceil(y + r + 1)))
        if left >= right or top >= bottom:
            return
        rows, columns = np.ogrid[top:bottom, left:right]
        far = np.hypot(columns + 0.5 - x, rows + 0.5 - y)
        # At least one pixel of soft edge.
        edge = np.clip((r - far) / max(r * (1 - hardness), 1.0), 0, 1)
        part = cover[top:bottom, left:right]
        np.maximum(part, edge * edge * (3 - 2 * edge), out=part)

    def over(self, shown: np.ndarray) -> np.ndarray:
        """The painting on an opaque picture (side x side x 4 uint8): what the user saves."""
        below = shown.astype(np.float32) / 255
        colour = below[:, :, :3] * (1 - self.rgba[:, :, 3:]) + self.rgba[:, :, :3]
        alpha = below[:, :, 3] * (1 - self.erased)
        return np.rint(np.clip(np.dstack([colour, alpha]), 0, 1) * 255).astype(np.uint8)
