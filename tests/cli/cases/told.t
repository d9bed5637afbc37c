# What is told never lands in the stream, whatever standard output is called.
$ hold two 0000:01:00.0 0000:03:00.0
$ for to in /dev/stdout /dev/fd/1 file:/proc/self/fd/1; do vfiomigctl save scm:two.sock#0 --to $to 2>/dev/null | vfiomigctl -q verify - || break; done
$ vfiomigctl save scm:two.sock#0 --to fd:7 7>&1 2>/dev/null | vfiomigctl -q verify -
$ mkfifo pipe; (vfiomigctl save scm:two.sock#0 --to /dev/fd/1 --json 2>json.err | cat >json.out); head -1 json.err
vfiomigctl: SIMULATED: the stream goes to standard output, so --json needs --json-file=FILE
$ (vfiomigctl save scm:two.sock#0 --to - --json-file /dev/stdout | cat) 2>&1 | head -1
vfiomigctl: --json-file: /dev/stdout is the same file as -
$ (vfiomigctl save scm:two.sock#0 --to fd:7 --json-file /dev/fd/7 7>&1 | cat) 2>&1 | head -1
vfiomigctl: --json-file: /dev/fd/7 is the same file as fd:7
$ cat pipe >piped & vfiomigctl save scm:two.sock#0 --to pipe --json-file ./pipe 2>&1 | head -1; wait $!
vfiomigctl: --json-file: ./pipe is the same file as pipe
# A name is bytes, a document is UTF-8.
$ bad=$(printf 'a\351\355\240\200b\303\251.vfm'); vfiomigctl inspect "$bad" --json 2>/dev/null >bad.json; python3 -c '
> import json
> print(ascii(json.loads(open("bad.json", "rb").read())["error"]["message"].split(": ")[1]))'
'a\ufffd\ufffd\ufffd\ufffdb\xe9.vfm'
# The errno is that of the message, or none.
$ vfiomigctl hold 0000:02:00.0 --json --exec nosuch 2>/dev/null | json error.errno_name
"ENOENT"
$ vfiomigctl save scm:two.sock --to x.vfm --blob /absent --json 2>/dev/null | json error.errno_name
"ENOENT"
$ vfiomigctl save scm:two.sock --to x.vfm --blob "$PWD" --json 2>/dev/null | json error.errno_name
"EISDIR"
$ vfiomigctl --sim=/absent/x list --json 2>/dev/null | json error.errno error.errno_name
2
"ENOENT"
$ vfiomigctl state 'scm:two.sock#5' --json 2>/dev/null | json error.errno error.errno_name
null
null
# verify judges a stream of several as restore does.
$ vfiomigctl -q save scm:two.sock --to both.vfm; vfiomigctl verify both.vfm --match 0000:04:00.0
SIMULATED machine * (glob)
SIMULATED: both.vfm is whole and intact: 2 devices* (glob)
Compared: 0000:04:00.0 with device 2 of 2, 0000:03:00.0
FIELD * (glob)
machine * (glob)
pci-id     15b3:101e         15b3:101e         same
...
0000:04:00.0 would take device 2 of 2, 0000:03:00.0
! vfiomigctl: SIMULATED: the stream needs a device for each of its 2: those named by --match would take 1
[3]
$ vfiomigctl -q restore 0000:04:00.0 --from both.vfm --hold >/dev/null 2>&1
[3]
$ vfiomigctl verify both.vfm --match 0000:04:00.0 --match 0000:02:00.0 | tail -2
0000:02:00.0 would take device 1 of 2, 0000:01:00.0
0000:04:00.0 would take device 2 of 2, 0000:03:00.0
$ vfiomigctl verify both.vfm --match 0000:04:00.0 --json 2>/dev/null | json loadable match.0.loadable match.1.loadable match.1.target
false
false
true
"0000:04:00.0"
# Nothing is opened, and reset by that, for a mistake that can be seen before.
$ vfm-contents 0000:04:00.0 0 write "kept"
$ vfiomigctl -q copy scm:two.sock 0000:04:00.0 --hold
! vfiomigctl: SIMULATED: copy: one source and one destination; a holder's devices are told apart by #INDEX
! try 'vfiomigctl copy --help'
[2]
$ vfiomigctl -q dirty --area 0xfee00000,4k scm:two.sock 0000:04:00.0 2>/dev/null
[2]
$ vfm-contents 0000:04:00.0 0 read 4
kept
$ vfiomigctl -q dirty --memory 4k@0xfee00000 0000:04:00.0
! vfiomigctl: SIMULATED: warning: 0000:04:00.0 is opened now; * (glob)
! vfiomigctl: SIMULATED: --memory: 0xfee00000-0xfee00fff is not inside the windows * (glob)
[3]
# Windows that were not asked for are said to be missing.
$ vfiomigctl iova scm:two.sock 0000:02:00.0 --json 2>/dev/null | json warnings.0
"windows of 0000:02:00.0 are not in what is usable by all: --open asks (vfio-pci resets it by that)"
# Half loaded, and left: what helps is said.
$ hold h 0000:06:00.0; mkfifo slow; vfiomigctl -q save scm:h.sock --to large.vfm
$ vfiomigctl -q restore scm:h.sock --from slow & exec 7>slow; head -c 3000000 large.vfm >&7; sleep 1; kill -KILL $!; wait $! 2>/dev/null; exec 7>&-
$ await h.log "needs a reset"; tail -1 h.log
vfiomigctl: SIMULATED: warning: 0000:06:00.0 needs a reset: end the holding, which does it, or hold with --recover
