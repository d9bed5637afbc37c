/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Showing who a device is, from sysfs, from the device, or from a stream. */
#ifndef VFIOMIGCTL_IDENTITY_H
#define VFIOMIGCTL_IDENTITY_H

#include "cli.h"

/* @row: a table's row, an object of its own is added to @node; else the fields go into @node. */
void identity_add_candidate(struct out_node *node, const struct vfm_candidate *candidate, bool row);

/* All fields of an identity into @node; unknown ones are null. */
void identity_add(struct out_node *node, const struct vfm_identity *identity);

/* "STOP_COPY P2P PRE_COPY", or "none". */
const char *migration_flags_text(uint32_t flags, char *buf, size_t room);

#endif
