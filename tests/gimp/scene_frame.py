# The hand in the dialogs of Make Coarse Layer and Check Setup; see test_window_frame.py. What a visit does comes from the
# batch's order of calls.
import os
import sys

# As in a GIMP that does not bring pycairo (Debian 13's).
sys.modules["cairo"] = None

NAME = "lapcvae-frame"
EYES = ((204.0, 101.0), (247.0, 103.0))
SPINS = ("center-x", "center-y", "side", "angle")


def opened(driver):
    return lambda: driver.find(f"{NAME}-facts").get_text()


def at(driver, point):
    return driver.find(f"{NAME}-canvas").widget_point(*point)


def scale(driver):
    """Widget pixels per photo pixel."""
    return at(driver, (1, 0))[0] - at(driver, (0, 0))[0]


def drag(driver, start, end):
    """From one widget point to another, by way of the middle."""
    canvas = f"{NAME}-canvas"
    driver.press(canvas, *start)
    driver.press(canvas, (start[0] + end[0]) / 2, (start[1] + end[1]) / 2, "move")
    driver.press(canvas, *end, "move")
    driver.press(canvas, *end, "release")


def click(driver, point):
    driver.press(f"{NAME}-canvas", *at(driver, point))
    driver.press(f"{NAME}-canvas", *at(driver, point), "release")


def scroll(driver, state=0):
    from gi.repository import Gdk

    event = Gdk.Event.new(Gdk.EventType.SCROLL)
    event.scroll.direction, event.scroll.state = Gdk.ScrollDirection.UP, Gdk.ModifierType(state)
    canvas = driver.find(f"{NAME}-canvas")
    event.scroll.window = canvas.get_window()
    canvas.emit("scroll-event", event)


def key(driver, name):
    from gi.repository import Gdk

    event = Gdk.Event.new(Gdk.EventType.KEY_PRESS)
    event.key.keyval, event.key.state = Gdk.keyval_from_name(name), Gdk.ModifierType(0)
    canvas = driver.find(f"{NAME}-canvas")
    event.key.window = canvas.get_window()
    return canvas.emit("key-press-event", event)


def numbers(driver):
    return [round(driver.find(f"{NAME}-{name}").get_value(), 3) for name in SPINS]


def message(driver):
    bar = driver.find(f"{NAME}-message-bar")
    return driver.find(f"{NAME}-message").get_text() if bar.get_visible() else ""


def state(driver):
    """What is said quietly below the settings."""
    text = driver.find(f"{NAME}-state")
    return text.get_text() if text.get_mapped() else ""


def rested(driver):
    """Nothing goes on any more, and something came of it."""
    return lambda: message(driver) or state(driver) not in ("", "Starting LapCVAE", "Looking for a face")


def press_ok(driver):
    driver.click(f"{NAME}-ok")


def dragged(driver):
    """By the mouse: moved, scaled at a corner, turned, all noted; then OK with blocks of the coarsest level."""
    facts = driver.facts
    facts["at once"] = numbers(driver)
    yield rested(driver)
    driver.click(f"{NAME}-reset")
    yield 0.3
    facts["first"] = numbers(driver)
    facts["scale"] = scale(driver)
    driver.picture("frame-opened")
    x, y, side, _ = facts["first"]
    drag(driver, at(driver, (x, y + 100)), [v + d for v, d in zip(at(driver, (x, y + 100)), (-40, 24))])
    facts["moved"] = numbers(driver)
    # Smaller, since the frame left the photo.
    facts["scale then"] = scale(driver)
    x, y, side, _ = facts["moved"]
    corner = at(driver, (x + side / 2, y + side / 2))
    drag(driver, corner, (corner[0] - 60, corner[1] - 60))
    facts["scaled"] = numbers(driver)
    x, y, side, _ = facts["scaled"]
    top, middle = at(driver, (x, y - side / 2)), at(driver, (x, y))
    # The grip is above the upper edge; straight to the right of the middle is a quarter turn, then back to an eighth.
    drag(driver, (top[0], top[1] - 26), (middle[0] + 90, middle[1] - 90))
    facts["turned"] = numbers(driver)
    scroll(driver)
    facts["wheel"] = numbers(driver)
    scroll(driver, 1)
    facts["shift wheel"] = numbers(driver)
    key(driver, "Right")
    facts["key"] = numbers(driver)
    driver.click(f"{NAME}-path")
    facts["no path"] = message(driver)
    yield 0.3
    driver.picture("frame-turned")
    driver.find(f"{NAME}-level").set_active_id("3")
    driver.find(f"{NAME}-blocks").set_active(True)
    yield 0.3
    facts["facts"] = driver.find(f"{NAME}-facts").get_text()
    facts["pycairo"] = sys.modules.get("cairo") is not None
    press_ok(driver)


def placed(first, second):
    """By clicking the eyes in this order, after a click too many on the first and an Escape."""

    def scene(driver):
        yield opened(driver)
        # As long as looking for a face takes, several times.
        yield 1
        driver.facts["first"], driver.facts["state"] = numbers(driver), state(driver)
        driver.facts["level"] = driver.find(f"{NAME}-level").get_active_id()
        driver.facts["blocks"] = driver.find(f"{NAME}-blocks").get_active()
        driver.click(f"{NAME}-reset")
        driver.click(f"{NAME}-place")
        key(driver, "Escape")
        driver.facts["left"] = not driver.find(f"{NAME}-place").get_active()
        driver.click(f"{NAME}-place")
        for point in (first, first, second):
            click(driver, point)
            yield 0.2
            driver.picture("frame-placing" if driver.find(f"{NAME}-place").get_active() else "frame-placed")
        driver.facts["placed"] = numbers(driver)
        driver.find(f"{NAME}-level").set_active_id("0")
        driver.find(f"{NAME}-smooth").set_active(True)
        yield 0.2
        press_ok(driver)

    return scene


def by_path(driver):
    """Cancelled after everything was changed."""
    yield opened(driver)
    driver.facts["first"] = numbers(driver)
    driver.facts["level"] = driver.find(f"{NAME}-level").get_active_id()
    driver.find(f"{NAME}-angle").set_value(33)
    driver.click(f"{NAME}-reset")
    driver.facts["reset"] = numbers(driver)
    driver.click(f"{NAME}-path")
    driver.facts["path"] = numbers(driver)
    driver.find(f"{NAME}-center-x").set_value(-1500)
    press_ok(driver)
    yield lambda: message(driver)
    driver.facts["outside"] = message(driver)
    driver.picture("frame-refused")
    driver.click(f"{NAME}-cancel")


def selected(driver):
    yield rested(driver)
    driver.facts["first"], driver.facts["state"] = numbers(driver), state(driver)
    driver.click(f"{NAME}-zoom")
    yield 0.3
    driver.facts["zoomed"] = scale(driver)
    eye = at(driver, (300 - 45 * 0.252, 200 - 90 * 0.036))
    # The left ring, 9 photo pixels to the left.
    driver.facts["eyes before"] = numbers(driver)
    drag(driver, eye, (eye[0] - 9 * scale(driver), eye[1]))
    driver.facts["eye dragged"] = numbers(driver)
    yield 0.2
    driver.picture("frame-zoomed")
    driver.window.close()


VISITS = [dragged, placed(*EYES), placed(*EYES[::-1]), by_path, selected]


def frame(driver):
    yield from VISITS[driver.visit](driver)


def broken(driver):
    """The worker cannot be started: the dialog says so, and goes on saying so."""
    yield lambda: message(driver)
    driver.facts["said"] = message(driver)
    driver.find(f"{NAME}-angle").set_value(5)
    yield 0.2
    driver.facts["after a change"] = message(driver)
    driver.picture("frame-broken")
    driver.click(f"{NAME}-try-again")
    driver.facts["again"] = message(driver)
    yield lambda: message(driver)
    driver.click(f"{NAME}-place")
    driver.facts["place"] = message(driver)
    press_ok(driver)
    yield 0.2
    driver.facts["ok"] = message(driver)
    driver.click(f"{NAME}-cancel")


def check(driver):
    from gi.repository import Gdk, Gtk

    yield 0.3
    buffer = driver.find("lapcvae-check-report").get_buffer()
    driver.facts["text"] = buffer.get_text(*buffer.get_bounds(), False)
    driver.click("lapcvae-check-copy")
    yield 0.2
    driver.facts["copied"] = Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).wait_for_text()
    driver.picture("check")
    driver.click("lapcvae-check-close")


SCENES = {NAME: broken if os.environ.get("LAPCVAE_PYTHON") == "/nowhere/python" else frame, "lapcvae-check": check}
