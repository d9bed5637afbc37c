# SPDX-License-Identifier: MIT
# needs: vfm-lab
# devices: edu
# iommu: none
# timeout: 300
# Without an IOMMU vfio-pci takes a device when the administrator insists, and the library does not.
. /lab/lib.sh

edu=$(lab_at 1)
check "not before the administrator insists" sh -c ". /lab/lib.sh; ! lab_bind $edu vfio-pci"
echo 1 >/sys/module/vfio/parameters/enable_unsafe_noiommu_mode
lab_bind "$edu" vfio-pci || bail "cannot bind $edu to vfio-pci"
check "a node that says so" test -c "/dev/vfio/noiommu-$(lab_group "$edu")"
merge vfm-lab noiommu "$edu"
tap_done
