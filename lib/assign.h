/* SPDX-License-Identifier: MIT */
/* Which device takes the state of which: the one assignment a table of fits leaves, if it leaves exactly one. Pure. */
#ifndef VFIOMIG_ASSIGN_H
#define VFIOMIG_ASSIGN_H

#include "internal.h"

struct vfmi_fits {
	size_t sources; /* at most VFM_STREAM_MAX_DEVICES each */
	size_t targets;
	uint64_t fit[VFM_STREAM_MAX_DEVICES]; /* bit t of fit[s]: source s may go to target t */
};

/*
 * Give every source a target of its own. Return: 0, -ENOENT when that is impossible (*ret_source: a source that is left
 * over), -EEXIST when there is more than one way; ret_map[s] is written on success only.
 */
int vfmi_assign(const struct vfmi_fits *fits, uint32_t ret_map[VFM_STREAM_MAX_DEVICES], size_t *ret_source);

#endif
