"""The asking side of an edit on files: the command line's `Host`, and what it makes of the results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from .photo import Colours, PhotoFile
from .protocol.geometry import Box
from .protocol.messages import Array, Coarse, Photo, Prepared, Variant
from .service import from_array, to_array

Result = Coarse | Prepared | Variant


class Painted(Protocol):
    """A painting as it lies over the photo."""

    def over(self, box: Box) -> np.ndarray:
        """H x W x 4 sRGB with straight alpha, u1 or f4, over `box` in photo pixels; transparent where it is not."""


def ignore(*_) -> None:
    """For results and progress that nobody wants."""


class FileHost:
    """Answers the runtime's questions from arrays; implements `lapcvae.protocol.host.Host`.

    `on_result` and `on_progress` take what comes; `stop` says whether the user wants no more.
    """

    def __init__(self, photo: PhotoFile, colours: Colours, painting: Painted | None = None,
                 on_result: Callable[[Result], None] = ignore, on_progress: Callable[[float, str], None] = ignore,
                 stop: Callable[[], bool] = lambda: False):  # fmt: skip
        self._photo, self._colours, self._painting = photo, colours, painting
        self.result, self.progress, self.cancelled = on_result, on_progress, stop

    def pixels(self, what: str, box: Box) -> Array:
        if what == "photo":
            return to_array(photo_pixels(self._photo, box))
        if what == "painting" and self._painting:
            return to_array(self._painting.over(box))
        raise ValueError(f"nobody has pixels of the kind {what}")

    def colours(self, to: str, pixels: Array) -> Array:
        values = np.ascontiguousarray(from_array(pixels))
        return to_array(self._colours.to_model(values) if to == "model" else self._colours.to_photo(values))


def photo_on_the_wire(photo: PhotoFile) -> Photo:
    return Photo(photo.size, photo.format_on_the_wire)


def photo_pixels(photo: PhotoFile, box: Box) -> np.ndarray:
    """Native pixels over a box inside the photo (a view)."""
    if not photo.size.box.contains(box):
        raise ValueError(f"{box} reaches beyond the photo")
    return photo.pixels[box.y : box.bottom, box.x : box.right]


def blend(photo: np.ndarray, variant: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """photo + M (variant - photo), H x W x C in the photo's type; its very bits where M is 0 or nothing differs.

    `mask` is H x W x 1 in 0..1. Integers are rounded.
    """
    difference = variant.astype(np.float32) - photo.astype(np.float32)
    mixed = photo.astype(np.float32) + mask * difference
    if photo.dtype.kind == "u":
        mixed = np.clip(np.rint(mixed), 0, np.iinfo(photo.dtype).max)
    mixed = np.where(mask >= 1, variant, mixed.astype(photo.dtype))
    return np.where((mask <= 0) | (variant == photo), photo, mixed)
