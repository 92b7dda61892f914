# Shared by the lab's scripts; sourced, never run. Gives the lab's place in the
# cache and a way to Debian's newest packages that leaves the host's apt alone.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
export LAB=$SKIFF_CACHE/lab
export LAB_SCRIPTS=$SKIFF_REPO/scripts/lab
# The same release for the kernel's source and for the guests' root file system.
LAB_SUITE=sid
LAB_MIRROR=${SKIFF_DEBIAN_MIRROR:-http://deb.debian.org/debian}
LAB_KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
LAB_PACKAGES=(debian-archive-keyring)

debian_arch() { dpkg --print-architecture; }

# sid_apt DIRECTORY TYPE: an apt of its own in DIRECTORY with Debian's lists (TYPE deb, or "deb deb-src");
# APT_CONFIG makes apt-get and apt-cache use it. The host's proxies and options hold for it too.
sid_apt() {
  local at=$1
  mkdir -p "$at"/{lists/partial,archives/partial,etc/none.d}
  # _apt, which downloads, must reach it.
  chmod 755 "$at"
  : >"$at/status"
  cat >"$at/etc/debian.sources" <<SOURCES
Types: $2
URIs: $LAB_MIRROR
Suites: $LAB_SUITE
Components: main
Signed-By: $LAB_KEYS
SOURCES
  cat >"$at/apt.conf" <<CONF
Dir::State "$at";
Dir::State::status "$at/status";
Dir::State::lists "$at/lists";
Dir::Cache "$at";
Dir::Etc "$at/etc";
Dir::Etc::sourcelist "$at/etc/debian.sources";
Dir::Etc::sourceparts "none.d";
Dir::Etc::parts "/etc/apt/apt.conf.d";
Dir::Etc::preferencesparts "none.d";
Acquire::Languages "none";
APT::Sandbox::User "root";
CONF
  export APT_CONFIG=$at/apt.conf
  run "apt-get update for Debian $LAB_SUITE" apt-get update -q ||
    die "Debian's package lists could not be fetched from $LAB_MIRROR" \
      'set SKIFF_DEBIAN_MIRROR to a mirror that this machine reaches'
}

# short_hash FILE ...: of their contents, for a cache key.
short_hash() { cat "$@" | sha256sum | cut -c1-12; }

# lock NAME: one builder of a thing at a time; held until the script ends.
lock() {
  mkdir -p "$LAB"
  exec 8>"$LAB/.$1.lock"
  flock 8
}

# strict FUNCTION ...: in a shell of its own that ends at the first failure, which a function on the left of || does not.
# It sees all functions and exported variables, and changes none here.
strict() { bash -euo pipefail -c "$(declare -f)"$'\n''"$@"' "${0##*/}" "$@"; }
