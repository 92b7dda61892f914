#!/usr/bin/env bash
# Brings the kernels of the lab's machines, once: one of our own for User-Mode Linux, Debian's for QEMU.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

export CONFIG=$LAB_SCRIPTS/kernel.config
BUILD_PACKAGES=(flex bison bc libelf-dev gcc make xz-utils binutils "${LAB_PACKAGES[@]}")
BOOT_PACKAGES=(cpio kmod busybox-static xz-utils "${LAB_PACKAGES[@]}")
# What Debian's kernel needs to find its disk and the host's directories.
BOOT_MODULES=(virtio_pci virtio_blk virtio_rng ext4 9pnet_virtio 9p virtio_net)

usage() {
  cat <<HELP
usage: sudo scripts/lab/kernel.sh [uml | qemu] [--path | --renew] [-h]

Brings a kernel into $LAB and prints its directory:
  uml    User-Mode Linux from Debian's newest linux-source package with the options of
         scripts/lab/kernel.config: linux. About 8 minutes on two cores, once
  qemu   Debian's newest kernel: vmlinuz, initrd.img with the modules to boot, all modules. A minute, once
What is there already is taken.

  --path    only print the directory, and fail where nothing is there yet
  --renew   ask Debian for a newer one than the one that is there
Environment: SKIFF_CACHE, SKIFF_DEBIAN_MIRROR, SKIFF_LAB_JOBS (compilers at once, default: the cores).
HELP
}

built() { find "$LAB" -maxdepth 1 -path "$LAB/kernel-$BACKEND-*-$HASH" 2>/dev/null | sort -V | tail -n 1; }

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

# The newest package whose name matches: sets PACKAGE and VERSION.
newest() {
  PACKAGE=$(apt-cache search --names-only "$1" | cut -d' ' -f1 | sort -V | tail -n 1)
  [[ -n $PACKAGE ]] || die "Debian $LAB_SUITE has no package $1"
  VERSION=$(apt-cache show "$PACKAGE" | sed -n 's/^Version: //p' | head -n 1)
  say "$PACKAGE $VERSION"
}
fetch() { (cd "$WORK" && run "download $*" apt-get download "$@") || die 'the download failed'; }

build_uml() {
  newest '^linux-source-[0-9.]+$'
  fetch "$PACKAGE"
  run 'unpack the package' dpkg-deb -x "$WORK/$PACKAGE"_*.deb "$WORK/package"
  mkdir "$WORK/source"
  run 'unpack the source' tar -C "$WORK/source" --strip-components=1 -xf "$WORK"/package/usr/src/linux-source-*.tar.xz
  cd "$WORK/source"
  run 'configure' strict configure || die 'the configuration failed'
  check_options
  run 'compile the kernel (minutes)' compile || die 'the kernel was not built'
  strip -o "$WORK/out/linux" linux
  cp .config "$WORK/out/config"
  cd /
}

# Debian's own initramfs needs an installed system; this one loads the modules and goes over to the disk.
make_initrd() {
  local root=$WORK/initrd release=$1 module path name
  shift
  mkdir -p "$root"/{bin,modules,proc,sys,dev,root}
  cp /bin/busybox "$root/bin/busybox"
  for module; do
    modprobe --dirname "$WORK/package/usr" --set-version "$release" --show-depends "$module"
  done | sed -n 's/^insmod //p' | awk '!seen[$1]++ { print $1 }' >"$WORK/order"
  while read -r path; do
    name=$(basename "${path%.xz}")
    if [[ $path == *.xz ]]; then xz -dc "$path" >"$root/modules/$name"; else cp "$path" "$root/modules/$name"; fi
    echo "$name" >>"$root/order"
  done <"$WORK/order"
  cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in $(/bin/busybox cat /order); do /bin/busybox insmod "/modules/$module"; done
for word in $(/bin/busybox cat /proc/cmdline); do case $word in init=*) init=${word#init=} ;; esac; done
/bin/busybox mount -t ext4 -o rw /dev/vda /root
/bin/busybox umount /proc
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root "$init"
INIT
  chmod 755 "$root/init"
  (cd "$root" && find . | cpio --quiet -o -H newc | gzip -1 >"$WORK/out/initrd.img")
}

build_qemu() {
  local release package
  newest '^linux-modules-[0-9.]+\+deb[0-9]+-'"$(debian_arch)"'$'
  release=${PACKAGE#linux-modules-}
  fetch "$PACKAGE" "linux-binary-$release"
  for package in "$WORK"/*.deb; do run "unpack ${package##*/}" dpkg-deb -x "$package" "$WORK/package" || die 'it is damaged'; done
  run 'its list of modules' depmod -b "$WORK/package/usr" "$release"
  run 'its initramfs' strict make_initrd "$release" "${BOOT_MODULES[@]}" || die 'the initramfs was not made'
  mv "$WORK/package/usr/lib/modules/$release/vmlinuz" "$WORK/out/vmlinuz"
  mkdir "$WORK/out/modules"
  mv "$WORK/package/usr/lib/modules/$release" "$WORK/out/modules/"
}

build() {
  WORK=$(mktemp -d "$LAB/kernel.partial.XXXXXX")
  export WORK
  trap 'rm -rf "$WORK"' EXIT
  mkdir "$WORK/out"
  sid_apt "$WORK/apt" deb
  "build_$BACKEND"
  [[ -d $LAB/kernel-$BACKEND-$VERSION-$HASH ]] || mv "$WORK/out" "$LAB/kernel-$BACKEND-$VERSION-$HASH"
}

BACKEND=uml RENEW=0 PATH_ONLY=0
while [[ $# -gt 0 ]]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --path) PATH_ONLY=1 ;;
    --renew) RENEW=1 ;;
    uml | qemu) BACKEND=$1 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
# A change of this script makes Debian's kernel anew, which costs a minute; only its options make our own anew.
if [[ $BACKEND == uml ]]; then HASH=$(short_hash "$CONFIG"); else HASH=$(short_hash "$LAB_SCRIPTS/kernel.sh"); fi
if [[ $PATH_ONLY == 0 ]]; then
  need_root 'building the kernel'
  lock "kernel-$BACKEND"
  [[ -n $(built) && $RENEW == 0 ]] || {
    step "The kernel of the lab's machines ($BACKEND)"
    if [[ $BACKEND == uml ]]; then apt_install "${BUILD_PACKAGES[@]}"; else apt_install "${BOOT_PACKAGES[@]}"; fi
    build
  } >&2
fi
built | grep .
