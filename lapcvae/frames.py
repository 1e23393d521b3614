"""Glasses that go: their frame is thin, and what is on both sides of it says what is behind it.

Who paints glasses away paints over the frame, and over brows and lids that lie beside it, too. Of strokes that say so only
that counts which a segmenter and the strokes both say to be frame, and is as thin and as dark or bright as that against
what is around. It is filled with the smooth continuation of the photo beside it; its texture comes back at the photo's own
resolution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from . import pyramid
from .glasses import GLASSES
from .masks import Paint
from .ramps import rises
from .segments import Segments
from .windows import window_max, window_mean

if TYPE_CHECKING:
    from .encoding import EncodedPhoto

# Under strokes there are glasses, more than the first share, and with the strokes less than the second of that.
BEFORE, AFTER = 0.6, 0.8
# A frame is thinner than this share of the side, and differs so much from what is on both sides: not at all, surely.
THIN, APART, ALIKE = 0.03, (0.03, 0.10), (0.08, 0.18)
# So likely is a pixel of glasses where a segmenter sees some: not, or well.
LIKELY = (0.15, 0.4)
# So far beyond strokes (share of the side) a frame goes on that they are for, and so wide is its blurred edge.
BEYOND, EDGE = 0.008, 0.008


@dataclass(frozen=True)
class Gone:
    """`photo` with what goes (`share`, S x S in 0..1) `filled`, S x S x 3 both; `where`: with its surroundings."""

    photo: np.ndarray
    filled: np.ndarray
    share: np.ndarray
    where: np.ndarray

    # Whether nothing else can be meant.
    sure: ClassVar[bool] = False

    @property
    def stays(self) -> np.ndarray:
        """How much of the photo's own detail does, S x S."""
        # The edge of what is so much darker rings in it.
        return 1 - window_mean(window_max(self.share, 2), 1)

    def picture(self, index: int) -> np.ndarray:
        """S x S x 3 in [0, 1]; variants differ in their texture alone."""
        return (self.photo + self.share[:, :, None] * (self.filled - self.photo)).astype(np.float32)


def frame_of(photo: EncodedPhoto, paint: Paint, painted: Callable[[], Segments]) -> Gone | None:
    """The photo without the frame that strokes are to take away; None: they are for something else."""
    segments = photo.segments
    if segments is None or GLASSES not in segments.classes or paint.erased.any() or paint.empty:
        return None
    n, size = len(segments.of), len(photo.b[0])
    amount = pyramid.block_mean(paint.amount, size // n)
    glasses = segments.share_of(GLASSES)
    before = float((amount * glasses).sum())
    if before < BEFORE * amount.sum():
        return None
    if float((amount * painted().share_of(GLASSES)).sum()) > AFTER * before:
        return None
    likely = rises(pyramid.enlarge(glasses[:, :, None], (size // n).bit_length() - 1)[:, :, 0], LIKELY)
    light = photo.b[0].mean(2)
    radius = max(1, round(THIN * size / 2))
    closed, opened = -window_max(-window_max(light, radius), radius), window_max(-window_max(-light, radius), radius)
    stands_out = np.maximum(closed - light, 0)
    surely = rises(stands_out, APART) * likely * np.where(paint.inside > 0.4 * paint.inside.max(), paint.amount, 0)
    if not (surely > 0.5).any():
        return None
    colour = np.median(photo.b[0][surely > 0.5], 0)
    alike = 1 - rises(np.abs(photo.b[0] - colour).max(2), ALIKE)
    near = window_max((paint.amount > 0.5).astype(np.float32), max(1, round(BEYOND * size)))
    share = alike * rises(stands_out, APART) * near * window_max(likely, 1)
    edge = max(1, round(EDGE * size))
    share = window_mean(window_max(share, edge), 1).astype(np.float32)
    # What is thicker than a frame has no two sides that say what is behind it: there strokes do.
    thick = radius + edge
    thick = window_max(-window_max(-share, thick), thick)
    share, painted_over = np.maximum(share - thick, 0), np.minimum(thick, paint.amount)
    if share.max() < 0.5:
        return None
    filled = continued(photo.b[0], np.minimum(2 * window_max(np.maximum(share, thick), 1), 1))
    strokes = np.clip(photo.b[0] + paint.fine, 0, 1)
    whole = np.maximum(share, painted_over)
    filled = filled + (painted_over / np.maximum(whole, 1e-3))[:, :, None] * (strokes - filled)
    return Gone(photo.b[0], filled, whole, (window_max(whole, 2) > 0).astype(np.float32))


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
