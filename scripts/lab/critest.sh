#!/bin/bash
# Runs in a machine of the lab where skiff serves: scripts/lab.sh run --images --serve scripts/lab/critest.sh [critest's flags].
# All specs of critest but the one whose image is pinned by a digest that nobody can make; its results go to $LAB_REPORT.
set -u
LAB_REPORT=${LAB_REPORT:-/lab/report}
DIGEST='public image with digest should be pulled and removed'
critest=$(echo "$SKIFF_CACHE"/tools/critest-*/bin/critest)
[[ -x $critest ]] || { echo 'critest is not there: run scripts/tools.sh critest on the host'; exit 1; }
code=0
"$critest" -runtime-endpoint unix:///run/skiff/skiff.sock -image-endpoint unix:///run/skiff/skiff.sock \
  -ginkgo.no-color -ginkgo.skip "$DIGEST" -ginkgo.json-report /tmp/critest.json "$@" || code=$?
node "$LAB_REPO/scripts/lab/critest-report.ts" /tmp/critest.json >"$LAB_REPORT"
sync -f "$LAB_REPORT"
if [[ $code != 0 ]]; then
  echo 'the end of the daemon log:'
  tail -n 40 /var/log/skiff.log
fi
exit "$code"
