/* SPDX-License-Identifier: MIT */
/* Which ranges a device is asked to log: against every cover there is on small inputs, and by the limits of drivers. */
#include <check.h>
#include <stdlib.h>

#include "dma-ranges.h"
#include "iova-ranges.h"
#include "seeded.h"
#include "suite.h"

#define PAGE 4096ull
#define GIB (1ull << 30)

static uint64_t bytes_in(const struct vfm_iova_range *ranges, size_t count)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += ranges[i].last - ranges[i].first + 1;
	return bytes;
}

/* Covering */

/* All ways to cut @count areas into at most @most groups: bit i of @cuts is a cut above area i. */
static uint64_t least_cover(const struct vfm_iova_range *areas, size_t count, uint64_t unit, size_t most)
{
	uint64_t least = UINT64_MAX;

	for (uint32_t cuts = 0; cuts < 1u << (count - 1); cuts++) {
		uint64_t bytes = 0, end = 0;
		size_t first = 0;

		if ((size_t)__builtin_popcount(cuts) + 1 > most)
			continue;
		for (size_t i = 0; i < count; i++) {
			if (i + 1 < count && !(cuts >> i & 1))
				continue;
			/* Units that two groups share count once. */
			uint64_t low = areas[first].first & -unit, high = (areas[i].last | (unit - 1)) + 1;

			bytes += high - (low > end ? low : end);
			end = high;
			first = i + 1;
		}
		if (bytes < least)
			least = bytes;
	}
	return least;
}

static size_t random_areas(struct vfm_iova_range *areas, uint64_t base)
{
	size_t count = 1 + below(9);

	for (size_t i = 0; i < count; i++) {
		base += below(3) ? below(12) * PAGE : 0;
		areas[i].first = base;
		base += (1 + below(6)) * PAGE;
		areas[i].last = base - 1;
	}
	return count;
}

static bool all_within(const struct vfm_iova_range *areas, size_t count, const struct vfm_iova_range *cover,
		       size_t covers)
{
	for (size_t i = 0; i < count; i++) {
		size_t k = vfmi_ranges_at_or_above(cover, covers, areas[i].first);

		if (k == covers || cover[k].first > areas[i].first || cover[k].last < areas[i].last)
			return false;
	}
	return true;
}

START_TEST(no_cover_is_smaller)
{
	static const uint64_t bases[] = { 0, 3 * PAGE, GIB * 4 - 20 * PAGE, -(400 * PAGE) };
	struct vfm_iova_range areas[9], cover[9];
	size_t covers;

	random_state = (uint64_t)_i;
	for (int round = 0; round < 2000; round++) {
		size_t count = random_areas(areas, bases[below(4)]);
		uint64_t unit = PAGE << below(5);
		size_t most = 1 + below(9);

		ck_assert_int_eq(vfmi_dma_cover(areas, count, unit, most, cover, &covers), 0);
		ck_assert_uint_ge(covers, 1);
		ck_assert_uint_le(covers, most);
		ck_assert(vfmi_ranges_sorted(cover, covers));
		ck_assert(all_within(areas, count, cover, covers));
		ck_assert_uint_eq(bytes_in(cover, covers), least_cover(areas, count, unit, most));
		for (size_t i = 0; i < covers; i++) {
			ck_assert_uint_eq(cover[i].first % unit, 0);
			ck_assert_uint_eq((cover[i].last + 1) % unit, 0);
			ck_assert(i == 0 || cover[i].first > cover[i - 1].last + 1);
		}
	}
}
END_TEST

START_TEST(equal_gaps_are_kept_from_below)
{
	static const struct vfm_iova_range areas[] = {
		{ 0x0000, 0x0fff }, { 0x2000, 0x2fff }, { 0x4000, 0x4fff }, { 0x6000, 0x6fff }
	};
	struct vfm_iova_range cover[2];
	size_t covers;

	ck_assert_int_eq(vfmi_dma_cover(areas, 4, PAGE, 2, cover, &covers), 0);
	ck_assert_uint_eq(covers, 2);
	ck_assert_uint_eq(cover[0].last, 0x0fff);
	ck_assert_uint_eq(cover[1].first, 0x2000);
	ck_assert_uint_eq(cover[1].last, 0x6fff);
}
END_TEST

START_TEST(the_last_unit_cannot_be_logged)
{
	struct vfm_iova_range areas[] = { { 0, PAGE - 1 }, { -(3 * PAGE), -(2 * PAGE) - 1 } };
	struct vfm_iova_range cover[2];
	size_t covers = 77;

	ck_assert_int_eq(vfmi_dma_cover(areas, 2, PAGE, 1, cover, &covers), 0);
	ck_assert_uint_eq(cover[0].last, -(2 * PAGE) - 1);
	covers = 77;
	ck_assert_int_eq(vfmi_dma_cover(areas, 2, 4 * PAGE, 2, cover, &covers), -EOVERFLOW);
	areas[1].last = UINT64_MAX;
	ck_assert_int_eq(vfmi_dma_cover(areas, 2, PAGE, 2, cover, &covers), -EOVERFLOW);
	ck_assert_uint_eq(covers, 77);
}
END_TEST

START_TEST(many_areas_take_no_long)
{
	const size_t count = 1u << 20;
	struct vfm_iova_range *areas = calloc(count, sizeof(*areas)), cover[VFMI_DMA_RANGES_MAX];
	uint64_t at = 0, mapped;
	size_t covers;

	ck_assert_ptr_nonnull(areas);
	for (size_t i = 0; i < count; i++) {
		at += (1 + below(1000)) * PAGE;
		areas[i].first = at;
		at += (1 + below(8)) * PAGE;
		areas[i].last = at - 1;
	}
	mapped = bytes_in(areas, count);
	ck_assert_int_eq(vfmi_dma_cover(areas, count, PAGE, VFMI_DMA_RANGES_MAX, cover, &covers), 0);
	ck_assert_uint_eq(covers, VFMI_DMA_RANGES_MAX);
	ck_assert_uint_gt(bytes_in(cover, covers), mapped);
	ck_assert(all_within(areas, count, cover, covers));
	free(areas);
}
END_TEST

/* Ladders */

/* RAM of a guest: low, above 4 GiB, and a small window of a device's between. */
static const struct vfm_iova_range guest[] = {
	{ 0, 0x9ffff },
	{ 0xc0000, 0x7fffffff },
	{ 0xfd000000, 0xfd000fff },
	{ 4 * GIB, 34 * GIB - 1 },
};

static void make(struct vfmi_dma_ladder *ladder, const struct vfmi_dma_limits *limits)
{
	ck_assert_int_eq(vfmi_dma_ladder_new(guest, VFMI_ARRAY_SIZE(guest), limits, ladder), 0);
	ck_assert_uint_ge(ladder->count, 1);
	for (size_t i = 0; i + 1 < ladder->count; i++) {
		const struct vfmi_dma_plan *plan = &ladder->plans[i];

		ck_assert(all_within(guest, VFMI_ARRAY_SIZE(guest), plan->ranges, plan->count));
		ck_assert_uint_eq(plan->covered, bytes_in(plan->ranges, plan->count));
		ck_assert_uint_eq(plan->excess, plan->covered - bytes_in(guest, VFMI_ARRAY_SIZE(guest)));
		ck_assert_uint_ne(plan->page_size, 0);
	}
	ck_assert_uint_eq(ladder->plans[ladder->count - 1].page_size, 0);
	ck_assert_uint_eq(ladder->plans[ladder->count - 1].count, 0);
}

START_TEST(fewer_ranges_then_coarser_pages_then_none)
{
	const struct vfmi_dma_limits limits = { .page_sizes = PAGE | 16 * PAGE };
	static const struct {
		size_t ranges;
		uint64_t page;
	} known[] = { { 4, PAGE },	{ 2, PAGE },	  { 1, PAGE }, { 4, 16 * PAGE },
		      { 2, 16 * PAGE }, { 1, 16 * PAGE }, { 0, 0 } };
	struct vfmi_dma_ladder ladder;

	make(&ladder, &limits);
	ck_assert_uint_eq(ladder.count, VFMI_ARRAY_SIZE(known));
	for (size_t i = 0; i < ladder.count; i++) {
		ck_assert_uint_eq(ladder.plans[i].count, known[i].ranges);
		ck_assert_uint_eq(ladder.plans[i].page_size, known[i].page);
	}
	ck_assert_uint_eq(ladder.plans[0].excess, 0);
	ck_assert_uint_eq(ladder.plans[3].excess, 15 * PAGE);
	/* Two: the largest gap is the one that is left out. */
	ck_assert_uint_eq(ladder.plans[1].ranges[0].last, 0x7fffffff);
	ck_assert_uint_eq(ladder.plans[1].ranges[1].first, 0xfd000000);
	vfmi_dma_ladder_free(&ladder);
	ck_assert_ptr_null(ladder.plans);
}
END_TEST

/* pds: one range, and reports are right for whole words of 64 pages only. */
START_TEST(a_driver_of_one_range_is_given_one)
{
	const struct vfmi_dma_limits limits = { .max_ranges = 1, .align_pages = 64, .page_sizes = PAGE };
	struct vfmi_dma_ladder ladder;

	make(&ladder, &limits);
	ck_assert_uint_eq(ladder.count, 2);
	ck_assert_uint_eq(ladder.plans[0].count, 1);
	ck_assert_uint_eq(ladder.plans[0].ranges[0].first, 0);
	ck_assert_uint_eq(ladder.plans[0].ranges[0].last, 34 * GIB - 1);
	vfmi_dma_ladder_free(&ladder);
}
END_TEST

/* mlx5: a total is refused, not a span. 32 GiB are mapped, and 34 GiB lie between their ends. */
START_TEST(the_total_leaves_a_low_and_a_high_range)
{
	struct vfmi_dma_limits limits = { .max_ranges = 2, .total_bits = 36, .page_sizes = PAGE };
	static const struct vfm_iova_range halves[] = { { GIB, 2 * GIB - 1 }, { 63 * GIB, 64 * GIB - 1 } };
	struct vfmi_dma_ladder ladder;

	make(&ladder, &limits);
	ck_assert_uint_eq(ladder.count, 3);
	vfmi_dma_ladder_free(&ladder);
	limits.total_bits = 31;
	make(&ladder, &limits);
	ck_assert_uint_eq(ladder.count, 1);
	vfmi_dma_ladder_free(&ladder);
	ck_assert_int_eq(vfmi_dma_ladder_new(halves, 2, &limits, &ladder), 0);
	ck_assert_uint_eq(ladder.count, 2);
	ck_assert_uint_eq(ladder.plans[0].count, 2);
	ck_assert_uint_eq(ladder.plans[0].covered, 2 * GIB);
	vfmi_dma_ladder_free(&ladder);
	limits.total_bits = 30;
	ck_assert_int_eq(vfmi_dma_ladder_new(halves, 2, &limits, &ladder), 0);
	ck_assert_uint_eq(ladder.count, 1);
	vfmi_dma_ladder_free(&ladder);
}
END_TEST

START_TEST(never_more_than_the_kernel_takes)
{
	struct vfm_iova_range areas[600];
	struct vfmi_dma_limits limits = { .max_ranges = (uint32_t)_i, .page_sizes = PAGE };
	struct vfmi_dma_ladder ladder;
	size_t most = _i && _i < 256 ? (size_t)_i : 256;

	for (uint64_t i = 0; i < 600; i++)
		areas[i] = (struct vfm_iova_range){ i * i * PAGE, i * i * PAGE + PAGE - 1 };
	ck_assert_int_eq(vfmi_dma_ladder_new(areas, 600, &limits, &ladder), 0);
	ck_assert_uint_eq(ladder.plans[0].count, most);
	for (size_t i = 1; i + 1 < ladder.count; i++) {
		ck_assert_uint_lt(ladder.plans[i].count, ladder.plans[i - 1].count);
		ck_assert_uint_gt(ladder.plans[i].excess, ladder.plans[i - 1].excess);
	}
	ck_assert_uint_eq(ladder.plans[ladder.count - 2].count, 1);
	vfmi_dma_ladder_free(&ladder);
}
END_TEST

/* What lies at the very end is dirty, for no START can name it; so does a unit that no number holds. */
START_TEST(what_cannot_be_logged_is_dirty)
{
	static const struct vfm_iova_range end = { -PAGE, UINT64_MAX };
	struct vfmi_dma_limits limits = { .page_sizes = PAGE };
	struct vfmi_dma_ladder ladder;

	ck_assert_int_eq(vfmi_dma_ladder_new(&end, 1, &limits, &ladder), 0);
	ck_assert_uint_eq(ladder.count, 1);
	ck_assert_uint_eq(ladder.plans[0].page_size, 0);
	vfmi_dma_ladder_free(&ladder);
	limits.page_sizes = 1ull << 63;
	limits.align_pages = 64;
	ck_assert_int_eq(vfmi_dma_ladder_new(guest, 4, &limits, &ladder), 0);
	ck_assert_uint_eq(ladder.count, 1);
	vfmi_dma_ladder_free(&ladder);
}
END_TEST

START_TEST(misuse_is_refused)
{
	static const struct vfm_iova_range crossed[] = { { 8192, 12287 }, { 0, 4095 } };
	static const struct vfmi_dma_limits wrong[] = {
		{ .page_sizes = 0 },
		{ .page_sizes = 2048 | PAGE },
		{ .page_sizes = PAGE, .align_pages = 3 },
	};
	const struct vfmi_dma_limits limits = { .page_sizes = PAGE };
	struct vfmi_dma_ladder ladder = { .count = 77 };

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(wrong); i++)
		ck_assert_int_eq(vfmi_dma_ladder_new(guest, 4, &wrong[i], &ladder), -EINVAL);
	ck_assert_int_eq(vfmi_dma_ladder_new(guest, 0, &limits, &ladder), -EINVAL);
	ck_assert_int_eq(vfmi_dma_ladder_new(crossed, 2, &limits, &ladder), -EINVAL);
	ck_assert_uint_eq(ladder.count, 77);
}
END_TEST

START_TEST(some_errors_are_worth_another_plan)
{
	ck_assert(vfmi_dma_worth_another(-EINVAL));
	ck_assert(vfmi_dma_worth_another(-E2BIG));
	ck_assert(vfmi_dma_worth_another(-EOPNOTSUPP));
	ck_assert(!vfmi_dma_worth_another(-ENOTTY));
	ck_assert(!vfmi_dma_worth_another(-ENOTCONN));
	ck_assert(!vfmi_dma_worth_another(-EFAULT));
	ck_assert(!vfmi_dma_worth_another(0));
}
END_TEST

START_TEST(plans_are_said_aloud)
{
	struct vfmi_dma_plan plan = { .count = 3, .page_size = PAGE, .excess = 12ull << 20 };
	char text[VFMI_DMA_PLAN_TEXT];

	ck_assert_str_eq(vfmi_dma_plan_text(&plan, text), "3 ranges of 4 KiB pages, 12 MiB more than is mapped");
	plan = (struct vfmi_dma_plan){ .count = 1, .page_size = 2ull << 20 };
	ck_assert_str_eq(vfmi_dma_plan_text(&plan, text), "1 range of 2 MiB pages, no more than is mapped");
	plan = (struct vfmi_dma_plan){ 0 };
	ck_assert_str_eq(vfmi_dma_plan_text(&plan, text),
			 "nothing is logged: every page counts as dirty at every sync");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dma_ranges");
	TCase *tests = tcase_create("dma_ranges");

	tcase_set_timeout(tests, 30);
	tcase_add_loop_test(tests, no_cover_is_smaller, 0, 10);
	tcase_add_test(tests, equal_gaps_are_kept_from_below);
	tcase_add_test(tests, the_last_unit_cannot_be_logged);
	tcase_add_test(tests, many_areas_take_no_long);
	tcase_add_test(tests, fewer_ranges_then_coarser_pages_then_none);
	tcase_add_test(tests, a_driver_of_one_range_is_given_one);
	tcase_add_test(tests, the_total_leaves_a_low_and_a_high_range);
	tcase_add_loop_test(tests, never_more_than_the_kernel_takes, 255, 258);
	tcase_add_loop_test(tests, never_more_than_the_kernel_takes, 0, 6);
	tcase_add_test(tests, what_cannot_be_logged_is_dirty);
	tcase_add_test(tests, misuse_is_refused);
	tcase_add_test(tests, some_errors_are_worth_another_plan);
	tcase_add_test(tests, plans_are_said_aloud);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
