/* SPDX-License-Identifier: MIT */
/* IOMMU groups a context has open: shared by its devices, since the kernel opens the file of a group once only. */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "container.h"
#include "iommu-group.h"
#include "iommu-internal.h"
#include "sysfs.h"

#define GROUPS "/sys/kernel/iommu_groups"
#define MAX_NAMED 3 /* devices in a message; one says what to do */

struct vfmi_iommu_group {
	struct vfm_context *ctx;
	struct vfmi_iommu_group *next;
	uint32_t number;
	int fd;
	uint32_t users;		 /* devices opened through it */
	uint32_t members;	 /* of them: bound */
	struct vfm_iommu *iommu; /* whose container it is in */
};

/* The lock is held over opening, joining and leaving: each happens once for all devices of a group. */
struct vfmi_iommu_groups {
	pthread_mutex_t lock;
	struct vfmi_iommu_group *first;
};

int vfmi_iommu_groups_new(struct vfmi_iommu_groups **ret_groups)
{
	struct vfmi_iommu_groups *groups = calloc(1, sizeof(*groups));

	if (!groups)
		return -ENOMEM;
	/* a default mutex cannot fail to be made */
	(void)pthread_mutex_init(&groups->lock, NULL);
	*ret_groups = groups;
	return 0;
}

void vfmi_iommu_groups_free(struct vfmi_iommu_groups *groups)
{
	if (!groups)
		return;
	pthread_mutex_destroy(&groups->lock);
	free(groups);
}

/* why a group cannot be had */

struct blockers {
	struct vfmi_sys *sys;
	char dir[64];
	char text[256];
	unsigned int count;
};

/* Drivers that leave DMA to the group's owner: VFIO's, by name or by what they made, and two that do none. */
static bool may_stay(struct vfmi_sys *sys, const char *device_dir, const char *driver)
{
	char path[VFMI_SYSFS_PATH_ROOM];
	struct stat st;

	if (strstr(driver, "vfio") || !strcmp(driver, "pci-stub") || !strcmp(driver, "pcieport"))
		return true;
	return vfmi_sysfs_join(path, device_dir, "vfio-dev") && sys->ops->stat(sys, path, &st) == 0;
}

static int note_blocker(void *user, const char *name)
{
	struct blockers *blockers = user;
	char dir[VFMI_SYSFS_PATH_ROOM];
	char driver[64];
	size_t at = strlen(blockers->text);

	if (!vfmi_sysfs_join(dir, blockers->dir, name) ||
	    !vfmi_sysfs_link(blockers->sys, dir, "driver", driver, sizeof(driver)) ||
	    may_stay(blockers->sys, dir, driver))
		return 0;
	if (blockers->count++ < MAX_NAMED)
		snprintf(blockers->text + at, sizeof(blockers->text) - at, "%s%.40s (driver %s)", at ? ", " : "", name,
			 driver);
	return 0;
}

bool vfmi_iommu_group_blockers(struct vfm_context *ctx, uint32_t number, char text[VFMI_BLOCKERS_ROOM])
{
	struct blockers blockers = { .sys = ctx->sys };

	snprintf(blockers.dir, sizeof(blockers.dir), GROUPS "/%" PRIu32 "/devices", number);
	(void)ctx->sys->ops->listdir(ctx->sys, blockers.dir, note_blocker, &blockers);
	snprintf(text, VFMI_BLOCKERS_ROOM, "%s%s", blockers.text, blockers.count > MAX_NAMED ? " and others" : "");
	return blockers.count > 0;
}

static int fail_viable(struct vfm_context *ctx, const char *device, uint32_t number, struct vfm_error *err)
{
	char text[VFMI_BLOCKERS_ROOM];

	if (!vfmi_iommu_group_blockers(ctx, number, text))
		return VFMI_FAIL(ctx, err, EPERM, device, "open",
				 "IOMMU group %" PRIu32 " is not viable: a device of it belongs to somebody else",
				 number);
	return VFMI_FAIL(ctx, err, EPERM, device, "open",
			 "IOMMU group %" PRIu32
			 " is not viable: a host driver has %s; unbind it or bind it to vfio-pci",
			 number, text);
}

/*
 * VFIO makes groups of its own for devices without an IOMMU (CONFIG_VFIO_NOIOMMU). The file tells: the name of the
 * group, "vfio-noiommu", is also that of mediated devices, whose driver keeps their DMA to what is mapped.
 */
static bool is_noiommu(struct vfmi_sys *sys, uint32_t number)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%" PRIu32, number);
	return sys->ops->stat(sys, path, &st) == 0;
}

static int fail_open(struct vfm_context *ctx, int code, const char *device, uint32_t number, struct vfm_error *err)
{
	const char *remedy = "";

	if (code == EACCES || code == EPERM)
		remedy = "; its owner must let this user in, for example by a udev rule for SUBSYSTEM==\"vfio\"";
	else if (code == ENOENT)
		remedy = "; the kernel has no files of groups (CONFIG_VFIO_GROUP), or no driver of VFIO is bound";
	else if (code == ENODEV || code == ENXIO)
		remedy = "; the device has gone, or the node is stale";
	else if (code == EBUSY)
		remedy = "; somebody else has the group open, or a device of it through its cdev";
	return VFMI_FAIL(ctx, err, code, device, "open", "/dev/vfio/%" PRIu32 ": %s%s", number, vfmi_errno_text(code),
			 remedy);
}

/* opening */

static int open_group(struct vfm_context *ctx, const char *device, uint32_t number, struct vfmi_iommu_group *group,
		      struct vfm_error *err)
{
	char path[32];
	int r;

	if (is_noiommu(ctx->sys, number))
		return VFMI_FAIL(ctx, err, EOPNOTSUPP, device, "open",
				 "it has no IOMMU (group noiommu-%" PRIu32
				 "), and nothing would keep its DMA inside what is mapped; such devices are not used",
				 number);
	snprintf(path, sizeof(path), "/dev/vfio/%" PRIu32, number);
	r = ctx->sys->ops->open(ctx->sys, path, O_RDWR, 0);
	if (r < 0)
		return fail_open(ctx, -r, device, number, err);
	*group = (struct vfmi_iommu_group){ .ctx = ctx, .number = number, .fd = r };
	return 0;
}

static int check_viable(const struct vfmi_iommu_group *group, const char *device, struct vfm_error *err)
{
	struct vfm_context *ctx = group->ctx;
	uint32_t flags;
	int r = vfmi_group_status(ctx->sys, group->fd, &flags);

	if (r < 0)
		return VFMI_FAIL(ctx, err, -r, device, "open", "IOMMU group %" PRIu32 " does not tell its status: %s",
				 group->number, vfmi_errno_text(-r));
	return flags & VFIO_GROUP_FLAGS_VIABLE ? 0 : fail_viable(ctx, device, group->number, err);
}

static struct vfmi_iommu_group *find_group(const struct vfmi_iommu_groups *groups, uint32_t number)
{
	struct vfmi_iommu_group *group = groups->first;

	while (group && group->number != number)
		group = group->next;
	return group;
}

static int find_or_open(struct vfm_context *ctx, const char *device, uint32_t number,
			struct vfmi_iommu_group **ret_group, struct vfm_error *err)
{
	struct vfmi_iommu_group *group = find_group(ctx->groups, number);
	int r;

	if (group) {
		*ret_group = group;
		return 0;
	}
	group = calloc(1, sizeof(*group));
	if (!group)
		return VFMI_FAIL(ctx, err, ENOMEM, device, "open", "%s", vfmi_errno_text(ENOMEM));
	r = open_group(ctx, device, number, group, err);
	if (r < 0)
		goto err_free;
	r = check_viable(group, device, err);
	if (r < 0)
		goto err_close;
	group->next = ctx->groups->first;
	ctx->groups->first = group;
	*ret_group = group;
	return 0;

err_close:
	ctx->sys->ops->close(ctx->sys, group->fd);
err_free:
	free(group);
	return r;
}

int vfmi_iommu_group_open(struct vfm_context *ctx, const char *device, uint32_t number,
			  struct vfmi_iommu_group **ret_group, struct vfm_error *err)
{
	int r;

	pthread_mutex_lock(&ctx->groups->lock);
	r = find_or_open(ctx, device, number, ret_group, err);
	if (r == 0)
		(*ret_group)->users++;
	pthread_mutex_unlock(&ctx->groups->lock);
	return r;
}

void vfmi_iommu_group_close(struct vfmi_iommu_group *group)
{
	struct vfmi_iommu_groups *groups;
	struct vfmi_iommu_group **at;

	if (!group)
		return;
	groups = group->ctx->groups;
	pthread_mutex_lock(&groups->lock);
	if (--group->users == 0) {
		for (at = &groups->first; *at != group; at = &(*at)->next)
			;
		*at = group->next;
		group->ctx->sys->ops->close(group->ctx->sys, group->fd);
		free(group);
	}
	pthread_mutex_unlock(&groups->lock);
}

int vfmi_iommu_group_fd(const struct vfmi_iommu_group *group)
{
	return group ? group->fd : -1;
}

uint32_t vfmi_iommu_group_number(const struct vfmi_iommu_group *group)
{
	return group->number;
}

bool vfmi_iommu_group_is_open(struct vfm_context *ctx, uint32_t number, const struct vfm_iommu *iommu)
{
	const struct vfmi_iommu_group *group;
	bool open;

	pthread_mutex_lock(&ctx->groups->lock);
	group = find_group(ctx->groups, number);
	open = group && iommu && group->iommu == iommu;
	pthread_mutex_unlock(&ctx->groups->lock);
	return open;
}

/* joining */

static int fail_join(const struct vfmi_iommu_group *group, int code, const char *device, const char *what,
		     const char *remedy, struct vfm_error *err)
{
	return VFMI_FAIL(group->ctx, err, code, device, "bind", "IOMMU group %" PRIu32 ": %s: %s%s", group->number,
			 what, vfmi_errno_text(code), remedy);
}

static const char *container_remedy(int code)
{
	switch (code) {
	case EBUSY:
		return "; a device of the group belongs to somebody else, or mapped areas have no user address since "
		       "vfm_iommu_vaddr_invalidate(), and must get theirs first";
	case EPERM:
		return "; a device of the group belongs to somebody else";
	case EADDRINUSE:
	case EINVAL:
		return "; a mapped area lies where a device of the group cannot reach, or the group has a container "
		       "already";
	case ENOMEM:
		return "; the mapped areas exceed the locked-memory limit (RLIMIT_MEMLOCK, ulimit -l)";
	default:
		return "";
	}
}

static const char *iommu_remedy(int code)
{
	switch (code) {
	case EPERM:
		return "; interrupts are not isolated by the IOMMU, allow_unsafe_interrupts=1 of vfio_iommu_type1 or "
		       "iommufd overrides";
	case ENODEV:
		return "; the container has no such kind of IOMMU, or it does not suit the group";
	default:
		return "";
	}
}

static int enter(struct vfmi_iommu_group *group, const char *device, struct vfm_iommu *iommu, struct vfm_error *err)
{
	struct vfmi_sys *sys = group->ctx->sys;
	int r = vfmi_group_set_container(sys, group->fd, vfm_iommu_fd(iommu));

	if (r < 0)
		return fail_join(group, -r, device, "it does not join the container", container_remedy(-r), err);
	r = vfmi_iommu_joined(iommu);
	if (r < 0) {
		(void)vfmi_group_unset_container(sys, group->fd);
		return fail_join(group, -r, device, "the container gets no IOMMU", iommu_remedy(-r), err);
	}
	group->iommu = iommu;
	return 0;
}

int vfmi_iommu_group_join(struct vfmi_iommu_group *group, const char *device, struct vfm_iommu *iommu,
			  struct vfm_error *err)
{
	struct vfmi_iommu_groups *groups = group->ctx->groups;
	int r = 0;

	pthread_mutex_lock(&groups->lock);
	if (!group->iommu)
		r = enter(group, device, iommu, err);
	else if (group->iommu != iommu)
		r = fail_join(group, EBUSY, device, "it is in another container", "", err);
	if (r == 0)
		group->members++;
	pthread_mutex_unlock(&groups->lock);
	return r;
}

void vfmi_iommu_group_leave(struct vfmi_iommu_group *group)
{
	struct vfmi_iommu_groups *groups = group->ctx->groups;

	pthread_mutex_lock(&groups->lock);
	if (--group->members == 0) {
		/* EBUSY while somebody else has a device of it open, who then keeps the container alive */
		(void)vfmi_group_unset_container(group->ctx->sys, group->fd);
		vfmi_iommu_left(group->iommu);
		group->iommu = NULL;
	}
	pthread_mutex_unlock(&groups->lock);
}
