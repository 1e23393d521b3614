# Runs inside GIMP after inside.py: a real photo edited with what is installed, or what it says; see test_installed.py.
import os

COARSE, GENERATE, KEEP = "plug-in-lapcvae-coarse", "plug-in-lapcvae-generate", "plug-in-lapcvae-keep"
PORTRAIT = os.path.expanduser("~/checkout/lapcvae/assets/portrait.png")


def done(name, image, layer, **arguments):
    status, message, value = call(name, image, [layer], **arguments)
    assert status == "SUCCESS", message
    return value


def edit():
    """Coarse layer, the paintbrush over the hair, two variants, the second one kept."""
    image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(PORTRAIT))
    [photo] = image.get_layers()
    before = digest(photo)
    coarse = done(COARSE, image, photo, center_x=225.7, center_y=103.3, side=171.0)
    colour = Gegl.Color.new("black")
    colour.set_rgba(0.1, 0.01, 0.01, 1.0)
    Gimp.context_set_foreground(colour)
    Gimp.context_set_brush_size(24.0)
    untouched = digest(coarse)
    x, y = offset_of(coarse)
    assert Gimp.paintbrush_default(coarse, [x + 50.0, y + 40.0, x + 85.0, y + 22.0, x + 120.0, y + 40.0])
    group = done(GENERATE, image, coarse, count=2, seed=3)
    kept = done(KEEP, image, group.get_children()[1])
    facts = {
        "painted": digest(coarse) != untouched,
        "photo same": digest(photo) == before,
        "layers": [layer.get_name() for layer in image.get_layers()],
        "masked": kept.get_mask() is not None,
        "changed": flattened(image, [coarse.get_name()]) != flattened(image, [coarse.get_name(), kept.get_name()]),
    }
    image.delete()
    return facts


def answer():
    """Whether GIMP has the plug-in, and whether it works or what it says."""
    if Gimp.get_pdb().lookup_procedure(COARSE) is None:
        return {"there": False}
    image, photo = make_photo()
    status, message, _ = call(COARSE, image, [photo])
    image.delete()
    return {"there": True, "status": status, "message": message, "check": call("plug-in-lapcvae-check", None, [])[2]}


guarded("story", edit if os.environ["STORY_ASKS"] == "edit" else answer)
