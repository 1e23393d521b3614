"""The plug-in in the real GIMP when something breaks half-way: nothing is lost, it says why, and the next run works."""

import os
import shutil

import pytest
from test_plugin import PROJECT, whole

# How many generations in a row; the figures in docs/gimp-facts.md were taken with 200.
SOAK = int(os.environ.get("LAPCVAE_SOAK", "40"))
WARM = 20


@pytest.fixture(scope="module")
def killed(gimp) -> dict:
    return gimp.run(
        "inside.py", "accidents.py", "batch_killed.py", variables={"LAPCVAE_PYTHON": "/mnt/tests/slow_worker"}
    )


class TestKilled:
    def test_worker(self, killed):
        facts = whole(killed, "worker")
        status, message = facts["answer"]
        assert status == "EXECUTION_ERROR"
        assert "ended in the middle of its work" in message and "Run it again" in message and "worker.log" in message
        assert facts["unchanged"]
        # Two layers were written already, outside the image.
        assert facts["left behind"] == 0
        assert facts["next"] == ["SUCCESS", ""]

    def test_plug_in(self, killed):
        facts = whole(killed, "plug-in")
        assert facts["answer"][0] in ("CALLING_ERROR", "EXECUTION_ERROR")
        assert facts["unchanged"]
        # Half a second a variant: the third may be under way when the plug-in dies, a fourth is not begun.
        assert facts["stopped"] and facts["out"] <= 3, facts["log"]
        assert facts["next"] == ["SUCCESS", ""]

    def test_gimp(self, killed):
        facts = whole(killed, "gimp")
        assert facts["stopped"] and facts["out"] <= 3
        assert facts["left"] and facts["same worker"]
        assert facts["next"] == ["SUCCESS", ""]

    def test_two_at_once(self, killed):
        facts = whole(killed, "two")
        assert facts["this"] == facts["other"] == ["SUCCESS", ""]
        assert facts["exit status"] == 0
        # Photo, background, coarse layer, group, and each its own number of variants.
        assert (facts["layers"], facts["layers of other"]) == (4 + 3, 4 + 4)
        assert facts["workers"] == 1

    def test_cancel_after_two_leaves_two(self, killed):
        facts = whole(killed, "cancelled")
        assert facts["variants"] == 2
        assert 2 <= facts["out"] <= 3, facts["log"]
        assert "EditRequest: cancelled after" in facts["log"]

    def test_photo_that_was_changed_meanwhile(self, killed):
        facts = whole(killed, "cancelled")
        assert "has another size or format than when this began" in facts["changed"]
        assert facts["added"] == 0 == facts["left behind"]


@pytest.fixture(scope="module")
def broken(gimp) -> dict:
    copy = gimp.folder / "copy"
    shutil.copytree(PROJECT / "lapcvae", copy / "lapcvae", ignore=shutil.ignore_patterns("__pycache__"))
    # Without a model in the project, the tests' own: this test needs one that it may damage.
    variables = {"LAPCVAE_HOME": "/mnt/run/copy", "LAPCVAE_PYTHON": "/mnt/run/environment/bin/python"}
    return whole(gimp.run("inside.py", "accidents.py", "batch_repair.py", variables=variables), "broken")


@pytest.mark.parametrize(
    "case, words",
    [
        ("no model", ["model", "install.sh"]),
        ("corrupt graph", ["SHA-256"]),
        ("cut graph", ["faces-128"]),
        ("no manifest", ["model", "install.sh"]),
        ("no environment", ["/mnt/run/environment/bin/python", "cannot be run", "install.sh"]),
        ("another Python", ["not complete", "numpy", "install.sh"]),
    ],
)
def test_broken_installation_says_what_to_do(broken, case, words):
    status, message, unchanged = broken[case]
    assert status == "EXECUTION_ERROR" and unchanged
    for word in words:
        assert word in message, message
    assert "Traceback" not in message and "unexpected" not in message


@pytest.mark.parametrize("case", ["whole model", "repaired"])
def test_repaired_installation_works_at_once(broken, case):
    assert broken[case][0] == "SUCCESS", broken[case]
    assert broken["worker gone"]


def test_broken_model_of_the_users_own_is_not_for_the_installer_to_repair(gimp):
    mine = gimp.folder / "data" / "lapcvae" / "models" / "mine"
    mine.mkdir(parents=True)
    (mine / "manifest.json").write_text("{}")
    check = whole(gimp.run("inside.py", "batch_check.py", variables={"XDG_DATA_HOME": "/mnt/run/data"}), "check")
    verdict, *findings = check["text"].splitlines()
    assert check["status"] == "SUCCESS" and verdict.startswith("Something does not work that no repair")
    [line] = [i for i, text in enumerate(findings) if text.startswith("[failed]")]
    assert findings[line].startswith("[failed] model mine: The model in /mnt/run/data/lapcvae/models/mine cannot be used")
    assert findings[line + 1].endswith("-> Copy or export it again, or remove that folder.")
    # The last error of the log is anybody's.
    assert not any("install.sh" in text for text in (verdict, *findings[line : line + 2]))


@pytest.fixture(scope="module")
def disk(gimp) -> dict:
    variables = {"HOME": "/mnt/run/small-home", "LAPCVAE_STATE": ""}
    return whole(gimp.run("inside.py", "accidents.py", "batch_disk.py", variables=variables), "small home")


@pytest.mark.parametrize("case", ["full", "full, new worker", "again", "free"])
def test_full_disk_costs_the_log_and_nothing_else(disk, case):
    assert disk["log"]
    assert disk[case][0] == "SUCCESS", disk[case]


@pytest.mark.parametrize("case", ["read-only", "read-only, new"])
def test_read_only_home_says_what_to_do(disk, case):
    status, message, unchanged = disk[case]
    assert status == "EXECUTION_ERROR" and unchanged
    assert "/mnt/run/small-home/.local" in message and "Read-only file system" in message
    assert "LAPCVAE_STATE" in message and "unexpected" not in message


def test_home_that_is_full_before_the_first_start(disk):
    status, message, unchanged = disk["full, new"]
    # Folders need no room of their own on every kind of disk; where they do, it says so.
    assert unchanged and (status == "SUCCESS" or "No space left on device" in message), message


def test_memory_does_not_grow(gimp):
    facts = whole(gimp.run("inside.py", "accidents.py", "batch_soak.py", variables={"SOAK": str(SOAK)}), "soak")
    assert facts["same worker"]
    for process in ("plug-in", "worker"):
        sizes = facts[process]
        print(f"{gimp.name} {process}: {sizes[WARM - 1]} kB after {WARM} generations, {sizes[-1]} kB after {len(sizes)}")
        assert len(sizes) == SOAK and sizes[-1] - sizes[WARM - 1] < 5000, sizes
