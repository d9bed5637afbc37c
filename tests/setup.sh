#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Install what building and testing need on Debian 12, by name, only what is missing. Quick when nothing is.
set -eu

export LC_ALL=C DEBIAN_FRONTEND=noninteractive

build='build-essential meson ninja-build pkg-config python3 libxxhash-dev libjson-c-dev libpci-dev scdoc'
check='check clang clang-format codespell shellcheck valgrind libc6-dbg libc6-dev-i386 git procps util-linux bash zsh'
foreign='gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user'
kernel='linux-source-6.12 flex bison bc libelf-dev libssl-dev rsync xz-utils kmod cpio perl'
machine='qemu-system-x86 busybox-static'

missing_packages() {
	# shellcheck disable=SC2086 # names of packages, separated by blanks
	printf '%s\n' $build $check $foreign $kernel $machine | while read -r package; do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=
		[ "$status" = installed ] || echo "$package"
	done
}

install() {
	apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "$@" </dev/null
}

if ! command -v dpkg-query >/dev/null; then
	echo "setup: not a Debian system; the packages are named in this script" >&2
	exit 1
fi
missing=$(missing_packages | xargs)
if [ -z "$missing" ]; then
	echo "setup: nothing missing"
	exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "setup: packages are missing; run as root:" >&2
	echo "  apt-get update && apt-get install --no-install-recommends $missing" >&2
	exit 1
fi
echo "setup: installing $missing"
# The lists may be absent, or so old that what they name is gone.
# shellcheck disable=SC2086
if ! install $missing; then
	apt-get -q -o DPkg::Lock::Timeout=300 update </dev/null
	install $missing
fi
