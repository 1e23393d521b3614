# Runs inside GIMP after inside.py, for felt.py: when a user pressed what, and when it was there.
import time

PHOTO = "/mnt/project/lapcvae/assets/portrait.png"
# How long a side of the box is, in sides of the frame, when all but the frame's rim is painted.
BOX = 1.064


def twenty_four_megapixels(side):
    """A photo of 6000 x 4000 with a face of `side` pixels across the frame, and where the frame is."""
    image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(PHOTO))
    scale = side / 171
    image.scale(round(image.get_width() * scale), round(image.get_height() * scale))
    image.resize(6000, 4000, 1500, 900)
    image.get_layers()[0].resize_to_image_size()
    return image, image.get_layers()[0], (1500 + 225 * scale, 900 + 108 * scale)


def timed(facts, name, work):
    begun = time.monotonic()
    status, message, value = work()
    facts.setdefault(name, []).append([begun, time.monotonic()])
    assert status == "SUCCESS", message
    return value


def felt(megapixels, times):
    facts, side = {}, round(math.sqrt(megapixels * 1e6) / BOX)
    image, photo, (x, y) = twenty_four_megapixels(side)
    frame = {"center_x": x, "center_y": y, "side": float(side)}
    coarse = timed(facts, "coarse", lambda: call("plug-in-lapcvae-coarse", image, [photo], level=2, **frame))
    half = side // 2 - round(side * 0.034)
    paint(image, coarse, (int(x) - half, int(y) - half, 2 * half, 2 * half), (0.7, 0.5, 0.4))
    group = timed(facts, "generate", lambda: call("plug-in-lapcvae-generate", image, [coarse], count=8))
    first = group.get_children()[0]
    facts["megapixels"] = first.get_width() * first.get_height() / 1e6
    for _ in range(times):
        group = timed(facts, "again", lambda: call("plug-in-lapcvae-again", image, [photo]))
        image.remove_layer(group)
    image.delete()
    return facts


# The first one is what a fresh GIMP is used for.
for megapixels in (0.5, 0.1, 1, 2, 4):
    FACTS[str(megapixels)] = felt(megapixels, 8 if megapixels < 2 else 5)
