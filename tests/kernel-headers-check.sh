#!/bin/sh
# SPDX-License-Identifier: MIT
# Compares the reference of lib/uapi/ (tests/unit/uapi-values.txt) with exported kernel headers. TAP.
#
# usage: kernel-headers-check.sh HEADERS
# HEADERS is what the kernel's headers_install made: the folder that holds linux/vfio.h.
set -eu

if [ $# -ne 1 ] || [ ! -f "$1/linux/vfio.h" ] || [ ! -f "$1/linux/iommufd.h" ]; then
	echo "usage: $0 HEADERS (with linux/vfio.h and linux/iommufd.h in it)" >&2
	exit 2
fi

headers=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${CC:-cc}" -isystem "$headers" -I "$here/unit" -o "$work/print" "$here/unit/uapi-print.c"
"$work/print" >"$work/kernel"

# Structs grow at their end and kernels lack what is newer than they are; everything else must be equal.
awk '
	function number(text,    digits, i, n) {
		digits = tolower(substr(text, 3))
		for (i = 1; i <= length(digits); i++)
			n = n * 16 + index("0123456789abcdef", substr(digits, i, 1)) - 1
		return n
	}
	/^#/ { next }
	FNR == NR { kernel[$1 " " $2] = $3; next }
	{
		name = $1 " " $2
		if (!(name in kernel)) { # uapi-list.h says since when
			printf "# %s is newer than this kernel\n", name
			next
		}
		found = kernel[name]
		count++
		if (found == $3)
			printf "ok %d - %s\n", count, name
		else if ($1 == "size" && number(found) > number($3))
			printf "ok %d - %s grew to %d\n", count, name, number(found)
		else {
			printf "not ok %d - %s is %s, reference %s\n", count, name, found, $3
			failed = 1
		}
		delete kernel[name]
	}
	END {
		for (name in kernel) {
			printf "not ok %d - %s has no reference\n", ++count, name
			failed = 1
		}
		printf "1..%d\n", count
		exit failed
	}
' "$work/kernel" "$here/unit/uapi-values.txt"
