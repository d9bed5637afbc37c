// SPDX-License-Identifier: MIT
/* Objects of one iommufd: address spaces, maps, page tables, the devices bound to it, the container it can be. */
#include "diff.h"

#define GARBAGE 0xfffffff0u

/* Ids: those that calls gave, drawn again by number; some no longer anybody's. */
static uint32_t pick(const struct subject *s, uint32_t draw)
{
	return draw % 16 ? s->ids[draw / 16 % DIFF_IDS] : draw / 16 % 2 ? GARBAGE : 0;
}

static void keep(struct subject *s, uint32_t draw, uint32_t id, struct outcome *o)
{
	if (o->result == 0)
		s->ids[draw % DIFF_IDS] = id;
	o->value[0] = o->result == 0 ? id : 0;
}

static int iommufd(struct subject *s, unsigned long request, void *arg)
{
	return file_ioctl(s, SLOT_SPACE_A, request, arg);
}

/* A size that is right mostly. */
static uint32_t sized(size_t size, uint32_t draw)
{
	return draw % 64 ? (uint32_t)size : draw / 64 % 2 ? 4 : (uint32_t)size - 4;
}

/* devices */

static void attach_to(struct subject *s, uint32_t slot, uint32_t pt_id, struct outcome *o)
{
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach), .pt_id = pt_id };

	o->result = file_ioctl(s, slot, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
	o->value[1] = o->result == 0 ? attach.pt_id : 0;
}

/* An iommufd, a device bound to it, an address space, and the device attached. */
static void ready(struct subject *s, const struct call *c, struct outcome *o)
{
	const uint32_t slot = SLOT_CDEV_A + c->a % 2;
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	uint32_t id = 0;

	(void)!file_open(s, SLOT_SPACE_A, "/dev/iommu");
	if (file_open_cdev(s, slot) == 0 && file_bind(s, slot, s->slots[SLOT_SPACE_A], &id) == 0)
		s->ids[c->a % 2] = id;
	o->value[2] = id;
	o->result = iommufd(s, IOMMU_IOAS_ALLOC, &alloc);
	keep(s, 2 + c->a / 2 % 2, alloc.out_ioas_id, o);
	if (o->result == 0 && c->b % 4)
		attach_to(s, slot, alloc.out_ioas_id, o);
}

static void open_cdev(struct subject *s, const struct call *c, struct outcome *o)
{
	uint32_t id = 0;

	o->result = file_open_cdev(s, SLOT_CDEV_A + c->a % 3);
	if (o->result == 0 && c->b % 4)
		o->result = file_bind(s, SLOT_CDEV_A + c->a % 3, s->slots[SLOT_SPACE_A], &id);
	if (id)
		keep(s, c->b / 4, id, o);
}

static void close_one(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t slots[] = { SLOT_CDEV_A, SLOT_CDEV_B,  SLOT_CDEV_A_AGAIN, SLOT_CDEV_A,
					  SLOT_CDEV_B, SLOT_GROUP_A, SLOT_DEVICE_A,	SLOT_SPACE_A };

	o->value[0] = s->slots[slots[c->a % 8]] >= 0;
	file_close(s, slots[c->a % 8]);
}

static void attach(struct subject *s, const struct call *c, struct outcome *o)
{
	attach_to(s, SLOT_CDEV_A + c->a % 3, pick(s, c->b), o);
}

static void detach(struct subject *s, const struct call *c, struct outcome *o)
{
	struct vfio_device_detach_iommufd_pt arg = { .argsz = sizeof(arg), .flags = c->b % 16 == 0 ? 4 : 0 };

	o->result = file_ioctl(s, SLOT_CDEV_A + c->a % 3, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg);
}

static void hw_info(struct subject *s, const struct call *c, struct outcome *o)
{
	uint64_t data[8] = { 0 };
	struct iommu_hw_info arg = { .size = sizeof(arg), .flags = c->b % 16 == 0 ? 8 : 0, .dev_id = pick(s, c->a) };

	if (c->b / 16 % 4 == 0)
		arg.data_len = sizeof(data);
	arg.data_uptr = c->b / 64 % 8 ? (uintptr_t)data : 0;
	o->result = iommufd(s, IOMMU_GET_HW_INFO, &arg);
	o->value[0] = o->result == 0 ? arg.out_capabilities & IOMMU_HW_CAP_DIRTY_TRACKING : 0;
	o->value[1] = o->result == 0 ? arg.out_max_pasid_log2 : 0;
}

/* address spaces */

static void ioas_alloc(struct subject *s, const struct call *c, struct outcome *o)
{
	struct iommu_ioas_alloc arg = { .size = sized(sizeof(arg), c->b), .flags = c->b % 32 == 1 };

	o->result = iommufd(s, IOMMU_IOAS_ALLOC, &arg);
	keep(s, c->a, arg.out_ioas_id, o);
}

static void destroy(struct subject *s, const struct call *c, struct outcome *o)
{
	struct iommu_destroy arg = { .size = sizeof(arg), .id = pick(s, c->a) };

	o->result = iommufd(s, IOMMU_DESTROY, &arg);
}

static void ranges(struct subject *s, const struct call *c, struct outcome *o)
{
	struct iommu_iova_range list[4] = { { 0, 0 } };
	struct iommu_ioas_iova_ranges arg = { .size = sizeof(arg), .ioas_id = pick(s, c->a), .num_iovas = c->b % 5 };

	arg.allowed_iovas = (uintptr_t)list;
	o->result = iommufd(s, IOMMU_IOAS_IOVA_RANGES, &arg);
	o->value[0] = arg.num_iovas;
	o->value[1] = arg.out_iova_alignment;
	o->value[2] = hash_of(list, sizeof(list));
}

static uint32_t map_flags(uint32_t draw)
{
	return IOMMU_IOAS_MAP_READABLE | (draw % 8 ? IOMMU_IOAS_MAP_FIXED_IOVA : 0) |
	       (draw / 8 % 2 ? IOMMU_IOAS_MAP_WRITEABLE : 0) | (draw / 16 % 32 == 0 ? 8 : 0);
}

static void map(struct subject *s, const struct call *c, struct outcome *o)
{
	struct iommu_ioas_map arg = {
		.size = sized(sizeof(arg), c->a),
		.flags = map_flags(c->b),
		.ioas_id = pick(s, c->a),
		.user_va = some_address(c->b / 512),
		.length = some_length(c->a / 128),
		.iova = some_iova(c->a / 8192),
	};

	o->result = iommufd(s, IOMMU_IOAS_MAP, &arg);
	o->value[0] = o->result == 0 ? arg.iova : 0;
}

static void map_file(struct subject *s, const struct call *c, struct outcome *o)
{
	struct iommu_ioas_map_file arg = {
		.size = sized(sizeof(arg), c->a),
		.flags = map_flags(c->b),
		.ioas_id = pick(s, c->a),
		.fd = some_file(c->b / 512),
		.start = some_start(c->b / 4096),
		.length = some_length(c->a / 128),
		.iova = some_iova(c->a / 8192),
	};

	o->result = iommufd(s, IOMMU_IOAS_MAP_FILE, &arg);
	o->value[0] = o->result == 0 ? arg.iova : 0;
}

static void unmap(struct subject *s, const struct call *c, struct outcome *o)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg),
		.ioas_id = pick(s, c->a),
		.iova = some_iova(c->b),
		.length = some_length(c->a / 128),
	};

	if (c->b / 1024 % 8 == 0) { /* everything */
		arg.iova = 0;
		arg.length = UINT64_MAX;
	}
	o->result = iommufd(s, IOMMU_IOAS_UNMAP, &arg);
	o->value[0] = o->result == 0 ? arg.length : 0;
}

static void copy(struct subject *s, const struct call *c, struct outcome *o)
{
	struct iommu_ioas_copy arg = {
		.size = sizeof(arg),
		.flags = map_flags(c->b),
		.dst_ioas_id = pick(s, c->a),
		.src_ioas_id = pick(s, c->a / 128),
		.length = some_length(c->b / 512),
		.dst_iova = some_iova(c->a / 16384),
		.src_iova = some_iova(c->b / 32768),
	};

	o->result = iommufd(s, IOMMU_IOAS_COPY, &arg);
	o->value[0] = o->result == 0 ? arg.dst_iova : 0;
}

static void allow(struct subject *s, const struct call *c, struct outcome *o)
{
	struct iommu_iova_range list[2] = { { some_iova(c->b), 0 }, { UINT64_C(1) << 33, UINT64_C(1) << 34 } };
	struct iommu_ioas_allow_iovas arg = { .size = sizeof(arg),
					      .ioas_id = pick(s, c->a),
					      .num_iovas = c->b / 256 % 3 };

	list[0].last = list[0].start + some_length(c->a / 128) - (c->b / 1024 % 2);
	arg.allowed_iovas = (uintptr_t)list;
	o->result = iommufd(s, IOMMU_IOAS_ALLOW_IOVAS, &arg);
}

static void option(struct subject *s, const struct call *c, struct outcome *o)
{
	struct iommu_option arg = {
		.size = sizeof(arg),
		.option_id = c->b % 16 ? c->b / 16 % 2 : 2,
		.op = (uint16_t)(c->b / 32 % 3),
		.object_id = c->b / 16 % 2 ? pick(s, c->a) : c->b / 96 % 8 == 0,
		.val64 = c->b / 768 % 3,
	};

	o->result = iommufd(s, IOMMU_OPTION, &arg);
	o->value[0] = o->result == 0 ? arg.val64 : 0;
}

static void change_process(struct subject *s, const struct call *c, struct outcome *o)
{
	struct iommu_ioas_change_process arg = { .size = sizeof(arg), .reserved = c->b % 4 == 0 };

	o->result = iommufd(s, IOMMU_IOAS_CHANGE_PROCESS, &arg);
}

/* page tables */

static void hwpt_alloc(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t flags[] = { 0, 0, 0, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, 1, IOMMU_HWPT_ALLOC_PASID, 0, 64 };
	struct iommu_hwpt_alloc arg = {
		.size = sizeof(arg),
		.flags = flags[c->b % 8],
		.dev_id = pick(s, c->a),
		.pt_id = pick(s, c->a / 128),
		.data_type = c->b / 8 % 16 == 0 ? 1 : IOMMU_HWPT_DATA_NONE,
		.data_len = c->b / 128 % 16 == 0 ? 8 : 0,
	};

	o->result = iommufd(s, IOMMU_HWPT_ALLOC, &arg);
	keep(s, c->b / 2048, arg.out_hwpt_id, o);
}

/* A page table that tracks, a device attached to it and a map: by chance alone there would be few. */
static void tracked(struct subject *s, const struct call *c, struct outcome *o)
{
	struct iommu_hwpt_set_dirty_tracking start = { .size = sizeof(start),
						       .flags = IOMMU_HWPT_DIRTY_TRACKING_ENABLE };
	struct iommu_hwpt_alloc alloc = { .size = sizeof(alloc), .flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING };
	struct iommu_ioas_map one = {
		.size = sizeof(one),
		.flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_FIXED_IOVA,
		.user_va = file_memory(0),
		.length = (1 + c->b / 16 % 16) * 4096,
		.iova = c->b / 256 % 8 * 4096,
	};

	ready(s, c, o);
	alloc.dev_id = s->ids[c->a % 2];
	alloc.pt_id = one.ioas_id = s->ids[2 + c->a / 2 % 2];
	o->result = iommufd(s, IOMMU_HWPT_ALLOC, &alloc);
	keep(s, 4 + c->a / 4 % 2, alloc.out_hwpt_id, o);
	if (o->result)
		return;
	attach_to(s, SLOT_CDEV_A + c->a % 2, alloc.out_hwpt_id, o);
	start.hwpt_id = alloc.out_hwpt_id;
	if (c->b / 4 % 4)
		o->result = iommufd(s, IOMMU_HWPT_SET_DIRTY_TRACKING, &start);
	o->value[2] = (uint64_t)(int64_t)iommufd(s, IOMMU_IOAS_MAP, &one);
}

/* That one mostly. */
static uint32_t tracker(const struct subject *s, uint32_t draw)
{
	return draw % 4 ? s->ids[4 + draw / 4 % 2] : pick(s, draw / 4);
}

static void tracking(struct subject *s, const struct call *c, struct outcome *o)
{
	struct iommu_hwpt_set_dirty_tracking arg = { .size = sized(sizeof(arg), c->b / 4),
						     .flags = c->b % 4,
						     .hwpt_id = tracker(s, c->a) };

	o->result = iommufd(s, IOMMU_HWPT_SET_DIRTY_TRACKING, &arg);
}

/* As much as there may be mapped together, or a part of it. */
static void bitmap(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint64_t sizes[] = { 8192, 2048, 0, 3000, 1u << 21, UINT64_C(1) << 63, 1, 65536 };
	static uint64_t bits[8192]; /* of pages of one byte, even */
	struct iommu_hwpt_get_dirty_bitmap arg = {
		.size = sized(sizeof(arg), c->b / 64),
		.hwpt_id = tracker(s, c->a),
		.flags = c->b % 8 < 6 ? c->b % 2 : c->b % 4,
		.reserved = c->b / 8 % 32 == 0,
		.iova = c->a / 128 % 2 ? some_iova(c->b / 256) : 0,
		.length = c->a / 128 % 2 ? some_length(c->a / 1024) : 64 * 4096,
		.page_size = c->a / 256 % 8 ? 4096 : sizes[c->a / 2048 % 8],
		.data = (uintptr_t)bits,
	};

	/* Something to be told, and what is left of it. */
	dma_write(s, 0, s->slots[SLOT_CDEV_A], c->a / 65536 % 16 * 4096, 4096);
	dma_write(s, 1, s->slots[SLOT_CDEV_B], c->a / 1048576 % 16 * 4096, 2 * 4096);
	memset(bits, c->a / 16384 % 4 ? 0 : 0xff, sizeof(bits));
	o->result = iommufd(s, IOMMU_HWPT_GET_DIRTY_BITMAP, &arg);
	o->value[0] = bits[0];
	o->value[1] = hash_of(bits, sizeof(bits));
	memset(bits, 0, sizeof(bits));
	(void)!iommufd(s, IOMMU_HWPT_GET_DIRTY_BITMAP, &arg);
	o->value[2] = bits[0];
}

/* By a device that the sequence may have attached anywhere, or nowhere. */
static void write_one(struct subject *s, const struct call *c, struct outcome *o)
{
	const uint32_t which = c->a % 2, at = c->a / 2 % (24 * 4096);

	(void)o;
	dma_write(s, which, s->slots[SLOT_CDEV_A + which], at, 1 + c->b % (3 * 4096));
}

/* the container it can be */

static void vfio_ioas(struct subject *s, const struct call *c, struct outcome *o)
{
	struct iommu_vfio_ioas arg = { .size = sizeof(arg), .ioas_id = pick(s, c->a), .op = (uint16_t)(c->b % 4) };

	if (c->b / 4 % 16 == 0)
		arg.reserved = 1;
	o->result = iommufd(s, IOMMU_VFIO_IOAS, &arg);
	o->value[0] = o->result == 0 && arg.op == IOMMU_VFIO_IOAS_GET ? arg.ioas_id : 0;
}

static void group(struct subject *s, const struct call *c, struct outcome *o)
{
	int32_t fd = s->slots[SLOT_SPACE_A];

	(void)c;
	o->value[0] = (uint64_t)(int64_t)file_open_group(s, 0);
	o->result = file_ioctl(s, SLOT_GROUP_A, VFIO_GROUP_SET_CONTAINER, &fd);
}

static void group_device(struct subject *s, const struct call *c, struct outcome *o)
{
	char name[sizeof(s->found[0].identity.name)];
	int fd;

	(void)c;
	memcpy(name, s->found[0].identity.name, sizeof(name));
	if (s->slots[SLOT_DEVICE_A] >= 0)
		return;
	fd = file_ioctl(s, SLOT_GROUP_A, VFIO_GROUP_GET_DEVICE_FD, name);
	s->slots[SLOT_DEVICE_A] = fd < 0 ? -1 : fd;
	o->result = fd < 0 ? fd : 0;
	o->has_fd = fd >= 0;
}

static void unknown(struct subject *s, const struct call *c, struct outcome *o)
{
	uint32_t room[16] = { sizeof(room) };

	o->result = iommufd(s, IOMMU_IOCTL(0x40 + c->a % 8), room);
}

static const struct move moves[] = {
	{ "ready", 12, ready },
	{ "open-cdev", 3, open_cdev },
	{ "close", 4, close_one },
	{ "attach", 8, attach },
	{ "detach", 4, detach },
	{ "hw-info", 4, hw_info },
	{ "ioas-alloc", 4, ioas_alloc },
	{ "destroy", 6, destroy },
	{ "ranges", 6, ranges },
	{ "map", 18, map },
	{ "map-file", 9, map_file },
	{ "unmap", 10, unmap },
	{ "copy", 8, copy },
	{ "allow", 3, allow },
	{ "option", 6, option },
	{ "change-process", 1, change_process },
	{ "hwpt-alloc", 8, hwpt_alloc },
	{ "tracked", 12, tracked },
	{ "tracking", 5, tracking },
	{ "bitmap", 14, bitmap },
	{ "write", 14, write_one },
	{ "vfio-ioas", 3, vfio_ioas },
	{ "group", 2, group },
	{ "group-device", 2, group_device },
	{ "unknown", 1, unknown },
};

const struct world world_iommufd = {
	.name = "iommufd",
	.moves = moves,
	.count = VFMI_ARRAY_SIZE(moves),
};
