# SPDX-License-Identifier: MIT
# needs: vfm-lab
# cpus: 2
# kernel: 6.15
# PASIDs of a device behind the software IOMMU.
. /lab/lib.sh

lab_softs pasid_bits=8
merge vfm-lab pasid vfiomig_soft.0
tap_done
