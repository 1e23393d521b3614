"""install.sh in the real GIMPs' roots, run by an ordinary user who owns nothing but a home folder."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
USER = 1000
TIMEOUT = 900
COPIED = ("lapcvae", "gimp_plugin", "models", "requirements", "install.sh")
# The life of an installation: with the first GIMP from the start; with the second GIMP it was there before that GIMP.
STORIES = {
    "gimp-3.0": ["first", "interpreter_gone", "upgrade", "deleted", "repaired", "uninstalled"],
    "gimp-3.2": ["before_gimp", "upgrade", "uninstalled"],
}


@pytest.fixture(scope="module")
def story(gimp) -> dict:
    """What each step came to."""
    if not list((gimp.root / "usr" / "lib").glob("python3*/ensurepip")):
        pytest.skip("the root has no python3-venv")
    checkout = gimp.folder / "checkout"
    checkout.mkdir()
    for name in COPIED:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(PROJECT / name, checkout)
    run = gimp.folder / "run"
    run.mkdir()
    os.chown(run, USER, USER)
    binds = {checkout: "/mnt/checkout", gimp.wheels(): "/mnt/wheels", HERE: "/mnt/tests", run: "/mnt/run"}
    arguments = [str(HERE / "in_root.sh"), str(gimp.root), "-e", "HOME=/tmp/user"]
    for folder, place in binds.items():
        arguments += ["-b", f"{folder}:{place}"]
    # The home is in memory, where packages are written fast, and goes away with the processes.
    script = (
        f"install -d -o {USER} -g {USER} /tmp/user && cd /tmp/user && "
        f'exec setpriv --reuid={USER} --regid={USER} --clear-groups python3 /mnt/tests/story_install.py "$@"'
    )
    ran = subprocess.run(
        [*arguments, "--", "bash", "-c", script, "story", *STORIES[gimp.name]], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads((run / "story.json").read_text())


first_only = pytest.mark.parametrize("gimp", ["gimp-3.0"], indirect=True, scope="module")
second_only = pytest.mark.parametrize("gimp", ["gimp-3.2"], indirect=True, scope="module")


def step(story: dict, name: str) -> dict:
    facts = story[name]
    assert "failed" not in facts and facts.get("status") in (0, "EXECUTION_ERROR"), facts
    return facts


def is_good_edit(facts: dict) -> None:
    assert facts.get("failed") is None, facts["failed"]
    assert facts["painted"] and facts["photo same"] and facts["masked"] and facts["changed"]
    assert len(facts["layers"]) == 3 and facts["layers"][1].startswith("Variant 2"), facts["layers"]


@first_only
def test_first_install_makes_the_menu_work(story):
    first = step(story, "first")
    assert "The plug-in was tried in GIMP 3.0." in first["said"] and "it works" in first["said"]
    [version] = first["versions"]
    assert [where for _, where in first["plug-ins"].values()] == [version]
    is_good_edit(first["edit"])


@second_only
def test_gimp_that_comes_later_takes_the_plug_in_over(story):
    facts = step(story, "before_gimp")
    assert list(facts["before"]["plug-ins"]) == ["3.0"] and "tried" not in facts["said"]
    # GIMP's first start has copied it, and it worked; install.sh has tried it when it was run again.
    is_good_edit(facts["edit"])
    assert facts["again"]["status"] == 0 and "The plug-in was tried in GIMP 3.2." in facts["again"]["said"]
    [version] = facts["versions"]
    assert {name: where for name, (_, where) in facts["plug-ins"].items()} == {"3.0": version, "3.2": version}


@first_only
def test_interpreter_that_is_gone_is_named_with_the_remedy(story):
    facts = step(story, "interpreter_gone")
    assert facts["there"] and facts["status"] == "EXECUTION_ERROR"
    assert "bin/python, cannot be run" in facts["message"]
    for text in (facts["message"], facts["check"]):
        assert "Run ./install.sh --repair in /tmp/user/checkout" in text and "Traceback" not in text


def test_upgrade_takes_plug_in_and_runtime_together(story):
    facts = step(story, "upgrade")
    [version] = facts["versions"]
    assert version.startswith("9.9.9-")
    assert {tuple(what) for what in facts["plug-ins"].values()} == {("9.9.9", version)}
    assert facts["answer"]["status"] == "SUCCESS", facts["answer"]
    check = facts["answer"]["check"]
    assert "LapCVAE works." in check and "[ok] Plug-in: 9.9.9" in check and "[ok] Worker: 9.9.9" in check


@first_only
def test_deleted_environment_is_told_in_gimp_and_repaired(story):
    facts = step(story, "deleted")
    assert facts["there"] and facts["status"] == "EXECUTION_ERROR" and "Traceback" not in facts["message"]
    assert "Run ./install.sh --repair in /tmp/user/checkout" in facts["message"]
    assert facts["check"].startswith("Something does not work.")
    repaired = step(story, "repaired")
    [version] = repaired["versions"]
    assert [where for _, where in repaired["plug-ins"].values()] == [version] and "it works" in repaired["said"]


def test_uninstall_leaves_nothing(story):
    facts = step(story, "uninstalled")
    assert facts["left"] == []
    assert facts["answer"] == {"there": False}
