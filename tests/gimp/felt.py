#!/usr/bin/env python3
"""How long a user of GIMP waits: `python tests/gimp/felt.py`, as root on Debian. Not a test.

In GIMP 3.0 and 3.2 (console): a photo of 24 megapixels, a box of half a megapixel, eight variants; the first use in a
fresh GIMP and *Generate Again* when everything is warm, with what of it is the worker's: reading the photo and encoding
it, preparing, the first variant, all of them. The rest is GIMP starting the plug-in, and putting in eight layers.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from conftest import SUITES, GimpRunner, _root, _worker  # noqa: E402


def main() -> None:
    for name, suite in SUITES.items():
        root = _root(suite)
        with tempfile.TemporaryDirectory() as folder:
            facts = GimpRunner(name, root, _worker(suite, root), Path(folder)).run("inside.py", "batch_felt.py")
        median = statistics.median(facts["again"][1:])
        stages = [dict(re.findall(r"(\w+) ([\d.]+)", line.partition("(")[2])) for line in facts["log"]][2:]
        worker = {stage: statistics.median(float(s[stage]) for s in stages) for stage in stages[0]}
        parts = ", ".join(f"{seconds:.3f} s {stage}" for stage, seconds in worker.items())
        print(f"{name}: box of {facts['megapixels of the box']:.2f} megapixels")
        print(f"  fresh GIMP: coarse layer {facts['first coarse'][0]:.2f} s")
        print(f"  then eight variants {facts['first generate'][0]:.2f} s")
        print(f"  Generate Again, warm: {median:.3f} s; in the worker after {parts}")
        print(f"  the rest is GIMP and the plug-in: {median - worker['done']:.3f} s")


if __name__ == "__main__":
    main()
