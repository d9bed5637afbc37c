/* SPDX-License-Identifier: MIT */
/* Bitmaps of dirty pages brought from one page size to another, and pages merged by their addresses; pure. */
#include "bitmap.h"

#define IN_WORD (VFMI_WORD_BITS - 1) /* of a bit's number: which of its word */
#define WORD_SHIFT 6

static uint64_t low_bits(unsigned int count)
{
	return UINT64_MAX >> (VFMI_WORD_BITS - count);
}

/* The lowest bit of each group of 2^@shift. */
static uint64_t lowest_of_groups(unsigned int shift)
{
	return UINT64_MAX / low_bits(1u << shift);
}

/*
 * Each group of 2^@shift bits becomes one bit, their OR. Once it stands lowest in its group, neighbours are pushed
 * together: blocks of one bit become blocks of two, those of four, until there is one block.
 */
static uint64_t fold_word(uint64_t bits, unsigned int shift)
{
	if (shift >= WORD_SHIFT)
		return bits != 0;
	for (unsigned int step = 0; step < shift; step++)
		bits |= bits >> (1u << step);
	bits &= lowest_of_groups(shift);
	for (unsigned int step = shift; step < WORD_SHIFT; step++) {
		unsigned int block = 1u << (step - shift);

		bits |= bits >> ((1u << step) - block);
		bits &= lowest_of_groups(step + 1) * low_bits(2 * block);
	}
	return bits;
}

/* The way back: each bit becomes a group of 2^@shift like it. */
static uint64_t spread_word(uint64_t bits, unsigned int shift)
{
	if (shift >= WORD_SHIFT)
		return bits & 1 ? UINT64_MAX : 0;
	for (unsigned int step = WORD_SHIFT; step-- > shift;) {
		unsigned int block = 1u << (step - shift);

		bits |= bits << ((1u << step) - block);
		bits &= lowest_of_groups(step) * low_bits(block);
	}
	return bits * low_bits(1u << shift);
}

/*
 * Both walk over the small pages in pieces that a word of them holds, counted from the beginning of the first large
 * page, so that a word holds whole large pages or lies inside one.
 */
static unsigned int piece(uint64_t page, uint64_t end)
{
	return (unsigned int)vfmi_min_u64(VFMI_WORD_BITS - (page & IN_WORD), end - page);
}

void vfmi_bitmap_fold(const struct vfmi_bitmap_scale *scale)
{
	uint64_t end = scale->lead + scale->count;
	unsigned int count;

	for (uint64_t page = scale->lead; page < end; page += count) {
		uint64_t large = (page & ~(uint64_t)IN_WORD) >> scale->shift;
		uint64_t bits;

		count = piece(page, end);
		bits = vfmi_bitmap_load(scale->from, scale->from_first + (page - scale->lead), count);
		if (bits)
			vfmi_bitmap_or(scale->to, scale->to_first + large,
				       fold_word(bits << (page & IN_WORD), scale->shift), scale->shared);
	}
}

void vfmi_bitmap_spread(const struct vfmi_bitmap_scale *scale)
{
	uint64_t end = scale->lead + scale->count;
	unsigned int count;

	for (uint64_t page = scale->lead; page < end; page += count) {
		uint64_t large = (page & ~(uint64_t)IN_WORD) >> scale->shift;
		unsigned int larges;
		uint64_t bits;

		count = piece(page, end);
		larges = (unsigned int)(((page + count - 1) >> scale->shift) - large + 1);
		bits = vfmi_bitmap_load(scale->from, scale->from_first + large, larges);
		bits = spread_word(bits, scale->shift) >> (page & IN_WORD) & low_bits(count);
		if (bits)
			vfmi_bitmap_or(scale->to, scale->to_first + (page - scale->lead), bits, scale->shared);
	}
}

/* Pages by address */

static int pages_in(struct vfm_bitmap_pages *to, const struct vfm_bitmap_pages *from)
{
	int r = vfmi_sized_in(to, sizeof(*to), from, VFMI_SIZE_TO(struct vfm_bitmap_pages, pages));

	if (r < 0)
		return r;
	return to->page_shift >= VFMI_WORD_BITS || (to->pages > 0 && !to->words) ? -EINVAL : 0;
}

static bool holds(const struct vfm_bitmap_pages *map, uint64_t first, uint64_t last)
{
	return first >= map->start && (last - map->start) >> map->page_shift < map->pages;
}

static uint64_t page_at(const struct vfm_bitmap_pages *map, uint64_t address)
{
	return (address - map->start) >> map->page_shift;
}

/* Both hold the range, and @small's pages are not larger than @large's. */
static void merge_scaled(const struct vfm_bitmap_pages *large, const struct vfm_bitmap_pages *small, uint64_t first,
			 uint64_t last, struct vfmi_bitmap_scale *ret_scale, uint64_t *ret_small, uint64_t *ret_large)
{
	uint64_t small_first = page_at(small, first);
	uint64_t address = small->start + (small_first << small->page_shift);

	*ret_small = small_first;
	*ret_large = page_at(large, address);
	ret_scale->count = page_at(small, last) - small_first + 1;
	ret_scale->shift = large->page_shift - small->page_shift;
	ret_scale->lead = (address - large->start - (*ret_large << large->page_shift)) >> small->page_shift;
}

int vfm_bitmap_merge_pages(const struct vfm_bitmap_pages *to_pages, const struct vfm_bitmap_pages *from_pages,
			   uint64_t first, uint64_t bytes, bool shared)
{
	struct vfm_bitmap_pages to, from;
	struct vfmi_bitmap_scale scale;
	int r = pages_in(&to, to_pages);
	uint64_t last, mask;

	if (r == 0)
		r = pages_in(&from, from_pages);
	if (r < 0)
		return r;
	if (shared && (uintptr_t)to.words % sizeof(*to.words)) /* no atomic OR goes across words */
		return -EINVAL;
	mask = (1ull << (to.page_shift < from.page_shift ? to.page_shift : from.page_shift)) - 1;
	if ((to.start - from.start) & mask)
		return -EINVAL;
	if (bytes == 0)
		return 0;
	if (vfmi_add_overflows(first, bytes - 1, &last))
		return -EOVERFLOW;
	if (!holds(&to, first, last) || !holds(&from, first, last))
		return -ERANGE;
	scale = (struct vfmi_bitmap_scale){ .to = to.words, .from = from.words, .shared = shared };
	if (to.page_shift >= from.page_shift)
		merge_scaled(&to, &from, first, last, &scale, &scale.from_first, &scale.to_first);
	else
		merge_scaled(&from, &to, first, last, &scale, &scale.to_first, &scale.from_first);
	if (scale.shift == 0)
		vfm_bitmap_merge(to.words, scale.to_first, from.words, scale.from_first, scale.count, shared);
	else if (to.page_shift > from.page_shift)
		vfmi_bitmap_fold(&scale);
	else
		vfmi_bitmap_spread(&scale);
	return 0;
}
