"""Data, model, step and loop on toy widths."""

import dataclasses
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
import small  # noqa: E402
from PIL import Image  # noqa: E402
from small import BATCH, PAPER, SIZE, STILL, TOY  # noqa: E402

from lapcvae.protocol.errors import LapcvaeError  # noqa: E402
from training import __main__ as command_line  # noqa: E402
from training import checkpoint, config, corrupt, data, loop, pyramid  # noqa: E402
from training.config import Mix  # noqa: E402
from training.loop import Trainer  # noqa: E402
from training.model import DiagonalGaussian, FromPosterior, LapCVAE, Mixed  # noqa: E402
from training.step import Step, negative_elbo, optimal_nll  # noqa: E402

# Pictures


def test_the_split_depends_on_the_name_alone_and_is_5_percent_each():
    splits = [data._split_of(f"{i}.png") for i in range(20000)]
    # 13 of 256 each; the standard deviation of 20,000 draws is .0015.
    assert abs(splits.count("test") / 20000 - 13 / 256) < 0.006 and abs(splits.count("val") / 20000 - 13 / 256) < 0.006
    assert [data._split_of(n) for n in ("0.png", "1.png")] == splits[:2]


def test_splits_are_disjoint_and_all_is_all_of_them(tmp_path):
    folder = small.folder_of(tmp_path / "in", train=5, val=3, test=2)
    splits = ("train", "val", "test", "all")
    sizes = {s: len(data.load(folder, s, 32, tmp_path / "cache", lambda _: None)) for s in splits}
    assert sizes == {"train": 5, "val": 3, "test": 2, "all": 10}


def test_bad_files_are_counted_named_and_skipped(tmp_path):
    folder = small.folder_of(tmp_path / "in", train=3, val=0)
    whole = io.BytesIO()
    Image.fromarray(small.squares(1, 64)[0]).save(whole, "PNG")
    (folder / "truncated.png").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (folder / "text.jpg").write_text("not a picture")
    (folder / "empty.webp").write_bytes(b"")
    (folder / "notes.txt").write_text("not even a picture's name")
    Image.fromarray(small.squares(1, 31)[0]).save(folder / "tiny.png")
    said = []
    pictures = data.load(folder, "all", 32, tmp_path / "cache", said.append)
    assert len(pictures) == 3 and len(pictures.skipped) == 4
    assert sorted(s.split(":")[0] for s in pictures.skipped) == ["empty.webp", "text.jpg", "tiny.png", "truncated.png"]
    assert any("31 x 31 pixels" in s for s in pictures.skipped) and "3 pictures, 4 skipped." in said
    # From the cache: still known.
    assert data.load(folder, "all", 32, tmp_path / "cache").skipped == pictures.skipped


def test_a_file_that_cannot_be_opened_is_skipped(tmp_path, monkeypatch):
    folder = small.folder_of(tmp_path / "in", train=3, val=0)
    first = sorted(folder.iterdir())[0]
    read = Path.read_bytes

    def refuse(path):
        if path == first:
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    pictures = data.load(folder, "train", 32, tmp_path / "cache", lambda _: None)
    assert len(pictures) == 2 and pictures.skipped[0].startswith(f"{first.name}: ")


def test_no_pictures_is_an_error_that_says_how_many_were_skipped(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "text.jpg").write_text("not a picture")
    with pytest.raises(LapcvaeError, match="no readable all pictures .1 were skipped"):
        data.load(folder, "all", 32, tmp_path / "cache", lambda _: None)
    assert len(data.load(folder, "val", 32, tmp_path / "cache", lambda _: None, needed=False)) == 0
    with pytest.raises(LapcvaeError, match="There are no pictures at"):
        data.load(tmp_path / "nowhere", "all", 32, tmp_path / "cache", lambda _: None)


def test_pictures_become_centred_squares_of_exact_means(tmp_path):
    wide = np.zeros((64, 128, 3), np.uint8)
    wide[:, 32:96] = small.squares(1, 64)[0]
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(wide).save(folder / "wide.png")
    (square,) = data.load(folder, "all", 32, tmp_path / "cache", lambda _: None).array
    mean = wide[:, 32:96].reshape(32, 2, 32, 2, 3).mean((1, 3))
    # Pillow rounds each axis.
    assert np.abs(square.astype(float) - mean).max() <= 1


def _shard(path, pictures):
    """`pictures`: (name, bytes) pairs, in that order."""
    with tarfile.open(path, "w") as tar:
        for name, content in pictures:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_tar_shards_give_the_same_pictures_and_say_their_split(tmp_path):
    files = []
    for i, square in enumerate(small.squares(4)):
        png = io.BytesIO()
        Image.fromarray(square).save(png, "PNG")
        facts = json.dumps({"split": "test" if i == 2 else "train"}).encode()
        files += [(f"p{i}.json", facts), (f"p{i}.png", png.getvalue())]
    shards = tmp_path / "shards"
    shards.mkdir()
    _shard(shards / "a.tar", files[:4])
    _shard(shards / "b.tar", [*files[4:], ("bad.png", b"nothing"), ("bad.json", b'{"split": "train"}')])
    train = data.load(shards, "train", 32, tmp_path / "cache", lambda _: None)
    test = data.load(shards, "test", 32, tmp_path / "cache", lambda _: None)
    np.testing.assert_array_equal(train.array, [s for i, s in enumerate(small.squares(4)) if i != 2])
    np.testing.assert_array_equal(test.array, small.squares(4)[2:3])
    assert len(train.skipped) == 1 and train.skipped[0].startswith("b.tar/bad.png: ")
    # One shard alone.
    assert len(data.load(shards / "a.tar", "train", 32, tmp_path / "cache", lambda _: None)) == 2


@pytest.mark.parametrize("damage", [lambda whole: whole[:4000], lambda whole: b"no archive" * 100], ids=["cut", "text"])
def test_a_broken_shard_is_named(tmp_path, damage):
    _shard(tmp_path / "a.tar", [("p.png", b"x" * 2000), ("q.png", b"y" * 2000)])
    (tmp_path / "a.tar").write_bytes(damage((tmp_path / "a.tar").read_bytes()))
    with pytest.raises(LapcvaeError, match="a.tar cannot be read"):
        data.load(tmp_path, "all", 32, tmp_path / "cache", lambda _: None)


def test_the_cache_is_used_until_the_files_change(tmp_path, monkeypatch):
    folder = small.folder_of(tmp_path / "in", train=4, val=0)
    first = data.load(folder, "train", 32, tmp_path / "cache", lambda _: None)
    with monkeypatch.context() as patched:
        patched.setattr(data, "square", lambda *_: pytest.fail("read again"))
        again = data.load(folder, "train", 32, tmp_path / "cache")
    np.testing.assert_array_equal(first.array, again.array)
    next(iter(folder.iterdir())).unlink()
    assert len(data.load(folder, "train", 32, tmp_path / "cache", lambda _: None)) == 3
    assert not [p for p in (tmp_path / "cache").iterdir() if str(os.getpid()) in p.suffixes]


def test_batches_depend_on_seed_step_and_stream_alone(tmp_path):
    pictures = data.Pictures(np.stack(small.squares(8)), ())

    def batch(*key):
        return data.batch(pictures, SIZE, BATCH, config.Augmentation(), data.generator_for(*key))

    x = batch(0, 5, 0)
    assert x.shape == (BATCH, 3, SIZE, SIZE) and 0 <= x.min() and x.max() <= 1
    assert torch.equal(x, batch(0, 5, 0))
    assert not any(torch.equal(x, batch(*key)) for key in ((1, 5, 0), (0, 6, 0), (0, 5, 1)))


def test_without_augmentation_a_batch_is_exact_2_by_2_means():
    stored = np.stack(small.squares(8))
    pictures = data.Pictures(stored, ())
    means = stored.reshape(8, SIZE, 2, SIZE, 2, 3).mean((2, 4)).transpose(0, 3, 1, 2) / 255
    # 2e-5: the warp with the identity computes its weights in float32.
    for x in data.batch(pictures, SIZE, BATCH, STILL, data.generator_for(0, 0, 0)).numpy():
        assert np.abs(means - x).max((1, 2, 3)).min() < 2e-5
    np.testing.assert_allclose(data.plain(pictures, SIZE, range(8)).numpy(), means, atol=1e-6)


# Painting


def test_painted_pictures_have_masks_and_strengths_in_range():
    clean = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    painted = corrupt.paint(clean, torch.Generator().manual_seed(1))
    assert painted.picture.shape == clean.shape and painted.mask.shape == painted.trust.shape == (64, 1, 8, 8)
    assert set(painted.mask.unique().tolist()) == {0.0, 1.0}
    assert 0 <= painted.strength.min() < 0.1 and 0.9 < painted.strength.max() <= 1
    assert torch.equal(painted.trust[:, 0, 3, 5], painted.strength)
    # What was painted changed more than what was not, and every stroke's colour stays a colour, up to the noise.
    change, mask = (painted.picture - clean).abs().mean(1, keepdim=True), painted.mask.bool()
    assert change[mask].mean() > 2 * change[~mask].mean()
    assert -0.4 < painted.picture.min() and painted.picture.max() < 1.4


def test_capsules_are_soft_coverage_and_half_are_mirrored_pairs():
    cover = corrupt.capsules(400, 16, torch.Generator().manual_seed(0), "cpu")
    assert cover.shape == (400, 1, 16, 16) and cover.min() == 0 and cover.max() == 1
    mirrored = (cover - cover.flip(3)).abs().amax((1, 2, 3)) < 1e-5
    assert 0.4 < mirrored.float().mean() < 0.6


# Model


def _gaussians(seed=0, shape=(2, 3, 4, 4)):
    generator = torch.Generator().manual_seed(seed)
    return [DiagonalGaussian(*(torch.randn(shape, generator=generator) for _ in range(2))) for _ in range(2)]


def test_kl_is_that_of_torch_distributions():
    q, p = _gaussians()
    as_torch = [torch.distributions.Normal(g.mu, g.log_sigma.exp()) for g in (q, p)]
    torch.testing.assert_close(q.kl(p), torch.distributions.kl_divergence(*as_torch), rtol=1e-4, atol=1e-5)
    assert q.kl(q).abs().max() < 1e-6
    draw = FromPosterior([q], None)
    assert torch.equal(draw(0, p), q.mu)
    torch.testing.assert_close(draw.kl[0], q.kl(p).sum((1, 2, 3)))


def test_samples_have_the_gaussians_mean_and_spread():
    q, _ = _gaussians(1, (1, 2, 1, 1))
    eps = torch.randn(100000, 2, 1, 1, generator=torch.Generator().manual_seed(2))
    for temperature in (0.0, 0.5, 1.0):
        z = q.sample(eps, temperature)
        torch.testing.assert_close(z.mean(0, keepdim=True), q.mu, rtol=0, atol=0.05)
        torch.testing.assert_close(z.std(0, keepdim=True), temperature * q.log_sigma.exp(), rtol=0.02, atol=1e-5)


def test_log_sigma_is_bounded():
    q = DiagonalGaussian.of(torch.tensor([[0.0, 1e4], [0.0, -1e4]])[:, :, None, None])
    assert q.log_sigma.flatten().tolist() == [5.0, -5.0]


@pytest.mark.parametrize("model", [TOY, PAPER], ids=["toy", "paper"])
def test_pictures_latents_and_their_sizes(model):
    net = small.alive(LapCVAE(model))
    x = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    b = pyramid.gaussians(x, model.K)
    pictures, kls = net.chain(b, torch.Generator().manual_seed(0))
    sizes = [(2, 3, SIZE >> k, SIZE >> k) for k in range(3)]
    assert [tuple(p.shape) for p in pictures] == sizes and all(k.shape == (2,) and (k > 0).all() for k in kls)
    assert [tuple(p.shape) for p in net.sample(b[-1], torch.Generator().manual_seed(0))] == sizes
    for k in range(3):
        u = None if k == model.K else pyramid.u(b[k + 1])
        found = [tuple(q.mu.shape[1:]) for q in net.encode(k, b[k], u)]
        assert found == net.latent_shapes(k)
    if model is PAPER:
        assert [net.latent_shapes(k) for k in range(3)] == [[(4, 1, 1)]] * 3


def _priors(net, k, u, statistics):
    draw = small.Recorded()
    net.decode(k, draw, len(u), u, statistics)
    return torch.cat([p.parameters.flatten(1) for p in draw.priors], 1)


def test_the_papers_prior_is_m_k_of_the_coarser_statistics_alone():
    random = torch.Generator().manual_seed(0)
    u = [torch.rand(2, 3, SIZE, SIZE, generator=random) for _ in range(2)]
    for model in (PAPER, TOY):
        net = small.alive(LapCVAE(model))
        above = net.latent_shapes(1)[-1]
        statistics = [torch.randn(2, 2 * above[0], *above[1:], generator=random) for _ in range(2)]
        base = _priors(net, 0, u[0], statistics[0])
        assert (_priors(net, 0, u[0], statistics[1]) - base).abs().max() > 1e-3
        by_u = (_priors(net, 0, u[1], statistics[0]) - base).abs().max()
        assert by_u == 0 if model is PAPER else by_u > 1e-3


def test_the_coarsest_prior_is_standard_normal():
    for model in (TOY, PAPER):
        net, draw = small.alive(LapCVAE(model)), small.Recorded()
        net.decode(model.K, draw, 3)
        assert all((p.mu == 0).all() and (p.log_sigma == 0).all() and len(p.mu) == 3 for p in draw.priors)


def test_samples_at_temperature_0_are_one_and_projected_ones_keep_the_coarse_picture():
    net = small.alive(LapCVAE(TOY))
    coarse = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))

    def sample(seed, temperature, **more):
        return net.sample(coarse, torch.Generator().manual_seed(seed), temperature, **more)

    assert torch.equal(sample(1, 0.0)[0], sample(2, 0.0)[0])
    assert not torch.equal(sample(1, 1.0)[0], sample(2, 1.0)[0])
    assert (pyramid.reduce(sample(1, 1.0)[0], 2) - coarse).abs().max() > 1e-2
    projected = sample(1, 1.0, projected=True)
    for k in (0, 1):
        assert (pyramid.reduce(projected[k], 2 - k) - coarse).abs().max() < 1e-4


def test_a_mixed_draw_takes_the_photo_outside_the_mask():
    _, prior = _gaussians()
    z, eps = torch.full_like(prior.mu, 7), torch.ones_like(prior.mu)
    mask = torch.zeros(2, 1, 4, 4)
    mask[..., :2] = 1
    drawn = Mixed([z], [mask], [eps], 0.5)(0, prior)
    assert (drawn[..., 2:] == 7).all()
    torch.testing.assert_close(drawn[..., :2], (prior.mu + 0.5 * prior.log_sigma.exp())[..., :2])


def test_a_description_is_read_back_and_a_damaged_one_refused():
    for model in (TOY, PAPER, config.FACES_128):
        assert config.model_from_json(config.to_json(model)) == model
    for text in ("", "{}", '{"size": 16, "levels": [{"widths": [8]}]}', "[]"):
        with pytest.raises(LapcvaeError, match="description cannot be read"):
            config.model_from_json(text)


@pytest.mark.parametrize("changes, message", [
    (dict(size=20), "cannot be divided"), (dict(levels=TOY.levels[:1]), "at least two levels"),
])  # fmt: skip
def test_impossible_models_are_refused(changes, message):
    with pytest.raises(LapcvaeError, match=message):
        dataclasses.replace(TOY, **changes)


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(LapcvaeError) as caught:
        config.preset("faces")
    assert all(name in caught.value.remedy for name in ("faces-128", "paper"))


# The step


def _conditions(mix):
    """What every level is given and results, on clean pictures, with everything recorded."""
    net = small.alive(LapCVAE(TOY))
    step = Step(net, mix, (0, 1, 2))
    seen = []
    original = step._given
    step._given = lambda *args: seen.append((args, original(*args))) or seen[-1][1]
    x = torch.rand(64, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    results = step(x, torch.Generator().manual_seed(1))
    return pyramid.gaussians(x, 2), seen, results


@pytest.mark.parametrize("mix", [Mix(1, 0), Mix(0, 1), Mix(0, 0)], ids=["true", "own chain", "corrupted"])
def test_conditions_are_what_the_mix_says(mix):
    b, seen, results = _conditions(mix)
    assert [args[0] for args, _ in seen] == [2, 1]
    for (k, _, x_k, *_), given in seen:
        n = SIZE >> (k - 1)
        assert given.u.shape == (64, 3, n, n) and given.trust.shape == (64, 1, n, n)
        assert torch.equal(given.u, pyramid.u(given.picture))
        if mix.true or mix.own_chain:
            assert torch.equal(given.picture, b[k] if mix.true else x_k) and (given.trust == 0).all()
        else:
            assert (given.picture - b[k]).abs().amax((1, 2, 3)).min() > 0
            strengths = given.trust[:, 0, 0, 0]
            assert (given.trust == strengths[:, None, None, None]).all()
            assert 0 <= strengths.min() < 0.2 and 0.8 < strengths.max() <= 1
    assert {k: tuple(r.x_k.shape[2:]) for k, r in results.items()} == {2: (4, 4), 1: (8, 8), 0: (16, 16)}


def test_a_mix_has_about_the_shares_that_it_says():
    b, seen, _ = _conditions(Mix(0.4, 0.4))
    (k, _, x_k, own, crude, *_), given = seen[0]
    assert not (own & crude).any() and 15 < own.sum() < 37 and 5 < crude.sum() < 21
    assert torch.equal(given.picture[own], x_k[own]) and torch.equal(given.picture[~own & ~crude], b[k][~own & ~crude])
    assert (given.trust[~crude] == 0).all() and (given.trust[crude] > 0).all()


def test_no_gradient_goes_through_the_condition():
    net = small.alive(LapCVAE(TOY)).train()
    results = Step(net, Mix(0, 1), (0, 1, 2))(torch.rand(4, 3, SIZE, SIZE), torch.Generator().manual_seed(0))
    negative_elbo(results[0], 1.0, 1.0).backward()
    assert all(p.grad is None or (p.grad == 0).all() for k in (1, 2) for p in net.level(k).parameters())
    assert all(p.grad is not None for n, p in net.level(0).named_parameters() if "null" not in n)


def test_the_likelihood_has_the_best_variance_for_clean_and_crude_items_apart():
    squared = torch.tensor([0.01, 0.03, 0.5, 0.7])
    crude = torch.tensor([False, False, True, True])
    nll, mse = optimal_nll(squared, crude)
    assert float(mse) == pytest.approx(0.02)
    assert float(nll) == pytest.approx(0.25 * (np.log(0.02) + np.log(0.6)), abs=1e-4)
    # With sigma^2 = the mean squared error, the Gaussian nll is .5 log sigma^2 up to the constant .5 (1 + log 2 pi).
    normal = torch.distributions.Normal(0, 0.02**0.5)
    sample = torch.tensor([0.01**0.5, 0.03**0.5])
    wanted = -normal.log_prob(sample).mean() - 0.5 * (1 + np.log(2 * np.pi))
    assert float(optimal_nll(squared[:2], crude[:2])[0]) == pytest.approx(float(wanted), abs=1e-4)


# The loop


@pytest.fixture
def folder(tmp_path):
    return small.folder_of(tmp_path / "pictures")


def _trainer(folder, tmp_path, recipe=None, **changes):
    torch.set_num_threads(1)
    run = small.run(folder, tmp_path / "run", recipe, **changes)
    return Trainer(run), data.load(folder, "train", 2 * SIZE, tmp_path / "cache", lambda _: None)


def _stop_in_step(monkeypatch, number, step):
    original = Trainer.train_step

    def train_step(trainer, pictures):
        if trainer.step == step - 1:
            os.kill(os.getpid(), number)
        return original(trainer, pictures)

    monkeypatch.setattr(Trainer, "train_step", train_step)


def _flat(state, prefix=""):
    if isinstance(state, dict):
        return {n: v for key, sub in state.items() for n, v in _flat(sub, f"{prefix}/{key}").items()}
    if isinstance(state, list):
        return _flat(dict(enumerate(state)), prefix)
    return {prefix: state}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_and_resumed_run_equals_an_uninterrupted_one(folder, tmp_path, monkeypatch, number):
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    loop.train(small.run(folder, tmp_path / "whole"))
    with monkeypatch.context() as patched:
        _stop_in_step(patched, number, 3)
        loop.train(small.run(folder, tmp_path / "parts"))
    stopped = checkpoint.load_state(tmp_path / "parts" / checkpoint.STATE)
    assert stopped["step"] == 3 and checkpoint.load_weights(tmp_path / "parts").config == TOY
    loop.train(small.run(folder, tmp_path / "parts"))
    whole, parts = (_flat(checkpoint.load_state(tmp_path / n / checkpoint.STATE)) for n in ("whole", "parts"))
    assert whole["/step"] == 6 and whole.keys() == parts.keys()
    for name, value in whole.items():
        same = torch.equal(value, parts[name]) if isinstance(value, torch.Tensor) else value == parts[name]
        assert same, name
    # What is compared did change.
    name = next(n for n in whole if n.startswith("/net/encoders.0") and n.endswith("weight"))
    assert not torch.equal(whole[name], _flat(stopped)[name])
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_run_writes_its_files_and_json_lines(folder, tmp_path, monkeypatch):
    batch, calls = data.batch, []

    def broken_once(*args):
        calls.append(1)
        return batch(*args) * (float("nan") if len(calls) == 50 else 1)

    monkeypatch.setattr(data, "batch", broken_once)
    out = loop.train(small.run(folder, tmp_path / "run", small.preset(steps=100)))
    found = {p.name for p in out.iterdir()}
    assert found == {"cache", "log.jsonl", "preset.json", "sheets", "state.pt", "tensorboard", "weights.safetensors"}

    def no_constants(text):
        pytest.fail(f"{text} is no JSON")

    first, second = (json.loads(line, parse_constant=no_constants) for line in (out / "log.jsonl").open())
    assert first["images"] == 49 * BATCH and second["images"] == 99 * BATCH
    wanted = {f"{measure}_{k}" for measure in ("mse", "kl", "grad") for k in range(3)}
    wanted |= {"loss", "rate", "skipped", "images_per_second"}
    assert wanted <= first.keys() == second.keys()
    # The 50th step was the broken one.
    assert first["loss"] is None and first["skipped"] == second["skipped"] == 1 and second["loss"] < 0
    assert json.loads((out / "preset.json").read_text())["name"] == "toy"
    assert [p.name for p in (out / "sheets").iterdir()] == [f"{100 * BATCH:09d}.png"]
    facts = checkpoint.facts(out)
    assert facts == {"preset": "toy", "images": str(100 * BATCH), "data": "pictures", "perceptual": "none"}
    assert all(torch.isfinite(t).all() for t in checkpoint.load_weights(out).state_dict().values())


def test_a_step_that_is_not_finite_changes_nothing_but_the_counters(folder, tmp_path, monkeypatch):
    trainer, pictures = _trainer(folder, tmp_path)
    trainer.train_step(pictures)
    before = _flat({k: v for k, v in trainer.state().items() if k in ("net", "ema", "optimizer")})
    before = {n: v.clone() if isinstance(v, torch.Tensor) else v for n, v in before.items()}
    with monkeypatch.context() as patched:
        patched.setattr(data, "batch", lambda *_: torch.full((BATCH, 3, SIZE, SIZE), float("inf")))
        stats = trainer.train_step(pictures)
    assert stats["skipped"] == trainer.skipped == 1 and trainer.step == 2
    after = _flat({k: v for k, v in trainer.state().items() if k in ("net", "ema", "optimizer")})
    assert all(torch.equal(v, after[n]) for n, v in before.items() if isinstance(v, torch.Tensor))
    stats = trainer.train_step(pictures)
    assert stats["skipped"] == 1 and np.isfinite(stats["loss"])


def test_the_toy_overfits_8_pictures(folder, tmp_path):
    # At its full weight the KL outweighs 768 numbers: eight pictures are not worth remembering.
    levels = tuple(dataclasses.replace(level, lambda_=0.01) for level in TOY.levels)
    recipe = small.preset(
        dataclasses.replace(TOY, levels=levels), steps=150, mix=Mix(0.5, 0.5), batch=8, learning_rate=1e-2
    )
    trainer, pictures = _trainer(folder, tmp_path, dataclasses.replace(recipe, augmentation=STILL))
    losses = [trainer.train_step(pictures)["loss"] for _ in range(150)]
    # Nats per number over three levels, half the log of each one's mean squared error; it falls by about 2.1.
    assert np.mean(losses[-20:]) < np.mean(losses[:5]) - 1.2
    b = pyramid.gaussians(data.plain(pictures, SIZE, range(8)), 2)
    with torch.no_grad():
        made = trainer.ema.reconstruct(b, None)[0]
    # About .004, against .019 for the true 4 px picture enlarged.
    assert (made - b[0]).square().mean() < 0.5 * (pyramid.enlarge(b[2], 2) - b[0]).square().mean()


def test_only_the_chosen_levels_are_trained(folder, tmp_path):
    trainer, pictures = _trainer(folder, tmp_path, small.preset(only_levels=(1,)))
    before = {n: t.clone() for n, t in trainer.net.state_dict().items()}
    stats = trainer.train_step(pictures)
    changed = {loop._level_of(n) for n, t in trainer.net.state_dict().items() if not torch.equal(t, before[n])}
    assert changed - {None} == {1} and "mse_1" in stats and "mse_0" not in stats


def test_a_folder_without_held_out_pictures_can_be_trained_on(tmp_path):
    folder = small.folder_of(tmp_path / "few", train=3, val=0)
    out = loop.train(small.run(folder, tmp_path / "run", small.preset(steps=1)))
    # Rows: the training's own pictures.
    with Image.open(next((out / "sheets").iterdir())) as sheet:
        assert sheet.size[1] == 3 * SIZE


def test_the_learning_rate_warms_up_and_falls_to_a_twentieth():
    o = config.Optimisation(images=1000, batch=10, learning_rate=1.0, warm_up_images=100, decay=0.5)
    rates = [loop.learning_rate(o, images) for images in range(0, 1001, 10)]
    assert rates[0] == pytest.approx(0.1) and rates[9:51] == pytest.approx([1.0] * 42)
    assert rates[75] == pytest.approx(0.5) and rates[-1] == pytest.approx(0.05)
    assert all(a >= b for a, b in zip(rates[9:], rates[10:]))


def test_a_run_of_another_model_is_refused(folder, tmp_path):
    loop.train(small.run(folder, tmp_path / "run", small.preset(steps=1)))
    state = (tmp_path / "run" / checkpoint.STATE).read_bytes()
    with pytest.raises(LapcvaeError, match="trains another model"):
        loop.train(small.run(folder, tmp_path / "run", small.preset(PAPER, mix=Mix(1, 0, 0))))
    assert (tmp_path / "run" / checkpoint.STATE).read_bytes() == state
    with pytest.raises(LapcvaeError, match="does not fit the preset toy"):
        Trainer(small.run(folder, tmp_path / "other", small.preset(PAPER), init=((tmp_path / "run", ()),)))


def test_a_run_can_start_from_others_level_by_level(folder, tmp_path):
    for seed, name in enumerate(("a", "b")):
        net = small.alive(LapCVAE(TOY), seed)
        net.sigma2.copy_(torch.tensor([1.0, 2.0, 3.0]) + 10 * seed)
        checkpoint.save_weights(net, tmp_path / f"{name}.safetensors", {"perceptual": ["vgg16", "none"][seed]})
    a, b = (checkpoint.load_weights(tmp_path / f"{n}.safetensors").state_dict() for n in "ab")
    init = (tmp_path / "a.safetensors", ()), (tmp_path / "b.safetensors", (2,))
    run = small.run(folder, tmp_path / "run", init=init)
    trainer = Trainer(run)
    for name, tensor in trainer.net.state_dict().items():
        if name != "sigma2":
            assert torch.equal(tensor, (b if loop._level_of(name) == 2 else a)[name]), name
    # One number per level, in one tensor.
    assert trainer.net.sigma2.tolist() == [1, 2, 13]
    # One of them was trained on VGG's LPIPS, so its result must not be judged by it.
    run.out.mkdir()
    loop.save(trainer)
    assert checkpoint.facts(tmp_path / "run")["perceptual"] == "vgg16"


def test_the_command_line_says_where_to_start_from():
    assert command_line._start("runs/a") == (Path("runs/a"), ())
    assert command_line._start("runs/a:2,3") == (Path("runs/a"), (2, 3))
    assert command_line._start("odd:name") == (Path("odd:name"), ())


def test_damaged_files_of_a_run_are_explained(folder, tmp_path):
    out = loop.train(small.run(folder, tmp_path / "run", small.preset(steps=1)))
    for name, load in ((checkpoint.STATE, checkpoint.load_state), (checkpoint.WEIGHTS, checkpoint.load_weights)):
        file = out / name
        file.write_bytes(file.read_bytes()[:100])
        with pytest.raises(LapcvaeError, match=f"{name} cannot be read"):
            load(file)
    with pytest.raises(LapcvaeError, match="There is no model at"):
        checkpoint.load_weights(tmp_path)


def test_weights_can_be_read_by_everyone(tmp_path):
    # A bundle that root installed is used by others.
    checkpoint.save_weights(LapCVAE(TOY), tmp_path / "w.safetensors")
    assert (tmp_path / "w.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_dry_run_prints_the_recipe_and_does_nothing(tmp_path, capsys):
    arguments = ["train", "--data", "nowhere", "--out", str(tmp_path / "run"), "--preset", "paper"]
    arguments += ["--lambdas", "1,2,3,4"]
    assert command_line.main([*arguments, "--dry-run"]) == 0
    recipe = json.loads(capsys.readouterr().out)
    assert [level["lambda_"] for level in recipe["model"]["levels"]] == [1, 2, 3, 4] and not (tmp_path / "run").exists()
    assert command_line.main([*arguments[:-1], "1,2", "--dry-run"]) == 1
    assert "2 lambdas for 4 levels" in capsys.readouterr().err


RANK = """
import sys, torch
sys.path[:0] = [{tests!r}, {project!r}]
import small
from pathlib import Path
from training import data, loop
torch.set_num_threads(1)
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
run = small.run(folder, out)
pictures = data.load(folder, "train", 2 * small.SIZE, out / "cache", lambda _: None)
trainer = loop.Trainer(run)
losses = [trainer.train_step(pictures)["loss"] for _ in range(3)]
torch.save({{"net": trainer.net.state_dict(), "ema": trainer.ema.state_dict(), "losses": losses,
            "images": trainer.images}}, out / f"{{trainer.rank}}.pt")
loop.train(run)
"""


def test_two_processes_train_one_model(folder, tmp_path):
    (tmp_path / "run").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tests = Path(__file__).parent
    code = RANK.format(tests=str(tests), project=str(tests.parent))
    processes = []
    for rank in range(2):
        environment = {**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                       "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
        processes.append(subprocess.Popen(
            [sys.executable, "-c", code, str(folder), str(tmp_path / "run")], env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ))  # fmt: skip
    said = [p.communicate(timeout=120)[0] for p in processes]
    assert [p.returncode for p in processes] == [0, 0], "\n".join(said)
    first, second = (torch.load(tmp_path / "run" / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert first["images"] == 3 * 2 * BATCH and np.isfinite(first["losses"] + second["losses"]).all()
    # Each saw its own pictures, and both have the same weights.
    assert first["losses"] != second["losses"]
    for part in ("net", "ema"):
        assert all(torch.equal(t, second[part][n]) for n, t in first[part].items())
    # 6 steps' worth of pictures: with two processes, 3 steps.
    state = checkpoint.load_state(tmp_path / "run" / checkpoint.STATE)
    assert state["step"] == 3 and checkpoint.facts(tmp_path / "run")["images"] == str(6 * BATCH)
    assert all(torch.equal(t, state["net"][n]) for n, t in first["net"].items())
