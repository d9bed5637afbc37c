# A signal ends a command by the safe path: the source runs again, a destination is reset.
$ hold a 0000:06:00.0; mkfifo slow
$ vfiomigctl save scm:a.sock --to slow >save.out 2>save.err & (head -c 100000 >/dev/null; kill -INT $!; cat >/dev/null) <slow; wait $!
[130]
$ cat save.out
SIMULATED machine * (glob)
0000:06:00.0 is RUNNING
$ await a.log "it was RUNNING before the loan"; tail -1 a.log
vfiomigctl: SIMULATED: 0000:06:00.0 is RUNNING, it was RUNNING before the loan
$ vfm-contents 0000:06:00.0 0 write loaded; vfiomigctl -q save scm:a.sock --to state.vfm; vfm-contents 0000:06:00.0 0 write before
$ vfiomigctl restore scm:a.sock --from slow --json >restore.json 2>restore.err & exec 7>slow; head -c 3000000 state.vfm >&7; has_loaded 0000:06:00.0 loaded; kill -TERM $!; wait $!
[143]
$ exec 7>&-; json exit_code error.code error.was_reset devices.0.state <restore.json
143
"signal"
true
"RUNNING"
# Waiting for a peer ends at once.
$ vfiomigctl restore scm:a.sock --from unix:x.sock >/dev/null 2>wait.err & await wait.err listening; kill -HUP $!; wait $!
[129]
$ test ! -e x.sock
# One that was told to ignore hang-ups does.
$ (trap '' HUP; exec vfiomigctl restore scm:a.sock --from unix:x.sock >/dev/null 2>nohup.err) & await nohup.err listening; kill -HUP $!; sleep 0.3; kill -INT $!; wait $!
[130]
# A holder that does not answer is not waited for longer than it takes to see that, and not beyond a signal.
$ await a.log holding; kill -STOP "$holder_a"
$ vfiomigctl -q state scm:a.sock 2>silent.err & silent=$!; vfiomigctl -q state scm:a.sock 2>int.err & waits_with $! INT; SECONDS=0; kill -INT $!; wait $!; echo $? $((SECONDS < 3))
130 1
$ wait $silent
[8]
$ cat silent.err; kill -CONT "$holder_a"
vfiomigctl: SIMULATED: borrow: a.sock: the holder does not answer within 5 s
vfiomigctl: SIMULATED: nothing was lost, the same command may succeed later
