/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "systemd:[NAME]": a socket that came by socket activation, sd_listen_fds(3). */
#ifndef VFIOMIGCTL_ACTIVATION_H
#define VFIOMIGCTL_ACTIVATION_H

#include "cli.h"

/*
 * The socket of that name, or the only one if @name is empty. None of them survives into a command that is started, nor
 * do the variables: this is asked for once. *ret_fd is the caller's to close. Return: 0 or CLI_USAGE.
 */
int activation_take(struct cli *cli, const char *name, int *ret_fd);

#endif
