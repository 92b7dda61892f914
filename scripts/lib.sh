# Shared by the scripts beside it; sourced, never run. Gives the repository's
# and the cache's place, output helpers, and the Node that everything runs on.

SKIFF_REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
SKIFF_CACHE=${SKIFF_CACHE:-/var/cache/skiff}
SKIFF_LOGS=$SKIFF_CACHE/logs
NODE_VERSION=24.21.0
NPM_VERSION=11.19.1
# sudo's PATH may lack the system directories or a Go of the machine's own.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin:/usr/lib/go/bin
export SKIFF_CACHE PATH

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' GREEN=$'\e[32m' PLAIN=$'\e[0m'
else
  BOLD='' DIM='' RED='' GREEN='' PLAIN=''
fi

# The headline of a part of the work; silent with QUIET=1.
step() { [[ ${QUIET:-0} == 1 ]] || printf '%s==> %s%s\n' "$BOLD" "$*" "$PLAIN"; }
# One fact; silent with QUIET=1.
say() { [[ ${QUIET:-0} == 1 ]] || printf '    %s\n' "$*"; }
# die MESSAGE [WHAT TO DO NEXT ...]: ends the script with exit code 1.
die() {
  printf '%s%s: %s%s\n' "$RED" "${0##*/}" "$1" "$PLAIN" >&2
  shift
  local next
  for next in "$@"; do printf '    %s\n' "$next" >&2; done
  exit 1
}

need_root() {
  [[ $(id -u) == 0 ]] || die "$1 needs root" "try: sudo $0 ${ARGUMENTS:-}"
}

have() { command -v "$1" >/dev/null 2>&1; }

# run LABEL COMMAND ...: runs it with its output in a log; shows the time that
# goes by on a terminal, and the log's end where it fails. No stdin.
run() {
  local label=$1 log started code=0 pid
  shift
  mkdir -p "$SKIFF_LOGS"
  log="$SKIFF_LOGS/$(printf '%s' "$label" | tr -cs 'A-Za-z0-9.' '-').log"
  started=$SECONDS
  [[ -t 1 || ${QUIET:-0} == 1 ]] || printf '    %s ...\n' "$label"
  # A process group of its own, asked once to end and waited for: apt-get then finishes what dpkg has begun.
  set -m
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  set +m
  trap 'interrupted "$label" "$pid"' INT TERM HUP
  while [[ -t 1 ]] && kill -0 "$pid" 2>/dev/null; do
    printf '\r    %s %s%ds%s ' "$label" "$DIM" $((SECONDS - started)) "$PLAIN"
    sleep 0.3
  done
  wait "$pid" || code=$?
  trap - INT TERM HUP
  [[ ! -t 1 ]] || printf '\r\e[K'
  if [[ $code != 0 ]]; then
    printf '%s    %s: failed with code %s; the end of %s:%s\n' "$RED" "$label" "$code" "$log" "$PLAIN" >&2
    grep -v "^npm warn" "$log" | tail -n "${RUN_TAIL:-30}" | sed 's/^/      | /' >&2
    return "$code"
  fi
  say "$label ${DIM}($((SECONDS - started)) s)${PLAIN}"
}
# A second Ctrl-C ends the script without waiting.
interrupted() {
  trap - INT TERM HUP
  printf '\n    interrupted: %s is ending; Ctrl-C again leaves it to itself ...\n' "$1" >&2
  kill -INT -- "-$2" 2>/dev/null || true
  wait "$2" || true
  exit 130
}

# node_platform: x64 or arm64, as the packages with Node's binary are named.
node_platform() {
  case $(uname -m) in
    x86_64) echo x64 ;;
    aarch64) echo arm64 ;;
    *) die "no Node package for a $(uname -m) machine" \
      'install Node 24 or newer with its headers yourself and put it on PATH, then run this again' ;;
  esac
}

# Where set-up puts Node where the machine's own is too old.
node_prefix() { echo "$SKIFF_CACHE/node-$NODE_VERSION-npm-$NPM_VERSION-$(node_platform)"; }

# A Node that serves: at least 24, with the headers that the addon is compiled against.
node_serves() {
  [[ -x $1 ]] || return 1
  "$1" -e 'const { dirname, join } = require("node:path");
    const header = join(dirname(process.execPath), "../include/node/node_api.h");
    process.exit(+process.versions.node.split(".")[0] >= 24 && require("node:fs").existsSync(header) ? 0 : 1)' \
    >/dev/null 2>&1
}

# find_node: sets NODE (absolute path), NODE_HOME and NPM (a path for `"$NODE" "$NPM"`),
# and puts that Node first on PATH. Fails where set-up has not run.
find_node() {
  local own candidate
  own=$(node_prefix)/node_modules
  for candidate in "${SKIFF_NODE:-}" "$(command -v node || true)" "$own/node-linux-$(node_platform)/bin/node"; do
    node_serves "$candidate" || continue
    NODE=$(readlink -f "$candidate")
    NODE_HOME=$(dirname "$(dirname "$NODE")")
    NPM=$own/npm/bin/npm-cli.js
    PATH=$(dirname "$NODE"):$PATH
    export NODE NODE_HOME NPM PATH
    return 0
  done
  return 1
}

need_node() {
  find_node || die 'there is no Node 24 here' "run: sudo $SKIFF_REPO/scripts/setup.sh"
}

# What root made inside a user's clone belongs to that user.
give_back() {
  [[ $(stat -c %u "$SKIFF_REPO") == 0 ]] || chown -R --reference="$SKIFF_REPO" "$@" 2>/dev/null || true
}

# apt_install PACKAGE ...: those that are missing, after one `apt-get update` where the lists do not know them.
apt_missing() {
  local package
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
  done
}
apt_install() {
  local missing
  have dpkg-query || die 'this is not a Debian or Ubuntu machine' \
    "install what these packages hold yourself: $*" 'then set SKIFF_NO_APT=1 and run this again'
  mapfile -t missing < <(apt_missing "$@")
  [[ ${#missing[@]} != 0 ]] || return 0
  [[ -z ${SKIFF_NO_APT:-} ]] || die "missing packages: ${missing[*]}" 'unset SKIFF_NO_APT, or install them yourself'
  say "missing: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # What apt-get itself refuses to go on from: a dpkg that was killed. One that runs right now has its lock.
  if compgen -G '/var/lib/dpkg/updates/[0-9]*' >/dev/null; then
    run 'dpkg --configure -a' dpkg --configure -a || true
  fi
  local install=(apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300)
  apt-get check -q >/dev/null 2>&1 || run 'apt-get --fix-broken install' "${install[@]}" --fix-broken || true
  if ! RUN_TAIL=3 run 'apt-get install' "${install[@]}" "${missing[@]}" 2>/dev/null; then
    run 'apt-get update' apt-get update -q -o DPkg::Lock::Timeout=300 ||
      die 'apt-get update failed' 'see that the machine reaches its package mirror, then run this again'
    run 'apt-get install (second try)' "${install[@]}" "${missing[@]}" ||
      die 'apt-get install failed' "look at the lines above; on Ubuntu 'universe' must be enabled: add-apt-repository universe"
  fi
}
