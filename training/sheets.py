"""Sample sheets: fixed pictures, fixed seeds, so that two sheets can be compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from . import pyramid
from .model import LapCVAE

SAMPLES = 3


def columns(net: LapCVAE, x: torch.Tensor, temperature: float) -> list[torch.Tensor]:
    """Per picture: itself, its reconstruction, what level K shows of it, samples of level K-1, samples of level 0."""
    K, size = net.config.K, net.config.size
    b = pyramid.gaussians(x, K)
    coarse = b[K]
    for _ in range(K):
        coarse = pyramid.u(coarse)
    generator = torch.Generator().manual_seed(0)
    fine, middle = [], []
    for _ in range(SAMPLES):
        pictures = net.sample(b[K], generator, temperature)
        middle.append(F.interpolate(pictures[K - 1], size=(size, size), mode="nearest"))
        fine.append(pictures[0])
    return [x, net.reconstruct(b, generator)[0], coarse, *middle, *fine]


def grid(cells: list[torch.Tensor]) -> np.ndarray:
    """Columns of N x 3 x S x S to one picture, N rows."""
    rows = torch.cat([c.float().cpu().clamp(0, 1) for c in cells], dim=3)
    sheet = rows.permute(0, 2, 3, 1).reshape(-1, rows.shape[3], 3)
    return (sheet * 255 + 0.5).to(torch.uint8).numpy()


@torch.no_grad()
def write(net: LapCVAE, x: torch.Tensor, path: Path, temperature: float = 0.7) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grid(columns(net, x, temperature))).save(path)
