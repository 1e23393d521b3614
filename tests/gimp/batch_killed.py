# Runs inside GIMP after inside.py and accidents.py with slow_worker: kill -9 and Cancel half-way; see test_robust.py.
import subprocess
import sys
import threading

LOG = "/mnt/run/state/worker.log"
INNER = """
for script in ("inside.py", "accidents.py"):
    exec(compile(open("/mnt/tests/" + script).read(), script, "exec"))
image, photo, coarse = painted()
answer = generate(image, coarse, 4)
json.dump([answer, len(every(image.get_layers()))], open("/mnt/run/inner.json", "w"))
image.delete()
"""


def log():
    with open(LOG) as file:
        return file.read()


def meanwhile(work, then):
    """What `work` returns, while `then` is done once the second variant is out; and the log from the beginning of it on."""
    start = len(log())
    thread = threading.Thread(
        target=lambda: wait_for(lambda: "variant 2 is out" in log()[start:]) and then(), daemon=True
    )
    thread.start()
    answer = work()
    thread.join()
    return answer, start


def out_of(text):
    return text.count(" is out")


def inner_gimp():
    code = "exec(compile(open('/mnt/run/inner.py').read(), 'inner.py', 'exec'))"
    return subprocess.Popen(
        ["gimp-console", "-i", "-d", "-f", "--batch-interpreter", "python-fu-eval", "-b", code, "--quit"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def newest():
    """The number of an item that was made just now: whatever is made later has a larger one."""
    image = Gimp.Image.new(1, 1, Gimp.ImageBaseType.RGB)
    layer = Gimp.Layer.new(image, "newest", 1, 1, Gimp.ImageType.RGB_IMAGE, 100.0, Gimp.LayerMode.NORMAL)
    number = layer.get_id()
    layer.delete()
    image.delete()
    return number


def made_since(number):
    """How many layers, masks and the like of those that were made since then are still there, in an image or not."""
    return sum(Gimp.Item.id_is_valid(i) for i in range(number + 1, newest()))


def killed(word):
    """A process is killed in the middle of eight variants: what the user is told, what is left, and the next run."""
    image, photo, coarse = painted()
    before, last = state(image), newest()
    (status, message), start = meanwhile(lambda: generate(image, coarse, 8), lambda: kill(word))
    facts = {"answer": [status, message], "unchanged": state(image) == before, "left behind": made_since(last)}
    # The worker, if it is still there, notices that nobody waits any more.
    facts["stopped"] = bool(wait_for(lambda: "EditRequest" in log()[start:] or "listens" in log()[start:], 5))
    facts["out"] = out_of(log()[start:])
    facts["log"] = log()[start:]
    facts["next"] = generate(image, coarse, 1)
    image.delete()
    return facts


def gimp_killed():
    """Another GIMP is killed in the middle; its plug-in and its request go with it, and this GIMP goes on."""
    start = len(log())
    inner = inner_gimp()
    assert wait_for(lambda: "variant 2 is out" in log()[start:], 60)
    worker = processes("slow_worker")
    inner.kill()
    inner.wait()
    facts = {"stopped": bool(wait_for(lambda: "EditRequest" in log()[start:], 10)), "out": out_of(log()[start:])}
    facts["left"] = wait_for(lambda: not processes("lapcvae-edit.py"), 10)
    image, photo, coarse = painted()
    facts["next"] = generate(image, coarse, 1)
    facts["same worker"] = processes("slow_worker") == worker
    image.delete()
    return facts


def two_at_once():
    image, photo, coarse = painted()
    start = len(log())
    inner = inner_gimp()
    # Both want variants at the same time: this one begins when the other is half-way.
    assert wait_for(lambda: "variant 2 is out" in log()[start:], 60)
    facts = {"this": generate(image, coarse, 3)}
    facts["exit status"] = inner.wait(60)
    with open("/mnt/run/inner.json") as file:
        facts["other"], facts["layers of other"] = json.load(file)
    facts["layers"] = len(every(image.get_layers()))
    facts["workers"] = len(processes("slow_worker"))
    image.delete()
    return facts


def cancelled():
    """Cancel once the second variant is there: those two become layers, and the worker stops."""
    sys.path.insert(0, "/mnt/plug-ins/lapcvae-edit")
    import library

    library.find_protocol()
    import commands

    from lapcvae.protocol.messages import Settings, Variant

    class Stopping(commands.LayerHost):
        stop = False

        def progress(self, done, text):
            self.stop = self.stop or text.startswith("Variant 2")

        def cancelled(self):
            return self.stop

    commands.LayerHost = Stopping
    image, photo, coarse = painted()
    start = len(log())
    group = commands.generate(image, [coarse], commands.Edit(Settings(count=8)))
    facts = {"variants": len(group.get_children()), "out": out_of(log()[start:]), "log": log()[start:]}

    def changed_meanwhile(request, host):
        """The user goes on working: here, the photo is scaled when the first variant is there."""
        for answer in asked(request, host):
            yield answer
            if isinstance(answer, Variant):
                photo.scale(50, 40, False)

    asked, commands._ask = commands._ask, changed_meanwhile
    Stopping.stop = False
    before, last = len(every(image.get_layers())), newest()
    try:
        commands.generate(image, [coarse], commands.Edit(Settings(count=2)))
    except Exception as error:
        facts["changed"] = str(error)
    facts["added"] = len(every(image.get_layers())) - before
    facts["left behind"] = made_since(last)
    image.delete()
    return facts


with open("/mnt/run/inner.py", "w") as inner_file:
    inner_file.write(INNER)
guarded("worker", lambda: killed("slow_worker"))
guarded("plug-in", lambda: killed("lapcvae-edit.py"))
guarded("gimp", gimp_killed)
guarded("two", two_at_once)
guarded("cancelled", cancelled)
