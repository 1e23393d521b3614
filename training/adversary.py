"""The sharpness stage: one small discriminator a level, conditional on `u`, that tells samples from photos.

Hinge loss, spectral normalisation (Miyato et al. 2018); the weight in the decoder's loss is adaptive, as in VQGAN (Esser et
al. 2021, eq. 7): the ratio of the gradients at the decoder's last layer, so that the likelihood and the calibration stay
in charge. Only what the prior draws is judged: reconstructions have a likelihood of their own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from .model import LapCVAE

WIDTH = 64
# A level is folded to about this many cells a side before the first convolution.
CELLS = 32
LEARNING_RATE = 4e-4
MOST_WEIGHT = 100.0


class Discriminator(nn.Module):
    """x_k and u (N x 3 x H x W) to logits, N x 1 x H' x W': each judges a part of about a third of the picture, or more."""

    def __init__(self, side: int, gain: float):
        super().__init__()
        self.gain, self.fold = gain, max(1, side // CELLS)
        widths = (6 * self.fold**2, WIDTH, 2 * WIDTH, 3 * WIDTH, 3 * WIDTH)
        strides = (1, 2, 2, 1)
        self.convolutions = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, 4 if stride == 2 else 3, stride, 1))
            for a, b, stride in zip(widths, widths[1:], strides)
        )
        self.last = spectral_norm(nn.Conv2d(widths[-1], 1, 1))

    def forward(self, x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        features = torch.cat([(x - u) * (2 / self.gain), 2 * u - 1], dim=1)
        if self.fold > 1:
            features = F.pixel_unshuffle(features, self.fold)
        for convolution in self.convolutions:
            features = F.leaky_relu(convolution(features), 0.2)
        return self.last(features)


class Adversary:
    """The discriminators of the trained levels and their optimizer. `crop`: as `config.Optimisation.crop`."""

    def __init__(self, net: LapCVAE, levels: tuple[int, ...], weight: float, device: str, crop: int = 0):
        self.net, self.weight = net, weight
        self.judges = nn.ModuleDict({
            str(k): Discriminator(min(net.config.level_size(k), crop or net.config.size), net.config.levels[k].gain)
            for k in levels if k < net.config.K
        }).to(device, memory_format=torch.channels_last)  # fmt: skip
        self.optimizer = torch.optim.AdamW(self.judges.parameters(), lr=LEARNING_RATE, betas=(0.5, 0.9), weight_decay=0)

    def fooling(self, k: int, samples: torch.Tensor, u: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """The decoder's adversarial loss, weighted against `other`, the level's remaining loss."""
        judge = self.judges[str(k)].requires_grad_(False)
        loss = -judge(samples, u).float().mean()
        judge.requires_grad_(True)
        last = self.net.decoders[k].last.weight
        of_other, of_this = (torch.autograd.grad(v, last, retain_graph=True)[0].norm() for v in (other, loss))
        return self.weight * (of_other / (of_this + 1e-6)).clamp(max=MOST_WEIGHT).detach() * loss

    def learn(self, k: int, samples: torch.Tensor, truth: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """The discriminator's own loss; `samples` (2N) are two for each of the N conditions."""
        judge = self.judges[str(k)]
        true, made = judge(truth, u).float(), judge(samples.detach(), torch.cat([u, u])).float()
        return F.relu(1 - true).mean() + F.relu(1 + made).mean()

    def state(self) -> dict:
        return {"judges": self.judges.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict) -> None:
        self.judges.load_state_dict(state["judges"])
        self.optimizer.load_state_dict(state["optimizer"])
