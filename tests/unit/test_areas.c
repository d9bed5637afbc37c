/* SPDX-License-Identifier: MIT */
/* The books of an address space against a model that knows one bit a page, and their speed as they grow. */
#include <check.h>
#include <stdlib.h>

#include "areas.h"
#include "internal.h"
#include "seeded.h"
#include "suite.h"

#define PAGES 512

static struct vfmi_area *new_area(struct vfmi_areas *areas, uint64_t iova, uint64_t last)
{
	struct vfmi_area *area = calloc(1, sizeof(*area));

	ck_assert_ptr_nonnull(area);
	area->iova = iova;
	area->last = last;
	vfmi_areas_add(areas, area);
	return area;
}

static void drop_area(struct vfmi_areas *areas, struct vfmi_area *area)
{
	vfmi_areas_remove(areas, area);
	free(area);
}

static void drop_all(struct vfmi_areas *areas)
{
	while (areas->root)
		drop_area(areas, areas->root);
}

/* Height, checking order and heap on the way; 0 for none. */
static int height(const struct vfmi_area *area, const uint64_t *above, uint64_t below)
{
	int left;
	int right;

	if (!area)
		return 0;
	ck_assert_uint_le(area->iova, area->last);
	ck_assert_uint_le(area->last, below);
	if (above)
		ck_assert_uint_gt(area->iova, *above);
	left = height(area->left, above, area->iova ? area->iova - 1 : 0);
	right = height(area->right, &area->last, below);
	return 1 + (left > right ? left : right);
}

START_TEST(empty_overlaps_nothing)
{
	struct vfmi_areas areas = { 0 };

	ck_assert_ptr_null(vfmi_areas_overlap(&areas, 0, UINT64_MAX));
}
END_TEST

static const struct {
	uint64_t first;
	uint64_t last;
	bool overlaps;
} edges[] = {
	{ 0, 0, false },
	{ 0, 0xfff, false },
	{ 0, 0x1000, true },
	{ 0x1000, 0x1000, true },
	{ 0x1fff, 0x1fff, true },
	{ 0x1fff, 0x3000, true },
	{ 0x2000, 0x2000, false },
	{ 0x2000, UINT64_MAX - 0x1000, false },
	{ 0x2000, UINT64_MAX, true },
	{ UINT64_MAX, UINT64_MAX, true },
	{ 0, UINT64_MAX, true },
};

START_TEST(edges_are_inclusive)
{
	struct vfmi_areas areas = { 0 };

	new_area(&areas, 0x1000, 0x1fff);
	new_area(&areas, UINT64_MAX - 0xfff, UINT64_MAX);
	ck_assert_int_eq(vfmi_areas_overlap(&areas, edges[_i].first, edges[_i].last) != NULL, edges[_i].overlaps);
	drop_all(&areas);
}
END_TEST

START_TEST(lowest_overlap_is_found)
{
	struct vfmi_areas areas = { 0 };

	for (uint64_t i = 0; i < 64; i++)
		new_area(&areas, i * 16, i * 16 + 7);
	ck_assert_uint_eq(vfmi_areas_overlap(&areas, 8, UINT64_MAX)->iova, 16);
	ck_assert_uint_eq(vfmi_areas_overlap(&areas, 7, UINT64_MAX)->iova, 0);
	ck_assert_uint_eq(vfmi_areas_overlap(&areas, 500, 600)->iova, 496);
	drop_all(&areas);
}
END_TEST

START_TEST(agrees_with_a_model)
{
	static struct vfmi_area *owner[PAGES];
	struct vfmi_areas areas = { 0 };

	random_state = (uint64_t)_i + 1;
	memset(owner, 0, sizeof(owner));
	for (int step = 0; step < 2000; step++) {
		uint64_t first = below(PAGES);
		uint64_t last = first + below(8);
		struct vfmi_area *expect = NULL;
		struct vfmi_area *found;

		if (last >= PAGES)
			last = PAGES - 1;
		for (uint64_t page = first; page <= last && !expect; page++)
			expect = owner[page];
		found = vfmi_areas_overlap(&areas, first, last);
		ck_assert_msg(found == expect, "seed %d step %d", _i + 1, step);
		if (!found) {
			found = new_area(&areas, first, last);
			for (uint64_t page = first; page <= last; page++)
				owner[page] = found;
		} else if (below(2)) {
			for (uint64_t page = found->iova; page <= found->last; page++)
				owner[page] = NULL;
			drop_area(&areas, found);
		}
	}
	height(areas.root, NULL, UINT64_MAX);
	drop_all(&areas);
}
END_TEST

enum order {
	ASCENDING,
	DESCENDING,
	SCATTERED,
};

static uint64_t place(enum order order, uint64_t i, uint64_t count)
{
	if (order == ASCENDING)
		return i;
	if (order == DESCENDING)
		return count - 1 - i;
	return i * 40503 % count; /* odd factor: visits each once for a power of two */
}

START_TEST(stays_shallow_in_any_order)
{
	const uint64_t count = 1u << 16;
	struct vfmi_areas areas = { 0 };

	for (uint64_t i = 0; i < count; i++) {
		uint64_t iova = place((enum order)_i, i, count) * 4096;

		ck_assert_ptr_null(vfmi_areas_overlap(&areas, iova, iova + 4095));
		new_area(&areas, iova, iova + 4095);
	}
	/* expected about 2 ln n = 22 on average, 4.3 ln n = 48 at most; a list would be 65536 */
	ck_assert_int_le(height(areas.root, NULL, UINT64_MAX), 70);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t iova = place((enum order)((_i + 1) % 3), i, count) * 4096;
		struct vfmi_area *area = vfmi_areas_overlap(&areas, iova, iova);

		ck_assert_ptr_nonnull(area);
		drop_area(&areas, area);
	}
	ck_assert_ptr_null(areas.root);
}
END_TEST

START_TEST(removing_a_stranger_changes_nothing)
{
	struct vfmi_area stranger = { .iova = 0x5000, .last = 0x5fff };
	struct vfmi_areas areas = { 0 };

	vfmi_areas_remove(&areas, &stranger);
	new_area(&areas, 0x1000, 0x1fff);
	vfmi_areas_remove(&areas, &stranger);
	ck_assert_ptr_nonnull(vfmi_areas_overlap(&areas, 0x1000, 0x1000));
	drop_all(&areas);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("areas");
	TCase *tests = tcase_create("areas");

	tcase_add_test(tests, empty_overlaps_nothing);
	tcase_add_loop_test(tests, edges_are_inclusive, 0, (int)VFMI_ARRAY_SIZE(edges));
	tcase_add_test(tests, lowest_overlap_is_found);
	tcase_add_loop_test(tests, agrees_with_a_model, 0, 20);
	tcase_add_loop_test(tests, stays_shallow_in_any_order, ASCENDING, SCATTERED + 1);
	tcase_add_test(tests, removing_a_stranger_changes_nothing);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
