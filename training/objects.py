"""Glasses and hats drawn on aligned faces.

The training pictures show glasses seldom, dark ones hardly ever, and people paint them. What is drawn is the picture that is
meant: a model that knows it makes it of a crude painting. Hats are only there to be told (`training.exemplars`). Both are of
another kind than those of the suite (`training.suite.objects`): simple forms, but of every shape and colour.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from . import draws
from .config import FACE_EYES


def put_on(x: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """`x`: N x 3 x n x n in [0, 1], eyes at FACE_EYES; glasses on about that share of them."""
    if not share:
        return x
    chosen = (draws.uniform(len(x), generator) < share).nonzero().flatten()
    if len(chosen):
        x = x.index_copy(0, chosen, glasses(x[chosen], generator))
    return x


def glasses(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """`x` with glasses on all of them."""
    count, _, n, _ = x.shape

    def some(low: float, high: float, channels: int = 1) -> torch.Tensor:
        return draws.uniform((count, channels, 1, 1), generator, low, high)

    def chance(share: float) -> torch.Tensor:
        return some(0, 1) < share

    centre = (torch.arange(n, device=x.device) + 0.5) / n
    y, x_ = torch.meshgrid(centre, centre, indexing="ij")
    y, x_ = y - (FACE_EYES[0] + some(-0.01, 0.035)), x_ - (0.5 + some(-0.015, 0.015))
    # Turned a little, and lower on one side.
    turn = some(-0.05, 0.05)
    y, x_ = y + turn * x_, x_ - turn * y
    dark = chance(0.65)
    wide, high = some(0.075, 0.112), some(0.055, 0.095)
    apart = FACE_EYES[1] / 2 + some(-0.004, 0.012)
    power = some(2, 5)
    # Aviators are wider above and further down outside, others straight above.
    drop, flat = some(0, 0.35) * chance(0.4), some(0, 0.35) * chance(0.5)
    rim = some(0.003, 0.014) * torch.where(chance(0.2), 0.2, 1.0)

    def lens(side: int) -> torch.Tensor:
        """Roughly the distance from the lens's edge, less than 0 inside."""
        across = (x_ * side - apart) / (wide * (1 + side * some(-0.08, 0.08)))
        down = y / torch.where(y < 0, high * (1 - flat), high * (1 + drop * (0.4 + across).clamp(0, 1)))
        radius = (across.abs().clamp_min(1e-4) ** power + down.abs().clamp_min(1e-4) ** power) ** (1 / power)
        return (radius - 1) * torch.minimum(wide, high)

    inside = torch.minimum(lens(-1), lens(1))

    def cover(distance: torch.Tensor) -> torch.Tensor:
        return (0.5 - distance * n).clamp(0, 1)

    glass, frame = cover(inside), cover(inside - rim) * (1 - cover(inside))
    bridge = y + high * (0.45 * (1 - flat)) - x_.square() * 3
    bar = torch.maximum(x_.abs() - (apart - wide * 0.9), bridge.abs() - rim * 0.7)
    outer = x_.abs() - (apart + wide)
    # The sides go back over the temples, and are covered by hair sooner or later.
    temple = torch.maximum(torch.maximum(-outer, outer - some(0.02, 0.07)), (y + high * 0.4).abs() - (rim * 0.6 + 0.002))
    frame = torch.maximum(frame, torch.maximum(cover(bar), cover(temple)) * (1 - glass))

    tint = some(0, 0.22) + some(-0.05, 0.1, 3) * chance(0.4)
    tint = torch.where(chance(0.08), some(0.1, 0.7, 3), tint)
    opacity = torch.where(dark, some(0.75, 1), some(0, 0.25))
    fade = some(0, 0.6) * chance(0.5)
    opacity = opacity * (1 - fade * ((y / high + 1) / 2).clamp(0, 1))
    # What a lens mirrors: bright, soft, more above.
    cells = draws.normal((count, 1, 6, 6), generator)
    mirrored = F.interpolate(cells, size=(n, n), mode="bicubic", align_corners=False).clamp_min(0) * some(0, 0.25)
    mirrored = mirrored * chance(0.6) * (0.7 - y / high).clamp(0, 1)
    lens_colour = tint + mirrored * torch.where(dark, 1.0, 0.4)
    frame_colour = torch.where(chance(0.7), some(0, 0.2) + some(-0.04, 0.08, 3), some(0.1, 0.8, 3))
    frame_colour = frame_colour * (1 + 0.25 * (y / high).clamp(-1, 1) * some(-1, 1))

    # Its shadow, a little further down, soft.
    whole = torch.maximum(frame, glass * torch.where(dark, 1.0, 0.15))
    side = 2 * (n // 48) + 1
    soft = F.avg_pool2d(F.pad(whole, (side // 2,) * 4, mode="replicate"), side, stride=1)
    soft = torch.roll(soft, max(1, n // 64), 2)
    x = x * (1 - some(0.1, 0.45) * soft)
    x = x + glass * (opacity * (lens_colour - x) + (1 - opacity) * mirrored * 0.5)
    return (x + frame * some(0.85, 1) * (frame_colour - x)).clamp(0, 1)


def hats(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """`x` with hats and caps on all of them."""
    count, _, n, _ = x.shape

    def some(low: float, high: float, channels: int = 1) -> torch.Tensor:
        return draws.uniform((count, channels, 1, 1), generator, low, high)

    def chance(share: float) -> torch.Tensor:
        return some(0, 1) < share

    centre = (torch.arange(n) + 0.5) / n
    y, x_ = torch.meshgrid(centre, centre, indexing="ij")
    x_ = x_ - 0.5 - some(-0.02, 0.02)
    y = y + some(-0.15, 0.15) * x_
    # The crown: a dome over an edge that is bent.
    edge, half, top, power = some(0.2, 0.36) + some(-0.3, 0.5) * x_.square(), some(0.27, 0.4), some(-0.25, 0.08), some(2, 4)
    across, up = x_.abs() / half, (edge - y) / (edge - top)
    dome = across.clamp_min(1e-4) ** power + up.clamp_min(1e-4) ** power
    crown = ((1 - dome) * half / power * n + 0.5).clamp(0, 1) * ((edge - y) * n + 0.5).clamp(0, 1)
    colour = some(0, 0.9) + some(-0.15, 0.15, 3)
    cells = draws.normal((count, 1, 16, 16), generator)
    cloth = F.interpolate(cells, size=(n, n), mode="bicubic", align_corners=False) * some(0, 0.08)
    ribs = torch.sin(x_ * some(60, 160)) * some(0, 0.08) * chance(0.4)
    surface = colour * (1 - some(0, 0.6) * across.square()) + cloth + ribs
    band = (edge - y < some(0.02, 0.07)) & chance(0.5)
    surface = torch.where(band, surface * some(0.5, 1.4) + some(-0.1, 0.1, 3), surface)
    wide = half * some(0.8, 1.35)
    bend = edge + some(0, 0.03) * (1 - (x_ / wide).square())
    brim = ((some(0.0075, 0.035) - (y - bend).abs()) * n + 0.5).clamp(0, 1) * ((wide - x_.abs()) * n + 0.5).clamp(0, 1)
    brim = brim * chance(0.6)
    shadow = F.avg_pool2d(torch.maximum(crown, brim), 9, 1, 4).roll(5, 2)
    x = x * (1 - some(0.1, 0.5) * shadow)
    x = x + crown * (surface - x)
    return (x + brim * (colour * some(0.3, 1.1) - x)).clamp(0, 1)
