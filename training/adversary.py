"""The sharpness stage: one small discriminator a level that tells samples from photos.

Hinge loss, spectral normalisation (Miyato et al. 2018); the weight in the decoder's loss is adaptive, as in VQGAN (Esser et
al. 2021, eq. 7): the ratio of the gradients at the decoder's last layer, so that the likelihood and the calibration stay
in charge. Only what the prior draws is judged: reconstructions have a likelihood of their own. It sees the picture alone:
a sample has the coarse picture that it was drawn for in itself. Where pictures are aligned, parts that people look at first,
such as the eyes, have a discriminator of their own (as in GFPGAN, Wang et al. 2021).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from lapcvae.protocol.errors import LapcvaeError

from . import pyramid
from .model import LapCVAE

WIDTHS = (64, 128, 192, 256)
# A level is folded to about this many cells a side before the first convolution.
CELLS = 32
LEARNING_RATE = 4e-4
MOST_WEIGHT = 100.0
# A part of a level is looked at if it has this many cells of the folded picture a side, at least.
LEAST_PART = 4


class Discriminator(nn.Module):
    """x_k, N x 3 x H x W, to two maps of logits: of parts of about a third of the picture, and of nearly all of it, so
    that two eyes are judged together. `widths`: of its layers, each half as large as the one before."""

    def __init__(self, side: int, gain: float, widths: tuple[int, ...] = WIDTHS):
        super().__init__()
        self.gain, self.fold = gain, max(1, side // CELLS)
        self.first = spectral_norm(nn.Conv2d(6 * self.fold**2, widths[0], 3, padding=1))
        self.downs = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in zip(widths, widths[1:])
        )
        self.heads = nn.ModuleList(spectral_norm(nn.Conv2d(width, 1, 3, padding=1)) for width in widths[-2:])

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        low = pyramid.u(pyramid.d(x))
        features = torch.cat([(x - low) * (2 / self.gain), 2 * low - 1], dim=1)
        if self.fold > 1:
            features = F.pixel_unshuffle(features, self.fold)
        seen = [F.leaky_relu(self.first(features), 0.2)]
        for down in self.downs:
            seen.append(F.leaky_relu(down(seen[-1]), 0.2))
        return [head(features).float() for head, features in zip(self.heads, seen[-2:])]


class Judge(nn.Module):
    """The discriminators of a level: of the whole and of its parts; `parts`: left, top, right, bottom in 0..1."""

    def __init__(self, side: int, gain: float, parts: tuple[tuple[float, float, float, float], ...] = ()):
        super().__init__()
        self.whole = Discriminator(side, gain)
        # Whole cells of the folded picture, and an even number of pixels, which `pyramid.d` needs.
        step = 2 * self.whole.fold
        found = [tuple(round(edge * side / step) * step for edge in part) for part in parts]
        self.windows = [w for w in found if min(w[2] - w[0], w[3] - w[1]) >= LEAST_PART * self.whole.fold]
        self.parts = nn.ModuleList(Discriminator(side, gain, WIDTHS[:-1]) for _ in self.windows)

    def forward(self, x: torch.Tensor) -> list[list[torch.Tensor]]:
        """The logits of the whole and of each part."""
        close = (x[:, :, top:bottom, left:right] for left, top, right, bottom in self.windows)
        return [self.whole(x), *(judge(part) for judge, part in zip(self.parts, close))]


def fooling(judge: Judge, samples: torch.Tensor, other: torch.Tensor, last: torch.Tensor, weight: float) -> torch.Tensor:
    """What makes samples look like photos; its gradient at `last`, the weights of the last layer of what drew them, is
    `weight` times that of `other`, the remaining loss."""
    judge.requires_grad_(False)
    loss = -_mean(judge(samples))
    judge.requires_grad_(True)
    of_other, of_this = (torch.autograd.grad(v, last, retain_graph=True)[0].norm() for v in (other, loss))
    return weight * (of_other / (of_this + 1e-6)).clamp(max=MOST_WEIGHT).detach() * loss


def judging(judge: Judge, samples: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The judge's own loss, 2 for one that knows nothing."""
    true = [[F.relu(1 - logits) for logits in one] for one in judge(truth)]
    made = [[F.relu(1 + logits) for logits in one] for one in judge(samples.detach())]
    return _mean(true) + _mean(made)


def optimizer_of(judges: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(judges.parameters(), lr=LEARNING_RATE, betas=(0.5, 0.9), weight_decay=0, fused=True)


def restore(judges: nn.Module, optimizer: torch.optim.Optimizer, of_judges: dict, of_optimizer: dict) -> None:
    """Discriminators and their optimizer as an interrupted run left them."""
    try:
        judges.load_state_dict(of_judges)
    except RuntimeError as error:
        raise LapcvaeError(
            "The discriminators of the interrupted run look at other parts, or are those of an earlier version.",
            "Begin a new run from its weights: another --out, and --init with this folder.",
        ) from error
    optimizer.load_state_dict(of_optimizer)


class Adversary:
    """The discriminators of the trained levels and their optimizer. `crop`, `parts`: as in `config.Optimisation`."""

    def __init__(self, net: LapCVAE, levels: tuple[int, ...], weight: float, device: str, crop: int = 0, parts: tuple = ()):
        self.net, self.weight = net, weight
        self.judges = nn.ModuleDict()
        for k in levels:
            side = net.config.level_size(k)
            whole = not 0 < crop < side
            if k < net.config.K:
                self.judges[str(k)] = Judge(side if whole else crop, net.config.levels[k].gain, parts if whole else ())
        self.judges.to(device, memory_format=torch.channels_last)
        self.optimizer = optimizer_of(self.judges)

    def fooling(self, k: int, samples: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """The decoder's adversarial loss, weighted against `other`, the level's remaining loss."""
        return fooling(self.judges[str(k)], samples, other, self.net.decoders[k].last.weight, self.weight)

    def learn(self, k: int, samples: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """The discriminator's own loss; `samples` (2N) are two for each of N conditions."""
        return judging(self.judges[str(k)], samples, truth)

    def state(self) -> dict:
        return {"judges": self.judges.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict) -> None:
        restore(self.judges, self.optimizer, state["judges"], state["optimizer"])


def _mean(found: list[list[torch.Tensor]]) -> torch.Tensor:
    """Of all maps of a discriminator; the parts together count as much as the whole."""
    whole, *parts = (sum(logits.mean() for logits in one) / len(one) for one in found)
    return (whole + sum(parts) / len(parts)) / 2 if parts else whole
