/* SPDX-License-Identifier: MIT */
/* Ioctls of containers and IOMMU groups, 1:1: fills argsz, checks what comes back. No policy here, no error text. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "container.h"

/* Bounds on what a kernel may claim: capabilities of a container, growth between two questions. */
#define MAX_INFO_BYTES (1024u * 1024u)
#define MAX_INFO_TRIES 4
#define MIN_INFO_BYTES 16u /* what kernels without capabilities (before 5.4) fill */

int vfmi_container_version(struct vfmi_sys *sys, int fd, uint32_t *ret_version)
{
	int r = vfmi_sys_query(sys, fd, VFIO_GET_API_VERSION, NULL);

	if (r < 0)
		return r;
	*ret_version = (uint32_t)r;
	return 0;
}

int vfmi_container_extension(struct vfmi_sys *sys, int fd, uint32_t extension, uint32_t *ret_value)
{
	int r = vfmi_sys_query(sys, fd, VFIO_CHECK_EXTENSION, (void *)(uintptr_t)extension);

	if (r < 0)
		return r;
	*ret_value = (uint32_t)r;
	return 0;
}

int vfmi_container_set_iommu(struct vfmi_sys *sys, int fd, uint32_t type)
{
	return vfmi_sys_command(sys, fd, VFIO_SET_IOMMU, (void *)(uintptr_t)type);
}

/* information and its chain of capabilities; before Linux 6.6 they were not aligned, so they are copied out */

struct chain {
	const unsigned char *bytes;
	size_t length;
	uint32_t at; /* 0: the end */
	size_t hops; /* more than the bytes allow is a cycle */
};

/* False at the end, or at a chain that leaves the answer or never ends: then chain->at is not 0. */
static bool chain_next(struct chain *chain, struct vfio_info_cap_header *ret_header, uint32_t *ret_at)
{
	if (chain->at < MIN_INFO_BYTES || chain->hops == 0 || chain->length < sizeof(*ret_header) ||
	    chain->at > chain->length - sizeof(*ret_header))
		return false;
	chain->hops--;
	memcpy(ret_header, chain->bytes + chain->at, sizeof(*ret_header));
	*ret_at = chain->at;
	chain->at = ret_header->next;
	return true;
}

static bool is_ordered(const struct vfio_iova_range *ranges, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (ranges[i].start > ranges[i].end || (i > 0 && ranges[i].start <= ranges[i - 1].end))
			return false;
	return true;
}

static int take_ranges(struct vfmi_container_info *info, const unsigned char *cap, size_t room)
{
	struct vfio_iommu_type1_info_cap_iova_range head;
	const size_t each = sizeof(struct vfio_iova_range);

	if (room < sizeof(head))
		return -EIO;
	memcpy(&head, cap, sizeof(head));
	if (info->has_ranges || head.nr_iovas > (room - sizeof(head)) / each)
		return -EIO;
	info->ranges = calloc(head.nr_iovas ? head.nr_iovas : 1, each);
	if (!info->ranges)
		return -ENOMEM;
	memcpy(info->ranges, cap + sizeof(head), head.nr_iovas * each);
	info->range_count = head.nr_iovas;
	info->has_ranges = true;
	return is_ordered(info->ranges, info->range_count) ? 0 : -EIO;
}

static int take_migration(struct vfmi_container_info *info, const unsigned char *cap, size_t room)
{
	struct vfio_iommu_type1_info_cap_migration migration;

	if (room < sizeof(migration))
		return -EIO;
	memcpy(&migration, cap, sizeof(migration));
	info->has_migration = true;
	info->dirty_page_sizes = migration.pgsize_bitmap;
	info->max_bitmap_bytes = migration.max_dirty_bitmap_size;
	return 0;
}

static int take_avail(struct vfmi_container_info *info, const unsigned char *cap, size_t room)
{
	struct vfio_iommu_type1_info_dma_avail avail;

	if (room < sizeof(avail))
		return -EIO;
	memcpy(&avail, cap, sizeof(avail));
	info->has_avail = true;
	info->avail = avail.avail;
	return 0;
}

static int take_cap(struct vfmi_container_info *info, uint16_t id, const unsigned char *cap, size_t room)
{
	switch (id) {
	case VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE:
		return take_ranges(info, cap, room);
	case VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION:
		return take_migration(info, cap, room);
	case VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL:
		return take_avail(info, cap, room);
	default:
		return 0;
	}
}

static int take_info(const unsigned char *answer, size_t length, struct vfmi_container_info *ret)
{
	struct vfmi_container_info info = { 0 };
	struct vfio_iommu_type1_info head;
	struct vfio_info_cap_header header;
	struct chain chain = { .bytes = answer, .length = length, .hops = length / sizeof(header) };
	uint32_t at;
	int r = 0;

	memcpy(&head, answer, sizeof(head));
	if (head.flags & VFIO_IOMMU_INFO_PGSIZES)
		info.page_sizes = head.iova_pgsizes;
	if (head.flags & VFIO_IOMMU_INFO_CAPS)
		chain.at = head.cap_offset;
	while (r == 0 && chain_next(&chain, &header, &at))
		r = take_cap(&info, header.id, answer + at, length - at);
	if (r == 0 && chain.at != 0)
		r = -EIO;
	if (r < 0)
		vfmi_container_info_clear(&info);
	else
		*ret = info;
	return r;
}

int vfmi_container_info(struct vfmi_sys *sys, int fd, struct vfmi_container_info *ret)
{
	uint32_t room = sizeof(struct vfio_iommu_type1_info);

	for (int i = 0; i < MAX_INFO_TRIES; i++) {
		struct vfio_iommu_type1_info *info = calloc(1, room);
		uint32_t needed;
		int r;

		if (!info)
			return -ENOMEM;
		info->argsz = room;
		r = vfmi_sys_query(sys, fd, VFIO_IOMMU_GET_INFO, info);
		needed = info->argsz;
		if (r >= 0 && needed <= room)
			r = take_info((const unsigned char *)info, room, ret);
		free(info);
		if (r < 0 || needed <= room)
			return r < 0 ? r : 0;
		if (needed > MAX_INFO_BYTES)
			return -EIO;
		room = needed;
	}
	return -EIO;
}

void vfmi_container_info_clear(struct vfmi_container_info *info)
{
	free(info->ranges);
	*info = (struct vfmi_container_info){ 0 };
}

/* maps */

int vfmi_container_map(struct vfmi_sys *sys, int fd, uint32_t flags, uint64_t vaddr, uint64_t iova, uint64_t length)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.vaddr = vaddr,
		.iova = iova,
		.size = length,
	};

	return vfmi_sys_command(sys, fd, VFIO_IOMMU_MAP_DMA, &map);
}

int vfmi_container_unmap(struct vfmi_sys *sys, int fd, uint32_t flags, uint64_t iova, uint64_t length,
			 uint64_t *ret_unmapped)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = flags,
		.iova = iova,
		.size = length,
	};
	int r = vfmi_sys_command(sys, fd, VFIO_IOMMU_UNMAP_DMA, &unmap);

	if (r < 0)
		return r;
	*ret_unmapped = unmap.size;
	return 0;
}

/* dirty pages */

int vfmi_container_track(struct vfmi_sys *sys, int fd, bool on)
{
	struct vfio_iommu_type1_dirty_bitmap ask = {
		.argsz = sizeof(ask),
		.flags = on ? VFIO_IOMMU_DIRTY_PAGES_FLAG_START : VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
	};
	int r = vfmi_sys_query(sys, fd, VFIO_IOMMU_DIRTY_PAGES, &ask); /* twice is as good as once */

	return r < 0 ? r : 0;
}

int vfmi_container_dirty(struct vfmi_sys *sys, int fd, uint64_t iova, uint64_t length, const struct vfio_bitmap *bitmap)
{
	const struct vfio_iommu_type1_dirty_bitmap_get get = { .iova = iova, .size = length, .bitmap = *bitmap };
	union {
		struct vfio_iommu_type1_dirty_bitmap head;
		unsigned char bytes[sizeof(struct vfio_iommu_type1_dirty_bitmap) + sizeof(get)];
	} ask = { .head = { .argsz = sizeof(ask), .flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP } };

	memcpy(ask.bytes + sizeof(ask.head), &get, sizeof(get));
	return vfmi_sys_command(sys, fd, VFIO_IOMMU_DIRTY_PAGES, &ask);
}

int vfmi_container_unmap_dirty(struct vfmi_sys *sys, int fd, uint64_t iova, uint64_t length,
			       const struct vfio_bitmap *bitmap, uint64_t *ret_unmapped)
{
	union {
		struct vfio_iommu_type1_dma_unmap head;
		unsigned char bytes[sizeof(struct vfio_iommu_type1_dma_unmap) + sizeof(*bitmap)];
	} ask = {
		.head = { .argsz = sizeof(ask),
			  .flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
			  .iova = iova,
			  .size = length },
	};
	int r;

	memcpy(ask.bytes + sizeof(ask.head), bitmap, sizeof(*bitmap));
	r = vfmi_sys_command(sys, fd, VFIO_IOMMU_UNMAP_DMA, &ask);
	if (r < 0)
		return r;
	*ret_unmapped = ask.head.size;
	return 0;
}

/* group */

int vfmi_group_status(struct vfmi_sys *sys, int fd, uint32_t *ret_flags)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	int r = vfmi_sys_query(sys, fd, VFIO_GROUP_GET_STATUS, &status);

	if (r < 0)
		return r;
	*ret_flags = status.flags;
	return 0;
}

int vfmi_group_set_container(struct vfmi_sys *sys, int fd, int container)
{
	int32_t argument = container;

	return vfmi_sys_command(sys, fd, VFIO_GROUP_SET_CONTAINER, &argument);
}

int vfmi_group_unset_container(struct vfmi_sys *sys, int fd)
{
	return vfmi_sys_command(sys, fd, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

int vfmi_group_device_fd(struct vfmi_sys *sys, int fd, const char *name)
{
	return sys->ops->ioctl(sys, fd, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)name);
}
