"""Between the model's square and the photo's own pixels.

Down: the photo's pixels under the frame are averaged over each model pixel. Up: what an edit changed at the model's size
is enlarged and added to the photo's pixels, `photo + warp_up(variant - b_0)`; where the content changed, detail that is
finer than the model belongs to what was there before, so it fades out, and detail from where the photo looks alike takes its
place (`lapcvae.texture`). Everything happens in the photo's own space and depth, over one box.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
from PIL import Image

from .protocol.errors import LapcvaeError
from .protocol.geometry import Box, Frame, Size
from .protocol.messages import Array
from .ramps import rises

DTYPES = {"u1": np.dtype("<u1"), "u2": np.dtype("<u2"), "u4": np.dtype("<u4"),
          "f2": np.dtype("<f2"), "f4": np.dtype("<f4"), "f8": np.dtype("<f8")}  # fmt: skip

# Fine detail stays where the content changed by less than the first (share of full scale: hair that got darker is still
# hair) and is gone where it changed by more than the second (a frame that became skin).
TONE_FADE, STRUCTURE_FADE = (0.1, 0.45), (0.02, 0.1)

# Rows of an enlargement that are made at once: each needs four samples, and so many need a few more.
BAND = 32


def full_scale(dtype: np.dtype) -> float:
    return float(np.iinfo(dtype).max) if dtype.kind == "u" else 1.0


def to_float(pixels: np.ndarray) -> np.ndarray:
    """Native pixels to float32 with 1.0 = full scale."""
    return (pixels * (1.0 / full_scale(pixels.dtype))).astype(np.float32)


def to_native(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The inverse of `to_float`; integers are rounded and clipped, floats are not."""
    if dtype.kind == "f":
        return values.astype(dtype)
    scaled = np.clip(values.astype(np.float64 if dtype.itemsize > 2 else np.float32), 0, 1) * full_scale(dtype)
    return np.minimum(np.rint(scaled), full_scale(dtype)).astype(dtype)


def is_upright(frame: Frame) -> bool:
    return frame.angle % 360.0 == 0.0


def to_array(values: np.ndarray, dtype: str | None = None) -> Array:
    dtype = dtype or next(name for name, known in DTYPES.items() if known == values.dtype.newbyteorder("<"))
    return Array(dtype, tuple(values.shape), np.ascontiguousarray(values, DTYPES[dtype]).tobytes())


def from_array(array: Array) -> np.ndarray:
    return np.frombuffer(array.data, DTYPES[array.dtype]).reshape(array.shape)


def checked(array: Array, box: Box, channels: int) -> np.ndarray:
    """The pixels of a box, H x W x channels; what is no number in a picture of floats counts as black or full scale, or
    one such pixel would spread over all that is made from it."""
    if array.shape != (box.height, box.width, channels):
        raise LapcvaeError(f"Pixels of shape {array.shape} came for {box} with {channels} channels.", "Report this.")
    pixels = from_array(array)
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        return np.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0)
    return pixels


# --- down ---


@lru_cache(maxsize=16)
def averaging_matrix(start: float, step: float, count: int, length: int) -> list[tuple[int, np.ndarray]]:
    """Per output i, (first input, weights): the mean of inputs over [start + i step, start + (i + 1) step).

    Inputs are pixels [n, n + 1), replicated beyond 0 .. length; an output narrower than a pixel interpolates linearly.
    """
    rows = []
    width = max(step, 1.0)
    for i in range(count):
        centre = start + (i + 0.5) * step
        low, high = centre - width / 2, centre + width / 2
        first, last = int(np.floor(low)), int(np.ceil(high))
        edges = np.clip(np.arange(first, last + 1), low, high)
        weights = np.diff(edges) / width
        at = np.clip(np.arange(first, last), 0, length - 1)
        merged = np.zeros(at[-1] - at[0] + 1)
        np.add.at(merged, at - at[0], weights)
        rows.append((int(at[0]), merged.astype(np.float32)))
    return rows


def _average_rows(values: np.ndarray, rows: list[tuple[int, np.ndarray]]) -> np.ndarray:
    flat = values.reshape(values.shape[0], -1)
    # Converted strip by strip: the whole photo as float32 would leave the cache.
    out = np.stack([weights @ flat[first : first + len(weights)].astype(np.float32, copy=False) for first, weights in rows])
    return out.reshape(len(rows), *values.shape[1:])


def warp_down(values: np.ndarray, box: Box, frame: Frame, size: int) -> np.ndarray:
    """`values` (H x W x C over `box`) seen through `frame`: size x size x C float32, each the mean over its square.

    Integers keep their scale.
    """
    if is_upright(frame):
        step = frame.side / size
        left, top = frame.cx - frame.side / 2 - box.x, frame.cy - frame.side / 2 - box.y
        tall = _average_rows(values, averaging_matrix(top, step, size, box.height))
        wide = _average_rows(tall.transpose(1, 0, 2), averaging_matrix(left, step, size, box.width))
        return np.ascontiguousarray(wide.transpose(1, 0, 2))
    # Turned: sample about as densely as the photo has pixels, then average blocks.
    block = max(1, int(np.ceil(frame.side / size)))
    fine = _sample(values, box, frame, size * block)
    return fine.reshape(size, block, size, block, -1).mean((1, 3), dtype=np.float32)


def _sample(values: np.ndarray, box: Box, frame: Frame, n: int) -> np.ndarray:
    """n x n x C bilinear samples of `values` at the frame's square."""
    a, b, c, d, e, f = frame.matrix(n)
    # As far as the turned square reaches: beyond what Pillow is given, it would see black.
    reach = frame.bounds()
    left, top = max(box.x - reach.x, 0) + 1, max(box.y - reach.y, 0) + 1
    right, bottom = max(reach.right - box.right, 0) + 1, max(reach.bottom - box.bottom, 0) + 1
    padded = np.pad(values, ((top, bottom), (left, right), (0, 0)), mode="edge")
    # Pillow's affine maps the centre of an output pixel itself.
    return _affine(padded, (n, n), (a, b, c - box.x + left, d, e, f - box.y + top))


def _affine(values: np.ndarray, size: tuple[int, int], matrix) -> np.ndarray:
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(values[:, :, i], np.float32)).transform(
                size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
            )
        )
        for i in range(values.shape[2])
    ]
    return np.stack(planes, axis=2)


# --- up ---


def _cubic(t: np.ndarray) -> np.ndarray:
    """Catmull-Rom's kernel."""
    t = np.abs(t)
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t < 1, near, np.where(t < 2, far, 0.0))


def _linear(t: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 1 - np.abs(t))


def interpolation_matrix(at: np.ndarray, n: int, kernel=_cubic) -> np.ndarray:
    """len(at) x n: values at positions `at` (in units of n samples, centres at i + .5), edges replicated."""
    matrix = np.zeros((len(at), n), np.float32)
    base = np.floor(at - 0.5).astype(int)
    rows = np.arange(len(at))
    for tap in range(-1, 3):
        index = base + tap
        np.add.at(matrix, (rows, np.clip(index, 0, n - 1)), kernel(at - 0.5 - index).astype(np.float32))
    return matrix


@dataclass(frozen=True)
class Axis:
    """One axis of an enlargement: `matrix` for the samples `used`, without those that the box does not see.

    `bands`: the same for BAND results at a time, each with the few of the used samples that these need.
    """

    used: slice
    matrix: np.ndarray
    bands: tuple[tuple[slice, slice, np.ndarray], ...]

    @classmethod
    def of(cls, at: np.ndarray, n: int, kernel) -> Axis:
        matrix = interpolation_matrix(at, n, kernel)
        seen = np.flatnonzero(matrix.any(0))
        used = slice(seen[0], seen[-1] + 1) if len(seen) else slice(0, 1)
        matrix = np.ascontiguousarray(matrix[:, used])
        bands = []
        for first in range(0, len(matrix), BAND):
            part = matrix[first : first + BAND]
            needed = np.flatnonzero(part.any(0))
            near = slice(needed[0], needed[-1] + 1) if len(needed) else slice(0, 1)
            bands.append((slice(first, first + len(part)), near, np.ascontiguousarray(part[:, near])))
        return cls(used, matrix, tuple(bands))


class WarpUp:
    """From the model's square to the photo's pixels over one box; made once, used for every variant."""

    def __init__(self, frame: Frame, size: int, box: Box):
        self.frame, self.size, self.box = frame, size, box
        if is_upright(frame):
            step = frame.side / size
            x = (np.arange(box.width) + 0.5 + box.x - frame.cx + frame.side / 2) / step
            y = (np.arange(box.height) + 0.5 + box.y - frame.cy + frame.side / 2) / step
            self.axes = {kernel: (Axis.of(y, size, kernel), Axis.of(x, size, kernel)) for kernel in (_cubic, _linear)}

    def __call__(self, values: np.ndarray, kernel=_cubic) -> np.ndarray:
        """S x S x C -> H x W x C over the box; outside the square its edge is replicated."""
        return np.stack(self.planes(values, kernel), axis=2)

    def planes(self, values: np.ndarray, kernel=_cubic) -> np.ndarray:
        """S x S x C -> C x H x W; in this order everything that follows is several times as quick."""
        if is_upright(self.frame):
            rows, columns = self.axes[kernel]
            seen = values[rows.used, columns.used]
            out = np.empty((values.shape[2], self.box.height, self.box.width), np.float32)
            for i in range(values.shape[2]):
                wide = seen[:, :, i] @ columns.matrix.T
                for band, near, matrix in rows.bands:
                    np.matmul(matrix, wide[near], out=out[i, band])
            return out
        # Turned: enlarge smoothly first, then sample that bilinearly.
        fine = 4
        at = (np.arange(self.size * fine) + 0.5) / fine
        axis = interpolation_matrix(at, self.size, kernel)
        large = np.stack([axis @ values[:, :, i] @ axis.T for i in range(values.shape[2])], axis=2)
        return self._turned(np.ascontiguousarray(large, np.float32)).transpose(2, 0, 1)

    def linear(self, values: np.ndarray) -> np.ndarray:
        """Without overshoot: what is 0 or 1 around a point stays 0 or 1 there."""
        return self(values, _linear)

    def linear_planes(self, values: np.ndarray) -> np.ndarray:
        """As `linear`, S x S x C -> C x H x W."""
        return self.planes(values, _linear)

    def _turned(self, values: np.ndarray) -> np.ndarray:
        n = values.shape[0]
        a, b, c, d, e, f = self.frame.matrix(n)
        determinant = a * e - b * d
        ia, ib, id_, ie = e / determinant, -b / determinant, -d / determinant, a / determinant
        ic = ia * (self.box.x - c) + ib * (self.box.y - f)
        if_ = id_ * (self.box.x - c) + ie * (self.box.y - f)
        pad = 2
        padded = np.pad(values, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
        return _affine(padded, (self.box.width, self.box.height), (ia, ib, ic + pad, id_, ie, if_ + pad))


# --- the mask and its box ---


def close_mask_at_frame(m: np.ndarray, frame: Frame, photo: Size, width: float = 2.0) -> np.ndarray:
    """m falls to 0 across `width` model pixels (at least 2) at those edges of the square beyond which the photo goes on."""
    size = m.shape[0]
    ramp = np.clip((np.arange(size) - 0.5) / max(width, 2.0), 0, 1)
    half = frame.side / 2
    open_ = (True, True, True, True)
    if is_upright(frame):
        open_ = (frame.cx - half > 0, frame.cy - half > 0, frame.cx + half < photo.width, frame.cy + half < photo.height)
    out = m.copy()
    if open_[0]:
        out *= ramp[None, :]
    if open_[1]:
        out *= ramp[:, None]
    if open_[2]:
        out *= ramp[None, ::-1]
    if open_[3]:
        out *= ramp[::-1, None]
    return out.astype(np.float32)


def box_of(m: np.ndarray, frame: Frame, photo: Size, margin: float) -> Box:
    """The photo pixels that m reaches, plus `margin` photo pixels, within the photo; empty if m is 0 everywhere."""
    size = m.shape[0]
    rows, columns = np.flatnonzero(m.any(1)), np.flatnonzero(m.any(0))
    if not len(rows):
        return Box(0, 0, 0, 0)
    # A model pixel's value reaches one model pixel further through linear interpolation.
    corners = [
        frame.to_photo(float(x), float(y), size)
        for x in (columns[0] - 1, columns[-1] + 2) for y in (rows[0] - 1, rows[-1] + 2)
    ]  # fmt: skip
    xs, ys = [c[0] for c in corners], [c[1] for c in corners]
    left, top = int(np.floor(min(xs) - margin)), int(np.floor(min(ys) - margin))
    right, bottom = int(np.ceil(max(xs) + margin)), int(np.ceil(max(ys) + margin))
    return Box(left, top, right - left, bottom - top).intersection(photo.box)


def places_in_square(frame: Frame, box: Box, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the photo's pixels over the box lie in the model's square of n x n: columns and rows, H x W each."""
    a, b, c, d, e, f = frame.matrix(n)
    determinant = a * e - b * d
    x, y = np.arange(box.width)[None, :] + (0.5 + box.x - c), np.arange(box.height)[:, None] + (0.5 + box.y - f)
    return (e * x - b * y) / determinant, (a * y - d * x) / determinant


def inside_square(frame: Frame, box: Box) -> np.ndarray:
    """1 at the pixels whose centre is inside the square, else 0; H x W float32 over the box."""
    mx, my = places_in_square(frame, box, 1)
    return ((mx > 0) & (mx < 1) & (my > 0) & (my < 1)).astype(np.float32)


# --- detail ---


def fade(change: np.ndarray) -> np.ndarray:
    """How far the old detail gives way, S x S x 1 in 0..1, from what changed (S x S x C, full scale 1).

    By how much the tone changed, and, sooner, by how much the structure did. The strongest change nearby decides: a pupil
    under a dark lens did not change much, and has to go all the same.
    """
    tone = _strongest(rises(mean_colour(np.abs(change)), TONE_FADE))
    return np.maximum(tone, structure_gone(change))[:, :, None]


def structure_gone(change: np.ndarray) -> np.ndarray:
    """As `fade`, for what changed against its surroundings alone, S x S: at an edge that went, not where all got darker."""
    around = _neighbours(_neighbours(change, 0, np.add), 1, np.add) / 25
    return _strongest(rises(mean_colour(np.abs(change - around)), STRUCTURE_FADE))


def _strongest(values: np.ndarray) -> np.ndarray:
    """The largest of the 5 x 5 around, S x S float32."""
    return _neighbours(_neighbours(values, 0, np.maximum), 1, np.maximum).astype(np.float32)


def mean_colour(values: np.ndarray) -> np.ndarray:
    """H x W x C -> H x W; numpy's own mean over so short an axis takes several times as long."""
    total = values[:, :, 0].copy()
    for i in range(1, values.shape[2]):
        total += values[:, :, i]
    total *= np.float32(1 / values.shape[2])
    return total


def _neighbours(values: np.ndarray, axis: int, over) -> np.ndarray:
    """Sum (np.add) or maximum (np.maximum) over five neighbours along an axis, edges replicated."""
    padded = np.pad(values, [(2, 2) if a == axis else (0, 0) for a in range(values.ndim)], mode="edge")
    padded = np.moveaxis(padded, axis, 0)
    n = values.shape[axis]
    return np.moveaxis(reduce(over, (padded[i : i + n] for i in range(5))), 0, axis)
