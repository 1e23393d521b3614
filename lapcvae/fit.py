"""Whether a coarse painting still fits: what differs from what was shown, after its layer was scaled, turned, moved."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np

from .protocol.errors import LapcvaeError

# The brightness of two coarse images of one photo agrees at least this well, whatever was retouched meanwhile.
LEAST_CORRELATION = 0.8
# A picture whose brightness deviates by less shows nothing.
PLAIN = 0.005
# Cells of a coarse image that differ by less than this were not painted on; so many of them are left at least.
SAME_CELL, LEAST_SAME = 0.02, 0.1
# Cubic interpolation goes beyond the values around by this share of their range, at corners.
OVERSHOOT = 0.16
# What conversions that nothing tells of may leave: an image in 8 bits of linear light meanwhile, dithered or not, or in 8
# bits of a wider space, changes colours by at most this share of the brightest light (in dark tones 20 of 255 steps).
ROUNDED = 2 / 255
# It is told by tones that rounded light cannot keep: most of them are not what they were, by more than the layer's own
# format does.
DARK, LEAST_ROUNDED, MOST_SAME = (2 / 255, 0.2), 0.5 / 255, 0.5
# Rows and columns that are looked at for that.
SAMPLED = 256
# From this share of touched pixels on, the layer may have been turned or flipped.
MUCH = 0.3
TURNS = {
    "turned clockwise": lambda x: np.rot90(x, -1),
    "turned counterclockwise": lambda x: np.rot90(x),
    "turned upside down": lambda x: np.rot90(x, 2),
    "flipped horizontally": lambda x: x[:, ::-1],
    "flipped vertically": lambda x: x[::-1],
    "flipped and turned clockwise": lambda x: np.rot90(x[:, ::-1], -1),
    "flipped and turned counterclockwise": lambda x: np.rot90(x[:, ::-1]),
}
REMEDY = "Undo that, or make a new coarse layer and paint on it."


def beyond(now: np.ndarray, shown: np.ndarray, least: float, scale: float, rounded: bool = False) -> np.ndarray:
    """Which pixels of `now` differ from `shown` (H x W x 4 each, 0..1) by more than `least`; H x W bool. Where they were
    `rounded`, by more than twice that, and by more light than that takes or gives.

    With a `scale` other than 1 the pixels were interpolated since; then a pixel differs when it is outside the range
    of what was shown around it.
    """
    if scale == 1:
        apart = np.abs(now - shown)
        if rounded:
            least *= 2
        # Channel by channel: numpy's own maximum over so short an axis takes several times as long.
        found = reduce(np.maximum, (apart[:, :, i] for i in range(apart.shape[2]))) > least
        if rounded:
            found[found] = ~_nearly(now[found], shown[found]) | (apart[found, 3] > least)
        return found
    # Two pixels of the old grid to either side, as far as GIMP's interpolation reaches, and one for rounded edges.
    reach = math.ceil(2 * max(1.0, scale)) + 1
    low, high = _range(shown, reach)
    slack = least + OVERSHOOT * (high - low)
    return ((now < low - slack) | (now > high + slack)).any(2)


def was_rounded(now: np.ndarray, shown: np.ndarray) -> bool:
    """Whether the layer (`now`, as `shown` H x W x 4, 0..1) was in a coarser format since it was shown, as dark tones tell
    that are not plainly painted on."""
    colours = shown[:, :, :3]
    # What was made transparent tells nothing.
    dark = ((colours > DARK[0]) & (colours < DARK[1])).any(2) & (now[:, :, 3] > 0) & (shown[:, :, 3] > 0)
    now, shown = now[dark], shown[dark]
    unpainted = _nearly(now, shown)
    same = np.abs(now - shown)[unpainted, :3].max(1, initial=0) <= LEAST_ROUNDED
    return bool(np.count_nonzero(same) < MOST_SAME * len(same))


def _nearly(now: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Which of these pixels (N x 4, sRGB) may be the shown ones, rounded."""
    return (np.abs(_light(now[:, :3]) - _light(shown[:, :3])) <= ROUNDED).all(1)


def _light(srgb: np.ndarray) -> np.ndarray:
    """sRGB as linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4)


def _range(values: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and most within `reach` pixels; beyond the picture it is transparent."""
    height, width = values.shape[:2]
    padded = np.pad(values, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    padded[:reach, :, 3] = padded[-reach:, :, 3] = padded[:, :reach, 3] = padded[:, -reach:, 3] = 0
    low, high = padded, padded
    for axis, length in ((0, height), (1, width)):
        parts = [(slice(None),) * axis + (slice(i, i + length),) for i in range(2 * reach + 1)]
        new_low, new_high = low[parts[0]], high[parts[0]]
        for part in parts[1:]:
            new_low, new_high = np.minimum(new_low, low[part]), np.maximum(new_high, high[part])
        low, high = new_low, new_high
    return low, high


def require_photo(b_now: np.ndarray, b_then: np.ndarray) -> None:
    """LapcvaeError unless both coarse images (n x n x 3) show the same."""
    now, then = (x.mean(2) - x.mean() for x in (b_now, b_then))
    # In a plain picture there is nothing to compare.
    if then.std() > PLAIN and float((now * then).mean()) < LEAST_CORRELATION * max(now.std(), PLAIN) * then.std():
        raise LapcvaeError(
            "What the photo shows under the coarse layer is not what it showed when that was made: since then they were "
            "cropped, or one of them was scaled, turned or moved without the other.",
            REMEDY,
        )


def require_same(b_now: np.ndarray, b_then: np.ndarray) -> None:
    """LapcvaeError unless both coarse images (n x n x 3) are of the same picture, not only of one that is like it."""
    if float(np.abs(b_now - b_then).mean()) > SAME_CELL:
        raise LapcvaeError(
            "The coarse layer was copied from another image, and what is under it here is not what it was made from, but "
            "another photo or another part of it.",
            "Select the photo layer, choose Filters > LapCVAE > Make Coarse Layer and paint on the new layer.",
        )


def _gray(cells: np.ndarray) -> np.ndarray:
    """sRGB cells (n x n x 3) as they are after a gray image: the luminance, in all three channels."""
    # Here, for hardly any edit needs what reads picture files.
    from .photo.colours import luminance

    return luminance(cells).repeat(3, axis=2)


def require_painting(cells: np.ndarray, shown: np.ndarray, photo: np.ndarray, doubtful: bool) -> None:
    """LapcvaeError when the painting's cells (n x n x 3) are the shown ones, turned, flipped or, like `photo`'s, gray; or,
    where its place is `doubtful`, when hardly one of them is as it was shown."""

    def apart(then: np.ndarray) -> float:
        # A quarter of the cells decides: the others may be painted on.
        return float(np.quantile(np.abs(cells - then).max(2), 0.25))

    here = apart(shown)
    errors = {name: apart(turn(shown)) for name, turn in TURNS.items()}
    likely = min(errors, key=errors.get)
    if errors[likely] < min(SAME_CELL, here / 4):
        raise LapcvaeError(f"The coarse layer was {likely} after it was made.", REMEDY)
    if np.ptp(photo, axis=2).max() < SAME_CELL and apart(_gray(shown)) < min(SAME_CELL, here / 4):
        raise LapcvaeError("The coarse layer lost its colours after it was made: the image was gray meanwhile.", REMEDY)
    if doubtful and (np.abs(cells - shown).max(2) < SAME_CELL).mean() < LEAST_SAME:
        raise LapcvaeError("The coarse layer was scaled, turned, cropped or distorted after it was made.", REMEDY)
