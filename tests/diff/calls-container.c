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

	/* only vfio-pci looks for more than a name */
	o->result = get_device(s, c->a, c->b % 8 || s->is_soft ? "" : more[c->b / 8 % 5]);
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
	o->value[1] = arg.info.iova_pgsizes & (s->is_soft ? 4096u : UINT64_MAX); /* its IOMMU has no huge pages */
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

/* dirty pages */

#define BITMAP_BYTES 256u /* what is shown the kernel, and looked at */

static uint64_t bitmap[BITMAP_BYTES / 8];

/*
 * A page size and a size that fit mostly. Not 0 as the page size: the kernel looks for the lowest bit of it, and what
 * it finds is the processor's affair. In its own half of the addresses, too; not where the user has nothing: it fails
 * midway then, and what it has in hand is told in a later bitmap.
 */
static struct vfio_bitmap some_bitmap(uint64_t bytes, uint32_t draw)
{
	static const uint64_t sizes[] = { 8192, 2048, 3000, 1u << 21, 1, UINT64_C(1) << 63, 4096, 4097 };
	const uint64_t right = (bytes / 4096 + 63) / 64 * 8;
	const uint64_t lengths[] = { right - 8, right - 1, 0, right + 8, 1u << 28, (1u << 28) + 8, UINT64_MAX, 8 };
	struct vfio_bitmap made = { .pgsize = 4096, .size = right, .data = (uintptr_t)bitmap };

	if (draw % 8 == 0)
		made.pgsize = sizes[draw / 8 % 8];
	if (draw / 64 % 8 == 0)
		made.size = lengths[draw / 512 % 8];
	if (draw / 4096 % 32 == 0)
		made.data = UINT64_MAX - 4095;
	memset(bitmap, draw / 262144 % 2 ? 0xff : 0, sizeof(bitmap));
	return made;
}

/* One map's area by chance, or all there may be below the odd ones. */
static void some_area(uint32_t draw, uint64_t *ret_iova, uint64_t *ret_bytes)
{
	*ret_iova = draw % 2 ? some_iova(draw / 2) : 0;
	*ret_bytes = draw % 2 ? some_length(draw / 4096) : UINT64_C(64) * 4096;
}

/* The container that tracks mostly, see tracked(). */
static uint32_t tracker(uint32_t draw)
{
	return draw % 4 ? SLOT_SPACE_A : SLOT_SPACE_B;
}

static void tracking(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t flags[] = { VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
					  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
					  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
					  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
					  VFIO_IOMMU_DIRTY_PAGES_FLAG_START | VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
					  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
					  8,
					  0 };
	struct vfio_iommu_type1_dirty_bitmap arg = { .argsz = c->b % 16 ? sizeof(arg) : 4,
						     .flags = flags[c->a / 4 % 8] };

	o->result = file_ioctl(s, tracker(c->a), VFIO_IOMMU_DIRTY_PAGES, &arg);
}

/* A container that tracks, with a device and two maps in it: by chance alone there would be few. */
static void tracked(struct subject *s, const struct call *c, struct outcome *o)
{
	struct vfio_iommu_type1_dirty_bitmap start = { .argsz = sizeof(start),
						       .flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START };
	struct vfio_iommu_type1_dma_map one = { .argsz = sizeof(one),
						.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						.vaddr = file_memory(0),
						.size = (1 + c->b / 4 % 8) * 4096 };

	(void)!file_open(s, SLOT_SPACE_A, spaces[0]);
	(void)!file_open_group(s, c->a);
	(void)!set_container(s, c->a, s->slots[SLOT_SPACE_A]);
	(void)!file_ioctl(s, SLOT_SPACE_A, VFIO_SET_IOMMU, (void *)(uintptr_t)VFIO_TYPE1v2_IOMMU);
	o->value[0] = (uint64_t)(int64_t)get_device(s, c->a, "");
	if (c->b % 2)
		o->result = file_ioctl(s, SLOT_SPACE_A, VFIO_IOMMU_DIRTY_PAGES, &start);
	o->value[1] = (uint64_t)(int64_t)file_ioctl(s, SLOT_SPACE_A, VFIO_IOMMU_MAP_DMA, &one);
	one.iova = (8 + c->b / 32 % 4) * 4096;
	o->value[2] = (uint64_t)(int64_t)file_ioctl(s, SLOT_SPACE_A, VFIO_IOMMU_MAP_DMA, &one);
	if (c->b % 2 == 0)
		o->result = file_ioctl(s, SLOT_SPACE_A, VFIO_IOMMU_DIRTY_PAGES, &start);
}

static void dirty_bitmap(struct subject *s, const struct call *c, struct outcome *o)
{
	union {
		struct vfio_iommu_type1_dirty_bitmap head;
		uint8_t room[sizeof(struct vfio_iommu_type1_dirty_bitmap) +
			     sizeof(struct vfio_iommu_type1_dirty_bitmap_get)];
	} arg = { .head = { .argsz = sizeof(arg) - (c->b % 32 ? 0 : 8),
			    .flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP } };
	struct vfio_iommu_type1_dirty_bitmap_get get;

	some_area(c->a / 4, &get.iova, &get.size);
	get.bitmap = some_bitmap(get.size, c->b / 32);
	memcpy(arg.head.data, &get, sizeof(get));
	o->result = file_ioctl(s, tracker(c->a), VFIO_IOMMU_DIRTY_PAGES, &arg);
	o->value[0] = bitmap[0];
	o->value[1] = hash_of(bitmap, sizeof(bitmap));
}

static void unmap_dirty(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t others[] = { VFIO_DMA_UNMAP_FLAG_ALL, VFIO_DMA_UNMAP_FLAG_VADDR, 8, 0 };
	union {
		struct vfio_iommu_type1_dma_unmap head;
		uint8_t room[sizeof(struct vfio_iommu_type1_dma_unmap) + sizeof(struct vfio_bitmap)];
	} arg = { .head = { .argsz = sizeof(arg) - (c->b % 32 ? 0 : 8),
			    .flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP |
				     (c->b / 32 % 16 ? 0 : others[c->b / 512 % 4]) } };
	struct vfio_bitmap told;

	some_area(c->a / 4, &arg.head.iova, &arg.head.size);
	told = some_bitmap(arg.head.size, c->b / 2048);
	memcpy(arg.head.data, &told, sizeof(told));
	o->result = file_ioctl(s, tracker(c->a), VFIO_IOMMU_UNMAP_DMA, &arg);
	o->value[0] = bitmap[0];
	o->value[1] = hash_of(bitmap, sizeof(bitmap));
	o->value[2] = o->result == 0 ? arg.head.size : 0;
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
	if (!s->is_soft) /* which is on no bus */
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
	{ "tracked", 14, tracked },
	{ "tracking", 8, tracking },
	{ "dirty-bitmap", 16, dirty_bitmap },
	{ "unmap-dirty", 8, unmap_dirty },
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
