"""What a painting may mean: one draw of the interpreter, at the level of the pyramid that it works on.

The finer levels believe the picture that they are given; paint is cruder than any picture of a photo, with too few tones,
about where they belong, and rims of what was there before. The interpreter sees the photo around, the painting, where it
counts and how crude it is (`realism`), and draws what is likely to be meant. Pictures are n x n x 3, sRGB in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .engine import Engine

# From this realism on, opaque paint counts as far as the interpreter follows it; below, its answer is mixed with the paint.
ITS_WORD_ALONE = 0.1


@dataclass(frozen=True)
class Interpretation:
    """What is the same for all draws: what the interpreter sees (`picture`, and `mask`, `crudeness`: n x n x 1), and
    `weight`, n x n x 1: how much of its answer counts, against the picture as it was painted."""

    picture: np.ndarray
    mask: np.ndarray
    crudeness: np.ndarray
    weight: np.ndarray

    def drawn(self, engine: Engine, eps: list[np.ndarray], temperature: float) -> np.ndarray:
        """One picture; `eps`: of every group, 1 x C x h x w."""
        made = engine.interpret(self.picture, self.mask, self.crudeness, [np.float32(temperature) * part for part in eps])
        return np.clip(self.picture + self.weight * (made - self.picture), 0, 1).astype(np.float32)


def interpretation(b: np.ndarray, painted: np.ndarray, tinted: np.ndarray, m: np.ndarray, opaque: np.ndarray,
                   erased: np.ndarray, realism: float) -> Interpretation:  # fmt: skip
    """`b`: the photo; `painted`: the painting as it is, erased cells filled; `tinted`: the photo with what the painting
    changes, which a tint leaves the photo's detail; `m`, `opaque`, `erased`: n x n in 0..1, the mask M, how much of the
    photo paint covers, and what was rubbed out."""
    m, opaque, erased = m[:, :, None], opaque[:, :, None], np.clip(erased, 0, 1)[:, :, None]
    picture = b + m * (tinted + np.maximum(opaque, erased) * (painted - tinted) - b)
    crudeness = np.maximum(np.float32(realism), erased) * np.ones_like(m)
    weight = np.maximum(min(1.0, realism / ITS_WORD_ALONE) * opaque, erased) * (m > 0)
    return Interpretation(*(v.astype(np.float32) for v in (np.clip(picture, 0, 1), m, crudeness, weight)))
