"""How far paint counts: kept to what it is meant for, or over all of what it is to cover.

Paint that only gives something another colour belongs to that alone (`kept_to`). Paint that is to make something go, such
as a beard, leaves some of it at its edges (`with_remains`), and runs over what is beside it, carelessly or because that is
meant, too. What strokes cover is told by `lapcvae.meant`; that it is to go, by its ending where they do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from . import pyramid
from .masks import FLAT, Paint, kept_of, ramp_of, spread
from .meant import meant, middle, sharpened
from .windows import window_max, window_mean, window_sum

# The rim of a thing that goes with it is as wide as this part of the square; what is kept ends over so many pixels twice.
RIM, SOFT = 64, 2
# A thing goes on if it fills so much of what is between these distances from the paint, in cells.
BEYOND, GOES_ON = (1.0, 2.5), 0.14
# So far beyond the paint, in cells, goes what is left of it that is painted over. Less than this share of it is nothing.
ALL_OF_IT, REMAINS = 0.7, 0.05
# Share of a cell that is painted below which it says nothing of the paint.
THIN = 0.02
# What the thinnest paint counts, against the thick of it, for the colour of what is near.
LEAST_THICK = 1e-3


@dataclass(frozen=True)
class WhatIsMeant:
    """What of the photo paint is meant for, S x S each in 0..1: `share`, of each pixel, and how far that `counts` there."""

    share: np.ndarray
    counts: np.ndarray

    @property
    def left(self) -> np.ndarray:
        """How much of the paint is to be left out."""
        return self.counts * (1 - self.share)


def what_is_recoloured(photo: list[np.ndarray], paint: Paint, grow: float, share: float) -> WhatIsMeant:
    """`photo`: b_0 .. b_K; `share`: how far it counts where paint is opaque."""
    reached = _cells_from(paint, grow) < BEYOND[1]
    told = sharpened(meant(photo, paint.amount, paint.inside, reached), photo[0], reached)
    return WhatIsMeant(told.astype(np.float32), share * _opaque(paint, reached))


def what_goes(photo: list[np.ndarray], paint: Paint, grow: float) -> WhatIsMeant | None:
    """The thing under opaque paint that ends where that does; None: what is there goes on. Arguments as above."""
    far = _cells_from(paint, grow)
    reached = far < BEYOND[1]
    told = meant(photo, paint.amount, paint.inside, reached)
    beyond = pyramid.block_mean((reached & (far > BEYOND[0])).astype(np.float32), len(far) // len(told))
    if (told * beyond).sum() >= GOES_ON * beyond.sum():
        return None
    thing = WhatIsMeant(sharpened(told, photo[0], reached).astype(np.float32), _opaque(paint, reached))
    # Neither a tint nor rubbing out says what is to go.
    return thing if (thing.counts * thing.share * paint.amount).max() > REMAINS else None


def _cells_from(paint: Paint, grow: float) -> np.ndarray:
    """How far each pixel is from paint, in cells, or in that of them that M reaches."""
    return paint.far / (max(grow, 1.0) * (1 << paint.level))


def _opaque(paint: Paint, reached: np.ndarray) -> np.ndarray:
    """How opaque paint is around each pixel that is `reached`, in 0..1; nothing where it was rubbed out."""
    # Against its thinness: thin paint runs over things as opaque paint does, only a tint of the picture itself does not.
    near = 2 << paint.level
    opaque = window_sum(paint.opaque, near) / np.maximum(window_sum(np.minimum(paint.cover, 1), near), 1)
    return (np.minimum(spread(opaque, reached), 1) * reached * kept_of(paint, 1)).astype(np.float32)


def with_surroundings(thing: WhatIsMeant, paint: Paint) -> WhatIsMeant:
    """A thing that is to go with its blurred rim, and with whatever else the middles of strokes cover."""
    rim = max(1, len(thing.share) // RIM)
    share = np.maximum(window_max(thing.share, rim + SOFT), middle(paint.amount > 0.5, paint.inside))
    return replace(thing, share=window_mean(share, SOFT).astype(np.float32))


def kept_to(paint: Paint, told: WhatIsMeant) -> Paint:
    """What was painted on what it is meant for."""
    stays = 1 - told.left
    cover = paint.cover * stays
    was, now = (np.clip(pyramid.reduce(c[:, :, None], paint.level), 0, None) for c in (paint.cover, cover))
    of_cells = np.clip(now / np.maximum(was, THIN), 0, 1)
    return replace(
        paint, cover=cover, opaque=paint.opaque * stays, fine=paint.fine * stays[:, :, None],
        change=paint.change * of_cells,
    )  # fmt: skip


def with_remains(paint: Paint, photo: list[np.ndarray], thing: WhatIsMeant, grow: float) -> Paint:
    """Paint also over what strokes left of the thing that they cover: close beside them, in their colours."""
    cell = 1 << paint.level
    inside, beside = paint.inside / (ALL_OF_IT * cell), np.maximum(_cells_from(paint, grow) - ALL_OF_IT, 0)
    near = np.where(paint.amount > 0.5, np.clip(1 - inside, 0, 1), ramp_of(beside, BEYOND[0] - ALL_OF_IT))
    share = thing.counts * thing.share * near
    share = np.where(share > REMAINS, share, 0)
    if not share.any():
        return paint
    # The colours of the thick of the paint near by; thin paint left some of it, too.
    thick, painted = np.clip(inside, 0, 1) ** 2 + LEAST_THICK, photo[0] + paint.fine
    around = [window_sum(window_sum(v, cell), cell) for v in (thick, *(thick * painted[:, :, c] for c in range(3)))]
    all_of_it = (np.stack(around[1:], 2) / around[0][:, :, None] - photo[0]).astype(np.float32)
    there = (paint.fine * all_of_it).sum(2) / np.maximum(np.square(all_of_it).sum(2), FLAT)
    more = (share * np.clip(1 - there, 0, 1))[:, :, None] * all_of_it
    return replace(
        paint, cover=np.maximum(paint.cover, share), opaque=np.maximum(paint.opaque, share), fine=paint.fine + more,
        change=paint.change + pyramid.reduce(more, paint.level),
        # M reaches there, and no further.
        distances=(paint.far * (1 - share)).astype(np.float32),
    )  # fmt: skip


def covered_cells(paint: Paint) -> np.ndarray:
    """The share of each cell, m x m, that has as much paint as most of what is painted."""
    return np.clip(pyramid.reduce(paint.amount[:, :, None], paint.level)[:, :, 0], 0, 1)
