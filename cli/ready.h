/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Readiness, for whoever waits for it: --ready-fd N, --listening-fd N and the service manager. */
#ifndef VFIOMIGCTL_READY_H
#define VFIOMIGCTL_READY_H

#include "cli.h"

/* @fd: of @option, 0 for none. No command inherits it. Return: 0 or CLI_USAGE. */
int ready_check(struct cli *cli, const char *option, uint64_t fd);

/* Each line has a descriptor of its own: it is closed behind it. Return: 0 or CLI_USAGE. */
int ready_check_distinct(struct cli *cli, uint64_t ready_fd, uint64_t listening_fd);

/*
 * Writes the line "listening ADDRESS" to @fd of --listening-fd, where there is one, and closes it. Signals as below.
 * Return: 0 or CLI_FAILED, told.
 */
int ready_listening(struct cli *cli, uint64_t fd, const char *address);

/*
 * Once. Writes the line "ready" to @fd and READY=1 to the socket in NOTIFY_SOCKET, where there are any, unless @failed;
 * @fd is closed in any case, so that who waits learns by the end of file. A signal ends the waiting for a full pipe:
 * then the line is left out, told, which is no failure. Return: 0, or @code, told.
 */
int ready_tell(struct cli *cli, uint64_t fd, bool failed, int code);

#endif
