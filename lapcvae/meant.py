"""What of the photo a stroke is meant for, where the photo's structure stays.

Who gives hair another colour paints over the hair, and over some of the forehead too. The middle of a stroke lies on what is
meant, its rims on what happens to be beside it, and what is beside goes on where nothing was painted. So a pixel is left
alone if its colour is much more usual around the paint than under the middle of it, near by.
"""

from __future__ import annotations

import numpy as np

from . import pyramid

# The picture is looked at in about this many cells a side.
CELLS = 32
# How different colours may be (full scale 1), and how far away counts as near (shares of the side).
ALIKE, NEAR = 0.07, 0.16
# Of what is as usual under the middle of the strokes as around them the share is a half; below the first number a pixel is
# left alone, from the second on it is meant.
LEFT, MEANT = 0.14, 0.34
# Colours that neither has: nothing is known, all of it is meant.
UNKNOWN = 1e-3


def meant(b: list[np.ndarray], cover: np.ndarray, inside: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """S x S in 0..1, where it is `wanted` (bool), 1 elsewhere. `b`: the photo's b_0 .. b_K; `cover`: painted share of each
    pixel; `inside`: how far each is from where the paint ends, any unit; S x S each."""
    size = len(b[0])
    level = max(0, (size // CELLS).bit_length() - 1)
    block = size >> level
    colours = pyramid.reduce(b[0], level)
    covered, depth = (pyramid.block_mean(v, 1 << level) for v in (cover, inside))
    at = (np.stack(np.mgrid[:block, :block], -1) + 0.5) / block
    # Single light hairs are hair: a pixel is what it is together with its neighbours.
    guide = pyramid.u(b[1]) if len(b) > 1 else b[0]
    where = (np.stack(np.nonzero(wanted), -1) + 0.5) / size
    usual = []
    for weight in (covered * depth**2, np.maximum(1 - 2 * covered, 0)):
        known = weight > 1e-6 * max(float(weight.max()), 1e-12)
        usual.append(_usual(guide[wanted], where, colours[known], at[known], weight[known]))
    under, around = usual
    share = (under + UNKNOWN) / (under + around + 2 * UNKNOWN)
    t = np.clip((share - LEFT) / (MEANT - LEFT), 0, 1)
    result = np.ones((size, size), np.float32)
    result[wanted] = t * t * (3 - 2 * t)
    return result


def _usual(colours, where, known, at, weight) -> np.ndarray:
    """How usual each colour is near its place among weighted ones that are known: 0 to 1."""
    result = np.zeros(len(colours), np.float32)
    for part in range(0, len(colours), 2048):
        here = slice(part, part + 2048)
        near = weight * np.exp(-_squares(where[here], at) / (2 * NEAR**2))
        alike = np.exp(-_squares(colours[here], known) / (2 * ALIKE**2))
        result[here] = (near * alike).sum(1) / (near.sum(1) + 1e-9)
    return result


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances of all pairs."""
    a, b = a.astype(np.float32), b.astype(np.float32)
    return np.maximum(np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * a @ b.T, 0)
