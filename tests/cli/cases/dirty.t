# What shows the pages a device writes; one that is opened here writes none, one that nothing sees all of them.
$ vfiomigctl -q dirty --rounds 2 --interval 1ms --memory 64k@0x100000 03:00.0
! * warning: 03:00.0 is opened now; * (glob)
SIMULATED machine * (glob)
IOVA      LENGTH    MAPPED BY
0x100000  64.0 KiB  vfiomigctl
DEVICE * SOURCE * PAGE * EXCESS * START * WHY (glob)
0000:03:00.0  log     4.0 KiB  0 B  * (glob)
ROUND  FINAL  TIME * PAGES  DIRTY  ASKING (glob)
1      no     * 0      0 B    * (glob)
2      yes    * 0      0 B    * (glob)
$ vfiomigctl dirty --rounds 1 --interval 0 --pages 64k --json 01:00.0 2>err | json devices.0.source devices.0.page_size page_size pages memory.0.length rounds.0.pages rounds.0.bytes rounds.0.unseen rounds.0.final; grep -c 'nothing sees what it writes' err
"none"
null
65536
256
16777216
256
16777216
1
true
1
# The other sources, and one that is not wanted.
$ env -u VFIOMIG_SIM vfiomigctl "--sim=edu,dirty=1" dirty --rounds 2 --interval 1ms --json 0000:01:00.0 2>err | json devices.0.source devices.0.page_size rounds.0.pages rounds.1.pages rounds.1.final
"hwpt"
4096
0
0
true
$ vfiomigctl --iommu=type1v2 dirty --source type1 --source hwpt --rounds 1 --interval 1ms --memory 1m --memory 8k --json 03:00.0 2>err | json devices.0.source devices.0.why pages rounds.0.pages
"type1"
"device log: not asked for; IOMMU: needs an iommufd; pages are told apart * (glob)
258
258
# A lent device runs on; its last round is asked while it stands still.
$ hold one 0000:03:00.0
$ vfiomigctl dirty --rounds 1 --interval 1ms --area 0x100000,1m scm:one.sock
SIMULATED machine * (glob)
IOVA      LENGTH   MAPPED BY
0x100000  1.0 MiB  the holder
DEVICE * WHY (glob)
0000:03:00.0  log * (glob)
ROUND * (glob)
1      yes * (glob)
0000:03:00.0 was in STOP for the final round, *, and is RUNNING again (glob)
$ vfiomigctl dirty --rounds 2 --interval 1ms --no-final --area 0,8k --area 0x100000,4k --json scm:one.sock | json devices.0.lent memory.1.iova memory.1.lent pages rounds.1.final downtime_ns
true
"0x100000"
true
3
false
null
# A page that is counted is one of IOVAs, of one area.
$ vfiomigctl dirty --rounds 1 --interval 0 --pages 2m --area 0x101000,2m --area 0x401000,4k --json scm:one.sock | json pages
3
$ vfiomigctl -q state scm:one.sock STOP >/dev/null; vfiomigctl dirty --rounds 1 --interval 0 --area 0,4k --json scm:one.sock | json rounds.0.final; vfiomigctl -q state scm:one.sock
true
SIMULATED machine * (glob)
State: STOP
# What cannot be is said before anything is asked of a device.
$ for i in "--memory 0" "--memory 5000" "--memory 8k@0xfffffffffffff000" "--memory 8k@0x1000 --memory 4k@0x2000" "--memory x" "--pages 6k" "--rounds 0" "--interval x" "--source all" "--area 0,4k"; do vfiomigctl dirty $i 01:00.0 2>&1 | grep -v "^try"; done
vfiomigctl: SIMULATED: --memory: '0' is of no length
vfiomigctl: SIMULATED: --memory: '5000' is not made of whole pages of 4096 bytes
vfiomigctl: SIMULATED: --memory: '8k@0xfffffffffffff000' goes beyond the last address there is
vfiomigctl: SIMULATED: --memory: '4k@0x2000' overlaps one before it
vfiomigctl: SIMULATED: --memory: 'x' is not SIZE[@IOVA]
vfiomigctl: SIMULATED: --pages: a power of two from 4k to 1g is what a page can be
vfiomigctl: SIMULATED: --rounds: '0' is not N, 1 at least
vfiomigctl: SIMULATED: --interval: 'x' is not TIME
vfiomigctl: --source: 'all' is not one of log, hwpt, type1
vfiomigctl: SIMULATED: --area: nobody has mapped anything for a device that is opened here; --memory SIZE@IOVA does
$ for i in "" "--area 4k" "--area 0xg,4k" "--area 0,4k --memory 4k"; do vfiomigctl dirty $i scm:one.sock 2>&1 | grep -v "^try"; done
vfiomigctl: SIMULATED: --area IOVA,LENGTH is missing: only the holder of a lent device knows what it has mapped
vfiomigctl: SIMULATED: --area: '4k' is not IOVA,LENGTH
vfiomigctl: SIMULATED: --area: '0xg,4k' is not IOVA,LENGTH
vfiomigctl: SIMULATED: --memory: a lent device reaches what its holder has mapped; say where that is: --area IOVA,LENGTH
$ vfiomigctl dirty --area 0xfee00000,4k scm:one.sock
! vfiomigctl: SIMULATED: --area: 0xfee00000-0xfee00fff is not inside the windows * (glob)
! try 'vfiomigctl dirty --help'
[2]
$ vfiomigctl -q dirty 03:00.0
! * warning: 03:00.0 is opened now; * (glob)
! *EBUSY* (glob)
! vfiomigctl: SIMULATED: no device was touched
[7]
# Several stop together; a signal ends it between two rounds.
$ hold two 0000:04:00.0
$ vfiomigctl dirty --rounds 1 --interval 0 --area 0x100000,1m scm:one.sock scm:two.sock | tail -1
0000:04:00.0 was in STOP for the final round, *, and is RUNNING again (glob)
$ cp two.log before; vfiomigctl dirty --interval 1h --area 0,4k scm:two.sock --json >out & until [ "$(grep -c 'lent to' two.log)" -gt "$(grep -c 'lent to' before)" ]; do sleep 0.1; done; waits_with $! INT; sleep 1; kill -INT $!; wait $!
! vfiomigctl: SIMULATED: ended by a signal after 0 of 5 rounds
[130]
$ json exit_code error.errno_name <out
130
"ECANCELED"
$ vfiomigctl -q state scm:two.sock
SIMULATED machine * (glob)
State: RUNNING
$ release two; release one
[143]
