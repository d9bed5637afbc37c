# SPDX-License-Identifier: MIT
# needs: vfm-rawvmm adopt
# A VMM without the library has DMA and interrupts running; examples/adopt.c, handed its descriptors, migrates.
. /lab/lib.sh

lab_edus state_mb=4
merge vfm-rawvmm "$edu1" "$edu2" adopt
tap_done
