# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# Sourced by the scripts here: check TITLE COMMAND... prints a line of TAP; $work is a directory of its own.
number=0
failures=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check() {
	title=$1
	shift
	number=$((number + 1))
	if "$@" >"$work/out" 2>&1; then
		echo "ok $number - $title"
	else
		echo "not ok $number - $title"
		sed 's/^/# /' "$work/out"
		failures=$((failures + 1))
	fi
}
