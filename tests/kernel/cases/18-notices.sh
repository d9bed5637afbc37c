# SPDX-License-Identifier: MIT
# needs: vfm-lab
# devices: e1000e
# timeout: 300
# A device that reports an error, that is wanted back, that sleeps: all told by the kernel.
. /lab/lib.sh

e1000e=$(lab_at 1)
lab_bind "$e1000e" vfio-pci || bail "cannot bind $e1000e to vfio-pci"
merge vfm-lab notices "$e1000e"
tap_done
