# Runs inside GIMP's console after inside.py: asking.py with connections that do what a case wants; see test_asking.py.
import sys
import threading
import time

sys.path[:0] = ["/mnt/plug-ins/lapcvae-edit", "/mnt/project"]
import asking  # noqa: E402

asking.FAREWELL = 0.3


class Connection:
    """In place of the client's: `script(host)` is what goes on while it is asked."""

    def __init__(self, script):
        self.script, self.done, self.closed = script, "done", False

    def ask(self, request, host):
        yield from self.script(host)

    def close(self):
        self.closed = True


class Host:
    def __init__(self):
        self.asked = []

    def pixels(self, what, box):
        self.asked.append((what, threading.current_thread() is threading.main_thread()))
        if what == "gone":
            raise ValueError("the layer is gone")
        return "pixels"

    colours = pixels


def until(true, seconds=10.0):
    """Run the main loop until it is so."""
    context, deadline = GLib.MainContext.default(), time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        context.iteration(False)
        time.sleep(0.005)
    return true()


def asked(script):
    """(conversation, its connection, host, what was heard, how it ended), just begun."""
    connection, host, heard, ends = Connection(script), Host(), [], []
    asking.client.connect = lambda client_pid: connection
    talk = asking.Asking()
    talk.ask("request", host, heard.append, lambda done, error: ends.append((done, error and str(error))))
    return talk, connection, host, heard, ends


def answered():
    def script(host):
        yield host.pixels("photo", None)

    talk, connection, host, heard, ends = asked(script)
    until(lambda: ends)
    # The same connection serves the next request.
    talk.ask("request", host, heard.append, lambda done, error: ends.append((done, error)))
    until(lambda: len(ends) == 2)
    talk.close()
    return {"heard": heard, "ends": ends, "asked": host.asked, "running": talk.running, "closed": connection.closed}


def failed():
    def script(host):
        yield "one"
        host.pixels("gone", None)

    talk, connection, host, heard, ends = asked(script)
    until(lambda: ends)
    return {"heard": heard, "ends": ends, "running": talk.running}


def closed_with_a_question():
    """The thread waits for an answer that the main loop never gives."""
    waits = threading.Event()

    def script(host):
        yield "one"
        waits.set()
        host.pixels("photo", None)
        yield "two"

    talk, connection, host, heard, ends = asked(script)
    waits.wait(10)
    time.sleep(0.1)
    thread = talk._thread
    talk.close()
    alive = thread.is_alive()
    # What was queued before comes to the main loop now.
    until(lambda: False, 0.3)
    return {"heard": heard, "ends": ends, "asked": host.asked, "alive": alive, "closed": connection.closed}


def closed_with_a_slow_worker():
    """The thread outlives the farewell, and hangs up by itself."""
    release = threading.Event()

    def script(host):
        yield "one"
        while not host.cancelled():
            time.sleep(0.01)
        release.wait(10)

    talk, connection, host, heard, ends = asked(script)
    until(lambda: heard)
    thread, began = talk._thread, time.monotonic()
    talk.close()
    facts = {"waited": time.monotonic() - began, "alive then": thread.is_alive(), "closed then": connection.closed}
    release.set()
    thread.join(10)
    until(lambda: False, 0.2)
    return facts | {"alive": thread.is_alive(), "closed": connection.closed, "ends": ends}


for case in (answered, failed, closed_with_a_question, closed_with_a_slow_worker):
    guarded(case.__name__, case)
