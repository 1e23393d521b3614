"""Part of one picture in another: its gradients stay, its colours do not."""

from __future__ import annotations

import numpy as np

from lapcvae import heal

N = 64
Y, X = np.mgrid[:N, :N] / N
HOLE = ((np.abs(X - 0.5) < 0.2) & (np.abs(Y - 0.5) < 0.2)).astype(np.float32)
ALIKE = np.ones((N, N), np.float32)


def _slope() -> np.ndarray:
    return np.stack([0.3 + 0.2 * X, 0.4 + 0.1 * Y, 0.5 + 0 * X], 2).astype(np.float32)


def _spot() -> np.ndarray:
    return (0.2 * np.exp(-((X - 0.5) ** 2 + (Y - 0.5) ** 2) / 0.005))[:, :, None].astype(np.float32)


def test_the_gradients_are_of_the_other_picture_and_the_colours_are_not():
    photo = _slope()
    made = heal.healed(photo, photo + _spot() + np.float32([0.1, -0.05, 0.02]), HOLE, ALIKE)
    assert np.abs(made - photo - _spot() * (HOLE[:, :, None] > 0)).max() < 0.02
    assert (made == photo)[np.abs(X - 0.5) > 0.26].all()


def test_where_the_two_are_not_alike_their_colours_say_nothing():
    photo = _slope()
    other = photo + _spot()
    # On the left of the hole the other one has something else, as on the photo's right it has not.
    other[:, : N // 3] = 0.9
    made = heal.healed(photo, other, HOLE, (X > 0.36).astype(np.float32))
    inside = (HOLE > 0) & (X > 0.4)
    assert np.abs(made - photo - _spot())[inside].max() < 0.03
    # Nor what differs much more than the rest of the border, even if it is said to be alike.
    assert np.abs(heal.healed(photo, other, HOLE, ALIKE) - photo - _spot())[inside].max() < 0.08


def test_strain_is_what_has_to_be_bent():
    photo = _slope()
    tint = photo + np.float32([0.1, -0.05, 0.02])
    assert heal.strain(photo, tint, HOLE, ALIKE) < 1e-3
    bent = photo + (0.15 * X[:, :, None]).astype(np.float32)
    assert heal.strain(photo, bent, HOLE, ALIKE) > 10 * heal.strain(photo, tint, HOLE, ALIKE) + 1e-3
