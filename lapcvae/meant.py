"""What of the photo strokes are meant for: to get another colour, or to go.

Who gives hair another colour paints over the hair, over some of the forehead too, and stops short of the outermost strands.
The middle of a stroke lies on what is meant, its rims on what happens to be beside it, and what is beside goes on where
nothing was painted. So a pixel is meant if its colour is about as much more usual under the middles of strokes than around
them as that of what is told apart best; and if it hangs together with the middles: brows have the hair's colour, and are
not hair. Edges are those of the photo (guided filter, He et al. 2010).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import pyramid
from .ramps import smooth
from .segments import meant_of
from .windows import window_max, window_mean

if TYPE_CHECKING:
    from .encoding import EncodedPhoto

# Colours are counted in about this many cells a side, and looked up in at most this many pixels a side.
CELLS, LOOKED_UP = 32, 64
# How different colours may be (full scale 1), and how far from the paint what is around it counts (shares of the side).
ALIKE, AROUND = 0.06, 0.4
# Colours that neither has: nothing is known of them.
UNKNOWN = 1e-3
# What is told apart best: so much of what is under the middles is told apart less well. Beyond that ratio it is no better.
BEST, SURE = 0.7, 4.0
# Shares of the best ratio: below the first a pixel is left alone, from the second on it is meant.
LEFT, MEANT = 0.22, 0.5
# Two things have colours that are so different, full scale 1: below the first number they are one, from the second on two.
ONE, TWO = 0.1, 0.2
# A pixel lies in the middle of a stroke from this share of the largest depth near it on.
MIDDLE = 0.5
# Gaps in what is meant that are less than twice this wide, as a share of the side, belong to it.
GAP = 0.05
# The guided filter's window (shares of the side) and what it takes for noise (variance, full scale 1).
WINDOW, NOISE = 1 / 32, 2e-4
# Colours of what it is and is not are looked for so near (share of the side); a share that is no further than this from none
# or all is sure.
MATTED, SURELY = 1 / 24, 0.1
# Their colours count in full if such a share of what is near is known.
KNOWN = 0.05
# A share that is as small as this, or as near to 1, is none, or all.
HAZE = 0.2


def meant(photo: EncodedPhoto, cover: np.ndarray, inside: np.ndarray, wanted: np.ndarray, goes: bool = False) -> np.ndarray:
    """n x n in 0..1, where it is `wanted` (bool), 0 elsewhere: n is at most LOOKED_UP. `cover`: painted share of each pixel;
    `inside`: how far each is from where the paint ends, in pixels; S x S each. `goes`: it is meant to go."""
    b = photo.b
    level = max(0, (len(b[0]) // LOOKED_UP).bit_length() - 1)
    colours = pyramid.u(b[level + 1]) if len(b) > level + 1 else b[level]
    seen, covered, depth = (pyramid.block_mean(v.astype(np.float32), 1 << level) for v in (wanted, cover, inside))
    told = meant_of(photo.segments, covered * depth**2, len(covered), goes) if photo.segments else None
    if told and not (told.behind or goes):
        share = told.share * (seen > 0)
    else:
        share = _share(b, cover, inside, colours, seen > 0)
        share = told.with_colours(share) * (seen > 0) if told else share
    return _connected(share, covered > 0.5, depth / (1 << level))


def sharpened(share: np.ndarray, picture: np.ndarray, wanted: np.ndarray, goes: bool = False) -> np.ndarray:
    """`share` (n x n), with the edges of `picture` (S x S x 3), where it is `wanted`. `goes`: no rest of it may be left,
    such as a highlight that has another colour."""
    level = (len(picture) // len(share)).bit_length() - 1
    share = pyramid.enlarge(share[:, :, None], level)[:, :, 0]
    share = _guided(share, picture, max(1, round(WINDOW * len(share))))
    share = np.clip((share - HAZE) / (1 - 2 * HAZE), 0, 1).astype(np.float32)
    # Not from pixel to pixel: enlarged, slanting edges would be steps.
    return window_mean(share if goes else matted(share, picture), 1) * wanted


def matted(share: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """`share` (S x S) where it is neither all nor nothing, as a pixel's colour lies between those of all of it and of
    nothing of it near by: a single hair before the wall is hair in part."""
    near = max(1, round(MATTED * len(share)))
    edge = window_max(((share > SURELY) & (share < 1 - SURELY)).astype(np.float32), max(1, near // 4))
    if not edge.any():
        return share
    of_it, of_others = smooth((share - 1 + 2 * SURELY) / SURELY), smooth((2 * SURELY - share) / SURELY)
    colours, trusted = [], edge
    for known in (of_it, of_others):
        total = window_mean(window_mean(known, near), near)
        colour = np.stack([window_mean(window_mean(known * picture[:, :, c], near), near) for c in range(3)], 2)
        colours.append(colour / np.maximum(total, 1e-6)[:, :, None])
        trusted = trusted * np.clip(total / KNOWN, 0, 1)
    apart = colours[0] - colours[1]
    square = np.square(apart).sum(2)
    part = np.clip(((picture - colours[1]) * apart).sum(2) / (square + 1e-6), 0, 1)
    # Where both look alike, nothing is known but what it was.
    trusted = trusted * square / (square + ALIKE**2)
    return (share + window_mean(trusted, 1) * (part - share)).astype(np.float32)


def _share(b, cover, inside, colours: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """How likely each of `colours` (n x n x 3) is what is meant, n x n in 0..1; all is, if there is nothing else."""
    level = max(0, (len(b[0]) // CELLS).bit_length() - 1)
    cells = pyramid.reduce(b[0], level)
    covered, depth = (pyramid.block_mean(v, 1 << level).ravel() for v in (cover, inside))
    under, free = covered * depth**2, np.maximum(1 - 2 * covered, 0)
    at = ((np.stack(np.mgrid[: len(cells), : len(cells)], -1) + 0.5) / len(cells)).reshape(-1, 2)
    cells, result = cells.reshape(-1, 3), wanted.astype(np.float32)
    if not (covered > 0.5).any() or not free.any():
        return result
    around = free * np.exp(-squares(at, at[covered > 0.5]).min(1) / (2 * AROUND**2))
    weights = np.stack([under / under.sum(), around / around.sum()], 1).astype(np.float32)

    def ratio(colours: np.ndarray) -> np.ndarray:
        """How much more usual each is under the middles of strokes than around."""
        usual = np.exp(squares(colours, cells) * np.float32(-0.5 / ALIKE**2)) @ weights + UNKNOWN
        return usual[:, 0] / usual[:, 1]

    middles = under > 1e-3 * under.max()
    found, weight = ratio(cells[middles]), under[middles]
    order = np.argsort(found)
    reached = np.cumsum(weight[order])
    best = min(SURE, found[order][np.searchsorted(reached, BEST * reached[-1])])

    def told(ratios: np.ndarray) -> np.ndarray:
        return smooth((np.minimum(ratios, SURE) / best - LEFT) / (MEANT - LEFT))

    here = told(found)
    kept, left = (
        (w[:, None] * cells[middles]).sum(0) / max(float(w.sum()), 1e-12) for w in (weight * here, weight * (1 - here))
    )
    # If hardly any of it is under the paint, what is around tells how different it is.
    left = left if (weight * (1 - here)).sum() > 0.02 * weight.sum() else weights[:, 1] @ cells
    two = smooth((float(np.sqrt(np.square(kept - left).mean())) - ONE) / (TWO - ONE))
    result[wanted] = 1 - two * (1 - told(ratio(colours[wanted])))
    return result


def squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances of all pairs of N x C and M x C, N x M."""
    a, b = a.astype(np.float32), b.astype(np.float32)
    return np.maximum(np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * a @ b.T, 0)


def _guided(share: np.ndarray, picture: np.ndarray, radius: int) -> np.ndarray:
    """`share` (S x S) with the edges of `picture` (S x S x 3): locally a linear function of its colours."""
    colours = [picture[:, :, c].astype(np.float64) for c in range(3)]
    means, mean = [window_mean(c, radius) for c in colours], window_mean(share, radius)
    common = np.stack([window_mean(c * share, radius) - m * mean for c, m in zip(colours, means)], -1)
    spread = np.empty((*share.shape, 3, 3))
    for i in range(3):
        for k in range(i, 3):
            spread[..., i, k] = spread[..., k, i] = window_mean(colours[i] * colours[k], radius) - means[i] * means[k]
    slopes = np.linalg.solve(spread + NOISE * np.eye(3), common[..., None])[..., 0]
    offset = window_mean(mean - sum(slopes[..., c] * means[c] for c in range(3)), radius)
    return (sum(window_mean(slopes[..., c], radius) * colours[c] for c in range(3)) + offset).astype(np.float32)


def _connected(share: np.ndarray, painted: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """As much of it as hangs together with the middles of strokes, without holes in what is painted; all n x n."""
    if not painted.any():
        return share
    share = reached(share, np.where(middle(painted, inside), share, 0))
    # A lock in the light has other colours than the hair on both sides of it.
    gap = max(1, round(GAP * len(share)))
    share = np.where(painted, -window_max(-window_max(share, gap), gap), share)
    return 1 - reached(1 - share, np.where(painted, 0, 1 - share))


def middle(painted: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Where the middles of strokes are, of what is `painted` (bool) and so far `inside`, in pixels; all n x n."""
    if not painted.any():
        return painted
    radius = max(1, int(np.ceil(np.percentile(inside[painted], 90))))
    return painted & (inside >= MIDDLE * window_max(inside, radius))


def reached(within: np.ndarray, found: np.ndarray) -> np.ndarray:
    """`found`, spread over `within` as far as that hangs together (grey-scale reconstruction), n x n."""
    while True:
        more = np.maximum(found, np.minimum(within, window_max(found, 1)))
        if (more == found).all():
            return found
        found = more
