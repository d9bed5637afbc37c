#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Boot one lab guest and wait for its end; its console is our stdout.
#
#	vm.sh [OPTION...] KERNEL INITRAMFS [-- QEMU-ARGUMENT...]
#
#	--memory MB      (1024)
#	--cpus N         (1)
#	--append STRING  added to the kernel command line
#	--timeout S      kill the guest after that (120)
#	--iommu KIND     intel or none (intel)
#	--devices LIST   names of plug() below, separated by blanks, NAME*N for N of them (edu*2 nvme)
#	--out FILE       where what the guest writes to the port "lab.out" goes
#	--side SIDE      a or b: the end of the link to the other guest of a pair
#	--link SOCKET    unix socket of that link
#	--interactive    let the guest's console read our stdin
#
# Software emulation is the default and enough; VFIOMIG_LAB_ACCEL=kvm asks for hardware.
set -eu

accel=${VFIOMIG_LAB_ACCEL:-tcg}
memory=1024
cpus=1
append=
timeout=120
iommu=intel
devices='edu*2 nvme'
out=
side=
link=
interactive=

die() {
	printf 'vm: %s\n' "$*" >&2
	exit 1
}

while [ $# -gt 0 ]; do
	case $1 in
	--memory) memory=$2 ;;
	--cpus) cpus=$2 ;;
	--append) append=$2 ;;
	--timeout) timeout=$2 ;;
	--iommu) iommu=$2 ;;
	--devices) devices=$2 ;;
	--out) out=$2 ;;
	--side) side=$2 ;;
	--link) link=$2 ;;
	--interactive)
		interactive=1
		shift
		continue ;;
	-*) die "unknown option '$1'" ;;
	*) break ;;
	esac
	shift 2
done
[ $# -ge 2 ] || die "usage: vm.sh [OPTION...] KERNEL INITRAMFS [-- QEMU-ARGUMENT...]"
kernel=$1
initramfs=$2
shift 2
[ "${1:-}" != -- ] || shift
command -v qemu-system-x86_64 >/dev/null || die "qemu-system-x86_64 not found"

case $iommu in
intel)
	set -- -device intel-iommu,intremap=on,caching-mode=on "$@"
	append="intel_iommu=on $append" ;;
none)
	append="intel_iommu=off $append" ;;
*)
	die "unknown IOMMU '$iommu'" ;;
esac

if [ -n "$out" ]; then
	set -- "$@" -device virtio-serial-pci -chardev "file,id=out,path=$out" \
		-device virtserialport,chardev=out,name=lab.out
fi

if [ -n "$side" ]; then
	case $side in
	a) server=on mac=52:54:00:66:00:01 ;;
	b) server=off mac=52:54:00:66:00:02 ;;
	*) die "unknown side '$side'" ;;
	esac
	# QEMU's client does not wait for its server.
	i=0
	while [ "$server" = off ] && [ ! -S "$link" ] && [ "$i" -lt 100 ]; do
		sleep 0.1
		i=$((i + 1))
	done
	set -- "$@" -netdev "stream,id=link,server=$server,addr.type=unix,addr.path=$link" \
		-device "virtio-net-pci,netdev=link,mac=$mac,romfile="
	append="lab.side=$side $append"
fi

# Every entry of the list sits behind a root port of its own: so it has a bus, an IOMMU group and a
# reset of its own, and its bus number is its place in the list. The DMA mask of edu is opened, a
# device that cuts off address bits would hide mistakes.
edu=edu,dma_mask=0xffffffffffffffff
port=0
arguments=

plug() {
	port=$((port + 1))
	# These ports never say that their link is active; at 5 GT/s the kernel does not insist after a reset.
	arguments="$arguments -device pcie-root-port,id=port$port,chassis=$port,slot=$port,x-speed=5"
	at=bus=port$port
	case $1 in
	edu)
		set -- -device "$edu,$at" ;;
	edu-pair)
		set -- -device "$edu,$at,addr=0.0,multifunction=on" -device "$edu,$at,addr=0.1" ;;
	nvme-edu)
		set -- -device "nvme-subsys,id=subsys$port" \
			-device "nvme,subsys=subsys$port,serial=lab$port,$at,addr=0.0,multifunction=on" \
			-device "$edu,$at,addr=0.1" ;;
	edu-bridge)
		set -- -device "pcie-pci-bridge,id=bridge$port,$at" \
			-device "$edu,bus=bridge$port,addr=1" -device "$edu,bus=bridge$port,addr=2"
		# The bridge has a bus of its own behind it.
		port=$((port + 1)) ;;
	nvme)
		set -- -blockdev "driver=null-co,node-name=disk$port,size=67108864,read-zeroes=on" \
			-device "nvme,drive=disk$port,serial=lab$port,$at" ;;
	nvme-sriov)
		sriov=sriov_max_vfs=2,sriov_vq_flexible=4,sriov_vi_flexible=2
		set -- -device "nvme-subsys,id=subsys$port" \
			-device "nvme,subsys=subsys$port,serial=lab$port,$sriov,max_ioqpairs=6,msix_qsize=4,$at" ;;
	e1000e)
		set -- -device "e1000e,romfile=,$at" ;;
	xhci)
		# 16 vectors of MSI; the model of another maker has no MSI.
		set -- -device "nec-usb-xhci,$at" ;;
	sdhci)
		set -- -device "sdhci-pci,$at" ;;
	ivshmem)
		set -- -object "memory-backend-ram,id=shm$port,size=1G,share=on" \
			-device "ivshmem-plain,memdev=shm$port,$at" ;;
	*)
		die "unknown device '$1'" ;;
	esac
	# None of this has a blank in it.
	arguments="$arguments $*"
}

# The star is no pattern.
set -f
for entry in $devices; do
	copies=1
	case $entry in
	*'*'*) copies=${entry#*'*'} ;;
	esac
	while [ "$copies" -gt 0 ]; do
		plug "${entry%%'*'*}"
		copies=$((copies - 1))
	done
done
# shellcheck disable=SC2086 # words
set -- "$@" $arguments
set +f

[ -n "$interactive" ] || exec </dev/null

# An emulated timer may miss its ticks on a busy machine; the kernel's check of it at boot would give up.
exec timeout --foreground --kill-after=5 "$timeout" qemu-system-x86_64 \
	-accel "$accel" -cpu max -smp "$cpus" -m "$memory" \
	-M q35,kernel-irqchip=split "$@" \
	-nodefaults -no-user-config -display none -no-reboot -serial stdio \
	-kernel "$kernel" -initrd "$initramfs" \
	-append "console=ttyS0 quiet panic=-1 oops=panic no_timer_check log_buf_len=1M $append"
