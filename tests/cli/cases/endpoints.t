# Sockets that were handed over by who listens for a service, and readiness.
$ hold a 0000:01:00.0 && hold b 0000:02:00.0; vfm-contents 0000:01:00.0 7 write "moved"
$ activate.py stream=s.sock -- vfiomigctl -q restore scm:b.sock --from systemd: >active.out 2>active.err & await active.out ready
$ vfiomigctl -q save scm:a.sock --to unix:s.sock; wait $!
$ cat active.err; vfm-contents 0000:02:00.0 7 read 5; vfiomigctl -q state scm:a.sock | tail -1; rm s.sock
moved
State: STOP
# By name, among several; the socket of one connection that was accepted already.
$ vfm-contents 0000:01:00.0 7 write "again"; vfiomigctl state scm:a.sock RUNNING >/dev/null
$ activate.py --accept stream=s.sock -- vfiomigctl -q restore scm:b.sock --from systemd:stream >named.out 2>named.err & await named.out ready
$ vfiomigctl -q save scm:a.sock --to unix:s.sock; wait $!; cat named.err; vfm-contents 0000:02:00.0 7 read 5; rm s.sock
again
$ vfiomigctl state scm:a.sock RUNNING >/dev/null
$ activate.py other=o.sock stream=s.sock -- vfiomigctl -q save scm:a.sock --to systemd:stream >source.out 2>source.err & await source.out ready
$ vfiomigctl -q restore scm:b.sock --from unix:s.sock --connect; wait $!; cat source.err; rm o.sock s.sock
# What is not there, not clear, or for another process.
$ vfiomigctl restore scm:b.sock --from systemd:
! vfiomigctl: SIMULATED: systemd: no socket was handed to this process (LISTEN_PID, LISTEN_FDS)
! try 'vfiomigctl restore --help'
[2]
$ LISTEN_PID=1 LISTEN_FDS=1 vfiomigctl -q restore scm:b.sock --from systemd:
! vfiomigctl: SIMULATED: systemd: no socket was handed to this process (LISTEN_PID, LISTEN_FDS)
! try 'vfiomigctl restore --help'
[2]
$ activate.py x=o.sock x=s.sock -- vfiomigctl -q restore scm:b.sock --from systemd: | grep -v ready
! vfiomigctl: SIMULATED: systemd: 2 sockets were handed over, say which one: systemd:NAME (x:x)
! try 'vfiomigctl restore --help'
[1]
$ rm o.sock s.sock; activate.py x=o.sock x=s.sock -- vfiomigctl -q restore scm:b.sock --from systemd:x | grep -v ready
! vfiomigctl: SIMULATED: systemd:x: 2 of the sockets handed over are called that (x:x)
! try 'vfiomigctl restore --help'
[1]
$ vfiomigctl restore scm:b.sock --from systemd:x --connect
! vfiomigctl: SIMULATED: --connect: a socket that was handed over calls nobody
! try 'vfiomigctl restore --help'
[2]
$ python3 -c 'import os, socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); os.dup2(s.fileno(), 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1"); os.execvp(sys.argv[1], sys.argv[1:])' vfiomigctl -q restore scm:b.sock --from systemd:
! vfiomigctl: SIMULATED: systemd:: descriptor 3 is not a stream socket
! try 'vfiomigctl restore --help'
[2]
$ vfiomigctl restore scm:b.sock --from state.vfm --connect
! vfiomigctl: SIMULATED: --connect: only sockets can call a peer, state.vfm is none
! try 'vfiomigctl restore --help'
[2]
# Ready: for a script when the peer can call, for a service manager when the devices are loaded and held.
$ vfiomigctl -q state scm:a.sock RUNNING >/dev/null; mkfifo ready
$ vfiomigctl -q save scm:a.sock --to unix:s.sock --listen --ready-fd 7 7>ready 2>save.err & cat ready
ready
$ vfiomigctl -q restore scm:b.sock --from unix:s.sock --connect; wait $!; cat save.err
$ vfiomigctl save scm:a.sock --to unix:s.sock --ready-fd 7 7>&2
! vfiomigctl: SIMULATED: --ready-fd: there is nothing to be ready for without --listen
! try 'vfiomigctl save --help'
[2]
# A destination tells the address that was chosen for it, before anything else; an inherited listener is one, too.
$ vfiomigctl -q state scm:a.sock RUNNING >/dev/null; mkfifo listening
$ vfiomigctl -q restore scm:b.sock --from tcp:127.0.0.1:0 --listening-fd 8 8>listening 2>restore.err & read -r word address <listening; echo $word ${address%:*}
listening tcp:127.0.0.1
$ vfiomigctl -q save scm:a.sock --to $address; wait $!; cat restore.err; vfiomigctl -q state scm:a.sock RUNNING >/dev/null
$ activate.py x=s.sock -- sh -c 'exec vfiomigctl -q save scm:a.sock --to fd:3 --ready-fd 7 --listening-fd 8' 7>ready.out 8>listening.out >/dev/null & await ready.out ready; cat listening.out ready.out
listening fd:3
ready
$ vfiomigctl -q restore scm:b.sock --from unix:s.sock --connect; wait $!; rm s.sock
$ vfiomigctl restore scm:b.sock --from state.vfm --listening-fd 7 7>&2
! vfiomigctl: SIMULATED: --listening-fd: nobody is waited for on state.vfm
! try 'vfiomigctl restore --help'
[2]
$ vfiomigctl save scm:a.sock --to unix:s.sock --listen --ready-fd 7 --listening-fd 7 7>&2
! vfiomigctl: SIMULATED: --ready-fd and --listening-fd: descriptor 7 is closed behind the first line
! try 'vfiomigctl save --help'
[2]
# What was handed over and is not used ends here, like the variables.
$ activate.py x=s.sock -- vfiomigctl -q hold 0000:06:00.0 --exec sh -c 'env | grep ^LISTEN_; ls -l /proc/$$/fd | grep socket:'
ready
[1]
$ cat >manager.py <<'END'
> import socket
> server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
> server.bind("notify.sock")
> print("bound", flush=True)
> print(server.recv(64).decode(), flush=True)
> END
$ python3 manager.py >manager.out & manager=$!; await manager.out bound
$ vfiomigctl -q save scm:a.sock --to state.vfm
$ export NOTIFY_SOCKET=$PWD/notify.sock; vfiomigctl -q restore scm:b.sock --from state.vfm; cat manager.out
bound
$ vfiomigctl -q restore scm:b.sock --from state.vfm --exec true; wait $manager; unset NOTIFY_SOCKET; cat manager.out
bound
READY=1
$ NOTIFY_SOCKET=nowhere vfiomigctl -q hold 0000:06:00.0 --exec true
! vfiomigctl: SIMULATED: warning: NOTIFY_SOCKET: 'nowhere' was not told: Invalid argument
# vsock: what can be told without any.
$ vfiomigctl save scm:a.sock --to vsock:guest:7
! vfiomigctl: SIMULATED: endpoint: vsock:guest:7: not vsock:CID:PORT (CID a number, local, host, or any to listen)
! vfiomigctl: SIMULATED: no device was touched
[2]
$ vfiomigctl save scm:a.sock --to vsock:local:7 --then run
! vfiomigctl: SIMULATED: --then: a device that is handed over to a peer stays stopped here
! try 'vfiomigctl save --help'
[2]
