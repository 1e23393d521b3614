"""How far paint counts: kept to what it is meant for, or over all of what it is to cover.

Paint that only gives something another colour belongs to that alone (`kept_to`). Paint that is to make something go, such
as a beard, leaves some of it at its edges (`with_remains`), and runs over what is beside it, carelessly or because that is
meant, too. What strokes cover is told by `lapcvae.meant`; that it is to go, by its ending where they do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from . import hair, pyramid
from .encoding import EncodedPhoto
from .masks import FLAT, Paint, distance, kept_of, ramp_of, spread
from .meant import meant, middle, sharpened
from .segments import BACKGROUND, Segments
from .windows import window_max, window_mean, window_sum

# The rim of a thing that goes with it is as wide as this part of the square; what is kept ends over so many pixels twice.
RIM, SOFT = 64, 2
# A thing goes on from where it fills so much of what is near, in cells, and between these distances from the paint; it ends
# with the strokes if that is so along this share of them.
NEAR, BEYOND, GOES_ON, ENDS = 1.5, (1.0, 2.5), 0.4, 0.72
# So far beyond the paint, in cells, goes all of what is left of it, and any; so much further if what is painted is large
# (shares of the square). Less than this share of it is nothing.
ALL_OF_IT, ANY_OF_IT, FURTHER, LARGE, REMAINS = 0.7, 1.0, 1.0, (0.3, 0.45), 0.05
# The same of what is behind everything else.
OF_BACKGROUND = 1.8
# So far inside of a painted wall, in cells, all is meant: none of it below, all above.
STANDS = (1.0, 1.5)
# So far, in cells, strokes of a wall may run over what is before it: surely, and at most.
RAN_OVER = (0.1, 0.6)
# Less than this share of a pixel that belongs to a thing is a part of it.
PARTLY = 0.7
# Share of a cell that is painted below which it says nothing of the paint.
THIN = 0.02
# What the thinnest paint counts, against the thick of it, for the colour of what is near.
LEAST_THICK = 1e-3


@dataclass(frozen=True)
class WhatIsMeant:
    """What of the photo paint is meant for, S x S each in 0..1: `share`, of each pixel, and how far that `counts` there.
    `behind`: it is what is behind everything else, and ends where that begins."""

    share: np.ndarray
    counts: np.ndarray
    behind: bool = False

    @property
    def left(self) -> np.ndarray:
        """How much of the paint is to be left out."""
        return self.counts * (1 - self.share)


def what_is_recoloured(photo: EncodedPhoto, paint: Paint, grow: float, share: float) -> WhatIsMeant:
    """`share`: how far it counts where paint is opaque."""
    reached = _cells_from(paint, grow) < BEYOND[1]
    told = meant(photo, paint.amount, paint.inside, reached)
    behind = photo.segments is not None and _is_behind(photo.segments, told)
    told = sharpened(told, photo.b[0], reached)
    if photo.segments is not None and not behind:
        told = told * (1 - hair.of_the_wall(photo.b[0], photo.segments))
    return WhatIsMeant(told.astype(np.float32), share * _opaque(paint, reached))


def what_goes(photo: EncodedPhoto, paint: Paint, grow: float,
              painted: Callable[[], Segments] | None = None) -> WhatIsMeant | None:  # fmt: skip
    """The thing under opaque paint that ends where that does; None: what is there goes on. `painted`: what the photo with
    the paint on it is of, asked for where a wall was painted. Other arguments as above."""
    far = _cells_from(paint, grow)
    reached = far < BEYOND[1]
    told = meant(photo, paint.amount, paint.inside, reached, goes=True)
    behind = photo.segments is not None and _is_behind(photo.segments, told)
    if behind and painted is not None:
        # Before a plain wall it is plainer what is before it; where strokes end they may have run over some of it.
        before = _before_the_wall(photo.segments, painted(), paint)
        photo = replace(photo, segment=lambda: before)
        told = meant(photo, paint.amount, paint.inside, reached, goes=True)
    ends = _share_that_ends(told, pyramid.block_mean(far, len(far) // len(told)), len(told) / (len(far) >> paint.level))
    # Who paints nearly all of the background means it, also where some of it is left.
    if ends < ENDS and not (behind and is_large(paint) > 0.5):
        return None
    told = sharpened(told, photo.b[0], reached, goes=not behind)
    thing = WhatIsMeant(told.astype(np.float32), _opaque(paint, reached), behind)
    # Neither a tint nor rubbing out says what is to go.
    return thing if (thing.counts * thing.share * paint.amount).max() > REMAINS else None


def _before_the_wall(photo: Segments, painted: Segments, paint: Paint) -> Segments:
    """What is of the photo near the edges of strokes, and of the painted photo elsewhere."""
    inside = (distance(paint.amount < 0.5) / (1 << paint.level) - RAN_OVER[0]) / (RAN_OVER[1] - RAN_OVER[0])
    deep = np.where(paint.amount < 0.5, 1, np.clip(inside, 0, 1)).astype(np.float32)
    size, n = len(deep), len(photo.of)
    deep = pyramid.block_mean(deep, size // n)[:, :, None]
    return Segments(photo.of + deep * (painted.of - photo.of), photo.classes)


def _is_behind(segments: Segments, told: np.ndarray) -> bool:
    """Whether most of what was told (n x n) is background."""
    of = pyramid.reduce(segments.share_of(BACKGROUND)[:, :, None], (len(segments.of) // len(told)).bit_length() - 1)
    return bool((of[:, :, 0] * told).sum() > told.sum() / 2)


def _share_that_ends(told: np.ndarray, far: np.ndarray, cell: float) -> float:
    """Along how much of where paint ends the thing ends, too. `told`: how far each pixel belongs to it, `far`: how many
    cells it is from the paint; `cell`: how many pixels that is."""
    beyond, near = ((far > BEYOND[0]) & (far < BEYOND[1])).astype(np.float32), round(NEAR * cell)
    filled = window_sum(told * beyond, near) / np.maximum(window_sum(beyond, near), LEAST_THICK)
    ends = (far > 0) & (far < BEYOND[0])
    return float((filled[ends] < GOES_ON).mean()) if ends.any() else 0.0


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
    """A thing that is to go with its blurred rim, or what is behind others up to theirs, and whatever else the middles of
    strokes cover."""
    if thing.behind:
        # What stands there goes, too.
        far = distance(paint.amount < 0.5) / (1 << paint.level)
        return replace(thing, share=np.maximum(thing.share, np.clip((far - STANDS[0]) / (STANDS[1] - STANDS[0]), 0, 1)))
    rim = max(1, len(thing.share) // RIM) + SOFT
    share = np.maximum(window_max(thing.share, rim), middle(paint.amount > 0.5, paint.inside))
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
    further = OF_BACKGROUND if thing.behind else FURTHER * is_large(paint)
    inside, beside = paint.inside / (ALL_OF_IT * cell), np.maximum(_cells_from(paint, grow) - ALL_OF_IT - further, 0)
    near = np.where(paint.amount > 0.5, np.clip(1 + further - inside, 0, 1), ramp_of(beside, ANY_OF_IT - ALL_OF_IT))
    # Around what is large no rim of it may be left: a pixel next to it has some of it, too.
    of_pixel = (thing.share + window_max(thing.share, round(further))) / 2
    share = thing.counts * of_pixel * near
    share = np.where(share > REMAINS, share, 0)
    if not share.any():
        return paint
    # In the colours of the thick of the paint near by; thin paint left some of it, too.
    painted = photo[0] + paint.fine
    to = _mean_near(painted, np.clip(inside, 0, 1) ** 2 + LEAST_THICK, cell + round(further * cell))
    all_of_it = to - photo[0]
    there = (paint.fine * all_of_it).sum(2) / np.maximum(np.square(all_of_it).sum(2), FLAT)
    # A pixel at the edge has a part of the thing's colour, and that part alone goes.
    whole = ramp_of(1 - of_pixel, 1 - PARTLY)[:, :, None]
    was = whole * photo[0] + (1 - whole) * _mean_near(photo[0], of_pixel**8 + LEAST_THICK, cell)
    more = (share * np.clip(1 - there, 0, 1))[:, :, None] * (to - was)
    more = (np.clip(painted + more, 0, 1) - painted).astype(np.float32)
    return replace(
        paint, cover=np.maximum(paint.cover, share), opaque=np.maximum(paint.opaque, share), fine=paint.fine + more,
        change=paint.change + pyramid.reduce(more, paint.level),
        # M reaches there, and no further.
        distances=(paint.far * (1 - share)).astype(np.float32),
    )  # fmt: skip


def is_large(paint: Paint) -> float:
    """In 0..1: whether so much is painted that a hand goes around what is beside it with room to spare."""
    return float(np.clip(((paint.amount > 0.5).mean() - LARGE[0]) / (LARGE[1] - LARGE[0]), 0, 1))


def _mean_near(colours: np.ndarray, weight: np.ndarray, radius: int) -> np.ndarray:
    """The mean around each pixel, S x S x C."""
    near = [window_sum(window_sum(v, radius), radius) for v in (weight, *(weight * c for c in np.moveaxis(colours, 2, 0)))]
    return np.stack(near[1:], 2) / near[0][:, :, None]


def covered_cells(paint: Paint) -> np.ndarray:
    """The share of each cell, m x m, that has as much paint as most of what is painted."""
    return np.clip(pyramid.reduce(paint.amount[:, :, None], paint.level)[:, :, 0], 0, 1)
