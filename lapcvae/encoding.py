"""A photo's square as a model sees it: its levels and their latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from . import noise, pyramid
from .engine import Engine, Posterior
from .segments import Segments


@dataclass(frozen=True)
class EncodedPhoto:
    """b_0 .. b_K of the photo's square and q_k at every level, u taken from the photo itself. `segment` says what each pixel
    is of, if the model knows."""

    b: list[np.ndarray]
    posteriors: list[list[Posterior]]
    segment: Callable[[], Segments | None] = lambda: None

    @cached_property
    def segments(self) -> Segments | None:
        """What each pixel is of; looked at when first asked for."""
        return self.segment()


def encode(engine: Engine, b_0: np.ndarray) -> EncodedPhoto:
    """K + 1 encoder runs; `b_0` is S x S x 3."""
    K = engine.bundle.K
    b = pyramid.gaussians(np.ascontiguousarray(b_0, np.float32), K)
    posteriors = [engine.encode(k, b[k], pyramid.u(b[k + 1]) if k < K else None) for k in range(K + 1)]
    return EncodedPhoto(b, posteriors, partial(segmented, engine, b))


def segmented(engine: Engine, b: list[np.ndarray], change: np.ndarray | None = None) -> Segments | None:
    """What each pixel of a photo, b_0 .. b_K, is of, after a `change` to b_0 if there is one; None: the model knows not."""
    found = engine.bundle.segmenter
    if found is None:
        return None
    picture = next(v for v in b if len(v) == found.size)
    if change is not None:
        picture = np.clip(picture + pyramid.reduce(change, (len(change) // len(picture)).bit_length() - 1), 0, 1)
    return engine.segment(picture)


def reconstruct(engine: Engine, encoded: EncodedPhoto, temperature: float = 0.0, key: tuple = (0,)) -> np.ndarray:
    """The photo from its latents alone, whole chain; used to judge a model and by the tests.

    Only `posteriors` are used: with another photo's b in `encoded` the result is the same.
    """
    x = statistics = u = None
    for k in range(engine.bundle.K, -1, -1):
        level = engine.bundle.levels[k]
        posterior = encoded.posteriors[k]
        z = [q.mu + temperature * np.exp(q.log_sigma) * noise.gaussian(q.mu.shape, *key, k, i)
             for i, q in enumerate(posterior)]  # fmt: skip
        nothing = [np.zeros_like(q.mu) for q in posterior]
        off = [np.zeros((1, 1, *q.mu.shape[2:]), np.float32) for q in posterior]
        x = engine.decode(k, z, off, nothing, 0.0, u, statistics)
        if k:
            statistics = engine.encode(k, x, u)[-1].statistics
            u = pyramid.u(x)
        assert x.shape[0] == level.size
    return x
