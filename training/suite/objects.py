"""Drawn objects that are put onto photos which do not have them, so that taking them off can be tried on every photo.

Each returns a premultiplied RGBA picture over the frame. They have edges, shading and highlights, as a real one has: what
has to go is an edge in the photo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .brush import curve
from .scene import EYE_LEFT, EYE_RIGHT, EYE_Y, Scene, ellipse, steady, towards

# Drawn at twice the size, for smooth edges.
FINER = 2


class Drawing:
    """Shapes in the frame's coordinates. `rgba`: side x side x 4 premultiplied float32."""

    def __init__(self, side: int):
        self.side, self._n = side, side * FINER
        self.rgba = np.zeros((side, side, 4), np.float32)

    def fill(self, points: Sequence, colour: Sequence[float], opacity: float = 1.0, soft: float = 0.0) -> None:
        """A polygon; `soft`: blur of its edge, share of the side."""
        self._put(lambda draw, at: draw.polygon(at, fill=255), points, 0, colour, opacity, soft)

    def line(self, points: Sequence, width: float, colour: Sequence[float], opacity: float = 1.0, soft: float = 0.0) -> None:
        thick = max(1, round(width * self._n))

        def draw(on: ImageDraw.ImageDraw, at: list) -> None:
            on.line(at, fill=255, width=thick, joint="curve")
            for x, y in (at[0], at[-1]):
                on.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=255)

        self._put(draw, points, thick, colour, opacity, soft)

    def strands(self, many: Sequence[Sequence], width: float, colours: Sequence[Sequence[float]]) -> None:
        """Thin lines, each in a colour of its own."""
        picture = Image.fromarray(_bytes(np.repeat(np.repeat(self.rgba, FINER, 0), FINER, 1)), "RGBA")
        draw = ImageDraw.Draw(picture)
        for points, colour in zip(many, colours):
            filled = (*(int(255 * np.clip(c, 0, 1)) for c in colour), 255)
            draw.line(self._pixels(points), fill=filled, width=max(1, round(width * self._n)))
        self.rgba = np.asarray(picture.reduce(FINER), np.float32) / 255

    def cut(self, keep: np.ndarray) -> None:
        """Leave only what `keep` (side x side, 0..1) covers."""
        self.rgba *= keep[:, :, None]

    def _pixels(self, points: Sequence) -> list[tuple[float, float]]:
        return [(float(x) * self._n, float(y) * self._n) for x, y in points]

    def _put(self, draw: Callable, points: Sequence, thick: int, colour, opacity: float, soft: float) -> None:
        """Draw on the part of the picture that the shape reaches."""
        at = np.array(self._pixels(points))
        reach = thick / 2 + 3 * soft * self._n + 2
        low = np.maximum(np.floor((at.min(0) - reach) / FINER), 0).astype(int)
        high = np.minimum(np.ceil((at.max(0) + reach) / FINER), self.side).astype(int)
        if (high <= low).any():
            return
        shape = Image.new("L", tuple(((high - low) * FINER).tolist()))
        draw(ImageDraw.Draw(shape), [tuple(p) for p in (at - low * FINER).tolist()])
        if soft:
            shape = shape.filter(ImageFilter.GaussianBlur(soft * self._n))
        cover = opacity * np.asarray(shape.reduce(FINER), np.float32)[:, :, None] / 255
        part = self.rgba[low[1] : high[1], low[0] : high[0]]
        part *= 1 - cover
        part += cover * np.array([*colour, 1.0], np.float32)


def _bytes(rgba: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(rgba, 0, 1) * 255).astype(np.uint8)


def lens(eye: float, width: float, height: float, drop: float = 0.01, corner: float = 2.6) -> list[tuple[float, float]]:
    """A rounded rectangle around an eye (superellipse), closed."""
    t = np.linspace(0, 2 * np.pi, 73)
    x = np.sign(np.cos(t)) * np.abs(np.cos(t)) ** (2 / corner) * width / 2
    y = np.sign(np.sin(t)) * np.abs(np.sin(t)) ** (2 / corner) * height / 2
    return list(zip(eye + x, EYE_Y + drop + y))


BRIDGE = ((EYE_LEFT + 0.082, 0.452), (0.5, 0.437), (EYE_RIGHT - 0.082, 0.452))
ARMS = (((EYE_LEFT - 0.085, 0.445), (0.20, 0.428)), ((EYE_RIGHT + 0.085, 0.445), (0.80, 0.428)))


def glasses(scene: Scene, side: int) -> np.ndarray:
    """Dark frames, faint reflections, and the shadow that they throw."""
    drawing, frame = Drawing(side), (0.10, 0.07, 0.06)
    for eye in (EYE_LEFT, EYE_RIGHT):
        shadow = [(x + 0.004, y + 0.010) for x, y in lens(eye, 0.168, 0.128)]
        drawing.line(shadow, 0.012, (0.25, 0.12, 0.08), 0.35, 0.004)
        drawing.fill(
            [(eye - 0.05, EYE_Y + 0.05), (eye + 0.01, EYE_Y - 0.04), (eye + 0.03, EYE_Y - 0.04), (eye - 0.03, EYE_Y + 0.05)],
            (1, 1, 1),
            0.18,
            0.006,
        )
    for eye in (EYE_LEFT, EYE_RIGHT):
        drawing.line(lens(eye, 0.168, 0.128), 0.013, frame)
        drawing.line(lens(eye, 0.164, 0.124)[40:58], 0.003, (0.7, 0.66, 0.62), 0.6)
    for part in (BRIDGE, *ARMS):
        drawing.line(curve(part, [0] * len(part))[:, :2], 0.012, frame)
    return drawing.rgba


def sunglasses(scene: Scene, side: int) -> np.ndarray:
    """Black, with a gleam on each lens."""
    drawing, frame = Drawing(side), (0.03, 0.03, 0.035)
    for eye in (EYE_LEFT, EYE_RIGHT):
        drawing.fill([(x, y + 0.015) for x, y in lens(eye, 0.20, 0.155, 0.018)], (0.25, 0.12, 0.08), 0.35, 0.008)
    for eye in (EYE_LEFT, EYE_RIGHT):
        drawing.fill(lens(eye, 0.20, 0.155, 0.018), frame)
        drawing.fill(lens(eye, 0.178, 0.133, 0.018), (0.09, 0.085, 0.09))
        drawing.fill(lens(eye, 0.15, 0.06, 0.05), (0.2, 0.18, 0.17), 0.5, 0.012)
        drawing.fill(
            [(eye - 0.07, 0.45), (eye - 0.03, 0.42), (eye - 0.015, 0.42), (eye - 0.06, 0.46)], (0.85, 0.9, 0.95), 0.7, 0.003
        )
    for part in (BRIDGE, *ARMS):
        drawing.line(curve(part, [0] * len(part))[:, :2], 0.018, frame)
    return drawing.rgba


def _strands(drawing: Drawing, starts: Sequence, step: Callable, colour: Sequence[float], random, width: float) -> None:
    many, colours = [], []
    for x, y in starts:
        dx, dy = step(x, y)
        bend = random.normal(0, 0.06, 2)
        many.append([(x, y), (x + dx / 2 + bend[0] * dy, y + dy / 2 + bend[1] * dx), (x + dx, y + dy)])
        colours.append(np.array(colour) * random.uniform(0.55, 1.35))
    drawing.strands(many, width, colours)


def beard(scene: Scene, side: int) -> np.ndarray:
    """A full beard of short dark strands, the lips left free."""
    drawing, random = Drawing(side), np.random.default_rng(7)
    mx, my = scene.mouth
    colour = np.array([0.16, 0.10, 0.07])
    jaw = [
        (0.27, 0.60),
        (0.29, my),
        (0.36, scene.chin - 0.05),
        (0.5, scene.chin + 0.01),
        (0.64, scene.chin - 0.05),
        (0.71, my),
        (0.73, 0.60),
        (0.66, my - 0.02),
        (mx + 0.09, my - 0.055),
        (mx, my - 0.065),
        (mx - 0.09, my - 0.055),
        (0.34, my - 0.02),
    ]
    drawing.fill(jaw, colour, 0.75, 0.010)
    inside = drawing.rgba[:, :, 3]
    tries = random.uniform((0.25, 0.58), (0.75, min(0.99, scene.chin + 0.03)), (9000, 2))
    starts = [p for p in tries if random.random() < inside[int(p[1] * side), int(p[0] * side)] * 0.9]
    _strands(
        drawing,
        starts,
        lambda x, y: (0.10 * (x - 0.5) + random.normal(0, 0.006), random.uniform(0.01, 0.03)),
        colour,
        random,
        0.0022,
    )
    lips = Drawing(side)
    t = np.linspace(0, 2 * np.pi, 40)
    lips.fill(list(zip(mx + 0.085 * np.cos(t), my + 0.036 * np.sin(t))), (1, 1, 1), 1.0, 0.004)
    drawing.cut(1 - lips.rgba[:, :, 3])
    return drawing.rgba


def locks(scene: Scene, side: int) -> np.ndarray:
    """Long hair that hangs down on both sides, in about the person's own colour."""
    drawing, random = Drawing(side), np.random.default_rng(8)
    colour = 0.8 * np.array(scene.hair_colour)
    for sign in (-1, 1):
        edge = [
            (0.5 + sign * x, y)
            for x, y in ((0.24, 0.26), (0.27, 0.5), (0.25, 0.82), (0.36, 0.84), (0.40, 0.6), (0.37, 0.34), (0.30, 0.22))
        ]
        drawing.fill(curve(edge, [0] * len(edge))[:, :2], colour, 1.0, 0.003)
        starts = [(0.5 + sign * random.uniform(0.25, 0.37), random.uniform(0.25, 0.72)) for _ in range(900)]
        _strands(drawing, starts, lambda x, y: (random.normal(0, 0.008), random.uniform(0.05, 0.12)), colour, random, 0.0025)
    return drawing.rgba


def hat(scene: Scene, side: int) -> np.ndarray:
    """A knitted cap with a folded brim."""
    drawing = Drawing(side)
    colour = np.array([0.45, 0.08, 0.10])
    directions = np.arange(-72, 73, 4.0)
    ends = [max(ellipse((0.335, 0.41), a), min(scene.outline(a) + 0.015, 0.43) if abs(a) < 60 else 0) for a in directions]
    top = [towards(a, r) for a, r in zip(directions, steady(ends))]
    low = [(x, 0.315 - 0.05 * (1 - ((x - 0.5) / 0.33) ** 2)) for x in np.linspace(0.83, 0.17, 30)]
    drawing.fill([*top, *low], (0.15, 0.05, 0.04), 0.5, 0.010)
    drawing.fill([*top, *low], colour)
    for a in np.arange(-70, 71, 4.0):
        end = towards(a, ellipse((0.33, 0.40), a))
        drawing.line([end, (0.5 + 0.9 * (end[0] - 0.5), 0.25)], 0.005, 0.55 * colour, 0.8, 0.001)
    brim = [*low, *[(x, y - 0.075) for x, y in low[::-1]]]
    drawing.fill(brim, 1.25 * colour)
    for x, y in low[::1]:
        drawing.line([(x, y), (x, y - 0.07)], 0.004, 0.7 * colour, 0.8, 0.001)
    return drawing.rgba


def scar(scene: Scene, side: int) -> np.ndarray:
    """A stitched cut across the cheek."""
    drawing = Drawing(side)
    path = curve(((0.29, 0.545), (0.335, 0.60), (0.36, 0.655), (0.41, 0.69)), (0, 0, 0, 0))[:, :2]
    drawing.line(path, 0.022, (0.75, 0.35, 0.32), 0.5, 0.005)
    drawing.line(path, 0.008, (0.38, 0.05, 0.06), 0.95)
    for i in range(6, len(path) - 6, 10):
        along = path[i + 1] - path[i - 1]
        across = 0.022 * np.array([-along[1], along[0]]) / np.hypot(*along)
        drawing.line([path[i] - across, path[i] + across], 0.005, (0.10, 0.06, 0.06))
    return drawing.rgba


def microphone(scene: Scene, side: int) -> np.ndarray:
    """A microphone before the jaw, on the right of the picture."""
    drawing = Drawing(side)
    x, y, r = 0.65, min(0.82, scene.mouth[1] + 0.075), 0.062
    t = np.linspace(0, 2 * np.pi, 60)
    drawing.fill(
        list(zip(x - 0.012 + 1.05 * r * np.cos(t), y + 0.018 + 1.05 * r * np.sin(t))), (0.2, 0.08, 0.06), 0.45, 0.01
    )
    drawing.line([(x + 0.03, y + 0.03), (x + 0.13, y + 0.13)], 0.06, (0.07, 0.07, 0.08))
    drawing.line([(x + 0.035, y + 0.02), (x + 0.135, y + 0.12)], 0.012, (0.35, 0.35, 0.38), 0.8, 0.003)
    drawing.fill(list(zip(x + r * np.cos(t), y + r * np.sin(t))), (0.22, 0.22, 0.24))
    for v in np.linspace(-0.8, 0.8, 9):
        half = r * float(np.sqrt(1 - v * v))
        drawing.line([(x + v * r, y - half), (x + v * r, y + half)], 0.0025, (0.55, 0.55, 0.58), 0.8)
        drawing.line([(x - half, y + v * r), (x + half, y + v * r)], 0.0025, (0.55, 0.55, 0.58), 0.8)
    drawing.fill(list(zip(x - 0.02 + 0.018 * np.cos(t), y - 0.022 + 0.014 * np.sin(t))), (1, 1, 1), 0.6, 0.006)
    return drawing.rgba


def posts(scene: Scene, side: int) -> np.ndarray:
    """Two posts and a rail behind the head."""
    drawing = Drawing(side)
    for x, colour in ((0.09, (0.55, 0.30, 0.12)), (0.91, (0.15, 0.28, 0.42))):
        drawing.fill([(x - 0.03, 0), (x + 0.03, 0), (x + 0.03, 1), (x - 0.03, 1)], colour)
        drawing.fill([(x - 0.02, 0), (x - 0.01, 0), (x - 0.01, 1), (x - 0.02, 1)], (1, 1, 1), 0.35, 0.003)
    drawing.fill([(0, 0.13), (1, 0.16), (1, 0.20), (0, 0.17)], (0.30, 0.30, 0.30))
    directions = np.arange(-180, 180, 5.0)
    head = Drawing(side)
    ends = [scene.outline(a) + 0.006 if abs(a) < 140 else 0.75 for a in directions]
    head.fill([towards(a, r) for a, r in zip(directions, ends)], (1, 1, 1), 1.0, 0.002)
    drawing.cut(1 - head.rgba[:, :, 3])
    return drawing.rgba
