/* SPDX-License-Identifier: MIT */
/* iommufd ioctls, 1:1: size filled, what comes back validated, no policy. -errno as the kernel gave. */
#ifndef VFIOMIG_IOMMUFD_H
#define VFIOMIG_IOMMUFD_H

#include "sys.h"
#include "uapi/iommufd.h"

int vfmi_iommufd_ioas_alloc(struct vfmi_sys *sys, int fd, uint32_t *ret_id);
int vfmi_iommufd_destroy(struct vfmi_sys *sys, int fd, uint32_t id);
/* @flags: IOMMU_IOAS_MAP_*; @iova in with FIXED_IOVA, out otherwise */
int vfmi_iommufd_map(struct vfmi_sys *sys, int fd, uint32_t ioas_id, uint32_t flags, void *vaddr, uint64_t length,
		     uint64_t *iova);
int vfmi_iommufd_unmap(struct vfmi_sys *sys, int fd, uint32_t ioas_id, uint64_t iova, uint64_t length,
		       uint64_t *ret_unmapped);
/* -EMSGSIZE with *ret_count = needed when @room is too small */
int vfmi_iommufd_ranges(struct vfmi_sys *sys, int fd, uint32_t ioas_id, struct iommu_iova_range *ranges, uint32_t room,
			uint32_t *ret_count, uint64_t *ret_align);

#endif
