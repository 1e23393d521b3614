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
SKIN, BROW, EYE = (214, 160, 132), (146, 100, 68), (74, 48, 40)
BROWN = (56, 30, 22)

SUNGLASSES = {
    "name": "sunglasses", "photo": "/mnt/project/docs/pictures/sunglasses.jpg", "eyes": CENTRES, "level": 2,
    "sliders": {"realism": 0.1, "structure": 0.0, "seed": 0}, "pick": 0,
    "strokes": [
        # Skin over lenses, bridge and arms, then what belongs there.
        *({"colour": SKIN, "size": 30, "points": [(x - 9, y + 2), (x, y + 3), (x + 9, y + 2)]} for x, y in CENTRES),
        {"colour": SKIN, "size": 14, "points": [(216, 98), (235, 99)]},
        {"colour": SKIN, "size": 9, "points": [(190, 97), (176, 93)]},
        {"colour": SKIN, "size": 9, "points": [(261, 100), (275, 96)]},
        *({"colour": BROW, "size": 5, "points": [(x - 10, y - 11), (x, y - 14), (x + 9, y - 11)]} for x, y in CENTRES),
        *({"colour": EYE, "size": 7, "points": [(x - 6, y), (x + 6, y)]} for x, y in CENTRES),
    ],
}  # fmt: skip
HAIR = {
    "name": "hair", "photo": "/mnt/project/lapcvae/assets/portrait.png", "eyes": CENTRES, "level": 3,
    "sliders": {"realism": 0.1, "structure": 0.8, "seed": 0}, "pick": 0,
    "strokes": [
        {"colour": BROWN, "size": 26, "opacity": 60.0, "points": points}
        for points in (
            [(170, 108), (168, 86), (174, 60), (192, 40), (222, 30), (256, 36), (277, 58), (284, 86), (282, 108)],
            [(182, 84), (194, 62), (220, 50), (250, 56), (266, 84)],
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
