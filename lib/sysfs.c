/* SPDX-License-Identifier: MIT */
/* Small questions to sysfs: the text of an attribute, the name a link points to. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sysfs.h"

#define LINK_ROOM 512

bool vfmi_sysfs_join(char *buf, const char *dir, const char *name)
{
	int length = snprintf(buf, VFMI_SYSFS_PATH_ROOM, "%s/%s", dir, name);

	return length > 0 && length < VFMI_SYSFS_PATH_ROOM;
}

int vfmi_sysfs_read(struct vfmi_sys *sys, const char *dir, const char *name, char *buf, size_t room)
{
	char path[VFMI_SYSFS_PATH_ROOM];

	return vfmi_sysfs_join(path, dir, name) ? vfmi_sys_read_file(sys, path, buf, room) : -ENOENT;
}

bool vfmi_sysfs_link(struct vfmi_sys *sys, const char *dir, const char *name, char *buf, size_t room)
{
	char path[VFMI_SYSFS_PATH_ROOM];
	char target[LINK_ROOM];
	const char *last;
	ssize_t length;

	if (!vfmi_sysfs_join(path, dir, name))
		return false;
	length = sys->ops->readlink(sys, path, target, sizeof(target) - 1);
	if (length <= 0 || (size_t)length >= sizeof(target) - 1)
		return false;
	target[length] = '\0';
	last = strrchr(target, '/');
	last = last ? last + 1 : target;
	if (!*last || strlen(last) >= room)
		return false;
	memcpy(buf, last, strlen(last) + 1);
	return true;
}
