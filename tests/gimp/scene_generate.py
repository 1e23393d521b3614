# Plays the dialog of Generate Variants from inside the plug-in; see batch_window_generate.py and test_window_generate.py.
import hashlib
import json
import os
import signal

from gi.repository import Babl, Gegl, Gimp
from images import every_layer

EYES = ((168, 98, 38, 24), (226, 98, 38, 24))
RED, GREEN = (0.6, 0.05, 0.05), (0.05, 0.5, 0.1)


def said(driver):
    return driver.find("message").get_text()


def idle(driver):
    return lambda: not driver.window.asking.running


def arrived(driver):
    return len(driver.window.previews.variants)


def pictures(driver):
    """A digest of every small picture that is shown, the photo's first."""
    found = [driver.find("photo"), *(w for i in range(64) for w in driver.all(f"preview-{i}") if w.get_mapped())]
    return [hashlib.sha256(w.get_child().get_pixbuf().get_pixels()).hexdigest() for w in found]


def paint(image, layer, box, rgb):
    colour = Gegl.Color.new("black")
    colour.set_rgba_with_space(*rgb, 1.0, Babl.space("sRGB"))
    Gimp.context_set_foreground(colour)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, *box)
    layer.edit_fill(Gimp.FillType.FOREGROUND)
    Gimp.Selection.none(image)
    Gimp.displays_flush()


def coarse_of(image):
    [folder] = image.get_layers()
    return next(layer for layer in folder.get_children() if layer.get_name().startswith("Coarse"))


def tree(layers_):
    def digest(layer):
        whole = Gegl.Rectangle.new(0, 0, layer.get_width(), layer.get_height())
        return hashlib.sha256(layer.get_buffer().get(whole, 1.0, None, Gegl.AbyssPolicy.CLAMP)).hexdigest()

    return [
        [x.get_name(), x.get_visible(), list(x.get_offsets())[1:], tree(x.get_children()) if x.is_group() else digest(x)]
        for x in layers_
    ]


def kept(driver):
    """Generate, paint on, generate again, live, look closer, pick three of eight, keep them."""
    window, facts = driver.window, driver.facts
    image = Gimp.get_images()[0]
    # Beside the image's window, which is at the screen's corner.
    window.move(430, 0)
    yield idle(driver)
    yield lambda: arrived(driver) == 8 and not window.asking.running
    facts["size"] = list(window.get_size())
    facts["small"] = [[w.get_child().get_allocated_width(), w.get_child().get_allocated_height()]
                      for w in driver.all("preview-3")]
    first = pictures(driver)
    facts["different"] = len(set(first))
    facts["limits"] = driver.find("limits").get_text()
    facts["state"] = driver.find("state").get_text()
    yield 0.3
    driver.screen("generate")
    coarse = coarse_of(image)
    paint(image, coarse, EYES[0], RED)
    driver.click("generate")
    yield idle(driver)
    second = pictures(driver)
    facts["painted on"] = [first[0] == second[0], sum(a == b for a, b in zip(first, second))]
    driver.find("live").set_active(True)
    paint(image, coarse, EYES[1], GREEN)
    yield lambda: pictures(driver) != second
    yield idle(driver)
    third = pictures(driver)
    facts["live"] = sum(a == b for a, b in zip(second, third))
    # A setting counts as a change, and nothing happens without one.
    yield 1.0
    facts["live at rest"] = pictures(driver) == third
    driver.find("realism").set_value(0.0)
    yield lambda: pictures(driver) != third
    yield idle(driver)
    driver.find("live").set_active(False)
    facts["keep without any"] = driver.click("keep") or said(driver)
    for index in (1, 3):
        driver.find(f"pick-{index}").set_active(True)
    driver.click("preview-6")
    yield 0.3
    driver.click("pick-enlarged")
    driver.click("before")
    yield 0.3
    driver.click("before")
    yield 0.3
    driver.picture("enlarged")
    driver.click("next")
    driver.click("back")
    facts["label"] = driver.find("keep").get_label()
    shown = window.previews._surroundings
    crop = shown._scales[720].crop
    picture = shown.picture(window.previews.variants[1], 720)
    pixels = bytearray(picture.get_pixels())
    assert (picture.get_n_channels(), len(pixels)) == (4, 4 * crop.width * crop.height)
    del pixels[3::4]
    before = {
        "tree": tree(image.get_layers()),
        "preview": {"crop": [crop.x, crop.y, crop.width, crop.height], "pixels": pixels.hex()},
    }
    with open(os.path.join(driver.folder, "before.json"), "w") as file:
        json.dump(before, file)
    driver.click("keep")


def unpainted(driver):
    """Nothing is painted: it says so, and Live waits for the first stroke."""
    yield lambda: said(driver)
    driver.facts["said"] = said(driver)
    yield 0.5
    driver.picture("unpainted")
    driver.click("keep")
    driver.facts["keep"] = said(driver)
    driver.find("live").set_active(True)
    image = Gimp.get_images()[0]
    paint(image, coarse_of(image), EYES[0], RED)
    yield lambda: arrived(driver) == 8 and not driver.window.asking.running
    driver.facts["after"] = said(driver)
    # So that the image is as it was.
    driver.click("close")


def paintings(driver):
    """What can be chosen, and what is."""
    combo = driver.find("painting")
    return [row[0] for row in combo.get_model()], combo.get_active_text()


def choose(driver, name):
    combo = driver.find("painting")
    combo.set_active([row[0] for row in combo.get_model()].index(name))


def asked(driver):
    """What the last request said: the kind of painting, and the frame."""
    request = driver.window._task.request
    return [request.painting.kind, request.frame.cx, request.frame.cy, request.frame.side]


def painting_chosen(driver):
    """Coarse layer, then strokes, then a coarse layer that is selected in the image meanwhile."""
    facts, image = driver.facts, Gimp.get_images()[0]
    yield lambda: arrived(driver) == 8 and not driver.window.asking.running
    facts["first"] = [*paintings(driver), asked(driver), said(driver)]
    facts["cut"] = [cell.get_property("ellipsize").value_nick for cell in driver.find("painting").get_cells()]
    shown = [pictures(driver)]
    choose(driver, "strokes")
    facts["chosen"] = said(driver)
    driver.click("generate")
    yield idle(driver)
    shown.append(pictures(driver))
    facts["strokes"] = [paintings(driver)[1], asked(driver), said(driver)]
    yield 0.3
    driver.picture("painting-chosen")
    # Selected is the strokes' layer or nothing new: what was chosen stays. Then another coarse layer is selected.
    driver.click("generate")
    yield idle(driver)
    facts["again"] = [paintings(driver)[1], pictures(driver) == shown[1]]
    [second] = [x for x in image.get_layers() if x.get_name() == "second"]
    image.set_selected_layers([second])
    driver.click("generate")
    yield idle(driver)
    facts["followed"] = [paintings(driver)[1], asked(driver)]
    shown.append(pictures(driver))
    facts["different"] = len({picture[1] for picture in shown})
    image.remove_layer(second)
    driver.click("generate")
    yield idle(driver)
    facts["deleted"] = paintings(driver)
    driver.click("close")


def only_strokes(driver):
    """There is no coarse layer: which layer it is, is asked."""
    facts = driver.facts
    yield lambda: said(driver)
    facts["first"] = [*paintings(driver), said(driver), arrived(driver)]
    driver.picture("only-strokes")
    choose(driver, "strokes")
    facts["chosen"] = said(driver)
    driver.click("generate")
    yield lambda: arrived(driver) == 8 and not driver.window.asking.running
    facts["strokes"] = [asked(driver), said(driver)]
    yield 0.3
    driver.picture("strokes")
    driver.find("pick-0").set_active(True)
    driver.click("keep")


def strokes_selected(driver):
    """The selected strokes are the painting; nothing is asked before it is generated."""
    yield lambda: arrived(driver) == 8 and not driver.window.asking.running
    driver.facts["first"] = [*paintings(driver), asked(driver), said(driver)]
    # Live sees what is visible, too: where that is what counts, and only there.
    image = Gimp.get_images()[0]
    [below] = [layer for layer in every_layer(image) if layer.get_name() == "below"]
    driver.find("live").set_active(True)
    first = pictures(driver)
    paint(image, below, EYES[0], GREEN)
    yield 1.5
    driver.facts["layer alone"] = pictures(driver) == first
    driver.find("source").set_active_id("visible")
    yield lambda: pictures(driver) != first
    yield idle(driver)
    second = pictures(driver)
    paint(image, below, EYES[1], GREEN)
    yield lambda: pictures(driver) != second
    yield idle(driver)
    driver.find("live").set_active(False)
    driver.find("pick-0").set_active(True)
    driver.click("keep")


def closed_at_once(driver):
    yield 0.1
    driver.window.close()


def second_arrives(driver):
    yield lambda: arrived(driver) == 2


def cancelled(driver):
    """Cancel after the second preview leaves two; the connection serves the next."""
    yield from second_arrives(driver)
    driver.picture("running")
    driver.click("cancel")
    yield idle(driver)
    driver.facts["left"] = [arrived(driver), len(pictures(driver)) - 1]
    driver.facts["said"] = said(driver)
    driver.find("count").set_value(1)
    driver.click("generate")
    yield idle(driver)
    driver.facts["next"] = [arrived(driver), said(driver)]
    driver.find("count").set_value(8)
    driver.find("seed").set_value(77)
    driver.click("close")


def worker_killed(driver):
    from lapcvae.protocol import client

    driver.facts["remembered"] = driver.find("seed").get_value_as_int()
    yield from second_arrives(driver)
    os.kill(client.running_worker(), signal.SIGKILL)
    yield idle(driver)
    driver.facts["said"], driver.facts["left"] = said(driver), arrived(driver)
    driver.find("count").set_value(1)
    driver.click("generate")
    yield idle(driver)
    driver.facts["next"] = [arrived(driver), said(driver)]
    # Also when it dies while nothing runs.
    os.kill(client.running_worker(), signal.SIGKILL)
    driver.click("generate")
    yield idle(driver)
    driver.facts["next again"] = [arrived(driver), said(driver)]
    driver.find("count").set_value(8)
    driver.click("close")


def closed_while_running(driver):
    yield from second_arrives(driver)
    driver.click("close")


def plug_in_killed(driver):
    yield from second_arrives(driver)
    with open(os.path.join(driver.folder, "killed"), "w"):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def painting_deleted(driver):
    """The coarse layer goes and comes back while variants arrive."""
    image = Gimp.get_images()[0]
    yield from second_arrives(driver)
    image.undo_group_start()
    image.remove_layer(coarse_of(image))
    image.undo_group_end()
    yield lambda: said(driver)
    driver.facts["said"] = said(driver)
    yield idle(driver)
    driver.facts["left"] = arrived(driver)
    driver.click("generate")
    yield idle(driver)
    driver.facts["generate"] = said(driver)
    driver.picture("deleted")
    # What was generated can still be kept.
    driver.find("pick-0").set_active(True)
    driver.click("keep")


def photo_scaled(driver):
    image = Gimp.get_images()[0]
    yield from second_arrives(driver)
    image.scale(256, 256)
    yield lambda: said(driver)
    driver.facts["said"] = said(driver)
    yield idle(driver)
    driver.find("pick-0").set_active(True)
    driver.click("keep")
    driver.facts["keep"] = said(driver)
    # The coarse layer was scaled along, so the painting still counts.
    driver.click("generate")
    yield idle(driver)
    driver.facts["generate"] = said(driver)
    driver.click("close")


def image_closed(driver):
    yield from second_arrives(driver)
    with open(os.path.join(driver.folder, "display.txt")) as file:
        Gimp.Display.get_by_id(int(file.read())).delete()
    yield lambda: said(driver)
    driver.facts["said"] = said(driver)
    yield idle(driver)
    for button in ("generate", "keep"):
        if button == "keep":
            driver.find("pick-0").set_active(True)
        driver.click(button)
        yield 0.5
        driver.facts[button] = said(driver)
    driver.picture("image-closed")
    driver.click("close")


def scene(driver):
    with open("/mnt/run/case.txt") as file:
        case = file.read()
    driver.facts["case"] = case
    yield from globals()[case](driver)


SCENES = {"lapcvae-generate": scene}
