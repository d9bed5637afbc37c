/* SPDX-License-Identifier: MIT */
/* Assignment of stream devices to devices, compared with trying every possibility. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "assign.h"
#include "suite.h"

#define SMALL 4u

/* Every way to give sources @s.. a target of their own, by trying. */
static unsigned int count_ways(const struct vfmi_fits *fits, size_t s, uint64_t taken)
{
	unsigned int ways = 0;

	if (s == fits->sources)
		return 1;
	for (size_t t = 0; t < fits->targets; t++)
		if ((fits->fit[s] & (1ull << t)) && !(taken & (1ull << t)))
			ways += count_ways(fits, s + 1, taken | (1ull << t));
	return ways;
}

static void check_against_trying(const struct vfmi_fits *fits)
{
	uint32_t map[VFM_STREAM_MAX_DEVICES] = { 99 };
	size_t left_over = 99;
	unsigned int ways = count_ways(fits, 0, 0);
	int r = vfmi_assign(fits, map, &left_over);
	uint64_t taken = 0;

	ck_assert_int_eq(r, ways == 0 ? -ENOENT : ways == 1 ? 0 : -EEXIST);
	if (ways == 0)
		ck_assert_uint_lt(left_over, fits->sources);
	if (ways != 1) {
		ck_assert_uint_eq(map[0], 99);
		return;
	}
	for (size_t s = 0; s < fits->sources; s++) {
		ck_assert(fits->fit[s] & (1ull << map[s]));
		ck_assert(!(taken & (1ull << map[s])));
		taken |= 1ull << map[s];
	}
}

/* All tables of up to 3 sources and 4 targets. */
START_TEST(agrees_with_trying_everything)
{
	for (size_t sources = 1; sources <= 3; sources++) {
		for (uint32_t bits = 0; bits < 1u << (sources * SMALL); bits++) {
			struct vfmi_fits fits = { .sources = sources, .targets = SMALL };

			for (size_t s = 0; s < sources; s++)
				fits.fit[s] = (bits >> (s * SMALL)) & ((1u << SMALL) - 1);
			check_against_trying(&fits);
		}
	}
}
END_TEST

START_TEST(takes_the_largest_tables)
{
	struct vfmi_fits fits = { .sources = VFM_STREAM_MAX_DEVICES, .targets = VFM_STREAM_MAX_DEVICES };
	uint32_t map[VFM_STREAM_MAX_DEVICES];
	size_t left_over;

	/* source i fits targets 0..i: only one way, found by moving others on */
	for (size_t s = 0; s < fits.sources; s++)
		fits.fit[fits.sources - 1 - s] = UINT64_MAX >> s;
	ck_assert_int_eq(vfmi_assign(&fits, map, &left_over), 0);
	for (uint32_t s = 0; s < fits.sources; s++)
		ck_assert_uint_eq(map[s], s);
	for (size_t s = 0; s < fits.sources; s++)
		fits.fit[s] = UINT64_MAX;
	ck_assert_int_eq(vfmi_assign(&fits, map, &left_over), -EEXIST);
	for (size_t s = 0; s < fits.sources; s++)
		fits.fit[s] = UINT64_MAX >> 1;
	ck_assert_int_eq(vfmi_assign(&fits, map, &left_over), -ENOENT);
	ck_assert_uint_eq(left_over, VFM_STREAM_MAX_DEVICES - 1);
}
END_TEST

START_TEST(more_sources_than_targets)
{
	struct vfmi_fits fits = { .sources = 2, .targets = 1, .fit = { 1, 1 } };
	uint32_t map[VFM_STREAM_MAX_DEVICES];
	size_t left_over;

	ck_assert_int_eq(vfmi_assign(&fits, map, &left_over), -ENOENT);
	ck_assert_uint_eq(left_over, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("assign");
	TCase *tc = tcase_create("assign");

	tcase_add_test(tc, agrees_with_trying_everything);
	tcase_add_test(tc, takes_the_largest_tables);
	tcase_add_test(tc, more_sources_than_targets);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
