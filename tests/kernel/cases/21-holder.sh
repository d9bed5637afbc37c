# SPDX-License-Identifier: MIT
# needs: vfiomigctl vfm-holder vfm-poke
# timeout: 300
# A holder with DMA running lends; the tool succeeds, is interrupted, is killed: the holder goes on.
. /lab/lib.sh
cd /tmp || exit 1

lab_edus

diag "the tool saves"
merge vfm-holder "$edu1_pci" /tmp/s.sock vfiomigctl --no-progress save scm:/tmp/s.sock --to ok.vfm --live
check "what it saved is whole" vfiomigctl verify ok.vfm

# A reader that takes 64 KiB and then nothing more stops the tool in the middle of STOP_COPY.
cat >interrupted.sh <<-'END'
	mkfifo fifo
	vfiomigctl --no-progress save scm:/tmp/s.sock --to fifo &
	exec 7<fifo
	head -c 65536 <&7 >/dev/null
	kill -s "$1" $!
	wait $!
END
diag "SIGINT: the tool puts the device back"
merge vfm-holder --exit 130 --state RUNNING "$edu1_pci" /tmp/s.sock sh interrupted.sh INT
rm -f fifo
diag "SIGKILL: the holder finds STOP_COPY"
merge vfm-holder --exit 137 --state STOP_COPY "$edu1_pci" /tmp/s.sock sh interrupted.sh KILL
rm -f fifo

diag "a move by unix socket while DMA runs: it goes on at the destination in other memory"
vfiomigctl restore "$edu2_pci" --from unix:/tmp/c.sock --exec \
	vfm-poke env is=STOP map state=RUNNING pumping state=STOP >>peer.out 2>&1 &
peer=$!
lab_wait peer.out listening
merge vfm-holder --state STOP "$edu1_pci" /tmp/s.sock \
	vfiomigctl --no-progress save scm:/tmp/s.sock --to unix:/tmp/c.sock --live
wait $peer
is "restored" $? 0
merge cat peer.out
tap_done
