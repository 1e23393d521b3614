"""Whether a painting is the coarse picture turned, mirrored, cropped, scaled or shifted.

In such a picture nothing lies where it was, so all of it would count as paint. Where a place in the painting lies in the
coarse picture is a similarity, perhaps of the mirrored picture; it is searched for roughly by correlation, then refined
by what agrees, so that paint on it does not matter. Colours here are 0..1, squares are squares of the unit square.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

# Sides in pixels: the rough search, the comparison, and the picture that is sampled for it.
ROUGH, FINE, SAMPLED = 32, 64, 128
# What people do: quarter turns, straightening, mirroring; cropping, a larger canvas.
ANGLES, MIRRORED_ANGLES = (0, -8, 8, -20, 20, 90, 180, 270), (0, 90, 180, 270)
SCALES = (0.35, 0.45, 0.58, 0.75, 0.95, 1.2, 1.5)
# So many rough finds are refined.
CANDIDATES = 5
# In steps of 255: colours that far apart still agree, after sampling; colours that far apart are of different places.
AGREE, ELSEWHERE = 6, 30
# Differences between neighbours (of FINE) that count fully as structure; with less than this on average, the painting
# is flat, and would agree with any small piece.
STRUCTURE, FLAT = 0.06, 0.004
# The painting is not in its place if less than the first of its structure lies where it was; it is taken as moved if
# as much as the second is found elsewhere, and that is so much more than in its place.
IN_PLACE, FOUND, GAIN = 0.5, 0.35, 0.2


# Waves over the space of colours that sum up to a Gaussian with a standard deviation of 24 of 255.
WAVES = np.random.default_rng(0).normal(0, 255 / 24, (8, 3)).astype(np.float32)


@dataclass(frozen=True)
class Motion:
    """The painting is this piece of the coarse picture: `scale` times its side, around (x, y).

    `angle`: by how many degrees it was turned, clockwise on the screen, before it was mirrored.
    """

    angle: float
    scale: float
    x: float
    y: float
    mirrored: bool

    def matrix(self) -> tuple[float, float, float, float, float, float]:
        """(a, b, c, d, e, f): the painting's (x, y) is the coarse picture's (a x + b y + c, d x + e y + f)."""
        turn = math.radians(self.angle)
        cos, sin = self.scale * math.cos(turn), self.scale * math.sin(turn)
        a, b, d, e = cos, sin, -sin, cos
        if self.mirrored:
            a, d = -a, -d
        return a, b, self.x - (a + b) / 2, d, e, self.y - (d + e) / 2

    def __str__(self) -> str:
        angle = round((self.angle + 180) % 360 - 180)
        words = []
        if angle:
            way = "" if abs(angle) == 180 else " clockwise" if angle > 0 else " anticlockwise"
            words.append(f"turned by {abs(angle)} degrees{way}")
        if self.mirrored:
            words.append("mirrored")
        if self.scale < 0.97:
            words.append(f"cropped to {self.scale:.0%} of its side")
        elif self.scale > 1.03:
            words.append(f"shrunk to {1 / self.scale:.0%} of its side")
        return " and ".join(words) or f"shifted by {math.hypot(self.x - 0.5, self.y - 0.5):.1%} of its side"


def small(rgb: np.ndarray, side: int) -> np.ndarray:
    """H x W x 3 in 0..1 as side x side x 3, each the mean over its square."""
    picture = Image.fromarray(np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8))
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX), np.float32) / 255


def structure(rgb: np.ndarray, known: np.ndarray) -> np.ndarray:
    """How much the picture says about its place at each pixel, 0..1: the difference to its neighbours, where known."""
    around = np.pad(rgb, ((1, 1), (1, 1), (0, 0)), mode="edge")
    across, down = np.abs(around[1:-1, 2:] - around[1:-1, :-2]), np.abs(around[2:, 1:-1] - around[:-2, 1:-1])
    return np.minimum(np.maximum(across, down).max(2) / (2 * STRUCTURE), 1) * known


def motion(shown: np.ndarray, painted: np.ndarray, touched: np.ndarray) -> Motion | None:
    """How the painting (H x W x 4, 0..1) was moved against what was shown; None if it was not.

    `touched`: H x W bool, where the two differ.
    """
    now = small(painted[:, :, :3], FINE)
    known = small(np.repeat((painted[:, :, 3:] > 0.5), 3, axis=2), FINE)[:, :, 0] > 0.99
    weights = structure(now, known)
    if weights.mean() < FLAT:
        return None
    weights /= weights.sum()
    untouched = 1 - small(np.repeat(touched[:, :, None], 3, axis=2), FINE)[:, :, 0]
    if (weights * untouched).sum() >= IN_PLACE:
        return None
    was = small(shown[:, :, :3], SAMPLED)
    here = Agreement(was, now, weights)
    stays = here(Motion(0, 1, 0.5, 0.5, False))
    found = max((refined(here, start) for start in rough(was, now, weights)), key=here, default=None)
    if found is None or here(found) < max(FOUND, stays + GAIN):
        return None
    return found


class Agreement:
    """How much of the painting's structure is explained by a motion, 0..1."""

    def __init__(self, was: np.ndarray, now: np.ndarray, weights: np.ndarray):
        inside = np.ones((SAMPLED, SAMPLED, 1))
        planes = np.rint(np.concatenate([was, inside], axis=2) * 255).astype(np.uint8)
        # Four planes that Pillow samples each by itself, which it does not do with RGB and alpha.
        self._was = Image.merge("CMYK", [Image.fromarray(np.ascontiguousarray(planes[:, :, i])) for i in range(4)])
        self._now, self._weights = np.rint(now * 255).astype(np.int16), weights

    def _apart(self, motion: Motion) -> np.ndarray:
        a, b, c, d, e, f = motion.matrix()
        enlarge = SAMPLED / FINE
        matrix = (a * enlarge, b * enlarge, c * SAMPLED, d * enlarge, e * enlarge, f * SAMPLED)
        sampled = np.asarray(
            self._was.transform((FINE, FINE), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        )
        apart = np.abs(sampled[:, :, :3].astype(np.int16) - self._now).max(2)
        return np.where(sampled[:, :, 3] == 255, apart, 255)

    def __call__(self, motion: Motion) -> float:
        return float(self._weights[self._apart(motion) <= AGREE].sum())

    def loss(self, motion: Motion) -> float:
        """What is minimised: differences up to where they cannot be of the same place."""
        return float((self._weights * np.minimum(self._apart(motion), ELSEWHERE)).sum())


def refined(agreement: Agreement, start: Motion) -> Motion:
    """The best motion near `start`, one parameter after the other in ever smaller steps."""
    best, loss, step = start, agreement.loss(start), 1.0
    while step > 0.03:
        former = loss
        for change in _changes(step):
            nearby = change(best)
            if (its := agreement.loss(nearby)) < loss:
                best, loss = nearby, its
        if loss == former:
            step /= 2
    return best


def _changes(step: float) -> Iterator:
    for sign in (-step, step):
        yield lambda m, s=sign: replace(m, x=m.x + s / 32)
        yield lambda m, s=sign: replace(m, y=m.y + s / 32)
        yield lambda m, s=sign: replace(m, angle=m.angle + s * 6)
        yield lambda m, s=sign: replace(m, scale=m.scale * 1.1**s)


def rough(was: np.ndarray, now: np.ndarray, weights: np.ndarray) -> list[Motion]:
    """The CANDIDATES best of all angles, scales and shifts.

    What counts is how many pixels are alike, not how far apart the others are: by a Gaussian of the difference, as a sum
    of waves, so that one correlation has the answer for every shift.
    """
    n, at = 2 * ROUGH, ROUGH // 2
    canvas = np.zeros((len(WAVES), n, n), np.complex64)
    canvas[:, at : at + ROUGH, at : at + ROUGH] = _waves(small(was, ROUGH))
    there = np.conj(np.fft.fft2(canvas))
    pictures = [Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize((ROUGH, ROUGH), Image.Resampling.BOX)
                for plane in (*np.moveaxis(now, 2, 0), weights)]  # fmt: skip
    found = [_best_shift(there, pictures, Motion(angle, scale, 0.5, 0.5, mirrored))
             for mirrored, angles in ((False, ANGLES), (True, MIRRORED_ANGLES))
             for angle in angles for scale in SCALES]  # fmt: skip
    found.sort(key=lambda f: -f[0])
    return [motion for _, motion in found[:CANDIDATES]]


def _waves(rgb: np.ndarray) -> np.ndarray:
    """H x W x 3 as planes whose products with another picture's conjugate sum up to how alike the colours are."""
    return np.moveaxis(np.exp(1j * (rgb @ WAVES.T)), 2, 0).astype(np.complex64)


def _best_shift(there: np.ndarray, pictures: list[Image.Image], motion: Motion) -> tuple[float, Motion]:
    """The share of the structure that is alike at the shift where that is largest, and the motion with that shift."""
    n = 2 * ROUGH
    a, b, _, d, e, _ = motion.matrix()
    # From the canvas's pixel to the piece's: the inverse of the motion, centre to centre.
    determinant = a * e - b * d
    ia, ib, id_, ie = e / determinant, -b / determinant, -d / determinant, a / determinant
    matrix = (ia, ib, ROUGH / 2 - (ia + ib) * ROUGH, id_, ie, ROUGH / 2 - (id_ + ie) * ROUGH)
    *colours, weights = (
        np.asarray(picture.transform((n, n), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))
        for picture in pictures
    )
    here = np.fft.fft2(_waves(np.dstack(colours)) * (weights / max(float(weights.sum()), 1e-9)))
    alike = np.fft.ifft2((here * there).sum(0)).real / len(WAVES)
    y, x = np.unravel_index(int(alike.argmax()), alike.shape)
    # Where the piece, laid into the middle, has to go; the correlation's index counts the other way, and around.
    dx, dy = (-((v + ROUGH) % n - ROUGH) / ROUGH for v in (x, y))
    return float(alike[y, x]), replace(motion, x=0.5 + dx, y=0.5 + dy)
