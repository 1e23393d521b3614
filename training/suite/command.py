"""The command: which cells to make, made one by one; what was made before and would be the same is not made again."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from lapcvae.bundle import open_bundle
from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.messages import Settings
from lapcvae.service import Service

from .. import lpips
from . import measures, report, sheets
from .paintings import PAINTINGS, Painting
from .photos import Subject, read_subjects
from .road import Road

FACTS = "facts.json"
PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Suite:
    model: Path
    photos: Path
    out: Path
    settings: Settings
    only: tuple[str, ...] = ()
    device: str = "auto"

    def paintings(self) -> list[Painting]:
        known = {p.name: p for p in PAINTINGS}
        if unknown := [n for n in self.only if n not in known]:
            raise LapcvaeError(f'There is no painting "{unknown[0]}".', f"There are: {', '.join(known)}.")
        return [p for p in PAINTINGS if not self.only or p.name in self.only]


def make(suite: Suite) -> None:
    """Every cell that is not there yet, then the report and the sheets of all that are."""
    paintings = suite.paintings()
    bundle = open_bundle(suite.model)
    subjects = read_subjects(suite.photos, bundle)
    # The first place that is looked into: no other model of this name can take its place.
    os.environ["LAPCVAE_MODELS"] = str(suite.model.resolve().parent)
    road = Road(Service(), bundle.name, suite.device)
    weights = lpips.find_weights("alexnet")
    judge = lpips.LPIPS("alexnet", weights) if weights and bundle.size >= 64 else None
    s = suite.settings
    facts = {
        "model": bundle.name, "model_hash": bundle.hash, "count": s.count, "seed": s.seed, "temperature": s.temperature,
        "realism": s.realism, "lpips": bool(judge), "provider": road.engine.provider.name,
    }  # fmt: skip
    suite.out.mkdir(parents=True, exist_ok=True)
    (suite.out / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    version = hashlib.sha256(json.dumps([facts, _code()]).encode()).hexdigest()
    for painting in paintings:
        for subject in tqdm(subjects, painting.name, disable=None):
            _make_cell(road, painting, subject, suite, judge, version)
    report_on(suite.out)


def _code() -> str:
    """SHA-256 of everything that a result depends on, but for packages and the model."""
    files = sorted([*(PROJECT / "lapcvae").rglob("*.py"), *Path(__file__).parent.glob("*.py")])
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()


def _make_cell(road: Road, painting: Painting, subject: Subject, suite: Suite, judge, version: str) -> None:
    folder = suite.out / "cells" / painting.name
    photo = hashlib.sha256(
        repr((subject.frame, subject.mouth, subject.parted, sorted(subject.has))).encode() + subject.photo.pixels.tobytes()
    )
    key = hashlib.sha256((version + photo.hexdigest()).encode()).hexdigest()
    file = folder / f"{subject.name}.json"
    if file.is_file() and json.loads(file.read_text(encoding="utf-8")).get("key") == key:
        return
    cell = road.cell(painting, subject, suite.settings)
    figures = measures.measure(cell, road, judge)
    small, full = sheets.strips(cell)
    sheets.save(small, folder / f"{subject.name}.jpg")
    sheets.save(full, folder / f"100/{subject.name}.jpg")
    found = {"painting": painting.name, "photo": subject.name, "key": key, "figures": figures}
    # Last, so that a cell is whole once this is there.
    file.write_text(json.dumps(found, allow_nan=False) + "\n", encoding="utf-8")


def report_on(out: Path) -> None:
    """suite.json, suite.md and the sheets, from the cells that were made, with the verdicts so far."""
    if not (out / FACTS).is_file():
        raise LapcvaeError(f"There is no suite in {out}.", "Run it first: give --model and --photos.")
    rows = {}
    for painting in PAINTINGS:
        files = sorted((out / "cells" / painting.name).glob("*.json"))
        if files:
            rows[painting.name] = files
    cells = [json.loads(f.read_text(encoding="utf-8")) for files in rows.values() for f in files]
    report.write(out, json.loads((out / FACTS).read_text(encoding="utf-8")), [
        {"painting": c["painting"], "photo": c["photo"], "figures": c["figures"]} for c in cells
    ])  # fmt: skip
    for name, files in rows.items():
        for inside, end in ((".", ""), ("100", "-100")):
            pictures = [(f.stem, f.parent / inside / f"{f.stem}.jpg") for f in files]
            sheets.stack(name, pictures, out / "sheets" / f"{name}{end}.jpg")
    sheets.overview([(n, [f.with_suffix(".jpg") for f in files]) for n, files in rows.items()], out / "overview.jpg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, help="a bundle's folder")
    parser.add_argument("--photos", type=Path, help="a folder of photos with eyes.json, or of aligned squares")
    parser.add_argument("--out", type=Path, required=True, help="where to write; cells found there are not made again")
    parser.add_argument("--count", type=int, default=8, help="variants of each cell (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these paintings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temperature", type=float, default=Settings.temperature)
    parser.add_argument("--realism", type=float, default=Settings.realism)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--report-only", action="store_true", help="make nothing; count the verdicts again")


def run(args: argparse.Namespace) -> int:
    if args.report_only:
        report_on(args.out)
    elif not args.model or not args.photos:
        raise LapcvaeError("Which model, and which photos?", "Give --model BUNDLE and --photos DIR.")
    else:
        settings = Settings(args.count, args.seed, args.temperature, args.realism)
        make(Suite(args.model, args.photos, args.out, settings, tuple(args.only), args.device))
    print(f"The report is {args.out / 'suite.md'}; look at {args.out / 'sheets'} and fill in {args.out / report.VERDICTS}")
    return 0
