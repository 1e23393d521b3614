# Plays the plug-in's dialogs in German, from inside the plug-in; see batch_window_german.py and test_window_german.py.
from gi.repository import Gimp


def words(driver):
    """Every text that the dialog shows, and the labels that are cut off."""
    from gi.repository import Gtk

    shown, cut, waiting = [driver.window.get_title()], [], [driver.window]
    while waiting:
        widget = waiting.pop(0)
        if isinstance(widget, Gtk.Container):
            widget.forall(waiting.append)
        if isinstance(widget, Gtk.Label) and widget.get_mapped():
            shown.append(widget.get_text())
            if widget.get_layout().is_ellipsized():
                cut.append(widget.get_text())
        if isinstance(widget, Gtk.ComboBoxText):
            shown.append(widget.get_active_text())
    return shown, cut


def look(driver, name):
    from gi.repository import Gdk

    window = driver.window.get_window()
    # What lies under another window, GTK does not draw.
    there = Gdk.pixbuf_get_from_window(window, 0, 0, window.get_width(), window.get_height())
    driver.facts["drawn"] = any(there.get_pixels())
    driver.facts["words"], driver.facts["cut"] = words(driver)
    driver.facts["size"] = [driver.window.get_allocated_width(), driver.window.get_allocated_height()]
    driver.picture(name)


def ask_for_help(driver, button):
    from gi.repository import Gtk

    driver.click(button)

    def opened():
        return [w for w in Gtk.Window.list_toplevels() if w.get_name() == "lapcvae-help"]

    # Its own scene closes it.
    yield lambda: opened() and opened()[0].get_mapped()
    yield lambda: not opened()


def frame(driver):
    yield lambda: driver.find("lapcvae-frame-facts").get_text()
    yield 1
    look(driver, "german-frame")
    yield from ask_for_help(driver, "lapcvae-frame-help")
    driver.click("lapcvae-frame-ok")


def generate(driver):
    yield lambda: driver.find("message").get_text()
    driver.facts["message"] = driver.find("message").get_text()
    driver.picture("german-unpainted")
    yield from ask_for_help(driver, "help")
    [image] = Gimp.get_images()
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 160, 90, 100, 30)
    image.get_layers()[0].edit_fill(Gimp.FillType.FOREGROUND)
    Gimp.Selection.none(image)
    driver.find("count").set_value(2)
    driver.click("generate")
    yield lambda: len(driver.window.previews.variants) == 2 and not driver.window.asking.running
    driver.click("all")
    yield 0.5
    look(driver, "german-generate")
    driver.click("preview-0")
    yield 0.5
    driver.picture("german-enlarged")
    driver.facts["enlarged"] = words(driver)
    driver.click("close")


def helping(driver):
    yield 0.5
    look(driver, f"german-help-{driver.visit}")
    driver.click("lapcvae-help-close")


def check(driver):
    yield 0.5
    look(driver, "german-check")
    driver.click("lapcvae-check-close")


SCENES = {"lapcvae-frame": frame, "lapcvae-generate": generate, "lapcvae-help": helping, "lapcvae-check": check}
