# Runs inside GIMP after inside.py: what users do between Make Coarse Layer and Generate Variants; see test_layers.py.
COARSE, GENERATE = "plug-in-lapcvae-coarse", "plug-in-lapcvae-generate"
# Of the image.
PAINTED = (80, 60, 40, 30)


def after(change, painted, style="smooth", **photo_arguments):
    """What comes of a painted (or untouched) coarse layer after `change(image, photo, coarse)`."""
    image, photo = make_photo(**photo_arguments)
    status, message, coarse = call(COARSE, image, [photo], level=3, style=style)
    assert status == "SUCCESS", message
    if painted:
        paint(image, coarse, PAINTED, (0.1, 0.05, 0.4))
    painted = change(image, photo, coarse) or PAINTED
    photo, coarse = (next(x for x in image.get_layers() if x.get_name() == y.get_name()) for y in (photo, coarse))
    before = digest(photo)
    # With so little realism M says where paint was found, and not also what else there is to go.
    status, message, group = call(GENERATE, image, [coarse], count=1, seed=3, realism=0.05)
    if status != "SUCCESS":
        image.delete()
        return message
    mask = group.get_children()[0].get_mask()
    x, y = offset_of(mask)
    ends = [round(v) for v in (painted[0], painted[1], painted[0] + painted[2], painted[1] + painted[3])]
    # A pixel less at each edge, which may be rounded.
    inner = (ends[0] + 1 - x, ends[1] + 1 - y, ends[2] - ends[0] - 2, ends[3] - ends[1] - 2)
    facts = {
        "on paint": min(floats(mask, "Y float", inner)),
        "changed share": sum(floats(mask, "Y float", (0, 0, mask.get_width(), mask.get_height())))
        / ((ends[2] - ends[0]) * (ends[3] - ends[1])),
        "outside differs": compare(image, group)["outside differs"],
        "photo same": digest(photo) == before,
    }
    image.delete()
    return facts


def scaled(factor):
    def change(image, photo, coarse):
        image.scale(round(image.get_width() * factor), round(image.get_height() * factor))
        return [v * factor for v in PAINTED]

    return change


def cropped(x, y, width, height):
    def change(image, photo, coarse):
        image.crop(width, height, x, y)
        return (PAINTED[0] - x, PAINTED[1] - y, *PAINTED[2:])

    return change


def scaled_then_cropped(image, photo, coarse):
    x, y, width, height = scaled(1.5)(image, photo, coarse)
    image.crop(275, 240, 25, 0)
    return (x - 25, y, width, height)


def only(which, work):
    """A change of one layer alone."""
    return lambda image, photo, coarse: work({"photo": photo, "coarse": coarse}[which]) and None


def on_both(work):
    return lambda image, photo, coarse: (work(photo), work(coarse)) and None


def precision(*names, dithered=False):
    """Several in a row; `dithered` as GIMP's dialog does it on the way from more bits to 8."""

    def change(image, photo, coarse):
        for i, name in enumerate(names):
            if dithered and not i:
                dither(photo)
                dither(coarse)
            image.convert_precision(PRECISIONS[name])

    return change


def dither(layer):
    dithering = Gimp.DrawableFilter.new(layer, "gegl:dither", "dither")
    # Another call gives another config.
    config = dithering.get_config()
    for channel in ("red", "green", "blue", "alpha"):
        config.set_property(f"{channel}-levels", 256)
    dithering.update()
    layer.append_filter(dithering)
    layer.merge_filters()


def profile(image, photo, coarse):
    intent = Gimp.ColorRenderingIntent.RELATIVE_COLORIMETRIC
    image.convert_color_profile(Gimp.ColorProfile.new_rgb_adobe(), intent, True)


def there_and_back(image, photo, coarse):
    profile(image, photo, coarse)
    intent = Gimp.ColorRenderingIntent.RELATIVE_COLORIMETRIC
    image.convert_color_profile(Gimp.ColorProfile.new_rgb_srgb(), intent, True)


def gray(image, photo, coarse):
    image.convert_grayscale()


def colour(image, photo, coarse):
    image.convert_rgb()


def retouched(image, photo, coarse):
    """A darker photo, cropped: what differs is not the place."""
    photo.brightness_contrast(-0.15, 0.1)
    return cropped(10, 0, 180, 160)(image, photo, coarse)


def duplicated_after(change):
    """Scaled and duplicated: the tattoos are new and the size is another, only names are left."""

    def work(image, photo, coarse):
        painted = change(image, photo, coarse)
        copy = image.duplicate()
        for layer in image.get_layers():
            image.remove_layer(layer)
        for layer in reversed(copy.get_layers()):
            image.insert_layer(Gimp.Layer.new_from_drawable(layer, image), None, 0)
            image.get_layers()[0].set_name(layer.get_name())
            image.get_layers()[0].set_offsets(*offset_of(layer))
        copy.delete()
        return painted

    return work


def filtered():
    """What Colors > Invert does to the coarse layer without merging: a filter, which is painting too."""
    image, photo = make_photo()
    coarse = call(COARSE, image, [photo], level=3)[2]
    coarse.append_filter(Gimp.DrawableFilter.new(coarse, "gegl:invert-gamma", "invert"))
    before = [x.get_name() for x in image.get_layers()]
    status, message, group = call(GENERATE, image, [coarse], count=1)
    assert status == "SUCCESS", message
    mask = group.get_children()[0].get_mask()
    facts = {"mask": sum(floats(mask, "Y float", (0, 0, 160, 160))) / 160**2, "filters": len(coarse.get_filters())}
    facts["added"] = len(image.get_layers()) - len(before)
    image.delete()
    return facts


def photo_lost(other=False):
    """Duplicated, renamed and cropped: nothing tells which layer the photo is, but selecting it does."""
    image, photo = make_photo()
    coarse = call(COARSE, image, [photo], level=3)[2]
    paint(image, coarse, PAINTED, (0.1, 0.05, 0.4))
    copy = image.duplicate()
    image.delete()
    copy.crop(170, 160, 15, 0)
    coarse, photo, below = copy.get_layers()
    photo.set_name("portrait")
    # New tattoos, which must not be those of the layers that are looked for.
    facts = [call(GENERATE, copy, [coarse], count=1)[:2], call(GENERATE, copy, [below if other else photo], count=1)[:2]]
    copy.delete()
    return facts


NINETY = Gimp.RotationType.DEGREES90
ACROSS = Gimp.OrientationType.HORIZONTAL
ADOBE = {"profile": Gimp.ColorProfile.new_rgb_adobe()}
WORK = {
    "nothing": lambda *_: None,
    "half": scaled(0.5),
    "1.37": scaled(1.37),
    "double": scaled(2.0),
    "cropped around": cropped(15, 0, 170, 160),
    "cropped through, left": cropped(50, 0, 150, 160),
    "cropped through, right": cropped(0, 0, 150, 160),
    "scaled, cropped": scaled_then_cropped,
    "scaled, duplicated": duplicated_after(scaled(0.5)),
    "darker, cropped": retouched,
    "u16": precision("u16"),
    "float": precision("f4 linear"),
    "linear u8": precision("u8 linear"),
    "Adobe RGB": profile,
    "gray": gray,
}
# Formats that the image no longer has when it is read: precision at first, profile, what comes then. Not straight from 8
# bits of linear light to 16 bits: there GIMP itself spoils pictures (docs/gimp-facts.md).
MEANWHILE = {
    "u16, u8 linear, float, u16": ({"precision": "u16"}, precision("u8 linear", "f4 linear", "u16")),
    "u16, u8, u8 linear, float": ({"precision": "u16"}, precision("u8", "u8 linear", "f4 linear")),
    "u16, dithered u8 linear, float": ({"precision": "u16"}, precision("u8 linear", "f4 linear", dithered=True)),
    "u16, dithered u8, u16": ({"precision": "u16"}, precision("u8", "u16", dithered=True)),
    "u8, u8 linear, u8": ({}, precision("u8 linear", "u8")),
    "u8, u8 linear, half": ({}, precision("u8 linear", "half")),
    "u8, Adobe RGB, u8": ({}, there_and_back),
    "Adobe RGB u16, u8, u16": ({"precision": "u16", **ADOBE}, precision("u8", "u16")),
    "Adobe RGB u16, u8 linear, float": ({"precision": "u16", **ADOBE}, precision("u8 linear", "f4 linear")),
    "Adobe RGB u8, u8 linear, u8": (ADOBE, precision("u8 linear", "u8")),
}
REFUSED = {
    "image turned": lambda image, photo, coarse: image.rotate(NINETY) and None,
    "image flipped": lambda image, photo, coarse: image.flip(ACROSS) and None,
    "coarse turned": only("coarse", lambda layer: layer.transform_rotate_simple(NINETY, True, 0, 0)),
    "coarse flipped": only("coarse", lambda layer: layer.transform_flip_simple(ACROSS, True, 0)),
    "both askew": on_both(lambda layer: layer.transform_rotate(0.3, True, 0, 0)),
    "both sheared": on_both(lambda layer: layer.transform_shear(ACROSS, 40)),
    "image stretched": lambda image, photo, coarse: image.scale(300, 160) and None,
    "photo scaled": only("photo", lambda layer: layer.scale(100, 80, False)),
    "coarse scaled": only("coarse", lambda layer: layer.scale(100, 100, False)),
    "cropped at both ends": cropped(0, 10, 150, 130),
    "cropped on all sides": cropped(60, 40, 90, 70),
}
for name, change in WORK.items():
    guarded(name, lambda: after(change, True))
    guarded(f"{name}, untouched", lambda: after(change, False))
for name, (arguments, change) in MEANWHILE.items():
    guarded(name, lambda: after(change, True, **arguments))
    guarded(f"{name}, untouched", lambda: after(change, False, **arguments))
for name, change in REFUSED.items():
    guarded(name, lambda: after(change, True))
for name in ("half", "1.37", "cropped around", "cropped through, left", "u16", "linear u8"):
    guarded(f"Adobe RGB {name}, untouched", lambda: after(WORK[name], False, **ADOBE))
for name in ("half", "1.37"):
    guarded(f"blocks {name}, untouched", lambda: after(WORK[name], False, style="blocks"))
guarded("filtered", filtered)
guarded("photo lost", photo_lost)
guarded("photo lost, other", lambda: photo_lost(True))
guarded("colour, untouched", lambda: after(colour, False, gray=True))
guarded("colour", lambda: after(colour, True, gray=True))
