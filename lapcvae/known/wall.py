"""Another wall behind a person: all of what is behind the head gets it, up to the last hair, and nothing before it does.

Who paints a wall goes around the head with a big brush, and leaves some of the old one beside the hair; what stood there
stays in part. In a photo with a plain wall a segmenter sees plainly what is before it. At the person's edge a pixel has
something of both: of that the old wall goes, and the new one comes in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .. import hair, noise, pyramid
from ..extent import before_the_wall
from ..masks import Paint
from ..meant import sharpened
from ..ramps import rises
from ..segments import BACKGROUND, Segments
from ..windows import window_mean

if TYPE_CHECKING:
    from ..encoding import EncodedPhoto
    from ..engine import Engine

# At least these shares of strokes are of what is behind others: in the photo, and in the painted one; and they cover so
# much of it.
BEFORE, AFTER, MOST = 0.5, 0.8, 0.5
# Between the first likelihoods a pixel is of the wall, between the second surely; so far from strokes (shares of the side) it is all meant, and none.
SURE, SURELY, NEAR = (0.35, 0.65), (0.55, 0.8), (0.12, 0.2)
# What is less of the old wall than the first number says nothing of its colours; from the second on nothing of it is left.
OLD, ALL = 0.9, (0.85, 0.97)
# So far the old wall's colours are looked for (share of the side).
BESIDE = 0.03
# How much brighter one side of it is than the other, by variant, at most.
SLOPE = 0.04


@dataclass(frozen=True)
class Wall:
    """`photo` with the `new` wall in place of the `old` one, S x S x 3 each, as far as its `share`, S x S in 0..1."""

    # Whether nothing else can be meant.
    sure: ClassVar[bool] = True

    photo: np.ndarray
    old: np.ndarray
    new: np.ndarray
    share: np.ndarray
    seed: int

    @property
    def where(self) -> np.ndarray:
        """1 where there is any, S x S, else 0."""
        return (self.share > 0.02).astype(np.float32)

    @property
    def stays(self) -> np.ndarray:
        """How much of the photo's own detail does, S x S."""
        return 1 - self.share

    def picture(self, index: int) -> np.ndarray:
        """The photo before it, for a variant, S x S x 3 in [0, 1]."""
        at = np.linspace(-1, 1, len(self.photo), dtype=np.float32)
        down, right = np.clip(noise.gaussian((2,), "wall", self.seed, index), -1, 1) if index else (0.0, 0.0)
        new = self.new * (1 + SLOPE * (down * at[:, None] + right * at))[:, :, None]
        share = self.share[:, :, None]
        mixed = self.photo + share * (new - self.old)
        made = mixed + rises(share, ALL) * (new - mixed)
        return np.clip(made, 0, 1).astype(np.float32)


def wall_of(engine: Engine, photo: EncodedPhoto, paint: Paint, painted: Callable[[], Segments],
            seed: int) -> Wall | None:  # fmt: skip
    """The wall that strokes mean; None: they are of something else. `painted`: what the photo with the paint on it is of."""
    segments, b_0 = photo.segments, photo.b[0]
    if segments is None or BACKGROUND not in segments.classes or paint.erased.any() or paint.empty:
        return None
    size = len(b_0)
    amount = pyramid.block_mean(paint.amount, size // len(segments.of))
    then, now = (v.share_of(BACKGROUND) for v in (segments, painted()))
    if (amount * then).sum() < max(BEFORE * amount.sum(), MOST * then.sum()) or (amount * now).sum() < AFTER * amount.sum():
        return None
    of = before_the_wall(segments, painted(), paint)
    near = 1 - rises(paint.far / size, NEAR)
    new = hair.evened(np.clip(b_0 + paint.fine, 0, 1), paint.amount * paint.opaque * of.share_at(size, BACKGROUND))
    # Nearly all of it is there now: what is before it is plainer still.
    nearly = rises(of.share_at(size, BACKGROUND), SURE)[:, :, None]
    of = engine.segment((b_0 + nearly * (new - b_0)).astype(np.float32))
    share = sharpened(rises(of.share_of(BACKGROUND), SURE), b_0, np.ones(b_0.shape[:2], bool))
    # What stands there has edges of its own.
    share = np.maximum(share, rises(of.share_at(size, BACKGROUND), SURELY)) * near
    known = np.clip((segments.share_at(size, BACKGROUND) - OLD) / (1 - OLD), 0, 1)
    radius = max(1, round(BESIDE * size))
    total = window_mean(window_mean(known, radius), radius)[:, :, None]
    old = np.stack([window_mean(window_mean(known * b_0[:, :, c], radius), radius) for c in range(3)], 2)
    # Where no old wall is near, the edge is as it is.
    old = (old + 1e-4 * b_0) / (total + 1e-4)
    return Wall(b_0, old.astype(np.float32), new, share.astype(np.float32), seed)
