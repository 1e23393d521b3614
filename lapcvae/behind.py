"""What is behind a head where something goes: the wall that is around, and nothing like it.

Who takes a hat away paints the wall over what stood out beyond the head. What is read and drawn of a wall is nearly its
colour, and nearly is seen: a halo. The wall itself is known beside it, and goes on smoothly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import pyramid
from .masks import Paint
from .meant import sharpened
from .ramps import rises
from .segments import BACKGROUND, Segments
from .windows import window_max

if TYPE_CHECKING:
    from .encoding import EncodedPhoto

# A wall is known where a pixel is more likely of it than this, and is no nearer than this share of the side to what is not.
KNOWN, BESIDE = 0.9, 0.02
# At least this share of the square is painted in its colours, which differ from it by no more than this.
SOME, ALIKE = 0.01, 0.1
# A pixel is less likely of a wall than the first number: it is none; more than the second: it is.
SURE = (0.4, 0.75)


@dataclass(frozen=True)
class Behind:
    """`wall`: S x S x 3, what is behind everything else."""

    wall: np.ndarray

    def on(self, x: np.ndarray, segments: Segments) -> np.ndarray:
        """A picture (S x S x 3, which is of `segments`) before it."""
        share = rises(segments.share_of(BACKGROUND), SURE)
        share = sharpened(share, x, np.ones(x.shape[:2], bool))
        return (x + share[:, :, None] * (self.wall - x)).astype(np.float32)


def behind(photo: EncodedPhoto, paint: Paint, painted: Callable[[], Segments]) -> Behind | None:
    """What is behind, if it is known and strokes say that it is to be seen."""
    segments, b_0 = photo.segments, photo.b[0]
    if segments is None or BACKGROUND not in segments.classes:
        return None
    size, n = len(b_0), len(segments.of)
    up = (size // n).bit_length() - 1
    far = max(1, round(BESIDE * n))
    other = window_max((segments.share_of(BACKGROUND) < KNOWN).astype(np.float32), far)
    hole = np.maximum(other.repeat(1 << up, 0).repeat(1 << up, 1), window_max((paint.cover > 0).astype(np.float32), 2 << up))
    if hole.mean() > 1 - SOME:
        return None
    wall = continued(b_0, hole)
    then = painted().share_of(BACKGROUND)
    strokes = (paint.amount > 0.9) & (then.repeat(1 << up, 0).repeat(1 << up, 1) > 0.5)
    if strokes.mean() < SOME:
        return None
    apart = np.abs(b_0 + paint.fine - wall).max(2)[strokes]
    return Behind(wall) if np.median(apart) < ALIKE else None


def continued(picture: np.ndarray, hole: np.ndarray, sweeps: int = 30) -> np.ndarray:
    """`picture` (n x n x 3) with the smooth continuation of what is around where there is a `hole` (n x n in 0..1)."""
    known = (1 - hole)[:, :, None].astype(np.float32)
    filled = picture * known
    if len(picture) > 4 and len(picture) % 2 == 0:
        weight = pyramid.block_mean(known[:, :, 0], 2)[:, :, None]
        mean = np.stack([pyramid.block_mean(filled[:, :, c], 2) for c in range(3)], 2) / np.maximum(weight, 1e-6)
        coarse = continued(mean, 1 - np.minimum(weight[:, :, 0] * 2, 1), sweeps)
        guess = pyramid.u(coarse)
    else:
        guess = np.broadcast_to(filled.sum((0, 1)) / max(float(known.sum()), 1e-6), picture.shape)
    now = filled + (1 - known) * guess
    for _ in range(sweeps):
        around = np.pad(now, ((1, 1), (1, 1), (0, 0)), mode="edge")
        mean = (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) / 4
        now = filled + (1 - known) * mean
    return now.astype(np.float32)
