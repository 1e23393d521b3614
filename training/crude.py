"""Paintings as people make them, from clean pictures: what the interpreter (`training.interpreter`) learns to read.

A painter who wants a picture paints less than it has: a few flat tones, where they roughly belong, over something that has
to go. So a region is painted over with the picture's own tones, as few and as displaced as the painting is crude; what is
under the paint shows at its rim; and all of it is seen as it is, in cells of the painted level, enlarged, or between.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from . import draws, pyramid
from .corrupt import capsules

# Tones of one painting, at most.
TONES = 24
ROUNDS = 2
# Shares of what a region is: strokes, what looks alike (hair, lips, a wall), the whole; the rest is both of the first.
STROKES, ALIKE, ALL = 0.45, 0.3, 0.04
# Shares of where something was rubbed out (`lapcvae.edit.fill_erased`), and of something else under the paint.
RUBBED_OUT, COVERED = 0.12, 0.5
# How far features are displaced at most, in shares of the picture's side.
DISPLACED = 0.045
# How much less of its contrast with what is around a feature has, at most.
PALEST = 0.9


@dataclass
class Crude:
    """`picture`: N x 3 x n x n, as painted, the clean picture where `mask` is 0; `mask`: N x 1 x n x n, where the painting
    counts; `crudeness`: N, 0..1."""

    picture: torch.Tensor
    mask: torch.Tensor
    crudeness: torch.Tensor


class Brush:
    """Draws what is random for N paintings of n x n pixels."""

    def __init__(self, count: int, n: int, generator: torch.Generator):
        self.count, self.n, self.generator = count, n, generator

    def uniform(self, low: float = 0.0, high: float = 1.0, channels: int = 1) -> torch.Tensor:
        """N x channels x 1 x 1."""
        return draws.uniform((self.count, channels, 1, 1), self.generator, low, high)

    def normal(self, channels: int = 3) -> torch.Tensor:
        return draws.normal((self.count, channels, 1, 1), self.generator)

    def chance(self, share: float) -> torch.Tensor:
        """N x 1 x 1 x 1, bool."""
        return self.uniform() < share

    def smooth(self, cells: int, channels: int) -> torch.Tensor:
        """Smooth noise, N x channels x n x n, of about unit size."""
        noise = draws.normal((self.count, channels, cells, cells), self.generator)
        return F.interpolate(noise, size=(self.n, self.n), mode="bicubic", align_corners=False)

    def strokes(self, most: int) -> torch.Tensor:
        cover = torch.zeros((self.count, 1, self.n, self.n), device=self.generator.device)
        for i in range(most):
            stroke = capsules(self.count, self.n, self.generator, self.generator.device)
            cover = torch.maximum(cover, stroke * (self.chance(0.6) if i else 1))
        return cover


def paint(clean: torch.Tensor, generator: torch.Generator) -> Crude:
    """`clean`: N x 3 x n x n in [0, 1], where the generator is; n: a power of two, 32 or more."""
    count, _, n, _ = clean.shape
    brush = Brush(count, n, generator)
    crudeness = brush.uniform()
    region = _region(clean, brush)
    tones = _tones(clean, region, crudeness, brush)
    picture = clean
    # What the painter wants to be rid of: it reaches a little beyond the paint, so the paint's rim shows it.
    under = _grown(region, brush.uniform(0, 0.06)) * brush.chance(COVERED)
    texture = 1 + 0.3 * brush.smooth(n // 4, 1) * brush.chance(0.3)
    picture = picture + under * ((brush.uniform(channels=3) ** 1.5 * texture).clamp(0, 1) - picture)
    opacity = torch.where(brush.chance(0.6), 1.0, brush.uniform(0.85, 1))
    picture = picture + region * opacity * (tones - picture)
    levels = draws.integers(3, (count,), generator)
    cell = (2.0**levels)[:, None, None, None]
    # Between what was painted and the cells, as `lapcvae.edit` shows it.
    seen = torch.where(brush.chance(0.5), brush.uniform(), 1.0)
    picture = picture + seen * (_in_cells(picture, levels) - picture)
    mask = _rim(region, cell * brush.uniform(0.5, 1.5) / n)
    rubbed = brush.chance(RUBBED_OUT)
    picture = torch.where(rubbed, _continued(clean, mask), picture)
    crudeness = torch.where(rubbed, 1.0, crudeness)
    return Crude((clean + mask * (picture - clean)).clamp(0, 1), mask, crudeness.flatten())


def _region(clean: torch.Tensor, brush: Brush) -> torch.Tensor:
    """What is painted over, N x 1 x n x n in 0..1."""
    strokes = brush.strokes(4)
    kind = brush.uniform()
    alike = _alike(clean, brush)
    both = torch.maximum(strokes, alike)
    region = torch.where(kind < STROKES, strokes, torch.where(kind < STROKES + ALIKE, alike, both))
    region = torch.where(kind > 1 - ALL, torch.ones_like(region), region)
    # A soft brush, or a hard one.
    return torch.where(brush.chance(0.5), region, F.avg_pool2d(F.pad(region, (1,) * 4, mode="replicate"), 3, stride=1))


def _alike(clean: torch.Tensor, brush: Brush) -> torch.Tensor:
    """Around a place, what has its colour: as people paint over hair, lips, a beard, a background."""
    n = brush.n
    blurred = _blurred(clean, 3)
    place = draws.integers(n * n, (brush.count, 1, 1), brush.generator)
    colour = blurred.flatten(2).gather(2, place.expand(-1, 3, -1))[..., None]
    near = ((blurred - colour).square().mean(1, keepdim=True).sqrt() / brush.uniform(0.05, 0.2)) < 1
    y, x = _coordinates(n, clean.device)
    distance = torch.hypot(x - ((place[..., None] % n) + 0.5) / n, y - ((place[..., None] // n) + 0.5) / n)
    reach = distance < brush.uniform(0.15, 0.7) * (1 + 0.2 * brush.smooth(4, 1))
    return (_blurred((near & reach).float(), 5) > brush.uniform(0.25, 0.6)).float()


def _coordinates(n: int, device) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns of pixel centres in 0..1, n x n each."""
    centre = (torch.arange(n, device=device) + 0.5) / n
    return torch.meshgrid(centre, centre, indexing="ij")


def _tones(clean: torch.Tensor, region: torch.Tensor, crudeness: torch.Tensor, brush: Brush) -> torch.Tensor:
    """The picture in a few flat tones, N x 3 x n x n: k-means in colour and place of the region, then displaced."""
    count, n = brush.count, brush.n
    # The cruder, the fewer, and the less they follow the picture's own edges.
    number = (1 + (TONES - 1) * brush.uniform() ** (1 + 3 * crudeness)).round()
    # What a distance of the picture's side weighs, against colour.
    scale = torch.exp(brush.uniform(-1.5, 1.2))
    y, x = _coordinates(n, clean.device)
    place = torch.stack([y, x]).expand(count, -1, -1, -1) * scale
    features = torch.cat([_blurred(clean, 3), place], 1).flatten(2).transpose(1, 2)
    weight = (region + 1e-3).flatten(1)
    # What stands out gets a tone of its own: nobody leaves the eyes out.
    standing_out = (clean - _blurred(clean, 9)).abs().mean(1, keepdim=True)
    chosen = torch.multinomial(((region + 1e-3) * (standing_out + 0.02)).flatten(1), TONES, generator=brush.generator)
    centres = features.gather(1, chosen[..., None].expand(-1, -1, features.shape[2]))
    unused = (torch.arange(TONES, device=clean.device)[None] >= number.flatten()[:, None])[:, None, :]
    colours = clean.flatten(2).transpose(1, 2)
    for _ in range(ROUNDS):
        nearest = (torch.cdist(features, centres) + 1e3 * unused).argmin(2)
        member = F.one_hot(nearest, TONES).float() * weight[..., None]
        total = member.sum(1)[..., None].clamp_min(1e-6)
        centres = member.transpose(1, 2) @ features / total
    flat = member.transpose(1, 2) @ colours / total
    off = draws.normal((count, TONES, 3), brush.generator) * (0.005 + 0.035 * crudeness[:, :, 0])
    off = off + (brush.normal() * 0.05 * brush.uniform()).flatten(2).transpose(1, 2)
    tones = (flat + off).gather(1, nearest[..., None].expand(-1, -1, 3)).transpose(1, 2).unflatten(2, (n, n))
    # Some shading is often kept.
    shaded = 0.7 * brush.uniform() * (1 - crudeness) * brush.chance(0.5)
    tones = tones + shaded * (_blurred(clean, 3) - tones)
    tones = _thinned(tones, brush.uniform(-1, 1) * brush.chance(0.65) * (0.4 + 0.6 * crudeness))
    tones = _paled(tones, brush.uniform(0, PALEST) * brush.chance(0.4) * (0.3 + 0.7 * crudeness))
    return _displaced(tones.clamp(0, 1), crudeness, brush)


def _thinned(picture: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Dark features smaller (`by` towards 1: an eye is a dot) or larger (towards -1)."""
    wider, far = F.max_pool2d(picture, 3, stride=1, padding=1), F.max_pool2d(picture, 5, stride=1, padding=2)
    thin = picture + (by * 2).clamp(0, 1) * (wider - picture) + (by * 2 - 1).clamp(0, 1) * (far - wider)
    thick = picture + (-by).clamp(0, 1) * (-F.max_pool2d(-picture, 3, stride=1, padding=1) - picture)
    return torch.where(by > 0, thin, thick)


def _paled(picture: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """What is there hardly more than hinted at: dots and thin lines, seen in coarse cells, are pale."""
    return picture + by * (_blurred(picture, 2 * (picture.shape[-1] // 8) + 1) - picture)


def _displaced(picture: torch.Tensor, crudeness: torch.Tensor, brush: Brush) -> torch.Tensor:
    y, x = _coordinates(brush.n, picture.device)
    by = crudeness * DISPLACED * (0.5 * brush.normal(2) + 0.6 * brush.smooth(6, 2))
    at = torch.stack([2 * x - 1, 2 * y - 1], -1) + 2 * by.permute(0, 2, 3, 1)
    return F.grid_sample(picture, at, mode="bilinear", padding_mode="border", align_corners=False)


def _in_cells(picture: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """As the cells of a level (0, 1 or 2 coarser, per item) show it."""
    seen = picture
    for level in (1, 2):
        coarse = pyramid.enlarge(pyramid.reduce(picture, level), level)
        seen = torch.where((levels == level)[:, None, None, None], coarse, seen)
    return seen


def _distance(region: torch.Tensor, most: int) -> torch.Tensor:
    """From the region, in pixels, in steps of about one, up to `most`."""
    inside = (region > 0.05).float()
    distance = torch.zeros_like(inside)
    for i in range(most):
        distance = distance + (1 - inside)
        # Squares and crosses in turn come near to circles.
        if i % 2:
            inside = F.max_pool2d(inside, 3, stride=1, padding=1)
        else:
            across, along = ((3, 1), (1, 0)), ((1, 3), (0, 1))
            inside = torch.maximum(*(F.max_pool2d(inside, k, stride=1, padding=p) for k, p in (across, along)))
    return distance + 1e3 * (1 - inside)


def _rim(region: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
    """1 on the region, falling smoothly over `width` (shares of the side) around it, as `lapcvae.masks` has it."""
    n = region.shape[-1]
    t = (1 - _distance(region, 8) / (width * n).clamp_min(1)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _grown(region: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    return (_distance(region, 5) <= by * region.shape[-1]).float()


def _blurred(x: torch.Tensor, side: int) -> torch.Tensor:
    return F.avg_pool2d(F.pad(x, (side // 2,) * 4, mode="replicate"), side, stride=1)


def _continued(clean: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The surroundings continued smoothly under the mask: coarse to fine, each time from what is known."""
    known, filled = 1 - mask, clean * (1 - mask)
    pictures, weights = [filled], [known]
    while pictures[-1].shape[-1] > 1:
        pictures.append(F.avg_pool2d(pictures[-1], 2))
        weights.append(F.avg_pool2d(weights[-1], 2))
    result = torch.where(weights[-1] > 1e-4, pictures[-1] / weights[-1].clamp_min(1e-4), torch.full_like(pictures[-1], 0.5))
    for picture, weight in zip(pictures[-2::-1], weights[-2::-1]):
        result = picture + (1 - weight) * F.interpolate(result, scale_factor=2, mode="bilinear", align_corners=False)
    return result
