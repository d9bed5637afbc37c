# What others do to a holder: signals that came blocked, a terminal, a pipe nobody reads, knocks without end.
$ masked.py timeout 20 masked.py vfiomigctl -q hold 0000:01:00.0 --exec grep SigBlk /proc/self/status
SigBlk:	0000000000000000
$ masked.py vfiomigctl hold 0000:01:00.0 2>masked.log & await masked.log "holding 0000:01"; kill -TERM $!; timeout 20 tail --pid=$! -f /dev/null && wait $!
[143]
$ kill -KILL $! 2>/dev/null; true
# The terminal has sent it to the command already; one in a session of its own is sent it.
$ cat >count.sh <<'END'
> trap 'echo interrupted >>interrupts' INT
> echo up
> i=0; while [ $i -lt 15 ]; do sleep 0.1; i=$((i + 1)); done
> END
$ terminal.py vfiomigctl -q hold 0000:01:00.0 --exec sh count.sh; cat interrupts; rm interrupts
0
interrupted
$ terminal.py vfiomigctl -q hold 0000:01:00.0 --exec setsid sh count.sh; cat interrupts
0
interrupted
# Whoever is to be told does not read: a signal ends the waiting, and the holding.
$ astray.py vfiomigctl hold 0000:01:00.0 --ready-fd 9 2>astray.log & await astray.log "holding 0000:01"; waits_with $! TERM; kill -TERM $!; timeout 20 tail --pid=$! -f /dev/null && wait $!
[143]
$ kill -KILL $! 2>/dev/null; grep -c "nobody was told" astray.log
1
# Knocks are told at most once a second, and no document grows without end by them.
$ vfiomigctl -q hold 0000:01:00.0 --pass unix:k.sock --json >k.json 2>k.log & knocked=$!; timeout 20 sh -c 'until test -S k.sock; do sleep 0.05; done'
$ knock.py k.sock 1500; kill -TERM $knocked; wait $knocked
[143]
$ test "$(wc -l <k.log)" -lt 100 && grep -q "warning: process .* of user $(id -u) was turned away" k.log
$ python3 -c '
> import json
> events = json.load(open("k.json"))["events"]
> print(100 < sum(event["count"] for event in events) <= 1500, len(events) < 100)'
True True
$ vfiomigctl -q hold 0000:01:00.0 --pass unix:l.sock --json >l.json 2>l.log & lent=$!; timeout 20 sh -c 'until test -S l.sock; do sleep 0.05; done'
$ for i in $(seq 400); do vfiomigctl state scm:l.sock >/dev/null || break; done; kill -TERM $lent; wait $lent
[143]
$ python3 -c '
> import json
> told = json.load(open("l.json"))
> print(len(told["events"]), len(told["notes"]), told["notes_left_out"] >= 200, "events_left_out" in told)'
800 1000 True False
