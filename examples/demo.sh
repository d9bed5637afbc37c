#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The whole story in half a minute: a value in a device, saved, loaded into another device, read there; a damaged
# stream refused; the tool killed and nothing lost. Then the same between two real kernels, if the lab kernel was
# built before (--real builds it). Fails if anything shown is not what it must be.
set -eu

export LC_ALL=C.UTF-8
top=$(cd "$(dirname "$0")/.." && pwd)
build=${VFIOMIG_DEMO_BUILD:-$top/build/demo}
value='Ada Lovelace, 1843'
real=
failed=0

case ${1-} in
'') ;;
--real) real=1 ;;
*)
	echo "usage: examples/demo.sh [--real]" >&2
	exit 2 ;;
esac

work=$(mktemp -d)
log=$top/build/demo.log
mkdir -p "$top/build"
holders=
leave() {
	rc=$?
	for holder in $holders; do
		kill "$holder" 2>/dev/null || :
	done
	wait
	rm -rf "$work"
	exit "$rc"
}
trap leave EXIT
trap 'exit 1' HUP INT TERM

die() {
	printf 'demo: %s\n' "$*"
	[ ! -s "$log" ] || tail -n 20 "$log"
	exit 1
}

# Set-up: what is shown later must not wait for a compiler.
prepare() {
	if [ -z "${VFIOMIG_DEMO_BUILD-}" ]; then
		echo "Set-up: packages, then a build in $build; logged to $log"
		"$top/tests/setup.sh" >"$log" 2>&1 || die "packages are missing"
		[ -f "$build/build.ninja" ] ||
			meson setup -Dtests=enabled -Dcli=enabled "$build" "$top" >>"$log" 2>&1 ||
			die "cannot configure"
		ninja -C "$build" >>"$log" 2>&1 || die "cannot build"
	fi
	if [ -n "$real" ]; then
		echo "Set-up: the lab kernel, some minutes unless it was built before"
		"$top/tests/kernel/build-kernel.sh" >"$log" 2>&1 || die "cannot build the lab kernel"
	elif "$top/tests/kernel/build-kernel.sh" --check >/dev/null 2>&1; then
		real=1
	fi
}

# show COMMAND: as typed, with what it says.
show() {
	printf '$ %s\n' "$1"
	eval "$1" >"$work/out" 2>&1 && status=0 || status=$?
	cat "$work/out"
}

# must STATUS [TEXT]: the last command ended so and said that.
must() {
	if [ "$status" -ne "$1" ]; then
		printf 'WRONG: exit status %s, not %s\n' "$status" "$1"
		failed=1
	fi
	if [ $# -gt 1 ] && ! grep -qF -e "$2" "$work/out"; then
		printf 'WRONG: not "%s"\n' "$2"
		failed=1
	fi
}

# hold DEVICE SOCKET [OPTION]: shown as typed; returns when the device is held.
hold() {
	printf '$ vfiomigctl -q hold %s --pass unix:%s %s&\n' "$1" "$2" "${3:+$3 }"
	mkfifo "$work/ready"
	vfiomigctl -q hold "$1" --pass "unix:$2" ${3:+"$3"} --ready-fd 3 3>"$work/ready" >>"$log" 2>&1 &
	holders="$holders $!"
	read -r _ <"$work/ready" || die "$1 is not held"
	rm "$work/ready"
}

simulated() {
	cd "$work"
	export PATH="$build/cli:$build/examples:$PATH" VFIOMIG_SIM=./machine
	echo "$ export VFIOMIG_SIM=./machine"
	hold 0000:01:00.0 a.sock --recover
	hold 0000:02:00.0 b.sock
	show "region a.sock 9 0x1000 '$value'"
	must 0
	show "vfiomigctl -q save scm:a.sock --to state.vfm"
	must 0
	show "vfiomigctl inspect state.vfm | grep -E 'Intact|Size'"
	must 0 yes
	show "vfiomigctl -q restore scm:b.sock --from state.vfm"
	must 0
	show "region b.sock 9 0x1000"
	must 0 "$value"
	cp state.vfm bad.vfm
	show "printf X | dd of=bad.vfm bs=1 seek=5000000 conv=notrunc status=none"
	must 0
	show "vfiomigctl -q restore scm:b.sock --from bad.vfm"
	must 6 "does not match its checksum"
	show "region b.sock 9 0x1000"
	must 0 "$value"
	show "timeout -s KILL 1 vfiomigctl -q save scm:a.sock --to - | sleep 2"
	must 0
	show "vfiomigctl state scm:a.sock | tail -n 1"
	must 0 RUNNING
	show "region a.sock 9 0x1000"
	must 0 "$value"
	unset VFIOMIG_SIM
}

# What a guest of the pair showed; $1 its side, $2 its name here.
guest() {
	tr -d '\r' <"$work/real/pair-demo.$1/console" | sed -n "s/^# demo: /$2: /p"
}

on_real_kernels() {
	echo "Now between two booted kernels:"
	"$top/tests/kernel/run.sh" --build-dir "$build" --out "$work/real" pair-demo >"$log" 2>&1 || failed=1
	guest a source
	guest b target
	[ "$failed" -eq 0 ] || cat "$log"
	kernel=$(cat "$("$top/tests/kernel/build-kernel.sh" --print-dir)/release")
}

prepare
simulated
if [ -n "$real" ]; then
	on_real_kernels
	echo "Simulated: the first part's machine and devices. Real: in the second two Linux kernels ($kernel) with" \
		"VFIO, iommufd and a driver that resets, on hardware QEMU emulates; library, tool, stream, sockets."
else
	echo "Simulated: the machine and its devices. Real: library, tool, stream, sockets, kill. No real kernel" \
		"took part, --real builds one."
fi
[ "$failed" -eq 0 ]
