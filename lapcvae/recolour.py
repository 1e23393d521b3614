"""The photo's own structure in the painting's colours: for hair that gets another colour and stays the hair it is.

What was painted is known for the cells of a coarse level, and a cell at the hairline is half skin. So every pixel takes the
change of those cells around that look like it (joint bilateral upsampling, Kopf et al. 2007), as far as these are painted:
hair that of hair, also past the end of the paint, skin that of skin, which may be none. What the pixel is beyond the mean of
those cells is its structure, and stays, with the contrast that goes with the new colour.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import hair as hair_of
from . import pyramid
from .masks import Paint
from .meant import sharpened
from .ramps import rises
from .segments import OF_FACE, Segments
from .windows import window_max, window_mean

# Cells to look at on each side, how fast distance tells (in cells), and how different colours may be (full scale 1).
REACH, NEAR, ALIKE = 2, 0.8, 0.05
# Shares of a cell that is painted: below the first it says nothing of the paint, below the second not all is made up for; a
# cell without any counts the third.
THIN, PART, LEAST_COUNT = 0.02, 0.15, 0.1
# How quickly a cell whose pixels are not like it stops being plain.
PLAIN = 3
# Colour that is put on skin: changes up to the first number (full scale 1) are a tint, from the second on they are not; it
# is spread over so much of the side, and made stronger, as that makes it weaker; less than the next number is none. Such
# paint lies on the face, at least for the last share.
SKIN, TINT, BLUSH, STRONGER, LEAST_TINT, ON_FACE = "skin", (0.18, 0.28), 0.03, 1.4, 0.002, 0.75
# Hair is meant as a whole if this share of it was painted, that is this share of what was, and so much of the first share on
# either side.
HAIR, MOST_OF_IT, ON_IT, ONE_SIDE = "hair", 0.25, 0.6, 0.5
# Between these likelihoods a pixel is hair; what is less than that of a pixel is none; how much of the hair's own light and
# shade stays where nothing was painted.
SURE, LEAST_COVER, SHADED = (0.4, 0.75), 0.02, 0.6
# Contrast goes with brightness, within limits; the first number keeps black from dividing.
LEAST_LIGHT, GAINS = 0.06, (0.3, 2.6)
# A change of hue (a colour over its brightness) from which on the old hue is gone where paint covers it, and limits for one.
RECOLOURED, TINTS = 0.12, (0.2, 2.5)


def softened(photo: np.ndarray, segments: Segments, paint: Paint) -> Paint:
    """Paint whose tints of the skin have no outline: who puts colour on a cheek means no stripe. `photo`: b_0."""
    size = len(paint.cover)
    # Paint that runs over it is for something else.
    if (paint.amount * segments.share_at(size, *OF_FACE)).sum() < ON_FACE * paint.amount.sum():
        return paint
    skin = segments.share_at(size, SKIN)
    # Thin strokes and strong ones, and their edges, are meant as they are.
    radius = max(1, round(BLUSH * size))
    strength = window_max(np.abs(paint.fine).max(2), radius)
    wide = window_max((paint.inside > radius / 2).astype(np.float32), 2 * radius)
    share = (skin * wide * (1 - rises(strength, TINT)))[:, :, None]
    if not (share * paint.fine).any():
        return paint
    tint = share * paint.fine
    spread = np.stack([window_mean(window_mean(tint[:, :, c], radius), radius) for c in range(3)], 2)
    spread = STRONGER * spread * skin[:, :, None]
    spread = np.clip(photo + paint.fine - tint + spread, 0, 1) - photo - paint.fine + tint
    fine = (paint.fine - tint + spread).astype(np.float32)
    cover = np.maximum(paint.cover, (np.abs(spread).max(2) > LEAST_TINT).astype(np.float32))
    fine *= (cover > 0)[:, :, None]
    opaque = np.where(paint.cover > 0, paint.opaque, 0)
    return replace(paint, fine=fine, cover=cover, opaque=opaque, change=pyramid.reduce(fine, paint.level))


def all_of_it(photo: list[np.ndarray], segments: Segments, paint: Paint) -> Paint:
    """Paint over all of the hair, if most of it was painted: who dyes hair means the tips and what is behind the ears, too.
    `photo`: b_0 .. b_K."""
    size, j = len(photo[0]), paint.level
    hair = segments.share_at(size, HAIR)
    painted = float((hair * paint.amount).sum())
    if painted < MOST_OF_IT * hair.sum() or painted < ON_IT * paint.amount.sum():
        return paint
    for half in (np.s_[:, : size // 2], np.s_[:, size // 2 :]):
        # Who paints one side means that.
        if (hair * paint.amount)[half].sum() < ONE_SIDE * MOST_OF_IT * hair[half].sum():
            return paint
    more = sharpened(rises(hair, SURE), photo[0], np.ones(hair.shape, bool)) * (1 - paint.amount)
    more = more * (1 - hair_of.of_the_wall(photo[0], segments))
    more = np.where(more > LEAST_COVER, more, 0)
    # In the strokes' colours near by, as much brighter and darker as the hair is there.
    of_cells, known = (pyramid.block_mean(v.astype(np.float32), 1 << j)[:, :, None] for v in (more, hair * paint.amount))
    mean = (known * photo[j]).sum((0, 1)) / known.sum()
    to = hair_of.evened(photo[j] + paint.change, known[:, :, 0] ** 2)
    to = to + SHADED * (photo[j] - mean).mean(2, keepdims=True)
    change = paint.change + of_cells * (np.clip(to, 0, 1) - photo[j])
    fine = paint.fine + more[:, :, None] * (np.clip(pyramid.enlarge(to, j), 0, 1) - photo[0])
    return replace(
        paint, change=change.astype(np.float32), fine=fine.astype(np.float32),
        cover=np.maximum(paint.cover, more).astype(np.float32),
        opaque=np.maximum(paint.opaque, more * float(paint.opaque[paint.amount > 0.5].mean())).astype(np.float32),
    )  # fmt: skip


def contrast(now: np.ndarray, then: np.ndarray) -> np.ndarray:
    """What detail has to be multiplied with whose surroundings had the brightness `then` and have `now`, full scale 1."""
    return np.clip((now + LEAST_LIGHT) / (then + LEAST_LIGHT), *GAINS)


def colours_of_detail(now: np.ndarray, then: np.ndarray, opaque: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How detail looks whose surroundings had the colours `then` and have `now` (h x w x C, full scale 1), where paint of
    this opacity (h x w) is: (own, common), the detail being `own * detail + common * (its mean colour)`, h x w x C each.
    Under opaque paint of another hue it is brighter and darker parts of that, else each of its colours goes with that of
    what is around it: a brow on skin that became gray has no less red than gray."""
    light_now, light_then = (v.mean(-1, keepdims=True) for v in (now, then))
    hue, old_hue = (
        np.clip((v + LEAST_LIGHT) / (light + LEAST_LIGHT), *TINTS) for v, light in ((now, light_now), (then, light_then))
    )
    covered = opaque[:, :, None] * np.minimum(np.abs(hue - old_hue).max(-1, keepdims=True) / RECOLOURED, 1)
    return contrast(now, then) * (1 - covered), contrast(light_now, light_then) * covered * hue


def recoloured(b: list[np.ndarray], change: np.ndarray, opaque: np.ndarray, covered: np.ndarray | None = None) -> np.ndarray:
    """The photo (b_0 .. b_K) with `change` (m x m x 3) done to its level of m cells by paint of this opacity (S x S).
    `covered` (m x m): the share of each cell that is painted; None: cells that are not painted count, too.

    S x S x 3, full scale 1. Where pixels look like their cells, the level of m cells is as painted.
    """
    size, m = len(b[0]), len(change)
    cell = size // m
    j = cell.bit_length() - 1
    # Single light hairs are hair: pixels are told apart by what they are together with their neighbours.
    guide = b[0]
    for _ in range(2):
        guide = np.stack([window_mean(guide[:, :, c], cell // 8) for c in range(guide.shape[2])], 2)

    def like(colours):
        return np.exp(-np.minimum(np.square(colours - guide).sum(2, keepdims=True) / (2 * ALIKE**2), 20))

    at = (np.arange(size) + 0.5) / cell
    near = {d: np.exp(-0.5 * np.square((np.floor(at) + d + 0.5 - at) / NEAR)) for d in range(-REACH, REACH + 1)}
    covered = np.ones((m, m, 1), np.float32) if covered is None else covered[:, :, None]
    # What the paint itself does, counted as far as there is paint.
    whole = change / np.maximum(covered, PART) * (covered > THIN)
    counts = np.maximum(covered, LEAST_COUNT)
    known = np.concatenate([b[j], counts * b[j], counts * whole, counts], 2).astype(np.float32)
    cells = np.pad(known, ((REACH, REACH), (REACH, REACH), (0, 0)), mode="edge")
    total = np.full((size, size, 7), 1e-12, np.float32)
    for down in near:
        for right in near:
            there = cells[REACH + down : REACH + down + m, REACH + right : REACH + right + m]
            there = there.repeat(cell, 0).repeat(cell, 1)
            weight = ((near[down][:, None] * near[right])[:, :, None] * like(there[:, :, :3])).astype(np.float32)
            total += weight * there[:, :, 3:]
    then, moved = np.split(total[:, :, :6] / total[:, :, 6:], 2, axis=2)
    detail = b[0] - then
    kept, common = colours_of_detail(then + moved, then, opaque)
    made = (then + moved + kept * detail + common * detail.mean(2, keepdims=True)).astype(np.float32)
    # A thin stroke over plain skin was mixed with the skin beside it, which looks the same: there it is as painted.
    plain = like(b[j].repeat(cell, 0).repeat(cell, 1)).reshape(m, cell, m, cell).mean((1, 3))[:, :, None] ** PLAIN
    plain, now = np.minimum(plain, pyramid.u(pyramid.d(plain))), pyramid.reduce(made, j)
    return pyramid.project(made, (now + plain * (b[j] + change - now)).astype(np.float32))
