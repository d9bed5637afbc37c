/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --map SRC=DST: from names and indexes to the table that vfm_restore() takes. */
#ifndef VFIOMIGCTL_MAPPING_H
#define VFIOMIGCTL_MAPPING_H

#include "devices.h"

/*
 * @list: one entry for each device of the stream. SRC is an index, or a name if @from is a file, which is then read
 * once to learn its names. @ret: room for VFM_STREAM_MAX_DEVICES. Return: 0 or an exit code, told.
 */
int mapping_resolve(struct cli *cli, const struct string_list *list, const char *from,
		    const struct cli_devices *devices, uint32_t *ret);

#endif
