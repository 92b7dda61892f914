#!/usr/bin/env bash
# registry.sh STORAGE [PORT]: docker-registry on 127.0.0.1 with a storage directory; one that cannot be written is only read.
set -euo pipefail
config=$(mktemp /tmp/lab-registry.XXXXXX)
cat >"$config" <<YAML
version: 0.1
log:
  level: warn
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: $1
  maintenance:
    uploadpurging:
      enabled: false
$([[ -w $1 ]] || printf '    readonly:\n      enabled: true\n')
http:
  addr: 127.0.0.1:${2:-5000}
YAML
# It reads its configuration once, at its start.
(sleep 5; rm -f "$config") &
OTEL_TRACES_EXPORTER=none exec docker-registry serve "$config"
