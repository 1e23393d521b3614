"""Glasses that go: their frame is thin, and what is on both sides of it says what is behind it.

Who paints glasses away paints over the frame, and over brows and lids that lie beside it, too. Of strokes that say so only
that counts which a segmenter and the strokes both say to be frame, and which is thin, and darker than what is around it. It
is filled with the smooth continuation of the photo beside it; its texture comes back at the photo's own resolution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .. import pyramid
from ..behind import continued
from ..masks import Paint
from ..ramps import rises
from ..segments import Segments
from ..windows import window_max, window_mean
from .glasses import GLASSES

if TYPE_CHECKING:
    from ..encoding import EncodedPhoto

# More than the first share of what is under strokes is glasses, and less than the second of that with them; less than the
# third, and there is no doubt.
BEFORE, AFTER, SURE = 0.6, 0.8, 0.5
# A frame is thinner than this share of the side, and between so much and so much darker than what is on both sides; its
# colours differ by no more than between those. How likely a pixel is of glasses where a segmenter sees some.
THIN, DARKER, ALIKE, LIKELY = 0.03, (0.03, 0.10), (0.08, 0.18), (0.15, 0.4)
# Between these shares of all that, a pixel comes to be of a frame; between those, what is too thick for one is told from it.
SURELY, THICK = (0.15, 0.5), (0.4, 0.8)
# What is in the middle of strokes, so far inside against most of it, is a frame if it looks like one.
DEEP = 0.4
# At least this share of what strokes cover of it is so thin, or there are dark lenses.
ALONE = 0.5
# So far beyond strokes (share of the side) goes a frame that they are for, and so wide is its blurred edge.
BEYOND, EDGE = 0.008, 0.008


@dataclass(frozen=True)
class Gone:
    """`photo` with what goes (`share`, S x S in 0..1) `filled`, S x S x 3 both; `where`: with its surroundings."""

    photo: np.ndarray
    filled: np.ndarray
    share: np.ndarray
    where: np.ndarray
    # Whether nothing else can be meant.
    sure: bool

    @property
    def stays(self) -> np.ndarray:
        """How much of the photo's own detail does, S x S."""
        # The edge of what is so much darker rings in it.
        return 1 - window_mean(window_max(self.share, 2), 1)

    def picture(self, index: int) -> np.ndarray:
        """S x S x 3 in [0, 1]; variants differ in their texture alone."""
        return (self.photo + self.share[:, :, None] * (self.filled - self.photo)).astype(np.float32)


def frame_of(photo: EncodedPhoto, paint: Paint, painted: Callable[[], Segments], seed: int) -> Gone | None:
    """The photo without the dark frame that strokes are to take away; None: they are for something else. `painted`: what the
    photo with the paint on it is of."""
    segments, b_0 = photo.segments, photo.b[0]
    if segments is None or GLASSES not in segments.classes or paint.erased.any() or paint.empty:
        return None
    amount = pyramid.block_mean(paint.amount, len(b_0) // len(segments.of))
    before = (amount * segments.share_of(GLASSES)).sum()
    after = (amount * painted().share_of(GLASSES)).sum()
    if before <= BEFORE * amount.sum() or after > AFTER * before:
        return None
    radius, edge = (max(1, round(share * len(b_0))) for share in (THIN / 2, EDGE))
    frame = _frame(b_0, paint, segments.share_at(len(b_0), GLASSES), radius)
    if frame is None:
        return None
    frame = window_mean(window_max(rises(frame, SURELY), edge), 1).astype(np.float32)
    # What is thicker has no two sides that say what is behind it: there strokes do.
    thick = rises(window_max(-window_max(-frame, radius + edge), radius + edge), THICK)
    filled = continued(b_0, np.minimum(2 * window_max(frame, 1), 1))
    frame, painted_over = frame * (1 - thick), np.minimum(thick, paint.amount)
    whole = np.maximum(frame, painted_over)
    share = (painted_over / np.maximum(whole, 1e-3))[:, :, None]
    filled = filled + share * (np.clip(b_0 + paint.fine, 0, 1) - filled)
    where = (window_max(whole, 2 * edge) > 0).astype(np.float32)
    return Gone(b_0, filled.astype(np.float32), whole, where, bool(after < SURE * before))


def _frame(b_0: np.ndarray, paint: Paint, glasses: np.ndarray, radius: int) -> np.ndarray | None:
    """How far each pixel is of a frame that strokes are for, S x S. `glasses`: how likely it is of some; `radius`: half of
    how thick a frame is, in pixels."""
    light = b_0.mean(2)
    # The ends of its arms are hardly seen as such.
    glasses = window_max(glasses, radius)
    dark = rises(-window_max(-window_max(light, radius), radius) - light, DARKER) * rises(glasses, LIKELY)
    surely = dark * paint.amount * (paint.inside > DEEP * paint.inside.max()) > 0.5
    if not surely.any():
        return None
    alike = 1 - rises(np.abs(b_0 - np.median(b_0[surely], 0)).max(2), ALIKE)
    of_glasses = alike * paint.amount * rises(glasses, LIKELY)
    # What is dark all over is a lens.
    if (dark * of_glasses).sum() < ALONE * of_glasses.sum():
        return None
    near = window_max((paint.amount > 0.5).astype(np.float32), max(1, round(BEYOND * len(b_0))))
    return dark * alike * near
