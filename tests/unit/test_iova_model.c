/* SPDX-License-Identifier: MIT */
/*
 * The IOVA allocator against two naive ones, by random operations: a table of the pages of a small window, and a list
 * of areas of any size in the whole 64 bits. TAP. VFIOMIG_IOVA_STEPS: operations of each kind (default 300000);
 * VFIOMIG_IOVA_SEED: repeats a run.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"
#include "seeded.h"

#define PAGE 4096ull
#define PAGES 512
#define AREAS 160
#define RANGES 8

static uint64_t steps;
static uint64_t step;
static const char *kind;

#define CHECK(good)                                                                                                    \
	do {                                                                                                           \
		if (!(good)) {                                                                                         \
			printf("not ok - %s, step %" PRIu64 ", line %d: %s\n", kind, step, __LINE__, #good);           \
			exit(1);                                                                                       \
		}                                                                                                      \
	} while (0)

/* An area as a model knows it; length 0: none. */
struct known {
	uint64_t iova;
	uint64_t length;
	uint64_t guard;
};

struct world {
	struct vfm_iova *space;
	struct known areas[AREAS];
	struct vfm_iova_range windows[RANGES];
	size_t window_count;
	struct vfm_iova_range reserved[RANGES];
	size_t reserved_count;
};

static struct known *random_area(struct world *world)
{
	return &world->areas[below(AREAS)];
}

/* ---- a table of pages ---- */

struct table {
	struct world world;
	uint64_t base;
	uint8_t usable[PAGES];
	uint8_t taken[PAGES];
};

static void mark(struct table *table, const struct known *area, uint8_t value)
{
	uint64_t first = (area->iova - area->guard - table->base) / PAGE;
	uint64_t count = (area->length + 2 * area->guard) / PAGE;

	memset(&table->taken[first], value, count);
}

/* Whether the area may be at page @at. */
static bool table_free(const struct table *table, const struct vfm_iova_request *request, uint64_t at)
{
	uint64_t guard = request->guard / PAGE, length = request->length / PAGE, iova = table->base + at * PAGE;

	if (at < guard || at + length + guard > PAGES || (request->align && iova % request->align))
		return false;
	if (request->limit && iova + (request->length - 1) > request->limit)
		return false;
	for (uint64_t page = at - guard; page < at + length + guard; page++)
		if (!table->usable[page] || table->taken[page])
			return false;
	return true;
}

/* The page to expect, PAGES for none. */
static uint64_t table_place(const struct table *table, const struct vfm_iova_request *request)
{
	uint64_t wanted = (request->iova - table->base) / PAGE;
	uint64_t lowest = PAGES, lowest_high = PAGES, highest = PAGES;

	if (request->flags & (VFM_IOVA_FIXED | VFM_IOVA_HINT) && wanted < PAGES && table_free(table, request, wanted))
		return wanted;
	if (request->flags & VFM_IOVA_FIXED)
		return PAGES;
	for (uint64_t at = 0; at < PAGES; at++) {
		uint64_t iova = table->base + at * PAGE;

		if (iova == 0 || !table_free(table, request, at))
			continue;
		highest = at;
		if (lowest == PAGES)
			lowest = at;
		if (lowest_high == PAGES && iova >= 1ull << 32)
			lowest_high = at;
	}
	if (request->flags & VFM_IOVA_TOP_DOWN)
		return highest;
	return !request->limit && lowest_high < PAGES ? lowest_high : lowest;
}

static void table_alloc(struct table *table)
{
	static const uint64_t aligns[] = { 0, 0, 0, PAGE, 2 * PAGE, 16 * PAGE, 32 * PAGE, 512 * PAGE };
	static const uint32_t flags[] = {
		0, 0, VFM_IOVA_TOP_DOWN, VFM_IOVA_FIXED, VFM_IOVA_HINT, VFM_IOVA_HINT | VFM_IOVA_TOP_DOWN
	};
	struct known *area = random_area(&table->world);
	struct vfm_iova_request request = {
		.size = sizeof(request),
		.flags = flags[below(VFMI_ARRAY_SIZE(flags))],
		.length = (1 + below(below(8) ? 8 : 300)) * PAGE,
		.align = aligns[below(VFMI_ARRAY_SIZE(aligns))],
		.guard = below(4) ? 0 : below(3) * PAGE,
		.limit = below(4) ? 0 : table->base + below(PAGES * PAGE),
		.iova = table->base + below(PAGES) * PAGE,
	};
	uint64_t expect, iova = 0;
	int r;

	if (area->length)
		return;
	if (request.flags & VFM_IOVA_FIXED && request.align)
		request.iova &= ~(request.align - 1);
	if (request.flags & VFM_IOVA_FIXED && request.iova + (request.length - 1) < request.iova)
		return;
	expect = table_place(table, &request);
	r = vfm_iova_alloc(table->world.space, &request, &iova, NULL);
	if (expect == PAGES) {
		CHECK(r == -ENOSPC || (request.flags & VFM_IOVA_FIXED && (r == -EEXIST || r == -ERANGE)));
		return;
	}
	CHECK(r == 0);
	CHECK(iova == table->base + expect * PAGE);
	*area = (struct known){ .iova = iova, .length = request.length, .guard = request.guard };
	mark(table, area, 1);
}

static void table_release(struct table *table)
{
	struct known *area = random_area(&table->world);

	if (!area->length)
		return;
	if (area->length > PAGE)
		CHECK(vfm_iova_release(table->world.space, area->iova + PAGE, area->length, NULL) == -ENOENT);
	CHECK(vfm_iova_release(table->world.space, area->iova, area->length + PAGE, NULL) == -ENOENT);
	CHECK(vfm_iova_release(table->world.space, area->iova, area->length, NULL) == 0);
	mark(table, area, 0);
	area->length = 0;
}

static bool in_ranges(const struct vfm_iova_range *ranges, size_t count, uint64_t iova)
{
	for (size_t i = 0; i < count; i++)
		if (ranges[i].first <= iova && iova <= ranges[i].last)
			return true;
	return false;
}

static void table_replan(struct table *table)
{
	for (uint64_t page = 0; page < PAGES; page++) {
		uint64_t iova = table->base + page * PAGE;

		table->usable[page] = in_ranges(table->world.windows, table->world.window_count, iova) &&
				      !in_ranges(table->world.reserved, table->world.reserved_count, iova);
	}
}

static bool table_fits(const struct table *table, const struct known *area)
{
	for (uint64_t page = (area->iova - table->base) / PAGE, n = area->length / PAGE; n > 0; page++, n--)
		if (!table->usable[page])
			return false;
	return true;
}

static size_t table_misfits(const struct table *table)
{
	size_t count = 0;

	for (size_t i = 0; i < AREAS; i++)
		count += table->world.areas[i].length && !table_fits(table, &table->world.areas[i]);
	return count;
}

/* Windows between random pages, sorted; often all. */
static void table_windows(struct table *table)
{
	struct world *world = &table->world;
	struct vfm_iova_windows windows = { .size = sizeof(windows), .windows = world->windows, .alignment = PAGE };
	uint64_t at = 0;
	size_t misfits;

	world->window_count = 0;
	if (below(2))
		world->windows[world->window_count++] =
			(struct vfm_iova_range){ table->base, table->base + (PAGES * PAGE - 1) };
	else
		while (world->window_count < RANGES && at < PAGES) {
			uint64_t first = at + below(PAGES / 4), end = first + 1 + below(PAGES / 3);

			if (end > PAGES)
				break;
			world->windows[world->window_count++] =
				(struct vfm_iova_range){ table->base + first * PAGE, table->base + (end * PAGE - 1) };
			at = end;
		}
	windows.count = world->window_count;
	windows.flags = VFM_IOVA_DRY_RUN;
	table_replan(table);
	CHECK(vfm_iova_set_windows(world->space, &windows, &misfits, NULL) == 0);
	CHECK(misfits == table_misfits(table));
	windows.flags = 0;
	CHECK(vfm_iova_set_windows(world->space, &windows, &misfits, NULL) == 0);
	CHECK(misfits == table_misfits(table));
}

static void table_reserve(struct table *table)
{
	struct world *world = &table->world;
	uint64_t first = below(PAGES), count = 1 + below(PAGES - first < 20 ? PAGES - first : 20);
	struct vfm_iova_range range = { table->base + first * PAGE, table->base + ((first + count) * PAGE - 1) };
	bool busy = false;
	int r;

	if (world->reserved_count == RANGES || below(2)) {
		size_t at = below(RANGES);

		if (at >= world->reserved_count)
			return;
		range = world->reserved[at];
		CHECK(vfm_iova_unreserve(world->space, range.first, range.last, NULL) == 0);
		world->reserved[at] = world->reserved[--world->reserved_count];
		table_replan(table);
		return;
	}
	for (size_t i = 0; i < AREAS; i++) {
		const struct known *area = &world->areas[i];

		busy |= area->length && area->iova <= range.last && range.first <= area->iova + (area->length - 1);
	}
	r = vfm_iova_reserve(world->space, range.first, range.last, NULL);
	CHECK(r == (busy ? -EBUSY : 0));
	if (r == 0)
		world->reserved[world->reserved_count++] = range;
	table_replan(table);
}

/* Numbers, holes and areas agree. */
static void table_agrees(const struct table *table)
{
	struct vfm_iova_stats stats = { .size = sizeof(stats) };
	struct vfm_iova_area found = { .size = sizeof(found) };
	uint64_t free_pages = 0, holes = 0, largest = 0, run = 0, areas = 0;

	for (uint64_t page = 0; page < PAGES; page++) {
		bool is_free = table->usable[page] && !table->taken[page];

		run = is_free ? run + 1 : 0;
		free_pages += is_free;
		holes += run == 1;
		largest = run > largest ? run : largest;
	}
	CHECK(vfm_iova_stats(table->world.space, &stats) == 0);
	CHECK(stats.free_bytes == free_pages * PAGE && stats.holes == holes && stats.largest_hole == largest * PAGE);
	CHECK(stats.misfits == table_misfits(table));
	for (size_t i = 0; i < AREAS; i++) {
		const struct known *area = &table->world.areas[i];

		areas += area->length != 0;
		if (!area->length)
			continue;
		CHECK(vfm_iova_find(table->world.space, area->iova + below(area->length), &found) == 0);
		CHECK(found.iova == area->iova && found.length == area->length && found.guard == area->guard);
		CHECK(found.flags == (table_fits(table, area) ? 0 : VFM_IOVA_MISFIT));
		CHECK(!area->guard || vfm_iova_find(table->world.space, area->iova - 1, &found) == -ENOENT);
	}
	CHECK(stats.areas == areas);
}

static void run_table(uint64_t base, uint64_t count)
{
	static struct table table;
	struct vfm_iova_range all = { base, base + (PAGES * PAGE - 1) };

	table = (struct table){ .base = base };
	table.world.windows[0] = all;
	table.world.window_count = 1;
	table_replan(&table);
	CHECK(vfm_iova_new(NULL, &all, 1, PAGE, &table.world.space, NULL) == 0);
	for (step = 0; step < count; step++) {
		uint64_t what = below(200);

		if (what < 110)
			table_alloc(&table);
		else if (what < 197)
			table_release(&table);
		else if (what < 198)
			table_windows(&table);
		else if (what < 199)
			table_reserve(&table);
		else
			table_agrees(&table);
	}
	table_agrees(&table);
	vfm_iova_free(table.world.space);
}

/* ---- a list of areas of any size ---- */

__extension__ typedef unsigned __int128 wide; /* so that nothing wraps here */

#define END ((wide)1 << 64)

/* The lowest area with a byte in [@first, @end), with guards. */
static const struct known *list_hit(const struct world *world, wide first, wide end)
{
	const struct known *hit = NULL;

	for (size_t i = 0; i < AREAS; i++) {
		const struct known *at = &world->areas[i];

		if (at->length && (wide)at->iova - at->guard < end && (wide)at->iova + at->length + at->guard > first &&
		    (!hit || at->iova < hit->iova))
			hit = at;
	}
	return hit;
}

static wide round_up(wide value, uint64_t align)
{
	return (value + align - 1) / align * align;
}

/* The lowest place at @from or above, END for none: from one area in the way to the next. */
static wide list_lowest(const struct world *world, const struct vfm_iova_request *request, wide from)
{
	wide guard = request->guard, length = request->length, end = request->limit ? (wide)request->limit + 1 : END;
	wide at = round_up(from > guard ? from : guard, request->align);
	const struct known *hit;

	while (at + length <= end && at + length + guard <= END) {
		hit = list_hit(world, at - guard, at + length + guard);
		if (!hit)
			return at;
		at = round_up((wide)hit->iova + hit->length + hit->guard + guard, request->align);
	}
	return END;
}

static void list_alloc(struct world *world)
{
	struct known *area = random_area(world);
	struct vfm_iova_request request = {
		.size = sizeof(request),
		.length = (1 + below(15)) << (12 + below(52)),
		.align = PAGE << below(below(2) ? 20 : 52),
		.guard = below(3) ? 0 : PAGE << below(40),
		.limit = below(5) ? 0 : next_random() >> below(40),
	};
	uint64_t iova;
	wide expect;
	int r;

	if (area->length || request.length == 0)
		return;
	expect = request.limit ? END : list_lowest(world, &request, (wide)1 << 32);
	if (expect == END)
		expect = list_lowest(world, &request, 1);
	r = vfm_iova_alloc(world->space, &request, &iova, NULL);
	if (expect == END) {
		CHECK(r == -ENOSPC || r == -EOVERFLOW);
		return;
	}
	CHECK(r == 0 && iova == expect);
	*area = (struct known){ .iova = iova, .length = request.length, .guard = request.guard };
}

static void list_agrees(const struct world *world)
{
	struct vfm_iova_stats stats = { .size = sizeof(stats) };
	wide used = 0, left, largest = 0, first = 0;
	const struct known *next;
	uint64_t holes = 0;

	for (; first < END; first = (wide)next->iova + next->length + next->guard) {
		wide end;

		next = list_hit(world, first, END);
		end = next ? (wide)next->iova - next->guard : END;
		holes += end > first;
		largest = end - first > largest ? end - first : largest;
		if (!next)
			break;
		used += (wide)next->length + 2 * next->guard;
	}
	left = END - used;
	CHECK(vfm_iova_stats(world->space, &stats) == 0);
	CHECK(stats.holes == holes);
	CHECK(stats.free_bytes == (left == END ? UINT64_MAX : (uint64_t)left));
	CHECK(stats.largest_hole == (largest == END ? UINT64_MAX : (uint64_t)largest));
	CHECK(stats.used_bytes == (used == END ? UINT64_MAX : (uint64_t)used));
}

static void run_list(uint64_t count)
{
	static const struct vfm_iova_range all = { 0, UINT64_MAX };
	static struct world world;

	CHECK(vfm_iova_new(NULL, &all, 1, PAGE, &world.space, NULL) == 0);
	for (step = 0; step < count; step++) {
		struct known *area = random_area(&world);

		if (below(2)) {
			list_alloc(&world);
		} else if (area->length) {
			CHECK(vfm_iova_release(world.space, area->iova, area->length, NULL) == 0);
			area->length = 0;
		}
		if (below(50) == 0)
			list_agrees(&world);
	}
	list_agrees(&world);
	vfm_iova_free(world.space);
}

int main(void)
{
	static const struct {
		const char *name;
		uint64_t base;
	} tables[] = {
		{ "pages from 0", 0 },
		{ "pages around 4 GiB", (1ull << 32) - PAGES / 2 * PAGE },
		{ "pages above 4 GiB", 1ull << 40 },
		{ "the last pages of 64 bits", -(PAGES * PAGE) },
	};
	const int kinds = (int)VFMI_ARRAY_SIZE(tables) + 1;
	uint64_t seed = number_from("VFIOMIG_IOVA_SEED", (uint64_t)time(NULL));

	steps = number_from("VFIOMIG_IOVA_STEPS", 300000);
	printf("# VFIOMIG_IOVA_SEED=%" PRIu64 " VFIOMIG_IOVA_STEPS=%" PRIu64 "\n1..%d\n", seed, steps, kinds);
	fflush(stdout);
	random_state = seed;
	for (int i = 0; i < kinds - 1; i++) {
		kind = tables[i].name;
		run_table(tables[i].base, steps);
		printf("ok %d - %s\n", i + 1, kind);
		fflush(stdout);
	}
	kind = "areas of any size";
	run_list(steps / 4);
	printf("ok %d - %s\n", kinds, kind);
	return 0;
}
