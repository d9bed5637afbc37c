/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Help, made from the tables. */
#include <string.h>

#include "cli.h"

const char *const cli_device_forms[] = {
	"scm:PATH[#INDEX]",
	"fd:N[,KEY=VALUE...]",
	"pidfd:PID:FD[,KEY=VALUE...]",
	NULL,
};

const char *const cli_endpoint_forms[] = {
	"file:PATH",	  "fd:N",	  "unix:PATH",	  "unix:@NAME", "tcp:HOST:PORT",
	"vsock:CID:PORT", "exec:COMMAND", "systemd:NAME", NULL,
};

/* From @column on, and the lines that follow below the first. */
static void print_forms(FILE *file, size_t column, const char *const *forms)
{
	for (; *forms; forms++) {
		const size_t length = strlen(*forms) + 2;

		if (column + length > 100) {
			fputs("\n         ", file);
			column = 9;
		}
		fprintf(file, " %s%s", *forms, forms[1] ? "," : "\n");
		column += length;
	}
}

void cli_print_help(FILE *file)
{
	fprintf(file, "Usage: %s [OPTION...] COMMAND [ARGUMENT...]\n\n", CLI_NAME);
	fputs("Saves, moves and restores the state of VFIO devices.\n\nCommands:\n", file);
	for (size_t i = 0; i < cli_command_count; i++)
		fprintf(file, "  %-10s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
	fputs("\nOptions:\n", file);
	options_print(file, cli_global_options, cli_global_option_count);
	fputs("\nDEVICE    0000:01:00.0, vfio0, the UUID of an mdev (opened, which resets it); lent, inherited, or out "
	      "of\n"
	      "          another process:",
	      file);
	print_forms(file, 26, cli_device_forms);
	fputs("ENDPOINT  PATH, -,", file);
	print_forms(file, 18, cli_endpoint_forms);
	fputs("\nExit codes:\n", file);
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
