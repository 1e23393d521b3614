"""Hair of exemplars where strokes are of hair: which fits, what it looks like, and what an edit makes of it."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pytest
import toy
from PIL import Image
from test_extent import painted

from lapcvae import bundle as bundles
from lapcvae import edit, encoding, exemplars, hair, noise, planning
from lapcvae.engine import Engine
from lapcvae.segments import CLASSES, SIZE, Segments

pytest.importorskip("torch")
import small  # noqa: E402
import torch  # noqa: E402

import export_onnx  # noqa: E402
from training import data, segmenter  # noqa: E402
from training import exemplars as chosen  # noqa: E402
from training import interpreter as interpreters  # noqa: E402
from training.segmenter_network import Segmenter  # noqa: E402

HAIR, SKIN, WALL = np.float32([0.25, 0.16, 0.12]), np.float32([0.85, 0.62, 0.55]), np.float32([0.45, 0.6, 0.75])
BROWN = np.float32([0.5, 0.3, 0.1])
COUNT = 12


def face(length: float, size: int = SIZE, seed: int = 0, skin: np.ndarray = SKIN) -> tuple[np.ndarray, np.ndarray]:
    """A face before a wall with hair down to `length` (share of the side) on both sides: the picture, and where hair is."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    head = np.hypot(x - 0.5, (y - 0.5) / 1.2) < 0.25
    around = (np.abs(x - 0.5) < 0.38) & (y > 0.08) & (y < length) & ~((np.abs(x - 0.5) < 0.2) & (y > 0.3))
    strands = np.exp(0.3 * noise.gaussian((1, size), "strands", seed))[:, :, None]
    picture = np.where(around[:, :, None], HAIR * strands, np.where(head[:, :, None], skin, WALL))
    return np.clip(picture, 0, 1).astype(np.float32), around.astype(np.float32)


def segments(share: np.ndarray) -> Segments:
    of = np.zeros((*share.shape, len(CLASSES)), np.float32)
    of[:, :, CLASSES.index("hair")], of[:, :, CLASSES.index("skin")] = share, 1 - share
    return Segments(of, CLASSES)


def locks(left: bool = True, right: bool = True, n: int = SIZE) -> np.ndarray:
    y, x = (np.mgrid[:n, :n] + 0.5) / n
    side = (left & (x < 0.5)) | (right & (x > 0.5))
    return (side & (np.abs(np.abs(x - 0.5) - 0.3) < 0.05) & (y > 0.4) & (y < 0.9)).astype(np.float32)


def maps(*lengths: float) -> np.ndarray:
    return np.stack([255 * hair.cells_of(face(length)[1]) for length in lengths]).astype(np.uint8)


def asked(strokes: np.ndarray) -> hair.Wanted:
    return hair.wanted(segments(face(0.4)[1]), strokes, strokes, strokes)


def test_what_has_the_walls_colour_is_wall_whatever_the_segmenter_says():
    picture, where = face(0.6)
    y = np.arange(SIZE)[:, None] / SIZE
    # At the top of the picture all is likely to be hair.
    said = np.maximum(where, (y < 0.08) * 0.85)
    skin = (np.abs(picture - SKIN).max(2) < 0.1) * (1.0 - said)
    shares = {"hair": said, "skin": skin, "background": 1 - said - skin}
    of = np.stack([shares.get(name, 0 * said) for name in CLASSES], 2)
    wall = hair.of_the_wall(picture.astype(np.float32), Segments(of.astype(np.float32), CLASSES))
    above = (y < 0.06) & (np.abs(np.arange(SIZE)[None, :] / SIZE - 0.5) < 0.3)
    assert wall[above].mean() > 0.9 and wall[where > 0].mean() < 0.05
    # Hair of the wall's colour is hair.
    alike = np.where(where[:, :, None] > 0, WALL, picture).astype(np.float32)
    assert hair.of_the_wall(alike, Segments(of.astype(np.float32), CLASSES))[where > 0].max() < 0.1


def test_the_hair_that_lies_like_the_strokes_comes_first_and_short_hair_not_at_all():
    found = hair.likest(maps(0.4, 0.9, 0.6, 0.75), asked(locks()))
    assert found[0][0] == 1 and {i for i, _ in found} <= {1, 3}


def test_a_mirrored_one_is_found():
    one_side = maps(0.9)
    one_side[:, :, hair.CELLS // 2 :] = maps(0.4)[:, :, hair.CELLS // 2 :]
    assert hair.likest(one_side, asked(locks(right=False))) == [(0, False)]
    assert hair.likest(one_side, asked(locks(left=False))) == [(0, True)]


def test_where_none_has_hair_none_is_found():
    assert hair.likest(maps(0.3, 0.4), asked(locks())) == []


def test_hair_comes_alone_in_the_strokes_colour_and_with_its_strands():
    base, _ = face(0.4)
    other, share = face(0.9, seed=5, skin=np.float32([0.2, 0.9, 0.2]))
    m = locks()
    made = hair.put_on(base, other, share, m, np.broadcast_to(BROWN, base.shape), 0.3)
    assert np.array_equal(made[m == 0], base[m == 0])
    inside = (m == 1) & (share == 1)
    hue = made[inside] / made[inside].mean(1, keepdims=True)
    assert np.abs(hue - BROWN / BROWN.mean()).max() < 0.02
    assert abs(np.log(made[inside].mean()) - np.log(BROWN.mean())) < 0.2
    light = np.log(made[inside].mean(1) + hair.LEAST_LIGHT)
    assert 0.1 < light.std() < 0.35
    assert np.corrcoef(light, np.log(other[inside].mean(1) + hair.LEAST_LIGHT))[0, 1] > 0.9
    # Neither the green face nor the wall came with it.
    assert np.array_equal(made[(m == 1) & (share == 0)], base[(m == 1) & (share == 0)])


def test_flat_hair_of_the_photo_makes_flat_hair():
    base, _ = face(0.4)
    other, share = face(0.9, seed=5)
    m = locks()
    spreads = []
    for spread in (0.05, 0.3):
        made = hair.put_on(base, other, share, m, np.broadcast_to(BROWN, base.shape), spread)
        spreads.append(np.log(made[(m == 1) & (share == 1)].mean(1)).std())
    assert spreads[0] < 0.7 * spreads[1]


def test_what_shines_through_at_the_edge_of_hair_does_not_come_along():
    """A white wall behind an exemplar's thin strands makes no white strands."""
    base, _ = face(0.4)
    other, share = face(0.9)
    thin = (share == 1) & (np.indices(share.shape)[1] % 4 == 0)
    other, share = np.where(thin[:, :, None], 1.0, other).astype(np.float32), np.where(thin, 0.4, share)
    made = hair.put_on(base, other, share, locks(), np.broadcast_to(BROWN, base.shape), 0.3)
    among = thin & (locks() == 1)
    assert among.any() and made[among].max() < np.maximum(base[among].max(), 2 * BROWN.max())


def test_colours_of_strokes_stay_where_they_are_and_reach_everywhere():
    cover = locks()
    colours = np.where((np.arange(SIZE) < SIZE // 2)[None, :, None], BROWN, HAIR) * np.ones((SIZE, 1, 1), np.float32)
    found = hair.evened(colours, cover)
    assert np.abs(found[SIZE // 2, round(0.2 * SIZE)] - BROWN).max() < 0.05
    assert np.abs(found[SIZE // 2, round(0.8 * SIZE)] - HAIR).max() < 0.05
    assert np.isfinite(found).all() and found.min() >= 0


# In a bundle and in an edit.


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The toy bundle of 256 pixels with an interpreter, exemplars with hair of all lengths, a segmenter that knows nothing;
    the file of where they have hair says the truth."""
    folder = tmp_path_factory.mktemp("hair")
    shutil.copytree(toy.family(), folder / "models")
    torch.manual_seed(0)
    interpreters.save(small.alive(interpreters.Interpreter(64, (8, 8), (1, 1))), folder, {})
    segmenter.save(Segmenter(len(CLASSES)).eval(), folder, {})
    faces = [face(0.35 + 0.05 * i, seed=i) for i in range(COUNT)]
    pictures = data.Pictures(np.stack([(255 * picture).astype(np.uint8) for picture, _ in faces]), ())
    chosen.write(pictures, np.arange(COUNT), folder / chosen.FILE, 95)
    own = folder / "models" / toy.LARGER
    assert export_onnx.main(["-o", str(own), "--interpreter", str(folder), "--exemplars", str(folder),
                             "--segmenter", str(folder)]) == 0  # fmt: skip
    stream = io.BytesIO()
    of = [255 * hair.cells_of(share) for _, share in faces]
    Image.fromarray(chosen.mosaic(of)).save(stream, "JPEG", quality=95)
    rewrite(own, stream.getvalue())
    return own


def rewrite(folder, content: bytes) -> None:
    (folder / chosen.HAIR_FILE).write_bytes(content)
    manifest = json.loads((folder / bundles.MANIFEST).read_text())
    manifest["files"] = export_onnx.files_of(folder)
    (folder / bundles.MANIFEST).write_text(json.dumps(manifest))


class Knowing(Engine):
    """An engine whose segmenter is right about these faces: their hair is what is dark."""

    def segment(self, picture):
        return segments((picture.mean(2) < 0.35).astype(np.float32))


class Beside(Engine):
    """Takes all that is no hair for background."""

    def segment(self, picture):
        found = Knowing.segment(self, picture)
        of, skin = found.of.copy(), CLASSES.index("skin")
        of[:, :, [skin, 0]] = of[:, :, [0, skin]]
        return Segments(of, CLASSES)


@pytest.fixture(scope="module")
def engine(bundle):
    return Knowing(bundles.open_bundle(bundle), "cpu")


def plan_of(engine, colour=HAIR, strokes=None, structure: float = 0.0):
    photo = face(0.4, 256, seed=3)[0]
    encoded = encoding.encode(engine, photo)
    paint = painted(photo, locks(n=256) if strokes is None else strokes, colour, 3)
    return planning.make_plan(engine, encoded, paint, realism=0.25, temperature=0.5, grow=1.0, seed=0, structure=structure)


def test_a_bundle_says_where_its_exemplars_have_hair(engine):
    found = engine.exemplars.hair
    assert found.shape == (COUNT, hair.CELLS, hair.CELLS) and found.dtype == np.uint8
    truth = np.stack([255 * hair.cells_of(face(0.35 + 0.05 * i)[1]) for i in range(COUNT)])
    assert np.abs(found - truth).mean() < 4


def test_strokes_of_hair_get_hair_of_other_exemplars_in_each_variant(engine):
    plan = plan_of(engine)
    readings = [plan.readings(i) for i in range(3)]
    assert all(reading.anew == planning.DETAIL_KNOWN for reading in readings)
    variants, where = [edit.variant(plan, i) for i in range(3)], locks(n=256) == 1
    for a, b in ((0, 1), (1, 2)):
        assert np.abs(variants[a] - variants[b])[where].mean() > 0.02
    # It is hair, though that of others may be shorter.
    assert np.abs(variants[0][where].mean(0) - HAIR).max() < 0.15
    assert all(v[where].mean() < plan.encoded.b[0][where].mean() - 0.1 for v in variants)


def test_other_strokes_get_none(engine, monkeypatch):
    monkeypatch.setattr(hair, "likest", lambda *_: pytest.fail("hair was looked for"))
    plan_of(engine, SKIN).readings(0)
    plan_of(engine, np.float32([0.1, 0.7, 0.2])).readings(0)
    plan_of(engine, HAIR, structure=0.8).readings(0)


def test_hair_beside_the_face_is_where_it_was_painted(bundle):
    plan = plan_of(Beside(bundles.open_bundle(bundle), "cpu"))
    assert plan.strokes.where.any() and plan.readings(0).anew == planning.DETAIL


def test_hair_that_no_exemplar_has_is_drawn_as_without_exemplars(engine, monkeypatch):
    asked_for, likest = [], hair.likest
    monkeypatch.setattr(hair, "likest", lambda *a: asked_for.append(likest(*a)) or asked_for[-1])
    y, x = (np.mgrid[:256, :256] + 0.5) / 256
    plan = plan_of(engine, strokes=(np.hypot(x - 0.5, y - 0.92) < 0.07).astype(np.float32))
    assert plan.readings(0).anew == planning.DETAIL and asked_for == [[]]


def test_thin_strokes_beside_thick_ones_are_no_hair_and_are_read(engine):
    """A beard and, apart from it, brows in its colour: only the beard is an exemplar's."""
    y, x = (np.mgrid[:256, :256] + 0.5) / 256
    brows = (np.abs(y - 0.42) < 0.006) & (np.abs(np.abs(x - 0.5) - 0.12) < 0.05)
    plan = plan_of(engine, strokes=np.maximum(locks(n=256), brows).astype(np.float32))
    assert plan.strokes.where[40:56, 10:16].max() > 0.5 and plan.strokes.where[25:29, 20:28].max() == 0


def test_every_exemplar_is_another_face():
    same = maps(0.85, 0.9, 0.95)
    found = hair.likest(same, asked(locks()))
    assert len({i for i, _ in found}) == len(found) > 1


@pytest.mark.parametrize("count", [1, 5])
def test_how_many_are_looked_at_at_once_changes_nothing(monkeypatch, count):
    all_of_them = maps(0.4, 0.9, 0.6, 0.75, 0.85, 0.95)
    whole = hair.likest(all_of_them, asked(locks()))
    monkeypatch.setattr(hair, "AT_ONCE", count)
    assert hair.likest(all_of_them, asked(locks())) == whole


@pytest.mark.parametrize("content, words", [
    (b"nothing", "cannot be read"),
    (b"", "cannot be read"),
])  # fmt: skip
def test_a_damaged_file_is_said(bundle, tmp_path, content, words):
    broken = shutil.copytree(bundle, tmp_path / "broken")
    rewrite(broken, content)
    with pytest.raises(bundles.BundleError, match=words):
        _ = Engine(bundles.open_bundle(broken), "cpu").exemplars.hair


def test_a_file_of_another_size_is_said(bundle, tmp_path):
    broken, stream = shutil.copytree(bundle, tmp_path / "broken"), io.BytesIO()
    Image.new("L", (64, 64)).save(stream, "JPEG")
    rewrite(broken, stream.getvalue())
    with pytest.raises(bundles.BundleError, match="64 x 64 pixels"):
        _ = Engine(bundles.open_bundle(broken), "cpu").exemplars.hair


def test_a_bundle_without_the_file_is_refused_when_opened(bundle, tmp_path):
    broken = shutil.copytree(bundle, tmp_path / "broken")
    (broken / chosen.HAIR_FILE).unlink()
    with pytest.raises(bundles.BundleError, match=chosen.HAIR_FILE):
        bundles.open_bundle(broken)


def test_a_new_segmenter_looks_at_the_exemplars_again(bundle, tmp_path):
    models = shutil.copytree(bundle.parent, tmp_path / "models")
    segmenter.save(small.alive(Segmenter(len(CLASSES))).eval(), tmp_path, {})
    before = (models / toy.LARGER / chosen.HAIR_FILE).read_bytes()
    assert export_onnx.main(["-o", str(models / toy.LARGER), "--segmenter", str(tmp_path)]) == 0
    assert (models / toy.LARGER / chosen.HAIR_FILE).read_bytes() != before
    assert exemplars.Exemplars(bundles.open_bundle(models / toy.LARGER)).hair is not None


def test_where_hair_is_needs_a_segmenter_of_the_same_size(bundle, tmp_path):
    broken = shutil.copytree(bundle, tmp_path / "broken")
    manifest = json.loads((broken / bundles.MANIFEST).read_text())
    manifest.pop("segmenter")
    (broken / bundles.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(bundles.BundleError, match="needs a segmenter"):
        bundles.open_bundle(broken)


def test_exemplars_of_another_size_go_without(bundle, tmp_path, capsys):
    models = shutil.copytree(bundle.parent, tmp_path / "models")
    pictures = data.Pictures(np.stack([(255 * face(0.5, 64, i)[0]).astype(np.uint8) for i in range(3)]), ())
    chosen.write(pictures, np.arange(3), tmp_path / chosen.FILE, 95)
    assert export_onnx.main(["-o", str(models / toy.LARGER), "--exemplars", str(tmp_path)]) == 0
    assert "64 pixels, fewer than 128" in capsys.readouterr().out
    assert bundles.open_bundle(models / toy.LARGER).exemplars.hair == ""
