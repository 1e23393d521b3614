"""The photo's own structure in the painting's colours."""

from __future__ import annotations

import numpy as np
import pytest

from lapcvae import noise, pyramid, recolour

SIZE, LEVELS = 64, 3
DARK, SKIN = np.float32([0.16, 0.10, 0.08]), np.float32([0.85, 0.62, 0.55])
GRAY = np.float32([0.6, 0.6, 0.6])


def hair_and_skin() -> tuple[list[np.ndarray], np.ndarray]:
    """Dark hair with reddish strands above skin with freckles, and where the hair is; the hairline runs through cells."""
    line = 26 + np.round(2 * np.sin(np.arange(SIZE) / 5)).astype(int)
    hair = np.arange(SIZE)[:, None] < line
    picture = np.where(hair[:, :, None], DARK, SKIN)
    strands = 0.05 * noise.gaussian((SIZE, SIZE), "strands")[:, :, None]
    picture = picture + np.where(hair[:, :, None], strands * np.float32([1, 0.4, 0.2]), 0.3 * strands * SKIN)
    return pyramid.gaussians(np.clip(picture, 0, 1).astype(np.float32), LEVELS), hair


def painted_gray(b: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Opaque gray over the four upper rows of eight cells, whatever is in them: some of the fourth is skin."""
    change = np.zeros_like(b[LEVELS])
    change[:4] = GRAY - b[LEVELS][:4]
    opaque = np.zeros((SIZE, SIZE), np.float32)
    opaque[: 4 * SIZE // 8] = 1
    return change, opaque


def test_nothing_painted_nothing_changes():
    b, _ = hair_and_skin()
    made = recolour.recoloured(b, np.zeros_like(b[LEVELS]), np.ones((SIZE, SIZE), np.float32))
    assert np.abs(made - b[0]).max() < 1e-5


def test_hair_gets_the_colour_and_the_skin_beside_it_does_not():
    b, hair = hair_and_skin()
    made = recolour.recoloured(b, *painted_gray(b))
    well_in_hair = made[4:20]
    assert np.abs(well_in_hair.mean((0, 1)) - GRAY).max() < 0.02
    # In the cells of the hairline, painted as they are: hair is gray, most of the skin is skin.
    rows = np.s_[24:28]
    assert np.abs(made[rows][hair[rows]].mean(0) - GRAY).max() < 0.2 < np.abs(DARK - GRAY).min()
    below = np.s_[32:40]
    assert np.abs(made[below] - b[0][below]).mean() < 0.5 * np.abs(GRAY - SKIN).mean()
    assert np.abs(made[44:] - b[0][44:]).max() < 0.02


def test_strands_stay_and_are_brighter_and_darker_parts_of_the_new_colour():
    b, _ = hair_and_skin()
    made = recolour.recoloured(b, *painted_gray(b))[4:20]
    was = b[0][4:20].mean(2)
    assert np.corrcoef(made.mean(2).ravel(), was.ravel())[0, 1] > 0.95
    # Brighter hair has more contrast, and no red in it.
    assert 1.2 < made.mean(2).std() / was.std() < recolour.GAINS[1] + 0.05
    assert np.ptp(made - made.mean((0, 1)), axis=2).max() < 0.02 < np.ptp(b[0][4:20] - b[0][4:20].mean((0, 1)), axis=2).max()


@pytest.mark.parametrize("opaque, now, hue_stays", [(0.0, GRAY, True), (1.0, GRAY, False), (1.0, SKIN / 2, True)])
def test_detail_loses_its_hue_under_opaque_paint_of_another_one(opaque, now, hue_stays):
    """A tint, gray hair, and a shadow on skin."""
    now, then = (np.broadcast_to(colour, (2, 2, 3)) for colour in (now, SKIN))
    own, common = recolour.colours_of_detail(now, then, np.full((2, 2), opaque, np.float32))
    red = np.float32([0.1, 0, 0])
    seen = own * red + common * red.mean()
    assert (np.ptp(seen, axis=2) > 0.03).all() == hue_stays
    # Red detail goes with how red what is around it is, gray detail with how bright.
    part = np.s_[:, :, 0] if hue_stays else np.s_[:, :, :]
    expected = recolour.contrast(now[part].reshape(4, -1).mean(1), then[part].reshape(4, -1).mean(1)) * red.mean()
    assert np.allclose(seen.mean(2).ravel(), expected, rtol=0.02)


def test_a_brow_on_skin_that_becomes_gray_is_gray():
    """However opaque the paint is taken for."""
    gray, skin = (np.broadcast_to(colour, (1, 1, 3)) for colour in (GRAY, SKIN))
    for opaque in (0, 0.5, 1):
        own, common = recolour.colours_of_detail(gray, skin, np.full((1, 1), opaque, np.float32))
        brow = DARK - SKIN
        assert np.ptp(GRAY + own * brow + common * brow.mean()) < 0.06


def test_hair_past_the_end_of_the_paint_gets_all_of_its_colour():
    b, hair = hair_and_skin()
    change, opaque = painted_gray(b)
    change[:, 5:] = 0
    covered = np.zeros((8, 8), np.float32)
    covered[:4, :5] = 1
    # The last column that is painted is so by half.
    change[:, 4] *= 0.5
    covered[:, 4] *= 0.5
    beyond = np.s_[8:20, 41:44]
    counted, plain = (
        (recolour.recoloured(b, change, opaque, c) - b[0])[beyond].mean((0, 1)) for c in (covered, None)
    )
    assert (counted > 2 * plain).all()


@pytest.mark.parametrize("width, share", [(1, 0.9), (2, 0.95)])
def test_a_thin_stroke_over_plain_skin_is_as_painted(width, share):
    b = pyramid.gaussians(np.broadcast_to(SKIN, (SIZE, SIZE, 3)).astype(np.float32), LEVELS)
    change = np.zeros_like(b[LEVELS])
    change[3 : 3 + width, 2:6] = GRAY - SKIN
    made = recolour.recoloured(b, change, np.ones((SIZE, SIZE), np.float32))
    went = (pyramid.reduce(made, LEVELS) - b[LEVELS])[3 : 3 + width, 2:6]
    assert np.abs(went / (GRAY - SKIN)).min() > share


def test_contrast_goes_with_brightness_within_limits():
    assert recolour.contrast(np.float32(0.3), np.float32(0.6)) == pytest.approx(0.36 / 0.66)
    assert np.allclose(recolour.contrast(np.float32([0, 1]), np.float32([1, 0])), recolour.GAINS)


# Colour on skin, and on all of the hair.


def _head():
    """A face with hair down to the shoulders on both sides."""
    from painted import FACE, HAIR, SKIN, WALL, ellipse, photo_of, segments_of

    hair = np.clip(ellipse(0.5, 0.5, 0.36, 0.48) - FACE, 0, 1)
    picture = np.where(FACE[:, :, None] > 0, SKIN, np.where(hair[:, :, None] > 0, HAIR, WALL))
    return photo_of(segments_of(skin=FACE, hair=hair), picture), hair


def test_a_tint_of_the_skin_has_no_outline():
    from painted import FACE, ellipse, paint_of

    photo, _ = _head()
    paint = paint_of(photo, ellipse(0.38, 0.6, 0.07, 0.05), (0.8, 0.4, 0.4), 0.4, on_photo=True)
    soft = recolour.softened(photo.b[0], photo.segments, paint)
    before, after = (np.abs(np.diff(p.fine, axis=1)).max() for p in (paint, soft))
    assert after < before / 3
    # Nothing is lost, nothing comes onto the hair, and what is changed counts as painted.
    assert 0.9 < np.abs(soft.fine).sum() / np.abs(paint.fine).sum() < 1.6
    assert np.abs(soft.fine)[FACE == 0].max() < 1e-3
    assert (soft.cover[np.abs(soft.fine).max(2) > 0.003] > 0).all()


@pytest.mark.parametrize("why", ["strong", "thin", "no skin"])
def test_other_colours_keep_theirs(why):
    from painted import ellipse, line, paint_of

    photo, _ = _head()
    strokes, colour, opacity = ellipse(0.38, 0.6, 0.07, 0.05), (0.8, 0.4, 0.4), 0.4
    if why == "strong":
        colour, opacity = (0.1, 0.05, 0.05), 1.0
    elif why == "thin":
        strokes = line(0.3, 0.45, 0.4, 0.012)
    else:
        strokes = ellipse(0.1, 0.1, 0.05, 0.05)
    paint = paint_of(photo, strokes, colour, opacity, on_photo=True)
    assert np.allclose(recolour.softened(photo.b[0], photo.segments, paint).fine, paint.fine, atol=1e-6)


def test_all_of_the_hair_gets_the_colour_that_most_of_it_got():
    from painted import paint_of

    photo, hair = _head()
    above = hair * (np.arange(len(hair)) < 0.5 * len(hair))[:, None]
    paint = paint_of(photo, above, (0.8, 0.7, 0.4), 0.9, on_photo=True)
    whole = recolour.all_of_it(photo.b, photo.segments, paint)
    below = (hair - above) > 0
    below[:-6] &= (hair[6:] > 0) & (np.roll(hair, 4, 1)[:-6] > 0) & (np.roll(hair, -4, 1)[:-6] > 0)
    made = (photo.b[0] + whole.fine)[below]
    assert np.abs(made.mean(0) - (photo.b[0] + paint.fine)[above > 0].mean(0)).max() < 0.1
    assert whole.cover[below].min() > 0.5
    # The face and the wall get none.
    assert np.abs(whole.fine)[(hair == 0) & (paint.cover == 0)].mean() < 0.02


@pytest.mark.parametrize("why", ["little of it", "not on it", "one side"])
def test_a_part_of_the_hair_stays_a_part(why):
    from painted import ellipse, paint_of

    photo, hair = _head()
    little, much = hair * ellipse(0.5, 0.05, 0.2, 0.08), np.maximum(hair, ellipse(0.5, 0.5, 0.5, 0.6))
    strokes = little if why == "little of it" else much
    if why == "one side":
        strokes = hair * (np.arange(len(hair)) < 0.5 * len(hair))[None, :]
    paint = paint_of(photo, strokes, (0.8, 0.7, 0.4), 0.9, on_photo=True)
    assert recolour.all_of_it(photo.b, photo.segments, paint) is paint
