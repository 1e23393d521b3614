"""Detail finer than the model for what is new, taken from the photo itself: hair gets strands of the same hair, skin the
pores of the skin around, the edge between them the detail of such an edge.

Texture synthesis by example (Efros and Freeman 2001; Hertzmann et al. 2001): the picture at the model's size is divided into
small blocks, and each block that is new takes the photo's detail above the model's resolution from the place whose
surroundings, at the model's size, look most like its own. That place is looked for among random ones and, as in PatchMatch
(Barnes et al. 2009), among those that the neighbours found; staying where it was is one of the choices, and the last one
where what was there has to go.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from . import compose, noise, pyramid
from .compose import mean_colour
from .protocol.geometry import Box, Frame
from .recolour import contrast

# Below half an octave there is nothing above the model's resolution but what single pixels are: copied, that is specks.
LEAST_ENLARGED = 2**0.5
# The picture is looked at with this many pixels a side, at most; in these: the side of a block, and how far its
# surroundings reach.
LARGEST = 128
BLOCK, RADIUS = 3, 2
# Places that every variant looks at, and how often neighbours are asked.
PLACES, SWEEPS = 256, 3
# How much the mean colour of the surroundings counts against their structure.
COLOUR = 2.0
# What a place may be worse, as a squared difference of colours in 0..1, to be a frame's side nearer (it goes with the square
# of the distance); to be the block's own; and what one costs whose own structure goes: it shows what is to be removed.
NEARER = 0.1
OWN, REMOVED, OWN_REMOVED = 0.03, 0.3, 0.2
# What a place beside the neighbour's may be worse: a texture is copied in patches, or one mole would be at every block.
COHERENT = 0.03
# What the mean square of its detail costs: of places that look alike, one with a mole or a glint is the wrong one.
STRONG = 25.0
# Squared difference of structure beyond which a place is too unlike to give its detail; what lies outside the box costs.
ALIKE, OUTSIDE = 0.01, 1e3
# Blocks' borders wander by this share of a block, so that they do not show as a grid.
WANDER = 0.45
# Rows of the photo that are put together at once.
STRIP = 256
# How many of the numbers that describe surroundings say where they are.
PLACE = 2


class Texture:
    """The photo's detail over a box, to be taken from one place to another.

    `detail`: C x H x W over `box`, the photo less what the model sees of it, with its full scale; `b_0`: S x S x C', the
    latter at the model's size, sRGB in 0..1; `slope`: how steep the photo's own values are over these, for a brightness;
    `stronger`: H x W, what detail is multiplied with that comes from elsewhere (its mean over each block).
    """

    def __init__(self, frame: Frame, box: Box, detail: np.ndarray, b_0: np.ndarray, seed: int, full_scale: float = 1.0,
                 slope: Callable[[np.ndarray], np.ndarray] = np.ones_like,
                 stronger: np.ndarray | None = None):  # fmt: skip
        self.detail, self.seed, self.colours, self.slope = detail, seed, b_0.shape[2], slope
        self.levels = max(0, (b_0.shape[0] // LARGEST).bit_length() - 1)
        b_0 = pyramid.reduce(b_0, self.levels)
        self.size = b_0.shape[0]
        self.blocks = -(-self.size // BLOCK)
        self.centres = np.minimum(np.arange(self.blocks) * BLOCK + BLOCK // 2, self.size - 1)
        self.seen, self.light = _surroundings(b_0), mean_colour(b_0)
        # Photo pixels a step along the model's rows and columns: (x, y) a column and (x, y) a row.
        a, b, _, d, e, _ = frame.matrix(self.size)
        self.step = np.array([[a, d], [b, e]])
        self.block_of = _block_map(frame, box, self.size, self.blocks, seed)
        self.first, self.last = _extents(self.block_of, self.blocks)
        self.stronger = None if stronger is None else self._mean_of_blocks(stronger).reshape(self.blocks, self.blocks)
        self.outside = self._outside(frame, box)
        self.places = np.argwhere(~self.outside)
        self.strong = STRONG * self._power(full_scale)

    def _outside(self, frame: Frame, box: Box) -> np.ndarray:
        """Which model pixels' blocks do not lie in the box, S x S bool."""
        a, b, c, d, e, f = frame.matrix(self.size)
        rows, columns = np.mgrid[: self.size, : self.size]
        x, y = a * (columns + 0.5) + b * (rows + 0.5) + c - box.x, d * (columns + 0.5) + e * (rows + 0.5) + f - box.y
        reach = (0.5 + WANDER) * BLOCK * np.abs(self.step).sum(0)
        return (x < reach[0]) | (y < reach[1]) | (x >= box.width - reach[0]) | (y >= box.height - reach[1])

    def _power(self, full_scale: float) -> np.ndarray:
        """The mean square of the detail in the block around each model pixel, full scale 1, S x S."""
        power = self._mean_of_blocks(np.square(self.detail).mean(0) / full_scale**2)
        of = np.arange(self.size) // BLOCK
        return power.reshape(self.blocks, self.blocks)[of[:, None], of].astype(np.float32)

    def _mean_of_blocks(self, values: np.ndarray) -> np.ndarray:
        """H x W -> one number a block; 0 for one that the box does not see."""
        block = self.block_of.ravel()
        count = np.bincount(block, minlength=self.blocks**2)
        return np.bincount(block, values.ravel(), self.blocks**2) / np.maximum(count, 1)

    def __call__(self, index: int, picture: np.ndarray, new: np.ndarray, removed: np.ndarray) -> np.ndarray:
        """Detail for variant `index`, C x H x W. `picture`: S x S x C', sRGB; `new`: S x S, above 0 where it is new;
        `removed`: S x S, 0..1, how much of the photo's structure goes there.
        """
        shifts = np.zeros((self.blocks, self.blocks, 2), np.int64)
        gains = np.ones((self.blocks, self.blocks), np.float32)
        new, removed = (_largest(values, self.levels) for values in (new, removed))
        chosen = _any_in_block(new > 0, self.blocks)
        if chosen.any() and len(self.places):
            blocks = np.nonzero(chosen)
            at = np.stack([self.centres[i] for i in blocks], axis=1)
            picture = pyramid.reduce(picture, self.levels)
            wanted = _surroundings_at(picture, at)
            place = self._search(index, wanted, at, blocks, removed)
            shifts[blocks] = place - at
            light = mean_colour(picture)[at[:, 0], at[:, 1]]
            unlike = np.square(wanted - self.seen[place[:, 0], place[:, 1]])[:, PLACE + self.colours :].sum(1)
            there = self.light[place[:, 0], place[:, 1]]
            gain = contrast(light, there) * self.slope(light) / self.slope(there)
            gain = gain * np.exp(-unlike / ALIKE)
            if self.stronger is not None:
                gain = np.where((place != at).any(1), gain * self.stronger[blocks], gain)
            gains[blocks] = gain
        return self._put_together(shifts, gains)

    def _search(self, index: int, wanted: np.ndarray, at: np.ndarray, blocks: tuple, removed: np.ndarray) -> np.ndarray:
        """For every wanted block (N surroundings, at N x 2 model pixels) the place to take its detail from, N x 2."""
        unfit = np.where(self.outside, OUTSIDE, REMOVED * removed + self.strong)
        order = np.argsort(noise.gaussian((len(self.places),), "places", self.seed, index))[:PLACES]
        places = self.places[order]
        costs = _squares(wanted, self.seen[places[:, 0], places[:, 1]]) + OWN + unfit[places[:, 0], places[:, 1]]
        best = costs.argmin(1)
        place, cost = places[best], costs[np.arange(len(at)), best]

        def better(other, unfit, preferred=0.0):
            """Of two places for each block the one that costs less, the other one even if it costs a little more."""
            other = np.clip(other, 0, self.size - 1)
            costs = np.square(wanted - self.seen[other[:, 0], other[:, 1]]).sum(1)
            costs += OWN * (other != at).any(1) + unfit[other[:, 0], other[:, 1]]
            less = costs < cost + preferred
            return np.where(less[:, None], other, place), np.where(less, costs, cost)

        place, cost = better(at, removed * (OWN_REMOVED + self.strong))
        number = np.full((self.blocks + 2, self.blocks + 2), -1)
        number[blocks[0] + 1, blocks[1] + 1] = np.arange(len(at))
        for sweep in range(SWEEPS):
            # Half of the blocks at a time, in ever longer runs: if all took their neighbour's, nothing would grow together.
            asking = (((blocks[0] >> sweep) + (blocks[1] >> sweep)) & 1).astype(bool)
            for part in (asking, ~asking):
                for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                    neighbour = number[blocks[0] + 1 + down, blocks[1] + 1 + right]
                    shifted = place[neighbour] - at[neighbour] + at
                    asked = part & (neighbour >= 0)
                    place, cost = better(np.where(asked[:, None], shifted, place), unfit, COHERENT * asked)
        return place

    def _put_together(self, shifts: np.ndarray, gains: np.ndarray) -> np.ndarray:
        channels, height, width = self.detail.shape
        # Rows and columns of the model to x and y of the photo, in whole pixels, and to how far that is in memory. No pixel
        # of a block may leave the box: it would come in again on the other side.
        across = np.rint(shifts[:, :, ::-1] @ self.step).astype(np.int64).reshape(-1, 2)
        across = np.clip(across, -self.first, (width - 1, height - 1) - self.last)
        far = (across[:, 1] * width + across[:, 0]).astype(np.int32)
        gains, out = gains.ravel(), np.empty_like(self.detail)
        for top in range(0, height, STRIP):
            block = self.block_of[top : top + STRIP]
            index = far[block]
            index += np.arange(top * width, (top + len(block)) * width, dtype=np.int32).reshape(block.shape)
            gain = gains[block]
            for colour in range(channels):
                part = out[colour, top : top + STRIP]
                np.take(self.detail[colour], index, mode="clip", out=part)
                part *= gain
        return out


def _surroundings(picture: np.ndarray) -> np.ndarray:
    """H x W x C -> H x W x D: where every pixel is, the mean colour around it, and how brightness is spread there.

    The sum of the squared differences of two is NEARER times their distance squared, plus COLOUR times the mean squared
    difference of their colours, plus that of their structures.
    """
    padded = np.pad(picture, ((RADIUS, RADIUS), (RADIUS, RADIUS), (0, 0)), mode="edge")
    side, (height, width, channels) = 2 * RADIUS + 1, picture.shape
    light = mean_colour(padded)
    parts = [light[i : i + height, j : j + width] for i in range(side) for j in range(side)]
    mean = sum(padded[i : i + height, j : j + width] for i in range(side) for j in range(side)) / side**2
    structure = (np.stack(parts, axis=2) - mean_colour(mean)[:, :, None]) / side
    where = np.stack(np.mgrid[:height, :width], axis=2) * np.sqrt(NEARER) / height
    return np.concatenate([where, mean * np.sqrt(COLOUR / channels), structure], axis=2).astype(np.float32)


def _surroundings_at(picture: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Those of N pixels (N x 2: row, column) alone, N x D."""
    low, high = np.maximum(at.min(0) - RADIUS, 0), at.max(0) + RADIUS + 1
    part = _surroundings(picture[low[0] : high[0], low[1] : high[1]])
    found = part[at[:, 0] - low[0], at[:, 1] - low[1]]
    found[:, :PLACE] = at * (np.sqrt(NEARER) / len(picture))
    return found


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances of every row of `a` (N x D) from every one of `b` (M x D), N x M."""
    return np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * (a @ b.T)


def _largest(values: np.ndarray, levels: int) -> np.ndarray:
    """The largest of 2^levels x 2^levels blocks."""
    for _ in range(levels):
        # Strides: numpy's own maximum over so short axes takes several times as long.
        rows = np.maximum(values[::2], values[1::2])
        values = np.maximum(rows[:, ::2], rows[:, 1::2])
    return values


def _any_in_block(mask: np.ndarray, blocks: int) -> np.ndarray:
    """S x S bool -> blocks x blocks; with the blocks around, since borders wander."""
    padded = np.zeros((blocks * BLOCK, blocks * BLOCK), bool)
    padded[: len(mask), : len(mask)] = mask
    inside = np.pad(padded.reshape(blocks, BLOCK, blocks, BLOCK).any((1, 3)), 1)
    return np.lib.stride_tricks.sliding_window_view(inside, (3, 3)).any((2, 3))


def _block_map(frame: Frame, box: Box, size: int, blocks: int, seed: int) -> np.ndarray:
    """Which block each photo pixel of the box belongs to, H x W; beyond the square the nearest one."""
    columns, rows = compose.places_in_square(frame, box, size)
    found = np.zeros((box.height, box.width), np.int32)
    for which, at in enumerate((rows, columns)):
        at = at + WANDER * BLOCK * _wandering(box.height, box.width, size / frame.side, seed, which)
        found *= blocks
        found += np.clip(at / BLOCK, 0, blocks - 1).astype(np.int32)
    return found


def _extents(block_of: np.ndarray, blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last x and y of each block's pixels, blocks^2 x 2 each; 0 for one without any."""
    first, last = np.zeros((blocks**2, 2), np.int64), np.zeros((blocks**2, 2), np.int64)
    for axis, lines in enumerate((block_of.T, block_of)):
        # Of what is written to one place, the last stays.
        at = np.arange(len(lines))[:, None].repeat(lines.shape[1], 1)
        first[lines[::-1].ravel(), axis] = at[::-1].ravel()
        last[lines.ravel(), axis] = at.ravel()
    return first, last


def _wandering(height: int, width: int, scale: float, *key) -> np.ndarray:
    """Smooth noise in about -1 .. 1 with a grid of one number a model pixel, H x W."""
    rows, columns = (max(2, int(np.ceil(n * scale))) for n in (height, width))
    small = np.tanh(noise.gaussian((rows, columns), "wander", *key))
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
