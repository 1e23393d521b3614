"""`lapcvae doctor`: what this installation is, what works, and what to do about what does not."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from . import bundle as bundles
from .protocol import paths
from .protocol.errors import LapcvaeError
from .protocol.version import PROTOCOL, VERSION

OK, WARNING, FAILED = "ok", "warning", "failed"
NEEDED = ("numpy", "pillow", "imagecodecs")
OLDEST_PYTHON = (3, 11)
REPAIR = "Run install.sh again."
# Each brings the same module `onnxruntime`: with two installed, whichever was written last is half overwritten.
RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-training")
PROGRAMS = ("gimp-3.2", "gimp-3.0", "gimp-3", "gimp")
FLATPAKS = ("/var/lib/flatpak/app/org.gimp.GIMP", "~/.local/share/flatpak/app/org.gimp.GIMP")
APPLICATIONS = ("/Applications/GIMP.app",)
PROFILES = ("~/.config/GIMP", "~/.var/app/org.gimp.GIMP/config/GIMP", "~/Library/Application Support/GIMP")


@dataclass(frozen=True)
class Check:
    """One finding; `remedy` says what to do if `state` is not ok, `repairable` whether install.sh may mend it, too."""

    name: str
    state: str
    result: str
    remedy: str = ""
    repairable: bool = True


def check_python() -> Iterator[Check]:
    found = f"{platform.python_version()} at {sys.executable} ({platform.system()} {platform.machine()})"
    fits = sys.version_info[:2] >= OLDEST_PYTHON
    remedy = "" if fits else "Install Python 3.11 to 3.14, then run install.sh."
    yield Check("Python", OK if fits else FAILED, found, remedy)


def check_packages() -> Iterator[Check]:
    yield Check("LapCVAE", OK, f"{VERSION}, protocol {PROTOCOL}, at {paths.PACKAGE}")
    for name in NEEDED:
        try:
            yield Check(name, OK, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Check(name, FAILED, "not installed", REPAIR)


def runtimes_installed() -> dict[str, str]:
    """The onnxruntime packages of this environment with their versions."""
    known = {(d.metadata["Name"] or "").lower().replace("_", "-"): d.version for d in metadata.distributions()}
    return {name: known[name] for name in RUNTIMES if name in known}


def check_onnxruntime() -> Iterator[Check]:
    found = runtimes_installed()
    listed = ", ".join(f"{name} {version}" for name, version in found.items())
    if len(found) > 1:
        yield Check(
            "onnxruntime", FAILED, f"{listed} are all installed, and overwrite each other's files",
            f"Uninstall all of them ({sys.executable} -m pip uninstall {' '.join(found)}), then install one of them.",
        )  # fmt: skip
        return
    try:
        import onnxruntime

        providers = ", ".join(onnxruntime.get_available_providers())
    except (ImportError, AttributeError) as error:
        yield Check("onnxruntime", FAILED, f"cannot be loaded: {error}", REPAIR)
        return
    yield Check("onnxruntime", OK, f"{listed or onnxruntime.__version__}; providers: {providers}")


def check_models() -> Iterator[Check]:
    for folder in paths.asked_model_folders():
        if not folder.is_dir():
            problem = "there is no such folder"
        elif (folder / bundles.MANIFEST).exists():
            problem = "that is a model itself"
        else:
            continue
        remedy = "Set it to the folder that holds the models' folders."
        yield Check("LAPCVAE_MODELS", FAILED, f"{folder}: {problem}", remedy, repairable=False)
    found = bundles.scan()
    if not found:
        yield Check("models", FAILED, f"none in {', '.join(map(str, paths.model_folders()))}",
                    "Run install.sh again, or set LAPCVAE_MODELS.")  # fmt: skip
    for name, folder in found.items():
        try:
            bundle = bundles.open_bundle(folder)
        except LapcvaeError as error:
            yield _unusable(f"model {name}", folder, error)
            continue
        yield Check(f"model {name}", OK, f"{bundle.title}, {bundle.size} pixels, verified, at {folder}")


def _unusable(name: str, folder: Path, error: LapcvaeError) -> Check:
    """A check that the model in the folder does not pass."""
    return Check(name, FAILED, error.cause, error.remedy, repairable=not paths.is_own_model(folder))


def check_device() -> Iterator[Check]:
    """What would really run, found out by running it."""
    import numpy as np

    from .engine import Engine

    folder = bundles.find()
    try:
        bundle = bundles.open_bundle(folder)
    except LapcvaeError as error:
        yield _unusable("device", folder, error)
        return
    engine = Engine(bundle, "auto")
    size = bundle.levels[-1].size
    posterior = engine.encode(bundle.K, np.full((size, size, 3), 0.5, np.float32))
    if not all(np.isfinite(q.mu).all() for q in posterior):
        yield Check("device", FAILED, f"{engine.provider.name} gives numbers that are none", REPAIR)
        return
    reason = f", because {engine.provider.reason}" if engine.provider.reason else ""
    remedy = ""
    if reason and os.path.exists("/proc/driver/nvidia"):
        remedy = "To use the GPU, install onnxruntime-gpu in place of onnxruntime (install.sh does so when asked to)."
    computes = f"{engine.provider.name} in {engine.precision}"
    yield Check("device", OK if not remedy else WARNING, f"{computes}{reason}", remedy)


def check_folders() -> Iterator[Check]:
    for name, folder in (("state folder", paths.state_folder), ("socket folder", paths.runtime_folder)):
        try:
            where = folder()
            with tempfile.TemporaryFile(dir=where):
                pass
            yield Check(name, OK, f"{where}, writable")
        except LapcvaeError as error:
            yield Check(name, FAILED, error.cause, error.remedy)
        except OSError as error:
            yield Check(name, FAILED, f"{where}: {error.strerror}", "Make it writable, or free some room.")


def check_worker() -> Iterator[Check]:
    from .protocol import client
    from .protocol.messages import Status, StatusRequest

    class Nobody:
        def cancelled(self) -> bool:
            return False

    with client.connect() as connection:
        answers = [m for m in connection.ask(StatusRequest(), Nobody()) if isinstance(m, Status)]
        facts = answers[0].facts if answers else {}
        found = ", ".join(facts.get("models", {})) or "none"
        yield Check("worker", OK if answers else FAILED,
                    f"process {connection.worker_pid} answers; its models: {found}; log: {paths.log_path()}",
                    "" if answers else REPAIR)  # fmt: skip


def gimps() -> list[str]:
    """GIMP's programs on this machine, whatever their version."""
    found = [path for name in PROGRAMS if (path := shutil.which(name))]
    found += [str(p) for p in map(lambda f: Path(f).expanduser(), (*FLATPAKS, *APPLICATIONS)) if p.exists()]
    return list(dict.fromkeys(os.path.realpath(p) for p in found))


def plug_ins() -> list[Path]:
    """Where the plug-in is installed, in the profiles of GIMP 3."""
    return [p for root in PROFILES for p in sorted(Path(root).expanduser().glob("3.*/plug-ins/lapcvae*"))]


def check_gimp() -> Iterator[Check]:
    found, installed = gimps(), plug_ins()
    if not found:
        remedy = "Install GIMP 3, then run install.sh."
        yield Check("GIMP", WARNING, "not found; the command line works without it", remedy)
    else:
        yield Check("GIMP", OK, ", ".join(found))
    if installed:
        yield Check("plug-in", OK, ", ".join(map(str, installed)))
    elif found:
        yield Check("plug-in", WARNING, "not in any GIMP 3 profile of this user", "Run install.sh.")


CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (
    check_python, check_packages, check_onnxruntime, check_models, check_device, check_folders, check_worker,
    check_gimp,
)  # fmt: skip


def examine() -> Iterator[Check]:
    """Every check, also after one that broke."""
    for check in CHECKS:
        name = check.__name__.removeprefix("check_")
        try:
            yield from check()
        except LapcvaeError as error:
            yield Check(name, FAILED, error.cause, error.remedy)
        except Exception as error:  # a broken installation can raise anything; finding that out is what this is for
            yield Check(name, FAILED, f"{type(error).__name__}: {error}", REPAIR)


def doctor(args: argparse.Namespace, terminal) -> int:
    found = []
    for check in examine():
        if terminal.interrupt():
            return 130
        found.append(check)
        if not args.json:
            terminal.say(f"{check.state:>7}  {check.name}: {check.result}")
            if check.remedy:
                terminal.say(f"         -> {check.remedy}")
    failed = any(check.state == FAILED for check in found)
    if args.json:
        terminal.json({"ok": not failed, "checks": [asdict(check) for check in found]})
    else:
        terminal.say("Something that matters does not work." if failed else "Everything that matters works.")
    return 1 if failed else 0
