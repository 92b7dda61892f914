#!/bin/sh
# The probe of scripts/lab.sh: a guest that runs this has come up.
exit 0
