#!/bin/bash
# What a guest of the lab does once the host's checkout is mounted: started by lab-init as the init process or, under
# systemd, as a service. Reads /lab/env, which scripts/lab.sh wrote; /lab is this node's directory on the host.
set -u
source /lab/env
export PATH=$(dirname "$NODE"):/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LANG=C.UTF-8 TMPDIR=/tmp SKIFF_CACHE LAB_NODE LAB_NODES LAB_INIT LAB_BACKEND LAB_REPO NODE

mount_systems() {
  mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
  mkdir -p /dev/pts /dev/shm /dev/mqueue
  mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
  mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /dev/shm
  mount -t mqueue mqueue /dev/mqueue
  mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /run
  mkdir -p /run/lock
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mount -t securityfs securityfs /sys/kernel/security
  mount -t bpf bpf /sys/fs/bpf
  for link in fd:/proc/self/fd stdin:/proc/self/fd/0 stdout:/proc/self/fd/1 stderr:/proc/self/fd/2; do
    ln -sfn "${link#*:}" "/dev/${link%%:*}"
  done
}

# A cgroup with processes in it cannot hand controllers on: all of them move out of the root first.
enable_controllers() {
  local pid controller
  mkdir /sys/fs/cgroup/init
  for pid in $(</sys/fs/cgroup/cgroup.procs); do
    echo "$pid" >/sys/fs/cgroup/init/cgroup.procs 2>/dev/null
  done
  for controller in $(</sys/fs/cgroup/cgroup.controllers); do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
  done
}

set_up_network() {
  local number device=eth0
  [[ $LAB_BACKEND == qemu ]] || device=vec0
  ip link set lo up
  ip addr add "10.77.0.$((10 + LAB_NODE))/24" dev "$device"
  ip link set "$device" up
  ip route add default via 10.77.0.1
  for ((number = 1; number <= LAB_NODES; number++)); do
    echo "10.77.0.$((10 + number)) node$number" >>/etc/hosts
    # A node's pods have addresses of its own.
    [[ $number == "$LAB_NODE" ]] || ip route add "10.88.$number.0/24" via "10.77.0.$((10 + number))"
  done
  modprobe -q br_netfilter
  echo 1 >/proc/sys/net/ipv4/ip_forward
  echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
}

# A kubelet ends with "could not detect clock speed" where /proc/cpuinfo tells none.
tell_clock_speed() {
  ! grep -q '^cpu MHz' /proc/cpuinfo || return 0
  sed 's/^\(processor.*\)$/\1\ncpu MHz\t\t: 2000.000/' /proc/cpuinfo >/run/cpuinfo
  mount --bind /run/cpuinfo /proc/cpuinfo
}

prepare() {
  # User-Mode Linux panics over the io_uring of Node's libuv; a kernel of scripts/lab/kernel.sh has none.
  [[ $LAB_BACKEND != uml || ! -e /proc/sys/kernel/io_uring_disabled ]] || echo 2 >/proc/sys/kernel/io_uring_disabled
  [[ $LAB_INIT == systemd ]] || mount_systems
  [[ $LAB_INIT == systemd ]] || enable_controllers
  mount --make-rshared /
  # Debian's kernel has modules, which the host shares.
  [[ ! -d $KERNEL/modules ]] || { mkdir -p "/lib/modules/$(uname -r)" && mount --bind "$KERNEL/modules/$(uname -r)" "/lib/modules/$(uname -r)"; }
  [[ -e $NODE ]] || { mkdir -p "$(dirname "$NODE")" && ln -s "$LAB_NODE_COPY" "$NODE"; }
  hostname "node$LAB_NODE"
  printf '127.0.0.1 localhost\n::1 localhost\n' >/etc/hosts
  set_up_network
  tell_clock_speed
}

configure_skiff() {
  mkdir -p /etc/skiff /etc/cni/net.d
  printf "cgroup_driver = '%s'\n" "$([[ $LAB_INIT == systemd ]] && echo systemd || echo cgroupfs)" >/etc/skiff/config.toml
  cat >/etc/cni/net.d/10-lab.conflist <<JSON
{
  "cniVersion": "1.0.0",
  "name": "lab",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "lab0",
      "isGateway": true,
      "ipMasq": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{ "subnet": "10.88.$LAB_NODE.0/24" }]],
        "routes": [{ "dst": "0.0.0.0/0" }]
      }
    },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}
JSON
  printf 'runtime-endpoint: unix:///run/skiff/skiff.sock\nimage-endpoint: unix:///run/skiff/skiff.sock\ntimeout: 30\n' >/etc/crictl.yaml
  for tool in "$SKIFF_CACHE"/tools/crictl-*/bin/crictl "$LAB_REPO/dist/skiff"; do
    [[ ! -x $tool ]] || ln -sf "$tool" /usr/local/bin/
  done
}

serve_skiff() {
  local waited
  configure_skiff
  if [[ $LAB_INIT == systemd ]]; then
    systemd-run --quiet --unit=skiff -p Delegate=yes -p KillMode=process -p TasksMax=infinity \
      -p StandardOutput=append:/var/log/skiff.log -p StandardError=append:/var/log/skiff.log "$LAB_REPO/dist/skiff" serve
  else
    setsid "$LAB_REPO/dist/skiff" serve >>/var/log/skiff.log 2>&1 </dev/null &
  fi
  for ((waited = 0; waited < 1200; waited++)); do
    if [[ -S /run/skiff/skiff.sock ]] && "$LAB_REPO/dist/skiff" ps -q >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  echo 'skiff does not answer; its log:'
  tail -n 30 /var/log/skiff.log
  return 1
}

# Stand-in images: pulls from these registries find them here, under the names that they have there.
serve_images() {
  local host
  for host in registry.k8s.io k8s.gcr.io gcr.io; do
    mkdir -p "/etc/skiff/certs.d/$host"
    printf 'server = "https://%s"\n[host."http://127.0.0.1:5000"]\n  capabilities = ["pull", "resolve"]\n' "$host" \
      >"/etc/skiff/certs.d/$host/hosts.toml"
  done
  setsid "$LAB_REPO/scripts/lab/registry.sh" "$LAB_IMAGES" >/var/log/registry.log 2>&1 </dev/null &
}

# For lab.sh shell.
serve_ssh() {
  mkdir -p /run/sshd
  /usr/sbin/sshd -o AuthorizedKeysFile=/lab/authorized_keys -o StrictModes=no -o UseDNS=no -o PrintMotd=no
}

# tell NAME VALUE: a file on the host; on its disk before the guest goes on.
tell() {
  echo "$2" >"/lab/$1"
  sync -f "/lab/$1"
}

# At once: what the guest wrote is thrown away anyway.
power_off() {
  systemctl -ff poweroff >/dev/null
  sleep 60
}

if [[ $$ == 1 ]]; then exec </dev/null; fi
# The console shall not put a carriage return before each newline.
stty -opost 2>/dev/null <&1
prepare
code=0
[[ -z $LAB_IMAGES ]] || serve_images
[[ -z $LAB_SERVE ]] || { serve_ssh; serve_skiff || code=1; }
if [[ -z $LAB_SCRIPT ]]; then
  tell ready "$code"
  # As init: reap what is orphaned, until the host ends this machine.
  while :; do sleep 1000 & wait $!; done
fi
if [[ $code == 0 ]]; then
  cd "$LAB_REPO"
  "$LAB_SCRIPT" "${LAB_ARGUMENTS[@]}"
  code=$?
fi
tell exit "$code"
power_off
