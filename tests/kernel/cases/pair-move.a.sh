# SPDX-License-Identifier: MIT
# needs: vfiomigctl vfm-poke vfm-holder
# timeout: 240
# Two kernels on one network: edu with DMA running and mtty move from one to the other.
. /lab/lib.sh
cd /tmp || exit 1

lab_net
lab_edus
lab_mtty 9b3e9a1e-6f4f-4c44-8b6f-0d3a5c9a0001 2 >/dev/null || bail "no mtty"

# retry COMMAND...: until the other side listens
retry() {
	for _ in $(seq 150); do
		"$@" && return 0
		[ $? -eq 8 ] || return 1
		sleep 0.2
	done
	return 1
}

cat >move.sh <<-END
	vfm-poke /tmp/s.sock is=RUNNING >/dev/null || exit 1
	for _ in \$(seq 150); do
		vfiomigctl --no-progress save scm:/tmp/s.sock --live --to tcp:$lab_peer:7700 && exit 0
		[ \$? -eq 8 ] || exit 1
		sleep 0.2
	done
	exit 1
END
merge vfm-holder --state STOP "$edu1_pci" /tmp/s.sock sh move.sh

vfiomigctl --no-progress hold 9b3e9a1e-6f4f-4c44-8b6f-0d3a5c9a0001 --pass unix:/tmp/m.sock >/dev/null 2>&1 &
for _ in $(seq 50); do
	[ -S /tmp/m.sock ] && break
	sleep 0.1
done
merge vfm-poke /tmp/m.sock send=between-kernels
check "mtty moves" retry vfiomigctl --no-progress save scm:/tmp/m.sock --to "tcp:$lab_peer:7701"
merge vfm-poke /tmp/m.sock is=STOP
tap_done
