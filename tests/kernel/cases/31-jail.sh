# SPDX-License-Identifier: MIT
# needs: vfm-jail
# devices: edu*2 xhci
# timeout: 600
# Adoption, DMA, interrupts, migration, lending under a seccomp filter of exactly the calls that libvfiomig(7)
# lists: edu devices, which have a bus and configuration space, and vfiomig_soft, whose IOMMU tracks what they write.
# xHCI has vectors that cannot be added to.
. /lab/lib.sh

lab_edus state_mb=1
lab_softs
many=$(lab_at 3)
lab_bind "$many" vfio-pci || bail "cannot bind $many to vfio-pci"
for backend in iommufd type1v2 type1 compat-type1v2 compat-type1; do
	diag "edu, $backend"
	merge vfm-jail --iommu $backend "$edu1_pci" "$edu2_pci" "$many"
done
for backend in iommufd type1v2; do
	diag "vfiomig_soft, $backend"
	merge vfm-jail --iommu $backend vfiomig_soft.0 vfiomig_soft.1
done
tap_done
