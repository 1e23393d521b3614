"""The folder for an edit's results: one run at a time, and never the results of two side by side."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..protocol.errors import LapcvaeError

# Written before anything else, so that a folder without rights or room is found before the model runs.
PROBE_BYTES = 1 << 16
REPORT, MASK, SHEET = "report.json", "mask.png", "sheet.png"
_OURS = r"(variant-\d\d\.(png|tif|webp|jpg)|mask\.png|sheet\.png|report\.json)"
RESULTS = re.compile(_OURS)
# What a run that was killed left half written.
_PARTS = re.compile(rf"\.{_OURS}\.[0-9a-f]{{8}}\.part")


class ResultsFolder:
    """A folder that is this run's alone while `open_results` holds it."""

    def __init__(self, path: Path):
        self.path = path
        self.empty = True

    def former(self) -> list[Path]:
        """The results of an earlier run, the report first."""
        found = sorted(p for p in self.path.iterdir() if RESULTS.fullmatch(p.name) and not p.is_dir())
        return sorted(found, key=lambda p: p.name != REPORT)

    def begin(self) -> None:
        """To be called before the first result is written: those of an earlier run go, the report first.

        So no report ever lies beside variants of another run, wherever this one ends.
        """
        if not self.empty:
            return
        for path in self.former():
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise LapcvaeError(
                    f"{path} of an earlier run cannot be removed: {error.strerror}.", "Choose another folder."
                ) from error
        self.empty = False


@contextlib.contextmanager
def open_results(path: Path, replace: bool) -> Iterator[ResultsFolder]:
    """The folder, made if need be, proven to be writable, and locked against another run.

    LapcvaeError if that cannot be, or if it has results already and they are not to be replaced. If nothing was
    written in the end, what was made is removed.
    """
    made = [p for p in (path, *path.parents) if not os.path.exists(p)]
    results = ResultsFolder(path)
    try:
        _make(path)
        with _locked(path):
            for leftover in path.iterdir():
                if _PARTS.fullmatch(leftover.name):
                    leftover.unlink(missing_ok=True)
            if not replace and (former := results.former()):
                raise LapcvaeError(
                    f"{path} already has results ({former[-1].name}{' and others' * (len(former) > 1)}).",
                    "Choose another folder, or add --force to replace them.",
                )
            _probe(path)
            yield results
    finally:
        if results.empty:
            # Only empty ones can be removed, so nothing of anybody's is lost.
            with contextlib.suppress(OSError):
                for folder in made:
                    folder.rmdir()


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LapcvaeError(
            f"The folder {path} cannot be made: {error.strerror}.", "Choose one that you may write to."
        ) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """A lock on the folder itself, which ends with this process, however that ends, and leaves no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise LapcvaeError(
            f"The folder {path} cannot be opened: {error.strerror}.", "Choose one that you may read and write."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise LapcvaeError(
            f"Another run is writing into {path} just now.", "Wait until it is done, or choose another folder."
        ) from error
    except OSError:
        # Some network drives lock no folders; results that are there already are still never mixed with new ones.
        pass
    try:
        yield
    finally:
        os.close(descriptor)


def _probe(path: Path) -> None:
    probe = path / f".lapcvae-{os.getpid()}"
    try:
        probe.write_bytes(bytes(PROBE_BYTES))
    except OSError as error:
        raise LapcvaeError(
            f"Nothing can be written into {path}: {error.strerror}.", "Choose a folder that you may write to and with room."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
