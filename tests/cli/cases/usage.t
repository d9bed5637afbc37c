# Mistakes are told on stderr with exit code 2; help goes to stdout with 0.
$ vfiomigctl
! vfiomigctl: a command is missing
! try 'vfiomigctl --help'
[2]
$ vfiomigctl nonsense
! vfiomigctl: unknown command 'nonsense'
! try 'vfiomigctl --help'
[2]
$ vfiomigctl --nonsense list
! vfiomigctl: unknown option '--nonsense'
! try 'vfiomigctl --help'
[2]
$ vfiomigctl list --nonsense
! vfiomigctl: unknown option '--nonsense'
! try 'vfiomigctl list --help'
[2]
$ vfiomigctl -x
! vfiomigctl: unknown option '-x'
! try 'vfiomigctl --help'
[2]
$ vfiomigctl list --json=yes
! vfiomigctl: option '--json' takes no value
! try 'vfiomigctl list --help'
[2]
$ vfiomigctl list 0000:01:00.0
! vfiomigctl: list: '0000:01:00.0' is one argument too many
! try 'vfiomigctl list --help'
[2]
$ vfiomigctl save
! vfiomigctl: save: too few arguments
! try 'vfiomigctl save --help'
[2]
$ vfiomigctl save 0000:01:00.0
! vfiomigctl: SIMULATED: save: --to ENDPOINT is missing
! try 'vfiomigctl save --help'
[2]
$ vfiomigctl save 0000:01:00.0 --to
! vfiomigctl: option '--to' needs a value
! try 'vfiomigctl save --help'
[2]
$ vfiomigctl save 0000:01:00.0 --to x --then sleep
! vfiomigctl: --then: 'sleep' is not one of stop, run, running, running-p2p
! try 'vfiomigctl save --help'
[2]
$ vfiomigctl save 0000:01:00.0 --to x --precopy-limit-bytes 1
! vfiomigctl: SIMULATED: --precopy-limit-*: these limits are for --live
! try 'vfiomigctl save --help'
[2]
$ for n in "" -1 1x 1kk 99999999999999999999 18446744073709551615t; do
> vfiomigctl save 0000:01:00.0 --to x --live --precopy-limit-bytes "$n" 2>&1 | head -1; done
vfiomigctl: --precopy-limit-bytes: '' is not BYTES
vfiomigctl: --precopy-limit-bytes: '-1' is not BYTES
vfiomigctl: --precopy-limit-bytes: '1x' is not BYTES
vfiomigctl: --precopy-limit-bytes: '1kk' is not BYTES
vfiomigctl: --precopy-limit-bytes: '99999999999999999999' is not BYTES
vfiomigctl: --precopy-limit-bytes: '18446744073709551615t' is not BYTES
$ vfiomigctl --timeout 5x list
! vfiomigctl: --timeout: '5x' is not TIME
! try 'vfiomigctl --help'
[2]
$ vfiomigctl hold 0000:01:00.0 --ready-fd 2147483648
! vfiomigctl: --ready-fd: '2147483648' is not N
! try 'vfiomigctl hold --help'
[2]
$ vfiomigctl hold 0000:01:00.0 --ready-fd 77
! vfiomigctl: SIMULATED: --ready-fd: descriptor 77 is not open
! try 'vfiomigctl hold --help'
[2]
$ vfiomigctl hold 0000:01:00.0 --pass /tmp/x
! vfiomigctl: SIMULATED: --pass: '/tmp/x' is not unix:PATH or unix:@NAME
! try 'vfiomigctl hold --help'
[2]
$ vfiomigctl state 0000:01:00.0 RESUMING
! vfiomigctl: SIMULATED: RESUMING is entered by save and restore only, with the data that belongs to it
! try 'vfiomigctl state --help'
[2]
$ vfiomigctl list nonsense --json | json exit_code error.code error.errno_name error.retryable error.device error.step
2
"usage"
"EINVAL"
false
null
"command line"
! vfiomigctl: list: 'nonsense' is one argument too many
! try 'vfiomigctl list --help'
# Which device failed at which step, where that is known; also of what the library has no part in.
$ hold lent 0000:02:00.0
$ vfiomigctl state scm:lent.sock#7 --json 2>/dev/null | json error.device error.step error.errno_name
"scm:lent.sock#7"
"borrow"
null
$ vfiomigctl state 0000:77:00.0 --json 2>/dev/null | json error.code error.device error.step
"unavailable"
"0000:77:00.0"
"find"
$ echo blob >lent.blob; vfiomigctl -q save scm:lent.sock --to lent.vfm --blob lent.blob
$ vfiomigctl verify lent.vfm --match 0000:03:00.0 --json 2>/dev/null | json exit_code error.device error.step
3
"0000:03:00.0"
"match"
$ vfiomigctl save scm:lent.sock --to exec: --json 2>/dev/null | json error.device error.step
null
"command line"
$ vfiomigctl restore scm:lent.sock --from lent.vfm --blob /dev/full --json 2>/dev/null | json exit_code error.device error.step
4
null
"blob"
# Wherever --json stands; not where it is the value of an option or an argument of the command to run.
$ for words in "--nonsense --json list" "list --nonsense --json" "--nonsense x --json" "nonsense --json" "--json" \
> "list --json --timeout" "save x --to y --then z --json" "state x --json --json-file"; do
> vfiomigctl $words 2>/dev/null | json exit_code error.code error.message; done
2
"usage"
"unknown option '--nonsense'"
2
"usage"
"unknown option '--nonsense'"
2
"usage"
"unknown option '--nonsense'"
2
"usage"
"unknown command 'nonsense'"
2
"usage"
"a command is missing"
2
"usage"
"option '--timeout' needs a value"
2
"usage"
"--then: 'z' is not one of stop, run, running, running-p2p"
2
"usage"
"option '--json-file' needs a value"
$ for words in "save --nonsense --to --json" "list --nonsense -- --json" "hold x --nonsense --exec y --json"; do vfiomigctl $words 2>/dev/null; done
[2]
$ vfiomigctl list --nonsense --json-file=late.json 2>/dev/null; json exit_code command <late.json
2
"list"
$ vfiomigctl --help
Usage: vfiomigctl [OPTION...] COMMAND [ARGUMENT...]
...
$ vfiomigctl save --help
Usage: vfiomigctl [OPTION...] save DEVICE... --to ENDPOINT [OPTION...]
...
$ diff <(vfiomigctl help save) <(vfiomigctl save --help)
$ vfiomigctl help nonsense
! vfiomigctl: unknown command 'nonsense'
! try 'vfiomigctl help --help'
[2]
$ vfiomigctl version
vfiomigctl: * (glob)
libvfiomig: * (glob)
$ diff <(vfiomigctl version) <(vfiomigctl --version)
$ vfiomigctl list >/dev/full
! vfiomigctl: standard output could not be written: No space left on device
[1]
$ vfiomigctl --help >/dev/full
! vfiomigctl: standard output could not be written: No space left on device
[1]
$ vfiomigctl --dump-commands | json program schema_version commands.0.name
"vfiomigctl"
1
"list"
