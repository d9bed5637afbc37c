# SPDX-License-Identifier: MIT
# needs: edu_probe
# Two guests: this one sends the state of a device.
. /lab/lib.sh

lab_edus state_mb=16
lab_net
edu_probe save "$edu1" "$edu2" >/tmp/state
check "state saved" test -s /tmp/state
send() {
	# The other guest may not listen yet.
	for _ in $(seq 50); do
		nc "$lab_peer" 7777 </tmp/state && return 0
		sleep 0.2
	done
	return 1
}
check "state sent" send
tap_done
