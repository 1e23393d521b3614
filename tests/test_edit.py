"""The invariants of an edit, on a toy model, through the same service and host as the command line."""

from __future__ import annotations

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import toy

from lapcvae import edit, encoding, masks, noise, planning, pyramid, service
from lapcvae.host import FileHost, blend, photo_on_the_wire
from lapcvae.painting import CoarseOverPhoto, StrokesOverPhoto
from lapcvae.photo import Colours, PhotoFile
from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Box, Frame
from lapcvae.protocol.messages import EditRequest, Prepared, Settings, Variant

UPRIGHT = Frame(100, 90, 128)
TURNED = Frame(98.3, 91.6, 117.5, -17)
BEYOND = Frame(30, 40, 140)
TURNED_BEYOND = Frame(170, 150, 150, 30)
FRAMES = {"upright": UPRIGHT, "turned": TURNED, "beyond": BEYOND, "turned beyond": TURNED_BEYOND}
KINDS = {
    "u1": (np.uint8, 3), "u2": (np.uint16, 3), "f4": (np.float32, 3), "gray": (np.uint8, 1),
    "gray alpha": (np.uint16, 2), "alpha": (np.uint8, 4), "float alpha": (np.float32, 4),
}  # fmt: skip
EXACT = Settings(count=2, seed=7, temperature=1.0, realism=0.0)


def photo_of(kind: str = "u1") -> PhotoFile:
    dtype, channels = KINDS[kind]
    values = toy.portrait() / 255.0
    values = values[:, :, :1] if channels < 3 else values
    if channels % 2 == 0:
        values = np.dstack([values, np.linspace(0, 1, values[:, :, 0].size).reshape(values.shape[:2])])
    if dtype != np.float32:
        values = np.rint(values * np.iinfo(dtype).max)
    return PhotoFile(values.astype(dtype), "TIFF")


def strokes(photo: PhotoFile, box: Box = Box(80, 70, 40, 24), colour=(200, 40, 60)) -> StrokesOverPhoto:
    rgba = np.zeros((photo.size.height, photo.size.width, 4), np.uint8)
    rgba[box.y : box.bottom, box.x : box.right] = (*colour, 255)
    return StrokesOverPhoto(rgba)


def run(served, photo, painting, frame=UPRIGHT, settings=EXACT, level=0) -> tuple[Prepared, list[Variant]]:
    results = []
    mask_dtype = "u1" if photo.pixels.dtype == np.uint8 else "u2"
    request = EditRequest(photo_on_the_wire(photo), frame, level, painting.message, settings, toy.NAME,
                          mask_dtype=mask_dtype)  # fmt: skip
    done = served.handle(request, FileHost(photo, Colours(photo), painting, results.append))
    assert not done.cancelled and len(results) == settings.count + 1
    return results[0], results[1:]


def mask_of(photo: PhotoFile, prepared: Prepared) -> np.ndarray:
    """M over the whole photo, H x W x 1 in 0..1."""
    values = service.from_array(prepared.mask)
    mask = np.zeros((photo.size.height, photo.size.width, 1), np.float32)
    box = prepared.box
    mask[box.y : box.bottom, box.x : box.right, 0] = values / np.iinfo(values.dtype).max
    return mask


def finished(photo: PhotoFile, prepared: Prepared, variant: Variant) -> np.ndarray:
    out, box = photo.pixels.copy(), prepared.box
    part = np.s_[box.y : box.bottom, box.x : box.right]
    out[part] = blend(photo.pixels[part], service.from_array(variant.pixels), mask_of(photo, prepared)[part])
    return out


# --- nothing painted ---


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_nothing_painted_changes_nothing(one_service, frame):
    photo = photo_of()
    empty = StrokesOverPhoto(np.zeros((*photo.pixels.shape[:2], 4), np.uint8))
    prepared, variants = run(one_service, photo, empty, frame)
    assert prepared.box.empty
    assert all(v.pixels.data == b"" for v in variants)


@pytest.mark.parametrize("style", ["smooth", "blocks"])
@pytest.mark.parametrize("side", [512, 1024])
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_an_unpainted_coarse_picture_is_recognised_as_such(one_service, frame, side, style):
    photo = photo_of()
    coarse = toy.coarse_file(one_service, photo, frame, 2, style, side)
    prepared, _ = run(one_service, photo, CoarseOverPhoto(coarse, coarse.shown()), frame, level=2)
    assert prepared.box.empty


def test_what_an_editor_rounds_is_not_painted(one_service):
    photo = photo_of()
    coarse = toy.coarse_file(one_service, photo, UPRIGHT, 1)
    rounded = coarse.shown().astype(int)
    rounded[:, :, :3] += np.random.default_rng(1).integers(-2, 3, rounded[:, :, :3].shape)
    painting = CoarseOverPhoto(coarse, np.clip(rounded, 0, 255).astype(np.uint8))
    assert run(one_service, photo, painting)[0].box.empty


# --- inside and outside ---


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_outside_the_mask_not_one_bit_changes_and_inside_something_does(one_service, kind, frame):
    photo = photo_of(kind)
    cx, cy = int(np.clip(frame.cx, 30, 170)), int(np.clip(frame.cy, 30, 150))
    prepared, variants = run(one_service, photo, strokes(photo, Box(cx - 20, cy - 12, 40, 24)), frame, level=1)
    assert photo.size.box.contains(prepared.box) and not prepared.box.empty
    outside = mask_of(photo, prepared)[:, :, 0] == 0
    assert 0.3 < outside.mean() < 1
    for variant in variants:
        out = finished(photo, prepared, variant)
        assert out.dtype == photo.pixels.dtype
        assert out[outside].tobytes() == photo.pixels[outside].tobytes()
        colours = photo.format_on_the_wire.colour_channels
        assert np.array_equal(out[:, :, colours:], photo.pixels[:, :, colours:])
        changed = np.abs(out[cy, cx, :colours].astype(float) - photo.pixels[cy, cx, :colours]).max()
        assert changed > 0.02 * (1 if out.dtype.kind == "f" else np.iinfo(out.dtype).max)


@pytest.mark.parametrize("frame", [UPRIGHT, TURNED], ids=["upright", "turned"])
@pytest.mark.parametrize("level", [1, 2])
def test_the_mask_is_one_on_everything_painted(one_service, frame, level):
    photo = photo_of()
    painted = strokes(photo)
    prepared, _ = run(one_service, photo, painted, frame, level=level)
    on_paint = painted.over(photo.size.box)[:, :, 3] == 255
    assert np.all(mask_of(photo, prepared)[:, :, 0][on_paint] == 1)


def test_a_wider_rim_only_adds_to_the_mask(one_service):
    photo = photo_of()
    masks = [
        mask_of(photo, run(one_service, photo, strokes(photo), settings=dataclasses.replace(EXACT, count=1, grow=g))[0])
        for g in (0.5, 1.0, 2.0)
    ]
    assert np.all(masks[0] <= masks[1]) and np.all(masks[1] <= masks[2])
    assert masks[0].sum() < masks[1].sum() < masks[2].sum()


def test_blend_keeps_the_bits_of_floats():
    photo = np.array([[[-0.0], [0.1], [1e-30], [3.5]]], np.float32)
    variant = photo.copy()
    variant[0, 3] = 9
    zero = np.zeros((1, 4, 1), np.float32)
    assert blend(photo, variant, zero).tobytes() == photo.tobytes()
    assert blend(photo, variant, zero + 1).tobytes() == variant.tobytes()
    assert blend(photo, variant, zero + 0.5)[0, 3, 0] == pytest.approx(6.25)


# --- agreement with the painting ---


@pytest.mark.parametrize("level", [1, 2])
def test_a_sample_agrees_with_the_painted_level(engine, level):
    b_0 = (toy.portrait(64, 64) / 255).astype(np.float32)
    encoded = encoding.encode(engine, b_0)
    cover = np.zeros((64, 64), np.float32)
    cover[16:40, 24:56] = 1
    fine = np.repeat(cover[:, :, None], 3, 2) * np.float32(0.15)
    change = pyramid.reduce(fine, level)
    paint = masks.Paint(level, change, np.zeros((64 >> level,) * 2, np.float32), cover, cover, fine)
    plan = planning.make_plan(engine, encoded, paint, realism=0.0, temperature=1.0, grow=1.0, seed=1)
    wanted = encoded.b[level] + change
    for index in range(3):
        error = (pyramid.reduce(edit.variant(plan, index), level) - wanted) * 255
        # Exact but for float32: four orders below half a grey level.
        assert np.sqrt((error**2).mean()) < 0.01
    assert np.abs(edit.variant(plan, 0) - edit.variant(plan, 1)).max() > 2 / 255


def plan_of(engine, level: int, realism: float, opaque: float = 1.0, structure: float = 0.0) -> planning.Plan:
    """A patch over the middle of the portrait."""
    encoded = encoding.encode(engine, (toy.portrait(64, 64) / 255).astype(np.float32))
    cover = np.zeros((64, 64), np.float32)
    cover[16:48, 16:48] = 1
    fine = np.repeat(cover[:, :, None], 3, 2) * np.float32(0.15)
    change = pyramid.reduce(fine, level)
    paint = masks.Paint(level, change, np.zeros((64 >> level,) * 2, np.float32), cover, np.float32(opaque) * cover, fine)
    return planning.make_plan(
        engine, encoded, paint, realism=realism, temperature=1.0, grow=1.0, seed=1, structure=structure
    )  # fmt: skip


def test_realism_draws_the_painted_level_anew_and_keeps_the_coarser_one(engine):
    plan = plan_of(engine, 1, realism=0.5)
    wanted = plan.wanted_j
    samples = [pyramid.reduce(edit.variant(plan, i), 1) for i in range(2)]
    # Well inside of the paint, the level above is as it was painted, and the painted level is not.
    for sample in samples:
        assert np.abs(pyramid.d(sample) - pyramid.d(wanted))[5:11, 5:11].max() * 255 < 0.05
        assert np.abs(sample - wanted)[10:22, 10:22].max() * 255 > 2
    assert np.abs(samples[0] - samples[1]).max() * 255 > 2


def test_a_tint_and_what_shall_keep_its_structure_are_not_drawn_anew(engine):
    tint = plan_of(engine, 1, 0.5, opaque=0.0)
    assert np.abs(pyramid.reduce(edit.variant(tint, 0), 1) - tint.wanted_j).max() * 255 < 0.05
    kept, b = plan_of(engine, 1, 0.5, structure=1.0), tint.encoded.b[0]
    moved = kept.masks.weight[0] * (kept.recoloured[0] - b)
    assert np.abs(edit.variant(kept, 0) - b - moved).max() * 255 < 0.05 < np.abs(moved).max() * 255


def test_little_realism_is_little_change(engine):
    def moved(realism):
        plan = plan_of(engine, 1, realism)
        return np.abs(pyramid.reduce(edit.variant(plan, 0), 1) - plan.wanted_j).max()

    assert moved(0.0) < 1e-4 < moved(0.01) < 0.3 * moved(0.1)


def test_the_finished_picture_agrees_with_the_painting(one_service):
    # At the model's own size, so that D of the result can be compared with the wanted coarse image cell by cell.
    photo = PhotoFile(toy.portrait(64, 64), "PNG")
    painted = strokes(photo, Box(12, 12, 40, 40), (150, 120, 100))
    prepared, variants = run(one_service, photo, painted, Frame(32, 32, 64), level=1)
    stroked = photo.pixels.copy()
    stroked[12:52, 12:52] = (150, 120, 100)
    wanted = pyramid.reduce(stroked.astype(np.float32), 1)
    # Well inside of the paint: the kernel of D reaches one pixel further than a cell.
    inner = np.s_[8:24, 8:24]
    for variant in variants:
        error = (pyramid.reduce(finished(photo, prepared, variant).astype(np.float32), 1) - wanted)[inner]
        assert np.sqrt((error**2).mean()) < 0.5


def test_erased_parts_differ_between_variants_and_nothing_else_changes(one_service):
    photo = photo_of()
    coarse = toy.coarse_file(one_service, photo, UPRIGHT, 2)
    rgba = coarse.shown().copy()
    rgba[180:330, 200:330] = 0
    settings = dataclasses.replace(EXACT, realism=0.5)
    prepared, variants = run(one_service, photo, CoarseOverPhoto(coarse, rgba), UPRIGHT, settings, level=2)
    a, b = (finished(photo, prepared, v).astype(int) for v in variants)
    mask = mask_of(photo, prepared)[:, :, 0]
    assert np.array_equal(a[mask == 0], photo.pixels[mask == 0])
    assert np.abs(a - b)[mask == 1].max() >= 2
    # The hole in the photo: the picture's pixel (200, 180) lies at 100 - 64 + 200 / 4.
    assert np.all(mask[90 - 64 + 47 : 90 - 64 + 81, 100 - 64 + 52 : 100 - 64 + 81] == 1)


# --- one seed, one picture ---


def data_of(variants: list[Variant]) -> list[bytes]:
    return [v.pixels.data for v in variants]


def test_the_same_seed_gives_the_same_bytes(one_service):
    photo = photo_of()
    settings = dataclasses.replace(EXACT, count=8)
    first = data_of(run(one_service, photo, strokes(photo), settings=settings)[1])
    assert data_of(run(one_service, photo, strokes(photo), settings=settings)[1]) == first
    assert data_of(run(one_service, photo, strokes(photo), settings=EXACT)[1]) == first[:2]
    for threads in (1, 2):
        fresh = service.Service(toy.models(), threads=threads)
        assert data_of(run(fresh, photo, strokes(photo), settings=settings)[1]) == first
    assert len(set(first)) == 8
    other = data_of(run(one_service, photo, strokes(photo), settings=dataclasses.replace(EXACT, seed=8))[1])
    assert not set(other) & set(first)


def test_no_temperature_no_difference_but_grain(one_service):
    photo = photo_of()
    settings = dataclasses.replace(EXACT, temperature=0.0, texture=False)
    assert len(set(data_of(run(one_service, photo, strokes(photo), settings=settings)[1]))) == 1


def test_with_all_of_the_photos_structure_nothing_is_drawn(one_service):
    photo = photo_of()
    kept = dataclasses.replace(EXACT, structure=1.0, texture=False)
    _, variants = run(one_service, photo, strokes(photo), settings=kept)
    _, others = run(one_service, photo, strokes(photo), settings=dataclasses.replace(kept, seed=8))
    assert len({v.pixels.data for v in (*variants, *others)}) == 1
    half = dataclasses.replace(kept, structure=0.5)
    apart = []
    for settings in (half, dataclasses.replace(half, structure=0.0)):
        _, variants = run(one_service, photo, strokes(photo), settings=settings)
        first, second = (service.from_array(v.pixels).astype(float) for v in variants)
        apart.append(np.abs(first - second).mean())
    assert 0 < apart[0] < apart[1]


def test_a_reconstruction_comes_from_latents_alone(engine):
    b_0 = (toy.portrait(64, 64) / 255).astype(np.float32)
    encoded = encoding.encode(engine, b_0)
    replaced = dataclasses.replace(encoded, b=[np.full_like(b, 0.5) for b in encoded.b])
    assert encoding.reconstruct(engine, encoded).tobytes() == encoding.reconstruct(engine, replaced).tobytes()
    other = encoding.encode(engine, np.ascontiguousarray(b_0[::-1]))
    assert np.abs(encoding.reconstruct(engine, other) - encoding.reconstruct(engine, encoded)).max() > 1e-4


def test_a_photo_is_encoded_once():
    served, photo = service.Service(toy.models()), photo_of()
    run(served, photo, strokes(photo))
    assert served.photos_encoded == 1
    run(served, photo, strokes(photo, colour=(1, 2, 3)), settings=dataclasses.replace(EXACT, seed=9))
    assert served.photos_encoded == 1
    run(served, photo, strokes(photo), TURNED)
    assert served.photos_encoded == 2


# --- frames and paintings ---


def test_beyond_the_photo_its_edge_goes_on(one_service, engine):
    photo = PhotoFile(np.full((60, 80, 3), 200, np.uint8), "PNG")
    for frame in (Frame(0, 0, 90), Frame(80, 60, 90, 30), Frame(40, 30, 150, 45)):
        square = service.photo_square(engine, FileHost(photo, Colours(photo)), photo_on_the_wire(photo), frame)
        # float32 averages of a constant.
        assert np.abs(square - 200 / 255).max() < 1e-5


def test_a_frame_elsewhere_or_far_too_large_is_an_error(one_service):
    photo = photo_of()
    for frame, words in ((Frame(5000, 90, 100), "outside"), (Frame(100, 90, 100_000), "larger")):
        with pytest.raises(LapcvaeError, match=words):
            run(one_service, photo, strokes(photo), frame)


@pytest.mark.parametrize("side", [512, 700, 1024])
@pytest.mark.parametrize("frame", [UPRIGHT, TURNED, Frame(100.25, 90.5, 1500), Frame(60, 70, 33.3, 50)], ids=str)
def test_a_painted_coarse_picture_lies_where_it_was_painted(one_service, frame, side):
    photo = photo_of()
    coarse = toy.coarse_file(one_service, photo, frame, 1, side=512) if frame.side < 700 else None
    if coarse is None:
        photo = PhotoFile(np.repeat(np.repeat(photo.pixels, 8, 0), 8, 1), "PNG")
        frame = Frame(frame.cx * 8, frame.cy * 8, frame.side)
        coarse = toy.coarse_file(one_service, photo, frame, 1)
    rgba = coarse.shown(side).copy()
    # A square of an eighth of the side around (.40, .55) of it.
    x, y, half = round(0.4 * side), round(0.55 * side), side // 16
    rgba[y - half : y + half, x - half : x + half] = 0
    box = frame.bounds()
    before = CoarseOverPhoto(coarse, coarse.shown(side)).over(box)[:, :, 3] / 255
    erased = before - CoarseOverPhoto(coarse, rgba).over(box)[:, :, 3] / 255
    row, column = (erased.sum(1 - axis) @ (np.arange(erased.shape[axis]) + 0.5) / erased.sum() for axis in (0, 1))
    found = frame.to_model(column + box.x, row + box.y, side)
    # In pixels of the picture: a tenth of a model pixel or of a photo pixel, whichever is more.
    assert np.hypot(found[0] - x, found[1] - y) < 0.1 * max(side / toy.SIZE, side / frame.side)
    assert erased.sum() == pytest.approx((2 * half / side * frame.side) ** 2, rel=0.02)


# --- numbers ---


def test_inverse_normal_cdf_against_known_quantiles():
    # Abramowitz and Stegun, and the far tail from Wichura's paper (AS 241).
    known = {0.5: 0.0, 0.25: -0.6744897501960817, 0.975: 1.959963984540054, 0.001: -3.090232306167813,
             1e-20: -9.262340089798408}  # fmt: skip
    found = noise.inverse_normal_cdf(np.array(list(known)))
    np.testing.assert_allclose(found, list(known.values()), rtol=1e-13, atol=1e-15)


def test_noise_has_the_moments_of_a_gaussian_and_depends_on_its_key():
    values = noise.gaussian((400_000,), 1, 2, 3).astype(np.float64)
    moments = [values.mean(), values.var(), (values**3).mean(), (values**4).mean()]
    # Five standard errors of each moment at this count.
    errors = 5 * np.sqrt(np.array([1, 2, 15, 96]) / len(values))
    assert np.all(np.abs(np.array(moments) - [0, 1, 0, 3]) < errors)
    assert np.array_equal(noise.gaussian((10,), 1, 2, 3), noise.gaussian((400_000,), 1, 2, 3)[:10])
    assert abs(np.corrcoef(values[:10_000], noise.gaussian((10_000,), 1, 2, 4))[0, 1]) < 0.05


def test_a_plan_for_later_is_made_once_by_whoever_asks_first():
    made = []

    def make():
        made.append(threading.get_ident())
        time.sleep(0.05)
        return object()

    later = planning.Later(make)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: later(), range(4)))
    assert len(made) == 1 and len(set(map(id, found))) == 1


def test_three_of_four_variants_have_all_of_the_hair():
    plan = planning.Plan(None, None, None, None, None, 1.0, 0.7, 0)
    as_painted = dataclasses.replace(plan, seed=1)
    whole = dataclasses.replace(plan, later=planning.Later(lambda: as_painted))
    found = [whole.of(index) for index in range(8)]
    assert [one.seed for one, _ in found] == [0, 0, 0, 1, 0, 0, 0, 1]
    # None of them is drawn twice.
    assert [turn for one, turn in found if one.seed == 0] == [0, 1, 2, 3, 4, 5]
    assert [turn for one, turn in found if one.seed == 1] == [0, 1]
