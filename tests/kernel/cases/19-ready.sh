# SPDX-License-Identifier: MIT
# needs: vfm-lab
# devices: edu
# A device that does not answer for a while after open and reset.
. /lab/lib.sh

lab_edus state_kb=64
merge vfm-lab ready "$edu1_pci"
tap_done
