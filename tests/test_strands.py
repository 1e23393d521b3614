"""What strokes are of: new colours, hair, a wall; strands and tips of hair."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from test_extent import disc, painted

from lapcvae import noise, pyramid, strands

SIZE, LEVELS, LEVEL = 256, 4, 3
HAIR, SKIN, WALL, BLUE = (np.float32(c) for c in ([0.3, 0.2, 0.15], [0.85, 0.62, 0.55], [0.6, 0.62, 0.65], [0.1, 0.2, 0.7]))


def photo() -> np.ndarray:
    """Hair that hangs down, skin below it, a wall beside both."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    down = np.repeat(np.exp(0.25 * noise.gaussian((1, SIZE), "hair")), SIZE, 0)[:, :, None]
    pores = 1 + 0.02 * noise.gaussian((SIZE, SIZE), "skin")[:, :, None]
    picture = np.where((y < 0.3)[:, :, None], HAIR * down, SKIN * pores)
    return np.clip(np.where((np.abs(x - 0.5) > 0.4)[:, :, None], WALL, picture), 0, 1).astype(np.float32)


def bar(left: float, right: float, top: float, bottom: float) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    return ((x > left) & (x < right) & (y > top) & (y < bottom)).astype(np.float32)


def told_of(amount: np.ndarray, colour: np.ndarray, free: bool = False):
    b_0 = photo()
    paint = painted(b_0, amount, colour, LEVEL)
    return b_0, paint, strands.what_strokes_are(pyramid.gaussians(b_0, LEVELS), paint, paint.cover, free)


LOCK = bar(0.4, 0.5, 0.3, 0.7)
LINE = bar(0.44, 0.452, 0.35, 0.7)
DEEP = bar(0.43, 0.47, 0.4, 0.6) > 0


def test_a_new_colour_stands_and_skin_has_to_be_read():
    _, _, told = told_of(LOCK, BLUE)
    assert told.stands[DEEP].min() > 0.9 and told.sure[DEEP].min() > 0.9 and told.strands.max() == 0
    _, _, told = told_of(disc(0.1, SIZE), SKIN)
    assert told is None or max(told.stands.max(), told.strands.max()) < 0.05


def test_a_wall_stands():
    _, _, told = told_of(LOCK, WALL)
    assert told.stands[DEEP].min() > 0.9 and told.sure[DEEP].min() > 0.9 and told.strands.max() == 0


def test_thick_strokes_in_the_colour_of_hair_are_hair_and_thin_ones_are_lines():
    _, _, told = told_of(LOCK, HAIR)
    assert told.strands[DEEP].min() > 0.9 and told.rooted[DEEP].min() > 0.9
    _, _, told = told_of(LINE, HAIR)
    assert told.strands.max() < 0.1 and told.stands[LINE > 0].mean() > 0.5
    # Small things are to be read where something goes.
    _, _, told = told_of(LINE, HAIR, free=True)
    assert told is None or told.stands.max() < 0.1


def test_hair_that_touches_none_does_not_begin_in_any():
    beard = bar(0.4, 0.6, 0.6, 0.75)
    _, _, told = told_of(beard, HAIR)
    assert told.strands[beard > 0].mean() > 0.9 and told.rooted[beard > 0].max() < 0.1


def test_nothing_is_told_without_paint_and_by_hand_counts():
    b_0, paint, _ = told_of(LOCK, BLUE)
    b = pyramid.gaussians(b_0, LEVELS)
    nothing = np.zeros_like(paint.cover)
    assert strands.what_strokes_are(b, dataclasses.replace(paint, cover=nothing), paint.cover, False) is None
    assert strands.what_strokes_are(b, paint, nothing, False) is None
    rubbed_out = dataclasses.replace(paint, erased=np.ones_like(paint.erased))
    assert strands.what_strokes_are(b, rubbed_out, paint.cover, False) is None


def test_strands_lie_along_the_lock_and_stand_out_as_in_the_hair():
    b_0, paint, told = told_of(LOCK, HAIR)
    made = strands.combed(b_0, paint, told, (0,), True)
    light = np.log(made.mean(2))
    down, across = (np.abs(np.diff(light, axis=axis, prepend=0))[DEEP].mean() for axis in (0, 1))
    assert across > 3 * down
    light = light[DEEP]
    assert 0.08 < light.std() < 0.6
    assert abs(np.exp(light.mean()) / HAIR.mean() - 1) < 0.35
    # Another key, other strands; the same, the same.
    assert np.array_equal(made, strands.combed(b_0, paint, told, (0,), True))
    assert np.abs(made - strands.combed(b_0, paint, told, (1,), True)).max() > 0.02


def test_tips_are_uneven_and_nothing_changes_far_from_the_strokes():
    b_0, paint, told = told_of(LOCK, HAIR)
    flat, made = np.clip(b_0 + paint.fine, 0, 1), strands.combed(b_0, paint, told, (0,), True)
    end = np.s_[int(0.62 * SIZE) : int(0.78 * SIZE), int(0.42 * SIZE) : int(0.48 * SIZE)]
    dark = (made[end].mean(2) < 0.45).sum(0)
    assert dark.std() > (flat[end].mean(2) < 0.45).sum(0).std()
    far = bar(0.33, 0.57, 0.2, 0.8) == 0
    assert np.array_equal(made[far], b_0[far])
    # What is beneath is not to show: strokes end where they were painted.
    kept = strands.combed(b_0, paint, told, (0,), False)
    assert np.array_equal(kept[LOCK == 0], b_0[LOCK == 0])


@pytest.mark.parametrize("free", [False, True])
def test_a_small_model_is_left_alone(free):
    b_0 = photo()[::4, ::4]
    paint = painted(b_0, disc(0.2, len(b_0)), BLUE, 1)
    assert strands.what_strokes_are(pyramid.gaussians(b_0, 2), paint, paint.cover, free) is None


def test_thick_strokes_stand_at_every_level_and_thin_ones_where_they_were_read_so():
    for where, thick in ((LOCK, True), (LINE, False)):
        b_0, paint, told = told_of(where, BLUE)
        strokes = np.clip(b_0 + paint.fine, 0, 1)
        at_64 = pyramid.reduce(strokes, 2)
        as_painted, otherwise = (strands.Standing(b_0, paint, told, at_64 + by, at_64, (0,), True) for by in (0, 0.5))
        for k, (picture, x) in enumerate(zip(pyramid.gaussians(strokes, LEVELS), pyramid.gaussians(0 * b_0, LEVELS))):
            at = np.s_[SIZE // 2 >> k, int(0.446 * SIZE) >> k]
            if k < LEVEL:
                assert np.abs(as_painted.on(x, k) - picture)[at].max() < (0.05 if thick else 0.3)
                shown = np.abs(otherwise.on(x, k))[at].max()
                assert shown > 0.5 if thick else shown < 0.1
