#!/usr/bin/env bash
# Runs the guests of one lab: the first process in mount, network and pid namespaces that scripts/lab.sh made, so that the
# guests, their memory files, disks and their bridge end with it. Its one argument is the lab's directory.
set -euo pipefail
DIR=$1
source "$DIR/lab.conf"

make_network() {
  local number
  ip link set lo up
  ip link add lab0 type bridge
  ip addr add 10.77.0.1/24 dev lab0
  ip link set lab0 up
  for ((number = 1; number <= NODES; number++)); do
    if [[ $BACKEND == qemu ]]; then
      ip tuntap add "node$number" mode tap
    else
      ip link add "node$number" type veth peer name "guest$number"
      ip link set "guest$number" up
      # User-Mode Linux takes frames as they are: checksums and segments must be complete in them.
      offloads_off "guest$number"
      offloads_off "node$number"
    fi
    ip link set "node$number" master lab0 up
  done
  offloads_off lab0
}
offloads_off() { ethtool -K "$1" tx off rx off gro off tso off gso off >/dev/null 2>&1 || true; }

mac() { printf '52:54:00:77:00:%02x' "$1"; }
# What the guest's kernel is told by both backends.
command_line() {
  echo "rw loglevel=0 panic=-1 systemd.show_status=0 TERM=dumb rt_group_sched=0 lab=$DIR/node$1 init=$([[ $INIT == systemd ]] && echo /lib/systemd/systemd || echo /usr/local/sbin/lab-init)"
}

# The disk is shared by all guests and never written: what a guest writes lies beside its memory.
start_uml() {
  local number=$1 words
  read -ra words < <(command_line "$number")
  TMPDIR=$DIR/mem exec "$KERNEL/linux" "mem=${MEMORY}M" "ncpus=$CPUS" "umid=node$number" "uml_dir=$DIR/mem" \
    "ubd0=$DIR/mem/node$number.cow,$DISK" root=/dev/ubda seccomp=on con=null con0=null,fd:1 console=tty0 quiet \
    "vec0:transport=raw,ifname=guest$number,depth=64,mac=$(mac "$number")" "${words[@]}" 2>"$DIR/node$number/uml.log"
}

start_qemu() {
  local number=$1 tag=0 path shares=()
  for path in "${SHARES[@]}"; do
    shares+=(-virtfs "local,path=$path,mount_tag=share$tag,security_model=none,readonly=on,multidevs=remap")
    tag=$((tag + 1))
  done
  qemu-img create -q -f qcow2 -b "$DISK" -F raw "$DIR/mem/node$number.qcow2"
  exec qemu-system-"$(uname -m)" -machine "q35,accel=$ACCEL" -cpu max -smp "$CPUS" -m "${MEMORY}M" \
    -nodefaults -no-reboot -display none -chardev stdio,id=console,signal=off -serial chardev:console \
    -kernel "$KERNEL/vmlinuz" -initrd "$KERNEL/initrd.img" -append "console=ttyS0 net.ifnames=0 $(command_line "$number")" \
    -drive "file=$DIR/mem/node$number.qcow2,if=virtio,cache=unsafe" \
    -netdev "tap,id=net,ifname=node$number,script=no,downscript=no" \
    -device "virtio-net-pci,netdev=net,mac=$(mac "$number")" -device virtio-rng-pci \
    -virtfs "local,path=$DIR/node$number,mount_tag=lab,security_model=none,multidevs=remap" \
    "${shares[@]}" 2>"$DIR/node$number/qemu.log"
}

mount --make-rprivate /
mkdir "$DIR/mem"
mount -t tmpfs -o "mode=700,size=$((NODES * (MEMORY + DISK_MEMORY)))M" tmpfs "$DIR/mem"
make_network
guests=()
for ((number = NODES; number >= 1; number--)); do
  if [[ $number == 1 && $SHOW == 1 ]]; then
    "start_$BACKEND" "$number" </dev/null &
  else
    "start_$BACKEND" "$number" </dev/null >"$DIR/node$number/console.log" &
  fi
  guests+=($!)
done
# Where a script runs on node 1, its end is the end of all.
if [[ $SHOW == 1 ]]; then wait "${guests[-1]}"; else wait; fi
