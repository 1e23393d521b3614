# Runs inside GIMP (see conftest.py): Gimp, Gegl, Gio, GLib are there; what is put into FACTS reaches the test.
import hashlib
import json
import math
import struct
import traceback

from gi.repository import Babl

Gegl.init(None)
WIDTH, HEIGHT = 200, 160
PRECISIONS = {
    "u8": Gimp.Precision.U8_NON_LINEAR,
    "u8 linear": Gimp.Precision.U8_LINEAR,
    "u16": Gimp.Precision.U16_NON_LINEAR,
    "f4 linear": Gimp.Precision.FLOAT_LINEAR,
    "u32": Gimp.Precision.U32_NON_LINEAR,
    "half": Gimp.Precision.HALF_PERCEPTUAL,
}


def rectangle(x, y, width, height):
    return Gegl.Rectangle.new(x, y, width, height)


def raw(drawable, box=None):
    """The drawable's own bytes."""
    box = box or (0, 0, drawable.get_width(), drawable.get_height())
    return drawable.get_buffer().get(rectangle(*box), 1.0, None, Gegl.AbyssPolicy.CLAMP)


def digest(drawable):
    return hashlib.sha256(raw(drawable)).hexdigest()


def floats(drawable, name, box):
    data = drawable.get_buffer().get(rectangle(*box), 1.0, name, Gegl.AbyssPolicy.NONE)
    return list(struct.unpack("<%df" % (len(data) // 4), data))


def picture(width, height):
    """Something smooth with texture and saturated stripes, in perceptual RGBA floats; alpha is 1 but for a corner."""
    values = []
    for y in range(height):
        for x in range(width):
            grain = 0.05 * math.sin(x * 1.7 + y * y * 0.31)
            skin = 0.35 + 0.4 * math.exp(-((x - width / 2) ** 2 + (y - height / 2) ** 2) / 4000)
            if y > height - 40:
                # Where 8 bits of another colour space lose most: one channel strong, another near 0.
                values += [(0.9, 0.03, 0.02)[(x // 30 + c) % 3] + grain / 3 for c in range(3)] + [1.0]
                continue
            values += [
                skin + grain,
                0.75 * skin + grain,
                0.6 * skin + 0.1 * x / width,
                0.25 if x < 20 and y < 20 else 1.0,
            ]
    return struct.pack("<%df" % len(values), *values)


PICTURE = picture(WIDTH, HEIGHT)


def make_photo(precision="u8", gray=False, alpha=False, profile=None, canvas=(WIDTH, HEIGHT), offset=(0, 0)):
    """An image with a plain background and, above it, the photo layer."""
    base = Gimp.ImageBaseType.GRAY if gray else Gimp.ImageBaseType.RGB
    if isinstance(precision, str):
        precision = PRECISIONS[precision]
    image = Gimp.Image.new_with_precision(*canvas, base, precision)
    if profile:
        assert image.set_color_profile(profile)
    kinds = {(0, 0): "RGB_IMAGE", (0, 1): "RGBA_IMAGE", (1, 0): "GRAY_IMAGE", (1, 1): "GRAYA_IMAGE"}
    kind = getattr(Gimp.ImageType, kinds[int(gray), int(alpha)])
    below = Gimp.Layer.new(image, "below", *canvas, kind, 100.0, Gimp.LayerMode.NORMAL)
    image.insert_layer(below, None, 0)
    photo = Gimp.Layer.new(image, "photo", WIDTH, HEIGHT, kind, 100.0, Gimp.LayerMode.NORMAL)
    image.insert_layer(photo, None, 0)
    photo.set_offsets(*offset)
    buffer = photo.get_buffer()
    buffer.set(rectangle(0, 0, WIDTH, HEIGHT), "R'G'B'A float", PICTURE)
    buffer.flush()
    del buffer
    return image, photo


def call(name, image, drawables, run_mode=Gimp.RunMode.NONINTERACTIVE, **arguments):
    """(status as text, message, returned value) of a procedure of the plug-in; `image` None: without an image."""
    pdb = Gimp.get_pdb()
    procedure = pdb.lookup_procedure(name)
    assert procedure is not None, f"no procedure {name}"
    config = procedure.create_config()
    config.set_property("run-mode", run_mode)
    if image:
        config.set_property("image", image)
        config.set_core_object_array("drawables", drawables)
    for key, value in arguments.items():
        config.set_property(key.replace("_", "-"), value)
        assert config.get_property(key.replace("_", "-")) == value, (key, value)
    values = procedure.run(config)
    names = {int(getattr(Gimp.PDBStatusType, n)): n for n in ("SUCCESS", "EXECUTION_ERROR", "CALLING_ERROR", "CANCEL")}
    status = names.get(int(values.index(0)), str(int(values.index(0))))
    if status != "SUCCESS":
        return status, pdb.get_last_error(), None
    return status, "", values.index(1)


def paint(image, layer, box, rgb):
    """Fill a box (of the image) of the layer with a colour, the way a user would."""
    colour = Gegl.Color.new("black")
    colour.set_rgba_with_space(*rgb, 1.0, Babl.space("sRGB"))
    Gimp.context_set_foreground(colour)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, *box)
    layer.edit_fill(Gimp.FillType.FOREGROUND)
    Gimp.Selection.none(image)


def every(layers):
    """These layers and all that are in them, from top to bottom."""
    return [x for layer in layers for x in (layer, *(every(layer.get_children()) if layer.is_group() else ()))]


def flattened(image, hidden=()):
    """The bytes of the flattened image, in its own format, without the layers named in `hidden`."""
    copy = image.duplicate()
    for layer in every(copy.get_layers()):
        if layer.get_name() in hidden:
            layer.set_lock_visibility(False)
            layer.set_visible(False)
    data = raw(copy.flatten())
    copy.delete()
    return data


def compare(image, group):
    """How the flattened image with the group differs from the one without it, inside and outside its mask."""
    mask = group.get_children()[0].get_mask()
    with_group, without = flattened(image), flattened(image, [group.get_name()])
    width, height = image.get_width(), image.get_height()
    size = len(without) // (width * height)
    x, y = offset_of(mask)
    values = floats(mask, "Y float", (-x, -y, width, height))
    facts = {"outside": 0, "outside differs": 0, "inside": 0, "inside differs": 0}
    for i, value in enumerate(values):
        where = "inside" if value > 0 else "outside"
        facts[where] += 1
        facts[where + " differs"] += with_group[i * size : (i + 1) * size] != without[i * size : (i + 1) * size]
    return facts


def offset_of(item):
    return list(item.get_offsets())[1:]


def guarded(name, work):
    """FACTS[name] = what `work` returns, or how it failed, so that one failing case does not hide the others."""
    try:
        FACTS[name] = work()
    except Exception:
        FACTS[name] = {"failed": traceback.format_exc()}
