"""`lapcvae edit`: variants of a photo with what was painted, as files."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from .. import bundle as bundles
from .. import photo as photos
from .. import sheet
from ..bundle import Bundle
from ..host import FileHost, blend, photo_on_the_wire, photo_pixels
from ..painting import CoarseFile, CoarseOverPhoto, StrokesOverPhoto, open_painting
from ..photo.files import write_whole
from ..protocol.errors import LapcvaeError
from ..protocol.geometry import Frame
from ..protocol.messages import EditRequest, Prepared, Settings, Variant
from ..protocol.version import VERSION
from ..service import Service, from_array
from .frames import BothEyes, chosen_frame, eyes_hint, fits_eyes, same
from .results import MASK, REPORT, RESULTS, SHEET, ResultsFolder, open_results
from .terminal import Terminal

# So much of the strokes outside of the frame is worth a word.
MUCH_OUTSIDE = 0.02


@dataclass(frozen=True)
class Job:
    """One edit of files. `format` is None for the photo's own; `frame` is None for the coarse picture's."""

    photo: Path
    painting: Path
    out: Path
    settings: Settings
    frame: Frame | None = None
    eyes: BothEyes | None = None
    level: int = 0
    model: str = ""
    device: str = "auto"
    format: str | None = None
    as_painted: bool = False
    # Replace the results that `out` has already.
    force: bool = False


def edit(args: argparse.Namespace, terminal: Terminal) -> int:
    job = Job(args.photo, args.painting, args.out, args.settings, args.frame, args.eyes, args.level, args.model,
              args.device, args.format, args.as_painted, args.force)  # fmt: skip
    report = run(job, terminal)
    if args.json:
        terminal.json(report)
    elif report["variants"]:
        made = len(report["variants"])
        terminal.say(
            f"{made} variant{'s' * (made > 1)} in {args.out}; all of them at a glance: {args.out / report['sheet']}"
        )
    return 130 if report["cancelled"] else 0


def run(job: Job, terminal: Terminal) -> dict:
    """Carry the job out; returns what report.json says. LapcvaeError if it cannot be done."""
    started = time.perf_counter()
    check_names(job)
    with open_results(job.out, job.force) as folder:
        terminal.progress(0.0, "Reading the photo")
        photo = photos.read(job.photo)
        target = photos.output_format(photo, job.format)
        colours = photos.Colours(photo)
        painting = open_painting(job.painting, photo, str(job.photo), job.as_painted)
        terminal.note(*photo.notes, *colours.notes, *painting.notes)
        if target.lossy or photo.format == "JPEG":
            terminal.note(target.note)
        service = Service()
        request = request_for(job, service, photo, painting, terminal)
        writer = Writer(job, folder, photo, colours, painting, target, request.frame, terminal, started)
        with terminal.interrupt.politely():
            host = FileHost(photo, colours, painting, writer.take, terminal.progress, terminal.interrupt)
            done = service.handle(request, host)
            terminal.clear()
            return writer.finish(request, done.facts, done.cancelled)


def check_names(job: Job) -> None:
    """LapcvaeError if a result would take the place of what is edited."""
    for file in (job.photo, job.painting):
        if os.path.realpath(file.parent) == os.path.realpath(job.out) and RESULTS.fullmatch(file.name):
            raise LapcvaeError(
                f"{file} would be overwritten by a result of the same name.", "Choose another folder for the results."
            )


def request_for(job: Job, service: Service, photo: photos.PhotoFile, painting, terminal: Terminal) -> EditRequest:
    coarse = painting.coarse if isinstance(painting, CoarseOverPhoto) else None
    model = job.model or (coarse.model if coarse else "")
    # Without a name the frame decides which of the models it is; they all expect the eyes at the same places.
    bundle = service.engine(model, job.device).bundle if model else bundles.describe(bundles.find())
    if coarse:
        check_coarse(job, coarse, bundle)
        frame, level = coarse.frame, coarse.level
        if bundle.name == coarse.model and bundle.hash != coarse.model_hash:
            terminal.note(f"The coarse picture was made with another version of the model {bundle.name}; that is fine.")
    else:
        frame, level = chosen_frame(job.frame, job.eyes, photo, bundle), job.level
        if not job.eyes and not job.frame and (hint := eyes_hint(bundle, frame)):
            terminal.note(hint)
        if (outside := painting.share_outside(frame)) > MUCH_OUTSIDE:
            terminal.note(f"{outside:.0%} of the strokes lie outside of the frame {frame} and change nothing.")
    mask_dtype = "u1" if photo.pixels.dtype == np.uint8 else "u2"
    return EditRequest(photo_on_the_wire(photo), frame, level, painting.message, job.settings, model, job.device,
                       mask_dtype)  # fmt: skip


def check_coarse(job: Job, coarse: CoarseFile, bundle: Bundle) -> None:
    """LapcvaeError if the coarse picture was made with another frame or level than asked for, or cannot be edited."""
    if (
        (job.frame and not same(job.frame, coarse.frame))
        or (job.eyes and not fits_eyes(coarse.frame, job.eyes, bundle))
        or (job.level and job.level != coarse.level)
    ):
        raise LapcvaeError(
            f"{job.painting} was made with the frame {coarse.frame} and level {coarse.level}, and can only be used so.",
            "Leave out --frame, --eyes and --level, or make another coarse picture.",
        )
    cells = [level.size for level in bundle.levels[1:]]
    if coarse.b_j.shape[0] not in cells:
        raise LapcvaeError(
            f"{job.painting} has {coarse.b_j.shape[0]} cells across, and the model {bundle.name} is painted on at "
            f"{', '.join(map(str, cells))}.",
            "Give the model it was made with, or make another coarse picture.",
        )


@dataclass
class Writer:
    """Writes what arrives, as it arrives."""

    job: Job
    folder: ResultsFolder
    photo: photos.PhotoFile
    colours: photos.Colours
    painting: CoarseOverPhoto | StrokesOverPhoto
    target: photos.OutputFormat
    frame: Frame
    terminal: Terminal
    started: float
    prepared: Prepared | None = None
    variants: list[dict] = field(default_factory=list)
    cells: list = field(default_factory=list)

    def take(self, message: Prepared | Variant) -> None:
        if isinstance(message, Prepared):
            self._prepare(message)
        else:
            self._write_variant(message)

    def _prepare(self, prepared: Prepared) -> None:
        if prepared.box.empty:
            raise LapcvaeError(
                f"Nothing is painted in {self.job.painting} that lies inside of the frame.",
                "Paint something, save it, and run this again.",
            )
        self.prepared = prepared
        mask = from_array(prepared.mask)
        self._mask = (mask / np.float32(np.iinfo(mask.dtype).max))[:, :, None]
        self._under = photo_pixels(self.photo, prepared.box)
        # The one copy of the photo: every variant is put into the same box of it.
        self._canvas = self.photo.pixels.copy()
        self._sheet = sheet.Sheet(self.frame, self.colours)

    def _write_variant(self, variant: Variant) -> None:
        box = self.prepared.box
        self._canvas[box.y : box.bottom, box.x : box.right] = blend(self._under, from_array(variant.pixels), self._mask)
        name = f"variant-{variant.index + 1:02d}{self.target.suffix}"
        self.folder.begin()
        photos.write(self.job.out / name, self._canvas, self.photo, self.target.format)
        seconds = round(time.perf_counter() - self.started, 3)
        self.variants.append({"file": name, "index": variant.index, "seed": variant.seed, "seconds": seconds})
        self.cells.append((f"{variant.index + 1}", self._sheet.cell(self._canvas)))

    def finish(self, request: EditRequest, facts: dict, cancelled: bool) -> dict:
        """Mask, sheet and, when all else is there, the report; nothing if it was cancelled before the first variant."""
        report = self._report(request, facts, cancelled)
        if self.variants:
            mask = np.zeros((self.photo.size.height, self.photo.size.width, 1), self._mask_dtype)
            box = self.prepared.box
            mask[box.y : box.bottom, box.x : box.right, 0] = from_array(self.prepared.mask)
            photos.write(self.job.out / MASK, mask, photos.PhotoFile(mask, "PNG"))
            self._write_sheet(mask, report)
            write_whole(self.job.out / REPORT, (json.dumps(report, indent=1) + "\n").encode())
        return report

    @property
    def _mask_dtype(self) -> np.dtype:
        return from_array(self.prepared.mask).dtype

    def _write_sheet(self, mask: np.ndarray, report: dict) -> None:
        photo_cell = self._sheet.cell(self.photo.pixels)
        painted = self._sheet.painted_cell(photo_cell, self.painting.over(self.frame.bounds()))
        outlined = self._sheet.outlined(photo_cell, mask)
        settings = self.job.settings
        title = (
            f"{self.job.photo.name}   level {report['level']}   seed {settings.seed}   "
            f"temperature {settings.temperature:g}   realism {settings.realism:g}   "
            f"structure {settings.structure:g}   {report['model']['name']}"
        )
        self._sheet.write(self.job.out / SHEET, title, [
            ("photo, outline: what changes", outlined), ("painting", painted), *self.cells
        ])  # fmt: skip

    def _report(self, request: EditRequest, facts: dict, cancelled: bool) -> dict:
        prepared, photo, source = self.prepared, self.photo, self.painting.source
        sidecar = {"file": str(source.sidecar), "sha256": source.sidecar_sha256} if source.sidecar else None
        return {
            "lapcvae": VERSION,
            "photo": {
                "file": str(self.job.photo), "sha256": photo.sha256, "format": photo.format,
                "width": photo.size.width, "height": photo.size.height, "pixels": asdict(photo.format_on_the_wire),
            },
            "painting": {"file": str(self.job.painting), "sha256": source.sha256, "sidecar": sidecar,
                         "kind": self.painting.message.kind},
            "model": {"name": prepared.model, "hash": prepared.model_hash} if prepared else None,
            "provider": prepared.provider if prepared else "",
            "provider_reason": prepared.provider_reason if prepared else "",
            "device": self.job.device, "frame": str(request.frame), "level": prepared.level if prepared else 0,
            "settings": asdict(self.job.settings),
            "box": asdict(prepared.box) if prepared else None,
            "enlargement": prepared.enlargement if prepared else None,
            "format": self.target.format, "lossy": self.target.lossy,
            "variants": self.variants, "mask": MASK, "sheet": SHEET, "cancelled": cancelled,
            "seconds": {"total": round(time.perf_counter() - self.started, 3), "since_request": facts.get("times", {})},
            "versions": versions(),
        }  # fmt: skip


def versions() -> dict:
    import imagecodecs
    import onnxruntime
    import PIL

    return {
        "python": platform.python_version(), "numpy": np.__version__, "onnxruntime": onnxruntime.__version__,
        "pillow": PIL.__version__, "imagecodecs": imagecodecs.__version__, "system": platform.platform(),
        "processor": platform.machine(), "cores": os.cpu_count(),
    }  # fmt: skip
