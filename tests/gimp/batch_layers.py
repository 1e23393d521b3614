# Runs inside GIMP after inside.py and whole_way.py: photo layers of every kind; see test_layers.py.
def masked(image, photo):
    mask = photo.create_mask(Gimp.AddMaskType.WHITE)
    photo.add_mask(mask)
    buffer = mask.get_buffer()
    buffer.set(rectangle(0, 0, WIDTH, HEIGHT), "Y u8", bytes(range(160, 240)) * (WIDTH * HEIGHT // 80))
    buffer.flush()


def filtered(image, photo):
    effect = Gimp.DrawableFilter.new(photo, "gegl:invert-gamma", "invert")
    photo.append_filter(effect)


def with_look(*looks, **arguments):
    image, photo = make_photo(**arguments)
    fill(image.get_layers()[1], (0.2, 0.6, 0.3))
    for look in looks:
        look(image, photo)
    return image, photo


def dim(image, photo):
    photo.set_opacity(70.0)


def multiply(image, photo):
    photo.set_mode(Gimp.LayerMode.MULTIPLY)


def in_group(mode=Gimp.LayerMode.NORMAL, change=lambda group: None):
    image, photo = with_look()
    outer = Gimp.GroupLayer.new(image, "outer")
    image.insert_layer(outer, None, 0)
    inner = Gimp.GroupLayer.new(image, "inner")
    image.insert_layer(inner, outer, 0)
    image.reorder_item(photo, inner, 0)
    below = Gimp.Layer.new(image, "inside below", WIDTH, HEIGHT, Gimp.ImageType.RGB_IMAGE, 100.0, Gimp.LayerMode.NORMAL)
    image.insert_layer(below, inner, 1)
    fill(below, (0.7, 0.2, 0.2))
    photo.set_opacity(80.0)
    inner.set_mode(mode)
    change(inner)
    return image, photo


def lock(layer):
    layer.set_lock_content(True)
    layer.set_lock_position(True)
    layer.set_lock_visibility(True)


def locked_group():
    """Nothing could be painted in it; but what is in it already is not in the way of variants."""
    image, photo = in_group(change=lock)
    refused = call(COARSE, image, [photo])[:2]
    image.delete()
    return {"refused": refused, **whole_way(in_group(), change=lambda photo: lock(photo.get_parent()))}


def look_of_group(group):
    """What the whole group goes through must not be read, for the variants in it go through it too."""
    group.set_opacity(60.0)
    group.set_mode(Gimp.LayerMode.MULTIPLY)
    group.append_filter(Gimp.DrawableFilter.new(group, "gegl:invert-gamma", "invert"))


def locked():
    image, photo = make_photo(alpha=True)
    lock(photo)
    photo.set_lock_alpha(True)
    return image, photo


def hidden():
    image, photo = make_photo()
    photo.set_visible(False)
    return image, photo


def mask_edited():
    image, photo = with_look(masked)
    photo.set_edit_mask(True)
    return image, photo, photo.get_mask()


def text_layer():
    image, photo = make_photo()
    layer = Gimp.TextLayer.new(image, "Fa", Gimp.context_get_font(), 130, Gimp.Unit.pixel())
    image.insert_layer(layer, None, 0)
    return image, layer


def link_layer():
    image, photo = make_photo()
    file = Gio.File.new_for_path("/mnt/run/linked.png")
    assert Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, file, None)
    layer = Gimp.LinkLayer.new(image, file)
    image.insert_layer(layer, None, 0)
    return image, layer


def vector_layer():
    image, photo = make_photo()
    path = Gimp.Path.new(image, "path")
    image.insert_path(path, None, 0)
    stroke = path.bezier_stroke_new_moveto(10, 10)
    for x, y in ((180, 30), (150, 150), (20, 140)):
        path.bezier_stroke_lineto(stroke, x, y)
    path.stroke_close(stroke)
    layer = Gimp.VectorLayer.new(image, path)
    image.insert_layer(layer, None, 0)
    layer.refresh()
    return image, layer


def coarse_again():
    """Make Coarse Layer with a coarse layer selected, and older variants in the way."""
    image, photo = make_photo()
    first = call(COARSE, image, [photo], level=2)[2]
    paint(image, first, (70, 50, 30, 30), COLOUR)
    group = call(GENERATE, image, [first], count=1)[2]
    first.set_visible(True)
    status, message, second = call(COARSE, image, [first], level=3)
    assert status == "SUCCESS", message
    facts = {
        "hidden": [x.get_visible() for x in (first, group)], "shown": second.get_visible(),
        "above photo": image.get_item_position(second) == image.get_item_position(photo) - 1,
        "selected": [x.get_name() for x in image.get_selected_layers()] == [second.get_name()],
    }  # fmt: skip
    image.delete()
    return facts


def told_once():
    """What Gimp.message says reaches the console; twice made, once told."""
    image, photo = with_look(filtered, dim)
    photo.set_name("told of")
    for _ in range(2):
        assert call(COARSE, image, [photo])[0] == "SUCCESS"
    image.delete()
    return "done"


def kept_counts_as_seen():
    """With what is visible as source, a variant that was kept is where the next edit starts."""
    image, photo = make_photo()
    coarse = call(COARSE, image, [photo], level=2, source="visible")[2]
    paint(image, coarse, (70, 50, 34, 28), COLOUR)
    first = call(GENERATE, image, [coarse], count=1)[2]
    kept = call("plug-in-lapcvae-keep", image, [first])[2]
    status, message, second = call(COARSE, image, [photo], level=2, source="visible")
    assert status == "SUCCESS", message
    x, y = offset_of(second)
    reds = [floats(layer, "R'G'B'A float", (80 - a, 60 - b, 12, 12))[::4] for layer, a, b in ((second, x, y), (photo, 0, 0))]
    paint(image, second, (20, 20, 30, 30), COLOUR)
    group = call(GENERATE, image, [second], count=1)[2]
    again = call("plug-in-lapcvae-again", image, [photo])[2]
    facts = {
        "red there": [sum(red) / len(red) for red in reds],
        "order": [x.get_name() for x in image.get_layers()],
        "expected": [x.get_name() for x in (coarse, second, group, again, kept, photo)] + ["below"],
        "again reads": json.loads(bytes(again.get_parasite("lapcvae-variant").get_data()))["asked"]["source"],
    }
    image.delete()
    return facts


KINDS = {
    "outside canvas": lambda: make_photo(canvas=(300, 260), offset=(130, 120)),
    "larger than canvas": lambda: make_photo(canvas=(130, 100), offset=(-40, -30), alpha=True),
    "filter": lambda: with_look(filtered),
    "mask": lambda: with_look(masked),
    "mode": lambda: with_look(multiply),
    "opacity": lambda: with_look(dim),
    "all looks": lambda: with_look(filtered, masked, dim, multiply, precision="u16", alpha=True),
    "group": in_group,
    "pass through": lambda: in_group(Gimp.LayerMode.PASS_THROUGH),
    "changed group": lambda: in_group(change=look_of_group),
    "locked": locked,
    "hidden": hidden,
    "mask edited": mask_edited,
    "text": text_layer,
    "link": link_layer,
    "vector": vector_layer,
}
for name, make in KINDS.items():
    if name.capitalize() + "Layer" in ("LinkLayer", "VectorLayer") and not hasattr(Gimp, name.capitalize() + "Layer"):
        continue
    for source in ("layer", "visible"):
        guarded(f"{name}, {source}", lambda: whole_way(make(), source))
guarded("locked group", locked_group)
guarded("coarse again", coarse_again)
guarded("told once", told_once)
guarded("kept", kept_counts_as_seen)
