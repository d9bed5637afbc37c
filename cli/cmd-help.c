/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfiomigctl help */
#include "cli.h"

static int run(struct cli *cli, const void *config, char **operands, size_t count)
{
	const struct command *command;

	(void)config;
	if (count == 0) {
		cli_print_help(stdout);
		return CLI_DONE;
	}
	command = cli_find_command(operands[0]);
	if (!command)
		return cli_usage(cli, "unknown command '%s'", operands[0]);
	cli_print_command_help(stdout, command);
	return CLI_DONE;
}

const struct command cmd_help = {
	.name = "help",
	.summary = "this help, or that of a command",
	.usage = "[COMMAND]",
	.details = "Prints what --help prints.",
	.max_operands = 1,
	.operands = COMPLETES_COMMAND,
	.run = run,
};
