"""Results of the runtime as layers of the image, each in one undo step."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator

import layers
import records
from gi.repository import Gimp
from images import one_undo_step, show
from records import Asked, CoarseRecord, Source
from words import _

from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Box
from lapcvae.protocol.messages import Array, Coarse, CoarseRequest, Prepared, Variant


def put_coarse(
    image: Gimp.Image, photo: Gimp.Layer, base: Gimp.Layer, coarse: Coarse, request: CoarseRequest, reads: str,
    hide: list[Gimp.Layer],
) -> Gimp.Layer:  # fmt: skip
    """The layer to paint on, directly above `base`. `reads`: what the photo was read from; `hide` is hidden."""
    layer = _new_layer(
        image, _("Coarse, {count} cells across: paint here").format(count=coarse.b_j.shape[1]), coarse.box, photo, True
    )
    mark = records.mark_of(image)
    new_mark = mark or records.new_mark()
    with _deleted_on_failure([layer]):
        layers.write_srgb(layer, coarse.shown)
        records.attach(layer, CoarseRecord.of(coarse, request, photo, layer, reads, new_mark))
        records.attach_shown(layer, coarse.shown)
    with one_undo_step(image):
        if not mark:
            records.attach_mark(image, new_mark)
        for hidden in hide:
            show(hidden, False)
        _insert(image, layer, base.get_parent(), image.get_item_position(base))
    return layer


def put_variants(
    image: Gimp.Image, photo: Gimp.Layer, base: Gimp.Layer, prepared: Prepared, variants: Iterable[Variant], asked: Asked,
    hide: Callable[[], list[Gimp.Layer]],
) -> Gimp.GroupLayer:  # fmt: skip
    """A group directly above `base`; in it the variants, the first on top and the only visible one.

    `variants` may still be arriving: each becomes a layer outside the image at once, and only when the last one is there the
    image is changed. What `hide` gives then is hidden.
    """
    alpha = photo.has_alpha() or asked.source == "visible"
    new, own = [_new_layer(image, "", prepared.box, photo, alpha)], []
    with _deleted_on_failure(new):
        mask = _add_mask(new[0], prepared)
        for variant in variants:
            if own:
                # Mask and place with it; in GIMP both then share the mask's pixels.
                new.append(new[0].copy())
            layer = new[-1]
            layer.set_name(_("Variant {number}").format(number=variant.index + 1))
            layer.set_visible(not own)
            layers.write_native(layer, variant.pixels)
            own.append(
                {"index": variant.index, "seed": variant.seed, "content": layers.fingerprint(layer, variant.pixels, mask)}
            )
        covered = hide()
    common = {
        "source": dataclasses.asdict(Source.of(photo)),
        "made": time.time(),
        "settings": dataclasses.asdict(asked.settings),
        "asked": {name: value for name, value in dataclasses.asdict(asked).items() if name != "settings"},
        "level": prepared.level,
        "model": prepared.model,
        "model_hash": prepared.model_hash,
        "provider": prepared.provider,
    }
    with one_undo_step(image):
        group = Gimp.GroupLayer.new(image, _("Variants of {layer}").format(layer=photo.get_name()))
        _insert(image, group, base.get_parent(), image.get_item_position(base))
        for position, (layer, facts) in enumerate(zip(new, own, strict=True)):
            _insert(image, layer, group, position)
            records.seal(layer, photo, common, facts)
        records.seal(group, photo, common, {})
        for hidden in covered:
            show(hidden, False)
        # GIMP selects what is inserted last; the one that is seen is what the user will paint on or keep.
        image.set_selected_layers(new[:1])
    return group


def _new_layer(image: Gimp.Image, name: str, box: Box, photo: Gimp.Layer, alpha: bool) -> Gimp.Layer:
    """A layer over `box` of the photo, not yet in the image.

    It has to be filled and moved before it is inserted: in a group whose content or position is locked, GIMP does neither,
    and ends a plug-in that tries to write.
    """
    kinds = {
        (Gimp.ImageBaseType.RGB, False): Gimp.ImageType.RGB_IMAGE,
        (Gimp.ImageBaseType.RGB, True): Gimp.ImageType.RGBA_IMAGE,
        (Gimp.ImageBaseType.GRAY, False): Gimp.ImageType.GRAY_IMAGE,
        (Gimp.ImageBaseType.GRAY, True): Gimp.ImageType.GRAYA_IMAGE,
    }
    kind = kinds[image.get_base_type(), alpha]
    layer = Gimp.Layer.new(image, name, box.width, box.height, kind, 100.0, Gimp.LayerMode.NORMAL)
    x, y = layers.offsets(photo)
    layer.set_offsets(x + box.x, y + box.y)
    return layer


def _add_mask(layer: Gimp.Layer, prepared: Prepared) -> Array:
    """Give the new layer M as its mask; the mask's own pixels."""
    mask = layer.create_mask(Gimp.AddMaskType.BLACK)
    layer.add_mask(mask)
    layers.write_mask(mask, prepared.mask)
    # Painting goes to the picture unless the user clicks the mask.
    layer.set_edit_mask(False)
    return layers.read_native(mask, Box(0, 0, mask.get_width(), mask.get_height()))


@contextlib.contextmanager
def _deleted_on_failure(new: list[Gimp.Layer]) -> Iterator[None]:
    """For layers that are not in the image yet: nothing else would ever free them."""
    try:
        yield
    except BaseException:
        for layer in new:
            # It is gone with its image if that was closed.
            if layer.is_valid():
                layer.delete()
        raise


def _insert(image: Gimp.Image, layer: Gimp.Layer, parent: Gimp.Layer | None, position: int) -> None:
    if not image.insert_layer(layer, parent, position):
        raise LapcvaeError(
            _('GIMP does not let the layer "{layer}" into the image.').format(layer=layer.get_name()),
            _("Look at its message, then try again."),
        )
