"""Where the results go: whole, of one run, and with a report that tells the truth."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import toy
from command_line import COMMON, edit, failure, run, save_strokes, started
from PIL import Image

from lapcvae import photo
from lapcvae.cli.results import open_results
from lapcvae.painting import open_painting
from lapcvae.service import Service


def test_unwritable_output_is_found_before_the_model_runs(work, capsys, monkeypatch):
    monkeypatch.setattr("lapcvae.engine.Engine.encode", lambda *_: pytest.fail("the model ran"))
    (work / "file").write_text("")
    assert "cannot be made" in failure(capsys, "edit", work / "photo.png", work / "strokes.png", "-o", work / "file")
    assert "cannot be made" in failure(capsys, "edit", work / "photo.png", work / "strokes.png", "-o", work / "file/x")
    if os.geteuid():
        (work / "locked").mkdir(mode=0o500)
        said = failure(capsys, "edit", work / "photo.png", work / "strokes.png", "-o", work / "locked")
        assert "Nothing can be written" in said


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


def long_edit(work: Path, *more) -> subprocess.Popen:
    """An edit of a large photo in a process of its own, when the third of 64 variants is there."""
    Image.fromarray(np.tile(toy.portrait(), (8, 8, 1))).save(work / "photo.png")
    rgba = np.zeros((180 * 8, 200 * 8, 4), np.uint8)
    rgba[400:900, 400:1100] = (180, 40, 60, 255)
    Image.fromarray(rgba).save(work / "strokes.png")
    process = started("edit", "photo.png", "strokes.png", "-o", "out", "-n", "64", "--model", "toy", *more, folder=work,
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    deadline = time.monotonic() + 120
    while not (work / "out" / "variant-03.png").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


def test_ctrl_c_leaves_what_is_finished(work):
    out = work / "out"
    process = long_edit(work)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said
    report = json.loads((out / "report.json").read_text())
    names = [entry["file"] for entry in report["variants"]]
    assert report["cancelled"] and 3 <= len(names) < 64
    assert sorted(p.name for p in out.iterdir()) == sorted([*names, "mask.png", "report.json", "sheet.png"])
    assert all(photo.read(out / name).pixels.shape == (1440, 1600, 3) for name in names)


@pytest.mark.parametrize("then", [None, ImportError("initialization failed")])
def test_ctrl_c_that_a_library_swallows_is_not_lost(work, monkeypatch, then):
    def loading(*arguments):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        if then:
            raise then
        return open_painting(*arguments)

    monkeypatch.setattr("lapcvae.cli.edit.open_painting", loading)
    assert run("edit", work / "photo.png", work / "strokes.png", "-o", work / "out", *COMMON) == 130
    assert not (work / "out").exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_a_second_run_replaces_the_first_only_when_told_to(work, capsys):
    arguments = ["edit", work / "photo.png", work / "strokes.png", "-o", work / "out", "--temperature", 1]
    assert run(*arguments, "-n", 3) == 0
    (work / "out" / "variant-01.xcf").write_text("mine")
    before = contents(work / "out")
    said = failure(capsys, *arguments, "-n", 1, "--seed", 7)
    assert "already has results" in said and "--force" in said and contents(work / "out") == before
    # What fails before there is anything new leaves all that was there.
    Image.new("RGBA", (200, 180)).save(work / "nothing.png")
    failure(capsys, "edit", work / "photo.png", work / "nothing.png", "-o", work / "out", "--force")
    assert contents(work / "out") == before
    assert run(*arguments, "-n", 1, "--seed", 7, "--force") == 0
    after = contents(work / "out")
    assert set(after) == {"mask.png", "report.json", "sheet.png", "variant-01.png", "variant-01.xcf"}
    assert after["variant-01.xcf"] == b"mine" and after["variant-01.png"] != before["variant-01.png"]
    assert json.loads(after["report.json"])["settings"]["seed"] == 7


def test_a_killed_run_leaves_no_report_and_no_variant_of_an_earlier_one(work, capsys):
    edit(work, work / "photo.png")
    before = contents(work / "out")
    half = work / "out" / ".sheet.png.0123abcd.part"
    half.write_text("of a run that was killed")
    for name in ("variant-03.png", "variant-64.png"):
        (work / "out" / name).write_text("of a longer run")
    (work / "out" / "variant-03.png").rename(work / "out" / "variant-63.png")
    process = long_edit(work, "--force")
    process.kill()
    process.communicate(timeout=60)
    left = contents(work / "out")
    assert "report.json" not in left and "mask.png" not in left and half.name not in left
    assert "variant-63.png" not in left and not set(left.values()) & set(before.values())
    save_strokes(work / "strokes.png", 1600, 1440)
    arguments = ["edit", work / "photo.png", work / "strokes.png", "-o", work / "out", *COMMON]
    assert "already has results" in failure(capsys, *arguments)
    assert run(*arguments, "--force") == 0
    assert sorted(contents(work / "out")) == ["mask.png", "report.json", "sheet.png", "variant-01.png", "variant-02.png"]


def test_a_report_that_cannot_be_finished_is_not_there(work, capsys, monkeypatch):
    edit(work, work / "photo.png")
    monkeypatch.setattr("lapcvae.sheet.Sheet.write", lambda *_: os.open(work / "none" / "there", os.O_RDONLY))
    assert run("edit", work / "photo.png", work / "strokes.png", "-o", work / "out", "-n", 1, "--force") == 1
    assert sorted(contents(work / "out")) == ["mask.png", "variant-01.png"]


def test_two_runs_at_once_do_not_mix(work, capsys):
    arguments = ["edit", work / "photo.png", work / "strokes.png", "-o", work / "out", *COMMON]
    with open_results(work / "out", False):
        assert "Another run" in failure(capsys, *arguments)
        assert "Another run" in failure(capsys, *arguments, "--force")
        assert not contents(work / "out")
    assert run(*arguments) == 0


def test_the_report_has_the_hashes_of_what_was_read(work, monkeypatch):
    assert run("coarse", work / "photo.png", "-o", work / "c.png") == 0
    with Image.open(work / "c.png") as opened:
        painted = opened.convert("RGB")
    painted.paste((200, 30, 60), (150, 200, 350, 300))
    painted.save(work / "c.png")
    files = [work / name for name in ("photo.png", "c.png", "c.png.json")]
    hashes = [hashlib.sha256(p.read_bytes()).hexdigest() for p in files]
    handle = Service.handle

    def while_the_files_change(self, request, host):
        for path in files:
            path.write_text("saved anew")
        return handle(self, request, host)

    monkeypatch.setattr(Service, "handle", while_the_files_change)
    assert run("edit", work / "photo.png", work / "c.png", "-o", work / "out", *COMMON) == 0
    report = json.loads((work / "out" / "report.json").read_text())
    assert [report["photo"]["sha256"], report["painting"]["sha256"], report["painting"]["sidecar"]["sha256"]] == hashes


def test_a_folder_that_came_to_nothing_is_not_left_behind(work, capsys):
    (work / "mine").mkdir()
    for folder in ("mine", "new/one"):
        failure(capsys, "edit", work / "nothing.png", work / "strokes.png", "-o", work / folder)
    assert (work / "mine").exists() and not (work / "new").exists()
