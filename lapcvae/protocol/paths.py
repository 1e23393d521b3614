"""Where state, socket, log and models lie.

The socket's folder is the only guard between the worker and other users of the machine, so it is checked here, each
time, before anything in it is used: a real folder, ours, closed to everyone else.
"""

from __future__ import annotations

import os
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


def _socket_name() -> str:
    # The versions are in the name, so that a new client never meets an old worker.
    return f"worker-{VERSION}-{PROTOCOL}.sock"


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


def model_folders(*shipped: Path) -> list[Path]:
    """The folders to scan for models, first match wins: LAPCVAE_MODELS, the user's, the shipped. May not exist."""
    chosen = [Path(p) for p in os.environ.get("LAPCVAE_MODELS", "").split(os.pathsep) if p]
    return list(dict.fromkeys([*chosen, user_models_folder(), *(shipped or shipped_models_folders())]))
