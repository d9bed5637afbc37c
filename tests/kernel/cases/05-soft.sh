# SPDX-License-Identifier: MIT
# needs: soft_probe
# cpus: 2
# The vfiomig_soft driver, by raw ioctls: two devices behind its IOMMU, two emulated.
. /lab/lib.sh

lab_softs
# node N, group N: of one of its devices; name N: what the platform bus calls it.
name() { echo "vfiomig_soft.$1"; }
node() { lab_cdev "/sys/bus/platform/devices/$(name "$1")"; }
group() { echo "/dev/vfio/$(basename "$(readlink "/sys/bus/platform/devices/$(name "$1")/iommu_group")")"; }
drive() { name "$2" >"/sys/bus/platform/drivers/vfiomig_soft/$1"; }

for n in 0 1 2 3; do
	check "device $n has a node" test -c "$(node $n)"
	check "device $n has a group" test -c "$(group $n)"
done
is "names of the nodes" "$soft0 $soft3" "$(node 0) $(node 3)"
knobs=/sys/bus/platform/devices/vfiomig_soft
is "a knob has its value" "$(cat $knobs.0/knobs/state_kb)" 256
lab_soft_knob 0 state_kb 300
is "or another" "$(cat $knobs.0/knobs/state_kb)" 300
is "on one device only" "$(cat $knobs.1/knobs/state_kb)" 256
lab_soft_knob 0 state_kb 256

for n in 0 2; do
	diag "device $n: registers, migration, faults, log"
	merge soft_probe registers "$(node $n)"
	merge soft_probe migrate "$(node $n)" "$(node $((n + 1)))"
	merge soft_probe faults "$(node $n)" "$(node $((n + 1)))"
	merge soft_probe log "$(node $n)"
	merge soft_probe free log "$(node $n)" -
done
merge soft_probe free log-pin "$(node 2)" -
diag "dirty pages of the IOMMU"
merge soft_probe hwpt "$(node 0)"
merge soft_probe own "$(node 0)" "$(node 1)"
merge soft_probe free hwpt "$(node 0)" -
diag "dirty pages of type1"
merge soft_probe type1-all "$(group 0)" "$(name 0)"
merge soft_probe type1 "$(group 2)" "$(name 2)"
merge soft_probe free copy "$(group 2)" "$(name 2)"
merge soft_probe free pin "$(group 2)" "$(name 2)"

diag "the states by flags"
for flags in 1 3 5 7; do
	echo $flags >/sys/module/vfiomig_soft/parameters/mig_flags
	drive unbind 1
	drive bind 1
	merge soft_probe arcs "$(node 1)" $flags
done

diag "everything at once"
merge soft_probe stress hwpt "$(node 0)" -
merge soft_probe stress emulated "$(node 2)" -
merge soft_probe stress type1 "$(group 2)" "$(name 2)"

diag "unplugging"
merge soft_probe plug "$(node 0)" "$(name 0)"
merge soft_probe plug "$(node 2)" "$(name 2)"
check "plugged again" test -c "$(node 0)"
check "an IOMMU driver cannot be unloaded" sh -c "! rmmod vfiomig_soft"
tap_done
