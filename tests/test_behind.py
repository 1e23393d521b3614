"""What is behind a head where something goes."""

from __future__ import annotations

import numpy as np
import pytest
from painted import FACE, WALL, ellipse, line, of_painted, paint_of, photo_of, segments_of

from lapcvae import behind
from lapcvae.segments import SIZE

HAT = ellipse(0.5, 0.2, 0.3, 0.12)


def _photo(wall=None):
    """A face with a hat before a wall that gets brighter to the right."""
    x = np.arange(SIZE)[None, :, None] / SIZE
    wall = WALL + 0.2 * x + np.zeros((SIZE, 1, 1)) if wall is None else wall
    picture = np.where(FACE[:, :, None] > 0, [0.7, 0.5, 0.4], wall)
    picture = np.where(HAT[:, :, None] > 0, [0.6, 0.1, 0.1], picture)
    return photo_of(segments_of(hat=HAT, skin=FACE * (1 - HAT)), picture), wall


def _found(photo, strokes, colour):
    paint = paint_of(photo, strokes, colour, on_photo=True)
    return behind.behind(photo, paint, lambda: of_painted(photo, paint, "background"))


def test_the_wall_goes_on_behind_what_goes():
    photo, wall = _photo()
    found = _found(photo, HAT, wall.mean((0, 1)))
    assert np.abs(found.wall - wall)[HAT > 0].max() < 0.03
    # A halo that was drawn is wall, and the head before it stays.
    drawn = photo.b[0].copy()
    drawn[HAT > 0] = wall[HAT > 0] + 0.1
    made = found.on(drawn.astype(np.float32), segments_of(skin=FACE * (1 - HAT)), np.maximum(HAT, 0.0))
    beyond = (HAT > 0) & (ellipse(0.5, 0.5, 0.29, 0.39) == 0)
    assert np.abs(made - wall)[beyond].max() < 0.04
    assert (made == drawn)[ellipse(0.5, 0.6, 0.15, 0.2) > 0].all()


@pytest.mark.parametrize("why", ["another colour", "no wall painted", "no wall to be seen", "no segmenter"])
def test_where_nothing_says_so_there_is_none(why):
    photo, wall = _photo()
    if why == "another colour":
        assert _found(photo, HAT, (0.9, 0.9, 0.2)) is None
    elif why == "no wall painted":
        paint = paint_of(photo, HAT, WALL, on_photo=True)
        assert behind.behind(photo, paint, lambda: of_painted(photo, paint, "hair")) is None
    elif why == "no wall to be seen":
        everywhere = photo_of(segments_of(hair=np.ones((SIZE, SIZE), np.float32)), photo.b[0])
        assert _found(everywhere, HAT, WALL) is None
    else:
        nobody = photo_of(None, photo.b[0])
        assert behind.behind(nobody, paint_of(nobody, HAT, WALL), lambda: None) is None


def test_a_hole_is_filled_smoothly():
    x, y = np.meshgrid(np.linspace(0, 1, SIZE), np.linspace(0, 1, SIZE))
    plane = np.stack([x, y, (x + y) / 2], 2).astype(np.float32)
    hole = line(0.3, 0.7, 0.5, 0.3)
    filled = behind.continued(np.where(hole[:, :, None] > 0, 0, plane).astype(np.float32), hole)
    assert (filled == plane)[hole == 0].all()
    assert np.abs(filled - plane)[hole > 0].max() < 0.08
    assert (behind.continued(plane, np.zeros_like(hole)) == plane).all()
    # Nothing is known of what is all hole.
    assert np.isfinite(behind.continued(plane, np.ones_like(hole))).all()


def test_what_is_thin_has_what_is_above_and_below():
    left = np.arange(SIZE)[None, :, None] < SIZE // 2
    picture = np.where(left, np.float32([0.2, 0.3, 0.4]), np.float32([0.8, 0.7, 0.6])) + np.zeros((SIZE, 1, 1), np.float32)
    arm = line(0.2, 0.8, 0.5, 0.03)
    made = behind.bridged(picture + arm[:, :, None] * (0.05 - picture), arm, 0 * arm, 12)
    # The upright edge that it crosses is as sharp as before.
    assert np.abs(made - picture).max() < 1e-6
    # What is too thick has what is all around, and nothing of the hole.
    thick, hole = line(0.3, 0.45, 0.5, 0.3), line(0.2, 0.3, 0.5, 0.3)
    made = behind.bridged(picture + np.maximum(thick, hole)[:, :, None] * (0.05 - picture), thick, hole, 12)
    assert np.abs(made - picture)[thick > 0].max() < 0.02
