# A device out of another process, which goes on holding it.
$ vfiomigctl -q hold 0000:01:00.0 0000:02:00.0 --exec traceable.py >holder.out 2>holder.err & holders=$!
$ await holder.out traceable; first=$(sed -n 1p holder.out) second=$(sed -n 2p holder.out)
$ vfm-contents 0000:01:00.0 7 write "taken"; vfiomigctl state "$first"
SIMULATED machine * (glob)
State: RUNNING
$ vfiomigctl save "$first" --to state.vfm --then stop
SIMULATED machine * (glob)
Saved 64.* (glob)
0000:01:00.0 is STOP
$ vfiomigctl -q restore "$second" --from state.vfm && vfm-contents 0000:02:00.0 7 read 5
taken
$ vfiomigctl -q state "$first"; vfiomigctl -q copy "$second" "$first" && vfiomigctl -q state "$second"
SIMULATED machine * (glob)
State: STOP
SIMULATED machine * (glob)
State: STOP
# The number alone is enough; and the process can be told from a later one of the same number.
$ bare=${first%%,*}; pid=${bare#pidfd:}; pid=${pid%:*}; vfiomigctl save "$bare" --to bare.vfm | tail -1
pidfd:*:* is STOP (glob)
$ start=$(python3 -c 'import sys; print(open("/proc/%s/stat" % sys.argv[1]).read().rpartition(")")[2].split()[19])' "$pid")
$ vfiomigctl -q save "$bare,start=$start" --to start.vfm
$ vfiomigctl -q save "$bare,start=1$start" --to never.vfm
! vfiomigctl: SIMULATED: pidfd:*: adopt: process * is not the one that was meant: it began at *, not 1* (glob)
! vfiomigctl: SIMULATED: no device was touched
[7]
# What is not there, not a device, not a description.
$ vfiomigctl -q save "pidfd:$pid:999" --to never.vfm
! vfiomigctl: SIMULATED: pidfd:*: adopt: process * has no descriptor 999 (glob)
! vfiomigctl: SIMULATED: no device was touched
[7]
$ vfiomigctl -q save "pidfd:$pid:1" --to never.vfm
! vfiomigctl: SIMULATED: pidfd:*: adopt: the descriptor is not a VFIO device file: invalid (EINVAL) (glob)
! vfiomigctl: SIMULATED: no device was touched
[7]
$ vfiomigctl -q save "pidfd:2147483647:3" --to never.vfm
! vfiomigctl: SIMULATED: pidfd:*: adopt: there is no process 2147483647 (glob)
! vfiomigctl: SIMULATED: no device was touched
[7]
$ vfiomigctl -q save "pidfd:$pid" --to never.vfm
! vfiomigctl: SIMULATED: adopt: "pidfd:*", character *: pidfd:PID:FD is expected (glob)
! vfiomigctl: SIMULATED: no device was touched
[2]
$ kill -TERM "$pid"; wait "$holders"
[143]
