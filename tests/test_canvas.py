"""The photo's own detail under variants: recoloured, erased; in any colour space."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import toy

from lapcvae import canvas, compose, encoding, masks, planning, service
from lapcvae.host import FileHost, photo_on_the_wire
from lapcvae.painting import CoarseOverPhoto, StrokesOverPhoto
from lapcvae.photo import Colours, PhotoFile
from lapcvae.protocol.geometry import Box, Frame
from lapcvae.protocol.messages import EditRequest, Settings, Variant

FRAME, PAINTED = Frame(128, 128, 256), Box(64, 64, 128, 128)
SETTINGS = Settings(count=1, seed=1, temperature=0.0, realism=0.0)


@pytest.fixture(scope="module")
def one_service() -> service.Service:
    return service.Service(toy.models())


def stripes(level: float, height: float) -> np.ndarray:
    """Stripes two pixels wide, finer than the toy model's, around a gray of this level; sRGB."""
    rows = np.where(np.arange(256) // 2 % 2, height, -height)
    return np.broadcast_to((level + rows)[:, None, None], (256, 256, 3)).astype(np.float32)


def to_linear(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values.clip(0.04045) + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.0031308, 12.92 * values, 1.055 * values.clip(0.0031308) ** (1 / 2.4) - 0.055)


class LinearHost(FileHost):
    """A photo in linear light with sRGB's primaries, which its own `Colours` would need a profile for."""

    def colours(self, to, pixels):
        values = service.from_array(pixels)
        return service.to_array((to_srgb if to == "model" else to_linear)(values).astype(np.float32))


def edited(served, pixels: np.ndarray, gray: float, settings: Settings, host=FileHost) -> tuple[np.ndarray, np.ndarray]:
    """The first variant with opaque gray strokes over the middle, over the whole photo, and M, H x W."""
    rgba = np.zeros((256, 256, 4), np.float32)
    rgba[64:192, 64:192] = (gray, gray, gray, 1)
    photo, results = PhotoFile(pixels, "TIFF"), []
    painting = StrokesOverPhoto(rgba)
    request = EditRequest(photo_on_the_wire(photo), FRAME, 1, painting.message, settings, toy.NAME)
    served.handle(request, host(photo, Colours(photo), painting, results.append))
    prepared, variant = results
    assert isinstance(variant, Variant)
    box, out, mask = prepared.box, pixels.copy(), np.zeros((256, 256), np.float32)
    part = np.s_[box.y : box.bottom, box.x : box.right]
    out[part] = service.from_array(variant.pixels)
    mask[part] = compose.to_float(service.from_array(prepared.mask)).reshape(box.height, box.width)
    return out, mask


def contrast(pixels: np.ndarray, where=np.s_[100:156, 100:156]) -> float:
    return float(np.abs(np.diff(pixels[where].mean(2), axis=0)).mean())


@pytest.mark.parametrize("level, gray", [(0.3, 0.6), (0.6, 0.3)])
@pytest.mark.parametrize("linear", [False, True], ids=["sRGB", "linear"])
def test_kept_detail_has_the_contrast_of_the_new_brightness(one_service, level, gray, linear):
    photo = stripes(level, 0.03)
    kept = dataclasses.replace(SETTINGS, structure=1.0)
    if linear:
        made = to_srgb(edited(one_service, to_linear(photo), gray, kept, LinearHost)[0])
    else:
        made = edited(one_service, photo, gray, kept)[0]
    gain = (gray + 0.06) / (level + 0.06)
    assert made[100:156, 100:156].mean() == pytest.approx(gray, abs=0.04)
    assert contrast(made) / contrast(photo) == pytest.approx(np.clip(gain, 0.3, 1.6), rel=0.2)


def test_under_paint_that_shall_keep_nothing_the_photos_detail_goes(one_service):
    photo = stripes(0.4, 0.03)
    made = edited(one_service, photo, 0.7, dataclasses.replace(SETTINGS, texture=False))[0]
    pattern = (photo - photo.mean())[100:156, 100:156]
    assert abs((made[100:156, 100:156] * pattern).sum()) < 0.1 * np.square(pattern).sum()


def test_what_is_rubbed_out_goes_whatever_shall_stay(one_service):
    pixels = (toy.portrait(256, 256)[:, :, :3] / 255).astype(np.float32)
    pixels[110:140, 110:140] = 0
    photo = PhotoFile(pixels, "TIFF")
    coarse = toy.coarse_file(one_service, photo, FRAME, 2)
    rgba = coarse.shown(512).copy()
    rgba[200:300, 200:300, 3] = 0
    painting = CoarseOverPhoto(coarse, rgba)
    means = []
    for structure in (0.0, 1.0):
        results = []
        settings = dataclasses.replace(SETTINGS, structure=structure, texture=False)
        request = EditRequest(photo_on_the_wire(photo), FRAME, 2, painting.message, settings, toy.NAME)
        one_service.handle(request, FileHost(photo, Colours(photo), painting, results.append))
        prepared, variant = results
        box, out = prepared.box, pixels.copy()
        out[box.y : box.bottom, box.x : box.right] = service.from_array(variant.pixels)
        means.append(out[115:135, 115:135].mean())
    assert means[0] > 0.3 and means[1] == pytest.approx(means[0], abs=0.02)


def test_only_what_keeps_its_detail_fades_towards_the_frame(one_service):
    """A new colour of what goes on beyond the frame fades over four times as many cells as new content."""
    engine = one_service.engine(toy.NAME, "cpu")
    size = engine.bundle.size
    photo = PhotoFile(np.full((4 * size, 4 * size, 3), 0.5, np.float32), "TIFF")
    frame = Frame(2 * size, 2 * size, size)
    cover = np.ones((size, size), np.float32)
    paint = masks.Paint(2, np.zeros((size // 4, size // 4, 3), np.float32), 0 * cover[::4, ::4], cover, cover,
                        np.zeros((size, size, 3), np.float32))  # fmt: skip
    made = masks.make_masks(engine, paint, 1.0)
    encoded, anew = encoding.encode(engine, np.full((size, size, 3), 0.5, np.float32)), np.ones((size, size, 1), np.float32)
    plan = planning.Plan(engine, encoded, paint, made, None, 1.0, 0.7, 0, anew=anew)
    painting = StrokesOverPhoto(np.zeros((1, 1, 4), np.float32)).message
    request = EditRequest(photo_on_the_wire(photo), frame, 2, painting, SETTINGS)
    wide = {}
    for name, kept in (("drawn", None), ("replaced", 0 * cover), ("recoloured", cover)):
        host = FileHost(photo, Colours(photo))
        mask = canvas.Canvas(engine, host, request, dataclasses.replace(plan, kept=kept)).mask
        middle = mask[len(mask) // 2]
        wide[name] = int(((middle > 0) & (middle < 1)).sum())
    assert wide["drawn"] == wide["replaced"] < wide["recoloured"] / 2
