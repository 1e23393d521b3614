"""A segmenter: labels from strokes over made faces, learning from them, its place in a bundle."""

from __future__ import annotations

import io
import json
import shutil
import tarfile

import numpy as np
import pytest
import toy
from PIL import Image

from lapcvae import bundle as bundles
from lapcvae import encoding
from lapcvae.protocol.errors import LapcvaeError
from lapcvae.segments import CLASSES, SIZE

pytest.importorskip("torch")
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

import export_onnx  # noqa: E402
from lapcvae.engine import Engine  # noqa: E402
from training import __main__ as command  # noqa: E402
from training import checkpoint, labels, segmenter  # noqa: E402

SKY, FACE, HAIR = (CLASSES.index(name) for name in ("background", "skin", "hair"))
COLOURS = {SKY: (90, 140, 220), FACE: (220, 170, 140), HAIR: (60, 40, 30)}


def truth(seed: int) -> np.ndarray:
    """A face: hair around skin before a sky, somewhere about the middle; SIZE x SIZE u1."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0.42, 0.58, 2) * SIZE
    rows, columns = np.mgrid[:SIZE, :SIZE]
    far = np.hypot(columns - x, (rows - y) / 1.2)
    return np.where(far < 28, FACE, np.where(far < 44, HAIR, SKY)).astype(np.uint8)


def picture(seed: int) -> np.ndarray:
    grain = np.random.default_rng(seed).normal(0, 6, (SIZE, SIZE, 3))
    return np.clip(np.array([COLOURS[k] for k in range(3)])[truth(seed)] + grain, 0, 255).astype(np.uint8)


def layers_of(seed: int) -> list[torch.Tensor]:
    """As if a generator's layers knew what is where, at four sizes, among channels that say nothing."""
    of = torch.from_numpy(np.eye(3, dtype=np.float32)[truth(seed)]).permute(2, 0, 1)[None]
    noise = torch.Generator().manual_seed(seed)
    return [
        torch.cat([F.avg_pool2d(of, SIZE // n)[0].repeat(4, 1, 1), torch.randn((5, n, n), generator=noise)])
        for n in (16, 32, 64, 128)
    ]


@pytest.fixture(scope="module")
def teacher():
    strokes = {}
    for seed in range(6):
        rng, of = np.random.default_rng(seed), np.full((SIZE, SIZE), labels.UNKNOWN, np.uint8)
        some = rng.integers(0, SIZE, (400, 2))
        of[some[:, 0], some[:, 1]] = truth(seed)[some[:, 0], some[:, 1]]
        strokes[seed] = of
    return labels.learn(strokes, layers_of)


@pytest.fixture(scope="module")
def made(tmp_path_factory, teacher):
    """A folder with a shard of 60 faces, and one with their labels."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "faces").mkdir()
    with tarfile.open(folder / "faces" / "faces-000.tar", "w") as tar:
        for seed in range(60):
            stream = io.BytesIO()
            Image.fromarray(picture(seed)).save(stream, "PNG")
            split = "val" if seed % 6 == 1 else "train"
            for name, data in ((f"rf{seed:06d}.png", stream.getvalue()),
                               (f"rf{seed:06d}.json", json.dumps({"seed": seed, "split": split}).encode())):  # fmt: skip
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels, "SHARD", 60)
        labels.write(teacher, layers_of, folder / "labels", 0, 60)
    return folder


@pytest.fixture
def sixty(monkeypatch):
    monkeypatch.setattr(labels, "SHARD", 60)


@pytest.fixture(scope="module")
def trained(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels, "SHARD", 60)
        arguments = ["--data", str(made / "faces"), "--labels", str(made / "labels"), "--out", str(out), "--batch", "6"]
        assert command.main(["segmenter", *arguments, "--images", "480", "--threads", "2"]) == 0
    return out


def test_strokes_over_few_faces_label_others(teacher):
    right = [(teacher.labels(layers_of(seed)) == truth(seed)).mean() for seed in range(20, 26)]
    assert min(right) > 0.97


def test_the_strokes_that_come_along_can_be_read():
    found = labels.read_scribbles()
    assert len(found) >= 30 and all(of.shape == (SIZE, SIZE) for of in found.values())
    of = np.concatenate([v[v != labels.UNKNOWN] for v in found.values()])
    assert set(np.unique(of)) == set(range(len(labels.LEARNT)))
    # Eyes lie where aligned faces have them.
    y, x = np.argwhere(found[78] == CLASSES.index("eyes")).mean(0) / SIZE
    assert abs(y - 0.464) < 0.02 and abs(x - 0.5) < 0.02


@pytest.mark.parametrize("line", ["hair 1,2", "horns 1,2 3,4", "skin 1,2 3", "face one", "hair 1,2 a,b"])
def test_strokes_that_are_none_are_named(tmp_path, line):
    (tmp_path / "s.txt").write_text(f"# a comment\nface 3\nskin 1,2 3,4\n{line}\n")
    with pytest.raises(LapcvaeError, match="line 4") as raised:
        labels.read_scribbles(tmp_path / "s.txt")
    assert line in raised.value.cause


def test_labels_that_are_there_are_not_made_again(made, sixty, teacher):
    def never(seed):
        raise AssertionError

    before = labels.file_of(made / "labels", 0).read_bytes()
    labels.write(teacher, never, made / "labels", 0, 60)
    assert labels.file_of(made / "labels", 0).read_bytes() == before
    assert [f.name for f in (made / "labels").iterdir()] == ["labels-000.npz"]


def test_labels_are_found_by_the_names_of_pictures(made, sixty):
    found = labels.read(made / "labels", ["faces-000.tar/rf000007.webp", "faces-000.tar/rf000061.webp"])
    assert (found[0] == truth(7)).mean() > 0.97 and found[1] is None
    with pytest.raises(LapcvaeError, match="anna.jpg"):
        labels.read(made / "labels", ["anna.jpg"])


@pytest.mark.parametrize("damage", [
    lambda file: file.write_bytes(b"no zip"),
    lambda file: np.savez(file, labels=np.zeros((60, 8, 8), np.uint8)),
    lambda file: np.savez(file, labels=np.array([{"a": 1}], object)),
])  # fmt: skip
def test_damaged_labels_are_named(tmp_path, sixty, damage):
    file = labels.file_of(tmp_path, 0)
    damage(file)
    with pytest.raises(LapcvaeError, match="labels-000.npz"):
        labels.read(tmp_path, ["rf000001.png"])


def labelled(made) -> segmenter.Labelled:
    return segmenter.load_labelled(segmenter.Run(made / "faces", made / "labels", made / "run"), "train")


def test_pictures_and_labels_are_moved_together(made, sixty):
    """What is drawn on a picture or taken from it changes its labels alike: sky stays blue, hair dark."""
    x, of = segmenter.batch_of(labelled(made), 48, torch.Generator().manual_seed(0))
    assert x.shape == (48, 3, SIZE, SIZE) and of.shape == (48, SIZE, SIZE) and 0 <= x.min() and x.max() <= 1
    light = x.mean(1)
    assert light[of == FACE].mean() > light[of == HAIR].mean() + 0.2
    assert {CLASSES.index("glasses"), CLASSES.index("hat"), segmenter.UNKNOWN} <= set(of.unique().tolist())


def test_the_same_step_has_the_same_pictures(made, sixty):
    first, again = (segmenter.batch_of(labelled(made), 4, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])


def test_a_run_learns_resumes_and_says_what_it_reached(made, trained, sixty, capsys):
    net, facts = segmenter.load(trained)
    assert float(facts["right"]) > 0.9 and float(facts["hair"]) > 0.7
    state = checkpoint.load_state(trained / checkpoint.STATE)
    assert state["step"] == 80
    arguments = ["--data", str(made / "faces"), "--labels", str(made / "labels"), "--out", str(trained), "--batch", "6"]
    assert command.main(["segmenter", *arguments, "--images", "480"]) == 0
    assert "Resumed at 480 pictures." in capsys.readouterr().out


def test_what_is_missing_is_said(made, tmp_path, sixty, capsys):
    arguments = ["segmenter", "--data", str(made / "faces"), "--out", str(tmp_path / "run")]
    assert command.main([*arguments, "--labels", str(tmp_path)]) == 1
    assert "python -m training labels" in capsys.readouterr().err
    assert command.main(["labels", "--out", str(tmp_path), "--count", "0"]) == 1
    with pytest.raises(LapcvaeError, match="python -m training segmenter"):
        segmenter.load(tmp_path)
    (tmp_path / segmenter.WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(LapcvaeError, match="damaged"):
        segmenter.load(tmp_path)


# In a bundle.


@pytest.fixture(scope="module")
def bundle(trained, tmp_path_factory):
    """The toy bundle of 256 pixels with it."""
    models = tmp_path_factory.mktemp("models") / "family"
    shutil.copytree(toy.family(), models)
    assert export_onnx.main(["-o", str(models / toy.LARGER), "--segmenter", str(trained)]) == 0
    return models / toy.LARGER


def test_a_bundle_tells_what_pixels_are_of(bundle, trained):
    engine = Engine(bundles.open_bundle(bundle), "cpu")
    assert engine.bundle.segmenter.classes == CLASSES
    photo = np.asarray(Image.fromarray(picture(7)).resize((256, 256)), np.float32) / 255
    encoded = encoding.encode(engine, photo)
    found = encoded.segments.of
    assert found.shape == (SIZE, SIZE, len(CLASSES)) and np.abs(found.sum(2) - 1).max() < 1e-3
    assert (found.argmax(2) == truth(7)).mean() > 0.9
    assert encoded.segments.at(32).of.shape == (32, 32, len(CLASSES))


def test_a_model_exported_anew_keeps_it(bundle, tmp_path):
    models = shutil.copytree(bundle.parent, tmp_path / "models")
    graph = (bundle / "segment.onnx").read_bytes()
    weights = shutil.copytree(bundle, tmp_path / "weights" / toy.LARGER)
    shutil.copytree(bundle.parent / toy.NAME, weights.parent / toy.NAME)
    assert export_onnx.main([str(weights), "-o", str(models / toy.LARGER)]) == 0
    new = bundles.open_bundle(models / toy.LARGER)
    assert new.segmenter == bundles.open_bundle(bundle).segmenter
    assert (models / toy.LARGER / "segment.onnx").read_bytes() == graph


@pytest.mark.parametrize("entry, words", [
    ({"classes": "hair"}, "no list of names"),
    ({"classes": ["hair", "../skin"]}, "no list of names"),
    ({"classes": ["hair"]}, "2 to 64 different classes"),
    ({"classes": ["hair", "hair"]}, "2 to 64 different classes"),
    ({"size": 100}, "no level has as many"),
    ({"size": 0}, "size"),
    ({"size": 32}, "size"),
    ({"graph": ""}, "graph"),
    ({"graph": "other.onnx"}, "other.onnx"),
])  # fmt: skip
def test_manifests_that_cannot_be(bundle, tmp_path, entry, words):
    broken = shutil.copytree(bundle, tmp_path / "broken")
    manifest = json.loads((broken / bundles.MANIFEST).read_text())
    manifest["segmenter"].update(entry)
    (broken / bundles.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(bundles.BundleError, match=words):
        bundles.open_bundle(broken)


def test_a_graph_of_other_classes_is_refused(bundle, tmp_path):
    broken = shutil.copytree(bundle, tmp_path / "broken")
    manifest = json.loads((broken / bundles.MANIFEST).read_text())
    manifest["segmenter"]["classes"].append("horns")
    (broken / bundles.MANIFEST).write_text(json.dumps(manifest))
    engine = Engine(bundles.open_bundle(broken), "cpu")
    with pytest.raises(bundles.BundleError, match="the manifest says"):
        engine.segment(np.zeros((SIZE, SIZE, 3), np.float32))


def test_an_answer_that_is_no_number_is_none_of_any_class(bundle, monkeypatch):
    engine = Engine(bundles.open_bundle(bundle), "cpu")
    answer = np.full((1, len(CLASSES), SIZE, SIZE), 0.5, np.float32)
    answer[0, 3, 5, 7] = np.nan
    answer[0, 4, 6, 8] = np.inf
    monkeypatch.setattr(engine, "_run", lambda *_: [answer])
    of = engine.segment(np.zeros((SIZE, SIZE, 3), np.float32)).of
    assert np.isfinite(of).all() and of.sum(2).max() <= 1.0001 and of[5, 7, 3] == 0


def test_a_model_that_is_too_small_for_one_is_refused_and_stays(trained, tmp_path, capsys):
    models = shutil.copytree(toy.models(), tmp_path / "models")
    before = sorted(p.name for p in (models / toy.NAME).iterdir())
    assert export_onnx.main(["-o", str(models / toy.NAME), "--segmenter", str(trained)]) == 1
    assert "no level has as many" in capsys.readouterr().err
    assert sorted(p.name for p in (models / toy.NAME).iterdir()) == before
