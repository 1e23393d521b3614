"""`lapcvae.pyramid` on torch tensors, N x C x H x W."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lapcvae.pyramid import KERNEL


def d(x: torch.Tensor) -> torch.Tensor:
    """N x C x H x W -> N x C x H/2 x W/2."""
    tap = torch.tensor(KERNEL, dtype=x.dtype, device=x.device)
    channels = x.shape[1]
    kernel = torch.outer(tap, tap).expand(channels, 1, 4, 4)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, stride=2, groups=channels)


def u(x: torch.Tensor) -> torch.Tensor:
    """N x C x H x W -> N x C x 2H x 2W."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def gaussians(x: torch.Tensor, levels: int) -> list[torch.Tensor]:
    """[b_0, ..., b_K] with K = `levels`."""
    b = [x]
    for _ in range(levels):
        b.append(d(b[-1]))
    return b
