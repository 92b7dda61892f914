#!/usr/bin/env bash
# Builds the User-Mode Linux kernel of the lab's guests, once.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CONFIG=$LAB_SCRIPTS/kernel.config
PACKAGES=(flex bison bc libelf-dev gcc make xz-utils binutils "${LAB_PACKAGES[@]}")

usage() {
  cat <<HELP
usage: sudo scripts/lab/kernel.sh [--path | --renew] [-h]

Builds a User-Mode Linux kernel from Debian's newest linux-source package with the options
of scripts/lab/kernel.config into $LAB/kernel-<version>-<hash of the options>/linux,
and prints its path. What is there already is taken; the first build takes about 8 minutes.

  --path    only print the path, and fail where it is not built yet
  --renew   ask Debian for a newer source than the one that was built
Environment: SKIFF_CACHE, SKIFF_DEBIAN_MIRROR, SKIFF_LAB_JOBS (compilers at once, default: the cores).
HELP
}

HASH=$(short_hash "$CONFIG")

built() { find "$LAB" -maxdepth 2 -path "$LAB/kernel-*-$HASH/linux" 2>/dev/null | sort -V | tail -n 1; }

# Every option of CONFIG must be in .config as it was asked for; "=n" and "is not set" are the same wish.
check_options() {
  local line name missing=()
  while IFS= read -r line; do
    case $line in
      CONFIG_*=n) name=${line%=n}; ! grep -q "^$name=" .config || missing+=("$line") ;;
      CONFIG_*=*) grep -qxF "$line" .config || missing+=("$line") ;;
    esac
  done <"$CONFIG"
  [[ ${#missing[@]} == 0 ]] || die "this kernel's configuration refuses: ${missing[*]}" \
    "look up what they depend on now, and change $CONFIG"
}

configure() {
  make -s ARCH=um defconfig
  scripts/kconfig/merge_config.sh -m .config "$CONFIG"
  make -s ARCH=um olddefconfig
  # A guest has no modules to load.
  sed -i 's/=m$/=y/' .config
  make -s ARCH=um olddefconfig
  ! grep -q '=m$' .config || die 'modules are left in the configuration'
}

compile() { nice -n 19 make -j"${SKIFF_LAB_JOBS:-$(nproc)}" ARCH=um linux; }

newest_source() {
  apt-cache search --names-only '^linux-source-[0-9.]+$' | cut -d' ' -f1 | sort -V | tail -n 1
}

build() {
  local work package version home
  work=$(mktemp -d "$LAB/kernel.partial.XXXXXX")
  trap "rm -rf '$work'" EXIT
  sid_apt "$work/apt" deb
  package=$(newest_source)
  [[ -n $package ]] || die "there is no linux-source package in Debian $LAB_SUITE"
  version=$(apt-cache show "$package" | sed -n 's/^Version: //p' | head -n 1)
  home=$LAB/kernel-$version-$HASH
  [[ ! -x $home/linux ]] || { rm -rf "$work"; return 0; }
  say "$package $version"
  mkdir "$work/source"
  (cd "$work" && run 'download the source' apt-get download "$package")
  unset APT_CONFIG
  run 'unpack the package' dpkg-deb -x "$work/$package"_*.deb "$work/package"
  run 'unpack the source' tar -C "$work/source" --strip-components=1 -xf "$work"/package/usr/src/linux-source-*.tar.xz
  cd "$work/source"
  run 'configure' configure || die 'the configuration failed'
  check_options
  run 'compile the kernel (minutes)' compile || die 'the kernel was not built'
  mkdir "$work/out"
  strip -o "$work/out/linux" linux
  cp .config "$work/out/config"
  cd /
  mv "$work/out" "$home"
}

RENEW=0
case ${1:-} in
  -h | --help) usage; exit 0 ;;
  --path) built | grep . || exit 1; exit 0 ;;
  --renew) RENEW=1 ;;
  '') ;;
  *) usage >&2; exit 2 ;;
esac
need_root 'building the kernel'
lock kernel
if [[ -z $(built) || $RENEW == 1 ]]; then
  step 'The kernel of the lab' >&2
  {
    apt_install "${PACKAGES[@]}"
    build
  } >&2
fi
built
