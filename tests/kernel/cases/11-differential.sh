# SPDX-License-Identifier: MIT
# needs: vfm-diff
# timeout: 1800
# Random calls on real devices and on their simulated profiles, in step.
. /lab/lib.sh

lab_edus state_kb=64
mtty=9b3e9a1e-6f4f-4c44-8b6f-0d3a5c9a0001
mtty1=$(lab_mtty $mtty 2) || bail "no mtty"
check "mtty has a node" test -c "$mtty1"
host=kernel=$(uname -r | sed 's/^\([0-9]*\.[0-9]*\).*/\1/')
merge vfm-diff --sequences 600 --calls 30 --seed 1 --spec "$host;edu,state=64k" "$edu1_pci"
merge vfm-diff --sequences 600 --calls 30 --seed 2 --spec "$host;mtty" $mtty
merge vfm-diff --world interrupts --sequences 300 --calls 40 --seed 9 --spec "$host;edu,state=64k" "$edu1_pci"
merge vfm-diff --world interrupts --sequences 100 --calls 40 --seed 10 --spec "$host;mtty" $mtty
lab_softs
for n in 0 1; do
	lab_soft_knob "$n" log_align 1 # answers for whole pages of what is logged, as devices do
done
# There is no profile of the software device: its log and its IOMMU's dirty bits are those of a simulated edu.
soft="edu@0000:01:00.0,state=64k,log=1,dirty=1;edu@0000:02:00.0,state=64k,dirty=1"
merge vfm-diff --world logging --sequences 150 --calls 40 --seed 5 --spec "$host;$soft" vfiomig_soft.0
merge vfm-diff --world logging --sequences 60 --calls 40 --seed 6 --spec "$host;mtty" $mtty
for world in container iommufd; do
	merge vfm-diff --world "$world" --sequences 200 --calls 50 --seed 7 --spec "$host;$soft" \
		vfiomig_soft.0 vfiomig_soft.1
	merge vfm-diff --world "$world" --sequences 400 --calls 40 --seed 3 \
		--spec "$host;edu@0000:01:00.0,state=64k;edu@0000:02:00.0,state=64k" "$edu1_pci" "$edu2_pci"
	merge vfm-diff --world "$world" --sequences 200 --calls 40 --seed 4 \
		--spec "$host;mtty;edu@0000:02:00.0,state=64k" $mtty "$edu2_pci"
done
for flags in 1 3 5; do
	lab_edu_param mig_flags "$flags"
	lab_bind "$edu1_pci" vfio-pci
	lab_bind "$edu1_pci" vfiomig_edu
	merge vfm-diff --sequences 200 --calls 30 --seed "$flags" --spec "$host;edu,state=64k,flags=$flags" "$edu1_pci"
done
tap_done
