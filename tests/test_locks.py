"""A fringe and a moustache that were painted over a photo."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from painted import FACE, HAIR, SKIN, WALL, ellipse, line, of_painted, paint_of, photo_of, segments_of

from lapcvae.known import locks
from lapcvae.segments import SIZE

TOP = 0.28
MOUTH = ellipse(0.5, 0.72, 0.07, 0.025)


@pytest.fixture(name="photo")
def _with_hair():
    """Hair above the face, down to TOP, and a mouth."""
    head = ellipse(0.5, 0.45, 0.3, 0.4)
    hair = head * ((np.arange(SIZE) + 0.5) / SIZE < TOP)[:, None]
    face = FACE * (1 - hair)
    picture = np.where(face[:, :, None] > 0, SKIN, WALL)
    picture = np.where(hair[:, :, None] > 0, HAIR, picture)
    # Strands.
    picture = picture * (1 + 0.3 * hair[:, :, None] * np.random.default_rng(0).standard_normal((1, SIZE, 1)))
    return photo_of(segments_of(hair=hair, skin=face * (1 - MOUTH), mouth=MOUTH * face), picture)


def _fingers() -> np.ndarray:
    """Strokes over the forehead that begin below the hair."""
    return sum(ellipse(x, 0.38, 0.02, 0.06) for x in np.linspace(0.38, 0.62, 6)).clip(0, 1)


def _found(photo, strokes, colour=HAIR, then="hair", on_photo=True, seed=0, **more):
    paint = dataclasses.replace(paint_of(photo, strokes, colour, 1.0, on_photo), **more)
    return locks.locks_of(photo, paint, lambda: of_painted(photo, paint, then), seed)


def test_a_fringe_hangs_from_the_hair_above(photo):
    found = _found(photo, _fingers())
    assert found.sure
    picture = found.picture(0)
    darker = (photo.b[0] - picture).mean(2)
    # In the gap between hair and strokes nothing was painted.
    gap = slice(round((TOP + 0.01) * SIZE), round(0.315 * SIZE))
    assert darker[gap, 60:68].mean() > 0.15
    # The hair itself stays, and so does what is below.
    hair = slice(0, round((TOP - 0.08) * SIZE))
    assert np.abs(picture - photo.b[0])[hair].max() < 0.02
    assert np.abs(picture - photo.b[0])[round(0.55 * SIZE) :].max() < 1e-3


def test_hairs_lie_down_and_not_across(photo):
    picture = _found(photo, _fingers()).picture(0).mean(2)
    there = picture[round(0.33 * SIZE) : round(0.40 * SIZE), round(0.4 * SIZE) : round(0.6 * SIZE)]
    down, across = (float(np.abs(np.diff(there, axis=axis)).mean()) for axis in (0, 1))
    assert across > 2 * down


def test_hair_has_the_strokes_colour_and_variants_have_other_hairs(photo):
    red = np.float32([0.5, 0.15, 0.05])
    found = _found(photo, _fingers(), red)
    pictures = [found.picture(i) for i in range(3)]
    for picture in pictures:
        assert picture.min() >= 0 and picture.max() <= 1
        assert (np.abs(picture - photo.b[0])[found.where == 0] < 3e-3).all()
    deep = found.amount > 0.9 * found.amount.max()
    assert np.abs(pictures[0][deep].mean(0) / pictures[0][deep].mean() - red / red.mean()).max() < 0.25
    assert np.abs(pictures[0] - pictures[1]).max() > 0.05
    assert (found.picture(1) == pictures[1]).all()
    assert np.abs(_found(photo, _fingers(), red, seed=3).picture(0) - pictures[0]).max() > 0.05


def test_a_dark_stroke_over_the_lip_is_a_moustache(photo):
    found = _found(photo, line(0.42, 0.58, 0.685, 0.025), then="mouth")
    assert found.lie is locks.MOUSTACHE and not found.sure
    # Soft, and a little wider than the stroke.
    assert 0.3 < found.picture(0)[round(0.685 * SIZE), 64].mean() / photo.b[0][round(0.685 * SIZE), 64].mean() < 0.8


@pytest.mark.parametrize(
    "why",
    [
        "no segmenter",
        "a hat",
        "hair it was",
        "beside the face",
        "coarse",
        "rubbed out",
        "nothing",
        "lipstick",
        "a scar",
        "a line",
    ],
)
def test_other_strokes_are_none(photo, why):
    more, strokes, colour, then = {}, _fingers(), HAIR, "hair"
    if why == "no segmenter":
        photo = dataclasses.replace(photo, segment=lambda: None)
        assert locks.locks_of(photo, paint_of(photo, strokes, colour, 1.0, True), lambda: None, 0) is None
        return
    if why == "a hat":
        then = "hat"
    elif why == "hair it was":
        strokes = ellipse(0.5, 0.18, 0.1, 0.05)
    elif why == "beside the face":
        strokes = ellipse(0.9, 0.5, 0.05, 0.2)
    elif why == "coarse":
        more = {"on_photo": False}
    elif why == "rubbed out":
        more = {"erased": np.ones((SIZE >> 3, SIZE >> 3), np.float32)}
    elif why == "nothing":
        strokes = 0 * strokes
    elif why == "lipstick":
        strokes, colour, then = MOUTH, (0.6, 0.1, 0.15), "mouth"
    elif why == "a scar":
        strokes, then = line(0.3, 0.36, 0.5, 0.02), "skin"
    elif why == "a line":
        strokes, then = np.ascontiguousarray(line(0.3, 0.8, 0.5, 0.02).T), "skin"
    assert _found(photo, strokes, colour, then, **more) is None
