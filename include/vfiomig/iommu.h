/* SPDX-License-Identifier: MIT */
/* Address space: an iommufd and one IOAS in it, to which devices are attached and memory is mapped. */
#ifndef VFIOMIG_IOMMU_H
#define VFIOMIG_IOMMU_H

#include <vfiomig/context.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfm_iommu;

enum vfm_iommu_backend {
	VFM_BACKEND_UNKNOWN = 0,
	VFM_BACKEND_IOMMUFD = 1, /* iommufd native: cdev, IOAS */
};

enum vfm_map_flag {
	VFM_MAP_READ = 1,  /* the device may read the memory */
	VFM_MAP_WRITE = 2, /* the device may write the memory */
	VFM_MAP_FIXED = 4, /* place at vfm_map.iova exactly; otherwise the kernel chooses and iova is written back */
};

/**
 * struct vfm_map - one area of memory a device may reach
 * @vaddr:  user address, page aligned; must stay mapped and must not be remapped until unmapped here
 * @length: bytes, multiple of the page size, above 0
 * @iova:   device address: in with VFM_MAP_FIXED, else out
 * @guest_address: caller's address of the area (guest physical), carried for dirty tracking
 * @cookie: caller's own, never interpreted
 */
struct vfm_map {
	uint32_t size;
	uint32_t flags;
	void *vaddr;
	uint64_t length;
	uint64_t iova;
	uint64_t guest_address;
	uint64_t cookie;
};

/* Inclusive range of IOVAs. */
struct vfm_iova_range {
	uint64_t first;
	uint64_t last;
};

/**
 * vfm_iommu_open() - open /dev/iommu and allocate an empty IOAS
 *
 * Return: 0, -ENOENT or -ENODEV (kernel has no iommufd; the message says how to get it), -EACCES, or the kernel's
 * own errno. Close with vfm_iommu_close(). Blocking: no. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_open(struct vfm_context *ctx, struct vfm_iommu **ret_iommu,
					  struct vfm_error *ret_error);

/**
 * vfm_iommu_adopt() - stand on an IOAS that somebody else made
 * @iommufd: duplicated; the caller keeps its own
 * @ioas_id: existing IOAS in it; never destroyed by the library
 *
 * Return: 0, -EBADF, -EINVAL. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_adopt(struct vfm_context *ctx, int iommufd, uint32_t ioas_id,
					   struct vfm_iommu **ret_iommu, struct vfm_error *ret_error);

/**
 * vfm_iommu_close() - unmap what this object mapped, destroy the IOAS if it was made here, close; NULL is fine
 *
 * Attached devices must have been closed or detached before. Since: 0.1
 */
VFM_API void vfm_iommu_close(struct vfm_iommu *iommu);

VFM_API uint32_t vfm_iommu_backend(const struct vfm_iommu *iommu);
VFM_API int vfm_iommu_fd(const struct vfm_iommu *iommu); /* borrowed until close */
VFM_API uint32_t vfm_iommu_ioas_id(const struct vfm_iommu *iommu);

/**
 * vfm_iommu_map() - make an area reachable for every attached device
 * @map: size set; iova written back on success unless VFM_MAP_FIXED
 *
 * Blocking: pins memory, seconds for many GiB. Thread: any.
 * Return: 0, -EINVAL (alignment, zero length, no access flag), -EEXIST (overlaps an area of ours or, from the kernel,
 * of somebody else), -EOVERFLOW (wraps), -ENOSPC (no IOVA), -ENOMEM (memlock limit), -EFAULT. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_map(struct vfm_iommu *iommu, struct vfm_map *map, struct vfm_error *ret_error);

/**
 * vfm_iommu_unmap() - take back exactly one area mapped by vfm_iommu_map()
 *
 * Return: 0, -ENOENT (no area of ours has this iova and length), or the kernel's errno; after an errno that does not
 * mean "nothing done" the area is marked unknown and stays in the books as mapped. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_unmap(struct vfm_iommu *iommu, uint64_t iova, uint64_t length,
					   struct vfm_error *ret_error);

/**
 * vfm_iommu_ranges() - IOVA windows usable right now (they change with every attach and detach)
 * @ranges:    room for @room ranges, sorted and disjoint on return
 * @ret_count: number of ranges there are, also when above @room (then -EMSGSIZE)
 * @ret_align: alignment of iova and length in bytes; may be NULL
 *
 * Source: IOMMU_IOAS_IOVA_RANGES, Linux 6.2. Return: 0, -EMSGSIZE, or the kernel's errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_ranges(struct vfm_iommu *iommu, struct vfm_iova_range *ranges, size_t room,
					    size_t *ret_count, uint64_t *ret_align, struct vfm_error *ret_error);

#ifdef __cplusplus
}
#endif
#endif
