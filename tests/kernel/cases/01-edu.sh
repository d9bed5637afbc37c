# SPDX-License-Identifier: MIT
# needs: edu_probe
# The vfiomig_edu driver, by raw ioctls.
. /lab/lib.sh

lab_edus
for test in reset save-load dma pump precopy reinit bad-loads faults; do
	diag "$test"
	merge edu_probe "$test" "$edu1" "$edu2"
done
for flags in 1 3 5 7; do
	lab_edu_param mig_flags "$flags"
	lab_bind "$edu1_pci" vfio-pci
	lab_bind "$edu1_pci" vfiomig_edu
	edu1=$(lab_cdev "/sys/bus/pci/devices/$edu1_pci")
	merge edu_probe states "$edu1" "$edu2" "$flags"
done
tap_done
