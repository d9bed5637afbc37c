# SPDX-License-Identifier: MIT
# needs: bench_startup
# cpus: 2
# devices: edu*16 nvme*4
# timeout: 300
# 16 edu whose reset takes as long as one of a real function, and 4 NVMe: started in turn and side by side.
. /lab/lib.sh

lab_edus reset_ms=100 state_kb=64
is "16 edu" "$(lab_pci 1234:11e8 | wc -l)" 16
# shellcheck disable=SC2046 # addresses
merge bench_startup $(lab_pci 1234:11e8)

# A function level reset: the kernel waits 100 ms for it.
nvmes=$(lab_pci 1b36:0010)
for address in $nvmes; do
	lab_bind "$address" vfio-pci || bail "cannot bind $address to vfio-pci"
done
# shellcheck disable=SC2086 # addresses
merge bench_startup $nvmes
tap_done
