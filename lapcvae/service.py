"""A request and a host in, results out. The worker and the command line both end here."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from . import bundle, compose, edit, encoding, fit, masks, planning, pyramid
from .canvas import Canvas
from .compose import checked, from_array, to_array
from .engine import CPU, Engine
from .finder import Finder
from .protocol.errors import Cancelled, LapcvaeError
from .protocol.geometry import Box, Frame
from .protocol.host import Host
from .protocol.messages import (
    Coarse,
    CoarseRequest,
    Done,
    EditRequest,
    FindRequest,
    Found,
    Painting,
    Photo,
    Status,
    StatusRequest,
    Variant,
)  # fmt: skip
from .protocol.version import PROTOCOL, VERSION

# Encoded photos that are kept: a few megabytes each.
MOST_ENCODED = 8
# Rows of a painting that are looked at at once.
STRIP = 32
# Sides of the photo that a frame may have; beyond the photo its edge is replicated, in memory.
LARGEST_FRAME = 4


class Times:
    """`stages`: seconds since the request came, by stage. `work`: processor seconds by kind of work, in all threads."""

    def __init__(self):
        self.started = time.perf_counter()
        self.stages: dict[str, float] = {}
        self._spent: list[tuple[str, float]] = []

    def mark(self, stage: str) -> None:
        self.stages[stage] = round(time.perf_counter() - self.started, 4)

    @contextlib.contextmanager
    def spent(self, kind: str) -> Iterator[None]:
        begun = time.thread_time()
        try:
            yield
        finally:
            self._spent.append((kind, time.thread_time() - begun))

    @property
    def work(self) -> dict[str, float]:
        return {kind: round(sum(s for k, s in self._spent if k == kind), 4) for kind, _ in self._spent}


class Service:
    """Keeps engines and encoded photos between requests."""

    def __init__(self, models: Path | None = None, threads: int = 0):
        self.models = models
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.threads = threads or cores
        self._engines: dict[tuple[Path, str], Engine] = {}
        self._finders: dict[Path, tuple[bundle.Bundle, Finder]] = {}
        self._encoded: OrderedDict[tuple[str, str], encoding.EncodedPhoto] = OrderedDict()
        self._lock = threading.Lock()
        self.photos_encoded = 0

    def handle(self, request, host: Host) -> Done:
        """Results go to `host.result`; the end is returned. Raises LapcvaeError."""
        times = Times()
        if isinstance(request, StatusRequest):
            host.result(Status(self.status()))
            return Done()
        if isinstance(request, CoarseRequest):
            return self._coarse(request, host, times)
        if isinstance(request, FindRequest):
            return self._find(request, host, times)
        if isinstance(request, EditRequest):
            return self._edit(request, host, times)
        raise LapcvaeError(f"The request {type(request).__name__} is not known.", "Update LapCVAE.")

    def status(self) -> dict:
        found = bundle.scan(self.models)
        return {
            "version": VERSION, "protocol": PROTOCOL, "pid": os.getpid(), "threads": self.threads,
            "models": {name: _about_model(folder) for name, folder in found.items()},
            # What an empty name stands for, and the sizes among which it is chosen by the face's.
            "model": bundle.find("", self.models).name if found else "",
            "family": sorted(self._family()),
            "open": [e.bundle.name for e in self._engines.values()],
            "photos_encoded": self.photos_encoded, "photos_kept": len(self._encoded),
        }  # fmt: skip

    def _family(self) -> dict:
        try:
            return bundle.family(self.models)
        except LapcvaeError:
            # What is wrong is told with the model.
            return {}

    def engine(self, name: str, device: str) -> Engine:
        folder = bundle.find(name, self.models)
        with self._lock:
            if (folder, device) not in self._engines:
                self._engines[folder, device] = Engine(bundle.open_bundle(folder), device)
            return self._engines[folder, device]

    def fitting(self, name: str, device: str, side: float, level: int) -> tuple[Engine, int]:
        """The engine for a frame of `side` photo pixels and its level, 1 to K, or 0 as it was.

        Without a name the model that fits is chosen (`bundle.fitting`); a level is the usual model's, then.
        """
        if name:
            engine = self.engine(name, device)
            return engine, _check_level(engine, level)
        usual = bundle.describe(bundle.find("", self.models))
        engine = self.engine(bundle.fitting(side, self.models).name, device)
        finer = engine.bundle.K - usual.K
        return engine, _check_level(engine, level + finer if level else 0)

    def finder(self, name: str) -> tuple[bundle.Bundle, Finder]:
        """The finder of a bundle, with the bundle. Always on the CPU: it takes no longer than the way to a GPU."""
        folder = bundle.find(name, self.models)
        with self._lock:
            if folder not in self._finders:
                opened = bundle.open_bundle(folder)
                self._finders[folder] = opened, Finder.open(opened, CPU)
            return self._finders[folder]

    # --- the requests ---

    def _find(self, request: FindRequest, host: Host, times: Times) -> Done:
        opened, finder = self.finder(request.model)
        faces = finder.faces(from_array(request.picture), request.box, request.region, request.least)
        host.result(Found(tuple(f.frame for f in faces), tuple(f.confidence for f in faces), opened.name))
        times.mark("done")
        return Done({"times": times.stages})

    def _coarse(self, request: CoarseRequest, host: Host, times: Times) -> Done:
        engine, j = self.fitting(request.model, "cpu", request.frame.side, request.level)
        j = j or engine.bundle.K
        b_0 = photo_square(engine, host, request.photo, request.frame)
        b_j = pyramid.reduce(b_0, j)
        box = request.frame.bounds()
        shown = show(b_j, j, request.style, request.frame, box, engine.bundle.size)
        host.result(Coarse(
            box, to_array(compose.to_native(shown, compose.DTYPES[request.dtype])), to_array(b_j), j,
            request.frame.side / engine.bundle.size * (1 << j), engine.bundle.name, engine.bundle.hash,
        ))  # fmt: skip
        times.mark("done")
        return Done({"times": times.stages})

    def _edit(self, request: EditRequest, host: Host, times: Times) -> Done:
        # The level of a coarse painting is that of the model that made it.
        wanted = request.level if request.painting.kind == "strokes" else 0
        engine, level = self.fitting(request.model, request.device, request.frame.side, wanted)
        request = replace(request, level=level or request.level)
        host.progress(0.0, "Looking at the photo")
        with times.spent("painting"):
            square = photo_square(engine, host, request.photo, request.frame)
        with times.spent("model"):
            encoded = self._encode(engine, square)
        times.mark("encoded")
        with times.spent("painting"):
            paint = read_paint(engine, host, request, encoded)
        s = request.settings
        with times.spent("model"):
            plan = planning.make_plan(engine, encoded, paint, realism=s.realism, temperature=s.temperature, grow=s.grow,
                                  seed=s.seed, structure=s.structure)  # fmt: skip
        with ThreadPoolExecutor(self.threads) as pool:
            drawing = Drawing(pool, plan, s.count, self.threads, times)
            try:
                # The photo's own pixels are read and looked at while the first variants are drawn.
                with times.spent("compositing"):
                    canvas = Canvas(engine, host, request, plan)
                host.result(canvas.prepared())
                times.mark("prepared")
                made = _hand_out(request, host, drawing, canvas, times)
            finally:
                drawing.cancel()
        times.mark("done")
        facts = {
            "times": times.stages, "work": times.work, "provider": engine.provider.name, "precision": engine.precision,
            "photos_encoded": self.photos_encoded, "variants": made,
        }  # fmt: skip
        return Done(facts, cancelled=made < s.count)

    def _encode(self, engine: Engine, b_0: np.ndarray) -> encoding.EncodedPhoto:
        key = engine.bundle.hash, hashlib.sha256(b_0.tobytes()).hexdigest()
        if key not in self._encoded:
            self._encoded[key] = encoding.encode(engine, b_0)
            self.photos_encoded += 1
            while len(self._encoded) > MOST_ENCODED:
                self._encoded.popitem(last=False)
        self._encoded.move_to_end(key)
        return self._encoded[key]


def _about_model(folder: Path) -> dict:
    """What whoever chooses among models wants to know; for one that cannot be used, "problem" and "remedy"."""
    try:
        found = bundle.describe(folder)
        bundle.require_whole(found)
    except LapcvaeError as error:
        return {"folder": str(folder), "problem": error.cause, "remedy": error.remedy}
    eyes = {"y": found.eyes[0], "distance": found.eyes[1]} if found.eyes else None
    return {"folder": str(folder), "title": found.title, "size": found.size, "K": found.K, "eyes": eyes,
            "finder": found.finder is not None, "licence": found.licence}  # fmt: skip


class Drawing:
    """Variants at the model's size, drawn in the pool in order, as many at once as there are cores."""

    def __init__(self, pool: ThreadPoolExecutor, plan: planning.Plan, count: int, at_once: int, times: Times):
        self.pool, self.plan, self.count, self.at_once, self.times = pool, plan, count, at_once, times
        self.drawn = deque(pool.submit(self._draw, i) for i in range(min(count, at_once)))
        self.started = len(self.drawn)
        # Being put into the photo; a variant waits here until those before it were handed out.
        self.composed = deque()

    def compose(self, canvas: Canvas, first: int) -> np.ndarray:
        """Variant `first` over the canvas's box; the ones after it are drawn and composed meanwhile."""
        while self.drawn and len(self.composed) < self.at_once and (self.drawn[0].done() or not self.composed):
            # Converted here: the host speaks to one thread.
            picture = self.drawn.popleft().result()
            native = canvas.convert(picture)
            self.composed.append(self.pool.submit(self._compose, canvas, first + len(self.composed), picture, native))
            if self.started < self.count:
                self.drawn.append(self.pool.submit(self._draw, self.started))
                self.started += 1
        return self.composed.popleft().result()

    def _draw(self, index: int) -> np.ndarray:
        with self.times.spent("model"):
            return edit.variant(self.plan, index)

    def _compose(self, canvas: Canvas, index: int, picture: np.ndarray, native: np.ndarray) -> np.ndarray:
        with self.times.spent("compositing"):
            return canvas.pixels(index, picture, native)

    def cancel(self) -> None:
        """What is running ends, what waits does not begin."""
        for future in (*self.drawn, *self.composed):
            future.cancel()


def _hand_out(request: EditRequest, host: Host, drawing: Drawing, canvas: Canvas, times: Times) -> int:
    """How many variants the host got before it was enough."""
    count, made = request.settings.count, 0
    try:
        while made < count and not host.cancelled():
            pixels = drawing.compose(canvas, made)
            host.result(Variant(made, request.settings.seed, to_array(pixels)))
            made += 1
            times.stages.setdefault("first", round(time.perf_counter() - times.started, 4))
            host.progress(made / count, f"Variant {made} of {count}")
    except Cancelled:
        pass
    return made


def _check_level(engine: Engine, level: int) -> int:
    K = engine.bundle.K
    if not 0 <= level <= K:
        raise LapcvaeError(
            f"The model {engine.bundle.name} has no level {level}.", f"Choose a level from 1 to {K} (0: the default)."
        )
    return level


def photo_square(engine: Engine, host: Host, photo: Photo, frame: Frame) -> np.ndarray:
    """The photo through the frame, as the model sees it: S x S x 3."""
    box = frame.bounds()
    visible = box.intersection(photo.size.box)
    if visible.empty:
        raise LapcvaeError(
            f"The frame {frame} lies outside the picture ({photo.size.width} x {photo.size.height}).",
            "Move it onto the face.",
        )
    if frame.side > LARGEST_FRAME * max(photo.size.width, photo.size.height):
        raise LapcvaeError(
            f"The frame {frame} is far larger than the picture ({photo.size.width} x {photo.size.height}).",
            "Give the side of the square around the face in photo pixels.",
        )
    # Only what is there travels; beyond the edge it is replicated, here.
    pixels = checked(host.pixels("photo", visible), visible, photo.format.channels)
    square = compose.warp_down(pixels, visible, frame, engine.bundle.size)[:, :, : photo.format.colour_channels]
    square = square / compose.full_scale(pixels.dtype)
    return np.clip(from_array(host.colours("model", to_array(square))), 0, 1).astype(np.float32)


def shown_square(b_j: np.ndarray, j: int, style: str) -> np.ndarray:
    """What is painted on, at the model's size, S x S x 3."""
    return pyramid.enlarge(b_j, j) if style == "smooth" else np.repeat(np.repeat(b_j, 1 << j, 0), 1 << j, 1)


def show(b_j: np.ndarray, j: int, style: str, frame: Frame, box: Box, size: int) -> np.ndarray:
    """What is painted on: level j at the photo's size over `box`, H x W x 4, alpha 0 outside a turned square."""
    warp = compose.WarpUp(frame, size, box)
    shown = (warp if style == "smooth" else warp.linear)(shown_square(b_j, j, style))
    alpha = np.ones(shown.shape[:2], np.float32)
    if not compose.is_upright(frame):
        alpha = compose.inside_square(frame, box)
    return np.clip(np.dstack([shown, alpha]), 0, 1)


def read_paint(engine: Engine, host: Host, request: EditRequest, encoded: encoding.EncodedPhoto) -> masks.Paint:
    """What was painted, as changes of cells of the painted level."""
    box = request.frame.bounds()
    rgba = checked(host.pixels("painting", box), box, 4)
    if request.painting.kind == "strokes":
        return _read_strokes(engine, request, rgba, box, encoded)
    return _read_coarse(engine, host, request, rgba, box, encoded)


def _read_strokes(engine: Engine, request: EditRequest, rgba: np.ndarray, box: Box, encoded) -> masks.Paint:
    """Colour over the photo, alpha being the mask: x_j is the coarse image of the photo with the strokes on it."""
    size, frame = engine.bundle.size, request.frame
    planes = np.zeros((box.height, box.width, 4), np.float32)
    if part := _bounds(rgba[:, :, 3] > 0):
        values = compose.to_float(rgba[part])
        alpha = values[:, :, 3:]
        planes[part] = np.concatenate([values[:, :, :3] * alpha, alpha], axis=2)
    fine = compose.warp_down(planes, box, frame, size)
    cover = fine[:, :, 3]
    level = request.level or masks.coarsest_fitting_level(cover, engine.bundle.K)
    difference = fine[:, :, :3] - fine[:, :, 3:] * encoded.b[0]
    paint = _paint(level, difference, np.zeros_like(cover), cover, cover, difference)
    return replace(paint, on_photo=True)


def _read_coarse(
    engine: Engine, host: Host, request: EditRequest, rgba: np.ndarray, box: Box, encoded: encoding.EncodedPhoto
) -> masks.Paint:
    """What differs from the coarse picture that was shown; made transparent means "invent freely here"."""
    size, frame, painting = engine.bundle.size, request.frame, request.painting
    b_j = from_array(painting.b_j)
    level = (size // max(b_j.shape[0], 1)).bit_length() - 1
    if b_j.shape != (size >> level, size >> level, 3) or not 1 <= level <= engine.bundle.K:
        raise LapcvaeError(
            f"The painting's coarse level has the shape {b_j.shape}, which the model {engine.bundle.name} does not have.",
            "Make the coarse picture again with this model.",
        )
    if painting.copied:
        fit.require_same(encoded.b[level], b_j)
    if painting.doubtful:
        fit.require_photo(encoded.b[level], b_j)
    # As the model that made it showed it; that may have been a smaller or a larger one.
    then = request.level or level
    if not (1 <= then <= bundle.MOST_LEVELS and b_j.shape[0] << then <= bundle.LARGEST_SIZE):
        raise LapcvaeError(
            f"The painting says that its {b_j.shape[0]} cells were level {then}: no model is as large.",
            "Make the coarse picture again.",
        )
    shown = shown_picture(b_j.tobytes(), then, painting.style, frame, box, b_j.shape[0] << then, rgba.dtype.str)
    if request.photo.format.colour == "Y" and np.ptp(b_j, axis=2).max() > 1e-3:
        shown = _gray(host, shown)
    nothing = np.zeros((size, size), np.float32)
    part = _bounds(_different(rgba, shown)) if painting.scale == 1 else np.s_[:, :]
    if part is None:
        unchanged = np.zeros((size, size, 3), np.float32)
        return _paint(level, unchanged, nothing, nothing, nothing, unchanged)
    planes, touched = _touched(rgba, shown, part, painting, _within(box, request.photo.size.box))
    if not painting.checked and touched > fit.MUCH * box.width * box.height:
        # Integers stay what they are until they are averaged.
        now_cells, shown_cells = (
            pyramid.reduce(compose.warp_down(p[:, :, :3], box, frame, size) / compose.full_scale(p.dtype), level)
            for p in (rgba, shown)
        )
        fit.require_painting(now_cells, shown_cells, encoded.b[level], painting.doubtful)
    fine = compose.warp_down(planes, box, frame, size)
    seen = shown_square(b_j, level, painting.style)
    opaque = np.maximum(masks.opacity(fine[:, :, :3], seen, fine[:, :, 4], 1 << level), fine[:, :, 3])
    opaquely = (opaque * np.minimum(fine[:, :, 4], 1))[:, :, None]
    # Opaque paint replaces what was shown, and that the photo; a tint changes the photo. A brush's edge is between.
    edge = np.maximum(masks.edge_opacity(fine[:, :, :3], seen, fine[:, :, 4], 1 << level), fine[:, :, 3])
    sharp = fine[:, :, :3] + opaquely * edge[:, :, None] * (seen - encoded.b[0])
    paint = _paint(level, fine[:, :, :3], fine[:, :, 3], fine[:, :, 4], opaque, sharp)
    covered = pyramid.reduce(opaquely, level)
    return replace(paint, change=paint.change - covered * (b_j - pyramid.reduce(seen, level)))


def _touched(
    rgba: np.ndarray, shown: np.ndarray, part: tuple[slice, slice], painting: Painting, photo: np.ndarray
) -> tuple[np.ndarray, int]:
    """What was done to the pixels of `part`, and how many differ: H x W x 5, the change of colour, the share that was made
    transparent, and 1; all 0 where nothing was done. `photo`: which pixels the photo has, H x W bool."""
    rows, columns = part
    planes, count = np.zeros((*rgba.shape[:2], 5), np.float32), 0
    rounded = painting.scale == 1 and fit.was_rounded(_sampled(rgba), _sampled(shown))
    # A strip at a time, which stays in the processor's cache; what was scaled is compared with the pixels around.
    step = STRIP if painting.scale == 1 else rgba.shape[0]
    first, last, _ = rows.indices(rgba.shape[0])
    for top in range(first, last, step):
        strip = slice(top, min(top + step, last)), columns
        was, now = compose.to_float(shown[strip]), compose.to_float(rgba[strip])
        alpha, out = now[:, :, 3], planes[strip]
        touched = fit.beyond(now, was, painting.least, painting.scale, rounded) & (was[:, :, 3] > 0)
        count += np.count_nonzero(touched)
        # Beyond the photo there is nothing to erase: a painting that ends there is not transparent on purpose.
        touched &= (alpha > 0) | photo[strip]
        for i in range(3):
            out[:, :, i] = (now[:, :, i] - was[:, :, i]) * (alpha * touched)
        out[:, :, 3] = (1 - alpha) * touched
        out[:, :, 4] = touched
    return planes, count


def _sampled(pixels: np.ndarray) -> np.ndarray:
    """Some of the pixels, evenly spread, as floats."""
    step = max(1, min(pixels.shape[:2]) // fit.SAMPLED)
    return compose.to_float(pixels[::step, ::step])


def _gray(host: Host, shown: np.ndarray) -> np.ndarray:
    """A shown picture (H x W x 4) as it is since the image was made gray."""
    colours = to_array(compose.to_float(shown[:, :, :3]))
    gray = from_array(host.colours("model", host.colours("photo", colours)))
    return np.dstack([compose.to_native(np.clip(gray, 0, 1), shown.dtype), shown[:, :, 3]])


def _different(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Which pixels are not the same, H x W bool."""
    if a.dtype.itemsize == 1:
        # Four bytes at once.
        return (np.ascontiguousarray(a).view("<u4") != np.ascontiguousarray(b).view("<u4"))[:, :, 0]
    return (a != b).any(2)


def _bounds(mask: np.ndarray) -> tuple[slice, slice] | None:
    """The rows and columns that hold everything True; None if there is nothing."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _within(box: Box, other: Box) -> np.ndarray:
    """Which pixels of `box` lie in `other`, H x W bool."""
    y, x = np.arange(box.y, box.bottom), np.arange(box.x, box.right)
    return ((y >= other.y) & (y < other.bottom))[:, None] & ((x >= other.x) & (x < other.right))[None, :]


@lru_cache(maxsize=4)
def shown_picture(b_j: bytes, level: int, style: str, frame: Frame, box: Box, size: int, dtype: str) -> np.ndarray:
    """`show`, as it was handed out: the same for every edit of one coarse layer."""
    picture = np.frombuffer(b_j, "<f4").reshape(size >> level, size >> level, 3)
    return compose.to_native(show(picture, level, style, frame, box, size), np.dtype(dtype))


def _paint(level: int, difference: np.ndarray, erased: np.ndarray, cover: np.ndarray, opaque: np.ndarray,
           sharp: np.ndarray) -> masks.Paint:  # fmt: skip
    """From model pixels (S x S ...) to the cells of the level. `difference`: to what was shown, `sharp`: to the photo."""
    # Averages of nothing painted are 0 up to rounding; anything else is at least a hair's breadth of paint.
    cover = np.where(cover > 1e-4, cover, 0).astype(np.float32)
    n = cover.shape[0] >> level
    sharp, difference = (np.where(cover[:, :, None] > 0, part, 0).astype(np.float32) for part in (sharp, difference))
    change, opaque = pyramid.reduce(difference, level), np.where(cover > 0, opaque, 0).astype(np.float32)
    cells = erased.reshape(n, 1 << level, n, 1 << level).mean((1, 3))
    return masks.Paint(level, change, np.where(cells > 1e-3, cells, 0).astype(np.float32), cover, opaque, sharp)
