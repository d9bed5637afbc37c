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

[ -n "$interactive" ] || exec </dev/null

# Each edu sits behind a port of its own: so it has an IOMMU group and can be reset. Its DMA mask
# is opened, a device that cuts off address bits would hide mistakes.
edu=edu,dma_mask=0xffffffffffffffff
# An emulated timer may miss its ticks on a busy machine; the kernel's check of it at boot would give up.
exec timeout --foreground --kill-after=5 "$timeout" qemu-system-x86_64 \
	-accel "$accel" -cpu max -smp "$cpus" -m "$memory" \
	-M q35,kernel-irqchip=split "$@" \
	-nodefaults -no-user-config -display none -no-reboot -serial stdio \
	-device pcie-root-port,id=port1,chassis=1 -device "$edu,bus=port1" \
	-device pcie-root-port,id=port2,chassis=2 -device "$edu,bus=port2" \
	-blockdev driver=null-co,node-name=disk,size=67108864,read-zeroes=on \
	-device nvme,drive=disk,serial=lab \
	-kernel "$kernel" -initrd "$initramfs" \
	-append "console=ttyS0 quiet panic=-1 oops=panic no_timer_check log_buf_len=1M $append"
