# SPDX-License-Identifier: MIT
# needs: vfm-scenarios
# timeout: 300
# The table of scenarios that also runs on the simulated machine.
. /lab/lib.sh

lab_edus state_mb=4
mtty1=$(lab_mtty 9b3e9a1e-6f4f-4c44-8b6f-0d3a5c9a0001 2) || bail "no mtty"
mtty2=$(lab_mtty 9b3e9a1e-6f4f-4c44-8b6f-0d3a5c9a0002 2) || bail "no mtty"
check "two mtty devices" test "$mtty1" != "$mtty2"
before=$tap_count
merge vfm-scenarios
diag "$((tap_count - before)) scenarios ran, the same as on the simulated machine"
check "at least 60 of them" test $((tap_count - before)) -ge 60
tap_done
