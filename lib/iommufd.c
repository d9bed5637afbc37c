/* SPDX-License-Identifier: MIT */
/* iommufd ioctls, 1:1: fills size, checks what comes back. No policy here, no error text. */
#include <errno.h>
#include <stdbool.h>

#include "iommufd.h"

/* A request that changes something: EINTR is the caller's to judge, the effect may have happened. */
static int command(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	int r = sys->ops->ioctl(sys, fd, request, arg);

	return r < 0 ? r : 0;
}

int vfmi_iommufd_ioas_alloc(struct vfmi_sys *sys, int fd, uint32_t *ret_id)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	int r = command(sys, fd, IOMMU_IOAS_ALLOC, &alloc);

	if (r < 0)
		return r;
	if (alloc.out_ioas_id == 0) /* ids of the kernel start at 1 */
		return -EIO;
	*ret_id = alloc.out_ioas_id;
	return 0;
}

int vfmi_iommufd_destroy(struct vfmi_sys *sys, int fd, uint32_t id)
{
	struct iommu_destroy destroy = { .size = sizeof(destroy), .id = id };

	return command(sys, fd, IOMMU_DESTROY, &destroy);
}

int vfmi_iommufd_map(struct vfmi_sys *sys, int fd, uint32_t ioas_id, uint32_t flags, void *vaddr, uint64_t length,
		     uint64_t *iova)
{
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = flags,
		.ioas_id = ioas_id,
		.user_va = (uintptr_t)vaddr,
		.length = length,
		.iova = *iova,
	};
	int r = command(sys, fd, IOMMU_IOAS_MAP, &map);

	if (r < 0)
		return r;
	*iova = map.iova;
	return 0;
}

int vfmi_iommufd_unmap(struct vfmi_sys *sys, int fd, uint32_t ioas_id, uint64_t iova, uint64_t length,
		       uint64_t *ret_unmapped)
{
	struct iommu_ioas_unmap unmap = { .size = sizeof(unmap), .ioas_id = ioas_id, .iova = iova, .length = length };
	int r = command(sys, fd, IOMMU_IOAS_UNMAP, &unmap);

	if (r < 0)
		return r;
	*ret_unmapped = unmap.length;
	return 0;
}

static bool is_power_of_two(uint64_t value)
{
	return value != 0 && (value & (value - 1)) == 0;
}

static bool ranges_ordered(const struct iommu_iova_range *ranges, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (ranges[i].start > ranges[i].last || (i > 0 && ranges[i].start <= ranges[i - 1].last))
			return false;
	return true;
}

int vfmi_iommufd_ranges(struct vfmi_sys *sys, int fd, uint32_t ioas_id, struct iommu_iova_range *ranges, uint32_t room,
			uint32_t *ret_count, uint64_t *ret_align)
{
	struct iommu_ioas_iova_ranges query;
	int r;

	do {
		query = (struct iommu_ioas_iova_ranges){
			.size = sizeof(query),
			.ioas_id = ioas_id,
			.num_iovas = room,
			.allowed_iovas = (uintptr_t)ranges,
		};
		r = command(sys, fd, IOMMU_IOAS_IOVA_RANGES, &query);
	} while (r == -EINTR);
	if (r == -EMSGSIZE && query.num_iovas > room) {
		*ret_count = query.num_iovas;
		return r;
	}
	if (r < 0)
		return r == -EMSGSIZE ? -EIO : r;
	if (query.num_iovas > room || !ranges_ordered(ranges, query.num_iovas) ||
	    !is_power_of_two(query.out_iova_alignment))
		return -EIO;
	*ret_count = query.num_iovas;
	*ret_align = query.out_iova_alignment;
	return 0;
}
