# SPDX-License-Identifier: MIT
# needs: rig_probe
# devices: edu*4 edu-pair nvme nvme-sriov e1000e ivshmem edu-bridge nvme-edu
# The machine with every device there is, and what each is for, by raw calls.
# shellcheck disable=SC2046 # addresses, separated by blanks
. /lab/lib.sh

count() { wc -w | tr -d ' '; }
# cdev ADDRESS: its node, on vfio-pci.
cdev() { lab_bind "$1" vfio-pci && lab_cdev "/sys/bus/pci/devices/$1"; }

diag "the kernel"
is "no huge pages at first" "$(cat /proc/sys/vm/nr_hugepages)" 0
echo 8 >/proc/sys/vm/nr_hugepages
merge rig_probe kernel
is "noiommu is known and off" "$(cat /sys/module/vfio/parameters/enable_unsafe_noiommu_mode)" N
for option in VFIO_GROUP VFIO_CONTAINER VFIO_DEVICE_CDEV SECRETMEM PCI_PASID PCI_PRI PCI_P2PDMA PM; do
	check "CONFIG_$option" sh -c "zcat /proc/config.gz | grep -q ^CONFIG_$option=y"
done
check "a file system that tracks its dirty pages" grep -qw ext2 /proc/filesystems
case $(uname -r) in
6.*)
	guarded=early ;;
*)
	guarded=late
	check "vsock knows namespaces" test -e /proc/sys/net/vsock/ns_mode
	check "BARs can be exported" sh -c "zcat /proc/config.gz | grep -q ^CONFIG_VFIO_PCI_DMABUF=y" ;;
esac

diag "edu*4: DMA and an interrupt; many devices in one address space, started in parallel"
for place in 1 2 3 4; do
	is "an edu at place $place" "$(cat "/sys/bus/pci/devices/$(lab_at $place)/device")" 0x11e8
done
edu=$(lab_at 1)
node=$(cdev "$edu")
is "groups of their own" "$(for place in 1 2 3 4; do lab_group "$(lab_at $place)"; done | sort -u | count)" 4
merge rig_probe modes "/dev/vfio/$(lab_group "$edu")" "$edu"
merge rig_probe intx "$node"

diag "edu-pair: two functions, one group; none can be reset alone"
set -- $(lab_at 5)
is "two functions" $# 2
is "one group" "$(lab_group "$1")" "$(lab_group "$2")"
merge rig_probe hot-reset "$(cdev "$1")" "$(cdev "$2")"

diag "nvme: function level reset, MSI-X; a driver of the host has it at first"
nvme=$(lab_at 6)
is "the host's driver" "$(basename "$(readlink "/sys/bus/pci/devices/$nvme/driver")")" nvme
check "it can be taken from there" test -c "$(cdev "$nvme")"

diag "nvme-sriov: virtual functions, and their token when the physical one is on vfio-pci"
pf=$(lab_at 7)
is "two VFs are possible" "$(cat "/sys/bus/pci/devices/$pf/sriov_totalvfs")" 2
is "VFs of the host's driver" "$(lab_vfs "$pf" 2 | count)" 2
lab_vfs "$pf" 0
pf_node=$(cdev "$pf")
set -- $(lab_vfs "$pf" 2)
is "VFs of vfio-pci" $# 2
is "groups of their own" "$(for vf in "$pf" "$@"; do lab_group "$vf"; done | sort -u | count)" 3
vf_node=$(cdev "$1")
merge rig_probe token "$pf_node" "/dev/vfio/$(lab_group "$1")" "$1" "$vf_node" $guarded

diag "e1000e: PCI Express with power management and error reporting"
e1000e=$(lab_at 8)
node=$(cdev "$e1000e")
merge rig_probe err "$node" 08

diag "ivshmem: a BAR of 1 GiB that is memory, and takes DMA from another device"
shm=$(lab_at 9)
shm_node=$(cdev "$shm")
merge rig_probe bar "$shm_node"
merge rig_probe peer "/dev/vfio/$(lab_group "$edu")" "$edu" "/dev/vfio/$(lab_group "$shm")" "$shm"
[ $guarded = early ] || merge rig_probe export "$(lab_cdev "/sys/bus/pci/devices/$edu")" "$shm_node"

diag "edu-bridge: two conventional devices behind a bridge, which share a requester and a group"
set -- $(lab_at 11)
is "two devices" $# 2
is "one group, the bridge's" "$(for dev in "$(lab_at 10)" "$@"; do lab_group "$dev"; done | sort -u | count)" 1
merge rig_probe hot-reset "$(cdev "$1")" "$(cdev "$2")"

diag "nvme-edu: a driver of the host is in the group"
set -- $(lab_at 12)
is "two functions" $# 2
is "one group" "$(lab_group "$1")" "$(lab_group "$2")"
is "the host's driver" "$(basename "$(readlink "/sys/bus/pci/devices/$1/driver")")" nvme
tap_done
