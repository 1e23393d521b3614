#!/bin/bash
# usage (as root, on Debian): make_root.sh SUITE DIR
# Unpacks a Debian root with the real GIMP into DIR (trixie: GIMP 3.0, forky: GIMP 3.2), and a warm GIMP profile in it.
# The first time it is built with mmdebstrap from the mirror that apt is configured for; a packed copy is kept in
# ${LAPCVAE_ROOTS:-$HOME/.cache/lapcvae-roots}. Exit status 3 and one line on stderr: this machine cannot do it.
set -euo pipefail
cannot() { echo "make_root.sh: $*" >&2; exit 3; }
[ $# = 2 ] || { echo "usage: make_root.sh SUITE DIR" >&2; exit 2; }
suite=$1 dir=$2
here=$(cd "$(dirname "$0")" && pwd)
# Debian's gimp brings the GObject typelibs and its own Python plug-ins. The second line is for the tests with a window,
# the third for those of install.sh.
packages=gimp,python3-gi,python3-minimal
packages=$packages,python3-gi-cairo,gir1.2-gtk-3.0,xvfb,xauth,xdotool,x11-utils,fonts-dejavu-core,adwaita-icon-theme
packages=$packages,python3-venv,ca-certificates
case $suite in trixie | forky) ;; *) echo "make_root.sh: SUITE is trixie or forky, not $suite" >&2; exit 2 ;; esac

cache=${LAPCVAE_ROOTS:-$HOME/.cache/lapcvae-roots}
# A change of this recipe makes a new root.
key=$(sha256sum "$0" | cut -c1-12)
packed=$cache/$suite-$key.tar.zst
[ -f "$dir/.lapcvae-root-$key" ] && exit 0

[ "$(id -u)" = 0 ] || cannot "a root with GIMP can only be made by root"
command -v apt-get > /dev/null || cannot "not a Debian system (no apt-get)"
mkdir -p "$cache"
# Two test runs must not build the same root; both roots may be built at the same time.
exec 9> "$cache/lock-$suite"
flock 9
[ -f "$dir/.lapcvae-root-$key" ] && exit 0

needed=()
command -v mmdebstrap > /dev/null || needed+=(mmdebstrap)
command -v zstd > /dev/null || needed+=(zstd)
if [ ! -f "$packed" ] && [ ${#needed[@]} -gt 0 ]; then
  {
    flock 8
    { apt-get update && apt-get install -y --no-install-recommends "${needed[@]}"; } > "$cache/install.log" 2>&1 ||
      cannot "could not install ${needed[*]} (see $cache/install.log)"
  } 8> "$cache/lock"
fi

if [ ! -f "$packed" ]; then
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -f $keyring ] || cannot "no $keyring (package debian-archive-keyring)"
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1 || true)
  [ -n "$mirror" ] || cannot "apt is configured for no mirror"
  work=$(mktemp -d "$cache/build-XXXXXX")
  trap 'rm -rf --one-file-system "$work"' EXIT
  # Valid-Until is not checked because some mirrors are frozen copies.
  mmdebstrap --mode=root --variant=apt --components=main --include="$packages" --keyring="$keyring" \
    --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Check-Date "false"' \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/gimp/*/help/*' \
    "$suite" "$work/root" "$mirror" > "$cache/$suite.log" 2>&1 ||
    cannot "mmdebstrap could not make a $suite root (see $cache/$suite.log)"
  # The mirror is this machine's business.
  rm -f "$work/root/etc/apt/sources.list"
  mkdir -p "$work/root/mnt/profile" "$work/root/mnt/plug-ins"
  version=$(chroot "$work/root" gimp-console --version | grep -o '[0-9][0-9.]*' | head -n 1)
  # config-version and show-welcome-dialog: no Welcome window when a graphical GIMP uses this profile.
  cat > "$work/root/mnt/profile/gimprc" << RC
(config-version "$version")
(show-welcome-dialog no)
(check-updates no)
(plug-in-path "\${gimp_plug_in_dir}/plug-ins:/mnt/plug-ins")
RC
  # The first start of GIMP queries every plug-in (about 10 s); later ones find the answers in the profile.
  "$here/in_root.sh" "$work/root" -e GIMP3_DIRECTORY=/mnt/profile -- gimp-console -i -d -f --batch-interpreter \
    python-fu-eval -b 'print("profile is warm")' --quit > "$cache/$suite-profile.log" 2>&1 < /dev/null ||
    cannot "GIMP of $suite does not start (see $cache/$suite-profile.log)"
  touch "$work/root/.lapcvae-root-$key"
  # Packed under another name first: an interrupted run leaves no half file that looks whole.
  tar -C "$work/root" --exclude=./var/cache/apt --exclude=./var/lib/apt/lists -cf - . |
    zstd -q -3 -T2 -f -o "$packed.part"
  # Roots of an older recipe.
  rm -f "$cache/$suite"-*.tar.zst
  mv "$packed.part" "$packed"
  rm -rf --one-file-system "$work"
  trap - EXIT
fi

command -v zstd > /dev/null || cannot "zstd is not installed"
rm -rf --one-file-system "$dir" "$dir.part"
mkdir -p "$dir.part"
zstd -q -dc "$packed" | tar -C "$dir.part" -xf -
mv "$dir.part" "$dir"
