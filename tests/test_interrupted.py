"""install.sh stopped anywhere, or without room: what was installed before stays whole, or the new version is."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from installing import WHEELS, Account, gimp_that, new_account

SLOW = 120
# In memory where there is room for two versions: most of the time goes into writing packages.
MEMORY = Path("/dev/shm")
ROOM = 2 << 30


@pytest.fixture(scope="module")
def account(tmp_path_factory) -> Account:
    """After the first `./install.sh`, with a profile of GIMP 3.0."""
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    folder = Path(tempfile.mkdtemp(prefix="lapcvae-", dir=MEMORY)) if in_memory else tmp_path_factory.mktemp("install")
    account = new_account(folder)
    (account.home / ".config" / "GIMP" / "3.0").mkdir(parents=True)
    done = account.install("--cpu", *WHEELS)
    if "cannot be reached" in done.stderr or "A package is missing in" in done.stderr:
        pytest.skip(f"the packages cannot be had here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr
    yield account
    shutil.rmtree(folder, ignore_errors=True)


def start(account: Account, **more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [str(account.checkout / "install.sh"), "--cpu", *WHEELS], env=account.environment(**more), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def another_version(account: Account) -> None:
    file = account.checkout / "lapcvae" / "protocol" / "version.py"
    text = file.read_text()
    file.write_text(text.replace('VERSION = "', 'VERSION = "1'))
    assert file.read_text() != text


def whole(account: Account) -> str:
    """The version that the command says it is, once command and plug-in have a runtime of their own version each."""
    told = json.loads((account.plug_in / "lib" / "runtime.json").read_text())
    ran = account.run(told["python"], "-I", "-c", "from lapcvae.protocol.version import VERSION; print(VERSION)")
    assert f'VERSION = "{ran.stdout.strip()}"' in (account.plug_in / "lib/lapcvae/protocol/version.py").read_text()
    assert os.access(account.plug_in / "lapcvae-edit.py", os.X_OK)
    return account.command("--version").split()[-1]


def in_the_packages(account: Account, old: Path) -> bool:
    return any(v != old and list(v.glob("lib/python*/site-packages/numpy")) for v in account.versions())


# When to kill, and whether the new version counts already then.
MOMENTS: dict[str, tuple[Callable[[Account, Path], bool], bool]] = {
    "environment": (lambda account, old: len(account.versions()) == 2, False),
    "packages": (in_the_packages, False),
    "switched": (lambda account, old: account.current() != old, True),
}


@pytest.mark.parametrize("moment", list(MOMENTS))
def test_killed_upgrade_leaves_something_whole(account, moment):
    old, version = account.current(), whole(account)
    another_version(account)
    process = start(account)
    reached, switched = MOMENTS[moment]
    deadline = time.monotonic() + SLOW
    while not reached(account, old):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert (account.current() == old) is not switched
    assert (whole(account) == version) is not switched


def test_run_twice_at_once_it_installs_once(account):
    # After the kills above, whose leftovers go.
    another_version(account)
    both = [start(account), start(account)]
    said = sorted((p.communicate(timeout=2 * SLOW)[0] for p in both), key=lambda text: "nothing has changed" in text)
    assert [p.returncode for p in both] == [0, 0], said
    assert "Installing with Python" in said[0] and "nothing has changed" not in said[0]
    assert "Another install.sh is at work" in said[1] and "Installing with Python" not in said[1]
    assert account.versions() == [account.current()]
    assert sorted(p.name for p in account.data.iterdir()) == ["current", "install.lock", "install.log", "versions"]
    assert [p.name for p in account.plug_in.parent.iterdir()] == ["lapcvae-edit"]
    assert [p.name for p in account.plug_in.parents[1].iterdir()] == ["plug-ins"]
    assert f'VERSION = "{whole(account)}"' in (account.checkout / "lapcvae" / "protocol" / "version.py").read_text()


def test_upgrade_that_does_not_work_in_gimp_leaves_the_old_version(account, tmp_path):
    old, version = account.current(), whole(account)
    another_version(account)
    gimp = gimp_that(tmp_path, "3.0.4", wrong="GIMP does not know the procedures plug-in-lapcvae-keep")
    done = account.install("--cpu", *WHEELS, LAPCVAE_INSTALL_GIMP=gimp)
    assert done.returncode == 1 and "plug-in-lapcvae-keep" in done.stderr and "stays" in done.stderr
    assert account.current() == old and account.versions() == [old] and whole(account) == version


# An installation as far as its place goes, for upgrades that fail before they look at it.
OLD = """
mkdir -p ~/.local/share/lapcvae/versions/old ~/.config/GIMP/3.0/plug-ins/lapcvae-edit/lib
ln -s versions/old ~/.local/share/lapcvae/current
echo '{}' > ~/.config/GIMP/3.0/plug-ins/lapcvae-edit/lib/runtime.json
"""


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="only root can mount a small disk")
@pytest.mark.parametrize(
    "prepare, words",
    [
        ("mount -t tmpfs -o size=4m tmpfs ~", "is full"),
        ("mount -t tmpfs -o size=60m tmpfs ~", "is full"),
        ("mount -t tmpfs tmpfs ~; READ_ONLY=\"mount -o remount,ro tmpfs $HOME\"", "Nothing can be written in"),
    ],
    ids=["full soon", "full in the packages", "read-only"],
)
def test_disk_that_takes_no_more(tmp_path, prepare, words):
    stranger = new_account(tmp_path)
    script = f"""
set -e
{prepare}
cd ~
{OLD}
$READ_ONLY
# pip asks rustc for its version, which makes a folder for itself.
list() {{ find ~ ! -name 'install.lo*' ! -path '*/.rustup*' | sort; }}
list > {tmp_path}/before
{stranger.checkout}/install.sh --cpu {" ".join(WHEELS)} || echo status $?
list > {tmp_path}/after
readlink ~/.local/share/lapcvae/current
"""
    done = stranger.run("unshare", "--mount", "--propagation", "private", "bash", "-c", script, XDG_RUNTIME_DIR="")
    assert words in done.stderr and "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-2:] == ["status 1", "versions/old"], done.stdout + done.stderr
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()
