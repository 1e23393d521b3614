"""How paint is read: how opaque it is, its soft edges, what is beside it; and the masks."""

from __future__ import annotations

import numpy as np
import pytest
import toy

from lapcvae import encoding, masks, pyramid, service
from lapcvae.host import FileHost, photo_on_the_wire
from lapcvae.painting import CoarseOverPhoto, StrokesOverPhoto
from lapcvae.photo import Colours, PhotoFile
from lapcvae.protocol.geometry import Frame
from lapcvae.protocol.messages import EditRequest, Settings

UPRIGHT = Frame(100, 90, 128)
EXACT = Settings(count=2, seed=7, temperature=1.0, realism=0.0)


def photo_of() -> PhotoFile:
    return PhotoFile(toy.portrait(), "TIFF")


def test_strokes_choose_the_coarsest_level_at_which_they_cover_two_cells():
    def level(width: int) -> int:
        cover = np.zeros((64, 64), np.float32)
        cover[30 : 30 + width, 5:60] = 1
        return masks.coarsest_fitting_level(cover, 3)

    assert [level(w) for w in (1, 2, 4, 8, 16, 24)] == [1, 1, 1, 2, 3, 3]


def test_distance_is_the_distance():
    mask = np.random.default_rng(3).random((24, 24)) > 0.95
    points = np.argwhere(mask)
    y, x = np.mgrid[:24, :24]
    wanted = np.min([np.hypot(y - py, x - px) for py, px in points], axis=0)
    np.testing.assert_allclose(masks.distance(mask), wanted, atol=1e-5)
    assert masks.distance(np.zeros((8, 8), bool)).min() >= 9999


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_opacity_of_paint_is_how_much_of_the_structure_it_takes_away(alpha):
    shown = toy.portrait(64, 64)[:, :, :3].astype(np.float32) / 255
    cover = np.zeros((64, 64), np.float32)
    cover[10:50, 12:52] = 1
    tint = np.array([0.05, -0.1, 0.2], np.float32)
    # Alpha 0: a tint alone, which keeps all structure.
    change = (alpha * (np.float32(0.4) - shown) + (alpha == 0) * tint) * cover[:, :, None]
    found = masks.opacity(change, shown, cover, 8)
    assert (found[cover == 0] == 0).all()
    # The part of the variance that counts as flat is a few hundredths.
    assert np.abs(np.median(found[cover > 0]) - alpha) < 0.05


def test_what_is_nearest_is_found_across_what_is_not_wanted():
    share, wanted = np.zeros((8, 8), np.float32), np.zeros((8, 8), bool)
    share[1, 1], share[6, 6] = 0.3, 0.9
    # Two strokes apart, and a third one with nothing of its own: a tint beside opaque paint.
    wanted[0:3, 0:3] = wanted[5:8, 5:8] = wanted[0:2, 6:8] = True
    found = masks.spread(share, wanted)
    assert (found[0:3, 0:3] == np.float32(0.3)).all() and (found[5:8, 5:8] == np.float32(0.9)).all()
    assert (found[0:2, 6:8] > 0).all() and (found[~wanted] == share[~wanted]).all()
    nothing = np.zeros_like(share)
    assert (masks.spread(nothing, wanted) == 0).all()


@pytest.mark.parametrize("style", ["smooth", "blocks"])
def test_nothing_of_the_photo_is_left_under_opaque_paint_on_the_coarse_picture(one_service, engine, style):
    pixels = photo_of().pixels.copy()
    # Something with edges, such as the rim of glasses.
    pixels[86:94] = 20
    photo = PhotoFile(pixels, "TIFF")
    coarse = toy.coarse_file(one_service, photo, UPRIGHT, 2, style)
    rgba = coarse.shown(512).copy()
    rgba[100:400, 100:400, :3] = (150, 100, 80)
    painting = CoarseOverPhoto(coarse, rgba)
    host = FileHost(photo, Colours(photo), painting)
    request = EditRequest(photo_on_the_wire(photo), UPRIGHT, 2, painting.message, EXACT, toy.NAME)
    encoded = encoding.encode(engine, service.photo_square(engine, host, request.photo, UPRIGHT))
    paint = service.read_paint(engine, host, request, encoded)
    # Two cells within the stroke, where the smooth shown picture's own neighbours are painted too.
    inner = np.s_[6:10, 6:10]
    painted = (encoded.b[2] + paint.change)[inner]
    before = np.abs(encoded.b[2][inner] - pyramid.reduce(service.shown_square(encoded.b[2], 2, style), 2)[inner]).max()
    assert before > 0.02
    assert np.abs(painted - np.array([150, 100, 80]) / 255).max() < 0.2 * before
    # As sharp as it is: the colour itself up to its edge, and the photo beyond.
    sharp = encoded.b[0] + paint.fine
    assert np.abs(sharp[15:47, 15:47] - np.array([150, 100, 80]) / 255).mean() < 0.01
    assert np.array_equal(sharp[paint.cover == 0], encoded.b[0][paint.cover == 0])


def test_the_soft_edge_of_a_brush_lets_the_photo_through_and_not_the_coarse_picture(one_service, engine):
    pixels = photo_of().pixels.copy()
    # Dark glasses, which the coarse picture spreads over the skin around.
    pixels[80:100] = 20
    photo = PhotoFile(pixels, "TIFF")
    coarse = toy.coarse_file(one_service, photo, UPRIGHT, 2, "smooth")
    shown = coarse.shown(512)
    y, x = np.mgrid[:512, :512] + 0.5
    alpha = np.clip((200 - np.hypot(x - 256, y - 256)) / 40, 0, 1)[:, :, None]
    colour = np.array([150, 100, 80])
    rgba = shown.copy()
    rgba[:, :, :3] = np.rint(alpha * colour + (1 - alpha) * shown[:, :, :3])
    painting = CoarseOverPhoto(coarse, rgba)
    host = FileHost(photo, Colours(photo), painting)
    request = EditRequest(photo_on_the_wire(photo), UPRIGHT, 2, painting.message, EXACT, toy.NAME)
    encoded = encoding.encode(engine, service.photo_square(engine, host, request.photo, UPRIGHT))
    paint = service.read_paint(engine, host, request, encoded)
    share = alpha.reshape(64, 8, 64, 8).mean((1, 3))[:, :, None]
    wanted = share * (colour / 255 - encoded.b[0])
    edge = (share[:, :, 0] > 0.02) & (share[:, :, 0] < 0.98)
    # As opaque paint it would be what was shown, in place of the photo.
    taken_as_opaque = share * (colour / 255 - service.shown_square(encoded.b[2], 2, "smooth"))
    taken_as_opaque += service.shown_square(encoded.b[2], 2, "smooth") - encoded.b[0]
    apart = [np.abs(made - wanted)[edge].mean() for made in (paint.fine, taken_as_opaque)]
    assert apart[0] < 0.4 * apart[1]


@pytest.mark.parametrize("alpha", [1.0, 0.4])
@pytest.mark.parametrize("on_photo", [False, True])
def test_next_to_strokes_over_the_photo_it_stays(engine, on_photo, alpha):
    cover = np.zeros((64, 64), np.float32)
    cover[20:24, 8:56] = alpha
    fine = np.float32(0.1) * cover[:, :, None].repeat(3, 2)
    n = engine.bundle.levels[2].size
    nothing = np.zeros((n, n), np.float32)
    paint = masks.Paint(2, pyramid.reduce(fine, 2), nothing, cover, cover, fine, on_photo)
    m = masks.make_masks(engine, paint, 1.0).m
    # Half of the stroke's thickness, and the slack for what it is sampled from; or a cell.
    reach = 2 + 1.5 if on_photo else 4 + 1.5
    reached = int((m[24:, 32] > 0).sum())
    assert m[20:24, 8:56].min() == 1 and reach - 1.5 <= reached <= reach


def test_a_tint_on_the_coarse_picture_tints_the_photo(one_service, engine):
    photo = photo_of()
    coarse = toy.coarse_file(one_service, photo, UPRIGHT, 2, "smooth")
    rgba = coarse.shown(512).copy()
    rgba[100:400, 100:400, 0] += 20
    painting = CoarseOverPhoto(coarse, rgba)
    host = FileHost(photo, Colours(photo), painting)
    request = EditRequest(photo_on_the_wire(photo), UPRIGHT, 2, painting.message, EXACT, toy.NAME)
    encoded = encoding.encode(engine, service.photo_square(engine, host, request.photo, UPRIGHT))
    paint = service.read_paint(engine, host, request, encoded)
    # Where the picture is flat a tint cannot be told from paint.
    tinted = (paint.cover > 0.999) & (paint.opaque < 0.1)
    assert tinted.sum() > 50
    assert np.abs(np.median(paint.fine[tinted], 0) - np.array([20, 0, 0]) / 255).max() < 0.01


def test_strokes_over_the_photo_are_as_sharp_as_they_are(engine):
    photo = photo_of()
    strokes = np.zeros((*photo.pixels.shape[:2], 4), np.uint8)
    middle = np.s_[photo.pixels.shape[0] // 2 - 20 : photo.pixels.shape[0] // 2 + 20, 60:140]
    strokes[middle] = (200, 40, 40, 128)
    painting = StrokesOverPhoto(strokes)
    host = FileHost(photo, Colours(photo), painting)
    request = EditRequest(photo_on_the_wire(photo), UPRIGHT, 2, painting.message, EXACT, toy.NAME)
    encoded = encoding.encode(engine, service.photo_square(engine, host, request.photo, UPRIGHT))
    paint = service.read_paint(engine, host, request, encoded)
    whole = paint.cover > 0.999 * paint.cover.max()
    assert paint.cover.max() == pytest.approx(128 / 255, abs=1e-3) and whole.any()
    wanted = encoded.b[0] + 128 / 255 * (np.array([200, 40, 40]) / 255 - encoded.b[0])
    assert np.abs(encoded.b[0] + paint.fine - wanted)[whole].max() < 1e-3
    assert (paint.fine[paint.cover == 0] == 0).all()
