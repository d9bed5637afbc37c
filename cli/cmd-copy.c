/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfiomigctl copy: device to device on one host, no stream between. */
#include "holder.h"
#include "transfers.h"

struct copy_config {
	struct holder_config holder;
	const char *then;
	bool live;
	bool hold;
	bool force;
};

static const struct option_def options[] = {
	OPTION(copy_config, then, CHOICE, "then", .value = "STATE",
	       .help = "state of DESTINATION after success; without it stop", .choices = then_choices,
	       .completes = COMPLETES_STATE),
	OPTION(copy_config, live, FLAG, "live", .help = "copy while the source runs, where it can (PRE_COPY)"),
	OPTION(copy_config, force, FLAG, "force", .help = "run although the address space is empty"),
	OPTION(copy_config, hold, FLAG, "hold", .help = "go on holding DESTINATION in the foreground"),
	HOLDER_OPTIONS(copy_config, holder),
};

static bool keeps(const struct copy_config *copy)
{
	return copy->hold || copy->holder.pass || copy->holder.exec;
}

static int check(struct cli *cli, const struct copy_config *copy, char **operands)
{
	const uint32_t then = then_state(copy->then);
	int r = holder_check(cli, &copy->holder);

	if (r == 0)
		r = transfer_check_life(cli, &operands[1], 1, keeps(copy));
	if (r == 0 && !copy->force && then != VFM_STATE_UNKNOWN && then != VFM_STATE_STOP)
		r = transfer_check_run_named(cli, &operands[1], 1);
	return r == 0 ? devices_check(cli, operands, 2) : r;
}

static int copy_between(struct cli *cli, const struct copy_config *copy, const struct cli_devices *source,
			const struct cli_devices *target)
{
	struct vfm_transfer_result result = { .size = sizeof(result) };
	VFM_OPTS(vfm_transfer_opts, opts);
	VFM_OPTS(vfm_error, error);
	int r = transfer_check_run(cli, target, then_state(copy->then), copy->force);

	if (r)
		return r;
	transfer_warn_reset(cli, source);
	transfer_prepare(cli, &opts);
	opts.then_state = then_state(copy->then);
	if (copy->live)
		opts.flags |= VFM_TRANSFER_LIVE;
	r = vfm_copy(source->items[0].dev, target->items[0].dev, &opts, &result, &error);
	r = transfer_end(cli, r, &error, &result);
	cli->changed = r == 0;
	if (r == 0)
		transfer_say(cli, "Copied", &result);
	transfer_report_devices(cli, "source", source);
	transfer_report_devices(cli, "destination", target);
	return r;
}

/* The source is let go before its copy is held on, unless both are one loan. */
static int hold_target(struct cli *cli, struct holder *holder, struct cli_devices *devices)
{
	const struct cli_devices view = { .items = &devices->items[1], .count = 1 };
	struct cli_devices target;
	int r;

	cli_tell_now(cli);
	devices_split_last(devices, &target);
	if (target.count == 0)
		return holder_run(holder, &view, true);
	devices_close(devices);
	r = holder_run(holder, &target, true);
	devices_close(&target);
	return r;
}

static int check_count(struct cli *cli, const struct cli_devices *devices, void *user)
{
	(void)user;
	if (devices->count == 2)
		return 0;
	return cli_usage(cli, "copy: one source and one destination; a holder's devices are told apart by #INDEX");
}

static int run(struct cli *cli, const void *config, char **operands, size_t count)
{
	const struct copy_config *copy = config;
	struct cli_devices devices, source, target;
	struct holder *holder = NULL;
	int r = check(cli, copy, operands);

	if (r == 0)
		r = holder_prepare(cli, &copy->holder, &holder);
	if (r)
		return r;
	r = devices_open_checked(cli, operands, count, false, check_count, NULL, &devices);
	if (r) {
		holder_free(holder);
		return r;
	}
	source = (struct cli_devices){ .items = &devices.items[0], .count = 1 };
	target = (struct cli_devices){ .items = &devices.items[1], .count = 1 };
	r = copy_between(cli, copy, &source, &target);
	if (r == 0 && keeps(copy))
		r = hold_target(cli, holder, &devices);
	devices_close(&devices);
	holder_free(holder);
	return r;
}

const struct command cmd_copy = {
	.name = "copy",
	.summary = "copy the state of one device into another on this host",
	.usage = "SOURCE DESTINATION [OPTION...] [--hold] [--pass unix:PATH] [--exec COMMAND...]",
	.details = "Copies device to device, with no stream between. The source ends stopped once the destination has\n"
		   "accepted everything; before that a failure leaves it as it was found. As for restore, somebody has "
		   "to\n"
		   "hold the destination. Two devices of one holder are scm:PATH#0 and scm:PATH#1.",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.config_size = sizeof(struct copy_config),
	.min_operands = 2,
	.max_operands = 2,
	.operands = COMPLETES_DEVICE,
	.needs_machine = true,
	.run = run,
};
