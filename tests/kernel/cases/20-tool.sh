# SPDX-License-Identifier: MIT
# needs: vfiomigctl vfm-poke
# memory: 2048
# timeout: 300
# The tool moves 64 MiB of edu: file, pipe, unix, tcp; restored by another process into another device.
. /lab/lib.sh
cd /tmp || exit 1

# restore_from ENDPOINT: load it into the second edu and look at it there, all in another process
restore_from() {
	vfiomigctl --no-progress restore "$edu2_pci" --from "$1" --exec \
		vfm-poke env is=STOP compare=7 is-live=0x1234567 map dma state=RUNNING is=RUNNING dma
}

lab_edus
is "64 MiB of contents" "$(cat /sys/module/vfiomig_edu/parameters/state_mb)" 64
vfiomigctl --no-progress hold "$edu1_pci" --pass unix:/tmp/a.sock >hold.out 2>&1 &
holder=$!
check "the source is held and lent" lab_wait_socket /tmp/a.sock
merge vfm-poke /tmp/a.sock blank fill=7 live=0x1234567 is=RUNNING

check "save to a file" vfiomigctl --no-progress save scm:/tmp/a.sock --to state.vfm
merge vfm-poke /tmp/a.sock is=RUNNING compare=7
check "inspect it" vfiomigctl --no-progress inspect state.vfm
check "verify it" vfiomigctl --no-progress verify state.vfm
check "it fits the other device" vfiomigctl --no-progress verify state.vfm --match "$edu2_pci"
merge restore_from state.vfm
check "an existing file is kept" sh -c '! vfiomigctl --no-progress save scm:/tmp/a.sock --to state.vfm'
check "replaced when told" vfiomigctl --no-progress save scm:/tmp/a.sock --live --to state.vfm --force
merge restore_from state.vfm

vfiomigctl --no-progress save scm:/tmp/a.sock --to - 2>save.err | restore_from - >pipe.out 2>&1
is "by pipe" $? 0
merge cat pipe.out

for endpoint in unix:/tmp/c.sock tcp:127.0.0.1:7700; do
	merge vfm-poke /tmp/a.sock is=RUNNING
	rm -f peer.out
	restore_from "$endpoint" >>peer.out 2>&1 &
	peer=$!
	lab_wait peer.out listening
	check "save to $endpoint" vfiomigctl --no-progress save scm:/tmp/a.sock --live --to "$endpoint"
	merge vfm-poke /tmp/a.sock is=STOP
	wait $peer
	is "restore from $endpoint" $? 0
	merge cat peer.out
	check "back to RUNNING" vfiomigctl --no-progress state scm:/tmp/a.sock RUNNING
done

# A byte that flips is found; the target is blank and runs, the source never noticed.
cp state.vfm bad.vfm
printf '\377' | dd of=bad.vfm bs=1 seek=40000000 conv=notrunc 2>/dev/null
vfiomigctl --no-progress verify bad.vfm >/dev/null 2>&1
is "verify of a damaged file" $? 6
vfiomigctl --no-progress hold "$edu2_pci" --pass unix:/tmp/b.sock >hold2.out 2>&1 &
target=$!
check "the target is held" lab_wait_socket /tmp/b.sock
vfiomigctl --no-progress restore scm:/tmp/b.sock --from bad.vfm >bad.out 2>&1
is "restore of a damaged file" $? 6
merge vfm-poke /tmp/b.sock is=RUNNING blank
check "a lent device keeps what is loaded into it" vfiomigctl --no-progress restore scm:/tmp/b.sock --from state.vfm
merge vfm-poke /tmp/b.sock is=STOP compare=7

# The life of device state: refused or told, never pretended.
kill $target
wait $target
vfiomigctl --no-progress restore "$edu2_pci" --from state.vfm >life.out 2>&1
is "restore without a holder is refused" $? 2
check "save of what it opened itself says so" sh -c \
	"vfiomigctl --no-progress save $edu2_pci --to reset.vfm 2>&1 | grep -i reset"
vfiomigctl --no-progress hold "$edu1_pci" >busy.out 2>&1
is "a device in use" $? 7
check "show without opening" vfiomigctl --no-progress show "$edu1_pci"
check "list" sh -c "vfiomigctl --no-progress list | grep $edu1_pci"
check "copy" sh -c "vfiomigctl --no-progress copy $edu2_pci scm:/tmp/a.sock 2>&1"
kill $holder
wait $holder
tap_done
