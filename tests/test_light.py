"""Strokes of light and shade over a face."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from painted import FACE, ellipse, of_painted, paint_of, photo_of, segments_of

from lapcvae import pyramid
from lapcvae.encoding import EncodedPhoto
from lapcvae.known import light
from lapcvae.masks import Paint
from lapcvae.segments import SIZE


@pytest.fixture(name="photo")
def _of_a_face() -> EncodedPhoto:
    return photo_of(segments_of(skin=FACE))


def _shade(photo: EncodedPhoto) -> Paint:
    return paint_of(photo, ellipse(0.64, 0.5, 0.07, 0.25), (0, 0, 0), 0.5)


def test_a_dark_stroke_on_one_cheek_is_shade_on_that_side_of_the_head(photo):
    found = light.light_of(photo, _shade(photo), lambda: photo.segments, 0)
    row = np.log(found.picture(0)[64] / photo.b[0][64]).mean(1)
    face = FACE[64] > 0
    assert row[face][-5:].mean() < row[face][30:40].mean() < row[face][:5].mean() + 0.02 and row[face][-5:].mean() < -0.2
    assert row[face][:20].max() < 0.02
    # No edge where the stroke has one, and nothing for the background.
    smooth = pyramid.reduce(found.brighter, 2)[16, :, 0]
    assert np.abs(np.diff(smooth, 2)).max() < 0.1 * np.ptp(smooth)
    background = FACE == 0
    background[1:-1, 1:-1] &= (FACE[:-2, 1:-1] + FACE[2:, 1:-1] + FACE[1:-1, :-2] + FACE[1:-1, 2:]) == 0
    assert np.abs(found.picture(0) - photo.b[0])[ellipse(0.5, 0.5, 0.35, 0.45) == 0].max() < 1e-6


def test_light_keeps_the_hue_and_does_not_burn_out(photo):
    bright = paint_of(photo, ellipse(0.36, 0.5, 0.07, 0.25), (1, 1, 0.9), 0.4)
    found = light.light_of(photo, bright, lambda: photo.segments, 0).picture(0)
    there = ellipse(0.36, 0.5, 0.05, 0.2) > 0
    assert found[there].mean() > photo.b[0][there].mean() + 0.03
    assert found.max() < 1
    order = np.argsort(found[there].mean(0))
    assert (order == np.argsort(photo.b[0][there].mean(0))).all()


def test_variants_differ_in_strength(photo):
    found = light.light_of(photo, _shade(photo), lambda: photo.segments, 0)
    means = [found.picture(i)[FACE > 0].mean() for i in range(len(light.STRENGTHS))]
    assert len({round(float(v), 4) for v in means}) == len(means)
    assert (np.argsort(means) == np.argsort(light.STRENGTHS)[::-1]).all()
    assert (found.picture(len(means)) == found.picture(0)).all()


@pytest.mark.parametrize(
    "why",
    [
        "no segmenter",
        "beside the face",
        "all of it",
        "another hue",
        "a beard",
        "glasses go",
        "over the photo",
        "rubbed out",
        "spots",
        "a small thing",
        "details",
    ],
)
def test_other_strokes_are_no_light(photo, why):
    paint, then = _shade(photo), photo.segments
    if why == "no segmenter":
        photo = dataclasses.replace(photo, segment=lambda: None)
    elif why == "beside the face":
        paint = paint_of(photo, ellipse(0.9, 0.5, 0.08, 0.3), (0, 0, 0), 0.5)
    elif why == "all of it":
        paint = paint_of(photo, FACE, (0, 0, 0), 0.3)
    elif why == "another hue":
        paint = paint_of(photo, ellipse(0.64, 0.5, 0.07, 0.25), (0.9, 0.1, 0.1), 0.5)
    elif why == "a beard":
        then = of_painted(photo, paint, "beard")
    elif why == "glasses go":
        glasses = (paint.cover > 0) * FACE
        photo = photo_of(segments_of(glasses=0.3 * glasses, skin=FACE - 0.3 * glasses))
    elif why == "over the photo":
        paint = dataclasses.replace(paint, on_photo=True)
    elif why == "a small thing":
        paint = paint_of(photo, ellipse(0.6, 0.4, 0.06, 0.02), (0, 0, 0), 0.8)
    elif why == "details":
        photo.b.extend(photo.b[-1:])
        paint = dataclasses.replace(paint, level=1, change=pyramid.reduce(paint.fine, 1))
    elif why == "rubbed out":
        paint = dataclasses.replace(paint, erased=np.full_like(paint.erased, 0.5))
    else:
        # Dark ones and bright ones side by side: what comes nearest is nothing.
        fine, rows = paint.fine.copy(), (np.arange(SIZE) // 8) % 2 == 0
        fine[rows] *= -0.7
        paint = dataclasses.replace(paint, fine=fine)
    assert light.light_of(photo, paint, lambda: then, 0) is None
