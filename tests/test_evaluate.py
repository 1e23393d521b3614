"""Evaluation on a toy: the report's numbers, and the formulas that are not in `metrics`."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
import small  # noqa: E402
from PIL import Image  # noqa: E402

from lapcvae.protocol.errors import LapcvaeError  # noqa: E402
from training import __main__ as command_line  # noqa: E402
from training import checkpoint, data, evaluate, groups, lpips, metrics, pyramid  # noqa: E402
from training.evaluate import Evaluation  # noqa: E402
from training.model import LapCVAE  # noqa: E402

# Large enough for LPIPS on AlexNet.
TOY_32 = dataclasses.replace(small.TOY, size=32)
COUNT, LIMIT = 22, 20


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """(a model, a folder of pictures)"""
    folder = tmp_path_factory.mktemp("evaluate")
    net = small.alive(LapCVAE(TOY_32))
    checkpoint.save_weights(net, folder / "toy.safetensors", {"perceptual": "vgg16", "data": "x"})
    pictures = folder / "pictures"
    pictures.mkdir()
    for i, square in enumerate(small.squares(COUNT, 64)):
        Image.fromarray(square).save(pictures / f"{i:02d}.png")
    (pictures / "bad.png").write_text("no picture")
    return folder / "toy.safetensors", pictures


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder with made-up LPIPS weights of AlexNet and VGG."""
    folder = tmp_path_factory.mktemp("lpips")
    for net in lpips.NETS:
        random = np.random.default_rng(0)
        arrays = {
            name: (random.standard_normal(shape) / math.sqrt(max(1, np.prod(shape[:-1])))).astype(np.float32)
            for name, shape in lpips.expected_shapes(net).items()
        }
        lpips.save_weights(net, {n: np.abs(a) if "NetLin" in n else a for n, a in arrays.items()}, folder)
    return folder


@pytest.fixture(scope="module")
def report(folders, weights, tmp_path_factory):
    """(the report's folder, the report)"""
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LAPCVAE_LPIPS", str(weights))
        status = command_line.main([
            "evaluate", "--model", str(folders[0]), "--data", str(folders[1]), "--out", str(out), "--limit", str(LIMIT),
            "--vgg-limit", "10", "--batch", "8", "--threads", "1",
        ])  # fmt: skip
    assert status == 0

    def no_constants(text):
        pytest.fail(f"{text} is no JSON")

    return out, json.loads((out / "evaluation.json").read_text(), parse_constant=no_constants)


def _truth(folders):
    squares = np.stack(small.squares(LIMIT, 64))
    return data.plain(data.Pictures(squares, ()), 32, range(LIMIT))


def test_the_report_says_what_was_measured(report):
    out, found = report
    assert (found["pictures"], found["skipped"], found["seed"], found["size"], found["levels"]) == (LIMIT, 1, 0, 32, 3)
    assert found["lpips"] == {"missing": {}, "vgg_limit": 10, "in_the_loss": "vgg16"}
    assert found["results"].keys() == {
        "reconstruction", "T=0", "T=0.5", "T=0.7", "T=1", "u", "pseudo-inverse", "elbo",
    }  # fmt: skip
    for section, measures in found["results"].items():
        for measure, figure in measures.items():
            assert figure["n"] == (10 if "vgg16" in measure else LIMIT), (section, measure)
            assert math.isfinite(figure["mean"])
    assert {p.name for p in out.iterdir()} == {"cache", "evaluation.json", "evaluation.md", "fixed.png", "worst.png"}


def test_the_baselines_are_those_of_the_pyramid(report, folders):
    found, x = report[1]["results"], _truth(folders)
    coarse = pyramid.reduce(x, 2)
    for section, made in (("u", pyramid.enlarge(coarse, 2)), ("pseudo-inverse", pyramid.lift(coarse, 2))):
        made = made.clamp(0, 1)
        for measure, values in (("psnr", metrics.psnr(made, x)), ("ssim", metrics.ssim(made, x))):
            wanted = metrics.mean_ci(values)
            # Batches of 8 in place of 20: float32 in another order.
            assert found[section][measure]["mean"] == pytest.approx(wanted.mean, abs=1e-3)
            assert found[section][measure]["ci95"] == pytest.approx(wanted.half_width, abs=1e-3)


def test_samples_agree_with_the_coarse_picture_once_projected(report):
    for name in ("T=0", "T=0.5", "T=0.7", "T=1"):
        found = report[1]["results"][name]
        assert found["consistency_unclipped"]["mean"] < 1e-3 < 0.1 < found["consistency_unprojected"]["mean"]
        assert found["consistency_unclipped"]["mean"] <= found["consistency"]["mean"]


def test_calibration_is_0_at_temperature_0_and_grows(report):
    found = [report[1]["results"][name] for name in ("T=0", "T=0.5", "T=0.7", "T=1")]
    for measure in ("calibration_32px", "calibration_16px"):
        values = [f[measure]["mean"] for f in found]
        assert values[0] == 0 and values == sorted(values) and values[1] > 0
    assert not any(m.startswith(("spread", "error")) for m in found[0])


def test_the_projected_sample_is_judged_and_lpips_also_without(report):
    found = report[1]["results"]
    for net in lpips.NETS:
        assert found["T=0.7"][f"lpips_{net}_unprojected"]["mean"] != found["T=0.7"][f"lpips_{net}"]["mean"]
        assert f"lpips_{net}_unprojected" not in found["T=1"]


def test_rates_sum_up_and_the_bound_follows_from_them(report):
    elbo = {name: figure["mean"] for name, figure in report[1]["results"]["elbo"].items()}
    assert elbo["kl_nats"] == pytest.approx(sum(elbo[f"kl_nats_{k}"] for k in range(3)), rel=1e-6)
    assert elbo["bits_per_dim_best_sigma2"] <= elbo["bits_per_dim"]
    assert elbo["bits_per_dim"] > 8 + 0.5 * math.log2(2 * math.pi * elbo["sigma2"])


def test_the_page_has_every_table_and_its_pictures(report):
    out, found = report
    page = (out / "evaluation.md").read_text()
    assert f"{LIMIT} pictures (all), 1 bad files skipped" in page
    assert "LPIPS vgg16 was in the loss" in page and "nan" not in page.lower() and "None" not in page
    psnr = found["results"]["reconstruction"]["psnr"]
    assert f"| {psnr['mean']:.4g} ± {psnr['ci95']:.2g} |" in page
    for head in ("PSNR dB", "LPIPS VGG", "C at 16 px", "1/2 to 1/4", "rate, nats"):
        assert head in page
    tables = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    assert len(tables) == 5 and all(len({line.count("|") for line in t.splitlines()}) == 1 for t in tables)
    with Image.open(out / "fixed.png") as fixed, Image.open(out / "worst.png") as worst:
        assert fixed.size == (8 * 32, 16 * 32) and worst.size == (8 * 32, 12 * 32)
        # The first column is the picture itself, in the fixed order.
        first = np.asarray(fixed)[:32, :32].astype(float)
    truth = small.squares(1, 64)[0].reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(first - truth).max() <= 0.51


def test_groups_are_the_extreme_fifths(report, folders):
    found = report[1]["groups"]
    fifth = round(LIMIT / 5)
    assert all(f["reconstruction psnr"]["n"] == fifth for f in found.values())
    x = _truth(folders)
    light = groups.proxies(x)["light"]
    assert light[groups.extremes(light)[0]].max() <= light[groups.extremes(light)[1]].min()
    means = {f["reconstruction psnr"]["mean"] for f in found.values()}
    assert len(means) > 4


def test_proxies_measure_what_they_are_called():
    grey = torch.full((1, 3, 64, 64), 0.4)
    ramp = torch.linspace(0.2, 0.6, 64).expand(1, 3, 64, 64)
    spot = grey.clone()
    spot[:, :, 28:40, 14:22] = 0.9
    noise = grey + 0.1 * torch.randn((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    dark, lit, turned, busy = (groups.proxies(x) for x in (grey - 0.2, ramp, spot, noise))
    base = groups.proxies(grey)
    assert float(base["light"]) == pytest.approx(0.4 * 255, abs=0.1) and dark["light"] < base["light"]
    assert base["side"] < 0.01 and lit["side"] > 20
    assert base["asymmetry"] < 0.01 and turned["asymmetry"] > 3 * lit["asymmetry"]
    assert base["detail"] < 0.01 and busy["detail"] > 10


def test_the_worst_are_by_lpips_worst_first(report):
    indices = report[1]["worst"]["indices"]
    assert report[1]["worst"]["by"] == "lpips_alexnet" and len(set(indices)) == 12 and max(indices) < LIMIT


def test_a_second_run_gives_the_same_numbers_and_without_weights_says_so(report, folders, tmp_path, monkeypatch):
    monkeypatch.setenv("LAPCVAE_LPIPS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = evaluate.evaluate(Evaluation(*folders, tmp_path / "out", limit=LIMIT, batch=8, threads=1))
    found = json.loads((out / "evaluation.json").read_text())
    assert found["lpips"]["missing"].keys() == {"alexnet", "vgg16"} and found["worst"]["by"] == "mse"
    assert "LPIPS alexnet is not measured: no weights were found" in (out / "evaluation.md").read_text()
    for section, measures in report[1]["results"].items():
        for measure, figure in measures.items():
            if measure.startswith("lpips"):
                assert measure not in found["results"][section]
            else:
                assert found["results"][section][measure] == figure, (section, measure)


def test_the_papers_model_can_be_evaluated(folders, tmp_path):
    checkpoint.save_weights(small.alive(LapCVAE(small.PAPER)), tmp_path / "w.safetensors")
    out = evaluate.evaluate(Evaluation(tmp_path / "w.safetensors", folders[1], tmp_path / "out", limit=3, threads=1))
    found = json.loads((out / "evaluation.json").read_text())
    # 16 px: too small for AlexNet.
    assert found["lpips"]["missing"]["alexnet"] == "pictures of 16 px are too small for it"
    assert found["results"]["T=1"]["psnr"]["n"] == 3


def test_bits_per_dim_of_a_gaussian_is_its_entropy():
    sigma = 0.1
    x_0 = torch.full((4, 3, 64, 64), 0.5)
    x = x_0 + sigma * torch.randn(x_0.shape, generator=torch.Generator().manual_seed(0))
    kl = torch.tensor([0.0, 0.0, 0.0, 12288 * math.log(2)])
    found = evaluate.bits_per_dim(x_0, x, kl, sigma**2)
    entropy = 0.5 * math.log2(2 * math.pi * math.e * sigma**2) + 8
    # 12,288 numbers: their variance is known to 1.3%, .009 bits; a nat per dimension more is 1 / ln 2 bits more.
    assert found[:3].tolist() == pytest.approx([entropy] * 3, abs=0.04)
    assert found[3].item() == pytest.approx(entropy + 1, abs=0.04)


def test_the_ratio_is_that_of_the_calibration_and_its_interval_covers():
    random = torch.Generator().manual_seed(0)
    s, s2, x = (torch.rand(50, 3, 8, 8, generator=random) for _ in range(3))
    spread, error = (s - s2).square().mean((1, 2, 3)), (s - x).square().mean((1, 2, 3))
    assert evaluate.ratio(spread, error)["mean"] == pytest.approx(metrics.calibration(s, s2, x), rel=1e-5)
    # 400 sets of 60 pairs with the ratio 2 of means.
    above, below = (m + 0.3 * torch.randn(400, 60, generator=random) for m in (2.0, 1.0))
    found = [evaluate.ratio(a, b) for a, b in zip(above, below)]
    covered = np.mean([abs(f["mean"] - 2) < f["ci95"] for f in found])
    # 95% within three standard deviations of 400 draws.
    assert 0.915 < covered < 0.985
    assert evaluate.ratio(above[0], torch.zeros(60)) == {"mean": None, "ci95": None, "n": 60}


def test_infinite_values_are_left_out_and_counted():
    assert evaluate.summary(torch.tensor([1.0, 3.0, math.inf])) == {
        "mean": 2.0, "ci95": pytest.approx(1.96, abs=1e-3), "n": 2,
    }  # fmt: skip
    assert evaluate.summary(torch.tensor([math.inf])) == {"mean": None, "ci95": None, "n": 0}
    assert evaluate.summary(torch.tensor([4.0]))["ci95"] is None


@pytest.mark.parametrize("changes, message", [
    (dict(split="other"), "no split"), (dict(limit=-1), "negative"), (dict(batch=0), "negative"),
])  # fmt: skip
def test_impossible_evaluations_are_refused(folders, tmp_path, changes, message):
    with pytest.raises(LapcvaeError, match=message):
        Evaluation(*folders, tmp_path, **changes)
