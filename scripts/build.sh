#!/usr/bin/env bash
# Builds dist/: the native parts, the bundles and the launcher.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<HELP
usage: scripts/build.sh [-q] [-h]

Builds everything into dist/ (seconds; needs what scripts/setup.sh brought):
  make -C native   skiff.node (the addon) and skiff-shim (static)
  esbuild          skiff.mjs (daemon and command line) and a bundle per worker thread
  dist/skiff       the launcher: dist/skiff --help
  -q     say only what fails
HELP
}

build_launcher() {
  cat >dist/skiff.partial <<LAUNCHER
#!/bin/sh
# Made by scripts/build.sh. Node raises the soft limit of open files at its start:
# what it was goes along, for the programs that the daemon starts.
SKIFF_NOFILE_SOFT=\$(ulimit -Sn)
export SKIFF_NOFILE_SOFT
here=\$(dirname "\$(readlink -f "\$0")")
exec '$NODE' --max-semi-space-size=8 "\$here/skiff.mjs" "\$@"
LAUNCHER
  chmod 755 dist/skiff.partial
  mv dist/skiff.partial dist/skiff
}

QUIET=0
while [[ $# -gt 0 ]]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    -q) QUIET=1 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
need_node
cd "$SKIFF_REPO"
mkdir -p dist
exec 9>dist/.build.lock
flock 9
step 'Build'
run 'native parts' make -C native NODE_INCLUDE="$NODE_HOME/include/node" || die 'make -C native failed'
run 'bundles' "$NODE" scripts/bundle.ts || die 'bundling failed' "try: $NODE node_modules/typescript/bin/tsc --noEmit"
build_launcher
give_back dist
say 'dist/skiff is ready'
