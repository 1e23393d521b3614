"""Glasses that were painted, as they are made: two lenses that are alike, a frame, a bridge, arms up to the ears.

Who paints sunglasses paints two dark patches, who paints glasses draws two wobbly rings. That they are glasses, a segmenter
sees in the painted photo; how large they are, where, in what colour and of what shape, strokes say. Both lenses get the
mean of their outlines, without what only a hand does; they mirror a bright sky, and the frame casts a little shade.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .. import noise, pyramid
from ..masks import Paint, distance, thinnest_stroke
from ..segments import BACKGROUND, OF_FACE, Segments
from .shade import shade

if TYPE_CHECKING:
    from ..encoding import EncodedPhoto

GLASSES = "glasses"
# Under strokes of glasses less than the first share is glasses without them, and more than the second with them.
BEFORE, AFTER = 0.7, 0.7
# What is thinner than this share of half a lens is a bridge or an arm. Lenses differ in size by no more than this factor,
# are no smaller than this share of the side, and lie no more aslant than this (radians).
BRIDGE, UNLIKE, LEAST, ASLANT = 0.45, 2.0, 0.012, 0.6
# Outlines have so many directions, and are about as smooth as so many waves around.
ANGLES, WAVES = 128, 7
# A lens is a ring if so far inside of it, in half its height, less than this share is painted.
INSIDE, RING = 0.5, 0.5
# Shares of the side: the frame of dark lenses, the least of any, how far its shade falls, and how soft that is.
FRAME, LEAST_FRAME, FALLS, SOFT = 0.012, 0.006, 0.014, 0.012
# How high above the middle of a lens its bridge and its arms are, in half its height, if nobody painted any; how far the
# bridge is arched, and how far up arms go.
BRIDGE_AT, ARM_AT, ARCHED, RISES = 0.35, 0.45, 0.12, 0.1
# Less than this share of the square is no bridge and no arm, and what is nearer to a lens than this, in half its height.
SOME, NEAR = 1e-4, 0.3
# Hair before the ears is no wider than this share of the side.
TEMPLE = 0.12
# Colours that differ by more than this from that of most of a lens are other ones, and more than this share of them are too
# many.
OTHER, SPOTS = 0.2, 0.25
# How much of the sky lenses mirror, clear ones and dark ones, in its colour; how much light goes through dark ones at their
# top and more of it at their bottom, and through clear ones; how much a frame shines, and how dark its shade is.
MIRRORED, SKY, THROUGH, CLEAR, SHINE, SHADE = (0.10, 0.30), np.float32([0.80, 0.88, 1.0]), (0.04, 0.10), 0.97, 0.16, 0.25
# How much variants differ in the width of the frame, and in the others.
VARIED_WIDTH, VARIED = 0.2, 0.5


@dataclass(frozen=True)
class Pair:
    """Two lenses, mirror images of each other. `x`, `y`: the middle between them, in pixels; `cos`, `sin` of their slope;
    `apart`: from there to the middle of each; `radius`: of their outline in ANGLES directions from outward on downwards.

    Its own coordinates are u, from one lens to the other, and v, down, from the middle, in pixels.
    """

    x: float
    y: float
    cos: float
    sin: float
    apart: float
    radius: np.ndarray

    def coordinates(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """u and v of each of `size` x `size` pixels."""
        y, x = (np.mgrid[:size, :size] + 0.5).astype(np.float32)
        return (x - self.x) * self.cos + (y - self.y) * self.sin, (y - self.y) * self.cos - (x - self.x) * self.sin

    def pixels(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x and y."""
        return self.x + u * self.cos - v * self.sin, self.y + u * self.sin + v * self.cos

    def outline(self, angle: np.ndarray) -> np.ndarray:
        """The radius in directions from outward on downwards, in radians."""
        return np.interp(angle, np.arange(ANGLES + 1) * 2 * np.pi / ANGLES, [*self.radius, self.radius[0]], period=2 * np.pi)

    @property
    def half(self) -> tuple[float, float]:
        """Half the width and half the height of a lens."""
        quarter = ANGLES // 4
        return (self.radius[0] + self.radius[2 * quarter]) / 2, (self.radius[quarter] + self.radius[3 * quarter]) / 2

    def sides(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """How far outside of a lens each point is, in pixels; inside it is negative."""
        outward = np.abs(u) - self.apart
        angle, step = np.arctan2(v, outward), 0.05
        radius = self.outline(angle)
        slope = (self.outline(angle + step) - self.outline(angle - step)) / (2 * step)
        return (np.hypot(outward, v) - radius) / np.hypot(1, slope / np.maximum(radius, 1))

    def edge(self, height: float, outer: bool) -> float:
        """u of a lens's outer or inner edge at a height v."""
        angles = np.arange(ANGLES) * 2 * np.pi / ANGLES
        u, v = self.radius * np.cos(angles), self.radius * np.sin(angles)
        u, v = (w[u > 0 if outer else u <= 0] for w in (u, v))
        return float(self.apart + u[np.argmin(np.abs(v - height))])


@dataclass(frozen=True)
class Glasses:
    """`photo`: S x S x 3; `colour`: of the frame; `lenses`: of these, None if they are clear; `sides`: how far each pixel is
    outside of a lens, S x S, in pixels; `rods`: the same of the middle of bridge and arms; `width`: of the frame; `across`,
    `down`: where a pixel is in its lens, from -1 to 1; `face`: S x S in 0..1."""

    # Whether nothing else can be meant.
    sure: ClassVar[bool] = True

    photo: np.ndarray
    colour: np.ndarray
    lenses: np.ndarray | None
    sides: np.ndarray
    rods: np.ndarray
    width: float
    across: np.ndarray
    down: np.ndarray
    face: np.ndarray
    seed: int

    @property
    def dark(self) -> bool:
        """Whether lenses were painted."""
        return self.lenses is not None

    def _frame(self, width: float) -> np.ndarray:
        """How far each pixel is from where the frame ends, outwards."""
        return np.minimum(np.abs(self.sides + width / 2), self.rods) - width / 2

    @property
    def where(self) -> np.ndarray:
        """1 where there is any, or its shade, S x S, else 0."""
        reach = self.width * VARIED_WIDTH + (FALLS + 2 * SOFT) * len(self.photo) + 2
        return (np.minimum(self.sides, self._frame(self.width)) < reach).astype(np.float32)

    @property
    def stays(self) -> np.ndarray:
        """How much of the photo's own detail does, S x S."""
        frame = self._frame(self.width)
        return np.clip(0.5 + (np.minimum(frame, self.sides) if self.dark else frame), 0, 1).astype(np.float32)

    def picture(self, index: int) -> np.ndarray:
        """The photo with them, for a variant, S x S x 3 in [0, 1]."""
        wider, moved, brighter = np.clip(noise.gaussian((3,), "glasses", self.seed, index), -1, 1)
        width = self.width * (1 + VARIED_WIDTH * wider)
        outside = self._frame(width)
        lens, frame = (np.clip(0.5 - v, 0, 1) for v in (self.sides, outside))
        cast = SHADE * self.face * shade(np.maximum(lens, frame) if self.dark else frame, FALLS, SOFT)
        made = self.photo * (1 - cast)[:, :, None]
        through = made * CLEAR
        if self.dark:
            through = self.lenses + (THROUGH[0] + THROUGH[1] * np.clip((1 + self.down) / 2, 0, 1))[:, :, None] * self.photo
        # The sky above, and a window in it.
        above = np.clip(-self.down, 0, 1) ** 1.5
        window = np.exp(-np.square((self.across + 0.6 * self.down + 0.35 + 0.2 * moved) / 0.16))
        mirrored = MIRRORED[self.dark] * (1 + VARIED * brighter) * (0.7 * above + 0.6 * window * (1 - 0.5 * above))
        through = through + mirrored[:, :, None] * (SKY - through)
        made = made + lens[:, :, None] * (through - made)
        # A frame is round, and lit from above.
        round_ = np.clip(-outside / (width / 2), 0, 1)
        shines = SHINE * (1 + VARIED * moved) * round_ * np.clip(-np.gradient(outside, axis=0), 0, 1)
        of_frame = self.colour + shines[:, :, None] * (SKY - self.colour)
        return np.clip(made + frame[:, :, None] * (of_frame - made), 0, 1).astype(np.float32)


def glasses_of(photo: EncodedPhoto, paint: Paint, painted: Callable[[], Segments], seed: int) -> Glasses | None:
    """The glasses that strokes mean; None: they are of something else, or nothing is known of what they lie on. `painted`:
    what the photo with the paint on it is of."""
    segments, b_0 = photo.segments, photo.b[0]
    if segments is None or GLASSES not in segments.classes or paint.erased.any() or paint.empty:
        return None
    amount = pyramid.block_mean(paint.amount, len(b_0) // len(segments.of))
    if (amount * segments.share_of(GLASSES)).sum() > BEFORE * amount.sum():
        return None
    if (amount * painted().share_of(GLASSES)).sum() <= AFTER * amount.sum():
        return None
    strokes = paint.amount > 0.5
    pair = _pair(strokes)
    if pair is None:
        return None
    u, v = pair.coordinates(len(strokes))
    wide, high = pair.half
    sides = pair.sides(u, v)
    dark = float(strokes[sides < -INSIDE * high].mean()) >= RING
    width = max(LEAST_FRAME, FRAME) * len(strokes)
    if not dark:
        width = max(LEAST_FRAME * len(strokes), thinnest_stroke(strokes.astype(np.float32)))
    lines = [_bridge(pair, strokes & (sides > 1.5), u, v, width)]
    lines += [_arm(pair, strokes & (sides > 1.5), u, v, segments, sign, width) for sign in (-1, 1)]
    deep, colours = strokes & (distance(~strokes) > 1), np.clip(b_0 + paint.fine, 0, 1)
    inside = deep & (sides < -2 * width)
    if not dark or not inside.any():
        inside = deep if deep.any() else strokes
    lens = np.median(colours[inside], 0)
    # Glasses have one colour, and their frame may have another one.
    if dark and (np.abs(colours[inside] - lens).max(1) > OTHER).mean() > SPOTS:
        return None
    rim = deep & ~inside & ((sides > -1.5 * width) if dark else True)
    frame = np.median(colours[rim], 0) if dark and rim.mean() > SOME else lens
    # At their edge all strokes have something of what is beside them.
    frame = frame if np.abs(frame - lens).max() > OTHER else lens
    return Glasses(
        b_0, frame.astype(np.float32), lens.astype(np.float32) if dark else None, sides, _away(lines, u, v), width,
        (u - np.sign(u) * pair.apart) / wide, v / high, segments.share_at(len(strokes), *OF_FACE), seed,
    )  # fmt: skip


def _pair(strokes: np.ndarray) -> Pair | None:
    """The lenses that strokes (S x S bool) cover or go around; None if there are not two."""
    size = len(strokes)
    full = _enclosed(strokes)
    inside = distance(np.pad(~full, 1, constant_values=True))[1:-1, 1:-1]
    thick = float(inside.max())
    if thick < LEAST * size:
        return None
    # Without what is thin.
    full &= distance(inside > BRIDGE * thick) <= BRIDGE * thick
    columns = np.flatnonzero(full.any(0))
    between = (columns[0] + columns[-1] + 1) / 2
    y, x = np.mgrid[:size, :size] + 0.5
    both = [full & (x < between), full & (x >= between)]
    areas = [int(side.sum()) for side in both]
    if min(areas) * UNLIKE < max(areas):
        return None
    (x0, y0), (x1, y1) = ((float(x[side].mean()), float(y[side].mean())) for side in both)
    slope, far = np.arctan2(y1 - y0, x1 - x0), np.hypot(x1 - x0, y1 - y0)
    if abs(slope) > ASLANT or far < 2 * thick:
        return None
    pair = Pair((x0 + x1) / 2, (y0 + y1) / 2, np.cos(slope), np.sin(slope), far / 2, np.zeros(ANGLES))
    angles, steps = np.arange(ANGLES)[:, None] * 2 * np.pi / ANGLES, np.arange(0.25, 4 * thick, 0.5)
    radius = np.zeros(ANGLES)
    for sign, side in zip((-1, 1), both):
        at = pair.pixels(sign * (pair.apart + np.cos(angles) * steps), np.sin(angles) * steps)
        within = np.logical_and.reduce([(v >= 0) & (v < size) for v in at])
        radius += 0.5 * 0.5 * (within & side[_index(at[1], size), _index(at[0], size)]).sum(1)
    waves = np.fft.rfft(radius)
    waves *= np.exp(-np.square(np.arange(len(waves)) / WAVES) / 2)
    return Pair(pair.x, pair.y, pair.cos, pair.sin, pair.apart, np.maximum(np.fft.irfft(waves, ANGLES), 1.0))


def _enclosed(strokes: np.ndarray) -> np.ndarray:
    """Strokes, and what has some on all four sides."""
    before = [np.maximum.accumulate(strokes, axis) for axis in (0, 1)]
    after = [np.flip(np.maximum.accumulate(np.flip(strokes, axis), axis), axis) for axis in (0, 1)]
    return np.logical_and.reduce(before + after)


def _index(at: np.ndarray, size: int) -> np.ndarray:
    return np.clip(at.astype(int), 0, size - 1)


# Points (u, v), N x 2.
Line = np.ndarray


def _bridge(pair: Pair, rods: np.ndarray, u: np.ndarray, v: np.ndarray, width: float) -> Line:
    """`rods` (S x S bool): strokes outside of lenses."""
    _, high = pair.half
    between = rods & (np.abs(u) < pair.apart)
    at = float(v[between].mean()) if between.mean() > SOME else -BRIDGE_AT * high
    t = np.linspace(-1, 1, 13)
    return np.stack([(pair.edge(at, False) + width / 2) * t, at - ARCHED * high * (1 - t**2)], 1)


def _arm(pair: Pair, rods: np.ndarray, u: np.ndarray, v: np.ndarray, segments: Segments, sign: int, width: float) -> Line:
    """Where one was painted, that, as far as the head goes; else one up to the ear or the hair. `sign`: of u."""
    size, (_, high) = len(rods), pair.half
    # Not what strokes have beyond the mean of two outlines.
    outer = rods & (sign * u > pair.edge(0.0, True) + NEAR * high)
    painted = outer.mean() > SOME
    if painted:
        along, heights = sign * u[outer], v[outer]
        end = float(np.percentile(along, 99))
        start_v = float(np.clip(heights[along <= np.percentile(along, 30)].mean(), -0.9 * high, 0.9 * high))
        end_v = float(heights[along > end - 2].mean())
    else:
        end, start_v = float(size), -ARM_AT * high
        end_v = start_v - RISES * high
    start = pair.edge(start_v, True)
    far = np.arange(start, max(end, start + 1), 0.5)
    height = start_v + (end_v - start_v) * np.clip((far - start) / max(min(end, 2 * pair.apart) - start, 1), 0, 1)
    x, y = pair.pixels(sign * far, height)
    names = segments.classes if painted else OF_FACE
    head = segments.share_at(size, *(name for name in names if name != BACKGROUND)) > 0.5
    on = (x >= 0) & (x < size) & (y >= 0) & (y < size) & head[_index(y, size), _index(x, size)]
    last = int(np.argmin(on)) if not on.all() else len(on) - 1
    again = np.flatnonzero(on[last : last + round(TEMPLE * size)])
    if len(again) and not painted:
        last += int(again[0])
    return np.stack([sign * np.array([start - width / 2, far[last]]), height[[0, last]]], 1)


def _away(lines: list[Line], u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """How far each pixel is from the nearest of all lines."""
    away = np.full(u.shape, np.float32(len(u)))
    for line in lines:
        for (u0, v0), (u1, v1) in zip(line, line[1:]):
            du, dv = u1 - u0, v1 - v0
            share = np.clip(((u - u0) * du + (v - v0) * dv) / max(du * du + dv * dv, 1e-6), 0, 1)
            away = np.minimum(away, np.hypot(u - u0 - share * du, v - v0 - share * dv))
    return away
