/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfiomigctl state: read a device's migration state, or move a lent device to one that starts no data session. */
#include "devices.h"

/* The others are entered by save and restore. */
static const char *const targets[] = { "STOP", "RUNNING", "RUNNING_P2P", NULL };

static void report(struct cli *cli, const char *name, uint32_t state)
{
	out_text(cli->doc, "device", NULL, "%s", name);
	cli_add_state(cli->doc, "state", "State", state);
}

/* Of a device nobody lends, debugfs may tell; opening it to ask would change the answer. */
static int read_outside(struct cli *cli, const char *spec)
{
	struct vfm_candidate candidate = { .size = sizeof(candidate) };
	VFM_OPTS(vfm_error, error);

	if (vfm_find(cli->ctx, spec, &candidate, &error) < 0)
		return cli_fail(cli, CLI_STAGE_OPEN, &error, NULL);
	if (candidate.state == VFM_STATE_UNKNOWN)
		return cli_fail_at(cli, CLI_UNSUPPORTED, candidate.identity.name, "state",
				   "%s: the kernel shows no migration state from outside (CONFIG_VFIO_DEBUGFS), and "
				   "opening the device would reset it; ask by way of its holder (scm:PATH, fd:N)",
				   spec);
	report(cli, candidate.identity.name, candidate.state);
	return CLI_DONE;
}

static int move(struct cli *cli, struct vfm_device *dev, uint32_t target)
{
	VFM_OPTS(vfm_error, error);
	uint32_t before = device_state(dev), now = VFM_STATE_UNKNOWN;
	int r = vfm_device_set_state(dev, target, &now, &error);

	cli_add_state(cli->doc, "state_before", NULL, before);
	report(cli, vfm_device_name(dev), now);
	return r < 0 ? cli_fail(cli, CLI_STAGE_ACT, &error, NULL) : CLI_DONE;
}

static int read_device(struct cli *cli, struct vfm_device *dev)
{
	VFM_OPTS(vfm_error, error);
	uint32_t state;

	if (vfm_device_get_state(dev, &state, &error) < 0)
		return cli_fail(cli, CLI_STAGE_OPEN, &error, NULL);
	report(cli, vfm_device_name(dev), state);
	return CLI_DONE;
}

static int on_lent(struct cli *cli, char *spec, const uint32_t *target)
{
	struct cli_devices devices;
	int r = devices_open(cli, &spec, 1, &devices);

	if (r)
		return r;
	if (devices.count != 1)
		r = cli_usage(cli, "%s: %zu devices are lent there, say which one: %s#0", spec, devices.count, spec);
	else if (target)
		r = move(cli, devices.items[0].dev, *target);
	else
		r = read_device(cli, devices.items[0].dev);
	cli->changed = target && r == 0;
	devices_close(&devices);
	return r;
}

static int parse_target(struct cli *cli, const char *name, uint32_t *ret)
{
	if (vfm_state_from_name(name, ret) < 0)
		return cli_usage(cli, "'%s' is not a migration state", name);
	if (*ret != VFM_STATE_STOP && *ret != VFM_STATE_RUNNING && *ret != VFM_STATE_RUNNING_P2P)
		return cli_usage(cli, "%s is entered by save and restore only, with the data that belongs to it",
				 vfm_state_name(*ret));
	return 0;
}

static int run(struct cli *cli, const void *config, char **operands, size_t count)
{
	uint32_t target;
	int r = count == 2 ? parse_target(cli, operands[1], &target) : 0;

	(void)config;
	if (r)
		return r;
	if (device_is_lent(operands[0]))
		return on_lent(cli, operands[0], count == 2 ? &target : NULL);
	if (count == 2)
		return cli_usage(cli,
				 "%s: opening a device resets it, and closing it does so again, so a state set here "
				 "would not last; name a device that somebody holds (scm:PATH, fd:N)",
				 operands[0]);
	return read_outside(cli, operands[0]);
}

const struct command cmd_state = {
	.name = "state",
	.summary = "read a device's migration state, or move it",
	.usage = "DEVICE [STATE]",
	.details =
		"Prints the migration state of a device, from the device if it is lent, else from debugfs. With STATE\n"
		"(STOP, RUNNING, RUNNING_P2P) moves a lent device there.",
	.min_operands = 1,
	.max_operands = 2,
	.operands = COMPLETES_DEVICE,
	.second_choices = targets,
	.needs_machine = true,
	.run = run,
};
