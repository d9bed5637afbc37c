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
int vfmi_iommufd_allow(struct vfmi_sys *sys, int fd, uint32_t ioas_id, const struct iommu_iova_range *ranges,
		       uint32_t count);
int vfmi_iommufd_ranges(struct vfmi_sys *sys, int fd, uint32_t ioas_id, struct iommu_iova_range *ranges, uint32_t room,
			uint32_t *ret_count, uint64_t *ret_align);

/* A file instead of memory (Linux 6.13): @start is the byte in it; otherwise as vfmi_iommufd_map() */
int vfmi_iommufd_map_file(struct vfmi_sys *sys, int fd, uint32_t ioas_id, uint32_t flags, int file, uint64_t start,
			  uint64_t length, uint64_t *iova);

/* @option: IOMMU_OPTION_*; @object: 0, or the IOAS */
int vfmi_iommufd_set_option(struct vfmi_sys *sys, int fd, uint32_t option, uint32_t object, uint64_t value);
/* The IOAS behind the container interface; -ENODEV when there is none yet */
int vfmi_iommufd_compat_ioas(struct vfmi_sys *sys, int fd, uint32_t *ret_id);
int vfmi_iommufd_change_process(struct vfmi_sys *sys, int fd);

/* @ret_capabilities: IOMMU_HW_CAP_* (Linux 6.7, 0 before); -ENOENT for an emulated device */
int vfmi_iommufd_hw_info(struct vfmi_sys *sys, int fd, uint32_t devid, uint64_t *ret_capabilities);
/* How many bits the device's PASIDs may have, 0 when it has none or the kernel does not tell (before Linux 6.15). */
int vfmi_iommufd_pasid_bits(struct vfmi_sys *sys, int fd, uint32_t devid, uint32_t *ret_bits);
/* @flags: IOMMU_HWPT_ALLOC_*; a page table the kernel manages */
int vfmi_iommufd_hwpt_alloc(struct vfmi_sys *sys, int fd, uint32_t flags, uint32_t devid, uint32_t ioas_id,
			    uint32_t *ret_id);

/* Dirty bits of a page table (Linux 6.7). To turn them on clears them, also the second time. */
int vfmi_iommufd_hwpt_track(struct vfmi_sys *sys, int fd, uint32_t id, bool on);
/*
 * OR them into @words, bit 0 is the page at @iova. @flags: IOMMU_HWPT_GET_DIRTY_BITMAP_*. The kernel tells neither of a
 * hole, behind which it says nothing, nor of words that are not there.
 */
int vfmi_iommufd_hwpt_dirty(struct vfmi_sys *sys, int fd, uint32_t id, uint32_t flags, uint64_t iova, uint64_t length,
			    uint64_t page_size, uint64_t *words);

#endif
