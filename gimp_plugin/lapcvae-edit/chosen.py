"""Which layers a command is about, from the one that is selected."""

from __future__ import annotations

import contextlib

import layers
import records
from gi.repository import Gimp
from images import all_layers, every_layer
from words import _

from lapcvae.protocol.errors import LapcvaeError

# How GIMP calls the channel that is there while the quick mask is on.
QUICK_MASK = "Qmask"
# Strokes leave at least as much of their layer free.
MOSTLY = 0.5


def one_layer(image: Gimp.Image | None, drawables: list) -> Gimp.Layer:
    """The one selected layer or group, also where its mask is selected; or what is in the way."""
    if image is None:
        raise LapcvaeError(_("No image is open."), _("Open a photo, then choose this menu entry again."))
    if len(drawables) != 1:
        several = _("{count} layers are selected.").format(count=len(drawables))
        found = several if drawables else _("No layer is selected.")
        raise LapcvaeError(found, _("Select the one photo layer (or its coarse layer), then try again."))
    drawable = drawables[0]
    layer = Gimp.Layer.from_mask(drawable) if isinstance(drawable, Gimp.LayerMask) else drawable
    if not isinstance(layer, Gimp.Layer):
        raise _no_layer(drawable)
    return layer


def editable_layer(image: Gimp.Image | None, drawables: list) -> Gimp.Layer:
    """The one selected layer that a photo can be found from, in an image that can be edited."""
    if image is not None:
        _require_plain_editing(image)
    layer = one_layer(image, drawables)
    if image.get_base_type() == Gimp.ImageBaseType.INDEXED:
        raise LapcvaeError(
            _("This image has indexed colours, which cannot hold new ones."), _("Choose Image > Mode > RGB, then try again.")
        )
    if not records.remembers(layer):
        if layer.is_group():
            raise LapcvaeError(
                _('"{layer}" is a layer group.').format(layer=layer.get_name()),
                _("Select the photo layer in it, then try again."),
            )
    return layer


def _require_plain_editing(image: Gimp.Image) -> None:
    """What would get between the photo and what is put above it."""
    if image.get_floating_sel() is not None:
        raise LapcvaeError(
            _("A floating selection is waiting for its place."),
            _("Anchor it (Layer > Anchor Floating Selection) or make it a layer (Layer > To New Layer), then try again."),
        )
    if any(channel.get_name() == QUICK_MASK for channel in image.get_channels()):
        raise LapcvaeError(
            _("The quick mask is on, so what is painted goes into it."),
            _("Turn it off (Select > Toggle Quick Mask), then try again."),
        )


def _no_layer(drawable: Gimp.Drawable) -> LapcvaeError:
    return LapcvaeError(
        _('"{item}" is a mask or channel, not a layer.').format(item=drawable.get_name()),
        _("Click the photo layer's picture, then try again."),
    )


def source_of(layer: Gimp.Layer) -> records.Source | None:
    """The photo that a coarse layer, a variant or a group of variants was made from; None for any other layer."""
    record = records.coarse_record(layer)
    return record.source if record else records.variant_source(layer)


def photo(image: Gimp.Image, selected: Gimp.Layer) -> Gimp.Layer:
    """The photo layer: the selected one, the one that a selected coarse layer or variant belongs to, or the one that a
    selected layer of strokes was painted over."""
    source = source_of(selected)
    return source.find(image) if source else _under_strokes(image, selected) or selected


def _under_strokes(image: Gimp.Image, selected: Gimp.Layer) -> Gimp.Layer | None:
    """The photo that the selected layer was painted over, if that is one of strokes: mostly transparent, nothing was made
    from it, and below it is a picture."""
    # Text, vector and link layers are layers of their own classes: nobody paints strokes there.
    if type(selected) is not Gimp.Layer or records.remembers(selected) or coarse_layers(image, selected):
        return None
    if not _mostly_transparent(selected):
        return None
    there = all_layers(image)
    below = there[there.index(selected) + 1 :]
    return next((x for x in below if not records.remembers(x) and not _mostly_transparent(x)), None)


def _mostly_transparent(layer: Gimp.Layer) -> bool:
    return layers.opaque_share(layer) < MOSTLY


def _belonging(image: Gimp.Image, photo_layer: Gimp.Layer, parasite: str) -> list[Gimp.Layer]:
    """The layers and groups that remember, under this name, to belong to the photo, from top to bottom."""
    found, pictures = [], records.pictures(image)
    for layer in every_layer(image):
        # The source is looked for, not compared: a duplicated image has new tattoos. What cannot be read is passed by.
        with contextlib.suppress(LapcvaeError):
            if layer.get_parasite(parasite) and (source := source_of(layer)) and source.among(pictures) == photo_layer:
                found.append(layer)
    return found


def coarse_layers(image: Gimp.Image, photo_layer: Gimp.Layer) -> list[Gimp.Layer]:
    """From top to bottom, and last those that were copied from another image."""
    return sorted(_belonging(image, photo_layer, records.COARSE), key=lambda x: records.coarse_record(x).copied_to(image))


def made_from(image: Gimp.Image, photo_layer: Gimp.Layer) -> list[Gimp.Layer]:
    """All variants of the photo and their groups, kept ones too, the newest first."""
    return sorted(_belonging(image, photo_layer, records.VARIANT), key=records.made, reverse=True)


def groups(image: Gimp.Image, photo_layer: Gimp.Layer) -> list[Gimp.GroupLayer]:
    """The photo's groups of variants, the newest first."""
    return [layer for layer in made_from(image, photo_layer) if layer.is_group()]


def reads(image: Gimp.Image, photo_layer: Gimp.Layer, source: str) -> str:
    """What is to be read of the photo, "layer" or "visible". "auto": what is visible once a variant was kept above it, so
    that the next edit goes on from there; else the layer."""
    if source != "auto":
        return source
    return "layer" if base(image, photo_layer, "visible") == photo_layer else "visible"


def covering(image: Gimp.Image, photo_layer: Gimp.Layer) -> list[Gimp.Layer]:
    """What would cover new layers above the photo: its coarse layers and groups of variants, but for those that the photo
    was put into."""
    around, parent = [], photo_layer.get_parent()
    while parent is not None:
        around.append(parent)
        parent = parent.get_parent()
    return [x for x in (*coarse_layers(image, photo_layer), *groups(image, photo_layer)) if x not in around]


def base(image: Gimp.Image, photo_layer: Gimp.Layer, source: str) -> Gimp.Layer:
    """What new layers are put directly above, and the top of what is seen: the photo; when what is visible counts
    (`source` "visible"), the topmost variant of it that was kept there and is visible."""
    if source != "visible":
        return photo_layer
    parent = photo_layer.get_parent()
    beside = parent.get_children() if parent else image.get_layers()
    above = beside[: beside.index(photo_layer)]
    kept = [x for x in made_from(image, photo_layer) if x in above and not x.is_group() and x.get_visible()]
    return min(kept, key=above.index, default=photo_layer)


def painting(image: Gimp.Image, selected: Gimp.Layer, photo_layer: Gimp.Layer) -> Gimp.Layer:
    """The layer that was painted on: the selected coarse layer or strokes, else the topmost coarse layer of this photo."""
    if records.coarse_record(selected) or not (selected == photo_layer or records.remembers(selected)):
        return selected
    found = coarse_layers(image, photo_layer)
    if not found and selected == photo_layer:
        # A coarse layer whose photo cannot be found by itself: the selection says which layer it is.
        lost = [x for x in all_layers(image) if (r := records.coarse_record(x)) and r.source.locate(image) is None]
        found = lost if len(lost) == 1 else []
    if not found:
        raise LapcvaeError(
            _('The layer "{layer}" has no coarse layer.').format(layer=photo_layer.get_name()),
            _("Choose Filters > LapCVAE > Make Coarse Layer, paint on the new layer, then generate variants."),
        )
    return found[0]


def paintings(image: Gimp.Image, photo_layer: Gimp.Layer) -> list[Gimp.Layer]:
    """What may have been painted on: the coarse layers of the photo, then the layers with alpha above it."""
    there = all_layers(image)
    above = there[: there.index(photo_layer)]
    strokes = [layer for layer in above if layer.has_alpha() and not records.remembers(layer)]
    return [*coarse_layers(image, photo_layer), *strokes]


def group_of(image: Gimp.Image, selected: Gimp.Layer) -> Gimp.GroupLayer:
    """The group of variants: the selected one, that of a selected variant, else the photo's newest visible one."""
    for layer in (selected, selected.get_parent()):
        if layer is not None and layer.is_group() and records.variant_source(layer):
            return layer
    source = source_of(selected)
    photo_layer = source.locate(image) if source else selected
    found = groups(image, photo_layer) if photo_layer else []
    if not found:
        name = (photo_layer or selected).get_name()
        raise LapcvaeError(
            _('The layer "{layer}" has no variants.').format(layer=name),
            _(
                "Select the photo layer, a variant or their group; or paint on the photo's coarse layer and choose "
                "Filters > LapCVAE > Generate Variants."
            ),
        )
    return next((group for group in found if group.get_visible()), found[0])


def variants(group: Gimp.GroupLayer) -> list[Gimp.Layer]:
    """The variants in a group, from top to bottom; other layers that the user put there are none."""
    found = [layer for layer in group.get_children() if not layer.is_group() and records.variant_source(layer)]
    if not found:
        raise LapcvaeError(
            _('The group "{group}" holds no variants any more.').format(group=group.get_name()),
            _("Select the photo layer and choose Filters > LapCVAE > Generate Variants."),
        )
    return found


def layer_like(image: Gimp.Image, source: records.Source) -> Gimp.Layer | None:
    """The layer that was painted on, coarse or strokes; None if it is gone."""
    return source.among([x for x in all_layers(image) if not records.variant_source(x)])
