# The life of device state: what a holder's device keeps, what an opened device loses, what restore refuses.
$ hold a 0000:01:00.0 && hold b 0000:02:00.0
$ vfm-contents 0000:01:00.0 100 write "Ada Lovelace"
$ vfiomigctl save scm:a.sock --to state.vfm
SIMULATED machine * (glob)
Saved 64.* of device state in * (glob)
0000:01:00.0 is RUNNING
$ stat -c %a state.vfm
600
$ vfiomigctl inspect state.vfm
SIMULATED machine * (glob)
Intact:    yes
SIMULATED: yes
Version:   1.0
...
INDEX  DEVICE        WHAT * DRIVER       MIGRATION               PRE-COPY  STOP-COPY * (glob)
0      0000:01:00.0  *[1234:11e8]  vfiomig_edu  STOP_COPY P2P PRE_COPY  0 B       64.* (glob)
INDEX  COMMAND           POWER  CAPABILITIES  ARMED INTERRUPTS
0      0x0103 io memory  D0     MSI           none
$ vfiomigctl inspect state.vfm --json | json devices.0.config.space_bytes devices.0.config.command devices.0.config.capabilities.0 devices.0.config.interrupts
256
"0x103"
"MSI"
[]
$ vfiomigctl restore scm:b.sock --from state.vfm
SIMULATED machine * (glob)
Restored 64.* of device state in * (glob)
0000:02:00.0 is STOP
$ vfm-contents 0000:02:00.0 100 read 12
Ada Lovelace
$ vfiomigctl state scm:b.sock
SIMULATED machine * (glob)
State: STOP
$ vfiomigctl state scm:b.sock RUNNING
SIMULATED machine * (glob)
State: RUNNING
$ vfiomigctl state scm:b.sock running-p2p --json | json state_before state
"RUNNING"
"RUNNING_P2P"
# A loan that came back is told even when the signal that ends the holding came with it.
$ hold c 0000:06:00.0; mkfifo slow; vfiomigctl -q save scm:c.sock --to slow & exec 7<slow; await c.log "lent to"; waits_with "$holder_c" TERM
$ kill -STOP "$holder_c"; cat <&7 >/dev/null; wait $!; exec 7<&-; kill -TERM "$holder_c"; release c CONT
[143]
$ tail -3 c.log
vfiomigctl: SIMULATED: process * gave the loan back (glob)
vfiomigctl: SIMULATED: 0000:06:00.0 is RUNNING, it was RUNNING before the loan
vfiomigctl: SIMULATED: holding ends, the last close resets 0000:06:00.0
# The holders know all of it, and end by a signal, which resets their devices.
$ release b; cat b.log
vfiomigctl: SIMULATED: holding 0000:02:00.0, which is RUNNING
vfiomigctl: SIMULATED: lending on unix:b.sock
vfiomigctl: SIMULATED: lent to process * (glob)
vfiomigctl: SIMULATED: process * gave the loan back (glob)
vfiomigctl: SIMULATED: 0000:02:00.0 is STOP, it was RUNNING before the loan
...
vfiomigctl: SIMULATED: 0000:02:00.0 is RUNNING_P2P, it was RUNNING before the loan
vfiomigctl: SIMULATED: holding ends, the last close resets 0000:02:00.0
$ vfm-contents 0000:02:00.0 100 read 12
............
$ release a INT
[130]
$ test ! -e a.sock -a ! -e b.sock
# A device that the command opens itself is a reset one, and is said to be.
$ vfm-contents 0000:01:00.0 100 write "Ada Lovelace"
$ vfiomigctl save 0000:01:00.0 --to reset.vfm --json | json reset_by_open devices.0.lent
true
false
! vfiomigctl: SIMULATED: warning: 0000:01:00.0 was opened by this command, and vfio-pci resets a device that is * (glob)
$ ! grep -q "Ada Lovelace" reset.vfm && grep -q "Ada Lovelace" state.vfm
# Nobody would hold what is loaded: refused before anything is touched.
$ vfm-contents 0000:02:00.0 100 write "untouched"
$ vfiomigctl restore 0000:02:00.0 --from state.vfm
! vfiomigctl: SIMULATED: what is loaded into 0000:02:00.0 would be lost at once: a device is reset when its last * (glob)
! try 'vfiomigctl restore --help'
[2]
$ vfiomigctl copy 0000:01:00.0 0000:02:00.0
! vfiomigctl: SIMULATED: what is loaded into 0000:02:00.0 would be lost at once: * (glob)
! try 'vfiomigctl copy --help'
[2]
$ vfiomigctl restore 0000:02:00.0 --from state.vfm --hold --then run
! vfiomigctl: SIMULATED: a device that runs does DMA, and its address space is empty here: * (glob)
! try 'vfiomigctl restore --help'
[2]
$ vfm-contents 0000:02:00.0 100 read 9
untouched
