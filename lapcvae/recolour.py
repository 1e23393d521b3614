"""The photo's own structure in the painting's colours: for hair that gets another colour and stays the hair it is.

What was painted is known for the cells of a coarse level, and a cell at the hairline is half skin. So every pixel takes the
change of those cells around that look like it (joint bilateral upsampling, Kopf et al. 2007): hair that of hair, skin
that of skin, which may be none. What the pixel is beyond the mean of those cells is its structure, and stays, with the
contrast that goes with the new colour.
"""

from __future__ import annotations

import numpy as np

from . import pyramid

# Cells to look at on each side, how fast distance tells (in cells), and how different colours may be (full scale 1).
REACH, NEAR, ALIKE = 2, 0.8, 0.05
# Contrast goes with brightness, within limits; the first number keeps black from dividing.
LEAST_LIGHT, GAINS = 0.06, (0.3, 1.6)
# A change of colour (full scale 1) from which on the old hue is gone where paint covers it, and limits for a hue.
RECOLOURED, TINTS = 0.1, (0.2, 2.5)


def contrast(now: np.ndarray, then: np.ndarray) -> np.ndarray:
    """What detail has to be multiplied with whose surroundings had the brightness `then` and have `now`, full scale 1."""
    return np.clip((now + LEAST_LIGHT) / (then + LEAST_LIGHT), *GAINS)


def colours_of_detail(now: np.ndarray, then: np.ndarray, opaque: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How detail looks whose surroundings had the colours `then` and have `now` (h x w x C, full scale 1), where paint of
    this opacity (h x w) is: (own, common), the detail being `own * detail + common * (its mean colour)`, h x w x 1 and
    h x w x C. Under opaque paint it is brighter and darker parts of the new colour, under a tint it keeps its hue."""
    light_now, light_then = (v.mean(-1, keepdims=True) for v in (now, then))
    covered = opaque[:, :, None] * np.minimum(np.abs(now - then).mean(-1, keepdims=True) / RECOLOURED, 1)
    gain = contrast(light_now, light_then)
    hue = np.clip((now + LEAST_LIGHT) / (light_now + LEAST_LIGHT), *TINTS)
    return gain * (1 - covered), gain * covered * hue


def recoloured(b: list[np.ndarray], change: np.ndarray, opaque: np.ndarray) -> np.ndarray:
    """The photo (b_0 .. b_K) with `change` (m x m x 3) done to its level of m cells by paint of this opacity (S x S).

    S x S x 3, full scale 1.
    """
    size, m = len(b[0]), len(change)
    cell = size // m
    j = cell.bit_length() - 1
    # Single light hairs are hair: pixels are told apart by what they are together with their neighbours.
    blurred = max(j - 2, 0)
    guide = pyramid.enlarge(b[blurred], blurred)
    at = (np.arange(size) + 0.5) / cell
    near = {d: np.exp(-0.5 * np.square((np.floor(at) + d + 0.5 - at) / NEAR)) for d in range(-REACH, REACH + 1)}
    cells = np.pad(np.concatenate([b[j], change], 2), ((REACH, REACH), (REACH, REACH), (0, 0)), mode="edge")
    total, weights = np.zeros((size, size, 6), np.float32), np.full((size, size, 1), 1e-12, np.float32)
    for down in near:
        for right in near:
            there = cells[REACH + down : REACH + down + m, REACH + right : REACH + right + m]
            there = there.repeat(cell, 0).repeat(cell, 1)
            unlike = np.square(there[:, :, :3] - guide).sum(2) / (2 * ALIKE**2)
            weight = (near[down][:, None] * near[right] * np.exp(-np.minimum(unlike, 20)))[:, :, None].astype(np.float32)
            total += weight * there
            weights += weight
    then, moved = np.split(total / weights, 2, axis=2)
    detail = b[0] - then
    own, common = colours_of_detail(then + moved, then, opaque)
    return then + moved + own * detail + common * detail.mean(2, keepdims=True)
