# SPDX-License-Identifier: MIT
# needs: edu_probe
# cpus: 2
# append: kmemleak=on
# The vfiomig_edu driver under everything at once, for the lock validator and the leak detector.
. /lab/lib.sh

lab_edus
merge edu_probe stress "$edu1" "$edu2" 3
check "the leak detector works" sh -c "echo clear >/sys/kernel/debug/kmemleak"
merge edu_probe stress "$edu1" "$edu2" 2
for address in "$edu1_pci" "$edu2_pci"; do
	echo "$address" >/sys/bus/pci/drivers/vfiomig_edu/unbind
done
check "the driver unloads" rmmod vfiomig_edu
# The detector wants to see a leak twice, and what frees late to have been freed.
sleep 1
echo scan >/sys/kernel/debug/kmemleak
sleep 5
echo scan >/sys/kernel/debug/kmemleak
is "no leak" "$(cat /sys/kernel/debug/kmemleak)" ""
tap_done
