/* SPDX-License-Identifier: MIT */
/* VFIO ioctls of the device file, 1:1: fills argsz, checks what comes back. No policy here, no error text. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfio.h"

/* Bounds on what a kernel may claim: a region's capabilities, a feature's payload, growth between two questions. */
#define MAX_INFO_BYTES (1024u * 1024u)
#define MAX_FEATURE_BYTES 64u
#define MAX_INFO_TRIES 4

/* A request that changes something: EINTR is the caller's to judge, the effect may have happened. */
static int command(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	int r = sys->ops->ioctl(sys, fd, request, arg);

	return r < 0 ? r : 0;
}

/* A request that only asks. */
static int query(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	int r;

	do {
		r = command(sys, fd, request, arg);
	} while (r == -EINTR);
	return r;
}

int vfmi_vfio_bind(struct vfmi_sys *sys, int fd, int iommufd, uint32_t *ret_devid)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = iommufd };
	int r = command(sys, fd, VFIO_DEVICE_BIND_IOMMUFD, &bind);

	if (r < 0)
		return r;
	*ret_devid = bind.out_devid;
	return 0;
}

int vfmi_vfio_attach(struct vfmi_sys *sys, int fd, uint32_t *pt_id)
{
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach), .pt_id = *pt_id };
	int r = command(sys, fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);

	if (r < 0)
		return r;
	*pt_id = attach.pt_id;
	return 0;
}

int vfmi_vfio_detach(struct vfmi_sys *sys, int fd)
{
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };

	return command(sys, fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach);
}

int vfmi_vfio_device_info(struct vfmi_sys *sys, int fd, struct vfio_device_info *ret)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int r = query(sys, fd, VFIO_DEVICE_GET_INFO, &info);

	if (r < 0)
		return r;
	*ret = info;
	return 0;
}

/*
 * One step along a capability chain. Kernels before 6.6 did not align capabilities, so headers are copied out.
 * Returns false at the end and, with *@hops exhausted, on a chain that is longer than its bytes allow: a cycle.
 */
static bool chain_step(const void *info, size_t length, uint32_t offset, size_t *hops,
		       struct vfio_info_cap_header *ret_header)
{
	if (offset == 0 || *hops == 0 || length < sizeof(*ret_header) || offset > length - sizeof(*ret_header))
		return false;
	(*hops)--;
	memcpy(ret_header, (const char *)info + offset, sizeof(*ret_header));
	return true;
}

const void *vfmi_vfio_find_cap(const void *info, size_t length, uint32_t cap_offset, uint16_t id, size_t min)
{
	size_t hops = length / sizeof(struct vfio_info_cap_header);
	struct vfio_info_cap_header header;

	for (uint32_t at = cap_offset; chain_step(info, length, at, &hops, &header); at = header.next)
		if (header.id == id)
			return length - at >= min ? (const char *)info + at : NULL;
	return NULL;
}

/* Whether the capability at @offset has room for what its id says it holds. */
static bool region_cap_fits(const void *info, size_t length, uint32_t offset, uint16_t id)
{
	struct vfio_region_info_cap_sparse_mmap sparse;
	size_t room = length - offset;

	if (id == VFIO_REGION_INFO_CAP_TYPE)
		return room >= sizeof(struct vfio_region_info_cap_type);
	if (id != VFIO_REGION_INFO_CAP_SPARSE_MMAP)
		return true;
	if (room < sizeof(sparse))
		return false;
	memcpy(&sparse, (const char *)info + offset, sizeof(sparse));
	return sparse.nr_areas <= (room - sizeof(sparse)) / sizeof(sparse.areas[0]);
}

static bool region_chain_valid(const struct vfio_region_info *info, size_t length)
{
	size_t hops = length / sizeof(struct vfio_info_cap_header);
	uint32_t at = info->cap_offset;
	struct vfio_info_cap_header header;

	while (at != 0) {
		if (at < sizeof(*info) || !chain_step(info, length, at, &hops, &header))
			return false;
		if (!region_cap_fits(info, length, at, header.id))
			return false;
		at = header.next;
	}
	return true;
}

/* One question with @room bytes for the answer; *@ret_needed above @room when that was too little. */
static int ask_region(struct vfmi_sys *sys, int fd, uint32_t index, size_t room, struct vfio_region_info **ret,
		      size_t *ret_needed)
{
	struct vfio_region_info *info = calloc(1, room);
	int r;

	if (!info)
		return -ENOMEM;
	info->argsz = (uint32_t)room;
	info->index = index;
	r = query(sys, fd, VFIO_DEVICE_GET_REGION_INFO, info);
	if (r < 0) {
		free(info);
		return r;
	}
	if (!(info->flags & VFIO_REGION_INFO_FLAG_CAPS))
		info->cap_offset = 0;
	*ret_needed = info->argsz;
	*ret = info;
	return 0;
}

int vfmi_vfio_region_info(struct vfmi_sys *sys, int fd, uint32_t index, struct vfio_region_info **ret,
			  size_t *ret_length)
{
	size_t room = sizeof(struct vfio_region_info);
	struct vfio_region_info *info;
	size_t needed;

	for (int i = 0; i < MAX_INFO_TRIES; i++) {
		int r = ask_region(sys, fd, index, room, &info, &needed);

		if (r < 0)
			return r;
		if (needed <= room && region_chain_valid(info, room)) {
			*ret = info;
			*ret_length = room;
			return 0;
		}
		free(info);
		if (needed <= room || needed > MAX_INFO_BYTES)
			return -EIO;
		room = needed;
	}
	return -EIO;
}

int vfmi_vfio_irq_info(struct vfmi_sys *sys, int fd, uint32_t index, struct vfio_irq_info *ret)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };
	int r = query(sys, fd, VFIO_DEVICE_GET_IRQ_INFO, &info);

	if (r < 0)
		return r;
	*ret = info;
	return 0;
}

int vfmi_vfio_set_irqs(struct vfmi_sys *sys, int fd, uint32_t index, uint32_t flags, uint32_t start, uint32_t count,
		       const void *data, size_t data_length)
{
	struct vfio_irq_set *set;
	int r;

	if (data_length > UINT32_MAX - sizeof(*set))
		return -EINVAL;
	set = calloc(1, sizeof(*set) + data_length);
	if (!set)
		return -ENOMEM;
	set->argsz = (uint32_t)(sizeof(*set) + data_length);
	set->flags = flags;
	set->index = index;
	set->start = start;
	set->count = count;
	if (data_length > 0)
		memcpy(set->data, data, data_length);
	r = command(sys, fd, VFIO_DEVICE_SET_IRQS, set);
	free(set);
	return r;
}

int vfmi_vfio_reset(struct vfmi_sys *sys, int fd)
{
	return command(sys, fd, VFIO_DEVICE_RESET, NULL);
}

int vfmi_vfio_feature(struct vfmi_sys *sys, int fd, uint32_t feature, uint32_t op, void *data, size_t length)
{
	_Alignas(uint64_t) unsigned char buf[sizeof(struct vfio_device_feature) + MAX_FEATURE_BYTES] = { 0 };
	struct vfio_device_feature *request = (struct vfio_device_feature *)buf;
	int r;

	if (feature > VFIO_DEVICE_FEATURE_MASK || length > MAX_FEATURE_BYTES)
		return -EINVAL;
	request->argsz = (uint32_t)(sizeof(*request) + length);
	request->flags = feature | op;
	if (length > 0)
		memcpy(request->data, data, length);
	r = op == VFIO_DEVICE_FEATURE_SET ? command(sys, fd, VFIO_DEVICE_FEATURE, buf)
					  : query(sys, fd, VFIO_DEVICE_FEATURE, buf);
	if (r < 0)
		return r;
	if (length > 0)
		memcpy(data, request->data, length);
	return 0;
}

int vfmi_vfio_mig_flags(struct vfmi_sys *sys, int fd, uint64_t *ret_flags)
{
	struct vfio_device_feature_migration migration = { 0 };
	int r = vfmi_vfio_feature(sys, fd, VFIO_DEVICE_FEATURE_MIGRATION, VFIO_DEVICE_FEATURE_GET, &migration,
				  sizeof(migration));

	if (r < 0)
		return r;
	*ret_flags = migration.flags;
	return 0;
}

int vfmi_vfio_mig_get(struct vfmi_sys *sys, int fd, uint32_t *ret_state)
{
	struct vfio_device_feature_mig_state state = { .data_fd = -1 };
	int r = vfmi_vfio_feature(sys, fd, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, VFIO_DEVICE_FEATURE_GET, &state,
				  sizeof(state));

	if (r < 0)
		return r;
	*ret_state = state.device_state;
	return 0;
}

int vfmi_vfio_mig_set(struct vfmi_sys *sys, int fd, uint32_t state, int *ret_data_fd)
{
	struct vfio_device_feature_mig_state set = { .device_state = state, .data_fd = -1 };
	int r = vfmi_vfio_feature(sys, fd, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, VFIO_DEVICE_FEATURE_SET, &set,
				  sizeof(set));

	if (r < 0)
		return r;
	*ret_data_fd = set.data_fd < 0 ? -1 : set.data_fd;
	return 0;
}

int vfmi_vfio_mig_size(struct vfmi_sys *sys, int fd, uint64_t *ret_bytes)
{
	struct vfio_device_feature_mig_data_size size = { 0 };
	int r = vfmi_vfio_feature(sys, fd, VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, VFIO_DEVICE_FEATURE_GET, &size,
				  sizeof(size));

	if (r < 0)
		return r;
	*ret_bytes = size.stop_copy_length;
	return 0;
}

int vfmi_vfio_precopy_info(struct vfmi_sys *sys, int data_fd, struct vfio_precopy_info *ret)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info) };
	int r = query(sys, data_fd, VFIO_MIG_GET_PRECOPY_INFO, &info);

	if (r < 0)
		return r;
	*ret = info;
	return 0;
}
