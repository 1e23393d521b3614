"""The real GIMP 3.0 and 3.2 for tests: roots made by make_root.sh, and a runner for code inside their console.

LAPCVAE_MODELS: a folder of model bundles to use instead of the project's models/.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
SUITES = {"gimp-3.0": "trixie", "gimp-3.2": "forky"}
REQUIREMENTS = PROJECT / "requirements" / "runtime.txt"
CACHE = Path(os.environ.get("LAPCVAE_ROOTS") or Path.home() / ".cache" / "lapcvae-roots")
END = "THE BATCH REACHED ITS END"
TIMEOUT = 600


@dataclass(frozen=True)
class GimpRunner:
    """A root with GIMP, a Python with the runtime's packages for its worker, and a folder for this run."""

    name: str
    root: Path
    worker: Path
    folder: Path

    def run(
        self,
        *scripts: str,
        variables: dict[str, str] | None = None,
        plug_ins: Path = PROJECT / "gimp_plugin",
        keep_profile: bool = False,
        fonts: bool = False,
    ) -> dict:
        """Execute files of this folder inside GIMP's console, in one namespace; returns what they put into FACTS.

        Every run has a warm profile of its own (or, with `keep_profile`, goes on with that of the run before, as a
        user's next start of GIMP does), and nothing that it starts outlives it. Text layers need `fonts`.
        """
        gimp = ["gimp-console", "-i", "-d", *([] if fonts else ["-f"])]
        return self._run(gimp, scripts, variables or {}, plug_ins, keep_profile)

    def window(
        self, *scripts: str, scenes: str, variables: dict[str, str] | None = None, keep_profile: bool = False
    ) -> dict:
        """As `run`, in GIMP with its window on a screen of its own; `scenes` is the file that plays the plug-in's dialogs.

        What the scenes noted is in the result under "scenes": the dialog's name and visit ("lapcvae-frame-0") -> facts;
        pictures that they took lie in `folder`.
        """
        for old in (*self.folder.glob("*.png"), *self.folder.glob("lapcvae-*.json")):
            old.unlink()
        played = {
            "PYTHONPATH": "/mnt/tests/driver", "LAPCVAE_DRIVER": f"/mnt/tests/{scenes}", "LAPCVAE_DRIVER_FOLDER": "/mnt/run",
        }  # fmt: skip
        screen = "-screen 0 1400x900x24 -nolisten tcp -nolisten local"
        gimp = ["xvfb-run", "-a", "-s", screen, self.name, "--new-instance"]
        facts = self._run(gimp, scripts, played | (variables or {}), PROJECT / "gimp_plugin", keep_profile)
        facts["scenes"] = {f.stem: json.loads(f.read_text()) for f in sorted(self.folder.glob("lapcvae-*.json"))}
        return facts

    def wheels(self) -> Path:
        """A folder with the runtime's packages for the root's Python, downloaded once."""
        folder = self.worker.with_name(self.worker.name.replace("worker", "wheels"))
        if not folder.exists():
            version = next((self.worker / "lib").iterdir()).name.removeprefix("python")
            part = folder.with_suffix(".part")
            pip = _pip("download", version, "--dest", str(part), "-r", str(REQUIREMENTS))
            if pip.returncode:
                pytest.skip(f"the packages for Python {version} cannot be had: {pip.stderr.strip()[-300:]}")
            part.rename(folder)
        return folder

    def _run(self, gimp: list[str], scripts, variables: dict[str, str], plug_ins: Path, keep_profile: bool) -> dict:
        profile = self.folder / "profile"
        if not keep_profile:
            shutil.rmtree(profile, ignore_errors=True)
            shutil.copytree(self.root / "mnt" / "profile", profile)
        (self.folder / "facts.json").unlink(missing_ok=True)
        (self.folder / "batch.py").write_text(
            "FACTS = {}\n"
            + "".join(f"exec(compile(open('/mnt/tests/{s}').read(), {s!r}, 'exec'))\n" for s in scripts)
            + f"json.dump(FACTS, open('/mnt/run/facts.json', 'w')); print({END!r}, flush=True)\n"
        )
        binds = {
            PROJECT: "/mnt/project", HERE: "/mnt/tests", plug_ins: "/mnt/plug-ins", profile: "/mnt/profile",
            self.worker: "/mnt/worker", self.folder: "/mnt/run",
        }  # fmt: skip
        # As of an installed plug-in, its modules are compiled once and not at each call, but not into the checkout.
        inside = {
            "GIMP3_DIRECTORY": "/mnt/profile", "LAPCVAE_HOME": "/mnt/project", "LAPCVAE_STATE": "/mnt/run/state",
            "LAPCVAE_PYTHON": "/mnt/worker/bin/python", "PYTHONPYCACHEPREFIX": "/mnt/run/compiled",
        }  # fmt: skip
        if models := os.environ.get("LAPCVAE_MODELS"):
            binds[Path(models)] = inside["LAPCVAE_MODELS"] = "/mnt/models"
        arguments = [str(HERE / "in_root.sh"), str(self.root)]
        for folder, place in binds.items():
            arguments += ["-b", f"{folder}:{place}"]
        for variable in (inside | variables).items():
            arguments += ["-e", "=".join(variable)]
        code = "exec(compile(open('/mnt/run/batch.py').read(), 'batch.py', 'exec'))"
        gimp = [*gimp, "--batch-interpreter", "python-fu-eval", "-b", code, "--quit"]
        done = subprocess.run(
            [*arguments, "--", *gimp], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT,
            errors="replace",
        )  # fmt: skip
        said = f"exit status {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        # GIMP's exit status is 0 for much that fails, so the end of the batch is asked for as well.
        assert done.returncode == 0 and END in done.stdout, said
        facts = json.loads((self.folder / "facts.json").read_text())
        facts["said"] = said
        return facts


def _root(suite: str) -> Path:
    """The unpacked root; skips, saying why, where this machine cannot make one."""
    folder = CACHE / suite
    made = subprocess.run([str(HERE / "make_root.sh"), suite, str(folder)], capture_output=True, text=True)
    if made.returncode == 3:
        pytest.skip(f"no GIMP here: {made.stderr.strip()}")
    assert made.returncode == 0, made.stderr
    return folder


def _pip(what: str, version: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run the host's pip for another Python, that of a root."""
    digits = version.replace(".", "")
    platforms = [f"manylinux_2_{n}_x86_64" for n in (28, 27, 17)] + ["manylinux2014_x86_64", "any"]
    return subprocess.run(
        [sys.executable, "-m", "pip", what, "-q", "--only-binary=:all:", "--python-version", digits, "--implementation",
         "cp", "--abi", f"cp{digits}", "--abi", "abi3", "--abi", "none",
         *(a for p in platforms for a in ("--platform", p)), *arguments],
        capture_output=True, text=True,
    )  # fmt: skip


def _worker(suite: str, root: Path) -> Path:
    """An environment (laid out like a venv) with the runtime's packages for the root's Python, made on the host."""
    # An environment of the root's own Python would need pip and the network inside.
    wanted = ["-r", str(REQUIREMENTS)] if REQUIREMENTS.exists() else ["onnxruntime", "numpy", "pillow"]
    text = REQUIREMENTS.read_text() if REQUIREMENTS.exists() else " ".join(wanted)
    folder = CACHE / f"worker-{suite}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if folder.exists():
        return folder
    version = subprocess.run(
        ["chroot", str(root), "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    site = part / "lib" / f"python{version}" / "site-packages"
    site.mkdir(parents=True)
    (part / "bin").mkdir()
    (part / "bin" / "python").symlink_to("/usr/bin/python3")
    (part / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {version}\ninclude-system-site-packages = false\n")
    pip = _pip("install", version, "--no-compile", "--target", str(site), *wanted)
    if pip.returncode:
        pytest.skip(f"the worker's packages for Python {version} cannot be had: {pip.stderr.strip()[-300:]}")
    part.rename(folder)
    return folder


@pytest.fixture(scope="module", params=list(SUITES))
def gimp(request, tmp_path_factory) -> GimpRunner:
    """GIMP 3.0, then 3.2."""
    if os.getuid() != 0:
        pytest.skip("no GIMP here: only root can enter a root folder with a Debian and its GIMP")
    if not os.environ.get("LAPCVAE_MODELS") and not (PROJECT / "models").is_dir():
        pytest.skip("no model to edit with: there is no models/ and LAPCVAE_MODELS is not set")
    root = _root(SUITES[request.param])
    return GimpRunner(request.param, root, _worker(SUITES[request.param], root), tmp_path_factory.mktemp("gimp"))
