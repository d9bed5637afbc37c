/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Help, made from the tables. */
#include "cli.h"

void cli_print_help(FILE *file)
{
	fprintf(file, "Usage: %s [OPTION...] COMMAND [ARGUMENT...]\n\n", CLI_NAME);
	fputs("Saves, moves and restores the state of VFIO devices.\n\nCommands:\n", file);
	for (size_t i = 0; i < cli_command_count; i++)
		fprintf(file, "  %-10s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
	fputs("\nOptions:\n", file);
	options_print(file, cli_global_options, cli_global_option_count);
	fputs("\nDEVICE    0000:01:00.0, vfio0, the UUID of an mdev (opened, which resets it), fd:N[,iommufd=N...]\n"
	      "          (inherited), scm:PATH[#INDEX] (lent by a holder, see 'hold')\n"
	      "ENDPOINT  PATH, file:PATH, -, fd:N, unix:PATH, unix:@NAME, tcp:HOST:PORT\n\nExit codes:\n",
	      file);
	for (const struct exit_meaning *exit = cli_exits; exit->name; exit++)
		fprintf(file, "  %d%-4s %s\n", exit->code, exit->code == CLI_SIGNAL ? "+N" : "", exit->meaning);
	fprintf(file, "\nSee %s(1), and '%s COMMAND --help' for one command.\n", CLI_NAME, CLI_NAME);
}

void cli_print_command_help(FILE *file, const struct command *command)
{
	fprintf(file, "Usage: %s [OPTION...] %s%s%s\n\n", CLI_NAME, command->name, *command->usage ? " " : "",
		command->usage);
	fprintf(file, "%s\n", command->details);
	if (command->option_count) {
		fputs("\nOptions:\n", file);
		options_print(file, command->options, command->option_count);
	}
	fprintf(file, "\nOptions of every command: '%s --help'.\n", CLI_NAME);
}
