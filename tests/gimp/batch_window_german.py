# Runs inside GIMP's window after inside.py, in German: every dialog once, as scene_german.py plays it.
def german():
    file = Gio.File.new_for_path("/mnt/project/lapcvae/assets/portrait.png")
    image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, file)
    [photo] = image.get_layers()
    made = call("plug-in-lapcvae-coarse", image, [photo], Gimp.RunMode.INTERACTIVE)
    generated = call("plug-in-lapcvae-generate", image, [made[2]], Gimp.RunMode.INTERACTIVE)
    no_group = call("plug-in-lapcvae-keep", image, [photo])
    no_model = call("plug-in-lapcvae-coarse", image, [photo], model="nirgends")
    procedure = Gimp.get_pdb().lookup_procedure("plug-in-lapcvae-coarse")
    return {
        "made": made[0],
        "layer": made[2].get_name(),
        "generated": generated[0],
        "no group": no_group[1],
        "no model": no_model[1],
        "menu": [procedure.get_menu_label(), procedure.get_blurb()],
    }


guarded("german", german)
guarded("check", lambda: call("plug-in-lapcvae-check", None, [], Gimp.RunMode.INTERACTIVE)[2])
