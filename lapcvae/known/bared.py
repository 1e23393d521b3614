"""A face that comes to be seen where something before it goes: sunglasses, a beard, a microphone.

What was behind it nobody knows, but faces are alike: in some thousands of aligned ones there are some that look like this
one all around, and in what was painted (`lapcvae.exemplars`). The other side of the same face may do so even better. The
part that was hidden is taken from such a face, whole, with its own gradients, and goes over into the photo without a seam
(`lapcvae.heal`). What is thin, such as the arms of glasses, is filled with what is on both sides of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .. import exemplars, noise, pyramid
from ..behind import bridged, continued
from ..exemplars import Exemplar
from ..extent import what_goes
from ..heal import healed, strain
from ..masks import Paint
from ..ramps import rises
from ..segments import OF_FACE, Segments
from ..windows import closed, window_max, window_mean
from .glasses import GLASSES

if TYPE_CHECKING:
    from ..encoding import EncodedPhoto
    from ..engine import Engine

# Who paints in more cells than this (a side) means the details.
FEW_CELLS = 32
# At least this share of strokes is of a face in the painted photo; of what goes no more than the second is an eye or a
# mouth: these are meant as they were painted.
FACE, FEATURES = 0.45, 0.35
# Glasses go if more than the first share of what is under strokes is glasses, less than the second of that with them, and
# strokes cover at least the third of all that there are.
WORN = (0.15, 0.65, 0.5)
# It is looked for so far from strokes (shares of the side) as the first two say: all of it, and any. It is where it is
# likelier than the third number.
NEAR, THERE = (0.02, 0.045), 0.3
# What is thinner than this (share of the side), of glasses than twice the second, is filled from above and below; the rest
# is looked for with so much around it, and with what was painted so near to it, and its edge is so wide. What differs from
# most of a lens by less than that (full scale 1) may be an arm; it is no thicker than the next. By no more than the last
# differs what is of one.
THIN, LENS, AROUND, WITH_PAINT, EDGE, ALIKE, ARM, OF_LENS = 0.035, 0.032, 0.026, 0.04, 0.01, 0.15, 0.15, 0.3
# An arm is between so much and so much darker than what is on both sides of it.
DARKER = (0.05, 0.15)
# Less than this share of the square is nothing that has a form.
LEAST = 0.004
# What lies between parts of it goes along if it is smaller than this share of the square, and was not seen before.
ISLAND = 0.03
# So many faces are looked at closely; how much their strain, and what they have of something else there, counts against
# their likeness.
CLOSELY, STRAIN, APART = 12, 0.02, 3.0
# What other faces shall not have there. What was painted there says so much of which fits, against what is known.
NOT_WANTED, GUESSED = (GLASSES, "beard", "hat"), 0.2
# What of a picture is a face, and between which differences another one is none there, or is one; so far (share of the side)
# around that it does not count.
SAME, ELSE, BESIDE = (*OF_FACE, GLASSES), (0.3, 0.7), 0.012
# The skin that tells the light is so near (share of the side); how much brighter or darker another face may be made.
RING, GAIN, LEAST_LIGHT = 0.06, (0.5, 2.0), 0.02
# Beyond the hole, so many pixels, there is nothing left of another wall.
WALL = 4
# The other side of a face is taken if so much of what is needed is seen there, and it is no more than so many times as
# unlike as the likest face.
SEEN, AS_GOOD = 0.9, 2.0
# So many variants have it, moved a little (as `Exemplar.place` is), as all are that come again. The next seed begins with so
# many others.
MIRRORED, SHIFT, STRIDE = 3, 0.004, 2
# What differs more than the first number (full scale 1) from most of what was painted is no skin, nor is that if it differs
# more than the second from the skin around. At most so much of strokes is none, brows and lips and what is beside a face,
# and at most so much of them lies over eyes and lips that are seen.
NO_SKIN, SOME, FEW = (0.25, 0.35), 0.5, 0.03
# Pixels a side of the pictures that are compared.
READ = 128


@dataclass(frozen=True)
class Bared:
    """`photo`: S x S x 3, without what is thin; `hole`: what is to be seen of other faces, S x S in 0..1; `share`: with
    what is thin; `painted`: what the photo is of as it was painted; `found`: the faces, best first; `mirrored`: the other
    side of the same one, if that shows what is hidden; `worn`: whether glasses go."""

    # Whether nothing else can be meant.
    sure: ClassVar[bool] = True

    engine: Engine
    photo: np.ndarray
    hole: np.ndarray
    share: np.ndarray
    painted: Segments
    found: list[Exemplar]
    mirrored: Exemplar | None
    worn: bool
    seed: int

    @property
    def where(self) -> np.ndarray:
        """1 where anything changes, S x S, else 0."""
        return (window_max(self.share, WALL) > 0).astype(np.float32)

    @cached_property
    def stays(self) -> np.ndarray:
        """How much of the photo's own detail does, S x S."""
        return 1 - window_mean(window_max(self.share, 2), 1).astype(np.float32)

    def picture(self, index: int) -> np.ndarray:
        """The photo with the face of a variant, S x S x 3 in [0, 1]."""
        size = len(self.photo)
        if self.mirrored:
            if index < MIRRORED or not self.found:
                return self._with_other_side(index)
            index -= MIRRORED
        # Another seed begins with another one.
        number = index + self.seed * STRIDE
        one = self.found[number % len(self.found)]
        if index >= len(self.found):
            one = self._moved(one, index)
        other = exemplars.placed(one)
        of = self.engine.segment(other)
        other = pyramid.enlarge(other, (size // len(other)).bit_length() - 1)
        then, now = (v.share_at(size, *SAME) for v in (self.painted, of))
        alike = then * now
        made = healed(self.photo, _in_its_light(other, self.photo, self.hole, alike), self.hole, alike)
        # A cheek where the other face has none, and what is around this face where both end.
        wrong = window_max(rises(then - now, ELSE), max(1, round(BESIDE * size)))
        cheek = continued(made, np.maximum(wrong, self.around))
        made = made + (self.soft * window_mean(wrong, 1))[:, :, None] * (cheek - made)
        # The last pixel of it has something of what was behind it.
        ends = self.around * (1 - rises(-window_max(-now, 1), ELSE))
        made = made + (window_max(self.hole, WALL) * ends)[:, :, None] * (self.other_things - made)
        return np.clip(made, 0, 1).astype(np.float32)

    def _with_other_side(self, index: int) -> np.ndarray:
        """What is beside a face is alike on both sides, too."""
        other = exemplars.placed(self._moved(self.mirrored, index) if index or self.seed else self.mirrored)
        return np.clip(healed(self.photo, other, self.share, np.ones(self.share.shape)), 0, 1)

    def _moved(self, one: Exemplar, index: int) -> Exemplar:
        """A little, by variant."""
        return replace(one, place=one.place + SHIFT * noise.gaussian((4,), "bared", self.seed, index))

    @cached_property
    def soft(self) -> np.ndarray:
        """The hole with a soft edge."""
        return window_mean(window_max(self.hole, 1), 1).astype(np.float32)

    @cached_property
    def around(self) -> np.ndarray:
        """What is no face as it was painted, S x S in 0..1."""
        return 1 - rises(self.painted.share_at(len(self.photo), *SAME), ELSE)

    @cached_property
    def other_things(self) -> np.ndarray:
        """What is beside the face, S x S x 3, where it is hidden, too."""
        hole = window_max(self.hole, 1)
        if self.worn:
            # Hair and ears go on up and down.
            return bridged(self.photo, hole, 0 * hole, len(hole))
        return continued(self.photo, np.maximum(hole, 1 - self.around).astype(np.float32))


def bared_of(engine: Engine, photo: EncodedPhoto, paint: Paint, painted: Callable[[], Segments], grow: float,
             seed: int) -> Bared | None:  # fmt: skip
    """The face behind what strokes are to take away; None: they are for something else. `painted`: what the photo with the
    paint on it is of."""
    segments, b_0 = photo.segments, photo.b[0]
    if segments is None or engine.exemplars is None or paint.erased.any() or paint.empty:
        return None
    size = len(b_0)
    # Others are looked at in so many pixels, by the segmenter, too.
    if not len(segments.of) <= min(READ, size) <= engine.exemplars.size:
        return None
    amount = pyramid.block_mean(paint.amount, size // len(segments.of))
    if len(photo.b[paint.level]) > FEW_CELLS:
        return None
    if (amount * painted().share_of(*OF_FACE)).sum() < FACE * amount.sum():
        return None
    there, worn = _what_goes(photo, paint, painted, grow)
    features = segments.share_at(size, "eyes", "mouth")
    if there is None or (there * features).sum() > FEATURES * there.sum():
        return None
    if _is_of_other_things(b_0, paint, there, features):
        return None
    hole, thin = _parts(b_0, there, paint, painted().share_at(size, *SAME), worn)
    # Eyes that strokes ran over are the photo's.
    hole = hole * np.maximum(1 - rises(segments.share_at(size, "eyes"), ELSE), there).astype(np.float32)
    if worn:
        # No more hair than what they cover: a sideburn stays.
        hole = hole * np.maximum(1 - rises(segments.share_at(size, "hair"), ELSE), there).astype(np.float32)
    if hole.mean() < LEAST:
        return None
    bare = bridged(b_0, thin, hole, round((ARM if worn else 2 * THIN) * size))
    bare = (b_0 + window_mean(thin, 1)[:, :, None] * (bare - b_0)).astype(np.float32)
    # What strokes left of it between them has their colours.
    left = np.where(paint.amount < 0.7, np.maximum(hole, thin), 0).astype(np.float32)
    seen = continued(np.clip(b_0 + paint.fine, 0, 1).astype(np.float32), left)
    down = max(0, (size // READ).bit_length() - 1)
    read = pyramid.reduce(seen, down)
    mask, known = (pyramid.block_mean(v, 1 << down) for v in (hole, (1 - there) * segments.share_at(size, "mouth")))
    then = engine.segment(seen)
    found = _faces(engine, pyramid.reduce(bare, down), read, mask, known, then)
    whole = np.maximum(hole, thin)
    mirrored = exemplars.other_side(bare, read, pyramid.block_mean(whole, 1 << down), SEEN)
    if mirrored and mirrored.error > AS_GOOD * min((one.error for one in found), default=np.inf):
        mirrored = None
    return Bared(engine, bare, hole, whole, then, found, mirrored, worn, seed) if found or mirrored else None


def _is_of_other_things(photo: np.ndarray, paint: Paint, there: np.ndarray, features: np.ndarray) -> bool:
    """Whether strokes have other colours than skin: more of them than a face has, or over eyes and lips that are seen.
    `there`: what goes; `features`: how likely each pixel is of an eye or a mouth; S x S."""
    painted = photo + paint.fine
    skin = np.median(painted[(paint.amount > 0.5) & (there > 0)], 0) if (there * paint.amount).max() > 0.5 else None
    if skin is None:
        return False
    beside = window_max(there, max(2, round(RING * len(there)))) * (1 - there) * (1 - features) * (paint.amount == 0) > 0.5
    if beside.any() and np.abs(skin - np.median(photo[beside], 0)).max() > NO_SKIN[1]:
        return True
    unlike = paint.amount * (np.abs(painted - skin).max(2) > NO_SKIN[0])
    over, total = (unlike * (1 - there) * features).sum(), paint.amount.sum()
    return bool(over > FEW * total or unlike.sum() > SOME * total)


def _what_goes(photo: EncodedPhoto, paint: Paint, painted: Callable[[], Segments],
               grow: float) -> tuple[np.ndarray | None, bool]:  # fmt: skip
    """Where it is that strokes are to take away, S x S of 0 and 1, None: they are not for that; whether it is glasses."""
    size = len(paint.amount)
    near = np.clip((NEAR[1] * size - paint.far) / ((NEAR[1] - NEAR[0]) * size), 0, 1)
    amount = pyramid.block_mean(paint.amount, size // len(photo.segments.of))
    before, after = ((amount * v.share_of(GLASSES)).sum() for v in (photo.segments, painted()))
    of_it = photo.segments.share_of(GLASSES).sum()
    if before > max(WORN[0] * amount.sum(), WORN[2] * of_it) and after < WORN[1] * before:
        return (photo.segments.share_at(size, GLASSES) * near > THERE).astype(np.float32), True
    thing = what_goes(photo, paint, grow, painted)
    if thing is None or thing.behind:
        return None, False
    return (thing.share * thing.counts * near > THERE).astype(np.float32), False


def _parts(photo: np.ndarray, there: np.ndarray, paint: Paint, face: np.ndarray,
           worn: bool) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """What is to be seen of other faces, and what is thin enough to be filled, S x S each. `there`: what goes; `face`: what
    is one as it was painted, S x S; `worn`: it is glasses, whose arms strokes run along."""
    size = len(there)
    radius, around, close, edge = (max(1, round(v * size)) for v in (LENS if worn else THIN / 2, AROUND, WITH_PAINT, EDGE))
    if worn and there.any():
        # What is seen as glasses ends where that is dark; a glint is in the middle of it.
        dark = np.abs(photo - np.median(photo[there > 0], 0)).max(2) < OF_LENS
        there = there * closed(dark.astype(np.float32), around)
    core = window_max(-window_max(-there, radius), radius)
    hole, painted = window_max(core, around), (paint.amount > 0.5).astype(np.float32)
    if not worn:
        hole = np.maximum(hole, painted * window_max(core, close))
    # In the face, where nothing of another kind is far within it.
    face = closed((face > 0.5).astype(np.float32), close)
    hole = closed(hole.astype(np.float32), close) * (window_max(face, edge) > 0)
    # No lone island of what is there.
    islands = _islands(hole)
    hole = (np.maximum(hole, islands) if islands.mean() < ISLAND else hole).astype(np.float32)
    if worn and core.any():
        alike = np.abs(photo - np.median(photo[core > 0], 0)).max(2) < ALIKE
        # An arm is darker than what is on both sides of it; dark hair is not.
        light, half = photo.mean(2), max(1, round(THIN / 2 * size))
        thin = rises(-window_max(-window_max(light, half), half) - light, DARKER) > 0.5
        there = np.maximum(there, alike * thin * window_max(painted, edge))
    return hole, (window_max(there * (1 - hole), edge) * (1 - hole)).astype(np.float32)


def _islands(hole: np.ndarray) -> np.ndarray:
    """What is free of a hole, and surrounded by it, S x S of 0 and 1."""
    free = 1 - hole
    shore = np.pad(np.zeros_like(hole)[1:-1, 1:-1], 1, constant_values=1) * free
    for _ in range(len(hole)):
        more = window_max(shore, 1) * free
        if (more == shore).all():
            break
        shore = more
    return free - shore


def _in_its_light(other: np.ndarray, photo: np.ndarray, hole: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Another face, n x n x 3, as the light and the skin around the hole make it. `face`: where both are one, n x n."""
    ring = window_max(hole, max(2, round(RING * len(hole)))) * (1 - hole) * face > 0.5
    if not ring.any():
        return other
    lit = other * np.clip(np.median(photo[ring] / np.maximum(other[ring], LEAST_LIGHT), 0), *GAIN)
    # Where skin has less colour, so have eyes and lips: in a gray photo, none.
    here, there = (float(np.ptp(np.median(v[ring], 0))) for v in (photo, other))
    gray = lit.mean(2, keepdims=True)
    return (gray + min(here / max(there, LEAST_LIGHT), 1) * (lit - gray)).astype(np.float32)


def _faces(engine: Engine, photo: np.ndarray, read: np.ndarray, mask: np.ndarray, known: np.ndarray,
           painted: Segments) -> list[Exemplar]:  # fmt: skip
    """What fits into the hole (`mask`), best first. `read`: the photo as it was painted; `known`: what is the photo's in the
    hole; n x n and n x n x 3."""
    found = engine.exemplars.like(read, mask, known + GUESSED * mask, CLOSELY)
    costs, then = [], painted.share_at(len(read), *SAME)
    for one in found:
        small = pyramid.reduce(one.picture, (len(one.picture) // len(read)).bit_length() - 1)
        other = exemplars.placed(replace(one, picture=small))
        of = engine.segment(other)
        now = of.share_at(len(read), *SAME)
        apart = (mask * (rises(np.abs(now - then), ELSE) + of.share_at(len(read), *NOT_WANTED))).sum() / mask.sum()
        lit = _in_its_light(other, photo, mask, then * now)
        halves = (pyramid.d(v) for v in (photo, lit)), (pyramid.block_mean(v, 2) for v in (mask, then * now))
        strained = strain(*halves[0], *halves[1])
        costs.append(one.error * (1 + STRAIN * strained) * (1 + APART * apart) * (2 - one.fits))
    return [found[i] for i in np.argsort(costs, kind="stable")]
