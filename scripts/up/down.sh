# How scripts/up.sh ends all of it, by what it recorded; sourced by it, never run.

# Directories of skiff's own go with all that is in them, others only when nothing else is in them.
remove() {
  case $1 in
    /var/lib/skiff | /run/skiff | /var/lib/cni/networks/skiff) rm -rf --one-file-system "$1" ;;
    *) if [[ -d $1 ]]; then rmdir "$1" 2>/dev/null || return 0; else rm -f "$1"; fi ;;
  esac
  say "removed $1"
}

stop_daemon() {
  local pid waited
  pid=$(daemon_pid) || return 0
  step "Ending the daemon (pid $pid)"
  kill -TERM "$pid"
  for ((waited = 0; waited < 200; waited++)); do [[ $(daemon_pid) == "$pid" ]] || return 0; sleep 0.1; done
  say 'it did not end in 20 s: killed'
  kill -KILL "$pid"
}

remove_pods() {
  local pods images
  pods=$("$SKIFF" pods -aq) && images=$("$SKIFF" images -q) || die 'the daemon does not answer' "its log is $LOG"
  mapfile -t pods < <(grep . <<<"$pods")
  mapfile -t images < <(grep . <<<"$images")
  step "Removing ${#pods[@]} pods and ${#images[@]} images"
  local help="its log is $LOG; try again: sudo scripts/up.sh --down"
  [[ ${#pods[@]} == 0 ]] || "$SKIFF" rm -f "${pods[@]}" >/dev/null || die 'a pod could not be removed' "$help"
  [[ ${#images[@]} == 0 ]] || "$SKIFF" rmi "${images[@]}" >/dev/null || die 'an image could not be removed' "$help"
}

# Chains that the CNI plugins made and left: empty once no pod is there.
remove_chains() {
  local table chain
  ip link delete skiff0 2>/dev/null || true
  for table in nat filter; do
    while read -r chain; do
      grep -qx "$table $chain" "$RECORD/chains" 2>/dev/null && continue
      iptables-save -t "$table" | sed -n "s/^-A \(.* -j $chain\)\$/-D \1/p" | while read -r rule; do
        xargs iptables -w -t "$table" <<<"$rule"
      done
      iptables -w -t "$table" -F "$chain" && iptables -w -t "$table" -X "$chain"
    done < <(cni_chains "$table")
  done
}
cni_chains() { iptables-save -t "$1" 2>/dev/null | sed -n 's/^:\(CNI-[^ ]*\) .*/\1/p' | tac; }

down() {
  local view path pid
  [[ -d $RECORD ]] || die 'there is nothing that up.sh started'
  need_node
  MODE=$(recorded mode)
  if ! daemon_pid >/dev/null && { resident >/dev/null || [[ $MODE == host ]]; }; then
    say 'the daemon is gone: it comes up once more, to remove what it left'
    start_daemon
  fi
  if pid=$(daemon_pid); then
    await_daemon "$pid"
    remove_pods
  fi
  stop_daemon
  if [[ $MODE == host ]]; then
    remove_chains
  else
    ip link delete "$LINK" 2>/dev/null || true
    nft delete table ip skiff_up 2>/dev/null || true
    if path=$(recorded ip_forward); then echo "$path" >/proc/sys/net/ipv4/ip_forward; fi
    view=$(mktemp -d /tmp/skiff-up.XXXXXX)
    unshare --mount --propagation private -- bash -c \
      'mount -t cgroup2 none "$0" && find "$0/skiff-up" -depth -type d -exec rmdir {} +' "$view" 2>/dev/null || true
    rmdir "$view"
  fi
  step 'Removing files'
  while read -r path; do remove "$path"; done <"$RECORD/made"
  rm -rf "$RECORD"
  say 'nothing of it is left; the cache stays: '"$SKIFF_CACHE"
}
