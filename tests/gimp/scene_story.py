# Presses the buttons of both dialogs; see batch_window_story.py.


def coarse(driver):
    """The frame around the face, sixteen cells across."""
    yield lambda: driver.find("lapcvae-frame-facts").get_text()
    for name, value in (("center-x", 222.0), ("center-y", 120.0), ("side", 208.0), ("angle", 0.0)):
        driver.find(f"lapcvae-frame-{name}").set_value(value)
    driver.find("lapcvae-frame-level").set_active_id("3")
    yield 0.5
    driver.screen("story-dialog-coarse")
    driver.click("lapcvae-frame-ok")


def generate(driver):
    """Two of the eight variants become layers."""
    yield lambda: len(driver.window.previews.variants) == 8 and not driver.window.asking.running
    for index in (2, 5):
        driver.find(f"pick-{index}").set_active(True)
    yield 0.5
    driver.screen("story-dialog-generate")
    driver.click("keep")


SCENES = {"lapcvae-frame": coarse, "lapcvae-generate": generate}
