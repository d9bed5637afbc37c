/* SPDX-License-Identifier: MIT */
/*
 * The dirty bitmap of 512 GiB in 4 KiB pages, 16 MiB of it: turned into ranges and merged, against one memcpy of it and
 * against a loop over its bits. TAP, figures in comments. Processor time, medians of runs in turn: what others do on
 * the machine counts less.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bitmap.h"

#define PAGES ((512ull << 30) / 4096)
#define WORDS (PAGES / 64)
#define BATCH 4096
#define ROUNDS 15
#define LOOP_ROUNDS 3
#define RANGES_AIM 2.0
#define MERGE_AIM 1.5

static struct vfm_bitmap_range batch[BATCH];
static uint64_t *map, *copy;
static int number, failures;

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), by_value);
	return values[count / 2];
}

/* 64 is every other page, else pages dirty in a million at random. */
static void fill(uint32_t dirty)
{
	uint64_t state = 1;

	memset(map, dirty == 64 ? 0x55 : dirty == 1000000 ? 0xff : 0, WORDS * 8);
	if (dirty == 64 || dirty == 1000000)
		return;
	for (uint64_t i = 0; i < PAGES / 1000000 * dirty; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		vfm_bitmap_set(map, (state >> 33) % PAGES, 1, false);
	}
}

static double take_copy(void)
{
	double begin = now_ms();

	memcpy(copy, map, WORDS * 8);
	__asm__ volatile("" : : "r"(copy) : "memory");
	return now_ms() - begin;
}

static double take_ranges(const struct vfmi_bitmap_ops *ops, uint64_t join, uint64_t *ret_ranges)
{
	struct vfm_bitmap_cursor cursor = { .size = sizeof(cursor), .words = map, .end = PAGES, .join = join };
	double begin = now_ms();
	size_t count;

	*ret_ranges = 0;
	while ((count = vfmi_bitmap_ranges(ops, &cursor, batch, BATCH)) > 0)
		*ret_ranges += count;
	return now_ms() - begin;
}

/* What one writes first. */
static double take_bits(uint64_t *ret_ranges)
{
	double begin = now_ms();
	bool open = false;
	size_t at = 0;

	*ret_ranges = 0;
	for (uint64_t i = 0; i < PAGES; i++) {
		bool set = map[i / 64] >> i % 64 & 1;

		if (set && !open) {
			batch[at].first = i;
			++*ret_ranges;
		}
		if (!set && open) {
			batch[at].last = i - 1;
			at = (at + 1) % BATCH;
		}
		open = set;
	}
	batch[at].last = PAGES - 1;
	__asm__ volatile("" : : "r"(batch) : "memory");
	return now_ms() - begin;
}

static void judge(const char *what, double ratio, double aim)
{
	bool good = ratio <= aim;

	printf("%s %d - %s in at most %.1f times a memcpy\n", good ? "ok" : "not ok", ++number, what, aim);
	failures += !good;
}

static void ranges(const char *what, uint32_t dirty, uint64_t join, bool judged)
{
	const struct vfmi_bitmap_ops *ops[VFMI_BITMAP_OPS_MAX];
	double copies[ROUNDS], ours[VFMI_BITMAP_OPS_MAX][ROUNDS], bits[LOOP_ROUNDS];
	size_t choices = vfmi_bitmap_ops_all(ops);
	uint64_t count = 0, loop_count = 0;
	double plain, best = 0;

	fill(dirty);
	for (int round = 0; round < ROUNDS; round++) {
		copies[round] = take_copy();
		for (size_t i = 0; i < choices; i++)
			ours[i][round] = take_ranges(ops[i], join, &count);
		if (round < LOOP_ROUNDS)
			bits[round] = take_bits(&loop_count);
	}
	plain = median(copies, ROUNDS);
	printf("# %s: memcpy %.2f ms, loop over bits %.2f ms (%.0f times), %" PRIu64 " ranges of %" PRIu64 ":\n", what,
	       plain, median(bits, LOOP_ROUNDS), median(bits, LOOP_ROUNDS) / plain, count, loop_count);
	for (size_t i = 0; i < choices; i++) {
		best = median(ours[i], ROUNDS) / plain;
		printf("#   %-8s %7.2f ms, %.2f times memcpy\n", ops[i]->name, best * plain, best);
	}
	if (judged)
		judge(what, best, RANGES_AIM);
	fflush(stdout);
}

static void merges(const char *what, uint64_t offset, bool shared, bool judged)
{
	double copies[ROUNDS], ours[ROUNDS];
	double plain, begin;

	for (int round = 0; round < ROUNDS; round++) {
		copies[round] = take_copy();
		begin = now_ms();
		vfm_bitmap_merge(copy, 0, map, offset, PAGES - offset, shared);
		ours[round] = now_ms() - begin;
	}
	plain = median(copies, ROUNDS);
	printf("# %s: %.2f ms, memcpy %.2f ms, %.2f times\n", what, median(ours, ROUNDS), plain,
	       median(ours, ROUNDS) / plain);
	if (judged)
		judge(what, median(ours, ROUNDS) / plain, MERGE_AIM);
	fflush(stdout);
}

int main(void)
{
	map = aligned_alloc(4096, WORDS * 8);
	copy = aligned_alloc(4096, WORDS * 8);
	if (!map || !copy) {
		printf("Bail out! memory\n");
		return 1;
	}
	memset(copy, 1, WORDS * 8);
	ranges("ranges, all dirty", 1000000, 0, true);
	ranges("ranges, 0.1 % random", 1000, 0, true);
	ranges("ranges, 10 % random", 100000, 0, false);
	ranges("ranges, 10 % random, 8 clean pages joined", 100000, 8, false);
	ranges("ranges, every other page", 64, 0, false);
	ranges("ranges, every other page, 1 clean page joined", 64, 1, false);
	fill(100000);
	merges("merge", 0, false, true);
	merges("merge from another bit", 13, false, false);
	merges("merge, shared, 10 % random", 0, true, false);
	fill(1000);
	merges("merge, shared, 0.1 % random", 0, true, false);
	printf("1..%d\n", number);
	free(map);
	free(copy);
	return failures ? 1 : 0;
}
