/* SPDX-License-Identifier: MIT */
/* IOVA allocator: places areas in windows that every device of an address space can reach; bookkeeping that asks no
 * kernel. */
#ifndef VFIOMIG_IOVA_H
#define VFIOMIG_IOVA_H

#include <vfiomig/context.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfm_iova;

/* Inclusive range of IOVAs. */
struct vfm_iova_range {
	uint64_t first;
	uint64_t last;
};

/*
 * Lists of ranges are sorted, disjoint and may touch. The functions write at most @room ranges; *@ret_count is the
 * number there are, also when that is above @room (-EMSGSIZE then, and what was written is not to be used). @ret may be
 * NULL when @room is 0, and must not overlap what is read. Return: 0, -EMSGSIZE, -EINVAL (not sorted, not disjoint).
 * Thread: any. Since: 0.1
 */

/* What lies in both @a and @b: for the windows of several devices, one after the other. At most a + b - 1 ranges. */
VFM_API VFM_MUST_CHECK int vfm_iova_intersect(const struct vfm_iova_range *a, size_t a_count,
					      const struct vfm_iova_range *b, size_t b_count,
					      struct vfm_iova_range *ret, size_t room, size_t *ret_count);

/* What lies in @windows and not in @holes, which may overlap and come in any order (reserved regions). */
VFM_API VFM_MUST_CHECK int vfm_iova_exclude(const struct vfm_iova_range *windows, size_t window_count,
					    const struct vfm_iova_range *holes, size_t hole_count,
					    struct vfm_iova_range *ret, size_t room, size_t *ret_count);

enum vfm_reserved_flag {
	VFM_RESERVED_MAPPABLE = 1, /* "direct-relaxable": VFIO lets it be mapped all the same */
};

/* Reserved by the platform in an IOMMU group, as sysfs tells it. */
struct vfm_reserved {
	uint32_t size;
	uint32_t flags; /* enum vfm_reserved_flag */
	uint64_t first;
	uint64_t last; /* inclusive */
	char kind[24]; /* "msi", "reserved", "direct" and others */
};

/**
 * vfm_iova_reserved() - what the platform reserves in IOMMU group @group, for vfm_iova_exclude()
 * @ret: room for @room regions, size set in each; their order is the kernel's
 *
 * Windows of an iommufd leave these out already; those of a container need not (the MSI window of ARM lies inside).
 * Source: /sys/kernel/iommu_groups/N/reserved_regions, Linux 4.11. Return: 0, -EMSGSIZE (*@ret_count says how many),
 * -ENODEV (no such group), -EPROTO (what is there cannot be read), or errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iova_reserved(struct vfm_context *ctx, uint32_t group, struct vfm_reserved *ret,
					     size_t room, size_t *ret_count, struct vfm_error *ret_error);

/**
 * vfm_iova_new() - make an allocator over windows
 * @ctx:       for errors and the log; may be NULL
 * @windows:   sorted, disjoint, as of vfm_iommu_ranges(); copied; may be none, 65536 at most
 * @alignment: of every area's IOVA and length in bytes, a power of two; windows are cut down to it
 *
 * All functions on it may be called by several threads at once. Return: 0, -EINVAL, -ENOMEM. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iova_new(struct vfm_context *ctx, const struct vfm_iova_range *windows, size_t count,
					uint64_t alignment, struct vfm_iova **ret_space, struct vfm_error *ret_error);
/* NULL is fine. Areas end with it. Since: 0.1 */
VFM_API void vfm_iova_free(struct vfm_iova *space);

enum vfm_iova_flag {
	VFM_IOVA_FIXED = 1,    /* at vfm_iova_request.iova or not at all */
	VFM_IOVA_HINT = 2,     /* at vfm_iova_request.iova if that can be, else as without */
	VFM_IOVA_TOP_DOWN = 4, /* the highest place, not the lowest */
};

/**
 * struct vfm_iova_request - what is to be placed
 * @flags:  enum vfm_iova_flag
 * @length: bytes, a multiple of the allocator's alignment, above 0
 * @align:  of the IOVA in bytes, a power of two; 0, or less than the allocator's: the allocator's
 * @limit:  no byte of the area above this address, 0xffffffff for devices with 32 bit addresses; 0: none
 * @guard:  bytes on each side that belong to the area and are never mapped, a multiple of the allocator's alignment
 * @iova:   with VFM_IOVA_FIXED or VFM_IOVA_HINT
 * @cookie: caller's own, never interpreted
 *
 * The place is the lowest that will do (VFM_IOVA_TOP_DOWN: the highest). Without a limit one above 4 GiB is preferred,
 * so that low addresses stay for those who can reach no others, and IOVA 0 is given only to those who name it. Guards
 * of two neighbours do not overlap, and lie inside the same window as their area.
 */
struct vfm_iova_request {
	uint32_t size;
	uint32_t flags;
	uint64_t length;
	uint64_t align;
	uint64_t limit;
	uint64_t guard;
	uint64_t iova;
	uint64_t cookie;
};

/**
 * vfm_iova_alloc() - find a place and take it
 *
 * O(log n) in the number of areas and holes for alignments of the allocator and 2 MiB, with no guard or one that is a
 * multiple of the alignment; for others it may look at holes that are large enough and not aligned.
 * Return: 0, -EINVAL (length zero, alignments, unknown flags, FIXED with HINT), -EOVERFLOW (wraps), -EEXIST (FIXED: an
 * area or its guard is there), -ERANGE (FIXED: outside the windows, reserved, or above the limit), -ENOSPC, -ENOMEM.
 * Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iova_alloc(struct vfm_iova *space, const struct vfm_iova_request *request,
					  uint64_t *ret_iova, struct vfm_error *ret_error);

/**
 * vfm_iova_release() - give back exactly one area; joins the holes beside it
 *
 * Return: 0, -ENOENT (no area has this IOVA and length; nothing changed). Needs no memory. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iova_release(struct vfm_iova *space, uint64_t iova, uint64_t length,
					    struct vfm_error *ret_error);

enum vfm_iova_area_flag {
	VFM_IOVA_MISFIT = 1, /* it is not where the windows of now allow it, see vfm_iova_set_windows() */
};

/* One area. */
struct vfm_iova_area {
	uint32_t size;
	uint32_t flags; /* enum vfm_iova_area_flag */
	uint64_t iova;
	uint64_t length;
	uint64_t guard;
	uint64_t cookie;
};

/* The area that holds @address; a guard is not held. Return: 0, -ENOENT, -EINVAL. O(log n). Since: 0.1 */
VFM_API VFM_MUST_CHECK int vfm_iova_find(struct vfm_iova *space, uint64_t address, struct vfm_iova_area *ret);
/* The lowest area with a byte at @address or above. Return: 0, -ENODATA, -EINVAL. O(log n). Since: 0.1 */
VFM_API VFM_MUST_CHECK int vfm_iova_next(struct vfm_iova *space, uint64_t address, struct vfm_iova_area *ret);
/* The lowest hole, or rest of one, at @address or above. Return: 0, -ENODATA. O(log n). Since: 0.1 */
VFM_API VFM_MUST_CHECK int vfm_iova_next_hole(struct vfm_iova *space, uint64_t address, struct vfm_iova_range *ret);

/**
 * vfm_iova_reserve() - keep a range free of areas until vfm_iova_unreserve()
 * @first, @last: need not be aligned nor inside the windows, and may overlap other reserved ranges (an MSI window that
 *                two devices report is reserved twice); stays across vfm_iova_set_windows()
 *
 * For set-up: takes time in proportion to the numbers of areas and of reserved ranges.
 * Return: 0, -EINVAL (last below first), -EBUSY (an area is there: named in the message), -ENOSPC (4096 are
 * reserved), -ENOMEM; nothing changed then. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iova_reserve(struct vfm_iova *space, uint64_t first, uint64_t last,
					    struct vfm_error *ret_error);
/* End one vfm_iova_reserve() of exactly this range. Return: 0, -ENOENT, -ENOMEM; nothing changed then. Since: 0.1 */
VFM_API VFM_MUST_CHECK int vfm_iova_unreserve(struct vfm_iova *space, uint64_t first, uint64_t last,
					      struct vfm_error *ret_error);

enum vfm_iova_windows_flag {
	/*
	 * Only tell what would not fit: to be asked before the device is attached, whose attach fails while areas are
	 * in the way (EADDRINUSE, iommufd)
	 */
	VFM_IOVA_DRY_RUN = 1,
};

/**
 * struct vfm_iova_windows - new windows, when a device joins or leaves
 * @flags: enum vfm_iova_windows_flag
 * @windows, @count, @alignment: as for vfm_iova_new()
 * @misfits: room for @room areas, size set in each, filled with the lowest that do not fit; may be NULL for none
 */
struct vfm_iova_windows {
	uint32_t size;
	uint32_t flags;
	const struct vfm_iova_range *windows;
	size_t count;
	uint64_t alignment;
	struct vfm_iova_area *misfits;
	size_t room;
};

/**
 * vfm_iova_set_windows() - plan anew when a device joins or leaves
 * @ret_misfits: number of areas that do not fit, also above @room; may be NULL
 *
 * An area does not fit when it is not inside one window less what is reserved, or its IOVA or length is no multiple of
 * the alignment; a guard that no longer fits is not held against it. Areas that do not fit stay what and where they
 * are, marked as misfits, until the caller has moved them and releases them; from now on new ones obey the new windows.
 * Windows that grow again make them fit again. Takes time in proportion to the number of areas.
 * Return: 0, also when areas do not fit; -EINVAL (unknown flags too), -E2BIG (struct), -ENOMEM: nothing changed.
 * Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iova_set_windows(struct vfm_iova *space, const struct vfm_iova_windows *windows,
						size_t *ret_misfits, struct vfm_error *ret_error);

/**
 * struct vfm_iova_stats - how full and how fragmented
 * @windows:       usable ranges, after what is reserved was taken out and those that touch were joined
 * @areas, @misfits, @holes: numbers of them
 * @used_bytes:    of areas with their guards; UINT64_MAX for that and more
 * @free_bytes:    of holes; UINT64_MAX for that and more
 * @largest_hole:  bytes; UINT64_MAX for that and more
 * @fragmentation: per mille of the free bytes that are not in the largest hole; 0 when nothing is free
 */
struct vfm_iova_stats {
	uint32_t size;
	uint32_t fragmentation;
	uint64_t windows;
	uint64_t areas;
	uint64_t misfits;
	uint64_t holes;
	uint64_t used_bytes;
	uint64_t free_bytes;
	uint64_t largest_hole;
};
/* Return: 0, -EINVAL (size). O(1). Since: 0.1 */
VFM_API VFM_MUST_CHECK int vfm_iova_stats(struct vfm_iova *space, struct vfm_iova_stats *ret);

#ifdef __cplusplus
}
#endif
#endif
