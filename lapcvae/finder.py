"""Where the faces of a picture are: a bundle's two finder graphs, and what is made of their answers.

`find` sees the whole picture, reduced to 256, 128 and 64 pixels, so that it needs to know faces of one octave only.
Around the best places `refine` sees the frame's square, a few times over, and moves the frame onto the face; its last
word is the confidence. The same happens to a frame that the user's selection suggests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from . import graphs
from .bundle import Bundle
from .engine import check_contract, load_session
from .protocol.errors import LapcvaeError
from .protocol.geometry import Box, Frame
from .windows import bilinear

# What `find` says at every STRIDE-th pixel: the logit of "the middle of a face", then in these units the centre (cells
# from the cell's own middle, x and y), the log of the side over MIDDLE_SIDE, and the angle in radians.
STRIDE = 8
MIDDLE_SIDE = 54.0
ANGLE_UNIT = 0.5
# Sides in pixels that `find` knows.
SIDES = (34.0, 84.0)
# `refine` sees a frame's square enlarged by CROP_WIDTH, at CROP pixels. It says the logit of "a face", then the centre's
# shift along the frame in sides, the log of the growth, and the turn in radians.
CROP, CROP_WIDTH = 64, 1.25

# Longest sides of the picture that `find` sees. The smallest face is then about a seventh of the picture.
LOOKS = (256, 128, 64)
# Edge that is added around the picture, so that a face which it cuts is in the middle of something.
MARGIN = 16
# `find` answers below this are no candidates, and only so many of them get a second look.
LEAST, MOST = -3.0, 8
# How often `refine` corrects a frame; one below this logit is given up.
CORRECTIONS, HOPELESS = 3, -4.0
# Of two frames whose centres are nearer than this share of the larger side, one is right.
APART = 0.4
# A selection's surroundings that are looked at too, as a share of its longer side.
AROUND = 0.5


@dataclass(frozen=True)
class Face:
    """A frame in photo pixels, and how sure the finder is that a face is in it, 0 to 1."""

    frame: Frame
    confidence: float


class Finder:
    """`find`: 1 x 3 x H x W in [0, 1] (multiples of STRIDE) -> 1 x 5 x H/8 x W/8. `refine`: N x 3 x 64 x 64 -> N x 5."""

    def __init__(self, find: Callable[[np.ndarray], np.ndarray], refine: Callable[[np.ndarray], np.ndarray],
                 threshold: float):  # fmt: skip
        self._find, self._refine, self.threshold = find, refine, threshold

    @classmethod
    def open(cls, bundle: Bundle, provider: str) -> Finder:
        """The finder of a bundle; raises LapcvaeError if it has none, or one that does not fit."""
        files = bundle.finder
        if files is None:
            raise LapcvaeError(
                f"The model {bundle.name} has no face finder.",
                "Place the frame by hand, or add one to the model (see README.md, Train your own model).",
            )
        find, refine = load_session(bundle, files.find, provider), load_session(bundle, files.refine, provider)
        check_contract(bundle, files.find, find, {graphs.FIND_INPUT: (None, 3, None, None)},
                       {graphs.FIND_OUTPUT: (None, 5, None, None)})  # fmt: skip
        check_contract(bundle, files.refine, refine, {graphs.REFINE_INPUT: (None, 3, CROP, CROP)},
                       {graphs.REFINE_OUTPUT: (None, 5)})  # fmt: skip
        return cls(
            lambda picture: find.run(None, {graphs.FIND_INPUT: picture})[0],
            lambda crops: refine.run(None, {graphs.REFINE_INPUT: crops})[0],
            files.threshold,
        )

    def faces(self, picture: np.ndarray, box: Box, region: Box | None = None, least: float = 0.0) -> list[Face]:
        """Every face that the finder is sure enough of, best first. `least`: the confidence for that; 0: the threshold.

        `picture`: H x W x 3 u1 sRGB, what the photo shows over `box`, at any size; more than 512 pixels add nothing. With
        `region` (photo pixels) only there, and more thoroughly: the frame that just holds it is tried as well.
        """
        least = least or self.threshold
        return [face for face in self.candidates(picture, box, region) if face.confidence >= least]

    def candidates(self, picture: np.ndarray, box: Box, region: Box | None = None) -> list[Face]:
        """As `faces`, whatever the confidence."""
        height, width = picture.shape[:2]
        scale = np.array([box.width / width, box.height / height])
        start, own = np.zeros(2), np.zeros((0, 4))
        if region:
            corner = (np.array([region.x, region.y]) - (box.x, box.y)) / scale
            extent = np.array([region.width, region.height]) / scale
            low, high = _around(corner, extent, (width, height))
            picture, start = picture[low[1] : high[1], low[0] : high[0]], low
            own = _frames_of(corner + extent / 2 - start, extent)
        pyramid = Pyramid(picture)
        frames = np.concatenate([own, self._look(pyramid)])
        faces = []
        for frame, logit in zip(*self._correct(pyramid, frames)):
            x, y = (frame[:2] + start) * scale + (box.x, box.y)
            side = max(1.0, float(frame[2] * scale.mean()))
            if not region or (region.x <= x <= region.right and region.y <= y <= region.bottom):
                confidence = 1 / (1 + math.exp(-logit))
                faces.append(Face(Frame(float(x), float(y), side, math.degrees(frame[3])), confidence))
        return faces

    def _look(self, pyramid: Pyramid) -> np.ndarray:
        """The most likely frames, K x 4 (centre, side, angle in radians) in pixels of the picture."""
        frames, scores = [np.zeros((0, 4))], [np.zeros(0)]
        for longest in LOOKS:
            look = pyramid.reduced(longest)
            height, width = look.shape[:2]
            more = [(MARGIN, MARGIN + -n % STRIDE) for n in (height, width)]
            maps = self._find(to_graph(np.pad(look, (*more, (0, 0)), mode="edge")))[0]
            found, score = read_maps(maps)
            found[:, :2] -= MARGIN
            frames.append(found * (*pyramid.scale(look), pyramid.scale(look).mean(), 1))
            scores.append(score)
        frames, scores = np.concatenate(frames), np.concatenate(scores)
        return frames[apart(frames, scores)[:MOST]]

    def _correct(self, pyramid: Pyramid, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The frames moved onto their faces, best first, and the logit of each; hopeless ones and doubles are left out."""
        logits = np.zeros(len(frames))
        for _ in range(CORRECTIONS):
            if len(frames):
                out = self._refine(np.stack([pyramid.crop(frame) for frame in frames]))
                frames, logits = moved(frames, out[:, 1:]), out[:, 0]
                kept = [i for i in apart(frames, logits) if logits[i] > HOPELESS]
                frames, logits = frames[kept], logits[kept]
        return frames, logits


class Pyramid:
    """A picture (H x W x 3 u1) at the sizes that it is looked at, each made once."""

    def __init__(self, picture: np.ndarray):
        self.height, self.width = picture.shape[:2]
        self._image = Image.fromarray(np.ascontiguousarray(picture))
        self._looks: dict[int, np.ndarray] = {}

    def reduced(self, longest: int) -> np.ndarray:
        """H x W x 3 in [0, 1], the longer side `longest` pixels."""
        if longest not in self._looks:
            share = longest / max(self.height, self.width)
            size = max(1, round(self.width * share)), max(1, round(self.height * share))
            resized = self._image.resize(size, Image.Resampling.BILINEAR)
            self._looks[longest] = np.asarray(resized, np.float32) / 255
        return self._looks[longest]

    def scale(self, look: np.ndarray) -> np.ndarray:
        """Picture pixels per pixel of a reduced one, x and y."""
        return np.array([self.width / look.shape[1], self.height / look.shape[0]])

    def crop(self, frame: np.ndarray) -> np.ndarray:
        """What `refine` sees of a frame: 3 x 64 x 64. From the smallest look that has as many pixels."""
        step = frame[2] * CROP_WIDTH / CROP
        sharp = max(self.height, self.width) / step
        look = self.reduced(next((n for n in (64, 128, 256) if n >= sharp / 1.25), 512))
        scale = self.scale(look)
        at = (np.arange(CROP) + 0.5) / CROP - 0.5
        along = np.array([math.cos(frame[3]), math.sin(frame[3])]) * frame[2] * CROP_WIDTH
        x = (frame[0] + at[None, :] * along[0] - at[:, None] * along[1]) / scale[0] - 0.5
        y = (frame[1] + at[None, :] * along[1] + at[:, None] * along[0]) / scale[1] - 0.5
        return bilinear(look[None], x[None], y[None])[0].transpose(2, 0, 1)


def to_graph(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None])


def read_maps(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frames (K x 4, pixels of what `find` saw) and logits of the cells that are likelier than those around."""
    score = maps[0]
    padded = np.pad(score, 1, constant_values=-np.inf)
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).max((2, 3))
    rows, columns = np.nonzero((score >= around) & (score > LEAST))
    _, dx, dy, log_side, angle = maps[:, rows, columns].astype(np.float64)
    side = MIDDLE_SIDE * np.exp(np.clip(log_side, -1, 1))
    frames = [(columns + 0.5 + dx) * STRIDE, (rows + 0.5 + dy) * STRIDE, side, angle * ANGLE_UNIT]
    return np.stack(frames, 1), score[rows, columns]


def moved(frames: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Frames (N x 4) after the change (N x 4) that `refine` asks for."""
    cx, cy, side, angle = frames.T
    dx, dy, grow, turn = np.clip(change.astype(np.float64), -0.5, 0.5).T
    cos, sin = np.cos(angle) * side, np.sin(angle) * side
    return np.stack([cx + dx * cos - dy * sin, cy + dx * sin + dy * cos, side * np.exp(grow), angle + turn], 1)


def apart(frames: np.ndarray, scores: np.ndarray) -> list[int]:
    """Indices, best first, without those that mean the same face as a better one."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        cx, cy, side = frames[i, :3]
        if all(math.hypot(cx - frames[j, 0], cy - frames[j, 1]) > APART * max(side, frames[j, 2]) for j in kept):
            kept.append(int(i))
    return kept


def _around(corner: np.ndarray, extent: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The selection's surroundings inside the picture: first and end pixel, x and y; at least one pixel."""
    margin = AROUND * extent.max()
    low = np.clip(np.floor(corner - margin), 0, np.array(size) - 1).astype(int)
    high = np.clip(np.ceil(corner + extent + margin), low + 1, size).astype(int)
    return low, high


def _frames_of(centre: np.ndarray, extent: np.ndarray) -> np.ndarray:
    """What a selection may mean: the frame itself, or the face in it, whose frame is larger."""
    side = max(float(extent.max()), 1.0)
    return np.array([[*centre, side, 0.0], [*centre, 1.5 * side, 0.0]])
