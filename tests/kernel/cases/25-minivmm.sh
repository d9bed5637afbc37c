# SPDX-License-Identifier: MIT
# needs: minivmm
# devices: edu edu
# cpus: 2
# timeout: 600
# A guest under KVM and a device that writes to its RAM move from one process to another, both running.
. /lab/lib.sh

lab_softs
lab_edus state_mb=1

# 8 bytes into random pages of 4 to 8 MiB, over their ends too (tests/kmod/vfiomig_soft.h).
engine='0:0x208=0x400000 0:0x210=1024 0:0x218=8 0:0x220=16 0:0x228=1000 0:0x230=42 0:0x200=3'
# Pages of 4 to 5 MiB copied to those of 5 to 6 MiB (tests/kmod/vfiomig_edu.h).
pump='10:0x08=0x400000 10:0x10=0x500000 10:0x18=2048 10:0x20=4096 10:0x28=256 10:0x00=1'

move_once() {
	how=$1 source=$2 destination=$3 peek=$4
	shift 4
	minivmm destination "$destination" unix:/tmp/vmm.sock "$peek" >/tmp/to 2>&1 &
	while [ ! -S /tmp/vmm.sock ] && kill -0 $!; do sleep 0.05; done
	minivmm "$how" "$source" unix:/tmp/vmm.sock "$@" "$peek" >/tmp/from 2>&1
	from=$?
	wait $!
	to=$?
	sed 's/^/# source: /' /tmp/from
	sed 's/^/# destination: /' /tmp/to
	rm -f /tmp/vmm.sock
}

# move HOW SOURCE DESTINATION PEEK POKE...: $from and $to are how the two ended.
# The emulated processor of the lab at times leaves a guest twice and keeps the host's registers as the guest's (QEMU
# 7.2, up to three moves of eight): RIP is then the kernel's, just behind its VMRUN, or the guest ends by a triple fault
# and is back at its reset vector. Such a move tells nothing and is made again.
lost='left its program: exit (8 at 0xfff0|[0-9]+ at 0xffffffff[0-9a-f]+)$'
move() {
	for try in $(seq 20); do
		move_once "$@"
		grep -qE "$lost" /tmp/from /tmp/to || break
		diag "the emulated processor has lost the guest, try $try"
	done
}

# value FILE: what PEEK was there.
value() {
	sed -n "s/^$peek is //p" "$1"
}

# moved TITLE KIND: the pages came by that source, the device writes and goes on writing, the guest finds all it wrote.
moved() {
	is "$1: source and destination" "$from $to" '0 0'
	check "$1: pages from source $2" grep -q "from source $2" /tmp/from
	check "$1: the device wrote" [ "$(value /tmp/from)" -gt 10 ]
	check "$1: it goes on where it was" [ "$(value /tmp/to)" -gt "$(value /tmp/from)" ]
}

# The registers are several words.
# shellcheck disable=SC2086
{
	move source "$soft0" "$soft1" 0:0x280 $engine
	moved 'device log' 1

	move source-ring "$soft0" "$soft1" 0:0x280 $engine
	moved 'dirty ring' 1
	check 'dirty ring: it was full' grep -q 'ring was full [1-9]' /tmp/from

	lab_soft_knob 0 log_max_bytes 4096
	move source "$soft0" "$soft1" 0:0x280 $engine
	moved 'page table' 2

	move source "$edu1" "$edu2" 10:0x30 $pump
	moved 'nothing' 0

	# What the checks above are worth: a device that keeps silent about its writes is found out.
	lab_soft_knob 0 dirty_none 1
	move source "$soft0" "$soft1" 0:0x280 $engine
	is 'a silent device: source and destination' "$from $to" '1 1'
	check 'a silent device: the destination tells' grep -q 'RAM is not what the source had' /tmp/to
}
tap_done
