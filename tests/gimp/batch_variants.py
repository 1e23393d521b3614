# Runs inside GIMP after inside.py: again, next and previous, keep; see test_variants.py.
COARSE, GENERATE, AGAIN = "plug-in-lapcvae-coarse", "plug-in-lapcvae-generate", "plug-in-lapcvae-again"
NEXT, PREVIOUS, KEEP = "plug-in-lapcvae-next", "plug-in-lapcvae-previous", "plug-in-lapcvae-keep"


def done(name, image, layer, **arguments):
    status, message, value = call(name, image, [layer], **arguments)
    assert status == "SUCCESS", message
    return value


def start(count=3, **photo_arguments):
    image, photo = make_photo(**photo_arguments)
    coarse = done(COARSE, image, photo, level=3)
    paint(image, coarse, (80, 60, 40, 30), (0.1, 0.05, 0.4))
    group = done(GENERATE, image, coarse, count=count, seed=5, temperature=0.9, realism=0.25)
    return image, photo, coarse, group


def remembered(layer):
    return json.loads(bytes(layer.get_parasite("lapcvae-variant").get_data()))


def seen(image, group):
    """Which variants are visible, and the names of the selected layers."""
    visible = [layer.get_visible() for layer in group.get_children()]
    return [visible, [layer.get_name() for layer in image.get_selected_layers()]]


def tree(layers):
    return [(x.get_name(), x.get_visible(), tree(x.get_children()) if x.is_group() else None) for x in layers]


def again():
    image, photo, coarse, group = start()
    before = [digest(v) for v in group.get_children()]
    facts = {"selected first": seen(image, group)}
    # As from the photo, from the coarse layer, from an older variant, and with Ctrl+F.
    runs = [
        ("photo", AGAIN, photo, {}),
        ("coarse", AGAIN, coarse, {}),
        ("variant", AGAIN, group.get_children()[1], {}),
        ("ctrl f", GENERATE, photo, {"run_mode": Gimp.RunMode.WITH_LAST_VALS}),
    ]
    for name, procedure, layer, arguments in runs:
        made = done(procedure, image, layer, **arguments)
        facts[name] = {
            "settings": remembered(made)["settings"],
            "above photo": image.get_item_position(made) == image.get_item_position(photo) - 1,
            "visible groups": [x.get_name() for x in image.get_layers() if x.is_group() and x.get_visible()],
            "groups": sum(x.is_group() for x in image.get_layers()),
            "is visible": made.get_visible(),
            "seen": seen(image, made),
            "new pictures": len({digest(v) for v in made.get_children()} - set(before)),
        }
    # The seed alone decides: asking for it gives the same pictures.
    facts["first again"] = [digest(v) for v in done(GENERATE, image, photo, count=3, seed=5, temperature=0.9,
                                                    realism=0.25).get_children()] == before  # fmt: skip
    name = coarse.get_name()
    image.remove_layer(coarse)
    facts["painting gone"] = call(AGAIN, image, [photo])[:2] + (name,)
    image.delete()
    return facts


def again_with_strokes():
    image, photo = make_photo()
    layer = Gimp.Layer.new(image, "strokes", 60, 50, Gimp.ImageType.RGBA_IMAGE, 100.0, Gimp.LayerMode.NORMAL)
    image.insert_layer(layer, None, 0)
    layer.set_offsets(80, 60)
    paint(image, layer, (90, 70, 30, 24), (0.1, 0.05, 0.4))
    frame = {"level": 3, "center_x": 100.0, "center_y": 80.0, "side": 128.0}
    first = done(GENERATE, image, photo, painting=layer, count=1, **frame)
    second = done(AGAIN, image, photo)
    image.scale(WIDTH // 2, HEIGHT // 2)
    third = done(AGAIN, image, photo)
    facts = {"scaled": remembered(third)["asked"]["frame"], "asked": [remembered(g)["asked"] for g in (first, second)],
             "seeds": [remembered(g)["settings"]["seed"] for g in (first, second)]}  # fmt: skip
    image.delete()
    return facts


def again_elsewhere(change):
    image, photo, coarse, group = start(count=1)
    image, photo = change(image, photo)
    made = done(AGAIN, image, photo)
    facts = [remembered(made)["settings"]["seed"], image.get_item_position(made) - image.get_item_position(photo)]
    image.delete()
    return facts


def saved(image, photo):
    file = Gio.File.new_for_path("/mnt/run/variants.xcf")
    assert Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, file, None)
    image.delete()
    loaded = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, file)
    return loaded, loaded.get_layer_by_name("photo")


def duplicated(image, photo):
    copy = image.duplicate()
    image.delete()
    return copy, copy.get_layer_by_name("photo")


def browse():
    image, photo, coarse, group = start()
    variants = group.get_children()
    facts = {}
    for name, procedure, layer in (
        ("group", NEXT, group), ("variant", NEXT, variants[1]), ("photo wraps", NEXT, photo),
        ("coarse back wraps", PREVIOUS, coarse), ("mask back", PREVIOUS, variants[2].get_mask()),
    ):  # fmt: skip
        shown = done(procedure, image, layer)
        facts[name] = [*seen(image, group), shown.get_name()]
    for layer in variants:
        layer.set_visible(True)
    group.set_visible(False)
    done(NEXT, image, variants[1])
    facts["several visible"] = [*seen(image, group), group.get_visible()]
    for layer in variants:
        layer.set_visible(False)
    done(PREVIOUS, image, photo)
    facts["none visible"] = seen(image, group)
    # The group is found although the photo's size is another one now.
    photo.scale(100, 80, False)
    done(NEXT, image, photo)
    facts["photo scaled"] = seen(image, group)
    image.delete()
    return facts


def keep(change=None, choose=None, **photo_arguments):
    """The layers after one of three variants was kept: the one `choose(photo, group)` gives, else with the photo."""
    image, photo, coarse, group = start(**photo_arguments)
    coarse.set_visible(True)
    variants = group.get_children()
    contents = {v.get_name(): (digest(v), digest(v.get_mask()), *offset_of(v)) for v in variants}
    photo_before = digest(photo)
    if change:
        image, photo = change(image, photo) or (image, photo)
        group = next(x for x in image.get_layers() if x.is_group())
    kept = done(KEEP, image, choose(photo, group) if choose else photo)
    facts = {
        "tree": tree(image.get_layers()),
        "kept": kept.get_name(),
        "position": image.get_item_position(photo) - image.get_item_position(kept),
        "same": contents[kept.get_name()] == (digest(kept), digest(kept.get_mask()), *offset_of(kept)),
        "photo same": digest(photo) == photo_before,
        "selected": [x.get_name() for x in image.get_selected_layers()],
    }
    facts["kept twice"] = call(KEEP, image, [kept])[:2]
    # What was kept is enough to go on from.
    facts["again"] = remembered(done(AGAIN, image, photo))["settings"]["seed"]
    image.delete()
    return facts


def edited(image, photo):
    """The second variant's picture, the third one's mask."""
    second, third = next(x for x in image.get_layers() if x.is_group()).get_children()[1:]
    for drawable, name, value in ((second, "R'G'B' u8", bytes([200, 1, 77])), (third.get_mask(), "Y u8", b"\x4d")):
        buffer = drawable.get_buffer()
        buffer.set(rectangle(3, 3, 1, 1), name, value)
        buffer.flush()
        del buffer


def dimmed(image, photo):
    next(x for x in image.get_layers() if x.is_group()).get_children()[2].set_opacity(50.0)


def group_of(image):
    return next(x for x in image.get_layers() if x.is_group())


def moved(image, photo):
    """The second variant alone; and then everything together, which is no edit."""
    group_of(image).get_children()[1].set_offsets(3, 4)
    moved_together(image, photo)


def moved_together(image, photo):
    for layer in (photo, *group_of(image).get_children()):
        x, y = offset_of(layer)
        layer.set_offsets(x + 5, y + 6)


def renamed(image, photo):
    group_of(image).get_children()[2].set_name("the best one")


def filtered(image, photo):
    variant = group_of(image).get_children()[1]
    variant.append_filter(Gimp.DrawableFilter.new(variant, "gegl:invert-gamma", "invert"))


def marked(image, photo):
    group_of(image).get_children()[2].set_color_tag(Gimp.ColorTag.GREEN)


def masked_group(image, photo):
    group = group_of(image)
    group.add_mask(group.create_mask(Gimp.AddMaskType.BLACK))


def several_visible():
    image, photo, coarse, group = start()
    group.get_children()[2].set_visible(True)
    before = tree(image.get_layers())
    facts = [*call(KEEP, image, [photo])[:2], tree(image.get_layers()) == before]
    image.delete()
    return facts


def nothing_to_work_on():
    image, photo = make_photo()
    other = image.get_layers()[1]
    before = tree(image.get_layers())
    found = {}
    for name in (AGAIN, NEXT, PREVIOUS, KEEP):
        for case, where, drawables in (
            ("no image", None, []), ("no layer", image, []), ("two layers", image, [photo, other]),
            ("no variants", image, [photo]),
        ):  # fmt: skip
            found[f"{name} {case}"] = call(name, where, drawables)[:2]
    coarse = done(COARSE, image, photo)
    found["coarse only"] = call(NEXT, image, [coarse])[:2]
    image.remove_layer(coarse)
    found["unchanged"] = tree(image.get_layers()) == before
    image.delete()
    return found


def first_with_last_values():
    """Ctrl+F on another photo, which has no variants yet: there is nothing to repeat, so the arguments count."""
    image, photo = make_photo()
    coarse = done(COARSE, image, photo, level=3)
    selected = [layer == coarse for layer in image.get_selected_layers()]
    paint(image, coarse, (80, 60, 40, 30), (0.1, 0.05, 0.4))
    group = done(GENERATE, image, photo, run_mode=Gimp.RunMode.WITH_LAST_VALS, count=1, temperature=0.4)
    facts = {"coarse selected": selected, "settings": remembered(group)["settings"]}
    image.delete()
    return facts


def refused_by_the_worker():
    image, photo = make_photo()
    answer = call(COARSE, image, [photo], model="no-such-model")[:2]
    image.delete()
    return answer


guarded("again", again)
guarded("again with strokes", again_with_strokes)
guarded("again saved", lambda: again_elsewhere(saved))
guarded("again duplicated", lambda: again_elsewhere(duplicated))
guarded("browse", browse)
guarded("keep", keep)
guarded("keep selected", lambda: keep(choose=lambda photo, group: group.get_children()[1]))
guarded("keep edited", lambda: keep(edited))
guarded("keep dimmed", lambda: keep(dimmed))
for change in (moved, moved_together, renamed, filtered, marked, masked_group):
    guarded(f"keep {change.__name__}", lambda: keep(change))
ADOBE = Gimp.ColorProfile.new_rgb_adobe()
for precision in ("u16", "half", "u32", "f4 linear"):
    guarded(f"keep saved {precision}", lambda: keep(saved, precision=precision, profile=ADOBE))
guarded("keep duplicated", lambda: keep(duplicated))
guarded("several visible", several_visible)
guarded("nothing", nothing_to_work_on)
guarded("first with last values", first_with_last_values)
guarded("refused", refused_by_the_worker)
