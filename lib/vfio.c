/* SPDX-License-Identifier: MIT */
/* VFIO ioctls of the device file, 1:1: fills argsz, checks what comes back. No policy here, no error text. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "vfio.h"

/* Bounds on what a kernel may claim: a region's capabilities, a feature's payload, growth between two questions. */
#define MAX_INFO_BYTES (1024u * 1024u)
#define MAX_FEATURE_BYTES 64u
#define MAX_INFO_TRIES 4
#define MAX_FUNCTIONS 65536u /* of a PCI segment */
#define MAX_RANGES 65536u

int vfmi_vfio_bind(struct vfmi_sys *sys, int fd, int iommufd, const uint8_t *token, uint32_t *ret_devid)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = token ? sizeof(bind) : offsetof(struct vfio_device_bind_iommufd, token_uuid_ptr),
		.flags = token ? VFIO_DEVICE_BIND_FLAG_TOKEN : 0,
		.iommufd = iommufd,
		.token_uuid_ptr = (uintptr_t)token,
	};
	int r = vfmi_sys_command(sys, fd, VFIO_DEVICE_BIND_IOMMUFD, &bind);

	if (r < 0)
		return r;
	*ret_devid = bind.out_devid;
	return 0;
}

int vfmi_vfio_attach(struct vfmi_sys *sys, int fd, uint32_t *pt_id)
{
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach), .pt_id = *pt_id };
	int r = vfmi_sys_command(sys, fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);

	if (r < 0)
		return r;
	*pt_id = attach.pt_id;
	return 0;
}

int vfmi_vfio_detach(struct vfmi_sys *sys, int fd)
{
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };

	return vfmi_sys_command(sys, fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach);
}

int vfmi_vfio_attach_pasid(struct vfmi_sys *sys, int fd, uint32_t pasid, uint32_t *pt_id)
{
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
		.flags = VFIO_DEVICE_ATTACH_PASID,
		.pt_id = *pt_id,
		.pasid = pasid,
	};
	int r = vfmi_sys_command(sys, fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);

	if (r < 0)
		return r;
	*pt_id = attach.pt_id;
	return 0;
}

int vfmi_vfio_detach_pasid(struct vfmi_sys *sys, int fd, uint32_t pasid)
{
	struct vfio_device_detach_iommufd_pt detach = {
		.argsz = sizeof(detach),
		.flags = VFIO_DEVICE_DETACH_PASID,
		.pasid = pasid,
	};

	return vfmi_sys_command(sys, fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach);
}

int vfmi_vfio_device_info(struct vfmi_sys *sys, int fd, struct vfio_device_info *ret)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int r = vfmi_sys_query(sys, fd, VFIO_DEVICE_GET_INFO, &info);

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

size_t vfmi_vfio_cap_length(const void *info, size_t length, uint32_t cap_offset, size_t offset)
{
	size_t hops = length / sizeof(struct vfio_info_cap_header), end = length;
	struct vfio_info_cap_header header;

	for (uint32_t at = cap_offset; chain_step(info, length, at, &hops, &header); at = header.next)
		if (at > offset && at < end)
			end = at;
	return end - offset;
}

/* Whether the capability at @offset has room for what its id says it holds. */
static bool device_cap_fits(const void *info, size_t length, uint32_t offset, uint16_t id)
{
	(void)info;
	return id != VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP ||
	       length - offset >= sizeof(struct vfio_device_info_cap_pci_atomic_comp);
}

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

typedef bool cap_fits_fn(const void *info, size_t length, uint32_t offset, uint16_t id);

/* @fixed: bytes of the part before the capabilities */
static bool chain_valid(const void *info, size_t length, size_t fixed, uint32_t cap_offset, cap_fits_fn *fits)
{
	size_t hops = length / sizeof(struct vfio_info_cap_header);
	struct vfio_info_cap_header header;
	uint32_t at = cap_offset;

	while (at != 0) {
		if (at < fixed || !chain_step(info, length, at, &hops, &header))
			return false;
		if (!fits(info, length, at, header.id))
			return false;
		at = header.next;
	}
	return true;
}

/* An answer that may have capabilities behind its fixed part; argsz and flags begin all of them. */
struct info_kind {
	unsigned long request;
	size_t fixed;	      /* bytes */
	size_t cap_offset_at; /* where in it the first capability is told */
	uint32_t caps_flag;
	cap_fits_fn *fits;
};

struct info_head {
	uint32_t argsz;
	uint32_t flags;
};

static const struct info_kind device_kind = {
	.request = VFIO_DEVICE_GET_INFO,
	.fixed = sizeof(struct vfio_device_info),
	.cap_offset_at = offsetof(struct vfio_device_info, cap_offset),
	.caps_flag = VFIO_DEVICE_FLAGS_CAPS,
	.fits = device_cap_fits,
};

static const struct info_kind region_kind = {
	.request = VFIO_DEVICE_GET_REGION_INFO,
	.fixed = sizeof(struct vfio_region_info),
	.cap_offset_at = offsetof(struct vfio_region_info, cap_offset),
	.caps_flag = VFIO_REGION_INFO_FLAG_CAPS,
	.fits = region_cap_fits,
};

static uint32_t *cap_offset_of(const struct info_kind *kind, void *info)
{
	return (uint32_t *)(void *)((char *)info + kind->cap_offset_at);
}

/* One question with @room bytes for the answer; *@ret_needed above @room when that was too little. */
static int ask_once(struct vfmi_sys *sys, int fd, const struct info_kind *kind, const void *question, size_t room,
		    void **ret, size_t *ret_needed)
{
	struct info_head *head = calloc(1, room);
	int r;

	if (!head)
		return -ENOMEM;
	memcpy(head, question, kind->fixed);
	head->argsz = (uint32_t)room;
	r = vfmi_sys_query(sys, fd, kind->request, head);
	if (r < 0) {
		free(head);
		return r;
	}
	if (!(head->flags & kind->caps_flag))
		*cap_offset_of(kind, head) = 0;
	*ret_needed = head->argsz;
	*ret = head;
	return 0;
}

/* @question: a fixed part with what tells it from others. *@ret is malloc()ed, its chain is valid. */
static int ask_with_caps(struct vfmi_sys *sys, int fd, const struct info_kind *kind, const void *question, void **ret,
			 size_t *ret_length)
{
	size_t room = kind->fixed, needed;
	void *info;

	for (int i = 0; i < MAX_INFO_TRIES; i++) {
		int r = ask_once(sys, fd, kind, question, room, &info, &needed);

		if (r < 0)
			return r;
		if (needed <= room && chain_valid(info, room, kind->fixed, *cap_offset_of(kind, info), kind->fits)) {
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

int vfmi_vfio_device_info_caps(struct vfmi_sys *sys, int fd, struct vfio_device_info **ret, size_t *ret_length)
{
	const struct vfio_device_info question = { .argsz = 0 };
	void *info;
	int r = ask_with_caps(sys, fd, &device_kind, &question, &info, ret_length);

	if (r == 0)
		*ret = info;
	return r;
}

int vfmi_vfio_region_info(struct vfmi_sys *sys, int fd, uint32_t index, struct vfio_region_info **ret,
			  size_t *ret_length)
{
	const struct vfio_region_info question = { .index = index };
	void *info;
	int r = ask_with_caps(sys, fd, &region_kind, &question, &info, ret_length);

	if (r == 0)
		*ret = info;
	return r;
}

int vfmi_vfio_irq_info(struct vfmi_sys *sys, int fd, uint32_t index, struct vfio_irq_info *ret)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };
	int r = vfmi_sys_query(sys, fd, VFIO_DEVICE_GET_IRQ_INFO, &info);

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
	r = sys->ops->ioctl(sys, fd, VFIO_DEVICE_SET_IRQS, set);
	free(set);
	return r;
}

int vfmi_vfio_reset(struct vfmi_sys *sys, int fd)
{
	return vfmi_sys_command(sys, fd, VFIO_DEVICE_RESET, NULL);
}

/* One question with room for @count functions; -ENOSPC with *@count what there are. */
static int ask_hot_reset(struct vfmi_sys *sys, int fd, uint32_t *count, struct vfio_pci_hot_reset_info **ret)
{
	const size_t room = sizeof(**ret) + *count * sizeof((*ret)->devices[0]);
	struct vfio_pci_hot_reset_info *info = calloc(1, room);
	int r;

	if (!info)
		return -ENOMEM;
	info->argsz = (uint32_t)room;
	r = vfmi_sys_query(sys, fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, info);
	if (r >= 0 && info->count > *count)
		r = -EIO;
	if (r >= 0) {
		*ret = info;
		return 0;
	}
	*count = info->count;
	free(info);
	return r;
}

int vfmi_vfio_hot_reset_info(struct vfmi_sys *sys, int fd, struct vfio_pci_hot_reset_info **ret)
{
	uint32_t count = 8;
	int r = -EIO;

	for (int i = 0; i < MAX_INFO_TRIES; i++) {
		r = ask_hot_reset(sys, fd, &count, ret);
		/* functions come and go between two questions: EAGAIN when they did during one */
		if (r != -ENOSPC && r != -EAGAIN)
			return r;
		if (count > MAX_FUNCTIONS)
			return -EIO;
	}
	return r == -ENOSPC ? -EIO : r;
}

int vfmi_vfio_hot_reset(struct vfmi_sys *sys, int fd, const int32_t *group_fds, uint32_t count)
{
	struct vfio_pci_hot_reset *reset;
	int r;

	if (count > MAX_FUNCTIONS)
		return -EINVAL;
	reset = calloc(1, sizeof(*reset) + count * sizeof(*group_fds));
	if (!reset)
		return -ENOMEM;
	reset->argsz = (uint32_t)(sizeof(*reset) + count * sizeof(*group_fds));
	reset->count = count;
	if (count > 0)
		memcpy(reset->group_fds, group_fds, count * sizeof(*group_fds));
	r = vfmi_sys_command(sys, fd, VFIO_DEVICE_PCI_HOT_RESET, reset);
	free(reset);
	return r;
}

int vfmi_vfio_ioeventfd(struct vfmi_sys *sys, int fd, uint64_t position, uint32_t width, uint64_t data, int eventfd)
{
	struct vfio_device_ioeventfd entry = {
		.argsz = sizeof(entry),
		.flags = width & VFIO_DEVICE_IOEVENTFD_SIZE_MASK,
		.offset = position,
		.data = data,
		.fd = eventfd,
	};

	return vfmi_sys_command(sys, fd, VFIO_DEVICE_IOEVENTFD, &entry);
}

int vfmi_vfio_dma_buf(struct vfmi_sys *sys, int fd, uint32_t index, const struct vfio_region_dma_range *ranges,
		      uint32_t count, int *ret_fd)
{
	const size_t bytes = count * sizeof(*ranges);
	struct vfio_device_feature_dma_buf *what;
	struct vfio_device_feature *request;
	int r;

	if (count == 0 || count > MAX_RANGES)
		return -EINVAL;
	request = calloc(1, sizeof(*request) + sizeof(*what) + bytes);
	if (!request)
		return -ENOMEM;
	request->argsz = (uint32_t)(sizeof(*request) + sizeof(*what) + bytes);
	request->flags = VFIO_DEVICE_FEATURE_DMA_BUF | VFIO_DEVICE_FEATURE_GET;
	what = (struct vfio_device_feature_dma_buf *)(void *)request->data;
	what->region_index = index;
	what->open_flags = O_RDWR | O_CLOEXEC;
	what->nr_ranges = count;
	memcpy(what->dma_ranges, ranges, bytes);
	/* the answer is the descriptor, so this is no plain question */
	r = sys->ops->ioctl(sys, fd, VFIO_DEVICE_FEATURE, request);
	free(request);
	if (r < 0)
		return r;
	*ret_fd = r;
	return 0;
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
	r = op == VFIO_DEVICE_FEATURE_SET ? vfmi_sys_command(sys, fd, VFIO_DEVICE_FEATURE, buf)
					  : vfmi_sys_query(sys, fd, VFIO_DEVICE_FEATURE, buf);
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
	int r = vfmi_sys_query(sys, data_fd, VFIO_MIG_GET_PRECOPY_INFO, &info);

	if (r < 0)
		return r;
	*ret = info;
	return 0;
}

int vfmi_vfio_log_start(struct vfmi_sys *sys, int fd, const struct vfio_device_feature_dma_logging_range *ranges,
			uint32_t count, uint64_t *page_size)
{
	struct vfio_device_feature_dma_logging_control control = {
		.page_size = *page_size,
		.num_ranges = count,
		.ranges = (uintptr_t)ranges,
	};
	int r = vfmi_vfio_feature(sys, fd, VFIO_DEVICE_FEATURE_DMA_LOGGING_START, VFIO_DEVICE_FEATURE_SET, &control,
				  sizeof(control));

	if (r < 0)
		return r;
	*page_size = control.page_size;
	return 0;
}

int vfmi_vfio_log_stop(struct vfmi_sys *sys, int fd)
{
	return vfmi_vfio_feature(sys, fd, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, VFIO_DEVICE_FEATURE_SET, NULL, 0);
}

int vfmi_vfio_log_report(struct vfmi_sys *sys, int fd, uint64_t iova, uint64_t length, uint64_t page_size,
			 uint64_t *bitmap)
{
	const struct vfio_device_feature_dma_logging_report report = {
		.iova = iova,
		.length = length,
		.page_size = page_size,
		.bitmap = (uintptr_t)bitmap,
	};
	_Alignas(uint64_t) unsigned char buf[sizeof(struct vfio_device_feature) + sizeof(report)] = { 0 };
	struct vfio_device_feature *ask = (struct vfio_device_feature *)buf;

	ask->argsz = sizeof(buf);
	ask->flags = VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT | VFIO_DEVICE_FEATURE_GET;
	memcpy(ask->data, &report, sizeof(report));
	/* It asks, but what was cleared does not come a second time: not to be repeated. */
	return vfmi_sys_command(sys, fd, VFIO_DEVICE_FEATURE, buf);
}
