/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices put into STOP for a moment, all together, and back into the states they were found in. */
#ifndef VFIOMIGCTL_STANDSTILL_H
#define VFIOMIGCTL_STANDSTILL_H

#include "devices.h"

/* @flags: of migration, 0 for one without states. */
struct standstill {
	const struct cli_devices *devices;
	uint32_t before[VFM_STREAM_MAX_DEVICES];
	uint32_t flags[VFM_STREAM_MAX_DEVICES];
};

/*
 * Looks at the devices. Return: NULL, or why one of them, *ret_device, cannot be stopped: words that follow its name.
 * One without migration states that was opened here need not be: it has been reset, and nobody drives it.
 */
const char *standstill_obstacle(struct standstill *still, const struct cli_devices *devices, const char **ret_device);

/* After no obstacle was found. Return: 0 or an exit code, told; standstill_end() in any case. */
int standstill_begin(struct cli *cli, const struct standstill *still);

/* Return: @r, or CLI_ATTENTION, told, if a device does not go back. */
int standstill_end(struct cli *cli, const struct standstill *still, int r);

/* Whether device @index is one that is stopped: it runs. */
bool standstill_moves(const struct standstill *still, size_t index);

#endif
