"""Try LapCVAE's plug-in in a GIMP of this machine, as install.sh does before it lets a version count.

usage: python prove.py GIMP [PLUG_IN]

GIMP is a program (gimp-console, or gimp), PLUG_IN the folder of the plug-in as it is installed. GIMP runs without a
window, in a profile of its own in which there is nothing but the plug-in and `lapcvae-proof`; see there for what is
tried. Prints GIMP's version, or in words what is wrong (status 1); on standard error comes what GIMP and the worker
said, for the log. Without PLUG_IN GIMP is only started and ended once, for it to make the user's profile.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from lapcvae.protocol import client
from lapcvae.protocol.errors import LapcvaeError

HERE = Path(__file__).resolve().parent
# In seconds; a GIMP that works needs 5 to 10, the first run on a GPU some more.
TIMEOUT = 180
# What GIMP sees that is started from the desktop and not from this terminal, whose python3 may be another one.
PATH = "/usr/local/bin:/usr/bin:/bin"
# What would make GIMP show something, and what would lead it to the user's own settings and models.
SHOWS = ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS")
LEADS = ("VIRTUAL_ENV", "LAPCVAE_", "PYTHON", "GIMP")


def quiet_environment(gimp: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith((*SHOWS, *LEADS))}
    path = f"{Path(gimp).absolute().parent}:{PATH}"
    return kept | {"PATH": path, "NO_AT_BRIDGE": "1", "GSETTINGS_BACKEND": "memory", "PYTHONDONTWRITEBYTECODE": "1"}


def environment(gimp: str, profile: Path) -> dict[str, str]:
    own = {f"XDG_{what}_HOME": str(profile / what.lower()) for what in ("CACHE", "CONFIG", "DATA", "STATE")}
    return quiet_environment(gimp) | own | {"GIMP3_DIRECTORY": str(profile)}


def make_profile(profile: Path, plug_in: Path) -> None:
    (profile / "plug-ins").mkdir()
    for folder in (plug_in, HERE / "lapcvae-proof"):
        (profile / "plug-ins" / folder.name).symlink_to(folder)
    (profile / "gimprc").write_text('(check-updates no)\n(plug-in-path "${gimp_dir}/plug-ins")\n', encoding="utf-8")


def run(gimp: str, arguments: list[str], variables: dict[str, str], output: Path) -> str:
    """Run GIMP to its end, what it says going to a file; returns why it did not get there, empty if it did."""
    with output.open("wb") as said:
        try:
            process = subprocess.Popen([gimp, "-i", *arguments, "--quit"], stdin=subprocess.DEVNULL,
                                       stdout=said, stderr=said, env=variables, start_new_session=True)  # fmt: skip
        except OSError as error:
            return f"it cannot be run: {error.strerror}"
        try:
            status = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            return f"it did not end within {TIMEOUT} seconds"
        finally:
            # Also plug-ins that hang.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return f"it ended with status {status}" if status else ""


def end_worker() -> None:
    with contextlib.suppress(LapcvaeError, OSError):
        if pid := client.running_worker():
            os.kill(pid, signal.SIGTERM)


def explained(reason: str, said: str) -> str:
    """The reason, with what GIMP said about it and what helps."""
    if "No module named 'gi'" in said:
        return (
            "its Python plug-ins do not work: python3 has no module gi.\n"
            "Install it (Debian: python3-gi, Fedora: python3-gobject, Arch: python-gobject), then run install.sh again."
        )
    errors = re.findall(r"^\w*(?:Error|Exception): .*", said, re.MULTILINE)
    return f"{reason} ({errors[-1][:300]})" if errors else reason


def read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""


def first_start(gimp: str) -> tuple[bool, str]:
    # With its brushes and so on: left out (-d), they would lose the tags that they come with.
    with tempfile.TemporaryDirectory(prefix="lapcvae-") as folder:
        reason = run(gimp, [], quiet_environment(gimp), Path(folder, "said"))
        print(f"{gimp}:\n{read(Path(folder, 'said'))}", file=sys.stderr)
    return not reason, reason


def prove(gimp: str, plug_in: Path) -> tuple[bool, str]:
    """(whether all is well, GIMP's version or what is wrong)."""
    names = sorted(set(re.findall(r'"(plug-in-lapcvae-[a-z-]+)"', read(plug_in / f"{plug_in.name}.py"))))
    with tempfile.TemporaryDirectory(prefix="lapcvae-", ignore_cleanup_errors=True) as folder:
        profile, answer = Path(folder), Path(folder, "answer")
        make_profile(profile, plug_in)
        task = json.dumps({"procedures": names, "answer": str(answer)})
        try:
            reason = run(gimp, ["-d", "-f", "--batch-interpreter", "lapcvae-proof", "-b", task],
                         environment(gimp, profile), profile / "said")  # fmt: skip
        finally:
            end_worker()
        said = read(profile / "said")
        print(f"{gimp}:\n{said}\n{read(profile / 'state' / 'lapcvae' / 'worker.log')}", file=sys.stderr)
        # The answer counts, whatever GIMP does at its end.
        facts = json.loads(read(answer) or "{}")
    if facts:
        return not facts["wrong"], facts["wrong"] or facts["gimp"]
    return False, explained(f"{reason or 'it ended'} before the plug-in had been tried", said)


def main() -> int:
    # They are about another runtime than the one that is tried.
    for name in [n for n in os.environ if n.startswith("LAPCVAE_")]:
        del os.environ[name]
    gimp, *plug_in = sys.argv[1:]
    try:
        well, words = prove(gimp, Path(*plug_in)) if plug_in else first_start(gimp)
    except OSError as error:
        well, words = False, f"it could not be tried: {error}"
    print(words)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
