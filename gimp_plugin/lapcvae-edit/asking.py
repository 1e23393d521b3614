"""A conversation with the worker that does not hold up GTK's main loop.

The socket has a thread of its own. Everything that speaks to GIMP, which has one wire and no lock, happens in the main
loop: the worker's questions are handed over to it and waited for.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable

from gi.repository import GLib

from lapcvae.protocol import client
from lapcvae.protocol.errors import Cancelled
from lapcvae.protocol.geometry import Box
from lapcvae.protocol.host import Host
from lapcvae.protocol.messages import Array

# In seconds: how often a waiting thread looks whether the dialog was closed, and how long closing waits for it.
POLL = 0.05
FAREWELL = 2.0


class Asking:
    """One worker, asked one request at a time. Its methods, and all that it calls, belong to the main loop."""

    def __init__(self):
        # The worker should end after GIMP does, not after this process.
        self._client_pid = os.getppid()
        self._connection: client.Connection | None = None
        self._thread: threading.Thread | None = None
        self._cancel = threading.Event()
        self._closed = threading.Event()

    @property
    def running(self) -> bool:
        return self._thread is not None

    def ask(self, request, host: CheckedHost | None, hear: Callable, end: Callable) -> None:
        """Ask; `host` answers in the main loop. `hear(message)` gets what arrives, then `end(done, error)` comes once.

        Of `done` (`messages.Done`) and `error` (an Exception) one is None. What was running must have ended. A request
        that asks nothing back needs no host.
        """
        assert not self.running, "one request at a time"
        self._cancel = threading.Event()
        there = _ThereHost(self, host, self._cancel)
        self._thread = threading.Thread(target=self._talk, args=(request, there, hear, end), daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """What runs ends within one variant, and says so by `end`; nothing happens where nothing runs."""
        self._cancel.set()

    def close(self) -> None:
        """Cancel and hang up; nothing is heard any more. Take the dialog from the screen first: this may take a moment."""
        self._closed.set()
        self._cancel.set()
        if self._thread:
            self._thread.join(FAREWELL)
        # A thread that needs longer, because its worker does, hangs up by itself.
        if not (self._thread and self._thread.is_alive()):
            self._hang_up()

    def _hang_up(self) -> None:
        if self._connection:
            self._connection.close()

    # ------------------------------------------------------------------------------------------ in the thread

    def _talk(self, request, host: _ThereHost, hear: Callable, end: Callable) -> None:
        done = error = None
        try:
            if self._connection is None:
                self._connection = client.connect(client_pid=self._client_pid)
            for message in self._connection.ask(request, host):
                self._later(hear, message)
            done = self._connection.done
        except Exception as caught:
            error = caught
        if self._closed.is_set():
            self._hang_up()
        self._later(self._ended, end, done, error)

    def _later(self, function: Callable, *arguments) -> None:
        def run() -> bool:
            if not self._closed.is_set():
                function(*arguments)
            return GLib.SOURCE_REMOVE

        GLib.idle_add(run)

    def _ended(self, end: Callable, done, error: Exception | None) -> None:
        self._thread.join()
        self._thread = None
        end(done, error)

    def in_main_loop(self, function: Callable, *arguments):
        """What the function returns (or raises) in the main loop, for the thread, which waits."""
        answer: queue.SimpleQueue = queue.SimpleQueue()

        def run() -> bool:
            # Once the dialog is closed nobody waits, and the layers may be gone.
            if not self._closed.is_set():
                try:
                    answer.put((function(*arguments), None))
                except Exception as error:
                    answer.put((None, error))
            return GLib.SOURCE_REMOVE

        # Before redrawing: the worker does nothing until it has its answer.
        GLib.idle_add(run, priority=GLib.PRIORITY_DEFAULT)
        while True:
            try:
                value, error = answer.get(timeout=POLL)
            except queue.Empty:
                if self._closed.is_set():
                    raise Cancelled() from None
                continue
            if error:
                raise error
            return value


class CheckedHost:
    """A host that looks whether everything is still there before it touches it.

    The user may do anything while a dialog is open, and GIMP ends a plug-in that touches a layer that is gone. `read`:
    raises LapcvaeError when what is read is not as it was; `photo`: the same for the photo alone.
    """

    def __init__(self, host: Host, read: Callable[[], None], photo: Callable[[], None]):
        self._host, self._read, self._photo = host, read, photo

    def pixels(self, what: str, box: Box) -> Array:
        self._read()
        return self._host.pixels(what, box)

    def colours(self, to: str, pixels: Array) -> Array:
        self._photo()
        return self._host.colours(to, pixels)


class _ThereHost:
    """A `lapcvae.protocol.host.Host` for the thread: the real one answers in the main loop."""

    def __init__(self, asking: Asking, host: CheckedHost | None, cancel: threading.Event):
        self._asking, self._host, self._cancel = asking, host, cancel

    def pixels(self, what: str, box: Box) -> Array:
        return self._asking.in_main_loop(self._host.pixels, what, box)

    def colours(self, to: str, pixels: Array) -> Array:
        return self._asking.in_main_loop(self._host.colours, to, pixels)

    def cancelled(self) -> bool:
        return self._cancel.is_set()
