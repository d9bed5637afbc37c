/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Holding devices in the foreground: lending them, running a command with them, until a signal or its end. */
#ifndef VFIOMIGCTL_HOLDER_H
#define VFIOMIGCTL_HOLDER_H

#include "devices.h"

struct holder_config {
	const char *pass;
	char **exec;
	uint64_t ready_fd;
	bool recover;
};

/* Entries of an option table; --exec takes the rest of the line, so it stands last. */
#define HOLDER_OPTIONS(config, field)                                                                                  \
	OPTION(config, field.pass, STRING, "pass", .value = "unix:PATH",                                               \
	       .help = "lend the devices on this socket (one borrower at a time)"),                                    \
		OPTION(config, field.recover, FLAG, "recover",                                                         \
		       .help = "after a borrower died, go back to the state before the loan"),                         \
		OPTION(config, field.ready_fd, NUMBER, "ready-fd", .value = "N",                                       \
		       .help = "write a line to descriptor N once the devices are held"),                              \
		OPTION(config, field.exec, REST, "exec", .value = "COMMAND...",                                        \
		       .help = "run a command that inherits the devices, end with it")

/* Mistakes that can be told before anything is opened. Return: 0 or CLI_USAGE. */
int holder_check(struct cli *cli, const struct holder_config *config);

/* Return: the exit code of the run. */
int holder_run(struct cli *cli, const struct cli_devices *devices, const struct holder_config *config);

/* A handover in doubt: both ends stay alive, holding stopped devices, until somebody ends this one. */
int holder_wait_in_doubt(struct cli *cli);

#endif
