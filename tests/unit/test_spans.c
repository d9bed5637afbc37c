/* SPDX-License-Identifier: MIT */
/* Trees of spans, tall ones: against a table, in every order, and that their nodes are never more than were stocked. */
#include <check.h>
#include <stdlib.h>

#include "internal.h"
#include "spans.h"
#include "seeded.h"
#include "suite.h"

#define PLACES 12000u
#define STEPS 60000u

/* Place p may hold the span [10p, 10p + size - 1]. */
static uint8_t sizes[PLACES];
static struct vfmi_span_stock stock;
static struct vfmi_spans spans;

static void begin(void)
{
	memset(sizes, 0, sizeof(sizes));
	stock = (struct vfmi_span_stock){ 0 };
	spans = (struct vfmi_spans){ .stock = &stock, .holes = true };
	random_state = 1;
}

static void end(void)
{
	vfmi_spans_clear(&spans);
	ck_assert_uint_eq(stock.in_use, 0);
	vfmi_span_stock_clear(&stock);
}

static void set(uint64_t place, uint8_t size)
{
	struct vfmi_span span = vfmi_span_hole(place * 10, place * 10 + size - 1);

	if (size == 0) {
		vfmi_spans_remove(&spans, place * 10);
	} else if (sizes[place]) {
		vfmi_spans_replace(&spans, place * 10, &span);
	} else {
		ck_assert_int_eq(vfmi_span_stock_fill(&stock, spans.count + 1, 0), 0);
		vfmi_spans_add(&spans, &span);
	}
	sizes[place] = size;
}

/* The table's answer to "the lowest with a byte at @address or above"; PLACES for none. */
static uint64_t reached(uint64_t address)
{
	uint64_t place = address / 10;

	if (place < PLACES && sizes[place] <= address % 10)
		place++;
	while (place < PLACES && sizes[place] == 0)
		place++;
	return place;
}

static void ck_reach(uint64_t address)
{
	uint64_t expect = reached(address);
	struct vfmi_span found;

	ck_assert_int_eq(vfmi_spans_reach(&spans, address, &found), expect < PLACES);
	if (expect < PLACES) {
		ck_assert_uint_eq(found.first, expect * 10);
		ck_assert_uint_eq(found.last, expect * 10 + sizes[expect] - 1);
	}
}

static void ck_room(uint64_t length)
{
	struct vfmi_room room = { .length = length, .align = 1, .last = UINT64_MAX };
	uint64_t lowest = 0, highest = PLACES, iova;
	struct vfmi_span found;

	while (lowest < PLACES && sizes[lowest] < length)
		lowest++;
	while (highest > 0 && sizes[highest - 1] < length)
		highest--;
	ck_assert_int_eq(vfmi_spans_lowest_room(&spans, &room, &found, &iova), lowest < PLACES);
	if (lowest < PLACES)
		ck_assert_uint_eq(iova, lowest * 10);
	ck_assert_int_eq(vfmi_spans_highest_room(&spans, &room, &found, &iova), highest > 0);
	if (highest > 0)
		ck_assert_uint_eq(iova, (highest - 1) * 10 + sizes[highest - 1] - length);
}

static void ck_all(void)
{
	uint64_t count = 0, widest = 0;

	for (uint64_t place = 0; place < PLACES; place++) {
		count += sizes[place] != 0;
		widest = sizes[place] > widest ? sizes[place] : widest;
		ck_reach(place * 10 + below(10));
	}
	ck_assert_uint_eq(spans.count, count);
	ck_assert_uint_eq(vfmi_spans_widest(&spans), widest);
}

START_TEST(agrees_with_a_table)
{
	begin();
	for (uint32_t step = 0; step < STEPS; step++) {
		/* Grows, then shrinks to nothing much. */
		uint8_t size = step < STEPS / 2 || below(3) == 0 ? (uint8_t)(1 + below(9)) : 0;
		uint64_t place = below(PLACES);

		if (size || sizes[place])
			set(place, size);
		ck_reach(below(PLACES * 10));
		if (step % 2000 == 0)
			ck_room(1 + below(10));
	}
	ck_assert_uint_gt(spans.height, 1);
	ck_all();
	end();
}
END_TEST

static uint64_t place_of(int order, uint64_t i)
{
	if (order == 0)
		return i;
	if (order == 1)
		return PLACES - 1 - i;
	return i * 7919 % PLACES; /* a prime that does not divide it: each once */
}

START_TEST(every_order_in_and_out)
{
	begin();
	for (uint64_t i = 0; i < PLACES; i++)
		set(place_of(_i % 3, i), 5);
	ck_all();
	set(PLACES / 2, 9);
	ck_room(9);
	set(PLACES / 2, 5);
	ck_all();
	for (uint64_t i = 0; i < PLACES; i++) {
		set(place_of(_i / 3, i), 0);
		/* All that is left could stand in the worst of trees; nothing is asked of the stock meanwhile. */
		ck_assert_int_eq(vfmi_span_stock_fill(&stock, spans.count, 0), 0);
	}
	ck_assert_uint_eq(stock.in_use, 0);
	ck_all();
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("spans");
	TCase *tests = tcase_create("spans");

	tcase_add_test(tests, agrees_with_a_table);
	tcase_add_loop_test(tests, every_order_in_and_out, 0, 9);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
