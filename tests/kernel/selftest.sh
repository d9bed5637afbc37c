#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The harness on trial: does the cache keep, mend and refuse what it should, and does a bad case
# fail for the reason it has? Prints TAP. The kernel must have been built.
set -eu

export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
count=0
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# check DESCRIPTION COMMAND...
check() {
	name=$1
	shift
	count=$((count + 1))
	if "$@" >"$work/output" 2>&1; then
		echo "ok $count - $name"
	else
		echo "not ok $count - $name"
		sed 's/^/# /' "$work/output"
		failed=$((failed + 1))
	fi
}

not() {
	! "$@"
}

# A kernel source whose make does next to nothing. $1 is what tells it from others.
fake_source() {
	mkdir -p "$work/fake/scripts/kconfig" "$work/fake/scripts/package" \
		"$work/fake/arch/x86/boot"
	cat >"$work/fake/Makefile" <<-'END'
	.RECIPEPREFIX = >
	srctree := .
	export srctree
	tinyconfig:
	>echo "# nothing" >.config
	olddefconfig:
	>sed -i "/$(LOST)/d" .config
	bzImage vmlinux: modules
	modules:
	>cp /bin/true vmlinux
	>echo image >arch/x86/boot/bzImage
	>echo module >one.ko
	>echo one.o >modules.order
	>echo built >>$(COUNT)
	kernelrelease:
	>@echo 0.0.0
	headers_install:
	>mkdir -p $(INSTALL_HDR_PATH)/include/linux
	run-command:
	>$(KBUILD_RUN_COMMAND)
	END
	echo "# $1" >>"$work/fake/Makefile"
	# shellcheck disable=SC2016 # for the script
	echo 'cat "$3" >>"$2"' >"$work/fake/scripts/kconfig/merge_config.sh"
	# shellcheck disable=SC2016 # for the script
	echo 'mkdir -p "$1"' >"$work/fake/scripts/package/install-extmod-build"
	chmod +x "$work"/fake/scripts/*/*
	tar -C "$work" -cJf "$work/source.tar.xz" fake
}

fake_build() {
	COUNT=$work/count LOST=${LOST:-NOTHING} VFIOMIG_LAB_SOURCE=$work/source.tar.xz \
		VFIOMIG_LAB_CACHE=$work/cache "$here/build-kernel.sh" "$@"
}

built() {
	[ "$(wc -l <"$work/count")" -eq "$1" ]
}

entries() {
	[ "$(find "$work/cache" -mindepth 1 -maxdepth 1 -type d | wc -l)" -eq "$1" ]
}

loses() {
	! LOST=$1 fake_build >"$work/refusal" 2>&1 && grep -q "did not survive: $1\$" "$work/refusal"
}

test_cache() {
	fake_source one
	check "nothing is cached at first" not fake_build --check
	check "a lost option is refused by name" loses CONFIG_NETDEVSIM
	check "and nothing is left of the attempt" entries 0
	check "the kernel builds" fake_build
	entry=$(fake_build --print-dir)
	check "the entry is intact" fake_build --check
	check "it is not built again" fake_build
	check "it was built once" built 1
	echo more >>"$entry/vmlinux"
	check "a damaged file is seen" not fake_build --check
	check "and mended" fake_build
	check "by building" built 2
	touch "$entry/build/stray"
	check "a stray file is seen" not fake_build --check
	fake_build >/dev/null 2>&1
	mkdir "$work/cache/work.killed"
	for other in two three; do
		fake_source "$other"
		fake_build >/dev/null 2>&1
	done
	check "two entries are kept, nothing else" entries 2
	check "the newest is one of them" fake_build --check
}

# A distribution that has linux-source of each of these versions, and later no more of it.
fake_distribution() {
	rm -rf "$work/repo"
	mkdir "$work/repo"
	for version; do
		package=linux-source-$version
		mkdir -p "$work/deb/DEBIAN" "$work/deb/usr/src"
		printf '%s\n' "Package: $package" "Version: $version-1" "Architecture: all" \
			"Maintainer: nobody" "Description: for a test" >"$work/deb/DEBIAN/control"
		fake_source "$version"
		cp "$work/source.tar.xz" "$work/deb/usr/src/$package.tar.xz"
		deb=$work/repo/$package.deb
		dpkg-deb --build "$work/deb" "$deb" >/dev/null
		{
			dpkg-deb -f "$deb"
			echo "Filename: ./$package.deb"
			echo "Size: $(stat -c %s "$deb")"
			echo "SHA256: $(sha256sum "$deb" | cut -d ' ' -f 1)"
			echo
		} >>"$work/repo/Packages"
		rm -rf "$work/deb"
	done
	echo "deb [trusted=yes] file:$work/repo ./" >"$work/suites"
}

fake_newest() {
	COUNT=$work/count LOST=NOTHING VFIOMIG_LAB_SOURCE='' VFIOMIG_LAB_SUITES=$work/suites \
		VFIOMIG_LAB_CACHE=$work/lanes "$here/build-kernel.sh" --lane newest "$@"
}

# newest_is VERSION: the lane was built from that.
newest_is() {
	fake_newest && fake_newest --check &&
		[ "$(cat "$work/lanes/newest/source/version")" = "linux-source-$1 $1-1" ]
}

not_to_be_had() {
	fake_newest && return 1
	[ $? -eq 77 ]
}

a_week_later() {
	touch -d '8 days ago' "$work/lanes/newest/source/version"
}

newest_entries() {
	[ "$(find "$work/lanes/newest" -mindepth 1 -maxdepth 1 -name '????????????????' | wc -l)" -eq "$1" ]
}

test_newest() {
	mkdir -p "$work/lanes/0123456789abcdef"
	echo "deb [trusted=yes] file:$work/nowhere ./" >"$work/suites"
	check "no newest kernel to be had has a status of its own" not_to_be_had
	check "and is not looked for by --check" not fake_newest --check
	fake_distribution 0.9 0.10
	check "the newest is fetched and built" newest_is 0.10
	fake_distribution 0.9 0.10 0.11
	check "it is not looked for again at once" newest_is 0.10
	a_week_later
	check "after a week it is" newest_is 0.11
	rm -rf "$work/repo"
	a_week_later
	check "what was fetched stays when there is no more" newest_is 0.11
	fake_distribution 0.12
	a_week_later
	check "and goes when there is" newest_is 0.12
	check "two entries are kept of the lane" newest_entries 2
	check "the other lane's are not touched" test -d "$work/lanes/0123456789abcdef"
}

# verdict TEXT: the case in $work/case.sh fails, and for this.
verdict() {
	! "$here/run.sh" "$work/case.sh" >"$work/verdict" && grep -q "^FAIL.*  $1\$" "$work/verdict"
}

left_out() {
	! "$here/run.sh" "$work/case.sh" >"$work/verdict" &&
		grep -q '^left out: case is for kernel 99.1' "$work/verdict"
}

# Two cases side by side, one of them good.
each_judged() {
	printf '. /lab/lib.sh\ncheck nothing true\ntap_done\n' >"$work/good.sh"
	printf '. /lab/lib.sh\ncheck nothing false\ntap_done\n' >"$work/bad.sh"
	! "$here/run.sh" --jobs 2 "$work/good.sh" "$work/bad.sh" >"$work/verdict" &&
		grep -q '^PASS good ' "$work/verdict" && grep -q '^FAIL bad ' "$work/verdict" &&
		tail -n 1 "$work/verdict" | grep -q ': 1 passed, 1 failed$'
}

# bad DESCRIPTION VERDICT, the case on stdin.
bad() {
	cat >"$work/case.sh"
	check "$1" verdict "$2"
}

test_run() {
	printf '. /lab/lib.sh\nok lost >/dev/null\nok seen\ntap_done\n' >"$work/case.sh"
	check "a line that the console lost was counted" "$here/run.sh" "$work/case.sh"
	check "cases side by side are judged each by itself" each_judged
	bad "a failed check" failed <<-'END'
	. /lab/lib.sh
	check false false
	tap_done
	END
	bad "no plan" "no plan" <<-'END'
	echo "ok 1"
	END
	bad "a plan not kept" "plan of 2, results 1" <<-'END'
	echo "ok 1"
	echo "1..2"
	END
	bad "an exit status" "exit rc=3" <<-'END'
	echo "ok 1"
	echo "1..1"
	exit 3
	END
	bad "giving up" "bailed out" <<-'END'
	. /lab/lib.sh
	bail "enough"
	END
	bad "a kernel that complains" "the kernel complained" <<-'END'
	. /lab/lib.sh
	echo "WARNING: not really" >/dev/kmsg
	ok fine
	tap_done
	END
	bad "a kernel that dies" "the kernel complained" <<-'END'
	. /lab/lib.sh
	ok fine
	echo c >/proc/sysrq-trigger
	tap_done
	END
	bad "a guest that hangs" "did not end by itself" <<-'END'
	# timeout: 5
	. /lab/lib.sh
	ok fine
	sleep 60
	tap_done
	END
	bad "a device nobody knows" "did not end by itself" <<-'END'
	# devices: edu no-such-device
	. /lab/lib.sh
	tap_done
	END
	printf '# kernel: 99.1\n' >"$work/case.sh"
	check "a case for a later kernel is left out aloud" left_out
	echo "# needs: no-such-thing" >"$work/case.sh"
	check "a case without its binary" not "$here/run.sh" --build-dir "$work" "$work/case.sh"
}

test_cache
test_newest
test_run
echo "1..$count"
[ "$failed" -eq 0 ]
