/* SPDX-License-Identifier: MIT */
/* The listening socket of a lender: made 0600, put in place whole, taken away again. */
#ifndef VFIOMIG_LEND_PLACE_H
#define VFIOMIG_LEND_PLACE_H

#include "internal.h"

struct vfmi_lend_place;

/*
 * Listen at PATH or "@NAME". A dead socket at PATH is replaced.
 * Return: 0, -EADDRINUSE (somebody listens there), -EEXIST (not a socket), -EINVAL, -ENAMETOOLONG, or errno.
 */
int vfmi_lend_place_open(struct vfm_context *ctx, const char *path, int backlog, struct vfmi_lend_place **ret,
			 struct vfm_error *err);
void vfmi_lend_place_close(struct vfmi_lend_place *place);
int vfmi_lend_place_fd(const struct vfmi_lend_place *place);

#endif
