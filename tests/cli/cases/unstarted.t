# The source has given up, and the destination does not start: what is here is the only one, and is kept.
$ hold a 0000:01:00.0; echo mine >mine.blob
$ export OTHER=$PWD/other HERE=$VFIOMIG_SIM
$ machine() { rm -f "$OTHER"; vfiomigctl -q --sim="$OTHER" list --sim-devices "edu@0000:09:00.0,state=64k$1;edu@0000:0a:00.0" >/dev/null; }
$ receive() { vfiomigctl --sim="$OTHER" "$@" >there.out 2>there.err & there=$!; await there.err listening; }
$ give() { vfiomigctl state scm:a.sock RUNNING -q >/dev/null; vfm-contents 0000:01:00.0 3 write "the only copy"; }
$ give; machine ,fail-arc=5; rm -f got.blob
$ receive restore 0000:09:00.0 --from unix:x.sock --pass unix:there.sock --then run --force --blob got.blob --json-file=there.json
$ vfiomigctl -q save scm:a.sock --to unix:x.sock --blob mine.blob
$ await there.err "holding 0000:09"; cmp mine.blob got.blob; VFIOMIG_SIM=$OTHER vfm-contents 0000:09:00.0 3 read 13
the only copy
$ vfiomigctl -q --sim="$OTHER" state scm:there.sock | tail -1; grep -c "nothing was lost" there.err
State: STOP
0
[1]
$ kill -TERM $there; wait $there
[4]
$ json exit_code error.code error.retryable error.was_reset transfer.commit devices.0.state <there.json
4
"attention"
false
false
"done"
"STOP"
# The next arc: it has come as far as RUNNING_P2P, and stays there. A command is started with it, as after a load.
$ give; machine ,fail-arc=6
$ receive restore 0000:09:00.0 --from unix:x.sock --then run --force --exec sh -c 'vfiomigctl -q state "$VFIOMIG_DEVICE_0" | tail -1'
$ vfiomigctl -q save scm:a.sock --to unix:x.sock; wait $there
[4]
$ tail -1 there.out; grep -c "held here all the same" there.err
State: RUNNING_P2P
1
# The command on the other side of the source is not ended for it, nor the one on the other side of the destination.
$ give; machine ,fail-arc=5
$ cat >source.sh <<'END'
> vfiomigctl -q --sim="$HERE" save scm:a.sock --to - --duplex --json-file=here.json
> sleep 7; echo lived >source.txt
> END
$ vfiomigctl -q --sim="$OTHER" restore 0000:09:00.0 --from 'exec:sh source.sh' --then run --force --exec true 2>there.err
[4]
$ cat source.txt; json transfer.commit <here.json
lived
"done"
