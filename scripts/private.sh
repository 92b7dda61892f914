#!/usr/bin/env bash
# Runs a command in a small machine of its own: private mount, network, uts,
# ipc, pid and cgroup namespaces, a fresh cgroup2 on /sys/fs/cgroup, tmpfs on
# /run and /var/lib/cni. Whatever the command leaves behind ends with it, and
# the host's own cgroup mounts are never touched.
set -euo pipefail

if [[ "${1:-}" == -h || "${1:-}" == --help || $# -eq 0 ]]; then
  cat <<'EOF'
usage: scripts/private.sh COMMAND [ARG ...]

Runs COMMAND as root in private namespaces (mount, network, uts, ipc, pid,
cgroup) with a fresh cgroup2 mount, as the tests and up.sh need on hosts
whose cgroup v2 lacks controllers. Ends with COMMAND's exit code; every
process that COMMAND started is ended with it.
EOF
  exit $(( $# == 0 ? 2 : 0 ))
fi
[[ $(id -u) == 0 ]] || { echo "private.sh: must be root (try: sudo $0 ...)" >&2; exit 1; }

case "${SKIFF_PRIVATE_STAGE:-}" in
  '')
    SKIFF_PRIVATE_STAGE=cgroup exec unshare --mount --propagation private -- "$0" "$@"
    ;;
  cgroup)
    # One cgroup for all of it, made through a mount that only this namespace sees.
    view=$(mktemp -d /tmp/skiff-cgroup.XXXXXX)
    mount -t cgroup2 none "$view"
    home="$view/skiff-private-$$"
    mkdir "$home"
    back() {
      trap - EXIT
      echo $$ >"$view/cgroup.procs"
      for _ in $(seq 50); do
        find "$home" -depth -type d -exec rmdir {} + 2>/dev/null && break
        sleep 0.1
      done
      umount "$view" && rmdir "$view"
    }
    trap back EXIT
    echo $$ >"$home/cgroup.procs"
    code=0
    interrupted=0
    SKIFF_PRIVATE_STAGE=inside unshare --cgroup --mount --net --uts --ipc --pid --fork --kill-child \
      --mount-proc --propagation private -- "$0" "$@" <&0 &
    inner=$!
    # Its first process inside dies with it, and with that one all of them.
    trap 'interrupted=1; kill -KILL "$inner" 2>/dev/null || true' INT TERM HUP
    wait "$inner" || code=$?
    if [[ $interrupted == 1 ]]; then wait "$inner" || code=$?; fi
    exit "$code"
    ;;
  inside)
    unset SKIFF_PRIVATE_STAGE
    mount -t sysfs sysfs /sys
    mount -t cgroup2 none /sys/fs/cgroup
    mkdir /sys/fs/cgroup/session
    echo 0 >/sys/fs/cgroup/session/cgroup.procs
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p /run/netns /run/lock
    if [[ -d /var/lib/cni ]]; then mount -t tmpfs -o mode=755 tmpfs /var/lib/cni; fi
    mount --make-rshared /
    ip link set lo up
    echo 1 >/proc/sys/net/ipv4/ip_forward
    hostname skiff-private
    # Not exec: this shell is pid 1 and reaps what is orphaned.
    code=0
    "$@" || code=$?
    exit "$code"
    ;;
esac
