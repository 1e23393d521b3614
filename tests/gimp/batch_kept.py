# Runs inside GIMP after inside.py: what a coarse layer remembers survives what users do to it; see test_plugin.py.
COARSE, GENERATE = "plug-in-lapcvae-coarse", "plug-in-lapcvae-generate"
BOX = (80, 60, 40, 30)


def start(**photo_arguments):
    image, photo = make_photo(**photo_arguments)
    status, message, coarse = call(COARSE, image, [photo], level=3)
    assert status == "SUCCESS", message
    return image, photo, coarse


def variant(image, layer):
    """(digest of the one variant, where it is) or the message."""
    status, message, group = call(GENERATE, image, [layer], count=1, seed=3)
    if status != "SUCCESS":
        return message
    made = group.get_children()[0]
    return [digest(made), *offset_of(made)]


def after(change, painted=True, **photo_arguments):
    """The variant of a painted (or untouched) coarse layer after `change(image, photo, coarse)`."""
    image, photo, coarse = start(**photo_arguments)
    if painted:
        paint(image, coarse, BOX, (0.1, 0.05, 0.4))
    image, coarse = change(image, photo, coarse) or (image, coarse)
    found = variant(image, coarse)
    image.delete()
    return found


def nothing(image, photo, coarse):
    pass


def moved_together(image, photo, coarse):
    for layer in (photo, coarse):
        x, y = offset_of(layer)
        layer.set_offsets(x + 11, y - 7)


def moved_alone(image, photo, coarse):
    x, y = offset_of(coarse)
    coarse.set_offsets(x + 11, y - 7)


def grown(image, photo, coarse):
    coarse.resize(coarse.get_width() + 40, coarse.get_height() + 30, 25, 12)


def saved(image, photo, coarse):
    file = Gio.File.new_for_path("/mnt/run/kept.xcf")
    assert Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, file, None)
    name = coarse.get_name()
    image.delete()
    loaded = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, file)
    return loaded, loaded.get_layer_by_name(name)


def duplicated(image, photo, coarse):
    copy = image.duplicate()
    name = coarse.get_name()
    image.delete()
    return copy, copy.get_layer_by_name(name)


def kept():
    adobe = {"profile": Gimp.ColorProfile.new_rgb_adobe()}
    return {
        "plain": after(nothing),
        "moved together": after(moved_together),
        "grown": after(grown),
        "saved": after(saved),
        "duplicated": after(duplicated),
        "untouched grown": after(grown, painted=False, **adobe),
        "untouched saved": after(saved, painted=False, **adobe),
        "untouched moved": after(moved_alone, painted=False, **adobe),
    }


guarded("kept", kept)
