/* SPDX-License-Identifier: MIT */
/* Address space that is a container: one of type1, or an iommufd that stands in for it (compat). */
#include <stdlib.h>

#include "container.h"
#include "iommu-backend.h"
#include "iommufd.h"

#define CONTAINER_PATH "/dev/vfio/vfio"

static bool is_compat(const struct vfm_iommu *iommu)
{
	return vfmi_backend_is_compat(iommu->backend);
}

static uint32_t iommu_type(const struct vfm_iommu *iommu)
{
	bool first = iommu->backend == VFM_BACKEND_TYPE1 || iommu->backend == VFM_BACKEND_COMPAT_TYPE1;

	return first ? VFIO_TYPE1_IOMMU : VFIO_TYPE1v2_IOMMU;
}

/* life */

static int open_file(struct vfm_iommu *iommu, struct vfmi_iommu_trouble *why)
{
	if (is_compat(iommu))
		return vfmi_iommu_open_file(iommu, VFMI_IOMMUFD_PATH, VFMI_IOMMUFD_ABSENT, why);
	return vfmi_iommu_open_file(iommu, CONTAINER_PATH,
				    "; the kernel has no containers: it needs CONFIG_VFIO_CONTAINER and, as a module, "
				    "\"modprobe vfio\"",
				    why);
}

/* With CONFIG_IOMMUFD_VFIO_CONTAINER the container's file is an iommufd: only that knows of a compat IOAS. */
static bool is_iommufd(struct vfm_iommu *iommu)
{
	uint32_t ioas;
	int r = vfmi_iommufd_compat_ioas(iommu->sys, iommu->fd, &ioas);

	return r == 0 || r == -ENODEV;
}

static int check_file(struct vfm_iommu *iommu, struct vfmi_iommu_trouble *why)
{
	uint32_t version;
	uint32_t value;
	int r = vfmi_container_version(iommu->sys, iommu->fd, &version);

	if (r < 0)
		return vfmi_iommu_refuse(why, r == -ENOTTY ? -EINVAL : r, "the descriptor is not a container", "");
	if (version != VFIO_API_VERSION)
		return vfmi_iommu_refuse(why, -EOPNOTSUPP, "the container speaks another version of VFIO", "");
	/* one that was adopted as a container may have its IOMMU, and then takes the question for a mistake */
	if ((is_compat(iommu) || !iommu->adopted) && is_iommufd(iommu) != is_compat(iommu))
		return is_compat(iommu) ? vfmi_iommu_refuse(why, -EINVAL, "the descriptor is not an iommufd", "")
					: vfmi_iommu_refuse(why, -ENODEV, "an iommufd plays the container here",
							    "; ask for compat-type1v2 or compat-type1");
	r = vfmi_container_extension(iommu->sys, iommu->fd, iommu_type(iommu), &value);
	if (r < 0)
		return vfmi_iommu_refuse(why, r, "cannot ask the container for its kinds of IOMMU", "");
	if (value == 0)
		return vfmi_iommu_refuse(why, -ENODEV, "the container has no such kind of IOMMU",
					 is_compat(iommu) ? "" : "; \"modprobe vfio_iommu_type1\" brings it");
	return 0;
}

static int container_open(struct vfm_iommu *iommu, struct vfmi_iommu_trouble *why)
{
	int r = open_file(iommu, why);

	return r < 0 ? r : check_file(iommu, why);
}

static int container_adopt(struct vfm_iommu *iommu, struct vfmi_iommu_trouble *why)
{
	struct vfmi_container_info info;
	int r = check_file(iommu, why);

	if (r < 0)
		return r == -ENODEV ? -EINVAL : r;
	r = vfmi_container_info(iommu->sys, iommu->fd, &info);
	/* before VFIO_SET_IOMMU a container does not know this question (EINVAL), an iommufd has no IOAS for it */
	iommu->has_iommu = r == 0;
	if (r == 0)
		vfmi_container_info_clear(&info);
	else if (r != -EINVAL && r != -ENODEV)
		return vfmi_iommu_refuse(why, r, "cannot ask the container what it can do", "");
	if (is_compat(iommu) && iommu->has_iommu)
		(void)vfmi_iommufd_compat_ioas(iommu->sys, iommu->fd, &iommu->ioas_id);
	return 0;
}

/* With the IOMMU all maps are gone. */
static void lose_iommu(struct vfm_iommu *iommu)
{
	iommu->has_iommu = false;
	vfmi_iommu_drop_areas(iommu, true);
}

/* 0: it has one; -EINVAL: it has none */
static int ask_for_iommu(struct vfm_iommu *iommu)
{
	struct vfmi_container_info info;
	int r = vfmi_container_info(iommu->sys, iommu->fd, &info);

	if (r == 0)
		vfmi_container_info_clear(&info);
	return r;
}

/*
 * The kernel takes the IOMMU away with the last group of a container, and while none of ours is in it, only the kernel
 * knows whether another is: of an address space, here or in another program, that stands on the same container.
 */
static int look_for_iommu(struct vfm_iommu *iommu)
{
	int r;

	if (iommu->groups > 0 || is_compat(iommu))
		return 0;
	r = ask_for_iommu(iommu);
	if (r == 0)
		iommu->has_iommu = true;
	else if (r == -EINVAL)
		lose_iommu(iommu);
	return r == -EINVAL ? 0 : r;
}

/* EINVAL may mean that there is no IOMMU any more. No area may be in use. */
static int explain(struct vfm_iommu *iommu, int r)
{
	return r == -EINVAL && look_for_iommu(iommu) == 0 && !iommu->has_iommu ? -EAGAIN : r;
}

int vfmi_iommu_joined(struct vfm_iommu *iommu)
{
	int r;

	pthread_mutex_lock(&iommu->lock);
	r = look_for_iommu(iommu);
	if (r == 0 && !iommu->has_iommu) {
		r = vfmi_container_set_iommu(iommu->sys, iommu->fd, iommu_type(iommu));
		iommu->has_iommu = r == 0;
		if (r == 0 && is_compat(iommu))
			(void)vfmi_iommufd_compat_ioas(iommu->sys, iommu->fd, &iommu->ioas_id);
	}
	if (r == 0) {
		iommu->groups++;
		iommu->windows_known = false;
	}
	pthread_mutex_unlock(&iommu->lock);
	return r;
}

void vfmi_iommu_left(struct vfm_iommu *iommu)
{
	pthread_mutex_lock(&iommu->lock);
	iommu->windows_known = false;
	iommu->groups--;
	(void)look_for_iommu(iommu); /* what cannot be told now is asked again when a group joins */
	pthread_mutex_unlock(&iommu->lock);
}

/* maps */

static int container_map(struct vfm_iommu *iommu, const struct vfm_map *map, uint64_t *iova)
{
	uint32_t flags = (map->flags & VFM_MAP_READ ? VFIO_DMA_MAP_FLAG_READ : 0) |
			 (map->flags & VFM_MAP_WRITE ? VFIO_DMA_MAP_FLAG_WRITE : 0);

	if (!iommu->has_iommu)
		return -EAGAIN;
	return explain(iommu,
		       vfmi_container_map(iommu->sys, iommu->fd, flags, (uintptr_t)map->vaddr, *iova, map->length));
}

/* What went with the IOMMU, which somebody else kept for a while, is unmapped. */
static int container_unmap(struct vfm_iommu *iommu, uint64_t iova, uint64_t length, uint64_t *ret_unmapped)
{
	int r = vfmi_container_unmap(iommu->sys, iommu->fd, 0, iova, length, ret_unmapped);

	if (r != -EINVAL || iommu->groups > 0 || is_compat(iommu) || ask_for_iommu(iommu) != -EINVAL)
		return r;
	*ret_unmapped = length;
	return 0;
}

/* what there is */

static int ask_info(struct vfm_iommu *iommu, struct vfmi_container_info *ret)
{
	return iommu->has_iommu ? explain(iommu, vfmi_container_info(iommu->sys, iommu->fd, ret)) : -EAGAIN;
}

/* Without the capability (Linux before 5.4, or mediated devices only) nothing is ruled out. */
static int container_windows(struct vfm_iommu *iommu, struct vfmi_windows *ret)
{
	struct vfmi_container_info info;
	size_t count;
	int r = ask_info(iommu, &info);

	if (r < 0)
		return r;
	count = info.has_ranges ? info.range_count : 1;
	ret->ranges = calloc(count ? count : 1, sizeof(*ret->ranges));
	if (!ret->ranges) {
		vfmi_container_info_clear(&info);
		return -ENOMEM;
	}
	ret->ranges[0] = (struct vfm_iova_range){ 0, UINT64_MAX };
	for (size_t i = 0; info.has_ranges && i < count; i++)
		ret->ranges[i] = (struct vfm_iova_range){ info.ranges[i].start, info.ranges[i].end };
	ret->count = count;
	ret->align = info.page_sizes ? info.page_sizes & -info.page_sizes : vfmi_page_size(iommu->sys);
	vfmi_container_info_clear(&info);
	return 0;
}

static int container_limits(struct vfm_iommu *iommu, uint64_t *ret_page_sizes, uint64_t *ret_entries)
{
	struct vfmi_container_info info;
	int r = ask_info(iommu, &info);

	if (r == -EAGAIN) { /* the module's limit is in a file, and paths are not looked up here */
		*ret_page_sizes = 0;
		*ret_entries = UINT64_MAX;
		return 0;
	}
	if (r < 0)
		return r;
	*ret_page_sizes = info.page_sizes;
	/* an iommufd knows no limit and says so by its largest number */
	*ret_entries = info.has_avail && info.avail != UINT32_MAX ? info.avail : UINT64_MAX;
	vfmi_container_info_clear(&info);
	return 0;
}

/* dirty pages */

int vfmi_iommu_container_dirty_limits(struct vfm_iommu *iommu, uint64_t *ret_page_sizes, uint64_t *ret_bitmap_bytes)
{
	struct vfmi_container_info info;
	int r;

	pthread_mutex_lock(&iommu->lock);
	r = ask_info(iommu, &info);
	pthread_mutex_unlock(&iommu->lock);
	if (r < 0)
		return r;
	*ret_page_sizes = info.dirty_page_sizes;
	*ret_bitmap_bytes = info.max_bitmap_bytes;
	r = info.has_migration ? 0 : -EOPNOTSUPP;
	vfmi_container_info_clear(&info);
	return r;
}

int vfmi_iommu_container_track(struct vfm_iommu *iommu, bool on)
{
	return vfmi_container_track(iommu->sys, iommu->fd, on);
}

static struct vfio_bitmap kernel_bitmap(const struct vfmi_dirty_bits *bits)
{
	return (struct vfio_bitmap){ bits->page_size, bits->bytes, (uintptr_t)bits->words };
}

int vfmi_iommu_container_dirty(struct vfm_iommu *iommu, const struct vfmi_dirty_bits *bits)
{
	const struct vfio_bitmap bitmap = kernel_bitmap(bits);

	return vfmi_container_dirty(iommu->sys, iommu->fd, bits->iova, bits->length, &bitmap);
}

static int container_unmap_dirty(struct vfm_iommu *iommu, const struct vfmi_dirty_bits *bits, uint64_t *ret_unmapped)
{
	const struct vfio_bitmap bitmap = kernel_bitmap(bits);

	return vfmi_container_unmap_dirty(iommu->sys, iommu->fd, bits->iova, bits->length, &bitmap, ret_unmapped);
}

/* another process */

static int container_vaddr_invalidate(struct vfm_iommu *iommu)
{
	uint64_t unmapped;
	uint32_t can = 0;
	int r;

	if (is_compat(iommu))
		return -EOPNOTSUPP;
	if (!iommu->has_iommu)
		return -EAGAIN;
	r = vfmi_container_extension(iommu->sys, iommu->fd, VFIO_UPDATE_VADDR, &can);
	if (r < 0 || !can)
		return r < 0 ? r : -EOPNOTSUPP;
	return vfmi_container_unmap(iommu->sys, iommu->fd, VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL, 0, 0,
				    &unmapped);
}

static int container_vaddr_set(struct vfm_iommu *iommu, uint64_t iova, uint64_t length, void *vaddr)
{
	if (is_compat(iommu))
		return -EOPNOTSUPP;
	return vfmi_container_map(iommu->sys, iommu->fd, VFIO_DMA_MAP_FLAG_VADDR, (uintptr_t)vaddr, iova, length);
}

const struct vfmi_iommu_ops vfmi_iommu_container = {
	.open = container_open,
	.adopt = container_adopt,
	.map = container_map,
	.unmap = container_unmap,
	.unmap_dirty = container_unmap_dirty,
	.windows = container_windows,
	.limits = container_limits,
	.vaddr_invalidate = container_vaddr_invalidate,
	.vaddr_set = container_vaddr_set,
};
