# The hand in the dialogs of which docs/pictures shows pictures; see pictures.py. A visit's story comes from the batch.
import json
import sys

# As in a GIMP that does not bring pycairo (Debian 13's).
sys.modules["cairo"] = None


def story():
    with open("/mnt/run/story.json") as file:
        return json.load(file)


def frame(driver):
    """Place by Eyes, with the cells of the story."""
    told = story()
    canvas = driver.find("lapcvae-frame-canvas")
    # First the dialog proposes a frame.
    yield lambda: driver.find("lapcvae-frame-state").get_text().endswith(".")
    driver.click("lapcvae-frame-place")
    for eye in told["eyes"]:
        point = canvas.widget_point(*eye)
        driver.press("lapcvae-frame-canvas", *point)
        driver.press("lapcvae-frame-canvas", *point, "release")
        yield 0.2
    driver.click("lapcvae-frame-zoom")
    driver.find("lapcvae-frame-level").set_active_id(str(told["level"]))
    yield 0.5
    driver.picture(f"{told['name']}-frame")
    driver.click("lapcvae-frame-ok")


def generate(driver):
    """The story's sliders, Generate, one variant kept."""
    told, asking = story(), driver.window.asking
    yield lambda: not asking.running
    for name, value in told["sliders"].items():
        driver.find(name).set_value(value)
    driver.click("generate")
    yield lambda: len(driver.window.previews.variants) == 8 and not asking.running
    assert not driver.find("message").get_text()
    # So that all eight are seen.
    driver.window.resize(960, 800)
    driver.find(f"pick-{told['pick']}").set_active(True)
    yield 0.5
    driver.picture(f"{told['name']}-generate")
    driver.click("keep")


SCENES = {"lapcvae-frame": frame, "lapcvae-generate": generate}
