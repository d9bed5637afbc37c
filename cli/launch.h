/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --exec: a command that inherits the devices' descriptors and is told of them in its environment. */
#ifndef VFIOMIGCTL_LAUNCH_H
#define VFIOMIGCTL_LAUNCH_H

#include <spawn.h>
#include <sys/types.h>

#include "devices.h"

/* Whether there is such a command, found as it will be when it is started. Return: 0 or CLI_FAILED, told. */
int launch_check(struct cli *cli, const char *name);

/* Environment: VFIOMIG_DEVICES=N, VFIOMIG_DEVICE_0.. descriptions. Return: 0, or @code after a failure, told. */
int launch(struct cli *cli, const struct cli_devices *devices, char **argv, int code, pid_t *ret_pid);

/* Signals as a command expects them: none blocked, none ignored because we do. @flags: more. Return: 0 or an errno. */
int launch_attributes(posix_spawnattr_t *attr, short flags);

/* What the shell would make of a wait status. */
int launch_exit_status(int wait_status);

#endif
