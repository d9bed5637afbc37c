# SPDX-License-Identifier: MIT
# needs: vfm-lab
# timeout: 300
# alone: it measures
# What asking for dirty pages costs; the processor is emulated, so the figures compare with each other only.
. /lab/lib.sh

lab_softs
merge vfm-lab cost "$soft0"
tap_done
