# Runs inside GIMP with its window, after inside.py and window.py: the whole story of an edit, and all of it undone and
# redone with the keys; see test_window_story.py. scene_story.py plays the dialogs.
import gi

gi.require_version("Gdk", "3.0")
from gi.repository import Gdk  # noqa: E402

EYES = ((202.0, 101.0), (247.0, 103.0))
DARK = (0.04, 0.04, 0.05)


def screen(name):
    """The whole screen, as NAME.png in the run's folder, once GIMP has drawn it."""
    Gimp.displays_flush()
    time.sleep(1)
    Gdk.init([])
    root = Gdk.get_default_root_window()
    picture = Gdk.pixbuf_get_from_window(root, 0, 0, root.get_width(), root.get_height())
    picture.savev(f"/mnt/run/{name}.png", "png", [], [])


def everything(layers_):
    """All that the plug-in or an undo could change of layers, what is in groups below it."""
    found = []
    for x in layers_:
        mask = x.get_mask()
        remembered = sorted(
            [name, hashlib.sha256(bytes(x.get_parasite(name).get_data())).hexdigest()] for name in x.get_parasite_list()
        )
        look = [x.get_visible(), x.get_opacity(), int(x.get_mode()), x.get_edit_mask(), x.get_apply_mask()]
        pixels = everything(x.get_children()) if x.is_group() else digest(x)
        found.append([x.get_name(), offset_of(x), look, remembered, pixels, mask and digest(mask)])
    return found


def interactive(name, layer):
    status, message, value = call(name, image, [layer], Gimp.RunMode.INTERACTIVE)
    assert status == "SUCCESS", message
    return value


def stroke(layer):
    """Over both eyes, with a brush as wide as a lens of sunglasses is high."""
    colour = Gegl.Color.new("black")
    colour.set_rgba_with_space(*DARK, 1.0, Babl.space("sRGB"))
    Gimp.context_set_foreground(colour)
    Gimp.context_set_brush(Gimp.Brush.get_by_name("2. Hardness 050"))
    Gimp.context_set_brush_size(26.0)
    assert Gimp.paintbrush_default(layer, [n for point in EYES for n in point])


def now():
    return everything(image.get_layers())


def step(name):
    STATES.append(now())
    FACTS["steps"].append([name, [x.get_name() for x in every(image.get_layers())]])
    screen(f"story-{len(STATES) - 1}-{name}")


def pressed(key, wanted):
    """Whether GIMP's window came to the wanted state by the key."""
    press(key)
    return bool(wait_until(lambda: now() == wanted))


image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path("/mnt/project/lapcvae/assets/portrait.png"))
display = Gimp.Display.new(image)
STATES, FACTS["steps"] = [], []
focus_gimp()
step("opened")
coarse = interactive("plug-in-lapcvae-coarse", image.get_layers()[0])
step("coarse")
stroke(coarse)
step("painted")
group = interactive("plug-in-lapcvae-generate", coarse)
step("generated")
interactive("plug-in-lapcvae-keep", group.get_children()[0])
step("kept")
FACTS["different"] = len({json.dumps(state) for state in STATES})

focus_gimp()
FACTS["undone"] = [pressed("ctrl+z", state) for state in STATES[-2::-1]]
screen("story-5-undone")
FACTS["redone"] = [pressed("ctrl+y", state) for state in STATES[1:]]
screen("story-6-redone")
FACTS["undone again"] = [pressed("ctrl+z", state) for state in STATES[-2::-1]]
# There is nothing more to undo. (After such a press GIMP takes no other key until the mouse is used.)
press("ctrl+z")
time.sleep(1)
FACTS["once more"] = now() == STATES[0]
display.delete()
