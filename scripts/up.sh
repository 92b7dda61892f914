#!/usr/bin/env bash
# From a clone to a pod that answers HTTP, and back.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$SKIFF_REPO/scripts/up/down.sh"

usage() {
  cat <<HELP
usage: sudo scripts/up.sh [IMAGE [-- COMMAND ...]] [--port N] [-h]
       sudo scripts/up.sh --down

Sets up this machine, builds skiff, starts its daemon in the background, pulls an image
and runs a pod named "hello" from it; shows its log, its address and what it answers over
HTTP. Without IMAGE: a small web server made of this machine's busybox, pulled from a
registry of its own on 127.0.0.1, so no internet is needed. A second run keeps the daemon
and makes the pod anew.

Where cgroup v2 lacks cpu, memory or pids (a hybrid v1 host), the daemon runs without
limits in mount, network and cgroup namespaces of its own; its sockets are reached from
outside as well.

  --port N   the port of the pod that is asked (default 80)
  --down     ends pods and daemon and removes what up.sh made, images included

Written where there is none yet: /etc/skiff/config.toml, a CNI configuration, /etc/crictl.yaml.
The daemon's log: /var/log/skiff.log
HELP
}

RECORD=/var/lib/skiff-up # what --down has to know; it goes last
LOG=/var/log/skiff.log
POD=hello
LINK=skiff-up
SKIFF=$SKIFF_REPO/dist/skiff

recorded() { [[ -f $RECORD/$1 ]] && cat "$RECORD/$1"; }
# Notes a path that --down removes: only what was not there before.
made() { grep -qxF "$1" "$RECORD/made" 2>/dev/null || echo "$1" >>"$RECORD/made"; }
claim() {
  local path=$1
  while [[ ! -e $path ]]; do
    made "$path"
    path=$(dirname "$path")
  done
}

# write_new FILE: stdin becomes FILE where there is none.
write_new() {
  local file=$1
  if [[ -e $file ]]; then
    cat >/dev/null
    return 0
  fi
  claim "$file"
  mkdir -p "$(dirname "$file")"
  cat >"$file"
  say "wrote $file"
}

controllers_missing() {
  local controller there
  there=$(cat /sys/fs/cgroup/cgroup.controllers 2>/dev/null) || return 0
  for controller in cpu memory pids; do [[ " $there " == *" $controller "* ]] || return 0; done
  return 1
}

# A daemon's pid is only worth something together with its start time (field 22 of /proc/PID/stat);
# nothing for a zombie, which a container's init may leave for long.
start_time() { sed -n 's/.*) //; /^[^ZX]/p' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
daemon_pid() {
  local pid started
  read -r pid started < <(recorded daemon) || return 1
  [[ -n $started && $(start_time "$pid") == "$started" ]] && echo "$pid"
}
# A process in the daemon's namespaces: itself, or a shim that outlived it.
resident() {
  local namespace link
  daemon_pid && return 0
  namespace=$(recorded namespace) || return 1
  for link in /proc/[0-9]*/ns/mnt; do
    if [[ $(readlink "$link" 2>/dev/null) == "$namespace" ]]; then
      cut -d/ -f3 <<<"$link"
      return 0
    fi
  done
  return 1
}
# Sets INSIDE: what to put before a command that is to run where the daemon is.
find_inside() {
  local pid
  INSIDE=()
  [[ $MODE == host ]] || ! pid=$(resident) || INSIDE=(nsenter --target "$pid" --mount --net --cgroup --)
}

write_files() {
  local conf_dir=/etc/cni/net.d
  step 'Configuration'
  if compgen -G "$conf_dir/*.conf*" >/dev/null && [[ ! -e $conf_dir/10-skiff.conflist ]]; then
    conf_dir=/etc/skiff/net.d
  fi
  write_new /etc/skiff/config.toml <<TOML
# Written by scripts/up.sh. All keys: skiff config default
$([[ $MODE == host ]] || printf '# This host has no cgroup v2 controllers: limits are left out.\ntolerate_missing_controllers = true\ncgroup_driver = "cgroupfs"\n')
[cni]
conf_dir = "$conf_dir"
TOML
  write_new "$conf_dir/10-skiff.conflist" <<'JSON'
{
  "cniVersion": "1.0.0",
  "name": "skiff",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "skiff0",
      "isGateway": true,
      "ipMasq": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{ "subnet": "10.88.0.0/16" }]],
        "routes": [{ "dst": "0.0.0.0/0" }]
      }
    },
    { "type": "portmap", "capabilities": { "portMappings": true } },
    { "type": "firewall" }
  ]
}
JSON
  write_new /etc/crictl.yaml <<'YAML'
runtime-endpoint: unix:///run/skiff/skiff.sock
image-endpoint: unix:///run/skiff/skiff.sock
timeout: 30
YAML
}

# The stage of this script that becomes the daemon, inside the new namespaces.
become_daemon() {
  mount -t sysfs sysfs /sys
  mount -t cgroup2 none /sys/fs/cgroup
  # Its own first process stays out of the root, which could not enable controllers otherwise.
  mkdir -p /sys/fs/cgroup/daemon
  echo $$ >/sys/fs/cgroup/daemon/cgroup.procs
  mount --make-rshared /
  ip link set lo up
  echo 1 >/proc/sys/net/ipv4/ip_forward
  unset SKIFF_UP_STAGE
  exec "$SKIFF" serve
}

# In a cgroup of its own, so that --down can see that nothing is left in it.
enter_namespaces() {
  local view
  view=$(mktemp -d /tmp/skiff-up.XXXXXX)
  unshare --mount --propagation private -- bash -c '
    mount -t cgroup2 none "$0" && mkdir -p "$0/skiff-up" && echo $1 >"$0/skiff-up/cgroup.procs"' "$view" $$
  rmdir "$view"
  SKIFF_UP_STAGE=daemon exec unshare --mount --net --cgroup --propagation private -- "$0"
}

start_daemon() {
  local pid path
  if pid=$(daemon_pid); then
    say "the daemon runs already (pid $pid)"
    await_daemon "$pid"
    return 0
  fi
  step "The daemon (its log: $LOG)"
  local command=("$SKIFF" serve)
  if [[ $MODE == private ]]; then
    find_inside
    if [[ ${#INSIDE[@]} == 0 ]]; then command=(env SKIFF_UP_STAGE=namespaces "$0"); else command=("${INSIDE[@]}" "$SKIFF" serve); fi
  fi
  for path in /var/lib/skiff /run/skiff /var/lib/cni/networks/skiff /run/netns "$LOG"; do claim "$path"; done
  # Ctrl-C between start and record would lose it. All that follows in it are execs, so the start time stays.
  trap '' INT
  # The locks and the terminal of this script are nothing to a daemon.
  setsid "${command[@]}" >>"$LOG" 2>&1 </dev/null 9>&- &
  pid=$!
  echo "$pid $(start_time "$pid")" >"$RECORD/daemon"
  trap 'exit 130' INT
  await_daemon "$pid"
  say "pid $pid, socket /run/skiff/skiff.sock"
}

# Another daemon may answer where this one has ended.
await_daemon() {
  local pid=$1 waited
  for ((waited = 0; waited < 300; waited++)); do
    if "$SKIFF" ps -q >/dev/null 2>&1 || [[ -z $(start_time "$pid") ]]; then break; fi
    sleep 0.1
  done
  if [[ -z $(start_time "$pid") ]] || ! "$SKIFF" ps -q >/dev/null 2>&1; then
    tail -n 20 "$LOG" | sed 's/^/      | /' >&2
    die 'the daemon did not start' "its log is $LOG; try: $SKIFF doctor"
  fi
  readlink "/proc/$pid/ns/mnt" >"$RECORD/namespace"
}

# From namespaces of its own the daemon reaches registries through the host.
connect_host() {
  local pid
  pid=$(resident)
  [[ ! -d /sys/class/net/$LINK ]] || return 0
  ip route show default | grep -q . || die 'this machine has no default route: no registry can be reached' \
    'run scripts/up.sh without an image'
  step 'A way out for the namespaces (veth and masquerading; --down removes them)'
  ip link add "$LINK" type veth peer name uplink netns "$pid"
  ip addr add 169.254.77.1/30 dev "$LINK"
  ip link set "$LINK" up
  nsenter --target "$pid" --net ip addr add 169.254.77.2/30 dev uplink
  nsenter --target "$pid" --net ip link set uplink up
  nsenter --target "$pid" --net ip route add default via 169.254.77.1
  nft -f - <<'NFT'
table ip skiff_up {
  chain out { type nat hook postrouting priority 100; ip saddr 169.254.77.0/30 masquerade; }
}
NFT
  cat /proc/sys/net/ipv4/ip_forward >"$RECORD/ip_forward"
  echo 1 >/proc/sys/net/ipv4/ip_forward
  # A resolver on the host's loopback is out of reach in there.
  if grep -qE '^nameserver 127\.' /etc/resolv.conf && [[ -f /run/systemd/resolve/resolv.conf ]]; then
    nsenter --target "$pid" --mount mount --bind /run/systemd/resolve/resolv.conf "$(readlink -f /etc/resolv.conf)"
  fi
}

pull_demo() {
  local out pid reference waited
  out=$(mktemp /tmp/skiff-demo.XXXXXX)
  "${INSIDE[@]}" "$NODE" "$SKIFF_REPO/scripts/demo-registry.ts" >"$out" 2>&1 </dev/null &
  pid=$!
  # Started with & it does not see Ctrl-C.
  trap "kill $pid 2>/dev/null; rm -f $out" EXIT
  for ((waited = 0; waited < 100; waited++)); do
    [[ -s $out ]] || ! kill -0 "$pid" 2>/dev/null && break
    sleep 0.1
  done
  reference=$(<"$out")
  rm -f "$out"
  if [[ $reference != 127.0.0.1:* ]]; then die "the demo registry did not start: $reference"; fi
  IMAGE=$reference
  local code=0
  "$SKIFF" pull "$IMAGE" 2>&1 | sed 's/^/    /' || code=$?
  kill "$pid"
  wait "$pid" 2>/dev/null || true
  trap - EXIT
  [[ $code == 0 ]] || die 'the pull failed' "the daemon's log is $LOG"
}

run_pod() {
  step "Image ${IMAGE:-made of the busybox of this machine}"
  if [[ -z $IMAGE ]]; then
    pull_demo
  else
    [[ $MODE == host ]] || connect_host
    "$SKIFF" pull "$IMAGE" 2>&1 | sed 's/^/    /' || die 'the pull failed' "is the name right? the daemon's log is $LOG"
  fi
  step "Pod $POD"
  "$SKIFF" rm -f "$POD" >/dev/null 2>&1 || true
  "$SKIFF" run -d --name "$POD" "$IMAGE" "${COMMAND[@]}" >/dev/null ||
    die 'the pod did not start' "its steps: $SKIFF events --since 5m; the daemon's log: $LOG"
  "$SKIFF" ps | sed 's/^/    /'
}

show_answer() {
  local pod address answer=''
  pod=$("$SKIFF" pods -q | head -n 1)
  address=$("$SKIFF" inspect "$pod" | "$NODE" -p 'JSON.parse(fs.readFileSync(0, "utf8")).status.network.ip')
  # With Node: Debian's static busybox crashes in wget, and curl may not be there.
  answer=$("${INSIDE[@]}" "$NODE" -e '
    const ask = async (left) => {
      try {
        const answer = await fetch(process.argv[1], { signal: AbortSignal.timeout(5000) });
        console.log((await answer.text()).split("\n").slice(0, 5).join("\n"));
      } catch { if (left > 0) setTimeout(ask, 200, left - 1); }
    };
    ask(50);' "http://$address:$PORT/") || true
  step "http://$address:$PORT/ answers"
  if [[ -n $answer ]]; then sed 's/^/    /' <<<"$answer"; else say 'nothing'; fi
  step 'Its log'
  "$SKIFF" logs "$POD" 2>&1 | tail -n 10 | sed 's/^/    /'
  [[ -n $answer ]] || die "port $PORT of the pod does not answer" \
    "give the port that the image serves: scripts/up.sh IMAGE --port N" "or look into it: $SKIFF logs $POD"
}

say_next() {
  local skiff
  printf -v skiff %q "$SKIFF"
  step 'Go on'
  say "$skiff ps, logs, exec, pull, run ... (-h explains)"
  say "crictl pods; crictl ps; crictl exec -s ID ...   (scripts/tools.sh crictl brings it)"
  [[ $MODE == host ]] || say "where its network is: sudo nsenter -t $(resident) -m -n -C"
  say "sudo scripts/up.sh --down   ends all of it"
}

up() {
  "$SKIFF_REPO/scripts/setup.sh" -q
  need_node
  "$SKIFF_REPO/scripts/build.sh"
  mkdir -p "$RECORD"
  MODE=$(recorded mode) || {
    if controllers_missing; then MODE=private; else MODE=host; fi
    for table in nat filter; do cni_chains "$table" | sed "s/^/$table /"; done >"$RECORD/chains"
    echo "$MODE" >"$RECORD/mode"
  }
  write_files
  if [[ $MODE == private ]]; then
    step 'This host has no cgroup v2 with cpu, memory and pids: going on without limits'
    say 'the daemon gets mount, network and cgroup namespaces of its own'
  fi
  start_daemon
  find_inside
  step 'skiff doctor'
  "${INSIDE[@]}" "$SKIFF" doctor | sed 's/^/    /' || say 'pods may fail: see above'
  run_pod
  show_answer
  say_next
}

case ${SKIFF_UP_STAGE:-} in
  namespaces) enter_namespaces ;;
  daemon) become_daemon ;;
esac
ARGUMENTS=$*
IMAGE='' PORT=80 DOWN=0 COMMAND=()
while [[ $# -gt 0 ]]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --down) DOWN=1 ;;
    --port) PORT=${2:?--port needs a number}; shift ;;
    --) shift; COMMAND=("$@"); break ;;
    -*) usage >&2; exit 2 ;;
    *) IMAGE=$1 ;;
  esac
  shift
done
need_root up.sh
# A program that takes Ctrl-C for itself and ends in order would let this script go on.
trap 'exit 130' INT
if [[ $DOWN == 1 ]]; then down; else up; fi
