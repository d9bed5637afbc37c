#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Pack an initramfs for one boot of the lab: busybox, our /init and whatever is given.
#
#	mkinitramfs.sh OUTPUT CASE [FILE...]
#
# CASE is the script to run. Of the others, *.ko go to /lab/modules, executables to /lab/bin with
# the shared libraries they need in /lab/lib, everything else to /lab/files.
set -eu

export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)

die() {
	printf 'mkinitramfs: %s\n' "$*" >&2
	exit 1
}

# "name => path (address)" is a library, "path (address)" the program interpreter, which has to be
# where the executable says; whatever else ldd prints (a static one, the vdso) needs nothing.
copy_libraries() {
	ldd "$1" 2>/dev/null | while read -r name arrow path _; do
		case $arrow:$path in
		'=>:'/*) cp -nL "$path" "$root/lab/lib/${name##*/}" ;;
		'=>:not') die "$1 needs $name, which is not found" ;;
		*)
			case $name in
			/*)
				mkdir -p "$root${name%/*}"
				cp -nL "$name" "$root$name" ;;
			esac ;;
		esac
	done
}

[ $# -ge 2 ] || die "usage: mkinitramfs.sh OUTPUT CASE [FILE...]"
output=$1
case=$2
shift 2

busybox=$(command -v busybox) || die "busybox not found: install busybox-static"
! ldd "$busybox" >/dev/null 2>&1 || die "$busybox is not static: install busybox-static"
command -v cpio >/dev/null || die "cpio not found"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/etc" "$root/run" \
	"$root/lab/bin" "$root/lab/lib" "$root/lab/modules" "$root/lab/files"
cp "$busybox" "$root/bin/busybox"
cp "$here/init.sh" "$root/init"
chmod 755 "$root/init"
cp "$here/lib.sh" "$root/lab/lib.sh"
cp "$case" "$root/lab/case.sh"
echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"

for file; do
	case $file in
	*.ko)
		cp "$file" "$root/lab/modules/" ;;
	*)
		if [ -x "$file" ]; then
			cp "$file" "$root/lab/bin/"
			copy_libraries "$file"
		else
			cp "$file" "$root/lab/files/"
		fi ;;
	esac
done

(cd "$root" && find . -print0 | cpio --null --create --format=newc --owner=0:0 --quiet) >"$output"
