# Runs inside GIMP after inside.py, whole_way.py and profiles.py: every precision and kind of profile; see test_layers.py.
for i, name in enumerate(n for n in dir(Gimp.Precision) if n.endswith(("LINEAR", "PERCEPTUAL"))):
    arguments = {"precision": getattr(Gimp.Precision, name), "gray": i % 2 == 1, "alpha": i % 3 == 1}
    guarded(name, lambda: whole_way(make_photo(**arguments), untouched=True))
for name, profile in PROFILES.items():
    for precision in ("u8", "f4 linear") if name == "rec2020" else ("u8", "u16"):
        guarded(f"{name} {precision}", lambda: whole_way(make_photo(precision=precision, profile=profile), untouched=True))


def colours_of_tables():
    """What is shown of a photo whose profile has only tables: its colours as GIMP itself sees them, half as saturated."""
    image, photo = make_photo(profile=PROFILES["lut"])
    fill(photo, (0.9, 0.2, 0.1))
    coarse = call(COARSE, image, [photo], level=3)[2]
    record = json.loads(bytes(coarse.get_parasite("lapcvae-coarse").get_data()))
    import base64

    first = struct.unpack("<3f", base64.b64decode(record["b_j"]["data"])[:12])
    facts = {"seen": first, "layer": list(raw(coarse, (60, 60, 1, 1))), "photo": list(raw(photo, (60, 60, 1, 1)))}
    image.delete()
    return facts


guarded("tables", colours_of_tables)
