/* SPDX-License-Identifier: MIT */
/* What the bitmap functions share: inner loops in several instruction sets, and scaling between page sizes; pure. */
#ifndef VFIOMIG_LIB_BITMAP_H
#define VFIOMIG_LIB_BITMAP_H

#include "internal.h"

#define VFMI_WORD_BITS 64u

/*
 * Where runs of set bits begin and end, in turn: the first bit of one, the last of it, the first of the next.
 */
struct vfmi_bitmap_scan {
	const uint64_t *words;
	uint64_t word; /* index of the next to look at */
	uint64_t *edges;
	size_t count;
};

/* One word more has 64 edges at most; no store, however wide, goes further. */
#define VFMI_SCAN_SLACK 64

/* @edges: bits of word @word that differ from the bit before them. */
static inline void vfmi_bitmap_scan_put(struct vfmi_bitmap_scan *scan, uint64_t word, uint64_t edges)
{
	uint64_t base = word * VFMI_WORD_BITS;

	for (; edges; edges &= edges - 1, scan->count++)
		scan->edges[scan->count] = base + (uint64_t)__builtin_ctzll(edges) - (scan->count & 1);
}

/* The next word, whatever is before it. A run is open when the number of edges is odd. */
static inline void vfmi_bitmap_scan_word(struct vfmi_bitmap_scan *scan, uint64_t bits)
{
	vfmi_bitmap_scan_put(scan, scan->word++, bits ^ (bits << 1 | (scan->count & 1)));
}

/*
 * The inner loops on whole words that wide instructions make faster; merging is not among them, it waits for memory.
 * @scan goes on until word @end or until there are @enough edges, with room for VFMI_SCAN_SLACK more.
 */
struct vfmi_bitmap_ops {
	const char *name;
	uint64_t (*count)(const uint64_t *words, size_t count);
	void (*scan)(struct vfmi_bitmap_scan *scan, uint64_t end, size_t enough);
};

/* Those that this machine can run: [0] is portable, the last the fastest. Return: how many. */
#define VFMI_BITMAP_OPS_MAX 4
size_t vfmi_bitmap_ops_all(const struct vfmi_bitmap_ops *ret[VFMI_BITMAP_OPS_MAX]);
const struct vfmi_bitmap_ops *vfmi_bitmap_ops(void);

/* The public functions, with inner loops of the caller's choice; *cursor was checked. */
uint64_t vfmi_bitmap_count(const struct vfmi_bitmap_ops *ops, const uint64_t *map, uint64_t first, uint64_t count);
size_t vfmi_bitmap_ranges(const struct vfmi_bitmap_ops *ops, struct vfm_bitmap_cursor *cursor,
			  struct vfm_bitmap_range *ret, size_t room);

/* @count bits, 1 to 64, from bit @first on; no word is read that holds none of them. */
static inline uint64_t vfmi_bitmap_load(const uint64_t *map, uint64_t first, unsigned int count)
{
	const uint64_t *word = &map[first / VFMI_WORD_BITS];
	unsigned int shift = first % VFMI_WORD_BITS;
	uint64_t bits = word[0] >> shift;

	if (shift + count > VFMI_WORD_BITS)
		bits |= word[1] << (VFMI_WORD_BITS - shift);
	return bits & (UINT64_MAX >> (VFMI_WORD_BITS - count));
}

/* OR @bits in from bit @first on; words that gain nothing are not touched. */
void vfmi_bitmap_or(uint64_t *map, uint64_t first, uint64_t bits, bool shared);

/*
 * Between page sizes: 2^@shift small pages are a large one, @shift 1 to 63. @lead: how many small pages of the first
 * large one, below 2^@shift, lie before the range.
 */
struct vfmi_bitmap_scale {
	uint64_t *to;
	uint64_t to_first;
	const uint64_t *from;
	uint64_t from_first;
	uint64_t count; /* small pages */
	uint64_t lead;
	unsigned int shift;
	bool shared;
};

/* Small to large: a large page is dirty when one of its small ones is. */
void vfmi_bitmap_fold(const struct vfmi_bitmap_scale *scale);
/* Large to small: all small pages, inside the range, of a dirty large one are. */
void vfmi_bitmap_spread(const struct vfmi_bitmap_scale *scale);

#endif
