"""Going through the variants of a group, and keeping one of them."""

from __future__ import annotations

import chosen
import records
from gi.repository import Gimp
from images import one_undo_step, show
from words import _

from lapcvae.protocol.errors import LapcvaeError


def step(image: Gimp.Image, drawables: list, by: int) -> Gimp.Layer:
    """Show the next (`by` 1) or previous (-1) variant, and only that one; after the last comes the first."""
    selected = chosen.one_layer(image, drawables)
    group = chosen.group_of(image, selected)
    variants = chosen.variants(group)
    shown = [i for i, layer in enumerate(variants) if layer.get_visible()]
    if not shown:
        position = 0 if by > 0 else len(variants) - 1
    else:
        # With several visible, the selected one counts as the present one.
        here = next((i for i in shown if variants[i] == selected), shown[0])
        position = (here + by) % len(variants)
    with one_undo_step(image):
        for i, layer in enumerate(variants):
            show(layer, i == position)
        show(group, True)
        image.set_selected_layers([variants[position]])
    return variants[position]


def keep(image: Gimp.Image, drawables: list) -> Gimp.Layer:
    """Put one variant directly above the photo and remove the others, but none that the user changed.

    Coarse layers are hidden, for what is painted on them would cover what is kept; they stay, because Generate Again
    reads them.
    """
    selected = chosen.one_layer(image, drawables)
    if not selected.is_group() and records.variant_source(selected) and not _in_group(selected):
        raise LapcvaeError(
            _('"{layer}" is kept already, or was taken out of its group of variants.').format(layer=selected.get_name()),
            _("Select another variant, or the group it is in, to keep that."),
        )
    group = chosen.group_of(image, selected)
    variants = chosen.variants(group)
    kept = selected if selected in variants else _only_visible(group, variants)
    photo = records.variant_source(group).locate(image)
    others = [layer for layer in variants if layer != kept]
    # All reading comes before the first change.
    changed = [layer for layer in others if records.changed(layer, photo)]
    own_look = records.changed_group(group)
    below = chosen.base(image, photo, records.asked(group).source) if photo else group
    coarse = chosen.coarse_layers(image, photo) if photo else []
    with one_undo_step(image):
        image.reorder_item(kept, below.get_parent(), image.get_item_position(below))
        show(kept, True)
        for layer in others:
            if layer in changed:
                show(layer, False)
            else:
                image.remove_layer(layer)
        if not group.get_children() and not own_look:
            image.remove_layer(group)
        for layer in coarse:
            show(layer, False)
        image.set_selected_layers([kept])
    return kept


def _in_group(variant: Gimp.Layer) -> bool:
    parent = variant.get_parent()
    return parent is not None and records.variant_source(parent) is not None


def _only_visible(group: Gimp.GroupLayer, variants: list[Gimp.Layer]) -> Gimp.Layer:
    visible = [layer for layer in variants if layer.get_visible()]
    if len(visible) != 1:
        several = _('{count} variants of the group "{group}" are visible.')
        none = _('No variants of the group "{group}" are visible.')
        raise LapcvaeError(
            (several if visible else none).format(count=len(visible), group=group.get_name()),
            _("Select the variant to keep, then try again."),
        )
    return visible[0]
