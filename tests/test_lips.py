"""Lipstick that was painted over a mouth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from painted import FACE, SKIN, WALL, ellipse, line, of_painted, paint_of, photo_of, segments_of

from lapcvae.known import lips
from lapcvae.segments import SIZE

MOUTH, TEETH = ellipse(0.5, 0.72, 0.1, 0.045), ellipse(0.5, 0.72, 0.07, 0.015)
LIP, RED = np.float32([0.68, 0.38, 0.36]), (0.6, 0.05, 0.15)


@pytest.fixture(name="photo")
def _with_a_mouth():
    """An open mouth, with teeth."""
    picture = np.where(FACE[:, :, None] > 0, SKIN, WALL)
    picture = np.where(MOUTH[:, :, None] > 0, LIP, picture)
    picture = np.where(TEETH[:, :, None] > 0, np.float32([0.8, 0.78, 0.74]), picture)
    picture = picture + 0.01 * np.random.default_rng(0).standard_normal(picture.shape)
    return photo_of(segments_of(skin=FACE * (1 - MOUTH), mouth=MOUTH), picture)


def _upper(colour=RED):
    """A stroke over the upper lip, the teeth and some skin."""
    return line(0.42, 0.58, 0.69, 0.085), colour


def _found(photo, strokes, colour, seed=0, **more):
    paint = dataclasses.replace(paint_of(photo, strokes, colour, 0.8, on_photo=True), **more)
    return lips.lips_of(photo, paint, lambda: of_painted(photo, paint, "mouth"), seed)


def test_both_lips_get_it_and_neither_teeth_nor_skin(photo):
    found = _found(photo, *_upper())
    change = np.abs(found.picture(0) - photo.b[0]).max(2)
    lower = ellipse(0.5, 0.752, 0.04, 0.006) > 0
    assert change[lower].mean() > 0.1
    assert change[ellipse(0.5, 0.72, 0.04, 0.006) > 0].max() < 0.05
    assert change[ellipse(0.5, 0.72, 0.13, 0.08) == 0].max() < 0.01
    made, was = found.picture(0)[lower].mean(0), photo.b[0][lower].mean(0)
    assert made[0] - made[1] > was[0] - was[1] + 0.1


def test_lips_keep_their_form(photo):
    shaded = photo.b[0] * np.linspace(0.2, 1.4, SIZE, dtype=np.float32)[None, :, None]
    photo = photo_of(photo.segments, shaded)
    made = _found(photo, *_upper()).picture(0)
    surely = _found(photo, *_upper()).share > 0.97
    factors = ((made + lips.LEAST) / (photo.b[0] + lips.LEAST))[surely]
    # Dark on the left, bright on the right: as much redder everywhere.
    assert np.ptp(photo.b[0][surely].mean(1)) > 0.05 and np.ptp(factors, axis=0).max() < 0.03


def test_variants_differ_in_strength_and_nothing_else_changes(photo):
    found = _found(photo, *_upper())
    pictures = [found.picture(i) for i in range(len(lips.STRENGTHS))]
    reds = [float((p[..., 0] - p[..., 1])[found.share > 0.9].mean()) for p in pictures]
    assert (np.argsort(reds) == np.argsort(lips.STRENGTHS)).all()
    for picture in pictures:
        assert np.abs(picture - photo.b[0])[found.where == 0].max() < 3e-3
    assert found.stays.min() == 1


@pytest.mark.parametrize(
    "why", ["no segmenter", "beside it", "large", "no lipstick", "rubbed out", "nothing", "one spot", "met"]
)
def test_other_strokes_are_none(photo, why):
    (strokes, colour), more = _upper(), {}
    if why == "no segmenter":
        photo = dataclasses.replace(photo, segment=lambda: None)
        assert lips.lips_of(photo, paint_of(photo, strokes, colour), lambda: None, 0) is None
        return
    if why == "beside it":
        strokes = line(0.4, 0.6, 0.5, 0.03)
    elif why == "large":
        strokes = ellipse(0.5, 0.7, 0.2, 0.15)
    elif why == "no lipstick":
        colour = tuple(SKIN)
    elif why == "rubbed out":
        more = {"erased": np.ones((SIZE >> 3, SIZE >> 3), np.float32)}
    elif why == "nothing":
        strokes = 0 * strokes
    elif why == "met":
        strokes = MOUTH * (1 - ellipse(0.5, 0.72, 0.08, 0.025))
    elif why == "one spot":
        strokes = ellipse(0.44, 0.72, 0.008, 0.008)
    assert _found(photo, strokes, colour, **more) is None
