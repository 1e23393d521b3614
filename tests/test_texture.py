"""Detail for what is new, taken from where the photo looks alike."""

from __future__ import annotations

import numpy as np
import pytest

from lapcvae import compose, recolour, texture
from lapcvae.protocol.geometry import Box, Frame

SIZE, SIDE = 64, 256
UPRIGHT, TURNED = Frame(128, 128, SIDE), Frame(130.5, 127, 200, 25)
BOX = Box(0, 0, 256, 256)
NOTHING = np.zeros((SIZE, SIZE), np.float32)


class Texture:
    """`texture.Texture` with detail H x W x C."""

    def __init__(self, frame, box, detail, b_0, seed):
        self.made = texture.Texture(frame, box, np.ascontiguousarray(detail.transpose(2, 0, 1)), b_0, seed, 255)
        self.size = self.made.size

    def __call__(self, *arguments):
        return self.made(*arguments).transpose(1, 2, 0)


def halves(frame: Frame = UPRIGHT):
    """A picture that is dark on the left and light on the right, with coarse stripes there and fine ones here."""
    b_0 = np.full((SIZE, SIZE, 3), 0.2, np.float32)
    b_0[:, SIZE // 2 :] = 0.8
    x = np.arange(256)
    stripes = np.where(x < 128, np.where(x // 4 % 2, 9, -9), np.where(x % 2, 3, -3))
    detail = np.broadcast_to(stripes[None, :, None], (256, 256, 3)).astype(np.float32).copy()
    return Texture(frame, BOX, detail, b_0, 5), detail, b_0


def test_where_nothing_is_new_the_detail_is_the_photos_own():
    made, detail, b_0 = halves()
    assert np.array_equal(made(0, b_0, NOTHING, NOTHING), detail)


def test_what_looks_as_before_keeps_its_own_detail():
    made, detail, b_0 = halves()
    assert np.array_equal(made(0, b_0, NOTHING + 1, NOTHING), detail)


@pytest.mark.parametrize("darker", [0.02, 0.05])
def test_a_change_of_tone_keeps_the_detail_in_its_place_and_weaker(darker):
    made, detail, b_0 = halves()
    found = made(0, b_0 - darker, NOTHING + 1, NOTHING)[64:192, 140:240]
    ratio = recolour.contrast(0.8 - darker, 0.8)
    assert np.allclose(found, ratio * detail[64:192, 140:240], rtol=1e-4) and ratio < 1


def test_new_content_has_the_detail_of_what_looks_like_it():
    made, detail, b_0 = halves()
    picture = b_0.copy()
    picture[20:44, 36:60] = 0.2  # a dark patch in the light half
    new = (np.abs(picture - b_0) > 0).any(2).astype(np.float32)
    found = made(0, picture, new, NOTHING)
    inner = np.s_[100:156, 160:224]
    assert np.abs(detail[inner]).max() == 3
    # Coarse stripes, as strong as in the dark half, and no others.
    assert np.abs(found[inner]).mean() == pytest.approx(9, rel=0.1)
    changes = (np.diff(np.sign(found[inner][:, :, 0]), axis=1) != 0).mean()
    assert changes < 0.4
    # Away from it, nothing changed.
    away = np.s_[:, :120]
    assert np.array_equal(found[away], detail[away])


def test_only_detail_from_elsewhere_is_made_stronger():
    made, detail, b_0 = halves()
    picture = b_0.copy()
    picture[20:44, 36:60] = 0.2
    new = (np.abs(picture - b_0) > 0).any(2).astype(np.float32)
    found = made(0, picture, new, NOTHING)
    made.made.stronger = np.full((made.made.blocks,) * 2, 2, np.float32)
    doubled = made(0, picture, new, NOTHING)
    assert np.array_equal(doubled[100:156, 160:224], 2 * found[100:156, 160:224])
    assert np.array_equal(doubled[:, :120], detail[:, :120])


def test_what_is_removed_gives_its_detail_to_nobody():
    b_0 = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    b_0[:, 30:34] = 0.1
    detail = np.ones((256, 256, 3), np.float32)
    detail[:, 4 * 30 : 4 * 34] = 50
    made = Texture(UPRIGHT, BOX, detail, b_0, 5)
    picture = np.full_like(b_0, 0.5)
    change = picture - b_0
    new = (compose.fade(change)[:, :, 0] > 0).astype(np.float32)
    assert new[:, 30:34].all() and not new[:, :20].any()
    found = made(0, picture, new, compose.structure_gone(change))
    gone = found[32:224, 4 * 30 : 4 * 34]
    assert 0.5 < gone.min() and gone.max() <= recolour.GAINS[1]


def test_of_places_that_look_alike_one_with_a_glint_is_not_taken():
    b_0 = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    detail = np.ones((256, 256, 3), np.float32)
    detail[::16] = 120
    detail[:, 128:] = 1
    made = Texture(UPRIGHT, BOX, detail, b_0, 5)
    picture = b_0.copy()
    picture[16:48, 4:28] = 0.3  # new, as everything around it but darker, and its own detail is that with the glints
    new = (picture[:, :, 0] < 0.5).astype(np.float32)
    found = made(0, picture, new, new)
    assert np.percentile(found[80:176, 32:96], 95) < 2


def test_a_place_that_is_too_unlike_gives_little():
    made, detail, b_0 = halves()
    picture = b_0.copy()
    picture[20:44:2, 36:60] += 0.4  # stripes that are nowhere in the photo
    new = (np.abs(picture - b_0) > 0).any(2).astype(np.float32)
    found = made(0, picture, new, NOTHING)
    assert np.abs(found[110:150, 170:220]).max() < 0.5 * 3


@pytest.mark.parametrize("frame", [UPRIGHT, TURNED], ids=["upright", "turned"])
def test_a_seed_is_one_texture_and_variants_differ(frame):
    random = np.random.default_rng(0)
    detail = random.standard_normal((256, 256, 3)).astype(np.float32)
    b_0 = np.repeat(random.random((SIZE, SIZE, 1), np.float32), 3, axis=2)
    picture = random.random(b_0.shape, np.float32)
    first = Texture(frame, BOX, detail, b_0, 1)
    again, other = Texture(frame, BOX, detail, b_0, 1), Texture(frame, BOX, detail, b_0, 2)
    made = first(0, picture, NOTHING + 1, NOTHING)
    assert np.array_equal(made, again(0, picture, NOTHING + 1, NOTHING))
    for unlike in (first(1, picture, NOTHING + 1, NOTHING), other(0, picture, NOTHING + 1, NOTHING)):
        assert (unlike != made).mean() > 0.3


def test_a_turned_frame_takes_the_detail_from_the_same_place_of_the_photo():
    """Under any frame: a dark patch on the light side gets what the photo has on the dark side."""
    x, y = np.meshgrid(np.arange(256), np.arange(256))
    detail = np.where(x < 128, 9, 3)[:, :, None].astype(np.float32)
    b_0 = compose.warp_down(np.where(x < 128, 0.2, 0.8)[:, :, None].astype(np.float32), BOX, TURNED, SIZE)
    made = Texture(TURNED, BOX, detail, b_0, 3)
    picture, new = b_0.copy(), NOTHING.copy()
    rows, columns = np.nonzero(b_0[:, :, 0] > 0.7)
    middle = int(rows.mean()), int(columns.mean())
    part = np.s_[middle[0] - 7 : middle[0] + 7, middle[1] - 7 : middle[1] + 7]
    picture[part], new[part] = 0.2, 1
    found = made(0, picture, new, NOTHING)
    at_x, at_y = TURNED.to_photo(middle[1] + 0.5, middle[0] + 0.5, SIZE)
    assert detail[int(at_y), int(at_x), 0] == 3
    assert found[int(at_y) - 6 : int(at_y) + 6, int(at_x) - 6 : int(at_x) + 6].mean() == pytest.approx(9, rel=0.1)


def test_a_larger_model_is_looked_at_reduced():
    made, detail, b_0 = halves()
    large = np.repeat(np.repeat(b_0, 4, 0), 4, 1)
    over = Texture(UPRIGHT, BOX, detail, large, 5)
    assert over.size == texture.LARGEST < len(large)
    new = np.zeros((256, 256), np.float32)
    assert np.array_equal(over(0, large, new, new), detail)
    darker = np.full_like(large, 0.2)
    found = over(0, darker, new + (large[:, :, 0] > 0.5), new)
    assert np.abs(found[64:192, 160:224]).mean() == pytest.approx(9, rel=0.15)


@pytest.mark.parametrize("frame", [UPRIGHT, Frame(128, 128, 190, 23)], ids=["upright", "turned"])
def test_no_detail_comes_from_beyond_the_box(frame):
    """Far left in the box all detail is 1, far right -1: what leaves a row would come in again on the other side."""
    random, box = np.random.default_rng(0), Box(30, 40, 200, 180)
    detail = np.broadcast_to(np.sign(100 - np.arange(200.0))[None, :, None], (180, 200, 3)).astype(np.float32)
    made = Texture(frame, box, detail, random.random((SIZE, SIZE, 3)).astype(np.float32), 5).made
    first, last = made.first, made.last
    seen = np.unique(made.block_of)
    rows, columns = np.nonzero(made.block_of == seen[0])
    assert (first[seen[0]] == (columns.min(), rows.min())).all() and (last[seen[0]] == (columns.max(), rows.max())).all()
    for right in (-SIZE, SIZE):
        shifts = np.zeros((made.blocks, made.blocks, 2), np.int64)
        shifts[:, :, 1] = right
        found = made._put_together(shifts, np.ones((made.blocks, made.blocks), np.float32))
        # Blocks at the very side towards which all goes.
        end = np.s_[:, :, :1] if right < 0 else np.s_[:, :, -1:]
        assert (found[end] == (1 if right < 0 else -1)).all()
