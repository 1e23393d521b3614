"""Hair that was painted over a face, as hairs: a fringe, a moustache.

A stroke of hair over a forehead says where a fringe hangs, and of what colour it is. Its hairs come from the hair above, end
in points, and let the skin through between them; they cast a little shade. Those of a moustache are short, and lie to both
sides. How much hairs stand out, the photo's own hair says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .. import hair, noise, pyramid
from ..masks import Paint
from ..ramps import rises
from ..segments import OF_FACE, Segments
from ..windows import window_max, window_mean
from .shade import shade

if TYPE_CHECKING:
    from ..encoding import EncodedPhoto

# Under strokes of a fringe is less than the first share hair without them, more than the second with them, and more than the
# third face.
BEFORE, AFTER, ON_FACE = 0.5, 0.6, 0.4
# Those of a moustache cover at most the first share of the square, and no more than the second share of them is not on
# skin and lips, nor more than the third on lips alone, of which they touch some, in shares of themselves. They are darker
# than the skin by so much (full scale 1), and brown or gray: their own colours differ by less.
SMALL, BESIDE, LIPS, TOUCHED, DARKER, GRAY = 0.03, 0.1, 0.95, 0.1, 0.2, 0.2
# So much of them lies above the middle of the mouth, and they are so much wider than high.
ABOVE, WIDER = 0.7, 1.5
# So much of a stroke is thick of it.
THICK = 0.8
# A fringe ends so far (shares of the side) from the hair that it hangs from, at most.
FROM_HAIR = 0.12
# Between these shares of hair around it ends in that; how much single hairs and locks differ in that.
ROOT, ROOTS = (0.65, 1.1), (0.08, 0.14)
# How much they stand out, in spreads of the light of the photo's hair, which is taken for no less and no more than this; and
# the darkest and the lightest of them, as logarithms.
LIGHT, SPREAD, DARKEST = (0.6, 0.45), (0.12, 0.3), (-0.5, 0.3)
# How far the shade falls and how soft it is (shares of the side), and how dark.
FALLS, SOFT, SHADE = 0.012, 0.016, 0.3


@dataclass(frozen=True)
class Lie:
    """How hairs lie: they go apart by so much over the whole side (`apart`), look the same over a share of it (`length`),
    and are so wide in pixels of a square of 256 (`widths`: hairs, locks). Their outline is `blurred` by a share of the
    side, and these leave it so far (`leave`); a hair begins between two shares of what was painted (`alpha`)."""

    apart: float
    length: float
    widths: tuple[float, float]
    blurred: float
    leave: tuple[float, float]
    alpha: tuple[float, float]


FRINGE = Lie(0.8, 0.1, (1.1, 4.5), 0.012, (0.16, 0.12), (0.25, 0.75))
MOUSTACHE = Lie(10.0, 0.04, (0.9, 2.5), 0.009, (0.10, 0.03), (0.08, 0.5))


@dataclass(frozen=True)
class Locks:
    """`photo`: S x S x 3; `amount`: how much hair is meant, blurred, and how much was `painted`, S x S each; `lie`: how it
    lies; `colour`: of strokes, S x S x 3; `spread`: of the light of hair; `face`, `hair`: how near each pixel is to the
    middle of these, S x S in 0..1. `sure`: whether nothing else can be meant."""

    photo: np.ndarray
    amount: np.ndarray
    painted: np.ndarray
    lie: Lie
    colour: np.ndarray
    spread: float
    face: np.ndarray
    hair: np.ndarray
    seed: int
    sure: bool

    @property
    def where(self) -> np.ndarray:
        """1 where there is any, or its shade, S x S, else 0."""
        return (window_max(self.amount, round((FALLS + 2 * SOFT) * len(self.amount))) > 0.05).astype(np.float32)

    @property
    def stays(self) -> np.ndarray:
        """How much of the photo's own detail does, S x S."""
        return 1 - rises(self.amount, (0.3, 0.6))

    def picture(self, index: int) -> np.ndarray:
        """The photo with it, for a variant, S x S x 3 in [0, 1]."""
        thin, wide = (self._streaks(width, index, i) for i, width in enumerate(self.lie.widths))
        leave = self.lie.leave[0] * thin + self.lie.leave[1] * wide
        alpha = rises(self.amount + leave * np.minimum(2 * self.amount, 1), self.lie.alpha)
        # Each comes out of the hair above at a height of its own.
        alpha = alpha * (1 - (1 - self.painted) * rises(self.hair + ROOTS[0] * thin + ROOTS[1] * wide, ROOT))
        light = np.clip(self.spread * (LIGHT[0] * thin + LIGHT[1] * wide), *DARKEST)
        made = self.photo * (1 - SHADE * shade(alpha, FALLS, SOFT) * self.face)[:, :, None]
        made = made + alpha[:, :, None] * (self.colour * np.exp(light)[:, :, None] - made)
        return np.clip(made, 0, 1).astype(np.float32)

    def _streaks(self, width: float, *key: int) -> np.ndarray:
        """Noise that is the same along hairs and differs across them, S x S, of variance 1."""
        size, length = len(self.amount), self.lie.length * len(self.amount)
        width = width * size / 256
        y, x = np.mgrid[:size, :size].astype(np.float32) + 0.5
        across = self.amount.sum(0)
        middle = float((across * x[0]).sum() / max(float(across.sum()), 1e-6))
        top = float(np.argmax(self.amount.max(1) > 0.1))
        x = middle + (x - middle) / (1 + self.lie.apart * np.maximum(y - top, 0) / size)
        rows, columns = int(size / length) + 4, int(size / width) + 3
        values = noise.gaussian((rows, columns), "locks", self.seed, *key)
        # Each begins and ends at a height of its own.
        shift = 1 + np.clip(noise.gaussian((columns,), "ends", self.seed, *key), -1, 1)
        column = np.clip(x / width, 0, columns - 2)
        left = column.astype(int)
        sides = []
        for c in (left, left + 1):
            row = y / length + shift[c]
            above = row.astype(int)
            sides.append(values[above, c] + (row - above) * (values[above + 1, c] - values[above, c]))
        streaks = sides[0] + (column - left) * (sides[1] - sides[0])
        return streaks / max(float(streaks.std()), 1e-6)


def locks_of(photo: EncodedPhoto, paint: Paint, painted: Callable[[], Segments], seed: int) -> Locks | None:
    """The hair that strokes over the photo mean; None: they are of something else. `painted`: what the photo with the paint
    on it is of."""
    segments, b_0 = photo.segments, photo.b[0]
    if segments is None or not paint.on_photo or paint.erased.any() or paint.empty:
        return None
    amount = pyramid.block_mean(paint.amount, len(b_0) // len(segments.of))
    if _is_moustache(photo, paint, amount):
        lie, whole = MOUSTACHE, paint.amount
    elif _is_fringe(segments, amount, painted):
        lie, whole = FRINGE, _up_to_the_hair(paint.amount, segments.share_at(len(b_0), *hair.OF_HAIR))
    else:
        return None
    face, of_hair = (segments.share_at(len(b_0), *names) for names in (OF_FACE, hair.OF_HAIR))
    radius = max(1, round(lie.blurred * len(b_0)))
    soft = window_mean(window_mean(whole, radius), radius)
    root = 0 * of_hair
    if lie is FRINGE:
        root = window_mean(window_mean(of_hair, 2 * radius), 2 * radius)
        # Above there is none.
        below = np.maximum((face > 0.5).astype(np.float32), paint.amount)
        soft = soft * window_mean(window_max(below, 4 * radius), radius)
    colour = hair.evened(np.clip(b_0 + paint.fine, 0, 1), paint.amount * paint.opaque)
    spread = hair.contrast_of(next(b for b in photo.b if len(b) == len(segments.of)), hair.hair_of(segments))[2]
    spread = float(np.clip(spread, *SPREAD))
    return Locks(b_0, soft.astype(np.float32), paint.amount, lie, colour, spread, face, root, seed, lie is FRINGE)


def _is_fringe(segments: Segments, amount: np.ndarray, painted: Callable[[], Segments]) -> bool:
    total, face = amount.sum(), segments.share_of(*OF_FACE)
    if (amount * hair.hair_of(segments)).sum() > BEFORE * total or (amount * face).sum() < ON_FACE * total:
        return False
    return (amount * painted().share_of("hair")).sum() > AFTER * total


def _is_moustache(photo: EncodedPhoto, paint: Paint, amount: np.ndarray) -> bool:
    segments, total = photo.segments, amount.sum()
    below = segments.share_of("skin", "beard", "mouth")
    if amount.mean() > SMALL or (amount * below).sum() < (1 - BESIDE) * total:
        return False
    near = window_max(amount, max(1, len(amount) // 32))
    # It lies beside lips, and hardly on them, over them, and is wider than high.
    lips = segments.share_of("mouth")
    if (near * lips).sum() < TOUCHED * total or (amount * lips).sum() > LIPS * total:
        return False
    middle = int(np.searchsorted(np.cumsum(lips.sum(1)), lips.sum() / 2))
    high, wide = (int((amount.max(axis) > 0.5).sum()) for axis in (1, 0))
    if amount[:middle].sum() < ABOVE * total or wide < WIDER * high:
        return False
    colour = np.median((photo.b[0] + paint.fine)[paint.amount > THICK], 0)
    skin = next(b for b in photo.b if len(b) == len(segments.of))[segments.share_of("skin") > THICK]
    return len(skin) > 0 and colour.mean() < skin.mean() - DARKER and np.ptp(colour) < GRAY


def _up_to_the_hair(amount: np.ndarray, of_hair: np.ndarray) -> np.ndarray:
    """`amount`, and what is between it and the hair above, S x S."""
    below, above = amount, of_hair
    for _ in range(round(FROM_HAIR * len(amount))):
        below = np.maximum(below, np.pad(below[1:], ((0, 1), (0, 0))))
        above = np.maximum(above, np.pad(above[:-1], ((1, 0), (0, 0))))
    return np.maximum(amount, np.minimum(below, above))
