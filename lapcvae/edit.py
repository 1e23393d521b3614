"""The edit at the model's size: from a photo's square and what was painted on its coarse level to variants.

Pictures are S x S x 3 float32, sRGB in [0, 1]; levels and latents as in `lapcvae.pyramid` and `lapcvae.graphs`.

1. The photo is encoded once: b_k and the posterior of every level (`lapcvae.encoding`).
2. The painted level j: `x_j = b_j + D(painted - shown)`, less what only b_j shows of that which opaque paint covers (what
   is painted on is `u(b_j)`, blurrier than b_j, and the rest would stay as a ghost). D, and not the mean over a cell: that
   is what the coarse image of a photo with this paint in it is, and a sample can be made to agree with it without ringing.
   Paint is crude, and `realism` makes it a face: the interpreter says what picture is meant (`lapcvae.interpret`). The
   finer levels are drawn for that, or for a coarser level of it, and start from its latents. A new wall stands as
   it was painted, and hair gets strands (`lapcvae.strands`). Without one, and where many
   cells were painted, level j is drawn once more for its own coarser level, from the posterior of what is painted, mixed
   with the prior; at the coarsest level by its denoising VAE.
3. Each finer level: `z = prior + T_k sigma eps` inside S (T_k: `noise.level_temperature`), the photo's posterior outside;
   decode; the photo back outside S.
   Inside S too the photo can stay, wholly or in part (`structure`): recoloured, with its own detail (`lapcvae.recolour`).
   Less than all of it is mixed, in pixels and in latents alike. What was erased goes all the same.
4. `x += A+ (c - D(x)) A+^T` makes the sample's coarse image exactly the wanted one.
"""

from __future__ import annotations

import numpy as np

from . import noise, pyramid
from .encoding import segmented
from .masks import LEAST_ANEW, in_cells
from .planning import Plan, Wanted, part_of, statistics_of, with_structure

# The share of each latent of what was read that is drawn anew below its own level: up to so much times the temperature. Of
# its detail `planning.DETAIL` is.
STRUCTURE = 0.5
# The golden section: its multiples, but for whole numbers, are spread evenly however many there are.
GOLDEN = 0.618034


def _redrawn(plan: Plan, eps: list[np.ndarray]) -> np.ndarray:
    """Level j of one variant: with exactly the wanted coarser picture."""
    redraw = plan.redraw
    z = [q.mu for q in redraw.posterior]
    x = _sample_level(plan, plan.paint.level, eps, redraw.u, redraw.statistics, z, redraw.s)
    x = pyramid.project(x, pyramid.d(plan.wanted_j))
    return plan.wanted_j + redraw.weight * (x - plan.wanted_j)


def variant(plan: Plan, index: int) -> np.ndarray:
    """Variant `index`: S x S x 3, the photo's square outside the masks; its level j (another one, where an interpreter has
    read the painting) is exactly the wanted one, but in `narrow` ones, which end in the photo."""
    plan, turn = plan.of(index)
    if plan.paint.empty:
        return plan.encoded.b[0]
    if plan.made is not None:
        return plan.encoded.b[0] + plan.masks.weight[0] * (plan.made.picture(turn) - plan.encoded.b[0])
    if plan.kept is not None and plan.kept.min() == 1:
        # Nothing is left to draw.
        return plan.encoded.b[0] + plan.masks.weight[0] * (plan.recoloured[0] - plan.encoded.b[0])
    wanted = plan.readings(turn)
    x, statistics = wanted.picture, wanted.statistics
    eps = _draw_eps(plan, index)
    if plan.redraw:
        x = _redrawn(plan, eps[wanted.level])
        statistics = statistics_of(plan.engine, wanted.level, x)
    wanted_j = x
    for k in range(wanted.level - 1, -1, -1):
        u = pyramid.u(x)
        x = _sample_level(plan, k, eps[k], u, statistics, *_latents(plan, k, turn, wanted))
        if wanted.strokes:
            x = wanted.strokes.on(x, k)
        x = _agree(plan, with_structure(plan, k, x), wanted_j)
        if k:
            statistics = _drawn_statistics(plan, k, x, u)
    if plan.behind:
        x = plan.behind.on(x, segmented(plan.engine, plan.encoded.b, x - plan.encoded.b[0]), plan.masks.m)
    if plan.within:
        x = plan.encoded.b[0] + plan.masks.m[:, :, None] * (x - plan.encoded.b[0])
    return x


def _latents(plan: Plan, k: int, index: int, wanted: Wanted) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What level k of a variant is drawn from: latents, and the share of each that the prior draws.

    Those of the photo, and all anew where S says so; but where more is known of what is meant, that, and a share of it anew:
    of what was read the first variant is nearest to it, of strokes in many cells as much as `realism` says. The levels
    alone, from 16 pixels on, seldom draw two eyes that look alike, and make dashes of the rims of glasses.
    """
    z, s = [q.mu for q in plan.encoded.posteriors[k]], plan.masks.s[k]
    if k not in wanted.latents:
        return z, s
    z = [photo + mask * (meant - photo) for photo, mask, meant in zip(z, s, wanted.latents[k], strict=True)]
    if not plan.interpreted:
        level, cell = plan.engine.bundle.levels[k], 1 << plan.paint.level
        anew = np.maximum(np.float32(max(plan.realism, LEAST_ANEW)), plan.paint.erased.repeat(cell, 0).repeat(cell, 1))
        shares = [in_cells(anew, group, level.size, np.max) for group in level.groups]
        return z, [share * mask for share, mask in zip(shares, s, strict=True)]
    daring = (index * GOLDEN) % 1
    if k > plan.engine.bundle.interpreter.level:
        share = STRUCTURE * plan.temperature * daring
    else:
        share = wanted.anew[0] + (wanted.anew[1] - wanted.anew[0]) * daring
    return z, [np.float32(share) * mask for mask in s]


def _drawn_statistics(plan: Plan, k: int, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Those of the sample's level k, 1 x 2C x h x w; outside of the window the photo's."""
    window = plan.masks.windows[k]
    if window is None:
        return plan.engine.encode(k, x, u)[-1].statistics
    statistics = plan.encoded.posteriors[k][-1].statistics
    part_of(statistics, window, len(x))[:] = plan.engine.encode(k, x[window], u[window])[-1].statistics
    return statistics


def _draw_eps(plan: Plan, index: int) -> list[list[np.ndarray]]:
    """eps of every group of the levels that are drawn, or may be, for variant `index`; one draw, coarse to fine."""
    coarsest = plan.engine.bundle.K if plan.interpreted else plan.paint.level
    levels = range(coarsest if plan.redraw else coarsest - 1, -1, -1)
    shapes = [[q.mu.shape for q in plan.encoded.posteriors[k]] for k in levels]
    sizes = [int(np.prod(shape)) for level in shapes for shape in level]
    parts = iter(np.split(noise.gaussian((sum(sizes),), plan.seed, index), np.cumsum(sizes)[:-1]))
    return [[next(parts).reshape(shape) for shape in level] for level in shapes][::-1]


def _agree(plan: Plan, x: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """x with exactly the wanted level j, but for erased cells: what was invented there may be anything."""
    erased = plan.paint.erased[:, :, None]
    if erased.any() and not plan.interpreted:
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
    z, s, eps = ([part_of(part, window, size) for part in parts] for parts in (z, s, eps))
    statistics = part_of(statistics, window, size)
    x = plan.engine.decode(k, z, s, eps, temperature, u[window], statistics, plan.trust[k][window])
    made = b_k.copy()
    made[window] = weight[window] * x + (1 - weight[window]) * b_k[window]
    return made
