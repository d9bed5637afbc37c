# SPDX-License-Identifier: MIT
# needs: vfiomigctl region
# examples/demo.sh --real, the guest that gives: a value in a device, and its state sent to the other kernel.
. /lab/lib.sh

# show COMMAND: as typed, with what it says; examples/demo.sh prints these lines.
show() {
	diag "demo: $ $1"
	eval "$1" >/tmp/shown 2>&1
	shown_rc=$?
	sed 's/^/# demo: /' /tmp/shown
	return "$shown_rc"
}

lab_edus
lab_net
mkfifo ready
vfiomigctl -q hold "$edu1_pci" --pass unix:a.sock --ready-fd 3 3>ready &
read -r _ <ready

show "region a.sock 9 0x1000 'Ada Lovelace, 1843'"
is "the value is written" "$?" 0
show "region a.sock 9 0x1000"
is "the value is there" "$(cat shown)" "Ada Lovelace, 1843"

# The other guest tells when it listens.
for _ in $(seq 200); do
	nc "$lab_peer" 7001 </dev/null 2>/dev/null && break
	sleep 0.1
done
show "vfiomigctl -q save scm:a.sock --to tcp:$lab_peer:7000"
is "the state is sent and taken over" "$?" 0
is "the device is stopped for good here" "$(vfiomigctl state scm:a.sock | grep -o 'STOP$')" STOP
tap_done
