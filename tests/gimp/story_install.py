"""Runs inside a root as an ordinary user: an installation's life, from ./install.sh to --uninstall.

usage: story_install.py STEP...

Writes what every step came to into /mnt/run/story.json; test_installed.py says what it has to be.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HOME = Path.home()
CHECKOUT = HOME / "checkout"
DATA = HOME / ".local" / "share" / "lapcvae"
END = "THE BATCH REACHED ITS END"


def install(*options: str, **variables: str) -> dict:
    command = [str(CHECKOUT / "install.sh"), *options]
    if "--uninstall" not in options:
        command += ["--offline", "/mnt/wheels"]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=os.environ | variables)
    return {"status": ran.returncode, "said": ran.stdout + ran.stderr}


def gimp(asks: str):
    """What the plug-in in the user's own profile comes to; see batch_installed.py."""
    out = HOME / "facts.json"
    out.unlink(missing_ok=True)
    code = (
        "FACTS = {}\n"
        "for name in ('inside.py', 'batch_installed.py'):\n"
        "    exec(compile(open('/mnt/tests/' + name).read(), name, 'exec'))\n"
        f"json.dump(FACTS, open({str(out)!r}, 'w')); print({END!r}, flush=True)\n"
    )
    ran = subprocess.run(
        ["gimp-console", "-i", "-f", "--batch-interpreter", "python-fu-eval", "-b", code, "--quit"], text=True,
        stdin=subprocess.DEVNULL, capture_output=True, errors="replace", env=os.environ | {"STORY_ASKS": asks},
    )  # fmt: skip
    if END not in ran.stdout:
        return {"failed": ran.stdout[-3000:] + ran.stderr[-3000:]}
    return json.loads(out.read_text())["story"]


def state() -> dict:
    """The present version's folder, and for every profile the version of its plug-in and of its runtime."""
    plug_ins = {}
    for plug_in in sorted(HOME.glob(".config/GIMP/*/plug-ins/lapcvae-edit")):
        code = (plug_in / "lib" / "lapcvae" / "protocol" / "version.py").read_text()
        told = json.loads((plug_in / "lib" / "runtime.json").read_text())
        plug_ins[plug_in.parts[-3]] = [re.search('VERSION = "(.*)"', code)[1], Path(told["python"]).parents[1].name]
    return {"versions": [p.name for p in (DATA / "versions").iterdir()], "plug-ins": plug_ins}


def end_worker() -> None:
    """The one that still runs would do its work whatever has gone."""
    code = "import os; from lapcvae.protocol import client; os.kill(client.running_worker(), 15)"
    subprocess.run([str(DATA / "current" / "bin" / "python"), "-I", "-c", code], check=True)


def first():
    return install() | state() | {"edit": gimp("edit")}


def before_gimp():
    """GIMP 3.0 has been there once and left its profile; the present GIMP comes after LapCVAE, and starts once."""
    (HOME / ".config" / "GIMP" / "3.0").mkdir(parents=True)
    installed = install(LAPCVAE_INSTALL_GIMP="") | {"before": state()}
    return installed | {"edit": gimp("edit"), "again": install()} | state()


def interpreter_gone():
    """As after an upgrade of the system to another Python."""
    end_worker()
    [version] = (DATA / "versions").iterdir()
    python = version / "bin" / "python"
    target = os.readlink(python)
    python.unlink()
    python.symlink_to("/usr/bin/python3.99")
    facts = gimp("answer")
    python.unlink()
    python.symlink_to(target)
    return facts


def upgrade():
    file = CHECKOUT / "lapcvae" / "protocol" / "version.py"
    file.write_text(re.sub('VERSION = ".*"', 'VERSION = "9.9.9"', file.read_text()))
    return install() | state() | {"answer": gimp("answer")}


def deleted():
    end_worker()
    shutil.rmtree(DATA)
    return gimp("answer")


def repaired():
    return install("--repair") | state()


def uninstalled():
    # As GIMP names what was last entered in a dialog.
    for profile in HOME.glob(".config/GIMP/3.*"):
        (profile / "plug-in-settings").mkdir(exist_ok=True)
        (profile / "plug-in-settings" / "GimpProcedureConfigRun-plug-in-lapcvae-coarse.last").touch()
    facts = install("--uninstall")
    left = [str(p.relative_to(HOME)) for p in HOME.rglob("*") if CHECKOUT not in [p, *p.parents]]
    # What GIMP remembers by itself goes at its next start.
    return facts | {"left": [name for name in left if "lapcvae" in name.lower()], "answer": gimp("answer"), "all": left}


facts = {}
if not CHECKOUT.exists():
    shutil.copytree("/mnt/checkout", CHECKOUT)
for step in sys.argv[1:]:
    facts[step] = globals()[step]()
    Path("/mnt/run/story.json").write_text(json.dumps(facts, indent=1))
