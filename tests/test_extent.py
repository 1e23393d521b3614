"""How far paint counts: what it is meant for, and what is to go."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lapcvae import edit, encoding, extent, masks, noise, planning, pyramid

SIZE, LEVELS, LEVEL = 128, 4, 2
SKIN, BEARD, WALL = np.float32([0.85, 0.62, 0.55]), np.float32([0.2, 0.13, 0.1]), np.float32([0.35, 0.5, 0.6])


def photo(size: int = SIZE) -> np.ndarray:
    """Skin before a wall, and on it something dark and round."""
    y, x = np.mgrid[:size, :size] / size
    grain = 0.01 * noise.gaussian((size, size), "grain")[:, :, None]
    picture = np.where((np.abs(x - 0.5) < 0.4)[:, :, None], SKIN, WALL)
    picture = np.where((np.hypot(x - 0.5, y - 0.5) < 0.15)[:, :, None], BEARD, picture)
    return np.clip(picture + grain, 0, 1).astype(np.float32)


def painted(b_0: np.ndarray, amount: np.ndarray, colour: np.ndarray, level: int = LEVEL) -> masks.Paint:
    size = len(b_0)
    fine = amount[:, :, None] * (colour - b_0)
    nothing, cover = np.zeros((size >> level, size >> level), np.float32), (amount > 0).astype(np.float32)
    return masks.Paint(level, pyramid.reduce(fine, level), nothing, cover, cover, fine.astype(np.float32))


def disc(radius: float, size: int = SIZE, x: float = 0.5) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] / size
    return (np.hypot(columns - x, rows - 0.5) < radius).astype(np.float32)


def seen(b_0: np.ndarray, segments=None) -> encoding.EncodedPhoto:
    return encoding.EncodedPhoto(pyramid.gaussians(b_0, LEVELS), [], lambda: segments)


def goes(b_0: np.ndarray, paint: masks.Paint) -> extent.WhatIsMeant | None:
    return extent.what_goes(seen(b_0), paint, 1.0)


def test_a_thing_that_ends_with_the_paint_is_to_go_and_what_goes_on_is_not():
    b_0 = photo()
    assert goes(b_0, painted(b_0, disc(0.17), SKIN)) is not None
    assert goes(b_0, painted(b_0, disc(0.13), SKIN)) is not None
    # Something new on the skin, on the wall, on both.
    for radius, x in ((0.06, 0.25), (0.05, 0.04), (0.08, 0.1)):
        assert goes(b_0, painted(b_0, disc(radius, x=x), BEARD)) is None


def test_a_tint_says_nothing_of_what_is_to_go():
    b_0 = photo()
    paint = painted(b_0, disc(0.17), SKIN)
    assert goes(b_0, dataclasses.replace(paint, opaque=np.zeros_like(paint.opaque))) is None
    rubbed_out = dataclasses.replace(paint, erased=np.ones_like(paint.erased))
    assert goes(b_0, rubbed_out) is None


@pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0])
def test_thin_paint_is_kept_to_what_it_is_meant_for_as_opaque_paint_is(alpha):
    b_0 = photo()
    thick = painted(b_0, disc(0.2), np.float32([0.6, 0.6, 0.6]))
    thinner = {name: alpha * getattr(thick, name) for name in ("cover", "opaque", "fine", "change")}
    paint = dataclasses.replace(thick, **thinner)
    what = extent.what_is_recoloured(seen(b_0), paint, 1.0, 1.0)
    ran_over = (disc(0.18) == 0) & (paint.cover > 0)
    assert what.left[ran_over].min() > 0.9 and what.left[disc(0.12) > 0].max() < 0.05


def test_thin_strokes_over_the_photo_do_not_reach_far(engine):
    size = engine.bundle.size
    b_0 = np.broadcast_to(SKIN, (size, size, 3)).astype(np.float32)
    cover = np.zeros((size, size), np.float32)
    cover[30:33, 10:50] = 1
    paint = dataclasses.replace(painted(b_0, cover, BEARD), on_photo=True)
    make = dict(realism=0.5, temperature=1.0, grow=1.0, seed=1, structure=0.8)
    plan = planning.make_plan(engine, encoding.encode(engine, b_0), paint, **make)
    assert plan.masks.m[31, 20:40].min() == 1 and plan.masks.m[38:, :].max() == 0


def test_what_strokes_left_of_a_thing_goes_with_it():
    b_0 = photo()
    paint = painted(b_0, disc(0.13), SKIN)
    left = (disc(0.145) > 0) & (paint.cover == 0)
    more = extent.with_remains(paint, pyramid.gaussians(b_0, LEVELS), goes(b_0, paint), 1.0)
    before, after = (np.abs(b_0 + p.fine - SKIN)[left].mean() for p in (paint, more))
    assert after < 0.6 * before
    # M reaches it, and no further than without.
    assert more.far[left].mean() < 0.6 * paint.far[left].mean()
    assert np.array_equal(more.far[disc(0.19) == 0], paint.far[disc(0.19) == 0])
    # That is all: it is what it was on the skin, and where there was paint.
    beside = disc(0.19) == 0
    assert np.abs(more.fine[beside]).max() < 0.02 and np.abs(more.cover[beside]).max() < 0.1
    assert np.abs((more.fine - paint.fine)[disc(0.09) > 0]).max() < 0.02
    assert np.allclose(more.change - paint.change, pyramid.reduce(more.fine - paint.fine, LEVEL), atol=1e-6)


def test_soft_edges_of_strokes_leave_nothing_either():
    b_0 = photo()
    distance = np.hypot(*(np.mgrid[:SIZE, :SIZE] / SIZE - 0.5))
    soft = np.clip((0.16 - distance) / 0.05, 0, 1).astype(np.float32)
    paint = painted(b_0, soft, SKIN, LEVEL + 1)
    more = extent.with_remains(paint, pyramid.gaussians(b_0, LEVELS), goes(b_0, paint), 1.0)
    left = (soft < 0.5) & (distance < 0.145)
    before, after = (np.abs(b_0 + p.fine - SKIN)[left].mean() for p in (paint, more))
    assert after < 0.7 * before


def test_a_wall_that_is_painted_goes_up_to_what_stands_before_it():
    b_0 = photo()
    head = np.hypot(*(np.mgrid[:SIZE, :SIZE] / SIZE - 0.5)) < 0.2
    b_0 = np.where(head[:, :, None], BEARD, WALL + 0.3 * (b_0 - WALL)).astype(np.float32)
    distance = np.hypot(*(np.mgrid[:SIZE, :SIZE] / SIZE - 0.5))
    blue = np.float32([0.1, 0.2, 0.7])
    # With a rim of one cell and a half.
    paint = painted(b_0, (distance > 0.2 + 1.5 * (1 << LEVEL + 1) / SIZE).astype(np.float32), blue, LEVEL + 1)
    assert extent.is_large(paint) == 1
    what = goes(b_0, paint)
    more = extent.with_remains(paint, pyramid.gaussians(b_0, LEVELS), what, 1.0)
    now = b_0 + more.fine
    assert np.abs(now - blue)[distance > 0.23].mean() < 0.02
    assert np.abs(now - b_0)[distance < 0.18].max() < 0.02
    # Less of it is not so sure.
    small = painted(b_0, (np.abs(distance - 0.3) < 0.03).astype(np.float32), blue, LEVEL + 1)
    assert extent.is_large(small) == 0


def test_paint_is_taken_away_from_what_it_is_not_meant_for():
    b_0 = photo()
    paint = painted(b_0, disc(0.2), np.float32([0.6, 0.6, 0.6]))
    what = extent.what_is_recoloured(seen(b_0), paint, 1.0, 1.0)
    kept = extent.kept_to(paint, what)
    ran_over = (disc(0.18) == 0) & (paint.cover > 0)
    assert np.abs(kept.fine[ran_over]).max() < 0.03
    assert kept.cover[ran_over].max() < 0.1 and kept.opaque[ran_over].max() < 0.1
    assert np.allclose(kept.fine[disc(0.12) > 0], paint.fine[disc(0.12) > 0], atol=0.02)
    assert np.abs(kept.change).sum() < 0.9 * np.abs(paint.change).sum()


def test_every_other_variant_leaves_what_is_beside_a_thing_that_goes_as_it_is(engine):
    size = engine.bundle.size
    b_0 = photo(size)
    encoded = encoding.encode(engine, b_0)
    # Carelessly, with corners.
    y, x = np.mgrid[:size, :size] / size
    cover = ((np.abs(y - 0.5) < 0.26) & (np.abs(x - 0.5) < 0.26)).astype(np.float32)
    make = dict(realism=0.5, temperature=1.0, grow=0.5, seed=1)
    plan = planning.make_plan(engine, encoded, painted(b_0, cover, SKIN), **make)
    assert plan.narrow is not None
    beside = (plan.masks.m == 1) & (plan.narrow.masks.m == 0)
    assert beside.any()
    changed = [np.abs(edit.variant(plan, i) - b_0)[beside].max() for i in range(4)]
    assert changed[0] == changed[2] == 0 and min(changed[1], changed[3]) > 0.01
    # Of each kind they differ.
    inside = disc(0.1, size) > 0
    for i in (0, 1):
        assert np.abs(edit.variant(plan, i) - edit.variant(plan, i + 2))[inside].max() * 255 > 2
    new = planning.make_plan(engine, encoded, painted(b_0, disc(0.08, size, 0.25), BEARD), **make)
    assert new.narrow is None
