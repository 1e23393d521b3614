"""`lapcvae.pyramid` on torch tensors, N x C x H x W."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lapcvae.pyramid import KERNEL, lift_matrix


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


def reduce(x: torch.Tensor, levels: int) -> torch.Tensor:
    """`d` composed `levels` times: D(x)."""
    for _ in range(levels):
        x = d(x)
    return x


def enlarge(x: torch.Tensor, levels: int) -> torch.Tensor:
    """`u` composed `levels` times."""
    for _ in range(levels):
        x = u(x)
    return x


def lift(c: torch.Tensor, levels: int) -> torch.Tensor:
    """A+ c A+^T: the smallest picture, `levels` levels finer, whose reduced picture is exactly `c`."""
    rows, columns = (
        torch.from_numpy(lift_matrix(n, levels).copy()).to(c.device, c.dtype) for n in c.shape[-2:]
    )
    return rows @ c @ columns.T


def project(x: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The smallest change to `x` after which its reduced picture is exactly `wanted`: x + A+ (c - D(x)) A+^T."""
    levels = (x.shape[-1] // wanted.shape[-1]).bit_length() - 1
    return x + lift(wanted - reduce(x, levels), levels)
