"""What a painting means: the interpreter's answer, at the level of the pyramid that it works at.

The finer levels believe the picture that they are given; paint is cruder than any picture of a photo, with too few tones,
about where they belong, and rims of what was there before. The interpreter sees the photo around, the painting, where it
counts and how crude it is (`realism`), and says what coarse picture is likely to be meant.
"""

from __future__ import annotations

import numpy as np

from .engine import Engine


def interpreted(engine: Engine, b: np.ndarray, painted: np.ndarray, tinted: np.ndarray, m: np.ndarray, opaque: np.ndarray,
                erased: np.ndarray, realism: float) -> np.ndarray:  # fmt: skip
    """The meant picture, n x n x 3, sRGB in [0, 1]. `b`: the photo; `painted`: the painting as it is, erased cells filled;
    `tinted`: the photo with what the painting changes, which a tint leaves the photo's detail; `m`, `opaque`, `erased`:
    n x n in 0..1, the mask M, how much of the photo paint covers, and what was rubbed out."""
    m, opaque, erased = m[:, :, None], opaque[:, :, None], np.clip(erased, 0, 1)[:, :, None]
    picture = b + m * (tinted + np.maximum(opaque, erased) * (painted - tinted) - b)
    picture = np.clip(picture, 0, 1).astype(np.float32)
    crudeness = (np.maximum(realism, erased) * np.ones_like(m)).astype(np.float32)
    meant = engine.interpret(picture, m.astype(np.float32), crudeness)
    # A tint keeps what the photo shows there.
    return np.clip(picture + np.maximum(opaque, erased) * (meant - picture), 0, 1).astype(np.float32)
