"""The 8-bit graphs of a bundle: how they get in, that they are nearly the float32 ones, and when they run."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import toy
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

import export_onnx  # noqa: E402
from lapcvae import bundle as bundles  # noqa: E402
from lapcvae import engine as engines  # noqa: E402
from lapcvae.engine import Engine  # noqa: E402
from training import data, quantize  # noqa: E402


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(12):
        Image.fromarray(np.roll(toy.portrait(80 + i, 80), 5 * i, axis=1)).save(folder / f"{i}.png")
    (folder / "damaged.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, pictures):
    folder = tmp_path_factory.mktemp("models") / toy.NAME
    shutil.copytree(toy.models() / toy.NAME, folder)
    assert export_onnx.main(["-o", str(folder), "--int8", str(pictures)]) == 0
    return folder


def test_every_graph_but_the_coarsest_decoder_has_an_8_bit_form(bundle):
    opened = bundles.open_bundle(bundle)
    for level in opened.levels:
        assert level.encode_int8 == f"encode_{level.k}.int8.onnx"
        assert level.decode_int8 == (f"decode_{level.k}.int8.onnx" if level.k < opened.K else "")
    assert {n for n in opened.graphs if "int8" in n} <= set(opened.manifest["files"])
    # Everything else is as it was.
    before = bundles.open_bundle(toy.models() / toy.NAME)
    assert all(opened.manifest["files"][name] == facts for name, facts in before.manifest["files"].items())
    assert 0 < opened.manifest["int8"]["rms_grey_levels"] < 8


def test_graphs_of_a_family_that_are_the_same_have_the_same_8_bit_form(tmp_path, bundle):
    """Calibrated on other pictures they would be others."""
    other = np.random.default_rng(0).random((10, toy.SIZE, toy.SIZE, 3), np.float32)
    made = {}
    for smaller in (None, bundle):
        folder = tmp_path / f"beside-{smaller is not None}" / toy.NAME
        shutil.copytree(toy.models() / toy.NAME, folder)
        levels = quantize.quantize(folder, other, smaller)
        made[smaller] = [(folder / name).read_bytes() for level in levels for name in level.values()]
    wanted = [(bundle / n).read_bytes() for level in levels for n in level.values()]
    assert made[bundle] == wanted and all(a != b for a, b in zip(made[None], wanted))


def test_the_8_bit_graphs_are_others_and_nearly_the_same(bundle, pictures):
    opened = bundles.open_bundle(bundle)
    exact, rounded, usual = Engine(opened, "cpu", False), Engine(opened, "cpu", True), Engine(opened, "cpu")
    assert (exact.precision, rounded.precision) == ("float32", "int8")
    x = quantize.read_pictures(pictures, opened.size)[0]
    made = [quantize.chain(engine, x, 1, 0.7, 1.0) for engine in (exact, rounded, usual)]
    assert 0 < 255 * np.abs(made[0] - made[1]).mean() < 4
    # What the samples vary by is much more than what rounding does.
    assert np.abs(made[0] - quantize.chain(exact, x, 2, 0.7, 1.0)).mean() > 2 * np.abs(made[0] - made[1]).mean()
    assert np.array_equal(made[2], made[1 if engines.multiplies_bytes() else 0])


@pytest.mark.parametrize(("flags", "variable", "wanted"), [
    ("fpu avx2 avx512_vnni", "", True), ("fpu avx_vnni", "1", True), ("fpu avx2 avx512f", "", False),
    ("avx512_vnni", "0", False),
])  # fmt: skip
def test_they_run_where_the_cpu_multiplies_bytes(bundle, tmp_path, monkeypatch, flags, variable, wanted):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: none\n")
    monkeypatch.setattr(engines, "CPU_INFO", str(tmp_path / "cpuinfo"))
    monkeypatch.setenv("LAPCVAE_INT8", variable)
    engines.multiplies_bytes.cache_clear()
    try:
        assert Engine(bundles.open_bundle(bundle), "cpu").precision == ("int8" if wanted else "float32")
        assert Engine(bundles.open_bundle(toy.models() / toy.NAME), "cpu").precision == "float32"
    finally:
        monkeypatch.undo()
        engines.multiplies_bytes.cache_clear()


def test_without_that_file_nothing_is_assumed(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "CPU_INFO", str(tmp_path / "none"))
    engines.multiplies_bytes.cache_clear()
    assert not engines.multiplies_bytes()
    engines.multiplies_bytes.cache_clear()


def test_a_damaged_8_bit_graph_is_found(bundle, tmp_path):
    folder = tmp_path / toy.NAME
    shutil.copytree(bundle, folder)
    (folder / "decode_0.int8.onnx").write_bytes(b"x")
    with pytest.raises(bundles.BundleError, match="decode_0.int8.onnx"):
        bundles.open_bundle(folder)
    manifest = json.loads((bundle / "manifest.json").read_text())
    for wrong in ("decode.onnx", {"decode": 7}):
        manifest["levels"][0]["int8"] = wrong
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(bundles.BundleError):
            bundles.describe(folder)


def test_too_few_pictures_are_explained(tmp_path, capsys):
    shutil.copytree(toy.models() / toy.NAME, tmp_path / toy.NAME)
    before = (tmp_path / toy.NAME / "manifest.json").read_bytes()
    (tmp_path / "few").mkdir()
    Image.fromarray(toy.portrait()).save(tmp_path / "few" / "one.png")
    assert export_onnx.main(["-o", str(tmp_path / toy.NAME), "--int8", str(tmp_path / "few")]) == 1
    assert "has 1 readable pictures. Give at least 9" in capsys.readouterr().err
    assert (tmp_path / toy.NAME / "manifest.json").read_bytes() == before


def test_pictures_come_from_an_array_too(tmp_path):
    squares = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), np.uint8)
    np.save(data.array_of(tmp_path, 32), squares)
    # 3 of 60 are for validation: too few, so any.
    found = quantize.read_pictures(tmp_path, 32)
    np.testing.assert_allclose(found, squares[: quantize.PICTURES] / 255, atol=1e-6)
    np.save(data.array_of(tmp_path, 32), np.resize(squares, (1000, 32, 32, 3)))
    found = quantize.read_pictures(tmp_path, 32)
    np.testing.assert_allclose(found, np.resize(squares, (1000, 32, 32, 3))[50 : 50 + quantize.PICTURES] / 255, atol=1e-6)
