# Runs inside GIMP after inside.py: the whole way from a photo layer to a variant, and what came of it.
COARSE, GENERATE = "plug-in-lapcvae-coarse", "plug-in-lapcvae-generate"
COLOUR = (0.1, 0.05, 0.4)


def whole_way(made, source="layer", untouched=False, change=lambda photo: None):
    """Coarse layer, paint, variants; `made`: (image, photo) or (image, photo, what is selected)."""
    image, photo, *selected = made
    facts = {"before": digest(photo), "format": Babl.get_name(photo.get_format())}
    alone = flattened(image)
    status, message, coarse = call(COARSE, image, selected or [photo], level=2, source=source)
    assert status == "SUCCESS", message
    if untouched:
        facts["untouched"] = call(GENERATE, image, [coarse], count=1)[1]
    x, y = offset_of(coarse)
    painted = (x + coarse.get_width() // 2 - 15, y + coarse.get_height() // 2 - 12, 30, 24)
    paint(image, coarse, painted, COLOUR)
    change(photo)
    status, message, group = call(GENERATE, image, [coarse], count=1, seed=5)
    assert status == "SUCCESS", message
    [variant] = group.get_children()
    mask, (left, top) = variant.get_mask(), offset_of(variant)
    facts |= {
        "after": digest(photo),
        "compare": compare(image, group),
        "on paint": min(floats(mask, "Y float", (painted[0] - left, painted[1] - top, *painted[2:]))),
        "above": image.get_item_position(group) == image.get_item_position(photo) - 1,
        "beside": group.get_parent() == photo.get_parent(),
        "variant": Babl.get_name(variant.get_format()),
        "reads": json.loads(bytes(group.get_parasite("lapcvae-variant").get_data()))["asked"]["source"],
    }
    # Without what we added the image is what it was.
    facts["same without"] = flattened(image, [group.get_name()]) == alone
    # The corner of a variant lies outside the mask: there it holds what was read.
    at = (left, top, 1, 1)
    facts["corner"] = [pixel(variant, at), pixel(photo, at), seen_pixel(image, group, at)]
    facts["mask at corner"] = floats(mask, "Y float", (0, 0, 1, 1))[0]
    image.delete()
    return facts


def pixel(layer, at):
    """Native bytes of one pixel of the image, without alpha."""
    x, y = offset_of(layer)
    return colours(raw(layer, (at[0] - x, at[1] - y, 1, 1)), layer)


def colours(data, layer):
    return data[: len(data) * (layer.get_bpp() - has_alpha(layer)) // layer.get_bpp()].hex()


def has_alpha(layer):
    """Bytes of one alpha value, or 0."""
    return layer.get_bpp() // Babl.format_get_n_components(layer.get_format()) * layer.has_alpha()


def seen_pixel(image, group, at):
    copy = image.duplicate()
    for layer in every(copy.get_layers()):
        if layer.get_name() == group.get_name():
            layer.set_visible(False)
    mixed = Gimp.Layer.new_from_visible(copy, copy, "mixed")
    found = colours(raw(mixed, at), mixed)
    mixed.delete()
    copy.delete()
    return found


def fill(layer, rgb):
    colour = Gegl.Color.new("black")
    colour.set_rgba_with_space(*rgb, 1.0, Babl.space("sRGB"))
    Gimp.context_set_foreground(colour)
    layer.fill(Gimp.FillType.FOREGROUND)
