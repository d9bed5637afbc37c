# SPDX-License-Identifier: MIT
# needs: vfiomigctl region
# examples/demo.sh --real, the guest that takes: a state from the other kernel, and the same value read from it.
. /lab/lib.sh

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
vfiomigctl -q hold "$edu1_pci" --pass unix:b.sock --ready-fd 3 3>ready &
read -r _ <ready

show "region b.sock 9 0x1000"
is "a blank device before" "$(cat shown)" "(nothing)"
(
	until netstat -ltn | grep -q ':7000 '; do sleep 0.1; done
	nc -l -p 7001 </dev/null
) &
show "vfiomigctl -q restore scm:b.sock --from tcp:$lab_me:7000"
is "the state is loaded" "$?" 0
show "region b.sock 9 0x1000"
is "the value of the other kernel's device" "$(cat shown)" "Ada Lovelace, 1843"
tap_done
