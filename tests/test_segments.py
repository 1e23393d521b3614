"""What pixels are of, as a segmenter sees it, and what strokes are then meant for."""

from __future__ import annotations

import numpy as np
import pytest
from test_extent import painted, seen

from lapcvae import extent
from lapcvae.segments import CLASSES, Segments, meant_of

SIZE = 128
# Hair above skin above clothes, of one colour; a hat on the hair; all before a background.
TOP, CHIN, BRIM, SIDE = 40, 90, 14, 16
GRAY = np.float32([0.5, 0.5, 0.5])


def segments() -> Segments:
    of = np.zeros((SIZE, SIZE, len(CLASSES)), np.float32)
    for name, rows in (("hat", np.s_[:BRIM]), ("hair", np.s_[BRIM:TOP]), ("skin", np.s_[TOP:CHIN]), ("clothes", np.s_[CHIN:])):
        of[rows, SIDE:-SIDE, CLASSES.index(name)] = 1
    for side in (np.s_[:SIDE], np.s_[-SIDE:]):
        of[:, side, CLASSES.index("background")] = 1
    return Segments(of, CLASSES)


def band(top: int, bottom: int, left: int = SIDE, right: int = SIZE - SIDE) -> np.ndarray:
    cover = np.zeros((SIZE, SIZE), np.float32)
    cover[top:bottom, left:right] = 1
    return cover


def told(top: int, bottom: int, one_thing: bool = False):
    return meant_of(segments(), band(top, bottom), SIZE, one_thing)


def test_strokes_over_hair_and_some_skin_mean_the_hair():
    found = told(16, 56)
    assert found.sure and found.share[18:38, 30:90].min() == 1
    assert found.share[TOP:].max() == 0 and found.share[:, :SIDE].max() == 0


def test_strokes_over_skin_and_clothes_mean_both_and_are_no_one_thing():
    found = told(60, 120)
    assert found.sure and found.share[TOP:, 30:90].min() == 1 and found.share[BRIM:TOP].max() == 0
    assert told(60, 120, one_thing=True) is None


def test_on_skin_alone_colours_have_to_tell_more():
    found = told(50, 80)
    assert not found.sure and found.share[50:80, 30:90].min() == 1


def test_a_hat_with_some_of_the_hair_below_is_one_thing():
    found = told(0, 18, one_thing=True)
    assert found.sure and found.share[:BRIM, 30:90].min() == 1 and found.share[20:].max() == 0


def test_no_strokes_tell_nothing_and_an_unknown_class_is_nowhere():
    assert told(0, 0) is None
    assert segments().share_of("horns").max() == 0


@pytest.mark.parametrize("n", [16, 64, 128, 256])
def test_shares_come_at_the_size_that_is_asked_for_or_their_own(n):
    assert segments().at(n).shape[0] == min(n, SIZE)


def test_a_painted_wall_ends_at_what_is_before_it_with_no_rim():
    """Everything has one colour: only the segmenter knows where the wall ends."""
    b_0 = np.broadcast_to(GRAY, (SIZE, SIZE, 3)).astype(np.float32).copy()
    photo = seen(b_0, segments())
    paint = painted(b_0, np.maximum(band(0, SIZE, 0, SIDE + 6), band(0, SIZE, SIZE - SIDE - 6, SIZE)), np.float32([0, 0.6, 0.2]))
    thing = extent.what_goes(photo, paint, 1.0)
    assert thing.behind
    rim = extent.with_surroundings(thing, paint)
    kept = extent.kept_to(paint, rim)
    assert kept.cover[:, : SIDE - 4].min() > 0.95 and kept.cover[:, SIDE + 4 : -SIDE - 4].max() < 0.05
    assert not seen(b_0).segments and extent.what_goes(seen(b_0), paint, 1.0) is None


def test_what_is_recoloured_is_kept_to_its_class():
    b_0 = np.broadcast_to(GRAY, (SIZE, SIZE, 3)).astype(np.float32).copy()
    paint = painted(b_0, band(14, 56), np.float32([0.6, 0.3, 0.1]))
    what = extent.what_is_recoloured(seen(b_0, segments()), paint, 1.0, 1.0)
    assert what.left[TOP + 4 : 54, 30:90].min() > 0.9 and what.left[18 : TOP - 4, 30:90].max() < 0.1
    assert extent.what_is_recoloured(seen(b_0), paint, 1.0, 1.0).left[18:54, 30:90].max() < 0.1
