# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# For the cases, sourced in the guest: TAP and the devices of the lab.

tap_count=0
tap_failed=0

diag() {
	printf '# %s\n' "$*"
}

ok() {
	tap_count=$((tap_count + 1))
	printf 'ok %d - %s\n' "$tap_count" "$*"
}

not_ok() {
	tap_count=$((tap_count + 1))
	tap_failed=$((tap_failed + 1))
	printf 'not ok %d - %s\n' "$tap_count" "$*"
}

# check DESCRIPTION COMMAND...: the command succeeds; what it says is shown if it does not.
check() {
	check_name=$1
	shift
	if "$@" >/tmp/check.out 2>&1; then
		ok "$check_name"
	else
		check_rc=$?
		not_ok "$check_name"
		diag "exit $check_rc of: $*"
		sed 's/^/# | /' /tmp/check.out
	fi
}

# is DESCRIPTION ACTUAL EXPECTED
is() {
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1"
		diag "got '$2', expected '$3'"
	fi
}

# merge COMMAND...: run a program that prints TAP itself, numbering its results among ours.
merge() {
	mkfifo /tmp/merge
	# A command in the background would lose our stdin.
	{ "$@" <&3 3<&- >/tmp/merge & } 3<&0
	while IFS= read -r line; do
		case $line in
		'ok '*'# SKIP'*) ;; # has not passed
		'ok '* | 'not ok '*)
			text=${line#*ok }
			number=${text%% *}
			text=${text#"$number"}
			case $line in
			ok*) ok "${text# - }" ;;
			*) not_ok "${text# - }" ;;
			esac ;;
		[0-9]*..[0-9]*) ;;
		*) printf '%s\n' "$line" ;;
		esac
	done </tmp/merge
	rm /tmp/merge
	wait $! || not_ok "$* exits with $?"
}

# Every case ends with this: the plan, what was counted here (the emulated console has lost a line on a busy machine),
# and success only if nothing failed.
tap_done() {
	printf '1..%d\n' "$tap_count"
	printf 'LAB-COUNT %d %d\n' "$((tap_count - tap_failed))" "$tap_failed"
	[ "$tap_failed" -eq 0 ]
	exit
}

bail() {
	printf 'Bail out! %s\n' "$*"
	exit 1
}

# lab_wait FILE TEXT: until a line with TEXT has come.
lab_wait() {
	for _ in $(seq 300); do
		! grep -q "$2" "$1" 2>/dev/null || return 0
		sleep 0.1
	done
	diag "'$2' never came in $1"
	return 1
}

# lab_wait_socket SOCKET: until somebody has bound it.
lab_wait_socket() {
	for _ in $(seq 300); do
		[ ! -S "$1" ] || return 0
		sleep 0.1
	done
	diag "nobody listens on $1"
	return 1
}

# lab_module NAME [PARAMETER=VALUE...]: load one of the modules brought along.
lab_module() {
	module=$1
	shift
	[ ! -d "/sys/module/$module" ] || return 0
	insmod "/lab/modules/$module.ko" "$@" || bail "cannot load $module"
}

# lab_pci VENDOR:DEVICE: addresses of all such devices.
lab_pci() {
	for dev in /sys/bus/pci/devices/*; do
		[ "$(cat "$dev/vendor"):$(cat "$dev/device")" != "0x${1%:*}:0x${1#*:}" ] ||
			echo "${dev##*/}"
	done
}

# lab_at PLACE: addresses of the devices at that place of the case's "devices" line, counted from 1.
lab_at() {
	lab_bus=$(printf '0000:%02x:' "$1")
	for dev in "/sys/bus/pci/devices/$lab_bus"*; do
		[ ! -e "$dev" ] || echo "${dev##*/}"
	done
}

# lab_group ADDRESS: number of its IOMMU group.
lab_group() {
	basename "$(readlink "/sys/bus/pci/devices/$1/iommu_group")"
}

# lab_vfs ADDRESS N: let the device, whatever driver it has, have N virtual functions without a driver
# of their own choice; prints their addresses. 0 takes them away. While it has them the device is not
# reset when vfio-pci opens it: QEMU's NVMe would lose them and not say so.
lab_vfs() {
	case $2 in
	0) echo default ;;
	*) echo ;;
	esac >"/sys/bus/pci/devices/$1/reset_method"
	echo 1 >/sys/module/vfio_pci/parameters/enable_sriov
	echo 0 >"/sys/bus/pci/devices/$1/sriov_drivers_autoprobe"
	echo "$2" >"/sys/bus/pci/devices/$1/sriov_numvfs" || return 1
	for dev in "/sys/bus/pci/devices/$1"/virtfn*; do
		[ ! -e "$dev" ] || basename "$(readlink "$dev")"
	done
}

# lab_bind ADDRESS DRIVER: let the driver have the device, whoever had it before.
lab_bind() {
	dev=/sys/bus/pci/devices/$1
	[ ! -e "$dev/driver" ] || echo "$1" >"$dev/driver/unbind"
	echo "$2" >"$dev/driver_override"
	echo "$1" >/sys/bus/pci/drivers_probe
	[ "$(basename "$(readlink "$dev/driver")")" = "$2" ]
}

# lab_cdev SYSFS-DIRECTORY: the device's node under /dev/vfio/devices.
lab_cdev() {
	for node in "$1"/vfio-dev/vfio*/dev; do
		[ -e "$node" ] || return 1
		node=${node%/dev}
		echo "/dev/vfio/devices/${node##*/}"
	done
}

# lab_edus [PARAMETER=VALUE...]: bring up all edu devices; their nodes come in $edu1, $edu2, their
# addresses in $edu1_pci, $edu2_pci.
lab_edus() {
	lab_module vfiomig_edu "$@"
	n=0
	for address in $(lab_pci 1234:11e8); do
		n=$((n + 1))
		lab_bind "$address" vfiomig_edu || bail "cannot bind $address to vfiomig_edu"
		eval "edu${n}_pci=$address"
		eval "edu$n=\$(lab_cdev /sys/bus/pci/devices/$address)"
	done
	[ "$n" -gt 0 ] || bail "the machine has no edu device"
}

# lab_edu_param NAME VALUE: a parameter of vfiomig_edu, see tests/kmod/vfiomig_edu.h.
lab_edu_param() {
	echo "$2" >"/sys/module/vfiomig_edu/parameters/$1"
}

# lab_softs [PARAMETER=VALUE...]: bring up the devices of vfiomig_soft; their nodes come in $soft0, $soft1, as its
# manual tests/kmod/vfiomig_soft.h counts them.
lab_softs() {
	lab_module vfiomig_soft "$@"
	n=0
	while [ -e "/sys/bus/platform/devices/vfiomig_soft.$n" ]; do
		eval "soft$n=\$(lab_cdev /sys/bus/platform/devices/vfiomig_soft.$n)"
		n=$((n + 1))
	done
}

# lab_soft_knob N NAME VALUE: a knob of that device.
lab_soft_knob() {
	echo "$3" >"/sys/bus/platform/devices/vfiomig_soft.$1/knobs/$2"
}

# lab_mtty UUID [PORTS]: make an mtty device with 1 or 2 ports; prints its node.
lab_mtty() {
	lab_module mdev
	lab_module mtty
	echo "$1" >"/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-${2:-1}/create" ||
		return 1
	lab_cdev "/sys/bus/mdev/devices/$1"
}

# lab_net: bring up the link between the two guests of a pair; $lab_me and $lab_peer are addresses.
lab_net() {
	for lab_side in a b; do
		grep -q "lab.side=$lab_side" /proc/cmdline && break
	done
	case $lab_side in
	a) lab_me=10.66.0.1 lab_peer=10.66.0.2 ;;
	b) lab_me=10.66.0.2 lab_peer=10.66.0.1 ;;
	esac
	if ! ip addr add "$lab_me/24" dev eth0 || ! ip link set eth0 up; then
		bail "no network"
	fi
	# The other side may boot more slowly.
	for _ in $(seq 100); do
		ping -c 1 -w 1 "$lab_peer" >/dev/null 2>&1 && return 0
		sleep 0.1
	done
	bail "no answer from $lab_peer"
}
