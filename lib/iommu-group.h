/* SPDX-License-Identifier: MIT */
/* IOMMU groups a context has open: shared by its devices, since the kernel opens the file of a group once only. */
#ifndef VFIOMIG_IOMMU_GROUP_H
#define VFIOMIG_IOMMU_GROUP_H

#include "internal.h"

struct vfmi_iommu_group;

/* The groups of a context. */
int vfmi_iommu_groups_new(struct vfmi_iommu_groups **ret_groups);
void vfmi_iommu_groups_free(struct vfmi_iommu_groups *groups);

/*
 * The group @number, for @device (in messages), opened unless it is open; close it once for each. Return: 0,
 * -EOPNOTSUPP (noiommu), -EPERM (not viable, the device that blocks it named), -EBUSY, -EACCES, or errno, told.
 */
int vfmi_iommu_group_open(struct vfm_context *ctx, const char *device, uint32_t number,
			  struct vfmi_iommu_group **ret_group, struct vfm_error *err);
void vfmi_iommu_group_close(struct vfmi_iommu_group *group);

/*
 * Whether drivers of the host have devices of the group @number; @text then names some of them: "0000:01:00.1 (driver
 * nvme)".
 */
#define VFMI_BLOCKERS_ROOM 288
bool vfmi_iommu_group_blockers(struct vfm_context *ctx, uint32_t number, char text[VFMI_BLOCKERS_ROOM]);

int vfmi_iommu_group_fd(const struct vfmi_iommu_group *group);
uint32_t vfmi_iommu_group_number(const struct vfmi_iommu_group *group);
/* Whether the context has the group @number open, and in the container of @iommu. */
bool vfmi_iommu_group_is_open(struct vfm_context *ctx, uint32_t number, const struct vfm_iommu *iommu);

/*
 * Put the group into the container of @iommu, or count one device more in it; leave it once for each. Return: 0, -EBUSY
 * (in another container), or errno, told.
 */
int vfmi_iommu_group_join(struct vfmi_iommu_group *group, const char *device, struct vfm_iommu *iommu,
			  struct vfm_error *err);
void vfmi_iommu_group_leave(struct vfmi_iommu_group *group);

#endif
