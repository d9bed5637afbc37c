#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What an ELF file asks of its users: the libraries it needs, its SONAME, a stack that is not executable. TAP.
# Usage: elf.sh FILE SONAME NEEDED... ; SONAME "-" for a program. The C library is always allowed.
set -eu

export LC_ALL=C
file=$1
soname=$2
shift 2
number=0
failures=0

result() {
	number=$((number + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		printf '%s\n' "expected: $2" "found: $3" | tr '\n' ' ' | sed 's/^/#   /'
		echo
		failures=$((failures + 1))
	fi
}

dynamic() {
	readelf -dW "$file" | sed -n "s/.*($1).*\\[\\(.*\\)\\]/\\1/p"
}

expected=$(printf '%s\n' "$@" | sort | xargs)
needed=$(dynamic NEEDED | grep -v -e '^libc\.so' -e '^ld-linux' | sort | xargs)
result "$(basename "$file") needs only what the design says" "$expected" "$needed"
if [ "$soname" != - ]; then
	result "$(basename "$file") has its SONAME" "$soname" "$(dynamic SONAME)"
fi
result "$(basename "$file") has no executable stack" RW "$(readelf -lW "$file" | awk '$1 == "GNU_STACK" { print $7 }')"
result "$(basename "$file") has no text relocations" "" "$(readelf -dW "$file" | grep -o TEXTREL || :)"
echo "1..$number"
[ "$failures" -eq 0 ]
