"""The shade that a thing casts on what is just behind it."""

from __future__ import annotations

import numpy as np

from ..windows import window_mean


def shade(thing: np.ndarray, falls: float, soft: float) -> np.ndarray:
    """S x S in 0..1, of a `thing` (S x S in 0..1): it falls so far down and is so soft, as shares of the side."""
    down, radius = (max(1, round(share * len(thing))) for share in (falls, soft))
    fallen = np.pad(thing, ((down, 0), (0, 0)), mode="edge")[: len(thing)]
    return window_mean(window_mean(fallen, radius), radius).astype(np.float32)
