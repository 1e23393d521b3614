"""The two networks of a face finder, without normalisation, and the edges that one of them sees."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from lapcvae.finder import CROP

# What `Refine` counts changes in: a step of the optimiser then moves its answers by less than what they are wanted to.
CHANGE_UNIT = 0.1
# How much the least squares of `Refine` keep their weights small.
RIDGE = 3e-3


class Block(nn.Module):
    """A residual block that starts as the identity."""

    def __init__(self, width: int, dilation: int = 1):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        nn.init.zeros_(self.second.weight)

    def forward(self, x):
        return F.relu(x + self.second(F.relu(self.first(x))))


def _stem(widths: tuple[int, ...]) -> list[nn.Module]:
    layers, before = [], 3
    for width in widths:
        layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.ReLU()]
        before = width
    return layers


def _initialise(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if module.weight.any():
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)


class Find(nn.Module):
    """N x 3 x H x W in [0, 1] -> N x 5 x H/8 x W/8: see `lapcvae.finder`."""

    def __init__(self, width: int = 48):
        super().__init__()
        self.trunk = nn.Sequential(
            *_stem((16, 32, width)), Block(width), Block(width, 2), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()
        )
        self.head = nn.Conv2d(width, 5, 1)
        _initialise(self)
        nn.init.normal_(self.head.weight, std=0.01)
        # Few cells hold a face.
        self.head.bias.data[0] = -4.0

    def forward(self, picture):
        return self.head(self.trunk(4 * picture - 2))


class Edges(nn.Module):
    """N x 3 x H x W in [0, 1] -> N x F: how strong edges of eight directions are around every fourth pixel, as a share of
    all edges there. Nothing of it is learnt."""

    def __init__(self):
        super().__init__()
        directions = torch.arange(8) * (math.pi / 4)
        across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
        filters = directions.cos()[:, None, None] * across + directions.sin()[:, None, None] * across.T
        # As a bundle stores it.
        self.register_buffer("filters", filters[:, None].half().float(), persistent=False)

    def forward(self, picture):
        strength = F.avg_pool2d(F.relu(F.conv2d(picture.mean(1, keepdim=True), self.filters)), 8, stride=4)
        power = strength.square().sum(1, keepdim=True)
        power = F.avg_pool2d(power, 3, stride=1, padding=1, count_include_pad=False)
        return (strength / (power + 1e-5).sqrt()).flatten(1)


class Refine(nn.Module):
    """N x 3 x 64 x 64 in [0, 1] -> N x 5: see `lapcvae.finder`.

    Sees `Edges`: that learns from few scenes, and no light or camera changes much of it. The answer is a linear one, which
    `solve` finds at once, and what further layers add to it, which see the pixels too.
    """

    def __init__(self, width: int = 192, channels: int = 64, seen: int = 32):
        super().__init__()
        self.edges = Edges()
        cells = (CROP - 2 - 8) // 4 + 1
        self.linear = nn.Linear(8 * cells * cells, 5)
        self.trunk = nn.Sequential(
            *_stem((16, 32, channels)), Block(channels), nn.Conv2d(channels, seen, 1), nn.ReLU(), nn.Flatten()
        )
        self.layers = nn.Sequential(
            nn.Linear(8 * cells * cells + seen * (CROP // 8) ** 2, width), nn.ReLU(),
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 5),
        )  # fmt: skip
        _initialise(self)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.layers[-1].weight)

    def forward(self, crop):
        edges = self.edges(crop)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.training):
            pixels = self.trunk((4 * crop - 2).contiguous(memory_format=torch.channels_last))
        out = self.linear(edges) + self.layers(torch.cat([edges, pixels.float()], 1))
        return torch.cat([out[:, :1], CHANGE_UNIT * out[:, 1:]], 1)

    @torch.no_grad()
    def solve(self, edges: torch.Tensor, changes: torch.Tensor) -> None:
        """The linear part that explains most of the changes (N x 4), before the layers have learnt anything."""
        wanted = changes / CHANGE_UNIT
        mean, offset = edges.mean(0), wanted.mean(0)
        edges = edges - mean
        square = edges.T @ edges
        square.diagonal().add_(RIDGE * len(edges))
        weight = torch.linalg.solve(square, edges.T @ (wanted - offset)).T
        self.linear.weight[1:] = weight
        self.linear.bias[1:] = offset - weight @ mean


class Finder(nn.Module):
    """Both networks: what is trained, stored and exported together."""

    def __init__(self):
        super().__init__()
        self.find, self.refine = Find(), Refine()
