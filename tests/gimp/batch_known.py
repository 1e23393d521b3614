# Runs inside GIMP after inside.py with known_worker: what a worker sends arrives bit by bit; see test_plugin.py.
def arrives(precision, **photo_arguments):
    image, photo = make_photo(precision, **photo_arguments)
    status, message, coarse = call("plug-in-lapcvae-coarse", image, [photo])
    assert status == "SUCCESS", message
    status, message, group = call("plug-in-lapcvae-generate", image, [coarse], count=1)
    assert status == "SUCCESS", message
    made = group.get_children()[0]
    facts = {
        "place": [*offset_of(made), made.get_width(), made.get_height()],
        "mask": floats(made.get_mask(), "Y float", (0, 0, 16, 16)),
        "pixels": raw(made).hex(),
    }
    image.delete()
    return facts


ADOBE = Gimp.ColorProfile.new_rgb_adobe()
for precision in PRECISIONS:
    guarded(precision, lambda: arrives(precision, alpha=True))
    guarded(f"{precision} adobe", lambda: arrives(precision, profile=ADOBE))
