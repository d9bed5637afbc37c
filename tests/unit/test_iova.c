/* SPDX-License-Identifier: MIT */
/* The IOVA allocator: its rules one by one at the edges of 64 bits, errors, new windows. Random runs: test_iova_model.
 */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "internal.h"
#include "seeded.h"
#include "suite.h"

#define PAGE 4096ull
#define GIB (1ull << 30)
#define MAX UINT64_MAX

static struct vfm_iova *space;
static struct vfm_error error;

static void open_over(const struct vfm_iova_range *windows, size_t count)
{
	error = (struct vfm_error){ .size = sizeof(error) };
	ck_assert_int_eq(vfm_iova_new(NULL, windows, count, PAGE, &space, &error), 0);
}

static void open_one(uint64_t first, uint64_t last)
{
	open_over(&(const struct vfm_iova_range){ first, last }, 1);
}

static void close_space(void)
{
	vfm_iova_free(space);
	space = NULL;
}

static int ask(struct vfm_iova_request request, uint64_t *ret_iova)
{
	request.size = sizeof(request);
	return vfm_iova_alloc(space, &request, ret_iova, &error);
}

#define ASK(iova, ...) ask((struct vfm_iova_request){ __VA_ARGS__ }, iova)

/* Where it was placed. */
#define PLACED(...)                                                                                                    \
	__extension__({                                                                                                \
		uint64_t placed_ = 1;                                                                                  \
		ck_assert_int_eq(ASK(&placed_, __VA_ARGS__), 0);                                                       \
		placed_;                                                                                               \
	})

static struct vfm_iova_stats stats(void)
{
	struct vfm_iova_stats ret = { .size = sizeof(ret) };

	ck_assert_int_eq(vfm_iova_stats(space, &ret), 0);
	return ret;
}

static void ck_range(struct vfm_iova_range range, uint64_t first, uint64_t last)
{
	ck_assert_uint_eq(range.first, first);
	ck_assert_uint_eq(range.last, last);
}

START_TEST(low_addresses_are_kept_and_zero_is_not_given)
{
	open_one(0, MAX);
	ck_assert_uint_eq(PLACED(.length = PAGE), 4 * GIB);
	ck_assert_uint_eq(PLACED(.length = PAGE), 4 * GIB + PAGE);
	ck_assert_uint_eq(PLACED(.length = PAGE, .limit = 0xffffffff), PAGE);
	ck_assert_uint_eq(PLACED(.length = PAGE, .flags = VFM_IOVA_HINT), 0);
	close_space();
	open_one(0, 4 * PAGE - 1);
	ck_assert_uint_eq(PLACED(.length = 3 * PAGE), PAGE);
	ck_assert_int_eq(ASK(&(uint64_t){ 0 }, .length = PAGE), -ENOSPC);
	ck_assert_uint_eq(PLACED(.length = PAGE, .flags = VFM_IOVA_FIXED), 0);
	close_space();
}
END_TEST

START_TEST(top_down_reaches_the_last_page)
{
	open_one(0, MAX);
	ck_assert_uint_eq(PLACED(.length = PAGE, .flags = VFM_IOVA_TOP_DOWN), MAX - PAGE + 1);
	ck_assert_uint_eq(PLACED(.length = PAGE, .flags = VFM_IOVA_TOP_DOWN), MAX - 2 * PAGE + 1);
	ck_assert_uint_eq(PLACED(.length = PAGE, .flags = VFM_IOVA_TOP_DOWN, .align = GIB), MAX - GIB + 1);
	ck_assert_uint_eq(PLACED(.length = PAGE, .flags = VFM_IOVA_TOP_DOWN, .limit = 0xffffffff), 4 * GIB - PAGE);
	close_space();
}
END_TEST

START_TEST(halves_of_everything)
{
	const uint64_t half = 1ull << 63;
	uint64_t iova = 1;

	open_one(0, MAX);
	ck_assert_uint_eq(stats().free_bytes, MAX);
	ck_assert_uint_eq(stats().largest_hole, MAX);
	ck_assert_uint_eq(PLACED(.length = half, .flags = VFM_IOVA_FIXED), 0);
	ck_assert_uint_eq(PLACED(.length = half, .align = half), half);
	ck_assert_uint_eq(stats().free_bytes, 0);
	ck_assert_uint_eq(stats().used_bytes, MAX);
	ck_assert_uint_eq(stats().holes, 0);
	ck_assert_int_eq(ASK(&iova, .length = PAGE), -ENOSPC);
	ck_assert_int_eq(vfm_iova_release(space, half, half, NULL), 0);
	ck_assert_uint_eq(stats().free_bytes, half);
	ck_assert_int_eq(vfm_iova_release(space, 0, half, NULL), 0);
	ck_assert_uint_eq(stats().free_bytes, MAX);
	ck_assert_uint_eq(stats().holes, 1);
	ck_assert_uint_eq(PLACED(.length = -PAGE, .flags = VFM_IOVA_FIXED), 0);
	close_space();
}
END_TEST

static const struct {
	struct vfm_iova_request request;
	int code;
} refused[] = {
	{ { .length = 0 }, EINVAL },
	{ { .length = 1 }, EINVAL },
	{ { .length = PAGE, .align = 3 * PAGE }, EINVAL },
	{ { .length = PAGE, .guard = 1 }, EINVAL },
	{ { .length = PAGE, .flags = 8 }, EINVAL },
	{ { .length = PAGE, .flags = VFM_IOVA_FIXED | VFM_IOVA_HINT }, EINVAL },
	{ { .length = PAGE, .flags = VFM_IOVA_FIXED, .iova = 512 }, EINVAL },
	{ { .length = PAGE, .flags = VFM_IOVA_FIXED, .iova = PAGE, .align = 2 * PAGE }, EINVAL },
	{ { .length = 2 * PAGE, .flags = VFM_IOVA_FIXED, .iova = -PAGE }, EOVERFLOW },
	{ { .length = PAGE, .guard = 1ull << 63 }, EOVERFLOW },
	{ { .length = -PAGE, .guard = PAGE }, EOVERFLOW },
	{ { .length = -2 * PAGE, .guard = PAGE }, ENOSPC },
	{ { .length = PAGE, .align = 1ull << 63, .limit = (1ull << 63) - 1 }, ENOSPC },
	{ { .length = PAGE, .limit = 2 * PAGE - 2 }, ENOSPC },
	{ { .length = PAGE, .limit = PAGE, .flags = VFM_IOVA_TOP_DOWN }, ENOSPC },
	{ { .length = PAGE, .flags = VFM_IOVA_FIXED, .iova = 16 * PAGE }, EEXIST },
	{ { .length = 4 * PAGE, .flags = VFM_IOVA_FIXED, .iova = 12 * PAGE }, EEXIST },
	{ { .length = PAGE, .flags = VFM_IOVA_FIXED, .iova = 14 * PAGE, .guard = PAGE }, EEXIST },
	{ { .length = PAGE, .flags = VFM_IOVA_FIXED, .iova = 0, .guard = PAGE }, ERANGE },
	{ { .length = PAGE, .flags = VFM_IOVA_FIXED, .iova = -PAGE, .guard = PAGE }, ERANGE },
	{ { .length = 2 * PAGE, .flags = VFM_IOVA_FIXED, .iova = 0, .limit = PAGE }, ERANGE },
	{ { .length = PAGE, .flags = VFM_IOVA_FIXED, .iova = 64 * PAGE }, ERANGE },
};

/* Everything but [64, 65] pages, with an area at page 16 that has a page of guard each side. */
START_TEST(refusals_name_their_errno_and_change_nothing)
{
	static const struct vfm_iova_range windows[] = { { 0, 64 * PAGE - 1 }, { 66 * PAGE, MAX } };
	struct vfm_iova_stats before, now;
	uint64_t iova = 4711;

	open_over(windows, 2);
	ck_assert_uint_eq(PLACED(.length = PAGE, .flags = VFM_IOVA_FIXED, .iova = 16 * PAGE, .guard = PAGE), 16 * PAGE);
	before = stats();
	ck_assert_int_eq(ask(refused[_i].request, &iova), -refused[_i].code);
	ck_assert_int_eq(error.code, refused[_i].code);
	ck_assert_str_ne(error.message, "");
	ck_assert_uint_eq(iova, 4711);
	now = stats();
	ck_assert_mem_eq(&now, &before, sizeof(now));
	close_space();
}
END_TEST

START_TEST(structs_of_no_size_are_refused)
{
	struct vfm_iova_request request = { .length = PAGE };
	struct vfm_iova_windows windows = { .alignment = PAGE };
	struct vfm_iova_area area = { 0 };
	uint64_t iova;

	open_one(0, MAX);
	ck_assert_int_eq(vfm_iova_alloc(space, &request, &iova, NULL), -EINVAL);
	ck_assert_int_eq(vfm_iova_set_windows(space, &windows, NULL, NULL), -EINVAL);
	PLACED(.length = PAGE);
	ck_assert_int_eq(vfm_iova_next(space, 0, &area), -EINVAL);
	close_space();
}
END_TEST

START_TEST(unknown_flags_of_new_windows_are_refused)
{
	struct vfm_iova_range all = { 0, MAX };
	struct vfm_iova_windows windows = {
		.size = sizeof(windows), .flags = VFM_IOVA_DRY_RUN | 2, .windows = &all, .count = 1, .alignment = PAGE
	};
	size_t misfits = 99;

	open_one(0, PAGE - 1);
	ck_assert_int_eq(vfm_iova_set_windows(space, &windows, &misfits, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "unknown flags"));
	ck_assert_uint_eq(misfits, 99);
	ck_assert_uint_eq(stats().free_bytes, PAGE);
	close_space();
}
END_TEST

START_TEST(windows_out_of_order_are_refused)
{
	static const struct vfm_iova_range bad[][2] = {
		{ { 0x2000, 0x2fff }, { 0, 0xfff } },
		{ { 0, 0x1000 }, { 0x1000, 0x1fff } },
		{ { 0x1000, 0xfff }, { 0x2000, 0x2fff } },
	};
	struct vfm_iova *none = NULL;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(bad); i++)
		ck_assert_int_eq(vfm_iova_new(NULL, bad[i], 2, PAGE, &none, NULL), -EINVAL);
	ck_assert_int_eq(vfm_iova_new(NULL, NULL, 0, 0, &none, NULL), -EINVAL);
	ck_assert_int_eq(vfm_iova_new(NULL, NULL, 0, 3, &none, NULL), -EINVAL);
	ck_assert_int_eq(vfm_iova_new(NULL, NULL, 1, PAGE, &none, NULL), -EINVAL);
	ck_assert_ptr_null(none);
	open_over(NULL, 0);
	ck_assert_int_eq(ASK(&(uint64_t){ 0 }, .length = PAGE), -ENOSPC);
	close_space();
}
END_TEST

START_TEST(windows_are_cut_to_the_alignment_and_joined)
{
	static const struct vfm_iova_range windows[] = {
		{ 1, 2 * PAGE }, { 2 * PAGE + 1, 3 * PAGE - 1 }, { 0x7001, 0x7ffe }, { MAX - PAGE - 5, MAX }
	};
	struct vfm_iova_range hole;

	open_over(windows, VFMI_ARRAY_SIZE(windows));
	ck_assert_int_eq(vfm_iova_next_hole(space, 0, &hole), 0);
	ck_range(hole, PAGE, 3 * PAGE - 1);
	ck_assert_int_eq(vfm_iova_next_hole(space, hole.last + 1, &hole), 0);
	ck_range(hole, MAX - PAGE + 1, MAX);
	ck_assert_uint_eq(stats().windows, 2);
	ck_assert_uint_eq(stats().free_bytes, 3 * PAGE);
	ck_assert_uint_eq(stats().fragmentation, 334);
	ck_assert_uint_eq(PLACED(.length = 2 * PAGE), PAGE);
	close_space();
}
END_TEST

START_TEST(release_is_exact_and_joins_holes)
{
	open_one(0, 16 * PAGE - 1);
	for (uint64_t i = 0; i < 4; i++)
		PLACED(.length = 4 * PAGE, .flags = VFM_IOVA_FIXED, .iova = i * 4 * PAGE);
	ck_assert_int_eq(vfm_iova_release(space, PAGE, 4 * PAGE, &error), -ENOENT);
	ck_assert_int_eq(vfm_iova_release(space, 0, 3 * PAGE, &error), -ENOENT);
	ck_assert_int_eq(vfm_iova_release(space, 0, 8 * PAGE, &error), -ENOENT);
	ck_assert_int_eq(vfm_iova_release(space, 0, 0, &error), -ENOENT);
	ck_assert_uint_eq(stats().areas, 4);
	ck_assert_int_eq(vfm_iova_release(space, 0, 4 * PAGE, &error), 0);
	ck_assert_int_eq(vfm_iova_release(space, 0, 4 * PAGE, &error), -ENOENT);
	ck_assert_int_eq(vfm_iova_release(space, 8 * PAGE, 4 * PAGE, &error), 0);
	ck_assert_uint_eq(stats().holes, 2);
	ck_assert_int_eq(vfm_iova_release(space, 4 * PAGE, 4 * PAGE, &error), 0);
	ck_assert_uint_eq(stats().holes, 1);
	ck_assert_uint_eq(stats().largest_hole, 12 * PAGE);
	ck_assert_int_eq(vfm_iova_release(space, 12 * PAGE, 4 * PAGE, &error), 0);
	ck_assert_uint_eq(stats().largest_hole, 16 * PAGE);
	close_space();
}
END_TEST

START_TEST(guards_do_not_overlap_and_stay_inside)
{
	struct vfm_iova_area area = { .size = sizeof(area) };

	open_one(PAGE, 9 * PAGE - 1);
	ck_assert_uint_eq(PLACED(.length = PAGE, .guard = PAGE), 2 * PAGE);
	ck_assert_uint_eq(PLACED(.length = PAGE, .guard = PAGE), 5 * PAGE);
	ck_assert_int_eq(ASK(&(uint64_t){ 0 }, .length = PAGE, .guard = PAGE), -ENOSPC);
	ck_assert_uint_eq(PLACED(.length = 2 * PAGE), 7 * PAGE);
	ck_assert_int_eq(vfm_iova_find(space, PAGE, &area), -ENOENT);
	ck_assert_int_eq(vfm_iova_find(space, 3 * PAGE, &area), -ENOENT);
	ck_assert_int_eq(vfm_iova_find(space, 3 * PAGE - 1, &area), 0);
	ck_assert_uint_eq(area.iova, 2 * PAGE);
	ck_assert_uint_eq(area.guard, PAGE);
	ck_assert_int_eq(vfm_iova_next(space, 3 * PAGE, &area), 0);
	ck_assert_uint_eq(area.iova, 5 * PAGE);
	ck_assert_int_eq(vfm_iova_release(space, 5 * PAGE, PAGE, NULL), 0);
	ck_assert_uint_eq(stats().largest_hole, 3 * PAGE);
	ck_assert_uint_eq(PLACED(.length = PAGE, .guard = PAGE, .flags = VFM_IOVA_TOP_DOWN), 5 * PAGE);
	close_space();
}
END_TEST

START_TEST(areas_are_walked_in_order)
{
	struct vfm_iova_area area = { .size = sizeof(area) };
	uint64_t seen = 0;

	open_one(0, MAX);
	for (uint64_t i = 0; i < 10; i++)
		PLACED(.length = PAGE, .flags = VFM_IOVA_FIXED, .iova = (9 - i) << 60, .cookie = 9 - i);
	ck_assert_uint_eq(PLACED(.length = PAGE, .flags = VFM_IOVA_TOP_DOWN, .cookie = 10), -PAGE);
	for (uint64_t at = 0; vfm_iova_next(space, at, &area) == 0; at = area.iova + area.length) {
		ck_assert_uint_eq(area.cookie, seen++);
		if (area.iova + area.length == 0)
			break;
	}
	ck_assert_uint_eq(seen, 11);
	ck_assert_int_eq(vfm_iova_next(space, MAX, &area), 0);
	close_space();
}
END_TEST

START_TEST(reserved_twice_is_ended_twice)
{
	open_one(0, 16 * PAGE - 1);
	PLACED(.length = PAGE, .flags = VFM_IOVA_FIXED, .iova = 8 * PAGE);
	ck_assert_int_eq(vfm_iova_reserve(space, 8 * PAGE + 5, 8 * PAGE + 5, &error), -EBUSY);
	ck_assert_int_eq(vfm_iova_reserve(space, 5, 4, &error), -EINVAL);
	ck_assert_int_eq(vfm_iova_reserve(space, 10, 2 * PAGE, &error), 0);
	ck_assert_int_eq(vfm_iova_reserve(space, 10, 2 * PAGE, &error), 0);
	ck_assert_int_eq(vfm_iova_reserve(space, 12 * PAGE, MAX, &error), 0);
	ck_assert_uint_eq(stats().free_bytes, 8 * PAGE);
	ck_assert_int_eq(vfm_iova_unreserve(space, 11, 2 * PAGE, &error), -ENOENT);
	ck_assert_int_eq(vfm_iova_unreserve(space, 10, 2 * PAGE, &error), 0);
	ck_assert_uint_eq(stats().free_bytes, 8 * PAGE);
	ck_assert_int_eq(ASK(&(uint64_t){ 0 }, .flags = VFM_IOVA_FIXED, .length = PAGE), -ERANGE);
	ck_assert_int_eq(vfm_iova_unreserve(space, 10, 2 * PAGE, &error), 0);
	ck_assert_int_eq(vfm_iova_unreserve(space, 10, 2 * PAGE, &error), -ENOENT);
	ck_assert_uint_eq(stats().free_bytes, 11 * PAGE);
	ck_assert_uint_eq(PLACED(.flags = VFM_IOVA_FIXED, .length = PAGE), 0);
	close_space();
}
END_TEST

static size_t set_windows(const struct vfm_iova_range *ranges, size_t count, bool dry_run,
			  struct vfm_iova_area *misfits, size_t room)
{
	struct vfm_iova_windows windows = {
		.size = sizeof(windows),
		.flags = dry_run ? VFM_IOVA_DRY_RUN : 0,
		.windows = ranges,
		.count = count,
		.alignment = PAGE,
		.misfits = misfits,
		.room = room,
	};
	size_t ret = 99;

	ck_assert_int_eq(vfm_iova_set_windows(space, &windows, &ret, &error), 0);
	return ret;
}

START_TEST(new_windows_name_what_no_longer_fits)
{
	static const struct vfm_iova_range narrow[] = { { 0, 2 * PAGE - 1 }, { 4 * PAGE, 6 * PAGE - 1 } };
	static const struct vfm_iova_range wide = { 0, 16 * PAGE - 1 };
	struct vfm_iova_area misfits[2] = { { .size = sizeof(misfits[0]) }, { .size = sizeof(misfits[0]) } };

	open_one(0, 16 * PAGE - 1);
	for (uint64_t i = 0; i < 5; i++)
		PLACED(.length = 3 * PAGE, .flags = VFM_IOVA_FIXED, .iova = 3 * PAGE * i, .cookie = i);
	ck_assert_uint_eq(set_windows(narrow, 2, true, misfits, 1), 5);
	ck_assert_uint_eq(misfits[0].cookie, 0);
	ck_assert_uint_eq(misfits[0].flags, VFM_IOVA_MISFIT);
	ck_assert_uint_eq(misfits[1].length, 0);
	ck_assert_uint_eq(stats().misfits, 0);
	ck_assert_uint_eq(stats().free_bytes, PAGE);
	ck_assert_uint_eq(set_windows(narrow, 2, false, NULL, 0), 5);
	ck_assert_uint_eq(stats().misfits, 5);
	ck_assert_uint_eq(stats().free_bytes, 0);
	/* An area across two windows and the hole between them: both ends are free again. */
	ck_assert_int_eq(vfm_iova_release(space, 0, 3 * PAGE, NULL), 0);
	ck_assert_int_eq(vfm_iova_release(space, 3 * PAGE, 3 * PAGE, NULL), 0);
	ck_assert_uint_eq(stats().holes, 2);
	ck_assert_uint_eq(stats().free_bytes, 4 * PAGE);
	ck_assert_uint_eq(stats().misfits, 3);
	ck_assert_uint_eq(set_windows(&wide, 1, false, NULL, 0), 0);
	ck_assert_uint_eq(stats().misfits, 0);
	ck_assert_uint_eq(stats().free_bytes, 7 * PAGE);
	close_space();
}
END_TEST

START_TEST(one_area_across_many_windows_is_released)
{
	struct vfm_iova_range many[64];

	open_one(0, 127 * PAGE - 1);
	PLACED(.length = 127 * PAGE, .flags = VFM_IOVA_FIXED);
	for (uint64_t i = 0; i < 64; i++)
		many[i] = (struct vfm_iova_range){ 2 * i * PAGE, (2 * i + 1) * PAGE - 1 };
	ck_assert_uint_eq(set_windows(many, 64, false, NULL, 0), 1);
	ck_assert_int_eq(vfm_iova_release(space, 0, 127 * PAGE, NULL), 0);
	ck_assert_uint_eq(stats().holes, 64);
	ck_assert_uint_eq(stats().free_bytes, 64 * PAGE);
	close_space();
}
END_TEST

START_TEST(a_higher_alignment_makes_misfits)
{
	struct vfm_iova_range all = { 0, MAX };
	struct vfm_iova_windows windows = {
		.size = sizeof(windows), .windows = &all, .count = 1, .alignment = 4 * PAGE
	};
	size_t misfits;

	open_one(0, MAX);
	PLACED(.length = 4 * PAGE, .flags = VFM_IOVA_FIXED, .iova = 4 * PAGE);
	PLACED(.length = 2 * PAGE, .flags = VFM_IOVA_FIXED, .iova = 8 * PAGE);
	PLACED(.length = 4 * PAGE, .flags = VFM_IOVA_FIXED, .iova = 14 * PAGE);
	ck_assert_int_eq(vfm_iova_set_windows(space, &windows, &misfits, NULL), 0);
	ck_assert_uint_eq(misfits, 2);
	ck_assert_int_eq(ASK(&(uint64_t){ 0 }, .length = PAGE), -EINVAL);
	ck_assert_uint_eq(PLACED(.length = 4 * PAGE, .limit = 0xffffffff), 20 * PAGE);
	ck_assert_int_eq(vfm_iova_release(space, 8 * PAGE, 2 * PAGE, NULL), 0);
	ck_assert_uint_eq(stats().misfits, 1);
	close_space();
}
END_TEST

START_TEST(a_guard_outside_new_windows_is_no_misfit)
{
	static const struct vfm_iova_range narrow = { 4 * PAGE, 5 * PAGE - 1 };

	open_one(0, 16 * PAGE - 1);
	PLACED(.length = PAGE, .flags = VFM_IOVA_FIXED, .iova = 4 * PAGE, .guard = PAGE);
	ck_assert_uint_eq(set_windows(&narrow, 1, false, NULL, 0), 0);
	ck_assert_int_eq(vfm_iova_release(space, 4 * PAGE, PAGE, NULL), 0);
	ck_assert_uint_eq(stats().free_bytes, PAGE);
	close_space();
}
END_TEST

START_TEST(intersection)
{
	static const struct vfm_iova_range a[] = { { 0, 0xfedfffff }, { 0xfef00000, MAX } };
	static const struct vfm_iova_range b[] = { { 0x1000, 0x1fff },
						   { 0xfedff000, 0xfef00000 },
						   { 1ull << 40, MAX } };
	struct vfm_iova_range ret[4];
	size_t count;

	ck_assert_int_eq(vfm_iova_intersect(a, 2, b, 3, ret, 4, &count), 0);
	ck_assert_uint_eq(count, 4);
	ck_range(ret[0], 0x1000, 0x1fff);
	ck_range(ret[1], 0xfedff000, 0xfedfffff);
	ck_range(ret[2], 0xfef00000, 0xfef00000);
	ck_range(ret[3], 1ull << 40, MAX);
	ck_assert_int_eq(vfm_iova_intersect(b, 3, a, 2, ret, 3, &count), -EMSGSIZE);
	ck_assert_uint_eq(count, 4);
	ck_assert_int_eq(vfm_iova_intersect(a, 2, NULL, 0, NULL, 0, &count), 0);
	ck_assert_uint_eq(count, 0);
	ck_assert_int_eq(vfm_iova_intersect((const struct vfm_iova_range[]){ { 5, 4 } }, 1, b, 3, ret, 4, &count),
			 -EINVAL);
}
END_TEST

START_TEST(exclusion)
{
	static const struct vfm_iova_range windows[] = { { 0, 99 }, { 200, MAX } };
	static const struct vfm_iova_range holes[] = { { 250, MAX }, { 90, 205 }, { 0, 9 }, { 5, 20 }, { 30, 30 } };
	struct vfm_iova_range ret[4];
	size_t count;

	ck_assert_int_eq(vfm_iova_exclude(windows, 2, holes, 5, ret, 4, &count), 0);
	ck_assert_uint_eq(count, 3);
	ck_range(ret[0], 21, 29);
	ck_range(ret[1], 31, 89);
	ck_range(ret[2], 206, 249);
	ck_assert_int_eq(vfm_iova_exclude(windows, 2, holes, 5, NULL, 0, &count), -EMSGSIZE);
	ck_assert_uint_eq(count, 3);
	ck_assert_int_eq(vfm_iova_exclude(windows, 2, NULL, 0, ret, 4, &count), 0);
	ck_assert_uint_eq(count, 2);
	ck_assert_int_eq(vfm_iova_exclude(windows, 2, (const struct vfm_iova_range[]){ { 9, 8 } }, 1, ret, 4, &count),
			 -EINVAL);
}
END_TEST

#define SMALL 64

/* A naive answer, byte for byte. */
static bool is_left(const struct vfm_iova_range *windows, const struct vfm_iova_range *holes, size_t hole_count,
		    uint64_t at)
{
	bool left = false;

	for (size_t i = 0; i < 2; i++)
		left = left || (windows[i].first <= at && at <= windows[i].last);
	for (size_t i = 0; i < hole_count; i++)
		left = left && (at < holes[i].first || at > holes[i].last);
	return left;
}

static void check_exclusion(const struct vfm_iova_range *windows, const struct vfm_iova_range *holes, size_t hole_count)
{
	struct vfm_iova_range ret[SMALL];
	size_t count, i = 0;

	ck_assert_int_eq(vfm_iova_exclude(windows, 2, holes, hole_count, ret, SMALL, &count), 0);
	for (uint64_t at = 0; at < SMALL; at++) {
		while (i < count && ret[i].last < at)
			i++;
		ck_assert(is_left(windows, holes, hole_count, at) == (i < count && ret[i].first <= at));
	}
}

/* Holes in order are gone through once, others are looked for. */
START_TEST(the_order_of_holes_does_not_matter)
{
	static const struct vfm_iova_range windows[] = { { 3, 30 }, { 31, 60 } };
	struct vfm_iova_range holes[6];

	random_state = 1;
	for (int n = 0; n < 5000; n++) {
		for (size_t i = 0; i < VFMI_ARRAY_SIZE(holes); i++) {
			uint64_t first = below(SMALL);

			holes[i] = (struct vfm_iova_range){ .first = first, .last = first + below(12) };
			for (size_t k = i; n % 2 && k > 0 && holes[k].first < holes[k - 1].first; k--) {
				struct vfm_iova_range other = holes[k];

				holes[k] = holes[k - 1];
				holes[k - 1] = other;
			}
		}
		check_exclusion(windows, holes, VFMI_ARRAY_SIZE(holes));
	}
}
END_TEST

#define MOST_RESERVED 4096

static double cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Each goes between others. */
static uint64_t outwards(uint64_t n)
{
	return (MOST_RESERVED / 2 + (n % 2 ? n / 2 : -(n / 2) - 1)) * 16 * PAGE;
}

START_TEST(reservations_come_in_any_order)
{
	open_one(0, MAX);
	for (uint64_t n = 0; n < MOST_RESERVED; n++)
		ck_assert_int_eq(vfm_iova_reserve(space, outwards(n), outwards(n) + 1, &error), 0);
	ck_assert_int_eq(vfm_iova_reserve(space, 1, 1, &error), -ENOSPC);
	ck_assert_uint_eq(stats().holes, MOST_RESERVED);
	for (uint64_t n = 0; n < MOST_RESERVED; n += 512)
		ck_assert_int_eq(vfm_iova_unreserve(space, outwards(n), outwards(n) + 1, &error), 0);
	ck_assert_uint_eq(stats().holes, MOST_RESERVED - MOST_RESERVED / 512);
}
END_TEST

/* Looked for one by one they take seconds. */
START_TEST(many_holes_in_order_are_gone_through_once)
{
	const size_t many = 1 << 16;
	struct vfm_iova_range *holes = calloc(many, sizeof(*holes));
	struct vfm_iova_range *ret = calloc(many, sizeof(*ret));
	size_t count = 0;
	double began;

	for (size_t i = 0; i < many; i++)
		holes[i] = (struct vfm_iova_range){ .first = i * PAGE, .last = i * PAGE + 1 };
	began = cpu_ms();
	ck_assert_int_eq(vfm_iova_exclude(&(struct vfm_iova_range){ 0, MAX }, 1, holes, many, ret, many, &count), 0);
	ck_assert_double_lt(cpu_ms() - began, 1e3);
	ck_assert_uint_eq(count, many);
	ck_range(ret[many - 1], holes[many - 1].last + 1, MAX);
	free(holes);
	free(ret);
}
END_TEST

static void *churn(void *arg)
{
	uint64_t iova[8];

	(void)arg;
	for (int round = 0; round < 500; round++) {
		for (int i = 0; i < 8; i++)
			iova[i] = PLACED(.length = PAGE * (uint64_t)(i + 1), .guard = i % 2 ? PAGE : 0);
		for (int i = 0; i < 8; i++)
			ck_assert_int_eq(vfm_iova_release(space, iova[i], PAGE * (uint64_t)(i + 1), NULL), 0);
	}
	return NULL;
}

START_TEST(threads_share_it)
{
	pthread_t threads[4];

	open_one(0, MAX);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(stats().areas, 0);
	ck_assert_uint_eq(stats().free_bytes, MAX);
	ck_assert_uint_eq(stats().holes, 1);
	close_space();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iova");
	TCase *tests = tcase_create("iova");
	TCase *many = tcase_create("many");

	tcase_add_test(tests, low_addresses_are_kept_and_zero_is_not_given);
	tcase_add_test(tests, top_down_reaches_the_last_page);
	tcase_add_test(tests, halves_of_everything);
	tcase_add_loop_test(tests, refusals_name_their_errno_and_change_nothing, 0, (int)VFMI_ARRAY_SIZE(refused));
	tcase_add_test(tests, structs_of_no_size_are_refused);
	tcase_add_test(tests, unknown_flags_of_new_windows_are_refused);
	tcase_add_test(tests, windows_out_of_order_are_refused);
	tcase_add_test(tests, windows_are_cut_to_the_alignment_and_joined);
	tcase_add_test(tests, release_is_exact_and_joins_holes);
	tcase_add_test(tests, guards_do_not_overlap_and_stay_inside);
	tcase_add_test(tests, areas_are_walked_in_order);
	tcase_add_test(tests, reserved_twice_is_ended_twice);
	tcase_add_test(tests, new_windows_name_what_no_longer_fits);
	tcase_add_test(tests, one_area_across_many_windows_is_released);
	tcase_add_test(tests, a_higher_alignment_makes_misfits);
	tcase_add_test(tests, a_guard_outside_new_windows_is_no_misfit);
	tcase_add_test(tests, intersection);
	tcase_add_test(tests, exclusion);
	tcase_add_test(tests, the_order_of_holes_does_not_matter);
	tcase_add_test(tests, threads_share_it);
	tcase_add_test(many, reservations_come_in_any_order);
	tcase_add_test(many, many_holes_in_order_are_gone_through_once);
	tcase_set_timeout(many, 100);
	suite_add_tcase(suite, tests);
	suite_add_tcase(suite, many);
	return run_suite(suite);
}
