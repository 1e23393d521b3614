"""What people see while a command runs: progress on a terminal, nothing in a pipe; and a polite first Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

WIDTH = 24


class Terminal:
    """Progress and notes on standard error."""

    def __init__(self):
        self._interactive = sys.stderr.isatty()
        self._drawn = 0

    def progress(self, done: float, text: str) -> None:
        if not self._interactive:
            return
        bar = "#" * int(done * WIDTH + 0.5)
        line = f"[{bar:<{WIDTH}}] {text}"
        print("\r" + line.ljust(self._drawn), end="", file=sys.stderr, flush=True)
        self._drawn = len(line)

    def clear(self) -> None:
        """Remove the bar."""
        if self._drawn:
            print("\r" + " " * self._drawn + "\r", end="", file=sys.stderr, flush=True)
            self._drawn = 0

    def note(self, *sentences: str) -> None:
        """Something that the user should know, in a pipe too."""
        self.clear()
        for sentence in sentences:
            print(f"note: {sentence}", file=sys.stderr)


class Interrupt:
    """Whether Ctrl-C was pressed."""

    def __init__(self):
        self.pressed = False

    def __call__(self) -> bool:
        return self.pressed


@contextlib.contextmanager
def polite_interrupt() -> Iterator[Interrupt]:
    """The first Ctrl-C only sets a flag, so that what is being written gets finished; the second one ends at once."""
    interrupt = Interrupt()

    def on_signal(number, frame):
        if interrupt.pressed:
            raise KeyboardInterrupt
        interrupt.pressed = True

    try:
        former = signal.signal(signal.SIGINT, on_signal)
    except ValueError:
        # Not in the main thread (a test, a notebook): then nobody presses Ctrl-C here.
        yield interrupt
        return
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, former)
