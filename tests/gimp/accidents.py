# Runs inside GIMP after inside.py: what the batches about accidents share.
import os
import signal
import time

COARSE, GENERATE = "plug-in-lapcvae-coarse", "plug-in-lapcvae-generate"


def painted():
    image, photo = make_photo()
    status, message, coarse = call(COARSE, image, [photo], level=3)
    assert status == "SUCCESS", message
    paint(image, coarse, (80, 60, 40, 30), (0.1, 0.05, 0.4))
    return image, photo, coarse


def state(image):
    """All that could be lost: every layer, where it is, whether it is seen, and what it holds."""
    return [
        (x.get_name(), x.get_visible(), offset_of(x), None if x.is_group() else digest(x)) for x in every(image.get_layers())
    ]


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return met


def processes(word):
    """The processes with `word` in their command, but for this one and the shell that all were started from."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, os.getpid()):
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    command = file.read()
                with open(f"/proc/{name}/stat") as file:
                    gone = file.read().rpartition(")")[2].split()[0] in "ZX"
            except OSError:
                continue
            if word.encode() in command and not gone:
                found.append(int(name))
    return found


def kill(word):
    """End the processes with `word` in their command at once; returns how many there were."""
    found = processes(word)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not set(found) & set(processes(word)))
    return len(found)


def end_worker():
    return kill("lapcvae.worker")


def generate(image, layer, count=2):
    """Status and message."""
    return call(GENERATE, image, [layer], count=count, seed=1)[:2]
