# Runs inside GIMP after inside.py and accidents.py: a home that is full or cannot be written to; see test_robust.py.
import ctypes

HOME = "/mnt/run/small-home"
READ_ONLY, REMOUNT = 1, 32


def mount(flags=0):
    """A home of 64 kB; with REMOUNT, the one that is there, with other flags."""
    os.makedirs(HOME, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    # A process that was just killed may hold files there for a moment.
    done = wait_for(lambda: libc.mount(b"tmpfs", HOME.encode(), b"tmpfs", flags, b"size=64k,mode=700") == 0)
    assert done, os.strerror(ctypes.get_errno())


def fill():
    with open(f"{HOME}/filling", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass


def attempt(image, coarse):
    before = state(image)
    status, message = generate(image, coarse, 1)
    return [status, message, status == "SUCCESS" or state(image) == before]


def small_home():
    assert os.environ["HOME"] == HOME and not os.environ["LAPCVAE_STATE"]
    mount()
    image, photo, coarse = painted()
    found = {"log": os.path.exists(f"{HOME}/.local/state/lapcvae/worker.log")}
    fill()
    found["full"] = attempt(image, coarse)
    end_worker()
    found["full, new worker"] = attempt(image, coarse)
    end_worker()
    mount(REMOUNT | READ_ONLY)
    found["read-only"] = attempt(image, coarse)
    mount(REMOUNT)
    found["again"] = attempt(image, coarse)
    end_worker()
    # As a user has it who never had LapCVAE: there is no folder yet.
    mount(READ_ONLY)
    found["read-only, new"] = attempt(image, coarse)
    mount(REMOUNT)
    fill()
    found["full, new"] = attempt(image, coarse)
    os.remove(f"{HOME}/filling")
    found["free"] = attempt(image, coarse)
    image.delete()
    return found


guarded("small home", small_home)
