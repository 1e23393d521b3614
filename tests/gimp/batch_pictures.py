# Runs inside GIMP with its window, after inside.py: the stories of pictures.py, painted with GIMP's own brush.
import json
import subprocess


def told(story):
    """Frame, painting, variants, Keep This Variant; what GIMP shows before, painted and after."""
    with open("/mnt/run/story.json", "w") as file:
        json.dump(story, file)
    image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(story["photo"]))
    [photo] = image.get_layers()
    shot(image, story["name"], "before")
    Gimp.context_set_brush_size(story["strokes"][0]["size"])
    status, message, coarse = call("plug-in-lapcvae-coarse", image, [photo], Gimp.RunMode.INTERACTIVE)
    assert status == "SUCCESS", message
    shot(image, story["name"], "coarse")
    for stroke in story["strokes"]:
        brush(coarse, **stroke)
    shot(image, story["name"], "painted")
    status, message, group = call("plug-in-lapcvae-generate", image, [coarse], Gimp.RunMode.INTERACTIVE)
    assert status == "SUCCESS", message
    status, message, kept = call("plug-in-lapcvae-keep", image, [group])
    assert status == "SUCCESS", message
    shot(image, story["name"], "after")
    layers = [[x.get_name(), x.get_visible()] for x in image.get_layers()]
    image.delete()
    return layers


def brush(layer, colour, size, points, opacity, hardness):
    """One stroke of the paintbrush; `points` in image pixels."""
    Gimp.context_set_brush(Gimp.Brush.get_by_name(f"2. Hardness {hardness}"))
    Gimp.context_set_brush_size(size)
    Gimp.context_set_opacity(opacity)
    rgb = Gegl.Color.new("black")
    rgb.set_rgba_with_space(*(c / 255 for c in colour), 1.0, Babl.space("sRGB"))
    Gimp.context_set_foreground(rgb)
    Gimp.paintbrush_default(layer, [n for point in points for n in point])


def shot(image, name, what):
    """What GIMP shows of the image, as a file."""
    copy = image.duplicate()
    copy.flatten()
    file = Gio.File.new_for_path(f"/mnt/run/{name}-{what}.png")
    Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, copy, file, None)
    copy.delete()


# Else the mouse, in the middle of the screen, opens a tooltip over a picture.
subprocess.run(["xdotool", "mousemove", "1399", "899"], check=True)
with open("/mnt/run/stories.json") as file:
    for one in json.load(file):
        guarded(one["name"], lambda: told(one))
