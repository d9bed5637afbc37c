/* SPDX-License-Identifier: MIT */
/* Which ranges of IOVA a device is asked to log, from what is mapped and what its driver can take; pure. */
#ifndef VFIOMIG_DMA_RANGES_H
#define VFIOMIG_DMA_RANGES_H

#include "internal.h"

/* The kernel takes a page full of ranges, VFIO_DEVICE_FEATURE_DMA_LOGGING_START, Linux 6.1. */
#define VFMI_DMA_RANGES_MAX 256u

/*
 * What a driver can take.
 * @max_ranges: 1 for those that keep one range (pds); 0, or more than VFMI_DMA_RANGES_MAX: that many
 * @page_sizes: bit n: pages of 2^n bytes; the smallest is tried first. One at least, none below 4 KiB
 * @align_pages: ranges begin and end at multiples of this many pages, a power of two; 0: 1. 64 where only reports of
 *               whole words are right: those of a range then never reach outside it
 * @total_bits: the lengths of all ranges together are at most 2^total_bits bytes (mlx5); 0: no such limit
 */
struct vfmi_dma_limits {
	uint32_t max_ranges;
	uint32_t align_pages;
	uint32_t total_bits;
	uint64_t page_sizes;
};

/*
 * One way to log. Ranges are sorted, do not touch, hold all that is mapped, and do not hold the last byte of the
 * address space: the kernel takes a start and a length whose sum must not wrap.
 * @page_size: 0 when nothing is logged: every page is dirty at every sync
 * @covered:   bytes in the ranges
 * @excess:    bytes of them that are not mapped
 */
struct vfmi_dma_plan {
	struct vfm_iova_range *ranges;
	size_t count;
	uint64_t page_size;
	uint64_t covered;
	uint64_t excess;
};

/*
 * Plans in the order to try them: with each page size as many ranges as the driver takes, which is the least excess,
 * then fewer and fewer; the last logs nothing, and is the only one when an area lies at the very end of the address
 * space. What a driver cannot take by its limits is not among them.
 */
struct vfmi_dma_ladder {
	struct vfmi_dma_plan *plans;
	size_t count;
};

/*
 * @areas: what is mapped, sorted, disjoint, one at least, as is for vfmi_dma_cover(). O(n log n) for each of the few
 * page sizes. Return: 0, -EINVAL (areas, limits), -ENOMEM.
 */
int vfmi_dma_ladder_new(const struct vfm_iova_range *areas, size_t count, const struct vfmi_dma_limits *limits,
			struct vfmi_dma_ladder *ret);
void vfmi_dma_ladder_free(struct vfmi_dma_ladder *ladder);

/* Whether the next plan may fare better after START failed with @code, a negative errno. */
bool vfmi_dma_worth_another(int code);

/* The plan in words, for log and error: "3 ranges of 4 KiB pages, 12 MiB more than is mapped". Return: @text. */
#define VFMI_DMA_PLAN_TEXT 128
const char *vfmi_dma_plan_text(const struct vfmi_dma_plan *plan, char text[VFMI_DMA_PLAN_TEXT]);

/*
 * The least cover of @areas by at most @most ranges, one at least, of whole units; a unit is a power of two.
 * @ret: room for @most. Return: 0, -EOVERFLOW (an area lies in the last unit of the address space), -ENOMEM.
 */
int vfmi_dma_cover(const struct vfm_iova_range *areas, size_t count, uint64_t unit, size_t most,
		   struct vfm_iova_range *ret, size_t *ret_count);

#endif
