"""`lapcvae demo`: the bundled photo edited with the bundled painting.

`python -m lapcvae.demo` makes the painting anew.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .protocol.messages import Settings

ASSETS = Path(__file__).resolve().parent / "assets"
PHOTO, PAINTING = ASSETS / "portrait.png", ASSETS / "painting.png"
# The centres of the eyes, measured on the photo.
EYES = (204.2, 101.3, 247.2, 103.0)
LEVEL = 1
SETTINGS = Settings(count=8, seed=1, temperature=0.9, realism=0.3)

# Sunglasses, and a darker lower lip: colour, width in photo pixels, and the points that a stroke goes through.
GLASS, LIP = (34, 28, 30), (176, 70, 78)
STROKES = (
    (GLASS, 18, ((198, 102.5), (208, 103))),
    (GLASS, 12, ((201, 108), (206, 108))),
    (GLASS, 18, ((243, 104.5), (253, 105))),
    (GLASS, 12, ((245, 110), (250, 110))),
    (GLASS, 4, ((210, 99), (225, 97.5), (241, 100))),
    (GLASS, 4, ((182, 96), (194, 98))),
    (GLASS, 4, ((256, 101), (269, 99))),
    (LIP, 5, ((214, 149), (224, 152), (234, 149.5))),
)


def demo(args: argparse.Namespace, terminal) -> int:
    from .cli.edit import Job, run

    report = run(Job(PHOTO, PAINTING, args.out, SETTINGS, eyes=EYES, level=LEVEL, model=args.model, device=args.device),
                 terminal)  # fmt: skip
    if args.json:
        print(json.dumps(report, indent=1))
    elif report["variants"]:
        print(f"The sheet is {args.out / report['sheet']}, the {len(report['variants'])} variants are beside it.")
    return 130 if report["cancelled"] else 0


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
    write_png_with_text(PAINTING, np.asarray(small), {"Comment": "Strokes for portrait.png; CC0."})


if __name__ == "__main__":
    paint()
