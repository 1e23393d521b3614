# Runs inside GIMP after inside.py: one coarse layer and one variant, whatever comes of it; see test_plugin.py.
def one():
    image, photo = make_photo()
    steps = [call("plug-in-lapcvae-coarse", image, [photo])[:2]]
    layers = image.get_layers()
    if steps[0][0] == "SUCCESS":
        paint(image, layers[0], (80, 60, 40, 30), (0.1, 0.05, 0.4))
        steps.append(call("plug-in-lapcvae-generate", image, [photo], count=2)[:2])
    facts = {"steps": steps, "left behind": len(image.get_layers()) - len(layers), "visible": layers[0].get_visible()}
    image.delete()
    return facts


def no_image():
    """As chosen from the menu of a GIMP without an image."""
    procedure = Gimp.get_pdb().lookup_procedure("plug-in-lapcvae-coarse")
    config = procedure.create_config()
    config.set_property("run-mode", Gimp.RunMode.INTERACTIVE)
    return [int(procedure.run(config).index(0)), Gimp.get_pdb().get_last_error()]


guarded("one", one)
guarded("no image", lambda: {"answer": no_image()})
