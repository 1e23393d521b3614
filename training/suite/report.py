"""What a suite found: suite.json, suite.md, and verdicts.json, which a person fills in while looking."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from lapcvae.protocol.errors import LapcvaeError

VERDICTS = "verdicts.json"
ANSWERS = ("keep", "no")
RIM = (0.8, 1.25)
# Column title and how a figure is written, by measure.
COLUMNS = {
    "outside": ("outside M", "{:g}"), "agreement": ("agreement", "{:.2f}"),
    "agreement_model": ("before the photo", "{:.2f}"),
    "followed": ("followed", "{:.2f}"), "rim": ("rim", "{:.2f}"), "diversity": ("diversity", "{:.1f}"),
    "lpips": ("LPIPS", "{:.3f}"), "ghost": ("ghost", "{:.2f}"), "edges": ("edges", "{:.2f}"),
}  # fmt: skip


def read_verdicts(path: Path, cells: list[str]) -> dict[str, dict]:
    """Verdicts by cell ("glasses-off/name"); makes the file, or adds what is not in it, and never changes an answer."""
    found = {}
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            wrong = [c for c, v in found.items() if v["verdict"] not in ("", *ANSWERS)]
        except (ValueError, TypeError, KeyError) as error:
            raise LapcvaeError(f"{path} is damaged: {error}.", "Mend it; your answers are in it.") from error
        if wrong:
            raise LapcvaeError(
                f'{path}: the verdict "{found[wrong[0]]["verdict"]}" of {wrong[0]} is none.', 'Write "keep" or "no".'
            )
    missing = [c for c in cells if c not in found]
    if missing:
        found |= {c: {"verdict": "", "why": ""} for c in missing}
        lines = [f" {json.dumps(c)}: {json.dumps(v, ensure_ascii=False)}" for c, v in found.items()]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return found


def summary(cells: list[dict], verdicts: dict[str, dict]) -> dict:
    """Means over these cells with their n; `outside` is the largest; verdicts counted."""
    out = {"n": len(cells)}
    for measure in COLUMNS:
        values = [c["figures"][measure] for c in cells if c["figures"][measure] is not None]
        combined = (max if measure == "outside" else np.mean)(values) if values else None
        out[measure] = {"mean": None if combined is None else float(combined), "n": len(values)}
    rims = [c["figures"]["rim"] for c in cells if c["figures"]["rim"] is not None]
    out["rim_within"] = sum(RIM[0] <= r <= RIM[1] for r in rims)
    answers = [verdicts[name_of(c)]["verdict"] for c in cells]
    out |= {"keep": answers.count("keep"), "no": answers.count("no")}
    for which in ("seconds_first", "seconds_all"):
        seconds = [c["figures"][which] for c in cells]
        out[which] = {f"p{p}": float(np.percentile(seconds, p)) for p in (50, 95)}
    return out


def name_of(cell: dict) -> str:
    return f"{cell['painting']}/{cell['photo']}"


def write(out: Path, facts: dict, cells: list[dict]) -> None:
    """suite.json and suite.md of these cells ({"painting", "photo", "figures"}), with the verdicts so far."""
    verdicts = read_verdicts(out / VERDICTS, [name_of(c) for c in cells])
    paintings = list(dict.fromkeys(c["painting"] for c in cells))
    report = facts | {
        "total": summary(cells, verdicts),
        "paintings": {p: summary([c for c in cells if c["painting"] == p], verdicts) for p in paintings},
        "cells": [c | verdicts[name_of(c)] for c in cells],
    }
    (out / "suite.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "suite.md").write_text(markdown(report), encoding="utf-8")


def _row(name: str, found: dict) -> str:
    figures = []
    for measure, (_, form) in COLUMNS.items():
        value = found[measure]["mean"]
        figures.append("-" if value is None or not math.isfinite(value) else form.format(value))
    judged = found["keep"] + found["no"]
    kept = f"{found['keep']} of {judged}" if judged else "-"
    within = f"{found['rim_within']} of {found['rim']['n']}"
    return f"| {' | '.join([name, str(found['n']), *figures, within, kept])} |"


def markdown(report: dict) -> str:
    head = ["", "n", *(title for title, _ in COLUMNS.values()), f"rim within {RIM[0]} to {RIM[1]}", "would keep"]
    total = report["total"]
    seconds = ", ".join(
        f"{what} {total[f'seconds_{which}']['p50']:.2f} s (p50), {total[f'seconds_{which}']['p95']:.2f} s (p95)"
        for which, what in (("first", "first variant"), ("all", f"all {report['count']}"))
    )
    unjudged = total["n"] - total["keep"] - total["no"]
    return "\n".join([
        f"# Suite: {report['model']}",
        "",
        f"{total['n']} cells; temperature {report['temperature']:g}, realism {report['realism']:g}, seed {report['seed']}, "
        f"{report['count']} variants; model {report['model_hash'][:12]}. What the columns mean: docs/suite.md.",
        "",
        f"| {' | '.join(head)} |",
        f"| {' | '.join(['---'] * len(head))} |",
        *(_row(name, found) for name, found in report["paintings"].items()),
        _row("**all**", total),
        "",
        f"{seconds}. {unjudged} cells are not judged yet ({VERDICTS}).",
        "",
    ])  # fmt: skip
