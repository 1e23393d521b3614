"""`lapcvae models`: what is installed, and whether it can be used."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import bundle as bundles
from ..protocol.errors import LapcvaeError
from .terminal import Terminal


def facts_of(name: str, folder: Path) -> dict:
    """What there is to know of one model, as plain JSON; `problem` is empty if it can be used."""
    try:
        bundle = bundles.open_bundle(folder)
    except LapcvaeError as error:
        return {"name": name, "folder": str(folder), "problem": error.cause, "remedy": error.remedy}
    manifest = bundle.manifest
    return {
        "name": name, "folder": str(folder), "problem": "", "title": bundle.title, "size": bundle.size,
        "levels": [level.size for level in bundle.levels], "licence": bundle.licence, "hash": bundle.hash,
        "training": manifest.get("training", {}), "quality": manifest.get("quality", {}),
        "megabytes": round(sum(f["bytes"] for f in manifest["files"].values()) / 1e6, 1),
    }  # fmt: skip


def _lines(title: str, facts) -> list[str]:
    """Nested facts as indented lines."""
    if not isinstance(facts, dict):
        return [f"  {title}: {facts:.4g}" if isinstance(facts, float) else f"  {title}: {facts}"]
    inner = [f"  {line}" for key, value in facts.items() for line in _lines(str(key), value)]
    return [f"  {title}:", *inner] if inner else []


def _shown(facts: dict) -> list[str]:
    if facts["problem"]:
        return [f"{facts['name']}: cannot be used", f"  {facts['problem']}", f"  {facts['remedy']}"]
    lines = [
        f"{facts['name']}: {facts['title']}",
        f"  size: {facts['size']} pixels; levels: {', '.join(map(str, facts['levels']))} pixels",
        f"  licence: {facts['licence']}",
        f"  folder: {facts['folder']} ({facts['megabytes']} MB, hashes verified)",
    ]
    for part in ("training", "quality"):
        lines += _lines(part, facts[part]) or [f"  {part}: not stated"]
    return lines


def models(args: argparse.Namespace, terminal: Terminal) -> int:
    found = [facts_of(name, folder) for name, folder in sorted(bundles.scan().items())]
    if not found:
        places = ", ".join(map(str, bundles.places()))
        remedy = "Run install.sh again, or set LAPCVAE_MODELS."
        raise LapcvaeError(f"No model is installed (looked in {places}).", remedy)
    if args.json:
        terminal.json(found)
    else:
        for line in (line for facts in found for line in _shown(facts)):
            terminal.say(line)
    return 1 if any(facts["problem"] for facts in found) else 0
