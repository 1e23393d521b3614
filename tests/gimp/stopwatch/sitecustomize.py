"""Notes what the plug-in does when, for felt.py: GIMP starts the plug-in with this folder on PYTHONPATH.

Each conversation with the worker becomes a line of JSON in the file LAPCVAE_STOPWATCH. Moments are those of
`time.monotonic`, which is the same in all processes.
"""

import json
import os
import sys
import time

BEGUN = time.monotonic()


class Stopwatch:
    """Seconds spent in functions, by what they are for."""

    def __init__(self):
        self.spent = {"reading": 0.0, "transport": 0.0, "writing": 0.0}

    def watched(self, what: str, function):
        def timed(*arguments, **named):
            begun = time.monotonic()
            try:
                return function(*arguments, **named)
            finally:
                self.spent[what] += time.monotonic() - begun

        return timed


def _watch() -> None:
    sys.path.insert(0, os.environ["LAPCVAE_HOME"])
    from lapcvae.protocol import client, framing

    watch, ask = Stopwatch(), client.Connection.ask
    framing.send = watch.watched("transport", framing.send)
    framing.receive = watch.watched("transport", framing.receive)

    def watched_ask(self, request, host):
        facts = {"request": type(request).__name__, "begun": BEGUN, "asked": time.monotonic(), "start": time.process_time()}
        host.pixels = watch.watched("reading", host.pixels)
        host.colours = watch.watched("reading", host.colours)
        for message in ask(self, request, host):
            arrived = time.monotonic()
            yield message
            # Whoever takes the message is back: a variant is in its layer.
            written = time.monotonic()
            watch.spent["writing"] += written - arrived
            if type(message).__name__ == "Variant":
                facts.setdefault("first", written)
                facts["last"] = written
        facts |= {"spent": watch.spent, "done": time.monotonic(), "worker": self.done.facts}
        with open(os.environ["LAPCVAE_STOPWATCH"], "a") as file:
            file.write(json.dumps(facts) + "\n")

    client.Connection.ask = watched_ask


if os.environ.get("LAPCVAE_STOPWATCH") and sys.argv and sys.argv[0].endswith("lapcvae-edit.py"):
    _watch()
