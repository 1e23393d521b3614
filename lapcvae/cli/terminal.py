"""What people see while a command runs: results on standard output; progress and notes on standard error, progress only
on a terminal; and a polite first Ctrl-C.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator

WIDTH = 24


def plain(text: str) -> str:
    """Text from anywhere as one line that a terminal only shows: no control, no turning of the writing direction."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)


class OutputLost(Exception):
    """Standard output cannot be written; the OSError is the cause."""


def write(text: str) -> None:
    """To standard output. OutputLost if nobody can take it."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        raise OutputLost from error


def open_standard_streams() -> None:
    """Whatever is closed leads nowhere: else the next file to be opened would take its place, and its output.

    A line with characters that the terminal cannot show is shown all the same.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            # It gets the lowest free number, which is the one that was closed.
            setattr(sys, name, open(os.devnull, mode))
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


class Terminal:
    """Results on standard output, without which a run has failed; progress and notes on standard error, without which
    it has not.
    """

    def __init__(self):
        self.interrupt = Interrupt()
        self._interactive = sys.stderr.isatty()
        self._drawn = 0

    def _write(self, text: str) -> None:
        try:
            print(text, end="", file=sys.stderr, flush=True)
        except OSError:
            # Not again, nor when Python ends and flushes it.
            sys.stderr = open(os.devnull, "w")
            self._interactive = False

    def progress(self, done: float, text: str) -> None:
        if not self._interactive:
            return
        bar = "#" * int(done * WIDTH + 0.5)
        line = f"[{bar:<{WIDTH}}] {plain(text)}"
        self._write("\r" + line.ljust(self._drawn))
        self._drawn = len(line)

    def clear(self) -> None:
        """Remove the bar."""
        if self._drawn:
            self._write("\r" + " " * self._drawn + "\r")
            self._drawn = 0

    def note(self, *sentences: str) -> None:
        """Something that the user should know, in a pipe too."""
        for sentence in sentences:
            self.error(f"note: {sentence}")

    def error(self, line: str) -> None:
        self.clear()
        self._write(plain(line) + "\n")

    def say(self, line: str) -> None:
        """A line of the result. OutputLost if nobody can take it."""
        self.clear()
        write(plain(line) + "\n")

    def json(self, facts) -> None:
        """The result for scripts; JSON is free of control characters by itself. OutputLost if nobody can take it."""
        self.clear()
        write(json.dumps(facts, indent=1) + "\n")


class Interrupt:
    """Ctrl-C ends at once; while `politely`, the first one only asks, so that what is being written gets finished.

    One that a library swallowed while it was being loaded still asks.
    """

    def __init__(self):
        self._pressed = self._polite = False

    def __call__(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self._pressed

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Ctrl-C comes here."""
        try:
            former = signal.signal(signal.SIGINT, self._on_signal)
        except ValueError:
            # Not in the main thread (a test, a notebook): then nobody presses Ctrl-C here.
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, former)

    @contextlib.contextmanager
    def politely(self) -> Iterator[None]:
        self._polite = True
        try:
            yield
        finally:
            self._polite = False

    def _on_signal(self, number, frame):
        again, self._pressed = self._pressed, True
        if again or not self._polite:
            raise KeyboardInterrupt
