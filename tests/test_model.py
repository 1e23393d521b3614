"""The networks: distributions, priors, latents and their descriptions, on toy widths."""

import dataclasses

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
import small  # noqa: E402
from small import PAPER, SIZE, TOY  # noqa: E402

from lapcvae.noise import level_temperature  # noqa: E402
from lapcvae.protocol.errors import LapcvaeError  # noqa: E402
from training import config, pyramid  # noqa: E402
from training.config import grid  # noqa: E402
from training.model import DiagonalGaussian, Draw, FromPosterior, LapCVAE, Mixed  # noqa: E402


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


def test_between_grids_of_one_stride_the_later_prior_sees_what_neighbours_drew():
    """Two grids at stride 2 of one level: the second one's prior changes around a cell in which the first one changed."""
    level = config.Level(1, (8, 8), (1, 2), (grid(2, 2), grid(2, 2)), gain=0.2)
    net = small.alive(LapCVAE(config.Model(SIZE, (level, TOY.levels[1]))))
    priors = []

    class Drawn(Draw):
        def __init__(self, first):
            self.first = first

        def __call__(self, index, prior):
            priors.append(prior.mu.detach())
            return self.first if index == 0 else torch.zeros_like(prior.mu)

    u = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    statistics = torch.zeros(1, 2 * TOY.levels[1].groups[-1].channels, 4, 4)
    one = torch.zeros(1, 2, SIZE // 2, SIZE // 2)
    other = one.clone()
    other[:, :, 4, 4] = 1
    for first in (one, other):
        net.decode(0, Drawn(first), 1, u, statistics)
    assert torch.equal(priors[0], priors[2])
    changed = (priors[1] != priors[3]).any(1)[0]
    assert changed[4, 4] and changed[3, 4] and changed[4, 5] and not changed[0, 0]


def test_grids_without_a_block_between_them_are_refused():
    with pytest.raises(LapcvaeError, match="3 grids of stride 2 need 2 blocks"):
        config.Level(1, (8, 8), (1, 1), (grid(2, 2), grid(2, 2), grid(2, 2)))


def test_below_1_the_temperature_is_lower_at_coarse_levels_and_nothing_is_drawn_at_0():
    at = [level_temperature(0.7, k, 4) for k in range(4)]
    assert at == pytest.approx([0.7**0.25, 0.7**0.25, 0.7, 0.49])
    for alike in (0.0, 1.0, 1.5):
        assert {level_temperature(alike, k, 3) for k in range(3)} == {alike}
