# Runs inside GIMP after inside.py, for felt.py: how long a user waits, in seconds.
import time

SIDE = 704
PHOTO = "/mnt/project/lapcvae/assets/portrait.png"


def twenty_four_megapixels():
    """A photo of 6000 x 4000 with a face of SIDE pixels across the frame, and where the frame is."""
    image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(PHOTO))
    scale = SIDE / 171
    image.scale(round(image.get_width() * scale), round(image.get_height() * scale))
    image.resize(6000, 4000, 1500, 900)
    image.get_layers()[0].resize_to_image_size()
    return image, image.get_layers()[0], (1500 + 225 * scale, 900 + 108 * scale)


def timed(name, work):
    begun = time.monotonic()
    answer = work()
    FACTS[name].append(time.monotonic() - begun)
    assert answer[0] == "SUCCESS", answer
    return answer[2]


image, photo, (x, y) = twenty_four_megapixels()
for name in ("first coarse", "first generate", "again"):
    FACTS[name] = []
frame = {"center_x": x, "center_y": y, "side": float(SIDE)}
coarse = timed("first coarse", lambda: call("plug-in-lapcvae-coarse", image, [photo], level=2, **frame))
half = SIDE // 2 - 24
paint(image, coarse, (int(x) - half, int(y) - half, 2 * half, 2 * half), (0.7, 0.5, 0.4))
group = timed("first generate", lambda: call("plug-in-lapcvae-generate", image, [coarse], count=8))
first = group.get_children()[0]
FACTS["megapixels of the box"] = first.get_width() * first.get_height() / 1e6
for _ in range(7):
    group = timed("again", lambda: call("plug-in-lapcvae-again", image, [photo]))
    image.remove_layer(group)
with open("/mnt/run/state/worker.log") as file:
    FACTS["log"] = [line.strip() for line in file if "EditRequest" in line]
