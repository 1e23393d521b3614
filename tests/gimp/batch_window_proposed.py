# Runs inside GIMP's window after inside.py: Make Coarse Layer's dialog looks for the face; played by scene_proposed.py.
import time

COARSE = "plug-in-lapcvae-coarse"
EYES = ((204.0, 101.0), (247.0, 103.0))


def portrait():
    image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path("/mnt/project/lapcvae/assets/portrait.png"))
    return image, image.get_layers()[0]


def two():
    """The portrait twice, side by side in one layer."""
    image, photo = portrait()
    image.resize(1024, 512, 0, 0)
    beside = photo.copy()
    image.insert_layer(beside, None, 0)
    beside.set_offsets(512, 0)
    return image, image.merge_visible_layers(Gimp.MergeType.CLIP_TO_IMAGE)


def nobody():
    image = Gimp.Image.new(400, 300, Gimp.ImageBaseType.RGB)
    layer = Gimp.Layer.new(image, "photo", 400, 300, Gimp.ImageType.RGB_IMAGE, 100.0, Gimp.LayerMode.NORMAL)
    image.insert_layer(layer, None, 0)
    layer.fill(Gimp.FillType.WHITE)
    return image, layer


def selected():
    """The right one of two faces is selected, roughly."""
    image, photo = two()
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 512 + 130, 20, 200, 200)
    return image, photo


def path():
    image, photo = portrait()
    drawn = Gimp.Path.new(image, "eyes")
    image.insert_path(drawn, None, 0)
    points = [n for x, y in EYES for n in (x, y) * 3]
    drawn.stroke_new_from_points(Gimp.PathStrokeType.BEZIER, points, False)
    return image, photo


def ask(made):
    image, photo = made()
    began = time.monotonic()
    status, message, layer = call(COARSE, image, [photo], Gimp.RunMode.INTERACTIVE)
    facts = {"status": status, "message": message, "seconds": time.monotonic() - began}
    if layer:
        facts["record"] = json.loads(bytes(layer.get_parasite("lapcvae-coarse").get_data()))
    image.delete()
    return facts


CALLS = {
    "one": portrait, "two": two, "nobody": nobody, "selected": selected, "path": path, "moved": portrait, "held": portrait,
    "ok at once": portrait, "asked meanwhile": portrait, "closed meanwhile": portrait, "another model": portrait,
    "without finder": portrait,
}  # fmt: skip
for name, made in CALLS.items():
    guarded(name, lambda: ask(made))
