/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfiomigctl version */
#include "cli.h"

static int run(struct cli *cli, const void *config, char **operands, size_t count)
{
	(void)config;
	(void)operands;
	(void)count;
	out_text(cli->doc, "version", CLI_NAME, "%s", VFMI_VERSION);
	out_text(cli->doc, "library_version", "libvfiomig", "%s", vfm_version());
	return CLI_DONE;
}

const struct command cmd_version = {
	.name = "version",
	.summary = "versions of the tool and the library",
	.usage = "",
	.details = "Prints the version of the tool and of the library it runs with.",
	.run = run,
};
