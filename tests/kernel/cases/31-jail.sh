# SPDX-License-Identifier: MIT
# needs: vfm-jail
# timeout: 300
# Adoption, DMA, interrupts and migration under a seccomp filter of exactly the calls that libvfiomig(7) lists.
. /lab/lib.sh

lab_edus state_mb=1
for backend in iommufd type1v2 type1 compat-type1v2 compat-type1; do
	diag "$backend"
	merge vfm-jail --iommu $backend "$edu1_pci" "$edu2_pci"
done
tap_done
