# Runs inside GIMP after inside.py: a coarse layer that was copied into another image; see test_sequences.py.
COARSE, GENERATE = "plug-in-lapcvae-coarse", "plug-in-lapcvae-generate"
BOX, BLUE = (80, 60, 40, 30), (0.1, 0.05, 0.4)


def painted():
    image, photo = make_photo()
    status, message, coarse = call(COARSE, image, [photo], level=3, center_x=90.0, center_y=80.0, side=120.0)
    assert status == "SUCCESS", message
    paint(image, coarse, BOX, BLUE)
    return image, photo, coarse


def put(layer, image):
    """The layer dragged into the other image, at the same place."""
    copy = Gimp.Layer.new_from_drawable(layer, image)
    image.insert_layer(copy, None, 0)
    copy.set_offsets(*offset_of(layer))
    return copy


def pasted(layer, image):
    """Copied and pasted, as a layer of its own."""
    Gimp.edit_copy([layer])
    [copy] = Gimp.edit_paste(image.get_layers()[0], False)
    if image.get_floating_sel():
        Gimp.floating_sel_to_layer(copy)
    return copy


def same(image, photo):
    pass


def darker(image, photo):
    """The same light and shade: another shot, as alike as can be."""
    photo.brightness_contrast(-0.2, 0.0)


def other(image, photo):
    for box, rgb in (((0, 0, 200, 160), (0.1, 0.2, 0.3)), ((100, 20, 90, 120), (0.9, 0.8, 0.7))):
        paint(image, photo, box, rgb)


def named(image, photo):
    other(image, photo)
    photo.set_name("another photo")


def smaller(image, photo):
    image.scale(150, 120)


def copied(change, way=put):
    """What comes of it with the copied coarse layer selected, and with the photo selected; and what the original gives."""
    image, photo, coarse = painted()
    first = call(GENERATE, image, [coarse], count=1, seed=3)[2].get_children()[0]
    there, other_photo = make_photo()
    change(there, other_photo)
    copy = way(coarse, there)
    facts = {}
    for name, layer in (("coarse", copy), ("photo", other_photo)):
        before = len(there.get_layers())
        status, message, group = call(GENERATE, there, [layer], count=1, seed=3)
        facts[name] = [status, message]
        facts[f"{name} added"] = len(there.get_layers()) - before
        if group:
            facts[f"{name} same"] = digest(group.get_children()[0]) == digest(first)
            there.remove_layer(group)
    # A new one, in place of it: the frame is not that of the other photo.
    status, message, new = call(COARSE, there, [copy], level=3)
    assert status == "SUCCESS", message
    facts["frame"] = json.loads(bytes(new.get_parasite("lapcvae-coarse").get_data()))["frame"]["side"]
    paint(there, new, BOX, BLUE)
    # The copied one may lie above it.
    there.reorder_item(copy, None, 0)
    facts["new"] = list(call(GENERATE, there, [other_photo], count=1)[:2])
    image.delete()
    there.delete()
    return facts


def marks():
    """What tells images apart: of one, of its second coarse layer, of its duplicate, of its file, and of another one."""

    def mark(of):
        return bytes(of.get_parasite("lapcvae-image").get_data()).rstrip(b"\0").decode()

    image, photo, coarse = painted()
    second = call(COARSE, image, [photo], level=2)[2]
    file = Gio.File.new_for_path("/mnt/run/marks.xcf")
    assert Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, file, None)
    images = [image, image.duplicate(), Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, file), painted()[0]]
    facts = [json.loads(bytes(x.get_parasite("lapcvae-coarse").get_data()))["image"] for x in (coarse, second)]
    facts += [mark(x) for x in images]
    for x in images:
        x.delete()
    return {"marks": facts}


for name, change in {"same": same, "darker": darker, "other": other, "named": named, "smaller": smaller}.items():
    guarded(name, lambda: copied(change))
guarded("pasted", lambda: copied(other, pasted))
guarded("marks", marks)
