# SPDX-License-Identifier: MIT
# needs: vfiomigctl vfm-poke
# The tool moves mtty, by its address and lent.
. /lab/lib.sh
cd /tmp || exit 1

a=9b3e9a1e-6f4f-4c44-8b6f-0d3a5c9a0001
b=9b3e9a1e-6f4f-4c44-8b6f-0d3a5c9a0002
lab_mtty $a 2 >/dev/null || bail "no mtty"
lab_mtty $b 2 >/dev/null || bail "no mtty"

hold() {
	vfiomigctl --no-progress hold "$1" --pass "unix:$2" >/dev/null 2>&1 &
	lab_wait_socket "$2" || bail "cannot hold $1"
}

hold $a /tmp/a.sock
hold $b /tmp/b.sock
merge vfm-poke /tmp/a.sock send=hello
check "save to a file" vfiomigctl --no-progress save scm:/tmp/a.sock --to mtty.vfm
check "restore" vfiomigctl --no-progress restore scm:/tmp/b.sock --from mtty.vfm
merge vfm-poke /tmp/b.sock is=STOP state=RUNNING expect=hello
merge vfm-poke /tmp/a.sock is=RUNNING expect=hello send=by-pipe
vfiomigctl --no-progress save scm:/tmp/a.sock --to - --live 2>/dev/null |
	vfiomigctl --no-progress restore scm:/tmp/b.sock --from -
is "by pipe" $? 0
merge vfm-poke /tmp/b.sock state=RUNNING expect=by-pipe
for endpoint in unix:/tmp/c.sock tcp:127.0.0.1:7701; do
	merge vfm-poke /tmp/a.sock state=RUNNING send=moved
	rm -f peer.out
	vfiomigctl --no-progress restore scm:/tmp/b.sock --from "$endpoint" >>peer.out 2>&1 &
	peer=$!
	lab_wait peer.out listening
	check "save to $endpoint" vfiomigctl --no-progress save scm:/tmp/a.sock --to "$endpoint"
	wait $peer
	is "restore from $endpoint" $? 0
	merge vfm-poke /tmp/a.sock is=STOP
	merge vfm-poke /tmp/b.sock is=STOP state=RUNNING expect=moved
done
vfiomigctl --no-progress save scm:/tmp/b.sock --to other.vfm >/dev/null
lab_edus state_mb=1
vfiomigctl --no-progress verify other.vfm --match "$edu1_pci" >/dev/null 2>&1
is "a stream of mtty does not fit edu" $? 3
check "by its own name, with a hint that it was reset or kept" vfiomigctl --no-progress verify other.vfm --match $a
tap_done
