/* SPDX-License-Identifier: MIT */
/* Address space that is an IOAS of an iommufd. */
#include <stdlib.h>

#include "iommu-backend.h"
#include "iommufd.h"

#define MAX_RANGES 65536u
#define SOME_RANGES 16u
#define RANGES_TRIES 4

/* life */

/* The file has no objects yet: the kernel takes the choice of who is charged then only. */
static int open_iommufd(struct vfm_iommu *iommu, struct vfmi_iommu_trouble *why)
{
	int r = vfmi_iommu_open_file(iommu, VFMI_IOMMUFD_PATH, VFMI_IOMMUFD_ABSENT, why);

	if (r < 0 || !(iommu->flags & VFM_IOMMU_ACCOUNT_PROCESS))
		return r;
	r = vfmi_iommufd_set_option(iommu->sys, iommu->fd, IOMMU_OPTION_RLIMIT_MODE, 0, 1);
	return r < 0 ? vfmi_iommu_refuse(why, r, "cannot charge locked memory to the process",
					 r == -EPERM ? "; that needs CAP_SYS_RESOURCE" : "")
		     : 0;
}

static int set_pages(struct vfm_iommu *iommu, struct vfmi_iommu_trouble *why)
{
	int r;

	if (!(iommu->flags & VFM_IOMMU_SMALL_PAGES))
		return 0;
	r = vfmi_iommufd_set_option(iommu->sys, iommu->fd, IOMMU_OPTION_HUGE_PAGES, iommu->ioas_id, 0);
	return r < 0 ? vfmi_iommu_refuse(why, r, "cannot keep the IOAS to small pages", "") : 0;
}

/* In an iommufd of its own, unless it came with one. */
static int ioas_open(struct vfm_iommu *iommu, struct vfmi_iommu_trouble *why)
{
	int r = iommu->fd < 0 ? open_iommufd(iommu, why) : 0;

	if (r < 0)
		return r;
	r = vfmi_iommufd_ioas_alloc(iommu->sys, iommu->fd, &iommu->ioas_id);
	if (r < 0)
		return vfmi_iommu_refuse(why, r, "cannot allocate an IOAS", "");
	r = set_pages(iommu, why);
	if (r < 0)
		(void)vfmi_iommufd_destroy(iommu->sys, iommu->fd, iommu->ioas_id);
	return r;
}

/* Asking for its ranges, with room for none, tells an existing IOAS from anything else. */
static int ioas_adopt(struct vfm_iommu *iommu, struct vfmi_iommu_trouble *why)
{
	uint32_t count;
	uint64_t align;
	int r = vfmi_iommufd_ranges(iommu->sys, iommu->fd, iommu->ioas_id, NULL, 0, &count, &align);

	if (r == 0 || r == -EMSGSIZE)
		return 0;
	if (r == -ENOTTY)
		return vfmi_iommu_refuse(why, -EINVAL, "the descriptor is not an iommufd", "");
	if (r == -ENOENT)
		return vfmi_iommu_refuse(why, -EINVAL, "the iommufd has no IOAS with this id", "");
	return vfmi_iommu_refuse(why, r, "cannot ask for the IOVA ranges", "");
}

static void ioas_close(struct vfm_iommu *iommu)
{
	int r;

	vfmi_iommu_destroy_hwpts(iommu);
	r = iommu->adopted ? 0 : vfmi_iommufd_destroy(iommu->sys, iommu->fd, iommu->ioas_id);
	if (r < 0)
		vfmi_log(iommu->ctx, VFM_LOG_WARNING, "close address space: cannot destroy the IOAS: %s%s",
			 vfmi_errno_text(-r), r == -EBUSY ? "; a device is still attached" : "");
}

/* maps */

static uint32_t kernel_flags(uint32_t flags)
{
	return (flags & VFM_MAP_READ ? IOMMU_IOAS_MAP_READABLE : 0) |
	       (flags & VFM_MAP_WRITE ? IOMMU_IOAS_MAP_WRITEABLE : 0) |
	       (flags & VFM_MAP_FIXED ? IOMMU_IOAS_MAP_FIXED_IOVA : 0);
}

static int ioas_map(struct vfm_iommu *iommu, const struct vfm_map *map, uint64_t *iova)
{
	return vfmi_iommufd_map(iommu->sys, iommu->fd, iommu->ioas_id, kernel_flags(map->flags), map->vaddr,
				map->length, iova);
}

static int ioas_map_file(struct vfm_iommu *iommu, const struct vfm_map *map, uint64_t *iova)
{
	return vfmi_iommufd_map_file(iommu->sys, iommu->fd, iommu->ioas_id, kernel_flags(map->flags), map->fd,
				     map->fd_offset, map->length, iova);
}

static int ioas_unmap(struct vfm_iommu *iommu, uint64_t iova, uint64_t length, uint64_t *ret_unmapped)
{
	return vfmi_iommufd_unmap(iommu->sys, iommu->fd, iommu->ioas_id, iova, length, ret_unmapped);
}

/* windows */

static int ask_ranges(struct vfm_iommu *iommu, uint32_t room, uint32_t *ret_count, struct vfmi_windows *ret)
{
	struct iommu_iova_range *found = calloc(room, sizeof(*found));
	uint64_t align = 0;
	int r = -ENOMEM;

	ret->ranges = calloc(room, sizeof(*ret->ranges));
	if (found && ret->ranges)
		r = vfmi_iommufd_ranges(iommu->sys, iommu->fd, iommu->ioas_id, found, room, ret_count, &align);
	for (uint32_t i = 0; r == 0 && i < *ret_count; i++)
		ret->ranges[i] = (struct vfm_iova_range){ .first = found[i].start, .last = found[i].last };
	free(found);
	if (r < 0)
		free(ret->ranges);
	else
		ret->count = *ret_count;
	ret->align = align;
	return r;
}

/* They may grow in number between two questions, but not for ever. */
static int ioas_windows(struct vfm_iommu *iommu, struct vfmi_windows *ret)
{
	struct vfmi_windows windows = { 0 };
	uint32_t room = SOME_RANGES;
	int r = -EMSGSIZE;

	for (int i = 0; i < RANGES_TRIES && r == -EMSGSIZE; i++) {
		uint32_t count = room;

		r = ask_ranges(iommu, room, &count, &windows);
		if (r == -EMSGSIZE && count > MAX_RANGES)
			return -EIO;
		room = count;
	}
	if (r == 0)
		*ret = windows;
	return r == -EMSGSIZE ? -EIO : r;
}

static int ioas_allow(struct vfm_iommu *iommu, const struct vfm_iova_range *ranges, uint32_t count)
{
	struct iommu_iova_range *list = calloc((size_t)count + 1, sizeof(*list));
	int r;

	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		list[i] = (struct iommu_iova_range){ .start = ranges[i].first, .last = ranges[i].last };
	r = vfmi_iommufd_allow(iommu->sys, iommu->fd, iommu->ioas_id, list, count);
	free(list);
	return r;
}

/* Only the smallest page size is told, and only once a device is attached. */
static int ioas_limits(struct vfm_iommu *iommu, uint64_t *ret_page_sizes, uint64_t *ret_entries)
{
	struct vfmi_windows windows;
	int r = ioas_windows(iommu, &windows);

	if (r < 0)
		return r;
	free(windows.ranges);
	*ret_page_sizes = windows.align > 1 ? windows.align : 0;
	*ret_entries = UINT64_MAX;
	return 0;
}

static int ioas_change_process(struct vfm_iommu *iommu)
{
	return vfmi_iommufd_change_process(iommu->sys, iommu->fd);
}

const struct vfmi_iommu_ops vfmi_iommu_ioas = {
	.places = true,
	.open = ioas_open,
	.adopt = ioas_adopt,
	.close = ioas_close,
	.map = ioas_map,
	.map_file = ioas_map_file,
	.unmap = ioas_unmap,
	.windows = ioas_windows,
	.allow = ioas_allow,
	.limits = ioas_limits,
	.change_process = ioas_change_process,
};
