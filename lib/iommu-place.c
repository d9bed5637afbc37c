/* SPDX-License-Identifier: MIT */
/* Places for maps where the kernel does not choose them: an allocator that follows the books, once one is needed. */
#include <stdlib.h>

#include "iommu-backend.h"

#define HUGE_PAGE (UINT64_C(1) << 21)

/* What lies outside the windows is in nobody's way, so that it does not get in is no failure. */
void vfmi_iommu_place_taken(struct vfm_iommu *iommu, uint64_t iova, uint64_t length)
{
	VFM_OPTS(vfm_iova_request, request);

	if (!iommu->places)
		return;
	request.flags = VFM_IOVA_FIXED;
	request.length = length;
	request.iova = iova;
	(void)!vfm_iova_alloc(iommu->places, &request, &iova, NULL);
}

void vfmi_iommu_place_back(struct vfm_iommu *iommu, uint64_t iova, uint64_t length)
{
	if (iommu->places)
		(void)!vfm_iova_release(iommu->places, iova, length, NULL);
}

/* Those that the windows left out until now get in; the others are there. */
static void place_areas(struct vfm_iommu *iommu)
{
	const struct vfmi_area *area = vfmi_areas_overlap(&iommu->areas, 0, UINT64_MAX);

	while (area) {
		vfmi_iommu_place_taken(iommu, area->iova, area->last - area->iova + 1);
		area = area->last == UINT64_MAX ? NULL : vfmi_areas_overlap(&iommu->areas, area->last + 1, UINT64_MAX);
	}
}

static int tell_windows(struct vfm_iommu *iommu, const struct vfmi_windows *windows)
{
	VFM_OPTS(vfm_iova_windows, update);

	if (!iommu->places)
		return vfm_iova_new(NULL, windows->ranges, windows->count, windows->align, &iommu->places, NULL);
	update.windows = windows->ranges;
	update.count = windows->count;
	update.alignment = windows->align;
	return vfm_iova_set_windows(iommu->places, &update, NULL, NULL);
}

static int keep_allowed(const struct vfm_iommu *iommu, struct vfmi_windows *windows)
{
	const size_t room = windows->count + iommu->allowed_count;
	struct vfm_iova_range *both = calloc(room, sizeof(*both));
	int r = -ENOMEM;

	if (both)
		r = vfm_iova_intersect(windows->ranges, windows->count, iommu->allowed, iommu->allowed_count, both,
				       room, &windows->count);
	free(windows->ranges);
	windows->ranges = both;
	return r;
}

/* Free the ranges, also on failure. */
static int ask_windows(struct vfm_iommu *iommu, struct vfmi_windows *ret)
{
	const uint64_t page = vfmi_page_size(iommu->sys);
	int r = iommu->ops->windows(iommu, ret);

	if (r < 0) {
		ret->ranges = NULL;
		return r;
	}
	if (ret->align < page)
		ret->align = page;
	return iommu->allowed_count > 0 ? keep_allowed(iommu, ret) : 0;
}

static bool same_windows(const struct vfmi_windows *a, const struct vfmi_windows *b)
{
	return a->count == b->count && a->align == b->align &&
	       (a->count == 0 || !memcmp(a->ranges, b->ranges, a->count * sizeof(*a->ranges)));
}

/*
 * The windows as they are now: of an adopted space somebody else may change them at any time. To tell the allocator
 * takes a walk over all areas, so that it is told of changes only.
 */
static int refresh(struct vfm_iommu *iommu)
{
	struct vfmi_windows windows;
	int r;

	if (iommu->places && iommu->windows_known && !iommu->adopted)
		return 0;
	r = ask_windows(iommu, &windows);
	if (r < 0)
		goto out_free;
	if (!iommu->places || !same_windows(&windows, &iommu->windows)) {
		r = tell_windows(iommu, &windows);
		if (r < 0)
			goto out_free;
		place_areas(iommu);
		free(iommu->windows.ranges);
		iommu->windows = windows;
		windows.ranges = NULL;
	}
	iommu->windows_known = true;
out_free:
	free(windows.ranges);
	return r;
}

int vfmi_iommu_place(struct vfm_iommu *iommu, uint64_t length, bool low, uint64_t *ret_iova)
{
	VFM_OPTS(vfm_iova_request, request);
	int r = refresh(iommu);

	if (r < 0)
		return r;
	request.length = length;
	request.align = length >= HUGE_PAGE ? HUGE_PAGE : 0;
	request.limit = low ? UINT32_MAX : 0;
	r = vfm_iova_alloc(iommu->places, &request, ret_iova, NULL);
	if (r == -ENOSPC && request.align) {
		request.align = 0;
		r = vfm_iova_alloc(iommu->places, &request, ret_iova, NULL);
	}
	return r;
}

void vfmi_iommu_changed(struct vfm_iommu *iommu)
{
	pthread_mutex_lock(&iommu->lock);
	iommu->windows_known = false;
	pthread_mutex_unlock(&iommu->lock);
}
