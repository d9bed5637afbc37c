# SPDX-License-Identifier: MIT
# needs: vfm-lab
# devices: nvme-sriov edu
# timeout: 300
# Virtual functions of a physical one on vfio-pci: by the token, and in the way of its hot reset.
# shellcheck disable=SC2046 # addresses, separated by blanks
. /lab/lib.sh

pf=$(lab_at 1)
edu=$(lab_at 2)
for device in "$pf" "$edu"; do
	lab_bind "$device" vfio-pci || bail "cannot bind $device to vfio-pci"
done
set -- $(lab_vfs "$pf" 2)
is "two virtual functions" $# 2
for vf; do
	lab_bind "$vf" vfio-pci || bail "cannot bind $vf to vfio-pci"
done
merge vfm-lab sriov "$pf" "$1" "$edu"
case $(uname -r) in
6.*) merge vfm-lab sriov-early "$pf" "$1" ;;
*) merge vfm-lab sriov-late "$pf" "$1" ;;
esac
merge vfm-lab reset-vf "$pf" "$1"
tap_done
