#!/bin/bash
# Baked into the machines' disk as lab-init: the init process itself, or what systemd's lab.service runs. Mounts what the
# host shares, and goes on with scripts/lab/guest.sh of the host's checkout.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mountpoint -q /proc || mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sysfs /sys
mountpoint -q /tmp || mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /tmp
read -r command_line </proc/cmdline
for word in $command_line; do [[ $word != lab=* ]] || lab=${word#lab=}; done

# share TAG DIRECTORY WHERE MODE: a directory of the host. User-Mode Linux opens it by name, QEMU's 9p by tag.
share() {
  mkdir -p "$3"
  if grep -q 'User Mode Linux' /proc/cpuinfo; then
    mount -t hostfs -o "$4,hostfs=$2" none "$3"
  else
    mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,cache=mmap,$4" "$1" "$3"
  fi
}

share lab "$lab" /lab rw
source /lab/env
number=0
for path in "${LAB_SHARES[@]}"; do
  share "share$number" "$path" "$path" ro
  number=$((number + 1))
done
exec "$LAB_REPO/scripts/lab/guest.sh"
