// SPDX-License-Identifier: MIT
/* Operations of address spaces: the ways to one, what is mapped in it, and that its books tell the truth afterwards. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sweep.h"

#define AREAS 3u
#define LENGTH (2 * PAGE)

static uint8_t memory[AREAS * LENGTH] __attribute__((aligned(65536)));

static uint64_t iova_of(size_t i)
{
	return 0x100000 * (i + 1);
}

static int map_area(struct bench *b, struct vfm_iommu *iommu, size_t i, uint32_t flags, int fd)
{
	VFM_OPTS(vfm_map, map);

	map.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED | flags;
	map.vaddr = flags & VFM_MAP_FILE ? NULL : memory + i * LENGTH;
	map.length = LENGTH;
	map.iova = iova_of(i);
	map.fd = fd;
	map.fd_offset = flags & VFM_MAP_FILE ? i * LENGTH : 0;
	return vfm_iommu_map(iommu, &map, &b->err);
}

static int unmap_area(struct bench *b, struct vfm_iommu *iommu, size_t i)
{
	return vfm_iommu_unmap(iommu, iova_of(i), LENGTH, &b->err);
}

/*
 * What the books count as mapped is there or was marked unknown: either can be unmapped once nothing fails any more.
 * And what they do not count is not there.
 */
static void check_books(struct bench *b, struct vfm_iommu *iommu)
{
	struct vfm_sim_usage use = { .size = sizeof(use) };
	VFM_OPTS(vfm_iommu_info, info);
	uint64_t counted = 0;

	if (sweep_quiet(b) || vfm_iommu_info(iommu, &info, NULL))
		return sweep_wrong(b, "the address space does not answer");
	for (size_t i = 0; i < AREAS; i++) {
		VFM_OPTS(vfm_error, err);
		int r = vfm_iommu_unmap(iommu, iova_of(i), LENGTH, &err);

		if (r == 0)
			counted++;
		else if (r != -ENOENT || !strstr(err.message, "was mapped here"))
			return sweep_wrong(b, err.message);
	}
	if (info.areas != counted || info.mapped_bytes != counted * LENGTH)
		return sweep_wrong(b, "the books count other areas than they have");
	vfm_sim_usage(b->sim, &use);
	if (use.maps && !b->after)
		sweep_wrong(b, "areas are mapped that the books do not have");
}

/* @r of the operation, told in b->err, stays what is told. */
static int end_with_books(struct bench *b, struct vfm_iommu *iommu, int r)
{
	check_books(b, iommu);
	return r;
}

static int map_all(struct bench *b, struct vfm_iommu *iommu, uint32_t flags, int fd)
{
	int r = 0;

	for (size_t i = 0; i < AREAS && r == 0; i++)
		r = map_area(b, iommu, i, flags, fd);
	return r;
}

static int unmap_all(struct bench *b, struct vfm_iommu *iommu)
{
	int r = 0;

	for (size_t i = 0; i < AREAS && r == 0; i++)
		r = unmap_area(b, iommu, i);
	return r;
}

static int map_and_unmap(struct bench *b, struct vfm_iommu *iommu, uint32_t flags, int fd)
{
	int r = map_all(b, iommu, flags, fd);

	if (r == 0)
		r = unmap_all(b, iommu);
	return end_with_books(b, iommu, r);
}

/* into the space that is open */

static int op_map(struct bench *b)
{
	return map_and_unmap(b, b->iommu, 0, -1);
}

static int op_map_file(struct bench *b)
{
	int fd = memfd_create("sweep", MFD_CLOEXEC);
	int r = ftruncate(fd, AREAS * LENGTH);

	r = r ? -errno : map_and_unmap(b, b->iommu, VFM_MAP_FILE, fd);
	close(fd);
	return r;
}

/* Not pinned as files are: mapped here. */
static int op_map_other_file(struct bench *b)
{
	int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	int r = fd < 0 ? -errno : map_and_unmap(b, b->iommu, VFM_MAP_FILE, fd);

	close(fd);
	return r;
}

/* Places of the library's, below 4 GiB. */
static int op_map_low(struct bench *b)
{
	VFM_OPTS(vfm_map, map);
	int r;

	map.flags = VFM_MAP_READ | VFM_MAP_LOW;
	map.vaddr = memory;
	map.length = LENGTH;
	r = vfm_iommu_map(b->iommu, &map, &b->err);
	if (r == 0)
		r = vfm_iommu_unmap(b->iommu, map.iova, map.length, &b->err);
	if (r == 0)
		return 0;
	/* what may still be there can be taken back, and what the books do not know is nobody's */
	if (sweep_quiet(b) || (map.iova && vfm_iommu_unmap(b->iommu, map.iova, map.length, NULL) &&
			       vfm_iommu_unmap(b->iommu, map.iova, map.length, NULL) != -ENOENT))
		sweep_wrong(b, "it cannot be unmapped any more");
	return r;
}

static int prepare_maps(struct bench *b)
{
	return map_all(b, b->iommu, 0, -1);
}

static int op_unmap(struct bench *b)
{
	return end_with_books(b, b->iommu, unmap_all(b, b->iommu));
}

/* All addresses go and come again; the areas are mapped all the time. */
static int op_vaddr(struct bench *b)
{
	int r = vfm_iommu_vaddr_invalidate(b->iommu, &b->err);

	for (size_t i = 0; i < AREAS && r == 0; i++)
		r = vfm_iommu_vaddr_set(b->iommu, iova_of(i), LENGTH, memory + i * LENGTH, &b->err);
	return end_with_books(b, b->iommu, r);
}

static int op_preflight(struct bench *b)
{
	VFM_OPTS(vfm_limits, limits);
	struct vfm_iova_range ranges[8];
	VFM_OPTS(vfm_iommu_info, info);
	size_t count;
	int r = vfm_iommu_preflight(b->iommu, LENGTH, 1, &limits, &b->err);

	if (r == 0)
		r = vfm_iommu_info(b->iommu, &info, &b->err);
	if (r == 0)
		r = vfm_iommu_ranges(b->iommu, ranges, 8, &count, NULL, &b->err);
	if (r == 0 && vfm_iommu_backend(b->iommu) == VFM_BACKEND_IOMMUFD)
		r = vfm_iommu_allow(b->iommu, ranges, count, &b->err);
	return r;
}

static int op_change_process(struct bench *b)
{
	return end_with_books(b, b->iommu, vfm_iommu_change_process(b->iommu, &b->err));
}

static int prepare_files(struct bench *b)
{
	int fd = memfd_create("sweep", MFD_CLOEXEC);
	int r = ftruncate(fd, AREAS * LENGTH);

	r = r ? -errno : map_all(b, b->iommu, VFM_MAP_FILE, fd);
	close(fd);
	return r;
}

/* ways to a space */

/* Two devices in one address space of the operation's kind, with maps from before the second. */
static int op_space(struct bench *b)
{
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_device *first = NULL, *second = NULL;
	struct vfm_iommu *iommu;
	int r;

	options.backend = b->op->backend;
	options.flags = b->op->flags;
	r = vfm_iommu_open(b->ctx, &options, &iommu, &b->err);
	if (r)
		return r;
	r = vfm_device_open_attached(b->ctx, b->op->names[0], iommu, &first, &b->err);
	if (r == 0)
		r = map_all(b, iommu, 0, -1);
	if (r == 0)
		r = vfm_device_open_attached(b->ctx, b->op->names[1], iommu, &second, &b->err);
	if (r == 0)
		r = unmap_all(b, iommu);
	if (first)
		check_books(b, iommu);
	vfm_device_close(second);
	vfm_device_close(first);
	vfm_iommu_close(iommu);
	return r;
}

/* Another one in the same iommufd, which has neither of its objects left behind. */
static int op_beside(struct bench *b)
{
	struct vfm_iommu *other;
	int r = vfm_iommu_open_beside(b->iommu, VFM_IOMMU_SMALL_PAGES, &other, &b->err);

	if (r)
		return r;
	r = map_all(b, other, 0, -1);
	vfm_iommu_close(other);
	return r;
}

/* Page tables: both devices come, one goes and comes back, and each is counted where it is. */
static int op_hwpt(struct bench *b)
{
	VFM_OPTS(vfm_hwpt, hwpt);
	uint32_t devices = 0;
	int r = vfm_device_detach(b->target, &b->err);

	if (r == 0)
		r = vfm_device_attach(b->target, &b->err);
	for (uint32_t i = 0; vfm_iommu_hwpt(b->iommu, i, &hwpt) == 0; i++)
		devices += hwpt.devices;
	if (devices != (r ? 1 + (vfm_device_pt_id(b->target) != 0) : 2))
		sweep_wrong(b, "devices are counted that are not attached");
	return r;
}

static uint32_t devices_of(struct vfm_iommu *iommu)
{
	VFM_OPTS(vfm_hwpt, hwpt);
	uint32_t devices = 0;

	for (uint32_t i = 0; vfm_iommu_hwpt(iommu, i, &hwpt) == 0; i++)
		devices += hwpt.devices;
	return devices;
}

/* There and back again: each address space counts who is in it, and the one that was left can go. */
static int op_move(struct bench *b)
{
	struct vfm_iommu *other;
	bool away;
	int r = vfm_iommu_open_beside(b->iommu, VFM_IOMMU_DIRTY_TRACKING, &other, &b->err);

	if (r)
		return r;
	r = vfm_device_attach_to(b->target, other, &b->err);
	if ((vfm_device_iommu(b->target) == other) != (r == 0))
		sweep_wrong(b, "it is said to be where it is not");
	if (r == 0)
		r = vfm_device_attach_to(b->target, b->iommu, &b->err);
	away = vfm_device_iommu(b->target) == other;
	if (devices_of(other) != away || devices_of(b->iommu) != 2u - away)
		sweep_wrong(b, "devices are counted where they are not");
	if (sweep_quiet(b) || vfm_device_attach_to(b->target, b->iommu, NULL)) {
		sweep_wrong(b, "it cannot come back");
		vfm_device_close(b->target);
		b->target = NULL;
	}
	vfm_iommu_close(other);
	return r;
}

/* A container that lost its last device is as new: the next one gives it its IOMMU again. */
static int op_again(struct bench *b)
{
	struct vfm_device *dev = NULL;
	int r = 0;

	vfm_device_close(b->target);
	vfm_device_close(b->source);
	b->source = b->target = NULL;
	r = vfm_device_open_attached(b->ctx, SOURCE, b->iommu, &dev, &b->err);
	if (r == 0)
		r = map_all(b, b->iommu, 0, -1);
	if (sweep_quiet(b))
		return r;
	vfm_device_close(dev);
	dev = NULL;
	if (vfm_device_open_attached(b->ctx, SOURCE, b->iommu, &dev, NULL))
		sweep_wrong(b, "no device comes into it any more");
	if (dev)
		check_books(b, b->iommu);
	vfm_device_close(dev);
	return r;
}

static int adopt_all(struct bench *b, struct vfm_iommu *iommu, struct vfm_device **ret_dev)
{
	VFM_OPTS(vfm_adopt, adopt);
	VFM_OPTS(vfm_map, map);
	int r;

	map.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED;
	map.vaddr = memory;
	map.length = LENGTH;
	map.iova = iova_of(0);
	r = vfm_iommu_adopt_map(iommu, &map, &b->err);
	if (r)
		return r;
	adopt.device_fd = vfm_device_fd(b->source);
	adopt.iommufd = vfm_iommu_fd(b->iommu);
	adopt.ioas_id = vfm_iommu_ioas_id(b->iommu);
	adopt.backend = vfm_iommu_backend(b->iommu);
	adopt.devid = vfm_device_id(b->source);
	adopt.pt_id = vfm_device_pt_id(b->source);
	return vfm_device_adopt(b->ctx, &adopt, ret_dev, &b->err);
}

/* A space, one of its maps and a device by another's hands, which keeps all it has. */
static int op_adopt(struct bench *b)
{
	VFM_OPTS(vfm_iommu_adopt, adopt);
	struct vfm_device *dev = NULL;
	struct vfm_iommu *iommu;
	uint32_t state;
	int r;

	adopt.backend = vfm_iommu_backend(b->iommu);
	adopt.fd = vfm_iommu_fd(b->iommu);
	adopt.ioas_id = adopt.backend == VFM_BACKEND_IOMMUFD ? vfm_iommu_ioas_id(b->iommu) : 0;
	r = vfm_iommu_adopt(b->ctx, &adopt, &iommu, &b->err);
	if (r)
		return r;
	r = adopt_all(b, iommu, &dev);
	if (r == 0)
		r = vfm_device_get_state(dev, &state, &b->err);
	vfm_device_close(dev);
	vfm_iommu_close(iommu);
	return end_with_books(b, b->iommu, r);
}

#define EDUS "edu@" SOURCE ",state=64k;edu@" TARGET ",state=64k"
#define TWO_IN_GROUP "edu@" SOURCE ",state=64k,group=100;edu@" TARGET ",state=64k,group=100"
#define TRACKED "edu@" SOURCE ",state=64k,dirty=1;edu@" TARGET ",state=64k,dirty=1"
#define NAMES .names = { SOURCE, TARGET }
#define OPEN .devices = true, .small = true, .both = true

static const struct operation list[] = {
	{ "map", op_map, OPEN },
	{ "map-container", op_map, .backend = VFM_BACKEND_TYPE1V2, OPEN },
	{ "map-compat", op_map, .backend = VFM_BACKEND_COMPAT_TYPE1, OPEN },
	{ "map-low", op_map_low, .backend = VFM_BACKEND_TYPE1V2, OPEN },
	{ "map-file", op_map_file, .spec = "kernel=6.13;" EDUS, OPEN },
	{ "map-file-other", op_map_other_file, .spec = "kernel=6.13;" EDUS, OPEN },
	{ "map-file-here", op_map_file, OPEN },
	{ "map-file-container", op_map_file, .backend = VFM_BACKEND_TYPE1, OPEN },
	{ "unmap", op_unmap, prepare_maps, OPEN },
	{ "unmap-container", op_unmap, prepare_maps, .backend = VFM_BACKEND_TYPE1V2, OPEN },
	{ "unmap-compat", op_unmap, prepare_maps, .backend = VFM_BACKEND_COMPAT_TYPE1V2, OPEN },
	{ "vaddr", op_vaddr, prepare_maps, .backend = VFM_BACKEND_TYPE1V2, OPEN },
	{ "preflight", op_preflight, OPEN },
	{ "preflight-container", op_preflight, .backend = VFM_BACKEND_TYPE1V2, OPEN },
	{ "change-process", op_change_process, prepare_files, .spec = "kernel=6.14;" EDUS, OPEN },
	{ "space-beside", op_beside, OPEN },
	{ "space-iommufd", op_space, .backend = VFM_BACKEND_IOMMUFD, NAMES },
	{ "space-flags", op_space, .backend = VFM_BACKEND_IOMMUFD,
	  .flags = VFM_IOMMU_DIRTY_TRACKING | VFM_IOMMU_SMALL_PAGES | VFM_IOMMU_ACCOUNT_PROCESS, .spec = TRACKED,
	  NAMES },
	{ "space-type1", op_space, .backend = VFM_BACKEND_TYPE1, NAMES },
	{ "space-type1v2", op_space, .backend = VFM_BACKEND_TYPE1V2, NAMES },
	{ "space-compat-type1", op_space, .backend = VFM_BACKEND_COMPAT_TYPE1, NAMES },
	{ "space-compat-type1v2", op_space, .backend = VFM_BACKEND_COMPAT_TYPE1V2, NAMES },
	{ "space-fallback", op_space, .spec = "kernel=6.1;" EDUS, NAMES },
	{ "space-group", op_space, .backend = VFM_BACKEND_TYPE1V2, .spec = TWO_IN_GROUP, NAMES },
	{ "hwpt", op_hwpt, .spec = TRACKED, .flags = VFM_IOMMU_DIRTY_TRACKING, OPEN },
	{ "move", op_move, .spec = TRACKED, .flags = VFM_IOMMU_DIRTY_TRACKING, OPEN },
	{ "adopt", op_adopt, prepare_maps, OPEN },
	{ "adopt-container", op_adopt, prepare_maps, .backend = VFM_BACKEND_TYPE1V2, OPEN },
	{ "container-again", op_again, .backend = VFM_BACKEND_TYPE1V2, OPEN },
};

const struct operations ops_iommu = { "iommu", OPERATIONS(list) };
