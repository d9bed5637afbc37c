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
		OPTION(config, field.ready_fd, DESCRIPTOR, "ready-fd", .value = "N",                                   \
		       .help = "write a line to descriptor N once the devices are held"),                              \
		OPTION(config, field.exec, REST, "exec", .value = "COMMAND...",                                        \
		       .help = "run a command that inherits the devices, end with it")

/* Mistakes that can be told before anything is opened. Return: 0 or CLI_USAGE. */
int holder_check(struct cli *cli, const struct holder_config *config);

struct holder;

/*
 * What may fail is done and looked at before any device is touched: the socket is there, the command can be executed.
 * Return: 0 or an exit code, told. holder_free(*ret).
 */
int holder_prepare(struct cli *cli, const struct holder_config *config, struct holder **ret);

/*
 * Once. @loaded: the devices hold what somebody wants to keep, so a failure does not end the holding of those opened
 * here; it is told and its code, CLI_ATTENTION, is kept for the end. Return: the exit code of the run.
 */
int holder_run(struct holder *holder, const struct cli_devices *devices, bool loaded);

void holder_free(struct holder *holder); /* NULL is fine */

/* A handover in doubt: both ends stay alive, holding stopped devices, until somebody ends this one. */
int holder_wait_in_doubt(struct cli *cli);

#endif
