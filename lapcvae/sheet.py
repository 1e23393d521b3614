"""Contact sheets: the photo, the painting and the variants side by side, through the frame."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from . import compose
from .photo import Colours
from .photo.files import write_whole
from .protocol.geometry import Box, Frame, Size

CELL = 256
# How much more than the frame a cell shows.
SURROUNDINGS = 1.25
GAP, LABEL, TITLE = 8, 20, 26
COLUMNS = 5
PAPER, INK, OUTLINE = (28, 28, 30), (235, 235, 235), (255, 196, 0)


def _small(values: np.ndarray, box: Box, frame: Frame, size: int) -> np.ndarray:
    """`compose.warp_down`, of every n-th pixel only where there are far more than a cell can show."""
    every = max(1, int(frame.side / (3 * size)))
    if every > 1:
        values = values[::every, ::every]
        cx, cy = ((c - start - 0.5) / every + 0.5 for c, start in ((frame.cx, box.x), (frame.cy, box.y)))
        box, frame = Box(0, 0, values.shape[1], values.shape[0]), Frame(cx, cy, frame.side / every, frame.angle)
    return compose.warp_down(values, box, frame, size)


class Sheet:
    """Cells of one edit. They show the frame upright, with some of what is around it."""

    def __init__(self, frame: Frame, colours: Colours):
        self._view = Frame(frame.cx, frame.cy, frame.side * SURROUNDINGS, frame.angle)
        self._frame, self._colours = frame, colours

    def _seen(self, pixels: np.ndarray) -> np.ndarray:
        """Full-size pixels (H x W x C) through the view, CELL x CELL x C float32 in their own scale."""
        photo = Size(pixels.shape[1], pixels.shape[0]).box
        box = self._view.bounds().intersection(photo)
        return _small(pixels[box.y : box.bottom, box.x : box.right], box, self._view, CELL)

    def cell(self, native: np.ndarray) -> np.ndarray:
        """A picture in the photo's own format as a cell, CELL x CELL x 3 uint8 sRGB."""
        colour = self._seen(native)[:, :, : self._colours.channels] / compose.full_scale(native.dtype)
        out = compose.to_native(self._colours.to_model(np.ascontiguousarray(colour, np.float32)), np.dtype("u1"))
        out[~self._inside(native)] = PAPER
        return out

    def _inside(self, pixels: np.ndarray) -> np.ndarray:
        """Which pixels of a cell show the photo and not what is beyond its edge, CELL x CELL bool."""
        y, x = np.mgrid[:CELL, :CELL] + 0.5
        a, b, c, d, e, f = self._view.matrix(CELL)
        column, row = a * x + b * y + c, d * x + e * y + f
        return (column >= 0) & (row >= 0) & (column < pixels.shape[1]) & (row < pixels.shape[0])

    def painted_cell(self, photo_cell: np.ndarray, rgba: np.ndarray) -> np.ndarray:
        """The painting (sRGB over the frame's bounds) as it lies on the photo."""
        inner = round(CELL / SURROUNDINGS)
        seen = _small(rgba, self._frame.bounds(), self._frame, inner) / compose.full_scale(rgba.dtype)
        # Averages of straight alpha: good enough at this size, where paint is opaque or absent.
        seen[:, :, :3] *= seen[:, :, 3:]
        start = (CELL - inner) // 2
        out = photo_cell.astype(np.float32)
        part = out[start : start + inner, start : start + inner]
        part[:] = part * (1 - seen[:, :, 3:]) + 255 * seen[:, :, :3]
        return np.clip(np.rint(out), 0, 255).astype(np.uint8)

    def outlined(self, photo_cell: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The photo with the line where the mask M ends; `mask` has the photo's size."""
        changed = self._seen(mask)[:, :, 0] / compose.full_scale(mask.dtype) > 0.02
        changed &= self._inside(mask)
        around = np.pad(changed, 1, mode="edge")
        inner = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
        out = photo_cell.copy()
        out[changed & ~inner] = OUTLINE
        return out

    def write(self, path: Path, title: str, cells: list[tuple[str, np.ndarray]]) -> None:
        """Write the labelled cells as a PNG, whole or not at all."""
        columns = min(COLUMNS, len(cells))
        rows = -(-len(cells) // columns)
        width, height = GAP + columns * (CELL + GAP), TITLE + rows * (CELL + LABEL + GAP)
        picture = Image.new("RGB", (width, height), PAPER)
        draw = ImageDraw.Draw(picture)
        draw.text((GAP, 6), title, INK, ImageFont.load_default(14))
        font = ImageFont.load_default(13)
        for i, (label, cell) in enumerate(cells):
            x, y = GAP + i % columns * (CELL + GAP), TITLE + i // columns * (CELL + LABEL + GAP)
            picture.paste(Image.fromarray(cell), (x, y))
            draw.text((x + 2, y + CELL + 2), label, INK, font)
        stream = io.BytesIO()
        picture.save(stream, "PNG")
        write_whole(path, stream.getvalue())
