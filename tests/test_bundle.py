"""A bundle is untrusted input: each kind of broken one has its own message, and nothing of it is loaded."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy

from lapcvae import bundle as bundles
from lapcvae.bundle import BundleError, find, open_bundle, scan
from lapcvae.engine import CPU, Engine, open_session
from lapcvae.protocol.errors import LapcvaeError


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of the toy bundle, to be broken."""
    return Path(shutil.copytree(toy.models() / toy.NAME, tmp_path / "broken"))


def change(folder: Path, edit) -> None:
    file = folder / bundles.MANIFEST
    manifest = json.loads(file.read_text())
    edit(manifest)
    file.write_text(json.dumps(manifest))


def rehash(folder: Path, name: str) -> None:
    """Make the manifest agree with the file, so that only what is inside of it is wrong."""
    data = (folder / name).read_bytes()
    facts = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    change(folder, lambda m: m["files"].update({name: facts}))


def refused(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        open_bundle(folder)
    assert str(folder) in caught.value.cause and caught.value.remedy
    return caught.value.cause


def refused_graph(folder: Path, name: str) -> str:
    """The manifest is in order; the engine must refuse the graph when it is to be opened."""
    bundle = open_bundle(folder)
    with pytest.raises(BundleError) as caught:
        open_session(bundle, name, CPU)
    assert name in caught.value.cause
    return caught.value.cause


def test_a_good_bundle_opens_and_runs(folder):
    bundle = open_bundle(folder)
    assert (bundle.size, bundle.K, bundle.eyes) == (toy.SIZE, toy.LEVELS - 1, (0.46, 0.25))
    engine = Engine(bundle, "cpu")
    engine.warm()
    posterior = engine.encode(bundle.K, np.full((16, 16, 3), 0.5, np.float32))
    assert [q.mu.shape for q in posterior] == [(1, 4, 1, 1), (1, 4, 4, 4)]


def test_the_hash_names_the_content(folder):
    before = open_bundle(folder).hash
    change(folder, lambda m: m.update(title="Another title"))
    assert open_bundle(folder).hash == before
    (folder / "card.md").write_text("x")
    rehash(folder, "card.md")
    assert open_bundle(folder).hash != before


# --- the manifest ---


def test_no_manifest(folder):
    (folder / bundles.MANIFEST).unlink()
    assert "manifest.json cannot be read" in refused(folder)


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000, '{"format": 1e', "\0"])
def test_a_manifest_that_is_no_json(folder, text):
    (folder / bundles.MANIFEST).write_text(text)
    assert "no valid JSON" in refused(folder)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b'{"format": "\xff"}'])
def test_a_manifest_that_is_no_text(folder, data):
    (folder / bundles.MANIFEST).write_bytes(data)
    assert "no valid JSON" in refused(folder)


@pytest.mark.parametrize("text", ["[]", "3", '{"name": "x"}', '{"format": "1"}'])
def test_a_manifest_without_a_format(folder, text):
    (folder / bundles.MANIFEST).write_text(text)
    assert "no format version" in refused(folder)


def test_an_oversized_manifest(folder):
    (folder / bundles.MANIFEST).write_text(" " * (bundles.LARGEST_MANIFEST + 1))
    assert "larger than" in refused(folder)


def test_a_newer_format(folder):
    change(folder, lambda m: m.update(format=bundles.FORMAT + 1))
    assert f"format {bundles.FORMAT + 1}" in refused(folder)


@pytest.mark.parametrize(("key", "value"), [
    ("size", 10**9), ("size", -128), ("size", 128.0), ("size", True), ("size", "128"), ("size", None),
])  # fmt: skip
def test_absurd_sizes(folder, key, value):
    change(folder, lambda m: m.update({key: value}))
    assert '"size" is' in refused(folder)


@pytest.mark.parametrize("value", [[], [{}], None, "levels", [{}] * 50])
def test_levels_that_are_none(folder, value):
    change(folder, lambda m: m.update(levels=value))
    assert "levels" in refused(folder) or "groups" in refused(folder)


@pytest.mark.parametrize(("group", "words"), [
    ({"kind": "cloud", "channels": 2, "stride": 2}, "unknown kind"),
    ({"kind": "grid", "channels": 10**9, "stride": 2}, '"channels" is'),
    ({"kind": "grid", "channels": 2, "stride": 0}, '"stride" is'),
    ({"kind": "grid", "channels": 2, "stride": 7}, "cannot be divided"),
    ("grid", "unknown kind"),
])  # fmt: skip
def test_groups_that_cannot_be(folder, group, words):
    change(folder, lambda m: m["levels"][0].update(groups=[group]))
    assert words in refused(folder)


@pytest.mark.parametrize("eyes", [
    {"y": 2.0, "distance": 0.2}, {"y": 0.4}, [0.4, 0.2], "eyes", {"y": "a", "distance": 0.1},
])  # fmt: skip
def test_eyes_that_cannot_be(folder, eyes):
    change(folder, lambda m: m.update(eyes=eyes))
    assert "eyes" in refused(folder)


@pytest.mark.parametrize("key", ["name", "title", "licence"])
def test_texts_that_are_missing(folder, key):
    change(folder, lambda m: m.pop(key))
    assert f'"{key}" is missing' in refused(folder)


# --- the files ---


@pytest.mark.parametrize("name", ["../outside.onnx", "/etc/passwd", "a/b.onnx", "..", ".hidden", "a\\b", "", "x" * 200])
def test_a_file_name_that_leads_elsewhere(folder, name):
    (folder.parent / "outside.onnx").write_bytes(b"")
    facts = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    change(folder, lambda m: m["files"].update({name: facts}))
    assert "points outside the folder" in refused(folder)


def test_a_graph_that_is_not_listed(folder):
    change(folder, lambda m: m["levels"][0].update(encode="../../evil.onnx"))
    assert "not in its list of files" in refused(folder)


@pytest.mark.parametrize("files", [None, {}, [], "all", {f"f{i}": {"bytes": 0, "sha256": ""} for i in range(100)}])
def test_no_list_of_files(folder, files):
    change(folder, lambda m: m.update(files=files))
    assert "no list of files" in refused(folder)


@pytest.mark.parametrize("facts", [None, {}, {"bytes": -1, "sha256": ""}, {"bytes": 2**40, "sha256": ""}, {"bytes": 5}])
def test_a_file_without_size_or_hash(folder, facts):
    change(folder, lambda m: m["files"].update({"decode_0.onnx": facts}))
    assert "size or SHA-256 of decode_0.onnx is missing" in refused(folder)


def test_a_missing_file(folder):
    (folder / "decode_1.onnx").unlink()
    assert "the file decode_1.onnx is missing" in refused(folder)


def test_a_wrong_size(folder):
    with (folder / "decode_1.onnx").open("ab") as file:
        file.write(b"x")
    assert "bytes in place of" in refused(folder)


def test_a_wrong_hash(folder):
    file = folder / "decode_1.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert "SHA-256" in refused(folder)


def test_a_linked_file(folder):
    file = folder / "decode_1.onnx"
    elsewhere = folder.parent / "elsewhere.onnx"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert "is a link" in refused(folder)


def test_a_fifo_is_not_waited_for(folder):
    file = folder / "decode_1.onnx"
    file.unlink()
    os.mkfifo(file)
    assert "is missing" in refused(folder)


# --- the graphs ---


def replace_graph(folder: Path, name: str, edit) -> None:
    import onnx

    model = onnx.load(str(folder / name))
    edit(model)
    (folder / name).write_bytes(model.SerializeToString())
    rehash(folder, name)


def test_a_graph_that_is_none(folder):
    (folder / "encode_0.onnx").write_bytes(b"not a graph")
    rehash(folder, "encode_0.onnx")
    assert "onnxruntime refuses" in refused_graph(folder, "encode_0.onnx")


def test_a_graph_with_other_inputs(folder):
    shutil.copyfile(folder / "encode_2.onnx", folder / "encode_0.onnx")
    rehash(folder, "encode_0.onnx")
    assert "the inputs of encode_0.onnx are" in refused_graph(folder, "encode_0.onnx")


def test_a_graph_of_another_shape(folder):
    change(folder, lambda m: m["levels"][1]["groups"][0].update(channels=3))
    assert "the manifest says" in refused_graph(folder, "decode_1.onnx")


def test_a_graph_of_another_type(folder):
    import onnx

    def to_double(model):
        """The input keeps its name, and a Cast to what the graph used before follows."""
        value = next(v for v in model.graph.input if v.name == "temperature")
        value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
        for node in model.graph.node:
            node.input[:] = ["narrow" if name == "temperature" else name for name in node.input]
        cast = onnx.helper.make_node("Cast", ["temperature"], ["narrow"], to=onnx.TensorProto.FLOAT)
        model.graph.node.insert(0, cast)

    replace_graph(folder, "decode_0.onnx", to_double)
    assert "float" in refused_graph(folder, "decode_0.onnx")


def test_a_graph_with_data_outside(folder):
    import onnx

    (folder / "outside.bin").write_bytes(bytes(4096))
    rehash(folder, "outside.bin")

    def point_outside(model):
        tensor = next(t for t in model.graph.initializer if len(t.raw_data) >= 64)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", "outside.bin"), ("offset", "0")):
            tensor.external_data.add(key=key, value=value)

    replace_graph(folder, "encode_0.onnx", point_outside)
    assert "onnxruntime refuses" in refused_graph(folder, "encode_0.onnx")


def test_a_graph_with_an_operator_of_its_own(folder):
    def foreign(model):
        model.graph.node[0].domain = "com.example"
        model.opset_import.add(domain="com.example", version=1)

    replace_graph(folder, "encode_0.onnx", foreign)
    assert "onnxruntime refuses" in refused_graph(folder, "encode_0.onnx")


def test_a_step_that_cuts_through_latents(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["levels"][0]["step"] = 1
    manifest["levels"][1]["step"] = 8
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="level 0 cannot be cut at every 1 pixels"):
        open_bundle(folder)
    manifest["levels"][0]["step"] = 4
    manifest["levels"][2]["step"] = 8
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="level 2 cannot be cut"):
        open_bundle(folder)


# --- finding ---


def test_the_first_place_wins_and_a_name_finds_its_bundle(folder, tmp_path, monkeypatch):
    other = tmp_path / "other"
    shutil.copytree(folder, other / "toy")
    monkeypatch.setenv("LAPCVAE_MODELS", str(other))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert scan(toy.models()) == {"toy": other / "toy"}
    assert find("toy", toy.models()) == other / "toy"
    with pytest.raises(LapcvaeError, match="Installed are: toy"):
        find("faces-9000", toy.models())


def test_no_model_at_all(tmp_path, monkeypatch):
    monkeypatch.delenv("LAPCVAE_MODELS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with pytest.raises(LapcvaeError, match="No model is installed"):
        find("", tmp_path)
