# SPDX-License-Identifier: MIT
# needs: vfm-lab
# devices: edu*2
# timeout: 300
# Maps at the limits of the kernel; the process that owns them is replaced; guest_memfd.
. /lab/lib.sh

set -- "$(lab_at 1)" "$(lab_at 2)"
for device; do
	lab_bind "$device" vfio-pci || bail "cannot bind $device to vfio-pci"
done
echo 4 >/proc/sys/vm/nr_hugepages
mount -t tracefs tracing /sys/kernel/tracing || bail "no events of the kernel"
case $(uname -r) in
6.*) age=early ;;
*) age=late ;;
esac
merge vfm-lab process "$@"
merge vfm-lab "process-$age" "$@"
lab_softs
merge vfm-lab process-emulated vfiomig_soft.2
merge vfm-lab limits "$@"
merge vfm-lab gmem "$@"
[ "$age" = early ] || merge vfm-lab gmem-late "$@"
tap_done
