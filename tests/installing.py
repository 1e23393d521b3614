"""For the tests of install.sh: accounts with an empty home folder and a copy of the checkout, and GIMPs for them.

The packages come from where pip is told to find them; LAPCVAE_TEST_WHEELS names a folder with wheels to use instead.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
COPIED = ("lapcvae", "gimp_plugin", "models", "requirements")
TIMEOUT = 600
# The one that the tests' own environment was installed with, so that nothing is downloaded twice.
CACHE = subprocess.run([sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True).stdout.strip()
WHEELS = ["--offline", os.environ["LAPCVAE_TEST_WHEELS"]] if "LAPCVAE_TEST_WHEELS" in os.environ else []

# What install.sh may ask of a GIMP: its version, a first start, and to try the plug-in.
GIMP = """#!{python}
import json, os, pathlib, sys, time
if "--version" in sys.argv:
    print("GNU Image Manipulation Program version {version}")
elif "-b" not in sys.argv:
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    pathlib.Path(config, "GIMP", "{version}"[:3], "brushes").mkdir(parents=True)
else:
    task = json.loads(sys.argv[sys.argv.index("-b") + 1])
    assert "plug-in-lapcvae-generate" in task["procedures"]
    {trying}
    pathlib.Path(task["answer"]).write_text(json.dumps({{"wrong": {wrong!r}, "gimp": "{version}"}}))
"""


@dataclass(frozen=True)
class Account:
    """A user with a home folder and a copy of the checkout."""

    home: Path
    checkout: Path

    @property
    def data(self) -> Path:
        return self.home / ".local" / "share" / "lapcvae"

    @property
    def plug_in(self) -> Path:
        return self.home / ".config" / "GIMP" / "3.0" / "plug-ins" / "lapcvae-edit"

    def environment(self, **more: str) -> dict[str, str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("XDG_", "LAPCVAE_", "PYTHON"))}
        # A runtime folder of its own, so that no worker of this machine's user is met, and no GIMP of this machine.
        runtime = self.home / "run"
        runtime.mkdir(mode=0o700, exist_ok=True)
        own = {"HOME": str(self.home), "PIP_CACHE_DIR": CACHE, "XDG_RUNTIME_DIR": str(runtime),
               "LAPCVAE_INSTALL_PYTHON": sys.executable, "LAPCVAE_INSTALL_GIMP": ""}  # fmt: skip
        return kept | own | more

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=self.home, env=self.environment(**more), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=TIMEOUT,
        )  # fmt: skip

    def install(self, *options: str, **more: str) -> subprocess.CompletedProcess:
        return self.run(str(self.checkout / "install.sh"), *options, **more)

    def versions(self) -> list[Path]:
        return sorted((self.data / "versions").iterdir())

    def current(self) -> Path:
        return (self.data / "current").resolve(strict=True)

    def command(self, *arguments: str) -> str:
        done = self.run(str(self.home / ".local" / "bin" / "lapcvae"), *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


def copy_of_checkout(folder: Path) -> Path:
    for name in COPIED:
        if (PROJECT / name).exists():
            shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(PROJECT / "install.sh", folder)
    return folder


def new_account(folder: Path) -> Account:
    (folder / "home").mkdir()
    return Account(folder / "home", copy_of_checkout(folder / "checkout"))


def snapshot(folder: Path) -> dict[str, tuple]:
    """Everything in the folder but Python's own caches: kind or target, size, time of the last change."""
    found = {}
    for path in folder.rglob("*"):
        if "__pycache__" not in path.parts and "run" not in path.relative_to(folder).parts[:1]:
            state = path.lstat()
            what = os.readlink(path) if path.is_symlink() else path.is_dir()
            changed = () if path.is_dir() else (state.st_size, state.st_mtime_ns)
            found[str(path.relative_to(folder))] = (what, *changed)
    return found


def gimp_that(folder: Path, version: str, wrong: str = "", trying: str = "pass") -> str:
    """A stand-in for GIMP that finds this wrong with the plug-in, and does `trying` meanwhile."""
    program = folder / f"gimp-{version}"
    program.write_text(GIMP.format(python=sys.executable, version=version, wrong=wrong, trying=trying))
    program.chmod(0o755)
    return str(program)
