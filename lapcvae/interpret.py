"""What a painting means: the interpreter's answer, at the level of the pyramid that it works at.

The finer levels believe the picture that they are given; paint is cruder than any picture of a photo, with too few tones,
about where they belong, and rims of what was there before. The interpreter sees the photo around, the painting, where it
counts and how crude it is (`realism`), and says what coarse picture is likely to be meant.
"""

from __future__ import annotations

import numpy as np

from .engine import Engine


def interpreted(engine: Engine, b: np.ndarray, painted: np.ndarray, m: np.ndarray, opaque: np.ndarray,
                crudeness: np.ndarray) -> np.ndarray:  # fmt: skip
    """The meant picture, n x n x 3, sRGB in [0, 1]. `b`: the photo; `painted`: the photo with the paint on it, erased cells
    filled; `m`, `opaque`, `crudeness`: n x n in 0..1, the mask M, how much of the photo paint covers (all where it was
    rubbed out), and how far the painting is from what is meant."""
    m, opaque, crudeness = (np.asarray(plane, np.float32)[:, :, None] for plane in (m, opaque, crudeness))
    picture = np.clip(b + m * (painted - b), 0, 1).astype(np.float32)
    meant = engine.interpret(picture, m, crudeness)
    # A tint keeps what the photo shows there.
    return np.clip(picture + opaque * (meant - picture), 0, 1).astype(np.float32)
