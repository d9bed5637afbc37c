#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The project's libraries share what is private to them, so ld.so must start nothing that mixes two versions. TAP.
# Usage: mixture.sh CORE PRIVATE_NODE PROGRAM LIBRARY... ; PROGRAM is linked with CORE and each LIBRARY
set -eu

export LC_ALL=C
core=$1
node=$2
program=$3
shift 3
# shellcheck source=tests/abi/tap.sh
. "$(dirname "$0")/tap.sh"

needs_node() {
	readelf -VW "$1" | grep "Name: $node "
}

# Found by its SONAME before any run path is looked at.
runs_with() {
	LD_PRELOAD=$1 "$program" version
}

refuses() {
	! runs_with "$1" && LD_PRELOAD=$1 "$program" version 2>&1 | grep "version .$node. not found"
}

for library in "$@"; do
	check "$(basename "$library") needs $node" needs_node "$library"
done
cp "$core" "$work/same.so"
sed "s/$node/$(echo "$node" | tr 0-9 1-90)/g" "$core" >"$work/other.so"
check "libraries of one version run" runs_with "$work/same.so"
check "a core of another version is refused" refuses "$work/other.so"
echo "1..$number"
[ "$failures" -eq 0 ]
