# Runs inside GIMP after inside.py: steps in an order that is not the usual one; see test_sequences.py.
COARSE, GENERATE, AGAIN = "plug-in-lapcvae-coarse", "plug-in-lapcvae-generate", "plug-in-lapcvae-again"
NEXT, KEEP = "plug-in-lapcvae-next", "plug-in-lapcvae-keep"
BOX, OTHER = (80, 60, 40, 30), (90, 66, 20, 16)
BLUE, RED = (0.1, 0.05, 0.4), (0.6, 0.05, 0.05)


def done(name, image, layer, **arguments):
    status, message, made = call(name, image, [layer], **arguments)
    assert status == "SUCCESS", message
    return made


def generated(**arguments):
    image, photo = make_photo()
    coarse = done(COARSE, image, photo, level=3)
    paint(image, coarse, BOX, BLUE)
    return image, photo, coarse, done(GENERATE, image, coarse, count=2, **arguments)


def strokes_over(image, name="strokes"):
    layer = Gimp.Layer.new(image, name, WIDTH, HEIGHT, Gimp.ImageType.RGBA_IMAGE, 100.0, Gimp.LayerMode.NORMAL)
    image.insert_layer(layer, None, 0)
    return layer


def seen_at(image, x, y):
    merged = Gimp.Layer.new_from_visible(image, image, "seen")
    found = floats(merged, "R'G'B' float", (x, y, 1, 1))
    merged.delete()
    return found


def kept_then_edited():
    """A second edit goes on from the variant that was kept, and is seen."""
    image, photo, _, group = generated()
    kept = done(KEEP, image, group.get_children()[0])
    coarse = done(COARSE, image, kept, level=3)
    facts = {"above": image.get_item_position(coarse) < image.get_item_position(kept)}
    cells = json.loads(bytes(coarse.get_parasite("lapcvae-coarse").get_data()))
    facts["reads"] = cells["reads"]
    paint(image, coarse, OTHER, RED)
    second = done(GENERATE, image, coarse, count=1)
    facts["second above"] = image.get_item_position(second) < image.get_item_position(kept)
    coarse.set_visible(False)
    facts["seen"] = seen_at(image, 100, 74)
    # Said otherwise, it starts from the photo alone.
    facts["layer"] = json.loads(bytes(
        done(COARSE, image, photo, level=3, source="layer").get_parasite("lapcvae-coarse").get_data()
    ))["reads"]
    image.delete()
    return facts


def strokes_selected():
    """Strokes that are selected are painted over the photo below; so is what comes after them."""
    image, photo = make_photo()
    layer = strokes_over(image)
    paint(image, layer, BOX, BLUE)
    group = done(GENERATE, image, layer, count=1, level=3)
    again = done(AGAIN, image, layer)
    coarse = done(COARSE, image, layer)
    facts = {
        "groups": [group.get_name(), again.get_name()], "strokes visible": layer.get_visible(),
        "of": json.loads(bytes(coarse.get_parasite("lapcvae-coarse").get_data()))["source"]["name"],
    }  # fmt: skip
    image.delete()
    return facts


def transparent():
    image, photo = make_photo()
    for layer in image.get_layers():
        image.remove_layer(layer)
    empty = strokes_over(image, "empty")
    status, message, _ = call(COARSE, image, [empty])
    image.delete()
    return status, message


def selected_elsewhere():
    image, photo, coarse, _ = generated()
    before = [(x.get_name(), x.get_visible()) for x in image.get_layers()]
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 2, 2, 6, 6)
    status, message, _ = call(GENERATE, image, [coarse], count=1)
    same = before == [(x.get_name(), x.get_visible()) for x in image.get_layers()]
    image.delete()
    return status, message, same


def last_seeds():
    image, photo, coarse, _ = generated(seed=2**31 - 1)
    seeds = []
    for _ in range(3):
        group = done(AGAIN, image, coarse)
        seeds.append(json.loads(bytes(group.get_parasite("lapcvae-variant").get_data()))["settings"]["seed"])
    image.delete()
    return seeds


def photo_in_its_group():
    image, photo, coarse, group = generated()
    image.reorder_item(photo, group, 0)
    new = done(AGAIN, image, photo)
    facts = {"inside": new.get_parent() == group, "visible": [photo.get_visible(), group.get_visible(), new.get_visible()]}
    image.delete()
    return facts


def locked():
    """Variants whose visibility is locked are leafed through all the same, and stay locked."""
    image, photo, coarse, group = generated()
    for layer in group.get_children():
        layer.set_lock_visibility(True)
    done(NEXT, image, group)
    facts = [[x.get_visible(), x.get_lock_visibility()] for x in group.get_children()]
    image.delete()
    return facts


def no_numbers():
    """A few pixels of a float photo are no numbers."""
    image, photo = make_photo("f4 linear")
    buffer = photo.get_buffer()
    buffer.set(rectangle(100, 70, 2, 1), "RGB float", struct.pack("<6f", *[math.nan] * 3, *[math.inf] * 3))
    buffer.flush()
    del buffer
    coarse = done(COARSE, image, photo, level=3)
    facts = {"coarse": all(map(math.isfinite, floats(coarse, "R'G'B' float", (20, 0, 160, 160))))}
    paint(image, coarse, BOX, BLUE)
    group = done(GENERATE, image, coarse, count=1)
    made = group.get_children()[0]
    whole = (0, 0, made.get_width(), made.get_height())
    facts["variant"] = all(map(math.isfinite, floats(made, "RGB float", whole)))
    image.delete()
    return facts


for name in (
    "kept_then_edited", "strokes_selected", "transparent", "selected_elsewhere", "last_seeds", "photo_in_its_group",
    "locked", "no_numbers",
):  # fmt: skip
    guarded(name, globals()[name])
