"""The command line: the road from a photo to variants, for every kind of photo."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy
from command_line import COMMON, edit, failure, run, save_strokes
from PIL import Image

from lapcvae import photo
from lapcvae.bundle import open_bundle
from lapcvae.cli.frames import frame_from_eyes
from lapcvae.painting import CoarseFile, find_coarse, sidecar_of
from lapcvae.protocol.geometry import Frame

# --- the road from a photo to variants ---


def test_a_coarse_picture_is_painted_and_becomes_variants(work, capsys):
    assert run("coarse", work / "photo.png", "-o", work / "coarse.png", "--level", 1, "--frame", "100,90,128,-5") == 0
    with Image.open(work / "coarse.png") as opened:
        assert opened.size == (512, 512)
        painted = opened.convert("RGBA")
    # Painting as an editor does it: the text in the file is lost.
    painted.paste((200, 30, 60, 255), (150, 200, 350, 300))
    painted.save(work / "coarse.png")
    assert not photo.png_text_of(photo.read(work / "coarse.png"), "")
    capsys.readouterr()
    assert run("edit", work / "photo.png", work / "coarse.png", "-o", work / "out", *COMMON, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["level"], report["frame"], report["painting"]["kind"]) == (1, "100,90,128,-5", "coarse")
    assert_complete(work, work / "out", report)


def assert_complete(work: Path, out: Path, report: dict) -> None:
    """Two variants that differ, equal to the photo outside of the mask, and everything that belongs to them."""
    names = ["mask.png", "report.json", "sheet.png", "variant-01.png", "variant-02.png"]
    assert sorted(p.name for p in out.iterdir()) == names
    assert json.loads((out / "report.json").read_text()) == report
    before = photo.read(work / "photo.png").pixels
    mask = photo.read(out / "mask.png").pixels[:, :, 0]
    made = [photo.read(out / entry["file"]).pixels for entry in report["variants"]]
    assert mask.shape == before.shape[:2] and mask.max() == 255 and (mask == 0).mean() > 0.3
    for pixels in made:
        assert pixels.dtype == before.dtype and np.array_equal(pixels[mask == 0], before[mask == 0])
        assert np.abs(pixels.astype(int) - before)[mask == 255].mean() > 5
    assert not np.array_equal(*made)
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.size[0] > 4 * 256


def test_the_report_is_enough_to_make_a_variant_again(work, capsys):
    out = edit(work, work / "photo.png", "--seed", 5, "--realism", 0.2, "--grow", 1.5, "--no-texture", "--frame",
               "98.12345678901234,91.00000000000001,120.33333333333333,-0.1")  # fmt: skip
    report = json.loads((out / "report.json").read_text())
    s = report["settings"]
    again = work / "again"
    arguments = ["--seed", s["seed"], "--temperature", s["temperature"], "--realism", s["realism"], "--grow", s["grow"],
                 "-n", s["count"], "--frame", report["frame"], "--level", report["level"], "--no-texture",
                 "--model", report["model"]["name"]]  # fmt: skip
    assert not s["texture"]
    assert run("edit", report["photo"]["file"], report["painting"]["file"], "-o", again, *arguments) == 0
    for name in ("variant-01.png", "variant-02.png", "mask.png"):
        assert (again / name).read_bytes() == (out / name).read_bytes()


def test_what_is_remembered_travels_inside_and_beside(work):
    assert run("coarse", work / "photo.png", "-o", work / "c.png", "--level", 2, "--style", "blocks") == 0
    inside = CoarseFile.from_json(photo.png_text_of(photo.read(work / "c.png"), "")["LapCVAE"], "")
    beside = CoarseFile.from_json(sidecar_of(work / "c.png").read_text(), "")
    assert inside.to_json() == beside.to_json()
    assert (inside.level, inside.style, inside.b_j.shape, inside.photo.name) == (2, "blocks", (16, 16, 3), "photo.png")
    os.rename(work / "c.png", work / "other.png")
    assert find_coarse(photo.read(work / "other.png"), work / "other.png")[0].to_json() == inside.to_json()


def test_the_eyes_give_the_frame(work, capsys):
    bundle = open_bundle(toy.models() / toy.NAME)
    frame = frame_from_eyes(bundle, 80, 70, 112, 94)
    assert frame.side == pytest.approx(40 / 0.25) and frame.angle == pytest.approx(36.87, abs=0.01)
    left, right = frame.to_model(80, 70, 1), frame.to_model(112, 94, 1)
    # The frame is rounded to hundredths of a pixel and of a degree.
    assert left == pytest.approx((0.375, 0.46), abs=2e-4) and right == pytest.approx((0.625, 0.46), abs=2e-4)
    assert run("coarse", work / "photo.png", "-o", work / "c.png", "--eyes", "84,80,116,80", "--json") == 0
    assert json.loads(capsys.readouterr().out)["frame"] == "100,85.12,128,0"


def test_eyes_the_wrong_way_round_are_told_with_the_call_that_was_meant(work, capsys):
    said = failure(capsys, "coarse", work / "photo.png", "-o", work / "c.png", "--eyes", "116,80,84,81")
    assert "--eyes 84,81,116,80" in said and not (work / "c.png").exists()
    # A face that really is upside down.
    frame = said.split("--frame ")[1].strip().rstrip(".")
    assert run("coarse", work / "photo.png", "-o", work / "c.png", "--frame", frame, "--json") == 0
    assert json.loads(capsys.readouterr().out)["frame"] == frame and abs(Frame.parse(frame).angle) > 170


def test_the_frame_of_a_coarse_picture_may_be_said_again(work, capsys):
    photo_, coarse = work / "photo.png", work / "c.png"
    assert run("coarse", photo_, "-o", coarse, "--eyes", "84.2,80.3,116.4,82.1", "--level", 2) == 0
    with Image.open(coarse) as opened:
        painted = opened.convert("RGBA")
    painted.paste((200, 30, 60, 255), (150, 200, 350, 300))
    painted.save(coarse)
    frame = find_coarse(photo.read(coarse), coarse)[0].frame
    rounded = ",".join(f"{v:.1f}" for v in (frame.cx, frame.cy, frame.side, frame.angle))
    for i, said in enumerate((["--eyes", "84.2,80.3,116.4,82.1"], ["--eyes", "84,80,116,82"], ["--frame", str(frame)],
                              ["--frame", rounded, "--level", 2])):  # fmt: skip
        assert run("edit", photo_, coarse, "-o", work / f"out{i}", *COMMON, *said) == 0
    for other in (["--eyes", "88,80,116,82"], ["--frame", "100,85,140"], ["--level", 1]):
        said = failure(capsys, "edit", photo_, coarse, "-o", work / "other", *COMMON, *other)
        assert "can only be used so" in said and str(frame) in said


def test_strokes_outside_of_the_frame_are_told(work, capsys):
    edit(work, work / "photo.png", "--frame", "100,90,150")
    assert "outside" not in capsys.readouterr().err
    # The strokes are 44 pixels wide; the frame takes in 34 of them.
    edit(work, work / "photo.png", "--frame", "55,90,114", out="half")
    assert "23% of the strokes lie outside of the frame 55,90,114,0" in capsys.readouterr().err


def test_a_frame_loses_no_digits_as_text():
    numbers = random.Random(0)
    for _ in range(200):
        frame = Frame(*(numbers.uniform(-1e4, 1e4) for _ in range(2)), numbers.uniform(1, 1e4), numbers.gauss(0, 1e-3))
        assert Frame.parse(str(frame)) == frame


# --- every kind of photo ---



def save_jpeg(path: Path, **options) -> None:
    Image.fromarray(toy.portrait()).save(path, quality=95, **options)


def test_a_jpeg_becomes_png_unless_asked_otherwise(work, capsys):
    save_jpeg(work / "p.jpg")
    assert (edit(work, work / "p.jpg") / "variant-01.png").exists()
    assert "PNG" in capsys.readouterr().err
    out = edit(work, work / "p.jpg", "--format", "jpeg", out="lossy")
    assert (out / "variant-01.jpg").exists() and json.loads((out / "report.json").read_text())["lossy"]
    assert "loses quality" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "I;16"])
def test_modes_are_kept(work, mode):
    rgb = Image.fromarray(toy.portrait())
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257)
    elif mode == "P":
        picture = rgb.quantize(64)
    else:
        picture = rgb.convert(mode)
    picture.save(work / "p.png")
    before = photo.read(work / "p.png").pixels
    out = edit(work, work / "p.png")
    after, mask = photo.read(out / "variant-01.png").pixels, photo.read(out / "mask.png").pixels
    assert after.dtype == before.dtype and after.shape == before.shape
    assert mask.dtype == (np.uint16 if mode == "I;16" else np.uint8)
    assert np.array_equal(after[mask[:, :, 0] == 0], before[mask[:, :, 0] == 0]) and not np.array_equal(after, before)


def test_a_photo_turned_by_its_exif_is_edited_upright(work):
    exif = Image.Exif()
    exif[0x0112] = 6
    save_jpeg(work / "p.jpg", exif=exif)
    save_strokes(work / "strokes.png", 180, 200)
    with Image.open(edit(work, work / "p.jpg") / "variant-01.png") as made:
        assert made.size == (180, 200) and made.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize(("width", "height"), [(1, 1), (30000, 10), (10, 3000)])
def test_extreme_sizes(work, width, height):
    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    Image.fromarray(picture).save(work / "p.png")
    rgba = np.zeros((height, width, 4), np.uint8)
    rgba[:, width // 3 : width // 3 * 2 + 1] = (9, 200, 40, 255)
    # A painting without any transparency would be refused.
    rgba[0, 0, 3] = 250
    Image.fromarray(rgba).save(work / "strokes.png")
    out = edit(work, work / "p.png")
    after, mask = photo.read(out / "variant-01.png").pixels, photo.read(out / "mask.png").pixels[:, :, 0]
    assert np.array_equal(after[mask == 0], picture[mask == 0]) and after.shape == picture.shape


def test_a_float_photo_stays_one(work):
    values = (toy.portrait() / 255.0).astype(np.float32)
    values[0, 0] = (-0.0, 4.0, -1.5)
    (work / "p.tif").write_bytes(float_tiff(values))
    out = edit(work, work / "p.tif")
    after, mask = photo.read(out / "variant-01.tif").pixels, photo.read(out / "mask.png").pixels[:, :, 0]
    assert after.dtype == np.float32 and mask.dtype == np.uint16
    assert after[mask == 0].tobytes() == values[mask == 0].tobytes()


def float_tiff(values: np.ndarray) -> bytes:
    import tifffile

    stream = io.BytesIO()
    tifffile.imwrite(stream, values, photometric="rgb")
    return stream.getvalue()


def test_a_frame_may_begin_with_a_minus(work, capsys):
    assert run("coarse", work / "photo.png", "-o", work / "coarse.png", "--frame", "-10,50.123456789,90", "--json") == 0
    assert json.loads(capsys.readouterr().out)["frame"] == "-10,50.123456789,90,0"


def test_a_copied_model_goes_by_its_folders_name(work, capsys, monkeypatch, tmp_path):
    shutil.copytree(toy.models() / "toy", tmp_path / "models" / "copy")
    monkeypatch.setenv("LAPCVAE_MODELS", str(tmp_path / "models"))
    assert run("coarse", work / "photo.png", "-o", work / "coarse.png", "--model", "copy", "--json") == 0
    assert json.loads(capsys.readouterr().out)["model"] == "copy"
