# Holders: running a command, several devices, borrowers that die, one at a time.
$ vfiomigctl -q hold 0000:01:00.0 0000:02:00.0 --exec sh -c 'echo "$VFIOMIG_DEVICES"; echo "$VFIOMIG_DEVICE_1"; exit 7'
2
fd:*,name=0000:02:00.0* (glob)
[7]
$ vfiomigctl -q hold 0000:01:00.0 --exec sh -c 'vfiomigctl -q save "$VFIOMIG_DEVICE_0" --to child.vfm'
$ vfiomigctl -q verify child.vfm
$ vfiomigctl -q hold 0000:01:00.0 --exec sh -c 'kill -KILL $$'
[137]
$ vfiomigctl -q hold 0000:01:00.0 --exec /absent
! vfiomigctl: SIMULATED: cannot start '/absent': No such file or directory
[1]
# It inherits the eventfds of every armed vector, be they many, and is told of each.
$ cat >many.sh <<'END'
> vectors() { tr , '\n' | sed -n 's/^irq=2:[0-9]*://p'; }
> echo "$VFIOMIG_DEVICE_0" | vectors | wc -l
> for fd in $(echo "$VFIOMIG_DEVICE_0" | vectors); do [ -e "/proc/$$/fd/$fd" ] || echo "$fd is closed"; done
> vfiomigctl -q state "$VFIOMIG_DEVICE_0" | tail -1
> END
$ cat >declare.sh <<'END'
> exec 9</dev/null
> vfiomigctl -q hold "$VFIOMIG_DEVICE_0$(for v in $(seq 0 599); do printf ',irq=2:%d:9' "$v"; done)" --exec sh many.sh
> END
$ vfiomigctl -q hold 0000:01:00.0 --exec sh declare.sh
600
State: RUNNING
# A command inherits the devices of a restore, and they are what the stream said.
$ vfiomigctl -q restore 0000:02:00.0 --from child.vfm --exec sh -c 'vfiomigctl state "$VFIOMIG_DEVICE_0"'
SIMULATED machine * (glob)
State: STOP
# Signals go to the command, and its status comes back.
$ vfiomigctl hold 0000:01:00.0 --exec sh -c 'trap "exit 9" TERM; echo up; while :; do sleep 0.05; done' >sh.out 2>&1 &
$ await sh.out up; kill -TERM $!; wait $!
[9]
# In use: the second holder is told, and nothing happens to the first.
$ hold a 0000:01:00.0 0000:02:00.0
$ vfiomigctl hold 0000:01:00.0
! vfiomigctl: SIMULATED: 0000:01:00.0: * (glob)
! vfiomigctl: SIMULATED: no device was touched
[7]
$ vfiomigctl hold 0000:03:00.0 --pass unix:a.sock
! vfiomigctl: SIMULATED: * (glob)
[8]
$ vfiomigctl state scm:a.sock
! vfiomigctl: SIMULATED: scm:a.sock: 2 devices are lent there, say which one: scm:a.sock#0
! try 'vfiomigctl state --help'
[2]
$ vfiomigctl state scm:a.sock#1
SIMULATED machine * (glob)
State: RUNNING
$ vfiomigctl state scm:a.sock#2
! vfiomigctl: SIMULATED: scm:a.sock#2: 2 devices are lent there, from #0
[7]
$ vfiomigctl state scm:a.sock#x
! vfiomigctl: SIMULATED: 'scm:a.sock#x': what follows # is not the index of a device
! try 'vfiomigctl state --help'
[2]
$ vfiomigctl save scm:a.sock#0 scm:a.sock --to twice.vfm
! vfiomigctl: SIMULATED: 0000:01:00.0 is named twice
! try 'vfiomigctl save --help'
[2]
$ vfiomigctl state scm:nobody.sock
! vfiomigctl: SIMULATED: * (glob)
! vfiomigctl: SIMULATED: no device was touched
[7]
$ vfiomigctl hold 0000:03:00.0 03:00.0
! vfiomigctl: SIMULATED: 0000:03:00.0 is named twice
! try 'vfiomigctl hold --help'
[2]
$ vfiomigctl -q hold 0000:03:00.0 "$(vfiomigctl show 0000:03:00.0 --json | json candidate.cdev | tr -d '"')"
! vfiomigctl: SIMULATED: 0000:03:00.0 is named twice
! try 'vfiomigctl hold --help'
[2]
# Device to device, within one loan.
$ vfm-contents 0000:01:00.0 5 write "copied"; vfiomigctl copy scm:a.sock#0 scm:a.sock#1
SIMULATED machine * (glob)
Copied 64.* (glob)
0000:01:00.0 is STOP
0000:02:00.0 is STOP
$ vfm-contents 0000:02:00.0 5 read 6
copied
# Several devices in one stream, put where the map says.
$ vfiomigctl save scm:a.sock --to both.vfm --json | json devices.0.name devices.1.name
"0000:01:00.0"
"0000:02:00.0"
$ vfiomigctl restore scm:a.sock --from both.vfm
SIMULATED machine * (glob)
0000:01:00.0 is STOP
0000:02:00.0 is STOP
! vfiomigctl: SIMULATED: match: which device takes which state is not clear: a map must say so
! vfiomigctl: SIMULATED: no device was touched
[2]
$ vfm-contents 0000:01:00.0 5 write "wrong."
$ vfiomigctl -q restore scm:a.sock --from both.vfm --map 0=1 --map 0000:02:00.0=0000:01:00.0
$ vfm-contents 0000:01:00.0 5 read 6
copied
$ vfiomigctl restore scm:a.sock --from both.vfm --map 0=1 --map 1=1
SIMULATED machine * (glob)
...
! vfiomigctl: SIMULATED: match: entry 1 of the map is a device that is taken
! vfiomigctl: SIMULATED: no device was touched
[2]
$ vfiomigctl restore scm:a.sock --from both.vfm --map nobody=1
! vfiomigctl: SIMULATED: --map: the stream has no device 'nobody'
! try 'vfiomigctl restore --help'
[2]
$ vfiomigctl restore scm:a.sock --from - --map 0000:01:00.0=1 <both.vfm
! vfiomigctl: SIMULATED: --map: a stream that is not in a file can be read once only, * (glob)
! try 'vfiomigctl restore --help'
[2]
$ vfiomigctl state scm:a.sock#9 2>&1
vfiomigctl: SIMULATED: scm:a.sock#9: 2 devices are lent there, from #0
[7]
$ release a
[143]
# What cannot be done after the load is found before it; what fails after it all the same does not end the holding.
$ vfm-contents 0000:02:00.0 5 write "untouched"
$ vfiomigctl restore 0000:02:00.0 --from child.vfm --exec absent
! vfiomigctl: SIMULATED: cannot start 'absent': No such file or directory
[1]
$ vfiomigctl restore 0000:02:00.0 --from child.vfm --hold --blob absent/blob
! vfiomigctl: SIMULATED: endpoint: absent/blob: * (glob)
[8]
$ vfiomigctl restore 0000:02:00.0 --from child.vfm --hold --ready-fd 7 7<child.vfm
! vfiomigctl: SIMULATED: --ready-fd: descriptor 7 cannot be written to
! try 'vfiomigctl restore --help'
[2]
$ vfiomigctl hold 0000:02:00.0 --ready-fd 1
! vfiomigctl: --ready-fd: '1' is not N
! try 'vfiomigctl hold --help'
[2]
$ vfm-contents 0000:02:00.0 5 read 9
untouched
$ vfiomigctl restore 0000:02:00.0 --from child.vfm --hold --ready-fd 7 7>/dev/full >full.out 2>full.log &
$ await full.log "holding goes on"; kill -TERM $!; wait $!
[4]
$ head -c 10 /dev/zero >nonsense; chmod +x nonsense
$ vfiomigctl restore 0000:02:00.0 --from child.vfm --pass unix:n.sock --exec ./nonsense >full.out 2>exec.log &
$ await exec.log "holding goes on"; vfiomigctl -q state scm:n.sock | tail -1; kill -TERM $!; wait $!
State: STOP
[4]
$ vfiomigctl -q save 0000:01:00.0 --to blob.vfm --blob child.vfm 2>/dev/null
$ vfiomigctl restore 0000:02:00.0 --from blob.vfm --hold --blob fd:7 7>/dev/full >full.out 2>blob.log &
$ await blob.log "holding 0000:02"; kill -TERM $!; wait $!
[4]
$ ! grep touched full.log exec.log blob.log
# Every signal reaches the command, not the first again.
$ vfiomigctl hold 0000:01:00.0 --exec sh -c 'trap "echo int" INT; trap "exit 9" TERM; echo up; while :; do sleep 0.05; done' >int.out 2>&1 &
$ await int.out up; kill -INT $!; await int.out int; kill -TERM $!; wait $!
[9]
# A borrower that is killed while it loads: the holder learns what it left, and --recover undoes it.
$ hold r 0000:06:00.0 --recover; mkfifo slow; vfiomigctl -q save scm:r.sock --to large.vfm
$ vfiomigctl -q restore scm:r.sock --from slow & exec 7>slow; head -c 3000000 large.vfm >&7; sleep 1; kill -KILL $!; wait $! 2>/dev/null; exec 7>&-
$ await r.log "is RUNNING again"; tail -4 r.log
vfiomigctl: SIMULATED: warning: process * died with the loan (glob)
vfiomigctl: SIMULATED: 0000:06:00.0 is RESUMING, it was RUNNING before the loan
vfiomigctl: SIMULATED: 0000:06:00.0 was half loaded and has been reset: it is blank
vfiomigctl: SIMULATED: 0000:06:00.0 is RUNNING again
$ vfiomigctl state scm:r.sock -q
SIMULATED machine * (glob)
State: RUNNING
# The same where the driver would let a half-loaded device run: mlx5 takes a stream that ends early for a whole one.
$ hold h 0000:03:00.0 --recover; vfm-contents 0000:03:00.0 0 write "whole"; vfiomigctl -q save scm:h.sock --to mlx5.vfm; vfm-contents 0000:03:00.0 0 write "other"
$ rm slow; mkfifo slow; vfiomigctl -q restore scm:h.sock --from slow & exec 7>slow; head -c -100 mlx5.vfm >&7; await h.log "lent to"
$ timeout 60 sh -c 'until vfm-contents 0000:03:00.0 0 read 5 | grep -q whole; do sleep 0.1; done'; sleep 1; kill -KILL $!; wait $! 2>/dev/null; exec 7>&-
$ await h.log "is RUNNING again"; tail -2 h.log; vfm-contents 0000:03:00.0 0 read 5
vfiomigctl: SIMULATED: 0000:03:00.0 was half loaded and has been reset: it is blank
vfiomigctl: SIMULATED: 0000:03:00.0 is RUNNING again
.....
