"""install.sh for real: in a copy of the checkout, with an empty home folder.

How it is interrupted is in test_interrupted.py, how it fares with the real GIMP in gimp/test_installed.py.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from installing import PROJECT, WHEELS, Account, gimp_that, new_account, snapshot

from lapcvae import worker
from lapcvae.protocol.version import VERSION

# A second run looks at hashes only; it took 2 s on a slow machine.
QUICK = 20.0
UNREACHABLE = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": "",
               "PIP_RETRIES": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}  # fmt: skip


@pytest.fixture(scope="module")
def account(tmp_path_factory) -> Account:
    """After the first `./install.sh`, with a profile of GIMP 3.0 and one of GIMP 2."""
    account = new_account(tmp_path_factory.mktemp("install"))
    for version in ("2.10", "3.0"):
        (account.home / ".config" / "GIMP" / version).mkdir(parents=True)
        (account.home / ".config" / "GIMP" / version / "gimprc").write_text("# the user's\n")
    other = account.plug_in.parent / "another"
    other.mkdir(parents=True)
    (other / "another.py").write_text("")
    done = account.install("--cpu", *WHEELS)
    if "cannot be reached" in done.stderr or "A package is missing in" in done.stderr:
        pytest.skip(f"the packages cannot be had here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr
    return account


@pytest.fixture
def stranger(tmp_path) -> Account:
    """Somebody who has never installed anything."""
    return new_account(tmp_path)


def test_command_runs_without_the_checkout(account):
    hidden = account.checkout.with_name("hidden")
    account.checkout.rename(hidden)
    try:
        assert account.command("--version").strip() == f"lapcvae {VERSION}"
        shipped = PROJECT / "models"
        names = [p.parent.name for p in shipped.glob("*/manifest.json")]
        if names:
            assert all(n in account.command("models") for n in names)
    finally:
        hidden.rename(account.checkout)


def test_installed_packages_are_those_of_the_lock(account):
    listed = account.run(str(account.current() / "bin" / "python"), "-I", "-m", "pip", "list", "--format", "freeze")
    lock = (PROJECT / "requirements" / "runtime.txt").read_text()
    installed = [line for line in listed.stdout.split() if line.split("==")[0] not in ("pip", "setuptools")]
    assert len(installed) >= 5 and [p for p in installed if f"{p} " not in lock] == []


def test_plug_in_finds_the_runtime_and_its_worker_answers(account):
    assert os.access(account.plug_in / "lapcvae-edit.py", os.X_OK)
    told = json.loads((account.plug_in / "lib" / "runtime.json").read_text())
    assert Path(told["python"]).parents[1] == account.current()
    # What GIMP's Python does: no packages, the protocol beside the plug-in. It starts the worker, then ends it.
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(account.plug_in / "lib")!r})
from lapcvae.protocol import client, messages
class Host:
    def cancelled(self): return False
    def progress(self, done, text): pass
with client.connect() as connection:
    facts = [m.facts for m in connection.ask(messages.StatusRequest(), Host())]
    os.kill(connection.worker_pid, signal.SIGTERM)
print(facts[-1]["worker"]["version"])
"""
    done = account.run(sys.executable, "-I", "-S", "-c", code)
    assert (done.returncode, done.stdout.strip()) == (0, VERSION), done.stderr


def test_only_gimp_3_gets_the_plug_in(account):
    assert [p.name for p in (account.home / ".config" / "GIMP" / "2.10").iterdir()] == ["gimprc"]


def test_second_run_is_quick_and_changes_nothing(account):
    before = snapshot(account.home)
    started = time.monotonic()
    done = account.install("--cpu", *WHEELS)
    seconds = time.monotonic() - started
    assert done.returncode == 0 and "nothing has changed" in done.stdout, done.stdout + done.stderr
    assert snapshot(account.home) == before
    assert seconds < QUICK


def test_damaged_plug_in_is_made_whole(account):
    (account.plug_in / "lib" / "lapcvae" / "protocol" / "client.py").write_text("broken")
    assert account.install("--cpu", *WHEELS).returncode == 0
    client = (account.plug_in / "lib" / "lapcvae" / "protocol" / "client.py").read_bytes()
    assert client == (PROJECT / "lapcvae" / "protocol" / "client.py").read_bytes()
    assert sorted(p.name for p in account.plug_in.parent.iterdir()) == ["another", "lapcvae-edit"]
    assert sorted(p.name for p in account.plug_in.parents[1].iterdir()) == ["gimprc", "plug-ins"]


def test_a_gimp_is_tried_once_and_makes_its_own_profile(account, tmp_path):
    config = tmp_path / "config"
    more = {"LAPCVAE_INSTALL_GIMP": gimp_that(tmp_path, "3.2.6"), "XDG_CONFIG_HOME": str(config)}
    done = account.install("--cpu", *WHEELS, **more)
    assert done.returncode == 0 and "tried in GIMP 3.2.6" in done.stdout, done.stdout + done.stderr
    assert sorted(p.name for p in (config / "GIMP" / "3.2").iterdir()) == ["brushes", "plug-ins"]
    assert (config / "GIMP" / "3.2" / "plug-ins" / "lapcvae-edit" / "lapcvae-edit.py").is_file()
    again = account.install("--cpu", *WHEELS, **more)
    assert again.returncode == 0 and "tried in" not in again.stdout


def test_a_gimp_that_the_plug_in_does_not_work_in_is_named_with_the_reason(account, tmp_path):
    before = snapshot(account.home)
    gimp = gimp_that(tmp_path, "3.4.0", wrong="an edit gave 0 variants")
    done = account.install("--cpu", *WHEELS, LAPCVAE_INSTALL_GIMP=gimp)
    assert done.returncode == 1
    for words in (f"GIMP 3.4.0 ({gimp})", "an edit gave 0 variants", "stays", str(account.data / "install.log")):
        assert words in done.stderr
    after = snapshot(account.home)
    assert {name for name in before | after if before.get(name) != after.get(name)} <= {".local/share/lapcvae/install.log"}


def test_python_without_gi_is_told_with_the_package_to_install(account, tmp_path):
    gimp = gimp_that(tmp_path, "3.0.9", trying="""sys.exit("ModuleNotFoundError: No module named 'gi'")""")
    done = account.install("--cpu", *WHEELS, LAPCVAE_INSTALL_GIMP=gimp)
    assert done.returncode == 1 and "python3-gi" in done.stderr


def test_a_gimp_that_hangs_is_ended_with_all_that_it_started(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(PROJECT / "gimp_plugin" / "proof")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    import prove

    monkeypatch.setattr(prove, "TIMEOUT", 2)
    child = tmp_path / "child"
    trying = f"""import subprocess
    child = subprocess.Popen(["sleep", "600"]); pathlib.Path({str(child)!r}).write_text(str(child.pid)); child.wait()"""
    well, words = prove.prove(gimp_that(tmp_path, "3.0.4", trying=trying), PROJECT / "gimp_plugin" / "lapcvae-edit")
    assert not well and "did not end within 2 seconds" in words
    deadline = time.monotonic() + 10
    while worker._start_time(int(child.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_without_a_gimp_it_says_so_and_installs_the_command(account, tmp_path):
    for gimp in ("", gimp_that(tmp_path, "2.10.36"), "/nowhere/gimp"):
        done = account.install("--cpu", *WHEELS, XDG_CONFIG_HOME=str(tmp_path / "config"), LAPCVAE_INSTALL_GIMP=gimp)
        assert done.returncode == 0 and "no GIMP 3 was found" in done.stdout and "The command is" in done.stdout
        assert not (tmp_path / "config").exists()


def test_a_gimp_that_cannot_be_started_from_here_is_not_said_to_work(account, tmp_path):
    flatpak = account.home / ".local" / "share" / "flatpak" / "app" / "org.gimp.GIMP"
    flatpak.mkdir(parents=True)
    done = account.install("--cpu", *WHEELS, XDG_CONFIG_HOME=str(tmp_path))
    assert done.returncode == 0 and "GIMP has no profile yet. Start it once" in done.stdout
    done = account.install("--cpu", *WHEELS)
    assert "GIMP from Flatpak was not tried" in done.stdout and str(account.plug_in) in done.stdout
    shutil.rmtree(account.home / ".local" / "share" / "flatpak")


def test_onnxruntime_reports_nothing_to_its_makers(account):
    account.command("doctor")
    assert not list(account.home.rglob("onnxruntime.db")) and not list(account.home.rglob("deviceid"))


def test_uninstall_leaves_only_what_was_the_users(account):
    # The last test with this account.
    mine = account.data / "models" / "mine"
    mine.mkdir(parents=True)
    (mine / "manifest.json").write_text("{}")
    done = account.install("--uninstall")
    assert done.returncode == 0 and "is removed" in done.stdout, done.stderr
    left = {str(p.relative_to(account.home)) for p in account.home.rglob("*") if p.is_file() or p.is_symlink()}
    theirs = {".config/GIMP/2.10/gimprc", ".config/GIMP/3.0/gimprc", ".local/share/lapcvae/models/mine/manifest.json",
              ".config/GIMP/3.0/plug-ins/another/another.py"}  # fmt: skip
    # pip asks rustc for its version, which makes a folder for itself; the worker's lock lies in `run`.
    assert {p for p in left if not p.startswith((".rustup/", "run/"))} == theirs
    assert account.install("--uninstall").returncode == 0


def test_uninstall_leaves_another_programs_command(stranger):
    launcher = stranger.home / ".local" / "bin" / "lapcvae"
    launcher.parent.mkdir(parents=True)
    launcher.write_text("#!/bin/sh\necho mine\n")
    assert stranger.install("--uninstall").returncode == 0
    assert launcher.read_text() == "#!/bin/sh\necho mine\n"


def with_programs(folder: Path, *names: str) -> str:
    """A PATH with nothing but these programs."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(shutil.which(name))
    return str(folder)


def test_without_python_it_says_what_to_install(stranger, tmp_path):
    path = with_programs(tmp_path / "bin", "bash", "env", "dirname", "uname", "ls")
    done = stranger.install(PATH=path, LAPCVAE_INSTALL_PYTHON="")
    assert done.returncode == 1
    assert "Python 3.11, 3.12, 3.13 or 3.14 is needed" in done.stderr and "Install" in done.stderr
    assert list(stranger.home.iterdir()) == [stranger.home / "run"]


@pytest.mark.parametrize(
    "answer, words",
    [("no venv 3.13", "modules venv and ensurepip are missing"), ("it is version 3.9", "is needed"), ("", "is needed")],
)
def test_unfit_python_is_named_with_the_reason(stranger, tmp_path, answer, words):
    path = with_programs(tmp_path / "bin", "bash", "env", "dirname", "uname", "ls", "sh")
    python = tmp_path / "bin" / "python3.13"
    python.write_text(f"#!/bin/sh\n[ -n '{answer}' ] || exit 1\necho '{answer}'\n")
    python.chmod(0o755)
    done = stranger.install(PATH=path, LAPCVAE_INSTALL_PYTHON="")
    assert done.returncode == 1
    assert words in done.stderr and f"{python}: {answer or 'it does not run'}" in done.stderr


def test_without_network_it_says_so_and_leaves_nothing_behind(stranger):
    done = stranger.install("--cpu", **UNREACHABLE)
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr and "--offline" in done.stderr and "Traceback" not in done.stderr
    assert stranger.versions() == []
    assert sorted(p.name for p in stranger.data.iterdir()) == ["install.lock", "install.log", "versions"]
    assert not (stranger.home / ".local" / "bin").exists()


def test_folder_without_the_wheels_is_named(stranger, tmp_path):
    (tmp_path / "wheels").mkdir()
    nothing_else = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
    done = stranger.install("--cpu", "--offline", str(tmp_path / "wheels"), **nothing_else)
    assert done.returncode == 1 and f"A package is missing in {tmp_path / 'wheels'}" in done.stderr
    assert stranger.versions() == []


def test_demo_without_a_model_says_so_before_anything_is_made(stranger):
    shutil.rmtree(stranger.checkout / "models", ignore_errors=True)
    done = stranger.install("--demo")
    assert done.returncode == 1 and "no model" in done.stderr
    assert not stranger.data.exists()


@pytest.mark.parametrize("options", [["--dmeo"], ["--offline"], ["--offline", "/nowhere"]])
def test_wrong_options_are_refused(stranger, options):
    done = stranger.install(*options)
    assert done.returncode == 1 and options[-1] in done.stderr
    assert not stranger.data.exists()
