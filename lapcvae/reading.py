"""What a painting means, before the levels draw it: what the interpreter reads, the strokes in it, and details that fit.

The interpreter says what coarse picture is likely to be meant (`lapcvae.interpret`), of strokes as they are or as cells show
them. Walls stand as they were painted, hair gets strands (`lapcvae.strands`). Where something was taken away, that picture
is soft, and an exemplar has the detail (`lapcvae.exemplars`).
"""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass

import numpy as np

from . import hair, pyramid, strands
from .encoding import EncodedPhoto
from .engine import Engine
from .exemplars import ENOUGH, ENOUGH_WHERE_IT_GOES, HANDED_ON, Exemplar, with_detail
from .interpret import interpreted
from .masks import Masks, Paint, cell_means, fill_erased, opaque_around
from .strands import Drawn, Strokes

# Paintings are taken more than one way, in turn. How strokes are shown to the interpreter: as sharp as they are (towards 0:
# eyes, locks of hair) or as cells show them (towards 1: a beard that a thick line stands for), a power of `realism`; and how
# many levels coarser than what it reads is the one that counts exactly.
WAYS = ((1.0, 0), (0.5, 2), (0.1, 1))
# With exemplars so often, each time with another one.
ROUNDS = 2
# Strokes of which such a share is hair or a wall need no detail of anything else; the second number where something goes.
KNOWN = (0.2, 0.6)
# A mask of less of the square than this is a scar, a microphone: what is around goes on there, and no exemplar is asked for.
LARGE = 0.08
# Hair is an exemplar's if so much of what its strokes cover is the face. Beside it, it is wanted where they lie.
ON_FACE = 0.5
# At least this share of what was read counts of strokes over the photo itself: who paints there sees what it looks like, and
# is crude on purpose only as `realism` says.
SEEN_IN_PLACE = 0.5
# Difference of what was read from what was painted, full scale 1, from which on the edges of strokes are not meant.
AS_PAINTED = 0.08


@dataclass(frozen=True)
class Way:
    """One way to take a painting. `looseness`: strokes as they are (0), as cells show them (1), or between; `level`: the one
    that counts exactly; `number`: which of the exemplars."""

    looseness: float
    level: int
    number: int = 0


@dataclass(frozen=True)
class Reading:
    """`meant`: the picture at the interpreter's level, n x n x 3; `detailed`: the same at the model's size, S x S x 3, as
    far as its detail is known, and `known`, whether an exemplar has it. `strokes`: how they look."""

    meant: np.ndarray
    detailed: np.ndarray
    known: bool
    strokes: Drawn | None


@dataclass(frozen=True)
class Painting:
    """What there is to be read: a photo, the paint on it and its masks, level j as it was painted, and `realism`. `strokes`:
    what they are of, None where that does not count; `goes`: whether something is to go."""

    encoded: EncodedPhoto
    paint: Paint
    masks: Masks
    painted_j: np.ndarray
    realism: float
    strokes: Strokes | None
    goes: bool

    @property
    def of_known(self) -> bool:
        """Whether much of it is of hair, which the photo has, or of a wall."""
        return self.strokes is not None and self.strokes.known > KNOWN[self.goes]

    @property
    def rubbed_out(self) -> bool:
        """Whether that is most of it."""
        return (self.paint.erased * np.float32(1 << (2 * self.paint.level))).sum() > self.paint.cover.sum() / 2


class Reader:
    """Reads one painting, in its `ways`. `invents`: whether details may be an exemplar's; `one_way`: whether the first way
    is the only one; `turn`: which of how many plans of the same edit this is, so that they begin with different exemplars.
    Safe to call from several threads."""

    def __init__(self, engine: Engine, painting: Painting, seed: int, invents: bool, one_way: bool,
                 turn: tuple[int, int] = (0, 1)):  # fmt: skip
        self._engine, self._painting, self._seed = engine, painting, seed
        self._level = engine.bundle.interpreter.level
        self._b = painting.encoded.b[self._level]
        self._m = cell_means(painting.masks.m, self._level)
        self._lock = threading.Lock()
        self._found: list[Exemplar] | None = None
        self._shown: dict[float, tuple[np.ndarray, np.ndarray]] = {}
        self._bare: dict[float, np.ndarray] = {}
        ways = [(painting.realism**power, min(self._level + up, engine.bundle.K)) for power, up in WAYS]
        if one_way:
            ways = ways[:1]
        elif painting.goes or painting.rubbed_out:
            ways = [*ways[1:], ways[0]]
        self._first = ways[0][0]
        # Where nothing is to go, what is painted may be like nothing that there is, and what the photo shows needs no other.
        self._sure = painting.goes or painting.rubbed_out
        shown = painting.paint.on_photo or painting.of_known
        self._invents = invents and not shown and self._m.mean() >= LARGE and engine.exemplars is not None
        self._hairs = [] if one_way else self._find_hair()
        if self._hairs:
            self.ways = [Way(*way, number) for number, way in enumerate(ways * ROUNDS)]
            return
        # Where one is wanted, it is looked for when a variant is.
        rounds = ROUNDS if self._invents and (self._sure or self._exemplar(0)) else 1
        numbers = sorted(range(HANDED_ON), key=lambda i: ((i - turn[0]) % turn[1], i))
        self.ways = [Way(*way, number) for number, way in zip(numbers, ways * rounds)]

    def __call__(self, way: Way) -> Reading:
        if self._hairs:
            return self._with_hair(way)
        painted, meant = self._interpreted(way.looseness)
        exemplar, fine = self._exemplar(way.number), None
        if exemplar:
            meant, fine = with_detail(meant, exemplar, self._b, self._m)
        meant, detailed, strokes = self._with_strands(way, painted, meant, fine)
        return Reading(meant, detailed, exemplar is not None, strokes)

    def _interpreted(self, looseness: float) -> tuple[np.ndarray, np.ndarray]:
        """The painting as it is shown to the interpreter, and what that reads, n x n x 3 both."""
        if looseness not in self._shown:
            # Two threads may both do it; the answer is the same.
            self._shown[looseness] = self._interpret(looseness)
        return self._shown[looseness]

    def _interpret(self, looseness: float) -> tuple[np.ndarray, np.ndarray]:
        painting, paint = self._painting, self._painting.paint
        up = paint.level - self._level
        opaque = opaque_around(paint, self._level, painting.masks.m)
        erased = np.clip(paint.erased, 0, 1).repeat(1 << up, 0).repeat(1 << up, 1)
        # Small strokes, such as a pupil, are hardly there in the cells of level j.
        painted = self._b + pyramid.reduce(paint.fine, self._level)
        as_cells = pyramid.enlarge(pyramid.reduce(painted, up), up)
        painted = painted + looseness * opaque[:, :, None] * (as_cells - painted)
        painted = painted + erased[:, :, None] * (pyramid.enlarge(painting.painted_j, up) - painted)
        if paint.on_photo:
            opaque = opaque * np.float32(max(SEEN_IN_PLACE, painting.realism))
        opaque, crude = np.maximum(opaque, erased), np.maximum(painting.realism, erased)
        return painted, interpreted(self._engine, self._b, painted, self._m, opaque, crude)

    def _find_hair(self) -> list[tuple[int, bool]]:
        """The exemplars that have hair where strokes over the face want some, such as a beard."""
        painting, paint, strokes = self._painting, self._painting.paint, self._painting.strokes
        # Who paints strands over the photo itself means these.
        if painting.goes or paint.on_photo or not (strokes and strokes.where.any() and self._engine.bundle.exemplars):
            return []
        segments = painting.encoded.segments
        if (strokes.where * hair.face_of(segments, strands.CELLS)).sum() < ON_FACE * strokes.where.sum():
            return []
        found = self._engine.exemplars
        if found.hair is None:
            return []
        wanted = hair.wanted(segments, strokes.where, paint.cover * paint.opaque, painting.masks.m)
        return hair.likest(found.hair, wanted)

    def _with_hair(self, way: Way) -> Reading:
        """An exemplar's hair over the photo, and over what was read of other strokes."""
        painting, paint, b = self._painting, self._painting.paint, self._painting.encoded.b
        picture = self._engine.exemplars.picture(*self._hairs[way.number % len(self._hairs)])
        n, up = len(picture), (len(picture) // len(self._b)).bit_length() - 1
        photo, finer = next(level for level in b if len(level) == n), (len(b[0]) // n).bit_length() - 1
        segments, m = painting.encoded.segments, cell_means(painting.masks.m, finer)
        where = strands.at(painting.strokes.where, len(self._b))
        others = np.clip(cell_means(paint.cover * paint.opaque, self._level) - where, 0, 1)
        base = photo
        if others.max() > 0:
            read = self._without_hair(way.looseness, where)
            base = photo + pyramid.enlarge(others[:, :, None] * (read - self._b), up)
        painted = pyramid.reduce(np.clip(b[0] + paint.fine, 0, 1).astype(np.float32), finer)
        colour = hair.evened(painted, strands.at(painting.strokes.where, n))
        spread = hair.contrast_of(photo, segments.share_at(n, *hair.OF_HAIR) * (1 - m))[2]
        share = self._engine.segment(picture).share_at(n, *hair.OF_HAIR)
        made = hair.put_on(base, picture, share, m, colour, spread)
        meant = pyramid.reduce(made, up)
        walls = dataclasses.replace(painting.strokes, hair=painting.strokes.hair[:0])
        walls = Drawn(b, paint, walls, meant, self._m, (self._seed, way.level, way.number))
        return Reading(walls.meant(meant, self._level), walls.on(pyramid.enlarge(made, finer), 0), True, walls)

    def _without_hair(self, looseness: float, where: np.ndarray) -> np.ndarray:
        """What was read, n x n x 3, with what is around it where strokes of hair are."""
        if looseness not in self._bare:
            self._bare[looseness] = fill_erased(self._interpreted(looseness)[1], where)
        return self._bare[looseness]

    def _with_strands(self, way: Way, painted: np.ndarray, meant: np.ndarray,
                      fine: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, Drawn | None]:  # fmt: skip
        """What was read, n x n x 3, and the same in detail, S x S x 3, with strokes as they look. `fine`: what is known of
        finer detail, S' x S' x 3."""
        painting, strokes = self._painting, None
        if painting.strokes:
            key = (self._seed, way.level, round(1000 * way.looseness))
            strokes = Drawn(painting.encoded.b, painting.paint, painting.strokes, meant, self._m, key)
            meant = strokes.meant(meant, self._level)
        detailed = with_strokes(meant, painted, painting, way.looseness)
        if fine is not None:
            detailed = detailed + pyramid.enlarge(fine, (len(detailed) // len(fine)).bit_length() - 1)
        return meant, strokes.on(detailed, 0) if strokes else detailed, strokes

    def _exemplar(self, number: int) -> Exemplar | None:
        if not self._invents:
            return None
        with self._lock:
            if self._found is None:
                found = self._engine.exemplars.like(self._interpreted(self._first)[1], self._m)
                enough = ENOUGH_WHERE_IT_GOES if self._sure else ENOUGH
                self._found = [one for one in found if one.fits >= enough]
        return self._found[number % len(self._found)] if self._found else None


def with_strokes(meant: np.ndarray, painted: np.ndarray, painting: Painting, looseness: float) -> np.ndarray:
    """What was read (`meant`, n x n x 3) at the model's size, with the edges of strokes that were read as `painted`."""
    b_0, paint = painting.encoded.b[0], painting.paint
    level = (len(b_0) // len(meant)).bit_length() - 1
    as_painted = np.clip(1 - np.abs(meant - painted).max(2, keepdims=True) / AS_PAINTED, 0, 1)
    as_painted *= 1 - looseness * cell_means(np.minimum(paint.cover, 1), level)[:, :, None]
    strokes = np.clip(b_0 + paint.fine, 0, 1)
    edges = strokes - pyramid.enlarge(pyramid.reduce(strokes, level), level)
    return pyramid.project(pyramid.enlarge(meant, level) + pyramid.enlarge(as_painted, level) * edges, meant)
