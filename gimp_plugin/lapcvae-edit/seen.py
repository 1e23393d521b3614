"""What is seen of a layer: with its filters, mask, mode and opacity, over the layers below, without what we added."""

from __future__ import annotations

import layers
import records
from gi.repository import Gimp
from images import every_layer

from lapcvae.protocol.geometry import Box
from lapcvae.protocol.messages import Array, Photo, PixelFormat


def photo_of(layer: Gimp.Layer) -> Photo:
    """What is seen always has alpha."""
    plain = layers.photo_of(layer)
    return Photo(plain.size, PixelFormat(plain.format.colour, True, plain.format.dtype))


def read_native(image: Gimp.Image, layer: Gimp.Layer, box: Box) -> Array:
    """H x W x channels in the image's format with alpha, over `box` of the image: what is directly below a layer that
    would be put above `layer`.

    Layers above are left out, since they change what we add as they change the photo; so are coarse layers and groups of
    variants. In a group that is mixed by itself, only that group counts.
    """
    # GIMP can mix what an image shows, but only of a whole image, so a copy (that shares its pixels) is cut to the box.
    copy = image.duplicate()
    try:
        copy.undo_disable()
        _leave_only(copy, every_layer(copy)[every_layer(image).index(layer)])
        copy.resize(box.width, box.height, -box.x, -box.y)
        mixed = Gimp.Layer.new_from_visible(copy, copy, "seen")
        try:
            return layers.read_native(mixed, Box(0, 0, box.width, box.height))
        finally:
            mixed.delete()
    finally:
        copy.delete()


def _leave_only(image: Gimp.Image, layer: Gimp.Layer) -> None:
    for other in every_layer(image):
        if records.added(other):
            _show(other, False)
    alone = False
    while layer is not None:
        parent = layer.get_parent()
        siblings = parent.get_children() if parent else image.get_layers()
        own = siblings.index(layer)
        for other in siblings[:own] + siblings[own + 1 :] * alone:
            _show(other, False)
        _show(layer, True)
        if parent is not None:
            _make_plain(parent)
            alone = alone or parent.get_mode() != Gimp.LayerMode.PASS_THROUGH
        layer = parent


def _make_plain(group: Gimp.GroupLayer) -> None:
    """Whatever is put into the group will go through all this too, so it must not count twice."""
    group.set_opacity(100.0)
    if group.get_mode() != Gimp.LayerMode.PASS_THROUGH:
        group.set_mode(Gimp.LayerMode.NORMAL)
    if group.get_mask():
        group.set_apply_mask(False)
    for effect in group.get_filters():
        effect.delete()


def _show(layer: Gimp.Layer, visible: bool) -> None:
    layer.set_lock_visibility(False)
    layer.set_visible(visible)
    if layer.get_mask():
        layer.set_show_mask(False)
