/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stopping several devices in the order that lets none of them send to one that has stopped already, and starting them.
 */
#include "standstill.h"

/* Others may drive it: the one that stops last would write to the first. */
static bool needs_p2p(const struct standstill *still, size_t index)
{
	return !still->devices->items[index].opened_here && still->devices->count > 1;
}

static const char *obstacle(const struct standstill *still, size_t index)
{
	if (!still->flags[index])
		return still->devices->items[index].opened_here
			       ? NULL
			       : "has no migration states, so that only its holder can make it quiet";
	switch (still->before[index]) {
	case VFM_STATE_RUNNING:
		return needs_p2p(still, index) && !(still->flags[index] & VFM_MIGRATION_P2P)
			       ? "has no P2P states, so that it cannot be stopped together with others"
			       : NULL;
	case VFM_STATE_RUNNING_P2P:
	case VFM_STATE_STOP:
	case VFM_STATE_STOP_COPY:
		return NULL;
	default:
		return "is in a state that this command does not change";
	}
}

const char *standstill_obstacle(struct standstill *still, const struct cli_devices *devices, const char **ret_device)
{
	const char *why = NULL;

	*still = (struct standstill){ .devices = devices };
	for (size_t i = 0; i < devices->count && !why; i++) {
		struct vfm_device *dev = devices->items[i].dev;

		if (vfm_device_migration_flags(dev, &still->flags[i], NULL) < 0)
			still->flags[i] = 0;
		still->before[i] = device_state(dev);
		why = obstacle(still, i);
		*ret_device = vfm_device_name(dev);
	}
	return why;
}

bool standstill_moves(const struct standstill *still, size_t index)
{
	return still->flags[index] &&
	       (still->before[index] == VFM_STATE_RUNNING || still->before[index] == VFM_STATE_RUNNING_P2P);
}

static bool has_p2p(const struct standstill *still, size_t index)
{
	return standstill_moves(still, index) && still->flags[index] & VFM_MIGRATION_P2P;
}

int standstill_begin(struct cli *cli, const struct standstill *still)
{
	const struct cli_devices *devices = still->devices;
	VFM_OPTS(vfm_error, error);
	uint32_t now;
	int r = 0;

	for (size_t i = 0; i < devices->count && r == 0; i++) {
		if (has_p2p(still, i))
			r = vfm_device_set_state(devices->items[i].dev, VFM_STATE_RUNNING_P2P, &now, &error);
	}
	for (size_t i = 0; i < devices->count && r == 0; i++) {
		if (standstill_moves(still, i))
			r = vfm_device_set_state(devices->items[i].dev, VFM_STATE_STOP, &now, &error);
	}
	return r < 0 ? cli_fail(cli, CLI_STAGE_ACT, &error, NULL) : 0;
}

static int fail_back(struct cli *cli, const struct vfm_error *error, int r)
{
	if (r == 0)
		return cli_fail_as(cli, CLI_ATTENTION, error);
	cli_warn(cli, "%s", error->message);
	return CLI_ATTENTION;
}

/* By way of RUNNING_P2P, as they came; what cannot even go there is tried once more. */
int standstill_end(struct cli *cli, const struct standstill *still, int r)
{
	const struct cli_devices *devices = still->devices;
	VFM_OPTS(vfm_error, error);
	uint32_t now;

	for (size_t i = 0; i < devices->count; i++) {
		if (has_p2p(still, i) &&
		    vfm_device_set_state(devices->items[i].dev, VFM_STATE_RUNNING_P2P, &now, &error) < 0)
			cli_warn(cli, "%s", error.message);
	}
	for (size_t i = 0; i < devices->count; i++) {
		if (standstill_moves(still, i) &&
		    vfm_device_set_state(devices->items[i].dev, still->before[i], &now, &error) < 0)
			r = fail_back(cli, &error, r);
	}
	return r;
}
