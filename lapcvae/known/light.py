"""Light and shade that were painted, as they fall on a head: for strokes over a face that make it brighter or darker.

Nobody paints light as it falls: a soft stroke over a cheek says that there is shade on that side. Under distant lights what
a matt surface sends back is nearly a function of its normal alone, 1 and three slopes (Ramamoorthi and Hanrahan 2001). So
that is sought which agrees best with the strokes, on the normals of an ellipsoid where the face is, and the whole person is
lit by it. What the photo shows stays, brighter and darker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .. import pyramid
from ..masks import Paint
from ..meant import sharpened
from ..ramps import rises
from ..segments import BACKGROUND, OF_FACE, Segments

if TYPE_CHECKING:
    from ..encoding import EncodedPhoto

# Who paints in more cells than this (a side) means the details. Light is sought in so many pixels a side.
FEW_CELLS = 32
CELLS = 64
# The share of strokes of light that lies on the face, at least, and how much of it they cover: at least, or they are of a
# thing, and at most, or the face gets another skin. Under them there is between so much and so much of the skin that there
# was: a beard is dark as well, and what is bright may be skin in place of glasses.
ON_FACE, BROAD, ALL_OF_IT, BARE, STILL = 0.6, 0.15, 0.7, ("skin", "eyes", "mouth"), (0.7, 1.15)
# Brightness changes by a factor, as a logarithm. Colours may by factors that differ from that by less than the first number,
# and so much of the difference is believed.
HUE, BELIEVED = 0.25, 0.5
# What is not painted has the light it has, which counts so much less; so does a slope against none.
UNPAINTED, STIFF = 0.05, 1e-3
# Paint that is less than this share of most of it says nothing of how bright or dark it gets.
DEEP = 0.3
# It is no light if more than this share of what was painted, squared, is unlike any.
UNLIKE = 0.7
# Keeps black from having no logarithm. The most that light may change, as a logarithm.
LEAST, MOST = 0.06, 0.9
# Half of the head's width and height, in those of what is seen of the face; how far beyond it, in those, light is half.
WIDE, TALL, FAR = 1.15, 1.4, 0.5
# A pixel is less likely to be of the person than the first number: it is none of it; more than the second: it is.
SURE = (0.4, 0.75)
# How strong light is, by variant, against what a function so smooth keeps of the strokes.
STRENGTHS = (1.2, 0.9, 1.6, 1.0, 0.7, 1.4, 1.1, 1.8)


@dataclass(frozen=True)
class Light:
    """What strokes say of it: how much `brighter` each pixel of the `photo` (S x S x 3) gets, the logarithm of a factor,
    S x S x 3, and how much of that is for each, as far as it is of the person, S x S in 0..1."""

    # Whether nothing else can be meant.
    sure: ClassVar[bool] = True

    photo: np.ndarray
    brighter: np.ndarray
    where: np.ndarray
    seed: int

    @property
    def stays(self) -> np.ndarray:
        """How much of the photo's own detail does, S x S."""
        return np.ones_like(self.where)

    def picture(self, index: int) -> np.ndarray:
        """The photo in it, for a variant, S x S x 3 in [0, 1]."""
        change = STRENGTHS[(self.seed + index) % len(STRENGTHS)] * self.brighter * self.where[:, :, None]
        factor, lifted = np.exp(np.clip(change, -MOST, MOST)), self.photo + LEAST
        # What gets brighter does not burn out: odds change by the factor.
        lifted = lifted * factor / (1 + np.maximum(factor - 1, 0) * self.photo)
        return np.clip(lifted - LEAST, 0, 1).astype(np.float32)


def light_of(photo: EncodedPhoto, paint: Paint, painted: Callable[[], Segments], seed: int) -> Light | None:
    """What light strokes mean; None: they are of something else, or nothing is known of what they lie on. `painted`: what
    the photo with the paint on it is of, asked for if it looks like light."""
    segments, b = photo.segments, photo.b
    if segments is None or paint.on_photo or paint.erased.any() or paint.empty:
        return None
    level = max(0, (len(b[0]) // CELLS).bit_length() - 1)
    n = len(b[0]) >> level
    if len(b[paint.level]) > FEW_CELLS:
        return None
    amount, face = pyramid.block_mean(paint.amount, 1 << level), segments.at(n).share_of(*OF_FACE)
    under = amount * face
    if under.sum() <= ON_FACE * amount.sum() or not BROAD * face.sum() < under.sum() <= ALL_OF_IT * face.sum():
        return None
    before = pyramid.enlarge(b[paint.level], paint.level - level)
    after = np.clip(before + pyramid.reduce(paint.fine, level), 0, 1)
    change = np.clip(np.log((after + LEAST) / (before + LEAST)), -MOST, MOST)
    mean = change.mean(2, keepdims=True)
    hue = (under[:, :, None] * (change - mean)).sum((0, 1)) / under.sum()
    if np.abs(hue).max() > HUE:
        return None
    bare = [(amount * of.at(n).share_of(*BARE)).sum() for of in (segments, painted())]
    if not STILL[0] * bare[0] <= bare[1] <= STILL[1] * bare[0]:
        return None
    basis, near = _basis(face)
    weight = under + UNPAINTED * face
    found = near * _fitted(mean + BELIEVED * (change - mean), weight / weight.sum(), basis)
    # Shade on one side is no light on the other.
    strongest = mean[under > DEEP * under.max()]
    found = np.clip(found, min(0.0, float(strongest.min())), max(0.0, float(strongest.max())))
    found = pyramid.enlarge(pyramid.reduce(found, 2), 2)
    missed, whole = ((under[:, :, None] * np.square(v)).sum() for v in (change - found, change))
    if missed > UNLIKE * whole:
        return None
    person = rises(1 - segments.share_of(BACKGROUND), SURE)
    person = sharpened(person, b[0], np.ones(b[0].shape[:2], bool))
    return Light(b[0], pyramid.enlarge(found.astype(np.float32), level), person.astype(np.float32), seed)


def _basis(face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What light is a mixture of, n x n x 4: 1 and the normals of the head; and how much of it there is, n x n x 1."""
    at = (np.arange(len(face)) + 0.5) / len(face)
    coordinates = []
    for share, larger in ((face.sum(0), WIDE), (face.sum(1), TALL)):
        middle = (share * at).sum() / share.sum()
        # Of a filled ellipse the mean square is a quarter of that of half its width.
        half = 2 * np.sqrt((share * (at - middle) ** 2).sum() / share.sum())
        coordinates.append((at - middle) / (larger * half))
    nx, ny = np.meshgrid(*coordinates)
    out = np.maximum(np.hypot(nx, ny), 1e-6)
    nx, ny = nx * np.minimum(1 / out, 1), ny * np.minimum(1 / out, 1)
    nz = np.sqrt(np.maximum(1 - nx**2 - ny**2, 0))
    return np.stack([np.ones_like(nx), nx, ny, nz], 2), 1 / (1 + np.square(np.maximum(out - 1, 0) / FAR))[:, :, None]


def _fitted(change: np.ndarray, weight: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """The mixture of `basis` (n x n x T) that comes nearest to `change` (n x n x 3) by weighted least squares, n x n x 3."""
    weight, terms, wanted = weight.reshape(-1, 1), basis.reshape(-1, basis.shape[2]), change.reshape(-1, 3)
    square = terms.T @ (weight * terms) + STIFF * np.eye(terms.shape[1])
    return (terms @ np.linalg.solve(square, terms.T @ (weight * wanted))).reshape(change.shape)
