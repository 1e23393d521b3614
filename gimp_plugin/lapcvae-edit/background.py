"""Talking to the worker while a dialog is open: in a thread, with GIMP asked from the main one.

GIMP's functions and GTK's may only be called from the main thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from gi.repository import GLib

from lapcvae.protocol.geometry import Box
from lapcvae.protocol.host import Host
from lapcvae.protocol.messages import Array


class MainThreadHost:
    """A `Host` for a conversation in another thread: `host` answers in the main one. `cancel()` ends it."""

    def __init__(self, host: Host):
        self._host = host
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        self._cancelled.set()

    def pixels(self, what: str, box: Box) -> Array:
        return _in_main_thread(self._host.pixels, what, box)

    def colours(self, to: str, pixels: Array) -> Array:
        return _in_main_thread(self._host.colours, to, pixels)

    def progress(self, done: float, text: str) -> None:
        _in_main_thread(self._host.progress, done, text)

    def result(self, message) -> None:
        _in_main_thread(self._host.result, message)

    def cancelled(self) -> bool:
        return self._cancelled.is_set()


def start(work: Callable[[], object], done: Callable[[object], None], failed: Callable[[Exception], None]) -> None:
    """Do `work` in a thread of its own, then call `done` with its result, or `failed`, in the main one."""

    def run() -> None:
        try:
            result = work()
        except Exception as error:
            GLib.idle_add(_once, failed, error)
        else:
            GLib.idle_add(_once, done, result)

    threading.Thread(target=run, daemon=True).start()


def _once(call: Callable, *arguments) -> bool:
    call(*arguments)
    return GLib.SOURCE_REMOVE


def _in_main_thread(call: Callable, *arguments):
    future: Future = Future()

    def answer() -> None:
        try:
            future.set_result(call(*arguments))
        except Exception as error:
            future.set_exception(error)

    GLib.idle_add(_once, answer)
    return future.result()
