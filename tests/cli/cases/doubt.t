# A line that breaks in the middle of a handover, word by word. Before the verdict the source runs on; after it, both
# sides stay alive with stopped devices until told.
$ hold a 0000:01:00.0 && hold b 0000:02:00.0; vfm-contents 0000:01:00.0 3 write "the only copy"
$ between() {
> rm -f near.sock relay.out restore.* save.*
> vfiomigctl --json restore scm:b.sock --from unix:far.sock >restore.json 2>restore.err & restore=$!
> await restore.err listening && relay.py near.sock far.sock "$1" >relay.out & relay=$!
> await relay.out ready
> vfiomigctl --json save scm:a.sock --to unix:near.sock >save.json 2>save.err & save=$!; }
# LOADED (35) never arrives: the source has its device back, the destination is in doubt and holds.
$ between 35; wait $save
[8]
$ json error.code transfer.commit devices.0.state <save.json
"peer"
"none"
"RUNNING"
$ await restore.err "SIGTERM"; kill -TERM $restore; wait $restore
[5]
$ json exit_code error.code transfer.commit devices.0.state <restore.json; vfm-contents 0000:02:00.0 3 read 13
5
"doubt"
"doubt"
"STOP"
the only copy
# STARTED (37) never arrives: the destination owns the device, the source cannot know and stays stopped.
$ between 37; await save.err "SIGTERM"; wait $restore; json exit_code transfer.commit devices.0.state <restore.json
0
"done"
"STOP"
$ kill -0 $save && kill -INT $save; wait $save
[5]
$ json exit_code error.code transfer.commit devices.0.state <save.json
5
"doubt"
"doubt"
"STOP"
# GIVEN_UP (10) never arrives: both are in doubt, neither runs.
$ vfiomigctl -q state scm:a.sock RUNNING >state.out; between 10; await save.err "SIGTERM"; await restore.err "SIGTERM"
$ kill -TERM $save $restore; wait $save; echo $?; wait $restore
5
[5]
$ json devices.0.state <save.json; json devices.0.state <restore.json
"STOP"
"STOP"
# ACCEPT (33) never arrives: nothing has stopped; the destination has lost its peer, and is reset.
$ vfiomigctl -q state scm:a.sock RUNNING >state.out; between 33; wait $save; echo $?; wait $restore
8
[8]
$ json transfer.downtime_ns devices.0.state <save.json; json error.was_reset error.retryable devices.0.state <restore.json
0
"RUNNING"
true
false
"RUNNING"
# A word that only comes late is waited for, whatever --timeout says: nobody is in doubt, nobody has to look.
$ late() {
> vfiomigctl -q state scm:a.sock RUNNING >state.out; rm -f near.sock relay.out restore.* save.*
> vfiomigctl $2 --json restore scm:b.sock --from unix:far.sock >restore.json 2>restore.err & restore=$!
> await restore.err listening; relay.py near.sock far.sock "$1" >relay.out & relay=$!
> await relay.out ready
> vfiomigctl $3 --json save scm:a.sock --to unix:near.sock >save.json 2>save.err & save=$!
> await relay.out held; }
$ late '~10' '--timeout 3s' ''; sleep 4; kill -USR1 $relay; wait $restore && wait $save; json transfer.commit <restore.json
"done"
$ late '~37' '' '--timeout 3s'; sleep 4; kill -USR1 $relay; wait $restore && wait $save; json transfer.commit <save.json
"done"
# Before the verdict --timeout counts as ever.
$ late '~35' '' '--timeout 3s'; wait $save; echo $?; wait $restore
8
[8]
$ json transfer.commit devices.0.state <save.json; json transfer.commit devices.0.state <restore.json
"none"
"RUNNING"
"none"
"RUNNING"
# Who is in doubt hangs up, so that the other side is not left waiting without a word.
$ late '~10' '' ''; kill -TERM $restore; await restore.err "by SIGTERM"; await save.err "by SIGTERM"
$ kill -TERM $save $restore; wait $save; echo $?; wait $restore
5
[5]
