"""What each pixel of a picture is of, as a segmenter sees it, and which of that strokes are meant for.

A bundle may have a segmenter, a network that says how likely each pixel is hair, skin, a hat and so on
(`training.segmenter`). Some of these end where they end: who paints over hair and some of the forehead means the hair. Skin
and clothes go on under whatever lies on them, which no class may be for: there colours tell more (`lapcvae.meant`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import pyramid
from .ramps import rises

# Pixels a side of the pictures that it looks at, and what it tells apart.
SIZE = 128
BACKGROUND = "background"
CLASSES = (BACKGROUND, "skin", "hair", "clothes", "hat", "glasses", "beard", "eyes", "mouth")
# Those that end where they end.
APART = (BACKGROUND, "hair", "hat", "glasses", "beard", "mouth")
OF_FACE = ("skin", "beard", "eyes", "mouth")
# What is under the middles of strokes is meant if it is such a share of what most of it is: none of it below, all above.
SOME = (0.3, 0.5)
# Less likely to be background than the first number is none, more than the second may be, if its colours say so.
UNSURE = (0.05, 0.3)
# One that ends where it ends comes first if it is at least so much of the others, all together.
FIRST = 0.8


@dataclass(frozen=True)
class Segments:
    """`of`: how likely each pixel is of each of the `classes`, n x n x C in 0..1."""

    of: np.ndarray
    classes: tuple[str, ...]

    def at(self, n: int) -> Segments:
        """The same for n x n pixels, or fewer if it has fewer."""
        return Segments(pyramid.reduce(self.of, max(0, (len(self.of) // n).bit_length() - 1)), self.classes)

    def share_of(self, *names: str) -> np.ndarray:
        """How likely each pixel is of one of those classes, n x n; of one that it does not know, not at all."""
        return sum((self.of[:, :, self.classes.index(name)] for name in names if name in self.classes),
                   start=np.zeros(self.of.shape[:2], np.float32))  # fmt: skip

    def share_at(self, size: int, *names: str) -> np.ndarray:
        """The same, of each of `size` x `size` pixels."""
        share, up = self.at(size).share_of(*names), size // min(size, len(self.of))
        return np.clip(pyramid.enlarge(share[:, :, None], up.bit_length() - 1)[:, :, 0], 0, 1)


@dataclass(frozen=True)
class Meant:
    """What strokes are meant for: `share`, n x n in 0..1. `behind`: that is the background."""

    share: np.ndarray
    behind: bool

    def with_colours(self, share: np.ndarray) -> np.ndarray:
        """Together with the share that colours tell, n x n, so that nothing of it is left."""
        if not self.behind:
            return np.maximum(self.share, share)
        # Things that stand there may look like a hat, but not surely.
        return self.share + (1 - self.share) * share * rises(self.share, UNSURE)


def meant_of(segments: Segments, middles: np.ndarray, n: int, one: bool) -> Meant | None:
    """`middles`: how much each pixel lies in the middle of strokes, m x m. `one`: only one class is meant. None: it is none
    of those that end where they end, or nothing is known of what is there."""
    m = len(middles)
    under = np.tensordot(middles, segments.at(m).of, 2)
    if under.sum() <= 0:
        return None
    under = under / under.sum()
    apart = np.array([name in APART for name in segments.classes])
    best = np.where(apart, under, 0).max()
    if best < FIRST * under[~apart].sum():
        return None
    # What is behind all others is meant alone or not at all.
    background = np.array([name == BACKGROUND for name in segments.classes])
    behind = bool((background & (under == best)).any())
    apart &= (under == best) if one or behind else ~background
    weights = np.where(apart, rises(under / best, SOME), 0)
    return Meant(segments.at(n).of @ weights.astype(np.float32), behind)
