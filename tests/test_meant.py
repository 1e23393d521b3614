"""What of the photo a stroke is meant for."""

from __future__ import annotations

import numpy as np

from lapcvae import noise, pyramid
from lapcvae.masks import distance
from lapcvae.meant import meant

SIZE, LEVELS = 128, 3
HAIR, SKIN = np.float32([0.25, 0.16, 0.12]), np.float32([0.85, 0.62, 0.55])


def told(picture: np.ndarray, cover: np.ndarray, wanted: np.ndarray | None = None) -> np.ndarray:
    inside = distance(np.pad(cover <= 0.5, 1, constant_values=True))[1:-1, 1:-1]
    wanted = cover > 0 if wanted is None else wanted
    return meant(pyramid.gaussians(picture, LEVELS), cover, inside, wanted)


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
    assert share[52:60].max() < 0.1
    assert (share[60:] == 1).all()


def test_what_is_asked_for_beside_the_paint_is_told_apart_too():
    share = told(hair_above_skin(), band(16, 60), band(8, 72) > 0)
    assert share[52:72].max() < 0.1 and share[20:44].min() > 0.9


def test_on_one_material_all_is_meant():
    picture = np.broadcast_to(SKIN, (SIZE, SIZE, 3)).astype(np.float32)
    assert told(picture, band(30, 50)).min() > 0.99


def test_a_picture_that_is_painted_all_over_is_meant_all_over():
    assert told(hair_above_skin(), band(0, SIZE)).min() > 0.99
