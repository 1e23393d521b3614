# Runs inside GIMP after inside.py: what Check Setup says, without an image; see test_variants.py.
def check(run_mode):
    status, message, text = call("plug-in-lapcvae-check", None, [], run_mode)
    return {"status": status, "message": message, "text": text}


guarded("check", lambda: check(Gimp.RunMode.NONINTERACTIVE))
guarded("shown", lambda: check(Gimp.RunMode.INTERACTIVE))
