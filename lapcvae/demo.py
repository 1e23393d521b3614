"""`lapcvae demo`: the bundled photo edited with the bundled painting.

`python -m lapcvae.demo` makes the painting anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from .protocol.messages import Settings

ASSETS = Path(__file__).resolve().parent / "assets"
PHOTO, PAINTING = ASSETS / "portrait.png", ASSETS / "painting.png"
# The centres of the eyes, measured on the photo, and 5 pixels (.03 of the side) higher: all of the hair is in the frame.
EYES = (204.2, 96.3, 247.2, 98.0)
LEVEL = 3
SETTINGS = Settings(count=8, seed=1, temperature=0.9, structure=0.6)

# Brown over all of the hair, thin enough for its light and shade to show through: colour, width in photo pixels, and the
# points that a stroke goes through.
BROWN, OPACITY = (56, 30, 22), 0.6
STROKES = (
    (BROWN, 18, ((167, 112), (166, 86), (172, 60), (190, 40), (222, 30), (256, 36), (277, 58), (286, 86), (283, 112))),
    (BROWN, 24, ((180, 84), (192, 60), (220, 46), (250, 52), (268, 84))),
    (BROWN, 12, ((188, 84), (210, 76), (234, 72), (252, 80))),
)


def demo(args: argparse.Namespace, terminal) -> int:
    from .cli.edit import Job, run

    report = run(
        Job(PHOTO, PAINTING, args.out, SETTINGS, eyes=EYES, level=LEVEL, model=args.model, device=args.device,
            force=args.force or not _of_another_photo(args.out)),
        terminal,
    )  # fmt: skip
    if args.json:
        terminal.json(report)
    elif report["variants"]:
        terminal.say(f"The sheet is {args.out / report['sheet']}, the {len(report['variants'])} variants are beside it.")
    return 130 if report["cancelled"] else 0


def _of_another_photo(folder: Path) -> bool:
    """Whether the folder has a report that is not of an earlier demo."""
    try:
        report = json.loads((folder / "report.json").read_bytes())
        return report["photo"]["sha256"] != hashlib.sha256(PHOTO.read_bytes()).hexdigest()
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError):
        return True


def paint() -> None:
    """Make the bundled painting: the strokes, on transparency, of the photo's size."""
    import numpy as np
    from PIL import Image, ImageDraw

    from .photo import write_png_with_text

    # Drawn four times as large, for smooth edges.
    fine = 4
    with Image.open(PHOTO) as photo:
        size = photo.size
    picture = Image.new("RGBA", (size[0] * fine, size[1] * fine), (*STROKES[0][0], 0))
    draw = ImageDraw.Draw(picture)
    for colour, width, points in STROKES:
        large = [(x * fine, y * fine) for x, y in points]
        draw.line(large, (*colour, 255), width * fine, joint="curve")
        for x, y in large:
            r = width * fine / 2
            draw.ellipse((x - r, y - r, x + r, y + r), (*colour, 255))
    small = picture.resize(size, Image.Resampling.BOX)
    small.putalpha(small.getchannel("A").point(lambda alpha: round(alpha * OPACITY)))
    write_png_with_text(PAINTING, np.asarray(small), {"Comment": "Strokes for portrait.png; CC0."})


if __name__ == "__main__":
    paint()
