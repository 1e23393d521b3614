"""GIMP's side of a conversation: the runtime's questions answered from layers."""

from __future__ import annotations

import layers
import places
import records
import seen
from gi.repository import Gimp
from records import CoarseRecord
from words import translated

from lapcvae.protocol.geometry import Box
from lapcvae.protocol.messages import Array


class LayerHost:
    """`lapcvae.protocol.host.Host` for a photo layer and what is painted in another one.

    Boxes are in the photo layer's pixels; every other layer has a place of its own in the image.
    """

    def __init__(self, image: Gimp.Image, photo: Gimp.Layer, painting: Gimp.Layer | None, dtype: str,
                 record: CoarseRecord | None = None, below: Gimp.Layer | None = None):  # fmt: skip
        """`dtype`: what the painting is read in; `record`: of the painting, where it is a coarse layer; `below`: the
        topmost layer of what is seen, where that is read in place of the photo layer's own pixels."""
        self._image = image
        self._photo = photo
        self._painting = painting
        self._dtype = dtype
        self._record = record
        self._below = below
        self._mask_dtype = layers.mask_dtype(photo)

    def pixels(self, what: str, box: Box) -> Array:
        if what == "photo" and self._below:
            return seen.read_native(self._image, self._below, self._moved(box, (0, 0)))
        if what == "photo":
            return layers.read_native(self._photo, box)
        if what == "painting" and self._painting is not None:
            return self._read_painting(box)
        if what == "selection":
            return layers.read_mask(self._image.get_selection(), self._moved(box, (0, 0)), self._mask_dtype)
        raise ValueError(f"There are no pixels of the kind {what!r}.")

    def _read_painting(self, box: Box) -> Array:
        there = self._moved(box, layers.offsets(self._painting))
        shown = records.shown(self._painting, self._record) if self._record else None
        # Colours > Curves and the like on the painting are filters as long as the user does not merge them.
        with layers.with_filters(self._painting) as painting:
            pixels = layers.read_srgb(painting, there, self._dtype)
            if shown is None:
                return pixels
            at = places.place(self._record, self._painting, self._photo, self._image).box
            return shown.restored(pixels, layers.read_native(painting, there), box, at)

    def colours(self, to: str, pixels: Array) -> Array:
        convert = {"model": layers.to_model, "photo": layers.to_photo}[to]
        return convert(self._photo, pixels)

    def progress(self, done: float, text: str) -> None:
        Gimp.progress_set_text(translated(text))
        Gimp.progress_update(done)

    def result(self, message) -> None:
        """Results are collected by whoever reads the conversation."""

    def cancelled(self) -> bool:
        # GIMP's own Cancel ends the plug-in's process; the worker notices that the connection is closed.
        return False

    def _moved(self, box: Box, origin: tuple[int, int]) -> Box:
        """A box of the photo in the pixels of an item whose corner is at `origin` of the image."""
        x, y = layers.offsets(self._photo)
        return Box(box.x + x - origin[0], box.y + y - origin[1], box.width, box.height)
