#!/usr/bin/env bash
# Linux machines with cgroup v2 and every controller, to run skiff in.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lab/lib.sh"

usage() {
  cat <<HELP
usage: sudo scripts/lab.sh up     [OPTION ...]                       start machines in which skiff serves
       sudo scripts/lab.sh run    [OPTION ...] SCRIPT [ARGUMENT ...]  boot, run a script of yours, power off
       sudo scripts/lab.sh shell  [NODE] [COMMAND ...]               into a machine that runs
       sudo scripts/lab.sh status | down | build [OPTION ...]

  --backend uml|qemu|auto   User-Mode Linux, QEMU (Debian's kernel), or: QEMU where KVM works, else User-Mode Linux
  --init script|systemd     what is the machine's first process: a script (skiff's cgroupfs driver), or systemd (its own)
  --nodes N                 machines on one network, named node1 ... (default 1); 10.77.0.11 ...
  --memory MIB              of each (default 2048)
  --cpus N                  of each (default 2)
  --images                  with stand-ins for critest's images, pulled as registry.k8s.io/..., gcr.io/... (scripts/lab/images.sh)
  --serve                   with run: skiff serves already when the script starts

The first use builds kernel and disk (about 10 minutes, see scripts/lab/*.sh -h) in $LAB; after that a machine boots in
seconds. The checkout with dist/ is shared live and read-only at the same path: build, and run again. skiff keeps its
state on the machine's own disk, which is thrown away in the end. A run prints what the script writes and ends with its
exit code; LAB_REPORT=FILE has what the script writes to its \$LAB_REPORT copied to FILE.
Machines, their network and their memory live in namespaces of their own: nothing of them is left on the host.
HELP
}

UP=/run/skiff-lab
COMMAND=${1:-}
[[ $# == 0 ]] || shift
ARGUMENTS="$COMMAND $*"
BACKEND=auto INIT=script NODES=1 MEMORY=2048 CPUS=2 SERVE='' IMAGES='' ACCEL=tcg

number() { [[ $2 =~ ^[1-9][0-9]*$ ]] || die "$1 needs a number, not '$2'"; }
choice() {
  local given=$2 option=$1
  shift 2
  [[ " $* " == *" $given "* ]] || die "$option is one of: $*"
}

# A stale record of a lab whose machine was restarted counts as none; field 22 of /proc/PID/stat is the start time.
start_time() { sed -n 's/.*) //p' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
up_pid() {
  local pid started
  read -r pid started 2>/dev/null <"$UP/pid" || return 1
  [[ $(start_time "$pid") == "$started" ]] && echo "$pid"
}

# KVM counts only where the processor says so and a guest came up: a device alone may hang every kernel.
kvm_works() {
  local verdict
  [[ -e /dev/kvm ]] || { WHY='there is no /dev/kvm'; return 1; }
  grep -qwE 'vmx|svm' /proc/cpuinfo || { WHY='/dev/kvm is there, but /proc/cpuinfo shows neither vmx nor svm'; return 1; }
  verdict=$LAB/kvm-$(uname -r)
  if [[ ! -f $verdict ]]; then
    if ACCEL=kvm probe_guest; then echo works >"$verdict"; else echo hangs >"$verdict"; fi
  fi
  WHY="under KVM a guest $(<"$verdict") here ($verdict)"
  [[ $(<"$verdict") == works ]]
}
probe_guest() {
  say 'trying KVM with a guest of 20 s at most'
  timeout -s KILL 20 "$0" run --backend qemu --accel kvm "$LAB_SCRIPTS/true.sh" >/dev/null 2>&1
}

choose_backend() {
  [[ $BACKEND == auto ]] || return 0
  if kvm_works; then
    BACKEND=qemu ACCEL=kvm
  elif [[ $(uname -m) == x86_64 ]]; then
    BACKEND=uml
  else
    BACKEND=qemu
  fi
  say "backend $BACKEND: $WHY" >&2
}

build() {
  need_node
  choose_backend
  apt_install ethtool iproute2 openssh-client >&2
  [[ $BACKEND == uml ]] || apt_install "$([[ $(uname -m) == aarch64 ]] && echo qemu-system-arm || echo qemu-system-x86)" qemu-utils >&2
  KERNEL=${SKIFF_LAB_KERNEL:-$("$LAB_SCRIPTS/kernel.sh" "$BACKEND")}
  DISK=$("$LAB_SCRIPTS/rootfs.sh")
  [[ -z $IMAGES ]] || IMAGES=$("$LAB_SCRIPTS/images.sh")
}

# A Node of the system's own lies below a directory that a guest has itself: a copy is shared instead.
share_directories() {
  SHARES=("$SKIFF_REPO")
  LAB_NODE_COPY=$NODE
  mkdir -p "$SKIFF_CACHE/tools" "$LAB/share"
  SHARES+=("$SKIFF_CACHE/tools" "$LAB/share")
  case $NODE_HOME in
    /usr | /usr/local)
      LAB_NODE_COPY=$LAB/share/node-$("$NODE" -p process.version)
      [[ -x $LAB_NODE_COPY ]] || { cp "$NODE" "$LAB_NODE_COPY.partial" && mv "$LAB_NODE_COPY.partial" "$LAB_NODE_COPY"; }
      ;;
    *) SHARES+=("$NODE_HOME") ;;
  esac
  [[ $BACKEND == uml ]] || SHARES+=("$KERNEL/modules")
}

# write_lab DIRECTORY SHOW SCRIPT ARGUMENT ...: what the supervisor and each guest read.
write_lab() {
  local dir=$1 show=$2 script=$3 number variable
  shift 3
  share_directories
  ssh-keygen -q -t ed25519 -N '' -C skiff-lab -f "$dir/key"
  local DISK_MEMORY=4096 SHOW=$show
  declare -p BACKEND INIT NODES MEMORY CPUS ACCEL KERNEL DISK SHARES DISK_MEMORY SHOW >"$dir/lab.conf"
  for ((number = 1; number <= NODES; number++)); do
    mkdir "$dir/node$number"
    cp "$dir/key.pub" "$dir/node$number/authorized_keys"
    local LAB_NODE=$number LAB_NODES=$NODES LAB_INIT=$INIT LAB_BACKEND=$BACKEND LAB_REPO=$SKIFF_REPO \
      LAB_SHARES=("${SHARES[@]}") LAB_ARGUMENTS=("$@") LAB_SCRIPT=$script LAB_SERVE=$SERVE LAB_IMAGES=$IMAGES
    [[ $number == 1 ]] || LAB_SCRIPT='' LAB_SERVE=yes
    declare -p LAB_NODE LAB_NODES LAB_INIT LAB_BACKEND LAB_REPO LAB_SHARES LAB_ARGUMENTS LAB_SCRIPT LAB_SERVE LAB_IMAGES \
      LAB_NODE_COPY NODE KERNEL SKIFF_CACHE >"$dir/node$number/env"
  done
}

SUPERVISE=(unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private -- "$LAB_SCRIPTS/supervise.sh")

run_script() {
  local script=${1:-} dir pid code=0
  [[ -n $script ]] || { usage >&2; exit 2; }
  [[ -x $script ]] || die "$script is no program" 'give the path of an executable script'
  script=$(readlink -f "$script")
  shift
  build
  DIR=$(mktemp -d /tmp/skiff-lab.XXXXXX)
  SUPERVISOR=''
  trap end_run EXIT
  trap 'exit 130' INT TERM HUP
  [[ $script == "$SKIFF_REPO"/* ]] || OUTSIDE=$script script=/lab/script
  write_lab "$DIR" 1 "$script" "$@"
  [[ -z ${OUTSIDE:-} ]] || install -m 755 "$OUTSIDE" "$DIR/node1/script"
  "${SUPERVISE[@]}" "$DIR" </dev/null &
  SUPERVISOR=$!
  wait "$SUPERVISOR" || true
  SUPERVISOR=''
  [[ -z ${LAB_REPORT:-} || ! -f $DIR/node1/report ]] || cp "$DIR/node1/report" "$LAB_REPORT"
  code=$(cat "$DIR/node1/exit" 2>/dev/null) || {
    tail -n 30 "$DIR"/node1/{uml,qemu}.log 2>/dev/null | sed 's/^/    | /' >&2
    die 'the machine ended before the script did: see its last lines above'
  }
  exit "$code"
}
# The first process in a pid namespace takes all others along.
end_run() {
  [[ -z $SUPERVISOR ]] || { kill -KILL "$SUPERVISOR" 2>/dev/null; wait "$SUPERVISOR" 2>/dev/null; } || true
  rm -rf --one-file-system "$DIR"
}

up() {
  local started=$SECONDS pid number
  ! up_pid >/dev/null || die 'a lab is up already' 'end it first: sudo scripts/lab.sh down'
  "$SKIFF_REPO/scripts/setup.sh" -q
  need_node
  "$SKIFF_REPO/scripts/build.sh" -q
  "$SKIFF_REPO/scripts/tools.sh" -q crictl
  build
  step "$NODES machine(s): $BACKEND, $INIT as init, $MEMORY MiB and $CPUS CPUs each"
  rm -rf --one-file-system "$UP"
  mkdir -m 700 "$UP"
  SERVE=yes
  write_lab "$UP" 0 ''
  setsid "${SUPERVISE[@]}" "$UP" >"$UP/supervisor.log" 2>&1 </dev/null 8>&- &
  pid=$!
  trap 'kill -KILL "$pid" 2>/dev/null; rm -rf --one-file-system "$UP"; exit 130' INT TERM HUP
  echo "$pid $(start_time "$pid")" >"$UP/pid"
  for ((number = 1; number <= NODES; number++)); do await_node "$number" "$pid"; done
  trap - INT TERM HUP
  step "Ready after $((SECONDS - started)) s"
  say 'scripts/lab.sh shell [NODE]          a shell there; skiff, crictl and the rest are on its PATH'
  say 'scripts/lab.sh shell 1 skiff doctor  one command'
  say 'scripts/lab.sh down                  ends all of it'
}

await_node() {
  local file=$UP/node$1/ready begun=$SECONDS
  until [[ -s $file ]]; do
    kill -0 "$2" 2>/dev/null || {
      tail -n 20 "$UP/supervisor.log" "$UP/node$1"/*.log >&2
      die "node$1 ended while it started"
    }
    [[ $((SECONDS - begun)) -lt 600 ]] || die "node$1 is not ready after 600 s" "its console: $UP/node$1/console.log"
    sleep 0.1
  done
  if [[ $(<"$file") != 0 ]]; then
    tail -n 30 "$UP/node$1/console.log" >&2
    die "skiff does not serve on node$1: see above" 'look there: scripts/lab.sh shell' 'end it: scripts/lab.sh down'
  fi
  say "node$1 (10.77.0.$((10 + $1))): skiff serves"
}

shell() {
  local pid node=${1:-1} tty=()
  pid=$(up_pid) || die 'no lab is up' 'start one: sudo scripts/lab.sh up'
  [[ $# == 0 ]] || shift
  node=${node#node}
  [[ -f $UP/node$node/env ]] || die "there is no node $node" 'scripts/lab.sh status shows which there are'
  [[ ! -t 0 ]] || tty=(-t)
  # ssh joins words with spaces: what comes as one word shall stay one.
  local words=''
  [[ $# == 0 ]] || printf -v words '%q ' "$@"
  exec nsenter --target "$pid" --net ssh "${tty[@]}" -q -i "$UP/key" -o StrictHostKeyChecking=no \
    -o UserKnownHostsFile=/dev/null "root@10.77.0.$((10 + node))" ${words:+"$words"}
}

status() {
  local pid number ready
  pid=$(up_pid) || { say 'no lab is up'; return 0; }
  source "$UP/lab.conf"
  step "Up since $(ps -o lstart= -p "$pid"): $BACKEND, $INIT as init, $MEMORY MiB and $CPUS CPUs each"
  for ((number = 1; number <= NODES; number++)); do
    ready=$(cat "$UP/node$number/ready" 2>/dev/null) || ready=''
    case $ready in 0) ready='skiff serves' ;; '') ready=starting ;; *) ready='skiff does not serve' ;; esac
    say "node$number  10.77.0.$((10 + number))  pods 10.88.$number.0/24  $ready"
  done
}

down() {
  local pid waited
  if pid=$(up_pid); then
    kill -KILL "$pid"
    for ((waited = 0; waited < 100; waited++)); do up_pid >/dev/null || break; sleep 0.1; done
  elif [[ ! -d $UP ]]; then
    say 'no lab is up'
    return 0
  fi
  rm -rf --one-file-system "$UP"
  say "nothing of it is left; kernel and disk stay in $LAB"
}

options() {
  while [[ $# -gt 0 ]]; do
    case $1 in
      -h | --help) usage; exit 0 ;;
      --backend) choice "$1" "${2:-}" uml qemu auto; BACKEND=$2; shift ;;
      --init) choice "$1" "${2:-}" script systemd; INIT=$2; shift ;;
      --accel) choice "$1" "${2:-}" kvm tcg; ACCEL=$2; shift ;;
      --nodes) number "$1" "${2:-}"; NODES=$2; shift ;;
      --memory) number "$1" "${2:-}"; MEMORY=$2; shift ;;
      --cpus) number "$1" "${2:-}"; CPUS=$2; shift ;;
      --serve) SERVE=yes ;;
      --images) IMAGES=yes ;;
      --) shift; break ;;
      -*) usage >&2; exit 2 ;;
      *) break ;;
    esac
    shift
  done
  REST=("$@")
}

case $COMMAND in
  -h | --help) usage; exit 0 ;;
  up | run | build) options "$@" ;;
  shell | status | down) [[ ${1:-} != -h && ${1:-} != --help ]] || { usage; exit 0; }; REST=("$@") ;;
  *) usage >&2; exit 2 ;;
esac
need_root lab.sh
case $COMMAND in
  up) up ;;
  run) run_script "${REST[@]}" ;;
  build) build ;;
  shell) shell "${REST[@]}" ;;
  status) status ;;
  down) down ;;
esac
