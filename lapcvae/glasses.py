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

from . import pyramid
from .masks import Paint, distance, thinnest_stroke
from .meant import reached
from .segments import OF_FACE, Segments
from .windows import window_max, window_mean

if TYPE_CHECKING:
    from .encoding import EncodedPhoto

GLASSES, EYES = "glasses", "eyes"
# What is under strokes of glasses is less than the first share glasses without them, and more than the second with them.
BEFORE, AFTER = 0.35, 0.7
# What is thinner than this share of half a lens is its bridge and arms; lenses differ by no more than this factor in size.
BRIDGE, UNLIKE = 0.45, 2.0
# Outlines have so many directions, and are as smooth as so many waves around.
ANGLES, WAVES = 128, 7
# A lens is a ring if so far inside of it, in half its height, less than this share is painted.
MIDDLE, RING = 0.5, 0.5
# Widths as shares of the side: the frame of dark lenses, the least of any, how far the shade falls, and how soft it is.
FRAME, LEAST_FRAME, FALLS, SOFT = 0.012, 0.006, 0.014, 0.012
# How high above the middle of a lens its bridge and its arms are, in half its height, if nobody painted any.
BRIDGE_AT, ARM_AT, ARCHED, ARM, RISES = 0.35, 0.45, 0.12, 0.3, 0.1
# Hair before the ears is no wider than this share of the side.
TEMPLE = 0.06
# Fewer painted pixels (share of the square) are no bridge and no arm.
SOME = 1e-4
# How much of the sky is mirrored by dark lenses and by clear ones, and its colour; how much shade there is.
MIRRORED, SKY, SHADE = (0.30, 0.10), np.float32([0.80, 0.88, 1.0]), 0.25
GOLDEN = 0.618034


@dataclass(frozen=True)
class Lens:
    """`x`, `y`: its middle in pixels; `outward`: -1 for the one on the left, else 1; `radius`: of its outline in ANGLES
    directions, from outward on downwards, in pixels."""

    x: float
    y: float
    outward: int
    radius: np.ndarray

    def outline(self, angle: np.ndarray) -> np.ndarray:
        """The radius in directions from outward on downwards, in radians."""
        at = np.mod(angle / (2 * np.pi), 1) * ANGLES
        low = np.floor(at).astype(int)
        return (1 - (at - low)) * self.radius[low % ANGLES] + (at - low) * self.radius[(low + 1) % ANGLES]


@dataclass(frozen=True)
class Glasses:
    """`photo`: S x S x 3; `colour`: of the strokes, 3; `dark`: whether lenses are painted; `sides`: how far each pixel is
    inside (negative) or outside of a lens, S x S, in pixels; `height`: how high it is in its lens, from -1 at the top to 1;
    `along`: across both, the same; `rods`: how far from bridge and arms; `width`: of the frame; `skin`: S x S in 0..1."""

    photo: np.ndarray
    colour: np.ndarray
    dark: bool
    sides: np.ndarray
    height: np.ndarray
    along: np.ndarray
    rods: np.ndarray
    width: float
    skin: np.ndarray
    where: np.ndarray

    # Whether nothing else can be meant.
    sure: ClassVar[bool] = True

    @property
    def stays(self) -> np.ndarray:
        """How much of the photo's own detail does, S x S."""
        rim = np.abs(self.sides + self.width / 2) - self.width / 2
        near = np.minimum(self.sides if self.dark else rim, self.rods - self.width / 2)
        return np.clip(0.5 + near, 0, 1).astype(np.float32)

    def picture(self, index: int) -> np.ndarray:
        """The photo with them, for a variant, S x S x 3 in [0, 1]."""
        turn = lambda k: (index * GOLDEN * k + 0.5 * (k - 1)) % 1 - 0.5 if index else 0.0  # noqa: E731
        width = self.width * (1 + 0.4 * turn(1))
        lens = np.clip(0.5 - self.sides, 0, 1)
        rim = np.clip(0.5 - (np.abs(self.sides + width / 2) - width / 2), 0, 1)
        rods = np.clip(0.5 - (self.rods - width / 2), 0, 1)
        frame = np.maximum(rim, rods)
        shadow = np.maximum(frame, lens if self.dark else 0)
        falls, soft = (max(1, round(v * len(lens))) for v in (FALLS, SOFT))
        shadow = np.pad(shadow, ((falls, 0), (0, 0)))[: len(lens)]
        shadow = window_mean(window_mean(shadow, soft), soft) * self.skin
        made = self.photo * (1 - SHADE * shadow)[:, :, None]
        # The sky above, and a window in it.
        top = np.clip(-self.height, 0, 1) ** 1.5
        band = np.exp(-np.square((self.along + 0.6 * self.height + 0.35 + 0.3 * turn(2)) / 0.16))
        mirrored = MIRRORED[not self.dark] * (1 + 0.8 * turn(3)) * (0.7 * top + 0.6 * band * (1 - 0.5 * top))
        through = self.photo
        if self.dark:
            clear = 0.04 + (0.10 + 0.12 * turn(1)) * np.clip((1 + self.height) / 2, 0, 1)
            through = self.colour + clear[:, :, None] * self.photo
        else:
            through = through * 0.97
        through = through + mirrored[:, :, None] * (SKY - through)
        made = made + lens[:, :, None] * (through - made)
        # Round, and lit from above.
        slope = np.gradient(np.minimum(np.abs(self.sides + width / 2), self.rods), axis=0)
        inner = np.clip(1 - np.minimum(np.abs(self.sides + width / 2), self.rods) / (width / 2 + 0.5), 0, 1)
        shine = (0.16 + 0.1 * turn(2)) * np.clip(slope * np.sign(-1), 0, 1) * inner
        of_frame = self.colour + shine[:, :, None] * (SKY - self.colour)
        made = made + frame[:, :, None] * (of_frame - made)
        return np.clip(made, 0, 1).astype(np.float32)


def glasses_of(photo: EncodedPhoto, paint: Paint, painted: Callable[[], Segments]) -> Glasses | None:
    """The glasses that strokes mean; None: they are of something else, or nothing is known of what they lie on. `painted`:
    what the photo with the paint on it is of."""
    segments = photo.segments
    if segments is None or not {GLASSES, EYES} <= set(segments.classes) or paint.erased.any() or paint.empty:
        return None
    n = len(segments.of)
    amount = pyramid.block_mean(paint.amount, len(paint.amount) // n)
    if not amount.any() or (amount * segments.share_of(GLASSES)).sum() > BEFORE * amount.sum():
        return None
    then = painted()
    if (amount * then.share_of(GLASSES)).sum() < AFTER * amount.sum():
        return None
    strokes = paint.amount > 0.5
    lenses = _lenses(strokes)
    if lenses is None:
        return None
    full = _filled(strokes)
    return _made(photo, paint, strokes, full, lenses)


def _filled(strokes: np.ndarray) -> np.ndarray:
    """Strokes (bool) and what they go around."""
    around = np.pad(~strokes, 1, constant_values=True).astype(np.float32)
    edge = np.zeros_like(around)
    edge[0] = edge[-1] = edge[:, 0] = edge[:, -1] = 1
    return reached(around, edge)[1:-1, 1:-1] < 0.5


def _lenses(strokes: np.ndarray) -> tuple[Lens, Lens] | None:
    """Those on the left and on the right, alike; None if there are not two."""
    full = _filled(strokes)
    deep = distance(np.pad(~full, 1, constant_values=True))[1:-1, 1:-1]
    thick = deep.max()
    if thick < 3:
        return None
    core = distance(deep > BRIDGE * thick) <= BRIDGE * thick
    core &= full
    columns = core.sum(0)
    at = np.flatnonzero(columns)
    middle = (at[0] + at[-1] + 1) / 2
    n = len(strokes)
    y, x = np.mgrid[:n, :n] + 0.5
    sides = [core & (x < middle), core & (x >= middle)]
    areas = [float(s.sum()) for s in sides]
    if min(areas) * UNLIKE < max(areas):
        return None
    centres = [(float(x[s].mean()), float(y[s].mean())) for s in sides]
    (x0, y0), (x1, y1) = centres
    tilt = np.arctan2(y1 - y0, x1 - x0)
    if abs(tilt) > 0.6 or x1 - x0 < 2 * thick:
        return None
    angles = np.arange(ANGLES) * 2 * np.pi / ANGLES
    radii = []
    for side, (cx, cy), outward in zip(sides, centres, (-1, 1)):
        steps = np.arange(0, 4 * thick, 0.5) + 0.25
        u, v = outward * np.cos(angles)[:, None] * steps, np.sin(angles)[:, None] * steps
        px, py = cx + u * np.cos(tilt) - v * np.sin(tilt), cy + u * np.sin(tilt) + v * np.cos(tilt)
        inside = side[np.clip(py.astype(int), 0, n - 1), np.clip(px.astype(int), 0, n - 1)]
        radii.append(0.5 * inside.sum(1))
    waves = np.fft.rfft(sum(radii) / 2)
    waves *= np.exp(-np.square(np.arange(len(waves)) / WAVES) / 2)
    radius = np.fft.irfft(waves, ANGLES)
    return tuple(Lens(cx, cy, outward, radius) for (cx, cy), outward in zip(centres, (-1, 1)))


def _made(photo: EncodedPhoto, paint: Paint, strokes: np.ndarray, full: np.ndarray, lenses: tuple[Lens, Lens]) -> Glasses:
    b_0, n = photo.b[0], len(strokes)
    left, right = lenses
    tilt = np.arctan2(right.y - left.y, right.x - left.x)
    cos, sin = np.cos(tilt), np.sin(tilt)
    y, x = (np.mgrid[:n, :n] + 0.5).astype(np.float32)
    half = float((left.outline(np.float64(np.pi / 2)) + left.outline(np.float64(-np.pi / 2))) / 2)
    wide = float((left.outline(np.float64(0)) + left.outline(np.float64(np.pi))) / 2)
    sides, height, along = np.full((n, n), 1e3, np.float32), np.zeros((n, n), np.float32), np.zeros((n, n), np.float32)
    for lens in lenses:
        u, v = (x - lens.x) * cos + (y - lens.y) * sin, (y - lens.y) * cos - (x - lens.x) * sin
        angle = np.arctan2(v, lens.outward * u)
        r = lens.outline(angle)
        slope = (lens.outline(angle + 0.05) - lens.outline(angle - 0.05)) / 0.1
        side = (np.hypot(u, v) - r) / np.sqrt(1 + np.square(slope / np.maximum(r, 1)))
        near = side < sides
        sides, height, along = (np.where(near, a, b) for a, b in ((side, sides), (v / half, height), (u / wide, along)))
    ring = float(strokes[sides < -MIDDLE * half].mean()) < RING
    width = max(thinnest_stroke(strokes.astype(np.float32)) if ring else FRAME * n, LEAST_FRAME * n)
    # In the frame of both: u from one lens to the other, v down, from the point between them.
    mx, my = (left.x + right.x) / 2, (left.y + right.y) / 2
    u, v = (x - mx) * cos + (y - my) * sin, (y - my) * cos - (x - mx) * sin
    apart = np.hypot(right.x - left.x, right.y - left.y) / 2
    rods = strokes & (sides > 1.5)
    enough = SOME * n * n
    between = rods & (np.abs(u) < apart)
    bridge_v = float(v[between].mean()) if between.sum() > enough else -BRIDGE_AT * half

    def edge(at_v: float, towards: float) -> float:
        """How far from the middle of a lens its outline is at a height, outward (1) or inward (-1)."""
        angles = np.linspace(-np.pi, np.pi, 361)
        r = left.outline(angles)
        points = np.stack([r * np.cos(angles), r * np.sin(angles)], 1)
        there = points[(points[:, 0] * towards > 0)]
        return float(np.abs(there[np.argmin(np.abs(there[:, 1] - at_v)), 0]))

    t = np.linspace(-1, 1, 33)
    inner = apart - edge(bridge_v, -1) + width / 2
    lines = [np.stack([inner * t, bridge_v - ARCHED * half * (1 - t**2)], 1)]
    face = photo.segments.share_of(*OF_FACE, "hair")
    face = pyramid.enlarge(face[:, :, None], (n // len(face)).bit_length() - 1)[:, :, 0] if n >= len(face) else pyramid.block_mean(face, len(face) // n)
    skin = photo.segments.share_of(*OF_FACE)
    skin = pyramid.enlarge(skin[:, :, None], (n // len(skin)).bit_length() - 1)[:, :, 0] if n >= len(skin) else pyramid.block_mean(skin, len(skin) // n)
    head = 1 - pyramid.enlarge(photo.segments.share_of('background')[:, :, None], (n // len(photo.segments.of)).bit_length() - 1)[:, :, 0]
    for sign in (-1, 1):
        # Not what strokes have beyond the mean of two outlines.
        outside = rods & (sign * u > apart + edge(0.0, 1) + ARM * half)
        painted = outside.sum() > enough
        start_v = float(v[outside & (sign * u < np.percentile(sign * u[outside], 30))].mean()) if painted else -ARM_AT * half
        start_v = float(np.clip(start_v, -0.9 * half, 0.9 * half))
        far = float(np.percentile(sign * u[outside], 99)) if painted else n
        end_v = float(v[outside & (sign * u > far - 2)].mean()) if painted else start_v - RISES * half
        # They end at the ears, or go behind the hair; painted ones end where that does, or with the head.
        steps = np.arange(apart + edge(start_v, 1), n, 0.5)
        at_v = start_v + (end_v - start_v) * np.clip((steps - steps[0]) / max(min(far, 2 * apart) - steps[0], 1), 0, 1)
        px, py = mx + sign * steps * cos - at_v * sin, my + sign * steps * sin + at_v * cos
        on = (px >= 0) & (px < n) & (py >= 0) & (py < n)
        on[on] = (head if painted else skin)[py[on].astype(int), px[on].astype(int)] > 0.5
        off = np.flatnonzero(~on)
        end = off[0] if len(off) else len(steps) - 1
        again = np.flatnonzero(on[end : end + round(2 * TEMPLE * n)])
        far = min(far, float(steps[end + again[0] if len(again) and not painted else end]))
        end_v = float(np.interp(far, steps, at_v))
        start = apart + edge(start_v, 1) - width / 2
        if far > start + 2:
            lines.append(np.stack([sign * np.linspace(start, far, 9), np.linspace(start_v, end_v, 9)], 1))
    away = np.full((n, n), 1e3, np.float32)
    for line in lines:
        for (u0, v0), (u1, v1) in zip(line, line[1:]):
            du, dv = u1 - u0, v1 - v0
            s = np.clip(((u - u0) * du + (v - v0) * dv) / (du * du + dv * dv), 0, 1)
            away = np.minimum(away, np.hypot(u - u0 - s * du, v - v0 - s * dv))
    colours = np.clip(b_0 + paint.fine, 0, 1)[strokes & (distance(~strokes) > 1)]
    colour = np.median(colours, 0) if len(colours) else np.float32([0.05, 0.05, 0.05])
    falls = round((FALLS + 3 * SOFT) * n) + width
    where = (np.minimum(sides, away - width) < falls).astype(np.float32)
    return Glasses(b_0, colour.astype(np.float32), not ring, sides, height, along, away, width, skin, where)
