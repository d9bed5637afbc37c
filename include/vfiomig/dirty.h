/* SPDX-License-Identifier: MIT */
/* Which pages devices have written: one tracker over every source the host offers. */
#ifndef VFIOMIG_DIRTY_H
#define VFIOMIG_DIRTY_H

#include <vfiomig/bitmap.h>
#include <vfiomig/device.h>
#include <vfiomig/iommu.h>
#include <vfiomig/iova.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A tracker ORs the pages that its devices have written since the last sync into one bitmap of guest addresses, which
 * the caller owns. Areas say which guest address an IOVA is; devices join and leave; each is seen by the best source
 * there is for it, and one without any makes all it can reach dirty at every sync, the last one too.
 *
 * After vfm_tracker_join() and vfm_tracker_map() the caller sends all pages of the areas once: what was written before
 * a source ran is not known to it, and both calls set these pages. The order of a migration is: tracker and areas,
 * devices join, rounds of sync and sending, all writers stopped, every device in STOP or STOP_COPY, the final sync.
 *
 * An address space has one tracker at a time: to read dirty bits clears them. Of two, the second gets -EBUSY from a
 * page table and takes a lesser source, or none. Devices that were adopted each by itself, but share a page table, must
 * be in one tracker, which cannot be checked.
 *
 * Thread: one call at a time for each tracker; vfm_tracker_sync() may run beside the sending of pages when
 * %VFM_TRACKER_SHARED is set. Mapping of the address spaces by other threads goes on beside it, but not of what is
 * being added or removed.
 */
struct vfm_tracker;

/* How the writes of a device are seen. */
enum vfm_dirty_source {
	VFM_DIRTY_NONE = 0,	  /* not at all: everything it can reach is dirty at every sync */
	VFM_DIRTY_DEVICE_LOG = 1, /* the device's own log: VFIO_DEVICE_FEATURE_DMA_LOGGING, Linux 6.1 */
	VFM_DIRTY_HWPT = 2,	  /* dirty bits of the IOMMU's page table: IOMMU_HWPT_GET_DIRTY_BITMAP, Linux 6.7 */
	VFM_DIRTY_TYPE1 = 3,	  /* VFIO_IOMMU_DIRTY_PAGES of a container: pages pinned, or all */
};

enum vfm_tracker_flag {
	VFM_TRACKER_SHARED = 1,	  /* new: other threads set or take bits of the bitmap at the same time */
	VFM_TRACKER_QUIET = 2,	  /* unmap, leave, sync: the caller has made quiet what the library cannot ask */
	VFM_TRACKER_KEEP_MAP = 4, /* unmap: only the tracker forgets the area */
	VFM_TRACKER_FINAL = 8,	  /* sync: nothing may be written after it */
};

/**
 * struct vfm_tracker_opts - what a tracker is made of
 * @flags:   %VFM_TRACKER_SHARED
 * @sources: bits 1 << enum vfm_dirty_source that may be used; 0: all
 * @bitmap:  of guest addresses; its words belong to the caller and outlive the tracker. A page is 4 KiB or more, the
 *           first begins at a multiple of 4 KiB
 */
struct vfm_tracker_opts {
	uint32_t size;
	uint32_t flags;
	uint32_t sources;
	uint32_t reserved;
	struct vfm_bitmap_pages bitmap;
};

/* Return: 0; -EINVAL: options; -E2BIG: struct of a later version with something set; -ENOMEM. Since: 0.1 */
VFM_API VFM_MUST_CHECK int vfm_tracker_new(struct vfm_context *ctx, const struct vfm_tracker_opts *opts,
					   struct vfm_tracker **ret_tracker, struct vfm_error *ret_error);

/* Stops every source; devices, address spaces and their maps stay as they are. NULL is fine. Since: 0.1 */
VFM_API void vfm_tracker_free(struct vfm_tracker *tracker);

/**
 * vfm_tracker_map() - say which guest addresses an area of IOVA stands for
 * @iommu:  the address space; its devices may join later or have joined already
 * @iova, @length: bytes; multiples of 4 KiB. What vfm_iommu_map() mapped there, or is about to; in an adopted address
 *          space what vfm_iommu_adopt_map() was told. As long as it is not, it is dirty at every sync
 * @guest:  address of the first byte in the bitmap, a multiple of 4 KiB
 *
 * All its pages become dirty once, after every source of the address space sees it. A device log that must be started
 * anew for it may have missed pages meanwhile: what that log covers becomes dirty too, unless the area lies in one of
 * vfm_tracker_windows(). Several areas may stand for the same guest pages. A source that fails here is no failure: the
 * device falls back to a lesser one. Return: 0; -EINVAL: not aligned, empty; -EOVERFLOW: wraps; -ERANGE: outside the
 * bitmap; -EEXIST: it meets an area of that address space; -ENOMEM. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_tracker_map(struct vfm_tracker *tracker, struct vfm_iommu *iommu, uint64_t iova,
					   uint64_t length, uint64_t guest, struct vfm_error *ret_error);

/**
 * vfm_tracker_windows() - say where areas of an address space will come and go
 * @windows: sorted, apart, of whole pages of 4 KiB, not to the very end of 64 bits; copied. They take the place of
 * those told before; @count 0: none
 *
 * For a device behind a vIOMMU, whose guest maps and unmaps all the time: a device's log sees the IOVAs it was started
 * with, so that without a window each area elsewhere costs a start and makes the whole address space dirty. Best before
 * the devices join: a log that runs is started anew. A driver that cannot log so much logs the areas alone. What the
 * windows have beyond areas is never reported. Return: 0; -EINVAL, -EOVERFLOW: windows; -ENOMEM. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_tracker_windows(struct vfm_tracker *tracker, struct vfm_iommu *iommu,
					       const struct vfm_iova_range *windows, size_t count,
					       struct vfm_error *ret_error);

/**
 * vfm_tracker_unmap() - collect what was written to an area and unmap it, in the order that loses no page
 * @iova, @length: one area as vfm_tracker_map() was told
 * @flags:  %VFM_TRACKER_QUIET: no device writes to the area any more, as when a guest's driver has unmapped it behind a
 *          vIOMMU; without it all its pages become dirty where the bits go away with the map and a write may come
 *          between asking and unmapping, and where the caller has unmapped before. %VFM_TRACKER_KEEP_MAP: the caller
 *          keeps the map or has taken it away
 *
 * Return: 0; -ENOENT: no such area; -EINVAL: flags; -ENOMEM; or as vfm_iommu_unmap(), and the area stays tracked and is
 * dirty. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_tracker_unmap(struct vfm_tracker *tracker, struct vfm_iommu *iommu, uint64_t iova,
					     uint64_t length, uint32_t flags, struct vfm_error *ret_error);

/**
 * vfm_tracker_join() - see from now on what a device writes
 * @dev: attached; best before it runs. It and its address space outlive its membership; one that it left by
 *       vfm_device_attach_to(), until the next sync, unmap or leave
 *
 * The best allowed source that can be started is used, without one %VFM_DIRTY_NONE; vfm_tracker_device() tells why. All
 * pages it can reach become dirty once. Return: 0; -EALREADY: it has joined; -EINVAL: it is not attached; -ENOMEM.
 * Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_tracker_join(struct vfm_tracker *tracker, struct vfm_device *dev,
					    struct vfm_error *ret_error);

/**
 * vfm_tracker_leave() - a last report of a device, then it is no longer seen
 *
 * The device is in STOP or STOP_COPY, or has no such states and was made quiet by the caller (%VFM_TRACKER_QUIET in
 * @flags). To be called before it is detached or closed: where it is attached is looked at by sync, unmap and leave,
 * and where it was in between nobody knows. Return: 0; -ENOENT: it has not joined; -EINVAL: flags; -EBUSY: it may still
 * write; other errors are of the report, and then all it can reach is dirty and it has left. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_tracker_leave(struct vfm_tracker *tracker, struct vfm_device *dev, uint32_t flags,
					     struct vfm_error *ret_error);

/**
 * struct vfm_tracker_report - what a sync found
 * @dirty:     pages of the bitmap that are set now, clean ones before it included
 * @unseen:    devices without a source
 * @restarted: sources that lost their log (a reset, an error) and were started anew; what they cover is dirty
 */
struct vfm_tracker_report {
	uint32_t size;
	uint32_t unseen;
	uint32_t restarted;
	uint32_t reserved;
	uint64_t dirty;
};

/**
 * vfm_tracker_sync() - OR what was written since the last sync into the bitmap
 * @flags:      %VFM_TRACKER_FINAL: the last one, every device must be in STOP or STOP_COPY; with %VFM_TRACKER_QUIET
 *              devices that have no such states were made quiet by the caller
 * @ret_report: may be NULL
 *
 * A source that fails loses no page: all it covers becomes dirty, it is started anew or, when it fails again or does
 * not start, given up until the device is reset; and the sync goes on. Return: 0; -EBUSY: final, and the named device
 * may still write; nothing was changed; -EINVAL: flags, structs; -E2BIG: structs; -ENOMEM: a device was attached
 * elsewhere and is not seen there yet, the rest was done. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_tracker_sync(struct vfm_tracker *tracker, uint32_t flags,
					    struct vfm_tracker_report *ret_report, struct vfm_error *ret_error);

/**
 * struct vfm_tracker_device - how a device is seen
 * @source:     enum vfm_dirty_source
 * @page_shift: its pages, 2^page_shift bytes; 0 without a source
 * @excess:     bytes logged that no area has: the price of a driver that takes few ranges
 * @why:        why no better source is used and what is to be known of how this one runs; mostly empty
 */
struct vfm_tracker_device {
	uint32_t size;
	uint32_t source;
	uint32_t page_shift;
	uint32_t reserved;
	uint64_t excess;
	char why[160];
};

/* Return: 0; -ENOENT: it has not joined; -EINVAL, -E2BIG: the struct. Since: 0.1 */
VFM_API VFM_MUST_CHECK int vfm_tracker_device(struct vfm_tracker *tracker, const struct vfm_device *dev,
					      struct vfm_tracker_device *ret);

#ifdef __cplusplus
}
#endif
#endif
