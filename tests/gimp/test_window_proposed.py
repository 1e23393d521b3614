"""The dialog of Make Coarse Layer proposes the frame: by the finder, by a path, and never against the hand."""

import json
import math
import os
import shutil
from pathlib import Path

import pytest
from test_plugin import PROJECT, whole
from test_window_frame import LEFT, RIGHT, SHOWN, as_numbers, from_eyes

CALLS = (
    "one", "two", "nobody", "selected", "path", "moved", "held", "ok at once", "asked meanwhile", "closed meanwhile",
    "another model", "without finder",
)  # fmt: skip
WHOLE = [256, 256, 512, 0]
SHOWS_NEXT = "Find Face shows the next."


def models(folder: Path) -> None:
    """The model of the tests, and "plain": the same without its finder."""
    shipped = Path(os.environ.get("LAPCVAE_MODELS") or PROJECT / "models") / "faces-128"
    for name in ("faces-128", "plain"):
        shutil.copytree(shipped, folder / name)
    manifest = folder / "plain" / "manifest.json"
    facts = json.loads(manifest.read_text()) | {"name": "plain"}
    del facts["finder"]
    manifest.write_text(json.dumps(facts))


@pytest.fixture(scope="module")
def played(gimp) -> dict:
    """With a worker that takes a second to find a face."""
    models(gimp.folder / "models")
    slow = {"LAPCVAE_PYTHON": "/mnt/tests/slow_worker", "LAPCVAE_MODELS": "/mnt/run/models"}
    facts = gimp.window("inside.py", "batch_window_proposed.py", scenes="scene_proposed.py", variables=slow)
    for name, scene in facts["scenes"].items():
        assert "failed" not in scene, f"{name}\n{scene['failed']}\n{facts['said']}"
    return facts


@pytest.fixture
def visit(played):
    return lambda name: played["scenes"][f"lapcvae-frame-{CALLS.index(name)}"]


def on_face(frame: list[float], x: float = 0) -> bool:
    """Whether the frame is that of the portrait's face, `x` pixels to the right, as well as a finder can tell."""
    wanted = from_eyes(LEFT + x, RIGHT + x)
    near = math.dist(frame[:2], wanted[:2]) < 0.1 * wanted[2]
    return near and 0.8 < frame[2] / wanted[2] < 1.25 and abs(frame[3] - wanted[3]) < 10


def test_dialog_opens_at_once_and_the_frame_goes_to_the_face(visit):
    v = visit("one")
    assert v["at once"]["frame"] == WHOLE
    assert on_face(v["then"]["frame"])
    assert v["then"]["state"] == "1 face was found; the frame is on it."
    assert v["then"]["message"] == ""
    # No longer.
    assert v["turned"]["state"] == ""


def test_several_faces_are_counted_and_find_face_goes_from_one_to_the_next(visit):
    v = visit("two")
    assert v["at once"]["frame"] == [512, 256, 512, 0]
    assert v["then"]["state"].startswith("2 faces were found") and v["then"]["state"].endswith(SHOWS_NEXT)
    shown = [v[when]["frame"] for when in ("then", "pressed", "pressed again")]
    assert sorted(frame[0] > 512 for frame in shown[:2]) == [False, True]
    assert shown[2] == shown[0]
    assert all(on_face(frame, 512 if frame[0] > 512 else 0) for frame in shown)


def test_without_a_face_the_frame_stays_and_nothing_is_called_an_error(visit):
    v = visit("nobody")
    assert v["at once"]["frame"] == v["then"]["frame"] == [200, 150, 300, 0]
    assert v["then"]["state"].startswith("No face was found.") and v["then"]["message"] == ""
    # Whoever asks for it gets an answer.
    assert "No face was found." in v["pressed"]["message"]


def test_selection_says_which_face(visit):
    v = visit("selected")
    assert v["at once"]["frame"] == [742, 120, 200, 0]
    assert on_face(v["then"]["frame"], 512)
    assert v["then"]["state"] == "1 face was found; the frame is on it."


def test_path_of_two_points_says_where_the_eyes_are(visit):
    v = visit("path")
    assert v["then"]["frame"] == pytest.approx(from_eyes(LEFT, RIGHT), abs=SHOWN)
    assert "path" in v["then"]["state"]


def test_what_the_user_does_before_the_answer_wins(visit):
    moved, held = visit("moved"), visit("held")
    assert moved["moved"]["frame"][2:] == [512, 0] and moved["moved"]["frame"] != WHOLE
    assert moved["then"]["frame"] == moved["moved"]["frame"]
    assert held["then"]["frame"] == WHOLE
    assert moved["then"]["state"] == held["then"]["state"] == "A face was found; Find Face shows it."
    # It was found already.
    assert on_face(moved["pressed"]["frame"])


def test_find_face_pressed_before_the_answer_counts(visit):
    v = visit("asked meanwhile")
    assert on_face(v["then"]["frame"]) and v["then"]["message"] == ""


def test_ok_before_the_answer_takes_the_frame_as_it_is(visit, played):
    made = whole(played, "ok at once")
    assert made["status"] == "SUCCESS"
    assert as_numbers(made["record"]["frame"]) == visit("ok at once")["at once"]["frame"] == WHOLE


def test_closing_before_the_answer_changes_nothing_and_the_next_visit_works(visit, played):
    closed = whole(played, "closed meanwhile")
    assert closed["status"] == "CANCEL"
    assert whole(played, "another model")["status"] == "SUCCESS"


def test_model_without_a_finder_is_silent_until_it_is_asked(visit, played):
    assert whole(played, "another model")["record"]["model"] == "plain"
    assert "no face finder" in visit("another model")["pressed"]["message"]
    assert visit("without finder")["then"] == {"frame": WHOLE, "state": "", "message": ""}
