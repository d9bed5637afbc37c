# SPDX-License-Identifier: MIT
# needs: vfm-lab
# devices: xhci sdhci
# timeout: 300
# Many vectors of MSI, which cannot be added to; a BAR shorter than a page.
. /lab/lib.sh

for place in 1 2; do
	lab_bind "$(lab_at $place)" vfio-pci || bail "cannot bind $(lab_at $place) to vfio-pci"
done
merge vfm-lab msi "$(lab_at 1)" "$(lab_at 2)"
tap_done
