#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The unit tests on a big-endian machine: cross-built for s390x, run under qemu-user. TAP on stdout by meson's log.
#
# Usage: bigendian.sh WORK_DIR
#
# Needs the packages gcc-s390x-linux-gnu, libc6-dev-s390x-cross and qemu-user. The libraries of the foreign machine are
# unpacked into WORK_DIR/sysroot from the host's package sources, by an apt with a state of its own: that of the host
# never hears of another architecture.
# Exit status: 0 all passed, 1 not, 77 the libraries cannot be had.
set -eu

export LC_ALL=C

source=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
work=$(cd "$1" && pwd)
sysroot=$work/sysroot
libraries='libxxhash-dev libxxhash0 check libsubunit-dev libsubunit0'

# Not among them: what asks the emulator for more than it has. qemu-user swaps the bytes of an eventfd's count on some
# of its descriptors only, keeps signals of its own unblocked, and answers unknown system calls with ENOSYS.
tests='test_stream test_stream_damage test_stream_records test_stream_order test_inspect test_match test_fsm test_wire
	test_uapi test_error test_describe test_discover test_lend_wire test_lend_place test_borrow test_config_record
	test_config test_vfio_caps test_device test_device_irq test_device_region test_device_state test_device_sim
	test_iommu test_assign test_session test_session_io test_source test_transfer test_transfer_damage
	test_handover test_endpoint test_sim test_sim_profiles
	test_bitmap test_bitmap_model test_dma_ranges'

missing() {
	echo "bigendian: $1" >&2
	exit 77
}

foreign_apt() {
	apt-get -q -o Dir::State::lists="$work/apt/lists" -o Dir::State::status="$work/apt/status" \
		-o Dir::Cache="$work/apt" \
		-o APT::Architecture=s390x -o APT::Architectures=s390x -o APT::Sandbox::User= "$@" </dev/null
}

fetch_libraries() {
	mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial"
	: >"$work/apt/status"
	# shellcheck disable=SC2086 # names of packages, separated by blanks
	(cd "$work/apt" && foreign_apt update && foreign_apt download $libraries) >"$work/fetch.log" 2>&1 ||
		missing "the foreign libraries cannot be fetched, see $work/fetch.log"
	rm -rf "$sysroot.new"
	mkdir "$sysroot.new"
	for package in "$work"/apt/*_s390x.deb; do
		dpkg -x "$package" "$sysroot.new"
	done
	mv "$sysroot.new" "$sysroot"
}

for tool in s390x-linux-gnu-gcc qemu-s390x dpkg apt-get; do
	command -v "$tool" >/dev/null || { echo "bigendian: $tool is not installed" >&2 && exit 1; }
done
[ -d "$sysroot" ] || fetch_libraries

printf "[constants]\nsysroot = '%s'\n" "$sysroot" >"$work/sysroot.ini"
[ -f "$work/build/build.ninja" ] ||
	meson setup --cross-file "$work/sysroot.ini" --cross-file "$source/tests/cross/s390x.ini" --werror \
		-Dtests=enabled -Dcli=disabled -Dcompletions=disabled -Dman=disabled -Dexamples=disabled \
		"$work/build" "$source" >"$work/setup.log" || { cat "$work/setup.log" && exit 1; }
ninja -C "$work/build" >"$work/build.log" || { tail -n 40 "$work/build.log" && exit 1; }

# Emulated, everything takes its time.
export CK_TIMEOUT_MULTIPLIER=20
# shellcheck disable=SC2086 # names of tests, separated by blanks
meson test -C "$work/build" --no-rebuild -t 10 $tests
