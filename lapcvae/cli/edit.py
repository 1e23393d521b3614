"""`lapcvae edit`: variants of a photo with what was painted, as files."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import time
from dataclasses import asdict, dataclass, field
from hashlib import file_digest
from pathlib import Path

import numpy as np

from .. import photo as photos
from .. import sheet
from ..host import FileHost, blend, photo_on_the_wire, photo_pixels
from ..painting import CoarseOverPhoto, StrokesOverPhoto, open_painting
from ..photo.files import write_whole
from ..protocol.errors import LapcvaeError
from ..protocol.geometry import Frame
from ..protocol.messages import EditRequest, Prepared, Settings, Variant
from ..protocol.version import VERSION
from ..service import Service, from_array
from .frames import chosen_frame, eyes_hint
from .terminal import Terminal, polite_interrupt

# Written before anything else, so that a folder without rights or room is found before the model runs.
PROBE_BYTES = 1 << 16
RESULTS = re.compile(r"variant-\d\d\.\w+|mask\.png|sheet\.png|report\.json")


@dataclass(frozen=True)
class Job:
    """One edit of files. `format` is None for the photo's own; `frame` is None for the coarse picture's."""

    photo: Path
    painting: Path
    out: Path
    settings: Settings
    frame: Frame | None = None
    eyes: tuple[float, float, float, float] | None = None
    level: int = 0
    model: str = ""
    device: str = "auto"
    format: str | None = None


def edit(args: argparse.Namespace, terminal: Terminal) -> int:
    job = Job(args.photo, args.painting, args.out, args.settings, args.frame, args.eyes, args.level, args.model,
              args.device, args.format)  # fmt: skip
    report = run(job, terminal)
    if args.json:
        print(json.dumps(report, indent=1))
    elif report["variants"]:
        made = len(report["variants"])
        print(f"{made} variant{'s' * (made > 1)} in {args.out}; all of them at a glance: {args.out / report['sheet']}")
    return 130 if report["cancelled"] else 0


def run(job: Job, terminal: Terminal) -> dict:
    """Carry the job out; returns what report.json says. LapcvaeError if it cannot be done."""
    started = time.perf_counter()
    check_names(job)
    prepare_folder(job.out)
    terminal.progress(0.0, "Reading the photo")
    photo = photos.read(job.photo)
    target = photos.output_format(photo, job.format)
    colours = photos.Colours(photo)
    painting = open_painting(job.painting, photo, str(job.photo))
    terminal.note(*photo.notes, *colours.notes, *([target.note] if target.lossy or photo.format == "JPEG" else []))
    service = Service()
    request = request_for(job, service, photo, painting, terminal)
    with polite_interrupt() as interrupt:
        writer = Writer(job, photo, colours, painting, target, request.frame, terminal, started)
        host = FileHost(photo, colours, painting, writer.take, terminal.progress, interrupt)
        done = service.handle(request, host)
        terminal.clear()
        report = writer.finish(request, done.facts, done.cancelled)
    warn_of_leftovers(job.out, report, terminal)
    return report


def check_names(job: Job) -> None:
    """LapcvaeError if a result would take the place of what is edited."""
    for file in (job.photo, job.painting):
        if file.resolve().parent == job.out.resolve() and RESULTS.fullmatch(file.name):
            raise LapcvaeError(
                f"{file} would be overwritten by a result of the same name.", "Choose another folder for the results."
            )


def prepare_folder(folder: Path) -> None:
    """Make the folder and prove that it can be written to. LapcvaeError if not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LapcvaeError(
            f"The folder {folder} cannot be made: {error.strerror}.", "Choose one that you may write to."
        ) from error
    probe = folder / f".lapcvae-{os.getpid()}"
    write_whole(probe, bytes(PROBE_BYTES))
    probe.unlink()


def request_for(job: Job, service: Service, photo: photos.PhotoFile, painting, terminal: Terminal) -> EditRequest:
    frame, level, name = job.frame, job.level, job.model
    if isinstance(painting, CoarseOverPhoto):
        coarse = painting.coarse
        if job.eyes or (frame and frame != coarse.frame) or (level and level != coarse.level):
            raise LapcvaeError(
                f"{job.painting} was made with the frame {coarse.frame} and level {coarse.level}, "
                "and can only be used so.",
                "Leave out --frame, --eyes and --level, or make another coarse picture.",
            )
        frame, level, name = coarse.frame, coarse.level, name or coarse.model
    bundle = service.engine(name, job.device).bundle
    if isinstance(painting, CoarseOverPhoto) and bundle.hash != painting.coarse.model_hash:
        terminal.note(f"The coarse picture was made with another version of the model {bundle.name}; that is fine.")
    if frame is None:
        frame = chosen_frame(argparse.Namespace(frame=None, eyes=job.eyes), photo, bundle)
        if not job.eyes:
            terminal.note(*filter(None, [eyes_hint(bundle, frame)]))
    mask_dtype = "u1" if photo.pixels.dtype == np.uint8 else "u2"
    return EditRequest(photo_on_the_wire(photo), frame, level, painting.message, job.settings, bundle.name, job.device,
                       mask_dtype)  # fmt: skip


@dataclass
class Writer:
    """Writes what arrives, as it arrives."""

    job: Job
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
        photos.write(self.job.out / name, self._canvas, self.photo, self.target.format)
        seconds = round(time.perf_counter() - self.started, 3)
        self.variants.append({"file": name, "index": variant.index, "seed": variant.seed, "seconds": seconds})
        self.cells.append((f"{variant.index + 1}", self._sheet.cell(self._canvas)))

    def finish(self, request: EditRequest, facts: dict, cancelled: bool) -> dict:
        """Mask, sheet and report; nothing if it was cancelled before the first variant."""
        report = self._report(request, facts, cancelled)
        if self.variants:
            mask = np.zeros((self.photo.size.height, self.photo.size.width, 1), self._mask_dtype)
            box = self.prepared.box
            mask[box.y : box.bottom, box.x : box.right, 0] = from_array(self.prepared.mask)
            photos.write(self.job.out / report["mask"], mask, photos.PhotoFile(mask, "PNG"))
            self._write_sheet(mask, report)
            write_whole(self.job.out / "report.json", (json.dumps(report, indent=1) + "\n").encode())
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
            f"temperature {settings.temperature:g}   realism {settings.realism:g}   {report['model']['name']}"
        )
        self._sheet.write(self.job.out / report["sheet"], title, [
            ("photo, outline: what changes", outlined), ("painting", painted), *self.cells
        ])  # fmt: skip

    def _report(self, request: EditRequest, facts: dict, cancelled: bool) -> dict:
        prepared, photo = self.prepared, self.photo
        return {
            "lapcvae": VERSION,
            "photo": {
                "file": str(self.job.photo), "sha256": _sha256(self.job.photo), "format": photo.format,
                "width": photo.size.width, "height": photo.size.height, "pixels": asdict(photo.format_on_the_wire),
            },
            "painting": {"file": str(self.job.painting), "sha256": _sha256(self.job.painting),
                         "kind": self.painting.message.kind},
            "model": {"name": prepared.model, "hash": prepared.model_hash} if prepared else None,
            "provider": prepared.provider if prepared else "",
            "provider_reason": prepared.provider_reason if prepared else "",
            "device": self.job.device, "frame": str(request.frame), "level": prepared.level if prepared else 0,
            "settings": asdict(self.job.settings),
            "box": asdict(prepared.box) if prepared else None,
            "enlargement": prepared.enlargement if prepared else None,
            "format": self.target.format, "lossy": self.target.lossy,
            "variants": self.variants, "mask": "mask.png", "sheet": "sheet.png", "cancelled": cancelled,
            "seconds": {"total": round(time.perf_counter() - self.started, 3), "since_request": facts.get("times", {})},
            "versions": versions(),
        }  # fmt: skip


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def versions() -> dict:
    import imagecodecs
    import onnxruntime
    import PIL

    return {
        "python": platform.python_version(), "numpy": np.__version__, "onnxruntime": onnxruntime.__version__,
        "pillow": PIL.__version__, "imagecodecs": imagecodecs.__version__, "system": platform.platform(),
        "processor": platform.machine(), "cores": os.cpu_count(),
    }  # fmt: skip


def warn_of_leftovers(folder: Path, report: dict, terminal: Terminal) -> None:
    made = {entry["file"] for entry in report["variants"]}
    left = sorted(p.name for p in folder.glob("variant-[0-9][0-9].*") if p.name not in made)
    if left:
        terminal.note(f"{folder} still has {', '.join(left[:4])}{' ...' * (len(left) > 4)} of an earlier run.")
