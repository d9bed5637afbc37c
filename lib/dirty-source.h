/* SPDX-License-Identifier: MIT */
/* A place where the kernel keeps what devices wrote: one kind a file, driven by the tracker and by nobody else. */
#ifndef VFIOMIG_DIRTY_SOURCE_H
#define VFIOMIG_DIRTY_SOURCE_H

#include <vfiomig/dirty.h>

#include "internal.h"

struct vfmi_dirty_source;

/* A mapped area and the guest address it stands for. @length: bytes, not 0; the end does not wrap. */
struct vfmi_dirty_area {
	uint64_t iova;
	uint64_t length;
	uint64_t guest;
};

/* Where dirty pages go: the caller's bitmap of guest addresses. */
struct vfmi_dirty_sink {
	struct vfm_bitmap_pages to;
	bool shared;
};

/*
 * All return 0 or -errno with a report in @err that names device or address space, step and cause. Areas are sorted by
 * IOVA and disjoint. No kind keeps the areas it was given.
 */
struct vfmi_dirty_ops {
	uint32_t kind; /* enum vfm_dirty_source */
	/*
	 * From the return on, every write to @areas is seen, as far as the kind can. Called for a source that does not
	 * run. -EOPNOTSUPP: this device or address space has no such source. @count may be 0: nothing is mapped yet.
	 */
	int (*start)(struct vfmi_dirty_source *source, const struct vfmi_dirty_area *areas, size_t count,
		     struct vfm_error *err);
	/* Whether writes to @area are seen as the source runs now; false: it has to be started anew. */
	bool (*covers)(const struct vfmi_dirty_source *source, const struct vfmi_dirty_area *area);
	/* OR what was written to @area since the last report into @sink, and clear it in the kernel unless @keep. */
	int (*report)(struct vfmi_dirty_source *source, const struct vfmi_dirty_area *area,
		      const struct vfmi_dirty_sink *sink, bool keep, struct vfm_error *err);
	/*
	 * Unmap @area and OR what was written to it until then into @sink, as one step of the kernel; NULL where the
	 * kernel has no such step. What fails leaves the map, or the books say that it is not known.
	 */
	int (*unmap)(struct vfmi_dirty_source *source, const struct vfmi_dirty_area *area,
		     const struct vfmi_dirty_sink *sink, struct vfm_error *err);
	/* The bits go with the map: report before, with @keep. Else (a device's own log) after the unmap. */
	bool dies_with_map;
	/* Nothing is seen any more; failure is only logged. A source that does not run is fine. */
	void (*stop)(struct vfmi_dirty_source *source);
	void (*free)(struct vfmi_dirty_source *source); /* stopped */
};

/* First member of each kind. */
struct vfmi_dirty_source {
	const struct vfmi_dirty_ops *ops;
	struct vfm_context *ctx;
	uint32_t page_shift; /* while it runs: the pages it tells apart */
	uint64_t excess;     /* bytes it covers that no area has */
	bool shared;	     /* another source reads the same page table: to be left on by stop */
	char note[160];	     /* what a user should know of how it runs, "" mostly */
};

/*
 * Sources of one device or address space, not running. _hwpt: of one page table of @iommu, shared by its devices.
 * Return: 0, -ENOMEM.
 */
int vfmi_dirty_log_new(struct vfm_device *dev, struct vfmi_dirty_source **ret);
int vfmi_dirty_hwpt_new(struct vfm_iommu *iommu, uint32_t hwpt_id, struct vfmi_dirty_source **ret);
int vfmi_dirty_type1_new(struct vfm_iommu *iommu, struct vfmi_dirty_source **ret);

/*
 * OR a bitmap of a source's pages into the sink: bit 0 of @words is the page at @iova, 2^@page_shift bytes each; only
 * pages of @area are taken. @iova is at or below the area's. Return: 0 or as vfm_bitmap_merge_pages().
 */
int vfmi_dirty_merge(const struct vfmi_dirty_sink *sink, const struct vfmi_dirty_area *area, const uint64_t *words,
		     uint64_t iova, unsigned int page_shift);
/* What of @area lies in [@first, @last]; false when nothing does. */
bool vfmi_dirty_part(const struct vfmi_dirty_area *area, uint64_t first, uint64_t last, struct vfmi_dirty_area *ret);
/* All pages of @area are dirty. */
void vfmi_dirty_all(const struct vfmi_dirty_sink *sink, const struct vfmi_dirty_area *area);

#endif
