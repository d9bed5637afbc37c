/* SPDX-License-Identifier: MIT */
/*
 * IOVA allocator: the areas that were placed, and the holes left of the windows, in two trees. Pure.
 *
 * First fit by address, which one tree of holes serves. Best fit would need another by size, and pays only in windows
 * that are nearly full: with 90 % of one in use it refused up to 6 % of random requests, first fit up to 20 %; with
 * 80 % both less than half a percent. Windows are larger than what is mapped by orders of magnitude.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "iova-ranges.h"
#include "spans.h"

#define KNOWN_FLAGS (VFM_IOVA_FIXED | VFM_IOVA_HINT | VFM_IOVA_TOP_DOWN)
#define MAX_WINDOWS 65536u /* as many as are believed of the kernel */
#define MAX_RESERVED 4096u
#define ABOVE_4_GIB (1ull << 32)
#define VFMI_REQUEST_MIN VFMI_SIZE_TO(struct vfm_iova_request, cookie)
#define VFMI_WINDOWS_MIN VFMI_SIZE_TO(struct vfm_iova_windows, room)

/* Where areas may lie. */
struct plan {
	struct vfm_iova_range *windows; /* as given */
	size_t window_count;
	uint64_t alignment;
	struct vfm_iova_range *usable; /* less what is reserved, joined, whole units of the alignment; none touch */
	size_t usable_count;
};

struct reserved {
	struct vfm_iova_range *ranges; /* they begin in order, and may overlap */
	size_t count;
};

struct vfm_iova {
	struct vfm_context *ctx;
	pthread_mutex_t lock;
	struct plan plan;
	struct reserved reserved;
	struct vfmi_span_stock stock; /* enough to release every area */
	struct vfmi_spans areas;      /* with their guards */
	struct vfmi_spans holes;      /* all of the usable ranges that is no area; none touch */
	uint64_t misfit_count;
	uint64_t used_bytes; /* modulo 2^64, both */
	uint64_t free_bytes;
};

/* Plans */

static void plan_free(struct plan *plan)
{
	free(plan->windows);
	free(plan->usable);
}

static const char *plan_flaw(const struct vfm_iova_range *windows, size_t count, uint64_t alignment)
{
	if (!vfmi_is_power_of_two(alignment))
		return "the alignment must be a power of two";
	if (count > 0 && !windows)
		return "there are no windows where some should be";
	if (count > MAX_WINDOWS)
		return "too many windows";
	return vfmi_ranges_sorted(windows, count) ? NULL : "windows must be sorted and must not overlap";
}

static int plan_make(const struct vfm_iova_range *windows, size_t count, uint64_t alignment,
		     const struct reserved *reserved, struct plan *ret)
{
	size_t room = count + reserved->count;
	struct plan plan = { .window_count = count, .alignment = alignment };
	struct vfm_iova_range *joined = calloc(count + 1, sizeof(*joined));

	plan.windows = calloc(count + 1, sizeof(*plan.windows));
	plan.usable = calloc(room + 1, sizeof(*plan.usable));
	if (!joined || !plan.windows || !plan.usable)
		goto out_free;
	if (count > 0) {
		memcpy(plan.windows, windows, count * sizeof(*windows));
		memcpy(joined, windows, count * sizeof(*windows));
	}
	plan.usable_count = vfmi_ranges_exclude(joined, vfmi_ranges_join(joined, count), reserved->ranges,
						reserved->count, plan.usable);
	plan.usable_count = vfmi_ranges_align(plan.usable, plan.usable_count, alignment);
	*ret = plan;
	free(joined);
	return 0;

out_free:
	free(joined);
	plan_free(&plan);
	return -ENOMEM;
}

static bool plan_holds(const struct plan *plan, uint64_t first, uint64_t last)
{
	size_t i = vfmi_ranges_at_or_above(plan->usable, plan->usable_count, first);

	return i < plan->usable_count && plan->usable[i].first <= first && last <= plan->usable[i].last;
}

/* Without its guards: they are a wish, and what is mapped can stay. */
static uint64_t first_of(const struct vfmi_span *area)
{
	return area->first + area->guard;
}

static uint64_t last_of(const struct vfmi_span *area)
{
	return area->last - area->guard;
}

static bool plan_fits(const struct plan *plan, const struct vfmi_span *area)
{
	uint64_t mask = plan->alignment - 1;

	return plan_holds(plan, first_of(area), last_of(area)) && !(first_of(area) & mask) &&
	       !((last_of(area) + 1) & mask);
}

/* Areas and holes */

/* The area after @area, into it. false: there is none */
static bool advance(const struct vfmi_spans *areas, struct vfmi_span *area)
{
	return area->last != UINT64_MAX && vfmi_spans_reach(areas, area->last + 1, area);
}

static struct vfm_iova_area describe(const struct plan *plan, const struct vfmi_span *area)
{
	return (struct vfm_iova_area){
		.size = sizeof(struct vfm_iova_area),
		.flags = plan_fits(plan, area) ? 0 : VFM_IOVA_MISFIT,
		.iova = first_of(area),
		.length = last_of(area) - first_of(area) + 1,
		.guard = area->guard,
		.cookie = area->cookie,
	};
}

/* Usable and free from now on. */
static void join_hole(struct vfm_iova *space, uint64_t first, uint64_t last)
{
	struct vfmi_span below, above, joined;
	bool grows = first > 0 && vfmi_spans_reach(&space->holes, first - 1, &below) && below.last == first - 1;

	space->free_bytes += last - first + 1;
	if (grows)
		first = below.first;
	if (last < UINT64_MAX && vfmi_spans_reach(&space->holes, last + 1, &above) && above.first == last + 1) {
		last = above.last;
		if (grows)
			vfmi_spans_remove(&space->holes, above.first);
		else
			below = above;
		grows = true;
	}
	joined = vfmi_span_hole(first, last);
	if (grows)
		vfmi_spans_replace(&space->holes, below.first, &joined);
	else
		vfmi_spans_add(&space->holes, &joined);
}

/* The usable parts of what no area is in any more. */
static void give_back(struct vfm_iova *space, uint64_t first, uint64_t last)
{
	const struct plan *plan = &space->plan;

	for (size_t i = vfmi_ranges_at_or_above(plan->usable, plan->usable_count, first);
	     i < plan->usable_count && plan->usable[i].first <= last; i++) {
		uint64_t low = plan->usable[i].first > first ? plan->usable[i].first : first;
		uint64_t high = plan->usable[i].last < last ? plan->usable[i].last : last;

		join_hole(space, low, high);
	}
}

/* What is free between the areas in @window. */
static void find_holes(struct vfm_iova *space, const struct vfm_iova_range *window)
{
	uint64_t first = window->first;
	struct vfmi_span area;

	while (vfmi_spans_reach(&space->areas, first, &area) && area.first <= window->last) {
		if (area.first > first)
			join_hole(space, first, area.first - 1);
		if (area.last >= window->last)
			return;
		first = area.last + 1;
	}
	join_hole(space, first, window->last);
}

/* New plans */

/* There are no more holes than areas and usable ranges. 0 or -ENOMEM */
static int stock_up(struct vfm_iova *space, uint64_t areas, uint64_t usable)
{
	return vfmi_span_stock_fill(&space->stock, areas, areas + usable);
}

/* Areas that do not fit @plan; the lowest @room of them into @ret. */
static size_t find_misfits(const struct vfm_iova *space, const struct plan *plan, struct vfm_iova_area *ret,
			   size_t room)
{
	struct vfm_iova_area told;
	struct vfmi_span area;
	size_t count = 0;

	for (bool more = vfmi_spans_reach(&space->areas, 0, &area); more; more = advance(&space->areas, &area)) {
		if (plan_fits(plan, &area))
			continue;
		if (ret && count < room) {
			told = describe(plan, &area);
			(void)vfmi_sized_out(&ret[count], &told, sizeof(told));
		}
		count++;
	}
	return count;
}

/* @plan becomes the space's, its old one is freed. 0 or -ENOMEM, nothing changed. */
static int take_plan(struct vfm_iova *space, const struct plan *plan)
{
	int r = stock_up(space, space->areas.count, plan->usable_count);

	if (r < 0) /* what there is now lies within what there was */
		return r;
	plan_free(&space->plan);
	space->plan = *plan;
	vfmi_spans_clear(&space->holes);
	space->free_bytes = 0;
	for (size_t i = 0; i < plan->usable_count; i++)
		find_holes(space, &plan->usable[i]);
	space->misfit_count = find_misfits(space, plan, NULL, 0);
	return 0;
}

int vfm_iova_set_windows(struct vfm_iova *space, const struct vfm_iova_windows *windows, size_t *ret_misfits,
			 struct vfm_error *ret_error)
{
	struct vfm_iova_windows wish;
	size_t misfits = 0;
	const char *flaw;
	struct plan plan;
	bool dry_run;
	int r = vfmi_sized_in(&wish, sizeof(wish), windows, VFMI_WINDOWS_MIN);

	if (r < 0)
		return VFMI_FAIL(space->ctx, ret_error, -r, NULL, "IOVA windows",
				 "struct vfm_iova_windows of a size not known here");
	dry_run = wish.flags & VFM_IOVA_DRY_RUN;
	flaw = plan_flaw(wish.windows, wish.count, wish.alignment);
	if (wish.flags & ~(uint32_t)VFM_IOVA_DRY_RUN)
		flaw = "unknown flags";
	if (flaw)
		return VFMI_FAIL(space->ctx, ret_error, EINVAL, NULL, "IOVA windows", "%s", flaw);
	pthread_mutex_lock(&space->lock);
	r = plan_make(wish.windows, wish.count, wish.alignment, &space->reserved, &plan);
	if (r == 0) {
		misfits = find_misfits(space, &plan, wish.misfits, wish.room);
		if (!dry_run)
			r = take_plan(space, &plan);
		if (dry_run || r < 0)
			plan_free(&plan);
	}
	pthread_mutex_unlock(&space->lock);
	if (r < 0)
		return VFMI_FAIL(space->ctx, ret_error, -r, NULL, "IOVA windows", "%s", vfmi_errno_text(-r));
	if (ret_misfits)
		*ret_misfits = misfits;
	return 0;
}

/* Reserved ranges */

/* Under the lock. @ranges becomes the list of reserved ranges if the plan that follows from it can be had. */
static int plan_reserved(struct vfm_iova *space, struct vfm_iova_range *ranges, size_t count)
{
	struct reserved reserved = { .ranges = ranges, .count = count };
	struct plan plan;
	int r = plan_make(space->plan.windows, space->plan.window_count, space->plan.alignment, &reserved, &plan);

	if (r < 0)
		return r;
	r = take_plan(space, &plan);
	if (r < 0) {
		plan_free(&plan);
		return r;
	}
	free(space->reserved.ranges);
	space->reserved = reserved;
	return 0;
}

/* The lowest area that is mapped in [@first, @last]; one whose guard alone reaches in does not count. */
static bool mapped_in(const struct vfm_iova *space, uint64_t first, uint64_t last, struct vfmi_span *ret)
{
	bool found = vfmi_spans_reach(&space->areas, first, ret);

	while (found && last_of(ret) < first)
		found = advance(&space->areas, ret);
	return found && first_of(ret) <= last;
}

static int reserve_locked(struct vfm_iova *space, uint64_t first, uint64_t last)
{
	const struct reserved *reserved = &space->reserved;
	const size_t count = reserved->count;
	struct vfm_iova_range *ranges;
	size_t at = 0;
	int r;

	if (count >= MAX_RESERVED)
		return -ENOSPC;
	ranges = calloc(count + 1, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	for (; at < count && reserved->ranges[at].first <= first; at++)
		ranges[at] = reserved->ranges[at];
	ranges[at] = (struct vfm_iova_range){ .first = first, .last = last };
	for (; at < count; at++)
		ranges[at + 1] = reserved->ranges[at];
	r = plan_reserved(space, ranges, count + 1);
	if (r < 0)
		free(ranges);
	return r;
}

int vfm_iova_reserve(struct vfm_iova *space, uint64_t first, uint64_t last, struct vfm_error *ret_error)
{
	struct vfmi_span other;
	int r;

	if (first > last)
		return VFMI_FAIL(space->ctx, ret_error, EINVAL, NULL, "reserve IOVAs",
				 "[0x%" PRIx64 ", 0x%" PRIx64 "] ends before it begins", first, last);
	pthread_mutex_lock(&space->lock);
	r = mapped_in(space, first, last, &other) ? -EBUSY : reserve_locked(space, first, last);
	pthread_mutex_unlock(&space->lock);
	if (r == -EBUSY)
		return VFMI_FAIL(space->ctx, ret_error, EBUSY, NULL, "reserve IOVAs",
				 "[0x%" PRIx64 ", 0x%" PRIx64 "]: the area [0x%" PRIx64 ", 0x%" PRIx64 "] is there",
				 first, last, first_of(&other), last_of(&other));
	if (r < 0)
		return VFMI_FAIL(space->ctx, ret_error, -r, NULL, "reserve IOVAs", "%s", vfmi_errno_text(-r));
	return 0;
}

static int unreserve_locked(struct vfm_iova *space, uint64_t first, uint64_t last)
{
	const struct reserved *reserved = &space->reserved;
	struct vfm_iova_range *ranges;
	size_t at = 0;
	int r;

	while (at < reserved->count && (reserved->ranges[at].first != first || reserved->ranges[at].last != last))
		at++;
	if (at == reserved->count)
		return -ENOENT;
	ranges = calloc(reserved->count, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	memcpy(ranges, reserved->ranges, at * sizeof(*ranges));
	memcpy(ranges + at, reserved->ranges + at + 1, (reserved->count - at - 1) * sizeof(*ranges));
	r = plan_reserved(space, ranges, reserved->count - 1);
	if (r < 0)
		free(ranges);
	return r;
}

int vfm_iova_unreserve(struct vfm_iova *space, uint64_t first, uint64_t last, struct vfm_error *ret_error)
{
	int r;

	pthread_mutex_lock(&space->lock);
	r = unreserve_locked(space, first, last);
	pthread_mutex_unlock(&space->lock);
	if (r < 0)
		return VFMI_FAIL(space->ctx, ret_error, -r, NULL, "end reservation of IOVAs",
				 "[0x%" PRIx64 ", 0x%" PRIx64 "]: %s", first, last,
				 r == -ENOENT ? "this was not reserved" : vfmi_errno_text(-r));
	return 0;
}

/* Placing areas */

static const char *request_flaw(const struct vfm_iova_request *request, uint64_t alignment, int *ret_code)
{
	bool fixed = request->flags & VFM_IOVA_FIXED;
	uint64_t mask = alignment - 1;
	uint64_t last;

	*ret_code = EINVAL;
	if (request->flags & ~(uint32_t)KNOWN_FLAGS)
		return "unknown flags";
	if (fixed && request->flags & VFM_IOVA_HINT)
		return "a place cannot be fixed and a hint";
	if (request->length == 0)
		return "the length is zero";
	if (request->align != 0 && !vfmi_is_power_of_two(request->align))
		return "the alignment must be a power of two";
	if ((request->length | request->guard) & mask)
		return "length and guard must be multiples of the allocator's alignment";
	if (fixed && request->iova & (request->align > alignment ? request->align - 1 : mask))
		return "the IOVA is not aligned as it must be";
	*ret_code = EOVERFLOW;
	if (request->guard > UINT64_MAX / 2 || vfmi_add_overflows(request->length - 1, 2 * request->guard, &last))
		return "area and guards are more than there are addresses";
	if (fixed && vfmi_add_overflows(request->iova, request->length - 1, &last))
		return "the area wraps around the end of all addresses";
	return NULL;
}

/* The hole where the area fits at exactly @iova. false: there is none */
static bool hole_at(const struct vfm_iova *space, const struct vfmi_room *room, uint64_t iova, struct vfmi_span *ret)
{
	uint64_t first = iova - room->guard, last;

	if (iova & (room->align - 1) || iova < room->guard || vfmi_add_overflows(iova, room->length - 1, &last) ||
	    last > room->last || vfmi_add_overflows(last, room->guard, &last))
		return false;
	return vfmi_spans_reach(&space->holes, first, ret) && ret->first <= first && last <= ret->last;
}

/* Low addresses are kept for those who ask for them by a limit, and 0 is too often mistaken for "none". */
static bool hole_anywhere(const struct vfm_iova *space, const struct vfm_iova_request *request, struct vfmi_room *room,
			  struct vfmi_span *ret_hole, uint64_t *ret_iova)
{
	room->first = 1;
	if (request->flags & VFM_IOVA_TOP_DOWN)
		return vfmi_spans_highest_room(&space->holes, room, ret_hole, ret_iova);
	if (!request->limit) {
		room->first = ABOVE_4_GIB;
		if (vfmi_spans_lowest_room(&space->holes, room, ret_hole, ret_iova))
			return true;
		room->first = 1;
	}
	return vfmi_spans_lowest_room(&space->holes, room, ret_hole, ret_iova);
}

static bool find_place(const struct vfm_iova *space, const struct vfm_iova_request *request, struct vfmi_span *ret_hole,
		       uint64_t *ret_iova)
{
	struct vfmi_room room = {
		.length = request->length,
		.align = request->align > space->plan.alignment ? request->align : space->plan.alignment,
		.guard = request->guard,
		.last = request->limit ? request->limit : UINT64_MAX,
	};

	if (request->flags & (VFM_IOVA_FIXED | VFM_IOVA_HINT) && hole_at(space, &room, request->iova, ret_hole)) {
		*ret_iova = request->iova;
		return true;
	}
	return !(request->flags & VFM_IOVA_FIXED) && hole_anywhere(space, request, &room, ret_hole, ret_iova);
}

/* Cut [@first, @last] out of @hole. */
static void cut(struct vfm_iova *space, const struct vfmi_span *hole, uint64_t first, uint64_t last)
{
	struct vfmi_span below = vfmi_span_hole(hole->first, first - 1);
	struct vfmi_span above = vfmi_span_hole(last + 1, hole->last);

	if (hole->first < first)
		vfmi_spans_replace(&space->holes, hole->first, &below);
	if (hole->first == first && last < hole->last)
		vfmi_spans_replace(&space->holes, hole->first, &above);
	else if (last < hole->last)
		vfmi_spans_add(&space->holes, &above);
	else if (hole->first == first)
		vfmi_spans_remove(&space->holes, hole->first);
	space->free_bytes -= last - first + 1;
}

/* Under the lock. */
static int place(struct vfm_iova *space, const struct vfm_iova_request *request, uint64_t *ret_iova)
{
	struct vfmi_span area = { .guard = request->guard, .cookie = request->cookie };
	struct vfmi_span hole;
	uint64_t iova;
	int r;

	if (!find_place(space, request, &hole, &iova))
		return -ENOSPC;
	r = stock_up(space, space->areas.count + 1, space->plan.usable_count);
	if (r < 0)
		return r;
	area.first = iova - request->guard;
	area.last = iova + (request->length - 1) + request->guard;
	cut(space, &hole, area.first, area.last);
	vfmi_spans_add(&space->areas, &area);
	space->used_bytes += area.last - area.first + 1;
	*ret_iova = iova;
	return 0;
}

/* Under the lock: why a fixed place could not be had. */
static int fail_fixed(struct vfm_iova *space, const struct vfm_iova_request *request, struct vfm_error *err)
{
	uint64_t last = request->iova + (request->length - 1);
	uint64_t low = request->iova > request->guard ? request->iova - request->guard : 0;
	uint64_t high = last < UINT64_MAX - request->guard ? last + request->guard : UINT64_MAX;
	struct vfmi_span other;

	if (vfmi_spans_reach(&space->areas, low, &other) && other.first <= high)
		return VFMI_FAIL(space->ctx, err, EEXIST, NULL, "place area",
				 "[0x%" PRIx64 ", 0x%" PRIx64 "]: the area [0x%" PRIx64 ", 0x%" PRIx64
				 "] or a guard is in the way",
				 request->iova, last, first_of(&other), last_of(&other));
	return VFMI_FAIL(space->ctx, err, ERANGE, NULL, "place area", "[0x%" PRIx64 ", 0x%" PRIx64 "] %s",
			 request->iova, last,
			 request->limit && last > request->limit ? "is above the limit"
								 : "with its guards is not inside the windows");
}

static int fail_place(struct vfm_iova *space, int code, const struct vfm_iova_request *request, struct vfm_error *err)
{
	if (code == ENOMEM)
		return VFMI_FAIL(space->ctx, err, ENOMEM, NULL, "place area", "%s", vfmi_errno_text(ENOMEM));
	if (request->flags & VFM_IOVA_FIXED)
		return fail_fixed(space, request, err);
	return VFMI_FAIL(space->ctx, err, ENOSPC, NULL, "place area",
			 "no hole for %" PRIu64 " bytes, aligned to %" PRIu64 ", guards of %" PRIu64
			 ", limit 0x%" PRIx64 "; the largest of %" PRIu64 " holes has %" PRIu64 " bytes",
			 request->length,
			 request->align > space->plan.alignment ? request->align : space->plan.alignment,
			 request->guard, request->limit ? request->limit : UINT64_MAX, space->holes.count,
			 vfmi_spans_widest(&space->holes));
}

int vfm_iova_alloc(struct vfm_iova *space, const struct vfm_iova_request *request, uint64_t *ret_iova,
		   struct vfm_error *ret_error)
{
	struct vfm_iova_request wish;
	const char *flaw;
	int code;
	int r = vfmi_sized_in(&wish, sizeof(wish), request, VFMI_REQUEST_MIN);

	if (r < 0)
		return VFMI_FAIL(space->ctx, ret_error, -r, NULL, "place area",
				 "struct vfm_iova_request of a size not known here");
	pthread_mutex_lock(&space->lock);
	flaw = request_flaw(&wish, space->plan.alignment, &code);
	if (flaw) {
		r = VFMI_FAIL(space->ctx, ret_error, code, NULL, "place area",
			      "%" PRIu64 " bytes at IOVA 0x%" PRIx64 ", flags 0x%" PRIx32 ": %s", wish.length,
			      wish.iova, wish.flags, flaw);
	} else {
		r = place(space, &wish, ret_iova);
		if (r < 0)
			r = fail_place(space, -r, &wish, ret_error);
	}
	pthread_mutex_unlock(&space->lock);
	return r;
}

/* Finding and releasing areas */

static bool find_exactly(const struct vfm_iova *space, uint64_t iova, uint64_t length, struct vfmi_span *ret)
{
	return length > 0 && vfmi_spans_reach(&space->areas, iova, ret) && first_of(ret) == iova &&
	       last_of(ret) - iova == length - 1;
}

static void release(struct vfm_iova *space, const struct vfmi_span *area)
{
	vfmi_spans_remove(&space->areas, area->first);
	space->misfit_count -= !plan_fits(&space->plan, area);
	space->used_bytes -= area->last - area->first + 1;
	give_back(space, area->first, area->last);
	(void)stock_up(space, space->areas.count, space->plan.usable_count); /* fewer than before: it only frees */
}

int vfm_iova_release(struct vfm_iova *space, uint64_t iova, uint64_t length, struct vfm_error *ret_error)
{
	struct vfmi_span area;
	bool found;

	pthread_mutex_lock(&space->lock);
	found = find_exactly(space, iova, length, &area);
	if (found)
		release(space, &area);
	pthread_mutex_unlock(&space->lock);
	if (!found)
		return VFMI_FAIL(space->ctx, ret_error, ENOENT, NULL, "release area",
				 "no area of %" PRIu64 " bytes at IOVA 0x%" PRIx64 " was placed here", length, iova);
	return 0;
}

/* The lowest area mapped in [@first, @last]; @none: when there is none. */
static int tell(struct vfm_iova *space, uint64_t first, uint64_t last, int none, struct vfm_iova_area *ret)
{
	struct vfm_iova_area told;
	struct vfmi_span area;
	bool found;

	pthread_mutex_lock(&space->lock);
	found = mapped_in(space, first, last, &area);
	if (found)
		told = describe(&space->plan, &area);
	pthread_mutex_unlock(&space->lock);
	return found ? vfmi_sized_out(ret, &told, sizeof(told)) : none;
}

int vfm_iova_find(struct vfm_iova *space, uint64_t address, struct vfm_iova_area *ret)
{
	return tell(space, address, address, -ENOENT, ret);
}

int vfm_iova_next(struct vfm_iova *space, uint64_t address, struct vfm_iova_area *ret)
{
	return tell(space, address, UINT64_MAX, -ENODATA, ret);
}

int vfm_iova_next_hole(struct vfm_iova *space, uint64_t address, struct vfm_iova_range *ret)
{
	struct vfmi_span hole;
	bool found;

	pthread_mutex_lock(&space->lock);
	found = vfmi_spans_reach(&space->holes, address, &hole);
	pthread_mutex_unlock(&space->lock);
	if (!found)
		return -ENODATA;
	ret->first = hole.first > address ? hole.first : address;
	ret->last = hole.last;
	return 0;
}

/* A sum modulo 2^64 of something that is there is 0 only if it is all 2^64 bytes. */
static uint64_t at_most(uint64_t sum, uint64_t count)
{
	return count > 0 && sum == 0 ? UINT64_MAX : sum;
}

/* Rounded up: one byte outside the largest hole is fragmentation. */
static uint32_t per_mille_outside(uint64_t largest, uint64_t all)
{
	uint64_t rest = all - largest;

	while (all > UINT64_MAX / 2048) {
		all >>= 1;
		rest >>= 1;
	}
	return all ? (uint32_t)((rest * 1000 + all - 1) / all) : 0;
}

int vfm_iova_stats(struct vfm_iova *space, struct vfm_iova_stats *ret)
{
	struct vfm_iova_stats stats = { .size = sizeof(stats) };

	pthread_mutex_lock(&space->lock);
	stats.windows = space->plan.usable_count;
	stats.areas = space->areas.count;
	stats.misfits = space->misfit_count;
	stats.holes = space->holes.count;
	stats.used_bytes = at_most(space->used_bytes, space->areas.count);
	stats.free_bytes = at_most(space->free_bytes, space->holes.count);
	stats.largest_hole = vfmi_spans_widest(&space->holes);
	pthread_mutex_unlock(&space->lock);
	stats.fragmentation = per_mille_outside(stats.largest_hole, stats.free_bytes);
	return vfmi_sized_out(ret, &stats, sizeof(stats));
}

/* The object */

int vfm_iova_new(struct vfm_context *ctx, const struct vfm_iova_range *windows, size_t count, uint64_t alignment,
		 struct vfm_iova **ret_space, struct vfm_error *ret_error)
{
	const char *flaw = plan_flaw(windows, count, alignment);
	struct vfm_iova *space;
	struct plan plan;
	int r;

	if (flaw)
		return VFMI_FAIL(ctx, ret_error, EINVAL, NULL, "make IOVA allocator", "%s", flaw);
	space = calloc(1, sizeof(*space));
	if (!space)
		return VFMI_FAIL(ctx, ret_error, ENOMEM, NULL, "make IOVA allocator", "%s", vfmi_errno_text(ENOMEM));
	r = -pthread_mutex_init(&space->lock, NULL);
	if (r < 0)
		goto err_free;
	space->ctx = ctx;
	space->areas.stock = &space->stock;
	space->holes.stock = &space->stock;
	space->holes.holes = true;
	r = plan_make(windows, count, alignment, &space->reserved, &plan);
	if (r < 0)
		goto err_destroy;
	r = take_plan(space, &plan);
	if (r < 0)
		goto err_plan;
	*ret_space = space;
	return 0;

err_plan:
	plan_free(&plan);
	vfmi_span_stock_clear(&space->stock);
err_destroy:
	pthread_mutex_destroy(&space->lock);
err_free:
	free(space);
	return VFMI_FAIL(ctx, ret_error, -r, NULL, "make IOVA allocator", "%s", vfmi_errno_text(-r));
}

void vfm_iova_free(struct vfm_iova *space)
{
	if (!space)
		return;
	vfmi_spans_clear(&space->areas);
	vfmi_spans_clear(&space->holes);
	vfmi_span_stock_clear(&space->stock);
	plan_free(&space->plan);
	free(space->reserved.ranges);
	pthread_mutex_destroy(&space->lock);
	free(space);
}
