"""Strokes of things whose looks are known: light, glasses, a fringe, a face behind what goes. They are made as they look,
and nothing is drawn.

A segmenter tells what strokes lie on, and what they are in the painted photo. Each module has one kind of thing: what makes
strokes one (`..._of`, None if they are none), and its `picture` by variant. `where` it counts, how much of the photo's own
detail `stays`, and whether it is `sure` that nothing else is meant, all have.
"""

from __future__ import annotations

from collections.abc import Callable

from ..encoding import EncodedPhoto
from ..engine import Engine
from ..masks import Paint
from ..segments import Segments
from .bared import Bared, bared_of
from .frames import Gone, frame_of
from .glasses import Glasses, glasses_of
from .light import Light, light_of
from .lips import Lips, lips_of
from .locks import Locks, locks_of

Known = Light | Lips | Glasses | Gone | Locks | Bared


def known_of(engine: Engine, photo: EncodedPhoto, paint: Paint, painted: Callable[[], Segments], recolours: bool,
             grow: float, seed: int) -> Known | None:  # fmt: skip
    """What strokes are of; None: nothing of that kind. `painted`: what the photo with the paint on it is of; `recolours`:
    the photo's structure shall stay."""
    for of in (lips_of, light_of) if recolours else (glasses_of, frame_of, locks_of):
        found = of(photo, paint, painted, seed)
        if found:
            return found
    return None if recolours else bared_of(engine, photo, paint, painted, grow, seed)
