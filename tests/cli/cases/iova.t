# Reserved regions come from sysfs, windows from the devices' address spaces; nothing is opened unasked.
$ vfiomigctl iova 01:00.0 0000:03:00.0
SIMULATED machine * (glob)
DEVICE        GROUP  FIRST       LAST        SIZE     KIND
0000:01:00.0  1      0xfee00000  0xfeefffff  1.0 MiB  msi
0000:03:00.0  *  0xfee00000  0xfeefffff  1.0 MiB  msi (glob)
Windows are known to the devices' address space: --open asks (vfio-pci resets them by that).
$ vfiomigctl iova 01:00.0 --json | json reserved.0.device reserved.0.iommu_group reserved.0.first reserved.0.last reserved.0.kind exit_code
"0000:01:00.0"
1
"0xfee00000"
"0xfeefffff"
"msi"
0
$ vfiomigctl iova 01:00.0 --json | json intersection alignment largest
null
null
null
$ vfiomigctl iova --open 01:00.0 02:00.0 --json | json windows.0.device windows.0.first windows.0.last windows.0.alignment windows.2.device intersection.0.first intersection.0.last intersection.1.first alignment
! vfiomigctl: SIMULATED: warning: 01:00.0 is opened now; * (glob)
! vfiomigctl: SIMULATED: warning: 02:00.0 is opened now; * (glob)
"0000:01:00.0"
"0x0"
"0xfedfffff"
4096
"0000:02:00.0"
"0x0"
"0xfedfffff"
"0xfef00000"
4096
$ hold one 0000:01:00.0
$ vfiomigctl iova scm:one.sock
SIMULATED machine * (glob)
DEVICE        GROUP  FIRST       LAST        SIZE     KIND
0000:01:00.0  1      0xfee00000  0xfeefffff  1.0 MiB  msi
DEVICE * (glob)
0000:01:00.0  0x0 * (glob)
0000:01:00.0  0xfef00000 * (glob)
FIRST * (glob)
0x0 * (glob)
0xfef00000 * (glob)
Alignment: 4.0 KiB
Largest:   508.0 GiB
$ vfiomigctl -q iova --open 01:00.0
SIMULATED machine * (glob)
! vfiomigctl: SIMULATED: warning: 01:00.0 is opened now; * (glob)
! *EBUSY* (glob)
! vfiomigctl: SIMULATED: no device was touched
[7]
$ release one
[143]
$ vfiomigctl iova 01:00.0 0000:77:00.0
! vfiomigctl: SIMULATED: 0000:77:00.0: * (glob)
! * (glob)
[7]
$ vfiomigctl iova
! vfiomigctl: * (glob)
! try 'vfiomigctl iova --help'
[2]
