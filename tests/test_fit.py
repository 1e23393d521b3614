"""What counts as painted after a coarse layer was scaled, and what cannot be a coarse layer that was only painted on."""

import numpy as np
import pytest
from PIL import Image

from lapcvae import fit
from lapcvae.protocol.errors import LapcvaeError

LEAST = 2.5 / 255


def shown(side: int = 160, cell: int = 10) -> np.ndarray:
    """Blocks of random colours, opaque: the picture with the hardest edges there is."""
    cells = np.random.default_rng(0).uniform(0.1, 0.9, (side // cell, side // cell, 3)).astype(np.float32)
    colours = np.repeat(np.repeat(cells, cell, 0), cell, 1)
    return np.dstack([colours, np.ones(colours.shape[:2], np.float32)])


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    planes = [Image.fromarray(p).resize((side, side), Image.Resampling.BICUBIC) for p in np.moveaxis(picture, 2, 0)]
    return np.clip(np.stack([np.asarray(p) for p in planes], 2), 0, 1)


@pytest.mark.parametrize("side", [80, 123, 219, 320])
def test_scaled_blocks_are_untouched_and_paint_on_them_is_found(side):
    scale = side / 160
    now = resized(shown(), side)
    # What the runtime shows at that size has sharp edges where the layer's were interpolated.
    index = ((np.arange(side) + 0.5) / scale).astype(int)
    sharp = shown()[index][:, index]
    assert np.abs(now - sharp).max() > 0.05
    assert not fit.beyond(now, sharp, LEAST, scale).any()
    now[side // 2 : side // 2 + 8, :8, :3] = 1.0
    assert fit.beyond(now, sharp, LEAST, scale)[side // 2 : side // 2 + 8, :8].all()


def test_unscaled_layers_are_compared_pixel_by_pixel():
    now = shown()
    now[5, 7, 1] += 3 / 255
    now[9, 9, 1] += 2 / 255
    assert np.argwhere(fit.beyond(now, shown(), LEAST, 1.0)).tolist() == [[5, 7]]


def dark_to_light(side: int = 128) -> np.ndarray:
    """Every tone from nearly black to nearly white, in three colours; opaque."""
    x, y = np.meshgrid(np.linspace(0.01, 0.6, side), np.linspace(0, 0.3, side))
    return np.dstack([x, x + y, 0.8 * x + y, np.ones_like(x)]).astype(np.float32)


def light(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def in_linear_8_bits(srgb: np.ndarray) -> np.ndarray:
    rounded = np.rint(light(srgb) * 255) / 255
    back = np.where(rounded <= 0.0031308, 12.92 * rounded, 1.055 * rounded ** (1 / 2.4) - 0.055)
    return np.dstack([back[:, :, :3], srgb[:, :, 3]]).astype(np.float32)


def in_8_bits(srgb: np.ndarray) -> np.ndarray:
    return (np.rint(srgb * 255) / 255).astype(np.float32)


@pytest.mark.parametrize("then", [lambda x: x, in_8_bits])
def test_what_was_in_8_bits_of_linear_light_meanwhile_is_told_and_is_no_paint(then):
    shown = then(dark_to_light())
    now = then(in_linear_8_bits(shown))
    assert fit.beyond(now, shown, LEAST, 1.0).mean() > 0.05
    assert fit.was_rounded(now, shown)
    assert not fit.beyond(now, shown, LEAST, 1.0, rounded=True).any()
    # Strokes, also dark ones on dark tones and those that were rounded too, and what was erased.
    painted = shown.copy()
    painted[10:40, 10:100, :3] = (0.5, 0.2, 0.1)
    painted[50:80, :40, :3] += 0.12
    painted[90:100, :, 3] = 0
    painted = then(in_linear_8_bits(painted))
    found = fit.beyond(painted, shown, LEAST, 1.0, fit.was_rounded(painted, shown))
    strokes = np.zeros_like(found)
    strokes[10:40, 10:100] = strokes[50:80, :40] = strokes[90:100] = True
    assert found[strokes].mean() > 0.98 and not found[~strokes].any()


@pytest.mark.parametrize("rounding", [0, 0.13 / 255])
def test_paint_is_not_taken_for_rounding(rounding):
    """Not even where nearly all that is dark is painted on, or a little of it faintly."""
    shown = dark_to_light()
    now = shown + np.float32(rounding)
    assert not fit.was_rounded(now, shown)
    now[:, :120, :3] = (0.5, 0.2, 0.1)
    assert not fit.was_rounded(now, shown)
    now = shown.copy()
    now[:40, :, :3] += 4 / 255
    now[60:70, :, 3] = 0
    assert not fit.was_rounded(now, shown)


def test_8_bits_of_the_same_curve_change_nothing_that_matters():
    shown = dark_to_light()
    assert not fit.beyond(in_8_bits(shown), shown, LEAST, 1.0).any()


def test_without_dark_tones_nothing_is_told():
    shown = np.full((8, 8, 4), 0.7, np.float32)
    shown[0], shown[1, :, :3] = 0, 0
    assert not fit.was_rounded(shown + np.float32(2 / 255), shown)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, (16, 16, 3)).astype(np.float32)


def test_the_same_photo_may_be_retouched():
    b = picture(1)
    fit.require_photo(0.6 * b + 0.1, b)
    fit.require_photo(np.full_like(b, 0.5), np.full_like(b, 0.2))
    for other in (picture(2), np.rot90(b), 1 - b, np.full_like(b, 0.5)):
        with pytest.raises(LapcvaeError, match="not what it showed"):
            fit.require_photo(other, b)


def test_what_was_copied_from_another_image_must_be_of_the_same_photo():
    b = picture(1)
    fit.require_same(b + 0.01, b)
    for other in (0.8 * b + 0.02, picture(2), b[::-1]):
        with pytest.raises(LapcvaeError, match="copied from another image"):
            fit.require_same(other, b)


@pytest.mark.parametrize("name", fit.TURNS)
def test_turned_and_flipped_paintings_are_recognised_under_paint(name):
    painted = fit.TURNS[name](picture(1)).copy()
    painted[:10] = 0.3
    with pytest.raises(LapcvaeError, match=f"was {name} after"):
        fit.require_painting(painted, picture(1), picture(1), doubtful=False)


def test_much_paint_is_not_a_turn_but_has_to_leave_something_where_the_place_is_doubtful():
    painted = picture(1)
    painted[:13] = 0.3
    fit.require_painting(painted, picture(1), picture(1), doubtful=True)
    fit.require_painting(np.full_like(painted, 0.3), picture(1), picture(1), doubtful=False)
    with pytest.raises(LapcvaeError, match="distorted"):
        fit.require_painting(picture(2), picture(1), picture(1), doubtful=True)


def test_an_image_that_was_gray_meanwhile_took_the_coarse_layers_colours():
    shown = picture(1)
    linear = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
    gray = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)[:, :, None].repeat(3, 2)
    with pytest.raises(LapcvaeError, match="lost its colours"):
        fit.require_painting(gray, shown, gray, doubtful=False)
    # Taken away on purpose, from a photo that has them, they are paint.
    fit.require_painting(gray, shown, shown, doubtful=False)
