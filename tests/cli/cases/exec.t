# A command as the peer: the restore of another machine, which goes on in a command of its own.
$ hold a 0000:01:00.0 && hold b 0000:02:00.0; export OTHER=$PWD/other
$ vfiomigctl -q list --sim="$OTHER" --sim-devices 'edu@0000:09:00.0,state=64k;edu@0000:0a:00.0,state=64k' >/dev/null
$ vfm-contents 0000:01:00.0 7 write "moved"
$ cat >after.sh <<'END'
> VFIOMIG_SIM=$OTHER vfm-contents 0000:09:00.0 7 read 5 >there.txt
> vfiomigctl state "$VFIOMIG_DEVICE_0" | tail -1 >>there.txt
> exit "${1:-0}"
> END
$ vfiomigctl save scm:a.sock --to 'exec:vfiomigctl -q --sim=$OTHER restore 0000:09:00.0 --from - --duplex --json-file=there.json --exec sh after.sh' --live
SIMULATED machine * (glob)
Saved 64.* of device state in * (glob)
0000:01:00.0 is STOP
$ cat there.txt; json transfer.commit <there.json
moved
State: STOP
"done"
# What it ends with after the handover takes nothing back, and is not hidden.
$ vfiomigctl state scm:a.sock RUNNING >/dev/null
$ vfiomigctl -q save scm:a.sock --to 'exec:vfiomigctl -q --sim=$OTHER restore 0000:09:00.0 --from - --duplex --json-file=there.json --exec sh after.sh 9' --json-file=here.json
! vfiomigctl: SIMULATED: '* ended with status 9 after everything had been transferred: nothing is taken back here, * (glob)
[4]
$ json transfer.commit exec.status exit_code devices.0.state <here.json
"done"
9
4
"STOP"
# A destination that lives in the command is waited for, and outlives the waiting.
$ vfiomigctl state scm:a.sock RUNNING >/dev/null
$ vfiomigctl save scm:a.sock --to 'exec:vfiomigctl -q --sim=$OTHER restore 0000:09:00.0 --from - --duplex --json-file=there.json --hold --pass unix:there.sock' >save.out 2>save.err &
$ await save.err "waiting for the end"; cat save.out
SIMULATED machine * (glob)
Saved 64.* (glob)
0000:01:00.0 is STOP
$ kill -TERM $!; wait $!; tail -1 save.err
vfiomigctl: SIMULATED: 'vfiomigctl -q --sim* goes on as process group * (glob)
$ vfiomigctl -q --sim="$OTHER" state scm:there.sock | tail -1
State: STOP
$ kill -- "-$(sed -n 's/.*goes on as process group //p' save.err)"
$ vfiomigctl state scm:a.sock RUNNING >/dev/null
$ vfiomigctl --timeout 2s save scm:a.sock --to 'exec:vfiomigctl -q --sim=$OTHER restore 0000:0a:00.0 --from - --duplex --json-file=there.json --hold' --json-file=here.json 2>save.err
$ json exec.status transfer.commit <here.json; kill -- "-$(json exec.pid <here.json)"
null
"done"
# One that says nothing, that cannot be found, that does not fit, that hangs: the device is as it was.
$ vfiomigctl state scm:a.sock RUNNING >/dev/null
$ vfiomigctl -q save scm:a.sock --to 'exec:exit 3'
! ...
! vfiomigctl: SIMULATED: warning: 'exit 3' ended with status 3
[8]
$ vfiomigctl -q save scm:a.sock --to exec:no-such-command 2>save.err; echo $?; tail -1 save.err
8
vfiomigctl: SIMULATED: warning: 'no-such-command' ended with status 127
$ hold m 0000:03:00.0
$ vfiomigctl -q save scm:a.sock --to 'exec:vfiomigctl -q restore scm:m.sock --from - --duplex --json-file=there.json' 2>save.err
[3]
$ vfiomigctl -q --timeout 2s verify 'exec:exec unkillable.py tracer1' 2>traced1.err & traced1=$!
$ vfiomigctl -q --timeout 2s save scm:m.sock --to 'exec:trap "" TERM; while :; do sleep 1; done' 2>deaf.err & deaf=$!
$ vfiomigctl -q save scm:a.sock --to 'exec:echo up >&2; sleep 1000; echo never' 2>term.err & await term.err up; kill -TERM $!; wait $!
[143]
$ wait $deaf; echo $?; tail -qn 1 term.err deaf.err; vfiomigctl -q state scm:a.sock | tail -1
8
vfiomigctl: SIMULATED: warning: 'echo up >&2; sleep 1000; echo never' ended with status 143
vfiomigctl: SIMULATED: warning: 'trap "" TERM; while :; do sleep 1; done' ended with status 137
State: RUNNING
# The other way round, the source being the command; a stream without a peer is read from a command too.
$ vfm-contents 0000:01:00.0 7 write "back."
$ vfiomigctl -q restore scm:b.sock --from 'exec:vfiomigctl -q save scm:a.sock --to - --duplex --json-file=there.json'
$ vfm-contents 0000:02:00.0 7 read 5; vfiomigctl -q state scm:a.sock | tail -1
back.
State: STOP
$ vfiomigctl -q save scm:a.sock --to state.vfm
$ vfiomigctl -q verify 'exec:cat state.vfm'; vfiomigctl -q verify 'exec:cat - state.vfm'
$ vfiomigctl -q verify 'exec:cat state.vfm; exit 5'
! vfiomigctl: SIMULATED: 'cat state.vfm; exit 5' ended with status 5
[8]
$ vfiomigctl -q --timeout 2s verify 'exec:cat state.vfm; exec unkillable.py tracer2 </dev/null >/dev/null' 2>traced2.err & traced2=$!
$ vfiomigctl -q verify 'exec:head -c 1000 state.vfm' 2>verify.err
[6]
# What a command that fails leaves behind is no stream that was damaged; what was damaged before it ended is.
$ vfiomigctl -q inspect exec:false
! ...
! vfiomigctl: SIMULATED: warning: 'false' ended with status 1
[8]
$ vfiomigctl -q verify 'exec:head -c 1000 state.vfm; exit 3' --json 2>/dev/null >cut.json; json exit_code error.code error.errno_name exec.status <cut.json
8
"peer"
"EBADMSG"
3
$ cp state.vfm flipped.vfm; flip flipped.vfm 1000; vfiomigctl -q verify 'exec:cat flipped.vfm; exit 3' 2>verify.err
[6]
# It inherits nothing but its standard descriptors, however many devices we inherited.
$ vfiomigctl -q hold 0000:06:00.0 --exec sh -c 'vfiomigctl -q save "$VFIOMIG_DEVICE_0" --to "exec:ls /proc/self/fd >fds.txt"' 2>/dev/null 9<state.vfm
[8]
$ paste -sd ' ' fds.txt
0 1 2 3
# One that does not end by SIGKILL is left behind, and told: a failure where there was none before.
$ wait $traced1; echo $?; wait $traced2; echo $?; tail -qn 1 traced?.err; kill "$(cat tracer1)" "$(cat tracer2)"
8
8
vfiomigctl: SIMULATED: warning: 'exec unkillable.py tracer1' has not ended even by SIGKILL: it is left behind as process * (glob)
vfiomigctl: SIMULATED: 'cat state.vfm; exec unkillable.py tracer2 </dev/null >/dev/null' has not ended even by SIGKILL: it is left behind as process * (glob)
# Mistakes.
$ vfiomigctl save scm:a.sock --to exec:
! vfiomigctl: SIMULATED: exec: a command is missing
! try 'vfiomigctl save --help'
[2]
$ vfiomigctl save scm:a.sock --to 'exec:cat' --listen
! vfiomigctl: SIMULATED: --listen: exec:cat * (glob)
! try 'vfiomigctl save --help'
[2]
$ vfiomigctl save scm:a.sock --to 'exec:cat' --connect
! vfiomigctl: SIMULATED: --connect: only sockets can call a peer, exec:cat is none
! try 'vfiomigctl save --help'
[2]
$ vfiomigctl restore scm:a.sock --from state.vfm --blob exec:cat
! vfiomigctl: SIMULATED: exec:cat: that is for the stream
! try 'vfiomigctl restore --help'
[2]
$ vfiomigctl save scm:a.sock --to 'exec:cat' --then run
! vfiomigctl: SIMULATED: --then: a device that is handed over to a peer stays stopped here
! try 'vfiomigctl save --help'
[2]
