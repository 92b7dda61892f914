#!/usr/bin/env bash
# Measures skiff against its peer on this machine in one run.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<HELP
usage: sudo scripts/bench.sh [--pods N] [--rounds N] [--json FILE] [--steps] [--smoke] [-h]

Starts skiff and containerd in private namespaces (scripts/private.sh), each with the same
runc, CNI plugins, registry and images, has both do the same work by turns, and prints a
table: medians, 95th percentiles, the ratio skiff / containerd, and 'missed' beside what
falls short of its bar. Then it exits with 1; with 2 where the measuring itself failed.
  --pods N      pods that live at once, and samples in a round (20)
  --rounds N    rounds of pods (2)
  --json FILE   writes everything, with all samples, to FILE
  --steps       also the times of skiff's own steps, for finding where time goes
  --smoke       two pods and small sizes: shows that the bench works; no bar counts
How it is measured and what came out: test/bench/README.md. It took five to
eight minutes on a busy machine; more the first time, when containerd and runc are brought.
HELP
}

ARGUMENTS=$*
OPTIONS=()
while [[ $# -gt 0 ]]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --smoke | --steps) OPTIONS+=("$1") ;;
    --pods | --rounds | --json)
      [[ $# -ge 2 ]] || { usage >&2; exit 2; }
      if [[ $1 == --json ]]; then OPTIONS+=("$1" "$(realpath -m -- "$2")"); else OPTIONS+=("$1" "$2"); fi
      shift ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
need_root measuring
"$SKIFF_REPO/scripts/setup.sh" -q
"$SKIFF_REPO/scripts/tools.sh" -q apt runc containerd cni
need_node
"$SKIFF_REPO/scripts/build.sh" -q
eval "$("$SKIFF_REPO/scripts/tools.sh" --paths)"
export NODE_COMPILE_CACHE=$SKIFF_CACHE/compile
cd "$SKIFF_REPO"
step 'Measurements'
exec scripts/private.sh "$NODE" test/bench/main.ts "${OPTIONS[@]}"
