"""Where an edit counts: what was painted, how opaque it is, and the masks M and S at the model's size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from . import pyramid
from .engine import Engine
from .ramps import smooth
from .windows import window_max, window_mean, window_sum

if TYPE_CHECKING:
    from .extent import WhatIsMeant

# Share of the square that has to be painted before the latents that every cell shares are drawn anew.
GLOBAL_SHARE = 0.5
# What is drawn anew even under the thinnest paint, so that variants differ.
LEAST_ANEW = 0.2
# Variance of the shown picture (full scale 1), all colours, below which it is too flat to tell what paint keeps of it.
FLAT = 0.006**2
# Share of what came out that has to follow the shown picture before any of it counts as kept.
DOUBTED = 0.7
# What is decoded around the part that counts, in steps of the level's graphs: nearly all that they look at.
MARGIN = 4
# Squared difference of paint from what was shown, all colours, below which it says little of how much paint there is.
LITTLE = 0.04**2
# As far beyond paint, as a share of how far M reaches there at all, goes all of what the paint is meant for.
STRANDS = 0.35


@dataclass(frozen=True)
class Paint:
    """What was painted at level j (m x m cells): `change`, what it does to b_j, m x m x 3; `erased`, share of each cell to
    invent freely, m x m; `cover`, painted share of each model pixel, S x S; `opaque`, how much of what the photo shows
    there is covered, S x S: 0 for a tint, 1 for flat colour; `fine`: what strokes do to b_0, as sharp as they are,
    S x S x 3, and nothing where `cover` is 0; `on_photo`: painted over the photo itself, so what is next to it is meant to
    be as it is; `distances`: how far each pixel counts as from the paint, S x S, if that is not what `cover` says."""

    level: int
    change: np.ndarray
    erased: np.ndarray
    cover: np.ndarray
    opaque: np.ndarray
    fine: np.ndarray
    on_photo: bool = False
    distances: np.ndarray | None = None

    @property
    def empty(self) -> bool:
        return not self.cover.any()

    @cached_property
    def far(self) -> np.ndarray:
        """How far each pixel is from paint, S x S, in pixels."""
        return distance(self.cover > 0) if self.distances is None else self.distances

    @cached_property
    def amount(self) -> np.ndarray:
        """`cover` against that of most of what is painted, S x S in 0..1: thin paint covers as much as opaque paint."""
        painted = self.cover[self.cover > 0]
        usual = min(1.0, float(np.percentile(painted, 90))) if len(painted) else 1.0
        return np.minimum(self.cover / usual, 1).astype(np.float32)

    @cached_property
    def inside(self) -> np.ndarray:
        """How far each pixel is from where there is little paint, S x S, in pixels."""
        return depth(self.amount > 0.5)


def distance(mask: np.ndarray) -> np.ndarray:
    """Euclidean distance of every pixel of a square from the nearest True one, in pixels; 1e4 if there is none."""
    n, rows = len(mask), np.flatnonzero(mask.any(1))
    squared = np.full(mask.shape, 1e8, np.float32)
    if not len(rows):
        return np.sqrt(squared)
    # Exact and separable: the nearest in each row that has any, to the left and to the right, then over those rows.
    index = np.arange(n, dtype=np.float32)
    some = mask[rows]
    left = np.maximum.accumulate(np.where(some, index, -1e4), axis=1)
    right = np.minimum.accumulate(np.where(some, index, 1e4 + n)[:, ::-1], axis=1)[:, ::-1]
    in_row = np.minimum(index - left, right - index) ** 2
    apart = (index[:, None] - index[None, rows]) ** 2
    for i, values in enumerate(in_row.astype(np.float32)):
        np.minimum(squared, values[None, :] + apart[:, i, None], out=squared)
    return np.sqrt(squared)


def depth(painted: np.ndarray) -> np.ndarray:
    """How far every pixel of a square is inside of what is `painted` (bool), in pixels; beyond the square nothing is."""
    return distance(np.pad(~painted, 1, constant_values=True))[1:-1, 1:-1]


def coarsest_fitting_level(cover: np.ndarray, K: int) -> int:
    """The coarsest level at which the thinnest stroke covers two cells, at least 1. `cover`: S x S."""
    if not (cover > 0.5).any():
        return K
    return int(np.clip(np.floor(np.log2(max(thinnest_stroke(cover), 1.0) / 2)), 1, K))


def thinnest_stroke(cover: np.ndarray) -> float:
    """How thick the thinnest tenth of what is painted is, in model pixels. `cover`: S x S."""
    if not cover.any():
        return 0.0
    # A thin tint may be as thick as any stroke.
    painted = cover > 0.5 * min(1.0, float(cover.max()))
    inside = depth(painted)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(inside, 1), (3, 3))
    ridge = inside[painted & (inside >= windows.max((2, 3)))]
    return 2 * float(np.percentile(ridge, 10))


@dataclass(frozen=True)
class Masks:
    """`m`: composited, S x S, 1 on what is painted. `far`: distance from it in model pixels. `reach`: where m ends.

    `s[k]`: per level and group, the share of every latent that is drawn anew, 1 x 1 x h x w. `weight[k]`: level k's
    picture, 1 where the sample counts and 0 where the photo is put back, h x w x 1. `windows[k]`: the rows and columns that
    level k's graphs run on, all of where the weight is above 0 and MARGIN steps around it; None: the whole.
    """

    m: np.ndarray
    far: np.ndarray
    reach: float
    s: list[list[np.ndarray]]
    weight: list[np.ndarray]
    windows: list[tuple[slice, slice] | None]


def opacity(change: np.ndarray, shown: np.ndarray, cover: np.ndarray, radius: int) -> np.ndarray:
    """How much of `shown`'s structure `change` takes away, S x S in 0..1; `change`, `shown`: S x S x 3, where `cover` > 0.

    Paint over a picture makes `(1 - a) shown + a colour`, which follows the picture by 1 - a: the slope of a regression in a
    window of `radius` pixels around, over what is painted; soft edges, where a varies, count as little as they change. It
    is believed as far as it explains what came out: several colours side by side follow nothing. Where the picture is flat
    nothing tells a tint from paint, and all is taken as paint.
    """
    weight = (cover > 0) * np.square(change).mean(2)
    total = window_sum(weight, radius) + 1e-12

    def mean(values):
        return window_sum(values * weight, radius) / total

    together, of_shown, of_result = np.zeros_like(cover), np.full_like(cover, FLAT), np.full_like(cover, FLAT)
    for c in range(3):
        now, then = shown[:, :, c] + change[:, :, c], shown[:, :, c]
        now_mean, then_mean = mean(now), mean(then)
        together += mean(now * then) - now_mean * then_mean
        of_shown += np.maximum(mean(then**2) - then_mean**2, 0)
        of_result += np.maximum(mean(now**2) - now_mean**2, 0)
    slope = np.clip(together / of_shown, 0, 1)
    explained = np.clip(together**2 / (of_shown * of_result), 0, 1)
    believed = np.clip((explained - DOUBTED) / (1 - DOUBTED), 0, 1)
    return (1 - slope * believed) * (cover > 0)


def edge_opacity(change: np.ndarray, shown: np.ndarray, cover: np.ndarray, radius: int) -> np.ndarray:
    """How much paint there is towards its edge, S x S in 0..1, arguments as for `opacity`: 1 further inside than `radius`.

    Soft brushes thin out, and what was seen through them is not the photo. There `change = a (colour - shown)`, the colour
    being that of where around there is most of it; where that is the shown one, `a` falls evenly to the edge.
    """
    touched = (cover > 0).astype(np.float32)
    half = max(1, radius // 2)
    inside, deep = (np.clip(2 * window_mean(touched, r) - 1, 0, 1) for r in (half, radius))
    weight = np.square(change).mean(2) + 1e-8
    total = window_sum(weight * touched, half) + 1e-12
    along, length = LITTLE * inside, np.full_like(inside, LITTLE)
    for c in range(3):
        colour = window_sum(weight * touched * (shown[:, :, c] + change[:, :, c]), half) / total
        along += change[:, :, c] * (colour - shown[:, :, c])
        length += (colour - shown[:, :, c]) ** 2
    return np.maximum(np.clip(along / length, 0, 1), deep**2) * touched


def make_masks(engine: Engine, paint: Paint, grow: float, structure: float = 0.0,
               told: WhatIsMeant | None = None) -> Masks:  # fmt: skip
    """`told`: what the paint is meant for, which M is then kept to."""
    size, K = engine.bundle.size, engine.bundle.K
    cell = float(1 << paint.level)
    painted = paint.cover > 0
    kept = kept_of(paint, structure)
    # Slack for the eight neighbours: enlarging m by interpolation must leave it 1 on everything painted.
    far = np.maximum(paint.far - 1.5, 0.0)
    ramp = wide = max(grow * cell, 1.0)
    if paint.on_photo:
        ramp = max(min(ramp, grow * thinnest_stroke(paint.cover) / 2), 1.0)
        wide = max(min(wide, grow * float(paint.inside.max())), ramp)
    m = ramp_of(far, ramp)
    if told is not None:
        around = ramp_of(np.maximum(far - STRANDS * wide, 0), (1 - STRANDS) * wide)
        m, ramp = m + told.counts * (around * told.share - m), wide
    s, weight, windows = [], [], []
    for k in range(K + 1):
        level = engine.bundle.levels[k]
        block = 1 << k
        reached = m.reshape(size // block, block, size // block, block).max((1, 3))
        opaque = np.maximum(paint.opaque, LEAST_ANEW * painted)
        opaque = opaque.reshape(size // block, block, size // block, block).max((1, 3))
        s.append([
            (1 - in_cells(kept, group, level.size, np.min)) * _latent_mask(reached, opaque, painted, group, level.size)
            for group in level.groups
        ])  # fmt: skip
        # The sample counts wherever m reaches, then gives way to the photo over two cells of this level.
        fade = np.clip(1 - np.maximum(pyramid.block_mean(far, block) - ramp, 0) / (2.0 * block * 4), 0, 1)
        weight.append(fade[:, :, None].astype(np.float32))
        windows.append(_window(fade > 0, level.step))
    return Masks(m.astype(np.float32), far, ramp, s, weight, windows)


def ramp_of(far: np.ndarray, width: float) -> np.ndarray:
    """1 where nothing is `far`, falling smoothly to 0 over `width`."""
    return smooth(1 - far / width).astype(np.float32)


def opaque_around(paint: Paint, level: int, m: np.ndarray) -> np.ndarray:
    """In the cells of a level that m reaches, the most that paint in them, or near them, covers."""
    block = 1 << level
    n = len(paint.opaque) // block
    opaque = paint.opaque.reshape(n, block, n, block).max((1, 3))
    # A soft brush's edge is no tint.
    for _ in range(1 << max(paint.level - level, 0)):
        opaque = window_max(opaque, 1)
    return spread(opaque, cell_means(m, level) > 0)


def _window(wanted: np.ndarray, step: int) -> tuple[slice, slice] | None:
    """The rows and columns of a level that hold all that is wanted, with what its graphs should see around it.

    Two `step`s is the least that is sure to be whole cells of the coarser level's latents, too.
    """
    n = len(wanted)
    if not step or n % (2 * step) or not wanted.any():
        return None
    window = []
    for axis in (1, 0):
        inside = np.flatnonzero(wanted.any(axis))
        first, last = int(inside[0]) // (2 * step) * 2 * step, -(-int(inside[-1] + 1) // (2 * step)) * 2 * step
        window.append(slice(max(first - MARGIN * step, 0), min(last + MARGIN * step, n)))
    return None if all(part == slice(0, n) for part in window) else tuple(window)


def _latent_mask(reached: np.ndarray, opaque: np.ndarray, painted: np.ndarray, group, size: int) -> np.ndarray:
    """The cells that m reaches, as far as it does, times the opacity of the paint that is nearest; a group that all
    cells share, once half of the square is painted."""
    if group.kind != "grid":
        return np.full((1, 1, 1, 1), float(painted.mean() > GLOBAL_SHARE) * opaque.max(), np.float32)
    cells = in_cells(reached, group, size, np.max)[0, 0]
    share = spread(window_max(in_cells(opaque, group, size, np.max)[0, 0], 1), cells > 0)
    return (share * cells)[None, None].astype(np.float32)


def spread(share: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """`share`, and where it is 0 but `wanted` what is nearest, across what is not wanted too."""
    found = share
    while found.any() and (wanted & (found == 0)).any():
        found = np.where(found == 0, window_max(found, 1), found)
    return np.where(wanted, found, share)


def kept_of(paint: Paint, structure: float) -> np.ndarray:
    """How much of the photo's structure stays at each model pixel, S x S: nothing where it was erased."""
    cell = 1 << paint.level
    return np.float32(structure) * (1 - np.clip(paint.erased, 0, 1)).repeat(cell, 0).repeat(cell, 1)


def in_cells(values: np.ndarray, group, size: int, over) -> np.ndarray:
    """The largest or the least value (`over`: np.max, np.min) in each cell of a grid of latents of a level of `size` pixels,
    1 x 1 x h x w; in all, for a group that all cells share. `values`: n x n, at least as many as cells."""
    n = size // group.stride if group.kind == "grid" else 1
    block = len(values) // n
    return over(values.reshape(n, block, n, block), (1, 3))[None, None].astype(np.float32)


def cell_means(values: np.ndarray, levels: int) -> np.ndarray:
    """Area mean over 2^levels x 2^levels blocks."""
    return pyramid.block_mean(values.astype(np.float32), 1 << levels)


def fill_erased(picture: np.ndarray, erased: np.ndarray) -> np.ndarray:
    """Erased cells take the smooth (harmonic) continuation of what is around them: a start for the denoising level."""
    if not erased.any():
        return picture
    hole = np.clip(erased, 0, 1)[:, :, None]
    known = float((1 - hole).sum())
    mean = (picture * (1 - hole)).sum((0, 1)) / known if known > 0.5 else np.full(3, 0.5)
    filled = picture * (1 - hole) + mean * hole
    for _ in range(4 * picture.shape[0]):
        around = np.pad(filled, ((1, 1), (1, 1), (0, 0)), mode="edge")
        mean = (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) / 4
        filled = picture * (1 - hole) + mean * hole
    return filled.astype(np.float32)
