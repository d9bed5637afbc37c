#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What a reviewer should not have to say: format, spelling, shell, and the house rules of check_source.py. TAP.
set -eu

export LC_ALL=C.UTF-8
cd "$(dirname "$0")/.."
number=0
failures=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT

files() {
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git ls-files --cached --others --exclude-standard -- "$@"
	else
		# Tarball: there is nothing to ask, so take all that a build did not make.
		for pattern; do
			find . -path './build*' -prune -o -type f -name "${pattern##*/}" -print
		done | sed 's,^\./,,'
	fi | sort -u | while read -r name; do
		[ ! -f "$name" ] || echo "$name"
	done
}

scripts() {
	files '*' | while read -r name; do
		case $name in
		*.sh) echo "$name" ;;
		*.py | *.c | *.h | *.md | *.scd | LICENSES/*) ;;
		*)
			# A shebang, read without a process for each file of the tree.
			head=
			IFS= read -r head <"$name" 2>/dev/null || :
			case $head in
			'#!'*/sh | '#!'*/bash | '#!'*' sh' | '#!'*' bash') echo "$name" ;;
			esac ;;
		esac
	done
}

check() {
	title=$1
	shift
	number=$((number + 1))
	if "$@" >"$out" 2>&1; then
		echo "ok $number - $title"
	else
		echo "not ok $number - $title"
		sed 's/^/#   /' "$out"
		failures=$((failures + 1))
	fi
}

run_on() {
	list=$1
	shift
	# Names of files in this project hold no white space (first check).
	# shellcheck disable=SC2046
	set -- "$@" $("$list")
	"$@"
}

plain_names() {
	! files '*' | grep '[^A-Za-z0-9._/@+-]'
}

c_files() {
	files '*.c' '*.h'
}

# Where it differs, one line a place.
formatted() {
	! run_on c_files clang-format --dry-run -Werror 2>&1 | grep 'error:'
}

text_files() {
	files '*' | grep -v '^LICENSES/'
}

check "file names need no quoting" plain_names
check "clang-format" formatted
check "shellcheck" run_on scripts shellcheck -x
check "codespell" run_on text_files codespell
python3 tests/check_source.py >"$out" 2>&1 || failures=$((failures + 1))
sed "/^1\\.\\./d" "$out" | awk -v n="$number" '
	/^(not )?ok / { sub(/ok [0-9]+/, "ok " ++n) }
	{ print }
	END { print "1.." n }'
[ "$failures" -eq 0 ]
