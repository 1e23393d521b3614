"""`lapcvae coarse`: a coarse picture of a face, to paint on in any program."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from .. import bundle as bundles
from .. import photo as photos
from ..host import FileHost, photo_on_the_wire
from ..painting import sidecar_of, write_coarse
from ..protocol.errors import LapcvaeError
from ..protocol.messages import CoarseRequest
from ..service import Service
from .frames import chosen_frame, eyes_hint
from .terminal import Terminal


def coarse(args: argparse.Namespace, terminal: Terminal) -> int:
    sidecar = sidecar_of(args.out)
    _check_names(args, sidecar)
    photo = photos.read(args.photo)
    colours = photos.Colours(photo)
    terminal.note(*photo.notes, *colours.notes)
    service = Service()
    # Without a name the frame decides which of the models it is; they all expect the eyes at the same places.
    bundle = bundles.describe(bundles.find(args.model))
    frame = chosen_frame(args.frame, args.eyes, photo, bundle)
    results = []
    service.handle(
        CoarseRequest(photo_on_the_wire(photo), frame, args.level, args.style, args.model),
        FileHost(photo, colours, on_result=results.append),
    )
    made = write_coarse(args.out, results[0], args.style, frame, photo, str(args.photo))
    if args.json:
        terminal.json({
            "coarse": str(args.out), "sidecar": str(sidecar), "frame": str(frame), "level": made.level,
            "style": made.style, "side": made.side, "cell": made.side / made.b_j.shape[0], "model": made.model,
            "model_hash": made.model_hash,
        })  # fmt: skip
        return 0
    cells = made.b_j.shape[0]
    terminal.say(
        f"{args.out}: {made.side} x {made.side} pixels, {cells} x {cells} cells of {made.side / cells:.0f} pixels."
    )
    if hint := "" if args.eyes else eyes_hint(bundle, frame):
        terminal.say(hint)
    terminal.say(f"Paint on it (keep its size, and {sidecar.name} beside it), then:")
    terminal.say(shlex.join(["lapcvae", "edit", _argument(args.photo), _argument(args.out), "-o", "DIR"]))
    return 0


def _check_names(args: argparse.Namespace, sidecar: Path) -> None:
    """LapcvaeError if something would be lost."""
    if not os.path.isdir(args.out.parent):
        raise LapcvaeError(f"There is no folder {args.out.parent}.", "Make it, or choose another one.")
    if os.path.exists(args.photo) and os.path.exists(args.out) and os.path.samefile(args.out, args.photo):
        raise LapcvaeError(f"{args.out} is the photo itself.", "Choose another name for the coarse picture.")
    for path, why in ((args.out, "you may have painted on it"), (sidecar, "a painting may need it")):
        if os.path.lexists(path) and not args.force:
            raise LapcvaeError(f"{path} is there already; {why}.", "Choose another name, or add --force to replace it.")


def _argument(path: Path) -> str:
    """A path as an argument: one that begins with a minus would be taken for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)
