# What is known without opening; the machine is said to be simulated, by option and by environment alike.
$ vfiomigctl list
SIMULATED machine * (glob)
DEVICE                                DRIVER                CDEV   GROUP  STATE    MIGRATES  WHAT
0000:01:00.0                          vfiomig_edu           vfio0  1      RUNNING  yes * (glob)
...
0000:05:00.0                          nvgrace_gpu_vfio_pci  vfio5  6      unknown  no * (glob)
...
6d747479-0000-4000-8000-000000000006  mtty                  vfio6  7      RUNNING  yes       mdev mtty-2
$ vfiomigctl list --json | json schema_version command simulated exit_code devices.0.name devices.0.iommu_group devices.0.migrates devices.4.migrates
1
"list"
true
0
"0000:01:00.0"
1
true
false
$ vfiomigctl --json list >a.json; vfiomigctl list --json-file=b.json; cmp a.json b.json
$ env -u VFIOMIG_SIM vfiomigctl --sim="$VFIOMIG_SIM" list --json | cmp - a.json
$ env -u VFIOMIG_SIM vfiomigctl "--sim=mtty;edu@0000:09:00.0" list
SIMULATED machine mtty;edu@0000:09:00.0
DEVICE * (glob)
0000:09:00.0 * (glob)
*mtty * (glob)
$ env -u VFIOMIG_SIM vfiomigctl --sim list | sed 's/ .*//'
SIMULATED
DEVICE
0000:01:00.0
0000:02:00.0
6d747479-0000-4000-8000-000000000002
6d747479-0000-4000-8000-000000000003
$ vfiomigctl --sim=spoon list
! vfiomigctl: simulated machine spoon: * (glob)
[2]
$ echo "not a machine" >file; vfiomigctl --sim=./file list
! vfiomigctl: simulated machine ./file: * (glob)
[2]
$ vfiomigctl show 0000:01:00.0
SIMULATED machine * (glob)
Device:   0000:01:00.0
Driver:   vfiomig_edu
Cdev:     vfio0
Group:    1
State:    RUNNING
Migrates: yes
What:     *[1234:11e8] (glob)
Back end: iommufd
Sysfs:    /sys/bus/pci/devices/0000:01:00.0
More is known to the device itself: --open asks it (vfio-pci resets it by that).
$ vfiomigctl show --open 01:00.0
SIMULATED machine * (glob)
Device:   0000:01:00.0
...
State size: 64.* (glob)
Opened by: * (glob)
REGION * (glob)
BAR0 * (glob)
...
INTERRUPT  VECTORS  ARMED
...
! vfiomigctl: SIMULATED: warning: 01:00.0 is opened now; vfio-pci resets it by that, and again when it is closed
$ vfiomigctl show --open vfio5 --json 2>/dev/null | json device.name device.migration_flags candidate.migrates
"0000:05:00.0"
"none"
false
$ vfiomigctl show 0000:0f:00.0
! vfiomigctl: SIMULATED: * (glob)
! vfiomigctl: SIMULATED: no device was touched
[7]
$ vfiomigctl show "not a device"
! vfiomigctl: SIMULATED: * (glob)
! vfiomigctl: SIMULATED: no device was touched
[2]
$ vfiomigctl state 0000:01:00.0
SIMULATED machine * (glob)
State: RUNNING
$ vfiomigctl state 0000:01:00.0 STOP
! vfiomigctl: SIMULATED: 0000:01:00.0: opening a device resets it, and closing it does so again, so a state set * (glob)
! try 'vfiomigctl state --help'
[2]
