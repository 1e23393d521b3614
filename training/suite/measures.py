"""The figures of a cell. Grey levels are of 255; pictures as the model sees them are S x S x 3 in 0..1."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import torch

from lapcvae import compose, edit, pyramid
from lapcvae.host import photo_pixels

from ..lpips import LPIPS, SMALLEST_SIDE
from .road import Cell, Edit, Road

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Grey levels per pixel that are added to both gradients: on a studio's white wall there is nothing to divide by.
QUIET = 0.5
# A cell of the painted level counts as painted from this share of its area on.
PAINTED = 0.5


def grey(pixels: np.ndarray) -> np.ndarray:
    """H x W luma in grey levels (0..255) of native pixels or of floats."""
    values = compose.to_float(pixels) if pixels.dtype.kind == "u" else pixels
    values = values[:, :, :3] @ LUMA if values.shape[2] >= 3 else values[:, :, 0]
    return 255 * values.astype(np.float32)


def gradient(values: np.ndarray) -> np.ndarray:
    """H x W: length of the gradient by central differences, per pixel."""
    rows, columns = np.gradient(values)
    return np.hypot(rows, columns)


def measure(cell: Cell, road: Road, judge: LPIPS | None) -> dict:
    """Every figure; None where it does not apply."""
    results = road.results(cell, cell.usual)
    found = {
        "outside": outside(cell.usual), "agreement": agreement(cell, road), "followed": followed(cell, results),
        "rim": rim(cell.usual, photo_pixels(cell.bare.photo, cell.usual.box)),
        "diversity": diversity(cell, results), "lpips": spread_lpips(cell, results, judge),
        "ghost": None, "edges": None, "seconds_first": cell.usual.times["first"], "seconds_all": cell.usual.times["all"],
        "enlargement": cell.usual.prepared.enlargement,
    }  # fmt: skip
    found["agreement_model"] = agreement_model(cell)
    if cell.object_alpha is not None:
        found["ghost"] = ghost(cell, results, road)
        found["edges"] = edges(cell, results, road)
    return {name: None if value is None or not math.isfinite(value) else float(value) for name, value in found.items()}


def outside(made: Edit) -> float:
    """The largest difference from the photo where M is 0, in the photo's own units. Has to be 0."""
    untouched = made.mask == 0
    if not untouched.any():
        return 0.0
    change = [np.abs(v.astype(np.float64) - made.under)[untouched].max() for v in made.variants]
    return float(max(change))


def _painted(cell: Cell) -> np.ndarray:
    """Cells of the painted level that are painted, not erased, and not at an edge of the frame, m x m bool.

    Where the photo goes on beyond the frame, M has to end before the painting does.
    """
    plan, frame = cell.exact_plan, cell.subject.frame
    block = 1 << plan.paint.level
    inner = compose.close_mask_at_frame(np.ones_like(plan.masks.m), frame, cell.subject.photo.size)
    m = plan.paint.cover.shape[0] // block
    share = (plan.paint.cover > 0).reshape(m, block, m, block).mean((1, 3))
    whole = inner.reshape(m, block, m, block).min((1, 3)) == 1
    return (share >= PAINTED) & (plan.paint.erased < PAINTED) & whole


def _rms(difference: np.ndarray) -> float:
    return 255 * float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))


def agreement(cell: Cell, road: Road) -> float | None:
    """RMS over painted cells between D(result) at realism 0, all the way to the photo and back, and what was painted."""
    plan = cell.exact_plan
    where = _painted(cell)
    if not where.any():
        return None
    off = [(pyramid.reduce(r, plan.paint.level) - plan.wanted_j)[where] for r in road.results(cell, cell.exact)]
    return _rms(np.array(off))


def agreement_model(cell: Cell) -> float | None:
    """The same before it is put into the photo: what sampling and projection alone leave."""
    plan = cell.exact_plan
    where = _painted(cell)
    if not where.any():
        return None
    return _rms((pyramid.reduce(np.clip(edit.variant(plan, 0), 0, 1), plan.paint.level) - plan.wanted_j)[where])


def followed(cell: Cell, results: list[np.ndarray]) -> float | None:
    """How far the painted cells went from the photo's colours to the painted ones: 0 not at all, 1 all the way."""
    plan = cell.exact_plan
    where = _painted(cell)
    j = plan.paint.level
    wish = (plan.painted_j - plan.encoded.b[j])[where]
    if not where.any() or not np.square(wish).sum():
        return None
    went = np.mean([(pyramid.reduce(r, j) - plan.encoded.b[j])[where] for r in results], axis=0)
    return float((went * wish).sum() / np.square(wish).sum())


def rim(made: Edit, photo: np.ndarray) -> float | None:
    """Mean gradient where M is between 0 and 1, over that of the photo (H x W x C over the box) without what was removed.

    A seam makes it larger, a blur smaller.
    """
    ring = (made.mask > 0) & (made.mask < 1)
    if not ring.any():
        return None
    own = gradient(grey(photo))[ring].mean() + QUIET
    return float(np.mean([gradient(grey(v))[ring].mean() + QUIET for v in made.variants]) / own)


def _inside(cell: Cell) -> np.ndarray:
    return cell.exact_plan.masks.m > 0.5


def diversity(cell: Cell, results: list[np.ndarray]) -> float | None:
    """Mean RMS difference of two results inside M, grey levels."""
    where = _inside(cell)
    if len(results) < 2 or not where.any():
        return None
    return float(np.mean([_rms((a - b)[where]) for a, b in combinations(results, 2)]))


@torch.inference_mode()
def spread_lpips(cell: Cell, results: list[np.ndarray], judge: LPIPS | None) -> float | None:
    """Mean LPIPS of two results over the square around M."""
    where = _inside(cell)
    if judge is None or len(results) < 2 or not where.any():
        return None
    box = _around(where, max(64, 2 * SMALLEST_SIDE[judge.net]))
    x = torch.from_numpy(np.stack([r[box].transpose(2, 0, 1) for r in results]))
    features = judge.features(x)
    pairs = torch.tensor(list(combinations(range(len(results)), 2))).T
    return float(judge.distance([f[pairs[0]] for f in features], [f[pairs[1]] for f in features]).mean())


def _around(where: np.ndarray, least: int) -> tuple[slice, slice]:
    """The rows and columns around everything True, at least `least` of each."""
    slices = []
    for axis in (1, 0):
        at = np.flatnonzero(where.any(axis))
        low, high, size = at[0], at[-1] + 1, where.shape[1 - axis]
        more = max(0, least - (high - low))
        low = max(0, min(low - more // 2, size - least))
        slices.append(slice(int(low), int(min(size, max(high, low + least)))))
    return slices[0], slices[1]


def _object(cell: Cell, size: int) -> np.ndarray:
    """Where the object was and two pixels around it, size x size bool."""
    alpha = cell.object_alpha
    # To the nearest pixel: it is a region to look at.
    at = ((np.arange(size) + 0.5) * alpha.shape[0] / size).astype(int)
    shape = np.pad(alpha[at][:, at] > 0.1, 2)
    return np.lib.stride_tricks.sliding_window_view(shape, (5, 5)).max((2, 3))


def _detail(picture: np.ndarray) -> np.ndarray:
    """Luma less its surroundings of 8 pixels: edges, not tones."""
    luma = grey(picture)[:, :, None]
    return (luma - pyramid.enlarge(pyramid.reduce(luma, 3), 3))[:, :, 0]


def ghost(cell: Cell, results: list[np.ndarray], road: Road) -> float | None:
    """How much of the removed object's own edges is still there: 0 nothing, 1 all; the mean over the results."""
    bare = _detail(road.square(cell.bare))
    where = _object(cell, bare.shape[0])
    mark = (_detail(road.square(cell.subject)) - bare)[where]
    if not np.square(mark).sum():
        return None
    return float(np.mean([((_detail(r) - bare)[where] * mark).sum() / np.square(mark).sum() for r in results]))


def edges(cell: Cell, results: list[np.ndarray], road: Road) -> float | None:
    """Edge energy where the object was, over that of the photo without it: mean squared gradient of the luma."""
    bare = road.square(cell.bare)
    where = _object(cell, bare.shape[0])
    own = np.square(gradient(grey(bare)))[where].mean()
    return float(np.mean([np.square(gradient(grey(r)))[where].mean() for r in results]) / own) if own else None
