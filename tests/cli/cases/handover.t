# Two commands and a socket: the destination takes over, the source stays stopped; nothing is lost when it does not.
$ hold a 0000:01:00.0 && hold b 0000:02:00.0
$ vfm-contents 0000:01:00.0 7 write "moved"
$ vfiomigctl restore scm:b.sock --from unix:x.sock --then run >restore.out 2>restore.err & await restore.err listening
$ vfiomigctl save scm:a.sock --to unix:x.sock --live
SIMULATED machine * (glob)
Saved 64.* of device state in * (glob)
0000:01:00.0 is STOP
$ wait $!; echo $?; cat restore.out restore.err
0
SIMULATED machine * (glob)
Restored 64.* of device state in * (glob)
0000:02:00.0 is RUNNING
vfiomigctl: SIMULATED: listening on unix:x.sock
$ vfm-contents 0000:02:00.0 7 read 5; test ! -e x.sock
moved
# By TCP, the port chosen by the kernel, the roles of the sockets turned round.
$ vfiomigctl state scm:a.sock RUNNING -q; vfm-contents 0000:01:00.0 7 write "again"
SIMULATED machine * (glob)
State: RUNNING
$ vfiomigctl save scm:a.sock --to tcp:127.0.0.1:0 --listen >save.out 2>save.err & await save.err listening
$ at=$(sed -n 's/.*listening on //p' save.err)
$ vfiomigctl restore scm:b.sock --from "$at" --connect
SIMULATED machine * (glob)
Restored 64.* (glob)
0000:02:00.0 is STOP
$ wait $!; cat save.out; vfm-contents 0000:02:00.0 7 read 5
SIMULATED machine * (glob)
Saved 64.* (glob)
0000:01:00.0 is STOP
again
# A destination of another size or kind refuses before the source has stopped.
$ vfiomigctl state scm:a.sock RUNNING >/dev/null; hold m 0000:03:00.0
$ vfiomigctl restore scm:m.sock --from unix:x.sock >refused.out 2>refused.err & await refused.err listening
$ vfiomigctl save scm:a.sock --to unix:x.sock
SIMULATED machine * (glob)
0000:01:00.0 is RUNNING
! vfiomigctl: SIMULATED: * (glob)
[3]
$ wait $!
[3]
$ grep -c "does not fit" refused.err
2
# Nobody there, nobody comes, and a mistake about what a handover leaves behind.
$ vfiomigctl save scm:a.sock --to unix:nobody.sock
! vfiomigctl: SIMULATED: endpoint: unix:nobody.sock: cannot connect: * (glob)
[8]
$ vfiomigctl --timeout 50ms restore scm:b.sock --from unix:x.sock
! vfiomigctl: SIMULATED: listening on unix:x.sock
! vfiomigctl: SIMULATED: endpoint: unix:x.sock: nobody came: timed out (ETIMEDOUT)
! vfiomigctl: SIMULATED: nothing was lost, the same command may succeed later
[8]
$ vfiomigctl save scm:a.sock --to unix:x.sock --then run
! vfiomigctl: SIMULATED: --then: a device that is handed over to a peer stays stopped here
! try 'vfiomigctl save --help'
[2]
$ vfiomigctl save scm:a.sock --to tcp:localhost
! vfiomigctl: SIMULATED: endpoint: tcp:localhost: not tcp:HOST:PORT (IPv6 addresses in brackets)
! vfiomigctl: SIMULATED: no device was touched
[2]
# By an inherited pair of descriptors, one command on each end.
$ vfiomigctl state scm:a.sock RUNNING >/dev/null; mkfifo there back
$ (vfiomigctl -q restore scm:b.sock --from - --duplex <there >back 2>restore.err; echo $? >restore.code) &
$ vfiomigctl -q save scm:a.sock --to - --duplex >there <back --json-file=save.json; json transfer.commit <save.json
"done"
$ wait $!; cat restore.code restore.err
0
# A peer that hangs up is no damaged stream: with nothing received, and in the middle, where the device was touched.
$ cat >peer.py <<'EOF'
> import socket, sys, time
> path, what, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
> peer = socket.socket(socket.AF_UNIX)
> if what == "answer":
>     peer.bind(path)
>     peer.listen(1)
>     print("ready", flush=True)
>     peer = peer.accept()[0]
> else:
>     peer.connect(path)
> if count:
>     peer.sendall(open("state.vfm", "rb").read(count))
> print("sent", flush=True)
> time.sleep(60 if what == "stay" else 0)
> EOF
$ vfiomigctl -q state scm:a.sock RUNNING >/dev/null; vfiomigctl -q save scm:a.sock --to state.vfm; vfm-contents 0000:02:00.0 7 write "found"
$ python3 peer.py mute.sock answer 0 >mute.out & await mute.out ready
$ vfiomigctl restore scm:b.sock --from unix:mute.sock --connect --json 2>/dev/null >mute.json; json exit_code error.code error.errno_name error.retryable error.was_reset <mute.json; vfm-contents 0000:02:00.0 7 read 5
8
"peer"
"EPIPE"
true
false
found
$ vfiomigctl restore scm:b.sock --from unix:x.sock --json >cut.json 2>cut.err & await cut.err listening; python3 peer.py x.sock go $(($(stat -c %s state.vfm) - 100)) >/dev/null; wait $!
[8]
$ json error.code error.errno_name error.retryable error.was_reset devices.0.state <cut.json; vfm-contents 0000:02:00.0 7 read 5
"peer"
"EPIPE"
false
true
"RUNNING"
.....
$ head -c -100 state.vfm | vfiomigctl -q restore scm:b.sock --from - 2>/dev/null >/dev/null
[6]
# Who only looks whether somebody listens ends no wait, and who says nothing keeps nobody from being heard.
$ vfiomigctl -v restore scm:b.sock --from unix:x.sock >stray.out 2>stray.err & restore=$!; await stray.err listening
$ python3 peer.py x.sock go 0; await stray.err "ended before it said anything"
sent
$ python3 peer.py x.sock stay 0 >stay.out & stay=$!; await stay.out sent
$ vfiomigctl -q save scm:a.sock --to unix:x.sock; wait $restore
$ kill $stay; grep Restored stray.out
Restored 64.* (glob)
