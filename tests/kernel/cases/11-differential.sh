# SPDX-License-Identifier: MIT
# needs: vfm-diff
# timeout: 420
# Random calls on real devices and on their simulated profiles, in step.
. /lab/lib.sh

lab_edus state_kb=64
mtty1=$(lab_mtty 9b3e9a1e-6f4f-4c44-8b6f-0d3a5c9a0001 2) || bail "no mtty"
check "mtty has a node" test -c "$mtty1"
merge vfm-diff --sequences 1000 --calls 30 --seed 1 --spec edu,state=64k "$edu1_pci"
merge vfm-diff --sequences 1000 --calls 30 --seed 2 --spec mtty 9b3e9a1e-6f4f-4c44-8b6f-0d3a5c9a0001
for flags in 1 3 5; do
	lab_edu_param mig_flags "$flags"
	lab_bind "$edu1_pci" vfio-pci
	lab_bind "$edu1_pci" vfiomig_edu
	merge vfm-diff --sequences 200 --calls 30 --seed "$flags" --spec "edu,state=64k,flags=$flags" "$edu1_pci"
done
tap_done
