/* SPDX-License-Identifier: MIT */
/* Small questions to sysfs: the text of an attribute, the name a link points to. */
#ifndef VFIOMIG_SYSFS_H
#define VFIOMIG_SYSFS_H

#include "sys.h"

#define VFMI_SYSFS_PATH_ROOM 512

/* @buf has VFMI_SYSFS_PATH_ROOM. False when the path would not fit: nothing in sysfs is that long. */
bool vfmi_sysfs_join(char *buf, const char *dir, const char *name);

/* Text of @dir/@name without white space at its end. Return: length or -errno. */
int vfmi_sysfs_read(struct vfmi_sys *sys, const char *dir, const char *name, char *buf, size_t room);

/* Last component of what the link @dir/@name points to. False: no such link, or a name that does not fit. */
bool vfmi_sysfs_link(struct vfmi_sys *sys, const char *dir, const char *name, char *buf, size_t room);

#endif
