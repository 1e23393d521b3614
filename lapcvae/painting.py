"""Paintings in files: what `lapcvae coarse` writes and remembers, and where a painting lies over the photo.

A coarse picture is the frame's square seen upright, enlarged to a size that is good to paint on. What an edit has to
know of it travels twice: as text inside the PNG, and in a file beside it, since many editors drop the text.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from . import bundle, compose, moved, service
from . import photo as photos
from .photo import PhotoFile
from .photo.files import write_whole
from .protocol.errors import LapcvaeError
from .protocol.geometry import LARGEST_COORDINATE, Box, Frame, Size
from .protocol.messages import LEAST_PAINT, Array, Coarse, Painting

FORMAT = 1
KEYWORD = "LapCVAE"
SIDECAR = ".json"
LARGEST_SIDECAR = 8 << 20
# What a file may say: pixels along the side of a coarse picture, characters of a name.
LARGEST_SIDE, LONGEST_TEXT = 1 << 16, 1000
# Sides of the picture to paint on, in pixels.
SMALLEST_SIDE, USUAL_SIDE = 512, 1024
# Small changes on so much of the picture are not painting.
LOSSY_SHARE, LOSSY_CHANGE = 0.3, 10 / 255
# More transparency than this is a layer exported without what is under it.
MOST_ERASED = 0.6
# With more than this, the user is told how much counts as painted.
NEARLY_ALL = 0.9
# A painting that was enlarged or shrunk is compared with the coarse picture made anew at that size; from here on.
SMALLEST_RESIZED = 128


def _whole(facts: dict, key: str, low: int, high: int) -> int:
    value = facts[key]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f'"{key}" is not {low}' + f" to {high}" * (low < high))
    return value


def _text(facts: dict, key: str) -> str:
    if not isinstance(facts[key], str) or len(facts[key]) > LONGEST_TEXT:
        raise ValueError(f'"{key}" is no text')
    return facts[key]


@dataclass(frozen=True)
class PhotoFacts:
    """Which photo a coarse picture was made of."""

    name: str
    width: int
    height: int
    # SHA-256 of the photo's pixels under the frame.
    content: str


@dataclass(frozen=True)
class CoarseFile:
    """What `edit` needs to know of a coarse picture. `b_j`: n x n x 3 float32, the level as it was shown."""

    frame: Frame
    level: int
    style: str
    # Pixels along the picture's side.
    side: int
    model: str
    model_size: int
    model_hash: str
    photo: PhotoFacts
    b_j: np.ndarray = field(repr=False)

    def to_json(self) -> str:
        facts = {
            "format": FORMAT, "frame": asdict(self.frame), "level": self.level, "style": self.style, "side": self.side,
            "model": self.model, "model_size": self.model_size, "model_hash": self.model_hash,
            "photo": asdict(self.photo), "cells": self.b_j.shape[0],
            "b_j": base64.b64encode(np.ascontiguousarray(self.b_j, "<f4").tobytes()).decode("ascii"),
        }  # fmt: skip
        return json.dumps(facts, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, where: str) -> CoarseFile:
        """LapcvaeError, naming `where`, if the text is damaged or from a newer version."""
        try:
            facts = json.loads(text)
            newer = _whole(facts, "format", 1, 1 << 31) > FORMAT
            made = None if newer else cls._checked(facts)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, LapcvaeError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else getattr(error, "cause", error)
            raise LapcvaeError(
                f"What {where} says about the coarse picture is damaged ({reason}).",
                "Make the coarse picture again with `lapcvae coarse` and paint on that.",
            ) from error
        if made is None:
            raise LapcvaeError(f"{where} was made by a newer version of LapCVAE.", "Update LapCVAE.")
        return made

    @classmethod
    def _checked(cls, facts: dict) -> CoarseFile:
        """From what anybody may have written; every number is checked before anything is made of it."""
        level = _whole(facts, "level", 1, bundle.MOST_LEVELS - 1)
        n = _whole(facts, "cells", 1, bundle.LARGEST_SIZE >> level)
        model_size = _whole(facts, "model_size", n << level, n << level)
        b_j = np.frombuffer(base64.b64decode(facts["b_j"], validate=True), "<f4").reshape(n, n, 3)
        if not (np.abs(b_j - 0.5) <= 0.51).all():
            raise ValueError("its colours are none")
        if facts["style"] not in ("smooth", "blocks"):
            raise ValueError("its style is unknown")
        frame = Frame(**facts["frame"])
        # Raises if it reaches beyond all measure.
        frame.bounds()
        photo = facts["photo"]
        width, height = (_whole(photo, key, 1, LARGEST_COORDINATE) for key in ("width", "height"))
        return cls(
            frame, level, facts["style"], _whole(facts, "side", 1, LARGEST_SIDE), _text(facts, "model"), model_size,
            _text(facts, "model_hash"), PhotoFacts(_text(photo, "name"), width, height, _text(photo, "content")), b_j,
        )  # fmt: skip

    def shown(self, side: int = 0) -> np.ndarray:
        """The unpainted picture at `side` (default: its own) pixels: side x side x 4 uint8."""
        side = side or self.side
        frame = Frame(side / 2, side / 2, float(side))
        picture = service.show(self.b_j, self.level, self.style, frame, Box(0, 0, side, side), self.model_size)
        return compose.to_native(picture, np.dtype("u1"))

    def check_photo(self, photo: PhotoFile, photo_name: str, painting_name: str) -> None:
        """LapcvaeError if the picture was made of another photo."""
        remedy = f"Give the photo it was made of ({self.photo.name}), or make a coarse picture of {photo_name}."
        if (photo.size.width, photo.size.height) != (self.photo.width, self.photo.height):
            raise LapcvaeError(
                f"{painting_name} was made of {self.photo.name} with {self.photo.width} x {self.photo.height} pixels, "
                f"but {photo_name} has {photo.size.width} x {photo.size.height}.",
                remedy,
            )
        if content_of(photo, self.frame) != self.photo.content:
            raise LapcvaeError(
                f"{painting_name} was made of {self.photo.name}, and {photo_name} shows something else there.", remedy
            )


def content_of(photo: PhotoFile, frame: Frame) -> str:
    """SHA-256 of the photo's pixels under the frame."""
    box = frame.bounds().intersection(photo.size.box)
    pixels = np.ascontiguousarray(photo.pixels[box.y : box.bottom, box.x : box.right])
    return hashlib.sha256(f"{pixels.shape} {pixels.dtype.name} ".encode() + pixels.tobytes()).hexdigest()


def side_to_paint_on(frame: Frame) -> int:
    """About 1024 pixels, or the frame's side if that is less, at least 512."""
    return int(min(max(round(frame.side), SMALLEST_SIDE), USUAL_SIDE))


def write_coarse(path: Path, coarse: Coarse, style: str, frame: Frame, photo: PhotoFile, photo_name: str) -> CoarseFile:
    """Write the picture to paint on, and the file beside it."""
    b_j = service.from_array(coarse.b_j)
    facts = PhotoFacts(Path(photo_name).name, photo.size.width, photo.size.height, content_of(photo, frame))
    made = CoarseFile(frame, coarse.level, style, side_to_paint_on(frame), coarse.model, b_j.shape[0] << coarse.level,
                      coarse.model_hash, facts, b_j)  # fmt: skip
    text = made.to_json()
    # At no moment is there a picture beside facts of another one.
    try:
        sidecar_of(path).unlink(missing_ok=True)
    except OSError as error:
        raise LapcvaeError(
            f"{sidecar_of(path)} cannot be replaced: {error.strerror}.", "Choose a folder that you may write to."
        ) from error
    photos.write_png_with_text(path, made.shown(), {KEYWORD: text})
    write_whole(sidecar_of(path), text.encode("ascii"))
    return made


def sidecar_of(path: Path) -> Path:
    return path.with_name(path.name + SIDECAR)


@dataclass(frozen=True)
class Source:
    """The files that a painting came from, as they were read: `sidecar` is None if it needed none."""

    sha256: str
    sidecar: Path | None = None
    sidecar_sha256: str = ""


def find_coarse(file: PhotoFile, path: Path) -> tuple[CoarseFile | None, Source]:
    """What is remembered of the painting `file`, read from `path`: inside it, else beside it; None if nothing is."""
    if text := photos.png_text_of(file, str(path)).get(KEYWORD):
        return CoarseFile.from_json(text, str(path)), Source(file.sha256)
    # An editor may have exported the painting under the same name with another suffix.
    for beside in (sidecar_of(path), sidecar_of(path.with_suffix(".png"))):
        if beside.is_file() and beside.stat().st_size <= LARGEST_SIDECAR:
            data = _bytes(beside)
            if b'"b_j"' in data:
                coarse = CoarseFile.from_json(data.decode(errors="replace"), str(beside))
                return coarse, Source(file.sha256, beside, hashlib.sha256(data).hexdigest())
    return None, Source(file.sha256)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LapcvaeError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error


class StrokesOverPhoto:
    """Strokes on transparency, of the photo's size. `rgba`: H x W x 4 u1 or f4."""

    notes: tuple[str, ...] = ()

    def __init__(self, rgba: np.ndarray, source: Source | None = None):
        self._rgba, self.source = rgba, source
        self.dtype = "u1" if rgba.dtype == np.uint8 else "f4"

    def share_outside(self, frame: Frame) -> float:
        """How much of what is painted lies outside of the frame, 0..1: that changes nothing. 0 where nothing is painted."""
        painted = self._rgba[:, :, 3] > 0
        if not painted.any():
            return 0.0
        box = frame.bounds().intersection(Size(painted.shape[1], painted.shape[0]).box)
        inside = painted[box.y : box.bottom, box.x : box.right].sum()
        return 1 - float(inside) / float(painted.sum())

    @property
    def message(self) -> Painting:
        return Painting("strokes", self.dtype)

    def over(self, box: Box) -> np.ndarray:
        part = box.intersection(Size(self._rgba.shape[1], self._rgba.shape[0]).box)
        out = np.zeros((box.height, box.width, 4), self._rgba.dtype)
        out[part.y - box.y : part.bottom - box.y, part.x - box.x : part.right - box.x] = self._rgba[
            part.y : part.bottom, part.x : part.right
        ]
        return out


class CoarseOverPhoto:
    """A painted coarse picture, laid over the photo.

    What was painted is found in the picture's own square and added to what the runtime shows over the photo, so that an
    unpainted pixel is exactly an unpainted one there too, whatever lies between the two sizes.
    """

    def __init__(self, coarse: CoarseFile, rgba: np.ndarray, source: Source | None = None, as_painted: bool = False):
        """`as_painted`: also what looks like a mistake is paint. LapcvaeError if it looks like one and is not."""
        self.coarse, self.rgba, self.source = coarse, rgba, source
        self.dtype = "u1" if rgba.dtype == np.uint8 else "f4"
        # What the user should know, as sentences.
        self.notes: tuple[str, ...] = ()
        self._planes, self._part = self._painted_planes(as_painted)

    @property
    def message(self) -> Painting:
        b_j = Array("f4", self.coarse.b_j.shape, np.ascontiguousarray(self.coarse.b_j, "<f4").tobytes())
        return Painting("coarse", self.dtype, self.coarse.style, b_j, checked=True)

    def _painted_planes(self, as_painted: bool) -> tuple[np.ndarray, Box]:
        """(painted - shown) alpha, alpha - 1, in the square: h x w x 4 float32 over a box there; empty: unpainted."""
        was, now = compose.to_float(self.coarse.shown(self.rgba.shape[0])), compose.to_float(self.rgba)
        apart = np.abs(now - was).max(2)
        touched = apart > LEAST_PAINT
        if not as_painted:
            check_meant(was, now, touched, apart)
        if touched.mean() > NEARLY_ALL:
            self.notes = (f"{touched.mean():.0%} of the painting differs from the coarse picture, and all that counts as "
                          "painted.",)  # fmt: skip
        rows, columns = np.flatnonzero(touched.any(1)), np.flatnonzero(touched.any(0))
        if not len(rows):
            return np.zeros((0, 0, 4), np.float32), Box(0, 0, 0, 0)
        part = Box(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1)
        cut = np.s_[part.y : part.bottom, part.x : part.right]
        alpha = now[cut][:, :, 3:]
        planes = np.concatenate([(now[cut][:, :, :3] - was[cut][:, :, :3]) * alpha, alpha - 1], axis=2)
        return planes * touched[cut][:, :, None], part

    def over(self, box: Box) -> np.ndarray:
        coarse = self.coarse
        shown = service.shown_picture(
            coarse.b_j.tobytes(), coarse.level, coarse.style, coarse.frame, box, coarse.model_size,
            np.dtype("u1" if self.dtype == "u1" else "<f4").str,
        )  # fmt: skip
        where = self._reach().intersection(box)
        if where.empty:
            return shown
        out = shown.copy()
        cut = np.s_[where.y - box.y : where.bottom - box.y, where.x - box.x : where.right - box.x]
        planes, old = self._over_photo(where), compose.to_float(out[cut])
        alpha = np.clip(1 + planes[:, :, 3:], 0, 1)
        colour = np.clip(old[:, :, :3] + planes[:, :, :3] / np.maximum(alpha, 1e-3), 0, 1)
        out[cut] = compose.to_native(np.dstack([colour, alpha * old[:, :, 3:]]), out.dtype)
        return out

    def _reach(self) -> Box:
        """Photo pixels that the painted part of the square reaches."""
        if self._part.empty:
            return Box(0, 0, 0, 0)
        side, part = self.rgba.shape[0], self._part
        corners = [self.coarse.frame.to_photo(x, y, side)
                   for x in (part.x - 1, part.right + 1) for y in (part.y - 1, part.bottom + 1)]  # fmt: skip
        left, top = (int(np.floor(min(c[i] for c in corners))) for i in (0, 1))
        right, bottom = (int(np.ceil(max(c[i] for c in corners))) for i in (0, 1))
        return Box(left, top, right - left, bottom - top).grown(1)

    def _over_photo(self, where: Box) -> np.ndarray:
        """The painted planes over `where`: averaged where the photo is coarser than the square, else interpolated."""
        frame, side, planes, part = self.coarse.frame, self.rgba.shape[0], self._planes, self._part
        shrink = max(1, int(side / frame.side))
        if shrink > 1:
            # To whole multiples in the square, so that the reduced planes lie over whole cells.
            left, top = part.x % shrink, part.y % shrink
            below, right = -(top + part.height) % shrink, -(left + part.width) % shrink
            planes = np.pad(planes, ((top, below), (left, right), (0, 0)))
            part = Box((part.x - left) // shrink, (part.y - top) // shrink, planes.shape[1] // shrink,
                       planes.shape[0] // shrink)  # fmt: skip
            planes = planes.reshape(part.height, shrink, part.width, shrink, 4).mean((1, 3))
        # Pillow wants, for an output pixel, the point of the input: from the photo to the (reduced) square.
        n = side / shrink
        a, b, c, d, e, f = frame.matrix(n)
        determinant = a * e - b * d
        ia, ib, id_, ie = e / determinant, -b / determinant, -d / determinant, a / determinant
        ic = ia * (where.x - c) + ib * (where.y - f) - part.x + 1
        if_ = id_ * (where.x - c) + ie * (where.y - f) - part.y + 1
        padded = np.pad(planes, ((1, 1), (1, 1), (0, 0)))
        matrix, size = (ia, ib, ic, id_, ie, if_), (where.width, where.height)
        return np.stack([
            np.asarray(Image.fromarray(np.ascontiguousarray(padded[:, :, i], np.float32)).transform(
                size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
            ))
            for i in range(4)
        ], axis=2)  # fmt: skip


def check_meant(was: np.ndarray, now: np.ndarray, touched: np.ndarray, apart: np.ndarray) -> None:
    """LapcvaeError if what differs looks like an accident; `apart`: by how much, `touched`: where that counts."""
    anyway = "if all of it is meant as painted, add --as-painted."
    share = touched.mean()
    found = moved.motion(was, now, touched) if share > LOSSY_SHARE else None
    if found:
        raise LapcvaeError(
            f"The painting looks like the coarse picture {found}: what was not painted is elsewhere now, and would all "
            "count as painted.",
            f"Undo that, or paint on a fresh coarse picture, and save it in its own size; {anyway}",
        )
    if share > LOSSY_SHARE and np.median(apart[touched]) < LOSSY_CHANGE:
        raise LapcvaeError(
            f"The painting differs a little from the coarse picture on {share:.0%} of it, as after saving with loss (JPEG, "
            "lossy WebP, few colours).",
            f"Save it as PNG with full colours; {anyway}",
        )
    erased = ((was[:, :, 3] > 0.5) & (now[:, :, 3] < 0.5)).mean()
    if erased > MOST_ERASED:
        raise LapcvaeError(
            f"{erased:.0%} of the painting is transparent, which means that all of it is to be invented anew.",
            f"Export the coarse picture with the paint on it, not the paint alone; {anyway}",
        )


def open_painting(
    path: Path, photo: PhotoFile, photo_name: str, as_painted: bool = False
) -> CoarseOverPhoto | StrokesOverPhoto:
    """The painting in a file. LapcvaeError if it does not belong to the photo, or cannot be understood."""
    file = photos.read(path)
    rgba = photos.rgba_of(file)
    height, width = rgba.shape[:2]
    coarse, source = find_coarse(file, path)
    if coarse:
        coarse.check_photo(photo, photo_name, str(path))
        _check_side(coarse, width, height, str(path))
        return CoarseOverPhoto(coarse, rgba, source, as_painted)
    if (width, height) != (photo.size.width, photo.size.height):
        raise LapcvaeError(
            f"{path} ({width} x {height}) is neither a coarse picture that is still known nor of the size of "
            f"{photo_name} ({photo.size.width} x {photo.size.height}).",
            f"Put the file {sidecar_of(path).name} that `lapcvae coarse` wrote beside it, or give strokes on "
            "transparency of the photo's size.",
        )
    if (rgba[:, :, 3] >= (255 if rgba.dtype == np.uint8 else 1)).all():
        raise LapcvaeError(
            f"{path} has no transparency, so nothing says what was painted.",
            "Paint on a transparent layer and export only that, or paint on what `lapcvae coarse` writes.",
        )
    return StrokesOverPhoto(rgba, source)


def _check_side(coarse: CoarseFile, width: int, height: int, name: str) -> None:
    if width == height == coarse.side:
        return
    resized = f"{name} has {width} x {height} pixels; the coarse picture had {coarse.side} x {coarse.side}."
    if width != height:
        raise LapcvaeError(f"{resized} It was cropped or stretched.", "Export the whole picture in its own size.")
    if coarse.style == "blocks" or width < SMALLEST_RESIZED:
        raise LapcvaeError(resized, f"Scale it back to {coarse.side} x {coarse.side} pixels, without smoothing.")
