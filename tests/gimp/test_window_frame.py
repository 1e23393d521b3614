"""The dialogs of Make Coarse Layer and Check Setup in GIMP's window, with the mouse and the keyboard."""

import cmath
import dataclasses
import json
import math

import pytest
from test_plugin import PROJECT, whole

from lapcvae.protocol.geometry import fitting_size

OFFSET = (37, -5)
LEFT, RIGHT = complex(204, 101), complex(247, 103)
# The dialog works to tenths of a pixel; a drag starts and ends at fractions of what is shown.
SHOWN = 0.051
EYES = json.loads((PROJECT / "models" / "faces-128" / "manifest.json").read_text())["eyes"]


def model_size(side: float) -> int:
    """Of the models that ship, the one that is chosen for a frame of this side."""
    manifests = (PROJECT / "models").glob("*/manifest.json")
    return fitting_size(side, [json.loads(manifest.read_text())["size"] for manifest in manifests])


@pytest.fixture(scope="module")
def played(gimp) -> dict:
    facts = gimp.window("inside.py", "batch_window_frame.py", scenes="scene_frame.py")
    for name, scene in facts["scenes"].items():
        assert "failed" not in scene, f"{name}\n{scene['failed']}\n{facts['said']}"
    return facts


@pytest.fixture
def calls(played) -> dict:
    return whole(played, "calls")


@pytest.fixture
def visits(played) -> list[dict]:
    return [played["scenes"][f"lapcvae-frame-{i}"] for i in range(5)]


def from_eyes(left: complex, right: complex) -> list[float]:
    """centre x, centre y, side, angle, by complex numbers: the face's own axis is right - left."""
    axis = (right - left) / EYES["distance"]
    centre = (left + right) / 2 + axis * 1j * (0.5 - EYES["y"])
    return [centre.real, centre.imag, abs(axis), math.degrees(cmath.phase(axis))]


def place(frame: dict) -> list[int]:
    """Offset and size of the layer that covers the turned square."""
    turn = cmath.rect(frame["side"] / 2, math.radians(frame["angle"]))
    half = abs(turn.real) + abs(turn.imag)
    left, top = math.floor(frame["cx"] - half), math.floor(frame["cy"] - half)
    right, bottom = math.ceil(frame["cx"] + half), math.ceil(frame["cy"] + half)
    return [left + OFFSET[0], top + OFFSET[1], right - left, bottom - top]


def as_numbers(frame: dict) -> list[float]:
    return [frame[name] for name in ("cx", "cy", "side", "angle")]


def test_frame_begins_as_the_largest_centred_square(visits):
    assert visits[0]["at once"] == visits[0]["first"] == [256, 256, 512, 0]
    assert not visits[0]["pycairo"]


def test_frame_follows_the_mouse(visits):
    v = visits[0]
    (x, y, side, _), pixel = v["first"], 1 / v["scale"]
    assert v["moved"] == pytest.approx([x - 40 * pixel, y + 24 * pixel, side, 0], abs=SHOWN)
    # The opposite corner stays.
    (x, y, side, _), pixel = v["moved"], 1 / v["scale then"]
    assert v["scaled"] == pytest.approx([x - 30 * pixel, y - 30 * pixel, side - 60 * pixel, 0], abs=SHOWN)
    x, y, side, _ = v["scaled"]
    assert v["turned"] == pytest.approx([x, y, side, 45], abs=SHOWN)


def test_wheel_and_keys_change_the_frame(visits):
    v = visits[0]
    x, y, side, angle = v["turned"]
    assert v["wheel"] == pytest.approx([x, y, side * 1.03, angle], abs=SHOWN)
    assert v["shift wheel"] == pytest.approx([x, y, v["wheel"][2], angle - 1], abs=SHOWN)
    moved = [b - a for a, b in zip(v["shift wheel"], v["key"])]
    assert moved[0] > 0 and moved[1:] == [0, 0, 0]


def test_ok_makes_the_layer_over_the_turned_square_and_remembers_how(visits, calls):
    made, record = calls["dragged"], calls["dragged"]["record"]
    assert (made["status"], made["new"]) == ("SUCCESS", 1)
    assert as_numbers(record["frame"]) == visits[0]["key"]
    assert (model_size(visits[0]["key"][2]) >> record["level"], record["style"]) == (16, "blocks")
    assert made["place"] == place(record["frame"])
    assert (made["corner alpha"], made["middle alpha"]) == (0, 1)


def test_dialog_says_how_large_a_cell_is_and_what_limits_the_result(visits):
    side = visits[0]["key"][2]
    said = visits[0]["facts"].replace("\N{NO-BREAK SPACE}", " ")
    assert f"One of 16 × 16 cells is {side / 16:.0f} px; your brush is 60 px." in said
    size = model_size(side)
    assert f"Face {side:.0f} px, model {size} px: ×{side / size:.1f}" in said
    assert "transparent" in said


@pytest.mark.parametrize("order", ["left first", "right first"])
def test_frame_follows_from_the_eyes_in_either_order(visits, calls, order):
    visit, made = visits[1 + (order == "right first")], calls[order]
    assert visit["left"], "Escape did not end placing"
    assert visit["placed"] == pytest.approx(from_eyes(LEFT, RIGHT), abs=SHOWN)
    record = made["record"]
    assert as_numbers(record["frame"]) == visit["placed"]
    assert made["place"] == place(record["frame"])
    # One stroke of the brush covers two cells of this level, and not of the next coarser one.
    cells = model_size(record["frame"]["side"]) >> record["level"]
    cell = record["frame"]["side"] / cells
    assert 2 * cell <= 60 < 4 * cell or cells == 16


def test_frame_of_the_last_coarse_layer_and_the_last_settings_are_the_first_ones(visits, calls):
    assert visits[1]["first"] == as_numbers(calls["dragged"]["record"]["frame"])
    assert (visits[1]["level"], visits[1]["blocks"]) == ("3", True)
    assert visits[2]["first"] == as_numbers(calls["left first"]["record"]["frame"])
    assert (visits[2]["level"], visits[2]["blocks"]) == ("0", False)
    # So no face was looked for.
    assert visits[1]["state"] == visits[2]["state"] == ""


def test_path_of_two_points_gives_the_eyes_and_no_path_is_told(visits):
    assert visits[3]["path"] == pytest.approx(from_eyes(LEFT, RIGHT), abs=SHOWN)
    assert visits[3]["reset"] == visits[3]["first"]
    assert "no path" in visits[0]["no path"] and "Paths tool" in visits[0]["no path"]


@pytest.mark.parametrize("call", ["path", "selected"])
def test_cancel_changes_nothing(calls, call):
    assert calls[call] == {"status": "CANCEL", "message": calls[call]["message"], "new": 0}


def test_what_the_worker_refuses_is_told_in_the_dialog(visits):
    assert "outside the picture (512 x 512)" in visits[3]["outside"] and "Move it" in visits[3]["outside"]


def test_selection_says_where_to_look(visits):
    v = visits[4]
    assert v["first"] == [300, 200, 90, 0]
    # There is no face in it.
    assert v["state"].startswith("No face was found")
    # "Zoom to Frame" made the face larger on the screen.
    assert v["zoomed"] > 2 * visits[0]["scale"]
    left, right = complex(300 - 45 * 0.252, 200 - 90 * 0.036), complex(300 + 45 * 0.252, 200 - 90 * 0.036)
    assert v["eye dragged"] == pytest.approx(from_eyes(left - 9, right), abs=SHOWN)


def test_check_setup_shows_its_report_and_copies_it(played):
    status, _, report = whole(played, "check")
    shown = played["scenes"]["lapcvae-check-0"]
    assert status == "SUCCESS" and report.startswith("LapCVAE works.")
    assert shown["text"] == shown["copied"] == report


def test_dialogs_were_seen(played, gimp):
    pictures = {p.name for p in gimp.folder.glob("*.png")}
    assert {"frame-opened.png", "frame-turned.png", "frame-placing.png", "frame-placed.png", "check.png"} <= pictures


def test_worker_that_does_not_start_is_told_in_the_dialog(gimp, tmp_path):
    # In a folder of its own, so that the pictures of the other run stay.
    broken = dataclasses.replace(gimp, folder=tmp_path)
    facts = broken.window("inside.py", "batch_window_frame.py", scenes="scene_frame.py",
                          variables={"LAPCVAE_PYTHON": "/nowhere/python"})  # fmt: skip
    said = facts["scenes"]["lapcvae-frame-0"]
    assert "failed" not in said, said
    assert "/nowhere/python" in said["said"] and "install.sh" in said["said"]
    assert said["again"] == ""
    assert said["said"] == said["after a change"] == said["place"] == said["ok"]
    calls = whole(facts, "calls")
    assert (calls["broken"]["status"], calls["broken"]["new"]) == ("CANCEL", 0)
    status, message = calls["no layer"]
    assert status == "EXECUTION_ERROR" and "No layer is selected" in message
