/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --quirks-file: what a file says of drivers, in the place of the library's table. */
#ifndef VFIOMIGCTL_QUIRKS_FILE_H
#define VFIOMIGCTL_QUIRKS_FILE_H

#include "cli.h"

/* All or nothing is not promised: the run ends at the first line that is wrong. Return: 0 or an exit code, told. */
int quirks_file_apply(struct cli *cli, const char *path);

#endif
