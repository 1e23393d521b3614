"""Makes docs/pictures anew: two edits in the real GIMP, its dialogs, and what they made of the bundled portrait.

As root, with the tests' environment: .venv/bin/python tests/gimp/pictures.py (LAPCVAE_MODELS as for the tests)
"""

import json
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(PROJECT)]

from conftest import SUITES, GimpRunner, _root, _worker  # noqa: E402

from lapcvae.bundle import open_bundle  # noqa: E402
from lapcvae.cli.frames import frame_from_eyes  # noqa: E402
from lapcvae.demo import PHOTO  # noqa: E402
from lapcvae.photo import Colours, read  # noqa: E402
from training.suite.objects import sunglasses  # noqa: E402
from training.suite.photos import Subject  # noqa: E402

FOLDER = PROJECT / "docs" / "pictures"
GIMP = "gimp-3.2"
# The photo of the tutorial: the portrait with sunglasses drawn on it.
PRACTICE = FOLDER / "sunglasses.jpg"
CENTRES = [(204, 101), (247, 103)]
# What is shown of the photo at 100%.
CROP = (136, 2, 316, 202)
SKIN, SHADE, HAIR_SIDE, BROW, EYE = (222, 184, 156), (150, 108, 86), (126, 98, 58), (130, 95, 65), (60, 38, 28)
BROWN = (40, 20, 14)


def stroke(colour: tuple, size: float, points: list, opacity: float = 100.0, hardness: str = "075") -> dict:
    """For batch_pictures.py; `points` in photo pixels."""
    return {"colour": colour, "size": size, "points": points, "opacity": opacity, "hardness": hardness}


SUNGLASSES = {
    "name": "sunglasses", "photo": "/mnt/project/docs/pictures/sunglasses.jpg", "eyes": CENTRES, "level": 3,
    "sliders": {"realism": 0.25, "structure": 0.0, "temperature": 0.5, "seed": 0}, "pick": 0,
    # Skin over lenses and bridge, hair over the arms, then sockets, brows and eyes.
    "strokes": [
        *(stroke(SKIN, 62, [(x - 9, y + 4), (x + 9, y + 4)]) for x, y in CENTRES),
        stroke(SKIN, 40, [(216, 98), (235, 99)]),
        stroke(HAIR_SIDE, 18, [(176, 94), (170, 92)], hardness="050"),
        stroke(HAIR_SIDE, 18, [(278, 98), (284, 96)], hardness="050"),
        *(stroke(SHADE, 28, [(x - 9, y - 3), (x + 9, y - 3)], hardness="025") for x, y in CENTRES),
        *(stroke(BROW, 9, [(x - 11, y - 11), (x, y - 13), (x + 11, y - 10)], hardness="050") for x, y in CENTRES),
        *(stroke(EYE, 12, [(x - 5, y), (x + 5, y)], hardness="050") for x, y in CENTRES),
    ],
}  # fmt: skip
HAIR = {
    "name": "hair", "photo": "/mnt/project/lapcvae/assets/portrait.png", "eyes": CENTRES, "level": 3,
    "sliders": {"realism": 0.25, "structure": 1.0, "seed": 0}, "pick": 0,
    "strokes": [
        stroke(BROWN, 34, points, 60.0, "050")
        for points in (
            [(172, 112), (168, 90), (174, 62), (192, 42), (222, 32), (256, 38), (277, 58), (284, 86), (280, 112)],
            [(190, 78), (200, 62), (226, 54), (252, 60), (264, 82)],
        )
    ],
}  # fmt: skip


def draw_practice() -> None:
    """The portrait with the suite's sunglasses on its eyes."""
    photo = read(PHOTO)
    frame = frame_from_eyes(open_bundle(PROJECT / "models" / "faces-128"), *CENTRES[0], *CENTRES[1])
    worn = Subject("", photo, Colours(photo), frame).with_object(sunglasses(None, 512))
    Image.fromarray(worn.photo.pixels).convert("RGB").save(PRACTICE, quality=92, subsampling=0)


def few_colours(picture: Image.Image, name: str) -> None:
    """As a small PNG."""
    small = picture.convert("RGB").quantize(192, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG)
    small.save(FOLDER / name, optimize=True)


def beside(pictures: list[Image.Image]) -> Image.Image:
    """The same crop of each at 100%, from left to right."""
    crops = [p.convert("RGB").crop(CROP) for p in pictures]
    gap = 8
    row = Image.new("RGB", (sum(c.width + gap for c in crops) - gap, crops[0].height), "white")
    for i, crop in enumerate(crops):
        row.paste(crop, (i * (crop.width + gap), 0))
    return row


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    draw_practice()
    root = _root(SUITES[GIMP])
    with tempfile.TemporaryDirectory() as folder:
        gimp = GimpRunner(GIMP, root, _worker(SUITES[GIMP], root), Path(folder))
        (gimp.folder / "stories.json").write_text(json.dumps([SUNGLASSES, HAIR]))
        facts = gimp.window("inside.py", "batch_pictures.py", scenes="scene_pictures.py")
        for story in (SUNGLASSES, HAIR):
            name = story["name"]
            assert isinstance(facts[name], list), facts[name]
            failed = [scene["failed"] for scene in facts["scenes"].values() if "failed" in scene]
            assert not failed, failed
            for dialog in ("frame", "generate"):
                few_colours(Image.open(gimp.folder / f"{name}-{dialog}.png"), f"{name}-{dialog}.png")
            shots = [Image.open(gimp.folder / f"{name}-{what}.png") for what in ("before", "painted", "after")]
            beside(shots).save(FOLDER / f"{name}-before-after.png", optimize=True)
            print(name, facts[name])


if __name__ == "__main__":
    main()
