"""Who may import whom, and what no file may contain."""

import ast
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lapcvae

PROJECT = Path(__file__).resolve().parents[1]
RUNTIME = sorted((PROJECT / "lapcvae").rglob("*.py"))
PROTOCOL = sorted((PROJECT / "lapcvae" / "protocol").glob("*.py"))
PLUG_IN = sorted((PROJECT / "gimp_plugin").rglob("*.py"))
NOT_OURS = {".git", ".venv", "runs", "demo", "build", "dist", "__pycache__", ".pytest_cache", ".ruff_cache"}
# In two pieces, so that this file does not contain them.
REGISTRIES = [a + b for a, b in [("pypi", ".org"), ("pythonhosted", ".org"), ("download.pytorch", ".org"),
                                 ("conda", ".org"), ("anaconda", ".org"), ("pypi.nvidia", ".com"),
                                 ("--index", "-url "), ("--extra-index", "-url ")]]  # fmt: skip


def imports(file: Path) -> Iterator[str]:
    """The absolute names of what the file imports, wherever in it that is."""
    package = file.relative_to(PROJECT).parent.parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*start, *filter(None, [node.module])])
            # `from . import client` imports the module of that name.
            yield from ([f"{base}.{alias.name}" for alias in node.names] if node.module is None else [base])


def of_library(name: str) -> bool:
    return name.split(".")[0] in sys.stdlib_module_names


def name(file: Path) -> str:
    return str(file.relative_to(PROJECT))


def test_there_are_files_to_look_at():
    assert len(RUNTIME) > 20 and len(PROTOCOL) > 7 and len(PLUG_IN) > 4


def test_relative_imports_are_seen():
    assert {"lapcvae.protocol.framing", "lapcvae.protocol.errors", "socket"} <= set(
        imports(PROJECT / "lapcvae" / "protocol" / "client.py")
    )


def test_package_itself_is_empty():
    assert (PROJECT / "lapcvae" / "__init__.py").read_bytes() == b""


@pytest.mark.parametrize("file", PROTOCOL, ids=name)
def test_protocol_imports_only_the_standard_library(file):
    assert [n for n in imports(file) if not of_library(n) and not n.startswith("lapcvae.protocol")] == []


@pytest.mark.parametrize("file", PLUG_IN, ids=name)
def test_plug_in_imports_only_gi_and_the_protocol(file):
    own = {other.stem for other in file.parent.glob("*.py")}
    allowed = [n for n in imports(file) if n in own or n.split(".")[0] == "gi" or n.startswith("lapcvae.protocol")]
    assert [n for n in imports(file) if not of_library(n) and n not in allowed] == []


@pytest.mark.parametrize("file", RUNTIME, ids=name)
def test_runtime_never_imports_what_is_for_training_or_gimp(file):
    assert [n for n in imports(file) if n.split(".")[0] in ("torch", "onnx", "training", "gi")] == []


def test_no_module_of_the_runtime_brings_torch_along():
    modules = [m.name for m in pkgutil.walk_packages(lapcvae.__path__, "lapcvae.") if not m.name.endswith("__main__")]
    assert {"lapcvae.service", "lapcvae.cli", "lapcvae.worker"} <= set(modules)
    code = (
        f"import importlib, sys; sys.path.insert(0, {str(PROJECT)!r})\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(sorted({'torch', 'gi', 'training', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_protocol_works_without_any_packages():
    code = f"import sys; sys.path.insert(0, {str(PROJECT)!r}); import lapcvae.protocol.client as c; print(c.PROTOCOL)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and int(done.stdout) >= 1, done.stderr


def texts() -> Iterator[tuple[Path, str]]:
    for folder, folders, files in os.walk(PROJECT):
        folders[:] = [f for f in folders if f not in NOT_OURS and not f.endswith(".egg-info")]
        for file in map(Path(folder).joinpath, files):
            if file.stat().st_size < 1 << 21:
                yield file, file.read_bytes().decode("latin-1")


def test_no_file_names_a_package_registry():
    found = [(name(file), word) for file, text in texts() for word in REGISTRIES if word in text]
    assert found == []


def test_scripts_may_be_executed():
    scripts = ["install.sh", "tests/run", ".ci/run", "requirements/lock.sh", "training/faces.sh", "training/sprint.sh",
               "gimp_plugin/lapcvae-edit/lapcvae-edit.py"]  # fmt: skip
    assert [s for s in scripts if not os.access(PROJECT / s, os.X_OK)] == []


@pytest.mark.parametrize("lock", ["runtime.txt", "gpu.txt"])
def test_every_package_of_a_lock_has_one_version_and_hashes(lock):
    pins = {}
    for entry in (PROJECT / "requirements" / lock).read_text().replace("\\\n", " ").splitlines():
        pin, *hashes = entry.split()
        package, version = pin.split("==")
        assert hashes and all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", h) for h in hashes), entry[:80]
        assert pins.setdefault(package, version) == version
    wanted = {line for line in (PROJECT / "requirements" / lock).with_suffix(".in").read_text().split("\n")
              if line and not line.startswith("#")}  # fmt: skip
    assert {w.split("[")[0] for w in wanted} <= set(pins)
