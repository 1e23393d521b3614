#!/bin/bash
# usage (as root): in_root.sh ROOT [-b HOSTDIR:DIR_IN_ROOT]... [-e NAME=VALUE]... -- command...
# Runs a command inside ROOT in mount and process namespaces of its own: the mounts and every process started inside
# (GIMP, plug-ins, workers) vanish with it. The exit status is the command's.
set -euo pipefail
root=$(realpath "$1")
shift
# The binds travel as arguments, so that paths may hold spaces: "BINDS... -- command...".
binds=() variables=()
while [ $# -gt 0 ]; do
  case $1 in
    -b) binds+=("$2"); shift 2 ;;
    -e) variables+=("$2"); shift 2 ;;
    --) shift; break ;;
    *) echo "in_root.sh: what is $1?" >&2; exit 2 ;;
  esac
done
exec unshare --mount --propagation private --pid --fork --kill-child bash -c '
  set -e
  root=$1; shift
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/tmp"
  chmod 1777 "$root/tmp"
  while [ "$1" != -- ]; do
    mkdir -p "$root${1#*:}"
    mount --bind "${1%%:*}" "$root${1#*:}"
    shift
  done
  shift
  # No exec: the shell stays process 1 (timeout of coreutils 9.10 refuses to run its command as process 1).
  status=0
  chroot "$root" /usr/bin/env -i "$@" || status=$?
  exit $status
' in_root "$root" ${binds[@]+"${binds[@]}"} -- HOME=/root PATH=/usr/bin:/bin LC_ALL=C.UTF-8 NO_AT_BRIDGE=1 \
  GSETTINGS_BACKEND=memory ${variables[@]+"${variables[@]}"} "$@"
