/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables everything else is made from: help, parsing, completion, and the test of the manual page. */
#include <string.h>

#include "cli.h"

static const char *const iommus[] = { "auto", "iommufd", "compat", "compat-type1", "type1", "type1v2", NULL };

const struct option_def cli_global_options[] = {
	OPTION(globals, json, FLAG, "json", .help = "one JSON document on standard output"),
	OPTION(globals, json_file, STRING, "json-file", .value = "FILE", .help = "the document to FILE instead",
	       .completes = COMPLETES_FILE),
	OPTION(globals, sim, OPTIONAL, "sim", .value = "SPEC|FILE",
	       .help = "a simulated machine: in FILE, or of devices SPEC", .completes = COMPLETES_FILE),
	OPTION(globals, sim_devices, STRING, "sim-devices", .value = "SPEC",
	       .help = "devices of a machine file that is made now"),
	OPTION(globals, iommu, CHOICE, "iommu", .value = "BACKEND",
	       .help = "address space: auto, iommufd, type1v2, compat, compat-type1, type1", .choices = iommus),
	OPTION(globals, quirks_file, STRING, "quirks-file", .value = "FILE",
	       .help = "what drivers do, in the place of what is known here", .completes = COMPLETES_FILE),
	OPTION(globals, timeout_ns, TIME, "timeout", .value = "TIME",
	       .help = "give up waiting for a peer after TIME (10, 500ms, 2m)"),
	OPTION(globals, progress, FLAG, "progress", .help = "show progress although stderr is no terminal"),
	OPTION(globals, no_progress, FLAG, "no-progress", .help = "show none although it is one"),
	OPTION(globals, quiet, FLAG, "quiet", .letter = 'q', .help = "only what was asked for, warnings and errors"),
	OPTION(globals, verbose, COUNT, "verbose", .letter = 'v', .help = "tell the steps; twice: tell everything"),
	OPTION(globals, dump_commands, FLAG, "dump-commands", .help = "commands, options and exit codes as JSON"),
	OPTION(globals, version, FLAG, "version", .help = "the same as the command version"),
	OPTION(globals, help, FLAG, "help", .letter = 'h', .help = "help, also for a command"),
};

const size_t cli_global_option_count = ARRAY_SIZE(cli_global_options);

const struct command *const cli_commands[] = {
	&cmd_list,    &cmd_show,   &cmd_hold, &cmd_state, &cmd_save,	&cmd_restore, &cmd_copy,
	&cmd_inspect, &cmd_verify, &cmd_iova, &cmd_dirty, &cmd_version, &cmd_help,
};

const size_t cli_command_count = ARRAY_SIZE(cli_commands);

const struct command *cli_find_command(const char *name)
{
	for (size_t i = 0; i < cli_command_count; i++) {
		if (!strcmp(cli_commands[i]->name, name))
			return cli_commands[i];
	}
	return NULL;
}
