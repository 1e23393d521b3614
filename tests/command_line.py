"""The command line from outside, for its tests: files in, files, exit status and words out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import toy
from PIL import Image

from lapcvae import cli

COMMON = ["-n", "2", "--temperature", "1"]


def save_strokes(path: Path, width: int, height: int) -> None:
    rgba = np.zeros((height, width, 4), np.uint8)
    x, y = width // 2, height // 2
    rgba[y - height // 9 : y + height // 9, x - width // 9 : x + width // 9] = (190, 30, 60, 255)
    Image.fromarray(rgba).save(path)


def run(*arguments) -> int:
    """The exit status, also where argparse ends the program itself."""
    try:
        return cli.main([str(a) for a in arguments])
    except SystemExit as ended:
        return ended.code


def failure(capsys, *arguments) -> str:
    """What an edit that cannot be done says; it must say what to do in a second line, without a traceback."""
    assert run(*arguments) == 1
    lines = capsys.readouterr().err.splitlines(keepends=True)
    said = "".join(line for line in lines if not line.startswith("note: "))
    assert said.startswith("lapcvae: ") and len(said.strip().splitlines()) >= 2
    assert "Traceback" not in said and "unexpected" not in said
    return said


def edit(work: Path, picture: Path, *more, out: str = "out") -> Path:
    assert run("edit", picture, work / "strokes.png", "-o", work / out, *COMMON, *more) == 0
    return work / out


def started(*arguments, folder: Path, **options) -> subprocess.Popen:
    """The command as a process of its own, in `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(toy.REPOSITORY)}
    command = [sys.executable, "-m", "lapcvae", *map(str, arguments)]
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, **options)
