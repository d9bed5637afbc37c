# What is known of drivers: of all, of one by its own name or its module's, of a device's; overridden by a file.
$ vfiomigctl show --quirks mtty
SIMULATED machine * (glob)
DRIVER  QUIRK              VALUE        USUAL      USED  REASON
mtty    flags              7            0          no    a sample without hardware
...
mtty    reset              unannounced  announced  yes   takes VFIO_DEVICE_RESET without VFIO_DEVICE_FLAGS_RESET
...
$ vfiomigctl show --quirks 0000:03:00.0 --json | json quirks.0.driver quirks.0.key quirks.0.value quirks.0.overridden quirks.0.source
"mlx5_vfio_pci"
"flags"
"7"
false
"drivers/vfio/pci/mlx5/cmd.c, Linux 6.12"
$ vfiomigctl show --quirks >all; vfiomigctl show --quirks xe_vfio_pci >xe; grep -c . xe; grep -c xe-vfio-pci all
9
7
$ env -u VFIOMIG_SIM vfiomigctl show --quirks nvgrace-gpu-vfio-pci
DRIVER * (glob)
nvgrace_gpu_vfio_pci  flags * (glob)
nvgrace_gpu_vfio_pci  ready-ms * 30000 * (glob)
nvgrace_gpu_vfio_pci  ready-registers  cxl, 0:0x1498=0xff, 0:0x200bc=0xff  none   yes * (glob)
$ vfiomigctl show --quirks 01:00.0
SIMULATED machine * (glob)
Nothing is known of vfiomig_edu: it is taken to keep to the book.
$ printf '# ours\n\n[mtty]\n poll = real \n[vfiomig-edu]\nprecopy-rounds=2\n' >file
$ vfiomigctl show --quirks mtty --quirks-file file --json | json quirks.3.key quirks.3.value
"incomplete"
"refused"
$ vfiomigctl show --quirks --quirks-file=file mtty | grep -e poll -e from
mtty    poll * real? * always-ready  no    overridden (glob)
* from file
$ vfiomigctl show --quirks --quirks-file=file 01:00.0 | tail -n 2
vfiomig-edu  precopy-rounds  2*     0      yes   overridden
* from file
$ vfiomigctl show --quirks nvgrace_gpu_vfio_pci --json | json quirks.2.key quirks.2.value quirks.2.usual quirks.2.acted_on
"ready-registers"
"cxl, 0:0x1498=0xff, 0:0x200bc=0xff"
"none"
true
# Which registers tell that a device is ready: others, some bits of them, none.
$ printf '[nvgrace_gpu_vfio_pci]\nready-registers = 0:0x1498=0x1/0x1, 7:64 = 1\n' >file; vfiomigctl list --quirks-file=file
! vfiomigctl: SIMULATED: --quirks-file: file:2: quirk: ready-registers is none, or cxl and up to 8 times * (glob)
! try 'vfiomigctl list --help'
[2]
$ printf '[nvgrace_gpu_vfio_pci]\nready-registers = 0:0x1498=0x1/0x1, 7:64=1,cxl\n[mtty]\nready-registers=none\n' >file
$ vfiomigctl show --quirks --quirks-file=file --json nvgrace_gpu_vfio_pci | json quirks.2.value quirks.2.overridden
"cxl, 0:0x1498=0x1/0x1, 7:0x40=0x1"
true
$ vfiomigctl show --quirks --quirks-file=file mtty | tail -n 2
mtty    ready-registers * none* * yes   overridden (glob)
* from file
# A device that never becomes ready by its registers: told, and switched off.
$ S='nvgrace-gpu@0000:01:00.0,ready=300s,unready=registers'
$ vfiomigctl --sim="$S" show --open 0000:01:00.0 >shown
! vfiomigctl: SIMULATED: warning: 0000:01:00.0 is opened now; * (glob)
! vfiomigctl: SIMULATED: 0000:01:00.0: bind: not ready after 60* ms: register 0x1498 of region 0 is 0x0, not 0xff; * (glob)
[1]
$ printf '[nvgrace_gpu_vfio_pci]\nready-registers=none\n' >file
$ vfiomigctl --sim="$S" --quirks-file=file show --open 0000:01:00.0 2>/dev/null | grep BAR0
BAR0    1.0 MiB   rw-
$ printf 'poll=real\n' >file; vfiomigctl list --quirks-file=file
! vfiomigctl: SIMULATED: --quirks-file: file:1: a section [DRIVER] comes first
! try 'vfiomigctl list --help'
[2]
$ printf '[mtty]\n\npol=real\n' >file; vfiomigctl list --quirks-file=file
! vfiomigctl: SIMULATED: --quirks-file: file:3: quirk: there is no quirk 'pol'
! try 'vfiomigctl list --help'
[2]
$ printf '[mtty]\npoll=perhaps\n' >file; vfiomigctl list --quirks-file=file
! vfiomigctl: SIMULATED: --quirks-file: file:2: quirk: poll is one of always-ready, real, not 'perhaps'
! try 'vfiomigctl list --help'
[2]
$ printf '[mtty\n' >file; vfiomigctl list --quirks-file=file
! vfiomigctl: SIMULATED: --quirks-file: file:1: a section is [DRIVER]
! try 'vfiomigctl list --help'
[2]
$ vfiomigctl list --quirks-file=.
! vfiomigctl: SIMULATED: --quirks-file: .: Is a directory
! try 'vfiomigctl list --help'
[2]
$ vfiomigctl list --quirks-file=nosuch
! vfiomigctl: SIMULATED: --quirks-file: nosuch: No such file or directory
! try 'vfiomigctl list --help'
[2]
$ vfiomigctl show --quirks --open 01:00.0
! vfiomigctl: SIMULATED: show: --quirks opens no device, --open does
! try 'vfiomigctl show --help'
[2]
$ vfiomigctl show
! vfiomigctl: SIMULATED: show: too few arguments
! try 'vfiomigctl show --help'
[2]
