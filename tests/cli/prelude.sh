# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What every case may use. The machine is a file of the case's own directory.
# edu 01, 02 and 06 (which is larger), mlx5 03 and 04, nvgrace-gpu 05, an mtty.
export VFIOMIG_SIM=$PWD/machine
holders=
devices="edu@0000:01:00.0,state=64k;edu@0000:02:00.0,state=64k;edu@0000:06:00.0,state=4m;\
mlx5@0000:03:00.0,state=64k;mlx5@0000:04:00.0,state=64k;nvgrace-gpu@0000:05:00.0;mtty"
vfiomigctl -q list --sim-devices "$devices" >/dev/null || exit 1

# hold NAME ARGUMENT...: a holder in the background that lends on NAME.sock and tells in NAME.log; waits until it does
hold()
{
	local name=$1 line=
	shift
	mkfifo "$name.ready"
	vfiomigctl hold "$@" --pass "unix:$name.sock" --ready-fd 9 9>"$name.ready" >"$name.out" 2>"$name.log" &
	eval "holder_$name=$!"
	holders="$holders $!"
	read -r -t 60 line <"$name.ready"
	rm "$name.ready"
	[ "$line" = ready ]
}

# release NAME [SIGNAL]: end a holder, with its exit code
release()
{
	local pid
	eval "pid=\$holder_$1"
	kill -"${2:-TERM}" "$pid"
	wait "$pid"
}

# Until FILE has a line with TEXT; a minute at most.
await()
{
	local i
	for ((i = 0; i < 600; i++)); do
		grep -q -- "$2" "$1" 2>/dev/null && return 0
		sleep 0.1
	done
	echo "'$2' never came in $1" >&2
	return 1
}

# Until process PID catches SIGNAL, which a shell has ignored, if it is INT, for what it starts in the background
catches()
{
	local i mask number
	number=$(kill -l "$2")
	for ((i = 0; i < 600; i++)); do
		mask=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$1/status")
		((16#${mask:-0} >> (number - 1) & 1)) && return 0
		sleep 0.1
	done
	echo "process $1 never caught $2" >&2
	return 1
}

# Until process PID catches SIGNAL, and waits for something
waits_with()
{
	catches "$1" "$2" && await "/proc/$1/status" "^State:.S"
}

# Until the state of DEVICE begins with TEXT: so much of a stream has been loaded, at least
has_loaded()
{
	local i
	for ((i = 0; i < 600; i++)); do
		[ "$(vfm-contents "$1" 0 read ${#2})" = "$2" ] && return 0
		sleep 0.1
	done
	echo "'$2' was never loaded into $1" >&2
	return 1
}

# Members of the JSON document on standard input, one a line
json()
{
	python3 -c '
import json, sys
document = json.load(sys.stdin)
for path in sys.argv[1:]:
    value = document
    for step in path.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    print(json.dumps(value))' "$@"
}

# One byte of FILE at OFFSET becomes another
flip()
{
	python3 -c '
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(int(sys.argv[2]))
    byte = file.read(1)[0]
    file.seek(int(sys.argv[2]))
    file.write(bytes([byte ^ 1]))' "$1" "$2"
}

# Called by the runner at the end of a case
finish()
{
	local pid
	for pid in $holders; do
		kill "$pid" 2>/dev/null
	done
	wait
}
