/* SPDX-License-Identifier: MIT */
/* iommufd ioctls, 1:1: fills size, checks what comes back. No policy here, no error text. */
#include <errno.h>
#include <stdbool.h>

#include "iommufd.h"
#include "numbers.h"

int vfmi_iommufd_ioas_alloc(struct vfmi_sys *sys, int fd, uint32_t *ret_id)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	int r = vfmi_sys_command(sys, fd, IOMMU_IOAS_ALLOC, &alloc);

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

	return vfmi_sys_command(sys, fd, IOMMU_DESTROY, &destroy);
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
	int r = vfmi_sys_command(sys, fd, IOMMU_IOAS_MAP, &map);

	if (r < 0)
		return r;
	*iova = map.iova;
	return 0;
}

int vfmi_iommufd_map_file(struct vfmi_sys *sys, int fd, uint32_t ioas_id, uint32_t flags, int file, uint64_t start,
			  uint64_t length, uint64_t *iova)
{
	struct iommu_ioas_map_file map = {
		.size = sizeof(map),
		.flags = flags,
		.ioas_id = ioas_id,
		.fd = file,
		.start = start,
		.length = length,
		.iova = *iova,
	};
	int r = vfmi_sys_command(sys, fd, IOMMU_IOAS_MAP_FILE, &map);

	if (r < 0)
		return r;
	*iova = map.iova;
	return 0;
}

int vfmi_iommufd_unmap(struct vfmi_sys *sys, int fd, uint32_t ioas_id, uint64_t iova, uint64_t length,
		       uint64_t *ret_unmapped)
{
	struct iommu_ioas_unmap unmap = { .size = sizeof(unmap), .ioas_id = ioas_id, .iova = iova, .length = length };
	int r = vfmi_sys_command(sys, fd, IOMMU_IOAS_UNMAP, &unmap);

	if (r < 0)
		return r;
	*ret_unmapped = unmap.length;
	return 0;
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
	struct iommu_ioas_iova_ranges ask;
	int r;

	do {
		ask = (struct iommu_ioas_iova_ranges){
			.size = sizeof(ask),
			.ioas_id = ioas_id,
			.num_iovas = room,
			.allowed_iovas = (uintptr_t)ranges,
		};
		r = vfmi_sys_command(sys, fd, IOMMU_IOAS_IOVA_RANGES, &ask);
	} while (r == -EINTR);
	if (r == -EMSGSIZE && ask.num_iovas > room) {
		*ret_count = ask.num_iovas;
		return r;
	}
	if (r < 0)
		return r == -EMSGSIZE ? -EIO : r;
	if (ask.num_iovas > room || !ranges_ordered(ranges, ask.num_iovas) ||
	    !vfmi_is_power_of_two(ask.out_iova_alignment))
		return -EIO;
	*ret_count = ask.num_iovas;
	*ret_align = ask.out_iova_alignment;
	return 0;
}

int vfmi_iommufd_allow(struct vfmi_sys *sys, int fd, uint32_t ioas_id, const struct iommu_iova_range *ranges,
		       uint32_t count)
{
	struct iommu_ioas_allow_iovas allow = {
		.size = sizeof(allow),
		.ioas_id = ioas_id,
		.num_iovas = count,
		.allowed_iovas = (uintptr_t)ranges,
	};

	return vfmi_sys_command(sys, fd, IOMMU_IOAS_ALLOW_IOVAS, &allow);
}

int vfmi_iommufd_set_option(struct vfmi_sys *sys, int fd, uint32_t option, uint32_t object, uint64_t value)
{
	struct iommu_option set = {
		.size = sizeof(set),
		.option_id = option,
		.op = IOMMU_OPTION_OP_SET,
		.object_id = object,
		.val64 = value,
	};

	return vfmi_sys_command(sys, fd, IOMMU_OPTION, &set);
}

int vfmi_iommufd_compat_ioas(struct vfmi_sys *sys, int fd, uint32_t *ret_id)
{
	struct iommu_vfio_ioas ask;
	int r;

	do {
		ask = (struct iommu_vfio_ioas){ .size = sizeof(ask), .op = IOMMU_VFIO_IOAS_GET };
		r = vfmi_sys_command(sys, fd, IOMMU_VFIO_IOAS, &ask);
	} while (r == -EINTR);
	if (r < 0)
		return r;
	if (ask.ioas_id == 0)
		return -EIO;
	*ret_id = ask.ioas_id;
	return 0;
}

int vfmi_iommufd_change_process(struct vfmi_sys *sys, int fd)
{
	struct iommu_ioas_change_process change = { .size = sizeof(change) };

	return vfmi_sys_command(sys, fd, IOMMU_IOAS_CHANGE_PROCESS, &change);
}

static int get_hw_info(struct vfmi_sys *sys, int fd, uint32_t devid, struct iommu_hw_info *ret)
{
	int r;

	do {
		*ret = (struct iommu_hw_info){ .size = sizeof(*ret), .dev_id = devid };
		r = vfmi_sys_command(sys, fd, IOMMU_GET_HW_INFO, ret);
	} while (r == -EINTR);
	return r;
}

int vfmi_iommufd_hw_info(struct vfmi_sys *sys, int fd, uint32_t devid, uint64_t *ret_capabilities)
{
	struct iommu_hw_info info;
	int r = get_hw_info(sys, fd, devid, &info);

	if (r < 0)
		return r;
	*ret_capabilities = info.out_capabilities;
	return 0;
}

int vfmi_iommufd_pasid_bits(struct vfmi_sys *sys, int fd, uint32_t devid, uint32_t *ret_bits)
{
	struct iommu_hw_info info;
	int r = get_hw_info(sys, fd, devid, &info);

	if (r < 0)
		return r;
	*ret_bits = info.out_max_pasid_log2;
	return 0;
}

int vfmi_iommufd_hwpt_alloc(struct vfmi_sys *sys, int fd, uint32_t flags, uint32_t devid, uint32_t ioas_id,
			    uint32_t *ret_id)
{
	struct iommu_hwpt_alloc alloc = {
		.size = sizeof(alloc),
		.flags = flags,
		.dev_id = devid,
		.pt_id = ioas_id,
		.data_type = IOMMU_HWPT_DATA_NONE,
	};
	int r = vfmi_sys_command(sys, fd, IOMMU_HWPT_ALLOC, &alloc);

	if (r < 0)
		return r;
	if (alloc.out_hwpt_id == 0)
		return -EIO;
	*ret_id = alloc.out_hwpt_id;
	return 0;
}

/* Twice is as good as once, for both: nothing counts before the first is through, and bits only come to others. */
static int retried(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	int r = vfmi_sys_query(sys, fd, request, arg);

	return r < 0 ? r : 0;
}

int vfmi_iommufd_hwpt_track(struct vfmi_sys *sys, int fd, uint32_t id, bool on)
{
	struct iommu_hwpt_set_dirty_tracking set = {
		.size = sizeof(set),
		.flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0,
		.hwpt_id = id,
	};

	return retried(sys, fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &set);
}

int vfmi_iommufd_hwpt_dirty(struct vfmi_sys *sys, int fd, uint32_t id, uint32_t flags, uint64_t iova, uint64_t length,
			    uint64_t page_size, uint64_t *words)
{
	struct iommu_hwpt_get_dirty_bitmap get = {
		.size = sizeof(get),
		.hwpt_id = id,
		.flags = flags,
		.iova = iova,
		.length = length,
		.page_size = page_size,
		.data = (uintptr_t)words,
	};

	return retried(sys, fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &get);
}
