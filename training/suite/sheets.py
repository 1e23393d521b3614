"""Pictures to look at: one strip a cell, a sheet a painting at two sizes, and one overview."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lapcvae import compose
from lapcvae.protocol.geometry import Box
from lapcvae.sheet import CELL, INK, PAPER, Sheet

from .photos import Subject
from .road import Cell, whole

SHOWN = 4
# The window that is shown pixel by pixel.
WINDOW = 640
GAP, THUMB = 4, 144
TITLES = ("photo", "painting", *(f"variant {i + 1}" for i in range(SHOWN)))


def save(picture: np.ndarray | Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(path, quality=92, subsampling=0)


def strips(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """(the whole frame, the window at 100%): photo, painting, variants side by side, uint8."""
    sheet = Sheet(cell.subject.frame, cell.subject.colours)
    photo = sheet.cell(cell.subject.photo.pixels)
    small = [photo, sheet.painted_cell(photo, cell.paint.over(cell.subject.frame.bounds()))]
    box = window(cell)
    full = [_seen(cell.subject, cell.subject.photo.pixels, box), _painted(cell, box)]
    for variant in cell.usual.variants[:SHOWN]:
        made = whole(cell.subject.photo, cell.usual.box, variant).pixels
        small.append(sheet.cell(made))
        full.append(_seen(cell.subject, made, box))
    return _row(small, CELL), _row(full, WINDOW)


def window(cell: Cell) -> Box:
    """The part of the photo that is shown at 100%."""
    size = cell.subject.photo.size
    if cell.painting.focus:
        x, y = cell.subject.frame.to_photo(*cell.painting.focus, 1)
    else:
        rows, columns = np.nonzero(cell.usual.mask > 0.5)
        x, y = cell.usual.box.x + columns.mean(), cell.usual.box.y + rows.mean()
    width, height = min(WINDOW, size.width), min(WINDOW, size.height)
    left, top = (
        int(np.clip(v, 0, most)) for v, most in ((x - width / 2, size.width - width), (y - height / 2, size.height - height))
    )
    return Box(left, top, width, height)


def _seen(subject: Subject, pixels: np.ndarray, box: Box) -> np.ndarray:
    part = compose.to_float(pixels[box.y : box.bottom, box.x : box.right, : subject.colours.channels])
    return compose.to_native(subject.colours.to_model(np.ascontiguousarray(part)), np.dtype("u1"))


def _painted(cell: Cell, box: Box) -> np.ndarray:
    """The window with the painting lying on it; what was rubbed out is grey."""
    below = _seen(cell.subject, cell.subject.photo.pixels, box).astype(np.float32)
    frame = cell.subject.frame.bounds()
    part = box.intersection(frame)
    rgba = compose.to_float(cell.paint.over(frame))[
        part.y - frame.y : part.bottom - frame.y, part.x - frame.x : part.right - frame.x
    ]
    rows, columns = slice(part.y - box.y, part.bottom - box.y), slice(part.x - box.x, part.right - box.x)
    if cell.painting.kind == "coarse":
        below[rows, columns] = 128
    below[rows, columns] += rgba[:, :, 3:] * (255 * rgba[:, :, :3] - below[rows, columns])
    return np.rint(below).astype(np.uint8)


def _row(cells: list[np.ndarray], side: int) -> np.ndarray:
    out = np.empty((side, len(TITLES) * (side + GAP), 3), np.uint8)
    out[:] = PAPER
    for i, cell in enumerate(cells):
        top, left = (side - cell.shape[0]) // 2, i * (side + GAP) + (side - cell.shape[1]) // 2
        out[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return out


def stack(title: str, rows: list[tuple[str, Path]], path: Path) -> None:
    """Strips under each other, with their names."""
    pictures = [Image.open(strip) for _, strip in rows]
    font, label = ImageFont.load_default(15), 22
    sheet = Image.new("RGB", (pictures[0].width, label + sum(p.height + label for p in pictures)), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((6, 3), f"{title}: {', '.join(TITLES)}", INK, font)
    y = label
    for (name, _), picture in zip(rows, pictures):
        draw.text((6, y + 3), name, INK, font)
        sheet.paste(picture, (0, y + label))
        y += picture.height + label
    save(sheet, path)


def overview(rows: list[tuple[str, list[Path]]], path: Path) -> None:
    """The first variant of everything: a row a painting, a column a photo."""
    label = 20
    width = max(len(strips) for _, strips in rows) * (THUMB + GAP)
    sheet = Image.new("RGB", (width, len(rows) * (THUMB + label)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for i, (name, strips) in enumerate(rows):
        y = i * (THUMB + label)
        draw.text((4, y + 2), name, INK, font)
        for column, strip in enumerate(strips):
            with Image.open(strip) as picture:
                left = 2 * (CELL + GAP)
                thumb = picture.crop((left, 0, left + CELL, CELL)).resize((THUMB, THUMB), Image.Resampling.LANCZOS)
            sheet.paste(thumb, (column * (THUMB + GAP), y + label))
    save(sheet, path)
