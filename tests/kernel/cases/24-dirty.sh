# SPDX-License-Identifier: MIT
# needs: vfm-lab vfiomigctl
# cpus: 2
# timeout: 300
# The tracker of dirty pages, on devices of vfiomig_soft that never stop writing.
. /lab/lib.sh

lab_softs
diag "devices that are neither PCI nor mediated"
is "all are listed" "$(vfiomigctl list | grep -c '^vfiomig_soft\.[0-3]')" 4
for name in vfiomig_soft.1 vfio1 "$soft1"; do
	vfiomigctl show "$name" >show.out 2>&1
	check "$name is shown" grep -q 'vfiomig_soft\.1' show.out
done
merge vfm-lab dirty vfiomig_soft.0 vfio1 vfiomig_soft.2 "$soft3"
tap_done
