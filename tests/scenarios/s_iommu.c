// SPDX-License-Identifier: MIT
/* Scenarios: back ends, address spaces shared by devices, kinds of memory, adoption, limits. */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "scenario.h"

#define PAGE (env->page)

/* the five modes */

static int mode_does_dma(struct env *env, uint32_t backend)
{
	struct vfm_iommu_info info = { .size = sizeof(info) };
	uint8_t *memory = env_memory(env, 4 * PAGE);
	struct vfm_iommu *iommu;
	struct vfm_device *dev;

	REQUIRE(memory);
	if (env_space(env, backend, &iommu))
		return -1;
	if (backend != VFM_BACKEND_IOMMUFD)
		REQUIRE_RESULT(env_map(env, iommu, memory, PAGE, PAGE), -EAGAIN);
	if (env_add(env, iommu, EDU_A, &dev))
		return -1;
	REQUIRE((vfm_device_group_fd(dev) >= 0) == (backend != VFM_BACKEND_IOMMUFD));
	OK(env_map(env, iommu, memory, 4 * PAGE, 0x10000));
	OK(vfm_iommu_info(iommu, &info, &env->err));
	REQUIRE(info.backend == backend && info.areas == 1 && info.mapped_bytes == 4 * PAGE && !info.fallback[0]);
	REQUIRE(info.page_sizes & PAGE);
	if (edu_copy(env, dev, memory, 0x10000, memory + 2 * PAGE, 0x10000 + 2 * PAGE, 3))
		return -1;
	OK(vfm_iommu_unmap(iommu, 0x10000, 4 * PAGE, &env->err));
	OK(vfm_iommu_info(iommu, &info, &env->err));
	REQUIRE(info.areas == 0 && info.mapped_bytes == 0);
	/* what is not mapped any more is not reached: the memory stays as it is */
	memory[2 * PAGE] = 0x5a;
	(void)edu_dma(env, dev, 0x10000 + 2 * PAGE, 16, false, false);
	REQUIRE(memory[2 * PAGE] == 0x5a);
	return 0;
}

static int native_mode(struct env *env)
{
	return mode_does_dma(env, VFM_BACKEND_IOMMUFD);
}

static int type1_mode(struct env *env)
{
	return mode_does_dma(env, VFM_BACKEND_TYPE1);
}

static int type1v2_mode(struct env *env)
{
	return mode_does_dma(env, VFM_BACKEND_TYPE1V2);
}

static int compat_type1_mode(struct env *env)
{
	return mode_does_dma(env, VFM_BACKEND_COMPAT_TYPE1);
}

static int compat_type1v2_mode(struct env *env)
{
	return mode_does_dma(env, VFM_BACKEND_COMPAT_TYPE1V2);
}

static int best_is_native(struct env *env)
{
	struct vfm_iommu_info info = { .size = sizeof(info) };
	struct vfm_device *dev;

	if (env_open(env, EDU_A, &dev))
		return -1;
	OK(vfm_iommu_info(vfm_device_iommu(dev), &info, &env->err));
	REQUIRE(info.backend == VFM_BACKEND_IOMMUFD && !info.fallback[0]);
	REQUIRE(vfm_device_group_fd(dev) < 0 && vfm_device_pt_id(dev) > 0);
	return 0;
}

/* several devices */

static int two_share(struct env *env, uint32_t backend)
{
	uint8_t *memory = env_memory(env, 4 * PAGE);
	struct vfm_device *a, *b;
	struct vfm_iommu *iommu;

	REQUIRE(memory);
	if (env_space(env, backend, &iommu) || env_add(env, iommu, EDU_A, &a))
		return -1;
	OK(env_map(env, iommu, memory, 4 * PAGE, 0x100000));
	if (env_add(env, iommu, EDU_B, &b))
		return -1;
	if (edu_copy(env, a, memory, 0x100000, memory + PAGE, 0x100000 + PAGE, 1) ||
	    edu_copy(env, b, memory + PAGE, 0x100000 + PAGE, memory + 2 * PAGE, 0x100000 + 2 * PAGE, 2))
		return -1;
	OK(vfm_iommu_unmap(iommu, 0x100000, 4 * PAGE, &env->err));
	return 0;
}

static int two_share_native(struct env *env)
{
	return two_share(env, VFM_BACKEND_IOMMUFD);
}

static int two_share_type1v2(struct env *env)
{
	return two_share(env, VFM_BACKEND_TYPE1V2);
}

static int two_share_compat(struct env *env)
{
	return two_share(env, VFM_BACKEND_COMPAT_TYPE1V2);
}

/* A mediated device beside a physical one. */
static int mixed_share(struct env *env)
{
	uint8_t *memory = env_memory(env, 2 * PAGE);
	struct vfm_device *edu, *mtty;
	struct vfm_iommu *iommu;

	REQUIRE(memory);
	if (env_space(env, VFM_BACKEND_TYPE1V2, &iommu))
		return -1;
	OK(vfm_device_open_attached(env->ctx, env->names[MTTY_A], iommu, &mtty, &env->err));
	env->devs[env->opened] = mtty;
	env->iommus[0] = NULL;
	env->iommus[env->opened++] = iommu;
	if (env_add(env, iommu, EDU_A, &edu))
		return -1;
	OK(env_map(env, iommu, memory, 2 * PAGE, 0));
	if (edu_copy(env, edu, memory, 0, memory + PAGE, PAGE, 9))
		return -1;
	return mtty_send(env, mtty, "ok") || mtty_expect(env, mtty, "ok");
}

/* A container loses its IOMMU, and with it all maps, when its last device goes; the next one starts anew. */
static int container_starts_anew(struct env *env)
{
	struct vfm_iommu_info info = { .size = sizeof(info) };
	uint8_t *memory = env_memory(env, PAGE);
	struct vfm_device *dev;
	struct vfm_iommu *iommu;
	int r;

	REQUIRE(memory);
	if (env_space(env, VFM_BACKEND_TYPE1V2, &iommu))
		return -1;
	OK(vfm_device_open_attached(env->ctx, env->names[EDU_A], iommu, &dev, &env->err));
	r = env_map(env, iommu, memory, PAGE, PAGE);
	vfm_device_close(dev);
	OK(r);
	OK(vfm_iommu_info(iommu, &info, &env->err));
	REQUIRE(info.areas == 0);
	REQUIRE_RESULT(env_map(env, iommu, memory, PAGE, PAGE), -EAGAIN);
	if (env_add(env, iommu, EDU_A, &dev))
		return -1;
	OK(env_map(env, iommu, memory, PAGE, PAGE));
	return 0;
}

static int adopt_space(struct env *env, struct vfm_iommu *owner, struct vfm_iommu **ret)
{
	VFM_OPTS(vfm_iommu_adopt, from);

	from.backend = vfm_iommu_backend(owner);
	from.fd = vfm_iommu_fd(owner);
	from.ioas_id = vfm_iommu_ioas_id(owner);
	OK(vfm_iommu_adopt(env->ctx, &from, ret, &env->err));
	return 0;
}

static int guest_maps(struct env *env, struct vfm_iommu *guest, struct vfm_device *dev, uint8_t *memory)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };

	map.vaddr = memory;
	map.length = PAGE;
	map.iova = 0x20000;
	OK(vfm_iommu_adopt_map(guest, &map, &env->err));
	REQUIRE_RESULT(env_map(env, guest, memory, PAGE, 0x20000), -EEXIST);
	OK(env_map(env, guest, memory + PAGE, PAGE, 0x30000));
	return edu_copy(env, dev, memory, 0x20000, memory + PAGE, 0x30000, 4);
}

/* Who keeps a group in a container keeps its IOMMU, and all maps: those of the one who left too. */
static int container_is_kept(struct env *env)
{
	struct vfm_iommu_info info = { .size = sizeof(info) };
	uint8_t *memory = env_memory(env, 4 * PAGE);
	struct vfm_iommu *owner, *guest;
	struct vfm_device *a, *b;

	REQUIRE(memory && env->opened == 0);
	if (env_space(env, VFM_BACKEND_TYPE1V2, &owner))
		return -1;
	OK(vfm_device_open_attached(env->ctx, env->names[EDU_A], owner, &a, &env->err));
	env->devs[0] = a;
	if (adopt_space(env, owner, &guest))
		return -1;
	env->iommus[env->opened++] = guest;
	if (env_add(env, guest, EDU_B, &b))
		return -1;
	OK(env_map(env, owner, memory, PAGE, 0x10000));
	vfm_device_close(a);
	env->devs[0] = NULL;
	OK(vfm_iommu_info(owner, &info, &env->err));
	REQUIRE(info.areas == 1);
	OK(env_map(env, owner, memory + PAGE, PAGE, 0x20000));
	if (edu_copy(env, b, memory, 0x10000, memory + PAGE, 0x20000, 1))
		return -1;
	OK(vfm_device_open_attached(env->ctx, env->names[EDU_A], owner, &a, &env->err));
	vfm_device_close(a);
	OK(vfm_iommu_unmap(owner, 0x20000, PAGE, &env->err));
	OK(env_map(env, guest, memory + PAGE, PAGE, 0x20000));
	/* the owner ends, and nobody reaches its memory any more */
	env->iommus[0] = NULL;
	vfm_iommu_close(owner);
	OK(env_map(env, guest, memory + 2 * PAGE, PAGE, 0x10000));
	return edu_copy(env, b, memory + 2 * PAGE, 0x10000, memory + PAGE, 0x20000, 2);
}

static uint64_t highest(struct env *env, struct vfm_iommu *iommu)
{
	struct vfm_iova_range ranges[64];
	size_t count = 0;

	if (vfm_iommu_ranges(iommu, ranges, 64, &count, NULL, &env->err) || !count)
		return 0;
	return ranges[count - 1].last;
}

/* Page tables of the library's stay, and with them the reach of the IOMMU; the kernel's own go with their devices. */
static int aperture(struct env *env, uint32_t flags)
{
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_hwpt hwpt = { .size = sizeof(hwpt) };
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	uint64_t narrow, left;
	bool made;

	options.backend = VFM_BACKEND_IOMMUFD;
	options.flags = flags;
	OK(vfm_iommu_open(env->ctx, &options, &iommu, &env->err));
	env->iommus[env->opened++] = iommu;
	REQUIRE(highest(env, iommu) == UINT64_MAX);
	OK(vfm_device_open_attached(env->ctx, env->names[EDU_A], iommu, &dev, &env->err));
	narrow = highest(env, iommu);
	made = vfm_iommu_hwpt(iommu, 0, &hwpt) == 0;
	vfm_device_close(dev);
	left = highest(env, iommu);
	REQUIRE(narrow > 0 && narrow < UINT64_MAX);
	REQUIRE(!made || flags);
	REQUIRE(left == (made ? narrow : UINT64_MAX));
	return 0;
}

static int aperture_goes(struct env *env)
{
	return aperture(env, 0);
}

static int aperture_stays(struct env *env)
{
	return aperture(env, VFM_IOMMU_DIRTY_TRACKING);
}

static int dirty_tracking_wish(struct env *env)
{
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_iommu_info info = { .size = sizeof(info) };
	struct vfm_hwpt hwpt = { .size = sizeof(hwpt) };
	struct vfm_device *a, *b, *mtty;
	struct vfm_iommu *iommu;
	uint32_t count = 0;

	options.flags = VFM_IOMMU_DIRTY_TRACKING;
	OK(vfm_iommu_open(env->ctx, &options, &iommu, &env->err));
	env->iommus[env->opened++] = iommu;
	if (env_add(env, iommu, EDU_A, &a) || env_add(env, iommu, EDU_B, &b))
		return -1;
	OK(vfm_iommu_info(iommu, &info, &env->err));
	/* whether the IOMMU tracks is its own affair; what is told of it must agree */
	while (vfm_iommu_hwpt(iommu, count, &hwpt) == 0) {
		REQUIRE(hwpt.id && hwpt.devices);
		count++;
	}
	REQUIRE(count == info.hwpt_count);
	REQUIRE((info.flags & VFM_IOMMU_DIRTY_TRACKING) ? count > 0 : count == 0);
	/* one without an IOMMU of its own has no such page table */
	OK(vfm_device_open_attached(env->ctx, env->names[MTTY_A], iommu, &mtty, &env->err));
	OK(vfm_iommu_info(iommu, &info, &env->err));
	vfm_device_close(mtty);
	REQUIRE(!(info.flags & VFM_IOMMU_DIRTY_TRACKING) && info.hwpt_count == count);
	return 0;
}

/* ways that do not go together */

static int busy_by_the_other_path(struct env *env)
{
	struct vfm_device *dev, *second = NULL;
	struct vfm_iommu *native, *container;

	if (env_space(env, VFM_BACKEND_IOMMUFD, &native) || env_space(env, VFM_BACKEND_TYPE1V2, &container))
		return -1;
	OK(vfm_device_open_attached(env->ctx, env->names[EDU_A], native, &dev, &env->err));
	REQUIRE_RESULT(vfm_device_open_attached(env->ctx, env->names[EDU_A], container, &second, &env->err), -EBUSY);
	vfm_device_close(dev);
	OK(vfm_device_open_attached(env->ctx, env->names[EDU_A], container, &dev, &env->err));
	REQUIRE_RESULT(vfm_device_open_attached(env->ctx, env->names[EDU_A], native, &second, &env->err), -EBUSY);
	vfm_device_close(dev);
	REQUIRE(!second);
	return 0;
}

static int ways_are_told_apart(struct env *env)
{
	VFM_OPTS(vfm_open, open);
	struct vfm_iommu *native, *container;
	struct vfm_device *dev;

	if (env_space(env, VFM_BACKEND_IOMMUFD, &native) || env_space(env, VFM_BACKEND_TYPE1V2, &container))
		return -1;
	open.name = env->names[EDU_A];
	open.flags = VFM_OPEN_CDEV;
	OK(vfm_device_open_with(env->ctx, &open, &dev, &env->err));
	REQUIRE_RESULT(vfm_device_bind(dev, container, &env->err), -EOPNOTSUPP);
	vfm_device_close(dev);
	open.flags = VFM_OPEN_GROUP;
	OK(vfm_device_open_with(env->ctx, &open, &dev, &env->err));
	REQUIRE(vfm_device_fd(dev) < 0 && vfm_device_group_fd(dev) >= 0);
	REQUIRE_RESULT(vfm_device_bind(dev, native, &env->err), -EOPNOTSUPP);
	OK(vfm_device_bind(dev, container, &env->err));
	REQUIRE(vfm_device_fd(dev) >= 0);
	OK(vfm_device_attach(dev, &env->err));
	REQUIRE_RESULT(vfm_device_detach(dev, &env->err), -EOPNOTSUPP);
	vfm_device_close(dev);
	open.flags = VFM_OPEN_GROUP | VFM_OPEN_CDEV;
	REQUIRE_RESULT(vfm_device_open_with(env->ctx, &open, &dev, &env->err), -EINVAL);
	return 0;
}

/* memory */

static int file_is_reached(struct env *env, uint32_t backend)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FILE };
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	uint8_t *view;
	int r;

	if (env_space(env, backend, &iommu) || env_add(env, iommu, EDU_A, &dev))
		return -1;
	map.fd = (int)syscall(SYS_memfd_create, "guest", 0);
	map.fd_offset = PAGE;
	map.length = 2 * PAGE;
	REQUIRE(map.fd >= 0 && ftruncate(map.fd, 3 * (off_t)PAGE) == 0);
	r = vfm_iommu_map(iommu, &map, &env->err);
	view = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, map.fd, 0);
	close(map.fd); /* the area needs it no more */
	OK(r);
	REQUIRE(view != MAP_FAILED);
	r = edu_copy(env, dev, view + PAGE, map.iova, view + 2 * PAGE, map.iova + PAGE, 5);
	munmap(view, 3 * PAGE);
	if (r == 0)
		OK(vfm_iommu_unmap(iommu, map.iova, map.length, &env->err));
	return r;
}

static int file_native(struct env *env)
{
	return file_is_reached(env, VFM_BACKEND_IOMMUFD);
}

static int file_type1v2(struct env *env)
{
	return file_is_reached(env, VFM_BACKEND_TYPE1V2);
}

/* What the library places lies in the windows, below 4 GiB where that is wanted, and nothing overlaps. */
static int places_are_found(struct env *env, uint32_t backend)
{
	uint8_t *memory = env_memory(env, 8 * PAGE);
	struct vfm_iova_range windows[64];
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	uint64_t iovas[8];
	size_t count;

	REQUIRE(memory);
	if (env_space(env, backend, &iommu) || env_add(env, iommu, EDU_A, &dev))
		return -1;
	OK(vfm_iommu_ranges(iommu, windows, 64, &count, NULL, &env->err));
	for (size_t i = 0; i < 8; i++) {
		struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE };
		bool inside = false;

		map.vaddr = memory + i * PAGE;
		map.length = PAGE;
		map.flags |= i % 2 ? VFM_MAP_LOW : 0;
		OK(vfm_iommu_map(iommu, &map, &env->err));
		iovas[i] = map.iova;
		for (size_t k = 0; k < count; k++)
			inside |= windows[k].first <= map.iova && map.iova + PAGE - 1 <= windows[k].last;
		REQUIRE(inside && map.iova && (!(i % 2) || map.iova < 1ull << 32));
		for (size_t k = 0; k < i; k++)
			REQUIRE(iovas[k] != map.iova);
	}
	/* edu reaches 28 bits */
	REQUIRE(iovas[1] < 1ull << 28 && iovas[3] < 1ull << 28);
	return edu_copy(env, dev, memory + PAGE, iovas[1], memory + 3 * PAGE, iovas[3], 8);
}

static int places_type1v2(struct env *env)
{
	return places_are_found(env, VFM_BACKEND_TYPE1V2);
}

static int places_native(struct env *env)
{
	return places_are_found(env, VFM_BACKEND_IOMMUFD);
}

static int books_of_a_container(struct env *env)
{
	uint8_t *memory = env_memory(env, 4 * PAGE);
	struct vfm_iommu *iommu;
	struct vfm_device *dev;

	REQUIRE(memory);
	if (env_space(env, VFM_BACKEND_TYPE1V2, &iommu) || env_add(env, iommu, EDU_A, &dev))
		return -1;
	OK(env_map(env, iommu, memory, 2 * PAGE, 0x40000));
	REQUIRE_RESULT(env_map(env, iommu, memory, 2 * PAGE, 0x40000 + PAGE), -EEXIST);
	REQUIRE_RESULT(env_map(env, iommu, memory, PAGE, 0xfee00000), -EINVAL);
	REQUIRE_RESULT(vfm_iommu_unmap(iommu, 0x40000, PAGE, &env->err), -ENOENT);
	OK(vfm_iommu_unmap(iommu, 0x40000, 2 * PAGE, &env->err));
	REQUIRE_RESULT(vfm_iommu_unmap(iommu, 0x40000, 2 * PAGE, &env->err), -ENOENT);
	OK(env_map(env, iommu, memory, 2 * PAGE, 0x40000 + PAGE));
	return 0;
}

/* peers */

#define BAR_AT 0x8000000ull
#define BAR_BYTES (1ull << 20)
#define EDU_LIVE 4

static int map_bar(struct env *env, struct vfm_iommu *iommu, struct vfm_device *of)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };

	map.iova = BAR_AT;
	map.length = BAR_BYTES;
	return vfm_iommu_map_region(iommu, of, VFM_REGION_BAR0, 0, &map, &env->err);
}

/* A register that turns into the complement of what is written to it. */
static int send_live(struct env *env, struct vfm_device *from, struct vfm_device *to, uint8_t *memory, uint32_t value,
		     uint32_t want)
{
	uint32_t got;

	memcpy(memory, &value, sizeof(value));
	if (edu_dma(env, from, 0x100000, 4, true, false) || edu_dma(env, from, BAR_AT + EDU_LIVE, 4, false, false) ||
	    env_decode_memory(env, to, true) || edu_reg_read(env, to, EDU_LIVE, &got))
		return -1;
	REQUIRE(got == want);
	return 0;
}

/* Where the kernel has dma-bufs; what memory decode off takes away has to be mapped again. */
static int bar_of_another(struct env *env)
{
	uint8_t *memory = env_memory(env, PAGE);
	struct vfm_device *a, *b;
	struct vfm_iommu *iommu;
	int r;

	REQUIRE(memory);
	if (env_space(env, VFM_BACKEND_IOMMUFD, &iommu) || env_add(env, iommu, EDU_A, &a) ||
	    env_add(env, iommu, EDU_B, &b))
		return -1;
	OK(env_map(env, iommu, memory, PAGE, 0x100000));
	r = map_bar(env, iommu, b);
	if (r == -EOPNOTSUPP)
		return 0;
	OK(r);
	if (send_live(env, a, b, memory, 0x12345678, ~0x12345678u) || env_decode_memory(env, b, false) ||
	    send_live(env, a, b, memory, 1, ~0x12345678u) || send_live(env, a, b, memory, 2, ~0x12345678u))
		return -1;
	OK(vfm_iommu_unmap(iommu, BAR_AT, BAR_BYTES, &env->err));
	if (env_decode_memory(env, b, false))
		return -1;
	REQUIRE_RESULT(map_bar(env, iommu, b), -ENODEV);
	if (env_decode_memory(env, b, true))
		return -1;
	OK(map_bar(env, iommu, b));
	if (send_live(env, a, b, memory, 3, ~3u))
		return -1;
	OK(vfm_device_reset(b, &env->err));
	OK(vfm_device_bus_master(b, true, &env->err));
	if (send_live(env, a, b, memory, 4, 0))
		return -1;
	OK(vfm_iommu_unmap(iommu, BAR_AT, BAR_BYTES, &env->err));
	return 0;
}

/* adoption */

static int adopted_with_maps(struct env *env, uint32_t backend)
{
	uint8_t *memory = env_memory(env, 4 * PAGE);
	struct vfm_iommu *owner, *guest;
	struct vfm_device *dev;
	int r;

	REQUIRE(memory);
	if (env_space(env, backend, &owner) || env_add(env, owner, EDU_A, &dev))
		return -1;
	OK(env_map(env, owner, memory, PAGE, 0x20000));
	if (adopt_space(env, owner, &guest))
		return -1;
	r = guest_maps(env, guest, dev, memory);
	vfm_iommu_close(guest);
	if (r)
		return r;
	/* what the owner mapped is still there, what the guest did is not */
	OK(env_map(env, owner, memory + PAGE, PAGE, 0x30000));
	return edu_copy(env, dev, memory + PAGE, 0x30000, memory, 0x20000, 6);
}

static int adopted_native(struct env *env)
{
	return adopted_with_maps(env, VFM_BACKEND_IOMMUFD);
}

static int adopted_type1v2(struct env *env)
{
	return adopted_with_maps(env, VFM_BACKEND_TYPE1V2);
}

static int adopted_compat(struct env *env)
{
	return adopted_with_maps(env, VFM_BACKEND_COMPAT_TYPE1V2);
}

/* A device of a container, by its one line and nothing else. */
static int described_container(struct env *env)
{
	uint8_t *memory = env_memory(env, 2 * PAGE);
	char line[VFM_DESCRIPTION_MAX];
	struct vfm_iommu *iommu;
	struct vfm_device *dev, *other;
	int r;

	REQUIRE(memory);
	if (env_space(env, VFM_BACKEND_TYPE1V2, &iommu) || env_add(env, iommu, EDU_A, &dev))
		return -1;
	REQUIRE(vfm_device_describe(dev, line, sizeof(line)) > 0);
	REQUIRE(strstr(line, "backend=type1v2") && !strstr(line, "ioas="));
	OK(vfm_device_adopt_described(env->ctx, line, &other, &env->err));
	r = vfm_device_iommu(other) ? 0 : -1;
	if (r == 0)
		r = vfm_iommu_backend(vfm_device_iommu(other)) == VFM_BACKEND_TYPE1V2 ? 0 : -1;
	if (r == 0)
		r = env_map(env, vfm_device_iommu(other), memory, 2 * PAGE, 0);
	if (r == 0)
		r = edu_copy(env, other, memory, 0, memory + PAGE, PAGE, 7);
	vfm_device_close(other);
	return r || env_state(env, dev, VFM_STATE_RUNNING);
}

/* limits */

/* Both say no to the same. @iommu: of a machine that lets 8 pages be locked. */
static int locked_too_much(struct env *env, struct vfm_iommu *iommu, uint8_t *memory)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ, .vaddr = memory };
	struct vfm_limits limits = { .size = sizeof(limits) };

	map.length = 5 * PAGE;
	OK(vfm_iommu_map(iommu, &map, &env->err));
	OK(vfm_iommu_preflight(iommu, 3 * PAGE, 1, &limits, &env->err));
	REQUIRE(limits.memlock_limit == 8 * PAGE && limits.memlock_used >= 5 * PAGE);
	REQUIRE_RESULT(vfm_iommu_preflight(iommu, 4 * PAGE, 1, &limits, &env->err), -ENOMEM);
	REQUIRE(strstr(env->err.message, "RLIMIT_MEMLOCK"));
	map.length = 4 * PAGE;
	REQUIRE_RESULT(vfm_iommu_map(iommu, &map, &env->err), -ENOMEM);
	map.length = 3 * PAGE;
	OK(vfm_iommu_map(iommu, &map, &env->err));
	return 0;
}

/* Who has CAP_IPC_LOCK, as whoever opens devices for tests has it, meets no limit: a machine of its own, simulated. */
static int preflight_locked(struct env *env)
{
	struct env other = { .page = env->page, .err.size = sizeof(other.err) };
	uint8_t *memory = env_memory(env, 8 * PAGE);
	struct vfm_device *dev = NULL;
	struct vfm_iommu *iommu = NULL;
	char spec[64], message[128];
	int r;

	REQUIRE(memory);
	snprintf(spec, sizeof(spec), "memlock=%llu;edu@0000:01:00.0", 8ull * PAGE);
	REQUIRE(vfm_sim_open(NULL, spec, &other.sim, message, sizeof(message)) == 0);
	r = vfm_sim_context(other.sim, &other.ctx) || vfm_iommu_open(other.ctx, NULL, &iommu, &other.err) ||
	    vfm_device_open_attached(other.ctx, "0000:01:00.0", iommu, &dev, &other.err) ||
	    locked_too_much(&other, iommu, memory);
	vfm_device_close(dev);
	vfm_iommu_close(iommu);
	vfm_context_free(other.ctx);
	vfm_sim_close(other.sim);
	return r ? -1 : 0;
}

static int preflight(struct env *env)
{
	struct vfm_limits limits = { .size = sizeof(limits) };
	struct vfm_iommu *iommu;
	struct vfm_device *dev;

	if (env_space(env, VFM_BACKEND_TYPE1V2, &iommu) || env_add(env, iommu, EDU_A, &dev))
		return -1;
	OK(vfm_iommu_preflight(iommu, PAGE, 1, &limits, &env->err));
	REQUIRE(limits.memlock_needed == PAGE && limits.entries_needed == 1);
	REQUIRE(limits.entries_left > 0 && limits.entries_left < 1u << 20);
	REQUIRE_RESULT(vfm_iommu_preflight(iommu, PAGE, limits.entries_left + 1, &limits, &env->err), -ENOSPC);
	REQUIRE(strstr(env->err.message, "dma_entry_limit"));
	return env->sim ? preflight_locked(env) : 0;
}

/* A map that the kernel finds a place for, or with VFM_MAP_LOW the library. */
static int placed_at(struct env *env, struct vfm_iommu *iommu, void *memory, uint32_t flags, uint64_t *ret_iova)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | flags };

	map.vaddr = memory;
	map.length = PAGE;
	OK(vfm_iommu_map(iommu, &map, &env->err));
	*ret_iova = map.iova;
	return 0;
}

/* Interrupts have their addresses where every PC has them: no device of it can reach memory there. */
static int allowed_native(struct env *env)
{
	static const struct vfm_iova_range some = { 0x40000000, 0x4fffffff }, interrupts = { 0xfee00000, 0xfee00fff };
	uint8_t *memory = env_memory(env, 3 * PAGE);
	struct vfm_iommu *iommu, *other;
	struct vfm_device *dev;
	uint64_t iova;

	REQUIRE(memory);
	if (env_space(env, VFM_BACKEND_IOMMUFD, &iommu) || env_space(env, VFM_BACKEND_IOMMUFD, &other))
		return -1;
	OK(vfm_iommu_allow(iommu, &some, 1, &env->err));
	if (env_add(env, iommu, EDU_A, &dev) || placed_at(env, iommu, memory, 0, &iova))
		return -1;
	REQUIRE(iova >= some.first && iova <= some.last);
	REQUIRE_RESULT(vfm_iommu_allow(iommu, &interrupts, 1, &env->err), -EADDRINUSE);
	if (placed_at(env, iommu, memory + PAGE, 0, &iova))
		return -1;
	REQUIRE(iova >= some.first && iova <= some.last);
	if (placed_at(env, iommu, memory + 2 * PAGE, VFM_MAP_LOW, &iova))
		return -1;
	REQUIRE(iova >= some.first && iova <= some.last);
	OK(vfm_iommu_allow(iommu, NULL, 0, &env->err));
	OK(vfm_iommu_allow(other, &interrupts, 1, &env->err));
	REQUIRE_RESULT(vfm_device_open_attached(env->ctx, env->names[EDU_B], other, &dev, &env->err), -EADDRINUSE);
	REQUIRE(strstr(env->err.message, "allowed"));
	return 0;
}

const struct scenario iommu_scenarios[] = {
	{ "iommufd: map, DMA, unmap", native_mode },
	{ "type1: map, DMA, unmap", type1_mode },
	{ "type1v2: map, DMA, unmap", type1v2_mode },
	{ "compat-type1: map, DMA, unmap", compat_type1_mode },
	{ "compat-type1v2: map, DMA, unmap", compat_type1v2_mode },
	{ "the best back end is iommufd", best_is_native },
	{ "two devices in one IOAS", two_share_native },
	{ "two devices in one container", two_share_type1v2 },
	{ "two devices in one iommufd as container", two_share_compat },
	{ "a mediated device and a physical one in one container", mixed_share },
	{ "a container starts anew after its last device", container_starts_anew },
	{ "a container kept by a device of somebody else", container_is_kept },
	{ "the aperture goes with the last device", aperture_goes },
	{ "the aperture stays with a page table for dirty tracking", aperture_stays },
	{ "page tables with dirty tracking where there is any", dirty_tracking_wish },
	{ "a device busy through the other path", busy_by_the_other_path },
	{ "cdev and container do not go together", ways_are_told_apart },
	{ "a file in an IOAS", file_native },
	{ "a file in a container", file_type1v2 },
	{ "places in a container", places_type1v2 },
	{ "places in an IOAS", places_native },
	{ "allowed IOVAs of an IOAS", allowed_native },
	{ "overlap and unmapping twice in a container", books_of_a_container },
	{ "a BAR of one device for the DMA of another in an IOAS", bar_of_another },
	{ "an adopted IOAS with its maps", adopted_native },
	{ "an adopted container with its maps", adopted_type1v2 },
	{ "an adopted iommufd as container with its maps", adopted_compat },
	{ "a device of a container by its description", described_container },
	{ "preflight of entries and locked memory", preflight },
	{ NULL, NULL },
};
