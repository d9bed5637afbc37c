# SPDX-License-Identifier: MIT
# needs: vfm-lab
# devices: nvme edu e1000e
# timeout: 300
# An NVMe through the library alone, MSI-X that grows, reset; INTx of three devices.
. /lab/lib.sh

nvme=$(lab_at 1)
edu=$(lab_at 2)
e1000e=$(lab_at 3)
for device in "$nvme" "$edu" "$e1000e"; do
	lab_bind "$device" vfio-pci || bail "cannot bind $device to vfio-pci"
done
merge vfm-lab nvme "$nvme"
merge vfm-lab intx "$edu" "$e1000e" "$nvme"
tap_done
