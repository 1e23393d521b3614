#!/usr/bin/env python3
"""How long a user of GIMP waits: `python tests/gimp/felt.py [gimp-3.0 | gimp-3.2]`, as root on Debian. Not a test.

In GIMP's console: a photo of 24 megapixels, eight variants, boxes of several sizes; the first use in a fresh GIMP and
*Generate Again* when everything is warm, from the press to all layers. Without a dialog all layers appear in one undo
step; "first variant" is when it has arrived in the plug-in and been written to its layer. Of the parts, those in the
worker are processor time of all its threads, which run side by side; the plug-in writes layers meanwhile.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from conftest import SUITES, GimpRunner, _root, _worker  # noqa: E402

WATCHED = {"PYTHONPATH": "/mnt/tests/stopwatch", "LAPCVAE_STOPWATCH": "/mnt/run/stopwatch"}


def again(pressed: list[float], there: list[float], seen: dict) -> dict[str, float]:
    """The parts of one *Generate Again*, in seconds. `seen`: the stopwatch's line."""
    spent, worker = seen["spent"], seen["worker"]
    return {
        "Generate Again, all layers": there - pressed,
        "first variant in its layer": seen["first"] - pressed,
        "GIMP starts the plug-in": seen["begun"] - pressed,
        "plug-in, until it asks": seen["asked"] - seen["begun"],
        "the same (processor)": seen["start"],
        "worker, until the mask": worker["times"]["prepared"],
        "worker, until all variants": worker["times"]["done"],
        "last variant, until in the image": there - seen["last"],
        "reading pixels, in GIMP": spent["reading"],
        "transport": spent["transport"],
        "writing layers, in GIMP": spent["writing"],
        "looking at photo and paint (processor)": worker["work"]["painting"],
        "model (processor)": worker["work"]["model"],
        "compositing (processor)": worker["work"]["compositing"],
    }


def rows(case: dict, seen: list[dict]) -> dict[str, float]:
    """Medians for one size of box; the first *Generate Again* is not counted."""
    [coarse], [first] = case["coarse"], case["generate"]
    all_parts = [again(*span, line) for span, line in zip(case["again"], seen, strict=True)][1:]
    return {
        "coarse layer": coarse[1] - coarse[0],
        "then eight variants": first[1] - first[0],
        **{part: statistics.median(parts[part] for parts in all_parts) for part in all_parts[0]},
    }


def measured(name: str, folder: Path) -> dict[str, dict[str, float]]:
    """The rows of every size of box, the size as text, in the order that they were measured in."""
    suite = SUITES[name]
    root = _root(suite)
    gimp = GimpRunner(name, root, _worker(suite, root), folder)
    gimp.run("inside.py", "batch_check.py")
    facts = gimp.run("inside.py", "batch_felt.py", variables=WATCHED)
    lines = [json.loads(line) for line in (folder / "stopwatch").read_text().splitlines()]
    table = {}
    for key in (k for k in facts if k != "said"):
        # Of each size: the coarse layer, the first variants, then again and again.
        mine, lines = lines[: len(facts[key]["again"]) + 2], lines[len(facts[key]["again"]) + 2 :]
        table[f"{facts[key]['megapixels']:.2f}"] = rows(facts[key], mine[2:])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gimp", nargs="?", choices=SUITES, help="which GIMP (default: all)")
    chosen = parser.parse_args().gimp
    for name in [chosen] if chosen else SUITES:
        with tempfile.TemporaryDirectory() as folder:
            table = measured(name, Path(folder))
        fresh = next(iter(table.values()))
        columns = sorted(table, key=float)
        print(f"{name}, in a fresh GIMP: coarse layer {fresh['coarse layer']:.2f} s, ", end="")
        print(f"then eight variants {fresh['then eight variants']:.2f} s")
        print(f"  {'box of so many megapixels':40}" + "".join(f"{column:>8}" for column in columns))
        for part in fresh:
            print(f"  {part:40}" + "".join(f"{table[column][part]:8.3f}" for column in columns), flush=True)


if __name__ == "__main__":
    main()
