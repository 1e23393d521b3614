"""Where state, socket, log and models lie.

The socket's folder is the only guard between the worker and other users of the machine, so it is checked here, each
time, before anything in it is used: a real folder, ours, closed to everyone else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import sys
from pathlib import Path

from .errors import LapcvaeError
from .version import PROTOCOL, VERSION

# `sockaddr_un.sun_path` holds 104 bytes on macOS and 108 on Linux, one of which is the final zero.
LONGEST_SOCKET_PATH = 103

# The folder of the package `lapcvae` that this file belongs to: the runtime's, or the copy beside the plug-in.
PACKAGE = Path(__file__).resolve().parent.parent


def private_folder(path: Path) -> Path:
    """`path` itself, made if missing, once it is certain that only this user can reach into it.

    Raises LapcvaeError when it is a link, no folder, someone else's, or open to others.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise LapcvaeError(
            f"The folder {path} cannot be made: {error.strerror}.", "Make its parent folder writable."
        ) from error
    found = path.lstat()
    remedy = f"Have {path} removed, then try again."
    if not stat.S_ISDIR(found.st_mode):
        raise LapcvaeError(f"{path} is not a folder, or only a link to one; it will not be used.", remedy)
    if found.st_uid != os.getuid():
        raise LapcvaeError(f"The folder {path} belongs to another user; it will not be used.", remedy)
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise LapcvaeError(f"The folder {path} is open to other users; it will not be used.", remedy)
    return path


def _usable(folder: str) -> bool:
    """Whether XDG_RUNTIME_DIR may be trusted: absolute, a folder of ours that only we can write to."""
    try:
        found = os.stat(folder)
    except OSError:
        return False
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return ours and os.path.isabs(folder) and os.access(folder, os.W_OK | os.X_OK)


def runtime_file() -> Path:
    """What the installer writes beside the package, and beside the copy of it in the plug-in, as JSON.

    "python" is what runs the worker, "package" the folder with the runtime's `lapcvae` (null: the Python finds it among
    its own packages), "source" (may be missing) the folder that install.sh was run in. Relative to this file's folder.
    """
    return PACKAGE.parent / "runtime.json"


def _told() -> dict:
    """The contents of the runtime file; empty where there is none."""
    file = runtime_file()
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise LapcvaeError(f"The file {file} cannot be read.", "Run install.sh again.") from error


def runtime() -> tuple[str, Path | None]:
    """(python, folder that holds the package): LAPCVAE_PYTHON, else runtime.json, else this Python in a checkout."""
    here = PACKAGE.parent if (PACKAGE / "worker.py").exists() else None
    if chosen := os.environ.get("LAPCVAE_PYTHON"):
        return chosen, here
    told, base = _told(), runtime_file().parent
    if isinstance(told.get("python"), str):
        return str(base / told["python"]), base / told["package"] if told.get("package") else None
    if here and sys.executable:
        return sys.executable, here
    raise LapcvaeError(f"There is no LapCVAE runtime beside {PACKAGE}.", repair())


def repair() -> str:
    """What to do when something of the installation is missing or broken."""
    folder = "LapCVAE's folder"
    with contextlib.suppress(LapcvaeError, KeyError, TypeError):
        if (source := Path(_told()["source"])).joinpath("install.sh").is_file():
            folder = str(source)
    return f"Run ./install.sh --repair in {folder}, then start GIMP again."


def installation() -> str:
    """Eight hex digits that tell this installation from the user's others: its plug-in, command and worker agree on them.

    They stand for the runtime that a worker is started with. The worker itself is told them (LAPCVAE_INSTALLATION) by
    the client that starts it, because it may see that runtime under another name.
    """
    told = os.environ.get("LAPCVAE_INSTALLATION", "")
    if re.fullmatch("[0-9a-f]{8}", told):
        return told
    try:
        python, package = runtime()
    except LapcvaeError:
        # No worker can be started from here, but there may be one.
        python, package = "", PACKAGE
    return hashlib.sha256(os.fsencode(f"{python}\n{package}")).hexdigest()[:8]


def _socket_name() -> str:
    # With the versions, so that a new client never meets an old worker, and two installations never share one.
    return f"worker-{VERSION}-{PROTOCOL}-{installation()}.sock"


def runtime_folder() -> Path:
    """The 0700 folder of the socket: in XDG_RUNTIME_DIR where that is usable and short enough, else in /tmp."""
    xdg = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = Path(xdg, "lapcvae")
    if not _usable(xdg) or len(os.fsencode(folder / _socket_name())) > LONGEST_SOCKET_PATH:
        # Not TMPDIR: GIMP and a terminal may disagree about it, and must find the same worker.
        folder = Path(f"/tmp/lapcvae-{os.getuid()}")
    return private_folder(folder)


def socket_path() -> Path:
    return runtime_folder() / _socket_name()


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise LapcvaeError("This user has no home folder.", "Set HOME to a folder that can be written to.") from error


def _xdg(variable: str, *default: str) -> Path:
    value = os.environ.get(variable, "")
    return Path(value) if os.path.isabs(value) else _home().joinpath(*default)


def state_folder() -> Path:
    """The folder of the log and the settings (LAPCVAE_STATE, or ~/.local/state/lapcvae), made if missing."""
    chosen = os.environ.get("LAPCVAE_STATE", "")
    folder = Path(chosen).absolute() if chosen else _xdg("XDG_STATE_HOME", ".local", "state") / "lapcvae"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LapcvaeError(
            f"The folder {folder} for log and settings cannot be made: {error.strerror}.",
            "Make it writable, or set LAPCVAE_STATE to another folder.",
        ) from error
    return folder


def log_path() -> Path:
    return state_folder() / "worker.log"


def user_models_folder() -> Path:
    """Where the user's own models belong; it may not exist."""
    return _xdg("XDG_DATA_HOME", ".local", "share") / "lapcvae" / "models"


def shipped_models_folders() -> tuple[Path, ...]:
    """Where models that came with the program may lie: beside the package, or in the environment's share."""
    return PACKAGE.parent / "models", Path(sys.prefix, "share", "lapcvae", "models")


def asked_model_folders() -> list[Path]:
    """Those that LAPCVAE_MODELS names; they may not exist."""
    return [Path(p) for p in os.environ.get("LAPCVAE_MODELS", "").split(os.pathsep) if p]


def model_folders(*shipped: Path) -> list[Path]:
    """The folders to scan for models, first match wins: LAPCVAE_MODELS, the user's, the shipped. May not exist."""
    return list(dict.fromkeys([*asked_model_folders(), user_models_folder(), *(shipped or shipped_models_folders())]))


def is_own_model(folder: Path) -> bool:
    """Whether the user put the model there, so that no installer can bring it back."""
    place = folder.parent
    return place in (*asked_model_folders(), user_models_folder()) and place not in shipped_models_folders()
