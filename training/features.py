"""Eyes and mouths as people paint them on aligned faces: one tone of skin over all of it, then a dot, a line or two.

That is how sunglasses are painted away, and unlike what comes of a picture's own tones (`training.crude`): what there is to
read is where, how large and how dark. They are of another kind than the suite's (`training.suite.paintings`): capsules of
every size, parts of them left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from . import draws, objects
from .config import FACE_EYES

MOUTH = 0.735
# Shares of what is painted: both eyes, the mouth; the rest is all of them.
EYES, MOUTHS = 0.6, 0.22
# How far around its usual place a feature of the picture is looked for.
AROUND = 0.06


def paint(clean: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """What is painted over, N x 1 x n x n in 0..1, and with what, N x 3 x n x n. `clean`: N x 3 x n x n in [0, 1]."""
    return _Painter(clean, generator).paint()


class _Painter:
    def __init__(self, clean: torch.Tensor, generator: torch.Generator):
        self.clean, self.generator = clean, generator
        self.count, _, self.n, _ = clean.shape
        self.y, self.x = objects.coordinates(self.n, clean.device)
        self.blurred = _blurred(clean, 3)

    def some(self, low: float = 0.0, high: float = 1.0, channels: int = 1) -> torch.Tensor:
        return draws.uniform((self.count, channels, 1, 1), self.generator, low, high)

    def chance(self, share: float) -> torch.Tensor:
        return self.some() < share

    def paint(self) -> tuple[torch.Tensor, torch.Tensor]:
        what = self.some()
        skin = self.skin()
        picture = skin.expand_as(self.clean)
        # Some painters give it light and shade.
        lit = self.some(-0.12, 0.12) * (self.x - 0.5) + self.some(-0.3, 0.1) * (self.y - FACE_EYES[0]) * self.chance(0.5)
        picture = (picture * (1 + lit * self.chance(0.6))).clamp(0, 1)
        region = torch.zeros_like(self.clean[:, :1])
        with_eyes, with_mouth = (what < EYES) | (what > EYES + MOUTHS), what > EYES
        both, left = self.chance(0.88), self.chance(0.5)
        for side in (-1, 1):
            painted = with_eyes & (both | (left if side < 0 else ~left))
            x, y = self.place(FACE_EYES[0], 0.5 + side * FACE_EYES[1] / 2)
            picture = self.eye(picture, skin, x, y, side)
            wide, high = self.some(0.05, 0.14), self.some(0.035, 0.12)
            over = self.capsule(x - wide, y, x + wide, y + self.some(-0.03, 0.03), high)
            region = torch.maximum(region, over * painted)
        band = self.capsule(0.4, FACE_EYES[0], 0.6, FACE_EYES[0], self.some(0.02, 0.06))
        region = torch.maximum(region, band * (with_eyes & both & self.chance(0.7)))
        arms = self.capsule(self.some(0.1, 0.22), FACE_EYES[0], self.some(0.78, 0.9), FACE_EYES[0], self.some(0.015, 0.035))
        region = torch.maximum(region, arms * (with_eyes & both & self.chance(0.4)))
        x, y = self.place(MOUTH, 0.5)
        picture = self.mouth(picture, skin, x, y)
        wide = self.some(0.05, 0.14)
        over = self.capsule(x - wide, y, x + wide, y, self.some(0.04, 0.11))
        region = torch.maximum(region, over * with_mouth)
        return region, picture

    def skin(self) -> torch.Tensor:
        """Picked somewhere on the face, and not quite that, N x 3 x 1 x 1."""
        x, y = (0.25 + 0.5 * self.some(), 0.3 + 0.4 * self.some())
        at = torch.cat([2 * x - 1, 2 * y - 1], 1).permute(0, 2, 3, 1)
        picked = F.grid_sample(_blurred(self.clean, 2 * (self.n // 32) + 1), at, align_corners=False)
        usual = self.clean[:, :, self.n // 3 : 3 * self.n // 4, self.n // 4 : 3 * self.n // 4].mean((2, 3), keepdim=True)
        picked = torch.where(self.chance(0.5), usual, picked)
        return (picked * self.some(0.88, 1.15) + 0.02 * draws.normal(picked.shape, self.generator)).clamp(0, 1)

    def place(self, y: float, x: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Where near a feature's usual place the picture is darkest, and what a hand makes of that; N x 1 x 1 x 1 each."""
        dark = (_blurred(self.clean, 2 * (self.n // 8) + 1) - self.blurred).mean(1, keepdim=True).clamp_min(0)
        near = ((self.x - x).abs() < AROUND) & ((self.y - y).abs() < AROUND)
        weight = dark.square() * near + 1e-5 * near
        total = weight.sum((2, 3), keepdim=True)
        found = [(weight * at).sum((2, 3), keepdim=True) / total for at in (self.x, self.y)]
        return tuple(at + 0.008 * draws.normal((self.count, 1, 1, 1), self.generator) for at in found)

    def eye(self, picture: torch.Tensor, skin: torch.Tensor, x: torch.Tensor, y: torch.Tensor, side: int) -> torch.Tensor:
        dark = self.clean.amin(1, keepdim=True)
        near = ((self.x - 0.5 - side * FACE_EYES[1] / 2).abs() < 0.08) & ((self.y - FACE_EYES[0] + 0.06).abs() < 0.05)
        # Of what is darkest above the eye, or of anything.
        hair = skin * (dark + 1e3 * ~near).amin((2, 3), keepdim=True) / skin.amax(1, keepdim=True).clamp_min(0.05)
        hair = (hair + self.some(0, 0.5) * (skin - hair)).clamp(0, 1)
        wide, lift = self.some(0.03, 0.075), self.some(-0.02, 0.02)
        above = y - self.some(0.05, 0.085)
        lift = lift + side * self.some(-0.015, 0.015)
        brow = self.curve(x - wide * 1.1, x + wide * 1.1, above, lift, self.some(0.005, 0.016))
        picture = self.over(picture, brow, hair, 0.75, 0.5)
        shade = self.capsule(x - wide, y - 0.01, x + wide, y - 0.01, self.some(0.02, 0.05), 6)
        picture = self.over(picture, shade, skin * self.some(0.6, 0.95), 0.35, 0.3)
        white = self.capsule(x - wide * 0.5, y, x + wide * 0.5, y, self.some(0.006, 0.018))
        picture = self.over(picture, white, self.some(0.6, 0.95) * (0.8 + 0.2 * skin), 0.35, 0.5)
        high, bend = y - self.some(0, 0.02), self.some(-0.012, 0.012)
        lid = self.curve(x - wide * 0.8, x + wide * 0.8, high, bend, self.some(0.004, 0.016))
        picture = self.over(picture, lid, skin * self.some(0.2, 0.65), 0.7, 0.5)
        colour = (self.some(0.03, 0.35) + self.some(-0.04, 0.1, 3)).clamp(0, 1)
        pupil = self.capsule(x, y, x + 1e-3, y, self.some(0.007, 0.028))
        return self.over(picture, pupil, colour, 0.85, 0.5)

    def mouth(self, picture: torch.Tensor, skin: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        wide, high = self.some(0.04, 0.11), self.some(0.008, 0.04)
        own = F.grid_sample(self.blurred, torch.cat([2 * x - 1, 2 * y - 1], 1).permute(0, 2, 3, 1), align_corners=False)
        red = skin * torch.cat([self.some(0.75, 1.0), self.some(0.45, 0.85), self.some(0.45, 0.9)], 1)
        red = torch.where(self.chance(0.5), own, red).clamp(0, 1)
        bend = self.some(-0.015, 0.03)
        picture = self.over(picture, self.curve(x - wide, x + wide, y, bend, high), red, 0.85, 0.6)
        line = self.curve(x - wide, x + wide, y, bend, self.some(0.003, 0.009))
        picture = self.over(picture, line, skin * self.some(0.2, 0.6), 0.5, 0.5)
        teeth = self.curve(x - wide * 0.7, x + wide * 0.7, y, bend, self.some(0.006, 0.015))
        return self.over(picture, teeth, self.some(0.7, 0.95) * torch.ones_like(skin), 0.15, 0.6)

    def over(self, picture, cover, colour, share: float, least: float) -> torch.Tensor:
        """Paint it, with at least this opacity, in that share of the pictures."""
        return picture + cover * (self.some(least, 1) * self.chance(share)) * (colour - picture)

    def capsule(self, x0, y0, x1, y1, radius, soft: float | torch.Tensor | None = None) -> torch.Tensor:
        """Coverage of a thick line, N x 1 x n x n; `soft`: pixels over which its edge falls."""
        px, py, rx, ry = self.x - x0, self.y - y0, x1 - x0, y1 - y0
        along = ((px * rx + py * ry) / (rx**2 + ry**2 + 1e-6)).clamp(0, 1)
        distance = ((px - along * rx).square() + (py - along * ry).square()).sqrt()
        soft = self.some(1, 3) if soft is None else soft
        return ((radius - distance) * self.n / soft + 0.5).clamp(0, 1)

    def curve(self, x0, x1, y, bend, radius) -> torch.Tensor:
        """A line that sags by `bend` in its middle."""
        middle = (x0 + x1) / 2
        first = self.capsule(x0, y, middle, y + bend, radius)
        return torch.maximum(first, self.capsule(middle, y + bend, x1, y, radius))


def _blurred(x: torch.Tensor, side: int) -> torch.Tensor:
    return F.avg_pool2d(F.pad(x, (side // 2,) * 4, mode="replicate"), side, stride=1)
