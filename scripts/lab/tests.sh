#!/bin/bash
# Runs in a machine of the lab (scripts/lab.sh run scripts/lab/tests.sh [FILE ...]): the tests of test/lab, all in one process.
set -u
LAB_REPORT=${LAB_REPORT:-/lab/report}
[[ $# != 0 ]] || set -- test/lab/*.test.ts
for tool in "$SKIFF_CACHE"/tools/crictl-*/bin; do PATH=$PATH:$tool; done
# An emulated processor is about 16 times slower.
bound=60000
[[ $LAB_BACKEND != qemu ]] || bound=400000
exec node --test --test-isolation=none --test-timeout=$bound --test-reporter=spec --test-reporter-destination=stdout \
  --test-reporter="$LAB_REPO/scripts/test/reporter.mjs" --test-reporter-destination="$LAB_REPORT" "$@"
