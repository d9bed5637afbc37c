#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Each public header compiles first and alone, as C11 and as C++11, without a warning; its structs hide no padding, in
# which a caller's garbage would cross the interface and no later member could be put. TAP.
# Usage: headers.sh INCLUDE_DIR C_COMPILER CXX_COMPILER
set -eu

include=$1
cc=$2
cxx=$3
# shellcheck source=tests/abi/tap.sh
. "$(dirname "$0")/tap.sh"

# what else than 0 and 1 a bool holds is undefined, and what it shares its word with is padding
no_bool() {
	! grep -n '^	bool [a-z_]*;' "$1"
}

cd "$include"
for header in vfiomig.h vfiomig/*.h; do
	# Twice: a header must also bear being included again.
	printf '#include <%s>\n#include <%s>\nextern int alone;\n' "$header" "$header" >"$work/alone.c"
	# shellcheck disable=SC2086 # a compiler may come with arguments
	check "$header as C11" $cc -std=c11 -Wall -Wextra -pedantic -Wundef -Werror -I. -fsyntax-only "$work/alone.c"
	# shellcheck disable=SC2086
	check "$header as C++11" $cxx -x c++ -std=c++11 -Wall -Wextra -pedantic -Wundef -Werror -I. -fsyntax-only \
		"$work/alone.c"
	{
		printf '#if __SIZEOF_POINTER__ == 8\n#pragma GCC diagnostic error "-Wpadded"\n#endif\n'
		printf '#include <%s>\n' "$header"
		# clang lays a struct out, and warns, only when its size is asked for
		sed -n 's/^struct \([a-z_]*\) {.*/extern char laid_out_\1[sizeof(struct \1)];/p' "$header"
	} >"$work/alone.c"
	# shellcheck disable=SC2086
	check "$header hides no padding" $cc -std=c11 -I. -c -o "$work/alone.o" "$work/alone.c"
	check "$header has no bool in a struct" no_bool "$header"
done
echo "1..$number"
[ "$failures" -eq 0 ]
