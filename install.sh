#!/usr/bin/env bash
# Installs LapCVAE for the user who runs it; needs no root. See `usage` below.
#
# Everything of one version lies in one folder, DATA/versions/VERSION-...: a Python environment with the packages of a
# hash lock, the package, the models. It counts from the moment that the link DATA/current points to it, which is one
# rename; whatever else lies in DATA/versions is left over from an interrupted run and is removed by the next one. The
# plug-ins name the very version that they came with, and are replaced before an old version is removed.
set -euo pipefail

usage() {
  cat << 'TEXT'
usage: ./install.sh [OPTION]...

Installs the command `lapcvae` and, for every GIMP 3 that is found, its plug-in. Needs no root.

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
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
readonly source
demo='' device='' wheels='' repair='' uninstall=''
data='' launcher='' log='' build='' python=''

say() { printf '%s\n' "$*"; }

# fail CAUSE [REMEDY]
fail() {
  printf 'install.sh: %s\n' "$@" >&2
  exit 1
}

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
  [ -n "${HOME:-}" ] && [ -d "$HOME" ] || fail "HOME is not a folder." "Set HOME to your home folder."
  local share=${XDG_DATA_HOME:-}
  case $share in /*) ;; *) share=$HOME/.local/share ;; esac
  data=$share/lapcvae
  log=$data/install.log
  launcher=$HOME/.local/bin/lapcvae
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
        # The program itself, not what a version manager puts in front of it.
        python=$("$name" -I -c 'import sys; print(sys.executable)')
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

lock_file() { if [ "$device" = gpu ]; then say "$source/requirements/gpu.txt"; else say "$source/requirements/runtime.txt"; fi; }

# ---- One version

version() { "$python" -I -c 'import runpy, sys; print(runpy.run_path(sys.argv[1])["VERSION"])' "$source/lapcvae/protocol/version.py"; }

# What the installed version is made from, as a hash: Python, lock, package, models, this script.
wanted_key() {
  "$python" -I - "$source" "$(lock_file)" << 'CODE'
import hashlib, pathlib, sys

source, lock = map(pathlib.Path, sys.argv[1:])
files = [lock, source / "install.sh"]
for folder in ("lapcvae", "models"):
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
  [ "$(cat "$1/lapcvae-key" 2> /dev/null)" = "$2" ] &&
    "$1/bin/python" -I -c 'import lapcvae.cli, lapcvae.service' > /dev/null 2>&1
}

explain_pip() {
  if grep -q "No space left" "$log"; then
    fail "The disk is full." "Make room (1 GB; 6 GB with --gpu), then run install.sh again. Log: $log"
  elif grep -q "DO NOT MATCH THE HASHES" "$log"; then
    fail "A package that was downloaded is not the one that was tested; nothing was installed." \
      "Run install.sh again; if it stays, look at what stands between you and the package index. Log: $log"
  elif [ -n "$wheels" ]; then
    fail "A package is missing in $wheels:" "$(grep "^ERROR" "$log" | head -n 1)" \
      "Where there is a network, run: python3 -m pip download --only-binary=:all: -d DIR -r requirements/runtime.txt" \
      "(with the same version of Python), then come back with DIR. Log: $log"
  elif grep -qE "NewConnectionError|Temporary failure|Name or service|timed out|unreachable|ProxyError|SSLError" "$log"; then
    fail "The package index cannot be reached." \
      "Check the network (HTTPS_PROXY, if you need a proxy) and run install.sh again; or see --offline. Log: $log"
  elif grep -q "No matching distribution" "$log"; then
    fail "A package is not made for this system:" "$(grep "No matching distribution" "$log" | head -n 1)" \
      "Needed are glibc 2.28 or later, or macOS 14 or later. Another Python may help: LAPCVAE_INSTALL_PYTHON. Log: $log"
  fi
  fail "The packages could not be installed:" "$(grep "^ERROR" "$log" | head -n 3)" "Log: $log"
}

pip_install() {
  local options=(--require-hashes --only-binary=:all: --no-input --disable-pip-version-check)
  [ -z "$wheels" ] || options+=(--no-index --find-links "$wheels")
  # The user's own settings for pip (a mirror, a proxy) are meant to hold, those for another place are not.
  env -u PIP_TARGET -u PIP_PREFIX -u PIP_REQUIREMENT PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 \
    "$build/bin/python" -I -m pip install "${options[@]}" -r "$(lock_file)" >> "$log" 2>&1 || explain_pip
}

# Package and models lie in VERSION/app as they lie in the checkout; the packages of VERSION's Python point there.
copy_in() {
  local app=$build/app
  mkdir "$app"
  cp -R "$source/lapcvae" "$app/"
  if [ -d "$source/models" ]; then cp -R "$source/models" "$app/"; fi
  find "$app" -name __pycache__ -prune -exec rm -rf {} +
  "$build/bin/python" -I -m compileall -q "$app/lapcvae" >> "$log" 2>&1
  "$build/bin/python" -I -c '
import pathlib, sys, sysconfig
pathlib.Path(sysconfig.get_path("purelib"), "lapcvae.pth").write_text(sys.argv[1] + "\n")' "$app"
}

build_version() { # $1: the key
  build=$data/versions/$(version)-$(printf %.8s "$1")-$$
  say "Installing with Python $("$python" -I -c 'import platform; print(platform.python_version())'), $python."
  [ -n "$wheels" ] || say "Packages are downloaded; this takes a minute or more. Log: $log"
  "$python" -I -m venv "$build" >> "$log" 2>&1 || fail "No Python environment could be made in $build." "Log: $log"
  pip_install
  copy_in
  say "$1" > "$build/lapcvae-key"
  is_whole "$build" "$1" || fail "What was installed does not start: $("$build/bin/python" -I -c \
    'import lapcvae.cli, lapcvae.service' 2>&1 | tail -n 1)" "Run install.sh again; if it stays, report it. Log: $log"
  ln -s "versions/${build##*/}" "$data/current.$$"
  rename_over "$data/current.$$" "$data/current"
  build=''
}

current_version() { if [ -L "$data/current" ]; then readlink "$data/current"; fi; }

end_worker() { # $1: a Python that has the package; the worker of GIMP's last edit would go on with files that go away
  "$1" -I -c '
import os, signal
from lapcvae.protocol.client import running_worker
if pid := running_worker(): os.kill(pid, signal.SIGTERM)' > /dev/null 2>&1 || true
}

# Remove the versions that are not the current one, except what another install.sh is working on.
remove_old_versions() {
  local folder kept
  kept=$(current_version)
  for folder in "$data"/versions/*; do
    [ -d "$folder" ] && [ "versions/${folder##*/}" != "$kept" ] || continue
    if [ "${folder##*-}" != $$ ] && kill -0 "${folder##*-}" 2> /dev/null; then continue; fi
    end_worker "$data/current/bin/python"
    rm -rf "$folder"
  done
  for folder in "$data"/current.*; do
    if [ -L "$folder" ] && ! kill -0 "${folder##*.}" 2> /dev/null; then rm -f "$folder"; fi
  done
}

install_version() {
  local key
  mkdir -p "$data/versions"
  key=$(wanted_key)
  if [ -z "$repair" ] && is_whole "$data/current" "$key"; then
    say "LapCVAE $(version) is installed; nothing has changed."
    return
  fi
  : > "$log"
  build_version "$key"
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

# ---- The plug-in

gimp_folder() {
  if [ "$(uname -s)" = Darwin ]; then say "$HOME/Library/Application Support/GIMP"; else say "${XDG_CONFIG_HOME:-$HOME/.config}/GIMP"; fi
}

# "3.0" or the like for every GIMP that can be found, one a line.
gimp_versions() {
  local program
  for program in gimp-console gimp gimp-console-3.0 gimp-3.0 gimp-console-3.2 gimp-3.2 \
    /Applications/GIMP.app/Contents/MacOS/gimp; do
    if command -v "$program" > /dev/null; then
      "$program" --version 2> /dev/null < /dev/null | sed -nE 's/.*version ([0-9]+\.[0-9]+)\..*/\1/p' || true
    fi
  done | sort -u
}

# The profile folders to put the plug-in into, one a line. One that does not exist yet is made only where no GIMP has
# any: GIMP's first start takes settings (and plug-ins) over from an older profile, unless its own folder is there.
profiles() {
  local root version
  root=$(gimp_folder)
  if ls -d "$root"/3.* > /dev/null 2>&1; then
    ls -d "$root"/3.*
  elif ! ls -d "$root"/2.* > /dev/null 2>&1; then
    for version in $(gimp_versions); do
      case $version in 3.*) say "$root/$version" ;; esac
    done
  fi
}

# Make the plug-in of folder $1 in folder $2, beside it the protocol and the place of the runtime.
stage_plug_in() {
  cp -R "$1" "$2"
  mkdir -p "$2/lib/lapcvae"
  cp "$source/lapcvae/__init__.py" "$2/lib/lapcvae/"
  cp -R "$source/lapcvae/protocol" "$2/lib/lapcvae/"
  find "$2" -name __pycache__ -prune -exec rm -rf {} +
  chmod 755 "$2/${1##*/}.py"
  "$python" -I -c '
import json, sys
print(json.dumps({"python": sys.argv[1], "package": None}))' "$data/$(current_version)/bin/python" > "$2/lib/runtime.json"
}

install_plug_in() { # $1: the profile folder, $2: the plug-in in the checkout
  local target=$1/plug-ins/${2##*/} staged=$1/.lapcvae-new-$$ old=$1/.lapcvae-old-$$
  if [ -e "$target" ] && [ ! -e "$target/lib/runtime.json" ] && [ ! -L "$target" ]; then
    say "GIMP's plug-in $target was not made by install.sh and stays as it is."
    return
  fi
  mkdir -p "$1/plug-ins"
  rm -rf "$1"/.lapcvae-new-* "$1"/.lapcvae-old-*
  stage_plug_in "$2" "$staged"
  if [ -d "$target" ] && [ ! -L "$target" ] && diff -r -x __pycache__ "$staged" "$target" > /dev/null; then
    rm -rf "$staged"
  else
    # GIMP does not look into these other names, nor does it ever see half a plug-in.
    if [ -e "$target" ] || [ -L "$target" ]; then mv "$target" "$old"; fi
    mv "$staged" "$target"
    rm -rf "$old"
  fi
  say "GIMP's plug-in is $target"
}

# With --demo only what is there already is replaced, since it names a version that will be removed.
install_plug_ins() {
  local profile plug_in found=''
  while read -r profile; do
    found=yes
    for plug_in in "$source"/gimp_plugin/*; do
      [ -f "$plug_in/${plug_in##*/}.py" ] || continue
      if [ -z "$demo" ] || [ -e "$profile/plug-ins/${plug_in##*/}/lib/runtime.json" ]; then
        install_plug_in "$profile" "$plug_in"
      fi
    done
  done < <(profiles)
  [ -z "$demo" ] || return 0
  if [ -n "$found" ]; then
    say "Start GIMP again if it runs; the menu is Filters > LapCVAE."
  elif ls -d "$(gimp_folder)"/2.* > /dev/null 2>&1; then
    say "No plug-in was installed: there is only a profile of GIMP 2. Start GIMP 3 once, then run install.sh again."
  else
    say "No plug-in was installed: no GIMP 3 was found. Once you have it, run install.sh again."
  fi
}

# ---- What the options ask for

run_demo() {
  say "Editing the bundled photo."
  "$data/current/bin/python" -I -m lapcvae demo --out "$data/demo" ||
    fail "It is installed, but the demo failed; see above." "Run $launcher doctor."
}

remove_all() {
  local profile state=${XDG_STATE_HOME:-$HOME/.local/state}/lapcvae
  end_worker "$data/current/bin/python"
  for profile in "$(gimp_folder)"/3.*; do
    [ -d "$profile" ] || continue
    rm -rf "$profile"/.lapcvae-new-* "$profile"/.lapcvae-old-*
    for plug_in in "$profile"/plug-ins/lapcvae-*; do
      if [ -e "$plug_in/lib/runtime.json" ]; then rm -rf "$plug_in"; fi
    done
    # A profile that holds nothing else was made by us.
    if [ "$(ls -A "$profile")" = plug-ins ]; then
      rmdir "$profile/plug-ins" "$profile" 2> /dev/null || true
    fi
  done
  if is_ours "$launcher"; then rm -f "$launcher"; fi
  rm -rf "$data/current" "$data"/current.* "$data/versions" "$data/demo" "$log"
  rm -f "$state"/worker.log*
  rmdir "$data" "$state" 2> /dev/null || true
  say "LapCVAE is removed."
  if [ -d "$data/models" ]; then say "Your own models stay in $data/models."; fi
}

clean_up() {
  if [ -n "$build" ]; then rm -rf "$build"; fi
  rm -f "$data/current.$$" "$launcher.$$"
}

main() {
  parse "$@"
  find_places
  if [ -n "$uninstall" ]; then remove_all; return; fi
  if [ -n "$demo" ] && ! ls "$source"/models/*/manifest.json > /dev/null 2>&1; then
    fail "This copy of LapCVAE has no model in models/." "Get a complete one, or train your own (README.md)."
  fi
  find_python
  trap clean_up EXIT
  trap 'exit 130' INT TERM HUP
  choose_device
  install_version
  install_command
  install_plug_ins
  remove_old_versions
  if [ -n "$demo" ]; then run_demo; fi
}

main "$@"
