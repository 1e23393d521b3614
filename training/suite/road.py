"""One cell of the suite: a painting on a photo, through the same road as the command line's."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace

import numpy as np

from lapcvae import compose, encoding, planning
from lapcvae import service as runtime
from lapcvae.host import FileHost, blend, photo_on_the_wire, photo_pixels
from lapcvae.painting import CoarseFile, CoarseOverPhoto, PhotoFacts, StrokesOverPhoto, side_to_paint_on
from lapcvae.photo import PhotoFile
from lapcvae.protocol.geometry import Box
from lapcvae.protocol.messages import CoarseRequest, EditRequest, Prepared, Settings, Variant

from .brush import Canvas
from .paintings import Painting
from .photos import Subject, over_photo
from .scene import Scene

# Pixels across the frame that objects and strokes over the photo are drawn with, at most.
DRAWN_SIDE = 1024


@dataclass(frozen=True)
class Edit:
    """What came back: the photo with each variant in it, over `prepared.box`; `mask` is H x W, 0..1."""

    request: EditRequest
    prepared: Prepared
    mask: np.ndarray
    under: np.ndarray
    variants: list[np.ndarray]
    times: dict

    @property
    def box(self) -> Box:
        return self.prepared.box


@dataclass(frozen=True)
class Cell:
    """Everything about one painting on one photo.

    `bare`: the photo as it came; `subject`: what was painted on, with the object if one was put in; `object_alpha`: where
    that is, n x n over the frame, or None; `usual`: the edit with the settings asked for; `exact`: at realism 0, all
    drawn anew.
    """

    painting: Painting
    bare: Subject
    subject: Subject
    object_alpha: np.ndarray | None
    paint: CoarseOverPhoto | StrokesOverPhoto
    usual: Edit
    exact: Edit
    exact_plan: planning.Plan


class Road:
    """A service, and the model it uses."""

    def __init__(self, service: runtime.Service, model: str, device: str = "auto"):
        self.service, self.model, self.device = service, model, device
        self.engine = service.engine(model, device)

    def square(self, subject: Subject, photo: PhotoFile | None = None) -> np.ndarray:
        """The photo as the model sees it, S x S x 3 float32 sRGB."""
        photo = photo or subject.photo
        host = FileHost(photo, subject.colours)
        return runtime.photo_square(self.engine, host, photo_on_the_wire(photo), subject.frame)

    def cell(self, painting: Painting, bare: Subject, settings: Settings) -> Cell:
        subject, alpha = bare, None
        square = self.square(bare)
        if painting.removes and painting.removes not in bare.has:
            side = int(np.clip(round(bare.frame.side), 256, DRAWN_SIDE))
            overlay = painting.object_(Scene(square, square, bare.mouth, bare.parted), side)
            subject, alpha = bare.with_object(overlay), overlay[:, :, 3]
        paint = self._painted(painting, subject, Scene(self.square(subject), square, bare.mouth, bare.parted))
        level = self.level(painting)
        usual = self.edit(subject, paint, level, replace(settings, structure=painting.structure))
        exactly = replace(settings, realism=0.0, structure=0.0, count=min(2, settings.count))
        exact = self.edit(subject, paint, level, exactly)
        return Cell(painting, bare, subject, alpha, paint, usual, exact, self._plan(subject, paint, exact.request))

    def level(self, painting: Painting) -> int:
        """The model's level that has as many cells as the painting wants, or the nearest that can be painted."""
        size, K = self.engine.bundle.size, self.engine.bundle.K
        return min(max((size // painting.cells).bit_length() - 1, 1), K)

    def _painted(self, painting: Painting, subject: Subject, scene: Scene) -> CoarseOverPhoto | StrokesOverPhoto:
        seed = int.from_bytes(hashlib.sha256(f"{painting.name}/{subject.name}".encode()).digest()[:4])
        if painting.kind == "coarse":
            coarse = self._coarse(self.level(painting), subject)
            canvas = Canvas(coarse.side, seed)
            painting.paint(canvas, scene)
            return CoarseOverPhoto(coarse, canvas.over(coarse.shown()))
        canvas = Canvas(int(np.clip(round(subject.frame.side), 256, DRAWN_SIDE)), seed)
        painting.paint(canvas, scene)
        return StrokesOverPhoto(_strokes_over(subject, canvas))

    def _coarse(self, level: int, subject: Subject) -> CoarseFile:
        """What `lapcvae coarse` writes, without the file."""
        results = []
        request = CoarseRequest(photo_on_the_wire(subject.photo), subject.frame, level, "smooth", self.model)
        self.service.handle(request, FileHost(subject.photo, subject.colours, on_result=results.append))
        made, size = results[0], subject.photo.size
        return CoarseFile(subject.frame, made.level, "smooth", side_to_paint_on(subject.frame), made.model,
                          self.engine.bundle.size, made.model_hash, PhotoFacts(subject.name, size.width, size.height, ""),
                          runtime.from_array(made.b_j))  # fmt: skip

    def edit(self, subject: Subject, paint, level: int, settings: Settings) -> Edit:
        results: list[Prepared | Variant] = []
        request = EditRequest(photo_on_the_wire(subject.photo), subject.frame, level, paint.message, settings, self.model,
                              self.device)  # fmt: skip
        started, seen = time.perf_counter(), []

        def take(result: Prepared | Variant) -> None:
            results.append(result)
            seen.append(time.perf_counter() - started)

        self.service.handle(request, FileHost(subject.photo, subject.colours, paint, take))
        prepared, *variants = results
        mask = runtime.from_array(prepared.mask)
        mask = mask / np.float32(np.iinfo(mask.dtype).max)
        under = photo_pixels(subject.photo, prepared.box)
        made = [blend(under, runtime.from_array(v.pixels), mask[:, :, None]) for v in variants]
        return Edit(request, prepared, mask, under, made, {"first": seen[1], "all": seen[-1]})

    def _plan(self, subject: Subject, paint, request: EditRequest) -> planning.Plan:
        """What the runtime aims at, before any variant."""
        host = FileHost(subject.photo, subject.colours, paint)
        encoded = encoding.encode(self.engine, self.square(subject))
        s = request.settings
        return planning.make_plan(self.engine, encoded, runtime.read_paint(self.engine, host, request, encoded),
                              realism=s.realism, temperature=s.temperature, grow=s.grow, seed=s.seed)  # fmt: skip

    def results(self, cell: Cell, made: Edit) -> list[np.ndarray]:
        """Each result as the model sees it, S x S x 3."""
        return [self.square(cell.subject, whole(cell.subject.photo, made.box, v)) for v in made.variants]


def whole(photo: PhotoFile, box: Box, part: np.ndarray) -> PhotoFile:
    """The photo with `part` in the box."""
    pixels = photo.pixels.copy()
    pixels[box.y : box.bottom, box.x : box.right] = part
    return replace(photo, pixels=pixels)


def _strokes_over(subject: Subject, canvas: Canvas) -> np.ndarray:
    """The canvas as a layer of the photo's size, straight alpha, uint8."""
    size = subject.photo.size
    box, rgba = over_photo(canvas.rgba, subject.frame, size)
    layer = np.zeros((size.height, size.width, 4), np.uint8)
    layer[box.y : box.bottom, box.x : box.right] = compose.to_native(rgba, np.dtype("u1"))
    return layer
