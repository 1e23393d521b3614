# Runs inside GIMP after inside.py: coarse layer, paint, variants, for many kinds of photo; see test_plugin.py.
CASES = {
    "u8": {},
    "u16": {"precision": "u16"},
    "u32": {"precision": "u32"},
    "half": {"precision": "half"},
    "f4 linear": {"precision": "f4 linear"},
    "adobe u8": {"profile": Gimp.ColorProfile.new_rgb_adobe()},
    "linear u8": {"precision": "u8 linear"},
    "adobe u16": {"precision": "u16", "profile": Gimp.ColorProfile.new_rgb_adobe()},
    "gray": {"gray": True},
    "alpha": {"alpha": True},
    "offset": {"canvas": (300, 260), "offset": (37, -5)},
    "selection": {},
}
# In the photo's pixels; its left edge leaves the photo, where the edge is replicated.
CENTER_X, CENTER_Y, SIDE = 58.0, 80.0, 128.0
PAINTED = (40, 60, 30, 24)


def edit(case, **photo_arguments):
    image, photo = make_photo(**photo_arguments)
    ox, oy = offset_of(photo)
    facts = {"photo before": digest(photo), "photo format": Babl.get_name(photo.get_format())}
    status, message, coarse = call(
        "plug-in-lapcvae-coarse", image, [photo], level=3, center_x=CENTER_X, center_y=CENTER_Y, side=SIDE
    )
    assert status == "SUCCESS", message
    facts["coarse"] = {
        "above photo": image.get_item_position(coarse) == image.get_item_position(photo) - 1,
        "place": [*offset_of(coarse), coarse.get_width(), coarse.get_height()],
        "place wanted": [ox - 6, oy + 16, 128, 128],
        "parasite": json.loads(bytes(coarse.get_parasite("lapcvae-coarse").get_data())),
        "tattoo": photo.get_tattoo(),
        "alpha": sorted(set(floats(coarse, "R'G'B'A float", (0, 0, 128, 128))[3::4])),
        "mean": floats(coarse, "R'G'B'A float", (0, 0, 128, 128)),
    }
    # As close to the photo as a coarse version of it must be.
    there = floats(photo, "R'G'B'A float", (60, 60, 40, 40))
    here = floats(coarse, "R'G'B'A float", (66, 44, 40, 40))
    facts["coarse"]["far from photo"] = max(abs(sum(there[c::4]) - sum(here[c::4])) / 1600 for c in range(3))
    del facts["coarse"]["mean"]
    # Nothing is painted yet, in whatever bytes the layer keeps the coarse picture.
    facts["untouched"] = call("plug-in-lapcvae-generate", image, [coarse], count=1)[:2]
    paint(image, coarse, (PAINTED[0] + ox, PAINTED[1] + oy, *PAINTED[2:]), (0.1, 0.05, 0.4))
    if case == "selection":
        image.select_rectangle(Gimp.ChannelOps.REPLACE, 40, 60, 12, 200)
    layers_before = len(image.get_layers())
    status, message, group = call("plug-in-lapcvae-generate", image, [coarse], count=3, seed=5)
    assert status == "SUCCESS", message
    variants = group.get_children()
    facts["photo after"] = digest(photo)
    facts["group"] = {
        "is group": group.is_group(),
        "above photo": image.get_item_position(group) == image.get_item_position(photo) - 1,
        "new layers": len(image.get_layers()) - layers_before,
        "visible": [v.get_visible() for v in variants],
        "coarse visible": coarse.get_visible(),
        "formats": [Babl.get_name(v.get_format()) for v in variants],
        "masks": [Babl.get_name(v.get_mask().get_format()) for v in variants],
        "editing mask": [v.get_edit_mask() for v in variants],
        "parasites": [json.loads(bytes(v.get_parasite("lapcvae-variant").get_data())) for v in variants],
        "places": [[*offset_of(v), v.get_width(), v.get_height()] for v in variants],
        "contents": len({digest(v) for v in variants}),
        "painted": [PAINTED[0] + ox, PAINTED[1] + oy, *PAINTED[2:]],
    }
    mask = variants[0].get_mask()
    x, y = offset_of(mask)
    facts["mask painted"] = min(floats(mask, "Y float", (PAINTED[0] + ox - x, PAINTED[1] + oy - y, 12, PAINTED[3])))
    Gimp.Selection.none(image)
    facts["compare"] = compare(image, group)
    # Generating again from a variant finds photo and coarse layer, and the same seed gives the same pixels.
    status, message, again = call("plug-in-lapcvae-generate", image, [variants[1]], count=2, seed=5)
    assert status == "SUCCESS", message
    facts["again"] = case == "selection" or [digest(v) for v in again.get_children()] == [
        digest(v) for v in variants[:2]
    ]
    # GIMP stops a plug-in that still holds a buffer of a deleted image.
    image.delete()
    return facts


def strokes():
    """A plain layer of strokes, given as `painting`, at another offset than the photo."""
    image, photo = make_photo()
    layer = Gimp.Layer.new(image, "strokes", 60, 50, Gimp.ImageType.RGBA_IMAGE, 100.0, Gimp.LayerMode.NORMAL)
    image.insert_layer(layer, None, 0)
    layer.set_offsets(80, 60)
    paint(image, layer, (90, 70, 30, 24), (0.1, 0.05, 0.4))
    before = digest(photo)
    status, message, group = call(
        "plug-in-lapcvae-generate",
        image,
        [photo],
        painting=layer,
        count=2,
        level=3,
        center_x=100.0,
        center_y=80.0,
        side=128.0,
    )
    assert status == "SUCCESS", message
    mask = group.get_children()[0].get_mask()
    x, y = offset_of(mask)
    facts = {
        "photo same": digest(photo) == before,
        "children": len(group.get_children()),
        "painting visible": layer.get_visible(),
        "on strokes": min(floats(mask, "Y float", (90 - x, 70 - y, 30, 24))),
        "sum": sum(floats(mask, "Y float", (-x, -y, WIDTH, HEIGHT))),
    }
    image.delete()
    return facts


def first_frames():
    """Where the frame is when nobody says so: cx, cy, side of what was made, in this order."""
    image, photo = make_photo()

    def made(run_mode=Gimp.RunMode.NONINTERACTIVE):
        status, message, coarse = call("plug-in-lapcvae-coarse", image, [photo], run_mode)
        assert status == "SUCCESS", message
        frame = json.loads(bytes(coarse.get_parasite("lapcvae-coarse").get_data()))["frame"]
        return coarse, [frame["cx"], frame["cy"], frame["side"]]

    first, whole = made()
    image.remove_layer(first)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 20, 30, 60, 40)
    _, selected = made(Gimp.RunMode.WITH_LAST_VALS)
    Gimp.Selection.none(image)
    _, as_before = made()
    # Strokes have the frame of the coarse layer: without one, with it, with another one.
    layer = Gimp.Layer.new(image, "strokes", WIDTH, HEIGHT, Gimp.ImageType.RGBA_IMAGE, 100.0, Gimp.LayerMode.NORMAL)
    image.insert_layer(layer, None, 0)
    paint(image, layer, (40, 40, 20, 20), (0.1, 0.05, 0.4))
    strokes = []
    for given in ((0.0, 0.0, 0.0), as_before, whole):
        frame = dict(zip(("center_x", "center_y", "side"), given))
        status, message, group = call(
            "plug-in-lapcvae-generate", image, [photo], painting=layer, count=1, level=2, **frame
        )
        assert status == "SUCCESS", message
        strokes.append(digest(group.get_children()[0]))
    image.delete()
    return {"whole": whole, "selected": selected, "as before": as_before, "strokes": strokes}


def in_group():
    """A photo inside a layer group keeps its variants beside it."""
    image, photo = make_photo()
    folder = Gimp.GroupLayer.new(image, "folder")
    image.insert_layer(folder, None, 0)
    image.reorder_item(photo, folder, 0)
    status, message, coarse = call("plug-in-lapcvae-coarse", image, [photo])
    assert status == "SUCCESS", message
    place = [*offset_of(coarse), coarse.get_width(), coarse.get_height()]
    paint(image, coarse, (90, 70, 30, 24), (0.1, 0.05, 0.4))
    status, message, group = call("plug-in-lapcvae-generate", image, [photo], count=1)
    assert status == "SUCCESS", message
    names = [layer.get_name() for layer in folder.get_children()]
    facts = {"names": names, "place": place, "parent": group.get_parent() == folder}
    image.delete()
    return facts


for name, arguments in CASES.items():
    guarded(name, lambda: edit(name, **arguments))
guarded("strokes", strokes)
guarded("first frames", first_frames)
guarded("in group", in_group)
