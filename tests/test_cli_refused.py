"""What cannot be edited says why, and what to do."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import toy
from command_line import failure, run, save_strokes
from PIL import Image

from lapcvae.painting import sidecar_of


def bad_photos(work: Path) -> dict[str, tuple[Path, str]]:
    good = (work / "photo.png").read_bytes()
    (work / "cut.png").write_bytes(good[: len(good) // 2])
    (work / "text.png").write_text("hello")
    (work / "empty.png").write_bytes(b"")
    frames = [Image.fromarray(toy.portrait()), Image.fromarray(toy.portrait()[::-1])]
    frames[0].save(work / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    frames[0].convert("P").save(work / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].convert("CMYK").save(work / "cmyk.jpg")
    return {
        "missing": (work / "nothing.png", "There is no file"), "folder": (work, "is a folder"),
        "truncated": (work / "cut.png", "cut short"), "text": (work / "text.png", "is not a PNG"),
        "empty": (work / "empty.png", "is empty"), "animated": (work / "moving.webp", "frames"),
        "gif": (work / "moving.gif", "2 frames"), "cmyk": (work / "cmyk.jpg", "CMYK"),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["missing", "folder", "truncated", "text", "empty", "animated", "gif", "cmyk"])
def test_bad_photos_are_named_with_the_reason(work, capsys, kind):
    path, words = bad_photos(work)[kind]
    said = failure(capsys, "edit", path, work / "strokes.png", "-o", work / "out")
    assert words in said and str(path) in said
    assert not (work / "out").exists()
    assert words in failure(capsys, "coarse", path, "-o", work / "c.png")
    assert not (work / "c.png").exists()


def test_paintings_that_cannot_be_used(work, capsys):
    def said(painting: Path) -> str:
        return failure(capsys, "edit", work / "photo.png", painting, "-o", work / "out")

    Image.fromarray(toy.portrait()).save(work / "opaque.png")
    assert "no transparency" in said(work / "opaque.png")
    save_strokes(work / "large.png", 300, 300)
    assert "neither" in said(work / "large.png")
    Image.new("RGBA", (200, 180)).save(work / "nothing.png")
    assert "Nothing is painted" in said(work / "nothing.png")
    assert "There is no file" in said(work / "missing.png")
    assert not (work / "out").exists()


def test_a_painting_of_another_photo(work, capsys):
    assert run("coarse", work / "photo.png", "-o", work / "c.png") == 0
    other = toy.portrait().copy()
    other[90, 100] ^= 1
    Image.fromarray(other).save(work / "other.png")
    said = failure(capsys, "edit", work / "other.png", work / "c.png", "-o", work / "out")
    assert "photo.png" in said and "shows something else" in said
    Image.fromarray(toy.portrait(201, 180)).save(work / "larger.png")
    said = failure(capsys, "edit", work / "larger.png", work / "c.png", "-o", work / "out")
    assert "200 x 180" in said and "201 x 180" in said
    assert "can only be used so" in failure(
        capsys, "edit", work / "photo.png", work / "c.png", "-o", work / "out", "--frame", "50,50,40"
    )


def test_damaged_facts_beside_a_painting(work, capsys):
    assert run("coarse", work / "photo.png", "-o", work / "c.png") == 0
    with Image.open(work / "c.png") as opened:
        stripped = opened.copy()
    stripped.save(work / "c.png", pnginfo=None)
    sidecar = sidecar_of(work / "c.png")
    facts = json.loads(sidecar.read_text())
    beyond = {"cx": 1e7, "cy": 1e7, "side": 1.6e7, "angle": 45}
    for wrong in (
        {"cells": 5}, {"level": "x"}, {"frame": {}}, {"b_j": "!"}, {"format": 99}, {"side": 0}, {"level": 10**18},
        {"level": -1}, {"cells": 10**9, "model_size": 10**9 << 3}, {"model_size": float("inf")}, {"side": 1e300},
        {"frame": {**facts["frame"], "side": 1e300}}, {"frame": {**facts["frame"], "cx": float("nan")}}, {"frame": beyond},
        {"photo": []}, {"photo": {**facts["photo"], "width": [1]}}, {"photo": {**facts["photo"], "name": {}}},
        {"model": None}, {"format": "1"}, {"format": True}, {"style": ["smooth"]}, {"b_j": facts["b_j"][:-8]},
        {"b_j": base64.b64encode(b"\xff\xff\x7f\x7f" * (16 * 16 * 3)).decode()},
    ):  # fmt: skip
        sidecar.write_text(json.dumps({**facts, **wrong}))
        assert str(sidecar) in failure(capsys, "edit", work / "photo.png", work / "c.png", "-o", work / "out")
    for text in ('{"b_j": ' + "[" * 100_000, '{"b_j": 1', '["b_j"]'):
        sidecar.write_text(text)
        assert str(sidecar) in failure(capsys, "edit", work / "photo.png", work / "c.png", "-o", work / "out")


def test_errors_as_json(work, capsys):
    assert run("edit", work / "nothing.png", work / "strokes.png", "-o", work / "out", "--json") == 1
    out = capsys.readouterr()
    assert "There is no file" in json.loads(out.out)["error"]["cause"] and out.err == ""


@pytest.mark.parametrize("more", [
    ["-n", "0"], ["-n", "65"], ["-n", "x"], ["--temperature", "3"], ["--temperature", "nan"], ["--realism", "2"],
    ["--seed", "-1"], ["--frame", "1,2"], ["--frame", "1,2,0"], ["--eyes", "1,2,3"], ["--device", "tpu"],
    ["--frame", "1,2,3", "--eyes", "1,2,3,4"], ["--nothing"], ["-o", ""], ["--eyes", "1,2,nan,4"],
])  # fmt: skip
def test_wrong_usage(work, capsys, more):
    assert run("edit", work / "photo.png", work / "strokes.png", "-o", work / "out", *more) == 2
    assert "Traceback" not in capsys.readouterr().err and not (work / "out").exists()


def test_wrong_names(work, capsys):
    arguments = ["edit", work / "photo.png", work / "strokes.png", "-o", work / "out"]
    assert "Installed are: toy" in failure(capsys, *arguments, "--model", "faces-9000")
    assert "Choose png" in failure(capsys, *arguments, "--format", "bmp")
    assert "no level 9" in failure(capsys, *arguments, "--level", "9")
    assert run("coarse", work / "photo.png", "-o", work / "c.jpg") == 2
