#!/usr/bin/env bash
# Installs LapCVAE for the user who runs it; needs no root. See `usage` below.
#
# Everything of one version lies in one folder, DATA/versions/VERSION-...: a Python environment with the packages of a
# hash lock, the package, the models, the plug-in. It counts from the moment that the link DATA/current points to it,
# which is one rename and comes after the plug-in was tried in every GIMP that can be run; whatever else lies in
# DATA/versions is left over from an interrupted run and is removed by the next one. GIMP's profiles get copies of the
# plug-in, which say what to do even when everything else is gone. A copy names the very version that it came with, and
# is exchanged, in one step, before an old version is removed. So at every moment what is installed is whole.
set -euo pipefail

usage() {
  cat << 'TEXT'
usage: ./install.sh [OPTION]...

Installs the command `lapcvae` and, for every GIMP 3 that is found, its plug-in, after trying that plug-in in it. Needs
no root. Run it again to upgrade. docs/installing.md says what is put where.

  --demo          install the command only (no GIMP needed), edit the bundled photo and say where the results are
  --cpu           install the runtime for the processor
  --gpu           install the runtime for an NVIDIA GPU (Linux x86_64, driver 580 or later; a download of about 2 GB)
                  default: --gpu where such a driver is loaded, else --cpu
  --offline DIR   take the packages from the wheel files in DIR, use no network
  --repair        install again even if nothing has changed
  --uninstall     remove everything that this script has made; your own models stay
  --help          show this
TEXT
}

readonly OLDEST_DRIVER=580
readonly PLUG_IN=lapcvae-edit
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
readonly source
demo='' device='' wheels='' repair='' uninstall=''
data='' state='' launcher='' log='' build='' python='' said='' explained=''
# For what is run from here, too: onnxruntime is not to report to its makers.
export ORT_DISABLE_TELEMETRY=1

say() { printf '%s\n' "$*"; }

# fail CAUSE [REMEDY]
fail() {
  printf 'install.sh: %s\n' "$@" >&2
  explained=yes
  exit 1
}

# Run a command. What it says goes to the log and is kept in `said`, since the log's disk may be what is full.
logged() { said=$("$@" 2>&1 | tee -a "$log" 2> /dev/null); }

parse() {
  while [ $# -gt 0 ]; do
    case $1 in
      --demo) demo=yes ;;
      --cpu) device=cpu ;;
      --gpu) device=gpu ;;
      --repair) repair=yes ;;
      --uninstall) uninstall=yes ;;
      --offline)
        [ -d "${2:-}" ] || fail "--offline wants a folder with wheel files, not \"${2:-}\"."
        wheels=$(cd "$2" && pwd -P)
        shift
        ;;
      --help | -h) usage; exit 0 ;;
      *) usage >&2; fail "what is $1?" ;;
    esac
    shift
  done
}

find_places() {
  [ -d "${HOME:-}" ] || fail "HOME is not a folder." "Set HOME to your home folder."
  data=$(xdg "${XDG_DATA_HOME:-}" .local/share)/lapcvae
  state=$(xdg "${XDG_STATE_HOME:-}" .local/state)/lapcvae
  log=$data/install.log
  launcher=$HOME/.local/bin/lapcvae
}

xdg() { case $1 in /*) say "$1" ;; *) say "$HOME/$2" ;; esac; }

# Go on once no other install.sh is at work. The lock falls with this process and its children, whatever ends them.
lock() {
  while :; do
    { mkdir -p "$data/versions" && : >> "$data/install.lock" && : >> "$log"; } 2> /dev/null ||
      fail "Nothing can be written in $data." "Make that possible (or room, if the disk is full), then run install.sh again."
    exec 9>> "$data/install.lock"
    if "$python" -I - "$data/install.lock" << 'CODE'
import fcntl, os, sys

try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("Another install.sh is at work; waiting until it has finished.", flush=True)
    fcntl.flock(9, fcntl.LOCK_EX)
except OSError:
    sys.exit(0)  # a file system without locks
try:
    # The other one may have been --uninstall, which removes the file.
    sys.exit(not os.path.samestat(os.fstat(9), os.stat(sys.argv[1])))
except FileNotFoundError:
    sys.exit(1)
CODE
    then return; fi
  done
}

# ---- Python

# The names to try, best known first; what the user may have got with uv comes last.
python_candidates() {
  [ -z "${LAPCVAE_INSTALL_PYTHON:-}" ] || say "$LAPCVAE_INSTALL_PYTHON"
  printf '%s\n' python3.14 python3.13 python3.12 python3.11 python3
  if command -v uv > /dev/null; then uv python find --no-project '>=3.11,<3.15' 2> /dev/null || true; fi
}

# Prints "ok", or what makes the Python $1 unfit.
fitness() {
  "$1" -I -c '
import importlib.util, platform, struct, sys, sysconfig
version = "%d.%d" % sys.version_info[:2]
if not (3, 11) <= sys.version_info[:2] <= (3, 14): print("it is version", version)
elif struct.calcsize("P") != 8: print("it is a 32-bit program")
elif sysconfig.get_config_var("Py_GIL_DISABLED"): print("it is a free-threaded build")
elif not importlib.util.find_spec("venv") or not importlib.util.find_spec("ensurepip"): print("no venv", version)
else: print("ok")' 2> /dev/null || say "it does not run"
}

how_to_get_python() {
  local families='' version=${1:-}
  # shellcheck disable=SC1091
  if [ -r /etc/os-release ]; then families=$(. /etc/os-release && say "${ID:-} ${ID_LIKE:-}"); fi
  case "$(uname -s) $families" in
    Darwin*) say "Install one, for example: brew install python@3.13" ;;
    *debian* | *ubuntu*) say "Install it: sudo apt install python${version:-3}-venv" ;;
    *fedora* | *rhel*) say "Install one: sudo dnf install python${version:-3.13}" ;;
    *suse*) say "Install one: sudo zypper install python313" ;;
    *arch*) say "Install one: sudo pacman -S python" ;;
    *) say "Install Python 3.11, 3.12, 3.13 or 3.14 with venv." ;;
  esac
  say "Without root: install uv (docs.astral.sh/uv), then run: uv python install 3.13. Then run install.sh again."
}

find_python() {
  local name state seen='' lacking=''
  while read -r name; do
    name=$(command -v "$name") || continue
    state=$(fitness "$name")
    case $state in
      ok)
        # The program itself, not what a version manager puts in front of it; and by the name with its version, since
        # a plain python3 will be another one after the system's next upgrade.
        python=$("$name" -I -c '
import os, sys
versioned = os.path.join(os.path.dirname(sys.executable), "python%d.%d" % sys.version_info[:2])
print(versioned if os.access(versioned, os.X_OK) else sys.executable)')
        return
        ;;
      "no venv "*) lacking=${lacking:-${state#no venv }} ;;
    esac
    seen="$seen"$'\n'"  $name: $state"
  done < <(python_candidates)
  if [ -n "$lacking" ]; then
    fail "Python $lacking is here, but its modules venv and ensurepip are missing.$seen" "$(how_to_get_python "$lacking")"
  fi
  fail "Python 3.11, 3.12, 3.13 or 3.14 is needed.${seen:- None was found.}" "$(how_to_get_python)"
}

# ---- CPU or GPU

driver_version() {
  cat /sys/module/nvidia/version 2> /dev/null ||
    nvidia-smi --query-gpu=driver_version --format=csv,noheader 2> /dev/null | head -n 1 || true
}

choose_device() {
  local platform driver
  platform="$(uname -s) $(uname -m)"
  [ "$platform" != "Darwin x86_64" ] || fail "There is no ONNX Runtime for macOS on Intel processors any more."
  if [ "$device" = gpu ] && [ "$platform" != "Linux x86_64" ]; then
    fail "--gpu is for Linux on x86_64, this is $platform." "Run install.sh --cpu."
  fi
  [ -z "$device" ] || return 0
  device=cpu
  driver=$(driver_version)
  if [ -z "$driver" ]; then
    say "The runtime for the processor is chosen: no NVIDIA driver is loaded."
  elif [ "$platform" != "Linux x86_64" ]; then
    say "The runtime for the processor is chosen: the one for GPUs exists for Linux on x86_64 only."
  elif [ "${driver%%.*}" -lt $OLDEST_DRIVER ]; then
    say "The runtime for the processor is chosen: the NVIDIA driver is $driver, $OLDEST_DRIVER or later is needed."
  else
    device=gpu
    say "The runtime for the GPU is chosen: NVIDIA driver $driver."
  fi
}

requirements() {
  if [ "$device" = gpu ]; then say "$source/requirements/gpu.txt"; else say "$source/requirements/runtime.txt"; fi
}

# ---- One version

version() {
  "$python" -I -c 'import runpy, sys; print(runpy.run_path(sys.argv[1])["VERSION"])' "$source/lapcvae/protocol/version.py"
}

# What the installed version is made from, as a hash: Python, lock, package, models, plug-in, this script.
wanted_key() {
  "$python" -I - "$source" "$(requirements)" << 'CODE'
import hashlib, pathlib, sys

source, lock = map(pathlib.Path, sys.argv[1:])
files = [lock, source / "install.sh"]
for folder in ("lapcvae", "models", "gimp_plugin"):
    files += sorted(p for p in (source / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts)
total = hashlib.sha256(f"{sys.version} {sys.base_prefix}".encode())
for file in files:
    total.update(f"{file.relative_to(source)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
print(total.hexdigest())
CODE
}

# Both names lie in one folder; the second one, a link or a file, is replaced in one step.
rename_over() { "$python" -I -c 'import os, sys; os.replace(*sys.argv[1:])' "$1" "$2"; }

is_whole() { # $1: a version's folder, $2: the key it should have
  [ "$(cat "$1/lapcvae-key" 2> /dev/null)" = "$2" ] && [ -f "$1/$PLUG_IN/lib/runtime.json" ] &&
    "$1/bin/python" -I -c 'import lapcvae.cli, lapcvae.service' > /dev/null 2>&1
}

is_full() {
  case $said in *"No space left"* | *"quota exceeded"*) return 0 ;; esac
  [ "$(df -Pk "$data" 2> /dev/null | awk 'NR == 2 { print $4 }')" -lt 10000 ] 2> /dev/null
}

fail_if_full() {
  if is_full; then
    fail "The disk with $data (or with ${TMPDIR:-/tmp}) is full." \
      "Make room (600 MB; 6 GB with --gpu), then run install.sh again."
  fi
}

explain_pip() {
  local errors wanted
  fail_if_full
  errors=$(printf '%s\n' "$said" | grep "^ERROR" | head -n 3)
  wanted=$(requirements)
  case $said in
    *"DO NOT MATCH THE HASHES"*)
      fail "A package that was downloaded is not the one that was tested; nothing was installed." \
        "Run install.sh again; if it stays, look at what stands between you and the package index. Log: $log" ;;
  esac
  if [ -n "$wheels" ]; then
    fail "A package is missing in $wheels:" "${errors%%$'\n'*}" \
      "Where there is a network, run: python3 -m pip download --only-binary=:all: -d DIR -r ${wanted#"$source"/}" \
      "(with the same version of Python), then come back with DIR. Log: $log"
  fi
  case $said in
    *NewConnectionError* | *"Temporary failure"* | *"Name or service"* | *"timed out"* | *unreachable* | *ProxyError* | \
      *SSLError*)
      fail "The package index cannot be reached." \
        "Check the network (HTTPS_PROXY, if you need a proxy) and run install.sh again; or see --offline. Log: $log" ;;
    *"No matching distribution"*)
      fail "A package is not made for this system:" "$errors" \
        "Needed are glibc 2.28 or later, or macOS 14 or later. Another Python may help: LAPCVAE_INSTALL_PYTHON. Log: $log" ;;
  esac
  fail "The packages could not be installed:" "$errors" "Log: $log"
}

pip_install() {
  local options=(--require-hashes --only-binary=:all: --no-input --disable-pip-version-check)
  [ -z "$wheels" ] || options+=(--no-index --find-links "$wheels")
  # The user's own settings for pip (a mirror, a proxy) are meant to hold, those for another place are not.
  logged env -u PIP_TARGET -u PIP_PREFIX -u PIP_REQUIREMENT PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 \
    "$build/bin/python" -I -m pip install "${options[@]}" -r "$(requirements)" || explain_pip
}

# Package, models and what tries the plug-in lie in VERSION/app; the packages of VERSION's Python point there.
copy_in() {
  local app=$build/app
  mkdir "$app"
  cp -R "$source/lapcvae" "$source/gimp_plugin/proof" "$app/"
  if [ -d "$source/models" ]; then cp -R "$source/models" "$app/"; fi
  write_runtime_json "$app"
  "$python" -I -c '
import pathlib, sys
[site] = pathlib.Path(sys.argv[1]).glob("lib/python*/site-packages")
(site / "lapcvae.pth").write_text(sys.argv[1] + "/app\n")' "$build"
  # The plug-in, as it will be in GIMP's profiles: with the protocol, and the place of the runtime.
  cp -R "$source/gimp_plugin/$PLUG_IN" "$build/"
  mkdir -p "$build/$PLUG_IN/lib/lapcvae"
  cp -R "$source/lapcvae/__init__.py" "$source/lapcvae/protocol" "$build/$PLUG_IN/lib/lapcvae/"
  write_runtime_json "$build/$PLUG_IN/lib"
  chmod 755 "$build/$PLUG_IN/$PLUG_IN.py" "$app/proof/lapcvae-proof/lapcvae-proof.py"
  find "$app" "$build/$PLUG_IN" -name __pycache__ -prune -exec rm -rf {} +
  logged "$build/bin/python" -I -m compileall -q "$app/lapcvae"
}

# For lapcvae/protocol/paths.py: the same in both places, so that plug-in and command mean the same worker.
write_runtime_json() { # $1: the folder that holds a package `lapcvae`
  "$python" -I -c '
import json, sys
print(json.dumps(dict(zip(("python", "package", "source"), sys.argv[1:]))))' \
    "$build/bin/python" "$build/app" "$source" > "$1/runtime.json"
}

build_version() { # $1: the key
  build=$data/versions/$(version)-$(printf %.8s "$1")-$$
  : > "$log"
  say "Installing with Python $("$python" -I -c 'import platform; print(platform.python_version())'), $python."
  [ -n "$wheels" ] || say "Packages are downloaded; this takes a minute or more. Log: $log"
  logged "$python" -I -m venv "$build" ||
    { fail_if_full; fail "No Python environment could be made in $build." "${said##*$'\n'}" "Log: $log"; }
  pip_install
  copy_in
  say "$1" > "$build/lapcvae-key"
  is_whole "$build" "$1" || fail "What was installed does not start: $("$build/bin/python" -I -c \
    'import lapcvae.cli, lapcvae.service' 2>&1 | tail -n 1)" "Run install.sh again; if it stays, report it. Log: $log"
}

current_version() { if [ -L "$data/current" ]; then readlink "$data/current"; fi; }

# End the worker that runs from a version's folder, $1, whose files go away, and remove its socket and locks.
end_worker() {
  "$1/bin/python" -I -c '
import os, signal, time
from lapcvae.protocol import client, paths
if pid := client.running_worker():
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 5
    while client.running_worker() and time.monotonic() < deadline: time.sleep(.05)
for left in paths.runtime_folder().glob(paths.socket_path().stem + ".*"): left.unlink()
os.rmdir(paths.runtime_folder())' > /dev/null 2>&1 || true
}

# What an interrupted run has left is among them.
remove_old_versions() {
  local folder kept
  kept=$(current_version)
  for folder in "$data"/versions/*; do
    if [ -d "$folder" ] && [ "versions/${folder##*/}" != "$kept" ]; then
      end_worker "$folder"
      rm -rf "$folder"
    fi
  done
  for folder in "$data"/current.*; do
    if [ -L "$folder" ]; then rm -f "$folder"; fi
  done
}

install_version() {
  local key
  key=$(wanted_key)
  if [ -z "$repair" ] && is_whole "$data/current" "$key"; then
    if wants_plug_in; then try_plug_in "$data/$(current_version)"; fi
    say "LapCVAE $(version) is installed; nothing has changed."
    return
  fi
  build_version "$key"
  if wants_plug_in; then try_plug_in "$build"; fi
  ln -s "versions/${build##*/}" "$data/current.$$"
  rename_over "$data/current.$$" "$data/current"
  build=''
  say "LapCVAE $(version) is installed in $data."
}

# ---- The command

is_ours() { [ ! -e "$1" ] || grep -q "Made by LapCVAE's install.sh" "$1" 2> /dev/null; }

install_command() {
  local text quoted=${data//\'/\'\\\'\'}
  text="#!/bin/sh
# Made by LapCVAE's install.sh.
exec '$quoted/current/bin/python' -I -m lapcvae \"\$@\""
  if ! is_ours "$launcher"; then
    say "$launcher is another program's; the command is: $data/current/bin/python -I -m lapcvae"
    return
  fi
  if [ "$(cat "$launcher" 2> /dev/null)" != "$text" ]; then
    mkdir -p "${launcher%/*}"
    say "$text" > "$launcher.$$"
    chmod 755 "$launcher.$$"
    rename_over "$launcher.$$" "$launcher"
  fi
  case ":$PATH:" in
    *":${launcher%/*}:"*) say "The command is: lapcvae" ;;
    *) say "The command is: $launcher (its folder is not in PATH)" ;;
  esac
}

# ---- The GIMPs

# Every GIMP 3 that can be tried, one a line: version, program. Those of Snap and macOS have not been tried this way by
# anyone, so they are left out; LAPCVAE_INSTALL_GIMP (programs, separated by colons) names others than those in PATH.
gimps() {
  local program version seen=' none ' names
  names=$(say "${LAPCVAE_INSTALL_GIMP-}" | tr : '\n')
  [ -n "${LAPCVAE_INSTALL_GIMP+set}" ] || names=$(compgen -c gimp-console | sort -u; say gimp)
  [ "$(uname -s)" != Darwin ] || return 0
  while read -r program; do
    program=$(command -v "$program" || true)
    case $program in /snap/* | /var/lib/snapd/* | '') continue ;; esac
    version=$(LC_ALL=C "$program" --version 2> /dev/null < /dev/null || true)
    version=$(say "$version" | sed -nE 's/.*version (3\.[0-9.]+).*/\1/p' | head -n 1)
    case $seen in *" ${version:-none} "*) continue ;; esac
    seen="$seen$version "
    say "$version $program"
  done <<< "$names"
}

# Those that this script cannot start, one a line.
other_gimps() {
  local folder
  for folder in /var/lib/flatpak "$HOME/.local/share/flatpak"; do
    if [ -d "$folder/app/org.gimp.GIMP" ]; then say "GIMP from Flatpak"; break; fi
  done
  if [ -d /snap/gimp ] || [ -d "$HOME/snap/gimp" ]; then say "GIMP from Snap"; fi
  if [ -d /Applications/GIMP.app ]; then say "GIMP for macOS"; fi
}

gimp_folder() {
  if [ "$(uname -s)" = Darwin ]; then say "$HOME/Library/Application Support/GIMP"
  else say "$(xdg "${XDG_CONFIG_HOME:-}" .config)/GIMP"; fi
}

# The profile folders of GIMP 3 that are there, one a line. AppImages, and Flatpak as a rule, use the common ones.
present_profiles() {
  local folder
  for folder in "$(gimp_folder)" "$HOME/.var/app/org.gimp.GIMP/config/GIMP" "$HOME/snap/gimp/current/.config/GIMP"; do
    ls -d "$folder"/3.* 2> /dev/null || true
  done
  case ${GIMP3_DIRECTORY:-} in /*) if [ -d "$GIMP3_DIRECTORY" ]; then say "$GIMP3_DIRECTORY"; fi ;; esac
}

# Have every GIMP that has never been started make its profile, as its first start does: it takes over settings from an
# older one, for which its own folder must not be there yet.
make_profiles() {
  local version gimp
  [ -z "${GIMP3_DIRECTORY:-}" ] || return 0
  gimps | while read -r version gimp; do
    if [ ! -d "$(gimp_folder)/$(say "$version" | cut -d . -f 1,2)" ]; then
      "$data/current/bin/python" -I "$data/current/app/proof/prove.py" "$gimp" 2>> "$log" > /dev/null ||
        say "GIMP $version ($gimp) could not be started. Start it once, then run install.sh again. Log: $log"
    fi
  done
}

# Try the plug-in of a version's folder, $1, in every GIMP; what has passed is noted there, and not tried again.
try_plug_in() {
  local version gimp result
  while read -r version gimp; do
    if grep -qxF "$version $gimp" "$1/tried" 2> /dev/null; then continue; fi
    if ! result=$("$1/bin/python" -I "$1/app/proof/prove.py" "$gimp" "$1/$PLUG_IN" 2>> "$log"); then
      fail "The plug-in was tried in GIMP $version ($gimp), and it does not work:" "$result" \
        "$(if [ -n "$(current_version)" ]; then say "What was installed before stays."
        else say "Nothing was installed. For the command alone: ./install.sh --demo"; fi) Log: $log"
    fi
    say "The plug-in was tried in GIMP $version ($gimp): it works."
    say "$version $gimp" >> "$1/tried"
  done < <(gimps)
}

# ---- The plug-in in GIMP's profiles

# With --demo only what is there already is replaced, since it names a version that will be removed.
wants_plug_in() { [ -z "$demo" ] || [ -n "$(our_plug_ins)" ]; }

# Those that this script has put somewhere, or GIMP 3.2 when it took over 3.0's profile.
our_plug_ins() {
  local profile plug_in
  present_profiles | while read -r profile; do
    for plug_in in "$profile"/plug-ins/lapcvae-*; do
      if [ -e "$plug_in/lib/runtime.json" ]; then say "$plug_in"; fi
    done
  done
}

# Put the folder $1 in the place of $2, in one step; what was there is then at $1, if anything was.
exchange() {
  "$python" -I - "$1" "$2" << 'CODE'
import os, sys

new, old = sys.argv[1:]
try:
    import ctypes

    libc, a, b = ctypes.CDLL(None), os.fsencode(new), os.fsencode(old)
    failed = libc.renamex_np(a, b, 2) if sys.platform == "darwin" else libc.renameat2(-100, a, -100, b, 2)
except (ImportError, AttributeError):
    failed = True
if failed and os.path.lexists(old):
    # A file system that cannot: for an instant GIMP would find nothing there.
    os.rename(old, new + ".old")
if failed:
    os.rename(new, old)
CODE
}

install_plug_in() { # $1: the profile folder
  local target=$1/plug-ins/$PLUG_IN staged=$1/.lapcvae-new
  if [ -e "$target" ] && [ ! -e "$target/lib/runtime.json" ] && [ ! -L "$target" ]; then
    say "GIMP's plug-in $target was not made by install.sh and stays as it is."
    return
  fi
  mkdir -p "$1/plug-ins"
  rm -rf "$staged" "$staged.old"
  if [ -L "$target" ] || ! diff -r -x __pycache__ "$data/current/$PLUG_IN" "$target" > /dev/null 2>&1; then
    # GIMP does not look into a folder of that name, nor does it ever see half a plug-in.
    cp -R "$data/current/$PLUG_IN" "$staged"
    exchange "$staged" "$target"
    rm -rf "$staged" "$staged.old"
  fi
  say "GIMP's plug-in is $target"
}

install_plug_ins() {
  local profile name found=''
  wants_plug_in || return 0
  make_profiles
  while read -r profile; do
    found=yes
    install_plug_in "$profile"
  done < <(present_profiles)
  if [ -n "$found" ]; then
    say "Start GIMP again if it runs; the menu is Filters > LapCVAE."
  elif [ -n "$(other_gimps)" ]; then
    say "No plug-in was installed: GIMP has no profile yet. Start it once, then run install.sh again."
  else
    say "No plug-in was installed: no GIMP 3 was found. Once you have it, run install.sh again."
  fi
  if [ -n "$(gimps)" ] && ! python3 -c 'import gi' > /dev/null 2>&1; then
    say "A GIMP that is started from this terminal has no Python plug-ins, since its python3 has no module gi:" \
      "$(command -v python3 || say "there is none"). From the desktop it has them."
  fi
  other_gimps | while read -r name; do
    say "$name was not tried: choose Filters > LapCVAE > Check Setup in it, and see docs/installing.md."
  done
}

# ---- What the options ask for

run_demo() {
  say "Editing the bundled photo."
  "$data/current/bin/python" -I -m lapcvae demo --out "$data/demo" ||
    fail "It is installed, but the demo failed; see above." "Run $launcher doctor."
}

remove_all() {
  local folder
  for folder in "$data"/versions/*; do
    if [ -d "$folder" ]; then end_worker "$folder"; fi
  done
  our_plug_ins | while read -r folder; do rm -rf "$folder"; done
  present_profiles | while read -r folder; do
    rm -rf "$folder/.lapcvae-new" "$folder/.lapcvae-new.old"
    # The last values of its dialogs, which GIMP keeps.
    rm -f "$folder"/plug-in-settings/*plug-in-lapcvae-*
  done
  if is_ours "$launcher"; then rm -f "$launcher"; fi
  rm -rf "$data/current" "$data"/current.* "$data/versions" "$data/demo" "$log" "$state" "$data/install.lock"
  rmdir "$data" 2> /dev/null || true
  say "LapCVAE is removed."
  if [ -d "$data/models" ]; then say "Your own models stay in $data/models."; fi
}

clean_up() { # at the end, however it comes
  local status=$?
  if [ $status != 0 ] && [ $status != 130 ] && [ -z "$explained" ]; then
    printf 'install.sh: %s\n' "It could not be finished; see above. What was installed before stays. Log: $log" >&2
    if is_full; then printf 'install.sh: %s\n' "The disk with $data is full. Make room, then run install.sh again." >&2; fi
  fi
  if [ -n "$build" ]; then rm -rf "$build"; fi
  rm -f "$data/current.$$" "$launcher.$$"
}

main() {
  parse "$@"
  find_places
  if [ -n "$uninstall" ]; then
    # Even without any Python.
    python=$(command -v "$data/current/bin/python" || command -v python3 || true)
    if [ -d "$data/versions" ] && [ -n "$python" ]; then lock; fi
    remove_all
    return
  fi
  if [ -n "$demo" ] && ! ls "$source"/models/*/manifest.json > /dev/null 2>&1; then
    fail "This copy of LapCVAE has no model in models/." "Get a complete one, or train your own (README.md)."
  fi
  find_python
  choose_device
  lock
  trap clean_up EXIT
  trap 'exit 130' INT TERM HUP
  install_version
  install_command
  install_plug_ins
  remove_old_versions
  if [ -n "$demo" ]; then run_demo; fi
}

main "$@"
