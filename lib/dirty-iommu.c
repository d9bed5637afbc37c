/* SPDX-License-Identifier: MIT */
/*
 * An area is read by the maps behind it. Where it is a part of a map, reading may clear pages beside it: a container
 * reads maps whole, and a page table has one dirty bit for a huge page. Those pages are held for the area they are of.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "dirty-iommu.h"

/* Nothing a kernel offers has smaller or larger base pages. */
#define MAX_PAGE_SHIFT 30u

/* Looked at with each report and each new one of them, so that those of gone maps go faster than others come. */
#define LOOKS 2

struct vfmi_dirty_held {
	struct vfmi_area place; /* first */
	uint64_t pages;
	uint64_t words[];
};

static uint64_t last_of(const struct vfmi_dirty_area *area)
{
	return area->iova + (area->length - 1);
}

/* pages held for other areas */

/* Clear the pages that lie wholly in @area, which begins no earlier than @iova. */
static void clear_inside(uint64_t *words, uint64_t iova, unsigned int shift, const struct vfmi_dirty_area *area)
{
	const uint64_t mask = (UINT64_C(1) << shift) - 1;
	const uint64_t first = area->iova - iova;
	const uint64_t last = last_of(area) - iova;
	const uint64_t from = (first >> shift) + ((first & mask) != 0);
	const uint64_t to = (last >> shift) + ((last & mask) == mask);

	if (to > from)
		vfm_bitmap_clear(words, from, to - from);
}

static struct vfmi_dirty_held *held_in(const struct vfmi_dirty_iommu *self, uint64_t first, uint64_t last)
{
	return (struct vfmi_dirty_held *)vfmi_areas_overlap(&self->held, first, last);
}

static void drop(struct vfmi_dirty_iommu *self, struct vfmi_dirty_held *held)
{
	vfmi_areas_remove(&self->held, &held->place);
	free(held);
}

/* Nobody needs the pages of a map that is gone: an area which would ask for them is dirty as a whole. */
static void drop_gone(struct vfmi_dirty_iommu *self)
{
	struct vfm_iova_range map;

	for (unsigned int i = 0; i < LOOKS; i++) {
		struct vfmi_dirty_held *held = held_in(self, self->look, UINT64_MAX);

		if (!held) {
			self->look = 0;
			return;
		}
		self->look = held->place.last + 1;
		if (!vfmi_iommu_map_at(self->iommu, held->place.iova, &map))
			drop(self, held);
	}
}

static struct vfmi_dirty_held *held_for(struct vfmi_dirty_iommu *self, const struct vfmi_dirty_bits *bits)
{
	const uint64_t last = bits->iova + (bits->length - 1);
	struct vfmi_dirty_held *held;

	while ((held = held_in(self, bits->iova, last))) {
		if (held->place.iova == bits->iova && held->place.last == last)
			return held;
		drop(self, held); /* of another map, whose place this one has */
	}
	drop_gone(self);
	held = calloc(1, sizeof(*held) + (size_t)bits->bytes);
	if (!held)
		return NULL;
	held->place.iova = bits->iova;
	held->place.last = last;
	held->pages = ((bits->length - 1) >> self->source.page_shift) + 1;
	vfmi_areas_add(&self->held, &held->place);
	return held;
}

static int hold(struct vfmi_dirty_iommu *self, const struct vfmi_dirty_bits *bits)
{
	const uint64_t pages = ((bits->length - 1) >> self->source.page_shift) + 1;
	struct vfmi_dirty_held *held;

	if (vfm_bitmap_count(bits->words, 0, pages) == 0)
		return 0;
	held = held_for(self, bits);
	if (!held)
		return -ENOMEM;
	vfm_bitmap_merge(held->words, 0, bits->words, 0, pages, false);
	return 0;
}

int vfmi_dirty_iommu_merge_held(struct vfmi_dirty_iommu *self, const struct vfmi_dirty_area *area,
				const struct vfmi_dirty_sink *sink, bool keep)
{
	const unsigned int shift = self->source.page_shift;
	struct vfmi_dirty_area part = *area;
	struct vfmi_dirty_held *held;
	uint64_t last;
	int r;

	for (uint64_t at = area->iova; (held = held_in(self, at, last_of(area))); at = last + 1) {
		last = held->place.last;
		(void)vfmi_dirty_part(area, held->place.iova, last, &part);
		r = vfmi_dirty_merge(sink, &part, held->words, held->place.iova, shift);
		if (r < 0)
			return r;
		if (!keep)
			clear_inside(held->words, held->place.iova, shift, &part);
		if (vfm_bitmap_count(held->words, 0, held->pages) == 0)
			drop(self, held);
		if (last >= last_of(area))
			break;
	}
	return 0;
}

void vfmi_dirty_iommu_clear(struct vfmi_dirty_iommu *self)
{
	struct vfmi_dirty_held *held;

	while ((held = held_in(self, 0, UINT64_MAX)))
		drop(self, held);
	self->look = 0;
	self->warned = false;
	free(self->words);
	self->words = NULL;
	self->words_bytes = 0;
}

bool vfmi_dirty_iommu_set_page(struct vfmi_dirty_iommu *self, uint64_t page_size)
{
	uint32_t shift;

	if (!vfmi_is_power_of_two(page_size))
		return false;
	shift = (uint32_t)__builtin_ctzll(page_size);
	if (shift < VFMI_DIRTY_PAGE_SHIFT || shift > MAX_PAGE_SHIFT)
		return false;
	self->source.page_shift = shift;
	return true;
}

/* reading */

/* Whole pages of memory: a kernel that pins the words, or writes beside them, meets nobody else's. */
static int make_room(struct vfmi_dirty_iommu *self, uint64_t bytes)
{
	const uint64_t page = vfmi_page_size(vfmi_iommu_context(self->iommu)->sys);
	void *words;

	if (bytes <= self->words_bytes)
		return 0;
	if (bytes > SIZE_MAX / 2)
		return -ENOMEM;
	bytes = (bytes + page - 1) & ~(page - 1);
	if (posix_memalign(&words, (size_t)page, (size_t)bytes))
		return -ENOMEM;
	free(self->words);
	self->words = words;
	self->words_bytes = bytes;
	return 0;
}

int vfmi_dirty_iommu_bits(struct vfmi_dirty_iommu *self, uint64_t first, uint64_t last, const char *step,
			  struct vfmi_dirty_bits *ret, struct vfm_error *err)
{
	const uint64_t pages = ((last - first) >> self->source.page_shift) + 1;
	const uint64_t bytes = vfm_bitmap_words(pages) * sizeof(uint64_t);

	if (self->bitmap_bytes && bytes > self->bitmap_bytes)
		return VFMI_FAIL(self->source.ctx, err, EOPNOTSUPP, NULL, step,
				 "%s: the map [0x%" PRIx64 ", 0x%" PRIx64 "] needs a bitmap of %" PRIu64
				 " bytes and the kernel takes %" PRIu64 "; map it as several smaller areas",
				 self->name, first, last, bytes, self->bitmap_bytes);
	if (make_room(self, bytes) < 0)
		return VFMI_FAIL(self->source.ctx, err, ENOMEM, NULL, step, "%s: a bitmap of %" PRIu64 " bytes: %s",
				 self->name, bytes, vfmi_errno_text(ENOMEM));
	memset(self->words, 0, (size_t)bytes); /* the kernel only sets bits, and needs every page of it there */
	*ret = (struct vfmi_dirty_bits){
		.iova = first,
		.length = last - first + 1,
		.page_size = UINT64_C(1) << self->source.page_shift,
		.bytes = bytes,
		.words = self->words,
	};
	return 0;
}

static int fail_merge(struct vfmi_dirty_iommu *self, int r, struct vfm_error *err)
{
	return VFMI_FAIL(self->source.ctx, err, -r, NULL, VFMI_DIRTY_READ, "%s: the pages cannot be noted: %s",
			 self->name, vfmi_errno_text(-r));
}

/* Pages of @area into @sink; those beside it, which the kernel has cleared as well, are held. */
static int share(struct vfmi_dirty_iommu *self, const struct vfmi_dirty_bits *bits, const struct vfmi_dirty_area *area,
		 const struct vfmi_dirty_sink *sink, bool keep)
{
	const unsigned int shift = self->source.page_shift;
	struct vfmi_dirty_area part;
	int r;

	if (!vfmi_dirty_part(area, bits->iova, bits->iova + (bits->length - 1), &part))
		return 0;
	r = vfmi_dirty_merge(sink, &part, bits->words, bits->iova, shift);
	if (r < 0 || (keep && self->peeks) || (!keep && part.length == bits->length))
		return r;
	if (!keep)
		clear_inside(bits->words, bits->iova, shift, &part);
	return hold(self, bits);
}

static int read_chunk(struct vfmi_dirty_iommu *self, uint64_t first, uint64_t last, const struct vfmi_dirty_area *area,
		      const struct vfmi_dirty_sink *sink, bool keep, struct vfm_error *err)
{
	struct vfmi_dirty_bits bits;
	int r = vfmi_dirty_iommu_bits(self, first, last, VFMI_DIRTY_READ, &bits, err);

	if (r == 0)
		r = self->read(self, &bits, keep, err);
	if (r < 0)
		return r;
	r = share(self, &bits, area, sink, keep);
	return r < 0 ? fail_merge(self, r, err) : 0;
}

/*
 * A huge page has one bit, for which drivers of IOMMUs set all pages from where they were asked on, and nothing before:
 * so chunks begin where the map does or at a multiple of their size, not where the area does.
 */
static int read_map(struct vfmi_dirty_iommu *self, const struct vfm_iova_range *map, const struct vfmi_dirty_area *area,
		    const struct vfmi_dirty_sink *sink, bool keep, struct vfm_error *err)
{
	const uint64_t mask = self->chunk_bytes - 1;
	uint64_t first = area->iova & ~mask;
	uint64_t last;
	int r;

	if (first < map->first)
		first = map->first;
	for (;;) {
		last = vfmi_min_u64(first | mask, map->last);
		r = read_chunk(self, first, last, area, sink, keep, err);
		if (r < 0 || last == map->last || last >= last_of(area))
			return r;
		first = last + 1;
	}
}

/* Whether maps of the books make up @area without a gap; behind one the kernel tells nothing of a page table. */
static bool is_mapped(struct vfmi_dirty_iommu *self, const struct vfmi_dirty_area *area)
{
	struct vfm_iova_range map = { 0 };

	for (uint64_t at = area->iova; vfmi_iommu_map_at(self->iommu, at, &map); at = map.last + 1)
		if (map.last >= last_of(area))
			return true;
	return false;
}

/* false in *@ret_whole: the maps end within @area. */
static int read_maps(struct vfmi_dirty_iommu *self, const struct vfmi_dirty_area *area,
		     const struct vfmi_dirty_sink *sink, bool keep, bool *ret_whole, struct vfm_error *err)
{
	struct vfm_iova_range map = { 0 };
	int r = 0;

	*ret_whole = false;
	for (uint64_t at = area->iova; r == 0 && !*ret_whole; at = map.last + 1) {
		if (!vfmi_iommu_map_at(self->iommu, at, &map))
			return 0;
		r = read_map(self, &map, area, sink, keep, err);
		*ret_whole = map.last >= last_of(area);
	}
	return r;
}

/* An area on its way out may well be unmapped; one that stays so without end is somebody's mistake. */
static void mark_unmapped(struct vfmi_dirty_iommu *self, const struct vfmi_dirty_area *area,
			  const struct vfmi_dirty_sink *sink, bool keep)
{
	const int level = keep || self->warned ? VFM_LOG_DEBUG : VFM_LOG_WARNING;

	vfmi_dirty_all(sink, area);
	vfmi_log(self->source.ctx, level,
		 "%s: %s: %" PRIu64 " bytes at IOVA 0x%" PRIx64
		 " are not mapped as a whole, so that all their pages count as written; what the owner of an adopted "
		 "address space mapped is known by vfm_iommu_adopt_map()",
		 VFMI_DIRTY_READ, self->name, area->length, area->iova);
	self->warned = self->warned || !keep;
}

int vfmi_dirty_iommu_report(struct vfmi_dirty_source *source, const struct vfmi_dirty_area *area,
			    const struct vfmi_dirty_sink *sink, bool keep, struct vfm_error *err)
{
	struct vfmi_dirty_iommu *self = (struct vfmi_dirty_iommu *)source;
	bool whole;
	int r;

	if (!self->runs)
		return VFMI_FAIL(source->ctx, err, EINVAL, NULL, VFMI_DIRTY_READ,
				 "%s: %" PRIu64 " bytes at IOVA 0x%" PRIx64 ": tracking does not run", self->name,
				 area->length, area->iova);
	drop_gone(self);
	r = read_maps(self, area, sink, keep, &whole, err);
	/* The books are asked after it too: of a map that went meanwhile the kernel tells nothing, or an error. */
	if ((r == 0 && !whole) || !is_mapped(self, area)) {
		mark_unmapped(self, area, sink, keep);
		return 0;
	}
	if (r < 0)
		return r;
	r = vfmi_dirty_iommu_merge_held(self, area, sink, keep);
	return r < 0 ? fail_merge(self, r, err) : 0;
}
