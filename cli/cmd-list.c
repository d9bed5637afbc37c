/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfiomigctl list: what sysfs shows of the devices bound to VFIO drivers; opens none. */
#include "identity.h"

static int add_candidate(void *user, const struct vfm_candidate *candidate)
{
	identity_add_candidate(user, candidate, true);
	return 0;
}

static int run(struct cli *cli, const void *config, char **operands, size_t count)
{
	struct out_node *devices = out_array(cli->doc, "devices", "Devices");
	VFM_OPTS(vfm_error, error);
	int r = vfm_discover(cli->ctx, add_candidate, devices, &error);

	(void)config;
	(void)operands;
	(void)count;
	if (r < 0)
		return cli_fail(cli, CLI_STAGE_OPEN, &error, NULL);
	if (out_is_empty(devices))
		out_say(cli->doc, "No device is bound to a VFIO driver.");
	return CLI_DONE;
}

const struct command cmd_list = {
	.name = "list",
	.summary = "VFIO devices, their drivers, can they migrate",
	.usage = "",
	.details = "Lists the devices bound to VFIO drivers, as sysfs and debugfs show them. Opens\n"
		   "none of them. STATE and MIGRATES are unknown where the kernel has no CONFIG_VFIO_DEBUGFS.",
	.needs_machine = true,
	.run = run,
};
