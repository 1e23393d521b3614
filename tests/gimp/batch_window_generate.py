# Runs inside GIMP with its window, after inside.py and window.py: the dialog of Generate Variants; see
# test_window_generate.py. scene_generate.py plays the dialogs; which part is told by the name of the case in a file.
import glob
import os

FACE, SECOND = (222.0, 120.0, 208.0), (240.0, 120.0, 208.0)
EYES = ((168, 98, 38, 24), (226, 98, 38, 24))
DARK, RED = (0.04, 0.04, 0.05), (0.6, 0.05, 0.05)
# Over both eyes dark boxes are sunglasses, and with another colour on one they no longer are.
SKIN = (0.8, 0.62, 0.52)


def open_photo():
    """The portrait in a group, above a plain layer, in a window of its own."""
    file = Gio.File.new_for_path("/mnt/project/lapcvae/assets/portrait.png")
    image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, file)
    [photo] = image.get_layers()
    photo.set_name("photo")
    folder = Gimp.GroupLayer.new(image, "folder")
    image.insert_layer(folder, None, 0)
    image.reorder_item(photo, folder, 0)
    status, message, coarse = call(
        "plug-in-lapcvae-coarse", image, [photo], level=3, center_x=FACE[0], center_y=FACE[1], side=FACE[2]
    )
    assert status == "SUCCESS", message
    display = Gimp.Display.new(image)
    with open("/mnt/run/display.txt", "w") as file:
        file.write(str(display.get_id()))
    return image, photo, coarse, display


def set_scene(case):
    with open("/mnt/run/case.txt", "w") as file:
        file.write(case)


def played():
    """How many scenes have come to their end."""
    return len(glob.glob("/mnt/run/lapcvae-*.json"))


def dialog(case, image, layer):
    """Open the dialog; the scene of that name plays it."""
    set_scene(case)
    return call("plug-in-lapcvae-generate", image, [layer], Gimp.RunMode.INTERACTIVE)


def away(image, display):
    if display.is_valid():
        display.delete()
    elif image.is_valid():
        image.delete()


def kept():
    image, photo, coarse, display = open_photo()
    for box in EYES:
        paint(image, coarse, box, SKIN)
    position = image.get_item_position(photo)
    status, message, group = dialog("kept", image, coarse)
    assert status == "SUCCESS", message
    with open("/mnt/run/before.json") as file:
        before = json.load(file)
    variants = group.get_children()
    facts = {
        "names": [v.get_name() for v in variants],
        "visible": [v.get_visible() for v in variants],
        "masks": [v.get_mask() is not None for v in variants],
        "directly above": group.get_parent() == photo.get_parent() and image.get_item_position(group) == position,
        "changed": tree(image.get_layers()) != before["tree"],
        "preview": preview_differs(image, before["preview"]),
    }
    focus_gimp()
    press("ctrl+z")
    facts["undone"] = wait_until(lambda: not group.is_valid())
    facts["as before"] = tree(image.get_layers()) == before["tree"]
    facts["selected"] = [layer.get_name() for layer in image.get_selected_layers()]
    away(image, display)
    return facts


def preview_differs(image, preview):
    """How far, in steps of 255, the enlarged preview of the visible variant is from what GIMP shows in its place."""
    copy = image.duplicate()
    flat = copy.flatten()
    x, y, width, height = preview["crop"]
    seen = flat.get_buffer().get(rectangle(x, y, width, height), 1.0, "R'G'B' u8", Gegl.AbyssPolicy.NONE)
    copy.delete()
    data = bytes.fromhex(preview["pixels"])
    assert len(seen) == len(data), (len(seen), len(data))
    return max(abs(a - b) for a, b in zip(seen, data))


def started(case, coarse_painted=True):
    image, photo, coarse, display = open_photo()
    if coarse_painted:
        for box in EYES:
            paint(image, coarse, box, DARK)
    before = tree(image.get_layers())
    status, message, group = dialog(case, image, coarse)
    facts = {"status": status, "message": message, "group": group and group.get_name(), "open": image.is_valid()}
    if image.is_valid():
        facts["same"] = tree(image.get_layers()) == before
    away(image, display)
    return facts


def strokes(image, colour):
    """A transparent layer above everything, with strokes over both eyes."""
    kind = Gimp.ImageType.RGBA_IMAGE
    layer = Gimp.Layer.new(image, "strokes", image.get_width(), image.get_height(), kind, 100.0, Gimp.LayerMode.NORMAL)
    image.insert_layer(layer, None, 0)
    for box in EYES:
        paint(image, layer, box, colour)
    return layer


def painting_chosen():
    """Two coarse layers of different places, and strokes; the first one is selected."""
    image, photo, coarse, display = open_photo()
    x, y, side = SECOND
    status, message, second = call("plug-in-lapcvae-coarse", image, [photo], level=3, center_x=x, center_y=y, side=side)
    assert status == "SUCCESS", message
    second.set_name("second")
    image.reorder_item(second, None, 0)
    for layer in (coarse, second):
        for box in EYES:
            paint(image, layer, box, DARK)
    strokes(image, RED)
    # Neither below the photo nor without alpha.
    for name, kind, position in (("opaque", "RGB_IMAGE", 0), ("below", "RGBA_IMAGE", len(image.get_layers()) + 1)):
        other = Gimp.Layer.new(image, name, 64, 64, getattr(Gimp.ImageType, kind), 100.0, Gimp.LayerMode.NORMAL)
        image.insert_layer(other, None, position)
    image.set_selected_layers([coarse])
    status, message, _ = dialog("painting_chosen", image, coarse)
    facts = {"status": status, "message": message}
    away(image, display)
    return facts


def only_strokes():
    image, photo, coarse, display = open_photo()
    image.remove_layer(coarse)
    layer = strokes(image, RED)
    before = tree(image.get_layers())
    status, message, group = dialog("only_strokes", image, photo)
    facts = {
        "status": status, "message": message, "above photo": group.get_parent() == photo.get_parent(),
        "painting hidden": not layer.get_visible(), "photo same": tree([photo]) == tree_of(before, "photo"),
    }  # fmt: skip
    away(image, display)
    return facts


def strokes_selected():
    """The layer of strokes is still selected, as one leaves it, and there is no coarse layer. Through the photo one sees
    another layer below it."""
    image, photo, coarse, display = open_photo()
    image.remove_layer(coarse)
    photo.set_opacity(50.0)
    below = photo.copy()
    below.set_name("below")
    image.insert_layer(below, photo.get_parent(), 1)
    below.set_opacity(100.0)
    layer = strokes(image, RED)
    before = tree(image.get_layers())
    status, message, group = dialog("strokes_selected", image, layer)
    facts = {
        "status": status, "message": message, "above photo": group.get_parent() == photo.get_parent(),
        "painting hidden": not layer.get_visible(), "photo same": tree([photo]) == tree_of(before, "photo"),
    }  # fmt: skip
    away(image, display)
    return facts


def tree_of(trees, name):
    """The part of a `tree` with the layer of that name."""
    for one in trees:
        if one[0] == name:
            return [one]
        if isinstance(one[3], list) and (found := tree_of(one[3], name)):
            return found
    return None


def from_the_menu():
    """Started as a user does it: only then GIMP does not hold on to an image that is closed."""
    image, photo, coarse, display = open_photo()
    for box in EYES:
        paint(image, coarse, box, DARK)
    image.set_selected_layers([coarse])
    Gimp.displays_flush()
    set_scene("image_closed")
    before = played()
    focus_gimp()
    # Filters > LapCVAE, the last submenu, > _Generate Variants...
    subprocess.run(["xdotool", "mousemove", "427", "12", "click", "1"], check=True)
    for key in ("End", "Up", "Right", "g"):
        time.sleep(0.5)
        press(key)
    facts = {"ended": wait_until(lambda: played() > before), "open": image.is_valid()}
    # What GIMP has to say, it says in a window of its own.
    time.sleep(2)
    facts["windows"] = len(windows("GIMP Message"))
    return facts


OWN = {"kept": kept, "painting_chosen": painting_chosen, "only_strokes": only_strokes,
       "strokes_selected": strokes_selected, "image_closed": from_the_menu}
for case in os.environ["CASES"].split():
    guarded(case, OWN.get(case) or (lambda: started(case, case != "unpainted")))
