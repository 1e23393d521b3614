"""What strokes are of: a colour that the photo has nowhere, such as that of glasses, or something that it has, such as hair.

A flat stroke in the colour of hair is meant to be hair, and hair is not flat. The photo says how its hair looks: how much
strands and locks stand out. The strokes say how it lies, together with the hair that they touch. Noise that is smeared along
that direction (line integral convolution, Cabral and Leedom 1993) is strands and locks, and where a stroke that begins in
hair ends in the photo, its tips are of different length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import noise, pyramid
from .masks import Paint, kept_of
from .meant import reached
from .windows import window_max, window_mean

# Colours are told apart in so many cells a side; locks are what is finer than these, and coarser than those.
COARSE, CELLS = 16, 64
# How different colours may be, full scale 1, each.
ALIKE = 0.05
# Share of what is not painted that has a stroke's colour: up to the first it is a new one, from the second on the photo's.
NEW = (0.002, 0.006)
# What is finer than a cell, as a share of its brightness: a wall has less than the first number and skin more than the
# second, skin less than the third and hair more than the fourth.
FLAT, ROUGH = (0.008, 0.013), (0.04, 0.07)
# Keeps black from dividing, and what has nothing fine from having no logarithm.
LEAST_LIGHT, LEAST_FINE = 0.05, 1e-3
# Shares of a cell: what is painted has more paint, what is bare has less.
PAINTED, BARE = 0.5, 0.02
# Strokes are thin up to twice this, in cells, and of those that are free to be read up to twice that; hair beside goes on if
# it is thicker than that.
THIN, READ, BESIDE = 1, 2, 2
# What is read differs, full scale 1, by the first number times what is missing to the second from what was painted.
READ_AS = (0.08, 1.5)
# How much strands and locks stand out in strokes, against most of the hair that they are of, and at most: short hair is all
# edge.
FINE, LOCKS, MOST = 1.1, 0.55, (0.2, 0.25)
# What is darker has no strands to be seen, and may be a lens.
BLACK = (0.07, 0.1)
# Noise is smeared to three times its length so often: strands, locks.
FINE_LENGTH, LOCK_LENGTH = 3, 4
# The outline is seen in so many windows, each twice as large and counting half as much; the hair beside counts so much more.
WINDOWS, HAIR_BESIDE = 4, 0.5
# Tips end where so much of what is around along the strand is painted, give or take; over which share; and all is hair where
# nearly all of it is.
TIP, RAGGED, SOFT, INSIDE = 0.42, 0.3, 0.3, 0.93


@dataclass(frozen=True)
class Strokes:
    """What strokes are of, S x S each in 0..1: `stands`, how far of what has no shading that would have to be found: a new
    colour, a wall's, or hair; `sure`, how far they are thick ones; `strands`, how far of hair; `rooted`, whether these
    begin in some. `fine`, `locks`: how much, as a share of its brightness, strands and locks of it stand out.
    `along`: the direction that it lies in, S x S x 2 (x, y)."""

    stands: np.ndarray
    sure: np.ndarray
    strands: np.ndarray
    rooted: np.ndarray
    fine: np.ndarray
    locks: np.ndarray
    along: np.ndarray


class Standing:
    """Strokes that stand as they are: where they are surely of something, and where they are read as they were painted.

    `meant`: what was read, `painted`: the photo with the strokes, n x n x 3 each; others as for `combed`.
    """

    def __init__(self, b_0: np.ndarray, paint: Paint, strokes: Strokes, meant: np.ndarray, painted: np.ndarray, key: tuple,
                 in_photo: bool):  # fmt: skip
        levels = (len(b_0) // COARSE).bit_length() - 1
        as_read = window_mean(np.clip(READ_AS[1] - np.abs(meant - painted).max(2) / READ_AS[0], 0, 1), 1)
        as_read = as_read.astype(np.float32).repeat(len(b_0) // len(meant), 0).repeat(len(b_0) // len(meant), 1)
        share = np.maximum(strokes.stands * as_read, strokes.sure)[:, :, None].astype(np.float32)
        self._share = pyramid.gaussians(share, levels)
        self._picture = pyramid.gaussians(combed(b_0, paint, strokes, key, in_photo), levels)

    def on(self, x: np.ndarray, k: int) -> np.ndarray:
        """Level k of a picture, with these strokes on it."""
        return (x + self._share[k] * (self._picture[k] - x)).astype(np.float32)


def what_strokes_are(b: list[np.ndarray], paint: Paint, drawn: np.ndarray, free: bool) -> Strokes | None:
    """`b`: the photo's b_0 .. b_K; `drawn`: what was painted by hand, S x S in 0..1; `free`: small strokes are to be read.
    None: they are of nothing that is known, or the model is too small."""
    level, deeper = ((n // m).bit_length() - 1 for n, m in ((len(b[0]), CELLS), (CELLS, COARSE)))
    if level < 1 or level + deeper >= len(b):
        return None
    block = 1 << level
    painted = pyramid.block_mean(paint.cover * paint.opaque * np.minimum(drawn, 1) * kept_of(paint, 1), block) > PAINTED
    bare = window_max(pyramid.block_mean(paint.cover, block), 1) < BARE
    if not painted.any() or not bare.any():
        return None
    fine, locks = _structure(b, level, deeper)
    colours = pyramid.reduce(np.clip(b[0] + paint.fine, 0, 1), level)
    some = _some(bare)
    alike = _alike(colours[painted], b[level][some])
    count = alike.sum(1)
    of_photo = _rises(count / some.sum(), NEW)
    # Of most of what looks like it: edges with something else stand out more.
    mean = alike / np.maximum(count, LEAST_FINE)[:, None]
    own_fine, own_locks = (np.exp(mean @ np.log(v[some] + LEAST_FINE)) for v in (fine, locks))
    hair = of_photo * _rises(own_fine, ROUGH)
    stands = np.maximum(1 - of_photo * _rises(own_fine, FLAT), hair)
    if not stands.any():
        return None
    hair = hair * _rises(colours[painted].mean(1), BLACK)
    own_fine, own_locks = np.minimum(own_fine, MOST[0]), np.minimum(own_locks, MOST[1])
    planes = np.zeros((CELLS, CELLS, 5), np.float32)
    planes[painted] = np.stack([stands, stands, hair, own_fine, own_locks], 1)
    thick = _opened(planes[:, :, 2], THIN)
    planes[:, :, 1] = _opened(planes[:, :, 0], READ if free else THIN)
    if free:
        planes[:, :, 0] = planes[:, :, 1]
    planes = _spread(planes, painted)
    planes[:, :, 2] *= window_max(thick, THIN)
    beside = np.zeros((CELLS, CELLS), np.float32)
    of_hair = colours[_some((thick > 0.5) & painted)]
    if len(of_hair):
        beside[bare] = np.minimum(2 * _alike(of_hair, b[level][bare]).max(0), 1) * _rises(fine[bare], ROUGH)
        beside = reached(beside, _opened(beside, BESIDE))
    # Across what is neither, between paint and hair.
    rooted = reached(np.maximum(window_max(beside, 2), window_max(thick, THIN)), beside)
    along = _directions(b[0], paint, beside) if thick.any() else np.zeros((CELLS, CELLS, 2), np.float32)
    fields = pyramid.enlarge(np.dstack([planes, rooted]).astype(np.float32), level)
    stands, sure, strands, fine, locks, rooted = np.clip(np.moveaxis(fields, 2, 0), 0, 1)
    return Strokes(stands, sure, strands, rooted, fine, locks, along.repeat(block, 0).repeat(block, 1))


def combed(b_0: np.ndarray, paint: Paint, strokes: Strokes, key: tuple, in_photo: bool) -> np.ndarray:
    """The photo with strokes on it, S x S x 3, with strands and locks where they are of hair. `key`: of the noise;
    `in_photo`: what is beneath them may show at their edges."""
    picture = np.clip(b_0 + paint.fine, 0, 1).astype(np.float32)
    if not strokes.strands.any():
        return picture
    window = _around(strokes.strands > 0, 3**FINE_LENGTH)
    along, strands, colour = strokes.along[window], strokes.strands[window], picture[window]
    cover = (paint.cover * paint.opaque)[window]
    radius = max(1, len(b_0) // CELLS)
    thin, wide = (noise.gaussian(strands.shape, "strands", i, *key) for i in range(2))
    thin = _of_one(_smeared(thin + 2 * window_mean(thin, 1), along, FINE_LENGTH))
    wide = _of_one(_smeared(_blurred(wide, radius), along, LOCK_LENGTH))
    if in_photo:
        soft, bare = _blurred(cover, max(1, radius // 2)), b_0[window]
        tips = _tips(_smeared(window_mean(cover, 1), along, FINE_LENGTH), thin + wide)
        now = soft + strokes.rooted[window] * (tips - soft)
        weight = np.square(cover)
        thick = np.stack([_blurred(weight * colour[:, :, c], radius) for c in range(3)], 2)
        thick /= np.maximum(_blurred(weight, radius), 1e-6)[:, :, None]
        colour = colour + strands[:, :, None] * (bare + now[:, :, None] * (thick - bare) - colour)
        cover = cover + strands * (now - cover)
    light = FINE * strokes.fine[window] * thin + LOCKS * strokes.locks[window] * wide
    picture[window] = np.clip(colour * np.exp(cover * strands * light)[:, :, None], 0, 1)
    return picture


def _structure(b: list[np.ndarray], level: int, deeper: int) -> list[np.ndarray]:
    """How much what is finer than a cell, and than a coarse one, stands out, CELLS x CELLS each."""
    found = []
    for k, up, radius in ((0, level, (1 << level) // 2), (level, deeper, 2)):
        finer = (b[k] - pyramid.enlarge(b[k + up], up)).mean(2) / (b[k].mean(2) + LEAST_LIGHT)
        power = np.maximum(window_mean(np.square(finer), radius), 0).astype(np.float32)
        found.append(np.sqrt(pyramid.block_mean(power, len(power) // CELLS)))
    return found


def _directions(b_0: np.ndarray, paint: Paint, beside: np.ndarray) -> np.ndarray:
    """Unit vectors along strokes, CELLS x CELLS x 2: along their outline, but where they touch hair, and as that lies."""
    block = len(b_0) // CELLS
    hair_beside = beside.repeat(block, 0).repeat(block, 1)
    outline = _tensor(window_mean(np.maximum(paint.cover * paint.opaque, hair_beside), block // 2))
    hair = _tensor(window_mean(b_0.mean(2), block // 2))
    outline, hair = (np.stack([pyramid.block_mean(v.astype(np.float32), block) for v in t]) for t in (outline, hair))
    hair = _unit(hair) * beside
    around = _unit(sum(np.stack([_blurred(v, 1 << i) for v in outline]) / (1 << i) for i in range(WINDOWS)))
    for i in range(1, WINDOWS):
        around += np.stack([_blurred(v, 1 << i) for v in hair]) * (HAIR_BESIDE / i)
    across = np.arctan2(2 * around[1], around[0] - around[2]) / 2
    return np.stack([-np.sin(across), np.cos(across)], 2)


def _tensor(picture: np.ndarray) -> np.ndarray:
    """Of its gradient, 3 x H x W: xx, xy, yy."""
    y, x = np.gradient(picture)
    return np.stack([x * x, x * y, y * y])


def _unit(tensor: np.ndarray) -> np.ndarray:
    return tensor / np.maximum(tensor[0] + tensor[2], 1e-6)


def _smeared(values: np.ndarray, along: np.ndarray, times: int) -> np.ndarray:
    """The mean over 3^times pixels in that direction, H x W; beyond the edge those at it count again."""
    height, width = values.shape
    rows, columns = np.mgrid[:height, :width]
    for i in range(times):
        x, y = np.moveaxis(np.rint(along * 3**i).astype(np.int64), 2, 0)
        ahead, back = (
            values[np.clip(rows + sign * y, 0, height - 1), np.clip(columns + sign * x, 0, width - 1)] for sign in (1, -1)
        )
        values = (values + ahead + back) / 3
    return values


def _tips(left: np.ndarray, uneven: np.ndarray) -> np.ndarray:
    """How much hair there is, H x W in 0..1, where this share of what is around along the strand is painted."""
    ends = TIP + RAGGED * np.clip(uneven / 3, -1, 1)
    tips = np.clip((left - ends) / SOFT + 0.5, 0, 1)
    return window_mean(np.maximum(tips, (left - INSIDE) / (1 - INSIDE)), 1)


def _spread(planes: np.ndarray, where: np.ndarray) -> np.ndarray:
    """n x n x D `where` they are known (bool), and near that the mean of those around."""
    weight = np.maximum(_blurred(where, 1), 1e-3)
    return np.stack([_blurred(np.where(where, plane, 0), 1) / weight for plane in np.moveaxis(planes, 2, 0)], 2)


def _blurred(values: np.ndarray, radius: int) -> np.ndarray:
    return window_mean(window_mean(values, radius), radius)


def _of_one(values: np.ndarray) -> np.ndarray:
    """Scaled to a standard deviation of 1."""
    return values / max(float(values.std()), 1e-9)


def _opened(share: np.ndarray, radius: int) -> np.ndarray:
    """Without what is thinner than 2 radius + 1."""
    return window_max(-window_max(-share, radius), radius)


def _around(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The rows and columns that have some of it, and so many more."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return tuple(slice(max(int(v[0]) - margin, 0), int(v[-1]) + 1 + margin) for v in (rows, columns))


def _rises(values: np.ndarray, between: tuple[float, float]) -> np.ndarray:
    """Smoothly from 0 at the first number to 1 at the second."""
    t = np.clip((values - between[0]) / (between[1] - between[0]), 0, 1)
    return t * t * (3 - 2 * t)


def _alike(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How alike colours are (N x C and M x C), N x M in 0..1."""
    squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * a @ b.T
    return np.exp(squares * np.float32(-0.5 / ALIKE**2))


def _some(cells: np.ndarray) -> np.ndarray:
    """Every fourth of them, n x n bool; all if there are few."""
    some = np.zeros_like(cells)
    some[::2, ::2] = cells[::2, ::2]
    return some if some.any() else cells
