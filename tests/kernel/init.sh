#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: MIT
#
# /init of a lab guest: make the system usable, run the case, report, power off.

/bin/busybox --install -s /bin
export PATH=/lab/bin:/bin HOME=/ LD_LIBRARY_PATH=/lab/lib LAB_OUT=/tmp/out

mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t debugfs debug /sys/kernel/debug
mount -t tmpfs tmp /tmp
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t devpts pts /dev/pts
mkdir -p "$LAB_OUT"
ip link set lo up
# A task that hangs ends the run well before the host's patience does.
echo 30 >/proc/sys/kernel/hung_task_timeout_secs
echo 1 >/proc/sys/kernel/hung_task_panic

cd /tmp || exit 1
sh /lab/case.sh
rc=$?

# What the kernel says when it finds a fault in itself or in our modules.
fault='BUG:|WARNING:|Oops|general protection|KASAN|INFO: (task|rcu|possible|suspicious|trying)'
fault="$fault|possible (circular|recursive) locking|kmemleak: [1-9]"
dmesg >/tmp/dmesg
complaints=$(grep -cE "$fault" /tmp/dmesg)
if [ "$complaints" -gt 0 ]; then
	grep -m 1 -A 40 -E "$fault" /tmp/dmesg | sed 's/^/LAB-COMPLAINT /'
	cp /tmp/dmesg "$LAB_OUT"
fi

# Files of the case leave through the virtio port, if there is one.
if [ -n "$(ls -A "$LAB_OUT")" ]; then
	for name in /sys/class/virtio-ports/*/name; do
		[ "$(cat "$name" 2>/dev/null)" = lab.out ] || continue
		port=${name%/name}
		tar -C "$LAB_OUT" -cf "/dev/${port##*/}" .
	done
fi

read -r uptime _ </proc/uptime
echo "LAB-DONE rc=$rc complaints=$complaints uptime=$uptime"
sync
poweroff -f
