/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfiomigctl hold: keep devices open, so that their state lives, and lend them to whoever saves or restores. */
#include "holder.h"

struct hold_config {
	struct holder_config holder;
};

static const struct option_def options[] = { HOLDER_OPTIONS(hold_config, holder) };

static int run(struct cli *cli, const void *config, char **operands, size_t count)
{
	const struct hold_config *hold = config;
	struct cli_devices devices;
	struct holder *holder = NULL;
	int r = holder_check(cli, &hold->holder);

	if (r == 0)
		r = devices_check(cli, operands, count);
	if (r == 0)
		r = holder_prepare(cli, &hold->holder, &holder);
	if (r)
		return r;
	r = devices_open(cli, operands, count, &devices);
	if (r == 0) {
		r = holder_run(holder, &devices, false);
		devices_close(&devices);
	}
	holder_free(holder);
	return r;
}

const struct command cmd_hold = {
	.name = "hold",
	.summary = "open devices and hold them, lending them on a socket",
	.usage = "DEVICE... [--pass unix:PATH] [--recover] [--ready-fd N] [--exec COMMAND...]",
	.details =
		"Opens devices, gives them an empty address space and holds them in the foreground until SIGINT or\n"
		"SIGTERM; the last close resets them. --pass lends them on a socket that only the same user can use.\n"
		"--exec runs a command that inherits them, told by VFIOMIG_DEVICES=N and VFIOMIG_DEVICE_0=..., and "
		"ends\n"
		"with its exit status.",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.config_size = sizeof(struct hold_config),
	.min_operands = 1,
	.max_operands = VFM_STREAM_MAX_DEVICES,
	.operands = COMPLETES_DEVICE,
	.needs_machine = true,
	.run = run,
};
