"""Faces behind what goes: those of others, or the other side of the same one."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from painted import FACE, HAIR, SKIN, WALL, ellipse, of_painted, paint_of, photo_of, segments_of

pytest.importorskip("torch")

from lapcvae import bundle as bundles  # noqa: E402
from lapcvae.exemplars import Exemplars  # noqa: E402
from lapcvae.known import bared  # noqa: E402
from lapcvae.segments import CLASSES, SIZE, Segments  # noqa: E402
from training import data  # noqa: E402
from training import exemplars as chosen  # noqa: E402

COUNT, EYES, DARK = 24, (0.4, 0.6), (0.08, 0.08, 0.1)
LENSES = np.maximum(ellipse(0.39, 0.45, 0.09, 0.07), ellipse(0.61, 0.45, 0.09, 0.07))
TOP = ellipse(0.5, 0.3, 0.3, 0.25) * (1 - ellipse(0.5, 0.55, 0.22, 0.3))
MOLE = np.float32([0.55, 0.35, 0.28])
EYE, LIPS = np.float32([0.1, 0.2, 0.3]), np.float32([0.7, 0.2, 0.35])
OF = {"skin": SKIN, "background": WALL, "hair": HAIR, "hat": np.float32([0.7, 0.1, 0.1]), "eyes": EYE, "mouth": LIPS}


def face(brightness: float = 1.0, mole: tuple[float, float] | None = None, wide: float = 0.012, hair: float = 0.0):
    """A face with eyes, hair and a mole, SIZE x SIZE x 3."""
    picture = np.where(FACE[:, :, None] > 0, SKIN, WALL)
    picture = picture + (TOP[:, :, None] > 0) * (HAIR * (1 + hair) - picture)
    for x in EYES:
        picture = picture + ellipse(x, 0.45, 2 * wide, wide)[:, :, None] * (EYE - picture)
    picture = picture + ellipse(0.5, 0.72, 0.08, 0.02)[:, :, None] * (LIPS - picture)
    if mole:
        picture = picture + ellipse(*mole, 0.03, 0.03)[:, :, None] * (MOLE - picture)
    return np.clip(picture * brightness, 0, 1).astype(np.float32)


class Engine:
    """A segmenter that goes by colours, and exemplars."""

    def __init__(self, folder):
        pictures = [face(0.8 + 0.4 * i / COUNT, wide=0.01 + 0.0004 * i, hair=0.02 * i) for i in range(COUNT)]
        array = np.stack([np.round(255 * p).astype(np.uint8) for p in pictures])
        chosen.write(data.Pictures(array, ()), np.arange(COUNT), folder / chosen.FILE, 95)
        entry = bundles.ExemplarFile(chosen.FILE, COUNT, SIZE, "")
        self.exemplars = Exemplars(SimpleNamespace(exemplars=entry, folder=folder))

    def segment(self, picture: np.ndarray) -> Segments:
        apart = np.stack([np.abs(picture - OF[name]).max(2) if name in OF else np.full(picture.shape[:2], 9.0)
                          for name in CLASSES], 2)  # fmt: skip
        # Between an eye and the skin there is no hair and no wall.
        for name in ("hair", "background"):
            apart[:, :, CLASSES.index(name)] += ellipse(0.5, 0.6, 0.2, 0.24)
        return Segments((apart == apart.min(2, keepdims=True)).astype(np.float32), CLASSES)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return Engine(tmp_path_factory.mktemp("bared"))


def _worn(mole=None):
    """A photo with dark lenses in it, and the same without."""
    bare = photo_of(None, face(mole=mole)).b[0]
    picture = bare + LENSES[:, :, None] * (np.float32(DARK) - bare)
    of = segments_of(glasses=LENSES, hair=TOP * (1 - LENSES), skin=FACE * (1 - LENSES) * (1 - TOP))
    return photo_of(of, picture), bare


def _bared(engine, photo, strokes, colour=SKIN, then="skin", seed=0, **more):
    paint = dataclasses.replace(paint_of(photo, strokes, colour), **more)
    return bared.bared_of(engine, photo, paint, lambda: of_painted(photo, paint, then), 1.0, seed)


def test_eyes_come_from_faces_that_fit(engine):
    photo, bare = _worn()
    found = _bared(engine, photo, LENSES)
    for index in (0, 1, 7):
        made = found.picture(index)
        assert made.shape == bare.shape and made.min() >= 0 and made.max() <= 1
        # Two eyes where eyes are, and skin around them in this face's light.
        assert np.abs(made - bare)[LENSES > 0].mean() < 0.03 < np.abs(photo.b[0] - bare)[LENSES > 0].mean() / 10
        for x in EYES:
            eye, around = ellipse(x, 0.45, 0.012, 0.006) > 0, ellipse(x, 0.45, 0.05, 0.05) > ellipse(x, 0.45, 0.035, 0.03)
            assert made[eye].mean() < 0.75 * made[around].mean()
        assert (made == photo.b[0])[found.where == 0].all()
    assert found.stays[LENSES > 0].max() < 0.2 and found.sure
    assert not np.array_equal(found.picture(0), found.picture(1))


def test_seeds_and_variants_beyond_the_faces_that_fit_are_others(engine):
    photo, _ = _worn()
    found, again = (_bared(engine, photo, LENSES, seed=seed) for seed in (0, 1))
    assert np.array_equal(found.picture(0), _bared(engine, photo, LENSES).picture(0))
    assert not np.array_equal(found.picture(0), again.picture(0))
    assert not np.array_equal(found.picture(0), found.picture(len(found.found)))


def test_in_a_gray_photo_eyes_are_gray(engine):
    photo, _ = _worn()
    gray = photo.b[0].mean(2, keepdims=True).repeat(3, 2)
    made = _bared(engine, photo_of(photo.segments, gray), LENSES, SKIN.mean()).picture(0)
    assert np.ptp(made, axis=2).max() < 0.03


def test_a_thing_on_one_side_goes_for_the_other_side(engine, monkeypatch):
    # Toy faces are too much alike for another one to be worse.
    monkeypatch.setattr(bared, "AS_GOOD", 1e6)
    # A mole on the right cheek, and what hides the left one.
    thing = ellipse(0.36, 0.6, 0.07, 0.06)
    bare = photo_of(None, face(mole=(0.64, 0.6))).b[0]
    picture = bare + thing[:, :, None] * (np.float32([0.1, 0.3, 0.8]) - bare)
    of = segments_of(clothes=thing, hair=TOP * (1 - thing), skin=FACE * (1 - thing) * (1 - TOP))
    found = _bared(engine, photo_of(of, picture), thing)
    assert found.mirrored is not None
    mole = ellipse(0.36, 0.6, 0.02, 0.02) > 0
    for index in range(bared.MIRRORED):
        made = found.picture(index)
        assert np.abs(made[mole] - bare[:, ::-1][mole]).mean() < 0.06
    # Other faces have none.
    assert found.picture(bared.MIRRORED)[mole].mean() > 1.1 * found.picture(0)[mole].mean()


@pytest.mark.parametrize(
    "why",
    ["rubbed out", "nothing", "no segmenter", "no exemplars", "small exemplars", "still glasses", "an eye", "small cells",
     "blue"],  # fmt: skip
)
def test_what_is_meant_otherwise_is_no_bared_face(engine, why):
    photo, _ = _worn()
    strokes, then, more = LENSES, "skin", {}
    if why == "rubbed out":
        more = {"erased": np.ones((SIZE >> 3, SIZE >> 3), np.float32)}
    elif why == "nothing":
        strokes = 0 * strokes
    elif why == "no segmenter":
        photo = dataclasses.replace(photo, segment=lambda: None)
    elif why == "no exemplars":
        engine = SimpleNamespace(exemplars=None)
    elif why == "small exemplars":
        engine = SimpleNamespace(exemplars=SimpleNamespace(size=SIZE // 2))
    elif why == "still glasses":
        then = "glasses"
    elif why == "blue":
        more = {"fine": (strokes[:, :, None] * (np.float32([0.1, 0.2, 0.9]) - photo.b[0])).astype(np.float32)}
    elif why == "an eye":
        eyes = np.maximum(*(ellipse(x, 0.45, 0.04, 0.03) for x in EYES))
        photo = photo_of(segments_of(eyes=eyes, skin=FACE * (1 - eyes)), face())
        strokes = eyes
    elif why == "small cells":
        more = {"level": 1}
    assert _bared(engine, photo, strokes, then=then, **more) is None


def test_an_island_is_what_a_hole_surrounds():
    ring = ellipse(0.5, 0.5, 0.3, 0.3) - ellipse(0.5, 0.5, 0.1, 0.1)
    assert np.array_equal(bared._islands(ring), ellipse(0.5, 0.5, 0.1, 0.1))
    assert not bared._islands(ellipse(0.5, 0.5, 0.3, 0.3)).any()
