# SPDX-License-Identifier: MIT
# needs: edu_probe
# Two guests: this one receives the state of a device and loads it.
. /lab/lib.sh

lab_edus state_mb=16
lab_net
nc -l -p 7777 >/tmp/state
merge edu_probe load "$edu1" "$edu2" </tmp/state
tap_done
