#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Build the lab kernel once and keep it: tinyconfig plus kconfig.fragment, from the distribution's
# kernel source package. An entry of the cache holds everything a run needs and no source tree.
# Module sources of this project take no part in it. A lane is a kernel that the cases run on; all of
# them are made of the same fragment and cached by the same rules, each lane by itself.
set -eu

export LC_ALL=C
# The kernel's make takes none of what a caller has set up for a build of its own.
unset MAKEFLAGS MFLAGS MAKELEVEL ARCH CROSS_COMPILE KBUILD_OUTPUT KCFLAGS CC
here=$(cd "$(dirname "$0")" && pwd)
fragment=$here/kconfig.fragment
lane=stable
fetched=
source=${VFIOMIG_LAB_SOURCE:-}
cache=${VFIOMIG_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vfiomig-lab}
jobs=$(nproc)
keep=2
kernel_config=.config
work=

usage() {
	cat <<-END
	Usage: build-kernel.sh [--lane LANE] [--check | --print-dir] [--jobs N]

	Builds the lab kernel unless an intact one is cached, and prints its directory.

	  --lane LANE  stable (default): linux-source-6.12, as installed
	               newest: the newest linux-source of Debian sid, fetched with newest-source.sh;
	               exit status 77 if there is none to be had
	  --check      build nothing; exit 0 if the cached kernel is there and intact, else 1
	  --print-dir  build nothing, check nothing; print where the kernel is or would be
	  --jobs N     compile with N jobs (default: number of CPUs)

	An entry holds vmlinux (stripped, boots by PVH), bzImage, config, release, modules/ (the
	kernel's own), build/ (for external modules: make -C .../build M=...), headers/ (the
	exported UAPI headers) and MANIFEST (sha256 of all of these).

	VFIOMIG_LAB_SOURCE  kernel source tarball, for whichever lane
	VFIOMIG_LAB_SUITES  where newest-source.sh looks, a sources.list
	VFIOMIG_LAB_CACHE   cache directory (default $cache)
	END
}

say() {
	printf 'build-kernel: %s\n' "$*" >&2
}

die() {
	say "$*"
	exit 1
}

# A package's version is cheap to ask; a tarball from elsewhere is known by its content.
source_version() {
	package=$(basename "$source" .tar.xz)
	if [ -n "$fetched" ]; then
		cat "$fetched/version"
	elif [ "$source" = "/usr/src/$package.tar.xz" ] &&
		version=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null); then
		echo "$package $version"
	else
		sha256sum <"$source"
	fi
}

cache_key() {
	{
		source_version
		gcc --version
		cat "$fragment" "$here/build-kernel.sh"
	} | sha256sum | cut -c1-16
}

# An entry is intact when it holds exactly what its manifest lists, unchanged.
manifest() (
	cd "$1"
	find . -type f ! -name MANIFEST -print0 | sort -z | xargs -0 sha256sum
)

intact() {
	[ -f "$1/MANIFEST" ] && manifest "$1" 2>/dev/null | cmp -s - "$1/MANIFEST"
}

check_tools() {
	missing=
	for tool in gcc make flex bison bc rsync xz tar cpio perl strip flock sha256sum; do
		command -v "$tool" >/dev/null || missing="$missing $tool"
	done
	for header in libelf.h openssl/ssl.h; do
		echo "#include <$header>" | gcc -E -x c - >/dev/null 2>&1 ||
			missing="$missing <$header>"
	done
	[ -z "$missing" ] || die "cannot build a kernel, missing:$missing"
}

# olddefconfig silently drops what it cannot satisfy; a lab without an option would lie.
check_config() {
	lost=
	while read -r line; do
		case $line in
		CONFIG_*)
			grep -qxF "$line" "$kernel_config" || lost="$lost ${line%%=*}" ;;
		'# CONFIG_'*' is not set')
			name=${line#\# }
			name=${name%% *}
			! grep -q "^$name=" "$kernel_config" || lost="$lost $name" ;;
		esac
	done <"$fragment"
	[ -z "$lost" ] || die "options of the fragment did not survive:$lost"
}

# Runs in the source tree.
build() {
	make -s tinyconfig >/dev/null
	scripts/kconfig/merge_config.sh -m "$kernel_config" "$fragment" >/dev/null
	make -s olddefconfig
	check_config
	make -s -j"$jobs" bzImage vmlinux modules
}

# Runs in the source tree; $1 is the directory of the new entry.
collect() {
	mkdir -p "$1/modules"
	cp "$kernel_config" "$1/config"
	make -s kernelrelease >"$1/release"
	cp arch/x86/boot/bzImage "$1/bzImage"
	strip -s -o "$1/vmlinux" vmlinux
	while read -r object; do
		cp "${object%.o}.ko" "$1/modules/"
	done <modules.order
	make -s headers_install INSTALL_HDR_PATH="$1/headers-root"
	mv "$1/headers-root/include" "$1/headers"
	rmdir "$1/headers-root"
	# shellcheck disable=SC2016 # the variable is make's
	make -s run-command \
		KBUILD_RUN_COMMAND='${srctree}/scripts/package/install-extmod-build '"$1/build"
	cp "$kernel_config" "$1/build/.config"
	# What is run from the entry must not write into it.
	find "$1" -name __pycache__ -prune -exec rm -rf {} +
}

trim() {
	# Names are ours: hexadecimal keys, so a listing by time is safe to parse.
	# shellcheck disable=SC2012
	ls -1td "$cache"/????????????????/ 2>/dev/null | tail -n "+$((keep + 1))" |
		while read -r old; do
			say "dropping old ${old%/}"
			rm -rf "$old"
		done
	# Left behind by builds that were killed; ours is the only one, we hold the lock.
	rm -rf "$cache"/work.*
}

leave() {
	rc=$?
	if [ "$rc" -ne 0 ] && [ -f "$work/log" ]; then
		tail -n 40 "$work/log" >&2
		say "the kernel was not built"
	fi
	rm -rf "$work"
	exit "$rc"
}

make_entry() {
	check_tools
	rm -rf "$cache"/work.*
	work=$(mktemp -d "$cache/work.XXXXXX")
	trap leave EXIT
	trap 'exit 1' HUP INT TERM
	start=$(date +%s)

	say "unpacking $source"
	mkdir "$work/source" "$work/entry"
	tar -xf "$source" -C "$work/source" --strip-components=1
	cd "$work/source"
	say "compiling with $jobs jobs, some minutes"
	# Not in a condition: that would switch off "set -e" inside them.
	build >"$work/log" 2>&1
	collect "$work/entry" >"$work/log" 2>&1
	cd "$here"
	manifest "$work/entry" >"$work/MANIFEST"
	mv "$work/MANIFEST" "$work/entry/MANIFEST"
	rm -rf "$entry"
	mv "$work/entry" "$entry"
	say "built $(cat "$entry/release") in $(($(date +%s) - start)) s"
	trim
}

mode=build
while [ $# -gt 0 ]; do
	case $1 in
	--check) mode=check ;;
	--print-dir) mode=print ;;
	--lane)
		[ $# -gt 1 ] || die "--lane needs a name"
		lane=$2
		shift ;;
	--jobs)
		[ $# -gt 1 ] || die "--jobs needs a number"
		jobs=$2
		shift ;;
	--help)
		usage
		exit 0 ;;
	*) die "unknown argument '$1', try --help" ;;
	esac
	shift
done

case $lane in
stable)
	source=${source:-/usr/src/linux-source-6.12.tar.xz} ;;
newest)
	# Beside the entries of the other lane, not among them: each lane is trimmed by itself.
	cache=$cache/newest
	if [ -z "$source" ]; then
		fetched=$cache/source
		source=$fetched/source.tar.xz
	fi ;;
*)
	die "no lane '$lane', try --help" ;;
esac

if [ "$mode" = build ]; then
	mkdir -p "$cache"
	exec 9>"$cache/lock"
	flock 9
	[ -z "$fetched" ] || "$here/newest-source.sh" "$fetched"
fi
if [ ! -r "$source" ]; then
	[ -z "$fetched" ] || die "no kernel source was fetched yet, build-kernel.sh --lane newest does it"
	die "no kernel source at $source: install linux-source-6.12 or set VFIOMIG_LAB_SOURCE"
fi
entry=$cache/$(cache_key)

case $mode in
print)
	echo "$entry" ;;
check)
	intact "$entry" ;;
build)
	if intact "$entry"; then
		touch "$entry"
	else
		[ ! -e "$entry" ] || say "$entry is damaged, building it again"
		make_entry
	fi
	echo "$entry" ;;
esac
