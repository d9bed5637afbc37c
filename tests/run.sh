#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Run every suite, in stages that each have a time limit. The last line counts all tests: "N passed, N failed".
set -eu

export LC_ALL=C.UTF-8
# Check's own limit is four seconds, too few under valgrind on a busy machine; meson's limits remain.
export CK_TIMEOUT_MULTIPLIER=10
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
builds=${VFIOMIG_BUILD:-build}
case $builds in
/*) ;;
*) builds=$top/$builds ;;
esac
logs=$builds/logs
minima=$top/tests/counts.min
me=$top/tests/run.sh
unset CC CXX CFLAGS CXXFLAGS LDFLAGS DESTDIR MESON_TESTTHREADS MAKEFLAGS

# NAME SECONDS WHAT; in the order of running.
stages='
setup    900 packages of Debian 12
lint     180 format, spelling, shell, house rules
gcc     1200 gcc, warnings are errors: unit, cli, fault, abi
clang   1200 clang, the same
asan    2400 AddressSanitizer and UndefinedBehaviorSanitizer
tsan    1200 ThreadSanitizer: unit
memory  1800 valgrind: unit
bits32   300 the libraries compile for a 32-bit machine
bigend  1200 a big-endian machine under qemu-user: unit
options  900 sets of build options that must pass, and that must fail
install  300 install, then compile the examples against what was installed
demo     120 examples/demo.sh
damage  1500 every byte of a stream with every value, on every profile that migrates
mutants 2400 seeded errors in our own code, each of which a suite must notice
lab     1200 the lab kernel is there or is built; its headers and its harness
kernel  1800 the suites on the lab kernel
bench    900 throughput against a plain loop
newest  2400 the suites on the newest kernel of the distribution; left out, aloud, when time is short
'
quick_stages='
setup    900 packages of Debian 12
quick    300 debug build: unit, cli
boot     120 the lab kernel boots, if it was built
'

usage() {
	cat <<-END
	Usage: tests/run.sh [--quick | --stage NAME | --update-counts]

	  --quick          debug build, unit and cli suites, one boot of the lab kernel if it was built before
	  --stage NAME     one stage by itself, its output shown
	  --update-counts  write tests/counts.min from what the last full run counted

	Stages:$stages
	Builds and logs are kept in \${VFIOMIG_BUILD:-build}. With CI=true a suite that cannot run has failed,
	but for what is left out aloud: bigend where its packages cannot be had, newest where there is no
	such kernel or no time.
	END
}

say() {
	printf '%s\n' "$*"
}

# left_out REASON: the stage has not run; whoever reads the results is told.
left_out() {
	say "$1" >"$logs/$stage.left-out"
	say "left out: $1"
}

# Builds

# configure NAME COMPILER [MESON-OPTION...]: a build of its own with everything on and warnings as errors.
configure() {
	dir=$builds/$1
	compiler=$2
	shift 2
	set -- -Dwerror=true -Dbuildtype=debug -Dauto_features=enabled "$@"
	if [ "$(cat "$dir/options" 2>/dev/null)" != "$compiler $*" ]; then
		rm -rf "$dir"
		CC=$compiler meson setup "$@" "$dir" "$top"
		echo "$compiler $*" >"$dir/options"
	else
		# Sources are found by the presence of files, which ninja does not watch.
		meson setup --reconfigure "$dir" "$top"
	fi
}

build() {
	configure "$@"
	ninja -C "$dir"
}

# Tests

count() {
	"$top/tests/count_tests.py" "$@" >>"$logs/$stage.counts"
}

# suites NAME [MESON-TEST-ARGUMENT...]: run tests of a build and count them.
suites() {
	dir=$builds/$1
	shift
	rc=0
	rm -f "$dir"/meson-logs/testlog*.json
	# Some tests wait most of their time.
	meson test -C "$dir" --no-rebuild --print-errorlogs --num-processes "$(($(nproc) + 1))" "$@" || rc=$?
	for log in "$dir"/meson-logs/testlog*.json; do
		[ -s "$log" ] || return 1
		count --meson "$stage" "$log"
	done
	return "$rc"
}

# tap SUITE COMMAND...: run a program that prints TAP and count it.
tap() {
	suite=$1
	shift
	rc=0
	"$@" >"$logs/$stage.tap" || rc=$?
	cat "$logs/$stage.tap"
	count --tap "$suite" "$rc" "$logs/$stage.tap"
	return "$rc"
}

# expect yes|no TITLE COMMAND...: a test that is one command, for use under tap.
expect() {
	wanted=$1
	title=$2
	shift 2
	number=$((number + 1))
	if "$@" >"$logs/$stage.out" 2>&1; then found=yes; else found=no; fi
	if [ "$wanted" = "$found" ]; then
		say "ok $number - $title"
	else
		say "not ok $number - $title"
		tail -n 30 "$logs/$stage.out" | sed 's/^/# /'
	fi
}

# unit_tests BUILD [NAME...]: names of the unit tests of a build, but those given.
unit_tests() {
	dir=$builds/$1
	shift
	meson test -C "$dir" --list --suite unit 2>/dev/null | sed -n 's/.* \/ //p' | while read -r name; do
		for without; do
			[ "$name" != "$without" ] || continue 2
		done
		say "$name"
	done
}

# Stages

stage_setup() {
	tests/setup.sh
}

stage_lint() {
	tap lint/lint tests/lint.sh
}

stage_gcc() {
	build gcc gcc
	suites gcc
}

stage_quick() {
	build quick gcc
	suites quick --suite unit --suite scenarios --suite jail --suite cli
}

stage_clang() {
	build clang clang
	suites clang --no-suite growth
}

stage_asan() {
	export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=0
	export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
	export LSAN_OPTIONS="suppressions=$top/tests/lsan.supp:print_suppressions=0"
	build asan gcc -Db_sanitize=address,undefined
	suites asan --no-suite growth --timeout-multiplier 5
}

stage_tsan() {
	export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
	build tsan gcc -Db_sanitize=thread
	# ThreadSanitizer cannot lay out its memory under the widest address randomisation.
	if setarch -R true 2>/dev/null; then
		set -- --wrap 'setarch -R'
	fi
	suites tsan --suite unit --suite scenarios --suite jail --timeout-multiplier 10 "$@"
}

stage_memory() {
	build gcc gcc
	# Left out: pidfds, which valgrind 3.19 does not know, and mappings doubled by mremap(), which it refuses; what
	# takes minutes here and runs under asan; a test whose children die without cleaning up.
	# shellcheck disable=SC2046 # names of tests, one word each
	suites gcc --setup valgrind $(unit_tests gcc test_pidfd test_areas test_iova_model test_bitmap_model \
		test_stream_damage diff-self-device diff-self-container diff-self-iommufd test_sim_shared \
		test_sim_maps)
}

bits32_tests() {
	number=0
	# The 32-bit C library's package leaves the kernel's headers where the 64-bit ones are.
	kernel_headers=/usr/include/$(gcc -print-multiarch)
	for source in lib/*.c lib/*/*.c; do
		for compiler in gcc clang; do
			expect yes "$source with $compiler" "$compiler" -m32 -fsyntax-only -std=gnu11 \
				-Wall -Wextra -Wconversion -Wno-sign-conversion -Wformat=2 -Werror \
				-D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 '-DVFMI_VERSION="0"' \
				-Iinclude -Ilib -idirafter "$kernel_headers" "$source"
		done
	done
	say "1..$number"
}

stage_bits32() {
	tap bits32/compile bits32_tests
}

# Only what the host's package sources offer for a foreign machine can be missing; that is no fault of the project's.
stage_bigend() {
	rm -f "$logs/$stage.left-out"
	rc=0
	tests/bigendian.sh "$builds/bigend" || rc=$?
	if [ "$rc" -eq 77 ]; then
		left_out "the foreign libraries cannot be had"
		return 0
	fi
	count --meson "$stage" "$builds/bigend/build/meson-logs/testlog.json"
	return "$rc"
}

option_build() {
	rm -rf "$builds/options"
	meson setup -Dwerror=true "$@" "$builds/options" "$top" && ninja -C "$builds/options"
}

# The same where pkg-config knows only what is in a directory.
option_build_in() (
	export PKG_CONFIG_LIBDIR="$1"
	shift
	option_build "$@"
)

options_tests() {
	number=0
	# A system that has what the core needs and nothing else.
	bare=$logs/options.pkgconfig
	mkdir -p "$bare"
	cp "$(pkg-config --variable=pcfiledir libxxhash)/libxxhash.pc" "$bare"
	expect yes "everything that is optional off" option_build -Dauto_features=disabled
	expect yes "libraries only, release" option_build -Dcli=disabled -Dtests=disabled --buildtype=release
	expect yes "tests without the tool" option_build -Dcli=disabled -Dtests=enabled
	expect yes "the tool without tests, optimised for size" option_build -Dcli=enabled -Dtests=disabled \
		--buildtype=minsize
	expect yes "nothing but xxhash installed" option_build_in "$bare"
	expect no "the tool demanded without json-c and libpci" option_build_in "$bare" -Dcli=enabled
	expect no "tests demanded without Check" option_build_in "$bare" -Dtests=enabled
	expect no "no xxhash" option_build_in /nonexistent
	expect no "completion demanded without the tool" option_build -Dcompletions=enabled -Dcli=disabled
	rm -rf "$builds/options"
	say "1..$number"
}

stage_options() {
	tap options/sets options_tests
}

installed() {
	PKG_CONFIG_PATH=$pc PKG_CONFIG_SYSROOT_DIR=$root pkg-config "$@" libvfiomig-net libvfiomig-sim libvfiomig
}

# Compile and link one example, NAME.c with NAME-*.c, the way a stranger would.
compile_example() {
	# shellcheck disable=SC2046 # files and flags, separated by blanks
	gcc -std=c11 -Wall -Wextra -pedantic -Werror -o "$root/$(basename "$1" .c)" "$1" \
		$(find examples -name "$(basename "$1" .c)-*.c") $(installed --cflags --libs)
}

refuses_usage() {
	"$@" && return 1
	[ $? -eq 2 ]
}

install_tests() {
	number=0
	root=$builds/root
	rm -rf "$root"
	expect yes "install" env DESTDIR="$root" meson install --no-rebuild -C "$builds/gcc"
	pc=$(dirname "$(find "$root" -name libvfiomig.pc)")
	export LD_LIBRARY_PATH="${pc%/pkgconfig}"
	expect yes "pkg-config knows all three libraries" installed --exists --print-errors
	for source in examples/*.c; do
		case $source in *-*) continue ;; esac
		expect yes "$source compiles against the installed libraries" compile_example "$source"
	done
	expect yes "save_borrowed runs" refuses_usage "$root/save_borrowed"
	expect yes "vfiomigctl runs" "$(find "$root" -name vfiomigctl -type f -perm -u+x)" version
	expect yes "vfiomigctl(1) is installed" test -n "$(find "$root" -name 'vfiomigctl.1*')"
	expect yes "libvfiomig(7) is installed" test -n "$(find "$root" -name 'libvfiomig.7*')"
	expect no "nothing private is installed" grep -rlE 'vfmi_|uapi/' "$root" --include='*.h'
	say "1..$number"
}

stage_install() {
	build gcc gcc
	tap install/install install_tests
}

stage_demo() {
	build gcc gcc
	VFIOMIG_DEMO_BUILD=$builds/gcc examples/demo.sh
	say "demo/demo 1 0" >>"$logs/$stage.counts"
}

# A run that fails says so in what it prints.
damage() {
	"$builds/bench/tests/fault/vfm-damage" "$1" >"$logs/damage.$1" || :
}

# printed FILE: what an earlier run printed; it failed if that says so.
printed() {
	cat "$1"
	! grep -qE '^(not ok|Bail out!)' "$1"
}

stage_damage() {
	build bench gcc -Dbuildtype=release -Dtests=enabled
	{ damage edu; damage hisi_acc; } &
	damage mtty
	damage mlx5
	wait
	tap damage/edu printed "$logs/damage.edu"
	tap damage/mtty printed "$logs/damage.mtty"
	tap damage/mlx5 printed "$logs/damage.mlx5"
	tap damage/hisi_acc printed "$logs/damage.hisi_acc"
}

stage_mutants() {
	tap mutants/mutants tests/mutants/run.py "$top" "$builds/mutants"
}

stage_lab() {
	kernel=$(tests/kernel/build-kernel.sh)
	tap lab/uapi tests/kernel-headers-check.sh "$kernel/headers"
	tap lab/harness tests/kernel/selftest.sh
}

# lab [ARGUMENT...]: run cases on the lab kernel; each case is a suite.
lab() {
	rc=0
	tests/kernel/run.sh "$@" >"$logs/$stage.cases" || rc=$?
	cat "$logs/$stage.cases"
	count --lab "$stage" "$rc" "$logs/$stage.cases"
	return "$rc"
}

stage_kernel() {
	build gcc gcc
	lab --build-dir "$builds/gcc" --out "$logs/consoles"
}

# A full run has an hour. A stage by itself has all the time there is.
seconds_left() {
	say $((${VFIOMIG_RUN_END:-$(($(date +%s) + 3600))} - $(date +%s)))
}

stage_newest() {
	rm -f "$logs/$stage.left-out"
	# With some room: running takes minutes, building as many again.
	needed=600
	tests/kernel/build-kernel.sh --lane newest --check || needed=1800
	if [ "$(seconds_left)" -lt "$needed" ]; then
		left_out "$(seconds_left) s of the hour are left, it may need $needed"
		return 0
	fi
	rc=0
	kernel=$(tests/kernel/build-kernel.sh --lane newest) || rc=$?
	if [ "$rc" -eq 77 ]; then
		left_out "there is no newer kernel source to be had"
		return 0
	fi
	[ "$rc" -eq 0 ]
	tap newest/uapi tests/kernel-headers-check.sh "$kernel/headers"
	build gcc gcc
	lab --lane newest --build-dir "$builds/gcc" --out "$logs/consoles-newest"
}

stage_boot() {
	if ! tests/kernel/build-kernel.sh --check; then
		say "no lab kernel was built yet: left out (tests/kernel/build-kernel.sh builds it)"
		return 0
	fi
	lab 00-lab
}

# A ratio that somebody else's work on the machine has spoilt is measured again; all tries are shown.
measure() {
	for try in 1 2 3 4 5; do
		say "$1, try $try"
		if "$builds/bench/tests/bench/bench_$1" >"$logs/bench-$1.run"; then break; fi
		cat "$logs/bench-$1.run"
	done
	tap "bench/$1" printed "$logs/bench-$1.run"
}

stage_bench() {
	benches='transfer iova bitmap startup'
	configure bench gcc -Dbuildtype=release
	rc=0
	for bench in $benches; do
		ninja -C "$builds/bench" "tests/bench/bench_$bench"
	done
	for bench in $benches; do
		measure "$bench" || rc=1
	done
	return "$rc"
}

# Running them

child=
interrupted() {
	[ -z "$child" ] || kill "$child" 2>/dev/null || :
	say "interrupted"
	exit 130
}

# run_stage NAME SECONDS: in a process group of its own, everything it says goes to its log.
run_stage() {
	rm -f "$logs/$1".*
	started=$(date +%s)
	rc=0
	timeout -k 10 "$2" "$me" --stage "$1" >"$logs/$1.log" 2>&1 3<&- 9>&- &
	child=$!
	wait "$child" || rc=$?
	child=
	report "$1" "$rc" "$2"
}

report() {
	seconds=$(($(date +%s) - started))
	case $2 in
	124 | 137) say "not done after $3 s" >>"$logs/$1.log" ;;
	esac
	# A stage that failed without a failed test is a failure all the same.
	if [ "$2" -ne 0 ] && ! awk '{ n += $3 } END { exit !n }' "$logs/$1.counts" 2>/dev/null; then
		say "$1/stage 0 1" >>"$logs/$1.counts"
	fi
	touch "$logs/$1.counts"
	if [ "$2" -eq 0 ] && [ -f "$logs/$1.left-out" ]; then
		printf '%-8s %-6s %5d s %s\n' "$1" "left out" "$seconds" "$(cat "$logs/$1.left-out")"
		return
	fi
	check_minima "$1"
	passed=$(awk '{ n += $2 } END { print n + 0 }' "$logs/$1.counts")
	failed=$(awk '{ n += $3 } END { print n + 0 }' "$logs/$1.counts")
	all_passed=$((all_passed + passed))
	all_failed=$((all_failed + failed))
	verdict=ok
	[ "$failed" -eq 0 ] || verdict=FAILED
	printf '%-8s %-6s %5d s %6d passed %4d failed\n' "$1" "$verdict" "$seconds" "$passed" "$failed"
	[ "$failed" -eq 0 ] || show_failure "$1"
}

show_failure() {
	say "--- the end of $logs/$1.log"
	tail -n 60 "$logs/$1.log"
	say "---"
}

# Suites must not shrink unseen: tests/counts.min holds the least number of passed tests of each.
check_minima() {
	[ -f "$minima" ] || return 0
	while read -r suite least; do
		case $suite in
		"$1"/*) ;;
		*) continue ;;
		esac
		now=$(awk -v suite="$suite" '$1 == suite { n += $2 } END { print n + 0 }' "$logs/$1.counts")
		if [ "$now" -lt "$least" ]; then
			say "$suite: $now tests passed, tests/counts.min expects $least" >>"$logs/$1.log"
			say "$1/count 0 1" >>"$logs/$1.counts"
		fi
	done <"$minima"
}

# All that passed; a twentieth less of unit tests, some of which are of instructions that not every processor has, and
# of what the headers of a kernel define. Of stages that were left out the old numbers stay.
update_counts() {
	touch "$minima"
	{
		say "# SUITE and the least number of its tests that must pass; written by tests/run.sh --update-counts"
		cat "$logs"/*.counts | awk '
			FNR == NR { if ($2 > 0) { n[$1] += $2; split($1, suite, "/"); ran[suite[1]] = 1 }; next }
			/^[^#]/ { split($1, suite, "/"); if (!ran[suite[1]]) print }
			END { for (s in n) print s, s ~ /\/(unit|uapi)$/ ? int(n[s] * 0.95) : n[s] }' - "$minima" | sort
	} >"$logs/counts.min"
	mv "$logs/counts.min" "$minima"
	say "$minima written"
}

# One run at a time in a build directory.
lock() {
	mkdir -p "$logs"
	exec 9>"$builds/lock"
	if ! flock -n 9; then
		say "another run is using $builds; set VFIOMIG_BUILD to use another directory" >&2
		exit 1
	fi
}

run_all() {
	lock
	trap interrupted HUP INT TERM
	all_passed=0
	all_failed=0
	VFIOMIG_RUN_END=$(($(date +%s) + 3600))
	export VFIOMIG_RUN_END
	# The rest cannot mean anything without the packages.
	say "$1" | while read -r name seconds what; do
		[ -z "$name" ] || say "$name $seconds $what"
	done >"$logs/plan"
	while read -r name seconds what <&3; do
		run_stage "$name" "$seconds"
		if [ "$name" = setup ] && [ "$all_failed" -ne 0 ]; then
			break
		fi
	done 3<"$logs/plan"
	say "logs: $logs"
	say "$all_passed passed, $all_failed failed"
	[ "$all_failed" -eq 0 ]
}

exec </dev/null
case ${1-} in
'') run_all "$stages" ;;
--quick) run_all "$quick_stages" ;;
--stage)
	stage=${2?"--stage needs a name, try --help"}
	command -v "stage_$stage" >/dev/null || {
		say "no stage '$stage', try --help" >&2
		exit 2
	}
	mkdir -p "$logs"
	rm -f "$logs/$stage.counts"
	"stage_$stage" ;;
--update-counts) update_counts ;;
--help) usage ;;
*)
	say "unknown argument '$1', try --help" >&2
	exit 2 ;;
esac
