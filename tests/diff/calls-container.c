// SPDX-License-Identifier: MIT
/* Groups and containers, of type1 and of an iommufd that stands in for one, beside devices opened by their cdev. */
#include <stdio.h>

#include "diff.h"

static const char *const spaces[] = { "/dev/vfio/vfio", "/dev/iommu" };

/* opening and closing */

static void open_space(struct subject *s, const struct call *c, struct outcome *o)
{
	o->result = file_open(s, SLOT_SPACE_A + c->a % 2, spaces[c->b % 2]);
}

static void open_group(struct subject *s, const struct call *c, struct outcome *o)
{
	o->result = file_open_group(s, c->a);
}

static void open_cdev(struct subject *s, const struct call *c, struct outcome *o)
{
	uint32_t id = 0;

	o->result = file_open_cdev(s, SLOT_CDEV_A + c->a % 3);
	if (o->result == 0 && c->b % 4)
		o->result = file_bind(s, SLOT_CDEV_A + c->a % 3, s->slots[SLOT_SPACE_A + c->b % 2], &id);
	o->value[0] = id;
}

static void close_one(struct subject *s, const struct call *c, struct outcome *o)
{
	o->value[0] = s->slots[c->a % SLOTS] >= 0;
	file_close(s, c->a % SLOTS);
}

/* groups */

static int set_container(struct subject *s, uint32_t which, int fd)
{
	int32_t arg = fd;

	return file_ioctl(s, SLOT_GROUP_A + which % 2, VFIO_GROUP_SET_CONTAINER, &arg);
}

static void join(struct subject *s, const struct call *c, struct outcome *o)
{
	const uint32_t slot = c->b % 8 ? SLOT_SPACE_A + c->b % 2 : c->b / 8 % SLOTS;

	o->result = set_container(s, c->a, s->slots[slot]);
}

static void leave(struct subject *s, const struct call *c, struct outcome *o)
{
	o->result = file_ioctl(s, SLOT_GROUP_A + c->a % 2, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

static void status(struct subject *s, const struct call *c, struct outcome *o)
{
	struct vfio_group_status status = { .argsz = c->b % 8 ? sizeof(status) : 4 };

	o->result = file_ioctl(s, SLOT_GROUP_A + c->a % 2, VFIO_GROUP_GET_STATUS, &status);
	o->value[0] = status.flags;
}

static int get_device(struct subject *s, uint32_t which, const char *more)
{
	char name[160];
	int fd;

	snprintf(name, sizeof(name), "%s%s", s->found[which % 2].identity.name, more);
	if (s->slots[SLOT_DEVICE_A + which % 2] >= 0)
		return -EALREADY;
	fd = file_ioctl(s, SLOT_GROUP_A + which % 2, VFIO_GROUP_GET_DEVICE_FD, name);
	if (fd < 0)
		return fd;
	s->slots[SLOT_DEVICE_A + which % 2] = fd;
	return 0;
}

static void device(struct subject *s, const struct call *c, struct outcome *o)
{
	static const char *const more[] = { "0", " ", " vf_token=", " vf_token=6d747479-0000-4000-8000-000000000001",
					    " x=1" };

	o->result = get_device(s, c->a, c->b % 8 ? "" : more[c->b / 8 % 5]);
	o->has_fd = o->result == 0;
}

/* All the way to an open device: by chance alone few sequences would come so far. */
static void ready(struct subject *s, const struct call *c, struct outcome *o)
{
	const uint32_t space = SLOT_SPACE_A + c->a % 2, which = c->a / 2 % 2;
	const uintptr_t type = c->b / 2 % 2 ? VFIO_TYPE1v2_IOMMU : VFIO_TYPE1_IOMMU;

	(void)!file_open(s, space, spaces[c->b % 2]);
	(void)!file_open_group(s, which);
	o->value[0] = (uint64_t)(int64_t)set_container(s, which, s->slots[space]);
	/* the argument is the number itself */
	o->value[1] = (uint64_t)(int64_t)file_ioctl(s, space, VFIO_SET_IOMMU, (void *)type);
	o->result = get_device(s, which, "");
}

/* what a container tells */

static void version(struct subject *s, const struct call *c, struct outcome *o)
{
	o->result = file_ioctl(s, SLOT_SPACE_A + c->a % 2, VFIO_GET_API_VERSION, NULL);
}

static void extension(struct subject *s, const struct call *c, struct outcome *o)
{
	o->result = file_ioctl(s, SLOT_SPACE_A + c->a % 2, VFIO_CHECK_EXTENSION, (void *)(uintptr_t)(c->b % 13));
	if (c->b % 13 == VFIO_DMA_CC_IOMMU && o->result > 0)
		o->result = 0; /* what the IOMMU of this machine can */
}

static void set_iommu(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uintptr_t types[] = { VFIO_TYPE1_IOMMU,   VFIO_TYPE1v2_IOMMU, VFIO_TYPE1v2_IOMMU, 2,
					   VFIO_NOIOMMU_IOMMU, VFIO_TYPE1_IOMMU,   VFIO_TYPE1v2_IOMMU, 0 };

	o->result = file_ioctl(s, SLOT_SPACE_A + c->a % 2, VFIO_SET_IOMMU, (void *)types[c->b % 8]);
}

union info {
	struct vfio_iommu_type1_info info;
	uint8_t room[512];
};

static void info(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t sizes[] = { 24, 16, 20, 0, 40, 8 };
	union info arg = { .info = { .argsz = c->b % 2 ? sizeof(arg) : sizes[c->b / 2 % 6] } };

	o->result = file_ioctl(s, SLOT_SPACE_A + c->a % 2, VFIO_IOMMU_GET_INFO, &arg);
	o->value[0] = (uint64_t)arg.info.argsz << 32 | arg.info.flags;
	o->value[1] = arg.info.iova_pgsizes;
	o->value[2] = arg.info.cap_offset;
}

/* The capabilities: how many, and what is in them. */
static void capabilities(struct subject *s, const struct call *c, struct outcome *o)
{
	union info arg = { .info = { .argsz = sizeof(arg) } };
	struct vfio_iommu_type1_info_dma_avail avail;
	struct vfio_info_cap_header head;

	o->result = file_ioctl(s, SLOT_SPACE_A + c->a % 2, VFIO_IOMMU_GET_INFO, &arg);
	if (o->result || arg.info.argsz > sizeof(arg))
		return;
	for (uint32_t at = arg.info.cap_offset; at && at + sizeof(avail) <= sizeof(arg); at = head.next) {
		memcpy(&head, arg.room + at, sizeof(head));
		memcpy(&avail, arg.room + at, sizeof(avail));
		if (head.id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL)
			o->value[0] = avail.avail;
		o->value[1] = o->value[1] << 8 | head.id << 4 | head.version;
	}
	o->value[2] = hash_of(arg.room + sizeof(arg.info), arg.info.argsz - sizeof(arg.info));
}

/* maps */

static void map(struct subject *s, const struct call *c, struct outcome *o)
{
	/* not 0, which an iommufd of Linux 7.2 passes on down to the page table, and there it sets off a warning */
	static const uint32_t odd[] = { VFIO_DMA_MAP_FLAG_VADDR, VFIO_DMA_MAP_FLAG_VADDR,
					VFIO_DMA_MAP_FLAG_VADDR | VFIO_DMA_MAP_FLAG_READ, 8 };
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = c->b % 64 ? sizeof(arg) : 24,
		.flags = VFIO_DMA_MAP_FLAG_READ | (c->b & 1 ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = some_address(c->a),
		.iova = some_iova(c->b / 64),
		.size = some_length(c->a / 512),
	};

	if (c->b / 2 % 16 == 0)
		arg.flags = odd[c->b / 32 % 4];
	o->result = file_ioctl(s, SLOT_SPACE_A + c->a / 7 % 2, VFIO_IOMMU_MAP_DMA, &arg);
}

static void unmap(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t odd[] = { VFIO_DMA_UNMAP_FLAG_ALL, VFIO_DMA_UNMAP_FLAG_VADDR,
					VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR, 8 };
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = c->b % 64 ? sizeof(arg) : 20,
		.flags = c->b / 2 % 4 == 0 ? odd[c->b / 8 % 4] : 0,
		.iova = some_iova(c->a),
		.size = some_length(c->a / 512),
	};

	if (arg.flags & VFIO_DMA_UNMAP_FLAG_ALL && c->b / 64 % 8)
		arg.iova = arg.size = 0;
	o->result = file_ioctl(s, SLOT_SPACE_A + c->b % 2, VFIO_IOMMU_UNMAP_DMA, &arg);
	o->value[0] = o->result == 0 ? arg.size : 0;
}

/* what becomes of a device */

static void device_info(struct subject *s, const struct call *c, struct outcome *o)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	o->result = file_ioctl(s, SLOT_DEVICE_A + c->a % 5, VFIO_DEVICE_GET_INFO, &info);
	o->value[0] = info.num_irqs;
}

static void reset(struct subject *s, const struct call *c, struct outcome *o)
{
	o->result = file_ioctl(s, SLOT_DEVICE_A + c->a % 5, VFIO_DEVICE_RESET, NULL);
}

static void bind_again(struct subject *s, const struct call *c, struct outcome *o)
{
	uint32_t id = 0;

	o->result = file_bind(s, SLOT_DEVICE_A + c->a % 5, s->slots[SLOT_SPACE_A + c->b % 2], &id);
	o->value[0] = id;
}

static void hot_reset(struct subject *s, const struct call *c, struct outcome *o)
{
	union {
		struct vfio_pci_hot_reset reset;
		int32_t room[8];
	} arg = { .reset = { .argsz = sizeof(arg), .count = c->b % 4 } };

	for (uint32_t i = 0; i < arg.reset.count; i++)
		arg.reset.group_fds[i] = s->slots[c->b / 4 % 8 ? SLOT_GROUP_A + (c->a / 5 + i) % 2 : c->a / 5 % SLOTS];
	o->result = file_ioctl(s, SLOT_DEVICE_A + c->a % 5, VFIO_DEVICE_PCI_HOT_RESET, &arg);
}

static void unknown(struct subject *s, const struct call *c, struct outcome *o)
{
	uint32_t room[16] = { sizeof(room) };

	o->result = file_ioctl(s, c->a % SLOT_DEVICE_A, VFIO_IOCTL(22 + c->b % 8), room);
}

static const struct move moves[] = {
	{ "open-space", 4, open_space },
	{ "open-group", 4, open_group },
	{ "open-cdev", 3, open_cdev },
	{ "close", 5, close_one },
	{ "join", 6, join },
	{ "leave", 3, leave },
	{ "status", 4, status },
	{ "device", 5, device },
	{ "ready", 10, ready },
	{ "version", 1, version },
	{ "extension", 5, extension },
	{ "set-iommu", 5, set_iommu },
	{ "info", 5, info },
	{ "capabilities", 4, capabilities },
	{ "map", 20, map },
	{ "unmap", 14, unmap },
	{ "device-info", 3, device_info },
	{ "reset", 2, reset },
	{ "bind-again", 2, bind_again },
	{ "hot-reset", 2, hot_reset },
	{ "unknown", 1, unknown },
};

const struct world world_container = {
	.name = "container",
	.moves = moves,
	.count = VFMI_ARRAY_SIZE(moves),
};
