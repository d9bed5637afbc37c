/* SPDX-License-Identifier: MIT */
/* Sorted lists of IOVA ranges: what two have in common, what is left of one without holes; pure. */
#include "iova-ranges.h"

bool vfmi_ranges_sorted(const struct vfm_iova_range *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (ranges[i].first > ranges[i].last || (i > 0 && ranges[i].first <= ranges[i - 1].last))
			return false;
	return true;
}

size_t vfmi_ranges_at_or_above(const struct vfm_iova_range *ranges, size_t count, uint64_t address)
{
	size_t low = 0;

	while (low < count) {
		size_t middle = low + (count - low) / 2;

		if (ranges[middle].last < address)
			low = middle + 1;
		else
			count = middle;
	}
	return low;
}

size_t vfmi_ranges_join(struct vfm_iova_range *ranges, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (kept > 0 && ranges[kept - 1].last + 1 == ranges[i].first)
			ranges[kept - 1].last = ranges[i].last;
		else
			ranges[kept++] = ranges[i];
	}
	return kept;
}

size_t vfmi_ranges_align(struct vfm_iova_range *ranges, size_t count, uint64_t alignment)
{
	uint64_t mask = alignment - 1;
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t first = (ranges[i].first + mask) & ~mask;
		bool to_the_end = ranges[i].last == UINT64_MAX;
		uint64_t end = to_the_end ? 0 : (ranges[i].last + 1) & ~mask;

		if (first >= ranges[i].first && (to_the_end || first < end))
			ranges[kept++] = (struct vfm_iova_range){ .first = first, .last = end - 1 };
	}
	return kept;
}

/* A list being written into room that may not be enough. */
struct list {
	struct vfm_iova_range *ranges;
	size_t room;
	size_t count;
};

static void list_add(struct list *list, uint64_t first, uint64_t last)
{
	if (list->count < list->room)
		list->ranges[list->count] = (struct vfm_iova_range){ .first = first, .last = last };
	list->count++;
}

static int list_end(const struct list *list, size_t *ret_count)
{
	*ret_count = list->count;
	return list->count > list->room ? -EMSGSIZE : 0;
}

int vfm_iova_intersect(const struct vfm_iova_range *a, size_t a_count, const struct vfm_iova_range *b, size_t b_count,
		       struct vfm_iova_range *ret, size_t room, size_t *ret_count)
{
	struct list list = { .ranges = ret, .room = room };
	size_t i = 0, k = 0;

	if (!vfmi_ranges_sorted(a, a_count) || !vfmi_ranges_sorted(b, b_count))
		return -EINVAL;
	while (i < a_count && k < b_count) {
		uint64_t first = a[i].first > b[k].first ? a[i].first : b[k].first;
		uint64_t last = a[i].last < b[k].last ? a[i].last : b[k].last;

		if (first <= last)
			list_add(&list, first, last);
		if (a[i].last < b[k].last)
			i++;
		else
			k++;
	}
	return list_end(&list, ret_count);
}

/* The hole that begins lowest among those that reach into [@first, @last], NULL for none. */
static const struct vfm_iova_range *lowest_hole(const struct vfm_iova_range *holes, size_t count, uint64_t first,
						uint64_t last)
{
	const struct vfm_iova_range *lowest = NULL;

	for (size_t i = 0; i < count; i++)
		if (holes[i].last >= first && holes[i].first <= last && (!lowest || holes[i].first < lowest->first))
			lowest = &holes[i];
	return lowest;
}

static bool begin_in_order(const struct vfm_iova_range *holes, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (holes[i].first < holes[i - 1].first)
			return false;
	return true;
}

/* The same where @holes begin in order: from *@next on, which moves past those that nothing above @first meets. */
static const struct vfm_iova_range *next_hole(const struct vfm_iova_range *holes, size_t count, uint64_t first,
					      uint64_t last, size_t *next)
{
	while (*next < count && holes[*next].last < first)
		++*next;
	return *next < count && holes[*next].first <= last ? &holes[*next] : NULL;
}

/* @next: NULL where @holes begin in no order. */
static void add_without(struct list *list, struct vfm_iova_range window, const struct vfm_iova_range *holes,
			size_t count, size_t *next)
{
	const struct vfm_iova_range *hole;

	while ((hole = next ? next_hole(holes, count, window.first, window.last, next)
			    : lowest_hole(holes, count, window.first, window.last))) {
		if (hole->first > window.first)
			list_add(list, window.first, hole->first - 1);
		if (hole->last >= window.last)
			return;
		window.first = hole->last + 1;
	}
	list_add(list, window.first, window.last);
}

static void add_all_without(struct list *list, const struct vfm_iova_range *windows, size_t window_count,
			    const struct vfm_iova_range *holes, size_t hole_count, bool in_order)
{
	size_t next = 0;

	for (size_t i = 0; i < window_count; i++)
		add_without(list, windows[i], holes, hole_count, in_order ? &next : NULL);
}

size_t vfmi_ranges_exclude(const struct vfm_iova_range *windows, size_t window_count,
			   const struct vfm_iova_range *holes, size_t hole_count, struct vfm_iova_range *ret)
{
	struct list list = { .ranges = ret, .room = window_count + hole_count };

	add_all_without(&list, windows, window_count, holes, hole_count, true);
	return list.count;
}

int vfm_iova_exclude(const struct vfm_iova_range *windows, size_t window_count, const struct vfm_iova_range *holes,
		     size_t hole_count, struct vfm_iova_range *ret, size_t room, size_t *ret_count)
{
	struct list list = { .ranges = ret, .room = room };

	if (!vfmi_ranges_sorted(windows, window_count))
		return -EINVAL;
	for (size_t i = 0; i < hole_count; i++)
		if (holes[i].first > holes[i].last)
			return -EINVAL;
	add_all_without(&list, windows, window_count, holes, hole_count, begin_in_order(holes, hole_count));
	return list_end(&list, ret_count);
}
