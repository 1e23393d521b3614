"""What is behind a head where something goes: the wall that is around, and nothing like it.

Who takes a hat away paints the wall over what stood out beyond the head. What is read and drawn of a wall is nearly its
colour, and nearly is seen: a halo. The wall itself is known beside it, and goes on smoothly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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
# So far around what may change it is looked, in pixels.
MARGIN = 16
# What is filled is made smooth by so many sweeps over each level of a pyramid, in parts of so many pixels.
SWEEPS, GRID = 12, 16
# A pixel is less likely of a wall than the first number: it is none; more than the second: it is.
SURE = (0.4, 0.75)


@dataclass(frozen=True)
class Behind:
    """`wall`: S x S x 3, what is behind everything else."""

    wall: np.ndarray

    def on(self, x: np.ndarray, segments: Segments, m: np.ndarray) -> np.ndarray:
        """A picture (S x S x 3, which is of `segments`) before it, where the mask `m` (S x S) is."""
        rows, columns = (np.flatnonzero(m.any(axis)) for axis in (1, 0))
        if not len(rows):
            return x
        part = tuple(slice(max(int(v[0]) - MARGIN, 0), int(v[-1]) + 1 + MARGIN) for v in (rows, columns))
        share = rises(segments.share_at(len(x), BACKGROUND), SURE)[part]
        share = sharpened(share, x[part], m[part] > 0)
        made = x.copy()
        made[part] += share[:, :, None] * (self.wall[part] - x[part])
        return made


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
    then = painted().share_of(BACKGROUND)
    strokes = (paint.amount > 0.9) & (then.repeat(1 << up, 0).repeat(1 << up, 1) > 0.5)
    if strokes.mean() < SOME:
        return None
    wall = continued(b_0, hole)
    apart = np.abs(b_0 + paint.fine - wall).max(2)[strokes]
    return Behind(wall) if np.median(apart) < ALIKE else None


def continued(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """`picture` (n x n x 3) with the smooth continuation of what is around where there is a `hole` (n x n in 0..1)."""
    rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
    if not len(rows):
        return picture
    part = tuple(
        slice(max(int(v[0]) // GRID - 1, 0) * GRID, min(-(-int(v[-1] + 1) // GRID) + 1, len(hole) // GRID) * GRID)
        for v in (rows, columns)
    )
    whole = picture.astype(np.float32).copy()
    whole[part] = _continued(whole[part], hole[part].astype(np.float32))
    return whole


def bridged(picture: np.ndarray, thin: np.ndarray, hole: np.ndarray, longest: int) -> np.ndarray:
    """`picture` (n x n x 3) with what is above and below in place of what is `thin`, n x n in 0..1, if they are no further
    apart than that: the upright edges that it crosses go on. Elsewhere what is all around. None of it is from the `hole`,
    n x n."""
    size = len(picture)
    free = (thin < 0.5) & (hole < 0.5)
    at = np.arange(size)[:, None]
    above = np.maximum.accumulate(np.where(free, at, -1), 0)
    below = np.minimum.accumulate(np.where(free, at, size)[::-1], 0)[::-1]
    straight = (above >= 0) & (below < size) & (below - above <= longest)
    above, below = np.clip(above, 0, size - 1), np.clip(below, 0, size - 1)
    columns, share = np.arange(size)[None], ((at - above) / np.maximum(below - above, 1))[:, :, None]
    between = picture[above, columns] + share * (picture[below, columns] - picture[above, columns])
    around = continued(picture, np.maximum(window_max(hole, 1), np.minimum(window_max(thin, 1), 1)).astype(np.float32))
    return np.where(straight[:, :, None], between, around).astype(np.float32)


def _continued(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """From half as many pixels, and so on (a pyramid), each made smooth."""
    known = (1 - hole)[:, :, None]
    filled, (height, width) = picture * known, hole.shape
    if min(height, width) > 2 and height % 2 == 0 and width % 2 == 0:
        halves = [v.reshape(height // 2, 2, width // 2, 2, -1).mean((1, 3)) for v in (filled, known)]
        mean = halves[0] / np.maximum(halves[1], 1e-6)
        coarse = _continued(mean, 1 - np.minimum(2 * halves[1][:, :, 0], 1))
        guess = coarse.repeat(2, 0).repeat(2, 1)
    else:
        guess = np.broadcast_to(filled.sum((0, 1)) / max(float(known.sum()), 1e-6), picture.shape)
    now = filled + hole[:, :, None] * guess
    for _ in range(SWEEPS):
        around = np.pad(now, ((1, 1), (1, 1), (0, 0)), mode="edge")
        mean = (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) / 4
        now = filled + hole[:, :, None] * mean
    return now
