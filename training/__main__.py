"""`python -m training train|evaluate|suite|interpreter|exemplars|finder|labels|segmenter|faces|weights`."""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from pathlib import Path

from lapcvae.protocol.errors import LapcvaeError

from . import config, evaluate, exemplars, faces, finder, interpreter, labels, loop, lpips, segmenter
from .suite import command as suite


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        return args.run(args) or 0
    except LapcvaeError as error:
        print(f"error: {error.cause}\n{error.remedy}".rstrip(), file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a model on your own pictures")
    train.add_argument("--preset", default="faces-128", help="the recipe (default: %(default)s)")
    train.add_argument("--data", type=Path, required=True, help="a folder of pictures, or of .tar shards")
    train.add_argument("--out", type=Path, required=True, help="the run's folder; a run found there is resumed")
    train.add_argument(
        "--init", action="append", default=[], metavar="PATH[:LEVELS]",
        help="start from the weights of this run or bundle (of these levels only, for example runs/a:2,3; its level 0 as"
        " level 1: runs/a:0=1); repeatable",
    )  # fmt: skip
    train.add_argument("--images", type=int, help="how many pictures to see")
    train.add_argument("--minutes", type=float, help="how long to go on at most, whatever the number of pictures")
    train.add_argument("--batch", type=int)
    train.add_argument("--learning-rate", type=float)
    train.add_argument("--decay", type=float, help="share of the run in which the learning rate falls")
    train.add_argument("--levels", help="train only these levels, for example 2,3")
    train.add_argument("--own-chain", type=float, help="share of conditions from the model's own chain")
    train.add_argument("--lambdas", help="the KL weight of every level, finest first, for example 1,1,1.5,1")
    train.add_argument("--perceptual", type=float, help="weight of the VGG term on reconstructions")
    train.add_argument("--calibration", type=float, help="weight of the energy score of samples")
    train.add_argument("--adversarial", type=float, help="weight of the discriminators of samples")
    train.add_argument("--whole-chain", action="store_true", default=None,
                       help="draw those samples down the whole chain, from the coarsest level on")  # fmt: skip
    train.add_argument("--interpreter", type=Path,
                       help="a run (it may be going on) or bundle: some samples are edits, of what it reads")  # fmt: skip
    train.add_argument("--glasses", type=float, help="share of the pictures, aligned faces, on which glasses are drawn")
    train.add_argument("--kl-warm-up", type=int, help="over how many images the KL's weight rises; 0: none")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--threads", type=int, default=0, help="0: all")
    train.add_argument("--device", default="cpu", help="cpu or cuda")
    train.add_argument("--checkpoint-minutes", type=float, default=5.0)
    train.add_argument("--sheet-minutes", type=float, default=15.0)
    train.add_argument("--dry-run", action="store_true", help="print the recipe and stop")
    train.set_defaults(run=_train)

    for name, module, text in (
        ("evaluate", evaluate, "measure a model on pictures"),
        ("suite", suite, "try edits that people want on photographs"),
        ("interpreter", interpreter, "train what reads crude paintings on the same pictures"),
        ("exemplars", exemplars, "choose some of the same pictures for their details"),
        ("finder", finder, "train a face finder on the same pictures"),
        ("labels", labels, "label such faces: hair, skin, hats and so on"),
        ("segmenter", segmenter, "train what tells these apart in photos"),
        ("faces", faces, "make synthetic faces to train on"),
        ("weights", lpips, "fetch the weights of LPIPS"),
    ):
        command = commands.add_parser(name, help=text)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _train(args: argparse.Namespace) -> int:
    preset = _changed(config.preset(args.preset), args)
    print(config.to_json(preset))
    if args.dry_run:
        return 0
    run = loop.Run(
        preset, args.data, args.out, tuple(_start(text) for text in args.init), args.seed, args.checkpoint_minutes,
        args.sheet_minutes, args.threads, args.device, args.interpreter,
    )  # fmt: skip
    print(f"The model is in {loop.train(run)}")
    return 0


def _start(text: str) -> tuple[Path, tuple[tuple[int, int], ...]]:
    """PATH or PATH:LEVELS; each of the levels is a number, or THEIRS=OURS."""
    path, colon, levels = text.rpartition(":")
    if colon and re.fullmatch(r"\d+(=\d+)?(,\d+(=\d+)?)*", levels):
        pairs = [part.partition("=") for part in levels.split(",")]
        return Path(path), tuple((int(theirs), int(ours or theirs)) for theirs, _, ours in pairs)
    return Path(text), ()


def _changed(preset, args: argparse.Namespace):
    """The preset with what the command line says otherwise."""
    levels = tuple(int(k) for k in args.levels.split(",")) if args.levels else None
    preset = loop.override(
        preset, images=args.images, batch=args.batch, learning_rate=args.learning_rate, decay=args.decay,
        only_levels=levels, minutes=args.minutes, perceptual=args.perceptual, kl_warm_up_images=args.kl_warm_up,
        calibration=args.calibration, adversarial=args.adversarial, whole_chain=args.whole_chain,
    )  # fmt: skip
    if args.own_chain is not None:
        mix = dataclasses.replace(preset.mix, own_chain=args.own_chain, true=max(0.0, 0.8 - args.own_chain))
        preset = dataclasses.replace(preset, mix=mix)
    if args.glasses is not None:
        augmentation = dataclasses.replace(preset.augmentation, glasses=args.glasses)
        preset = dataclasses.replace(preset, augmentation=augmentation)
    if args.lambdas:
        values = [float(v) for v in args.lambdas.split(",")]
        if len(values) != len(preset.model.levels):
            raise LapcvaeError(f"{len(values)} lambdas for {len(preset.model.levels)} levels.", "Give one a level.")
        new = tuple(dataclasses.replace(level, lambda_=v) for level, v in zip(preset.model.levels, values))
        preset = dataclasses.replace(preset, model=dataclasses.replace(preset.model, levels=new))
    return preset


if __name__ == "__main__":
    sys.exit(main())
