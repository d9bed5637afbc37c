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

static int make_places(struct vfm_iommu *iommu, const struct vfmi_windows *windows, uint64_t align)
{
	const struct vfmi_area *area = vfmi_areas_overlap(&iommu->areas, 0, UINT64_MAX);
	int r = vfm_iova_new(NULL, windows->ranges, windows->count, align, &iommu->places, NULL);

	while (r == 0 && area) {
		vfmi_iommu_place_taken(iommu, area->iova, area->last - area->iova + 1);
		area = area->last == UINT64_MAX ? NULL : vfmi_areas_overlap(&iommu->areas, area->last + 1, UINT64_MAX);
	}
	return r;
}

/* The windows as they are now: of an adopted space somebody else may change them at any time. */
static int refresh(struct vfm_iommu *iommu)
{
	const uint64_t page = vfmi_page_size(iommu->sys);
	VFM_OPTS(vfm_iova_windows, update);
	struct vfmi_windows windows;
	int r;

	if (iommu->places && iommu->windows_known && !iommu->adopted)
		return 0;
	r = iommu->ops->windows(iommu, &windows);
	if (r < 0)
		return r;
	update.windows = windows.ranges;
	update.count = windows.count;
	update.alignment = windows.align > page ? windows.align : page;
	if (iommu->places)
		r = vfm_iova_set_windows(iommu->places, &update, NULL, NULL);
	else
		r = make_places(iommu, &windows, update.alignment);
	free(windows.ranges);
	iommu->windows_known = r == 0;
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
