# SPDX-License-Identifier: MIT
# The lab itself: the kernel and the machine are what all other cases take for granted.
. /lab/lib.sh

check "iommufd" test -c /dev/iommu
check "VFIO container" test -c /dev/vfio/vfio
check "KVM" test -c /dev/kvm
check "mock domains" grep -q iommufd_test /proc/kallsyms
check "VFIO in debugfs" test -d /sys/kernel/debug/vfio
check "lock validator" test -e /proc/lockdep_stats
check "netdevsim" test -d /sys/bus/netdevsim
check "vDPA" test -d /sys/bus/vdpa

is "two edu devices" "$(lab_pci 1234:11e8 | wc -l)" 2
lab_edus
is "edu resets by its bus" "$(cat "/sys/bus/pci/devices/$edu1_pci/reset_method")" bus
group() { basename "$(readlink "/sys/bus/pci/devices/$1/iommu_group")"; }
check "edus in groups of their own" test "$(group "$edu1_pci")" != "$(group "$edu2_pci")"
check "first edu has a node" test -c "$edu1"
check "second edu has a node" test -c "$edu2"
lab_bind "$edu1_pci" vfio-pci
check "edu on plain vfio-pci" test -c "$(lab_cdev "/sys/bus/pci/devices/$edu1_pci")"
lab_bind "$edu1_pci" vfiomig_edu
check "unbound driver unloads" sh -c "
	echo $edu1_pci >/sys/bus/pci/drivers/vfiomig_edu/unbind
	echo $edu2_pci >/sys/bus/pci/drivers/vfiomig_edu/unbind
	rmmod vfiomig_edu"

nvme=$(lab_pci 1b36:0010)
check "NVMe moves to vfio-pci" lab_bind "$nvme" vfio-pci
check "NVMe has a node" test -c "$(lab_cdev "/sys/bus/pci/devices/$nvme")"
check "NVMe has no ROM" test ! -e "/sys/bus/pci/devices/$nvme/rom"

mtty=$(lab_mtty 9b3e9a1e-6f4f-4c44-8b6f-0d3a5c9a0001 2)
check "mtty has a node" test -c "$mtty"

echo "out" >"$LAB_OUT/hello"
tap_done
