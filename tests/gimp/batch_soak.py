# Runs inside GIMP after inside.py and accidents.py: many generations in a row, and what they leave in memory; see
# test_robust.py. SOAK is their number.
import sys


def resident(pid):
    """Kilobytes of memory that the process holds."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def soak(count):
    """Generations as a dialog that stays open makes them: by one process of the plug-in, which is this one."""
    sys.path.insert(0, "/mnt/plug-ins/lapcvae-edit")
    import library

    library.find_protocol()
    import commands

    from lapcvae.protocol.messages import Settings

    image, photo, coarse = painted()
    # GIMP would keep every removed layer for Ctrl+Z.
    image.undo_disable()
    [worker] = processes("lapcvae.worker")
    sizes = []
    for seed in range(count):
        coarse.set_visible(True)
        group = commands.generate(image, [coarse], commands.Edit(Settings(count=4, seed=seed)))
        image.remove_layer(group)
        sizes.append((resident(os.getpid()), resident(worker)))
    facts = {"plug-in": [s[0] for s in sizes], "worker": [s[1] for s in sizes]}
    facts["same worker"] = processes("lapcvae.worker") == [worker]
    image.delete()
    return facts


guarded("soak", lambda: soak(int(os.environ["SOAK"])))
