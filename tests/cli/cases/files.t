# What may happen to files, and what the stream's damage does to a command.
$ hold a 0000:01:00.0 && hold b 0000:02:00.0; vfm-contents 0000:02:00.0 0 write "unharmed"
$ echo precious >state.vfm; vfiomigctl save scm:a.sock --to state.vfm
! vfiomigctl: SIMULATED: endpoint: state.vfm: exists; it is replaced only when forced
[8]
$ cat state.vfm
precious
$ vfiomigctl -q save scm:a.sock --to state.vfm --force; vfiomigctl verify state.vfm
SIMULATED machine * (glob)
SIMULATED: state.vfm is whole and intact: 1 device, 64.* of state (glob)
$ vfiomigctl save scm:a.sock --to absent/state.vfm
! vfiomigctl: SIMULATED: endpoint: absent/state.vfm: its directory cannot be opened: not there (ENOENT)
[8]
$ ls -A | grep -c vfiomig-
0
[1]
# Somebody takes the name while the devices are asked for: theirs stays, and no device is left as if it were saved.
$ kill -STOP $holder_a; vfiomigctl --json save scm:a.sock --to taken.vfm --then stop >taken.json 2>/dev/null & save=$!
$ timeout 60 sh -c 'until ls -A | grep -q "^.vfiomig-"; do sleep 0.05; done'; echo theirs >taken.vfm; kill -CONT $holder_a; wait $save
[8]
$ json transfer.state_now devices.0.state <taken.json; cat taken.vfm; ls -A | grep -c vfiomig-
"STOP"
"RUNNING"
theirs
0
[1]
$ vfiomigctl save scm:a.sock --to - | vfiomigctl verify -
SIMULATED machine * (glob)
SIMULATED: - is whole and intact: 1 device, 64.* of state (glob)
! SIMULATED machine * (glob)
! Saved * (glob)
! 0000:01:00.0 is RUNNING
$ vfiomigctl save scm:a.sock --to fd:7 7>by-fd.vfm -q; vfiomigctl -q verify fd:8 8<by-fd.vfm
$ vfiomigctl save scm:a.sock --to - --json
{
...
! vfiomigctl: SIMULATED: the stream goes to standard output, so --json needs --json-file=FILE
! try 'vfiomigctl save --help'
[2]
$ vfiomigctl save scm:a.sock --to - --json-file=out.json >piped.vfm; json exit_code transfer.state_now <out.json
0
"RUNNING"
$ vfiomigctl -q verify piped.vfm
# Closed standard streams: nothing else takes their place.
$ cp "$VFIOMIG_SIM" machine.before; vfiomigctl -q save scm:a.sock --to - >&- 2>closed.err
[8]
$ cmp -n 4096 "$VFIOMIG_SIM" machine.before; vfiomigctl -q verify - <&- 2>>closed.err
[8]
$ vfiomigctl -q list >/dev/null 2>&-
# The document's file: opened first, never one that the command reads or writes, and missed when it cannot be written.
$ vfiomigctl save scm:a.sock --to new.vfm --json-file ./new.vfm
! vfiomigctl: --json-file: ./new.vfm is the same file as new.vfm
! try 'vfiomigctl save --help'
[2]
$ vfiomigctl verify by-fd.vfm --json-file by-fd.vfm 2>/dev/null; test ! -e new.vfm && vfiomigctl -q verify by-fd.vfm
$ for other in "list --json-file $VFIOMIG_SIM" "look by-fd.vfm --json-file by-fd.vfm" "verify by-fd.vfm -x --json-file=by-fd.vfm" \
> "verify by-fd.vfm excess --json-file by-fd.vfm" "--sim=./fresh --json-file fresh list" "hold 0000:01:00.0 --ready-fd 7 --json-file ready" \
> "hold 0000:01:00.0 --json-file by-fd.vfm --exec ./by-fd.vfm"; do vfiomigctl $other 7>ready 2>&1 | head -1; done
vfiomigctl: --json-file: *machine is the same file as the simulated machine (glob)
vfiomigctl: --json-file: by-fd.vfm is the same file as by-fd.vfm
vfiomigctl: --json-file: by-fd.vfm is the same file as by-fd.vfm
vfiomigctl: --json-file: by-fd.vfm is the same file as by-fd.vfm
vfiomigctl: --json-file: fresh is the same file as the simulated machine
vfiomigctl: --json-file: ready is the same file as ready-fd
vfiomigctl: --json-file: by-fd.vfm is the same file as ./by-fd.vfm
$ vfiomigctl list --json-file "$VFIOMIG_SIM" 2>/dev/null
[2]
$ test ! -e fresh && vfiomigctl -q verify by-fd.vfm && vfiomigctl -q list >/dev/null
$ vfiomigctl save scm:a.sock --to new.vfm --json-file absent/out.json
! vfiomigctl: --json-file: absent/out.json: No such file or directory
[1]
$ vfiomigctl state scm:a.sock STOP --json-file /dev/full
! vfiomigctl: --json-file: /dev/full could not be written: No space left on device
[4]
$ vfiomigctl state scm:a.sock --json-file /dev/full
! vfiomigctl: --json-file: /dev/full could not be written: No space left on device
[1]
$ vfiomigctl -q state scm:a.sock RUNNING --json-file out.json; json exit_code state <out.json
0
"RUNNING"
# A pipe that breaks: the device is back where it was.
$ (vfiomigctl save 0000:06:00.0 --to - -q 2>broken.err; echo $? >broken.code) | head -c 1000 >/dev/null; cat broken.code
8
$ sed -n 2p broken.err
vfiomigctl: SIMULATED: write: the stream cannot be written: * (glob)
# One byte flipped: told. From a file no device is touched, from a pipe it has to be reset for it.
$ cp state.vfm damaged.vfm; flip damaged.vfm 30000; vfiomigctl verify damaged.vfm
! vfiomigctl: SIMULATED: inspect: * (glob)
[6]
$ vfiomigctl verify damaged.vfm --json 2>/dev/null | json intact error.code
false
"damaged"
$ vfiomigctl inspect damaged.vfm
SIMULATED machine * (glob)
Intact:    no
...
! vfiomigctl: SIMULATED: inspect: * (glob)
[6]
$ vfm-contents 0000:02:00.0 0 write "unharmed"; vfiomigctl restore scm:b.sock --from damaged.vfm --json 2>/dev/null | json exit_code error.code error.was_reset
6
"damaged"
false
$ vfm-contents 0000:02:00.0 0 read 8
unharmed
$ cp state.vfm late.vfm; flip late.vfm $(($(stat -c %s late.vfm) - 20)); vfiomigctl restore scm:b.sock --from - --json 2>/dev/null <late.vfm | json exit_code error.code error.was_reset devices.0.state
6
"damaged"
true
"RUNNING"
$ vfm-contents 0000:02:00.0 0 read 8 | tr '\0' .
........
$ head -c 40 state.vfm >short.vfm; vfiomigctl verify short.vfm
! vfiomigctl: SIMULATED: inspect: * (glob)
[6]
$ vfm-contents 0000:02:00.0 0 write "unharmed"; vfiomigctl restore scm:b.sock --from - <short.vfm 2>/dev/null
SIMULATED machine * (glob)
0000:02:00.0 is RUNNING
[6]
$ vfm-contents 0000:02:00.0 0 read 8
unharmed
$ vfiomigctl verify /dev/null
! vfiomigctl: SIMULATED: inspect: * (glob)
[6]
$ vfiomigctl verify absent.vfm
! vfiomigctl: SIMULATED: endpoint: absent.vfm: cannot open: * (glob)
[8]
$ vfiomigctl verify absent.vfm --json 2>/dev/null | json intact
null
$ vfiomigctl verify scheme:absent.vfm
! vfiomigctl: SIMULATED: endpoint: scheme:absent.vfm: unknown kind of endpoint (a file of that name is "file:* (glob)
! vfiomigctl: SIMULATED: no device was touched
[2]
# Would a device take it?
$ vfiomigctl verify state.vfm --match 0000:02:00.0
SIMULATED machine * (glob)
SIMULATED: state.vfm is whole and intact: * (glob)
FIELD * (glob)
machine    simulated * same (glob)
pci-id     1234:11e8 * same (glob)
...
0000:02:00.0 would take it
$ vfiomigctl verify state.vfm --match 0000:03:00.0 | grep REFUSED
pci-id     1234:11e8 * REFUSED (glob)
driver     vfiomig_edu * REFUSED (glob)
! vfiomigctl: SIMULATED: 0000:03:00.0 would refuse what the stream holds
$ vfiomigctl verify state.vfm --match 0000:03:00.0 >/dev/null 2>&1
[3]
$ vfiomigctl verify state.vfm --match scm:b.sock --json | json loadable match.0.loadable
true
true
# The caller's bytes travel with the state.
$ head -c 100000 /dev/urandom >mine; vfiomigctl -q save scm:a.sock --to blob.vfm --blob mine
$ vfiomigctl -q restore scm:b.sock --from blob.vfm --blob theirs; cmp mine theirs
# Neither the file nor the way back succeeds: where the device is then is told, and that somebody has to look.
$ release a >/dev/null; VFIOMIG_SIM=$PWD/failing; vfiomigctl -q list --sim-devices "edu@0000:01:00.0,state=64k,fail-arc=5" >/dev/null
$ hold f 0000:01:00.0 && kill -STOP $holder_f; vfiomigctl --json save scm:f.sock --to stays.vfm --then stop >stays.json 2>stays.err & save=$!
$ timeout 60 sh -c 'until ls -A | grep -q "^.vfiomig-"; do sleep 0.05; done'; echo theirs >stays.vfm; kill -CONT $holder_f; wait $save
[4]
$ json error.code transfer.state_before transfer.state_now devices.0.state <stays.json; cat stays.vfm stays.err
"attention"
"RUNNING"
"STOP"
"STOP"
theirs
vfiomigctl: SIMULATED: warning: 0000:01:00.0: STOP -> RUNNING: * (glob)
vfiomigctl: SIMULATED: endpoint: stays.vfm: appeared meanwhile and was left alone
$ vfiomigctl -q state scm:f.sock
SIMULATED machine * (glob)
State: STOP
