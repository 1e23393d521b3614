"""What of the photo a stroke is meant for."""

from __future__ import annotations

import numpy as np
import pytest

from lapcvae import noise, pyramid
from lapcvae.encoding import EncodedPhoto
from lapcvae.masks import depth
from lapcvae.meant import meant, sharpened

SIZE, LEVELS = 128, 3
HAIR, SKIN = np.float32([0.25, 0.16, 0.12]), np.float32([0.85, 0.62, 0.55])


def told(picture: np.ndarray, cover: np.ndarray, wanted: np.ndarray | None = None) -> np.ndarray:
    inside = depth(cover > 0.5)
    wanted = np.ones_like(cover, bool) if wanted is None else wanted
    photo = EncodedPhoto(pyramid.gaussians(picture, LEVELS), [])
    return sharpened(meant(photo, cover, inside, wanted), picture, wanted)


def hair_above_skin() -> np.ndarray:
    grain = 0.02 * noise.gaussian((SIZE, SIZE), "grain")[:, :, None]
    hair = np.arange(SIZE)[:, None, None] < 48
    return (np.where(hair, HAIR, SKIN) + grain).astype(np.float32)


def band(top: int, bottom: int) -> np.ndarray:
    cover = np.zeros((SIZE, SIZE), np.float32)
    cover[top:bottom] = 1
    return cover


def test_what_lies_under_the_middle_of_a_stroke_is_meant_and_what_it_ran_over_is_not():
    share = told(hair_above_skin(), band(16, 60))
    assert share[20:44].min() > 0.9
    assert share[52:].max() < 0.1


def test_what_is_asked_for_beside_the_paint_is_told_apart_too():
    share = told(hair_above_skin(), band(16, 60), band(8, 72) > 0)
    assert share[52:72].max() < 0.1 and share[20:44].min() > 0.9


def test_on_one_material_all_is_meant():
    picture = np.broadcast_to(SKIN, (SIZE, SIZE, 3)).astype(np.float32)
    assert told(picture, band(30, 50))[30:50].min() > 0.99


def test_a_picture_that_is_painted_all_over_is_meant_all_over():
    assert told(hair_above_skin(), band(0, SIZE)).min() > 0.99


def test_hair_that_goes_on_beside_the_paint_is_meant_and_a_brow_is_not():
    picture = hair_above_skin()
    picture[70:76, 40:88] = HAIR
    share = told(picture, band(10, 40), band(0, 90) > 0)
    assert share[2:44].min() > 0.9
    assert share[52:90].max() < 0.1


def test_something_else_right_in_the_middle_of_what_is_meant_is_meant_too():
    """Eyes and mouth in a face that is painted over for its light."""
    picture = hair_above_skin()
    picture[80:86, 60:70] = HAIR
    share = told(picture, band(60, 110))
    assert share[62:108].min() > 0.9


def test_a_lock_in_the_light_belongs_to_the_hair_on_both_sides_of_it():
    picture = hair_above_skin()
    picture[:40, 60:66] = picture[4:36, 59:67] = 0.9 * SKIN
    share = told(picture, band(6, 50))
    assert share[10:40, 58:68].min() > 0.9 and share[52:].max() < 0.1


@pytest.mark.parametrize("steps", [1, 2])
def test_a_slanting_edge_is_soft(steps):
    row, column = np.mgrid[:SIZE, :SIZE]
    hair = row < 30 + column // (2 * steps)
    picture = np.where(hair[:, :, None], HAIR, SKIN).astype(np.float32)
    share = told(picture, band(2, 60 // steps))
    assert share[4:20].min() > 0.9 and share[110:118].max() < 0.1
    assert np.abs(np.diff(share, axis=0)).max() < 0.6
