"""Glasses that are painted, and glasses that go."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from painted import FACE, SKIN, ellipse, line, of_painted, paint_of, photo_of, segments_of

from lapcvae.known import frames, glasses
from lapcvae.segments import SIZE

EYES = (0.38, 0.62)
Y = 0.46
BLACK = (0.05, 0.05, 0.06)


@pytest.fixture(name="photo")
def _of_a_face():
    eyes = sum(ellipse(x, Y, 0.03, 0.015) for x in EYES)
    return photo_of(segments_of(skin=FACE * (1 - eyes), eyes=eyes))


def _lenses(grown: float = 0.0) -> np.ndarray:
    """Two patches that a hand has painted: one is larger than the other, and both have dents."""
    both = ellipse(EYES[0], Y, 0.075 + grown, 0.055 + grown) + ellipse(EYES[1], Y + 0.005, 0.07 + grown, 0.06 + grown)
    return np.clip(both - ellipse(0.36, Y - 0.055, 0.01, 0.012), 0, 1)


def _dark() -> np.ndarray:
    return np.maximum(_lenses(), line(0.42, 0.58, Y - 0.02, 0.03))


def _rings() -> np.ndarray:
    arms = line(0.26, 0.31, Y, 0.03) + line(0.69, 0.74, Y, 0.03)
    return np.clip(_lenses() - _lenses(-0.022) + line(0.45, 0.55, Y, 0.025) + arms, 0, 1)


def _found(photo, strokes, colour=BLACK, seed=0, **more):
    paint = paint_of(photo, strokes, colour, on_photo=True)
    paint = dataclasses.replace(paint, **more)
    return glasses.glasses_of(photo, paint, lambda: of_painted(photo, paint, "glasses"), seed)


def test_dark_patches_become_two_lenses_that_are_mirror_images(photo):
    found = _found(photo, _dark())
    assert found.dark
    lens = found.sides < -1
    columns = np.flatnonzero(lens.any(0))
    middle = (columns[0] + columns[-1]) / 2
    left, right = lens[:, : int(middle)], lens[:, int(middle) + 1 :]
    assert abs(int(left.sum()) - int(right.sum())) < 0.04 * left.sum()
    picture = found.picture(0)
    assert picture[found.sides < -3].mean() < 0.3 < photo.b[0][found.sides < -3].mean()


def test_rings_stay_clear_and_get_a_frame_of_even_width(photo):
    found = _found(photo, _rings())
    assert not found.dark
    picture, change = found.picture(0), np.abs(found.picture(0) - photo.b[0]).max(2)
    inside = found.sides < -0.6 * 0.055 * SIZE
    assert inside.any() and change[inside].max() < 0.2
    frame = (found.sides < -0.5) & (found.sides > -found.width + 0.5)
    assert picture[frame].mean() < 0.25
    # The photo's own detail stays behind clear lenses, and not under the frame.
    assert found.stays[inside].min() == 1 and found.stays[frame].max() < 0.5


def test_arms_go_to_where_the_face_ends_if_nobody_painted_any(photo):
    found = _found(photo, _dark())
    rods = found.rods < 1
    columns = np.flatnonzero(rods.any(0)) / SIZE
    # The face is an ellipse of half the width .25 around .5.
    assert 0.24 < columns[0] < 0.30 and 0.70 < columns[-1] < 0.76


def test_painted_arms_end_where_they_were_painted(photo):
    rods = _found(photo, _rings()).rods < 1
    columns = np.flatnonzero(rods.any(0)) / SIZE
    assert 0.25 < columns[0] < 0.28 and 0.72 < columns[-1] < 0.75


@pytest.mark.parametrize("strokes", [_dark, _rings])
def test_nothing_changes_where_it_does_not_count_and_variants_differ(photo, strokes):
    found = _found(photo, strokes())
    pictures = [found.picture(i) for i in range(4)]
    for picture in pictures:
        assert picture.dtype == np.float32 and picture.min() >= 0 and picture.max() <= 1
        assert np.abs(picture - photo.b[0])[found.where == 0].max() < 3e-3
    assert all(np.abs(a - b).max() > 0.01 for i, a in enumerate(pictures) for b in pictures[:i])
    assert (found.picture(2) == pictures[2]).all()
    assert np.abs(_found(photo, strokes(), seed=1).picture(0) - pictures[0]).max() > 0.01


def test_glasses_have_the_strokes_colour(photo):
    red = _found(photo, _rings(), (0.7, 0.1, 0.1))
    frame = (red.sides < -0.7) & (red.sides > -red.width + 0.7)
    assert red.picture(0)[frame].mean(0) @ [1, -0.5, -0.5] > 0.4


def test_a_head_that_is_turned_has_its_glasses_turned(photo):
    strokes = np.maximum(ellipse(EYES[0], Y - 0.03, 0.07, 0.055), ellipse(EYES[1], Y + 0.03, 0.07, 0.055))
    found = _found(photo, np.maximum(strokes, ellipse(0.5, Y, 0.09, 0.015)))
    left, right = (np.argwhere((found.sides < -2) & side).mean(0) for side in _halves())
    assert 0.04 < (right - left)[0] / SIZE < 0.08


def _halves():
    x = np.broadcast_to(np.arange(SIZE)[None, :], (SIZE, SIZE))
    return x < SIZE / 2, x >= SIZE / 2


@pytest.mark.parametrize(
    "why", ["no segmenter", "one lens", "no glasses", "rubbed out", "one is far larger", "nothing", "too small", "upright"]
)
def test_other_strokes_are_none(photo, why):
    strokes, more, then = _dark(), {}, "glasses"
    if why == "no segmenter":
        photo = photo_of(None)
        paint = paint_of(photo, strokes, BLACK)
        assert glasses.glasses_of(photo, paint, lambda: None, 0) is None
        return
    if why == "one lens":
        strokes = ellipse(EYES[0], Y, 0.07, 0.055)
    elif why == "one is far larger":
        strokes = np.maximum(ellipse(0.35, Y, 0.11, 0.09), ellipse(0.62, Y, 0.05, 0.04))
    elif why == "no glasses":
        then = "hat"
    elif why == "rubbed out":
        more = {"erased": np.ones((SIZE >> 3, SIZE >> 3), np.float32)}
    elif why == "nothing":
        strokes = 0 * strokes
    elif why == "too small":
        strokes = np.maximum(ellipse(0.45, Y, 0.01, 0.01), ellipse(0.55, Y, 0.01, 0.01))
    elif why == "upright":
        strokes = np.maximum(ellipse(0.5, 0.3, 0.06, 0.06), ellipse(0.52, 0.6, 0.06, 0.06))
    paint = dataclasses.replace(paint_of(photo, strokes, BLACK), **more)
    assert glasses.glasses_of(photo, paint, lambda: of_painted(photo, paint, then), 0) is None


# Glasses that go.


def _worn(thick: float = 0.022, lens: tuple[float, ...] | None = None):
    """A photo with glasses in it, and where their frame is."""
    ring = np.clip(_lenses() - _lenses(-thick), 0, 1)
    ring = np.clip(ring + line(0.45, 0.55, Y, 0.02), 0, 1)
    bare = photo_of(segments_of(skin=FACE)).b[0]
    picture = bare + ring[:, :, None] * (np.float32(BLACK) - bare)
    if lens:
        picture = picture + _lenses(-thick)[:, :, None] * (np.float32(lens) - picture)
    all_of_it = np.maximum(_lenses(0.01), line(0.44, 0.56, Y, 0.04))
    return photo_of(segments_of(glasses=all_of_it, skin=FACE * (1 - all_of_it)), picture), ring, bare


def _skin_over(photo, strokes, then="skin"):
    paint = paint_of(photo, strokes, SKIN + 0.1, on_photo=True)
    return frames.frame_of(photo, paint, lambda: of_painted(photo, paint, then), 0)


def _wider(ring: np.ndarray) -> np.ndarray:
    grown = ring.copy()
    for axis in (0, 1):
        grown = np.maximum.reduce([grown, np.roll(grown, 1, axis), np.roll(grown, -1, axis)])
    return grown


def test_a_frame_that_goes_has_what_is_beside_it_in_its_place():
    photo, ring, bare = _worn()
    found = _skin_over(photo, _wider(ring))
    picture = found.picture(0)
    # Not the strokes' own colour, which is brighter by a tenth, but the skin around.
    assert np.abs(picture - bare)[ring > 0].mean() < 0.04 < np.abs(photo.b[0] - bare)[ring > 0].mean() / 5
    assert (picture == photo.b[0])[found.where == 0].all()
    assert found.stays[ring > 0].max() < 0.2 and found.sure


def test_where_some_of_the_glasses_are_seen_still_something_else_may_be_meant():
    photo, ring, _ = _worn()
    strokes = _wider(ring)
    paint = paint_of(photo, strokes, SKIN + 0.1, on_photo=True)
    after = of_painted(photo, paint, "skin")
    both = dataclasses.replace(after, of=0.7 * photo.segments.of + 0.3 * after.of)
    assert not frames.frame_of(photo, paint, lambda: both, 0).sure


def test_strokes_beside_the_frame_do_not_count():
    photo, ring, _ = _worn()
    brow = line(0.3, 0.46, 0.36, 0.03)
    found = _skin_over(photo, np.maximum(_wider(ring), brow))
    assert (found.picture(0) == photo.b[0])[brow > 0].all()


def test_dark_lenses_are_no_frame():
    photo, ring, _ = _worn(lens=BLACK)
    assert _skin_over(photo, _lenses(0.01)) is None


def test_strokes_under_which_glasses_stay_take_none_away():
    photo, ring, _ = _worn()
    assert _skin_over(photo, _wider(ring), "glasses") is None
    assert _skin_over(photo, line(0.3, 0.7, 0.75, 0.05)) is None
    no_segmenter = photo_of(None, photo.b[0])
    assert frames.frame_of(no_segmenter, paint_of(no_segmenter, ring, SKIN), lambda: None, 0) is None


def test_lenses_and_their_frame_may_have_two_colours():
    photo = photo_of(segments_of(skin=FACE))
    rim = np.clip(_dark() - _lenses(-0.022), 0, 1)
    colours = np.where(rim[:, :, None] > 0, np.float32(BLACK), np.float32([0.5, 0.3, 0.1]))
    paint = paint_of(photo, _dark(), colours, on_photo=True)
    found = glasses.glasses_of(photo, paint, lambda: of_painted(photo, paint, "glasses"), 0)
    assert found.lenses @ [1, 0, -1] > 0.3 > found.colour.max()


def test_lenses_of_two_colours_are_as_they_were_painted():
    photo = photo_of(segments_of(skin=FACE))
    left = np.broadcast_to((np.arange(SIZE) < SIZE / 2)[None, :, None], (SIZE, SIZE, 1))
    paint = paint_of(photo, _dark(), np.where(left, [0.7, 0.1, 0.1], [0.1, 0.1, 0.7]), on_photo=True)
    assert glasses.glasses_of(photo, paint, lambda: of_painted(photo, paint, "glasses"), 0) is None


def test_lenses_at_the_edge_of_the_square_do_not_grow():
    strokes = np.maximum(ellipse(0.02, Y, 0.09, 0.07), ellipse(0.3, Y, 0.07, 0.06))
    pair = glasses._pair(np.maximum(strokes, line(0.0, 0.3, Y, 0.02)) > 0)
    assert pair is None or pair.radius.max() < 0.11 * SIZE
