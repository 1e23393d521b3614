"""What every command needs of an image: all its layers, and one undo step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from gi.repository import Gimp


def every_layer(image: Gimp.Image) -> list[Gimp.Layer]:
    """Every layer and layer group, from top to bottom; a group comes directly before what is in it."""

    found, waiting = [], list(image.get_layers())
    while waiting:
        layer = waiting.pop(0)
        found.append(layer)
        if layer.is_group():
            waiting[:0] = layer.get_children()
    return found


def all_layers(image: Gimp.Image) -> list[Gimp.Layer]:
    """Every layer that holds pixels, from top to bottom, those in groups included."""
    return [layer for layer in every_layer(image) if not layer.is_group()]


def show(layer: Gimp.Layer, visible: bool) -> None:
    """Show or hide one of our own layers, also where its visibility is locked, which it then is again."""
    if layer.get_visible() == visible:
        return
    locked = layer.get_lock_visibility()
    if locked:
        layer.set_lock_visibility(False)
    layer.set_visible(visible)
    if locked:
        layer.set_lock_visibility(True)


@contextlib.contextmanager
def one_undo_step(image: Gimp.Image) -> Iterator[None]:
    """Everything inside is one Ctrl+Z; layers that a failure leaves behind are taken away again."""
    before = {layer.get_id() for layer in every_layer(image)}
    image.undo_group_start()
    try:
        yield
    except BaseException:
        for layer in every_layer(image):
            # A group takes its children with it.
            if layer.get_id() not in before and layer.is_valid():
                image.remove_layer(layer)
        raise
    finally:
        image.undo_group_end()
        Gimp.displays_flush()
