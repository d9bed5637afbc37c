#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Fetch the newest kernel source package of the distribution, for the lane "newest".
#
#	newest-source.sh DIR
#
# DIR then holds source.tar.xz and version, which names the package. apt is used with lists, state and
# cache of its own: what the machine has and may install is neither read nor changed, and root is not
# needed. Where to look is one of this machine's own mirrors, or the file $VFIOMIG_LAB_SUITES in the
# form of a sources.list. What was asked for within a week is not asked for again.
# Exit status 77: there is none to be had.
set -eu

export LC_ALL=C
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
# The distribution's rolling suite, else what it builds for its stable one.
suites='sid stable-backports'
work=

say() {
	printf 'newest-source: %s\n' "$*" >&2
}

die() {
	say "$*"
	exit 1
}

# isolated TOOL ARGUMENT...: one of apt's tools in $work. The machine's configuration files remain: a
# proxy may be named there.
isolated() {
	tool=$1
	shift
	timeout -k 10 600 "$tool" -q \
		-o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
		-o Dir::State="$work/state" -o Dir::State::status=/dev/null -o Dir::Cache="$work/cache" \
		-o Acquire::Languages=none -o Acquire::Retries=1 -o Acquire::http::Timeout=20 \
		-o APT::Sandbox::User=root "$@" </dev/null
}

# The first of the machine's mirrors of Debian itself. Without package lists only its address tells.
mirror() {
	# shellcheck disable=SC2016 # apt's own
	apt-get indextargets --format '$(LABEL)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		grep -E '^(Debian\|main\|.*|[^|]*\|main\|.*/debian/)$' | sed 's/.*|//' | head -n 1
}

# look LINE...: the newest package that these lines of a sources.list lead to, in $package.
look() {
	printf '%s\n' "$@" >"$work/sources.list"
	isolated apt-get update >"$work/log" 2>&1 || return 1
	package=$(isolated apt-cache search --names-only '^linux-source-[0-9.]*$' | cut -d ' ' -f 1 |
		sort -V | tail -n 1)
	[ -n "$package" ]
}

look_everywhere() {
	if [ -n "${VFIOMIG_LAB_SUITES:-}" ]; then
		look "$(cat "$VFIOMIG_LAB_SUITES")"
		return
	fi
	uri=$(mirror)
	[ -n "$uri" ] || return 1
	option=
	[ ! -e "$keyring" ] || option="[signed-by=$keyring] "
	for suite in $suites; do
		if look "deb $option$uri $suite main"; then
			return
		fi
	done
	return 1
}

fetch() {
	say "fetching $1"
	cd "$work"
	isolated apt-get download "$package" >"$work/log" 2>&1 || return 1
	dpkg-deb -x "$package"_*.deb tree || return 1
	mv "tree/usr/src/$package.tar.xz" "$dir/source.tar.xz.new" || return 1
	cd - >/dev/null
	# In this order, a tarball never goes by the name of another.
	rm -f "$dir/version"
	mv "$dir/source.tar.xz.new" "$dir/source.tar.xz"
	echo "$1" >"$dir/version"
}

leave() {
	rc=$?
	rm -rf "$work"
	exit "$rc"
}

# not_to_be_had REASON: what was fetched earlier will do.
not_to_be_had() {
	say "$1"
	[ ! -s "$work/log" ] || tail -n 3 "$work/log" >&2
	[ -s "$dir/version" ] || exit 77
	say "staying with $(cat "$dir/version")"
	exit 0
}

[ $# -eq 1 ] || die "usage: newest-source.sh DIR"
mkdir -p "$1"
dir=$(cd "$1" && pwd)
[ -z "$(find "$dir/version" -mtime -7 2>/dev/null)" ] || exit 0

# Left behind by one that was killed; the caller sees to it that there is no other.
rm -rf "$dir"/work.*
work=$(mktemp -d "$dir/work.XXXXXX")
trap leave EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
command -v apt-get >/dev/null || not_to_be_had "no apt here to ask for a newer kernel"
look_everywhere || not_to_be_had "no kernel source found on the distribution's mirror"
found="$package $(isolated apt-cache show --no-all-versions "$package" | sed -n 's/^Version: //p')"
if [ "$found" = "$(cat "$dir/version" 2>/dev/null)" ]; then
	touch "$dir/version"
else
	fetch "$found" || not_to_be_had "$found cannot be fetched"
fi
