/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "exec:COMMAND": a peer that is a command, both its standard streams being one two-way channel to it. */
#ifndef VFIOMIGCTL_PEER_H
#define VFIOMIGCTL_PEER_H

#include "cli.h"

/*
 * Starts @command by /bin/sh -c in a session of its own; cli->peer stands for it. *ret_fd, close-on-exec, is our end
 * of the channel. Return: 0 or an exit code, told.
 */
int peer_start(struct cli *cli, const char *command, int *ret_fd);

/* If it has ended, no zombie stays. */
void peer_reap(struct cli *cli);

/* Whether it ends with another status than 0, for which it has a moment: where the channel from it has ended. */
bool peer_has_failed(struct cli *cli);

/*
 * Once our end of the channel is closed; nothing without a peer. @code is that of the run so far, @stands that what was
 * transferred holds whatever the command does: then it is waited for (as long as --timeout says, or until a signal) and
 * never killed, since a destination may live in it. Else it is ended. Return: @code, or what its exit status makes of
 * 0.
 */
int peer_end(struct cli *cli, int code, bool stands);

#endif
