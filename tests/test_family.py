"""A model and the larger ones that extend it: which is chosen, what a level means, and parts of a picture alone."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import toy
from test_edit import EXACT, photo_of, strokes

from lapcvae import bundle, edit, encoding, masks, planning, pyramid, service
from lapcvae.engine import Engine
from lapcvae.host import FileHost, photo_on_the_wire
from lapcvae.painting import CoarseOverPhoto
from lapcvae.photo import Colours
from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Frame
from lapcvae.protocol.messages import CoarseRequest, EditRequest

SMALL_FACE, LARGE_FACE = Frame(100, 90, 96), Frame(100, 90, 97)


@pytest.fixture(scope="module")
def served() -> service.Service:
    return service.Service(toy.family())


@pytest.fixture(scope="module")
def larger() -> Engine:
    return Engine(bundle.open_bundle(toy.family() / toy.LARGER), "cpu")


def edited(served, frame: Frame, level: int, model: str = "", painting=None, photo=None):
    photo = photo or photo_of()
    painting = painting or strokes(photo)
    results = []
    request = EditRequest(photo_on_the_wire(photo), frame, level, painting.message, EXACT, model)
    served.handle(request, FileHost(photo, Colours(photo), painting, results.append))
    return results


def test_the_smallest_model_that_a_face_fits_is_chosen(served):
    # 64 pixels, enlarged up to 1.5 times.
    for frame, name, level in ((SMALL_FACE, toy.NAME, 1), (LARGE_FACE, toy.LARGER, 3)):
        prepared = edited(served, frame, 1)[0]
        assert (prepared.model, prepared.level) == (name, level)
        assert edited(served, frame, 1, toy.LARGER)[0].level == 1
    assert edited(served, LARGE_FACE, 1, toy.NAME)[0].model == toy.NAME


def test_a_larger_model_with_a_damaged_file_is_not_chosen_and_its_problem_is_told(tmp_path):
    for name in (toy.NAME, toy.LARGER):
        shutil.copytree(toy.family() / name, tmp_path / name)
    graph = tmp_path / toy.LARGER / "decode_0.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    assert bundle.fitting(1000, tmp_path).name == toy.NAME
    told = service.Service(tmp_path).status()
    assert told["family"] == [64] and "decode_0.onnx has" in told["models"][toy.LARGER]["problem"]


def test_the_family_is_told_to_who_shows_it(served, tmp_path):
    assert served.status()["family"] == [64, 256]
    (tmp_path / "shipped").mkdir()
    assert service.Service(tmp_path / "shipped").status()["family"] == []


def test_a_level_without_a_model_has_the_same_cells_whatever_is_chosen(served):
    photo = photo_of()
    for frame in (SMALL_FACE, LARGE_FACE):
        for level, cells in ((0, 16), (1, 32), (2, 16)):
            results = []
            request = CoarseRequest(photo_on_the_wire(photo), frame, level)
            served.handle(request, FileHost(photo, Colours(photo), on_result=results.append))
            assert results[0].b_j.shape == (cells, cells, 3)
    with pytest.raises(LapcvaeError, match="has no level"):
        edited(served, LARGE_FACE, 5)


def test_a_model_that_is_broken_or_another_one_is_not_chosen(tmp_path):
    for name in (toy.NAME, toy.LARGER):
        shutil.copytree(toy.family() / name, tmp_path / name)
    manifest = tmp_path / toy.LARGER / "manifest.json"
    whole = json.loads(manifest.read_text())
    assert bundle.fitting(1000, tmp_path).name == toy.LARGER
    fewer = whole | {"levels": whole["levels"][1:]}
    for broken in ("{", *(json.dumps(m) for m in (whole | {"extends": "another"}, fewer, whole | {"extends": 7}))):
        manifest.write_text(broken)
        assert bundle.fitting(1000, tmp_path).name == toy.NAME
    with pytest.raises(LapcvaeError, match="extends"):
        bundle.describe(manifest.parent)


@pytest.mark.parametrize(("made_with", "used"), [(toy.NAME, toy.LARGER), (toy.LARGER, toy.NAME)])
def test_a_coarse_layer_serves_another_model_of_the_family(served, made_with, used):
    """Untouched, it changes nothing; painted on, what the other model makes has the painted colours."""
    photo, frame = photo_of(), Frame(100, 90, 128)
    level = bundle.describe(toy.family() / made_with).K
    file = toy.coarse_file(served, photo, frame, level, side=128, model=made_with)
    assert edited(served, frame, level, used, CoarseOverPhoto(file, file.shown()), photo)[0].box.empty
    painted = file.shown().copy()
    painted[48:80, 48:80, :3] = (200, 60, 60)
    prepared, first, _ = edited(served, frame, level, used, CoarseOverPhoto(file, painted), photo)
    assert prepared.model == used and prepared.level == bundle.describe(toy.family() / used).K
    pixels = service.from_array(first.pixels)
    middle = pixels[pixels.shape[0] // 2 - 6 :, pixels.shape[1] // 2 - 6 :][:12, :12].mean((0, 1))
    assert np.allclose(middle, (200, 60, 60), atol=30)


def test_only_the_part_that_counts_is_decoded_and_gives_the_same(larger):
    size, K = larger.bundle.size, larger.bundle.K
    photo = np.random.default_rng(0).random((size, size, 3), dtype=np.float32)
    encoded = encoding.encode(larger, pyramid.enlarge(pyramid.reduce(photo, 1), 1))
    cover = np.zeros((size, size), np.float32)
    cover[100:116, 40:56] = 1
    fine = 0.2 * np.repeat(cover[:, :, None], 3, axis=2)
    change = pyramid.reduce(fine, 3)
    paint = masks.Paint(3, change, np.zeros(change.shape[:2], np.float32), cover, cover, fine)
    plan = planning.make_plan(larger, encoded, paint, realism=0, temperature=1, grow=1, seed=3)
    windows = plan.masks.windows
    assert windows[K] is None and all(w is not None for w in windows[:2])
    for k in (0, 1):
        inside = np.zeros((size >> k, size >> k), bool)
        inside[windows[k]] = True
        assert inside[plan.masks.weight[k][:, :, 0] > 0].all() and inside.mean() < 0.7
    calls = []
    engine = Recording(larger, calls)
    part = edit.variant(dataclasses.replace(plan, engine=engine), 0)
    assert [shape for k, shape in calls if k == 0] == [tuple(s.stop - s.start for s in windows[0])]
    whole = edit.variant(dataclasses.replace(plan, masks=dataclasses.replace(plan.masks, windows=[None] * (K + 1))), 0)
    # The graphs look a little further than what is around the part; there the photo has nearly all the weight.
    assert np.abs(part - whole).max() < 0.02 < np.abs(part - encoded.b[0]).max()


class Recording:
    """An engine that notes what is decoded."""

    def __init__(self, engine: Engine, calls: list):
        self.bundle, self.encode, self._engine, self._calls = engine.bundle, engine.encode, engine, calls

    def decode(self, k, *arguments):
        x = self._engine.decode(k, *arguments)
        self._calls.append((k, x.shape[:2]))
        return x


@pytest.mark.parametrize("level", [9, 10, 11])
def test_a_painting_that_claims_to_be_huge_is_refused_before_it_is_enlarged(served, monkeypatch, level):
    photo, frame = photo_of(), Frame(100, 90, 128)
    file = toy.coarse_file(served, photo, frame, 2, side=128)
    painting = CoarseOverPhoto(file, file.shown())
    monkeypatch.setattr(service, "show", lambda *_: pytest.fail("it was enlarged"))
    with pytest.raises(LapcvaeError, match="no model is as large"):
        edited(served, frame, level, toy.NAME, painting, photo)
