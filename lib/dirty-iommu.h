/* SPDX-License-Identifier: MIT */
/* What the dirty sources of an address space share: an area is read by the maps behind it, and no page is lost. */
#ifndef VFIOMIG_DIRTY_IOMMU_H
#define VFIOMIG_DIRTY_IOMMU_H

#include "areas.h"
#include "dirty-source.h"
#include "iommu-internal.h"

/* Pages below that no bitmap of the caller tells apart. */
#define VFMI_DIRTY_PAGE_SHIFT 12u

struct vfmi_dirty_iommu {
	struct vfmi_dirty_source source; /* first */
	struct vfm_iommu *iommu;
	char name[40]; /* for reports */
	bool runs;

	/* Read what was written to the pages of @bits, and clear it unless @keep. 0, or -errno with a report. */
	int (*read)(struct vfmi_dirty_iommu *self, const struct vfmi_dirty_bits *bits, bool keep,
		    struct vfm_error *err);
	bool peeks;	       /* it can keep */
	uint64_t chunk_bytes;  /* most to read at once, a power of two; 0: a map is read whole */
	uint64_t bitmap_bytes; /* longest bitmap the kernel takes; 0: any */

	/* of dirty-iommu.c alone */
	uint64_t *words;
	uint64_t words_bytes;
	struct vfmi_areas held; /* of maps that were read beside an area, by IOVA */
	uint64_t look;		/* where the next look for maps that are gone begins */
	bool warned;		/* that an area is not mapped */
};

#define VFMI_DIRTY_READ "read dirty bitmap"

/*
 * struct vfmi_dirty_ops.report of both kinds. An area is dirty as a whole, which is said once, unless maps of the books
 * make it up without a gap until it was read; the source and its other areas go on.
 */
int vfmi_dirty_iommu_report(struct vfmi_dirty_source *source, const struct vfmi_dirty_area *area,
			    const struct vfmi_dirty_sink *sink, bool keep, struct vfm_error *err);

/* A zeroed bitmap for [@first, @last], there until the next call. -EOPNOTSUPP, -ENOMEM with a report of @step. */
int vfmi_dirty_iommu_bits(struct vfmi_dirty_iommu *self, uint64_t first, uint64_t last, const char *step,
			  struct vfmi_dirty_bits *ret, struct vfm_error *err);

/* OR in pages of @area that were read before with another area of the same map; they are forgotten unless @keep. */
int vfmi_dirty_iommu_merge_held(struct vfmi_dirty_iommu *self, const struct vfmi_dirty_area *area,
				const struct vfmi_dirty_sink *sink, bool keep);

/* Memory and pages held are given back: the source has ended. */
void vfmi_dirty_iommu_clear(struct vfmi_dirty_iommu *self);

/* @page_size of the kernel into the source's page_shift; false when no bitmap can be made of it. */
bool vfmi_dirty_iommu_set_page(struct vfmi_dirty_iommu *self, uint64_t page_size);

#endif
