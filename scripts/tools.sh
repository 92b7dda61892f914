#!/usr/bin/env bash
# Brings what only tests and measurements need.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CRICTL=1.36.0
CRITEST=1.36.0
RUNC=1.3.6
CONTAINERD=2.4.2
CNI=1.9.1
GO_WANTED=1.26.8
TOOLS=$SKIFF_CACHE/tools
ALL=(apt crictl critest runc containerd cni)

usage() {
  cat <<HELP
usage: sudo scripts/tools.sh [-q] [--paths] [TOOL ...] [-h]

Brings tools into $TOOLS/<name>-<version>/bin, once:
  apt          docker-registry, skopeo and umoci, from the distribution
  crictl       $CRICTL
  critest      $CRITEST, the conformance tests, for the lab
  runc         $RUNC, for comparisons: skiff itself is tested with the distribution's
  containerd   $CONTAINERD and its shim, the peer in test/bench
  cni          CNI plugins $CNI, for lists of version 1.1.0
All of them where none is named. Each is a release download where the internet is
there, else it is built from its Go module; Go $GO_WANTED or newer comes through
the Go module proxy where the machine's own is older.

  --paths   only print SKIFF_TOOL_<NAME>=<path> for each that is there, for the shell
  -q        say only what is done
HELP
}

version_of() {
  case $1 in crictl) echo $CRICTL ;; critest) echo $CRITEST ;; runc) echo $RUNC ;; containerd) echo $CONTAINERD ;; cni) echo $CNI ;; esac
}
home_of() { echo "$TOOLS/$1-$(version_of "$1")"; }

print_paths() {
  local tool home
  for tool in crictl critest runc containerd; do
    home=$(home_of "$tool")
    [[ ! -x $home/bin/$tool ]] || echo "export SKIFF_TOOL_${tool^^}=$home/bin/$tool"
  done
  home=$(home_of cni)
  [[ ! -d $home/bin ]] || echo "export SKIFF_TOOL_CNI=$home/bin"
}

apt_tools() {
  local had_registry=0
  [[ -n $(apt_missing docker-registry skopeo umoci) ]] || return 0
  [[ -n $(apt_missing docker-registry) ]] || had_registry=1
  step 'Test tools of the distribution'
  apt_install docker-registry skopeo umoci
  # Debian's package starts a registry on port 5000: tests start their own.
  if [[ $had_registry == 0 && -d /run/systemd/system ]]; then systemctl -q disable --now docker-registry || true; fi
}

goarch() { [[ $(uname -m) == aarch64 ]] && echo arm64 || echo amd64; }

# at_least A B: version A is B or newer.
at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]; }
go_version() { GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null | sed 's/^go//; s/[^0-9.].*//'; }

# Sets GO to a Go that is new enough. An older one serves to fetch it: the toolchain is a Go module,
# and any Go with modules can download one (it only leaves the programs without their x bit).
find_go() {
  local candidate oldest=''
  [[ -z ${GO:-} ]] || return 0
  for candidate in "$(command -v go || true)" /usr/local/go/bin/go /usr/lib/go-*/bin/go /root/go/bin/go /snap/bin/go; do
    [[ -x $candidate ]] || continue
    if at_least "$(go_version "$candidate")" "${GO_WANTED%.*}"; then
      GO=$candidate
      return 0
    fi
    oldest=$candidate
  done
  if [[ -z $oldest ]]; then
    apt_install golang-go
    oldest=$(command -v go)
  fi
  local module=golang.org/toolchain@v0.0.1-go$GO_WANTED.linux-$(goarch)
  local at=$SKIFF_CACHE/go
  mkdir -p "$at"
  GOTOOLCHAIN=local GOFLAGS=-modcacherw GOMODCACHE=$at run "download Go $GO_WANTED" "$oldest" mod download "$module" ||
    die "Go $GO_WANTED could not be fetched with $(go_version "$oldest")" \
      "install Go $GO_WANTED yourself (golang-go from your distribution's backports), then run this again"
  chmod -R u+w,a+X "$at/$module"
  chmod +x "$at/$module"/bin/* "$at/$module"/pkg/tool/*/*
  GO=$at/$module/bin/go
}

# go_build OUT NAME MODULE VERSION PACKAGE ...; LDFLAGS and TAGS go along, AS_TEST=1 makes a test binary of PACKAGE. `go install module@version` asks for a list of all versions,
# which a proxy may refuse; a module of our own that requires this one does not.
go_build() {
  local out=$1 name=$2 module=$3 version=$4 work verb=(build -o "$1/")
  shift 4
  [[ -z ${AS_TEST:-} ]] || verb=(test -c -o "$out/$name")
  find_go
  work=$(mktemp -d /tmp/skiff-go.XXXXXX)
  printf 'module tools\n\ngo %s\n\nrequire %s %s\n' "${GO_WANTED%.*}" "$module" "$version" >"$work/go.mod"
  (cd "$work" && GOFLAGS='-mod=mod -buildvcs=false -trimpath' GOTOOLCHAIN=local \
    run "build $name $version from its Go module" nice "$GO" "${verb[@]}" -tags "${TAGS:-}" -ldflags "-s -w ${LDFLAGS:-}" "$@") || {
    rm -rf "$work"
    die "the build of $module $version failed" 'see that the Go module proxy can be reached, then run this again'
  }
  rm -rf "$work"
}

# release URL OUT: a release file, or failure where there is no way to the internet. Asked once per run.
release() {
  [[ ${OFFLINE:-0} == 0 ]] || return 1
  "$NODE" --input-type=module - "$1" "$2" <<'JS' 2>/dev/null || { OFFLINE=1; return 1; }
import { writeFile } from 'node:fs/promises';
const [url, out] = process.argv.slice(2);
const ask = AbortSignal.timeout(8000);
const answer = await fetch(url, { signal: AbortSignal.any([ask]) }).catch(() => process.exit(1));
if (!answer.ok) process.exit(1);
await writeFile(out, Buffer.from(await answer.arrayBuffer()));
JS
}

make_crictl() {
  local url=https://github.com/kubernetes-sigs/cri-tools/releases/download/v$CRICTL
  if release "$url/crictl-v$CRICTL-linux-$(goarch).tar.gz" "$1.tgz"; then
    tar -C "$1" -xzf "$1.tgz"
    return
  fi
  CGO_ENABLED=0 LDFLAGS="-X sigs.k8s.io/cri-tools/pkg/version.Version=v$CRICTL" \
    go_build "$1" crictl sigs.k8s.io/cri-tools v$CRICTL sigs.k8s.io/cri-tools/cmd/crictl
}

make_critest() {
  local url=https://github.com/kubernetes-sigs/cri-tools/releases/download/v$CRITEST
  if release "$url/critest-v$CRITEST-linux-$(goarch).tar.gz" "$1.tgz"; then
    tar -C "$1" -xzf "$1.tgz"
    return
  fi
  CGO_ENABLED=0 AS_TEST=1 LDFLAGS="-X sigs.k8s.io/cri-tools/pkg/version.Version=v$CRITEST" \
    go_build "$1" critest sigs.k8s.io/cri-tools v$CRITEST sigs.k8s.io/cri-tools/cmd/critest
}

make_runc() {
  if release "https://github.com/opencontainers/runc/releases/download/v$RUNC/runc.$(goarch)" "$1/runc"; then
    chmod 755 "$1/runc"
    return
  fi
  apt_install libseccomp-dev pkg-config
  CGO_ENABLED=1 TAGS=seccomp LDFLAGS="-X main.version=$RUNC" \
    go_build "$1" runc github.com/opencontainers/runc v$RUNC github.com/opencontainers/runc
}

make_containerd() {
  local url=https://github.com/containerd/containerd/releases/download/v$CONTAINERD
  if release "$url/containerd-$CONTAINERD-linux-$(goarch).tar.gz" "$1.tgz"; then
    tar -C "$1" --strip-components=1 -xzf "$1.tgz"
    return
  fi
  local at=github.com/containerd/containerd/v2
  CGO_ENABLED=0 LDFLAGS="-X $at/version.Version=v$CONTAINERD" \
    go_build "$1" containerd $at v$CONTAINERD $at/cmd/containerd $at/cmd/containerd-shim-runc-v2
}

make_cni() {
  local url=https://github.com/containernetworking/plugins/releases/download/v$CNI
  if release "$url/cni-plugins-linux-$(goarch)-v$CNI.tgz" "$1.tgz"; then
    tar -C "$1" -xzf "$1.tgz"
    return
  fi
  local at=github.com/containernetworking/plugins
  local plugins=(main/bridge main/loopback main/ptp ipam/host-local meta/portmap meta/firewall meta/bandwidth meta/tuning)
  CGO_ENABLED=0 LDFLAGS="-X $at/pkg/utils/buildversion.BuildVersion=v$CNI" \
    go_build "$1" cni $at v$CNI "${plugins[@]/#/$at/plugins/}"
}

# bring TOOL: makes it in a directory beside its place, then moves it there.
bring() {
  local tool=$1 home partial
  home=$(home_of "$tool")
  [[ ! -d $home ]] || return 0
  step "$tool $(version_of "$tool")"
  partial=$home.partial.$$
  rm -rf "$home".partial.*
  mkdir -p "$partial/bin"
  "make_$tool" "$partial/bin"
  rm -f "$partial/bin.tgz"
  mv "$partial" "$home"
  say "in $home/bin"
}

ARGUMENTS=$*
QUIET_WANTED=0
PATHS=0
WANTED=()
while [[ $# -gt 0 ]]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    -q) QUIET_WANTED=1 ;;
    --paths) PATHS=1 ;;
    apt | crictl | critest | runc | containerd | cni) WANTED+=("$1") ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
if [[ $PATHS == 1 ]]; then
  print_paths
  exit 0
fi
QUIET=0
need_root 'bringing tools'
need_node
mkdir -p "$TOOLS"
exec 9>"$TOOLS/.lock"
flock 9
[[ ${#WANTED[@]} != 0 ]] || WANTED=("${ALL[@]}")
for tool in "${WANTED[@]}"; do
  if [[ $tool == apt ]]; then apt_tools; else bring "$tool"; fi
done
[[ $QUIET_WANTED == 1 ]] || { step 'The tools are complete'; print_paths | sed 's/^export /    /'; }
