# SPDX-License-Identifier: MIT
# needs: vfm-lab
# devices: edu*2
# timeout: 300
# Every mode of the IOMMU: two devices of vfio-pci in one address space, DMA both ways, MSI.
. /lab/lib.sh

set -- "$(lab_at 1)" "$(lab_at 2)"
for device; do
	lab_bind "$device" vfio-pci || bail "cannot bind $device to vfio-pci"
done
merge vfm-lab modes "$@"
tap_done
