"""What strokes are of: a new wall, which stands, and hair, which gets strands."""

from __future__ import annotations

import dataclasses

import numpy as np
from test_extent import disc, painted

from lapcvae import encoding, noise, pyramid, strands

SIZE, LEVELS, LEVEL = 256, 4, 3
HAIR, SKIN, WALL, BLUE = (np.float32(c) for c in ([0.3, 0.2, 0.15], [0.85, 0.62, 0.55], [0.6, 0.62, 0.65], [0.1, 0.2, 0.7]))


def photo() -> np.ndarray:
    """Hair that hangs down, skin below it, a wall beside both."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    down = np.repeat(np.exp(0.25 * noise.gaussian((1, SIZE), "hair")), SIZE, 0)[:, :, None]
    pores = 1 + 0.02 * noise.gaussian((SIZE, SIZE), "skin")[:, :, None]
    picture = np.where((y < 0.3)[:, :, None], HAIR * down, SKIN * pores)
    return np.clip(np.where((np.abs(x - 0.5) > 0.4)[:, :, None], WALL, picture), 0, 1).astype(np.float32)


def seen(b_0: np.ndarray, segments=None) -> encoding.EncodedPhoto:
    return encoding.EncodedPhoto(pyramid.gaussians(b_0, LEVELS), [], lambda: segments)


def bar(left: float, right: float, top: float, bottom: float) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    return ((x > left) & (x < right) & (y > top) & (y < bottom)).astype(np.float32)


LOCK, LINE = bar(0.4, 0.5, 0.3, 0.7), bar(0.44, 0.452, 0.35, 0.7)
DEEP = bar(0.43, 0.47, 0.4, 0.6) > 0


def told_of(amount: np.ndarray, colour: np.ndarray, wall: float = 1.0, goes: bool = False):
    b_0 = photo()
    paint = painted(b_0, amount, colour, LEVEL)
    return b_0, paint, strands.what_strokes_are(seen(b_0), paint, paint.cover, wall, goes)


def test_a_new_wall_stands_as_far_as_that_is_sure_and_what_the_photo_has_is_read():
    for wall in (1.0, 0.5):
        _, _, told = told_of(LOCK, BLUE, wall)
        assert abs(told.stands[DEEP].mean() - wall) < 0.1 and not len(told.hair)
    assert told_of(LOCK, BLUE, 0.0)[2] is None
    for amount, colour in ((disc(0.1, SIZE), SKIN), (LOCK, WALL), (LINE, BLUE)):
        _, _, told = told_of(amount, colour)
        assert told is None or (told.stands.max() < 0.05 and not len(told.hair))


def test_a_wall_is_one_whatever_else_has_its_colour():
    b_0 = photo()
    paint = painted(b_0, LOCK, HAIR, LEVEL)
    told = strands.a_wall(seen(b_0), paint, paint.cover)
    assert told.stands[DEEP].min() > 0.95 and not len(told.hair) and not told.where.any() and told.known == 1
    line = painted(b_0, LINE, HAIR, LEVEL)
    assert strands.a_wall(seen(b_0), line, line.cover) is None


def test_black_may_be_a_lens_and_is_not_hair_whatever_the_hair():
    b_0 = photo()
    b_0[: int(0.3 * SIZE)] *= 0.1
    paint = painted(b_0, LOCK, HAIR * 0.1, LEVEL)
    assert strands.what_strokes_are(seen(b_0), paint, paint.cover, 0.0, False) is None


def test_thick_strokes_in_the_colour_of_hair_are_hair_and_lie_along_it():
    _, _, told = told_of(LOCK, HAIR)
    assert np.abs(told.hair - HAIR).max() < 0.05 and told.stands.max() < 0.05
    assert 0.07 < told.fine <= strands.MOST[0] and told.locks > 0.02
    along = told.along[DEEP[::4, ::4]]
    assert np.abs(along[:, 1]).min() > 0.95
    less = told_of(LOCK, HAIR, goes=True)[2]
    assert less.fine == strands.GOES * told.fine and less.locks == strands.GOES * told.locks
    brow = bar(0.4, 0.5, 0.4, 0.46)
    assert len(told_of(brow, HAIR)[2].hair) and told_of(brow, HAIR, goes=True)[2] is None
    _, _, told = told_of(LINE, HAIR)
    assert told is None or not len(told.hair)


def test_nothing_is_told_without_paint_by_hand():
    b_0, paint, _ = told_of(LOCK, BLUE)
    b, nothing = seen(b_0), np.zeros_like(paint.cover)
    for changed, drawn in (
        (dataclasses.replace(paint, cover=nothing), paint.cover),
        (paint, nothing),
        (dataclasses.replace(paint, opaque=nothing), paint.cover),
        (dataclasses.replace(paint, erased=np.ones_like(paint.erased)), paint.cover),
    ):
        assert strands.what_strokes_are(b, changed, drawn, 1.0, False) is None


def test_a_small_model_is_left_alone():
    b_0 = photo()[::4, ::4]
    paint = painted(b_0, disc(0.2, len(b_0)), BLUE, 1)
    small = encoding.EncodedPhoto(pyramid.gaussians(b_0, 2), [])
    assert strands.what_strokes_are(small, paint, paint.cover, 1.0, False) is None


def drawn_of(where: np.ndarray, colour: np.ndarray, by: float = 0.0, key: tuple = (0,)):
    """The photo's levels, those with flat strokes on it, and how these look if `by` was added when they were read."""
    b_0, paint, told = told_of(where, colour)
    b, strokes = (pyramid.gaussians(v, LEVELS) for v in (b_0, np.clip(b_0 + paint.fine, 0, 1)))
    everywhere = np.ones(strokes[2].shape[:2], np.float32)
    return b, strokes, strands.Drawn(b, paint, told, strokes[2] + by, everywhere, key)


def test_a_wall_stands_at_every_level_however_it_was_read():
    for by in (0.0, 0.5):
        b, strokes, drawn = drawn_of(LOCK, BLUE, by)
        for k in range(LEVEL):
            at = np.s_[SIZE // 2 >> k, int(0.446 * SIZE) >> k]
            for x in (0 * b[k], 0 * b[k] + 1):
                assert np.abs(drawn.on(x, k) - strokes[k])[at].max() < 0.05


def test_what_was_read_as_hair_gets_strands_along_the_lock_and_nothing_else_does():
    def all_levels(key):
        b, strokes, drawn = drawn_of(LOCK, HAIR, key=key)
        x = drawn.meant(strokes[2], 2)
        for k in (1, 0):
            x = drawn.on(pyramid.u(x), k)
        return b, strokes, x

    b, strokes, made = all_levels((0,))
    light = np.log(made.mean(2))
    down, across = (np.abs(np.diff(light, axis=axis, prepend=0))[DEEP].mean() for axis in (0, 1))
    assert across > 3 * down
    assert 0.03 < light[DEEP].std() < 0.4 and np.log(strokes[0].mean(2))[DEEP].std() < 0.01
    assert abs(light[DEEP].mean() - np.log(HAIR.mean())) < 0.2
    far = bar(0.33, 0.57, 0.2, 0.8) == 0
    assert np.allclose(made[far], pyramid.enlarge(b[2], 2)[far], atol=1e-5)
    # Other noise for another key, the same for the same.
    assert np.array_equal(made, all_levels((0,))[2])
    assert np.abs(made - all_levels((1,))[2]).max() > 0.02


def test_what_was_not_read_as_hair_gets_none():
    b, strokes, drawn = drawn_of(LOCK, HAIR, by=0.5)
    x = strokes[2] + 0.5
    assert np.allclose(drawn.meant(x, 2), np.clip(x, 0, 1), atol=1e-5)
