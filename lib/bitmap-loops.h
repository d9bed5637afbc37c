/* SPDX-License-Identifier: MIT */
/*
 * Inner loops over whole words of bitmaps. Who includes this compiles them for an instruction set; inlining is forced,
 * for a function of its own would be compiled for the least machine.
 */
#ifndef VFIOMIG_BITMAP_LOOPS_H
#define VFIOMIG_BITMAP_LOOPS_H

#include "bitmap.h"

#define VFMI_LOOP static inline __attribute__((always_inline))

VFMI_LOOP uint64_t vfmi_loop_count(const uint64_t *words, size_t count)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < count; i++)
		bits += (uint64_t)__builtin_popcountll(words[i]);
	return bits;
}

/* Edges of a word, at its bits; the word before it is there. */
VFMI_LOOP uint64_t vfmi_loop_edges(const uint64_t *word)
{
	return word[0] ^ (word[0] << 1 | word[-1] >> (VFMI_WORD_BITS - 1));
}

/* Which of the 64 words from @words on have edges; the word before them is there. */
VFMI_LOOP uint64_t vfmi_loop_block(const uint64_t *words)
{
	uint64_t any = 0, with_edges = 0;

	for (size_t i = 0; i < VFMI_WORD_BITS; i++)
		any |= vfmi_loop_edges(&words[i]);
	if (any == 0)
		return 0;
	for (size_t i = 0; i < VFMI_WORD_BITS; i++)
		with_edges |= (uint64_t)(vfmi_loop_edges(&words[i]) != 0) << i;
	return with_edges;
}

/*
 * A block of 64 words at a time: which of them have edges is found without a branch, for in a sparse bitmap no
 * processor foretells it.
 */
VFMI_LOOP void vfmi_loop_scan(struct vfmi_bitmap_scan *scan, uint64_t end, size_t enough,
			      uint64_t (*block)(const uint64_t *words),
			      void (*put)(struct vfmi_bitmap_scan *scan, uint64_t word, uint64_t edges))
{
	/* There is no word before the first, and what is before it may not count. */
	if (scan->word < end && scan->count < enough)
		vfmi_bitmap_scan_word(scan, scan->words[scan->word]);
	while (scan->word < end && scan->count < enough) {
		const uint64_t *words = &scan->words[scan->word];
		bool whole = end - scan->word >= VFMI_WORD_BITS;
		uint64_t left = whole ? block(words) : UINT64_MAX >> (VFMI_WORD_BITS - (end - scan->word));
		uint64_t next = whole ? VFMI_WORD_BITS : end - scan->word;

		for (; left; left &= left - 1) {
			size_t i = (size_t)__builtin_ctzll(left);

			if (scan->count >= enough) {
				next = i;
				break;
			}
			put(scan, scan->word + i, vfmi_loop_edges(&words[i]));
		}
		scan->word += next;
	}
}

#endif
