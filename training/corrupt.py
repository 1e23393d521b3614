"""What painters do to a coarse picture: strokes, blur, noise, erasing. Makes the finer levels and the coarsest level's
denoising robust to it. Strokes are capsules, alone or in mirrored pairs (a pair of dark lenses, cheeks). Most are flat
blobs in about the colour of what they cover: crude, but meant. A level that learns to make those real keeps what the
painter wanted; from strokes in arbitrary colours alone it learns to undo the painting."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from . import draws, pyramid


@dataclass
class Painted:
    """`picture`: N x 3 x n x n as the user left it; `mask`: N x 1 x n x n, 1 where painted; `strength`: N, 0..1."""

    picture: torch.Tensor
    mask: torch.Tensor
    strength: torch.Tensor

    @property
    def trust(self) -> torch.Tensor:
        """The plane that tells a level how crude its condition is, N x 1 x n x n."""
        return self.strength[:, None, None, None].expand_as(self.mask)


def _uniform(shape, low: float, high: float, generator: torch.Generator, device) -> torch.Tensor:
    return draws.uniform(shape, generator, low, high).to(device)


def capsules(batch: int, n: int, generator: torch.Generator, device) -> torch.Tensor:
    """One random stroke each as coverage, N x 1 x n x n; half of them mirrored into a pair."""
    start = _uniform((batch, 2), 0.1, 0.9, generator, device)
    reach = _uniform((batch, 2), -0.35, 0.35, generator, device)
    radius = _uniform((batch, 1, 1), 0.04, 0.2, generator, device)
    paired = _uniform((batch, 1, 1), 0, 1, generator, device) < 0.5
    centre = (torch.arange(n, device=device) + 0.5) / n
    y, x = torch.meshgrid(centre, centre, indexing="ij")

    def coverage(x):
        px, py = x - start[:, 0, None, None], y - start[:, 1, None, None]
        rx, ry = reach[:, 0, None, None], reach[:, 1, None, None]
        along = ((px * rx + py * ry) / (rx**2 + ry**2 + 1e-6)).clamp(0, 1)
        distance = ((px - along * rx) ** 2 + (py - along * ry) ** 2).sqrt()
        return ((radius - distance) * n + 0.5).clamp(0, 1)

    single = coverage(x)
    return torch.where(paired, torch.maximum(single, coverage(1 - x)), single)[:, None]


def paint(clean: torch.Tensor, generator: torch.Generator, strokes: int = 3) -> Painted:
    """Corrupt `clean` (N x 3 x n x n); strength is drawn uniformly, and everything scales with it."""
    batch, _, n, _ = clean.shape
    device = clean.device
    strength = _uniform((batch,), 0, 1, generator, device)
    scale = strength[:, None, None, None]
    picture, mask = clean, torch.zeros_like(clean[:, :1])
    for _ in range(strokes):
        wanted = _uniform((batch, 1, 1, 1), 0, 1, generator, device) < 0.6
        cover = capsules(batch, n, generator, device) * wanted
        colour = _stroke_colour(clean, cover, generator)
        opacity = 0.4 + 0.6 * scale
        picture = picture + cover * opacity * (colour - picture)
        mask = torch.maximum(mask, (cover > 0.3).float())
    blurred = pyramid.u(pyramid.d(picture))
    blur = scale * _uniform((batch, 1, 1, 1), 0, 1, generator, device)
    picture = picture + blur * (blurred - picture)
    noise = draws.normal(picture.shape, generator).to(device)
    picture = picture + 0.06 * scale * noise * _uniform((batch, 1, 1, 1), 0, 1, generator, device)
    return Painted(picture, mask, strength)


def _stroke_colour(clean: torch.Tensor, cover: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """N x 3 x 1 x 1: about the mean of what is covered, or of what is around it; now and then anything else."""
    batch, _, n, _ = clean.shape
    device = clean.device
    reach = torch.nn.functional.max_pool2d(cover, 5, stride=1, padding=2)
    meant = _mean_under(clean, cover) + 0.05 * draws.normal((batch, 3, 1, 1), generator).to(device)
    # As if something had been wiped away (or erased and filled from around it).
    wiped = _mean_under(clean, (reach - cover).clamp_min(0))
    place = draws.integers(n * n, (batch, 1, 1), generator).to(device)
    elsewhere = clean.flatten(2).gather(2, place.expand(-1, 3, -1))[..., None]
    anything = _uniform((batch, 3, 1, 1), 0, 1, generator, device)
    kind = _uniform((batch, 1, 1, 1), 0, 1, generator, device)
    colour = torch.where(kind < 0.55, meant, torch.where(kind < 0.85, wiped, torch.where(kind < 0.95, elsewhere, anything)))
    return colour.clamp(0, 1)


def _mean_under(clean: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """N x 3 x 1 x 1."""
    return (clean * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp_min(1e-3)
