# SPDX-License-Identifier: MIT
# needs: vfm-lab
# devices: edu*2 ivshmem
# timeout: 300
# A BAR of one device mapped for another one; a BAR of 1 GiB mapped by huge pages.
. /lab/lib.sh

set -- "$(lab_at 1)" "$(lab_at 2)" "$(lab_at 3)"
for device; do
	lab_bind "$device" vfio-pci || bail "cannot bind $device to vfio-pci"
done
merge vfm-lab peer "$@"
case $(uname -r) in
6.*) merge vfm-lab peer-early "$@" ;;
*) merge vfm-lab peer-late "$@" ;;
esac
merge vfm-lab bar "$3"
tap_done
