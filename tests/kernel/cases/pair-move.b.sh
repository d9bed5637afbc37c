# SPDX-License-Identifier: MIT
# needs: vfiomigctl vfm-poke
# timeout: 240
# The destination of pair-move.
. /lab/lib.sh
cd /tmp || exit 1

lab_net
lab_edus
lab_mtty 9b3e9a1e-6f4f-4c44-8b6f-0d3a5c9a0002 2 >/dev/null || bail "no mtty"
vfiomigctl --no-progress restore "$edu1_pci" --from tcp:0.0.0.0:7700 --exec \
	vfm-poke env is=STOP map state=RUNNING pumping is=RUNNING state=STOP >peer.out
is "edu arrived" $? 0
merge cat peer.out
vfiomigctl --no-progress restore 9b3e9a1e-6f4f-4c44-8b6f-0d3a5c9a0002 --from tcp:0.0.0.0:7701 --exec \
	vfm-poke env is=STOP state=RUNNING expect=between-kernels >peer.out
is "mtty arrived" $? 0
merge cat peer.out
tap_done
