"""A beard where strokes over the face are of hair: that of an exemplar that has some there, in the strokes' colour.

A stroke says that there shall be hair, of what colour and about where; nobody paints strands. Among some thousands of faces
there are always a few whose beard, or hair, lies about so (`lapcvae.exemplars`); what of their pixels is hair, a segmenter
tells (`lapcvae.segments`). It comes with its strands and its soft edge, and nothing else of the face does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import pyramid
from .ramps import rises
from .segments import BACKGROUND, OF_FACE, Segments
from .windows import window_max, window_mean

# The classes that are hair.
OF_HAIR = ("hair", "beard")
# Where its hair is, each exemplar says in so many cells a side.
CELLS = 32
# What counts for which fits: strokes of hair, the rest of the mask, and what is around it (so far, in cells).
STROKES, MASK, AROUND, NEAR = 0.5, 0.5, 0.2, 3
# So many are handed on; none whose error is more than so many times the least, and none that has hair in less than this
# share of what strokes of hair cover.
HANDED_ON, WORSE, ENOUGH = 6, 1.6, 0.6
# They are looked at so many at a time.
AT_ONCE = 2000
# Less likely to be hair than the first number is none, more than the second all of it.
MATTE = (0.15, 0.85)
# Between these shares a pixel begins to show hair alone; before, its colour is that of hair so near (share of the side).
SOLID, BESIDE = (0.6, 0.95), 1 / 32
# How dark and light strands may be against most of it, in spreads of their light, and how much that may be made to stand out
# as the photo's hair does. Keeps black from having no logarithm.
STRANDS, CONTRAST, LEAST_LIGHT = (-3.0, 1.6), (0.5, 1.0), 0.03
# Its own light and shade, over more than this share of the side, counts so much less than its strands.
SHADE, SHADED = 1 / 12, 0.7
# The colour of strokes is evened out over this share of the side.
EVEN = 1 / 8
GRAY = np.float32([0.3, 0.59, 0.11])
# More likely than this a pixel is what it is said to be. Between these differences (full scale 1) it is of another colour.
SURELY, UNLIKE = 0.9, (0.03, 0.1)


@dataclass(frozen=True)
class Wanted:
    """Where hair is wanted. `cells`: CELLS x CELLS in 0..1, all of it, the photo's too; `strokes`: that of strokes; `m`: the
    mask M."""

    cells: np.ndarray
    strokes: np.ndarray
    m: np.ndarray


def wanted(segments: Segments, strokes: np.ndarray, covered: np.ndarray, m: np.ndarray) -> Wanted:
    """`strokes`: how much of each pixel is under strokes of hair, `covered`: under any, `m`: the mask M; any squares."""
    strokes, covered, m, has = (cells_of(v) for v in (strokes, covered, m, hair_of(segments)))
    return Wanted(np.maximum(has * (1 - covered), strokes), strokes, m)


def cells_of(share: np.ndarray) -> np.ndarray:
    """CELLS x CELLS."""
    return pyramid.block_mean(share.astype(np.float32), len(share) // CELLS)


def hair_of(segments: Segments) -> np.ndarray:
    """How likely each pixel is hair, n x n in 0..1."""
    return segments.share_of(*OF_HAIR)


def likest(hair: np.ndarray, where: Wanted) -> list[tuple[int, bool]]:
    """Which of `hair` (N x CELLS x CELLS u1) lies as it is wanted, and whether mirrored, best first; none if none does."""
    around = np.maximum(window_max(where.m, NEAR) - where.m, 0)
    weight = STROKES * where.strokes + MASK * where.m + AROUND * around
    strokes = where.strokes / max(float(where.strokes.sum()), 1e-6)
    # The weighted square of the difference, h^2 w - 2 h c w + c^2 w, and how much of the strokes is covered, as products.
    both = [[v[:, ::flip].reshape(-1) for v in (weight, where.cells * weight, strokes)] for flip in (1, -1)]
    counts = np.flatnonzero(sum(weights for weights, _, _ in both) > 1e-3)
    linear = np.stack([v[counts] for one in both for v in one[1:]], 1).astype(np.float32) / 255
    squared = np.stack([weights[counts] for weights, _, _ in both], 1).astype(np.float32) / 255**2
    constant = float((weight * where.cells**2).sum())
    best: dict[int, tuple[float, bool]] = {}
    for start in range(0, len(hair), AT_ONCE):
        has = hair[start : start + AT_ONCE].reshape(-1, CELLS * CELLS)[:, counts].astype(np.float32)
        products, squares = has @ linear, (has * has) @ squared
        for flip, mirrored in enumerate((False, True)):
            error = squares[:, flip] - 2 * products[:, 2 * flip] + constant
            for i in np.flatnonzero(products[:, 2 * flip + 1] >= ENOUGH):
                if start + i not in best or error[i] < best[start + i][0]:
                    best[int(start + i)] = float(error[i]), mirrored
    found = sorted((error, i, mirrored) for i, (error, mirrored) in best.items())
    return [(i, mirrored) for error, i, mirrored in found[:HANDED_ON] if error <= WORSE * found[0][0]]


def face_of(segments: Segments, n: int) -> np.ndarray:
    """How likely each pixel is the face itself, n x n."""
    return segments.at(n).share_of(*OF_FACE)


def of_the_wall(picture: np.ndarray, segments: Segments) -> np.ndarray:
    """How far a pixel (of S x S x 3) is the wall by its colour, where a segmenter takes it for hair, S x S in 0..1: at an
    edge of the picture it sees too little."""
    n = len(picture)
    wall, own = segments.share_at(n, BACKGROUND), segments.share_at(n, *OF_HAIR)
    if min(wall.max(), own.max()) < SURELY:
        return np.zeros_like(wall)
    apart = [np.abs(picture - evened(picture, rises(v, (SURELY, 1)))).max(2) for v in (wall, own)]
    return rises(apart[1] - apart[0], UNLIKE) * (1 - rises(apart[0], UNLIKE))


def contrast_of(picture: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The logarithm of each pixel's light, n x n, and its mean and spread in what is hair."""
    light, share = np.log(picture @ GRAY + LEAST_LIGHT), solid(share)
    total = max(float(share.sum()), 1e-6)
    mean = float((share * light).sum()) / total
    return light, mean, float(np.sqrt((share * (light - mean) ** 2).sum() / total))


def solid(share: np.ndarray) -> np.ndarray:
    """Where there is nothing but hair."""
    return rises(share, SOLID)


def put_on(base: np.ndarray, exemplar: np.ndarray, share: np.ndarray, m: np.ndarray, colour: np.ndarray,
           spread: float) -> np.ndarray:  # fmt: skip
    """`base` (n x n x 3) with an exemplar's hair inside of the mask `m`. `share`: how likely each of its pixels is hair,
    n x n; `colour`: of the strokes, n x n x 3; `spread`: that of the light of the photo's hair, as `contrast_of` has it."""
    matte = np.clip((share - MATTE[0]) / (MATTE[1] - MATTE[0]), 0, 1)
    # At its edge there is something else behind it.
    alone, radius = solid(matte), max(1, round(BESIDE * len(base)))
    light, mean, own = contrast_of(exemplar, matte * m)
    strands = np.clip(light - mean, *(own * v for v in STRANDS)) * np.clip(spread / max(own, 1e-3), *CONTRAST)
    wide = max(1, round(SHADE * len(base)))
    shade, there = (window_mean(window_mean(v, wide), wide) for v in (alone * strands, alone))
    strands = strands - SHADED * shade / np.maximum(there, 1e-3)
    beside = window_mean(alone * strands, radius) / np.maximum(window_mean(alone, radius), 1e-3)
    strands = beside + alone * (strands - beside)
    # The mask fades once more where it is put into the photo.
    alpha = (matte * np.minimum(2 * m, 1))[:, :, None]
    return np.clip(base + alpha * (colour * np.exp(strands)[:, :, None] - base), 0, 1).astype(np.float32)


def evened(colours: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """The colours of strokes (n x n x 3) where `cover` says there are some, evened out and spread over all."""
    radius = max(1, round(EVEN * len(cover)))
    known = np.concatenate([cover[:, :, None] * colours, cover[:, :, None]], 2)
    total = known.sum((0, 1))
    near = np.stack([window_mean(window_mean(known[:, :, c], radius), radius) for c in range(4)], 2)
    # Far from all of them, their mean.
    near = np.maximum(near, 0) + 1e-3 * total / max(float(total[3]), 1e-6)
    return (near[:, :, :3] / near[:, :, 3:]).astype(np.float32)
