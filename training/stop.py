"""Ending a run in an orderly way."""

from __future__ import annotations

import signal


class Stop:
    """Ctrl-C and SIGTERM end the loop after the step that is running."""

    def __init__(self):
        self.asked = False

    def __enter__(self):
        self.old = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _ask(self, *_):
        self.asked = True

    def __exit__(self, *_):
        for number, handler in self.old.items():
            signal.signal(number, handler)
