# SPDX-License-Identifier: MIT
# needs: vfm-lab
# cpus: 2
# timeout: 300
# What vhost logs beside what a device of vfiomig_soft does: one RAM, writers that never stop, a mirror of it.
. /lab/lib.sh

lab_softs
ip link set lo up || bail "no loopback"
merge vfm-lab vhost-vsock "$soft0"
merge vfm-lab vhost-net "$soft0"
tap_done
