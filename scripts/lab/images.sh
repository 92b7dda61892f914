#!/usr/bin/env bash
# Makes stand-ins for the images that critest and the lab's tests pull, and a registry's storage of them, once.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

export SOURCES=$LAB_SCRIPTS/images
PACKAGES=(gcc make libc6-dev bzip2 xz-utils skopeo umoci docker-registry "${LAB_PACKAGES[@]}")
K8S=e2e-test-images
CRI_TOOLS=k8s-staging-cri-tools

usage() {
  cat <<HELP
usage: sudo scripts/lab/images.sh [--path] [-h]

Makes images under the names that critest v1.36.0 and the lab's tests pull, without any registry of the internet:
busybox from Debian's source package (applets as hard links, each run as a program of its own), nginx from Debian's
package, pause and nnp from scripts/lab/images/*.c. Puts them into the storage of a docker-registry:
$LAB/share/images-<hash>, which scripts/lab/registry.sh serves in a machine as registry.k8s.io,
k8s.gcr.io and gcr.io. What is there already is taken; the first time takes two minutes.

  --path   only print the storage's directory, and fail where it is not made yet
HELP
}

# Debian's static busybox runs applets without a program of their own, and lacks some that critest calls.
build_busybox() {
  local source=$WORK/busybox option
  mkdir "$source"
  (cd "$WORK" && apt-get source -q --download-only busybox)
  tar -C "$source" --strip-components=1 -xf "$(find "$WORK" -maxdepth 1 -name 'busybox_*.orig.tar.*' ! -name '*.asc')"
  cd "$source"
  make -s defconfig
  sed -i 's/^# CONFIG_STATIC is not set/CONFIG_STATIC=y/' .config
  for option in FEATURE_SH_STANDALONE FEATURE_PREFER_APPLETS TC; do
    sed -i "s/^CONFIG_$option=y/# CONFIG_$option is not set/" .config
  done
  (yes '' || true) | make -s oldconfig >/dev/null
  nice make -s -j"${SKIFF_LAB_JOBS:-$(nproc)}" busybox
  ./busybox --list >"$WORK/applets"
}

build_programs() {
  local name
  for name in pause nnp; do gcc -O2 -Wall -Werror -static -s -o "$WORK/$name" "$SOURCES/$name.c"; done
}

# nginx with the libraries that its loader names.
fetch_nginx() {
  local package root=$WORK/debian library
  apt-get install -q -y --download-only --no-install-recommends nginx-light
  mkdir "$root"
  for package in "$WORK"/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
  LOADER=$(echo "$root"/usr/lib64/ld-linux-*.so.2)
  mkdir -p "$WORK/nginx/usr/sbin" "$WORK/nginx/usr/lib64"
  cp "$root/usr/sbin/nginx" "$WORK/nginx/usr/sbin/"
  cp -L "$LOADER" "$WORK/nginx/usr/lib64/"
  "$LOADER" --library-path "$root/usr/lib/$(gcc -dumpmachine)" --list "$root/usr/sbin/nginx" |
    sed -n 's/.* => \(\/.*\) (.*/\1/p' | while read -r library; do
    mkdir -p "$WORK/nginx/usr/lib/$(gcc -dumpmachine)"
    cp -L "$library" "$WORK/nginx/usr/lib/$(gcc -dumpmachine)/"
  done
}

# root_of DIRECTORY: a small system with busybox.
root_of() {
  local root=$1 applet
  mkdir -p "$root"/{bin,etc,proc,sys,dev,root,home,www,tmp,var/run,var/log/nginx,var/lib/nginx,usr/local/bin}
  chmod 1777 "$root/tmp"
  cp "$WORK/busybox/busybox" "$root/bin/busybox"
  while read -r applet; do [[ $applet == busybox ]] || ln "$root/bin/busybox" "$root/bin/$applet"; done <"$WORK/applets"
  cat >"$root/etc/passwd" <<'PASSWD'
root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/www:/bin/sh
nobody:x:65534:65534:nobody:/home:/bin/false
PASSWD
  printf 'root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n' >"$root/etc/group"
  echo 'a page of the lab' >"$root/www/index.html"
}

# image NAME ROOT [UMOCI OPTION ...]: an image in the layout, of one layer.
image() {
  local name=$1 root=$2
  shift 2
  umoci new --image "$LAYOUT:$name"
  umoci insert --image "$LAYOUT:$name" "$root" /
  umoci config --image "$LAYOUT:$name" --config.env=PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --config.workingdir=/ "$@"
}
# variant NAME OF [UMOCI OPTION ...]: the same layer with another configuration.
variant() {
  local name=$1 of=$2
  shift 2
  umoci config --image "$LAYOUT:$of" --tag "$name" --config.label="org.skiff.lab=$name" "$@"
}

make_images() {
  local number
  umoci init --layout "$LAYOUT"
  root_of "$WORK/root"
  image busybox "$WORK/root" --config.cmd=sh
  variant httpd busybox --config.cmd=/bin/sh --config.cmd=-c --config.cmd='echo httpd serves port 80; exec httpd -f -p 80 -h /www'
  variant uid busybox --config.user=1002
  variant username busybox --config.user=www-data
  variant uid-group busybox --config.user=1003:1004
  variant username-group busybox --config.user=www-data:1004
  for number in latest tag tag-all digest one two three tags; do variant "$number" busybox; done
  echo 'default-user:x:1000:1000:default-user:/home:/bin/sh' >>"$WORK/root/etc/passwd"
  printf 'default-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n' >>"$WORK/root/etc/group"
  image predefined-group "$WORK/root" --config.cmd=sh --config.user=1000
  install -m 4755 "$WORK/nnp" "$WORK/root/usr/local/bin/nnp"
  image nonewprivs "$WORK/root" --config.cmd=nnp
  rm "$WORK/root/usr/local/bin/nnp"
  mkdir "$WORK/pause-root"
  cp "$WORK/pause" "$WORK/pause-root/pause"
  image pause "$WORK/pause-root" --config.entrypoint=/pause
  cp -a "$WORK/nginx/usr" "$WORK/root/"
  ln -s usr/lib usr/lib64 "$WORK/root/"
  mkdir -p "$WORK/root/etc/nginx"
  for number in 80 12003; do
    sed "s/PORT/$number/" "$SOURCES/nginx.conf" >"$WORK/root/etc/nginx/nginx.conf"
    image "nginx-$number" "$WORK/root" --config.cmd=nginx --config.cmd=-g --config.cmd='daemon off;'
  done
}

# What each is called below its registry's host.
NAMES=(
  "busybox $K8S/busybox:1.29-2" "nginx-80 $K8S/nginx:1.14-2" "httpd $K8S/httpd:2.4.39-4"
  "nonewprivs $K8S/nonewprivs:1.3" 'pause pause:3.9' 'pause pause:3.10' 'pause pause:3.10.1'
  "uid $CRI_TOOLS/test-image-user-uid:latest" "username $CRI_TOOLS/test-image-user-username:latest"
  "uid-group $CRI_TOOLS/test-image-user-uid-group:latest" "username-group $CRI_TOOLS/test-image-user-username-group:latest"
  "predefined-group $CRI_TOOLS/test-image-predefined-group:latest" "latest $CRI_TOOLS/test-image-latest:latest"
  "tag $CRI_TOOLS/test-image-tag:test" "tag-all $CRI_TOOLS/test-image-tag:all" "digest $CRI_TOOLS/test-image-digest:test"
  "one $CRI_TOOLS/test-image-1:latest" "two $CRI_TOOLS/test-image-2:latest" "three $CRI_TOOLS/test-image-3:latest"
  "tags $CRI_TOOLS/test-image-tags:1" "tags $CRI_TOOLS/test-image-tags:2" "tags $CRI_TOOLS/test-image-tags:3"
  "nginx-12003 $CRI_TOOLS/hostnet-nginx-amd64:latest"
)

# In a network namespace of its own, the registry needs no port of the host's.
fill_registry() {
  LAB_STORAGE=$WORK/out unshare --net -- bash -c '
    set -e
    ip link set lo up
    "$0" "$LAB_STORAGE" &
    registry=$!
    trap "kill $registry" EXIT
    for ((tries = 0; tries < 100; tries++)); do (: </dev/tcp/127.0.0.1/5000) 2>/dev/null && break; sleep 0.1; done
    for pair; do
      skopeo copy -q --insecure-policy --dest-tls-verify=false "oci:$LAYOUT:${pair%% *}" "docker://127.0.0.1:5000/${pair#* }"
    done' "$LAB_SCRIPTS/registry.sh" "${NAMES[@]}"
}

build() {
  WORK=$(mktemp -d "$LAB/images.partial.XXXXXX")
  export WORK LAYOUT=$WORK/layout
  trap 'rm -rf --one-file-system "$WORK"' EXIT
  mkdir "$WORK/out"
  sid_apt "$WORK/apt" 'deb deb-src'
  run 'nginx from Debian' strict fetch_nginx || die 'nginx could not be fetched'
  run 'busybox from its source' strict build_busybox || die 'busybox was not built'
  unset APT_CONFIG
  run 'the small programs' strict build_programs || die 'pause and nnp were not built'
  run 'images' strict make_images || die 'the images were not made'
  run "${#NAMES[@]} names in a registry" fill_registry || die 'the registry was not filled'
  mv "$WORK/out" "$HOME_DIR"
}

HOME_DIR=$LAB/share/images-$(cat "$LAB_SCRIPTS/images.sh" "$SOURCES"/* | sha256sum | cut -c1-12)
case ${1:-} in
  -h | --help) usage; exit 0 ;;
  --path) [[ -d $HOME_DIR ]] || exit 1 ;;
  '')
    need_root 'making images'
    lock images
    mkdir -p "$LAB/share"
    [[ -d $HOME_DIR ]] || {
      step 'Stand-in images'
      apt_install "${PACKAGES[@]}"
      build
    } >&2
    ;;
  *) usage >&2; exit 2 ;;
esac
echo "$HOME_DIR"
