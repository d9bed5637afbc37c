/* SPDX-License-Identifier: MIT */
/* Which ranges of IOVA a device is asked to log: the least excess for each number of ranges, and what to try next. */
#include <stdio.h>
#include <stdlib.h>

#include "dma-ranges.h"
#include "iova-ranges.h"

#define LEAST_PAGE 4096u
/* Each rung has as many ranges as this at most; two is a low and a high one beside the hole below 4 GiB. */
static const size_t rungs[] = { VFMI_DMA_RANGES_MAX, 64, 16, 4, 2, 1 };

/* Covering */

/*
 * Areas grown to whole units, those that then touch made one. What is left between them is what a cover may leave out;
 * it leaves out most when it keeps the largest gaps, whichever they are, for gaps do not depend on each other.
 */
static size_t grow(const struct vfm_iova_range *areas, size_t count, uint64_t mask, struct vfm_iova_range *ret)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t first = areas[i].first & ~mask, last = areas[i].last | mask;

		if (kept > 0 && first <= ret[kept - 1].last + 1)
			ret[kept - 1].last = last;
		else
			ret[kept++] = (struct vfm_iova_range){ .first = first, .last = last };
	}
	return kept;
}

struct gap {
	uint64_t bytes;
	size_t before; /* index of the area above it */
};

/* Largest first; among equals the lowest. */
static int by_size(const void *a, const void *b)
{
	const struct gap *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return (x->before > y->before) - (x->before < y->before);
}

static int by_place(const void *a, const void *b)
{
	const struct gap *x = a, *y = b;

	return (x->before > y->before) - (x->before < y->before);
}

/* Keep the @most - 1 largest gaps; @grown has more areas than @most. */
static void close_gaps(const struct vfm_iova_range *grown, size_t count, size_t most, struct gap *gaps,
		       struct vfm_iova_range *ret)
{
	for (size_t i = 1; i < count; i++)
		gaps[i - 1] = (struct gap){ .bytes = grown[i].first - grown[i - 1].last - 1, .before = i };
	qsort(gaps, count - 1, sizeof(*gaps), by_size);
	qsort(gaps, most - 1, sizeof(*gaps), by_place);
	ret[0].first = grown[0].first;
	for (size_t i = 0; i + 1 < most; i++) {
		ret[i].last = grown[gaps[i].before - 1].last;
		ret[i + 1].first = grown[gaps[i].before].first;
	}
	ret[most - 1].last = grown[count - 1].last;
}

int vfmi_dma_cover(const struct vfm_iova_range *areas, size_t count, uint64_t unit, size_t most,
		   struct vfm_iova_range *ret, size_t *ret_count)
{
	struct vfm_iova_range *grown = calloc(count, sizeof(*grown));
	struct gap *gaps = calloc(count, sizeof(*gaps));
	int r = -ENOMEM;
	size_t kept;

	if (!grown || !gaps)
		goto out;
	kept = grow(areas, count, unit - 1, grown);
	r = -EOVERFLOW;
	if (grown[kept - 1].last == UINT64_MAX)
		goto out;
	r = 0;
	if (kept <= most)
		memcpy(ret, grown, kept * sizeof(*ret));
	else
		close_gaps(grown, kept, most, gaps, ret);
	*ret_count = kept < most ? kept : most;
out:
	free(gaps);
	free(grown);
	return r;
}

/* The ladder */

static uint64_t bytes_in(const struct vfm_iova_range *ranges, size_t count)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += ranges[i].last - ranges[i].first + 1;
	return bytes;
}

static bool within_total(const struct vfmi_dma_limits *limits, uint64_t covered)
{
	return limits->total_bits == 0 || limits->total_bits > 63 || covered <= 1ull << limits->total_bits;
}

/* What a driver refuses by its limits, and what differs in nothing from the plan before, is left out. */
static int add_plan(struct vfmi_dma_ladder *ladder, const struct vfm_iova_range *areas, size_t count,
		    const struct vfmi_dma_limits *limits, uint64_t page_size, size_t most)
{
	const struct vfmi_dma_plan *before = ladder->count ? &ladder->plans[ladder->count - 1] : NULL;
	struct vfmi_dma_plan plan = { .page_size = page_size };
	uint64_t unit;
	int r;

	if (__builtin_mul_overflow(page_size, limits->align_pages ? limits->align_pages : 1, &unit))
		return 0;
	plan.ranges = calloc(most, sizeof(*plan.ranges));
	if (!plan.ranges)
		return -ENOMEM;
	r = vfmi_dma_cover(areas, count, unit, most, plan.ranges, &plan.count);
	if (r < 0)
		goto err_free;
	plan.covered = bytes_in(plan.ranges, plan.count);
	plan.excess = plan.covered - bytes_in(areas, count);
	if (!within_total(limits, plan.covered) ||
	    (before && before->page_size == page_size && before->count == plan.count))
		goto err_free;
	ladder->plans[ladder->count++] = plan;
	return 0;
err_free:
	free(plan.ranges);
	return r == -ENOMEM ? r : 0;
}

static bool sane(const struct vfm_iova_range *areas, size_t count, const struct vfmi_dma_limits *limits)
{
	return count > 0 && vfmi_ranges_sorted(areas, count) && limits->page_sizes != 0 &&
	       (limits->page_sizes & (LEAST_PAGE - 1)) == 0 &&
	       (limits->align_pages == 0 || vfmi_is_power_of_two(limits->align_pages));
}

static int climb(struct vfmi_dma_ladder *ladder, const struct vfm_iova_range *areas, size_t count,
		 const struct vfmi_dma_limits *limits)
{
	size_t most = limits->max_ranges && limits->max_ranges < rungs[0] ? limits->max_ranges : rungs[0];
	int r = 0;

	for (uint64_t sizes = limits->page_sizes; sizes && r == 0; sizes &= sizes - 1)
		for (size_t i = 0; i < VFMI_ARRAY_SIZE(rungs) && r == 0; i++)
			r = add_plan(ladder, areas, count, limits, sizes & -sizes, rungs[i] < most ? rungs[i] : most);
	return r;
}

int vfmi_dma_ladder_new(const struct vfm_iova_range *areas, size_t count, const struct vfmi_dma_limits *limits,
			struct vfmi_dma_ladder *ret)
{
	struct vfmi_dma_ladder ladder = { 0 };
	size_t room = (size_t)__builtin_popcountll(limits->page_sizes) * VFMI_ARRAY_SIZE(rungs) + 1;
	int r;

	if (!sane(areas, count, limits))
		return -EINVAL;
	ladder.plans = calloc(room, sizeof(*ladder.plans));
	if (!ladder.plans)
		return -ENOMEM;
	r = climb(&ladder, areas, count, limits);
	if (r < 0) {
		vfmi_dma_ladder_free(&ladder);
		return r;
	}
	ladder.count++; /* zeros: nothing is logged */
	*ret = ladder;
	return 0;
}

void vfmi_dma_ladder_free(struct vfmi_dma_ladder *ladder)
{
	for (size_t i = 0; i < ladder->count; i++)
		free(ladder->plans[i].ranges);
	free(ladder->plans);
	*ladder = (struct vfmi_dma_ladder){ 0 };
}

bool vfmi_dma_worth_another(int code)
{
	return code == -EINVAL || code == -E2BIG || code == -EOPNOTSUPP || code == -ENOSPC || code == -ENOMEM;
}

/* In words */

/* In the largest unit of which it is a whole number. */
static const char *bytes_text(uint64_t bytes, char text[32])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	size_t unit = 0;

	for (; bytes % 1024 == 0 && unit + 1 < VFMI_ARRAY_SIZE(units); unit++)
		bytes /= 1024;
	snprintf(text, 32, "%llu %s", (unsigned long long)bytes, units[unit]);
	return text;
}

const char *vfmi_dma_plan_text(const struct vfmi_dma_plan *plan, char text[VFMI_DMA_PLAN_TEXT])
{
	char page[32], excess[32];

	if (plan->page_size == 0)
		snprintf(text, VFMI_DMA_PLAN_TEXT, "nothing is logged: every page counts as dirty at every sync");
	else
		snprintf(text, VFMI_DMA_PLAN_TEXT, "%zu %s of %s pages, %s more than is mapped", plan->count,
			 plan->count == 1 ? "range" : "ranges", bytes_text(plan->page_size, page),
			 plan->excess ? bytes_text(plan->excess, excess) : "no");
	return text;
}
