"""How far paint counts: kept to what it is meant for, or over all of what it is to cover.

Paint that only gives something another colour belongs to that alone (`kept_to`). Paint that is to make something go, such
as a beard, leaves some of it at its edges (`with_remains`), and runs over what is beside it, carelessly or because that is
meant, too. What strokes cover is told by `lapcvae.meant`; that it is to go, by its ending where they do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from . import pyramid
from .masks import FLAT, LITTLE, THIN, Paint, depth, distance, kept_of, ramp_of, spread
from .meant import meant, middle
from .windows import window_max, window_mean, window_sum

# The rim of a thing that goes with it is as wide as this part of the square.
RIM = 64
# A thing has ended if it fills so much of what is between these distances from the paint, in cells; and goes on if so much.
BEYOND, ENDED, GOES_ON = (1.0, 2.5), 0.08, 0.2
# So far beyond the paint, in cells, goes what is left of it that is painted over. Less than this share of it is nothing.
ALL_OF_IT, REMAINS = 0.7, 0.05


@dataclass(frozen=True)
class WhatIsMeant:
    """What of the photo paint is meant for, S x S each in 0..1: `share`, of each pixel, and how far that `counts` there.
    `ends`: whether it does so close by, 0..1."""

    share: np.ndarray
    counts: np.ndarray
    ends: float

    @property
    def left(self) -> np.ndarray:
        """How much of the paint is to be left out."""
        return self.counts * (1 - self.share)

    def to_go(self, paint: Paint) -> WhatIsMeant:
        """If it is to go: with its blurred rim, and with whatever else the middles of strokes cover."""
        painted = paint.cover > 0.5
        covered = middle(painted, depth(painted))
        share = np.maximum(window_max(self.share, max(1, len(self.share) // RIM)), covered)
        return replace(self, share=window_mean(share, 2).astype(np.float32))


def what_is_meant(photo: list[np.ndarray], paint: Paint, grow: float, share: float) -> WhatIsMeant:
    """`photo`: b_0 .. b_K; `share`: how far it counts where paint is opaque."""
    near, far = 2 << paint.level, distance(paint.cover > 0) / (max(grow, 1.0) * (1 << paint.level))
    reached = far < BEYOND[1]
    # Against its thinness: thin paint runs over things as opaque paint does, only a tint of the picture itself does not.
    opaque = window_sum(paint.opaque, near) / np.maximum(window_sum(np.minimum(paint.cover, 1), near), THIN)
    counts = share * np.minimum(spread(opaque, reached), 1) * reached * kept_of(paint, 1)
    told = meant(photo, paint.cover, depth(paint.cover > 0.5), reached)
    beyond = reached & (far > BEYOND[0])
    goes_on = float(told[beyond].mean()) if beyond.any() else 1.0
    ends = float(np.clip((GOES_ON - goes_on) / (GOES_ON - ENDED), 0, 1))
    return WhatIsMeant(told.astype(np.float32), counts.astype(np.float32), ends)


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


def with_remains(paint: Paint, photo: list[np.ndarray], told: WhatIsMeant, grow: float) -> Paint:
    """Paint also over what strokes left of the thing that they cover: close beside them, in their colours."""
    cell = 1 << paint.level
    painted = paint.cover > 0.5
    far = distance(painted) / (max(grow, 1.0) * cell)
    inside = depth(painted) / (ALL_OF_IT * cell)
    near = np.where(painted, np.clip(1 - inside, 0, 1), ramp_of(np.maximum(far - ALL_OF_IT, 0), BEYOND[0] - ALL_OF_IT))
    share = told.ends * told.counts * told.share * near
    if not (share > REMAINS).any():
        return paint
    # The colours of the thick of the paint near by; thin paint left some of it, too.
    thick, painted = np.clip(inside, 0, 1) ** 2 + LITTLE, photo[0] + paint.fine
    around = [window_sum(window_sum(v, cell), cell) for v in (thick, *(thick * painted[:, :, c] for c in range(3)))]
    all_of_it = (np.stack(around[1:], 2) / around[0][:, :, None] - photo[0]).astype(np.float32)
    there = (paint.fine * all_of_it).sum(2) / np.maximum(np.square(all_of_it).sum(2), FLAT)
    more = (share * np.clip(1 - there, 0, 1))[:, :, None] * all_of_it
    return replace(
        paint, cover=np.maximum(paint.cover, share), opaque=np.maximum(paint.opaque, share), fine=paint.fine + more,
        change=paint.change + pyramid.reduce(more, paint.level),
    )  # fmt: skip


def covered_cells(paint: Paint) -> np.ndarray:
    """The share of each cell, m x m, that has as much paint as most of what is painted."""
    painted = paint.cover[paint.cover > 0]
    usual = np.percentile(painted, 90) if len(painted) else 1.0
    cover = np.minimum(paint.cover / usual, 1).astype(np.float32)
    return np.clip(pyramid.reduce(cover[:, :, None], paint.level)[:, :, 0], 0, 1)
