"""Painted coarse pictures as people hand them in: whole, resized, turned, cropped, lossy, or with everything painted."""

from __future__ import annotations

import numpy as np
import pytest
from command_line import COMMON, failure, run
from PIL import Image

from lapcvae import photo


def lopsided(side: int = 240) -> np.ndarray:
    """A photo that looks the same from no two sides, side x side x 3 uint8."""
    cells = np.random.default_rng(3).integers(40, 216, (7, 7, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(cells).resize((side, side), Image.Resampling.BICUBIC))


@pytest.fixture
def coarse(work) -> Image.Image:
    """A coarse picture with paint on an eighth of it, to be saved as c.png: 512 pixels."""
    Image.fromarray(lopsided()).save(work / "photo.png")
    assert run("coarse", work / "photo.png", "-o", work / "c.png", "--level", 2) == 0
    with Image.open(work / "c.png") as opened:
        painted = opened.convert("RGB")
    painted.paste((200, 30, 60), (150, 200, 350, 360))
    return painted


def saved(work, picture: Image.Image, *more) -> list:
    picture.save(work / "c.png")
    return ["edit", work / "photo.png", work / "c.png", "-o", work / "out", *COMMON, *more]


def on_white(picture: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """The picture in a box of a white one of 512 pixels."""
    out = Image.new("RGB", (512, 512), "white")
    out.paste(picture.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.BICUBIC), box[:2])
    return out


MOVED = {
    "turned by 90 degrees clockwise:": lambda p: p.transpose(Image.Transpose.ROTATE_270),
    "turned by 180 degrees:": lambda p: p.transpose(Image.Transpose.ROTATE_180),
    "mirrored:": lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned by 90 degrees clockwise and mirrored:": lambda p: p.transpose(Image.Transpose.TRANSPOSE),
    "turned by 6 degrees anticlockwise:": lambda p: p.rotate(6, Image.Resampling.BICUBIC, fillcolor="white"),
    "cropped to 75% of its side:": lambda p: p.crop((64, 32, 448, 416)),
    "cropped to 50% of its side:": lambda p: p.crop((32, 64, 288, 320)).resize((512, 512), Image.Resampling.BICUBIC),
    "shrunk to 80% of its side:": lambda p: on_white(p, (51, 51, 461, 461)),
    "shifted by ": lambda p: on_white(p, (20, 10, 532, 522)),
}


@pytest.mark.parametrize("words", MOVED)
def test_a_painting_that_was_turned_or_cropped_is_told(work, coarse, capsys, words):
    assert words in failure(capsys, *saved(work, MOVED[words](coarse)))
    assert not (work / "out").exists()


def test_a_painting_that_was_turned_on_purpose(work, coarse):
    assert run(*saved(work, coarse.transpose(Image.Transpose.ROTATE_180), "--as-painted")) == 0
    assert photo.read(work / "out" / "mask.png").pixels.min() > 0


@pytest.mark.parametrize("how", ["other colours", "another picture", "one colour", "strokes over all of it"])
def test_a_painting_of_everything_gets_through(work, coarse, capsys, how):
    if how == "other colours":
        painted = coarse.point(lambda v: 255 - v // 2)
    elif how == "another picture":
        cells = np.random.default_rng(4).integers(0, 256, (7, 7, 3)).astype(np.uint8)
        painted = Image.fromarray(cells).resize((512, 512), Image.Resampling.BICUBIC)
    else:
        painted = Image.new("RGB", (512, 512), (190, 150, 120))
    if how == "strokes over all of it":
        for x in range(0, 512, 64):
            painted.paste((x // 2, 200 - x // 4, 90), (x, 0, x + 30, 512))
    capsys.readouterr()
    assert run(*saved(work, painted)) == 0
    assert "all that counts as painted" in capsys.readouterr().err


def test_much_paint_is_still_paint(work, coarse, capsys):
    coarse.paste((40, 160, 60), (0, 0, 512, 300))
    capsys.readouterr()
    assert run(*saved(work, coarse)) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("style", ["smooth", "blocks"])
def test_a_coarse_picture_that_was_resized_or_cropped(work, capsys, style):
    assert run("coarse", work / "photo.png", "-o", work / "c.png", "--style", style) == 0
    with Image.open(work / "c.png") as opened:
        painted = opened.convert("RGBA")
    painted.paste((200, 30, 60, 255), (150, 200, 350, 300))
    painted.crop((0, 0, 512, 400)).save(work / "c.png")
    assert "cropped" in failure(capsys, "edit", work / "photo.png", work / "c.png", "-o", work / "out")
    painted.resize((700, 700), Image.Resampling.BICUBIC).save(work / "c.png")
    arguments = ["edit", work / "photo.png", work / "c.png", "-o", work / "out", *COMMON]
    if style == "blocks":
        assert "Scale it back to 512" in failure(capsys, *arguments)
        return
    assert run(*arguments) == 0
    painted.save(work / "c.png")
    assert run("edit", work / "photo.png", work / "c.png", "-o", work / "own", *COMMON) == 0
    masks = [photo.read(work / folder / "mask.png").pixels.astype(float) for folder in ("out", "own")]
    assert np.abs(masks[0] - masks[1]).mean() < 0.05 * masks[1].mean()


def test_a_coarse_picture_is_not_painted_over(work, capsys):
    coarse = work / "coarse.png"
    assert run("coarse", work / "photo.png", "-o", coarse) == 0
    before = coarse.read_bytes()
    assert run("coarse", work / "photo.png", "-o", coarse) == 1
    assert "--force" in capsys.readouterr().err and coarse.read_bytes() == before
    assert run("coarse", work / "photo.png", "-o", coarse, "--force") == 0
    # A painting that was exported under another suffix needs what is beside this one.
    coarse.unlink()
    assert "coarse.png.json is there already" in failure(capsys, "coarse", work / "photo.png", "-o", coarse)
    (work / "other.png.json").mkdir()
    said = failure(capsys, "coarse", work / "photo.png", "-o", work / "other.png", "--force")
    assert "other.png.json cannot be replaced" in said and not (work / "other.png").exists()


def test_a_painting_saved_with_loss_is_refused(work, capsys):
    assert run("coarse", work / "photo.png", "-o", work / "coarse.png") == 0
    capsys.readouterr()
    with Image.open(work / "coarse.png") as picture:
        noisy = np.asarray(picture.convert("RGB")).astype(int)
    noise = np.random.default_rng(0).integers(-6, 7, noisy.shape)
    Image.fromarray(np.clip(noisy + noise, 0, 255).astype(np.uint8)).save(work / "coarse.png")
    assert "saving with loss" in failure(capsys, "edit", work / "photo.png", work / "coarse.png", "-o", work / "out")


def test_the_paint_alone_is_not_taken_for_erasing_everything_else(work, capsys):
    assert run("coarse", work / "photo.png", "-o", work / "coarse.png") == 0
    capsys.readouterr()
    with Image.open(work / "coarse.png") as picture:
        rgba = np.array(picture.convert("RGBA"))
    rgba[:, :, 3] = 0
    rgba[200:240, 200:300] = (200, 30, 30, 255)
    Image.fromarray(rgba).save(work / "coarse.png")
    arguments = ["edit", work / "photo.png", work / "coarse.png", "-o", work / "out", *COMMON]
    assert "paint alone" in failure(capsys, *arguments)
    assert run(*arguments, "--as-painted") == 0
