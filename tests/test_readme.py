"""What the README tells people to type exists, and so does what it links to."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [shlex.split(line) for block in BLOCKS for line in block.splitlines() if line and not line.startswith("#")]


def in_prose() -> list[list[str]]:
    """Commands between backticks."""
    return [shlex.split(c) for c in re.findall(r"`((?:\./|lapcvae |python )[^`\n]*)`", README)]


def program(command: list[str]) -> list[str]:
    """How to run what the command runs, up to its subcommand."""
    if command[0] == "lapcvae":
        return [sys.executable, "-m", *command[:2]]
    if command[:3] == ["python", "-m", "training"]:
        return [sys.executable, *command[1:4]]
    if command[0] == "python":
        return [sys.executable, command[1]]
    return command[:1]


def test_first_command_installs_and_second_tests():
    assert COMMANDS[:2] == [["./install.sh", "--demo"], ["./tests/run"]]


@pytest.mark.parametrize("command", COMMANDS + in_prose(), ids=" ".join)
def test_command_exists_with_its_options(command):
    done = subprocess.run([*program(command), "--help"], cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    options = [part for part in command if re.match(r"--?[a-z]", part) and command[:2] != ["python", part]]
    known = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", done.stdout)
    assert [o for o in options if o not in known] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
    assert [x for x in links if "://" not in x and not (document.parent / x).exists()] == []


def test_licence_of_the_shipped_model_is_stated():
    assert "non-commercial use" in README and "random_face" in README
    assert (PROJECT / "LICENSE").read_text().count("Apache License") > 1
