# The hand in the dialog of Make Coarse Layer while the finder looks for a face; see batch_window_proposed.py, which has the
# call of each visit, and test_window_proposed.py.
import sys

sys.path.append("/mnt/tests")
from scene_frame import NAME, at, drag, message, numbers, opened, press_ok, rested, state  # noqa: E402


def note(driver, when):
    driver.facts[when] = {"frame": numbers(driver), "state": state(driver), "message": message(driver)}


def end(driver):
    driver.click(f"{NAME}-cancel")


def watched(name):
    """Nothing is done: what the frame is at once, and after a face was looked for. Then Find Face, and again."""

    def scene(driver):
        yield 0.1
        note(driver, "at once")
        driver.picture(f"{name}-at-once")
        yield rested(driver)
        note(driver, "then")
        yield 0.2
        driver.picture(f"{name}-then")
        driver.find(f"{NAME}-angle").set_value(5)
        note(driver, "turned")
        for press in ("pressed", "pressed again"):
            driver.click(f"{NAME}-find")
            yield 0.3
            yield lambda: state(driver) != "Looking for a face"
            note(driver, press)
        end(driver)

    return scene


def looking(driver):
    return lambda: state(driver) == "Looking for a face"


def moved(driver):
    """The user is faster than the finder."""
    yield looking(driver)
    x, y, _, _ = numbers(driver)
    there = at(driver, (x, y + 100))
    drag(driver, there, (there[0] + 30, there[1] - 12))
    note(driver, "moved")
    yield rested(driver)
    note(driver, "then")
    driver.click(f"{NAME}-find")
    note(driver, "pressed")
    end(driver)


def held(driver):
    """The answer comes while the mouse holds the frame, which it has not moved yet."""
    canvas = f"{NAME}-canvas"
    yield looking(driver)
    x, y, _, _ = numbers(driver)
    there = at(driver, (x, y + 100))
    driver.press(canvas, *there)
    yield rested(driver)
    note(driver, "then")
    driver.press(canvas, *there, "release")
    end(driver)


def ok_at_once(driver):
    yield looking(driver)
    note(driver, "at once")
    press_ok(driver)


def asked_meanwhile(driver):
    """Find Face counts, although the frame was moved before it."""
    yield looking(driver)
    driver.find(f"{NAME}-angle").set_value(20)
    driver.click(f"{NAME}-find")
    yield lambda: not state(driver)
    note(driver, "then")
    end(driver)


def closed_meanwhile(driver):
    yield looking(driver)
    driver.window.close()


def another_model(driver):
    """The model without a finder is chosen, and remembered."""
    yield rested(driver)
    driver.find(f"{NAME}-model").set_active_id("plain")
    driver.click(f"{NAME}-find")
    yield lambda: message(driver)
    note(driver, "pressed")
    press_ok(driver)


def without_finder(driver):
    yield opened(driver)
    yield 1.5
    note(driver, "then")
    end(driver)


VISITS = [
    watched("one"), watched("two"), watched("nobody"), watched("selected"), watched("path"), moved, held, ok_at_once,
    asked_meanwhile, closed_meanwhile, another_model, without_finder,
]  # fmt: skip


def scene(driver):
    yield from VISITS[driver.visit](driver)


SCENES = {NAME: scene}
