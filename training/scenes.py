"""Pictures to learn a face finder from, made of aligned pictures alone.

A scene is a background with some aligned pictures pasted into it: any size, turned, cut by the edge. What surrounds a
face goes on beyond its square, and it ends in a soft irregular matte, so that a finder learns the face and never the
border of a pasted square. Decoys (shuffled, blurred, upside down) come through the same mattes and are no face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .corrupt import capsules

# Layers of a scene, from back to front; each may hold a face, a decoy or nothing.
LAYERS = 2
# How far a picture goes on beyond its square by reflection (share of its side): not yet into the face again. Then by
# its edge.
REFLECTED = 0.2
# The part of the square that is taken for the face, as the radius of a circle.
FACE_RADIUS = 0.3


@dataclass
class Scenes:
    """`picture`: N x 3 x S x S in [0, 1]. Per layer: `frames`, N x L x 4 with centre x, y and side in pixels and the
    angle in radians clockwise; `visible`, N x L, what share of the face can be seen, and 0 where there is none."""

    picture: torch.Tensor
    frames: torch.Tensor
    visible: torch.Tensor


@dataclass(frozen=True)
class Wanted:
    """What scenes to make. `sides`: shortest and longest side of a face's frame, in pixels."""

    size: int
    sides: tuple[float, float]
    # Share of the layers with a face, and with a decoy.
    faces: float = 0.5
    decoys: float = 0.35
    # Largest angle in degrees.
    turn: float = 38.0


class Draw:
    """Random numbers from one generator, in the shapes that scenes need."""

    def __init__(self, generator: torch.Generator):
        self.generator = generator

    def uniform(self, low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator)

    def whole(self, high: int, *shape: int) -> torch.Tensor:
        return torch.randint(0, high, shape, generator=self.generator)

    def chance(self, share: float, *shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=self.generator) < share

    def smooth(self, count: int, channels: int, cells: int, size: int) -> torch.Tensor:
        """Values in [0, 1] that vary over 1 / `cells` of the picture, N x C x size x size."""
        coarse = torch.rand((count, channels, cells, cells), generator=self.generator)
        return F.interpolate(coarse, size=size, mode="bilinear", align_corners=False)


def make(pictures: torch.Tensor, count: int, wanted: Wanted, generator: torch.Generator) -> Scenes:
    """`count` scenes of aligned `pictures` (M x 3 x n x n in [0, 1], from which it draws)."""
    draw = Draw(generator)
    size = wanted.size
    picture = _background(pictures, count, size, draw)
    alive, frames, faces = [], [], []
    for layer in range(LAYERS):
        kind = draw.uniform(0, 1, count)
        face = kind < wanted.faces
        shown = (kind < wanted.faces + wanted.decoys) & _apart(frames, faces)
        frame = _place(count, wanted, draw)
        content = _layer(pictures, face, frame, size, draw)
        # The first layer may be the whole scene: a portrait in its own surroundings.
        whole = draw.chance(0.5, count) & (layer == 0)
        matte = torch.where(_wide(whole), 1.0, _matte(frame, size, draw)) * _wide(shown)
        picture = picture + matte * (content - picture)
        alive = [a * (1 - matte) for a in alive] + [matte * _inside_face(frame, size)]
        frames.append(frame)
        faces.append(face & shown)
    picture, kept = _cut(picture, draw)
    area = math.pi * FACE_RADIUS**2
    seen = torch.stack([(a * kept).sum((1, 2, 3)) for a in alive], 1)
    frames = torch.stack(frames, 1)
    visible = torch.stack(faces, 1) * seen / (area * frames[:, :, 2] ** 2)
    return Scenes(_photograph(picture, draw), frames, visible)


def _wide(values: torch.Tensor) -> torch.Tensor:
    """N -> N x 1 x 1 x 1."""
    return values[:, None, None, None]


def _apart(frames: list[torch.Tensor], faces: list[torch.Tensor]) -> torch.Tensor | bool:
    """Nothing is pasted over every other face: what stays is then whole."""
    return ~faces[0] | (frames[0][:, 2] < frames[0][:, 2].median()) if frames else True


def _place(count: int, wanted: Wanted, draw: Draw) -> torch.Tensor:
    low, high = (math.log(s) for s in wanted.sides)
    side = draw.uniform(low, high, count).exp()
    # The centre of a large face lies about the middle of the scene, that of a small one anywhere in it.
    reach = 0.5 * wanted.size * (1.05 - 0.4 * (side / wanted.size).clamp(max=1.5))
    centre = 0.5 * wanted.size + reach[:, None] * draw.uniform(-1, 1, count, 2)
    angle = torch.where(draw.chance(0.5, count), draw.uniform(-1, 1, count) * wanted.turn, 6 * draw.normal(count))
    return torch.cat([centre, side[:, None], torch.deg2rad(angle)[:, None]], 1)


def grid_of(frames: torch.Tensor, size: int, width: float = 1.0) -> torch.Tensor:
    """Where the pixels of an S x S scene lie in the squares of `frames` (N x 4): N x S x S x 2, the square being [0, 1]."""
    at = torch.arange(size) + 0.5
    y, x = torch.meshgrid(at, at, indexing="ij")
    cx, cy, side, angle = (v[:, None, None] for v in frames.unbind(1))
    dx, dy = (x - cx) / (side * width), (y - cy) / (side * width)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([dx * cos + dy * sin + 0.5, dy * cos - dx * sin + 0.5], -1)


def crop(picture: torch.Tensor, frames: torch.Tensor, size: int, width: float) -> torch.Tensor:
    """The squares of `frames` (N x 4, in pixels), enlarged by `width`, out of pictures: N x 3 x size x size."""
    at = (torch.arange(size) + 0.5) / size - 0.5
    y, x = torch.meshgrid(at, at, indexing="ij")
    cx, cy, side, angle = (v[:, None, None] for v in frames.unbind(1))
    cos, sin = angle.cos() * side * width, angle.sin() * side * width
    points = torch.stack([cx + x * cos - y * sin, cy + x * sin + y * cos], -1)
    return _sample(picture, points / picture.shape[-1])


def _sample(pictures: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Pictures at points in [0, 1] x [0, 1]; beyond it their edge."""
    return F.grid_sample(pictures, 2 * at - 1, mode="bilinear", padding_mode="border", align_corners=False)


def _some(pictures: torch.Tensor, count: int, draw: Draw) -> torch.Tensor:
    chosen = pictures[draw.whole(len(pictures), count)]
    return torch.where(_wide(draw.chance(0.5, count)), chosen.flip(-1), chosen)


# --- what is pasted ---


def _layer(pictures: torch.Tensor, face: torch.Tensor, frame: torch.Tensor, size: int, draw: Draw) -> torch.Tensor:
    """Aligned pictures, or decoys where `face` is False, through `frame`: N x 3 x size x size."""
    square = _some(pictures, len(face), draw)
    decoys = torch.nonzero(~face)[:, 0]
    if len(decoys):
        square[decoys] = _decoy(pictures, len(decoys), draw)
    square = _recolour(_as_small(square, frame[:, 2]), draw)
    at = grid_of(frame, size).clamp(-REFLECTED, 1 + REFLECTED)
    at = torch.where(at > 1, 2 - at, at.abs())
    return _sample(square, at)


def _decoy(pictures: torch.Tensor, count: int, draw: Draw) -> torch.Tensor:
    kinds = [_shuffled, _blurred, _turned_over, _border, _mixed]
    return _of_kinds(kinds, pictures, count, pictures.shape[-1], draw)


def _of_kinds(kinds, pictures: torch.Tensor, count: int, size: int, draw: Draw) -> torch.Tensor:
    """Each picture is of a random one of the kinds (functions of pictures, count, size, draw)."""
    out = torch.empty(count, 3, size, size)
    chosen = draw.whole(len(kinds), count)
    for i, kind in enumerate(kinds):
        at = torch.nonzero(chosen == i)[:, 0]
        if len(at):
            out[at] = kind(pictures, len(at), size, draw)
    return out


def _shuffled(pictures: torch.Tensor, count: int, size: int, draw: Draw) -> torch.Tensor:
    """The tiles of a picture in another order, at any scale and angle."""
    x = _some(pictures, count, draw)
    n = x.shape[-1]
    cells = (4, 8)[int(draw.whole(2, 1))]
    tiles = x.unfold(2, n // cells, n // cells).unfold(3, n // cells, n // cells).flatten(2, 3)
    order = draw.uniform(0, 1, count, cells * cells).argsort(1)
    tiles = tiles.gather(2, order[:, None, :, None, None].expand_as(tiles))
    x = tiles.unflatten(2, (cells, cells)).permute(0, 1, 2, 4, 3, 5).reshape(count, 3, n, n)
    zoom, angle = draw.uniform(0.4, 1.2, count), draw.uniform(-math.pi, math.pi, count)
    middle = draw.uniform(0.3, 0.7, count, 2) * size
    at = grid_of(torch.cat([middle, (size / zoom)[:, None], angle[:, None]], 1), size)
    return _sample(x, 1 - (1 - at.abs()).abs().clamp(max=1))


def _blurred(pictures: torch.Tensor, count: int, size: int, draw: Draw) -> torch.Tensor:
    """So blurred that no face is left of it."""
    x = _some(pictures, count, draw)
    return F.interpolate(F.adaptive_avg_pool2d(x, (3, 5)[int(draw.whole(2, 1))]), size=size, mode="bicubic").clamp(0, 1)


def _turned_over(pictures: torch.Tensor, count: int, size: int, draw: Draw) -> torch.Tensor:
    """Faces by 100 to 260 degrees from upright: the same textures, another arrangement."""
    x = _some(pictures, count, draw)
    frame = torch.full((count, 4), size / 2)
    frame[:, 2], frame[:, 3] = size, math.pi + draw.uniform(-1.4, 1.4, count)
    return _sample(x, grid_of(frame, size))


def _border(pictures: torch.Tensor, count: int, size: int, draw: Draw) -> torch.Tensor:
    """A piece of what surrounds the face, enlarged: backgrounds, hair, clothes."""
    x = _some(pictures, count, draw)
    part, angle = draw.uniform(0.12, 0.3, count), draw.uniform(-math.pi, math.pi, count)
    high = draw.chance(0.5, count)
    left = torch.where(high, draw.uniform(0.08, 0.25, count), draw.uniform(0.08, 0.92, count))
    top = torch.where(high, draw.uniform(0.05, 0.9, count), draw.uniform(0.93, 1.0, count))
    # The picture's own square as a frame in the scene: larger than it by 1 / part.
    frame = torch.stack([torch.full((count,), size / 2)] * 2 + [size / part, angle], 1)
    shift = torch.stack([left, top], 1)[:, None, None] - 0.5
    return _sample(x, grid_of(frame, size) + shift)


def _mixed(pictures: torch.Tensor, count: int, size: int, draw: Draw) -> torch.Tensor:
    """One half of a face and the half of something else, so that neither half alone is one."""
    x = F.interpolate(_some(pictures, count, draw), size=size, mode="bilinear")
    other = _shuffled(pictures, count, size, draw)
    part = torch.arange(size) < size // 2
    across, other_way = draw.chance(0.5, count, 1, 1), draw.chance(0.5, count, 1, 1)
    keep = torch.where(across, part[None, None, :], part[None, :, None]) ^ other_way
    return torch.where(keep[:, None], x, other)


def _as_small(square: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
    """Squares as sharp as they can be at `side` pixels, at their old size: a small face is not sampled from a large one."""
    n = square.shape[-1]
    for divisor in (2, 4):
        at = torch.nonzero(side < 0.75 * n / (divisor / 2))[:, 0]
        if len(at):
            square[at] = F.interpolate(F.avg_pool2d(square[at], divisor), size=n, mode="bilinear", align_corners=False)
    return square


def _matte(frame: torch.Tensor, size: int, draw: Draw) -> torch.Tensor:
    """Where a pasted picture is seen, N x 1 x size x size: the head, irregular, alone or with its shoulders."""
    count = len(frame)
    at = grid_of(frame, size)
    x, y = at[..., 0] - 0.5, at[..., 1] - 0.5
    wide, tall = draw.uniform(0.34, 0.62, count)[:, None, None], draw.uniform(0.42, 0.68, count)[:, None, None]
    shoulders = draw.chance(0.6, count)[:, None, None]
    below = torch.where(shoulders, (y - 0.2).clamp(min=0), 0.0)
    distance = ((x / (wide + 1.2 * below)) ** 2 + ((y - below) / tall) ** 2).sqrt()
    ragged = 0.3 * draw.uniform(0, 1, count, 1, 1) * (draw.smooth(count, 1, 9, size)[:, 0] - 0.5)
    # From a hard edge to one that fades over a third of the square.
    hardness = draw.uniform(1.5, 4.5, count).exp()[:, None, None]
    return torch.sigmoid((1 + ragged - distance) * hardness)[:, None]


def _inside_face(frame: torch.Tensor, size: int) -> torch.Tensor:
    at = grid_of(frame, size) - 0.5
    return (at.square().sum(-1) < FACE_RADIUS**2).float()[:, None]


# --- what is behind ---


def _background(pictures: torch.Tensor, count: int, size: int, draw: Draw) -> torch.Tensor:
    kinds = [_gradient, _noise, _border, _shuffled, _blurred, _shapes]
    first = _of_kinds(kinds, pictures, count, size, draw)
    second = _recolour(_of_kinds(kinds, pictures, count, size, draw), draw)
    where = draw.smooth(count, 1, 5, size) - draw.uniform(0.2, 0.8, count, 1, 1, 1)
    return first + torch.sigmoid(where * draw.uniform(2, 5, count, 1, 1, 1).exp()) * (second - first)


def _gradient(pictures: torch.Tensor, count: int, size: int, draw: Draw) -> torch.Tensor:
    return draw.smooth(count, 3, 2, size) * draw.uniform(0, 1, count, 1, 1, 1) + draw.uniform(0, 0.6, count, 3, 1, 1)


def _noise(pictures: torch.Tensor, count: int, size: int, draw: Draw) -> torch.Tensor:
    """Octaves of noise, each as strong as it likes."""
    x = draw.uniform(0.1, 0.9, count, 3, 1, 1).expand(count, 3, size, size)
    for cells in (4, 9, 20, 45, size):
        grey = draw.smooth(count, 1, cells, size) - 0.5
        coloured = draw.smooth(count, 3, cells, size) - 0.5
        x = x + draw.uniform(0, 0.5, count, 1, 1, 1) * grey + draw.uniform(0, 0.2, count, 1, 1, 1) * coloured
    return x


def _shapes(pictures: torch.Tensor, count: int, size: int, draw: Draw) -> torch.Tensor:
    """Blobs and mirrored pairs of blobs on a gradient."""
    x = _gradient(pictures, count, size, draw)
    for _ in range(5):
        cover = capsules(count, size, draw.generator, x.device)
        x = x + cover * (draw.uniform(0, 1, count, 3, 1, 1) - x)
    return x


# --- what a camera does ---


def _recolour(x: torch.Tensor, draw: Draw) -> torch.Tensor:
    count = len(x)
    gain = (0.18 * draw.uniform(-1, 1, count, 3, 1, 1)).exp()
    contrast = (0.4 * draw.uniform(-1, 1, count, 1, 1, 1)).exp()
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x * gain - mean) * contrast + mean + 0.15 * draw.uniform(-1, 1, count, 1, 1, 1)


def _cut(picture: torch.Tensor, draw: Draw) -> tuple[torch.Tensor, torch.Tensor]:
    """Some scenes end before their square does, and go on with their edge, as the finder sees a whole photo.

    Also N x 1 x S x S, 1 where there is a photo."""
    count, size = len(picture), picture.shape[-1]
    at = torch.arange(size)[None]
    axes = []
    for _ in range(2):
        cut = torch.where(draw.chance(0.4, count, 2), draw.uniform(0, 0.3, count, 2) * size, 0.0).long()
        axes.append(torch.maximum(torch.minimum(at, size - 1 - cut[:, 1:]), cut[:, :1]))
    rows, columns = axes
    item = torch.arange(count)[:, None, None]
    kept = ((rows == at)[:, :, None] & (columns == at)[:, None, :])[:, None].float()
    return picture.permute(0, 2, 3, 1)[item, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2), kept


def _photograph(x: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Light, colour, blur, noise, grey and the blocks of JPEG."""
    count = len(x)
    x = _recolour(x, draw).clamp(0, 1)
    x = x ** (0.5 * draw.uniform(-1, 1, count, 1, 1, 1)).exp()
    light = draw.smooth(count, 1, 2, x.shape[-1]) - 0.5
    x = x * (1 + light * draw.uniform(0, 1, count, 1, 1, 1))
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    x = x + draw.uniform(-0.7, 1, count, 1, 1, 1) * (soft - x)
    grey = x.mean(1, keepdim=True)
    saturation = torch.where(draw.chance(0.15, count), 0.0, draw.uniform(0.5, 1.2, count))
    x = grey + _wide(saturation) * (x - grey)
    noisy = torch.where(draw.chance(0.5, count), 0.04, 0.01) * draw.uniform(0, 1, count)
    x = x + _wide(noisy) * draw.normal(*x.shape)
    blocks = draw.chance(0.3, count)
    return torch.where(_wide(blocks), _blocks(x, draw), x).clamp(0, 1)


def _blocks(x: torch.Tensor, draw: Draw) -> torch.Tensor:
    """The cosine transform of 8 x 8 blocks with its finer coefficients rounded coarsely, as JPEG does."""
    k = torch.arange(8.0)
    basis = torch.cos(math.pi / 8 * (k[None] + 0.5) * k[:, None]) * torch.where(k == 0, 0.125**0.5, 0.5)[:, None]
    n = x.shape[-1] // 8
    tiles = x.reshape(len(x), 3, n, 8, n, 8)
    steps = (1 + k[:, None] + k[None, :]) * 0.02 * draw.uniform(0.3, 2, len(x), 1, 1, 1, 1, 1)
    tiles = torch.einsum("ncyixj,ki,lj->ncyxkl", tiles, basis, basis)
    tiles = torch.round(tiles / steps) * steps
    return torch.einsum("ncyxkl,ki,lj->ncyixj", tiles, basis, basis).reshape(x.shape)
