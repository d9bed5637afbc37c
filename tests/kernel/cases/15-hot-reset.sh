# SPDX-License-Identifier: MIT
# needs: vfm-lab
# devices: edu-pair nvme-edu
# timeout: 300
# Hot reset of two functions, in both worlds; a group that a driver of the host is in.
# shellcheck disable=SC2046 # addresses, separated by blanks
. /lab/lib.sh

set -- $(lab_at 2)
nvme=$1
edu=$2
is "one group" "$(lab_group "$edu")" "$(lab_group "$nvme")"
is "the host's driver" "$(basename "$(readlink "/sys/bus/pci/devices/$nvme/driver")")" nvme
lab_bind "$edu" vfio-pci || bail "cannot bind $edu to vfio-pci"
merge vfm-lab group-blocked "$edu" "$nvme"
echo "$nvme" >/sys/bus/pci/drivers/nvme/unbind
merge vfm-lab group-free "$edu" "$nvme"
lab_bind "$nvme" vfio-pci || bail "cannot bind $nvme to vfio-pci"
merge vfm-lab group-free "$edu" "$nvme"
merge vfm-lab reset-nvme "$edu" "$nvme"

set -- $(lab_at 1)
lab_module vfiomig_edu state_mb=1
for function; do
	lab_bind "$function" vfiomig_edu || bail "cannot bind $function to vfiomig_edu"
done
merge vfm-lab reset "$@"
tap_done
