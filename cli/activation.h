/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "systemd:[NAME]": a socket that came by socket activation, sd_listen_fds(3). */
#ifndef VFIOMIGCTL_ACTIVATION_H
#define VFIOMIGCTL_ACTIVATION_H

#include "cli.h"

/*
 * Before anything else: from here on neither the sockets nor the variables reach a command that is started, whether the
 * sockets are used or not. Variables that were meant for another process are forgotten, too, its sockets are not
 * touched. Return: 0 or an exit code, told. activation_end() frees what is kept.
 */
int activation_begin(struct cli *cli);
void activation_end(struct cli *cli);

/*
 * The socket of that name, or the only one if @name is empty; asked for once. *ret_fd is the caller's to close. Return:
 * 0 or CLI_USAGE.
 */
int activation_take(struct cli *cli, const char *name, int *ret_fd);

#endif
