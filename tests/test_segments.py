"""What pixels are of, as a segmenter sees it, and what strokes are then meant for."""

from __future__ import annotations

import numpy as np
import pytest
from test_extent import painted, seen

from lapcvae import extent
from lapcvae.meant import matted
from lapcvae.segments import CLASSES, Meant, Segments, meant_of

SIZE = 128
# Hair above skin above clothes, of one colour; a hat on the hair; all before a background.
TOP, CHIN, BRIM, SIDE = 40, 90, 14, 16
GRAY = np.float32([0.5, 0.5, 0.5])


def segments() -> Segments:
    of = np.zeros((SIZE, SIZE, len(CLASSES)), np.float32)
    parts = {"hat": np.s_[:BRIM], "hair": np.s_[BRIM:TOP], "skin": np.s_[TOP:CHIN], "clothes": np.s_[CHIN:]}
    for name, rows in parts.items():
        of[rows, SIDE:-SIDE, CLASSES.index(name)] = 1
    for side in (np.s_[:SIDE], np.s_[-SIDE:]):
        of[:, side, CLASSES.index("background")] = 1
    return Segments(of, CLASSES)


def band(top: int, bottom: int, left: int = SIDE, right: int = SIZE - SIDE) -> np.ndarray:
    cover = np.zeros((SIZE, SIZE), np.float32)
    cover[top:bottom, left:right] = 1
    return cover


def told(top: int, bottom: int, one: bool = False):
    return meant_of(segments(), band(top, bottom), SIZE, one)


def test_strokes_over_hair_and_some_skin_mean_the_hair():
    found = told(16, 56)
    assert not found.behind and found.share[18:38, 30:90].min() == 1
    assert found.share[TOP:].max() == 0 and found.share[:, :SIDE].max() == 0


def test_over_skin_and_clothes_colours_have_to_tell():
    assert told(60, 120) is None and told(50, 80) is None


def test_a_hat_with_some_of_the_hair_below_is_one_thing():
    found = told(0, 18, one=True)
    assert found.share[:BRIM, 30:90].min() == 1 and found.share[20:].max() == 0
    assert told(0, 24).share[18:24, 30:90].min() > 0.9


def test_nothing_of_a_thing_is_left_that_colours_tell_and_of_a_wall_only_what_is_unsure():
    colours = np.full((SIZE, SIZE), 0.8, np.float32)
    share = np.float32([[0.0, 0.2, 0.9]])
    assert np.allclose(Meant(share, False).with_colours(colours[:1, :3]), [[0.8, 0.8, 0.9]])
    wall = Meant(share, True).with_colours(colours[:1, :3])
    assert wall[0, 0] == 0 and wall[0, 1] > 0.5 and wall[0, 2] > 0.9


def test_no_strokes_tell_nothing_and_an_unknown_class_is_nowhere():
    assert told(0, 0) is None
    assert segments().share_of("horns").max() == 0


def test_a_single_hair_before_the_wall_is_hair_in_part():
    """A blurred share becomes as sharp as the picture where hair and wall differ, and stays where they do not."""
    rows = np.arange(SIZE)[:, None] + np.zeros((1, SIZE))
    share = np.clip((65 - rows) / 10, 0, 1).astype(np.float32)
    dark, light = np.float32([0.2, 0.15, 0.1]), np.float32([0.8, 0.8, 0.8])
    picture = np.where((rows < 60)[:, :, None], dark, light).astype(np.float32)
    picture[61:64, 40] = (dark + light) / 2
    found = matted(share, picture)
    assert found[54:59].min() > 0.9 and found[62:68, :30].max() < 0.1
    assert 0.3 < found[62, 40] < 0.7
    assert np.abs(matted(share, np.broadcast_to(dark, picture.shape)) - share).max() < 0.01


@pytest.mark.parametrize("n", [16, 64, 128, 256])
def test_shares_come_at_the_size_that_is_asked_for_or_their_own(n):
    assert segments().at(n).of.shape[0] == min(n, SIZE)


def test_a_painted_wall_ends_at_what_is_before_it_with_no_rim():
    """Everything has one colour: only the segmenter knows where the wall ends."""
    b_0 = np.broadcast_to(GRAY, (SIZE, SIZE, 3)).astype(np.float32).copy()
    photo = seen(b_0, segments())
    strokes = np.maximum(band(0, SIZE, 0, SIDE + 6), band(0, SIZE, SIZE - SIDE - 6, SIZE))
    paint = painted(b_0, strokes, np.float32([0, 0.6, 0.2]))
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


def test_a_post_under_a_wall_is_no_part_of_the_person_and_what_strokes_ran_over_is():
    """The segmenter takes a post for hair; of the painted photo, where the post is gone, it sees the truth."""
    b_0 = np.broadcast_to(GRAY, (SIZE, SIZE, 3)).astype(np.float32).copy()
    truth = segments()
    fooled, hidden = truth.of.copy(), truth.of.copy()
    hair, wall = CLASSES.index("hair"), CLASSES.index("background")
    fooled[:, 6:9] = np.eye(len(CLASSES), dtype=np.float32)[hair]
    # Strokes ran over four columns of the person, which cannot be seen in the painted photo.
    hidden[:, SIDE : SIDE + 4] = np.eye(len(CLASSES), dtype=np.float32)[wall]
    strokes = np.maximum(band(0, SIZE, 0, SIDE + 1), band(0, SIZE, SIZE - SIDE - 1, SIZE))
    paint = painted(b_0, strokes, np.float32([0, 0.6, 0.2]), level=3)
    seen_of = []

    def painted_photo():
        seen_of.append(True)
        return Segments(hidden, CLASSES)

    photo = seen(b_0, Segments(fooled, CLASSES))
    thing = extent.what_goes(photo, paint, 1.0, painted_photo)
    assert seen_of and thing.behind and thing.share[10:-10, 4:11].min() > 0.9
    assert thing.share[10:-10, SIDE + 8 : -SIDE - 8].max() < 0.1
