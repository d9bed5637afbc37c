/* SPDX-License-Identifier: MIT */
/*
 * The bitmap functions against one that knows a byte for each bit, on random and boundary inputs, with every choice of
 * instructions this machine can run. TAP. VFIOMIG_BITMAP_STEPS: rounds of each kind (default 2000);
 * VFIOMIG_BITMAP_SEED: repeats a run.
 */
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bitmap.h"
#include "seeded.h"

#define BITS (4 * 4096 + 130) /* some blocks of 64 words, and a rest */

static uint64_t step;
static const char *kind;

#define CHECK(good)                                                                                                    \
	do {                                                                                                           \
		if (!(good)) {                                                                                         \
			printf("Bail out! %s, round %" PRIu64 ", line %d: %s\n", kind, step, __LINE__, #good);         \
			exit(1);                                                                                       \
		}                                                                                                      \
	} while (0)

/* A bitmap in memory of exactly its size, so that a sanitizer sees what reaches beyond, and what is in it. */
struct world {
	uint64_t *words;
	uint64_t bits;
	uint8_t model[BITS];
};

static const uint64_t edges[] = { 0, 1, 2, 62, 63, 64, 65, 127, 128, 129, 4095, 4096, 4097, 8191, 8192, 8193 };

/* Up to @most: often at a boundary, or one before @most. */
static uint64_t place(uint64_t most)
{
	uint64_t value = edges[below(VFMI_ARRAY_SIZE(edges))];

	switch (below(4)) {
	case 0:
		return value < most ? value : most;
	case 1:
		return most - (value < most ? value : most);
	default:
		return below(most + 1);
	}
}

static uint8_t random_bit(unsigned int density, uint64_t i)
{
	switch (density) {
	case 0:
	case 1:
		return (uint8_t)density;
	case 2:
		return i & 1;
	case 3:
		return below(2) != 0;
	case 4:
		return below(10) == 0;
	default:
		return below(700) == 0;
	}
}

static void fill(struct world *world)
{
	unsigned int density = (unsigned int)below(7);
	uint64_t run = 0;
	uint8_t bit = 0;

	for (uint64_t i = 0; i < world->bits; i++) {
		if (density < 6) {
			bit = random_bit(density, i);
		} else if (run-- == 0) {
			run = below(2) ? below(9) : below(600);
			bit = !bit;
		}
		world->model[i] = bit;
		world->words[i / 64] |= (uint64_t)bit << i % 64;
	}
}

static void make(struct world *world, uint64_t bits, bool filled)
{
	world->bits = bits;
	world->words = calloc(vfm_bitmap_words(bits) + (bits == 0), 8);
	CHECK(world->words);
	memset(world->model, 0, sizeof(world->model));
	if (filled)
		fill(world);
}

static void agree(const struct world *world)
{
	for (uint64_t i = 0; i < world->bits; i++)
		CHECK(vfm_bitmap_test(world->words, i) == world->model[i]);
	if (world->bits % 64)
		CHECK(world->words[world->bits / 64] >> world->bits % 64 == 0);
}

static void set_and_clear(void)
{
	static struct world w;
	uint64_t first, count;
	uint8_t bit = below(2) != 0;

	make(&w, place(BITS), true);
	first = place(w.bits);
	count = place(w.bits - first);
	if (bit)
		vfm_bitmap_set(w.words, first, count, below(2));
	else
		vfm_bitmap_clear(w.words, first, count);
	memset(&w.model[first], bit, count);
	agree(&w);
	free(w.words);
}

static void count(void)
{
	const struct vfmi_bitmap_ops *ops[VFMI_BITMAP_OPS_MAX];
	static struct world w;
	uint64_t first, many, known = 0;

	make(&w, place(BITS), true);
	first = place(w.bits);
	many = place(w.bits - first);
	for (uint64_t i = 0; i < many; i++)
		known += w.model[first + i];
	for (size_t i = vfmi_bitmap_ops_all(ops); i-- > 0;)
		CHECK(vfmi_bitmap_count(ops[i], w.words, first, many) == known);
	CHECK(vfm_bitmap_count(w.words, first, many) == known);
	free(w.words);
}

static void merge(void)
{
	static struct world to, from;
	uint64_t many, to_first, from_first;

	make(&to, place(BITS), true);
	make(&from, place(BITS), true);
	many = place(vfmi_min_u64(to.bits, from.bits));
	to_first = place(to.bits - many);
	from_first = place(from.bits - many);
	vfm_bitmap_merge(to.words, to_first, from.words, from_first, many, below(2));
	for (uint64_t i = 0; i < many; i++)
		to.model[to_first + i] |= from.model[from_first + i];
	agree(&to);
	agree(&from);
	free(to.words);
	free(from.words);
}

static void take(void)
{
	static struct world log, to;
	enum vfm_bitmap_order order = below(2) ? VFM_BITMAP_BYTES : VFM_BITMAP_WORDS;
	uint64_t many, log_first, to_first, known = 0;

	make(&log, place(BITS), true);
	make(&to, place(BITS), true);
	many = place(vfmi_min_u64(to.bits, log.bits));
	log_first = place(log.bits - many);
	to_first = place(to.bits - many);
	for (uint64_t i = 0; i < many; i++) {
		known += log.model[log_first + i];
		to.model[to_first + i] |= log.model[log_first + i];
	}
	memset(&log.model[log_first], 0, many);
	for (uint64_t i = 0; order == VFM_BITMAP_BYTES && i < vfm_bitmap_words(log.bits); i++)
		log.words[i] = htole64(log.words[i]);
	CHECK(vfm_bitmap_take(log.words, log_first, many, order, to.words, to_first) == known);
	CHECK(vfm_bitmap_take(log.words, log_first, many, order, NULL, 0) == 0);
	for (uint64_t i = 0; order == VFM_BITMAP_BYTES && i < vfm_bitmap_words(log.bits); i++)
		log.words[i] = le64toh(log.words[i]);
	agree(&log);
	agree(&to);
	free(log.words);
	free(to.words);
}

/* Pages by address: every smallest page of the range by itself. */
static void merge_pages(void)
{
	static struct world to, from;
	VFM_OPTS(vfm_bitmap_pages, t);
	VFM_OPTS(vfm_bitmap_pages, f);
	uint64_t base = below(2) ? below(1u << 20) << 12 : -(1ull << 40) + (below(1u << 20) << 12);
	unsigned int small = 12 + (unsigned int)below(5), shift = (unsigned int)below(3) ? (unsigned int)below(9) : 0;
	uint64_t page, first, last, span;
	bool up = below(2);

	t.page_shift = up ? small + shift : small;
	f.page_shift = up ? small : small + shift;
	make(&to, 1 + place(BITS - 1), true);
	make(&from, 1 + place(BITS - 1), true);
	t.words = to.words;
	f.words = from.words;
	t.pages = to.bits;
	f.pages = from.bits;
	t.start = base + (below(600) << small);
	f.start = base + (below(600) << small);
	page = 1ull << small;
	first = t.start > f.start ? t.start : f.start;
	last = vfmi_min_u64(t.start + (t.pages << t.page_shift), f.start + (f.pages << f.page_shift)) - 1;
	if (first < last && last - first < 1ull << 40) {
		span = below(2) ? 1 + place(vfmi_min_u64(last - first, 9000)) : 1 + below(last - first + 1);
		first += vfmi_min_u64(below(3) ? below(last - first + 1) : 0, last - first + 1 - span);
		CHECK(vfm_bitmap_merge_pages(&t, &f, first, span, below(2)) == 0);
		for (uint64_t at = first - (first - base) % page; at <= first + span - 1; at += page)
			to.model[(at - t.start) >> t.page_shift] |= from.model[(at - f.start) >> f.page_shift];
	}
	agree(&to);
	agree(&from);
	free(to.words);
	free(from.words);
}

/* Any shift, also those of which no bitmap holds a whole large page. */
static void scale(void)
{
	static struct world small, large;
	uint64_t small_first, most;
	struct vfmi_bitmap_scale s = { .shared = below(2) };

	make(&small, place(BITS), true);
	make(&large, 1 + place(BITS - 1), true);
	s.shift = 1 + (unsigned int)below(below(2) ? 7 : 63);
	s.lead = below(3) ? place((1ull << s.shift) - 1) : below(1ull << s.shift);
	s.to_first = place(large.bits - 1);
	most = (large.bits - s.to_first) << s.shift;
	if (s.shift > 40) /* one large page, or two when there are */
		most = (1ull << s.shift) + (large.bits - s.to_first > 1 ? BITS : 0);
	most -= s.lead;
	s.count = place(vfmi_min_u64(most, small.bits));
	small_first = place(small.bits - s.count);
	if (below(2)) {
		s.to = large.words;
		s.from = small.words;
		s.from_first = small_first;
		vfmi_bitmap_fold(&s);
		for (uint64_t i = 0; i < s.count; i++)
			large.model[s.to_first + ((s.lead + i) >> s.shift)] |= small.model[small_first + i];
	} else {
		s.to = small.words;
		s.from = large.words;
		s.from_first = s.to_first;
		s.to_first = small_first;
		vfmi_bitmap_spread(&s);
		for (uint64_t i = 0; i < s.count; i++)
			small.model[small_first + i] |= large.model[s.from_first + ((s.lead + i) >> s.shift)];
	}
	agree(&small);
	agree(&large);
	free(small.words);
	free(large.words);
}

/* The next range of the model from @at on, false if there is none. */
static bool next_range(const struct world *w, uint64_t at, uint64_t end, uint64_t join, struct vfm_bitmap_range *ret)
{
	while (at < end && !w->model[at])
		at++;
	if (at == end)
		return false;
	ret->first = ret->last = at;
	for (at++; at < end && at - ret->last - 1 <= join; at++)
		if (w->model[at])
			ret->last = at;
	return true;
}

static void walk(const struct world *w, const struct vfmi_bitmap_ops *ops, struct vfm_bitmap_cursor cursor, size_t room)
{
	struct vfm_bitmap_range *ret = calloc(room, sizeof(*ret)), known;
	uint64_t at = cursor.next;
	size_t n;

	CHECK(ret);
	while ((n = vfmi_bitmap_ranges(ops, &cursor, ret, room)) > 0) {
		CHECK(n <= room);
		for (size_t i = 0; i < n; i++) {
			CHECK(next_range(w, at, cursor.end, cursor.join, &known));
			CHECK(ret[i].first == known.first && ret[i].last == known.last);
			at = known.last + 1;
		}
		CHECK(n == room || cursor.next == cursor.end);
	}
	CHECK(cursor.next == cursor.end);
	CHECK(!next_range(w, at, cursor.end, cursor.join, &known));
	free(ret);
}

static void ranges(void)
{
	static const uint64_t joins[] = { 0, 0, 0, 1, 2, 63, 64, 500, UINT64_MAX };
	static const size_t rooms[] = { 1, 2, 3, 35, 36, 37, 63, 64, 65, 66, 80, 255, 256, 257, 5000 };
	const struct vfmi_bitmap_ops *ops[VFMI_BITMAP_OPS_MAX];
	VFM_OPTS(vfm_bitmap_cursor, cursor);
	static struct world w;
	size_t room = rooms[below(VFMI_ARRAY_SIZE(rooms))];

	make(&w, place(BITS), true);
	cursor.words = w.words;
	cursor.end = w.bits - (below(2) ? place(w.bits) : 0);
	cursor.next = below(2) ? place(cursor.end) : 0;
	cursor.join = joins[below(VFMI_ARRAY_SIZE(joins))];
	for (size_t i = vfmi_bitmap_ops_all(ops); i-- > 0;)
		walk(&w, ops[i], cursor, room);
	free(w.words);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*round)(void);
	} kinds[] = {
		{ "set and clear", set_and_clear },
		{ "count", count },
		{ "merge at any offset", merge },
		{ "take", take },
		{ "scale", scale },
		{ "merge pages by address", merge_pages },
		{ "ranges", ranges },
	};
	const struct vfmi_bitmap_ops *ops[VFMI_BITMAP_OPS_MAX];
	uint64_t seed = number_from("VFIOMIG_BITMAP_SEED", (uint64_t)time(NULL));
	uint64_t steps = number_from("VFIOMIG_BITMAP_STEPS", 2000);
	size_t choices = vfmi_bitmap_ops_all(ops);

	printf("# VFIOMIG_BITMAP_SEED=%" PRIu64 " VFIOMIG_BITMAP_STEPS=%" PRIu64 "; instructions:", seed, steps);
	for (size_t i = 0; i < choices; i++)
		printf(" %s", ops[i]->name);
	printf("\n1..%zu\n", VFMI_ARRAY_SIZE(kinds));
	fflush(stdout);
	random_state = seed;
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(kinds); i++) {
		kind = kinds[i].name;
		for (step = 0; step < steps; step++)
			kinds[i].round();
		printf("ok %zu - %s\n", i + 1, kind);
		fflush(stdout);
	}
	return 0;
}
