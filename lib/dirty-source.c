/* SPDX-License-Identifier: MIT */
/* From a source's bitmap of IOVAs into the caller's bitmap of guest addresses. */
#include "bitmap.h"
#include "dirty-source.h"

/* Where pages of both sides lie across each other: each page of @to that a dirty byte lies in. @lead, @last: of the
 * area, from @iova's bit on. */
static void merge_across(const struct vfmi_dirty_sink *sink, const struct vfmi_dirty_area *area, const uint64_t *words,
			 unsigned int shift, uint64_t lead, uint64_t last)
{
	for (uint64_t bit = lead >> shift; bit <= last >> shift; bit++) {
		const uint64_t page = bit << shift;
		const uint64_t first = page > lead ? page : lead;
		const uint64_t end = last >> shift == bit ? last : page + ((1ull << shift) - 1);
		const struct vfmi_dirty_area part = {
			.iova = area->iova + (first - lead),
			.length = end - first + 1,
			.guest = area->guest + (first - lead),
		};

		if (vfm_bitmap_test(words, bit))
			vfmi_dirty_all(sink, &part);
	}
}

int vfmi_dirty_merge(const struct vfmi_dirty_sink *sink, const struct vfmi_dirty_area *area, const uint64_t *words,
		     uint64_t iova, unsigned int page_shift)
{
	struct vfm_bitmap_pages from = {
		.size = sizeof(from), .page_shift = page_shift, .words = (uint64_t *)(uintptr_t)words, /* only read */
	};
	const uint64_t across = (1ull << (page_shift < sink->to.page_shift ? page_shift : sink->to.page_shift)) - 1;
	struct vfm_bitmap_pages to = sink->to;
	uint64_t lead = area->iova - iova;
	uint64_t guest = area->guest;
	uint64_t last;

	if (area->iova < iova || page_shift >= VFMI_WORD_BITS || vfmi_add_overflows(lead, area->length - 1, &last))
		return -EINVAL;
	from.pages = (last >> page_shift) + 1;
	/* Below guest address 0 there is nothing, so that both bitmaps move up where the source's begins before. */
	if (guest < lead && (vfmi_add_overflows(to.start, lead, &to.start) || vfmi_add_overflows(guest, lead, &guest)))
		return -EINVAL;
	from.start = guest - lead;
	if ((from.start - to.start) & across) {
		merge_across(sink, area, words, page_shift, lead, last);
		return 0;
	}
	return vfm_bitmap_merge_pages(&to, &from, guest, area->length, sink->shared);
}

bool vfmi_dirty_part(const struct vfmi_dirty_area *area, uint64_t first, uint64_t last, struct vfmi_dirty_area *ret)
{
	const uint64_t from = area->iova > first ? area->iova : first;
	const uint64_t to = vfmi_min_u64(area->iova + (area->length - 1), last);

	if (from > to)
		return false;
	*ret = (struct vfmi_dirty_area){
		.iova = from,
		.length = to - from + 1,
		.guest = area->guest + (from - area->iova),
	};
	return true;
}

void vfmi_dirty_all(const struct vfmi_dirty_sink *sink, const struct vfmi_dirty_area *area)
{
	uint64_t first = (area->guest - sink->to.start) >> sink->to.page_shift;
	uint64_t last = (area->guest + (area->length - 1) - sink->to.start) >> sink->to.page_shift;

	vfm_bitmap_set(sink->to.words, first, last - first + 1, sink->shared);
}
