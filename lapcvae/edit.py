"""The edit at the model's size: from a photo's square and what was painted on its coarse level to variants.

Pictures are S x S x 3 float32, sRGB in [0, 1]; levels and latents as in `lapcvae.pyramid` and `lapcvae.graphs`.

1. The photo is encoded once: b_k and the posterior of every level (`EncodedPhoto`).
2. The painted level j: `x_j = b_j + D(painted - shown)`, less what only b_j shows of that which opaque paint covers (what
   is painted on is `u(b_j)`, blurrier than b_j, and the rest would stay as a ghost). D, and not the mean over a cell: that
   is what the coarse image of a photo with this paint in it is, and a sample can be made to agree with it without ringing.
   Paint is crude, and `realism` makes it a face: the interpreter says what picture is meant (`lapcvae.interpret`), and its
   level K is what all finer levels are drawn for. Without one, and where many cells were painted, level j is drawn once more
   for its own coarser level, from the posterior of what is painted, mixed with the prior; at the coarsest level by its
   denoising VAE.
3. Each finer level: `z = prior + T_k sigma eps` inside S (T_k: `noise.level_temperature`), the photo's posterior outside;
   decode; the photo back outside S.
   Inside S too the photo can stay, wholly or in part (`structure`): recoloured, with its own detail (`lapcvae.recolour`).
   Less than all of it is mixed, in pixels and in latents alike. What was erased goes all the same.
4. `x += A+ (c - D(x)) A+^T` makes the sample's coarse image exactly the wanted one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from . import meant as meaning
from . import noise, pyramid, recolour
from .engine import Engine, Posterior
from .interpret import interpreted
from .protocol.errors import LapcvaeError

# Share of the square that has to be painted before the latents that every cell shares are drawn anew.
GLOBAL_SHARE = 0.5
# What is drawn anew even under the thinnest paint, so that variants differ.
LEAST_ANEW = 0.2
# From this realism on, opaque paint counts as far as level j's latents say it; below, it is mixed with the paint itself.
LATENTS_ALONE = 0.1
# From this realism on a painting is interpreted; below, it is taken nearly as it is.
INTERPRETED = 0.1
# So is only what was painted in this many cells across, or fewer: who paints in more of them means the details. The same
# holds for what strokes ran over (`lapcvae.meant`).
FEW_CELLS = 32
# From this share of the photo's structure on, paint is meant for what the middle of its strokes lies on alone.
MATERIAL = 0.5
# Variance of the shown picture (full scale 1), all colours, below which it is too flat to tell what paint keeps of it.
FLAT = 0.006**2
# Share of what came out that has to follow the shown picture before any of it counts as kept.
DOUBTED = 0.7
# What is decoded around the part that counts, in steps of the level's graphs: nearly all that they look at.
MARGIN = 4
# A cell counts as painted from this share of its area on.
CELL_SHARE = 0.02


@dataclass(frozen=True)
class EncodedPhoto:
    """b_0 .. b_K of the photo's square and q_k at every level, u taken from the photo itself."""

    b: list[np.ndarray]
    posteriors: list[list[Posterior]]


def encode(engine: Engine, b_0: np.ndarray) -> EncodedPhoto:
    """K + 1 encoder runs; `b_0` is S x S x 3."""
    K = engine.bundle.K
    b = pyramid.gaussians(np.ascontiguousarray(b_0, np.float32), K)
    posteriors = [engine.encode(k, b[k], pyramid.u(b[k + 1]) if k < K else None) for k in range(K + 1)]
    return EncodedPhoto(b, posteriors)


def reconstruct(engine: Engine, encoded: EncodedPhoto, temperature: float = 0.0, key: tuple = (0,)) -> np.ndarray:
    """The photo from its latents alone, whole chain; used to judge a model and by the tests.

    Only `posteriors` are used: with another photo's b in `encoded` the result is the same.
    """
    x = statistics = u = None
    for k in range(engine.bundle.K, -1, -1):
        level = engine.bundle.levels[k]
        posterior = encoded.posteriors[k]
        z = [q.mu + temperature * np.exp(q.log_sigma) * noise.gaussian(q.mu.shape, *key, k, i)
             for i, q in enumerate(posterior)]  # fmt: skip
        nothing = [np.zeros_like(q.mu) for q in posterior]
        off = [np.zeros((1, 1, *q.mu.shape[2:]), np.float32) for q in posterior]
        x = engine.decode(k, z, off, nothing, 0.0, u, statistics)
        if k:
            statistics = engine.encode(k, x, u)[-1].statistics
            u = pyramid.u(x)
        assert x.shape[0] == level.size
    return x


@dataclass(frozen=True)
class Paint:
    """What was painted at level j (m x m cells): `change`, what it does to b_j, m x m x 3; `erased`, share of each cell to
    invent freely, m x m; `cover`, painted share of each model pixel, S x S; `opaque`, how much of what the photo shows
    there is covered, S x S: 0 for a tint, 1 for flat colour."""

    level: int
    change: np.ndarray
    erased: np.ndarray
    cover: np.ndarray
    opaque: np.ndarray

    @property
    def empty(self) -> bool:
        return not self.cover.any()


def distance(mask: np.ndarray) -> np.ndarray:
    """Euclidean distance of every pixel of a square from the nearest True one, in pixels; 1e4 if there is none."""
    index = np.arange(mask.shape[0], dtype=np.float32)
    apart = (index[:, None] - index[None, :]) ** 2
    squared = np.full(mask.shape, 1e8, np.float32)
    # Exact and separable: the nearest in each row that has any, then over those rows.
    for row in np.flatnonzero(mask.any(1)):
        in_row = (np.where(mask[row], 0, 1e8).astype(np.float32) + apart).min(1)
        np.minimum(squared, in_row[None, :] + apart[row][:, None], out=squared)
    return np.sqrt(squared)


def coarsest_fitting_level(cover: np.ndarray, K: int) -> int:
    """The coarsest level at which the thinnest stroke covers two cells, at least 1. `cover`: S x S."""
    painted = cover > 0.5
    if not painted.any():
        return K
    inside = distance(np.pad(~painted, 1, constant_values=True))[1:-1, 1:-1]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(inside, 1), (3, 3))
    ridge = inside[painted & (inside >= windows.max((2, 3)))]
    thinnest = 2 * float(np.percentile(ridge, 10))
    return int(np.clip(np.floor(np.log2(max(thinnest, 1.0) / 2)), 1, K))


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
    total = _window_sum(weight, radius) + 1e-12

    def mean(values):
        return _window_sum(values * weight, radius) / total

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


def _window_sum(values: np.ndarray, radius: int) -> np.ndarray:
    """Sum over (2 radius + 1)^2 neighbours, S x S; 0 beyond."""
    for axis in (0, 1):
        widths = [(radius + 1, radius) if a == axis else (0, 0) for a in (0, 1)]
        total = np.cumsum(np.pad(values.astype(np.float64), widths), axis=axis)
        n = values.shape[axis]
        values = np.take(total, np.arange(n) + 2 * radius + 1, axis) - np.take(total, np.arange(n), axis)
    return values.astype(np.float32)


def make_masks(engine: Engine, paint: Paint, grow: float, structure: float = 0.0) -> Masks:
    size, K = engine.bundle.size, engine.bundle.K
    cell = float(1 << paint.level)
    painted = paint.cover > 0
    kept = kept_of(paint, structure)
    # Slack for the eight neighbours: enlarging m by interpolation must leave it 1 on everything painted.
    far = np.maximum(distance(painted) - 1.5, 0.0)
    ramp = max(grow * cell, 1.0)
    t = np.clip(1 - far / ramp, 0, 1)
    m = (t * t * (3 - 2 * t)).astype(np.float32)
    s, weight, windows = [], [], []
    for k in range(K + 1):
        level = engine.bundle.levels[k]
        block = 1 << k
        reached = m.reshape(size // block, block, size // block, block).max((1, 3))
        opaque = np.maximum(paint.opaque, LEAST_ANEW * painted)
        opaque = opaque.reshape(size // block, block, size // block, block).max((1, 3))
        s.append([
            (1 - _in_cells(kept, group, level.size, np.min)) * _latent_mask(reached, opaque, painted, group, level.size)
            for group in level.groups
        ])  # fmt: skip
        # The sample counts wherever m reaches, then gives way to the photo over two cells of this level.
        fade = np.clip(1 - np.maximum(pyramid.block_mean(far, block) - ramp, 0) / (2.0 * block * 4), 0, 1)
        weight.append(fade[:, :, None].astype(np.float32))
        windows.append(_window(fade > 0, level.step))
    return Masks(m, far, ramp, s, weight, windows)


def _on_what_is_meant(masks: Masks, encoded: EncodedPhoto, paint: Paint, share: float) -> Masks:
    """Less of it where opaque paint went beyond what it is meant for (`lapcvae.meant`)."""
    inside = distance(np.pad(paint.cover <= 0.5, 1, constant_values=True))[1:-1, 1:-1]
    block = 1 << paint.level
    opaque = _opaque_around(paint, paint.level, masks.m).repeat(block, 0).repeat(block, 1)
    not_meant = 1 - meaning.meant(encoded.b, paint.cover, inside, masks.m > 0)
    # Not along single pixels: over a third of a cell.
    left = share * opaque * _softened(not_meant, max(1, block // 6))
    m = masks.m * (1 - left)
    weight = [w * (1 - _cells(left, k)[:, :, None]) for k, w in enumerate(masks.weight)]
    return replace(masks, m=m.astype(np.float32), weight=[w.astype(np.float32) for w in weight])


def _opaque_around(paint: Paint, level: int, m: np.ndarray) -> np.ndarray:
    """In the cells of a level that m reaches, the opacity of the paint in them, or of the nearest."""
    covered = _cells(paint.cover > 0, level)
    return _spread(_cells(paint.opaque, level) / np.maximum(covered, 1e-6) * (covered > 0), _cells(m, level) > 0)


def _softened(values: np.ndarray, radius: int) -> np.ndarray:
    """Mean of each pixel's neighbours, twice."""
    for _ in range(2):
        values = _window_sum(values, radius) / np.maximum(_window_sum(np.ones_like(values), radius), 1)
    return values


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


def _part(latents: np.ndarray, window: tuple[slice, slice], size: int) -> np.ndarray:
    """The cells of a grid of latents (1 x C x h x w) under a window of a level of `size` pixels."""
    stride = size // latents.shape[2]
    return latents[:, :, *(slice(part.start // stride, part.stop // stride) for part in window)]


def _latent_mask(reached: np.ndarray, opaque: np.ndarray, painted: np.ndarray, group, size: int) -> np.ndarray:
    """The cells that m reaches, as far as it does, times the opacity of the paint that is nearest; a group that all
    cells share, once half of the square is painted."""
    if group.kind != "grid":
        return np.full((1, 1, 1, 1), float(painted.mean() > GLOBAL_SHARE) * opaque.max(), np.float32)
    cells = _in_cells(reached, group, size, np.max)[0, 0]
    share = _spread(_grown(_in_cells(opaque, group, size, np.max)[0, 0]), cells > 0)
    return (share * cells)[None, None].astype(np.float32)


def _spread(share: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """`share`, and where it is 0 but `wanted` what is nearest."""
    while share.any() and (missing := wanted & (share == 0)).any():
        share = np.where(missing, _grown(share), share)
    return share


def _grown(cells: np.ndarray) -> np.ndarray:
    """The largest of each cell and the eight around it."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(cells, 1), (3, 3)).max((2, 3))


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


@dataclass(frozen=True)
class Plan:
    """Everything that is the same for all variants of one edit."""

    engine: Engine
    encoded: EncodedPhoto
    paint: Paint
    masks: Masks
    # The wanted picture at level j, before and after the coarsest level made it realistic and filled in what was erased.
    painted_j: np.ndarray
    wanted_j: np.ndarray
    realism: float
    temperature: float
    seed: int
    # How much of the photo's structure stays at each model pixel, S x S, and b_0 .. b_K of the photo with all of it, in the
    # painting's colours; None and empty if nothing of it shall stay.
    kept: np.ndarray | None = None
    recoloured: tuple[np.ndarray, ...] = ()
    statistics: np.ndarray = None
    # How much of the photo's detail above the model's resolution has to go, S x S x 1.
    anew: np.ndarray = None
    # Per level up to j, how crude what is painted is there, h x w x 1.
    trust: tuple[np.ndarray, ...] = ()
    # Whether an interpreter has read the painting: then `wanted_j` is level K of what is meant.
    read: bool = False
    # How level j is drawn once more; None where the painting counts as it is.
    redraw: Redraw | None = None

    @property
    def given_level(self) -> int:
        """The level whose picture the finer ones are drawn for."""
        return self.engine.bundle.K if self.read else self.paint.level


def make_plan(engine: Engine, encoded: EncodedPhoto, paint: Paint, *, realism: float, temperature: float, grow: float,
              seed: int, structure: float = 0.0) -> Plan:  # fmt: skip
    if not 1 <= paint.level <= engine.bundle.K:
        raise LapcvaeError(
            f"Level {paint.level} cannot be painted with this model.", f"Choose a level from 1 to {engine.bundle.K}."
        )
    b_j = encoded.b[paint.level]
    masks = make_masks(engine, paint, grow, structure)
    if structure and realism and len(b_j) <= FEW_CELLS:
        masks = _on_what_is_meant(masks, encoded, paint, min(1, structure / MATERIAL) * min(1, realism / LATENTS_ALONE))
    painted_j = fill_erased(np.clip(b_j + paint.change, 0, 1).astype(np.float32), paint.erased)
    untouched = (paint.change == 0).all(2) & (paint.erased == 0)
    painted_j = np.where(untouched[:, :, None], b_j, painted_j)
    plan = Plan(engine, encoded, paint, masks, painted_j, painted_j, realism, temperature, seed)
    meant = _interpreted(plan)
    denoised = meant is None and ((realism and paint.level == engine.bundle.K) or paint.erased.any())
    wanted = painted = _realistic(plan) if denoised else painted_j
    if meant is not None:
        wanted = pyramid.reduce(meant, engine.bundle.K - engine.bundle.interpreter.level)
        plan = replace(plan, read=True)
    anew = paint.opaque * np.minimum(paint.cover, 1)
    if structure:
        recoloured = pyramid.gaussians(recolour.recoloured(encoded.b, painted - b_j, paint.opaque), engine.bundle.K)
        plan = replace(plan, kept=kept_of(paint, structure), recoloured=tuple(recoloured))
        wanted = _with_structure(plan, plan.given_level, wanted)
        anew = anew * (1 - plan.kept)
    trust = tuple(_trust(plan, k) for k in range(min(plan.given_level, engine.bundle.K - 1) + 1))
    anew = anew[:, :, None].astype(np.float32)
    plan = replace(plan, wanted_j=wanted, trust=trust, anew=anew)
    return replace(plan, statistics=_statistics(plan, wanted), redraw=_make_redraw(plan))


def _interpreted(plan: Plan) -> np.ndarray | None:
    """What the painting means, at the interpreter's level; None if there is none, or it is not to be asked."""
    found, j, paint = plan.engine.bundle.interpreter, plan.paint.level, plan.paint
    if not found or j < found.level or len(plan.painted_j) > FEW_CELLS or plan.realism < INTERPRETED:
        return None
    b, up = plan.encoded.b[found.level], j - found.level
    tinted = b + pyramid.enlarge(paint.change, up)
    m, opaque = _cells(plan.masks.m, found.level), _opaque_around(paint, found.level, plan.masks.m)
    erased = paint.erased.repeat(1 << up, 0).repeat(1 << up, 1)
    return interpreted(plan.engine, b, pyramid.enlarge(plan.painted_j, up), tinted, m, opaque, erased, plan.realism)


@dataclass(frozen=True)
class Redraw:
    """What level j is drawn once more from: its own coarser picture (`u`, `statistics`) and the posterior of what is
    painted; `s`: the share of every latent that the prior has, per group; `weight`: where the result counts, h x w x 1."""

    u: np.ndarray
    statistics: np.ndarray
    posterior: list[Posterior]
    s: list[np.ndarray]
    weight: np.ndarray


def _make_redraw(plan: Plan) -> Redraw | None:
    engine, j = plan.engine, plan.paint.level
    if plan.read or j == engine.bundle.K or not (plan.realism or plan.paint.erased.any()):
        return None
    level = engine.bundle.levels[j]
    x = pyramid.d(plan.wanted_j)
    above = pyramid.u(pyramid.d(x)) if j + 1 < engine.bundle.K else None
    statistics = engine.encode(j + 1, x, above)[-1].statistics
    u = pyramid.u(x)
    s = [np.maximum(np.float32(plan.realism), _in_cells(plan.paint.erased, group, level.size, np.max)) * mask
         for group, mask in zip(level.groups, plan.masks.s[j])]  # fmt: skip
    # A tint keeps what the photo shows there, and so does `structure`.
    stays = 0 if plan.kept is None else _cells(plan.kept, j)
    opaque = np.maximum((1 - stays) * _cells(plan.paint.opaque, j), plan.paint.erased)
    weight = np.maximum(min(1.0, plan.realism / LATENTS_ALONE), plan.paint.erased) * opaque
    return Redraw(u, statistics, engine.encode(j, plan.wanted_j, u), s, weight[:, :, None].astype(np.float32))


def kept_of(paint: Paint, structure: float) -> np.ndarray:
    """How much of the photo's structure stays at each model pixel, S x S: nothing where it was erased."""
    cell = 1 << paint.level
    return np.float32(structure) * (1 - np.clip(paint.erased, 0, 1)).repeat(cell, 0).repeat(cell, 1)


def _in_cells(values: np.ndarray, group, size: int, over) -> np.ndarray:
    """The largest or the least value (`over`: np.max, np.min) in each cell of a grid of latents of a level of `size` pixels,
    1 x 1 x h x w; in all, for a group that all cells share. `values`: n x n, at least as many as cells."""
    n = size // group.stride if group.kind == "grid" else 1
    block = len(values) // n
    return over(values.reshape(n, block, n, block), (1, 3))[None, None].astype(np.float32)


def _redrawn(plan: Plan, eps: list[np.ndarray]) -> np.ndarray:
    """Level j of one variant: with exactly the wanted coarser picture."""
    redraw = plan.redraw
    z = [q.mu for q in redraw.posterior]
    x = _sample_level(plan, plan.paint.level, eps, redraw.u, redraw.statistics, z, redraw.s)
    x = pyramid.project(x, pyramid.d(plan.wanted_j))
    return plan.wanted_j + redraw.weight * (x - plan.wanted_j)


def _trust(plan: Plan, k: int) -> np.ndarray:
    if plan.read:
        return np.zeros((*plan.encoded.b[k].shape[:2], 1), np.float32)
    near = np.clip(1 - _cells(plan.masks.far, k) / (1 << max(plan.paint.level - k, 0)), 0, 1)
    crude = max(plan.realism, float(plan.paint.erased.any()))
    return (crude * near)[:, :, None].astype(np.float32)


def _statistics(plan: Plan, x_j: np.ndarray) -> np.ndarray:
    """Those of the level that the finer ones are drawn for."""
    j = plan.given_level
    u = pyramid.u(pyramid.d(x_j)) if j < plan.engine.bundle.K else None
    return plan.engine.encode(j, x_j, u)[-1].statistics


def _realistic(plan: Plan) -> np.ndarray:
    """The painted level, moved towards what the denoising level K makes of it: by `realism`, all the way where erased.

    Its mean, without a draw: the latents of level K are independent, and what they would draw is coloured noise. Erased
    parts differ between variants through the finer levels.
    """
    engine, K, j = plan.engine, plan.engine.bundle.K, plan.paint.level
    x_K = pyramid.reduce(plan.painted_j, K - j)
    inside = _cells(plan.paint.cover, K)
    painted = (inside > CELL_SHARE).astype(np.float32)[:, :, None]
    # Finer levels are made realistic by themselves (`Redraw`).
    realism = plan.realism if j == K else 0.0
    crude = np.maximum(realism, _cells(plan.paint.erased, K - j)[:, :, None] > 0.5).astype(np.float32)
    seen = engine.encode(K, x_K, painted=painted, trust=np.full_like(painted, crude.max()))
    made = _decode_coarsest(engine, seen)
    # Against what it makes of the same picture taken as clean: its own reconstruction error must not count.
    kept = _decode_coarsest(engine, engine.encode(K, x_K))
    moved = x_K + crude * painted * (made - kept)
    change = pyramid.enlarge(moved - x_K, K - j) if j < K else moved - x_K
    near = np.clip(1 - _cells(plan.masks.far, j) / (1 << j), 0, 1)[:, :, None]
    return np.clip(plan.painted_j + change * near, 0, 1).astype(np.float32)


def _cells(values: np.ndarray, levels: int) -> np.ndarray:
    """Area mean over 2^levels x 2^levels blocks."""
    return pyramid.block_mean(values.astype(np.float32), 1 << levels)


def _decode_coarsest(engine: Engine, posterior: list[Posterior]) -> np.ndarray:
    off = [np.zeros((1, 1, *q.mu.shape[2:]), np.float32) for q in posterior]
    return engine.decode(engine.bundle.K, [q.mu for q in posterior], off, [np.zeros_like(q.mu) for q in posterior], 0.0)


def variant(plan: Plan, index: int) -> np.ndarray:
    """Variant `index`: S x S x 3, the photo's square outside the masks; its level j (K, where an interpreter has read the
    painting) is exactly the wanted one."""
    j = plan.given_level
    if plan.paint.empty:
        return plan.encoded.b[0]
    x, statistics = plan.wanted_j, plan.statistics
    eps = _draw_eps(plan, index)
    if plan.redraw:
        x = _redrawn(plan, eps[j])
        statistics = _statistics(plan, x)
    wanted_j = x
    for k in range(j - 1, -1, -1):
        u = pyramid.u(x)
        x = _sample_level(plan, k, eps[k], u, statistics, [q.mu for q in plan.encoded.posteriors[k]], plan.masks.s[k])
        x = _agree(plan, _with_structure(plan, k, x), wanted_j)
        if k:
            statistics = _statistics_of(plan, k, x, u)
    return x


def _with_structure(plan: Plan, k: int, x: np.ndarray) -> np.ndarray:
    """Level k with the recoloured photo in place of what was drawn, as far as the photo's structure shall stay."""
    if plan.kept is None:
        return x
    return x + _cells(plan.kept, k)[:, :, None] * plan.masks.weight[k] * (plan.recoloured[k] - x)


def _statistics_of(plan: Plan, k: int, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Those of the sample's level k, 1 x 2C x h x w; outside of the window the photo's."""
    window = plan.masks.windows[k]
    if window is None:
        return plan.engine.encode(k, x, u)[-1].statistics
    statistics = plan.encoded.posteriors[k][-1].statistics
    _part(statistics, window, len(x))[:] = plan.engine.encode(k, x[window], u[window])[-1].statistics
    return statistics


def _draw_eps(plan: Plan, index: int) -> list[list[np.ndarray]]:
    """eps of every group of the levels that are drawn, for variant `index`; one draw, coarse to fine."""
    levels = range(plan.given_level if plan.redraw else plan.given_level - 1, -1, -1)
    shapes = [[q.mu.shape for q in plan.encoded.posteriors[k]] for k in levels]
    sizes = [int(np.prod(shape)) for level in shapes for shape in level]
    parts = iter(np.split(noise.gaussian((sum(sizes),), plan.seed, index), np.cumsum(sizes)[:-1]))
    return [[next(parts).reshape(shape) for shape in level] for level in shapes][::-1]


def _agree(plan: Plan, x: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """x with exactly the wanted level j, but for erased cells: what was invented there may be anything."""
    erased = plan.paint.erased[:, :, None]
    if erased.any() and not plan.read:
        levels = (x.shape[0] // wanted.shape[0]).bit_length() - 1
        wanted = wanted + erased * (pyramid.reduce(x, levels) - wanted)
    return pyramid.project(x, wanted.astype(np.float32))


def _sample_level(plan: Plan, k: int, eps: list[np.ndarray], u: np.ndarray, statistics: np.ndarray, z: list[np.ndarray],
                  s: list[np.ndarray]) -> np.ndarray:  # fmt: skip
    """Level k from `z`, with the share `s` of each drawn anew; the photo outside S."""
    b_k = plan.encoded.b[k]
    weight, window = plan.masks.weight[k], plan.masks.windows[k]
    temperature = noise.level_temperature(plan.temperature, k, plan.engine.bundle.K)
    if window is None:
        x = plan.engine.decode(k, z, s, eps, temperature, u, statistics, plan.trust[k])
        return weight * x + (1 - weight) * b_k
    size = len(b_k)
    z, s, eps = ([_part(part, window, size) for part in parts] for parts in (z, s, eps))
    statistics = _part(statistics, window, size)
    x = plan.engine.decode(k, z, s, eps, temperature, u[window], statistics, plan.trust[k][window])
    made = b_k.copy()
    made[window] = weight[window] * x + (1 - weight[window]) * b_k[window]
    return made
