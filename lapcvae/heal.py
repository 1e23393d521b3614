"""Part of one picture put into another without a seam.

What an eye sees of a picture is its gradients. So those of the other picture are kept inside of the hole, and the colours
at its border are those of the picture that it is put into: their difference there goes on smoothly over the hole (Pérez et
al. 2003, Poisson image editing).
"""

from __future__ import annotations

import numpy as np

from .behind import continued
from .windows import window_max, window_mean

# At the border the two pictures may differ by so much (full scale 1, from what they do most) before it says nothing of the
# hole's colours: there is hair in the one, and none in the other.
OTHER = 0.2
# So near to the hole (share of the side) it is asked; how likely two pixels have to be of the same.
NEAR, ALIKE = 1 / 32, 0.6
# The hole is so much wider than what is put into it, in pixels, and its edge so soft.
WIDER, SOFT = 1, 1


def healed(picture: np.ndarray, other: np.ndarray, hole: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """`picture` with `other` (n x n x 3 both) in its `hole` (n x n in 0..1), in its colours; n x n x 3. `alike`: where both
    are of the same, n x n in 0..1; elsewhere their colours say nothing of each other."""
    wide = np.minimum(window_max(hole, WIDER), 1).astype(np.float32)
    made = other + _between(picture, other, wide, alike)
    share = window_mean(window_mean(wide, SOFT), SOFT)[:, :, None]
    return (picture + share * (made - picture)).astype(np.float32)


def strain(picture: np.ndarray, other: np.ndarray, hole: np.ndarray, alike: np.ndarray) -> float:
    """How unlike the colours of two pictures are around a hole: the mean square of the slopes, over the whole side, of what
    has to be added to the one to go over into the other."""
    added = _between(picture, other, hole.astype(np.float32), alike)
    steps = [np.square(np.diff(added, axis=axis)).mean(2) for axis in (0, 1)]
    total = (steps[0][:, :-1] + steps[1][:-1]) * hole[:-1, :-1]
    return float(total.sum() / max(float(hole.sum()), 1e-6)) * len(hole) ** 2


def _between(picture: np.ndarray, other: np.ndarray, hole: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """Their difference where it is known, and its smooth continuation in the hole."""
    apart = (picture - other).astype(np.float32)
    near = window_max(hole, max(2, round(NEAR * len(hole)))) * (1 - hole) > 0.5
    told = near & (alike > ALIKE)
    if told.any():
        unlike = np.abs(apart - np.median(apart[told], 0)).max(2) > OTHER
        hole = np.maximum(hole, window_max((unlike | (alike <= ALIKE)).astype(np.float32), 1))
    return continued(apart, hole)
