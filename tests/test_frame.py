"""Placing the frame: where it is first, how the hand changes it, what is drawn. What the window does is in tests/gimp."""

import cmath
import dataclasses
import math
import sys
from pathlib import Path

import pytest

from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Box, Eyes, Frame, Size
from lapcvae.service import Service

PROJECT = Path(__file__).resolve().parents[1]
sys.path.append(str(PROJECT / "gimp_plugin" / "lapcvae-edit"))

import overlay  # noqa: E402
import placing  # noqa: E402
from placing import Model, View, dragged, from_clicked_eyes, grip_at, proposed_frame  # noqa: E402

import models  # noqa: E402

EYES = Eyes(0.464, 0.252)
FACES = Model("faces-128", "Faces", 128, 3, EYES, True)
FRAME = Frame(300.0, 200.0, 240.0, 25.0)
# Rounding of doubles, for coordinates of hundreds.
EXACT = 1e-9


def numbers(frame: Frame) -> tuple[float, ...]:
    return frame.cx, frame.cy, frame.side, frame.angle


def corner(frame: Frame, right: int, down: int) -> complex:
    """By complex numbers; `right` and `down` are -1 or 1."""
    turn = cmath.rect(1, math.radians(frame.angle))
    return complex(frame.cx, frame.cy) + complex(right, down) * frame.side / 2 * turn


def pair(point: complex) -> tuple[float, float]:
    return point.real, point.imag


# --- frame and eyes ---


@pytest.mark.parametrize("angle", [0.0, -8.5, 90.0, 135.0, 180.0])
def test_eyes_of_a_frame_give_the_frame_back(angle):
    frame = Frame(412.5, 300.25, 640.0, angle)
    assert numbers(Frame.from_eyes(*frame.eyes(EYES), EYES)) == pytest.approx(numbers(frame), abs=EXACT)


def test_eyes_are_where_the_model_says():
    left, right = Frame(100.0, 100.0, 200.0, 0.0).eyes(EYES)
    assert left == pytest.approx((100 - 25.2, 92.8)) and right == pytest.approx((100 + 25.2, 92.8))
    assert Frame(100.0, 100.0, 200.0, 90.0).eyes(EYES)[0] == pytest.approx((107.2, 100 - 25.2))


def test_eyes_at_one_place_are_refused():
    with pytest.raises(LapcvaeError, match="same place"):
        Frame.from_eyes((5, 5), (5, 5.5), EYES)


@pytest.mark.parametrize("angle", [0.0, 40.0, -70.0, 90.0, 170.0])
def test_clicked_eyes_count_in_either_order(angle):
    """The frame that was there decides what is up: a face upside down stays so."""
    wanted = Frame(300.0, 200.0, 500.0, angle)
    there = Frame(250.0, 260.0, 400.0, placing.turned(wanted, 60).angle)
    left, right = wanted.eyes(EYES)
    for first, second in ((left, right), (right, left)):
        found = from_clicked_eyes(first, second, EYES, there)
        assert numbers(found) == pytest.approx(numbers(wanted), abs=EXACT)


def test_worker_tells_of_its_models_what_the_dialog_needs(tmp_path):
    facts = Service().status()
    about = facts["models"]["faces-128"]
    assert facts["model"] == "faces-128"
    assert (about["size"], about["K"], about["eyes"]) == (128, 3, {"y": 0.464, "distance": 0.252})
    assert about["title"] and about["licence"] and Path(about["folder"]).is_dir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text('{"format": 1}')
    broken = Service(tmp_path).status()["models"]["broken"]
    assert set(broken) == {"folder", "problem", "remedy"} and "broken" in broken["problem"]


# --- where the frame is first ---

SIZE = Size(600, 400)
COARSE = Frame(450.0, 100.0, 120.0, 7.0)


@pytest.mark.parametrize(
    "coarse, selected, wanted",
    [
        (None, None, Frame(300.0, 200.0, 400.0)),
        (None, Box(100, 50, 80, 60), Frame(140.0, 80.0, 80.0)),
        # Only what is selected of the photo counts, and all of it, or nothing, says nothing.
        (None, Box(-50, 50, 90, 20), Frame(20.0, 60.0, 40.0)),
        (None, Box(0, 0, 600, 400), Frame(300.0, 200.0, 400.0)),
        (None, Box(700, 50, 90, 20), Frame(300.0, 200.0, 400.0)),
        (COARSE, None, COARSE),
        # A selection on the coarse layer limits an edit; one elsewhere means another face.
        (COARSE, Box(440, 90, 30, 30), COARSE),
        (COARSE, Box(100, 50, 80, 60), Frame(140.0, 80.0, 80.0)),
    ],
)
def test_first_frame_is_proposed_by_what_is_known(coarse, selected, wanted):
    assert proposed_frame(SIZE, coarse, selected) == wanted


# --- the hand ---

VIEW = View(50.0, 20.0, 1.5)


def test_view_shows_all_of_a_box_and_keeps_its_margin():
    view = View.of(Box(-100, 0, 800, 400), 500, 300, 20)
    assert view.to_widget(-100, 0)[0] == pytest.approx(20) and view.to_widget(700, 0)[0] == pytest.approx(480)
    assert view.to_widget(300, 200) == pytest.approx((250, 150))
    there = view.to_photo(70, 30)
    larger = view.zoomed(3, 70, 30, least=0.01)
    assert larger.to_widget(*there) == pytest.approx((70, 30)) and larger.scale == pytest.approx(3 * view.scale)


def test_grips_are_where_they_are_seen():
    for i, (right, down) in enumerate(((-1, -1), (1, -1), (1, 1), (-1, 1))):
        assert grip_at(FRAME, EYES, VIEW, *VIEW.to_widget(*pair(corner(FRAME, right, down)))) == f"corner {i}"
    for name, eye in zip(placing.EYES, FRAME.eyes(EYES)):
        x, y = VIEW.to_widget(*eye)
        assert grip_at(FRAME, EYES, VIEW, x + 4, y - 4) == name
        assert grip_at(FRAME, None, VIEW, x, y) == "move"
    above = complex(*VIEW.to_widget(300, 200)) - 1j * (120 * 1.5 + 26) * cmath.rect(1, math.radians(25))
    assert grip_at(FRAME, EYES, VIEW, *pair(above)) == "turn"
    assert grip_at(FRAME, EYES, VIEW, *VIEW.to_widget(300, 30)) == ""


def test_small_frame_can_still_be_moved():
    small = Frame(300.0, 200.0, 20.0)
    assert grip_at(small, EYES, VIEW, *VIEW.to_widget(300, 205)) == "move"


@pytest.mark.parametrize("i, right, down", [(0, -1, -1), (1, 1, -1), (2, 1, 1), (3, -1, 1)])
def test_corner_scales_around_the_opposite_one(i, right, down):
    """Dragged outwards along the diagonal by 30 from a point that is not quite the corner."""
    outwards = complex(right, down) / math.sqrt(2) * cmath.rect(1, math.radians(25))
    start = corner(FRAME, right, down) + 2 - 1j
    found = dragged(f"corner {i}", FRAME, EYES, pair(start), pair(start + 30 * outwards))
    assert found.side == pytest.approx(240 + 30 / math.sqrt(2)) and found.angle == 25
    assert corner(found, -right, -down) == pytest.approx(corner(FRAME, -right, -down))
    centred = dragged(f"corner {i}", FRAME, EYES, pair(start), pair(start + 30 * outwards), centred=True)
    assert numbers(centred) == pytest.approx((300, 200, 240 + 60 / math.sqrt(2), 25))


def test_corner_dragged_past_the_opposite_one_leaves_a_frame():
    found = dragged("corner 2", FRAME, EYES, pair(corner(FRAME, 1, 1)), pair(corner(FRAME, -1, -1) - 100 - 100j))
    assert found.side == pytest.approx(placing.SMALLEST_SIDE)


def test_turning_keeps_middle_and_side_and_stops_at_steps():
    found = dragged("turn", FRAME, EYES, (300, 50), (450, 200))
    assert numbers(found) == pytest.approx((300, 200, 240, 115))
    assert dragged("turn", FRAME, EYES, (300, 50), (350, 55), stepped=True).angle == 45
    # 170 + 25 degrees are -165.
    assert placing.turned(FRAME, 170).angle == -165 and placing.turned(FRAME, -205).angle == 180


@pytest.mark.parametrize("i", [0, 1])
def test_dragged_eye_goes_along_and_the_other_stays(i):
    eyes = FRAME.eyes(EYES)
    found = dragged(f"eye {i}", FRAME, EYES, eyes[i], (eyes[i][0] - 11, eyes[i][1] + 6)).eyes(EYES)
    assert found[i] == pytest.approx((eyes[i][0] - 11, eyes[i][1] + 6))
    assert found[1 - i] == pytest.approx(eyes[1 - i])
    assert dragged(f"eye {i}", FRAME, EYES, eyes[i], eyes[1 - i]) == FRAME


def test_frame_never_gets_lost():
    lost = placing.settled(Frame(-9000.0, 8000.26, 5000.0, 12.34), SIZE)
    assert numbers(lost) == (-2400, 2400, 2400, 12.3)
    assert placing.settled(Frame(1.26, 2.0, 1.0), Size(1, 1)) == Frame(1.3, 2.0, 8.0, 0.0)


# --- what follows ---


@pytest.mark.parametrize("brush, level", [(10, 1), (37, 1), (38, 1), (75, 2), (149, 2), (150, 3), (900, 3)])
def test_level_is_the_coarsest_that_the_brush_covers_twice(brush, level):
    # Cells of 18.75, 37.5 and 75 pixels.
    assert FACES.level_for_brush(1200, brush) == level


def test_consequences_are_told():
    said = "\n".join(placing.consequences(Frame(740.0, 500.0, 1480.0), Size(1480, 1500), FACES, 3, 51.0))
    said = said.replace("\N{NO-BREAK SPACE}", " ")
    assert "16 × 16 cells is 92 px; your brush is 51 px" in said and "larger brush" in said
    assert "Face 1480 px, model 128 px: ×11.6" in said
    assert "edge is repeated" in said and "transparent" not in said
    inside = "\n".join(placing.consequences(Frame(740.0, 500.0, 200.0, 10.0), Size(1480, 1500), FACES, 1, 51.0))
    assert "repeated" not in inside and "transparent" in inside and "softer" not in inside
    assert "beside the layer" in "\n".join(placing.consequences(Frame(-500.0, 0.0, 200.0), SIZE, FACES, 1, 51.0))


def test_consequences_tell_the_size_that_the_worker_chooses():
    family = dataclasses.replace(FACES, name="", sizes=(128, 256))
    for side, size in ((192, 128), (193, 256), (1000, 256)):
        assert family.size_for(side) == size and FACES.size_for(side) == 128
        said = "\n".join(placing.consequences(Frame(740.0, 500.0, side), Size(1480, 1500), family, 3, 51.0))
        assert f"model {size} px" in said.replace("\N{NO-BREAK SPACE}", " ") and "16 × 16 cells" in said


def test_the_choice_is_left_to_the_worker_where_there_are_several_sizes():
    about = {"title": "Faces", "K": 3, "eyes": {"y": 0.464, "distance": 0.252}, "finder": True}
    both = {"faces-128": about | {"size": 128}, "faces-256": about | {"size": 256, "K": 4}}
    told = {"models": both, "model": "faces-128", "family": [128, 256]}
    found, offered = models.usable(told)
    assert offered == "" and list(found) == ["", *both]
    assert found[""].size_for(300) == 256 and found[""].K == 3 and found["faces-256"].size_for(100) == 256
    assert models.usable(told | {"family": [128]})[1] == "faces-128"
    broken = told | {"models": {"faces-128": {"problem": "It is broken."}, "other": both["faces-128"]}, "family": []}
    assert models.usable(broken)[1] == "other" and list(models.usable(broken)[0]) == ["other"]


# --- what is drawn ---


def gray(width: int, height: int) -> overlay.Picture:
    return overlay.Picture(width, height, bytes([100]) * (width * height * 3))


def light(picture: overlay.Picture) -> float:
    """How much was added, in whole pixels of white."""
    return sum(value - 100 for value in picture.data[::3]) / 155


@pytest.mark.parametrize("end", [(50.0, 10.0), (10.0, 50.0), (45.0, 37.0), (15.0, 52.0), (12.5, -30.0)])
def test_line_covers_its_area(end):
    """Length times width; where the picture ends, so does the line. Rounding to whole steps of 255 and square ends."""
    picture = gray(60, 60)
    picture.line((10.0, 10.0), end, 2.0, overlay.WHITE)
    inside = 10 / 40 if end[1] < 0 else 1
    assert light(picture) == pytest.approx(2 * inside * math.dist((10, 10), end), abs=2)


def test_disc_and_ring_cover_their_area():
    picture = gray(40, 40)
    picture.disc((20.3, 19.6), 6.0, overlay.WHITE)
    assert light(picture) == pytest.approx(math.pi * 36, rel=0.02)
    picture = gray(40, 40)
    picture.ring((20.3, 19.6), 8.0, 2.0, overlay.WHITE)
    assert light(picture) == pytest.approx(2 * math.pi * 8 * 2, rel=0.02)


def test_only_outside_of_the_frame_is_dimmed():
    picture = gray(40, 30)
    # A square on its corner, and partly beyond the picture.
    picture.dim_outside(((20, -5), (35, 10), (20, 25), (5, 10)))
    for y in range(30):
        for x in range(40):
            wanted = 100 if abs(x + 0.5 - 20) + abs(y + 0.5 - 10) <= 15 else 100 * 150 // 256
            assert picture.data[(y * 40 + x) * 3] == wanted, (x, y)
