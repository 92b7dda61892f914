#!/usr/bin/env bash
# Brings everything that building and running skiff needs to this machine.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<HELP
usage: sudo scripts/setup.sh [-q] [-h]

Installs what is missing on a Debian 12/13 or Ubuntu 24.04 machine:
  apt    compiler, make, python3, runc, crun, CNI plugins, iptables, nftables, iproute2, busybox-static ...
  Node   $NODE_VERSION and npm $NPM_VERSION below $SKIFF_CACHE, unless node on PATH is 24 or newer with its headers
  npm    node_modules, as package-lock.json says
What is there already is left as it is; a second run takes a second.

  -q     say only what is done
Environment: SKIFF_CACHE (default /var/cache/skiff), SKIFF_NODE (a node binary to use),
SKIFF_NO_APT=1 (never call apt-get: fail where something is missing).
What only tests need is brought by scripts/tools.sh.
HELP
}

BUILD=(gcc g++ make libc6-dev python3)
RUN=(runc crun containernetworking-plugins iptables nftables iproute2 busybox-static
  ca-certificates procps util-linux mount kmod)

install_packages() {
  [[ -n $(apt_missing "${BUILD[@]}" "${RUN[@]}" 2>/dev/null) ]] || return 0
  step 'Packages of the distribution'
  apt_install "${BUILD[@]}" "${RUN[@]}"
}

# Node's binary comes as a package of its own, without an install script; npm is one too. Any npm can fetch them.
install_node() {
  local prefix partial
  prefix=$(node_prefix)
  if find_node && [[ -f $NPM ]]; then return 0; fi
  step "Node $NODE_VERSION and npm $NPM_VERSION in $prefix"
  have npm || { say 'no npm here: it comes by apt (some hundred small packages)'; apt_install npm; }
  partial=$prefix.partial.$$
  rm -rf "$prefix".partial.*
  mkdir -p "$partial"
  echo '{ "private": true }' >"$partial/package.json"
  run "download Node and npm" npm install --prefix "$partial" --no-save --no-audit --no-fund --ignore-scripts \
    "node-linux-$(node_platform)@$NODE_VERSION" "npm@$NPM_VERSION" ||
    die 'the download of Node failed' 'see that npm reaches its registry (npm ping), then run this again'
  rm -rf "$prefix"
  mv "$partial" "$prefix"
  find_node || die "the Node in $prefix does not run here" "try: $prefix/node_modules/node-linux-*/bin/node --version"
}

# node_modules carries the checksum of the lock file that it was made from.
install_modules() {
  local stamp wanted
  stamp=$SKIFF_REPO/node_modules/.skiff-lock
  wanted="$(sha256sum <"$SKIFF_REPO/package-lock.json") $(uname -m)"
  [[ ! -f $stamp || $(<"$stamp") != "$wanted" ]] || return 0
  step 'Libraries (npm ci)'
  cd "$SKIFF_REPO"
  npm_config_nodedir=$NODE_HOME run 'npm ci' "$NODE" "$NPM" ci --no-audit --no-fund ||
    die 'npm ci failed' 'see that npm reaches its registry (npm ping), then run this again'
  echo "$wanted" >"$stamp"
  give_back "$SKIFF_REPO/node_modules"
}

ARGUMENTS=$*
QUIET=0
while [[ $# -gt 0 ]]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    -q) QUIET=1 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
QUIET_WANTED=$QUIET
# Work that takes time is always told of; -q only hides what was there already.
QUIET=0
need_root set-up
mkdir -p "$SKIFF_CACHE"
# Two set-ups at once (two clones of one machine) would write the same prefix.
exec 9>"$SKIFF_CACHE/.setup.lock"
flock 9
install_packages
install_node
install_modules
[[ $QUIET_WANTED == 1 ]] || {
  step 'Set-up is complete'
  say "node $("$NODE" --version) at $NODE"
  say "next: scripts/build.sh, or sudo scripts/up.sh"
}
