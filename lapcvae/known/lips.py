"""Lipstick: strokes over a mouth that give it another colour, on the lips, and not on the teeth.

Who puts lipstick on a mouth of a face on a screen runs over its edges, over teeth, and forgets half a lip. What lips are, a
segmenter and their own colour tell; they get what strokes made of them, all alike, and keep their form and their shine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .. import pyramid
from ..masks import Paint
from ..ramps import rises
from ..segments import Segments
from ..windows import window_max, window_mean

if TYPE_CHECKING:
    from ..encoding import EncodedPhoto

MOUTH, SKIN = "mouth", "skin"
# Strokes of lipstick cover at most the first share of the square, lie for more than the second share on the mouth, or so
# near (share of the side), and cover more than the third share of it.
SMALL, ON_MOUTH, NEAR, COVERED = 0.03, 0.6, 0.025, 0.1
# More than this share of strokes is on lips: they need no help.
MET = 0.5
# They are redder than the lips, as `_red` has it, by so much.
REDDER = 0.02
# The skin around is so far from the mouth (share of the side). A pixel comes to be of the mouth between these likelihoods,
# and surely is from that on; it is of a lip as its hue lies between that of the skin and that of the reddest of the mouth,
# which differ by so much: teeth are not red.
AROUND, OF_MOUTH, SURELY, OF_LIPS, LEAST_APART = 0.06, (0.4, 0.7), 0.6, (0.35, 0.8), 0.028
# What shines on them is no wider than twice this share of the side.
SHINE = 0.01
# Less than this of a pixel is none.
LEAST_SHARE = 0.002
# Keeps black from dividing, and factors within measure.
LEAST, FACTORS = 0.04, (0.2, 2.5)
# How much variants have of it.
STRENGTHS = (0.9, 0.75, 1.0, 0.6, 0.85, 0.7, 0.95, 0.5)


@dataclass(frozen=True)
class Lips:
    """`photo`: S x S x 3; `share`: how far each pixel is of lips, S x S; `factors`: what their colours are multiplied
    with."""

    # Whether nothing else can be meant.
    sure: ClassVar[bool] = True

    photo: np.ndarray
    share: np.ndarray
    factors: np.ndarray
    seed: int

    @property
    def where(self) -> np.ndarray:
        """1 where there are any, S x S, else 0."""
        return (self.share > LEAST_SHARE).astype(np.float32)

    @property
    def stays(self) -> np.ndarray:
        """How much of the photo's own detail does, S x S."""
        return np.ones_like(self.share)

    def picture(self, index: int) -> np.ndarray:
        """The photo with them, for a variant, S x S x 3 in [0, 1]."""
        strength = STRENGTHS[(self.seed + index) % len(STRENGTHS)] * self.share[:, :, None]
        return np.clip((self.photo + LEAST) * self.factors**strength - LEAST, 0, 1).astype(np.float32)


def lips_of(photo: EncodedPhoto, paint: Paint, painted: Callable[[], Segments], seed: int) -> Lips | None:
    """The lips that strokes are for; None: they are for something else, or nothing is known of what they lie on."""
    segments, b_0 = photo.segments, photo.b[0]
    if segments is None or MOUTH not in segments.classes or paint.erased.any() or paint.empty:
        return None
    amount = pyramid.block_mean(paint.amount, len(b_0) // len(segments.of))
    mouth = segments.share_of(MOUTH)
    near = window_max(mouth, max(1, round(NEAR * len(mouth))))
    on_mouth, covered = (amount * near).sum() / max(amount.sum(), LEAST), (amount * mouth).sum() / max(mouth.sum(), LEAST)
    if amount.mean() > SMALL or on_mouth <= ON_MOUTH or covered <= COVERED:
        return None
    around = window_max(mouth, max(1, round(AROUND * len(mouth)))) - near
    skin = segments.share_of(SKIN) * np.maximum(around, 0)
    share = _of_lips(photo, mouth, skin)
    thick = paint.amount > 0.8
    if share is None or not thick.any():
        return None
    share = share * rises(segments.share_at(len(b_0), MOUTH), OF_MOUTH)
    # Who has met them means what was painted.
    if share[thick].mean() > MET:
        return None
    colour = np.median((b_0 + paint.fine)[thick], 0)
    of_lips = np.average(b_0.reshape(-1, 3), axis=0, weights=share.ravel())
    if _red(colour) < _red(of_lips) + REDDER:
        return None
    factors = np.clip((colour + LEAST) / (of_lips + LEAST), *FACTORS)
    return Lips(b_0, share.astype(np.float32), factors.astype(np.float32), seed)


def _of_lips(photo: EncodedPhoto, mouth: np.ndarray, skin: np.ndarray) -> np.ndarray | None:
    """How far each pixel is of lips by its hue, between that of the skin and that of the reddest of the mouth, S x S.
    `mouth`, `skin`: how likely each pixel is of that, n x n."""
    b_0 = photo.b[0]
    up = len(b_0) // len(mouth)
    mouth, skin = (v.repeat(up, 0).repeat(up, 1) for v in (mouth, skin))
    light = b_0.sum(2, keepdims=True) + LEAST
    hue = b_0 / light
    of_mouth = mouth > SURELY
    if skin.sum() < 1 or not of_mouth.any():
        return None
    of_skin = np.average(hue.reshape(-1, 3), axis=0, weights=skin.ravel())
    red = _red(b_0)
    reddest = of_mouth & (red >= np.percentile(red[of_mouth], 60))
    apart = hue[reddest].mean(0) - of_skin
    square = float((apart**2).sum())
    if square < LEAST_APART**2:
        return None
    share = rises(((hue - of_skin) @ apart) / square, OF_LIPS)
    # Where they shine they have no hue.
    gap = max(1, round(SHINE * len(b_0)))
    return window_mean(-window_max(-window_max(share, gap), gap), 1)


def _red(colours: np.ndarray) -> np.ndarray:
    """How red colours (... x 3) are."""
    return (colours[..., 0] - colours[..., 1]) / (colours.sum(-1) + LEAST)
