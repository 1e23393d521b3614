"""Another wall behind a person."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from painted import FACE, SKIN, WALL, ellipse, line, of_painted, paint_of, photo_of, segments_of

from lapcvae.known import wall
from lapcvae.segments import SIZE

GREEN = np.float32([0.4, 0.5, 0.45])
# A rail behind the head.
RAIL = line(0, 1, 0.3, 0.05) * (1 - FACE)
# Who paints goes around the head with room to spare.
STROKES = 1 - ellipse(0.5, 0.5, 0.31, 0.41)
ENGINE = SimpleNamespace(segment=lambda picture: segments_of(skin=FACE))


def _photo():
    picture = np.where(FACE[:, :, None] > 0, SKIN, WALL)
    picture = np.where(RAIL[:, :, None] > 0, np.float32([0.2, 0.2, 0.2]), picture)
    return photo_of(segments_of(skin=FACE), picture)


def _wall(photo, strokes=STROKES, then="background", **more):
    paint = dataclasses.replace(paint_of(photo, strokes, GREEN), **more)
    return wall.wall_of(ENGINE, photo, paint, lambda: of_painted(photo, paint, then), 0)


def test_all_of_it_is_new_and_nothing_before_it():
    photo = _photo()
    found = _wall(photo)
    made = found.picture(0)
    # Also what stood there, beside the head, where nobody painted.
    beside = (ellipse(0.5, 0.5, 0.3, 0.4) > 0) & (ellipse(0.5, 0.5, 0.28, 0.38) == 0)
    assert np.abs(made - GREEN)[beside].max() < 0.03 < np.abs(photo.b[0] - GREEN)[beside & (RAIL > 0)].max() / 5
    assert np.abs(made - GREEN)[STROKES > 0].max() < 0.03
    assert (made == photo.b[0])[ellipse(0.5, 0.5, 0.22, 0.32) > 0].all()
    assert found.stays[ellipse(0.5, 0.5, 0.22, 0.32) > 0].min() == 1 and found.sure
    assert not np.array_equal(found.picture(1), made) and np.abs(found.picture(1) - made).max() < 0.1


@pytest.mark.parametrize("why", ["rubbed out", "nothing", "no segmenter", "of the face", "a corner", "of a thing"])
def test_what_is_meant_otherwise_is_no_wall(why):
    photo, strokes, then, more = _photo(), STROKES, "background", {}
    if why == "rubbed out":
        more = {"erased": np.ones((SIZE >> 3, SIZE >> 3), np.float32)}
    elif why == "nothing":
        strokes = 0 * strokes
    elif why == "no segmenter":
        photo = dataclasses.replace(photo, segment=lambda: None)
    elif why == "of the face":
        strokes = FACE
    elif why == "a corner":
        strokes = ellipse(0.1, 0.1, 0.2, 0.2)
    elif why == "of a thing":
        then = "clothes"
    assert _wall(photo, strokes, then, **more) is None
