# Runs inside GIMP's window after inside.py: Make Coarse Layer's dialog, call by call as scene_frame.py plays it.
import os

COARSE = "plug-in-lapcvae-coarse"
EYES = ((204.0, 101.0), (247.0, 103.0))
OFFSET = (37, -5)


def portrait():
    image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path("/mnt/project/lapcvae/assets/portrait.png"))
    photo = image.get_layers()[0]
    photo.set_offsets(*OFFSET)
    return image, photo


def ask(image, drawable):
    before = [x.get_id() for x in image.get_layers()]
    status, message, layer = call(COARSE, image, [drawable], Gimp.RunMode.INTERACTIVE)
    facts = {"status": status, "message": message, "new": len(image.get_layers()) - len(before)}
    if layer:
        facts["place"] = [*offset_of(layer), layer.get_width(), layer.get_height()]
        facts["record"] = json.loads(bytes(layer.get_parasite("lapcvae-coarse").get_data()))
        facts["brush"] = Gimp.context_get_brush_size()
        width, height = layer.get_width(), layer.get_height()
        facts["corner alpha"] = floats(layer, "R'G'B'A float", (0, 0, 1, 1))[3]
        facts["middle alpha"] = floats(layer, "R'G'B'A float", (width // 2, height // 2, 1, 1))[3]
    return facts


def play():
    image, photo = portrait()
    Gimp.context_set_brush_size(60)
    calls = {"dragged": ask(image, photo), "left first": ask(image, photo)}
    # From the coarse layer itself, which remembers its photo.
    calls["right first"] = ask(image, image.get_layers()[1])
    path = Gimp.Path.new(image, "eyes")
    image.insert_path(path, None, 0)
    points = [n for x, y in EYES for n in (x + OFFSET[0], y + OFFSET[1]) * 3]
    path.stroke_new_from_points(Gimp.PathStrokeType.BEZIER, points, False)
    calls["path"] = ask(image, photo)
    image.delete()
    image, photo = portrait()
    # A square of 90 around (300, 200) of the photo.
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 255 + OFFSET[0], 155 + OFFSET[1], 90, 90)
    calls["selected"] = ask(image, photo)
    image.delete()
    return calls


def broken():
    image, photo = portrait()
    facts = {"broken": ask(image, photo), "no layer": call(COARSE, image, [], Gimp.RunMode.INTERACTIVE)[:2]}
    image.delete()
    return facts


guarded("calls", broken if "nowhere" in os.environ.get("LAPCVAE_PYTHON", "") else play)
guarded("check", lambda: call("plug-in-lapcvae-check", None, [], Gimp.RunMode.INTERACTIVE))
