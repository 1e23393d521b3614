"""The network of a segmenter (`lapcvae.segments`), without normalisation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .finder_networks import Block

# Channels at a half, a quarter, ... of the picture's size, and residual blocks at each.
WIDTHS, BLOCKS = (32, 48, 80, 128), (1, 1, 2, 3)
# Channels at the picture's own size: only edges are looked at there.
FINE = 12


class Segmenter(nn.Module):
    """N x 3 x n x n in [0, 1], n a multiple of 16 -> N x C x n x n: how likely each pixel is of which of C classes."""

    def __init__(self, classes: int):
        super().__init__()
        self.fine = nn.Conv2d(3, FINE, 3, padding=1)
        self.down, self.across, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        before = 3
        for width, blocks in zip(WIDTHS, BLOCKS):
            self.down.append(nn.Conv2d(before, width, 3, stride=2, padding=1))
            self.across.append(nn.Sequential(*(Block(width, 1 + i) for i in range(blocks))))
            before = width
        for narrow, wide in zip(WIDTHS[:-1], WIDTHS[1:]):
            self.up.append(nn.Conv2d(wide, narrow, 1))
        self.smooth = nn.ModuleList(Block(width) for width in WIDTHS[:-1])
        self.up_fine = nn.Conv2d(WIDTHS[0], FINE, 1)
        self.head = nn.Conv2d(FINE, classes, 3, padding=1)
        self.apply(_initialise)

    def logits(self, picture: torch.Tensor) -> torch.Tensor:
        centred = 4 * picture - 2
        seen, x = [], centred
        for down, across in zip(self.down, self.across):
            x = across(F.relu(down(x)))
            seen.append(x)
        for i in reversed(range(len(self.up))):
            x = self.smooth[i](F.relu(seen[i] + _twice(self.up[i](x))))
        return self.head(F.relu(self.fine(centred) + _twice(self.up_fine(x))))

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return self.logits(picture).softmax(1)


def _twice(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        if module.weight.any():
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)
