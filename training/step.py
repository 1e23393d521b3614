"""One training step: every level on what it sees in use.

The condition of level k is a mix of the true b_{k+1}, the model's own chain (without gradient) and corrupted coarse
pictures; the target is always b_k - u(what was given). The objective is, per level, the Gaussian log-likelihood with its
closed-form scale plus `lambda_k` times the KL, both as sums over the picture and the latents. Calibration adds the energy
score of two samples from the priors: of each level for its own conditions, or down the whole chain from the coarsest one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from lapcvae import edit, planning, reading

from . import corrupt, crude, draws, pyramid
from .config import Mix, crop_step
from .energy_score import log_energy_score
from .interpreter import Interpreter, seen_of
from .lpips import LPIPS
from .model import DiagonalGaussian, Draw, FromPosterior, FromPrior, LapCVAE, PosteriorAndTwoSamples

# Down the whole chain, half of the samples are drawn as the priors say; they are scored. The other half are drawn as in
# use, cooler, every level at a temperature of its own from here to 1, and half of these for what was painted on: they only
# have to look like photos. With an interpreter these are whole edits: for what it reads of a crude painting, in the photo.
COOLEST = 0.4
# What it read counts exactly at one of its own or of these many coarser levels. Of the latents of what it read, the share
# that is drawn anew: of the structure, up to this (in use, times a temperature that is usually .5), and of the detail, from
# and to this.
COARSER = max(coarser for _, coarser in reading.WAYS)
STRUCTURE, DETAIL = edit.STRUCTURE, planning.DETAIL
# How far the sample goes on beyond the mask in an edit, in pixels of a level.
BEYOND = 4
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
class Edit:
    """An edit of each of N pictures: `m`: the mask M, N x 1 x n x n; `read`: by level, what was read, from the level that
    counts exactly, `given`, to K; `latents`: by level, the posterior means of what was read, of all finer levels; `finest`:
    the interpreter's level."""

    m: torch.Tensor
    read: dict[int, torch.Tensor]
    latents: dict[int, list[torch.Tensor]]
    finest: int

    @property
    def given(self) -> int:
        return min(self.read)

    def cells(self, n: int) -> torch.Tensor:
        """The largest of m in each of n x n cells."""
        size = self.m.shape[-1]
        return F.max_pool2d(self.m, size // n) if n <= size else F.interpolate(self.m, scale_factor=n // size)

    def weight(self, n: int) -> torch.Tensor:
        """1 where a level of n x n pixels is what was drawn, 0 where it is the photo."""
        near = F.max_pool2d(self.cells(n), 2 * BEYOND + 1, stride=1, padding=BEYOND)
        return F.avg_pool2d(F.pad((near > 0).float(), (BEYOND // 2,) * 4, mode="replicate"), BEYOND + 1, stride=1)


class WholeAndEdits(Draw):
    """2N samples from the prior, at a temperature; in the second half only where `masks` say so, elsewhere z is q's mean.
    There too, the latents of what was `read` stay but for a `share`."""

    def __init__(self, eps, temperature: float, posterior: list[DiagonalGaussian], masks: list[torch.Tensor],
                 read: list[torch.Tensor], share: float):  # fmt: skip
        self.eps, self.temperature, self.posterior, self.masks = eps, temperature, posterior, masks
        self.read, self.share = read, share

    def __call__(self, index, prior):
        sampled, kept, mask = prior.sample(self.eps[index], self.temperature), self.posterior[index].mu, self.masks[index]
        whole, edits = sampled[: len(kept)], sampled[len(kept) :]
        edits = self.read[index] + self.share * (edits - self.read[index])
        return torch.cat([whole, mask * edits + (1 - mask) * kept])


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
                 draws: bool = False, crop: int = 0, whole_chain: bool = False,
                 interpreter: Interpreter | None = None):  # fmt: skip
        """`draws`: whether samples from the priors are made and scored too; `crop`, `whole_chain`: as in
        `config.Optimisation`; `interpreter`: of the paintings for which some of these samples are edits."""
        self.interpreter = interpreter
        self.net, self.mix, self.levels, self.lpips, self.crop = net, mix, levels, lpips, crop
        self.draws, self.chained = draws and not whole_chain, draws and whole_chain

    def __call__(self, x: torch.Tensor, generator: torch.Generator) -> dict[int, LevelResult]:
        """`x`: N x 3 x S x S in [0, 1]. One result per trained level."""
        K = self.net.config.K
        b = pyramid.gaussians(x, K)
        share = draws.uniform(len(x), generator).to(x.device)
        own = share < self.mix.own_chain
        crude = share >= self.mix.own_chain + self.mix.true
        results: dict[int, LevelResult] = {}
        given: Given | None = None
        cool = bool(draws.uniform((), generator) < 0.5)
        chain = coarse = edit = None
        if self.chained:
            if cool and self.interpreter:
                edit = self._edit(b, generator)
            painted = edit.read[K] if edit else self._painted(b[K], generator) if cool else b[K]
            coarse = torch.cat([b[K], painted])
            chain = self._start(coarse)
        for k in range(K, min(self.levels) - 1, -1):
            trained = k in self.levels
            if 0 < self.crop < b[k].shape[-1]:
                b, given, chain = self._cropped(k, b, given, chain, generator)
            with torch.set_grad_enabled(trained):
                result = self._coarsest(b[K], generator) if k == K else self._finer(k, b[k], given, crude, generator)
                if chain and k < K:
                    temperature = float(draws.uniform((), generator, COOLEST)) if cool else 1.0
                    chain, result.drawn = self._next(k, chain, b, coarse, temperature, generator, edit)
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

    @torch.no_grad()
    def _edit(self, b: list[torch.Tensor], generator) -> Edit:
        """Crude paintings on the photos, as the interpreter reads them."""
        K, size = self.net.config.K, self.interpreter.size
        i = next(k for k in range(K) if b[k].shape[-1] == size)
        painted = crude.paint(b[i].to(generator.device), generator)
        seen = [part.to(b[i].device) for part in seen_of(painted)]
        given = min(K, i + int(draws.integers(COARSER + 1, (), generator)))
        meant = self.interpreter(*seen).clamp(0, 1).float()
        with torch.autocast(meant.device.type, enabled=False):
            levels = pyramid.gaussians(pyramid.project(pyramid.enlarge(meant, i), meant), K)
        latents = {k: [q.mu for q in self.net.encode(k, levels[k], pyramid.u(levels[k + 1]))] for k in range(given)}
        return Edit(seen[1], {k: levels[k] for k in range(given, K + 1)}, latents, i)

    def _next(self, k: int, chain: Given, b: list[torch.Tensor], coarse, temperature: float, generator,
              edit: Edit | None) -> tuple[Given, Drawn]:  # fmt: skip
        """Level k drawn for what was drawn above it, 2N, with exactly the coarsest picture, edits with what is given for
        them (crops: as drawn). The gradient goes up through the picture, not through what the encoder says of it."""
        b_k = b[k]
        count, side = len(chain.u), b_k.shape[-1]
        whole = side == self.net.config.level_size(k)
        eps = self.net.draw_eps(k, count, generator, side)
        if edit and whole and k < edit.given:
            with torch.no_grad():
                posterior = self.net.encode(k, b_k, pyramid.u(b[k + 1]))
            masks = [edit.cells(side // g.stride) if g.kind == "grid" else (edit.m.mean((2, 3), keepdim=True) > 0.5).float()
                     for g in self.net.config.levels[k].groups]  # fmt: skip
            low, high = (0, STRUCTURE) if k > edit.finest else DETAIL
            share = float(draws.uniform((), generator, low, high))
            draw = WholeAndEdits(eps, temperature, posterior, masks, edit.latents[k], share)
        else:
            draw = FromPrior(eps, temperature)
        x_k = self.net.decode(k, draw, count, chain.u, chain.statistics).float()
        if whole:
            with torch.autocast(x_k.device.type, enabled=False):
                x_k = self._agreeing(k, x_k, b_k, coarse, edit)
        with torch.no_grad():
            statistics = self.net.encode(k, x_k, chain.u)[-1].parameters
        return Given(x_k, pyramid.u(x_k), None, statistics), Drawn(x_k, b_k)

    def _agreeing(self, k: int, x_k: torch.Tensor, b_k: torch.Tensor, coarse, edit: Edit | None) -> torch.Tensor:
        """What was drawn, 2N, with the coarser pictures that it is drawn for."""
        if not edit:
            return pyramid.project(x_k, coarse)
        samples, edited = x_k.chunk(2)
        if k >= edit.given:
            edited = edit.read[k]
        else:
            weight = edit.weight(x_k.shape[-1])
            edited = pyramid.project(weight * edited + (1 - weight) * b_k, edit.read[edit.given])
        return torch.cat([pyramid.project(samples, coarse[: len(samples)]), edited])

    def _perceptual(self, x_0: torch.Tensor, x: torch.Tensor, crude: torch.Tensor, generator) -> torch.Tensor:
        """LPIPS of a part of the reconstructions (posterior paths only: a sample has no one picture to compare with)."""
        chosen = (~crude).nonzero().flatten()[:PERCEPTUAL_PICTURES]
        if not len(chosen):
            return x_0.new_zeros(())
        part = min(PERCEPTUAL_CROP, x.shape[-1])
        top, left = draws.integers(x.shape[-1] - part + 1, (2,), generator).tolist()
        made, wanted = (v[chosen, :, top : top + part, left : left + part] for v in (x_0, x))
        with torch.no_grad():
            features = self.lpips.features(wanted)
        return self.lpips.distance(self.lpips.features(made), features).mean()

    def _cropped(self, k: int, b: list[torch.Tensor], given: Given, chain: Given | None, generator):
        """Levels 0 to k and what level k is decoded on (`given` and `chain`), in another window of each picture."""
        side, step = b[k].shape[-1], crop_step(self.net.config, k)
        corners = step * draws.integers((side - self.crop) // step + 1, (len(b[k]), 2), generator).to(b[k].device)

        def cut(pictures, scale=1.0):
            # Two samples a picture lie in its window.
            places = (corners * scale).long().repeat(len(pictures) // len(corners), 1)
            within = torch.arange(int(self.crop * scale), device=pictures.device)
            rows, columns = (places[:, i, None] + within for i in (0, 1))
            one = torch.arange(len(pictures), device=pictures.device)
            cells = pictures[one[:, None, None], :, rows[:, :, None], columns[:, None, :]]
            return cells.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)

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
            keep = (draws.uniform((len(b_K), 1, 1, 1), generator) < 0.5).to(b_K.device)
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
        drop = draws.uniform((len(given.u), 1, 1, 1), generator).to(given.u.device)
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
