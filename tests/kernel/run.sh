#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Run the cases of the kernel lab: real kernel, real drivers, emulated machine. One boot a case, two
# for a pair; cases whose guest has one processor run side by side. See usage() for the options,
# README.md for what a case may say.
set -eu

export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
kmod=$here/../kmod
build_dir=
out_dir=
selected=
list=
verbose=
shell=
lane=stable
jobs=$(nproc)

usage() {
	cat <<-END
	Usage: run.sh [OPTION...] [CASE...]

	Runs all cases under cases/, or those named (a name without .sh, or a path to a script).

	  --lane LANE      which kernel: stable (default) or newest, see build-kernel.sh
	  --build-dir DIR  meson build directory: where binaries that cases need are looked for
	  --out DIR        keep consoles and the files that cases hand out there
	  --case NAME      the same as naming it
	  --jobs N         cases that run side by side, of those that may (default: number of CPUs)
	  --list           list the cases and what they are about
	  --verbose        show everything that the guests say
	  --shell CASE     boot that case's machine with an interactive shell instead

	A case that needs binaries of the project is skipped without --build-dir, and fails if they
	are not found in it. Exit status 0: nothing failed and something ran; 77: the lane cannot be had.
	END
}

say() {
	printf '%s\n' "$*"
}

die() {
	printf 'run: %s\n' "$*" >&2
	exit 2
}

# directive FILE NAME: what the case says after "# NAME:" in its first lines.
directive() {
	sed -n "1,20s/^# $2: *//p" "$1" | head -n 1
}

# The modules are built once for each state of their sources, beside the kernel they fit.
build_kmod() {
	key=$({
		echo "$kernel"
		cat "$kmod"/*.[ch] "$kmod/Kbuild" "$kmod/Makefile"
	} | sha256sum | cut -c1-16)
	store=${build_dir:-$(dirname "$kernel")}/lab-kmod
	modules=$store/$key
	mkdir -p "$store"
	exec 9>"$store/lock"
	flock 9
	[ -e "$modules/.done" ] || make_kmod
	exec 9>&-
}

make_kmod() {
	tmp=$(mktemp -d "$store/tmp.XXXXXX")
	cp "$kmod"/*.[ch] "$kmod/Kbuild" "$kmod/Makefile" "$tmp/"
	if ! make -s -C "$tmp" KDIR="$kernel/build" >"$tmp/log" 2>&1; then
		cat "$tmp/log" >&2
		rm -rf "$tmp"
		die "the test modules did not build"
	fi
	touch "$tmp/.done"
	rm -rf "$modules"
	mv "$tmp" "$modules"
	# shellcheck disable=SC2012 # names are keys
	ls -1td "$store"/????????????????/ | tail -n +7 | xargs -r rm -rf
}

# suits FILE: whether the case is for a kernel as old as this one.
suits() {
	oldest=$(directive "$1" kernel)
	[ "$(printf '%s\n' "$oldest" "$release" | sort -V | head -n 1)" = "$oldest" ]
}

# find_file NAME: a program or file that a case needs.
find_file() {
	if [ -e "$modules/$1" ]; then
		echo "$modules/$1"
	elif [ -e "$here/$1" ]; then
		echo "$here/$1"
	elif [ -n "$build_dir" ]; then
		find "$build_dir" -name "${1##*/}" -type f -perm -100 ! -path '*.p/*' | head -n 1
	fi
}

# boot CASE-FILE WORK-DIRECTORY [VM-OPTION...]: console in WORK/console, QEMU's words in WORK/qemu.
boot() {
	case_file=$1
	work=$2
	shift 2
	# shellcheck disable=SC2046 # names of ours, without blanks
	set -- --out "$work/out.tar" "$@" \
		--memory "$(default "$(directive "$case_file" memory)" 1024)" \
		--cpus "$(default "$(directive "$case_file" cpus)" 1)" \
		--iommu "$(default "$(directive "$case_file" iommu)" intel)" \
		--devices "$(default "$(directive "$case_file" devices)" 'edu*2 nvme')" \
		--timeout "$(default "$(directive "$case_file" timeout)" 120)" \
		--append "$(directive "$case_file" append)" \
		"$kernel/vmlinux" "$work/initramfs" -- $(directive "$case_file" qemu)
	"$here/vm.sh" "$@" >"$work/console" 2>"$work/qemu"
}

default() {
	printf '%s' "${1:-$2}"
}

# pack CASE-FILE WORK-DIRECTORY; says what is missing on stdout.
pack() {
	pack_case=$1
	pack_work=$2
	set --
	for name in $(directive "$pack_case" needs); do
		file=$(find_file "$name")
		if [ -z "$file" ]; then
			echo "$name"
			return
		fi
		set -- "$@" "$file"
	done
	"$here/mkinitramfs.sh" "$pack_work/initramfs" "$pack_case" \
		"$kernel"/modules/*.ko "$modules"/*.ko "$@"
}

# judge WORK-DIRECTORY: "OK NOT-OK VERDICT" of one console. A run that did not end by itself, a
# plan that is not kept and a kernel that complained are failures like a "not ok".
judge() {
	tr -d '\r' <"$1/console" | awk '
		/^ok [0-9]/ { good++ }
		/^not ok [0-9]/ { bad++ }
		/^1\.\.[0-9]+$/ { plan = substr($0, 4); plans++ }
		/^LAB-COUNT [0-9]+ [0-9]+$/ { counted_good = $2; counted_bad = $3; counts++ }
		/^Bail out!/ { verdict = "bailed out" }
		/^LAB-COMPLAINT / || /Kernel panic/ || /^\[ *[0-9.]+\] (BUG:|Oops|WARNING:)/ { complaints++ }
		/^LAB-DONE / { done = 1; rc = $2 }
		END {
			if (counts == 1 && counted_good >= good && counted_bad >= bad) {
				good = counted_good
				bad = counted_bad
			}
			if (complaints)
				verdict = "the kernel complained"
			else if (!done)
				verdict = "did not end by itself"
			else if (verdict == "" && plans != 1)
				verdict = "no plan"
			else if (verdict == "" && plan != good + bad)
				verdict = "plan of " plan ", results " good + bad
			else if (verdict == "" && (bad || rc != "rc=0"))
				verdict = bad ? "failed" : "exit " rc
			print good + 0, bad + 0, verdict
		}'
}

show_failure() {
	tr -d '\r' <"$1/console" | grep -vE '^(ok |1\.\.|# [a-z-]+$)' | tail -n 40 | sed 's/^/    /'
	[ ! -s "$1/qemu" ] || tail -n 5 "$1/qemu" | sed 's/^/    /'
}

# finish NAME SECONDS WORK-DIRECTORY...: account for a case, all its guests together.
finish() {
	name=$1
	seconds=$2
	shift 2
	good=0
	bad=0
	verdict=
	for work; do
		result=$(judge "$work")
		good=$((good + ${result%% *}))
		result=${result#* }
		bad=$((bad + ${result%% *}))
		result=${result#* }
		verdict=${verdict:-$result}
	done
	if [ -z "$verdict" ]; then
		printf 'PASS %-24s %4d ok %4d not ok %6s s\n' "$name" "$good" "$bad" "$seconds"
	else
		printf 'FAIL %-24s %4d ok %4d not ok %6s s  %s\n' "$name" "$good" "$bad" "$seconds" \
			"$verdict"
	fi
	for work; do
		if [ -n "$verbose" ]; then
			tr -d '\r' <"$work/console" | sed 's/^/    /'
		elif [ -n "$verdict" ]; then
			show_failure "$work"
		fi
	done
}

# keep NAME WORK-DIRECTORY: console and files of a guest for --out.
keep() {
	[ -n "$out_dir" ] || return 0
	mkdir -p "$out_dir/$1"
	cp "$2/console" "$2/qemu" "$out_dir/$1/"
	[ ! -s "$2/out.tar" ] || tar -xf "$2/out.tar" -C "$out_dir/$1"
}

# A missing binary of ours is no failure only where nobody said where to look for it.
not_packed() {
	if [ -n "$build_dir" ]; then
		printf 'FAIL %-24s %s not found in %s\n' "$1" "$2" "$build_dir"
	else
		printf 'SKIP %-24s needs %s, give --build-dir\n' "$1" "$2"
	fi
}

# Hundredths, by the kernel's clock: date has no portable fractions.
now() {
	read -r up _ </proc/uptime
	echo "${up%.*}${up#*.}"
}

since() {
	elapsed=$(($(now) - $1))
	printf '%d.%02d' $((elapsed / 100)) $((elapsed % 100))
}

run_single() {
	work=$scratch/$1
	mkdir "$work"
	missing=$(pack "$2" "$work")
	if [ -n "$missing" ]; then
		not_packed "$1" "$missing"
		return
	fi
	start=$(now)
	boot "$2" "$work" || :
	finish "$1" "$(since "$start")" "$work"
	keep "$1" "$work"
	rm -f "$work/initramfs" "$work/out.tar"
}

run_pair() {
	a=$scratch/$1.a
	b=$scratch/$1.b
	mkdir "$a" "$b"
	missing=$(pack "$2" "$a")
	missing=${missing:-$(pack "${2%.a.sh}.b.sh" "$b")}
	if [ -n "$missing" ]; then
		not_packed "$1" "$missing"
		return
	fi
	start=$(now)
	(boot "${2%.a.sh}.b.sh" "$b" --side b --link "$scratch/link") &
	boot "$2" "$a" --side a --link "$scratch/link" || :
	wait $! || :
	rm -f "$scratch/link"
	finish "$1" "$(since "$start")" "$a" "$b"
	keep "$1.a" "$a"
	keep "$1.b" "$b"
	rm -f "$a/initramfs" "$b/initramfs" "$a/out.tar" "$b/out.tar"
}

# shares FILE: whether the case may run beside others: its guest has one processor and measures nothing.
shares() {
	case $1 in
	*.a.sh) return 1 ;;
	esac
	[ -z "$(directive "$1" alone)" ] && [ "$(default "$(directive "$1" cpus)" 1)" -eq 1 ]
}

# run_case FILE: what it prints stays together and is kept, to be counted.
run_case() {
	name=$(basename "${1%.sh}")
	report=$scratch/report.$name
	if ! suits "$1"; then
		say "left out: ${name%.a} is for kernel $(directive "$1" kernel), this is $release"
	else
		case $name in
		*.a) run_pair "${name%.a}" "$1" ;;
		*) run_single "$name" "$1" ;;
		esac
	fi >"$report"
	flock "$scratch/lock" cat "$report"
}

# The first of those that wait.
take() {
	exec 8>"$scratch/lock"
	flock 8
	head -n 1 "$scratch/waiting"
	sed -i 1d "$scratch/waiting"
}

worker() {
	while next=$(take) && [ -n "$next" ]; do
		run_case "$next"
	done
}

# What may take longest begins, or it would be waited for in the end.
run_waiting() {
	sort -s -rn "$scratch/waiting" -o "$scratch/waiting"
	sed -i 's/^[0-9]* //' "$scratch/waiting"
	while [ "$jobs" -gt 0 ]; do
		worker &
		jobs=$((jobs - 1))
	done
	wait
}

# reported VERDICT: how many cases have it.
reported() {
	cat "$scratch"/report.* | grep -c "^$1 " || :
}

# Names of all cases; a pair is one.
all_cases() {
	for file in "$here"/cases/*.sh; do
		name=$(basename "$file" .sh)
		case $name in
		*.b) ;;
		*) echo "${name%.a}" ;;
		esac
	done
}

# case_file NAME: its script; of a pair, that of side a.
case_file() {
	for file in "$1" "$here/cases/$1.sh" "$here/cases/$1.a.sh"; do
		if [ -f "$file" ]; then
			echo "$file"
			return
		fi
	done
	die "no case '$1', try --list"
}

# What a case is about: its first comment after the licence and the directives.
about() {
	sed -n '1,20{/^# [A-Za-z-]*: /d;s/^# //p}' "$1" | head -n 1
}

interactive() {
	script=$scratch/shell.sh
	{
		grep -E '^# [a-z]+:' "$1" || :
		echo '. /lab/lib.sh; cd /tmp; exec setsid cttyhack sh -i'
	} >"$script"
	mkdir "$scratch/shell"
	missing=$(pack "$script" "$scratch/shell")
	[ -z "$missing" ] || die "$missing not found"
	"$here/vm.sh" --interactive --timeout 36000 --iommu "$(default "$(directive "$1" iommu)" intel)" \
		--devices "$(default "$(directive "$1" devices)" 'edu*2 nvme')" \
		--cpus "$(default "$(directive "$1" cpus)" 1)" "$kernel/vmlinux" \
		"$scratch/shell/initramfs"
}

while [ $# -gt 0 ]; do
	case $1 in
	--build-dir)
		build_dir=$(cd "$2" && pwd) || die "no directory '$2'"
		shift ;;
	--out)
		mkdir -p "$2"
		out_dir=$(cd "$2" && pwd)
		shift ;;
	--lane)
		lane=$2
		shift ;;
	--jobs)
		jobs=$2
		shift ;;
	--case)
		selected="$selected $2"
		shift ;;
	--shell)
		shell=$2
		shift ;;
	--list) list=1 ;;
	--verbose) verbose=1 ;;
	--help)
		usage
		exit 0 ;;
	-*) die "unknown option '$1', try --help" ;;
	*) selected="$selected $1" ;;
	esac
	shift
done
selected=${selected:-$(all_cases)}

if [ -n "$list" ]; then
	for name in $selected; do
		printf '%-24s %s\n' "$name" "$(about "$(case_file "$name")")"
	done
	exit 0
fi

kernel=$("$here/build-kernel.sh" --lane "$lane")
release=$(cat "$kernel/release")
build_kmod
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Guests beside us end with us; an interrupt from the terminal does not reach what runs in the background.
trap 'trap "" TERM; kill 0; exit 1' HUP INT TERM

if [ -n "$shell" ]; then
	interactive "$(case_file "$shell")"
	exit
fi

alone=
: >"$scratch/waiting"
for name in $selected; do
	file=$(case_file "$name")
	if shares "$file"; then
		echo "$(default "$(directive "$file" timeout)" 120) $file" >>"$scratch/waiting"
	else
		alone="$alone $file"
	fi
done
for file in $alone; do
	run_case "$file"
done
run_waiting
failed=$(reported FAIL)
skipped=$(reported SKIP)
passed=$(reported PASS)
say "$release: $passed passed, $failed failed$([ "$skipped" -eq 0 ] || echo ", $skipped skipped")"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
