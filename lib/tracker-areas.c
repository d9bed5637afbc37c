/* SPDX-License-Identifier: MIT */
/* Address spaces of a tracker: which areas of IOVA stand for which guest addresses. */
#include <stdlib.h>
#include <string.h>

#include "tracker.h"

#define FIRST_ROOM 16u

struct vfmi_space *vfmi_space_find(const struct vfm_tracker *tracker, const struct vfm_iommu *iommu)
{
	struct vfmi_space *space = tracker->spaces;

	while (space && space->iommu != iommu)
		space = space->next;
	return space;
}

struct vfmi_space *vfmi_space_get(struct vfm_tracker *tracker, struct vfm_iommu *iommu)
{
	struct vfmi_space *space = vfmi_space_find(tracker, iommu);

	if (space)
		return space;
	space = calloc(1, sizeof(*space));
	if (!space)
		return NULL;
	space->iommu = iommu;
	space->next = tracker->spaces;
	tracker->spaces = space;
	return space;
}

void vfmi_space_put(struct vfm_tracker *tracker, struct vfmi_space *space)
{
	struct vfmi_space **at = &tracker->spaces;

	if (!space || space->count > 0 || space->members > 0 || space->window_count > 0)
		return;
	while (*at != space)
		at = &(*at)->next;
	*at = space->next;
	free(space->list);
	free(space->plan);
	free(space->windows);
	free(space);
}

/* The plan has room for every window beside every area. */
static int grow_plan(struct vfmi_space *space, size_t areas, size_t windows)
{
	struct vfmi_dirty_area *grown = reallocarray(space->plan, areas + windows, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	space->plan = grown;
	return 0;
}

static int make_room(struct vfmi_space *space)
{
	const size_t room = space->room ? space->room * 2 : FIRST_ROOM;
	struct vfmi_dirty_area *grown;

	if (space->count < space->room)
		return 0;
	if (grow_plan(space, room, space->window_count) < 0)
		return -ENOMEM;
	grown = reallocarray(space->list, room, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	space->list = grown;
	space->room = room;
	return 0;
}

int vfmi_space_set_windows(struct vfmi_space *space, const struct vfm_iova_range *windows, size_t count)
{
	struct vfm_iova_range *copy = NULL;

	if (count > 0) {
		copy = reallocarray(NULL, count, sizeof(*copy));
		if (!copy || grow_plan(space, space->room, count) < 0) {
			free(copy);
			return -ENOMEM;
		}
		memcpy(copy, windows, count * sizeof(*copy));
	}
	free(space->windows);
	space->windows = copy;
	space->window_count = count;
	return 0;
}

/* Put [@first, @last], which begins no lower than any before it, into what is planned. */
static size_t plan_range(struct vfmi_dirty_area *plan, size_t count, uint64_t first, uint64_t last)
{
	struct vfmi_dirty_area *before = count > 0 ? &plan[count - 1] : NULL;

	if (!before || first > before->iova + (before->length - 1)) {
		plan[count] = (struct vfmi_dirty_area){ .iova = first, .length = last - first + 1 };
		return count + 1;
	}
	if (last > before->iova + (before->length - 1))
		before->length = last - before->iova + 1;
	return count;
}

const struct vfmi_dirty_area *vfmi_space_plan(struct vfmi_space *space, size_t *ret_count)
{
	const struct vfmi_dirty_area *areas = vfmi_space_list(space);
	size_t window = 0;
	size_t area = 0;
	size_t count = 0;

	while (window < space->window_count || area < space->count) {
		const struct vfm_iova_range *range = &space->windows[window];

		if (area == space->count || (window < space->window_count && range->first <= areas[area].iova)) {
			count = plan_range(space->plan, count, range->first, range->last);
			window++;
		} else {
			count = plan_range(space->plan, count, areas[area].iova,
					   areas[area].iova + (areas[area].length - 1));
			area++;
		}
	}
	*ret_count = count;
	return space->plan;
}

int vfmi_space_add(struct vfmi_space *space, const struct vfmi_dirty_area *area)
{
	const uint64_t last = area->iova + (area->length - 1);
	struct vfmi_area *node;

	if (vfmi_areas_overlap(&space->areas, area->iova, last))
		return -EEXIST;
	if (make_room(space) < 0)
		return -ENOMEM;
	node = calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	node->iova = area->iova;
	node->last = last;
	node->guest_address = area->guest;
	vfmi_areas_add(&space->areas, node);
	space->count++;
	space->listed = false;
	return 0;
}

struct vfmi_area *vfmi_space_area(const struct vfmi_space *space, uint64_t iova, uint64_t length)
{
	struct vfmi_area *area = vfmi_areas_overlap(&space->areas, iova, iova);

	return area && length > 0 && area->iova == iova && area->last - iova == length - 1 ? area : NULL;
}

void vfmi_space_remove(struct vfmi_space *space, struct vfmi_area *area)
{
	vfmi_areas_remove(&space->areas, area);
	space->count--;
	space->listed = false;
	free(area);
}

const struct vfmi_dirty_area *vfmi_space_list(struct vfmi_space *space)
{
	uint64_t next = 0;

	for (size_t i = 0; !space->listed && i < space->count; i++) {
		const struct vfmi_area *area = vfmi_areas_overlap(&space->areas, next, UINT64_MAX);

		space->list[i] = (struct vfmi_dirty_area){
			.iova = area->iova,
			.length = area->last - area->iova + 1,
			.guest = area->guest_address,
		};
		next = area->last + 1;
	}
	space->listed = true;
	return space->list;
}

void vfmi_space_dirty(const struct vfm_tracker *tracker, struct vfmi_space *space)
{
	const struct vfmi_dirty_area *list = vfmi_space_list(space);

	for (size_t i = 0; i < space->count; i++)
		vfmi_dirty_all(&tracker->sink, &list[i]);
}
