# Bytes of the caller's own: from what may keep somebody waiting, to what must not be the stream itself.
$ hold a 0000:01:00.0 && hold b 0000:02:00.0; mkfifo pipe; echo mine >mine
$ vfiomigctl -q save scm:a.sock --to blob.vfm --blob pipe & echo through a pipe >pipe; wait $!
$ vfiomigctl -q restore scm:b.sock --from blob.vfm --blob - | cat
through a pipe
$ vfiomigctl -q save scm:a.sock --to - --blob - <mine | vfiomigctl -q restore scm:b.sock --from - --blob theirs; cat theirs
mine
# Nobody writes into it: a signal and --timeout end that, before anything is touched.
$ vfiomigctl -q --timeout 200ms save scm:a.sock --to never.vfm --blob pipe --json 2>late.err >late.json
[8]
$ json error.code error.step error.retryable <late.json; tail -1 late.err
"peer"
"blob"
true
vfiomigctl: SIMULATED: nothing was lost, the same command may succeed later
$ vfiomigctl -v save scm:a.sock --to never.vfm --blob pipe 2>signal.err & save=$!; waits_with $save TERM; kill -TERM $save; wait $save
[143]
$ exec 8<>pipe; echo half >&8; vfiomigctl -q save scm:a.sock --to never.vfm --blob pipe 2>signal.err & save=$!; waits_with $save INT; kill -INT $save; wait $save
[130]
$ exec 8>&-; test ! -e never.vfm; vfiomigctl -q state scm:a.sock | tail -1
State: RUNNING
# What is not there, and what is too long.
$ vfiomigctl -q save scm:a.sock --to never.vfm --blob absent
! vfiomigctl: SIMULATED: endpoint: absent: cannot open: * (glob)
[8]
$ vfiomigctl -q save scm:a.sock --to never.vfm --blob exec:true
! vfiomigctl: SIMULATED: exec:true: that is for the stream
! try 'vfiomigctl save --help'
[2]
$ vfiomigctl -q save scm:a.sock --to never.vfm --blob /dev/zero
! vfiomigctl: SIMULATED: /dev/zero: at most 67108864 bytes can be carried
! try 'vfiomigctl save --help'
[2]
# The stream in one file with its blob: one of them would be lost, whatever the names.
$ ln blob.vfm other.vfm; ln -s blob.vfm linked.vfm; cp blob.vfm before.vfm
$ for spec in blob.vfm file:blob.vfm other.vfm linked.vfm fd:7; do
> vfiomigctl -q restore scm:b.sock --from blob.vfm --blob $spec --force 7<>blob.vfm 2>&1 | sed -n 1p
> vfiomigctl -q save scm:a.sock --to blob.vfm --blob $spec --force 7<blob.vfm 2>&1 | sed -n 1p; done
vfiomigctl: SIMULATED: --blob: blob.vfm is the same file as blob.vfm
vfiomigctl: SIMULATED: --blob: blob.vfm is the same file as blob.vfm
vfiomigctl: SIMULATED: --blob: file:blob.vfm is the same file as blob.vfm
vfiomigctl: SIMULATED: --blob: file:blob.vfm is the same file as blob.vfm
vfiomigctl: SIMULATED: --blob: other.vfm is the same file as blob.vfm
vfiomigctl: SIMULATED: --blob: other.vfm is the same file as blob.vfm
vfiomigctl: SIMULATED: --blob: linked.vfm is the same file as blob.vfm
vfiomigctl: SIMULATED: --blob: linked.vfm is the same file as blob.vfm
vfiomigctl: SIMULATED: --blob: fd:7 is the same file as blob.vfm
vfiomigctl: SIMULATED: --blob: fd:7 is the same file as blob.vfm
$ vfiomigctl -q restore scm:b.sock --from - --blob blob.vfm --force <blob.vfm
! vfiomigctl: SIMULATED: --blob: blob.vfm is the same file as -
! try 'vfiomigctl restore --help'
[2]
$ cmp blob.vfm before.vfm
