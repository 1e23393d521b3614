"""What strokes are of: a new wall, in a colour that the photo has nowhere, or something that the photo has, such as hair.

A wall stands as it was painted: there is nothing to find out. What is read as hair has the shape that was read, and is as
flat as the stroke. The photo says how its hair looks: how much strands and locks stand out; strokes say how it lies,
together with the hair that they touch. Noise that is smeared along that direction (line integral convolution, Cabral and
Leedom 1993) is strands and locks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import noise, pyramid
from .encoding import EncodedPhoto
from .hair import hair_of
from .masks import Paint, kept_of
from .meant import reached, squares
from .ramps import rises
from .windows import window_max, window_mean

# Colours are told apart in so many cells a side; locks are what is finer than these, and coarser than those.
COARSE, CELLS = 16, 64
# How different colours may be, full scale 1, each.
ALIKE = 0.05
# Share of what is not painted that has a stroke's colour: up to the first it is a new one, from the second on the photo's.
NEW = (0.002, 0.006)
# What is finer than a cell, as a share of its brightness: skin has less than the first number, hair more than the second.
ROUGH = (0.04, 0.07)
# How much of what has a stroke's colour a segmenter takes for hair: skin, hair.
OF_CLASS = (0.3, 0.6)
# Keeps black from dividing, and what has nothing fine from having no logarithm.
LEAST_LIGHT, LEAST_FINE = 0.05, 1e-3
# Shares of a cell: what is painted, or wholly so, has more paint, what is bare has less.
PAINTED, WHOLE, BARE = 0.5, 0.95, 0.02
# Strokes of hair are thin up to twice this, in cells; where something is to go, and of a wall, up to twice that; hair beside
# goes on if it is thicker than that.
THIN, SMALL, BESIDE = 1, 2, 2
# How much strands and locks stand out in strokes, against most of the hair that they are of, and at most: short hair is all
# edge.
FINE, LOCKS, MOST = 0.6, 0.4, (0.15, 0.2)
# As much of that is left where something is to go: there the levels draw more of it themselves.
GOES = 0.5
# What is darker has no strands to be seen, and may be a lens.
BLACK = (0.06, 0.08)
# Noise is smeared to three times its length so often: strands, locks.
FINE_LENGTH, LOCK_LENGTH = 3, 4
# The outline is seen in so many windows, each twice as large and counting half as much; the hair beside counts so much more.
WINDOWS, HAIR_BESIDE = 4, 0.5
# What is read differs by so much, full scale 1, from the photo where all of it is new.
CHANGED = 0.1


@dataclass(frozen=True)
class Strokes:
    """What strokes are of. `stands`, S x S in 0..1, how far of a new wall. `hair`: the colours of those of hair, N x 3;
    `fine`, `locks`: how much, as a share of its brightness, strands and locks of it stand out; `along`: the direction that
    it lies in, CELLS x CELLS x 2 (x, y). `where`: how far each cell is painted, thickly, in a colour that hair has, as a
    segmenter sees it, CELLS x CELLS; there may be such without `hair`. `known`: the share of what is painted that a wall or
    hair is."""

    stands: np.ndarray
    hair: np.ndarray
    fine: float
    locks: float
    along: np.ndarray
    where: np.ndarray
    known: float


def what_strokes_are(photo: EncodedPhoto, paint: Paint, drawn: np.ndarray, wall: float, goes: bool) -> Strokes | None:
    """`drawn`: what was painted by hand, S x S in 0..1; `wall`: how sure it is that new colours are one; `goes`: something
    is to go. None: they are of nothing that is known, or the model is too small."""
    b = photo.b
    level, deeper = ((n // m).bit_length() - 1 for n, m in ((len(b[0]), CELLS), (CELLS, COARSE)))
    if level < 1 or level + deeper >= len(b):
        return None
    block, covered = 1 << level, _covered(paint, drawn)
    # Cells at the edge of a stroke are of its colour and another one.
    whole = covered > WHOLE
    painted = whole | ((covered > PAINTED) & (window_max(whole.astype(np.float32), 1) == 0))
    bare = window_max(pyramid.block_mean(paint.cover, block), 1) < BARE
    if not painted.any() or not bare.any():
        return None
    fine, locks = _structure(b, level, deeper)
    colours = np.moveaxis(np.clip(b[0] + paint.fine, 0, 1), 2, 0)
    colours = np.stack([pyramid.block_mean(c, block) for c in colours], 2)
    some = _some(bare)
    alike = _alike(colours[painted], b[level][some])
    count = alike.sum(1)
    of_photo = rises(count / some.sum(), NEW)
    # Of most of what looks like it: edges with something else stand out more.
    mean = alike / np.maximum(count, LEAST_FINE)[:, None]
    own_fine, own_locks = (np.exp(mean @ np.log(v[some] + LEAST_FINE)) for v in (fine, locks))
    hair, stands = np.zeros((2, CELLS, CELLS), np.float32)
    hair[painted] = of_photo * rises(own_fine, ROUGH) * rises(colours[painted].mean(1), BLACK)
    where = np.zeros((CELLS, CELLS), np.float32)
    if photo.segments:
        of_class = pyramid.block_mean(hair_of(photo.segments), len(photo.segments.of) // CELLS)
        where[painted] = of_photo * rises(mean @ of_class[some], OF_CLASS) * rises(colours[painted].mean(1), BLACK)
        where = covered * np.where(painted, where, window_max(where, 1))
        # Thin strokes beside others are brows, the line of a mouth.
        where = np.minimum(where, reached(where, _opened(where, THIN)))
    stands[painted] = wall * (1 - of_photo)
    hair, stands = ((covered > PAINTED) * np.where(painted, v, window_max(v, 1)) for v in (hair, stands))
    stands = _opened(stands, SMALL)
    # Where glasses go, eyes and brows are painted.
    of_hair = (_opened(hair, SMALL if goes else THIN) > 0.5) & painted
    if not (stands.any() or of_hair.any() or where.any()):
        return None
    known = float(np.maximum(stands, of_hair)[painted].mean())
    stands = _in_full(stands, covered, level)
    if not of_hair.any():
        return _no_hair(stands, where, known)
    of_thick, share = of_hair[painted], GOES if goes else 1.0
    own_fine, own_locks = (share * min(float(np.median(v[of_thick])), most) for v, most in zip((own_fine, own_locks), MOST))
    hair = colours[_some(of_hair)]
    beside = np.zeros((CELLS, CELLS), np.float32)
    beside[bare] = _of(hair, b[level][bare]) * rises(fine[bare], ROUGH)
    beside = reached(beside, _opened(beside, BESIDE))
    return Strokes(stands, hair, own_fine, own_locks, _directions(b[0], paint, beside), where, known)


def a_wall(photo: EncodedPhoto, paint: Paint, drawn: np.ndarray) -> Strokes | None:
    """Strokes that are of a wall and nothing else, whatever has its colour. Arguments, and None, as above."""
    level = (len(photo.b[0]) // CELLS).bit_length() - 1
    covered = _covered(paint, drawn) if level >= 1 else np.zeros((CELLS, CELLS), np.float32)
    stands = _opened((covered > PAINTED).astype(np.float32), SMALL)
    if not stands.any():
        return None
    return _no_hair(_in_full(stands, covered, level), np.zeros((CELLS, CELLS), np.float32), 1.0)


def _covered(paint: Paint, drawn: np.ndarray) -> np.ndarray:
    """The share of each cell that opaque paint covers which was painted by hand, CELLS x CELLS."""
    covered = paint.cover * paint.opaque * np.minimum(drawn, 1) * kept_of(paint, 1)
    return pyramid.block_mean(covered, len(covered) // CELLS)


def _in_full(stands: np.ndarray, covered: np.ndarray, level: int) -> np.ndarray:
    """How far a wall stands, from cells to the model's size."""
    stands = _blurred(stands, 1) / np.maximum(_blurred(covered > PAINTED, 1), LEAST_FINE)
    return np.clip(pyramid.enlarge(stands[:, :, None].astype(np.float32), level)[:, :, 0], 0, 1)


def _no_hair(stands: np.ndarray, where: np.ndarray, known: float) -> Strokes:
    return Strokes(stands, np.zeros((0, 3), np.float32), 0.0, 0.0, np.zeros((CELLS, CELLS, 2), np.float32), where, known)


class Drawn:
    """How strokes look in what is drawn: a wall that stands, and strands in what was read as hair.

    `b`: the photo's b_0 .. b_K; `meant`: what was read, n x n x 3; `m`: the mask M, n x n; `key`: of the noise.
    """

    def __init__(self, b: list[np.ndarray], paint: Paint, strokes: Strokes, meant: np.ndarray, m: np.ndarray, key: tuple):
        K, up = len(b) - 1, len(b[0]) // len(meant)
        self._stands: list[np.ndarray] = []
        if strokes.stands.any():
            self._stands = pyramid.gaussians(strokes.stands[:, :, None], K)
            self._picture = pyramid.gaussians(np.clip(b[0] + paint.fine, 0, 1).astype(np.float32), K)
        self._strands: list[np.ndarray] = []
        if len(strokes.hair):
            photo = b[up.bit_length() - 1]
            hair = m * _of(strokes.hair, meant.reshape(-1, 3)).reshape(m.shape)
            hair = hair * np.clip(np.abs(meant - photo).max(2) / CHANGED, 0, 1)
            self._strands = pyramid.gaussians(_strands(hair, strokes, up, key), K)

    def meant(self, x: np.ndarray, k: int) -> np.ndarray:
        """Level k of what was read, with strokes and locks."""
        return np.clip(self._standing(x, k) * (self._strands[k] if self._strands else 1), 0, 1).astype(np.float32)

    def on(self, x: np.ndarray, k: int) -> np.ndarray:
        """Level k of a sample whose coarser level has them, with what is finer of them."""
        if self._strands:
            x = x * (self._strands[k] / pyramid.enlarge(self._strands[k + 1], 1))
        return self._standing(x, k).astype(np.float32)

    def _standing(self, x: np.ndarray, k: int) -> np.ndarray:
        return x + self._stands[k] * (self._picture[k] - x) if self._stands else x


def _strands(hair: np.ndarray, strokes: Strokes, up: int, key: tuple) -> np.ndarray:
    """How much brighter it is, S x S x 1, 1 where there is no `hair` (n x n in 0..1, S = n `up`)."""
    size = len(hair) * up
    made = np.ones((size, size, 1), np.float32)
    hair = np.clip(pyramid.enlarge(hair[:, :, None].astype(np.float32), up.bit_length() - 1)[:, :, 0], 0, 1)
    if hair.max() < BARE:
        return made
    window = _around(hair > BARE, 3**FINE_LENGTH)
    along = strokes.along.repeat(size // CELLS, 0).repeat(size // CELLS, 1)[window]
    thin, wide = (noise.gaussian(along.shape[:2], "strands", i, *key) for i in range(2))
    thin = _of_one(_smeared(thin + 2 * window_mean(thin, 1), along, FINE_LENGTH))
    wide = _of_one(_smeared(_blurred(wide, max(1, size // CELLS)), along, LOCK_LENGTH))
    light = FINE * strokes.fine * thin + LOCKS * strokes.locks * wide
    made[window] = np.exp(hair[window] * light)[:, :, None]
    return made


def at(cells: np.ndarray, n: int) -> np.ndarray:
    """CELLS x CELLS as n x n."""
    if n <= CELLS:
        return pyramid.block_mean(cells, CELLS // n)
    return pyramid.enlarge(cells[:, :, None], (n // CELLS).bit_length() - 1)[:, :, 0].clip(0, 1)


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


def _alike(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How alike colours are (N x C and M x C), N x M in 0..1."""
    return np.exp(squares(a, b) * np.float32(-0.5 / ALIKE**2))


def _of(colours: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """How far pixels (M x C) have one of some colours (N x C), M in 0..1."""
    return np.minimum(2 * _alike(colours, pixels).max(0), 1)


def _some(cells: np.ndarray) -> np.ndarray:
    """Every fourth of them, n x n bool; all if there are few."""
    some = np.zeros_like(cells)
    some[::2, ::2] = cells[::2, ::2]
    return some if some.any() else cells
