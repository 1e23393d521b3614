"""The photographs of a suite: pictures of any size with where the eyes are, or aligned squares."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lapcvae import compose
from lapcvae.bundle import Bundle
from lapcvae.cli.frames import frame_from_eyes
from lapcvae.photo import Colours, PhotoFile, read
from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Box, Frame, Size

from .scene import MOUTH

SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}
TABLE = "eyes.json"


@dataclass(frozen=True)
class Subject:
    """One photograph. `mouth`: its centre in the frame's coordinates; `parted`: how far each lip is from it.

    `has`: names of objects that are really there (of `objects`).
    """

    name: str
    photo: PhotoFile
    colours: Colours
    frame: Frame
    mouth: tuple[float, float] = MOUTH
    parted: float = 0.0
    has: frozenset[str] = field(default_factory=frozenset)

    def with_object(self, overlay: np.ndarray) -> Subject:
        """The photograph with a premultiplied RGBA picture (n x n over the frame, sRGB) in it."""
        box, rgba = over_photo(overlay, self.frame, self.photo.size)
        straight, alpha = rgba[:, :, :3], rgba[:, :, 3:]
        native = self.colours.to_photo(np.ascontiguousarray(straight))
        pixels = self.photo.pixels.copy()
        part = pixels[box.y : box.bottom, box.x : box.right]
        channels = self.colours.channels
        below = compose.to_float(part[:, :, :channels])
        part[:, :, :channels] = compose.to_native(below + alpha * (native - below), pixels.dtype)
        return replace(self, photo=replace(self.photo, pixels=pixels))


def over_photo(overlay: np.ndarray, frame: Frame, photo: Size) -> tuple[Box, np.ndarray]:
    """A premultiplied RGBA picture (n x n over the frame) on the photo: H x W x 4 float32, straight, over the box."""
    n = overlay.shape[0]
    rows, columns = (np.flatnonzero(overlay[:, :, 3].any(axis)) for axis in (1, 0))
    if not len(rows):
        return Box(0, 0, 0, 0), np.zeros((0, 0, 4), np.float32)
    corners = [frame.to_photo(float(x), float(y), n) for x in (columns[0], columns[-1] + 1) for y in (rows[0], rows[-1] + 1)]
    left, top = (int(min(c[i] for c in corners)) for i in (0, 1))
    right, bottom = (int(max(c[i] for c in corners)) for i in (0, 1))
    box = Box(left, top, right - left, bottom - top).grown(2).intersection(photo.box)
    rgba = np.clip(compose.WarpUp(frame, n, box).linear(overlay), 0, 1) * compose.inside_square(frame, box)[:, :, None]
    rgba[:, :, :3] = np.clip(rgba[:, :, :3] / np.maximum(rgba[:, :, 3:], 1e-3), 0, 1)
    return box, rgba.astype(np.float32)


def read_subjects(folder: Path, bundle: Bundle) -> list[Subject]:
    """Every picture in the folder, by name. LapcvaeError if there is none, or one that nothing says where its eyes are."""
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not files:
        raise LapcvaeError(f"There are no pictures in {folder}.", f"Give a folder of photos with {TABLE} beside them.")
    if twice := sorted({f.stem for f in files if sum(f.stem == other.stem for other in files) > 1}):
        raise LapcvaeError(f"{folder} has two pictures of the name {twice[0]}.", "Rename one: results go by that name.")
    table = _json(folder / TABLE) if (folder / TABLE).is_file() else {}
    return [_subject(file, _known(file, table), bundle) for file in files]


def _known(file: Path, table: dict) -> dict:
    """What is written about a picture: {"eyes", "mouth", "parted", "has"}; a bare list is the eyes."""
    known = table.get(file.name)
    for sidecar in (file.with_name(file.name + ".json"), file.with_suffix(".json")):
        if known is None and sidecar.is_file() and sidecar.name != TABLE:
            known = _json(sidecar)
    if isinstance(known, list):
        known = {"eyes": known}
    return known or {}


def _json(file: Path):
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LapcvaeError(f"{file} is damaged: {error}.", "Mend it, or take it away.") from error


def _subject(file: Path, known: dict, bundle: Bundle) -> Subject:
    photo = read(file)
    try:
        if "eyes" in known:
            x1, y1, x2, y2 = map(float, known["eyes"])
            frame = frame_from_eyes(bundle, x1, y1, x2, y2)
        elif photo.size.width == photo.size.height:
            frame = Frame.largest_centred(photo.size)
        else:
            raise LapcvaeError(
                f"Nothing says where the eyes are in {file}, and it is no aligned square.",
                f'Write {{"{file.name}": [x1, y1, x2, y2]}} (the centres of both eyes, left one first) into '
                f"{file.parent / TABLE}.",
            )
        mouth, parted = MOUTH, float(known.get("parted", 0)) / frame.side
        if "mouth" in known:
            x, y = map(float, known["mouth"])
            mouth = frame.to_model(x, y, 1)
    except (TypeError, ValueError) as error:
        raise LapcvaeError(
            f"What is written about {file} cannot be understood ({error}).",
            'Write {"eyes": [x1, y1, x2, y2], "mouth": [x, y], "parted": 0, "has": ["glasses"]}; only the eyes are needed.',
        ) from error
    return Subject(file.stem, photo, Colours(photo), frame, mouth, parted, frozenset(known.get("has", ())))
