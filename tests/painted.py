"""A face of ellipses, and strokes on it, for tests of what strokes mean."""

from __future__ import annotations

import numpy as np

from lapcvae import pyramid
from lapcvae.encoding import EncodedPhoto
from lapcvae.masks import Paint
from lapcvae.segments import CLASSES, SIZE, Segments

LEVEL = 3
SKIN, WALL, HAIR = np.float32([0.7, 0.5, 0.4]), np.float32([0.3, 0.4, 0.5]), np.float32([0.2, 0.14, 0.1])


def ellipse(x: float, y: float, wide: float, high: float, n: int = SIZE) -> np.ndarray:
    """n x n, 1 inside."""
    at = (np.arange(n) + 0.5) / n
    return (((at[None, :] - x) / wide) ** 2 + ((at[:, None] - y) / high) ** 2 < 1).astype(np.float32)


def line(x0: float, x1: float, y: float, thick: float, n: int = SIZE) -> np.ndarray:
    """n x n, 1 on a level line."""
    at = (np.arange(n) + 0.5) / n
    return ((np.abs(at[:, None] - y) < thick / 2) & (at[None, :] > x0) & (at[None, :] < x1)).astype(np.float32)


FACE = ellipse(0.5, 0.5, 0.25, 0.35)


def segments_of(**of: np.ndarray) -> Segments:
    """Background where there is nothing else."""
    found = np.stack([of.get(name, np.zeros((SIZE, SIZE), np.float32)) for name in CLASSES], 2)
    found[:, :, 0] += 1 - found.sum(2)
    return Segments(found.astype(np.float32), CLASSES)


def photo_of(segments: Segments | None, picture: np.ndarray | None = None) -> EncodedPhoto:
    """Skin before a wall, with some noise, if no other `picture` is given."""
    if picture is None:
        noise = 0.02 * np.random.default_rng(0).standard_normal((SIZE, SIZE, 3))
        picture = np.where(FACE[:, :, None] > 0, SKIN, WALL) + noise
    picture = np.clip(picture, 0, 1).astype(np.float32)
    return EncodedPhoto(pyramid.gaussians(picture, LEVEL), [], lambda: segments)


def paint_of(photo: EncodedPhoto, where: np.ndarray, colour, opacity: float = 1.0, on_photo: bool = False) -> Paint:
    """Strokes in one colour, or one a pixel; over the coarse picture, or over the photo itself."""
    shown = photo.b[0] if on_photo else pyramid.enlarge(photo.b[LEVEL], LEVEL)
    cover = (opacity * where).astype(np.float32)
    fine = (cover[:, :, None] * (np.float32(colour) - shown)).astype(np.float32)
    nothing = np.zeros((SIZE >> LEVEL,) * 2, np.float32)
    return Paint(LEVEL, pyramid.reduce(fine, LEVEL), nothing, cover, cover, fine, on_photo)


def of_painted(photo: EncodedPhoto, paint: Paint, name: str) -> Segments:
    """What a segmenter would say if strokes look like that."""
    strokes = np.minimum(paint.cover * 2, 1)[:, :, None]
    one = np.float32([c == name for c in CLASSES])
    return Segments(photo.segments.of + strokes * (one - photo.segments.of), CLASSES)
