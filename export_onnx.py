#!/usr/bin/env python3
"""A trained model in, a bundle out: `python export_onnx.py RUN -o models/NAME`.

With `--finder RUN` the bundle gets a face finder too, with `--interpreter RUN` what reads crude paintings, with
`--exemplars RUN` pictures to take details from, with `--segmenter RUN` what tells hair from skin, with `--int8 PICTURES`
8-bit graphs, with `--card FILE` a card; without a model, the bundle that is there already gets them. With one, a bundle that
is there keeps all of these but the 8-bit graphs, and its title, eyes, licence and family, unless others are given.

Every graph is compared with PyTorch at batch sizes 1, 2 and 5, and at two sizes where height and width are dynamic; the
largest error goes into the manifest. The bundle is written under another name and appears only when all of it is right.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from lapcvae import threads

threads.no_telemetry()

from lapcvae import bundle as bundles  # noqa: E402
from lapcvae import graphs, segments  # noqa: E402
from lapcvae.engine import Engine  # noqa: E402
from lapcvae.protocol.errors import LapcvaeError  # noqa: E402
from training import checkpoint, exemplars, quantize  # noqa: E402
from training import finder as finders  # noqa: E402
from training import interpreter as interpreters  # noqa: E402
from training import segmenter as segmenters  # noqa: E402
from training.model import LapCVAE  # noqa: E402
from training.onnx_graphs import (  # noqa: E402
    BATCHES,
    InterpreterGraph,
    PictureGraph,
    export_graph,
    graphs_of,
    graphs_of_finder,
    is_dynamic,
    round_to_half,
)


def files_of(folder: Path) -> dict[str, dict]:
    """What the manifest says of every other file of the bundle."""
    return {
        f.name: {"bytes": f.stat().st_size, "sha256": hashlib.sha256(f.read_bytes()).hexdigest()}
        for f in sorted(folder.iterdir()) if f.name != bundles.MANIFEST
    }  # fmt: skip


def add_finder(run: Path, folder: Path) -> dict:
    """Write the graphs of a finder's run into a bundle's folder; the manifest's entry."""
    net, facts = finders.load(run)
    exported = graphs_of_finder(round_to_half(net))
    error = max(export_graph(graph, folder) for graph in exported)
    names = {graph.name.removesuffix(".onnx"): graph.name for graph in exported}
    return names | {"threshold": float(facts.pop("threshold")), "largest_error": error, "training": facts}


def add_interpreter(run: Path, folder: Path) -> dict:
    """Write an interpreter's graph and weights into a bundle's folder; the manifest's entry."""
    net, facts = interpreters.load(run)
    graph = InterpreterGraph(round_to_half(net))
    error = export_graph(graph, folder)
    interpreters.save(net, folder, facts, half=True)
    return {"graph": graph.name, "size": net.size, "largest_error": error, "training": facts}


def add_segmenter(run: Path, folder: Path) -> dict:
    """Write a segmenter's graph into a bundle's folder; the manifest's entry."""
    net, facts = segmenters.load(run)
    names = [graphs.SEGMENT_INPUT], [graphs.SEGMENT_OUTPUT]
    graph = PictureGraph("segment.onnx", round_to_half(net), *names, segments.SIZE, False)
    error = export_graph(graph, folder)
    classes = list(segments.CLASSES)
    return {"graph": graph.name, "size": graph.size, "classes": classes, "largest_error": error, "training": facts}


def add_exemplars(run: Path, folder: Path) -> dict:
    """Copy what `python -m training exemplars` chose into a bundle's folder; the manifest's entry."""
    file = run / exemplars.FILE
    if not file.is_file():
        raise LapcvaeError(f"There are no exemplars at {run}.", "Choose some: python -m training exemplars")
    shutil.copyfile(file, folder / exemplars.FILE)
    return {"file": exemplars.FILE} | exemplars.facts(file)


def add_hair(manifest: dict, folder: Path) -> None:
    """Where the exemplars have hair, if there are such and a segmenter that looks at no more pixels; for the manifest."""
    entry, seen = manifest.get("exemplars"), manifest.get("segmenter")
    if entry:
        entry.pop("hair", None)
    if not entry or not seen:
        return
    if entry["size"] < seen["size"]:
        print(f"Strokes of hair get none of the exemplars: these have {entry['size']} pixels, fewer than {seen['size']}.")
        return
    manifest["files"] = files_of(folder)
    write_manifest(manifest, folder)
    exemplars.write_hair(Engine(bundles.describe(folder), "cpu"), folder / exemplars.HAIR_FILE)
    manifest["exemplars"]["hair"] = exemplars.HAIR_FILE


def add_int8(pictures: Path, manifest: dict, folder: Path, family: Path) -> None:
    """The 8-bit graphs, and what the manifest says of them. `family`: where a model that this one extends may be."""
    squares = quantize.read_pictures(pictures, manifest["size"])
    write_manifest(manifest, folder)
    smaller = family / manifest["extends"] if "extends" in manifest else None
    if smaller and not smaller.is_dir():
        smaller = None
    for level, names in zip(manifest["levels"], quantize.quantize(folder, squares, smaller), strict=True):
        level["int8"] = names
    manifest["files"] = files_of(folder)
    write_manifest(manifest, folder)
    manifest["int8"] = {"rms_grey_levels": round(quantize.difference(folder, squares), 3)}


def write_manifest(manifest: dict, folder: Path) -> None:
    (folder / bundles.MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


# The manifest's entries that a bundle keeps when its model is exported anew.
KEPT = ("title", "licence", "eyes", "extends", "finder", "interpreter", "exemplars", "segmenter")
NEW_TITLE, NEW_LICENCE = "A LapCVAE model", "Made from your own pictures: yours."


def keep_from(old: Path, work: Path, size: int, given: argparse.Namespace) -> dict:
    """Copy what is not made anew of the bundle that is there, if there is a sound one of this size; its entries."""
    try:
        bundle = bundles.open_bundle(old)
    except LapcvaeError:
        return {}
    if bundle.size != size:
        return {}
    files = [] if given.card else [bundles.CARD]
    if bundle.finder and not given.finder:
        files += [bundle.finder.find, bundle.finder.refine]
    if bundle.interpreter and not given.interpreter:
        files += [bundle.interpreter.graph, interpreters.WEIGHTS]
    if bundle.exemplars and not given.exemplars:
        files += [name for name in (bundle.exemplars.file, bundle.exemplars.hair) if name]
    if bundle.segmenter and not given.segmenter:
        files += [bundle.segmenter.graph]
    for name in files:
        if (old / name).is_file():
            shutil.copyfile(old / name, work / name)
            print(f"{name} is kept" + (", and says what it said of the old model." if name == bundles.CARD else "."))
    return {name: bundle.manifest[name] for name in KEPT if name in bundle.manifest}


def manifest_of(net: LapCVAE, args: argparse.Namespace, facts: dict[str, str], error: float, folder: Path,
                kept: dict) -> dict:  # fmt: skip
    config = net.config
    levels = [
        {"encode": f"encode_{k}.onnx", "decode": f"decode_{k}.onnx",
         "groups": [dataclasses.asdict(g) for g in level.groups],
         "step": level.deepest_stride if is_dynamic(config, k) else 0}
        for k, level in enumerate(config.levels)
    ]  # fmt: skip
    manifest = {
        "format": bundles.FORMAT, "name": args.out.name, "title": NEW_TITLE, "size": config.size,
        "colour": "sRGB with its transfer curve, 0 to 1", "levels": levels, "licence": NEW_LICENCE,
        "training": facts, "parity": {"largest_error": error, "batches": list(BATCHES)}, "files": files_of(folder),
    } | kept  # fmt: skip
    for name in ("title", "licence", "extends"):
        if getattr(args, name):
            manifest[name] = getattr(args, name)
    if args.eyes:
        y, distance = (float(v) for v in args.eyes.split(","))
        manifest["eyes"] = {"y": y, "distance": distance}
    if args.quality:
        manifest["quality"] = json.loads(args.quality.read_text())
    return manifest


def export(args: argparse.Namespace) -> Path:
    """The bundle's folder, with everything in it or as it was before."""
    args.out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{args.out.name}-", dir=args.out.parent))
    try:
        manifest = export_model(args, work) if args.model else copy_bundle(args.out, work)
        if args.card and not args.model:
            shutil.copyfile(args.card, work / bundles.CARD)
        if args.finder:
            manifest["finder"] = add_finder(args.finder, work)
        if args.interpreter:
            manifest["interpreter"] = add_interpreter(args.interpreter, work)
        if args.exemplars:
            manifest["exemplars"] = add_exemplars(args.exemplars, work)
        if args.segmenter:
            manifest["segmenter"] = add_segmenter(args.segmenter, work)
        if args.exemplars or args.segmenter:
            add_hair(manifest, work)
        manifest["files"] = files_of(work)
        if args.int8:
            add_int8(args.int8, manifest, work, args.out.parent)
        write_manifest(manifest, work)
        bundles.open_bundle(work)
        work.chmod(0o755)
        replace_folder(work, args.out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return args.out


def copy_bundle(old: Path, work: Path) -> dict:
    """The bundle that is there, as it is; its manifest."""
    manifest = bundles.open_bundle(old).manifest
    for name in (*manifest["files"], bundles.MANIFEST):
        shutil.copyfile(old / name, work / name)
    return manifest


def export_model(args: argparse.Namespace, work: Path) -> dict:
    """Write the model's graphs, weights and card; the manifest."""
    net = round_to_half(checkpoint.load_weights(args.model)).float().eval()
    facts = checkpoint.facts(args.model)
    errors = [export_graph(graph, work) for graph in graphs_of(net)]
    kept = keep_from(args.out, work, net.config.size, args)
    smaller = args.out.parent / (args.extends or kept.get("extends", "."))
    there = smaller != args.out.parent and (smaller / checkpoint.WEIGHTS).is_file()
    checkpoint.save_weights(net, work / checkpoint.WEIGHTS, facts, half=True, extends=smaller if there else None)
    if args.card:
        shutil.copyfile(args.card, work / bundles.CARD)
    return manifest_of(net, args, facts, max(errors), work, kept)


def replace_folder(new: Path, old: Path) -> None:
    """`new` takes the name `old`; what was there goes only after that."""
    if not old.exists():
        os.rename(new, old)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{old.name}-old-", dir=old.parent))
    os.rename(old, aside / old.name)
    os.rename(new, old)
    shutil.rmtree(aside)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", help="a run folder, a bundle folder or a weights file")
    parser.add_argument("--finder", type=Path, help="a run of `python -m training finder`: its face finder goes in")
    parser.add_argument(
        "--interpreter", type=Path, help="a run of `python -m training interpreter`, or a bundle: what reads crude paintings"
        " goes in",
    )  # fmt: skip
    parser.add_argument(
        "--exemplars", type=Path, help="a folder of `python -m training exemplars`: pictures to take details from go in"
    )
    parser.add_argument(
        "--segmenter", type=Path, help="a run of `python -m training segmenter`: what tells hair, skin, hats and so on apart"
        " goes in",
    )  # fmt: skip
    parser.add_argument(
        "--int8", type=Path, metavar="PICTURES", help="a folder of pictures like those it was trained on: 8-bit graphs,"
        " calibrated on some of them, go in for CPUs that are faster with these",
    )  # fmt: skip
    parser.add_argument("-o", "--out", type=Path, required=True, help="the bundle's folder; its name is the model's")
    parser.add_argument("--title", help=f'what users see (default: "{NEW_TITLE}")')
    parser.add_argument("--licence", help=f'what `lapcvae models` shows (default: "{NEW_LICENCE}")')
    parser.add_argument("--eyes", help="Y,DISTANCE of the eyes as shares of the side, if it is a model of faces")
    parser.add_argument(
        "--extends", metavar="NAME", help="the smaller model whose levels are this one's coarser ones: faces that are large"
        " enough get this one without asking for it",
    )  # fmt: skip
    parser.add_argument("--card", type=Path, help="a Markdown file to go with it")
    parser.add_argument("--quality", type=Path, help="the JSON that `python -m training evaluate` wrote")
    args = parser.parse_args(arguments)
    parts = ("finder", "interpreter", "exemplars", "segmenter", "int8", "card")
    if not (args.model or any(getattr(args, part) for part in parts)):
        parser.error(f"give a model, or what to add to the bundle: {', '.join(f'--{part}' for part in parts)}")
    try:
        print(f"The bundle is in {export(args)}")
    except LapcvaeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
