/* SPDX-License-Identifier: MIT */
/* What other files of the library may ask of an address space beyond the public API. The body: iommu-backend.h. */
#ifndef VFIOMIG_IOMMU_INTERNAL_H
#define VFIOMIG_IOMMU_INTERNAL_H

#include "internal.h"

/* A container, real or played by an iommufd: devices come to it by their groups. */
static inline bool vfmi_backend_is_container(uint32_t backend)
{
	return backend != VFM_BACKEND_UNKNOWN && backend != VFM_BACKEND_IOMMUFD;
}

/*
 * Both are known to be of one iommufd, so that ids of the one are good for the other; NULL is of none. The kernel does
 * not tell of two descriptors whether they are one file: what was adopted twice counts as two.
 */
bool vfmi_iommu_is_beside(const struct vfm_iommu *iommu, const struct vfm_iommu *other);

/* VFM_IOMMU_DIRTY_TRACKING was asked for: whatever devices write through it is to be seen. */
bool vfmi_iommu_wants_tracking(const struct vfm_iommu *iommu);

/* Page table @pt_id of the address space has dirty bits; false for one the library does not know, such as the IOAS. */
bool vfmi_iommu_hwpt_tracks(struct vfm_iommu *iommu, uint32_t pt_id);

/*
 * Attach a device that is bound to the iommufd: to a page table of the address space where those are wanted, else to
 * the IOAS. @devid: 0 when unknown, no page table can be made then. @pt_id: 0 or what it is attached to already, out
 * what it is attached to now. No report.
 */
int vfmi_iommu_attach(struct vfm_iommu *iommu, int device_fd, uint32_t devid, uint32_t *pt_id);
/* The same from another address space of the iommufd, or the same; on failure it stays where it is. */
int vfmi_iommu_move(struct vfm_iommu *from, struct vfm_iommu *to, int device_fd, uint32_t devid, uint32_t *pt_id);
int vfmi_iommu_detach(struct vfm_iommu *iommu, int device_fd, uint32_t *pt_id);
/* What of the maps may be why attaching gave @code, "" when nothing is known. */
void vfmi_iommu_attach_trouble(struct vfm_iommu *iommu, int code, char *buf, size_t room);
/* Only the books are told: an adopted device came attached; a device's file is closed, which detached it. */
void vfmi_iommu_attached(struct vfm_iommu *iommu, uint32_t pt_id);
void vfmi_iommu_detached(struct vfm_iommu *iommu, uint32_t pt_id);

/*
 * A group has joined the container, the first one brings the IOMMU (VFIO_SET_IOMMU); when the last one leaves, the
 * kernel takes the IOMMU away, and a real container loses all maps with it. A group may stay that is another's, or of
 * which somebody else has a device open: the kernel is asked. No report.
 */
int vfmi_iommu_joined(struct vfm_iommu *iommu);
void vfmi_iommu_left(struct vfm_iommu *iommu);

/* As vfm_iommu_map() for memory the library mapped itself: on success it is munmap()ed when the area goes. */
int vfmi_iommu_map_memory(struct vfm_iommu *iommu, struct vfm_map *map, struct vfm_error *err);

struct vfm_context *vfmi_iommu_context(const struct vfm_iommu *iommu);
/* The whole map that holds @iova; false where none is known to be, also after an unmap that failed midway. */
bool vfmi_iommu_map_at(struct vfm_iommu *iommu, uint64_t iova, struct vfm_iova_range *ret);
/* The smallest page devices' addresses are translated by, as far as known; a page of memory else. */
int vfmi_iommu_page_size(struct vfm_iommu *iommu, uint64_t *ret_bytes);

/*
 * Dirty bits, from the kernel as they are; no report but of the unmap. Bit 0 of @words, which were zeroed and are
 * @bytes long, is the page at @iova.
 */
struct vfmi_dirty_bits {
	uint64_t iova;
	uint64_t length;
	uint64_t page_size;
	uint64_t bytes;
	uint64_t *words;
};

/* Of a page table of an iommufd. @keep: they are not cleared. */
/* Dirty bits of a page table have one reader: -EBUSY while it runs for another. */
int vfmi_iommu_hwpt_start(struct vfm_iommu *iommu, uint32_t pt_id);
/* @leave_on: somebody else reads the same page table by an address space of his own */
int vfmi_iommu_hwpt_stop(struct vfm_iommu *iommu, uint32_t pt_id, bool leave_on);
/* Its page tables may be those of another adopted address space too. */
bool vfmi_iommu_is_adopted(const struct vfm_iommu *iommu);
int vfmi_iommu_hwpt_dirty(struct vfm_iommu *iommu, uint32_t pt_id, const struct vfmi_dirty_bits *bits, bool keep);

/* Of a container of type1v2. -EOPNOTSUPP: the kernel does not offer them; -EAGAIN: it has no IOMMU yet. */
int vfmi_iommu_container_dirty_limits(struct vfm_iommu *iommu, uint64_t *ret_page_sizes, uint64_t *ret_bitmap_bytes);
int vfmi_iommu_container_track(struct vfm_iommu *iommu, bool on);
int vfmi_iommu_container_dirty(struct vfm_iommu *iommu, const struct vfmi_dirty_bits *bits);
/* As vfm_iommu_unmap(); what was written until then comes into @bits, unless @ret_unmapped says less than all. */
int vfmi_iommu_unmap_dirty(struct vfm_iommu *iommu, const struct vfmi_dirty_bits *bits, uint64_t *ret_unmapped,
			   struct vfm_error *err);

/* What is usable may have changed: a device came or went. */
void vfmi_iommu_changed(struct vfm_iommu *iommu);

#endif
