"""Where things are: sizes, boxes of whole pixels, and the frame between the model's square and the photo.

Pixel (i, j) covers [i, i+1) x [j, j+1), y downwards. See docs/how-it-works.md, "Geometry".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import LapcvaeError

# Far beyond any picture; keeps products of two coordinates exact in a double and arrays allocatable.
LARGEST_COORDINATE = 2**24


# A model's square is enlarged up to so many times before a larger model is worth its time.
ENLARGED = 1.5


def _require(condition: bool, cause: str, remedy: str = "") -> None:
    if not condition:
        raise LapcvaeError(cause, remedy)


def _is_whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_COORDINATE


@dataclass(frozen=True)
class Size:
    """Width and height in pixels, both at least 1."""

    width: int
    height: int

    def __post_init__(self):
        _require(
            _is_whole(self.width) and _is_whole(self.height) and self.width > 0 and self.height > 0,
            f"A picture of {self.width} x {self.height} pixels is not possible.",
        )

    @property
    def box(self) -> Box:
        return Box(0, 0, self.width, self.height)


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels: left, top, width, height; may be empty, may lie outside the photo."""

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self):
        _require(
            all(_is_whole(v) for v in (self.x, self.y, self.width, self.height))
            and self.width >= 0
            and self.height >= 0,
            f"The box {self.x},{self.y} {self.width}x{self.height} is not possible.",
        )

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def empty(self) -> bool:
        return self.width == 0 or self.height == 0

    def grown(self, margin: int) -> Box:
        return Box(self.x - margin, self.y - margin, self.width + 2 * margin, self.height + 2 * margin)

    def intersection(self, other: Box) -> Box:
        x, y = max(self.x, other.x), max(self.y, other.y)
        return Box(
            x, y, max(0, min(self.right, other.right) - x), max(0, min(self.bottom, other.bottom) - y)
        )

    def contains(self, other: Box) -> bool:
        return other.empty or self.intersection(other) == other


@dataclass(frozen=True)
class Eyes:
    """Where a model of faces expects the eyes: how far down, and how far apart around the middle, in sides of the square."""

    y: float
    distance: float

    def __post_init__(self):
        _require(
            all(isinstance(v, (int, float)) and 0 < v < 1 for v in (self.y, self.distance)),
            f"Eyes at {self.y} of the square's height and {self.distance} of it apart are not possible.",
        )


@dataclass(frozen=True)
class Frame:
    """The square that the model sees: centre and side in photo pixels, angle in degrees clockwise on the screen."""

    cx: float
    cy: float
    side: float
    angle: float = 0.0

    def __post_init__(self):
        values = (self.cx, self.cy, self.side, self.angle)
        _require(
            all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in values)
            and max(abs(v) for v in values) <= LARGEST_COORDINATE
            and self.side >= 1,
            f"The frame {','.join(map(str, values))} is not possible.",
            "Give centre and side in photo pixels (side at least 1) and the angle in degrees.",
        )

    @classmethod
    def parse(cls, text: str) -> Frame:
        """From "CX,CY,SIDE" or "CX,CY,SIDE,ANGLE"."""
        parts = text.split(",")
        try:
            numbers = [float(p) for p in parts]
        except ValueError:
            numbers = []
        _require(
            len(numbers) in (3, 4),
            f'The frame "{text}" cannot be read.',
            "Write it as CX,CY,SIDE or CX,CY,SIDE,ANGLE, for example 512,380,600 or 512,380,600,-8.",
        )
        return cls(*numbers)

    @classmethod
    def largest_centred(cls, size: Size) -> Frame:
        return cls(size.width / 2, size.height / 2, float(min(size.width, size.height)))

    @classmethod
    def from_eyes(cls, left: tuple[float, float], right: tuple[float, float], eyes: Eyes) -> Frame:
        """The frame in which the eyes at these photo points (left and right as seen in the frame) are where `eyes` says."""
        x, y = right[0] - left[0], right[1] - left[1]
        apart = math.hypot(x, y)
        _require(apart >= 1, "The two eyes are at the same place.", "Give the centres of both eyes.")
        # From the middle between the eyes to the square's centre: down along the face.
        down = (0.5 - eyes.y) / eyes.distance
        cx, cy = (left[0] + right[0]) / 2 - y * down, (left[1] + right[1]) / 2 + x * down
        return cls(cx, cy, apart / eyes.distance, math.degrees(math.atan2(y, x)))

    def eyes(self, eyes: Eyes) -> tuple[tuple[float, float], tuple[float, float]]:
        """Where the left and the right eye should be in the photo."""
        left, right = (self.to_photo(0.5 + sign * eyes.distance / 2, eyes.y, 1) for sign in (-1, 1))
        return left, right

    def corners(self) -> tuple[tuple[float, float], ...]:
        """Upper left, upper right, lower right, lower left, as seen in the frame; in photo pixels."""
        return tuple(self.to_photo(x, y, 1) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1)))

    def rounded(self, digits: int) -> Frame:
        """The same to so many decimals: as precise as what is shown of it."""
        return Frame(*(round(v, digits) for v in (self.cx, self.cy, self.side, self.angle)))

    def __str__(self) -> str:
        return ",".join(repr(v).removesuffix(".0") for v in (self.cx, self.cy, self.side, self.angle))

    def matrix(self, model_size: int) -> tuple[float, float, float, float, float, float]:
        """(a, b, c, d, e, f): a model point (x, y) lies in the photo at (a x + b y + c, d x + e y + f)."""
        scale = self.side / model_size
        # Exact zeros at multiples of 90 degrees keep upright frames free of rounding.
        turn = self.angle % 360.0
        cos, sin = {0.0: (1.0, 0.0), 90.0: (0.0, 1.0), 180.0: (-1.0, 0.0), 270.0: (0.0, -1.0)}.get(
            turn, (math.cos(math.radians(turn)), math.sin(math.radians(turn)))
        )
        a, b, d, e = scale * cos, -scale * sin, scale * sin, scale * cos
        half = model_size / 2
        return a, b, self.cx - a * half - b * half, d, e, self.cy - d * half - e * half

    def to_photo(self, x: float, y: float, model_size: int) -> tuple[float, float]:
        a, b, c, d, e, f = self.matrix(model_size)
        return a * x + b * y + c, d * x + e * y + f

    def to_model(self, x: float, y: float, model_size: int) -> tuple[float, float]:
        a, b, c, d, e, f = self.matrix(model_size)
        determinant = a * e - b * d
        x, y = x - c, y - f
        return (e * x - b * y) / determinant, (a * y - d * x) / determinant

    def bounds(self) -> Box:
        """The smallest box of whole pixels that covers the square."""
        xs, ys = zip(*self.corners())
        # A hair of tolerance, so that a side of 500 does not become 501 through rounding.
        x, y = math.floor(min(xs) + 1e-6), math.floor(min(ys) + 1e-6)
        return Box(x, y, math.ceil(max(xs) - 1e-6) - x, math.ceil(max(ys) - 1e-6) - y)


def fitting_size(side: float, sizes: Sequence[int]) -> int:
    """Of models of these sizes (pixels), the one for a frame of `side` photo pixels: the smallest that need not be enlarged
    by more than ENLARGED, else the largest."""
    return min((size for size in sizes if side <= ENLARGED * size), default=max(sizes))
