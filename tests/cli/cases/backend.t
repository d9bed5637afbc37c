# Which back end opened a device: wanted, or the best there is and why not a better one.
$ for i in auto iommufd type1v2 compat compat-type1 type1; do vfiomigctl -q --iommu=$i show --open 0000:01:00.0 --json 2>err | json device.backend device.fallback; done
"iommufd"
""
"iommufd"
""
"type1v2"
""
"compat-type1v2"
""
"compat-type1"
""
"type1"
""
$ vfiomigctl --iommu=spoon list
! vfiomigctl: --iommu: 'spoon' is not one of auto, iommufd, compat, compat-type1, type1, type1v2
! try 'vfiomigctl --help'
[2]
$ env -u VFIOMIG_SIM vfiomigctl "--sim=cdev=0;edu" show --open 0000:01:00.0 --json 2>err | json candidate.backend device.backend; grep -c 'address space: type1v2, since iommufd' err
"container"
"type1v2"
1
$ env -u VFIOMIG_SIM vfiomigctl "--sim=containers=0;edu" --iommu=type1 show --open 0000:01:00.0 >/dev/null
! * warning: * (glob)
! vfiomigctl: SIMULATED: open address space: type1: /dev/vfio/vfio: * (glob)
! vfiomigctl: SIMULATED: no device was touched
[7]
# A group that a host driver has a part of.
$ env -u VFIOMIG_SIM vfiomigctl "--sim=edu,group=5;nvme@0000:00:07.0,group=5" --iommu=type1v2 show --open 0000:01:00.0 >/dev/null
! * warning: * (glob)
! * IOMMU group 5 is not viable: a host driver has 0000:00:07.0 (driver nvme); * (glob)
! vfiomigctl: SIMULATED: no device was touched
[7]
