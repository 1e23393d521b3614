"""What an edit has to draw: from a photo's square and what was painted on its coarse level to a plan for its variants.

Pictures are S x S x 3 float32, sRGB in [0, 1]; levels and latents as in `lapcvae.pyramid` and `lapcvae.graphs`. First it is
asked what strokes are of, and how far they count: things whose looks are known are made as they look (`lapcvae.known`),
other colours belong to what they are meant for (`lapcvae.extent`), what is to go goes wholly. Then the painting is read
(`lapcvae.reading`), when the first variant asks for it. How levels are drawn for all that: `lapcvae.edit`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial

import numpy as np

from . import pyramid, recolour
from .behind import Behind, behind
from .encoding import EncodedPhoto, segmented
from .engine import Engine, Posterior
from .extent import (
    WhatIsMeant,
    covered_cells,
    is_large,
    kept_to,
    what_goes,
    what_is_recoloured,
    with_remains,
    with_surroundings,
)  # fmt: skip
from .known import Known, known_of
from .masks import Masks, Paint, cell_means, fill_erased, in_cells, kept_of, make_masks
from .protocol.errors import LapcvaeError
from .reading import Painting, Reader, Way
from .segments import Segments
from .strands import Drawn, Strokes, a_wall, what_strokes_are

# From this realism on, opaque paint counts as far as level j's latents say it; below, it is mixed with the paint itself.
LATENTS_ALONE = 0.1
# From this realism on a painting is interpreted; below, it is taken nearly as it is.
INTERPRETED = 0.1
# So is only what was painted in this many cells across, or fewer: who paints in more of them means the details. The same
# holds for what strokes ran over (`lapcvae.meant`).
FEW_CELLS = 32
# The share of each latent of the detail of what was read (from the reading's own level on) that is drawn anew, the more the
# more daring the variant; the same where an exemplar has it.
DETAIL, DETAIL_KNOWN = (0.6, 0.9), (0.3, 0.7)
# From this share of the photo's structure on, paint is meant for what the middle of its strokes lies on alone.
MATERIAL = 0.5
# One of so many variants has another colour of the hair only where it was painted.
LATER = 4
# A cell counts as painted from this share of its area on.
CELL_SHARE = 0.02


def part_of(latents: np.ndarray, window: tuple[slice, slice], size: int) -> np.ndarray:
    """The cells of a grid of latents (1 x C x h x w) under a window of a level of `size` pixels."""
    stride = size // latents.shape[2]
    return latents[:, :, *(slice(part.start // stride, part.stop // stride) for part in window)]


@dataclass(frozen=True)
class Wanted:
    """What the levels finer than `level` are drawn for: its `picture` and `statistics`. `latents`: by level, the means of
    those that they start from inside the masks, where what is meant is known in more detail than that; `anew`: the least
    and the largest share of that detail which is drawn anew all the same. `strokes`: how they look in it."""

    level: int
    picture: np.ndarray
    statistics: np.ndarray
    latents: dict[int, list[np.ndarray]] = field(default_factory=dict)
    anew: tuple[float, float] = DETAIL
    strokes: Drawn | None = None


class Readings:
    """The ways to take a painting, each read when the first variant asks for it. `read`: what is wanted, by way."""

    def __init__(self, read: Callable[..., Wanted], ways: Sequence[tuple]):
        self._read, self._ways = read, ways
        self._found: list[Wanted | None] = [None] * len(ways)
        self._locks = [threading.Lock() for _ in ways]

    def __call__(self, index: int) -> Wanted:
        """For a variant."""
        i = index % len(self._ways)
        with self._locks[i]:
            if self._found[i] is None:
                self._found[i] = self._read(*self._ways[i])
            return self._found[i]


class Later:
    """A plan that is made when it is first asked for, once, whichever thread asks."""

    def __init__(self, make: Callable[[], Plan]):
        self._make, self._lock, self._plan = make, threading.Lock(), None

    def __call__(self) -> Plan:
        with self._lock:
            if self._plan is None:
                self._plan = self._make()
            return self._plan


@dataclass(frozen=True)
class Plan:
    """Everything that is the same for all variants of one edit."""

    engine: Engine
    encoded: EncodedPhoto
    paint: Paint
    masks: Masks
    # Level j as it was painted.
    painted_j: np.ndarray
    realism: float
    temperature: float
    seed: int
    # How much of the photo's structure stays at each model pixel, S x S, and b_0 .. b_K of the photo with all of it, in the
    # painting's colours; None and empty if nothing of it shall stay.
    kept: np.ndarray | None = None
    recoloured: tuple[np.ndarray, ...] = ()
    # How much of the photo's detail above the model's resolution has to go, S x S x 1.
    anew: np.ndarray = None
    # Per level up to j, how crude what is painted is there, h x w x 1.
    trust: tuple[np.ndarray, ...] = ()
    # What strokes are of; None: that does not count.
    strokes: Strokes | None = None
    # Whether an interpreter reads the painting.
    interpreted: bool = False
    # What they are drawn for, by variant.
    readings: Readings | None = None
    # How level j is drawn once more; None where the painting counts as it is.
    redraw: Redraw | None = None
    # What was painted, if it is known in full; nothing is drawn then.
    made: Known | None = None
    # What is behind, where that comes to be seen.
    behind: Behind | None = None
    # Whether the photo comes back at the edge of M, inside of what is painted.
    within: bool = False
    # The same edit, but only where the thing is that strokes cover and that ends with them, or where there are strokes;
    # None: that is the same. `later`: the same, made when the first variant asks for it that has it, of LATER one.
    narrow: Plan | None = None
    later: Later | None = None

    @property
    def wanted_j(self) -> np.ndarray:
        """The picture that finer levels are drawn for, of the first variant but for `narrow` ones; level j's if no
        interpreter reads it."""
        return self.readings(0).picture

    def of(self, index: int) -> tuple[Plan, int]:
        """What a variant is drawn from, and how many were drawn from that before: paint beyond a thing that is to go may be
        careless or meant, so it counts in every other variant; hair that was not painted, of most that was, in most."""
        if self.later and index % LATER == LATER - 1:
            return self.later(), index // LATER
        if self.narrow and index % 2 == 0:
            return self.narrow, index // 2
        return self, index // 2 if self.narrow else index - index // LATER if self.later else index


def make_plan(engine: Engine, encoded: EncodedPhoto, paint: Paint, *, realism: float, temperature: float, grow: float,
              seed: int, structure: float = 0.0) -> Plan:  # fmt: skip
    if not 1 <= paint.level <= engine.bundle.K:
        raise LapcvaeError(
            f"Level {paint.level} cannot be painted with this model.", f"Choose a level from 1 to {engine.bundle.K}."
        )
    make = partial(_make_known_plan, engine, encoded, realism=realism, temperature=temperature, grow=grow, seed=seed,
                   structure=structure)  # fmt: skip
    if structure < MATERIAL or realism < INTERPRETED or not encoded.segments:
        return make(paint)
    paint = recolour.softened(encoded.b[0], encoded.segments, paint)
    whole = recolour.all_of_it(encoded.b, encoded.segments, paint) if _counts(encoded, paint, realism) else paint
    if whole is paint:
        return make(paint)
    # Who painted most of the hair may mean just that.
    return replace(make(whole), later=Later(partial(make, paint)))


def _make_known_plan(engine: Engine, encoded: EncodedPhoto, paint: Paint, *, realism: float, temperature: float, grow: float,
                     seed: int, structure: float) -> Plan:  # fmt: skip
    """For what is known in full, alone or with what is read; or for what is read."""
    # What the photo with the paint on it is of; looked at when first asked for.
    painted = cache(partial(segmented, engine, encoded.b, paint.fine))
    known = _known(engine, encoded, paint, painted, realism, grow, structure, seed)
    of_shape = None
    if known:
        of_shape = _of_shape(engine, encoded, paint, known, realism=realism, temperature=temperature, grow=grow, seed=seed)
        if known.sure:
            return of_shape
    make = partial(_make_plan, engine, encoded, realism=realism, temperature=temperature, seed=seed, structure=structure)
    plan = _read_plan(engine, encoded, paint, painted, make, realism, grow, structure)
    return replace(plan, narrow=of_shape) if of_shape else plan


def _known(engine: Engine, encoded: EncodedPhoto, paint: Paint, painted: Callable[[], Segments], realism: float,
           grow: float, structure: float, seed: int) -> Known | None:  # fmt: skip
    """What strokes are of, if that is something whose looks are known, and counts."""
    if realism < INTERPRETED or 0 < structure < MATERIAL:
        return None
    return known_of(engine, encoded, paint, painted, structure > 0, grow, seed)


def _counts(encoded: EncodedPhoto, paint: Paint, realism: float) -> float:
    """How far it counts, in 0..1, what paint is meant for."""
    few = len(encoded.b[paint.level]) <= FEW_CELLS
    return min(1, realism / LATENTS_ALONE) if few and not paint.empty else 0


def _read_plan(engine: Engine, encoded: EncodedPhoto, paint: Paint, painted: Callable[[], Segments],
               make: Callable[..., Plan], realism: float, grow: float, structure: float) -> Plan:  # fmt: skip
    """For what has to be read and drawn. `make`: _make_plan, but for the paint and its masks."""
    share = _counts(encoded, paint, realism)
    if not share:
        return make(paint, make_masks(engine, paint, grow, structure))
    if structure:
        told = what_is_recoloured(encoded, paint, grow, share * min(1, structure / MATERIAL))
        return make(kept_to(paint, told), make_masks(engine, paint, grow, structure, told), told=told)
    # Who paints over the photo itself sees what is left of it.
    looked_for = realism >= INTERPRETED and not paint.on_photo
    thing = what_goes(encoded, paint, grow, painted) if looked_for else None
    wall = behind(encoded, paint, painted) if looked_for and not (thing and thing.behind) else None
    if thing is None:
        return replace(make(paint, make_masks(engine, paint, grow)), behind=wall)
    rim, whole = with_surroundings(thing, paint), with_remains(paint, encoded.b, thing, grow)
    # Around what is large, what strokes left of it is of what they are; close to a thing it may be anything.
    drawn = whole.cover if thing.behind else np.maximum(paint.cover, is_large(paint) * whole.cover)
    kept, masks = kept_to(whole, rim), make_masks(engine, whole, grow, told=rim)
    if thing.behind:
        # What is before it is not meant, however much of it strokes ran over.
        return replace(make(kept, masks, drawn=drawn, of_wall=True), within=True)
    narrow = replace(make(kept, masks, drawn=drawn, turn=(0, 2)), within=True, behind=wall)
    return replace(make(whole, make_masks(engine, whole, grow), drawn=drawn, turn=(1, 2)), narrow=narrow, behind=wall)


def _of_shape(engine: Engine, encoded: EncodedPhoto, paint: Paint, made: Known, *, realism: float,
              temperature: float, grow: float, seed: int) -> Plan:  # fmt: skip
    """What strokes mean is known in full, so that nothing has to be drawn."""
    j, fine = paint.level, made.picture(0) - encoded.b[0]
    whole = replace(paint, cover=made.where, opaque=1 - made.stays, fine=fine, change=pyramid.reduce(fine, j))
    painted_j = (encoded.b[j] + whole.change).astype(np.float32)
    wanted = Wanted(j, painted_j, statistics_of(engine, j, painted_j))
    plan = Plan(engine, encoded, whole, make_masks(engine, whole, grow, 1), painted_j, realism, temperature, seed)
    anew = (1 - made.stays)[:, :, None]
    return replace(plan, made=made, kept=made.stays, anew=anew, readings=Readings(lambda: wanted, [()]))


def _make_plan(engine: Engine, encoded: EncodedPhoto, paint: Paint, masks: Masks, *, realism: float, temperature: float,
               seed: int, structure: float, told: WhatIsMeant | None = None,
               drawn: np.ndarray | None = None, turn: tuple[int, int] = (0, 1),
               of_wall: bool = False) -> Plan:  # fmt: skip
    """`told`: what of the photo gets other colours, and stays what it is otherwise. `drawn`: what was painted by hand,
    S x S, if something is to go and hardly any of the paint is to be met exactly. `turn`: which of how many plans.
    `of_wall`: paint is of a wall, and nothing else."""
    b_j = encoded.b[paint.level]
    painted_j = fill_erased(np.clip(b_j + paint.change, 0, 1).astype(np.float32), paint.erased)
    free = drawn is not None
    untouched = (paint.change == 0).all(2) & (paint.erased == 0)
    painted_j = np.where(untouched[:, :, None], b_j, painted_j)
    plan = Plan(engine, encoded, paint, masks, painted_j, realism, temperature, seed)
    plan = replace(plan, interpreted=_is_interpreted(plan))
    denoised = not plan.interpreted and ((realism and paint.level == engine.bundle.K) or paint.erased.any())
    painted = _realistic(plan) if denoised else painted_j
    anew = paint.opaque * np.minimum(paint.cover, 1)
    if structure:
        covered = None if told is None else covered_cells(paint)
        recoloured = recolour.recoloured(encoded.b, painted - b_j, paint.opaque, covered)
        if told is not None:
            recoloured = encoded.b[0] + (1 - told.left[:, :, None]) * (recoloured - encoded.b[0])
        recoloured = tuple(pyramid.gaussians(recoloured, engine.bundle.K))
        plan = replace(plan, kept=kept_of(paint, structure), recoloured=recoloured)
        anew = anew * (1 - plan.kept)
    coarsest = engine.bundle.K if plan.interpreted else paint.level
    trust = tuple(_trust(plan, k) for k in range(min(coarsest, engine.bundle.K - 1) + 1))
    anew = anew[:, :, None].astype(np.float32)
    plan = replace(plan, trust=trust, anew=anew)
    if plan.interpreted:
        if not structure:
            by_hand = drawn if free else paint.cover
            told_of = a_wall(encoded, paint, by_hand) if of_wall else None
            plan = replace(plan, strokes=told_of or what_strokes_are(encoded, paint, by_hand, is_large(paint), free))
        painting = Painting(encoded, paint, masks, painted_j, realism, plan.strokes, free)
        # Of the photo's own structure there is one.
        reader = Reader(engine, painting, seed, invents=not structure, one_way=structure >= MATERIAL, turn=turn)
        return replace(plan, readings=Readings(lambda way: _wanted(plan, reader, way), [(way,) for way in reader.ways]))
    wanted = with_structure(plan, paint.level, painted)
    strokes = {}
    if len(b_j) > FEW_CELLS:
        strokes = _latents_of(plan, np.clip(encoded.b[0] + paint.fine, 0, 1), paint.level)
    wanted = Wanted(paint.level, wanted, statistics_of(engine, paint.level, wanted), strokes)
    plan = replace(plan, readings=Readings(lambda: wanted, [()]))
    return replace(plan, redraw=_make_redraw(plan))


def _is_interpreted(plan: Plan) -> bool:
    found = plan.engine.bundle.interpreter
    few = len(plan.painted_j) <= FEW_CELLS
    return found is not None and plan.paint.level >= found.level and few and plan.realism >= INTERPRETED


def _wanted(plan: Plan, reader: Reader, way: Way) -> Wanted:
    """What one reading is drawn for."""
    read = reader(way)
    found = plan.engine.bundle.interpreter
    coarse = with_structure(plan, way.level, pyramid.reduce(read.meant, way.level - found.level))
    latents = _latents_of(plan, read.detailed, way.level)
    anew = DETAIL_KNOWN if read.known else DETAIL
    return Wanted(way.level, coarse, statistics_of(plan.engine, way.level, coarse), latents, anew, read.strokes)


def _latents_of(plan: Plan, picture: np.ndarray, level: int) -> dict[int, list[np.ndarray]]:
    """The posterior means of an S x S x 3 picture, of all levels finer than `level`; outside of the windows the photo's."""
    b = pyramid.gaussians(picture, level)
    latents = {}
    for k in range(level):
        latents[k], window = [q.mu for q in plan.encoded.posteriors[k]], plan.masks.windows[k] or np.s_[:, :]
        inside = plan.engine.encode(k, b[k][window], pyramid.u(b[k + 1])[window])
        if plan.masks.windows[k]:
            latents[k] = [mu.copy() for mu in latents[k]]
            for mu, part in zip(latents[k], inside):
                part_of(mu, window, len(b[k]))[:] = part.mu
        else:
            latents[k] = [part.mu for part in inside]
    return latents


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
    if j == engine.bundle.K or not (plan.realism or plan.paint.erased.any()):
        return None
    level = engine.bundle.levels[j]
    x = pyramid.d(plan.wanted_j)
    above = pyramid.u(pyramid.d(x)) if j + 1 < engine.bundle.K else None
    statistics = engine.encode(j + 1, x, above)[-1].statistics
    u = pyramid.u(x)
    s = [np.maximum(np.float32(plan.realism), in_cells(plan.paint.erased, group, level.size, np.max)) * mask
         for group, mask in zip(level.groups, plan.masks.s[j])]  # fmt: skip
    # A tint keeps what the photo shows there, and so does `structure`.
    stays = 0 if plan.kept is None else cell_means(plan.kept, j)
    opaque = np.maximum((1 - stays) * cell_means(plan.paint.opaque, j), plan.paint.erased)
    weight = np.maximum(min(1.0, plan.realism / LATENTS_ALONE), plan.paint.erased) * opaque
    return Redraw(u, statistics, engine.encode(j, plan.wanted_j, u), s, weight[:, :, None].astype(np.float32))


def _trust(plan: Plan, k: int) -> np.ndarray:
    if plan.interpreted:
        return np.zeros((*plan.encoded.b[k].shape[:2], 1), np.float32)
    near = np.clip(1 - cell_means(plan.masks.far, k) / (1 << max(plan.paint.level - k, 0)), 0, 1)
    crude = max(plan.realism, float(plan.paint.erased.any()))
    return (crude * near)[:, :, None].astype(np.float32)


def statistics_of(engine: Engine, k: int, x: np.ndarray) -> np.ndarray:
    """Those of a picture that finer levels than k are drawn for."""
    u = pyramid.u(pyramid.d(x)) if k < engine.bundle.K else None
    return engine.encode(k, x, u)[-1].statistics


def _realistic(plan: Plan) -> np.ndarray:
    """The painted level, moved towards what the denoising level K makes of it: by `realism`, all the way where erased.

    Its mean, without a draw: the latents of level K are independent, and what they would draw is coloured noise. Erased
    parts differ between variants through the finer levels.
    """
    engine, K, j = plan.engine, plan.engine.bundle.K, plan.paint.level
    x_K = pyramid.reduce(plan.painted_j, K - j)
    inside = cell_means(plan.paint.cover, K)
    painted = (inside > CELL_SHARE).astype(np.float32)[:, :, None]
    # Finer levels are made realistic by themselves (`Redraw`).
    realism = plan.realism if j == K else 0.0
    crude = np.maximum(realism, cell_means(plan.paint.erased, K - j)[:, :, None] > 0.5).astype(np.float32)
    seen = engine.encode(K, x_K, painted=painted, trust=np.full_like(painted, crude.max()))
    made = _decode_coarsest(engine, seen)
    # Against what it makes of the same picture taken as clean: its own reconstruction error must not count.
    kept = _decode_coarsest(engine, engine.encode(K, x_K))
    moved = x_K + crude * painted * (made - kept)
    change = pyramid.enlarge(moved - x_K, K - j) if j < K else moved - x_K
    near = np.clip(1 - cell_means(plan.masks.far, j) / (1 << j), 0, 1)[:, :, None]
    return np.clip(plan.painted_j + change * near, 0, 1).astype(np.float32)


def _decode_coarsest(engine: Engine, posterior: list[Posterior]) -> np.ndarray:
    off = [np.zeros((1, 1, *q.mu.shape[2:]), np.float32) for q in posterior]
    return engine.decode(engine.bundle.K, [q.mu for q in posterior], off, [np.zeros_like(q.mu) for q in posterior], 0.0)


def with_structure(plan: Plan, k: int, x: np.ndarray) -> np.ndarray:
    """Level k with the recoloured photo in place of what was drawn, as far as the photo's structure shall stay."""
    if plan.kept is None:
        return x
    return x + cell_means(plan.kept, k)[:, :, None] * plan.masks.weight[k] * (plan.recoloured[k] - x)
