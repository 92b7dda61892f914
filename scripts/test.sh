#!/usr/bin/env bash
# Runs the tests: those named, or those that every change must pass.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<HELP
usage: sudo scripts/test.sh [SUITE ...] [--only TEXT] [--all] [-h]

Sets up and builds what is missing, then runs suites one after another:
  check        format, lint, types, who imports whom
  native       C tests of the system calls and of the shim
  unit         no root, no kernel objects
  integration  one adapter against the real kernel, runc, registry or CNI plugins
  e2e          the daemon as a process, over its sockets
  bench-smoke  the measurements run, a few rounds of each
Without a name: all of these, as every change must pass them. By name or with --all:
  e2e-long     streams on the wire and under load
  lab          limits, OOM, statistics and cgroup parents in a machine with every controller
  --only TEXT  only files whose path holds TEXT: scripts/test.sh e2e --only crictl

What touches the kernel runs in private namespaces (scripts/private.sh). A suite past twice
its time is ended and counts as failed. Logs: test-results/. The last line is
'N passed, N failed, N skipped'; the exit code is 0 where nothing failed.
HELP
}

ARGUMENTS=$*
SUITES=()
for argument in "$@"; do
  case $argument in
    -h | --help) usage; exit 0 ;;
    -*) ;;
    *) SUITES+=("$argument") ;;
  esac
done
need_root testing
"$SKIFF_REPO/scripts/setup.sh" -q
# Type check and unit tests alone need no tools and no build.
case "${SUITES[*]:-all}" in
  check | unit | 'check unit' | native) ;;
  *bench-smoke* | all) "$SKIFF_REPO/scripts/tools.sh" -q apt crictl containerd runc ;;
  *) "$SKIFF_REPO/scripts/tools.sh" -q apt crictl ;;
esac
need_node
"$SKIFF_REPO/scripts/build.sh" -q
# Its machine's kernel and disk are built here, outside the suite's time.
[[ " ${SUITES[*]} $* " != *' lab '* && " $* " != *' --all '* ]] || "$SKIFF_REPO/scripts/lab.sh" build
eval "$("$SKIFF_REPO/scripts/tools.sh" --paths)"
export NODE_COMPILE_CACHE=$SKIFF_CACHE/compile
cd "$SKIFF_REPO"
exec "$NODE" scripts/test/main.ts "$@"
