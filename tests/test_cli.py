"""The command line from outside: files in, files and exit status out."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import toy
from PIL import Image

from lapcvae import cli, doctor, photo
from lapcvae.cli.frames import frame_from_eyes
from lapcvae.painting import CoarseFile, find_coarse, sidecar_of

COMMON = ["-n", "2", "--temperature", "1"]


@pytest.fixture(autouse=True)
def toy_model(monkeypatch, tmp_path_factory):
    """Only the toy model, and no files of this user."""
    monkeypatch.setenv("LAPCVAE_MODELS", str(toy.models()))
    monkeypatch.setattr("lapcvae.protocol.paths.shipped_models_folders", lambda: ())
    monkeypatch.setenv("LAPCVAE_STATE", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))


@pytest.fixture
def work(tmp_path) -> Path:
    """photo.png, and strokes.png on transparency for it."""
    Image.fromarray(toy.portrait()).save(tmp_path / "photo.png")
    save_strokes(tmp_path / "strokes.png", 200, 180)
    return tmp_path


def save_strokes(path: Path, width: int, height: int) -> None:
    rgba = np.zeros((height, width, 4), np.uint8)
    x, y = width // 2, height // 2
    rgba[y - height // 9 : y + height // 9, x - width // 9 : x + width // 9] = (190, 30, 60, 255)
    Image.fromarray(rgba).save(path)


def run(*arguments) -> int:
    """The exit status, also where argparse ends the program itself."""
    try:
        return cli.main([str(a) for a in arguments])
    except SystemExit as ended:
        return ended.code


def failure(capsys, *arguments) -> str:
    """What an edit that cannot be done says; it must say what to do in a second line, without a traceback."""
    assert run(*arguments) == 1
    lines = capsys.readouterr().err.splitlines(keepends=True)
    said = "".join(line for line in lines if not line.startswith("note: "))
    assert said.startswith("lapcvae: ") and len(said.strip().splitlines()) >= 2
    assert "Traceback" not in said and "unexpected" not in said
    return said


def edit(work: Path, picture: Path, *more, out: str = "out") -> Path:
    assert run("edit", picture, work / "strokes.png", "-o", work / out, *COMMON, *more) == 0
    return work / out


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
               "98,91,120")  # fmt: skip
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
    from lapcvae.bundle import open_bundle

    bundle = open_bundle(toy.models() / toy.NAME)
    frame = frame_from_eyes(bundle, 80, 70, 112, 94)
    assert frame.side == pytest.approx(40 / 0.25) and frame.angle == pytest.approx(36.87, abs=0.01)
    left, right = frame.to_model(80, 70, 1), frame.to_model(112, 94, 1)
    # The frame is rounded to hundredths of a pixel and of a degree.
    assert left == pytest.approx((0.375, 0.46), abs=2e-4) and right == pytest.approx((0.625, 0.46), abs=2e-4)
    assert run("coarse", work / "photo.png", "-o", work / "c.png", "--eyes", "84,80,116,80", "--json") == 0
    assert json.loads(capsys.readouterr().out)["frame"] == "100,85.12,128,0"


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


# --- what cannot be edited says why ---


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
    assert not list((work / "out").iterdir())
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
    assert not list((work / "out").iterdir())


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
    for wrong in ({"cells": 5}, {"level": "x"}, {"frame": {}}, {"b_j": "!"}, {"format": 99}, {"side": 0}):
        sidecar.write_text(json.dumps({**facts, **wrong}))
        said = failure(capsys, "edit", work / "photo.png", work / "c.png", "-o", work / "out")
        assert str(sidecar) in said


def test_errors_as_json(work, capsys):
    assert run("edit", work / "nothing.png", work / "strokes.png", "-o", work / "out", "--json") == 1
    out = capsys.readouterr()
    assert "There is no file" in json.loads(out.out)["error"]["cause"] and out.err == ""


@pytest.mark.parametrize("more", [
    ["-n", "0"], ["-n", "65"], ["-n", "x"], ["--temperature", "3"], ["--temperature", "nan"], ["--realism", "2"],
    ["--seed", "-1"], ["--frame", "1,2"], ["--frame", "1,2,0"], ["--eyes", "1,2,3"], ["--device", "tpu"],
    ["--frame", "1,2,3", "--eyes", "1,2,3,4"], ["--nothing"],
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


# --- where the results go ---


def test_unwritable_output_is_found_before_the_model_runs(work, capsys, monkeypatch):
    monkeypatch.setattr("lapcvae.engine.Engine.encode", lambda *_: pytest.fail("the model ran"))
    (work / "file").write_text("")
    assert "cannot be made" in failure(capsys, "edit", work / "photo.png", work / "strokes.png", "-o", work / "file")
    assert "cannot be made" in failure(capsys, "edit", work / "photo.png", work / "strokes.png", "-o", work / "file/x")
    if os.geteuid():
        (work / "locked").mkdir(mode=0o500)
        said = failure(capsys, "edit", work / "photo.png", work / "strokes.png", "-o", work / "locked")
        assert "could not be written" in said


def test_a_result_never_replaces_what_is_edited(work, capsys):
    out = edit(work, work / "photo.png")
    before = (out / "variant-01.png").read_bytes()
    said = failure(capsys, "edit", out / "variant-01.png", work / "strokes.png", "-o", out)
    assert "would be overwritten" in said and (out / "variant-01.png").read_bytes() == before
    assert run("edit", out / "variant-01.png", work / "strokes.png", "-o", work / "next", *COMMON) == 0


@pytest.fixture
def small_disk(tmp_path):
    """A folder with room for 400 kB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("this machine does not let us mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(work, small_disk, capsys):
    noisy = np.random.default_rng(0).integers(0, 255, (180, 200, 3)).astype(np.uint8)
    Image.fromarray(noisy).save(work / "photo.png")
    # Each variant takes 100 kB: some fit.
    said = failure(capsys, "edit", work / "photo.png", work / "strokes.png", "-o", small_disk, "-n", 16)
    assert "could not be written" in said and "No space" in said
    left = sorted(small_disk.iterdir())
    assert 1 <= len(left) < 16 and all(re.fullmatch(r"variant-\d\d.png", p.name) for p in left)
    assert all(photo.read(p).pixels.shape == (180, 200, 3) for p in left)
    filler = small_disk / "filler"
    with pytest.raises(OSError), filler.open("wb") as file:
        file.write(bytes(1 << 20))
    said = failure(capsys, "edit", work / "photo.png", work / "strokes.png", "-o", small_disk / "new")
    assert "No space" in said


def test_ctrl_c_leaves_what_is_finished(work):
    Image.fromarray(np.tile(toy.portrait(), (8, 8, 1))).save(work / "photo.png")
    rgba = np.zeros((180 * 8, 200 * 8, 4), np.uint8)
    rgba[400:900, 400:1100] = (180, 40, 60, 255)
    Image.fromarray(rgba).save(work / "strokes.png")
    out = work / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "lapcvae", "edit", work / "photo.png", work / "strokes.png", "-o", out, "-n", "64",
         "--model", "toy"],
        cwd=toy.REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (out / "variant-03.png").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said
    report = json.loads((out / "report.json").read_text())
    names = [entry["file"] for entry in report["variants"]]
    assert report["cancelled"] and 3 <= len(names) < 64
    assert sorted(p.name for p in out.iterdir()) == sorted([*names, "mask.png", "report.json", "sheet.png"])
    assert all(photo.read(out / name).pixels.shape == (1440, 1600, 3) for name in names)


def test_a_pipe_is_told_nothing_but_the_result(work):
    done = subprocess.run(
        [sys.executable, "-m", "lapcvae", "edit", "photo.png", "strokes.png", "-o", "out", *COMMON, "--frame",
         "100,90,120", "--model", "toy"],
        cwd=work, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(toy.REPOSITORY)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1 and "out/sheet.png" in done.stdout


# --- models, doctor, demo ---


def test_models_lists_good_and_broken_ones(tmp_path, capsys, monkeypatch):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{}")
    assert run("models", "--json") == 0
    facts = next(f for f in json.loads(capsys.readouterr().out) if f["name"] == "toy")
    assert (facts["size"], facts["levels"], facts["problem"]) == (64, [64, 32, 16], "")
    monkeypatch.setenv("LAPCVAE_MODELS", f"{tmp_path}{os.pathsep}{toy.models()}")
    assert run("models") == 1
    said = capsys.readouterr().out
    assert "broken: cannot be used" in said and "toy: A LapCVAE model" in said


def test_doctor_finds_two_runtimes_that_overwrite_each_other(monkeypatch):
    monkeypatch.setattr(doctor, "runtimes_installed", lambda: {"onnxruntime": "1.2", "onnxruntime-gpu": "1.3"})
    (check,) = doctor.check_onnxruntime()
    assert check.state == doctor.FAILED and "uninstall onnxruntime onnxruntime-gpu" in check.remedy


def test_doctor_goes_on_after_what_breaks(capsys, monkeypatch):
    def broken():
        raise OSError("odd")
        yield

    monkeypatch.setattr(doctor, "CHECKS", (broken, doctor.check_python, doctor.check_models, doctor.check_device))
    assert run("doctor", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    states = {c["name"]: c["state"] for c in found["checks"]}
    assert not found["ok"] and states["broken"] == "failed" and states["Python"] == states["model toy"] == "ok"
    assert states["device"] in ("ok", "warning")


def test_doctor_fails_without_a_model(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LAPCVAE_MODELS", str(tmp_path))
    monkeypatch.setattr(doctor, "CHECKS", (doctor.check_models,))
    monkeypatch.setattr("lapcvae.bundle.places", lambda shipped=None: [tmp_path])
    assert run("doctor") == 1
    assert "install.sh" in capsys.readouterr().out


def test_the_demo_edits_the_bundled_photo(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LAPCVAE_MODELS", str(toy.REPOSITORY / "models"))
    assert run("demo", "-o", tmp_path / "demo", "--json", "--model", "faces-128") == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["variants"]) == 8 and report["painting"]["kind"] == "strokes" and report["level"] == 3
    assert (tmp_path / "demo" / "sheet.png").exists()


def test_help_and_mistakes_load_no_numpy():
    code = (
        "import sys; from lapcvae import cli\n"
        "try: cli.main(['edit'])\nexcept SystemExit: print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=toy.REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_a_coarse_picture_is_not_painted_over(work, capsys):
    coarse = work / "coarse.png"
    assert run("coarse", work / "photo.png", "-o", coarse) == 0
    before = coarse.read_bytes()
    assert run("coarse", work / "photo.png", "-o", coarse) == 1
    assert "--force" in capsys.readouterr().err and coarse.read_bytes() == before
    assert run("coarse", work / "photo.png", "-o", coarse, "--force") == 0


def test_a_painting_saved_with_loss_is_refused(work, capsys):
    assert run("coarse", work / "photo.png", "-o", work / "coarse.png") == 0
    capsys.readouterr()
    with Image.open(work / "coarse.png") as picture:
        noisy = np.asarray(picture.convert("RGB")).astype(int)
    noise = np.random.default_rng(0).integers(-6, 7, noisy.shape)
    Image.fromarray(np.clip(noisy + noise, 0, 255).astype(np.uint8)).save(work / "coarse.png")
    assert "saving with loss" in failure(capsys, "edit", work / "photo.png", work / "coarse.png", "-o", work / "out")


def test_a_frame_may_begin_with_a_minus(work, capsys):
    assert run("coarse", work / "photo.png", "-o", work / "coarse.png", "--frame", "-10,50.123456789,90", "--json") == 0
    assert json.loads(capsys.readouterr().out)["frame"] == "-10,50.123456789,90,0"


def test_a_copied_model_goes_by_its_folders_name(work, capsys, monkeypatch, tmp_path):
    shutil.copytree(toy.models() / "toy", tmp_path / "models" / "copy")
    monkeypatch.setenv("LAPCVAE_MODELS", str(tmp_path / "models"))
    assert run("coarse", work / "photo.png", "-o", work / "coarse.png", "--model", "copy", "--json") == 0
    assert json.loads(capsys.readouterr().out)["model"] == "copy"


def test_the_paint_alone_is_not_taken_for_erasing_everything_else(work, capsys):
    assert run("coarse", work / "photo.png", "-o", work / "coarse.png") == 0
    capsys.readouterr()
    with Image.open(work / "coarse.png") as picture:
        rgba = np.array(picture.convert("RGBA"))
    rgba[:, :, 3] = 0
    rgba[200:240, 200:300] = (200, 30, 30, 255)
    Image.fromarray(rgba).save(work / "coarse.png")
    assert "paint alone" in failure(capsys, "edit", work / "photo.png", work / "coarse.png", "-o", work / "out")
