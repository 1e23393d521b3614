"""What is said and where; models, doctor and demo."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import toy
from command_line import failure, run
from PIL import Image

from lapcvae import doctor, photo
from lapcvae.painting import sidecar_of

pytestmark = pytest.mark.usefixtures("toy_model")


def test_a_pipe_is_told_nothing_but_the_result(work):
    done = shell("lapcvae edit photo.png strokes.png -o out --frame 100,90,120 --model toy", work)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1 and "out/sheet.png" in done.stdout


def shell(line: str, folder: Path) -> subprocess.CompletedProcess:
    """A line of bash with the command as `lapcvae`."""
    environment = {**os.environ, "PYTHONPATH": str(toy.REPOSITORY), "PYTHON": sys.executable}
    line = 'lapcvae() { "$PYTHON" -m lapcvae "$@"; }; ' + line
    return subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


EDIT = "lapcvae edit photo.png strokes.png -n 1 -o out"


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full", ">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_does_not_end_an_edit(work, where):
    assert shell(f"{EDIT} {where}", work).returncode == 0
    assert sorted(p.name for p in (work / "out").iterdir()) == ["mask.png", "report.json", "sheet.png", "variant-01.png"]
    assert photo.read(work / "out" / "variant-01.png").pixels.shape == (180, 200, 3)


@pytest.mark.parametrize("command", ["lapcvae models", "lapcvae models --json", f"{EDIT} --force", "lapcvae --help",
                                     "lapcvae edit nothing.png x.png -o out --json"])  # fmt: skip
def test_output_that_cannot_be_written_is_told(work, command):
    full = shell(f"{command} > /dev/full", work)
    assert full.returncode == 1
    assert full.stderr.splitlines()[-1].startswith("lapcvae: Standard output cannot be written: No space")
    gone = shell(f"{command} | exec true; echo ${{PIPESTATUS[0]}}", work)
    # What a program that SIGPIPE ended is reported as.
    assert gone.stdout.strip() == "141" and "rror" not in gone.stderr and "Traceback" not in gone.stderr


def test_an_error_goes_nowhere_quietly(work):
    assert shell("lapcvae edit nothing.png strokes.png -o out 2>/dev/full", work).returncode == 1
    assert shell("lapcvae edit --nothing 2>&-", work).returncode == 2


def test_the_next_command_can_be_typed_as_it_is_shown(work, capsys, monkeypatch):
    name = work / "It's a $photo; really.png"
    (work / "photo.png").rename(name)
    assert run("coarse", name, "-o", work / "-c 1.png") == 0
    shown = capsys.readouterr().out.splitlines()[-1]
    assert shlex.split(shown) == ["lapcvae", "edit", str(name), str(work / "-c 1.png"), "-o", "DIR"]
    monkeypatch.chdir(work)
    assert run("coarse", name.name, "-o./-c 2.png") == 0
    assert shlex.split(capsys.readouterr().out.splitlines()[-1])[2:4] == [name.name, "./-c 2.png"]


ESCAPE = "\x1b]0;owned\x07\x9b2J\u202etxt.\r\nnot"


def test_what_files_say_cannot_steer_the_terminal(work, capsys, tmp_path, monkeypatch):
    folder = tmp_path / "models" / "toy"
    shutil.copytree(toy.models() / "toy", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.update(title=f"T{ESCAPE}", licence=f"L{ESCAPE}", training={f"k{ESCAPE}": f"v{ESCAPE}"})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setenv("LAPCVAE_MODELS", str(tmp_path / "models"))
    assert run("models") == 0
    assert_harmless(capsys, "owned")
    assert run("coarse", work / "photo.png", "-o", work / "c.png") == 0
    with Image.open(work / "c.png") as opened:
        opened.copy().save(work / "c.png", pnginfo=None)
    sidecar = sidecar_of(work / "c.png")
    facts = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**facts, "photo": {**facts["photo"], "name": ESCAPE, "width": 7}}))
    capsys.readouterr()
    assert run("edit", work / "photo.png", work / "c.png", "-o", work / "out") == 1
    assert_harmless(capsys, "owned")
    sidecar.write_text(json.dumps({**facts, "model": ESCAPE}))
    assert run("edit", work / "photo.png", work / "c.png", "-o", work / "out") == 1
    assert_harmless(capsys, "owned")


def assert_harmless(capsys, words: str) -> None:
    said = "".join(capsys.readouterr())
    assert words in said and all(c.isprintable() for c in said.replace("\n", ""))
    assert not any(line.startswith("not") for line in said.splitlines())


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


def test_doctor_says_what_is_wrong_with_the_folders_that_were_asked_for(monkeypatch, tmp_path):
    shipped = Path(doctor.__file__).parents[1] / "models"
    folders = [tmp_path / "missing", shipped / "faces-128", shipped]
    monkeypatch.setenv("LAPCVAE_MODELS", os.pathsep.join(map(str, folders)))
    missing, itself, *models = doctor.check_models()
    assert not missing.repairable and not itself.repairable
    assert missing.state == itself.state == doctor.FAILED and "missing: there is no such folder" in missing.result
    assert "that is a model itself" in itself.result and "the folder that holds" in itself.remedy
    assert {c.state for c in models} == {doctor.OK}


@pytest.mark.parametrize("own", [True, False])
def test_doctor_says_what_mends_a_broken_model(monkeypatch, tmp_path, own):
    shipped, mine = tmp_path / "shipped", tmp_path / "data" / "lapcvae" / "models"
    folder = (mine if own else shipped) / "faces-128"
    shutil.copytree(toy.models() / "toy", folder)
    max(folder.glob("*.onnx")).unlink()
    monkeypatch.setattr("lapcvae.protocol.paths.shipped_models_folders", lambda: (shipped,))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("LAPCVAE_MODELS")
    # The device is tried with it, too.
    for check in (*doctor.check_models(), *doctor.check_device()):
        assert check.state == doctor.FAILED and str(folder) in check.result and check.repairable is not own
        assert ("export it again, or remove that folder" in check.remedy) is own
        assert ("install the model again" in check.remedy) is not own


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
    # Again over its own results, but not over those of another photo.
    assert run("demo", "-o", tmp_path / "demo", "--model", "faces-128") == 0
    (tmp_path / "demo" / "report.json").write_text('{"photo": {"sha256": "another"}}')
    assert "already has results" in failure(capsys, "demo", "-o", tmp_path / "demo", "--model", "faces-128")


def test_help_and_mistakes_load_no_numpy():
    code = (
        "import sys; from lapcvae import cli\n"
        "print(cli.main(['edit']), cli.main(['--help']) and None, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=toy.REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "2 0 False"
