"""Lines and marks on a picture of 8-bit RGB, with smooth edges, in plain Python.

GIMP's Python need not have pycairo (Debian 13's does not), and a widget cannot be drawn on without it.
"""

from __future__ import annotations

import math

Point = tuple[float, float]
Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
# What is left of the light outside the frame, of 256.
DIMMED = bytes(value * 150 // 256 for value in range(256))


class Picture:
    """`data`: rows of `width` RGB pixels without padding. Centres of pixels are at .5."""

    def __init__(self, width: int, height: int, data: bytes):
        self.width, self.height, self.data = width, height, bytearray(data)

    def dim_outside(self, corners: tuple[Point, ...]) -> None:
        """Darken everything outside the convex polygon."""
        bright, row = bytes(self.data), self.width * 3
        self.data[:] = bright.translate(DIMMED)
        for y in range(self.height):
            span = _span(corners, y + 0.5)
            if span:
                first = min(max(math.ceil(span[0] - 0.5), 0), self.width)
                last = min(max(math.floor(span[1] - 0.5) + 1, first), self.width)
                self.data[y * row + first * 3 : y * row + last * 3] = bright[y * row + first * 3 : y * row + last * 3]

    def line(self, a: Point, b: Point, width: float, colour: Colour) -> None:
        """From `a` to `b`, with square ends, `width` pixels wide."""
        dx, dy = b[0] - a[0], b[1] - a[1]
        length = math.hypot(dx, dy)
        if length < 1e-6:
            return
        # Walk along the axis in which the line is longer; at each step it covers a few pixels across.
        if abs(dx) >= abs(dy):
            self._walk(a, dx, dy, self.width, self.height, 3, self.width * 3, width * length / abs(dx), colour)
        else:
            self._walk(a[::-1], dy, dx, self.height, self.width, self.width * 3, 3, width * length / abs(dy), colour)

    def _walk(self, start, along, across, steps, most, step, stride, thickness, colour) -> None:
        """`step` and `stride` are the bytes to the next pixel along the line and across it."""
        begin, end = sorted((start[0], start[0] + along))
        slope, half, blend = across / along, thickness / 2, self._blend
        for i in range(max(0, math.floor(begin + 0.5)), min(steps, math.ceil(end - 0.5))):
            middle = start[1] + (i + 0.5 - start[0]) * slope
            low, high = middle - half, middle + half
            for j in range(max(0, math.floor(low)), min(most, math.ceil(high))):
                blend(i * step + j * stride, min(high, j + 1) - max(low, j), colour)

    def ring(self, centre: Point, radius: float, width: float, colour: Colour) -> None:
        """A circle, `width` pixels wide; with `width` twice the radius or more, a disc."""
        x, y = centre
        outer, half = radius + width / 2, width / 2
        for j in range(max(0, math.floor(y - outer - 1)), min(self.height, math.ceil(y + outer + 1))):
            for i in range(max(0, math.floor(x - outer - 1)), min(self.width, math.ceil(x + outer + 1))):
                distance = math.hypot(i + 0.5 - x, j + 0.5 - y)
                cover = half + 0.5 - abs(distance - radius)
                if cover > 0:
                    self._blend((j * self.width + i) * 3, min(1.0, cover), colour)

    def disc(self, centre: Point, radius: float, colour: Colour) -> None:
        self.ring(centre, radius / 2, radius, colour)

    def _blend(self, at: int, cover: float, colour: Colour) -> None:
        data = self.data
        for c in range(3):
            was = data[at + c]
            data[at + c] = was + round((colour[c] - was) * cover)


def _span(corners: tuple[Point, ...], y: float) -> tuple[float, float] | None:
    """From where to where the horizontal line at `y` is inside the convex polygon."""
    crossings = []
    for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0])):
        if (y0 <= y) != (y1 <= y):
            crossings.append(x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return (min(crossings), max(crossings)) if len(crossings) == 2 else None
