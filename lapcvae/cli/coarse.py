"""`lapcvae coarse`: a coarse picture of a face, to paint on in any program."""

from __future__ import annotations

import argparse
import json

from .. import photo as photos
from ..host import FileHost, photo_on_the_wire
from ..painting import sidecar_of, write_coarse
from ..protocol.errors import LapcvaeError
from ..protocol.messages import CoarseRequest
from ..service import Service
from .frames import chosen_frame, eyes_hint
from .terminal import Terminal


def coarse(args: argparse.Namespace, terminal: Terminal) -> int:
    photo = photos.read(args.photo)
    colours = photos.Colours(photo)
    terminal.note(*photo.notes, *colours.notes)
    if not args.out.parent.is_dir():
        raise LapcvaeError(f"There is no folder {args.out.parent}.", "Make it, or choose another one.")
    if args.out.exists() and args.out.samefile(args.photo):
        raise LapcvaeError(f"{args.out} is the photo itself.", "Choose another name for the coarse picture.")
    if args.out.exists() and not args.force:
        raise LapcvaeError(f"{args.out} is there already; you may have painted on it.", "Choose another name, or --force.")
    service = Service()
    bundle = service.engine(args.model, "cpu").bundle
    frame = chosen_frame(args, photo, bundle)
    results = []
    service.handle(
        CoarseRequest(photo_on_the_wire(photo), frame, args.level, args.style, bundle.name),
        FileHost(photo, colours, on_result=results.append),
    )
    made = write_coarse(args.out, results[0], args.style, frame, photo, str(args.photo))
    sidecar = sidecar_of(args.out)
    if args.json:
        print(json.dumps({
            "coarse": str(args.out), "sidecar": str(sidecar), "frame": str(frame), "level": made.level,
            "style": made.style, "side": made.side, "cell": made.side / made.b_j.shape[0], "model": made.model,
            "model_hash": made.model_hash,
        }, indent=1))  # fmt: skip
        return 0
    cells = made.b_j.shape[0]
    print(f"{args.out}: {made.side} x {made.side} pixels, {cells} x {cells} cells of {made.side / cells:.0f} pixels.")
    if hint := "" if args.eyes else eyes_hint(bundle, frame):
        print(hint)
    print(f"Paint on it (keep its size, and {sidecar.name} beside it), then:")
    print(f"lapcvae edit {args.photo} {args.out} -o DIR")
    return 0
