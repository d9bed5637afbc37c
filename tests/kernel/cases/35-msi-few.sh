# SPDX-License-Identifier: MIT
# needs: vfm-lab
# devices: xhci
# append: intremap=off iommufd.allow_unsafe_interrupts=1
# timeout: 300
# Interrupts are not remapped: one vector of MSI instead of many, told by a positive answer of the kernel.
. /lab/lib.sh

xhci=$(lab_at 1)
lab_bind "$xhci" vfio-pci || bail "cannot bind $xhci to vfio-pci"
merge vfm-lab msi-few "$xhci"
tap_done
