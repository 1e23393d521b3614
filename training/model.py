"""LapCVAE: one conditional VAE per level of a Laplacian pyramid (Dorta et al., 2017), notation as in the paper.

`x_K = p_K(z_K)`, `x_k = p_k(h_k | z_k, u(x_{k+1})) + u(x_{k+1})`, priors `N(0, I)` at the coarsest level and
`M_k[N(mu_{k+1}, sigma_{k+1})]` at the finer ones. Beyond the paper (`Model.conditional_prior`): the latents of a level
are groups from global to local, and the prior of a group also sees `u` and the groups before it, so that cells which
are drawn independently still agree. The posterior of every group sees the picture alone, so encoder and decoder stay
two graphs.

Pictures are N x 3 x H x W, sRGB in [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from lapcvae.noise import level_temperature

from . import config, draws, pyramid

LOG_SIGMA_LIMIT = 5.0


def soft_clamp(x: torch.Tensor) -> torch.Tensor:
    """Into (-LOG_SIGMA_LIMIT, LOG_SIGMA_LIMIT), as in NVAE."""
    return LOG_SIGMA_LIMIT * torch.tanh(x / LOG_SIGMA_LIMIT)


@dataclass
class DiagonalGaussian:
    """N(mu, sigma^2) per element; any shape."""

    mu: torch.Tensor
    log_sigma: torch.Tensor

    @classmethod
    def of(cls, parameters: torch.Tensor) -> DiagonalGaussian:
        mu, log_sigma = parameters.float().chunk(2, dim=1)
        return cls(mu, soft_clamp(log_sigma))

    @classmethod
    def standard_like(cls, other: DiagonalGaussian) -> DiagonalGaussian:
        return cls(torch.zeros_like(other.mu), torch.zeros_like(other.log_sigma))

    def sample(self, eps: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        return self.mu + temperature * self.log_sigma.exp() * eps

    def kl(self, prior: DiagonalGaussian) -> torch.Tensor:
        """KL(self || prior) in nats per element."""
        ratio = 2 * (self.log_sigma - prior.log_sigma)
        distance = ((self.mu - prior.mu) / prior.log_sigma.exp()) ** 2
        return 0.5 * (ratio.exp() + distance - 1 - ratio)

    def detach(self) -> DiagonalGaussian:
        return DiagonalGaussian(self.mu.detach(), self.log_sigma.detach())

    @property
    def parameters(self) -> torch.Tensor:
        return torch.cat([self.mu, self.log_sigma], dim=1)


# Dense 3x3 pairs where there are many pixels and few channels, bottlenecks where it is the other way round.
DENSE_UP_TO = 64


class Block(nn.Module):
    """Residual, without normalisation; starts near the identity."""

    def __init__(self, width: int):
        super().__init__()
        if width <= DENSE_UP_TO:
            convolutions = [nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)]
        else:
            inner = width // 2
            convolutions = [
                nn.Conv2d(width, inner, 1), nn.Conv2d(inner, inner, 3, padding=1), nn.Conv2d(inner, width, 1)
            ]  # fmt: skip
        self.convolutions = nn.ModuleList(convolutions)
        with torch.no_grad():
            convolutions[-1].weight.mul_(0.2)
            convolutions[-1].bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for convolution in self.convolutions:
            y = convolution(F.relu(y))
        return x + y


def blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(count)))


class Trunk(nn.Module):
    """Bottom-up: a picture to features at every stage's stride, finest first."""

    def __init__(self, channels: int, level: config.Level):
        super().__init__()
        self.stem = level.stem
        widths = level.widths
        self.first = nn.Conv2d(channels * level.stem**2, widths[0], 3, padding=1)
        self.stages = nn.ModuleList(blocks(w, n) for w, n in zip(widths, level.blocks))
        self.downs = nn.ModuleList(
            nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(a, b, 1)) for a, b in zip(widths, widths[1:])
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        if self.stem > 1:
            x = F.pixel_unshuffle(x, self.stem)
        x = self.stages[0](self.first(x))
        features = [x]
        for down, stage in zip(self.downs, self.stages[1:]):
            x = stage(down(x))
            features.append(x)
        return features


class Gather(nn.Module):
    """Features to the parameters (mu, log sigma) of one group."""

    def __init__(self, group: config.Group, width: int, cells: int):
        super().__init__()
        self.kind = group.kind
        if group.kind == "vector":
            self.head = nn.Linear(width * cells, 2 * group.channels)
        else:
            self.head = nn.Conv2d(width, 2 * group.channels, 1)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        features = F.relu(features)
        if self.kind == "vector":
            return self.head(features.flatten(1))[:, :, None, None]
        if self.kind == "global":
            features = features.mean((2, 3), keepdim=True)
        return self.head(features)


class Scatter(nn.Module):
    """A group's z to a change of the features."""

    def __init__(self, group: config.Group, width: int, cells: int):
        super().__init__()
        self.width = width
        self.side = math.isqrt(cells)
        self.vector = group.kind == "vector"
        if self.vector:
            self.spread = nn.Linear(group.channels, width * cells)
        else:
            self.spread = nn.Conv2d(group.channels, width, 1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        if self.vector:
            return self.spread(z.flatten(1)).view(-1, self.width, self.side, self.side)
        return self.spread(z)


class Encoder(nn.Module):
    """q_k(z_k | x_k, u(x_{k+1})): one Gaussian per group. The coarsest level has no `u`, but sees what was painted."""

    def __init__(self, model: config.Model, k: int):
        super().__init__()
        level = model.levels[k]
        self.gain, self.coarsest = level.gain, k == model.K
        channels = (5 if model.trust else 3) if self.coarsest else 6
        self.trunk = Trunk(channels, level)
        self.stage_of = [stage_index(level, group) for group in level.groups]
        self.heads = nn.ModuleList(
            Gather(group, level.widths[i], (model.level_size(k) // (level.stem << i)) ** 2)
            for group, i in zip(level.groups, self.stage_of)
        )

    def forward(
        self, x: torch.Tensor, u: torch.Tensor | None = None, painted: torch.Tensor | None = None,
        trust: torch.Tensor | None = None,
    ) -> list[DiagonalGaussian]:
        """`x`, `u`: N x 3 x H x W. Coarsest: `painted` (0 or 1) and `trust` (0..1), N x 1 x H x W."""
        if self.coarsest:
            inputs = [2 * x - 1]
            if painted is not None:
                inputs += [painted, trust]
        else:
            inputs = [2 * (x - u) / self.gain, 2 * u - 1]
        features = self.trunk(torch.cat(inputs, dim=1))
        return [DiagonalGaussian.of(head(features[i])) for head, i in zip(self.heads, self.stage_of)]


def stage_index(level: config.Level, group: config.Group) -> int:
    if group.kind == "grid":
        return (group.stride // level.stem).bit_length() - 1
    return len(level.widths) - 1


@dataclass(frozen=True)
class PlacedGroup:
    """A group in the decoder; `mixed_before`: one of the stage's blocks runs between it and the group before."""

    index: int
    mixed_before: bool


def placed_groups(level: config.Level, stage: int) -> list[PlacedGroup]:
    """The groups that the decoder draws at a stage, in order."""
    here = [i for i, group in enumerate(level.groups) if stage_index(level, group) == stage]
    grids = [level.groups[i].kind == "grid" for i in here]
    return [PlacedGroup(i, n > 0 and grids[n] and grids[n - 1]) for n, i in enumerate(here)]


class Draw:
    """How the decoder gets z_k: called per group, coarse to fine, with that group's prior.

    The decoder makes `copies` pictures for each condition; the copies of a batch follow one another.
    """

    copies = 1

    def __call__(self, index: int, prior: DiagonalGaussian) -> torch.Tensor:
        raise NotImplementedError


class FromPosterior(Draw):
    """z ~ q; keeps the KL to each prior, N x (sum over the group)."""

    def __init__(self, posterior: list[DiagonalGaussian], eps: list[torch.Tensor] | None):
        self.posterior, self.eps, self.kl = posterior, eps, []

    def __call__(self, index, prior):
        q = self.posterior[index]
        self.kl.append(q.kl(prior).flatten(1).sum(1))
        return q.mu if self.eps is None else q.sample(self.eps[index])


class PosteriorAndTwoSamples(Draw):
    """z ~ q, then two draws from the prior; keeps the KL as `FromPosterior`. `eps`: of all three, 3N."""

    copies = 3

    def __init__(self, posterior: list[DiagonalGaussian], eps: list[torch.Tensor]):
        self.posterior, self.eps, self.kl = posterior, eps, []

    def __call__(self, index, prior):
        q, count = self.posterior[index], len(self.posterior[index].mu)
        self.kl.append(q.kl(DiagonalGaussian(prior.mu[:count], prior.log_sigma[:count])).flatten(1).sum(1))
        sampled = prior.sample(self.eps[index])
        return torch.cat([q.sample(self.eps[index][:count]), sampled[count:]])


class FromPrior(Draw):
    """z ~ p, at a temperature."""

    def __init__(self, eps: list[torch.Tensor], temperature: float):
        self.eps, self.temperature = eps, temperature

    def __call__(self, index, prior):
        return prior.sample(self.eps[index], self.temperature)


class Mixed(Draw):
    """The edit: z = mask (mu_p + T sigma_p eps) + (1 - mask) z_photo."""

    def __init__(self, z, masks, eps, temperature):
        self.z, self.masks, self.eps, self.temperature = z, masks, eps, temperature

    def __call__(self, index, prior):
        sampled = prior.sample(self.eps[index], self.temperature)
        mask = self.masks[index]
        return mask * sampled + (1 - mask) * self.z[index]


class Decoder(nn.Module):
    """p_k(h_k | z_k, u(x_{k+1})) + u(x_{k+1}), with the prior of every group inside."""

    def __init__(self, model: config.Model, k: int):
        super().__init__()
        level = model.levels[k]
        self.gain, self.coarsest, self.groups = level.gain, k == model.K, level.groups
        self.conditional_prior = model.conditional_prior and not self.coarsest
        self.stem, self.has_trust = level.stem, model.trust
        widths = level.widths
        self.deepest = len(widths) - 1
        cells = [(model.level_size(k) // (level.stem << i)) ** 2 for i in range(len(widths))]
        if self.coarsest:
            # The paper's p_K sees z_K alone; the learned constant says where in the frame a cell is.
            self.constant = nn.Parameter(torch.randn(1, widths[-1], math.isqrt(cells[-1]), math.isqrt(cells[-1])) * 0.5)
        else:
            self.trunk = Trunk(4 if model.trust else 3, level)
            statistics = 2 * model.levels[k + 1].groups[-1].channels
            self.m = nn.Conv2d(statistics, widths[-1], 1)
            self.null = nn.Parameter(torch.zeros(1, statistics, 1, 1))
        stage_of = [stage_index(level, group) for group in level.groups]
        self.groups_at = [placed_groups(level, i) for i in range(len(widths))]
        if self.conditional_prior:
            self.priors = nn.ModuleList(
                Gather(g, widths[i], cells[i]) for g, i in zip(level.groups, stage_of)
            )
        elif not self.coarsest:
            # The paper's M_k: from the coarser level's statistics alone.
            total = sum(2 * g.channels for g in level.groups)
            self.m_only = nn.Sequential(nn.Conv2d(statistics, 128, 1), nn.ReLU(), nn.Conv2d(128, total, 1))
            self.splits = [2 * g.channels for g in level.groups]
        self.scatters = nn.ModuleList(
            Scatter(g, widths[i], cells[i]) for g, i in zip(level.groups, stage_of)
        )
        self.stages = nn.ModuleList(blocks(w, n) for w, n in zip(widths, level.blocks))
        self.ups = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in zip(widths, widths[1:]))
        self.last = nn.Conv2d(widths[0], 3 * level.stem**2, 3, padding=1)
        with torch.no_grad():
            self.last.weight.mul_(0.2)

    def forward(
        self, draw: Draw, batch: int, u: torch.Tensor | None = None, statistics: torch.Tensor | None = None,
        trust: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """x_k, N x 3 x H x W. `statistics`: (mu, log sigma) of level k+1's last group; `trust`: N x 1 x H x W."""
        if self.coarsest:
            skips, features = None, self.constant.expand(batch, -1, -1, -1)
        else:
            condition = 2 * u - 1
            skips = self.trunk(torch.cat([condition, trust], 1) if self.has_trust else condition)
            features = skips[-1]
            if self.conditional_prior:
                features = features + self._map(statistics, features.shape[-2:])
        if draw.copies > 1:
            batch *= draw.copies
            repeat = (draw.copies, 1, 1, 1)
            features = features.repeat(repeat)
            if not self.coarsest:
                skips, u, statistics = [s.repeat(repeat) for s in skips], u.repeat(repeat), statistics.repeat(repeat)
        fixed = None
        if not self.coarsest and not self.conditional_prior:
            fixed = self.m_only(statistics).split(self.splits, dim=1)
        for stage in range(self.deepest, -1, -1):
            waiting = list(self.stages[stage])
            for group in self.groups_at[stage]:
                if group.mixed_before:
                    # A grid after a grid of the same stride: its prior sees what the neighbours drew before.
                    features = waiting.pop(0)(features)
                z = draw(group.index, self._prior(group.index, features, fixed, batch))
                features = features + self.scatters[group.index](z.to(features.dtype))
            for block in waiting:
                features = block(features)
            if stage:
                features = F.interpolate(self.ups[stage - 1](features), scale_factor=2, mode="nearest")
                if skips is not None:
                    features = features + skips[stage - 1]
        out = self.last(F.relu(features))
        if self.stem > 1:
            out = F.pixel_shuffle(out, self.stem)
        out = out.float() * (self.gain / 2)
        return out + 0.5 if self.coarsest else out + u

    def _map(self, statistics: torch.Tensor, shape) -> torch.Tensor:
        """M_k: the coarser level's statistics as features, at this level's deepest stage."""
        while statistics.shape[-1] > shape[-1]:
            statistics = F.avg_pool2d(statistics, 2)
        mapped = self.m(statistics)
        if mapped.shape[-2:] != shape:
            mapped = F.interpolate(mapped, size=tuple(shape), mode="nearest")
        return mapped

    def _prior(self, group: int, features, fixed, batch: int) -> DiagonalGaussian:
        if self.conditional_prior:
            return DiagonalGaussian.of(self.priors[group](features))
        if fixed is not None:
            return DiagonalGaussian.of(fixed[group])
        kind, channels = self.groups[group].kind, self.groups[group].channels
        height, width = features.shape[-2:] if kind == "grid" else (1, 1)
        zero = torch.zeros((batch, channels, height, width), device=features.device)
        return DiagonalGaussian(zero, zero)


class LapCVAE(nn.Module):
    """The whole pyramid. `sigma2[k]`: the level's likelihood variance, per pixel and channel, in [0, 1] units."""

    def __init__(self, model: config.Model):
        super().__init__()
        self.config = model
        self.encoders = nn.ModuleList(Encoder(model, k) for k in range(model.K + 1))
        self.decoders = nn.ModuleList(Decoder(model, k) for k in range(model.K + 1))
        # Closed form: the mean squared error of the level, kept as a running mean (sigma-VAE's optimal sigma).
        self.register_buffer("sigma2", torch.full((model.K + 1,), 0.01))

    def level(self, k: int) -> nn.ModuleList:
        return nn.ModuleList([self.encoders[k], self.decoders[k]])

    def latent_shapes(self, k: int, height: int | None = None, width: int | None = None) -> list[tuple[int, int, int]]:
        """(channels, rows, columns) of every group of level k, for a level picture of that size."""
        height = height or self.config.level_size(k)
        width = width or height
        return [
            (g.channels, height // g.stride, width // g.stride) if g.kind == "grid" else (g.channels, 1, 1)
            for g in self.config.levels[k].groups
        ]

    def draw_eps(self, k: int, batch: int, generator: torch.Generator, side: int | None = None) -> list[torch.Tensor]:
        """`side`: of the level's pictures, if they are crops."""
        device = self.sigma2.device
        return [
            draws.normal((batch, *shape), generator).to(device) for shape in self.latent_shapes(k, side)
        ]

    def planes(self, k: int, batch: int, value: float = 0.0) -> torch.Tensor:
        """A constant plane for trust or painted, N x 1 x H x W."""
        n = self.config.level_size(k)
        return torch.full((batch, 1, n, n), value, device=self.sigma2.device)

    def encode(self, k: int, x: torch.Tensor, u=None, painted=None, trust=None) -> list[DiagonalGaussian]:
        if k == self.config.K and self.config.trust and painted is None:
            painted, trust = self.planes(k, len(x)), self.planes(k, len(x))
        return self.encoders[k](x, u, painted, trust)

    def decode(self, k: int, draw: Draw, batch: int, u=None, statistics=None, trust=None) -> torch.Tensor:
        if u is not None and self.config.trust and trust is None:
            trust = u.new_zeros((batch, 1, *u.shape[-2:]))
        return self.decoders[k](draw, batch, u, statistics, trust)

    def reconstruct(self, b: list[torch.Tensor], generator: torch.Generator | None, down_to: int = 0) -> list[torch.Tensor]:
        """The whole chain from latents alone: x_K = p_K(z_K), then x_k from its own x_{k+1}. [x_0, ..., x_K]."""
        return self.chain(b, generator, down_to)[0]

    def sample(
        self, coarse: torch.Tensor, generator: torch.Generator, temperature: float = 1.0, down_to: int = 0,
        projected: bool = False,
    ) -> list[torch.Tensor]:
        """Finer levels drawn from the priors, given the coarsest picture: [x_0, ..., x_K] with x_K = `coarse`, every level
        at its own share of the temperature, as in an edit.

        `projected`: every level is projected onto `coarse` as soon as it is made, as in an edit.
        """
        K = self.config.K
        pictures: list[torch.Tensor] = [None] * K + [coarse]
        statistics = self.encode(K, coarse)[-1].parameters
        for k in range(K - 1, down_to - 1, -1):
            u = pyramid.u(pictures[k + 1])
            eps = self.draw_eps(k, len(coarse), generator)
            zero, one = coarse.new_zeros(1), coarse.new_ones(1)
            draw = Mixed([zero] * len(eps), [one] * len(eps), eps, level_temperature(temperature, k, K))
            pictures[k] = self.decode(k, draw, len(coarse), u, statistics)
            if projected:
                pictures[k] = pyramid.project(pictures[k], coarse)
            if k > down_to:
                statistics = self.encode(k, pictures[k], u)[-1].parameters
        return pictures

    def chain(self, b: list[torch.Tensor], generator: torch.Generator | None, down_to: int = 0):
        """Reconstruction with its KL: ([x_0, ..., x_K], [KL_0, ..., KL_K], N nats each)."""
        K, batch = self.config.K, len(b[0])
        pictures: list[torch.Tensor] = [None] * (K + 1)
        kls: list[torch.Tensor] = [None] * (K + 1)
        statistics = u = None
        for k in range(K, down_to - 1, -1):
            eps = None if generator is None else self.draw_eps(k, batch, generator)
            draw = FromPosterior(self.encode(k, b[k], u), eps)
            pictures[k] = self.decode(k, draw, batch, u, statistics)
            kls[k] = torch.stack(draw.kl).sum(0)
            if k > down_to:
                # M_k sees the encoder run on the picture that is really there, as in an edit.
                statistics = self.encode(k, pictures[k], u)[-1].parameters
                u = pyramid.u(pictures[k])
        return pictures, kls
