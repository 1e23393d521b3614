"""What a person sees before painting: colours to pick, where the mouth is, and where the hair begins and ends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

EYE_Y, EYE_LEFT, EYE_RIGHT = 0.464, 0.374, 0.626
# Where the mouth of most faces is in the aligned frame; a sidecar can say otherwise.
MOUTH = (0.5, 0.735)
Colour = tuple[float, float, float]

# The middle of the head, from which its outline is looked for.
CENTRE = (0.5, 0.46)
# Directions in degrees from straight up, clockwise; hair is looked for from temple to temple.
TEMPLE = 66
# Half axes of a usual face up to the hairline, and of a usual head with hair.
FACE, HEAD = (0.24, 0.22), (0.31, 0.39)
# Colours (0..1) closer than this are the same surface.
SAME = 0.13


def ellipse(axes: tuple[float, float], degrees: float) -> float:
    """Radius of an ellipse (half axes across and up) in a direction from straight up."""
    a = np.radians(degrees)
    return float(1 / np.hypot(np.sin(a) / axes[0], np.cos(a) / axes[1]))


def towards(degrees: float, radius: float) -> tuple[float, float]:
    a = np.radians(degrees)
    return CENTRE[0] + radius * float(np.sin(a)), CENTRE[1] - radius * float(np.cos(a))


@dataclass(frozen=True)
class Scene:
    """`square`: the photo through the frame, S x S x 3 float32 sRGB; `bare`: the same without a pasted object.

    Colours are picked from what is seen; the head's outline is that of the person, whatever covers it.
    """

    square: np.ndarray
    bare: np.ndarray
    mouth: tuple[float, float] = MOUTH
    # How far the lips are from the mouth's middle: 0 for a closed mouth.
    parted: float = 0.0

    @property
    def chin(self) -> float:
        """Chins are about 1.6 times as far below the eyes as mouths are."""
        return EYE_Y + 1.6 * (self.mouth[1] - EYE_Y)

    def pick(self, x: float, y: float, radius: float = 0.015) -> Colour:
        """The colour picker with an average radius: the median, channel by channel."""
        return _median(self.square, x, y, radius)

    @property
    def skin(self) -> Colour:
        """Of the cheek with the lighter, more even skin."""
        y = (EYE_Y + self.mouth[1]) / 2
        return max((self.pick(x, y, 0.025) for x in (0.34, 0.66)), key=sum)

    @cached_property
    def background(self) -> tuple[Colour, Colour]:
        """On the left and on the right of the head: of three places at the edge the one most like the others."""
        return tuple(self._typical([_median(self.bare, x, y, 0.02) for y in (0.05, 0.30, 0.55)]) for x in (0.03, 0.97))

    @staticmethod
    def _typical(colours: list[Colour]) -> Colour:
        return min(colours, key=lambda c: sum(np.abs(np.subtract(c, other)).max() for other in colours))

    def _behind(self, degrees: float) -> np.ndarray:
        """The background where this direction leaves the frame, if it can be seen there."""
        usual = np.array(self.background[0 if degrees < 0 else 1])
        height = float(np.clip(towards(degrees, 0.5)[1], 0.03, 0.97))
        there = np.array(_median(self.bare, 0.03 if degrees < 0 else 0.97, height, 0.02))
        return there if np.abs(there - usual).max() < SAME else usual

    @cached_property
    def hair(self) -> list[tuple[float, float, float]]:
        """(direction, where hair begins, where it ends) from temple to temple."""
        directions = np.arange(-TEMPLE, TEMPLE + 1, 6.0)
        inner = [self._hairline(a) for a in directions]
        outer = [max(self.outline(a), i + 0.05) for a, i in zip(directions, inner)]
        return list(zip(directions.tolist(), steady(inner), steady(outer)))

    @property
    def hair_colour(self) -> Colour:
        """The median over the band of hair, of the person's own."""
        found = [_median(self.bare, *towards(a, (i + o) / 2), 0.015) for a, i, o in self.hair if abs(a) < 60]
        return tuple(np.median(found, axis=0).tolist())

    @cached_property
    def _smooth(self) -> np.ndarray:
        """The person without pasted objects, each pixel the mean of its neighbourhood."""
        padded = np.pad(self.bare, ((1, 1), (1, 1), (0, 0)), mode="edge")
        size = self.bare.shape[0]
        return np.mean([padded[i : i + size, j : j + size] for i in range(3) for j in range(3)], axis=0)

    def _along(self, degrees: float, radii: np.ndarray) -> np.ndarray:
        """len(radii) x 3: the colours that are met going outwards."""
        size = self.bare.shape[0]
        columns, rows = (np.array([towards(degrees, r) for r in radii]).T * size).astype(int).clip(0, size - 1)
        return self._smooth[rows, columns]

    def outline(self, degrees: float) -> float:
        """Where the head (or what hangs or sits on it) ends against the background."""
        radii = np.arange(0.20, 0.62, 0.01)
        same = np.abs(self._along(degrees, radii) - self._behind(degrees)).max(1) < 0.8 * SAME
        # From outside: the first place that is not background.
        ends = radii[~same]
        return float(np.clip(ends[-1] if len(ends) else ellipse(HEAD, degrees), 0.22, 0.62))

    def _hairline(self, degrees: float) -> float:
        """Where skin ends, near to where it usually does."""
        usual = ellipse(FACE, degrees)
        radii = np.arange(usual - 0.07, usual + 0.09, 0.008)
        forehead = np.array(_median(self.bare, 0.5, 0.36, 0.02))
        off = np.abs(self._along(degrees, radii) - forehead).max(1) > 1.4 * SAME
        return float(radii[np.argmax(off)]) if off.any() else usual


def _median(picture: np.ndarray, x: float, y: float, radius: float) -> Colour:
    size = picture.shape[0]
    reach = max(1, round(radius * size))
    column, row = (int(np.clip(v * size, 0, size - 1)) for v in (x, y))
    part = picture[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
    return tuple(np.median(part.reshape(-1, 3), axis=0).tolist())


def steady(values: list[float]) -> list[float]:
    """Without outliers: the median of five neighbours."""
    padded = np.pad(values, 2, mode="edge")
    return [float(np.median(padded[i : i + 5])) for i in range(len(values))]
