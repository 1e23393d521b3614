"""Check Setup: what this installation is, what works, and what to do about what does not."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from gi.repository import Gimp
from words import _, translated

import models
from lapcvae.protocol import client, paths
from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.version import PROTOCOL, VERSION

REPAIR = paths.repair()
# What this file finds out itself, seen from GIMP.
OWN = ("worker", "GIMP", "plug-in")
DOCTOR = "import sys; from lapcvae.cli import main; sys.exit(main(['doctor', '--json']))"
# In seconds; the first start of onnxruntime on a slow disk is what takes long.
DOCTOR_TIMEOUT = 90
LOG_TAIL = 200_000


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the report; `remedy` says what to do unless `state` is "ok", `repairable` whether install.sh may do it."""

    name: str
    state: str
    result: str
    remedy: str = ""
    repairable: bool = True

    def __str__(self) -> str:
        return f"[{self.state}] {self.name}: {self.result}" + (f"\n    -> {self.remedy}" if self.remedy else "")


def report() -> str:
    """The whole report as text: a verdict, then one finding a line, remedies below them."""
    Gimp.progress_set_text(_("Asking the runtime"))
    findings = list(_findings())
    return "\n".join([_verdict([f for f in findings if f.state == "failed"]), *map(str, findings)])


def _verdict(failed: list[Finding]) -> str:
    if not failed:
        return _("LapCVAE works.")
    if any(finding.repairable for finding in failed):
        return _("Something does not work. To repair the installation: {repair}").format(repair=translated(REPAIR))
    # A model of the user's own, for example, which the installer does not have.
    return _("Something does not work that no repair of the installation mends. What to do is said below.")


def _findings() -> Iterator[Finding]:
    yield Finding("Plug-in", "ok", f"{VERSION} (protocol {PROTOCOL}), at {Path(__file__).resolve().parent}")
    yield Finding("GIMP", "ok", f"{Gimp.version()}, its Python {platform.python_version()} at {sys.executable}")
    yield from _runtime()
    yield from _log()


def _runtime() -> Iterator[Finding]:
    try:
        command = client.default_command(DOCTOR)
    except LapcvaeError as error:
        yield Finding("Runtime", "failed", error.cause, REPAIR)
        return
    if not shutil.which(command[0]):
        yield Finding("Runtime", "failed", f"{command[0]} is missing or cannot be run.", REPAIR)
        return
    yield Finding("Runtime", "ok", command[0])
    yield _worker()
    yield from _doctor(command)


def _worker() -> Finding:
    try:
        facts, pid = models.status()
    except LapcvaeError as error:
        return Finding("Worker", "failed", error.cause, f"{error.remedy} {REPAIR}".strip())
    found = ", ".join(f"{name} ({about['folder']})" for name, about in facts["models"].items())
    if not found:
        return Finding("Worker", "failed", f"process {pid} answers, but finds no model", REPAIR)
    return Finding("Worker", "ok", f"{facts.get('version')}, process {pid}; models: {found}")


def _doctor(command: list[str]) -> Iterator[Finding]:
    """What `lapcvae doctor` finds in the runtime: packages, models and their verification, what computes."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", cwd="/",
            env=client.worker_environment(), timeout=DOCTOR_TIMEOUT,
        )  # fmt: skip
        checks = [Finding(**check) for check in json.loads(done.stdout)["checks"]]
    except subprocess.TimeoutExpired:
        yield Finding("Runtime's own check", "failed", f"It did not end within {DOCTOR_TIMEOUT} seconds.", REPAIR)
    except OSError as error:
        yield Finding("Runtime's own check", "failed", f"{command[0]} cannot be run: {error.strerror}.", REPAIR)
    except (ValueError, KeyError, TypeError):
        words = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:300]
        yield Finding("Runtime's own check", "failed", words, REPAIR)
    else:
        yield from (check for check in checks if check.name not in OWN)


def _log() -> Iterator[Finding]:
    try:
        path = paths.log_path()
    except LapcvaeError as error:
        yield Finding("Log", "failed", error.cause, error.remedy)
        return
    yield Finding("Log", "ok", str(path))
    error = last_error(_tail(path))
    yield Finding("Last error", "ok", error or "none in the log")


def _tail(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_TAIL))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


LOGGED = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ \d+ ([A-Z]+) ")
REFUSED = re.compile(r"[A-Za-z]+Request: (?!\d+\.\d+ s\b|cancelled)")
EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception)\b")


def last_error(log: str) -> str:
    """The last thing that went wrong according to the worker's log, at most 300 characters; empty: nothing did.

    That is a request that failed, a logged error with the exception that follows it, or an exception of a worker that
    could not even start.
    """
    found = ""
    traced = False
    for line in log.splitlines():
        if match := LOGGED.match(line):
            traced = match[1] in ("ERROR", "CRITICAL")
            if traced or REFUSED.match(line[match.end() :]):
                found = line
        elif EXCEPTION.match(line):
            found = f"{found} {line}" if traced else line
            traced = False
    return found[:300]
