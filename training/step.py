"""One training step: every level on what it sees in use.

The condition of level k is a mix of the true b_{k+1}, the model's own chain (without gradient) and corrupted coarse
pictures; the target is always b_k - u(what was given). The objective is, per level, the Gaussian log-likelihood with its
closed-form scale plus `lambda_k` times the KL, both as sums over the picture and the latents. Calibration adds the energy
score of two samples from the priors: of each level for its own conditions, or down the whole chain from the coarsest one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from . import corrupt, pyramid
from .config import Mix, crop_step
from .energy_score import log_energy_score
from .lpips import LPIPS
from .model import DiagonalGaussian, FromPosterior, FromPrior, LapCVAE, PosteriorAndTwoSamples

# Down the whole chain, half of the samples are drawn as the priors say; they are scored. The other half are drawn as in
# use, cooler, every level at a temperature of its own from here to 1, and half of these for what was painted on: they only
# have to look like photos.
COOLEST = 0.4
# VGG costs more than the whole model: it sees a quarter of the picture, another one in every step, of a few pictures.
PERCEPTUAL_CROP, PERCEPTUAL_PICTURES = 64, 8


@dataclass
class Given:
    """What level k is decoded on: `picture` stands for x_{k+1}, `u` enlarges it, `trust` says how crude it is."""

    picture: torch.Tensor
    u: torch.Tensor
    trust: torch.Tensor | None
    statistics: torch.Tensor


@dataclass
class LevelResult:
    """`x_k`: the picture made; `mse`: per pixel and channel, mean of the items that were not corrupted; `kl`: nats, N;
    `nll`: nats per pixel and channel, up to a constant; `perceptual`: mean LPIPS of the picture, `score`: the
    logarithm of the energy score of samples for the same condition, and `drawn` they themselves, where they are made."""

    x_k: torch.Tensor
    mse: torch.Tensor
    nll: torch.Tensor
    kl: torch.Tensor
    perceptual: torch.Tensor | float = 0.0
    score: torch.Tensor | float = 0.0
    drawn: Drawn | None = None


@dataclass
class Drawn:
    """Two samples a condition from the priors (2N), and the N true pictures."""

    samples: torch.Tensor
    truth: torch.Tensor

    @property
    def score(self) -> torch.Tensor:
        return log_energy_score(*self.samples.chunk(2), self.truth)


def optimal_nll(squared: torch.Tensor, crude: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(nll, mse of the clean items) from N squared errors, with the optimal sigma^2 = mse (sigma-VAE, eq. 7).

    Corrupted items have a sigma of their own: their large errors must not make the model careless with the others.
    """
    nll, mse = squared.new_zeros(()), squared.mean()
    for chosen in (crude, ~crude):
        if chosen.any():
            mse = squared[chosen].mean()
            nll = nll + chosen.float().mean() * 0.5 * torch.log(mse + 1e-7)
    return nll, mse


def negative_elbo(result: LevelResult, lambda_: float, beta: float) -> torch.Tensor:
    """Nats per pixel and channel, up to a constant."""
    return result.nll + beta * lambda_ * result.kl.mean() / result.x_k[0].numel()


class Step:
    """Draws what is random from one generator, runs the levels coarse to fine, returns the losses."""

    def __init__(self, net: LapCVAE, mix: Mix, levels: tuple[int, ...], lpips: LPIPS | None = None,
                 draws: bool = False, crop: int = 0, whole_chain: bool = False):  # fmt: skip
        """`draws`: whether samples from the priors are made and scored too; `crop`, `whole_chain`: as in
        `config.Optimisation`."""
        self.net, self.mix, self.levels, self.lpips, self.crop = net, mix, levels, lpips, crop
        self.draws, self.chained = draws and not whole_chain, draws and whole_chain

    def __call__(self, x: torch.Tensor, generator: torch.Generator) -> dict[int, LevelResult]:
        """`x`: N x 3 x S x S in [0, 1]. One result per trained level."""
        K = self.net.config.K
        b = pyramid.gaussians(x, K)
        share = torch.rand(len(x), generator=generator).to(x.device)
        own = share < self.mix.own_chain
        crude = share >= self.mix.own_chain + self.mix.true
        results: dict[int, LevelResult] = {}
        given: Given | None = None
        cool = bool(torch.rand((), generator=generator) < 0.5)
        chain = coarse = None
        if self.chained:
            coarse = torch.cat([b[K], self._painted(b[K], generator) if cool else b[K]])
            chain = self._start(coarse)
        for k in range(K, min(self.levels) - 1, -1):
            trained = k in self.levels
            if 0 < self.crop < b[k].shape[-1]:
                b, given, chain = self._cropped(k, b, given, chain, generator)
            with torch.set_grad_enabled(trained):
                result = self._coarsest(b[K], generator) if k == K else self._finer(k, b[k], given, crude, generator)
                if chain and k < K:
                    temperature = float(COOLEST + (1 - COOLEST) * torch.rand((), generator=generator)) if cool else 1.0
                    chain, result.drawn = self._next(k, chain, b[k], coarse, temperature, generator)
            if trained:
                if result.drawn and not (chain and cool):
                    result.score = result.drawn.score
                if k == 0 and self.lpips is not None:
                    result.perceptual = self._perceptual(result.x_k, b[0], crude, generator)
                results[k] = result
            if k > min(self.levels):
                with torch.no_grad():
                    given = self._given(k, b[k], result.x_k.detach(), own, crude, given, generator)
        return results

    def _painted(self, b_K: torch.Tensor, generator) -> torch.Tensor:
        return corrupt.paint(b_K, generator).picture if self.net.config.trust else b_K

    def _start(self, coarse: torch.Tensor) -> Given:
        """What level K - 1 samples for: coarsest pictures, 2N."""
        with torch.no_grad():
            statistics = self.net.encode(self.net.config.K, coarse)[-1].parameters
        return Given(coarse, pyramid.u(coarse), None, statistics)

    def _next(self, k: int, chain: Given, b_k, coarse, temperature: float, generator) -> tuple[Given, Drawn]:
        """Level k drawn for what was drawn above it, 2N, with exactly the coarsest picture, as in an edit (crops: as drawn).
        The gradient goes up through the picture, not through what the encoder says of it."""
        count, side = len(chain.u), b_k.shape[-1]
        draw = FromPrior(self.net.draw_eps(k, count, generator, side), temperature)
        x_k = self.net.decode(k, draw, count, chain.u, chain.statistics).float()
        if side == self.net.config.level_size(k):
            with torch.autocast(x_k.device.type, enabled=False):
                x_k = pyramid.project(x_k, coarse)
        with torch.no_grad():
            statistics = self.net.encode(k, x_k, chain.u)[-1].parameters
        return Given(x_k, pyramid.u(x_k), None, statistics), Drawn(x_k, b_k)

    def _perceptual(self, x_0: torch.Tensor, x: torch.Tensor, crude: torch.Tensor, generator) -> torch.Tensor:
        """LPIPS of a part of the reconstructions (posterior paths only: a sample has no one picture to compare with)."""
        chosen = (~crude).nonzero().flatten()[:PERCEPTUAL_PICTURES]
        if not len(chosen):
            return x_0.new_zeros(())
        part = min(PERCEPTUAL_CROP, x.shape[-1])
        top, left = torch.randint(0, x.shape[-1] - part + 1, (2,), generator=generator).tolist()
        made, wanted = (v[chosen, :, top : top + part, left : left + part] for v in (x_0, x))
        with torch.no_grad():
            features = self.lpips.features(wanted)
        return self.lpips.distance(self.lpips.features(made), features).mean()

    def _cropped(self, k: int, b: list[torch.Tensor], given: Given, chain: Given | None, generator):
        """Levels 0 to k and what level k is decoded on (`given` and `chain`), in another window of each picture."""
        side, step = b[k].shape[-1], crop_step(self.net.config, k)
        corners = step * torch.randint(0, (side - self.crop) // step + 1, (len(b[k]), 2), generator=generator)

        def cut(pictures, scale=1.0):
            size = int(self.crop * scale)
            # Two samples a picture lie in its window.
            places = [(int(y * scale), int(x * scale)) for y, x in corners.tolist()] * (len(pictures) // len(corners))
            return torch.stack([p[:, y : y + size, x : x + size] for p, (y, x) in zip(pictures, places)])

        def window(given):
            trust = None if given.trust is None else cut(given.trust)
            statistics = cut(given.statistics, given.statistics.shape[-1] / side)
            return Given(cut(given.picture, 0.5), cut(given.u), trust, statistics)

        b = [cut(b[i], 1 << (k - i)) for i in range(k + 1)] + b[k + 1 :]
        return b, window(given), chain and window(chain)

    def _coarsest(self, b_K: torch.Tensor, generator) -> LevelResult:
        """The denoising VAE: half of the items are painted on, the target is clean."""
        K, net = self.net.config.K, self.net
        if net.config.trust:
            painted = corrupt.paint(b_K, generator)
            keep = (torch.rand((len(b_K), 1, 1, 1), generator=generator) < 0.5).to(b_K.device)
            seen = torch.where(keep, b_K, painted.picture)
            off = torch.zeros_like(painted.mask)
            posterior = net.encode(
                K, seen, painted=torch.where(keep, off, painted.mask), trust=torch.where(keep, off, painted.trust)
            )
            crude = ~keep.flatten()
        else:
            posterior = net.encode(K, b_K)
            crude = torch.zeros(len(b_K), dtype=torch.bool, device=b_K.device)
        return self._decode(K, posterior, b_K, crude, generator)

    def _finer(self, k: int, b_k: torch.Tensor, given: Given, crude: torch.Tensor, generator) -> LevelResult:
        posterior = self.net.encode(k, b_k, given.u)
        return self._decode(k, posterior, b_k, crude, generator, given)

    def _decode(self, k: int, posterior: list[DiagonalGaussian], target, crude, generator, given=None) -> LevelResult:
        count, drawn = len(target), None
        if given is None:
            draw = FromPosterior(posterior, self.net.draw_eps(k, count, generator, target.shape[-1]))
            x_k = self.net.decode(k, draw, count)
        else:
            sampled = self.draws and torch.is_grad_enabled()
            kind = PosteriorAndTwoSamples if sampled else FromPosterior
            draw = kind(posterior, self.net.draw_eps(k, kind.copies * count, generator, target.shape[-1]))
            made = self.net.decode(k, draw, count, given.u, self._statistics(k, given, generator), given.trust)
            x_k = made[:count]
            if sampled:
                drawn = Drawn(made[count:], target)
        nll, mse = optimal_nll((x_k - target).square().mean((1, 2, 3)), crude)
        return LevelResult(x_k, mse, nll, torch.stack(draw.kl).sum(0), drawn=drawn)

    def _statistics(self, k: int, given: Given, generator) -> torch.Tensor:
        """Level k+1's, but a learned null for some."""
        if not self.mix.drop_statistics:
            return given.statistics
        drop = torch.rand((len(given.u), 1, 1, 1), generator=generator).to(given.u.device)
        return torch.where(drop < self.mix.drop_statistics, self.net.decoders[k].null.float(), given.statistics)

    def _given(self, k: int, b_k, x_k, own, crude, above: Given | None, generator) -> Given:
        """The condition of level k - 1, with level k's statistics on the picture that is really there."""
        own, crude = own[:, None, None, None], crude[:, None, None, None]
        picture = torch.where(own, x_k, b_k)
        trust = None
        if self.net.config.trust:
            painted = corrupt.paint(b_k, generator)
            picture = torch.where(crude, painted.picture, picture)
            n = 2 * b_k.shape[-1]
            trust = (painted.strength * crude.flatten())[:, None, None, None].expand(-1, 1, n, n).contiguous()
        statistics = self.net.encode(k, picture, above.u if above else None)[-1].parameters
        return Given(picture, pyramid.u(picture), trust, statistics)
