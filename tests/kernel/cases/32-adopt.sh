# SPDX-License-Identifier: MIT
# needs: vfm-rawvmm adopt
# A VMM without the library has DMA and interrupts running; examples/adopt.c, handed its descriptors, migrates.
. /lab/lib.sh

# The library opens nothing after adoption: where there is neither /dev nor /sys, it could not.
cat >/tmp/blind <<'END'
#!/bin/sh
exec unshare -m sh -c 'mount -t tmpfs none /dev && mount -t tmpfs none /sys && exec adopt "$@"' adopt "$@"
END
chmod +x /tmp/blind
check "a command run blindly has no devices" unshare -m sh -c \
	'mount -t tmpfs none /dev && mount -t tmpfs none /sys && ! [ -e /dev/iommu ] && ! [ -e /sys/class ]'
lab_edus state_mb=4
diag "edu, in page tables of the kernel's"
merge vfm-rawvmm "$edu1" "$edu2" /tmp/blind
diag "edu, in containers"
merge vfm-rawvmm --type1v2 "$edu1_pci" "$edu2_pci" /tmp/blind

lab_softs
diag "soft, in page tables of the kernel's, in such that track, in containers"
merge vfm-rawvmm "$soft0" "$soft1" /tmp/blind
merge vfm-rawvmm --hwpt "$soft0" "$soft1" /tmp/blind
merge vfm-rawvmm --type1v2 vfiomig_soft.0 vfiomig_soft.1 /tmp/blind
tap_done
