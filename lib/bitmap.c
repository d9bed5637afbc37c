/* SPDX-License-Identifier: MIT */
/* Bitmaps of dirty pages: ranges of bits set, cleared, counted, merged at any offset, taken from those who set them. */
#include <endian.h>

#include "bitmap.h"

uint64_t vfm_bitmap_words(uint64_t bits)
{
	return bits / VFMI_WORD_BITS + (bits % VFMI_WORD_BITS != 0);
}

/* A range of bits as words: all words but the first and the last are whole. */
struct span {
	uint64_t word;
	uint64_t last_word;
	uint64_t first_mask;
	uint64_t last_mask;
};

/* @count is above 0. */
static struct span span_of(uint64_t first, uint64_t count)
{
	uint64_t last = first + (count - 1);

	return (struct span){ .word = first / VFMI_WORD_BITS,
			      .last_word = last / VFMI_WORD_BITS,
			      .first_mask = UINT64_MAX << first % VFMI_WORD_BITS,
			      .last_mask = UINT64_MAX >> (VFMI_WORD_BITS - 1 - last % VFMI_WORD_BITS) };
}

static uint64_t span_mask(const struct span *span, uint64_t word)
{
	return (word == span->word ? span->first_mask : UINT64_MAX) &
	       (word == span->last_word ? span->last_mask : UINT64_MAX);
}

/*
 * That the bits are set already is no reason to leave out the atomic OR: it is the OR that orders what was written
 * before it for the one who takes the bits, and who may be taking them now.
 */
static void or_word(uint64_t *word, uint64_t bits, bool shared)
{
	if (!shared)
		*word |= bits;
	else if (bits)
		__atomic_fetch_or(word, bits, __ATOMIC_RELEASE);
}

void vfmi_bitmap_or(uint64_t *map, uint64_t first, uint64_t bits, bool shared)
{
	unsigned int shift = first % VFMI_WORD_BITS;
	uint64_t *word = &map[first / VFMI_WORD_BITS];
	uint64_t above = shift ? bits >> (VFMI_WORD_BITS - shift) : 0;

	if (bits << shift)
		or_word(&word[0], bits << shift, shared);
	if (above)
		or_word(&word[1], above, shared);
}

void vfm_bitmap_set(uint64_t *map, uint64_t first, uint64_t count, bool shared)
{
	struct span span;

	if (count == 0)
		return;
	span = span_of(first, count);
	for (uint64_t i = span.word; i <= span.last_word; i++)
		or_word(&map[i], span_mask(&span, i), shared);
}

void vfm_bitmap_clear(uint64_t *map, uint64_t first, uint64_t count)
{
	struct span span;

	if (count == 0)
		return;
	span = span_of(first, count);
	for (uint64_t i = span.word; i <= span.last_word; i++)
		map[i] &= ~span_mask(&span, i);
}

bool vfm_bitmap_test(const uint64_t *map, uint64_t bit)
{
	return map[bit / VFMI_WORD_BITS] >> bit % VFMI_WORD_BITS & 1;
}

uint64_t vfmi_bitmap_count(const struct vfmi_bitmap_ops *ops, const uint64_t *map, uint64_t first, uint64_t count)
{
	struct span span;
	uint64_t ends;

	if (count == 0)
		return 0;
	span = span_of(first, count);
	ends = map[span.word] & span_mask(&span, span.word);
	if (span.word == span.last_word)
		return (uint64_t)__builtin_popcountll(ends);
	return (uint64_t)__builtin_popcountll(ends) +
	       ops->count(&map[span.word + 1], (size_t)(span.last_word - span.word - 1)) +
	       (uint64_t)__builtin_popcountll(map[span.last_word] & span.last_mask);
}

uint64_t vfm_bitmap_count(const uint64_t *map, uint64_t first, uint64_t count)
{
	return vfmi_bitmap_count(vfmi_bitmap_ops(), map, first, count);
}

/* Merging: whole words of the target; those of the source lie across them, @shift bits late. */

/* As many words as cover the time of their loads; the compiler cuts them into the registers there are. */
#define LANES 8
typedef uint64_t lanes __attribute__((vector_size(8 * LANES), aligned(8), may_alias));

static uint64_t word_at(const uint64_t *from, unsigned int shift)
{
	return shift ? from[0] >> shift | from[1] << (VFMI_WORD_BITS - shift) : from[0];
}

static void merge_words_shared(uint64_t *to, const uint64_t *from, unsigned int shift, size_t count)
{
	for (size_t i = 0; i < count; i++)
		or_word(&to[i], word_at(&from[i], shift), true);
}

static void merge_words(uint64_t *to, const uint64_t *from, unsigned int shift, size_t count)
{
	size_t i = 0;

	if (shift == 0)
		for (; i + LANES <= count; i += LANES)
			*(lanes *)&to[i] |= *(const lanes *)&from[i];
	else
		for (; i + LANES <= count; i += LANES)
			*(lanes *)&to[i] |= *(const lanes *)&from[i] >> shift | *(const lanes *)&from[i + 1]
											<< (VFMI_WORD_BITS - shift);
	for (; i < count; i++)
		to[i] |= word_at(&from[i], shift);
}

void vfm_bitmap_merge(uint64_t *to, uint64_t to_first, const uint64_t *from, uint64_t from_first, uint64_t count,
		      bool shared)
{
	unsigned int head = (unsigned int)vfmi_min_u64(-to_first % VFMI_WORD_BITS, count);
	size_t words = (size_t)((count - head) / VFMI_WORD_BITS);
	unsigned int tail = (count - head) % VFMI_WORD_BITS;

	if (head) {
		vfmi_bitmap_or(to, to_first, vfmi_bitmap_load(from, from_first, head), shared);
		to_first += head;
		from_first += head;
	}
	(shared ? merge_words_shared : merge_words)(&to[to_first / VFMI_WORD_BITS], &from[from_first / VFMI_WORD_BITS],
						    from_first % VFMI_WORD_BITS, words);
	if (tail)
		vfmi_bitmap_or(to, to_first + (uint64_t)words * VFMI_WORD_BITS,
			       vfmi_bitmap_load(from, from_first + (uint64_t)words * VFMI_WORD_BITS, tail), shared);
}

/* Taking */

/* The word is only looked at while it is zero: whoever sets bits has it in his cache. */
static uint64_t take_word(uint64_t *word, uint64_t mask)
{
	if ((__atomic_load_n(word, __ATOMIC_RELAXED) & mask) == 0)
		return 0;
	if (mask == UINT64_MAX)
		return __atomic_exchange_n(word, 0, __ATOMIC_ACQUIRE);
	return __atomic_fetch_and(word, ~mask, __ATOMIC_ACQUIRE) & mask;
}

uint64_t vfm_bitmap_take(uint64_t *log, uint64_t first, uint64_t count, enum vfm_bitmap_order order, uint64_t *to,
			 uint64_t to_first)
{
	bool bytes = order == VFM_BITMAP_BYTES;
	uint64_t taken = 0;
	struct span span;

	if (count == 0)
		return 0;
	span = span_of(first, count);
	for (uint64_t i = span.word; i <= span.last_word; i++) {
		uint64_t mask = span_mask(&span, i);
		uint64_t bits = take_word(&log[i], bytes ? htole64(mask) : mask);

		if (bytes)
			bits = le64toh(bits);
		taken += (uint64_t)__builtin_popcountll(bits);
		if (!to)
			continue;
		/* Bit 0 of the first word may lie before bit 0 of the target. */
		if (i == span.word)
			vfmi_bitmap_or(to, to_first, bits >> first % VFMI_WORD_BITS, false);
		else
			vfmi_bitmap_or(to, to_first + (i * VFMI_WORD_BITS - first), bits, false);
	}
	return taken;
}
