#!/usr/bin/env bash
# Derives proto/ and src/cri/gen/ from the Go module that proto/README.md names, or checks them against it.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'EOF'
usage: scripts/proto.sh [--check | --offline-check | --pin VERSION]

Without an option: fetches the Go module k8s.io/cri-api at the version in
proto/README.md, verifies its checksum, writes proto/api.proto (the interface
alone: no comments) and regenerates src/cri/gen/ from it.

  --check          changes nothing; fails unless the committed files are what
                   would be written, and every service, method, message, field
                   (name, number, type, label) and enum value equals the
                   descriptor that is compiled into the Go module
  --offline-check  the part of --check that needs neither Go nor the module:
                   src/cri/gen/ against proto/api.proto
  --pin VERSION    writes VERSION and its checksum into proto/README.md, then
                   derives as without an option

Exits with 1 where something differs, with 3 where the module cannot be had.
Needs go (any version that can fetch modules) but for --offline-check, and the
node that runs skiff. Nothing outside the repository is changed but Go's own
module cache.
EOF
}

mode=write
case "${1:-}" in
  '') ;;
  -h | --help) usage; exit 0 ;;
  --check) mode=check ;;
  --offline-check) exec node scripts/proto.ts offline-check ;;
  --pin) mode=write; pin=${2:?--pin needs a version, such as v0.37.2} ;;
  *) usage >&2; exit 2 ;;
esac

command -v go >/dev/null || { echo "proto.sh: go is missing; install it or use --offline-check" >&2; exit 3; }
module=k8s.io/cri-api
version=${pin:-$(sed -n 's/^| version | `\(.*\)` |$/\1/p' proto/README.md)}
sum=$(sed -n 's/^| go.sum | `\(.*\)` |$/\1/p' proto/README.md)

echo "proto.sh: fetching $module@$version"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! download=$(cd "$work" && go mod download -json "$module@$version"); then
  echo "proto.sh: cannot fetch $module@$version: $(sed -n 's/^.*"Error": "\(.*\)".*$/\1/p' <<<"$download")" >&2
  exit 3
fi
field() { sed -n "s/^.*\"$1\": \"\(.*\)\",\{0,1\}\$/\1/p" <<<"$download"; }
if [[ -n "${pin:-}" ]]; then
  sed -i -e "s#^| version | .*#| version | \`$version\` |#" -e "s#^| go.sum | .*#| go.sum | \`$(field Sum)\` |#" proto/README.md
elif [[ "$(field Sum)" != "$sum" ]]; then
  echo "proto.sh: $module@$version has checksum $(field Sum), proto/README.md says $sum" >&2
  exit 1
fi
node scripts/proto.ts "$mode" "$(field Dir)/pkg/apis/runtime/v1"
