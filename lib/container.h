/* SPDX-License-Identifier: MIT */
/* Ioctls of containers and IOMMU groups, 1:1: argsz filled, what comes back validated, no policy. */
#ifndef VFIOMIG_CONTAINER_H
#define VFIOMIG_CONTAINER_H

#include "sys.h"
#include "uapi/vfio.h"

/* What VFIO_IOMMU_GET_INFO tells; a capability that is absent leaves its has_ member false. */
struct vfmi_container_info {
	uint64_t page_sizes; /* bitmap, 0 when not told */
	bool has_ranges;
	struct vfio_iova_range *ranges; /* ordered and disjoint */
	uint32_t range_count;
	bool has_avail;
	uint32_t avail; /* maps it will still take */
	bool has_migration;
	uint64_t dirty_page_sizes;
	uint64_t max_bitmap_bytes;
};

/* container, or an iommufd that stands in for one */
int vfmi_container_version(struct vfmi_sys *sys, int fd, uint32_t *ret_version);
int vfmi_container_extension(struct vfmi_sys *sys, int fd, uint32_t extension, uint32_t *ret_value);
int vfmi_container_set_iommu(struct vfmi_sys *sys, int fd, uint32_t type);
int vfmi_container_info(struct vfmi_sys *sys, int fd, struct vfmi_container_info *ret);
void vfmi_container_info_clear(struct vfmi_container_info *info);
int vfmi_container_map(struct vfmi_sys *sys, int fd, uint32_t flags, uint64_t vaddr, uint64_t iova, uint64_t length);
/* @ret_unmapped: what the kernel says it took back */
int vfmi_container_unmap(struct vfmi_sys *sys, int fd, uint32_t flags, uint64_t iova, uint64_t length,
			 uint64_t *ret_unmapped);

/*
 * Dirty pages (Linux 5.8, version 2 only). The range holds whole maps; @bitmap->pgsize is the smallest page there is,
 * and its words are zeroed. Reading clears.
 */
int vfmi_container_track(struct vfmi_sys *sys, int fd, bool on);
int vfmi_container_dirty(struct vfmi_sys *sys, int fd, uint64_t iova, uint64_t length,
			 const struct vfio_bitmap *bitmap);
/* Both as one step. */
int vfmi_container_unmap_dirty(struct vfmi_sys *sys, int fd, uint64_t iova, uint64_t length,
			       const struct vfio_bitmap *bitmap, uint64_t *ret_unmapped);

/* group */
int vfmi_group_status(struct vfmi_sys *sys, int fd, uint32_t *ret_flags);
int vfmi_group_set_container(struct vfmi_sys *sys, int fd, int container);
int vfmi_group_unset_container(struct vfmi_sys *sys, int fd);
/* @name: of the device, with " vf_token=UUID" behind it where one is needed. Return: descriptor or -errno */
int vfmi_group_device_fd(struct vfmi_sys *sys, int fd, const char *name);

#endif
