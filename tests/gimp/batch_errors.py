# Runs inside GIMP after inside.py: what is refused, with which words, and that nothing changes; see test_plugin.py.
COARSE, GENERATE = "plug-in-lapcvae-coarse", "plug-in-lapcvae-generate"


def refused(image, name, drawables, **arguments):
    """Status and message of a call, and whether the image is the same afterwards."""

    def state():
        return [(x.get_name(), x.get_visible(), None if x.is_group() else digest(x)) for x in image.get_layers()]

    before = state()
    status, message, _ = call(name, image, drawables, **arguments)
    return {"status": status, "message": message, "unchanged": state() == before}


def errors():
    image, photo = make_photo()
    below = image.get_layers()[1]
    folder = Gimp.GroupLayer.new(image, "folder")
    image.insert_layer(folder, None, 0)
    found = {
        "two layers": refused(image, COARSE, [photo, below]),
        "no layer": refused(image, COARSE, []),
        "group": refused(image, COARSE, [folder]),
        "no coarse layer": refused(image, GENERATE, [photo]),
        "no transparency": refused(image, GENERATE, [photo], painting=below),
        "model": refused(image, COARSE, [photo], model="no-such-model"),
        "frame": refused(image, COARSE, [photo], side=0.5),
    }
    status, message, coarse = call(COARSE, image, [photo])
    assert status == "SUCCESS", message
    found["nothing painted"] = refused(image, GENERATE, [coarse])
    photo.scale(100, 80, False)
    found["photo scaled"] = refused(image, GENERATE, [coarse])
    image.remove_layer(photo)
    found["photo gone"] = refused(image, GENERATE, [coarse])
    channel = Gimp.Channel.new(image, "A channel", 20, 20, 50.0, Gegl.Color.new("red"))
    image.insert_channel(channel, None, 0)
    found["channel"] = refused(image, COARSE, [channel])
    # What GIMP makes when the quick mask is turned on.
    channel.set_name("Qmask")
    found["quick mask"] = refused(image, COARSE, [channel])
    found["quick mask, layer"] = refused(image, COARSE, [below])
    image.remove_channel(channel)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 20, 20, 40, 40)
    floating = Gimp.Selection.float(image, [below], 5, 5)
    found["floating selection"] = refused(image, COARSE, [floating])
    Gimp.floating_sel_anchor(floating)
    image.delete()
    indexed = Gimp.Image.new(20, 20, Gimp.ImageBaseType.INDEXED)
    layer = Gimp.Layer.new(indexed, "x", 20, 20, Gimp.ImageType.INDEXED_IMAGE, 100.0, Gimp.LayerMode.NORMAL)
    indexed.insert_layer(layer, None, 0)
    found["indexed"] = refused(indexed, COARSE, [layer])
    indexed.delete()
    return found


guarded("errors", errors)
