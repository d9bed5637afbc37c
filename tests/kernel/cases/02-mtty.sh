# SPDX-License-Identifier: MIT
# needs: mtty_probe
# The kernel's own sample device, as a second opinion on the states.
. /lab/lib.sh

mtty1=$(lab_mtty 9b3e9a1e-6f4f-4c44-8b6f-0d3a5c9a0001 2) || bail "no mtty"
mtty2=$(lab_mtty 9b3e9a1e-6f4f-4c44-8b6f-0d3a5c9a0002 2) || bail "no mtty"
merge mtty_probe "$mtty1" "$mtty2"
tap_done
