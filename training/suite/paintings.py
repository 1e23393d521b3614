"""The twenty paintings: what people want changed, painted the way a person would.

Fixed before the models they judge were trained, and unlike what training paints (straight capsules in flat colours,
`training.corrupt`): curves of varying width along what is seen, colours picked from the photo where a person would pick
them, soft and hard brushes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from . import objects
from .brush import Canvas
from .scene import EYE_LEFT, EYE_RIGHT, EYE_Y, Colour, Scene, ellipse, towards

EYES = (EYE_LEFT, EYE_RIGHT)
RECOLOURED, HAIRLINE = 0.8, (0.36, 0.2)


@dataclass(frozen=True)
class Painting:
    """`paint` puts the strokes on the canvas. `object_` is drawn onto photos that do not have it: what is to go.

    `structure`: how much of the photo's own detail a person would keep: what only gets another colour or light keeps most.

    `cells`: of the painted level, across the frame. `kind`: "coarse" (painted on the coarse picture) or "strokes" (on a
    transparent layer over the photo). `focus`: what to look at closely, in the frame's coordinates; None: the middle of what
    changes.
    """

    name: str
    about: str
    cells: int
    kind: str
    paint: Callable[[Canvas, Scene], None]
    object_: Callable[[Scene, int], np.ndarray] | None = None
    focus: tuple[float, float] | None = None
    structure: float = 0.0

    @property
    def removes(self) -> str:
        """What is to go ("glasses"), or nothing."""
        return self.object_.__name__ if self.object_ else ""


def _shade(colour: Sequence[float], factor: float) -> Colour:
    return tuple(float(np.clip(c * factor, 0, 1)) for c in colour)


def _between(a: Sequence[float], b: Sequence[float], share: float) -> Colour:
    return tuple((1 - share) * x + share * y for x, y in zip(a, b))


def _mirrored(points: Sequence[tuple[float, float]], sign: int) -> list[tuple[float, float]]:
    """Points given for the left half of the picture, there (-1) or on the right half (1)."""
    return [(x if sign < 0 else 1 - x, y) for x, y in points]


def sunglasses_on(canvas: Canvas, scene: Scene) -> None:
    for eye in EYES:
        canvas.stroke(
            [(eye - 0.06, EYE_Y + 0.005), (eye, EYE_Y + 0.02), (eye + 0.06, EYE_Y + 0.005)],
            (0.055, 0.075, 0.055),
            (0.05, 0.05, 0.06),
            1.0,
            0.7,
        )
    canvas.stroke([(0.44, 0.45), (0.56, 0.45)], 0.018, (0.06, 0.06, 0.07), 1.0, 0.6)


def sunglasses_off(canvas: Canvas, scene: Scene) -> None:
    skin, forehead = scene.pick(0.36, 0.60), scene.pick(0.5, 0.36)
    skin = _between(skin, forehead, 0.3)
    for eye in EYES:
        line = [(eye - 0.085, EYE_Y + 0.01), (eye, EYE_Y + 0.03), (eye + 0.085, EYE_Y + 0.015)]
        canvas.stroke(line, (0.09, 0.10, 0.09), skin, 1.0, 0.7)
    canvas.stroke([(0.44, 0.44), (0.56, 0.44)], 0.035, skin, 1.0, 0.5)
    for a, b in objects.ARMS:
        canvas.stroke([a, b], 0.022, scene.pick((a[0] + b[0]) / 2, a[1] + 0.06), 0.95, 0.5)
    brow = _between(scene.hair_colour, skin, 0.35)
    for sign in (-1, 1):
        canvas.stroke(_mirrored([(0.30, 0.42), (0.37, 0.398), (0.445, 0.415)], sign), (0.008, 0.013, 0.012), brow, 0.8, 0.4)
        canvas.stroke(
            _mirrored([(0.335, 0.468), (0.374, 0.460), (0.41, 0.470)], sign),
            (0.010, 0.018, 0.010),
            _shade(skin, 0.55),
            0.8,
            0.3,
        )
    for eye in EYES:
        canvas.stroke([(eye, EYE_Y)], 0.017, (0.15, 0.11, 0.09), 0.9, 0.5)


def glasses_on(canvas: Canvas, scene: Scene) -> None:
    dark = (0.10, 0.07, 0.06)
    for eye in EYES:
        rim = objects.lens(eye, 0.165, 0.125)[::6]
        canvas.stroke([*rim, rim[0]], 0.010, dark, 1.0, 0.7)
    for part in (objects.BRIDGE, *objects.ARMS):
        canvas.stroke(part, 0.009, dark, 1.0, 0.7)


def glasses_off(canvas: Canvas, scene: Scene) -> None:
    """Skin over the rims, from beside them, part by part; the eyes are left alone."""
    for eye in EYES:
        rim = objects.lens(eye, 0.168, 0.130)
        for start in range(0, 72, 12):
            part = rim[start : start + 13 : 3]
            x, y = part[len(part) // 2]
            # Outside the rim, seen from the eye.
            away = 1.33
            colour = scene.pick(eye + away * (x - eye), EYE_Y + 0.01 + away * (y - EYE_Y - 0.01), 0.012)
            canvas.stroke(part, 0.019, colour, 1.0, 0.5)
    canvas.stroke(objects.BRIDGE, 0.020, scene.pick(0.5, 0.40, 0.012), 1.0, 0.5)
    for (x0, y0), (x1, y1) in objects.ARMS:
        canvas.stroke([(x0, y0), (x1, y1)], 0.018, scene.pick((x0 + x1) / 2, y0 + 0.055, 0.012), 1.0, 0.5)


def _hair(canvas: Canvas, scene: Scene, colour: Colour, opacity: float, hardness: float = 0.4) -> None:
    """One wide stroke from temple to temple, and narrower ones with light and shade in it."""
    band = scene.hair
    middle = [towards(a, 0.52 * (i + o)) for a, i, o in band][::2]
    widths = [max(0.02, 0.50 * (o - i)) for _, i, o in band][::2]
    canvas.stroke(middle, widths, colour, opacity, hardness)
    for share, tone in ((0.25, 0.85), (0.75, 1.12)):
        line = [towards(a, i + share * (o - i)) for a, i, o in band][2:-2:2]
        canvas.stroke(
            line, [max(0.01, 0.16 * (o - i)) for _, i, o in band][2:-2:2], _shade(colour, tone), 0.5 * opacity, 0.2
        )


def hair_darker(canvas: Canvas, scene: Scene) -> None:
    _hair(canvas, scene, _shade(scene.hair_colour, 0.45), 0.85)


def hair_blonde(canvas: Canvas, scene: Scene) -> None:
    _hair(canvas, scene, (0.80, 0.66, 0.42), 0.85)


def hair_grey(canvas: Canvas, scene: Scene) -> None:
    _hair(canvas, scene, (0.62, 0.62, 0.63), 0.85)


def hair_longer(canvas: Canvas, scene: Scene) -> None:
    colour = _shade(scene.hair_colour, 0.9)
    for sign in (-1, 1):
        canvas.stroke(
            _mirrored([(0.26, 0.24), (0.19, 0.42), (0.17, 0.66), (0.20, 0.92)], sign),
            (0.05, 0.07, 0.08, 0.06),
            colour,
            1.0,
            0.5,
        )
        canvas.stroke(
            _mirrored([(0.16, 0.35), (0.13, 0.62), (0.16, 0.88)], sign), (0.02, 0.03, 0.02), _shade(colour, 1.25), 0.6, 0.3
        )


def hair_shorter(canvas: Canvas, scene: Scene) -> None:
    """Background over the locks, and the side of the face where they hung before it."""
    for sign, behind in zip((-1, 1), scene.background):
        canvas.stroke(
            _mirrored([(0.21, 0.23), (0.165, 0.42), (0.155, 0.62), (0.165, 0.85)], sign),
            (0.06, 0.085, 0.095, 0.105),
            behind,
            1.0,
            0.6,
        )
        canvas.stroke(_mirrored([(0.15, 0.24), (0.12, 0.42), (0.12, 0.62)], sign), 0.05, behind, 1.0, 0.6)
        neck = scene.pick(0.5, min(0.97, scene.chin + 0.03), 0.02)
        canvas.stroke(
            _mirrored([(0.25, 0.36), (0.245, 0.50), (0.26, 0.70)], sign), (0.02, 0.032, 0.024), scene.skin, 0.95, 0.5
        )
        canvas.stroke(_mirrored([(0.285, 0.74), (0.30, 0.84)], sign), 0.03, _between(scene.skin, neck, 0.6), 0.9, 0.5)


def _jaw(scene: Scene) -> list[tuple[float, float]]:
    my, chin = scene.mouth[1], scene.chin
    return [
        (0.275, 0.62),
        (0.30, my),
        (0.38, chin - 0.06),
        (0.5, chin - 0.03),
        (0.62, chin - 0.06),
        (0.70, my),
        (0.725, 0.62),
    ]


def beard_on(canvas: Canvas, scene: Scene) -> None:
    colour = _shade(_between(scene.hair_colour, (0.18, 0.12, 0.09), 0.5), 0.8)
    canvas.stroke(_jaw(scene), (0.02, 0.035, 0.055, 0.06, 0.055, 0.035, 0.02), colour, 0.9, 0.4)
    _moustache(canvas, scene, colour)


def _moustache(canvas: Canvas, scene: Scene, colour: Colour) -> None:
    x, y = scene.mouth
    canvas.stroke(
        [(x - 0.095, y - 0.012), (x - 0.045, y - 0.040), (x, y - 0.043), (x + 0.045, y - 0.040), (x + 0.095, y - 0.012)],
        (0.010, 0.018, 0.014, 0.018, 0.010),
        colour,
        0.95,
        0.5,
    )


def beard_off(canvas: Canvas, scene: Scene) -> None:
    """Skin over it, the lips left alone, a shadow under the chin."""
    x, y = scene.mouth
    skin = scene.skin
    canvas.stroke(_jaw(scene), (0.045, 0.06, 0.075, 0.075, 0.075, 0.06, 0.045), _shade(skin, 0.95), 1.0, 0.6)
    t = np.linspace(0, 2 * np.pi, 13)
    around = list(zip((x + 0.112 * np.cos(t)).tolist(), (y - 0.002 + 0.062 * np.sin(t)).tolist()))
    canvas.stroke(around, 0.031, skin, 1.0, 0.7)
    shadow = [(0.36, scene.chin + 0.005), (0.5, scene.chin + 0.03), (0.64, scene.chin + 0.005)]
    canvas.stroke(shadow, 0.02, _shade(skin, 0.65), 0.7, 0.2)


def moustache_on(canvas: Canvas, scene: Scene) -> None:
    _moustache(canvas, scene, _shade(_between(scene.hair_colour, (0.15, 0.10, 0.08), 0.6), 0.8))


def lips_red(canvas: Canvas, scene: Scene) -> None:
    x, y = scene.mouth
    up, down = y - scene.parted, y + scene.parted
    red = (0.68, 0.07, 0.16)
    upper = [(x - 0.080, y), (x - 0.03, up - 0.018), (x, up - 0.013), (x + 0.03, up - 0.018), (x + 0.080, y)]
    canvas.stroke(upper, (0.006, 0.012, 0.011, 0.012, 0.006), red, 0.8, 0.5)
    canvas.stroke([(x - 0.07, y + 0.008), (x, down + 0.024), (x + 0.07, y + 0.008)], (0.006, 0.016, 0.006), red, 0.8, 0.5)


def make_up(canvas: Canvas, scene: Scene) -> None:
    """Shadow on the lids, brows darker and higher at their ends, colour on the cheeks."""
    for sign in (-1, 1):
        canvas.stroke(
            _mirrored([(0.315, 0.448), (0.36, 0.434), (0.415, 0.448)], sign),
            (0.010, 0.016, 0.010),
            (0.30, 0.16, 0.34),
            0.75,
            0.3,
        )
        canvas.stroke(
            _mirrored([(0.285, 0.408), (0.345, 0.382), (0.44, 0.408)], sign),
            (0.006, 0.011, 0.013),
            (0.13, 0.09, 0.08),
            0.9,
            0.5,
        )
        canvas.stroke(
            _mirrored([(0.28, 0.575), (0.33, 0.60), (0.37, 0.605)], sign), (0.03, 0.045, 0.03), (0.86, 0.36, 0.38), 0.45, 0.0
        )


def light_from_one_side(canvas: Canvas, scene: Scene) -> None:
    canvas.stroke(
        [(0.62, 0.30), (0.68, 0.50), (0.66, 0.70), (0.60, 0.85)], (0.10, 0.13, 0.12, 0.10), (0.03, 0.02, 0.04), 0.55, 0.0
    )
    canvas.stroke([(0.36, 0.30), (0.33, 0.48), (0.36, 0.68)], (0.07, 0.10, 0.08), (1.0, 0.93, 0.82), 0.35, 0.0)


def background_plain(canvas: Canvas, scene: Scene) -> None:
    """A big brush around the head, close to it, then the corners."""
    colour = (0.42, 0.50, 0.44)
    directions = np.arange(-138, 139, 12.0)
    outline = [scene.outline(a) for a in directions]
    for beyond, radius in ((0.065, 0.055), (0.15, 0.07), (0.26, 0.09), (0.40, 0.11)):
        canvas.stroke([towards(a, r + beyond) for a, r in zip(directions, outline)], radius, colour, 1.0, 0.8)


def hat_off(canvas: Canvas, scene: Scene) -> None:
    """Background where no head is, then hair as it must have been, then the forehead below it."""
    directions = np.arange(-80, 81, 10.0)
    left, right = scene.background
    for half, behind in ((directions[directions <= 0], left), (directions[directions >= 0], right)):
        for beyond in (0.03, 0.10):
            canvas.stroke([towards(a, ellipse((0.31, 0.40), a) + beyond) for a in half], 0.05, behind, 1.0, 0.6)
    below = [(0.31, 0.325), (0.41, 0.285), (0.5, 0.275), (0.59, 0.285), (0.69, 0.325)]
    canvas.stroke(below, (0.035, 0.05, 0.05, 0.05, 0.035), scene.pick(0.5, 0.38, 0.02), 1.0, 0.6)
    up_to_hair = [towards(a, i - 0.02) for a, i, _ in scene.hair if abs(a) <= 48][::2]
    canvas.stroke(up_to_hair, 0.05, scene.pick(0.5, 0.38, 0.02), 1.0, 0.6)
    band = [(a, i, min(o, ellipse((0.31, 0.40), a) + 0.03)) for a, i, o in scene.hair][::2]
    widths = [max(0.03, 0.55 * (o - i)) for _, i, o in band]
    canvas.stroke([towards(a, (i + o) / 2) for a, i, o in band], widths, scene.hair_colour, 1.0, 0.6)


def fringe(canvas: Canvas, scene: Scene) -> None:
    """Locks from the hairline down."""
    hairline = {a: i for a, i, _ in scene.hair}
    for i, (direction, x) in enumerate(zip((-36.0, -24.0, -12.0, 0.0, 12.0, 24.0, 36.0), np.linspace(0.32, 0.68, 7))):
        root = towards(direction, hairline[direction] + 0.03)
        middle = (0.4 * root[0] + 0.6 * x, 0.5 * root[1] + 0.5 * 0.36)
        tone = _shade(scene.hair_colour, (0.85, 1.1)[i % 2])
        canvas.stroke([root, middle, (x - 0.01, 0.375)], (0.04, 0.042, 0.02), tone, 0.95, 0.5)


def scar_off(canvas: Canvas, scene: Scene) -> None:
    """Rubbed out: the model may invent what is there."""
    canvas.erase([(0.275, 0.53), (0.335, 0.60), (0.36, 0.655), (0.425, 0.70)], (0.028, 0.034, 0.034, 0.028))


def microphone_off(canvas: Canvas, scene: Scene) -> None:
    """Colours from the same places on the other side of the face."""
    y = min(0.82, scene.mouth[1] + 0.075)
    other = lambda px, py: scene.pick(1 - px, py, 0.02)  # noqa: E731
    for px, py, r in ((0.79, y + 0.14, 0.06), (0.725, y + 0.075, 0.055)):
        py = min(py, 0.97)
        canvas.stroke([(px - 0.03, py - 0.03), (px + 0.03, py + 0.03)], r, other(px, py), 1.0, 0.6)
    for px, py in ((0.70, y - 0.02), (0.645, y + 0.04), (0.60, y + 0.01), (0.66, y - 0.03)):
        canvas.stroke([(px - 0.02, py - 0.02), (px + 0.01, py + 0.02)], 0.04, other(px, py), 1.0, 0.6)


PAINTINGS = (
    Painting("sunglasses-on", "two dark lenses and a bridge", 16, "coarse", sunglasses_on),
    Painting("sunglasses-off", "skin, brows and eyes over them", 32, "coarse", sunglasses_off, objects.sunglasses),
    Painting("glasses-on", "thin dark rims", 64, "strokes", glasses_on),
    Painting("glasses-off", "skin over the rims", 32, "strokes", glasses_off, objects.glasses),
    Painting("hair-darker", "the hair's own colour, darker", 16, "coarse", hair_darker, None, HAIRLINE, RECOLOURED),
    Painting("hair-blonde", "blonde over the hair", 16, "coarse", hair_blonde, None, HAIRLINE, RECOLOURED),
    Painting("hair-grey", "grey over the hair", 16, "strokes", hair_grey, None, HAIRLINE, RECOLOURED),
    Painting("hair-longer", "hair down to the shoulders", 16, "coarse", hair_longer, focus=(0.25, 0.6)),
    Painting("hair-shorter", "background over long locks", 16, "coarse", hair_shorter, objects.locks, (0.25, 0.5)),
    Painting("beard-on", "dark along jaw and lip", 32, "coarse", beard_on),
    Painting("beard-off", "skin over it", 32, "coarse", beard_off, objects.beard),
    Painting("moustache-on", "a dark curve over the lip", 64, "strokes", moustache_on),
    Painting("lips-red", "lipstick", 64, "strokes", lips_red, structure=RECOLOURED),
    Painting("make-up", "lids, brows and cheeks", 64, "coarse", make_up, structure=RECOLOURED),
    Painting(
        "light-side", "a soft shadow on the right, light on the left", 16, "coarse", light_from_one_side, focus=(0.6, 0.55),
        structure=RECOLOURED,
    ),
    Painting(
        "background-plain",
        "one other colour behind the head, over what stands there",
        16,
        "coarse",
        background_plain,
        objects.posts,
        (0.22, 0.25),
    ),
    Painting("hat-off", "hair, forehead and background over it", 16, "coarse", hat_off, objects.hat, (0.4, 0.25)),
    Painting("fringe", "hair over the forehead", 32, "strokes", fringe),
    Painting("scar-off", "rubbed out", 32, "coarse", scar_off, objects.scar),
    Painting("microphone-off", "colours from the other side of the face", 32, "coarse", microphone_off, objects.microphone),
)
