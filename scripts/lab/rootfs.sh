#!/usr/bin/env bash
# Makes the disk image that the lab's guests start from, once.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# What a node has: the init systems, the low-level runtimes, CNI, tools that skiff's users call and that tests look with.
# openssh-server lets `lab.sh shell` in, sudo is called by critest, registry and etcd serve the tests.
PACKAGES=(systemd systemd-sysv dbus runc crun containernetworking-plugins iptables nftables ebtables
  conntrack ipset iproute2 ethtool iputils-ping kmod procps psmisc util-linux util-linux-extra mount e2fsprogs
  apparmor sudo openssh-server ca-certificates busybox-static skopeo umoci docker-registry etcd-server
  kubernetes-client socat curl strace less libseccomp2 libcap2-bin)
HOST_PACKAGES=(debootstrap e2fsprogs "${LAB_PACKAGES[@]}")
# Services of Debian's packages that a node has no use for, or that would take ports of the lab.
MASKED=(docker-registry.service etcd.service ssh.service ssh.socket apt-daily.timer apt-daily-upgrade.timer
  dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer logrotate.timer man-db.timer
  getty@tty1.service serial-getty@ttyS0.service console-getty.service systemd-networkd.service
  systemd-timesyncd.service systemd-pstore.service systemd-binfmt.service networking.service
  sys-kernel-debug.mount sys-kernel-tracing.mount)
export SIZE=12G # sparse

usage() {
  cat <<HELP
usage: sudo scripts/lab/rootfs.sh [--path] [-h]

Makes a disk image of Debian $LAB_SUITE with systemd, runc, crun, CNI plugins, a registry, etcd and the
tools of a node: $LAB/rootfs-<hash of this script>/disk.img, for both backends, and prints its path.
What is there already is taken; the first one takes one to two minutes.

  --path   only print the path, and fail where it is not made yet
Environment: SKIFF_CACHE, SKIFF_DEBIAN_MIRROR.
HELP
}

# In a mount namespace of its own: what debootstrap mounts ends with it, however it ends.
bootstrap() {
  local list
  list=$(IFS=,; echo "${PACKAGES[*]}")
  unshare --mount --propagation private -- nice debootstrap --variant=minbase --keyring="$LAB_KEYS" \
    --include="$list" "$LAB_SUITE" "$1" "$LAB_MIRROR"
}

furnish() {
  local root=$1 unit
  shift
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  echo node1 >"$root/etc/hostname"
  : >"$root/etc/fstab"
  : >"$root/etc/machine-id"
  passwd --root "$root" -d root
  install -m 755 "$LAB_SCRIPTS/guest-init.sh" "$root/usr/local/sbin/lab-init"
  for unit; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done
  cat >"$root/etc/systemd/system/lab.service" <<'UNIT'
[Unit]
Description=What the lab was started for
After=basic.target dbus.service
Wants=dbus.service

[Service]
Type=simple
ExecStart=/usr/local/sbin/lab-init
StandardInput=null
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
# Daemon and tests that it starts are the node's processes, not parts of this unit.
KillMode=process
LimitNOFILE=1024:524288
TasksMax=infinity

[Install]
WantedBy=multi-user.target
UNIT
  ln -sf ../lab.service "$root/etc/systemd/system/multi-user.target.wants/lab.service"
  ln -sf /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
  printf '[Manager]\nShowStatus=no\nDefaultTimeoutStopSec=5s\n' >"$root/etc/systemd/system.conf"
  printf '[Journal]\nStorage=volatile\nForwardToConsole=no\n' >"$root/etc/systemd/journald.conf"
}

make_image() {
  truncate -s "$SIZE" "$2"
  mkfs.ext4 -q -F -L skiff-lab -E lazy_itable_init=1 -d "$1" "$2"
}

build() {
  local work
  work=$(mktemp -d "$LAB/rootfs.partial.XXXXXX")
  trap "rm -rf --one-file-system '$work'" EXIT
  mkdir "$work/out"
  run "debootstrap of Debian $LAB_SUITE with ${#PACKAGES[@]} packages" bootstrap "$work/root" ||
    die 'the root file system was not made' 'see that the mirror can be reached, or set SKIFF_DEBIAN_MIRROR to another'
  run 'furnish it' strict furnish "$work/root" "${MASKED[@]}" || die 'the root file system was not made'
  run 'the disk image' strict make_image "$work/root" "$work/out/disk.img" || die 'the disk image was not made'
  mv "$work/out" "$HOME_DIR"
}

HOME_DIR=$LAB/rootfs-$(short_hash "$LAB_SCRIPTS/rootfs.sh" "$LAB_SCRIPTS/guest-init.sh")
case ${1:-} in
  -h | --help) usage; exit 0 ;;
  --path) [[ -f $HOME_DIR/disk.img ]] || exit 1 ;;
  '')
    need_root 'making the root file system'
    lock rootfs
    [[ -f $HOME_DIR/disk.img ]] || {
      step "The root file system of the lab's machines"
      apt_install "${HOST_PACKAGES[@]}"
      build
    } >&2
    ;;
  *) usage >&2; exit 2 ;;
esac
echo "$HOME_DIR/disk.img"
