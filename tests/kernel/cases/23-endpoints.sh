# SPDX-License-Identifier: MIT
# needs: vfiomigctl vfm-poke
# memory: 2048
# timeout: 300
# Ways to a device and to a peer: out of another process, a command, vsock within the machine and its namespaces.
. /lab/lib.sh
cd /tmp || exit 1

look='is=STOP compare=7 is-live=0x1234567'
ns_mode=/proc/sys/net/vsock/ns_mode

# restore_from ENDPOINT: into the second edu, in the background; what is found there goes to peer.out
restore_from() {
	rm -f peer.out peer.err
	# shellcheck disable=SC2086 # words of a list
	vfiomigctl --no-progress restore "$edu2_pci" --from "$1" --exec vfm-poke env $look >peer.out 2>peer.err &
	peer=$!
}

# source_again: the source runs, with what it had
source_again() {
	check "the source runs again" vfiomigctl --no-progress state scm:/tmp/a.sock RUNNING
	merge vfm-poke /tmp/a.sock is=RUNNING compare=7
}

lab_edus
# One process lends by socket, and a second keeps the same descriptors without a word to anybody.
# shellcheck disable=SC2016 # for the inner shell
vfiomigctl --no-progress hold "$edu1_pci" --pass unix:/tmp/a.sock \
	--exec sh -c 'echo "pidfd:$$:${VFIOMIG_DEVICE_0#fd:}"; exec sleep 1000' >hold.out 2>&1 &
check "a device is held" lab_wait hold.out pidfd:
device=$(grep -o 'pidfd:.*' hold.out)
pid=${device#pidfd:}
pid=${pid%%:*}
merge vfm-poke /tmp/a.sock blank fill=7 live=0x1234567 is=RUNNING

diag "by pidfd: $device"
check "its state" sh -c "vfiomigctl --no-progress state '$device' | grep RUNNING"
check "save what another process holds" vfiomigctl --no-progress save "$device" --to state.vfm
check "by number alone, live" vfiomigctl --no-progress save "${device%%,*}" --live --to bare.vfm
merge vfm-poke /tmp/a.sock is=RUNNING compare=7
for file in state.vfm bare.vfm; do
	restore_from $file
	wait $peer
	is "what was saved, $file" $? 0
	merge cat peer.out
done
start=$(sed 's/.*) //' "/proc/$pid/stat" | cut -d ' ' -f 20)
check "the process that was meant" vfiomigctl --no-progress state "$device,start=$start"
vfiomigctl --no-progress state "$device,start=1$start" >never.out 2>&1
is "another process of that number" $? 7
vfiomigctl --no-progress state "pidfd:$pid:1" >never.out 2>&1
is "what is no device" $? 7

diag "a command as the peer"
echo "vfm-poke env $look >peer.out 2>&1" >look.sh
check "save to a command" vfiomigctl --no-progress save scm:/tmp/a.sock --live --to \
	"exec:vfiomigctl --no-progress restore $edu2_pci --from - --duplex --exec sh look.sh"
merge cat peer.out
merge vfm-poke /tmp/a.sock is=STOP
source_again
vfiomigctl --no-progress save scm:/tmp/a.sock --to 'exec:exit 9' >never.out 2>&1
is "a command that says nothing" $? 8
check "it is told" grep 'ended with status 9' never.out
merge vfm-poke /tmp/a.sock is=RUNNING compare=7

diag "vsock"
for endpoint in vsock:local:7700 vsock:any:0; do
	restore_from $endpoint
	check "listening on $endpoint" lab_wait peer.err listening
	at=$(sed -n 's/.*listening on //p' peer.err | sed 's/any/local/')
	check "save to $at" vfiomigctl --no-progress save scm:/tmp/a.sock --live --to "$at"
	wait $peer
	is "restore from $at" $? 0
	merge cat peer.out
	merge vfm-poke /tmp/a.sock is=STOP
	source_again
done
vfiomigctl --no-progress save scm:/tmp/a.sock --to vsock:local:7701 >refused.out 2>&1
is "nobody listens" $? 8
if [ -e $ns_mode ]; then
	check "the namespace is said to be global" grep 'is global, which explains it only' refused.out
	restore_from vsock:local:7702
	check "listening here" lab_wait peer.err listening
	echo local >/proc/sys/net/vsock/child_ns_mode
	unshare -n vfiomigctl --no-progress save scm:/tmp/a.sock --to vsock:local:7702 >refused.out 2>&1
	is "from a closed namespace" $? 8
	check "the namespace is said to be local" grep 'is local: only sockets of the same' refused.out
	kill $peer
	wait $peer
else
	check "namespaces are ruled out" grep 'network namespaces do not explain it' refused.out
fi
vfiomigctl --no-progress save scm:/tmp/a.sock --to vsock:4242:7700 >refused.out 2>&1
is "no such guest" $? 8
diag "$(cat refused.out)"
kill "$pid"
wait
tap_done
