"""The suite of paintings: brush, scenes, objects, figures on edits whose answer is known, and a run on the toy model."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import toy  # noqa: E402
from PIL import Image  # noqa: E402

from lapcvae.bundle import open_bundle  # noqa: E402
from lapcvae.photo import Colours, PhotoFile  # noqa: E402
from lapcvae.protocol.errors import LapcvaeError  # noqa: E402
from lapcvae.protocol.geometry import Box, Frame  # noqa: E402
from training import __main__ as command_line  # noqa: E402
from training.suite import measures, report  # noqa: E402
from training.suite.brush import Canvas, curve  # noqa: E402
from training.suite.paintings import PAINTINGS  # noqa: E402
from training.suite.photos import Subject, over_photo, read_subjects  # noqa: E402
from training.suite.road import Edit, whole  # noqa: E402
from training.suite.scene import Scene, towards  # noqa: E402

SKIN, HAIR, WALL = (0.8, 0.6, 0.5), (0.2, 0.15, 0.1), (0.4, 0.5, 0.6)


def face(size: int = 128) -> np.ndarray:
    """A wall, a round head of hair, a round face in it: size x size x 3 float32."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    picture = np.empty((size, size, 3), np.float32)
    picture[:] = WALL
    picture[np.hypot(x - 0.5, y - 0.46) < 0.36] = HAIR
    picture[np.hypot((x - 0.5) / 0.24, (y - 0.52) / 0.32) < 1] = SKIN
    return picture


@pytest.fixture(scope="module")
def scene():
    return Scene(face(), face())


def test_a_curve_goes_through_its_points_with_their_values():
    line = curve([(0, 0), (1, 0), (1, 1)], [1, 2, 3])
    for point in ((0, 0, 1), (1, 0, 2), (1, 1, 3)):
        assert np.abs(line - point).sum(1).min() < 1e-9


def test_a_stroke_covers_a_place_once_and_stays_near_its_line():
    canvas = Canvas(128, seed=3)
    canvas.stroke([(0.2, 0.5), (0.8, 0.5), (0.2, 0.5)], 0.08, (1, 0, 0), opacity=0.5, hardness=1.0)
    alpha = canvas.rgba[:, :, 3]
    # There and back with half of the colour is half of the colour.
    assert alpha.max() == pytest.approx(0.5, abs=1e-6) and alpha[64, 64] == pytest.approx(0.5, abs=1e-6)
    rows = np.flatnonzero(alpha.any(1))
    assert 64 - 2 * 0.08 * 128 < rows[0] and rows[-1] < 64 + 2 * 0.08 * 128


def test_rubbing_out_leaves_transparency_and_no_colour():
    canvas = Canvas(64)
    canvas.erase([(0.5, 0.5)], 0.2)
    shown = np.full((64, 64, 4), 255, np.uint8)
    painted = canvas.over(shown)
    assert painted[32, 32, 3] == 0 and (painted[:, :, :3] == 255).all() and painted[0, 0, 3] == 255


def test_a_scene_finds_colours_and_where_hair_is(scene):
    assert np.allclose(scene.skin, SKIN) and np.allclose(scene.hair_colour, HAIR)
    assert np.allclose(scene.background, [WALL, WALL])
    for direction, begins, ends in scene.hair:
        x, y = towards(direction, 1.0)
        assert ends == pytest.approx(0.36, abs=0.03), direction
        edge = np.hypot((x - 0.5) * begins / 0.24, (0.46 + (y - 0.46) * begins - 0.52) / 0.32)
        assert edge == pytest.approx(1, abs=0.15), direction


def test_an_object_over_the_head_does_not_change_what_is_known_of_it(scene):
    hidden = replace(scene, square=np.zeros_like(scene.square))
    assert hidden.hair == scene.hair and hidden.hair_colour == scene.hair_colour
    assert hidden.skin == (0, 0, 0)


def test_there_are_twenty_paintings_and_eight_remove_something():
    assert len({p.name for p in PAINTINGS}) == 20
    assert sum(bool(p.removes) for p in PAINTINGS) >= 8
    assert {p.kind for p in PAINTINGS} == {"coarse", "strokes"} and {p.cells for p in PAINTINGS} == {16, 32, 64}


@pytest.mark.parametrize("painting", PAINTINGS, ids=lambda p: p.name)
def test_every_painting_covers_what_it_is_about(painting, scene):
    canvas = Canvas(128, seed=1)
    painting.paint(canvas, scene)
    painted = np.maximum(canvas.rgba[:, :, 3], canvas.erased) > 0.1
    assert 0.004 < painted.mean() < 0.8
    again = Canvas(128, seed=1)
    painting.paint(again, scene)
    assert (again.rgba == canvas.rgba).all() and (again.erased == canvas.erased).all()
    if painting.removes:
        # Locks, a beard or a hat may stick out a little; what hides the face has to be painted over.
        there = painting.object_(scene, 128)[:, :, 3] > 0.5
        assert there.any() and (painted & there).sum() > 0.75 * there.sum()


def test_an_object_lands_where_the_frame_says_and_nowhere_else():
    pixels = np.full((300, 400, 3), 100, np.uint8)
    frame = Frame(200, 150, 160, 20)
    overlay = np.zeros((80, 80, 4), np.float32)
    overlay[38:42, 38:42] = 1
    photo = PhotoFile(pixels, "PNG")
    made = Subject("x", photo, Colours(photo), frame).with_object(overlay).photo.pixels
    rows, columns = np.nonzero((made != 100).any(2))
    assert (made[150, 200] == 255).all() and (photo.pixels == 100).all()
    assert abs(rows.mean() - 149.5) < 0.1 and abs(columns.mean() - 199.5) < 0.1 and len(rows) < 15 * 15
    box, rgba = over_photo(overlay, frame, photo.size)
    assert Box(0, 0, 400, 300).contains(box) and rgba[:, :, 3].max() == 1


# Figures


def made(under: np.ndarray, mask: np.ndarray, *variants: np.ndarray) -> Edit:
    prepared = SimpleNamespace(box=Box(0, 0, mask.shape[1], mask.shape[0]), enlargement=1.0)
    return Edit(None, prepared, mask, under, list(variants), {})


def test_one_changed_pixel_outside_is_seen():
    under, mask = np.full((8, 8, 3), 10, np.uint8), np.zeros((8, 8), np.float32)
    mask[:4] = 1
    inside = under.copy()
    inside[:4] = 200
    assert measures.outside(made(under, mask, inside)) == 0
    inside[7, 7, 1] += 3
    assert measures.outside(made(under, mask, under, inside)) == 3


def test_a_seam_raises_the_rim_and_a_blur_lowers_it():
    random = np.random.default_rng(0)
    under = random.integers(90, 110, (64, 64, 3)).astype(np.uint8)
    mask = np.clip((40 - np.arange(64)) / 16, 0, 1).astype(np.float32)[None, :].repeat(64, 0)
    step = under.copy()
    step[:, :32] += 60
    flat = np.full_like(under, 100)
    assert measures.rim(made(under, mask, under), under) == pytest.approx(1)
    assert measures.rim(made(under, mask, step), under) > 1.25 and measures.rim(made(under, mask, flat), under) < 0.2


@pytest.fixture
def removal(monkeypatch):
    """(cell, road) of a bar before a smooth picture; the road sees pictures as they are."""
    y, x = (np.mgrid[:64, :64] + 0.5) / 64
    bare = np.repeat((0.4 + 0.2 * np.sin(9 * x) * y)[:, :, None], 3, 2).astype(np.float32)
    alpha = np.zeros((64, 64), np.float32)
    alpha[28:34, 10:54] = 1
    barred = bare * (1 - alpha[:, :, None])
    cell = SimpleNamespace(bare=bare, subject=barred, object_alpha=alpha)
    return cell, SimpleNamespace(square=lambda picture: picture)


def test_ghost_is_how_much_of_the_object_is_left(removal):
    cell, road = removal
    half = 0.5 * cell.bare + 0.5 * cell.subject
    assert measures.ghost(cell, [cell.bare], road) == pytest.approx(0, abs=1e-5)
    assert measures.ghost(cell, [cell.subject], road) == pytest.approx(1, abs=1e-5)
    assert measures.ghost(cell, [half], road) == pytest.approx(0.5, abs=1e-4)
    # A change of tone all over is no ghost.
    assert measures.ghost(cell, [cell.bare + 0.1], road) == pytest.approx(0, abs=1e-4)


def test_edges_compare_with_the_photo_without_the_object(removal):
    cell, road = removal
    assert measures.edges(cell, [cell.bare], road) == pytest.approx(1)
    assert measures.edges(cell, [cell.subject], road) > 3


# A run


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(its folder, the photos, the model): two paintings on two photos with the toy model."""
    folder = tmp_path_factory.mktemp("suite")
    photos = folder / "photos"
    photos.mkdir()
    Image.fromarray(toy.portrait(240, 200)).save(photos / "one.png")
    Image.fromarray(toy.portrait(160, 160)).save(photos / "square.png")
    (photos / "eyes.json").write_text(json.dumps({"one.png": {"eyes": [100, 90, 140, 95], "mouth": [118, 120]}}))
    arguments = ["suite", "--model", str(toy.models() / toy.NAME), "--photos", str(photos), "--out", str(folder / "out"),
                 "--count", "3", "--only", "glasses-off", "lips-red"]  # fmt: skip
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LAPCVAE_MODELS", "")
        patched.setenv("LAPCVAE_LPIPS", str(folder))
        assert command_line.main(arguments) == 0
    return folder / "out", photos, arguments


def test_a_run_measures_every_cell(ran):
    out, _, _ = ran
    found = json.loads((out / "suite.json").read_text())
    assert found["total"]["n"] == 4 and set(found["paintings"]) == {"glasses-off", "lips-red"}
    for cell in found["cells"]:
        figures = cell["figures"]
        assert figures["outside"] == 0
        # Sampling and projection agree with the painting exactly, up to colours that no picture has.
        assert figures["agreement_model"] < 1 and figures["diversity"] > 0
        assert (figures["ghost"] is None) == (cell["painting"] == "lips-red")
        assert all(v is None or math.isfinite(v) for v in figures.values())
    for name in ("glasses-off", "lips-red"):
        small, full = (Image.open(out / "sheets" / f"{name}{end}.jpg") for end in ("", "-100"))
        assert small.width < full.width and full.height > 2 * 640
    assert Image.open(out / "overview.jpg").width == 2 * 148


def test_verdicts_are_kept_and_counted(ran):
    out, _, arguments = ran
    verdicts = json.loads((out / report.VERDICTS).read_text())
    assert set(verdicts) == {f"{p}/{s}" for p in ("glasses-off", "lips-red") for s in ("one", "square")}
    verdicts["lips-red/one"] = {"verdict": "keep", "why": ""}
    verdicts["lips-red/square"] = {"verdict": "no", "why": "no mouth"}
    (out / report.VERDICTS).write_text(json.dumps(verdicts))
    before = {f: f.stat().st_mtime_ns for f in (out / "cells").rglob("*.json")}
    # Again: nothing is made anew, and the answers stay.
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LAPCVAE_LPIPS", str(out.parent))
        patched.setenv("LAPCVAE_MODELS", "")
        assert command_line.main(arguments) == 0
    assert before == {f: f.stat().st_mtime_ns for f in (out / "cells").rglob("*.json")}
    assert json.loads((out / report.VERDICTS).read_text()) == verdicts
    found = json.loads((out / "suite.json").read_text())
    assert (found["total"]["keep"], found["total"]["no"]) == (1, 1)
    assert "| 1 of 2 |" in (out / "suite.md").read_text()
    verdicts["lips-red/one"]["verdict"] = "perhaps"
    (out / report.VERDICTS).write_text(json.dumps(verdicts))
    with pytest.raises(LapcvaeError, match="perhaps"):
        report.read_verdicts(out / report.VERDICTS, [])


def test_a_whole_photo_differs_only_in_the_box():
    photo = PhotoFile(np.zeros((6, 8, 3), np.uint8), "PNG")
    changed = whole(photo, Box(2, 1, 3, 2), np.full((2, 3, 3), 9, np.uint8)).pixels
    assert (changed[1:3, 2:5] == 9).all() and changed.sum() == 9 * 18


def test_photos_that_cannot_be_placed_are_refused(tmp_path):
    bundle = open_bundle(toy.models() / toy.NAME)
    with pytest.raises(LapcvaeError, match="no pictures"):
        read_subjects(tmp_path, bundle)
    Image.fromarray(toy.portrait(40, 30)).save(tmp_path / "a.png")
    with pytest.raises(LapcvaeError, match="where the eyes are"):
        read_subjects(tmp_path, bundle)
    (tmp_path / "a.png.json").write_text('{"eyes": [10, 12, 30]}')
    with pytest.raises(LapcvaeError, match="cannot be understood"):
        read_subjects(tmp_path, bundle)
    (tmp_path / "a.png.json").write_text('{"eyes": [15, 12, 25, 12], "has": ["glasses"]}')
    subject = read_subjects(tmp_path, bundle)[0]
    assert subject.frame.side == pytest.approx(10 / bundle.eyes[1], abs=0.01) and subject.has == {"glasses"}
    Image.fromarray(toy.portrait(40, 40)).save(tmp_path / "a.webp")
    with pytest.raises(LapcvaeError, match="two pictures"):
        read_subjects(tmp_path, bundle)
