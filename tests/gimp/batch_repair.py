# Runs inside GIMP after inside.py and accidents.py: an installation that breaks and is put right; see test_robust.py.
# LAPCVAE_HOME is a copy of the package without models, LAPCVAE_PYTHON an environment that both lie in the run's folder.
import shutil

COPY, ENVIRONMENT = "/mnt/run/copy", "/mnt/run/environment"
MODEL = "/mnt/project/models/faces-128"


def attempt():
    """What a user sees who makes a coarse layer, paints, and generates; nothing may be left behind by a failure."""
    image, photo = make_photo()
    before = state(image)
    status, message, coarse = call(COARSE, image, [photo], level=3)
    if status == "SUCCESS":
        paint(image, coarse, (80, 60, 40, 30), (0.1, 0.05, 0.4))
        status, message = generate(image, coarse, 1)
    answer = [status, message, status == "SUCCESS" or state(image) == before]
    image.delete()
    return answer


def environment(packages=True):
    """An environment as the installer makes one; without packages it is that of another Python."""
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    os.makedirs(f"{ENVIRONMENT}/bin")
    os.symlink("/usr/bin/python3", f"{ENVIRONMENT}/bin/python")
    if packages:
        shutil.copy("/mnt/worker/pyvenv.cfg", ENVIRONMENT)
        os.symlink("/mnt/worker/lib", f"{ENVIRONMENT}/lib")


def model():
    shutil.rmtree(f"{COPY}/models", ignore_errors=True)
    shutil.copytree(MODEL, f"{COPY}/models/faces-128")


def corrupt(size):
    """The first graph with one byte changed, or cut off."""
    graph = min(name for name in os.listdir(f"{COPY}/models/faces-128") if name.endswith(".onnx"))
    with open(f"{COPY}/models/faces-128/{graph}", "r+b") as file:
        if size:
            file.truncate(size)
        file.seek(200)
        file.write(b"\xff")
    return graph


def broken():
    environment()
    found = {"no model": attempt()}
    model()
    found["graph"] = corrupt(0)
    found["corrupt graph"] = attempt()
    model()
    corrupt(5000)
    found["cut graph"] = attempt()
    model()
    os.remove(f"{COPY}/models/faces-128/manifest.json")
    found["no manifest"] = attempt()
    model()
    # In the worker that refused the broken ones.
    found["whole model"] = attempt()
    end_worker()
    shutil.rmtree(ENVIRONMENT)
    found["no environment"] = attempt()
    environment(packages=False)
    found["another Python"] = attempt()
    environment()
    # The worker that cannot do its work does not stay.
    found["worker gone"] = wait_for(lambda: not processes("lapcvae.worker"), 10)
    found["repaired"] = attempt()
    return found


guarded("broken", broken)
