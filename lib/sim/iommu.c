/* SPDX-License-Identifier: MIT */
/* iommufd: address spaces, maps, attachment, and the DMA that goes through them. */
#include <unistd.h>

#include "profile.h"
#include "uapi/iommufd.h"
#include "uapi/vfio.h"

#define PAGE 4096u
#define HUGE_ALIGN (1ull << 21)
#define MSI_FIRST 0xfee00000ull
#define MSI_LAST 0xfeefffffull
#define APERTURE_LAST ((1ull << 39) - 1)

/* ids */

static bool id_taken(const struct sim_machine *machine, uint32_t ctx, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < SIM_MAX_IOAS; i++)
		if (machine->ioas[i].id && machine->ioas[i].ctx == ctx &&
		    (machine->ioas[i].id == id || machine->ioas[i].hwpt == id))
			return true;
	for (i = 0; i < machine->devices; i++)
		if (machine->device[i].ctx == ctx + 1 && machine->device[i].devid == id)
			return true;
	return false;
}

uint32_t vfmi_sim_new_id(struct vfm_sim *sim, uint32_t ctx)
{
	uint32_t id = 1;

	while (id_taken(sim->machine, ctx, id))
		id++;
	return id;
}

static struct sim_ioas *ioas_of(struct vfm_sim *sim, uint32_t ctx, uint32_t id)
{
	struct sim_ioas *ioas = sim->machine->ioas;
	uint32_t i;

	for (i = 0; id && i < SIM_MAX_IOAS; i++)
		if (ioas[i].id == id && ioas[i].ctx == ctx)
			return &ioas[i];
	return NULL;
}

static uint32_t slot_of(const struct vfm_sim *sim, const struct sim_ioas *ioas)
{
	return (uint32_t)(ioas - sim->machine->ioas);
}

static int unknown_id(struct vfm_sim *sim, uint32_t id)
{
	vfmi_sim_strict(sim, "iommufd: there is no object %u of that kind", id);
	return -ENOENT;
}

static bool attached(const struct vfm_sim *sim, const struct sim_ioas *ioas, bool physical)
{
	uint32_t i;

	for (i = 0; i < sim->machine->devices; i++) {
		const struct sim_device *dev = &sim->machine->device[i];

		if (dev->ioas == slot_of(sim, ioas) + 1 && !(physical && vfmi_sim_quirk(dev, SIM_MDEV)))
			return true;
	}
	return false;
}

static uint64_t alignment(const struct vfm_sim *sim, const struct sim_ioas *ioas)
{
	return attached(sim, ioas, false) ? PAGE : 1;
}

/* maps */

static struct sim_map *map_next(struct vfm_sim *sim, uint32_t slot, uint64_t first, uint64_t last)
{
	struct sim_map *found = NULL;
	uint32_t i;

	for (i = 0; i < sim->machine->maps_used; i++) {
		struct sim_map *map = &sim->machine->maps[i];

		if (map->length && map->ioas == slot && map->iova <= last && map->iova + (map->length - 1) >= first &&
		    (!found || map->iova < found->iova))
			found = map;
	}
	return found;
}

static void map_free(struct vfm_sim *sim, struct sim_map *map)
{
	struct sim_machine *machine = sim->machine;

	__atomic_store_n(&map->length, 0, __ATOMIC_RELEASE);
	while (machine->maps_used && !machine->maps[machine->maps_used - 1].length)
		machine->maps_used--;
}

static bool reserved(uint64_t first, uint64_t last)
{
	return last > APERTURE_LAST || (first <= MSI_LAST && last >= MSI_FIRST);
}

/* Usable windows of an address space. */
static uint32_t windows(const struct vfm_sim *sim, const struct sim_ioas *ioas, struct iommu_iova_range out[2])
{
	if (!attached(sim, ioas, true)) {
		out[0] = (struct iommu_iova_range){ 0, UINT64_MAX };
		return 1;
	}
	out[0] = (struct iommu_iova_range){ 0, MSI_FIRST - 1 };
	out[1] = (struct iommu_iova_range){ MSI_LAST + 1, APERTURE_LAST };
	return 2;
}

static void drop_maps(struct vfm_sim *sim, uint32_t slot)
{
	struct sim_map *map;

	while ((map = map_next(sim, slot, 0, UINT64_MAX)))
		map_free(sim, map);
}

static void ioas_free(struct vfm_sim *sim, struct sim_ioas *ioas)
{
	drop_maps(sim, slot_of(sim, ioas));
	__atomic_store_n(&ioas->id, 0, __ATOMIC_RELEASE);
}

void vfmi_sim_iommu_close(struct vfm_sim *sim, uint32_t ctx)
{
	uint32_t i;

	for (i = 0; i < SIM_MAX_IOAS; i++)
		if (sim->machine->ioas[i].id && sim->machine->ioas[i].ctx == ctx)
			ioas_free(sim, &sim->machine->ioas[i]);
}

void vfmi_sim_iommu_repair(struct vfm_sim *sim)
{
	uint32_t i;

	for (i = 0; i < SIM_MAX_IOAS; i++)
		if (!attached(sim, &sim->machine->ioas[i], true))
			sim->machine->ioas[i].hwpt = 0;
}

/* attachment */

static bool memory_is_there(const struct vfm_sim *sim, const struct sim_map *map)
{
	return map->pid != (uint32_t)sim->pid ||
	       vfmi_sim_is_mapped(map->vaddr, map->length, map->flags & IOMMU_IOAS_MAP_WRITEABLE);
}

/* What is mapped already has to fit what a device asks for. */
static int attach_check(struct vfm_sim *sim, const struct sim_ioas *ioas, bool physical)
{
	uint32_t i;

	for (i = 0; i < sim->machine->maps_used; i++) {
		const struct sim_map *map = &sim->machine->maps[i];

		if (!map->length || map->ioas != slot_of(sim, ioas))
			continue;
		if (physical && reserved(map->iova, map->iova + (map->length - 1)))
			return -EADDRINUSE;
		if ((map->iova | map->length | map->vaddr) % PAGE)
			return -EADDRINUSE;
		if (physical && !attached(sim, ioas, true) && !memory_is_there(sim, map))
			return -EFAULT;
	}
	return 0;
}

void vfmi_sim_detach(struct vfm_sim *sim, struct sim_device *dev)
{
	struct sim_ioas *ioas;

	if (!dev->ioas)
		return;
	ioas = &sim->machine->ioas[dev->ioas - 1];
	dev->ioas = 0;
	if (!attached(sim, ioas, true))
		ioas->hwpt = 0; /* goes with its last device */
}

int vfmi_sim_attach(struct vfm_sim *sim, struct sim_device *dev, uint32_t *pt_id)
{
	bool physical = !vfmi_sim_quirk(dev, SIM_MDEV);
	struct sim_ioas *ioas = ioas_of(sim, dev->ctx - 1, *pt_id);
	uint32_t i;
	int r;

	for (i = 0; physical && !ioas && *pt_id && i < SIM_MAX_IOAS; i++)
		if (sim->machine->ioas[i].id && sim->machine->ioas[i].ctx == dev->ctx - 1 &&
		    sim->machine->ioas[i].hwpt == *pt_id)
			ioas = &sim->machine->ioas[i];
	if (!ioas && physical && id_taken(sim->machine, dev->ctx - 1, *pt_id))
		return -EINVAL;
	if (!ioas)
		return unknown_id(sim, *pt_id);
	if (dev->ioas != slot_of(sim, ioas) + 1) {
		r = attach_check(sim, ioas, physical);
		if (r)
			return r;
		vfmi_sim_detach(sim, dev);
		if (physical && !ioas->hwpt)
			ioas->hwpt = vfmi_sim_new_id(sim, dev->ctx - 1);
		dev->ioas = slot_of(sim, ioas) + 1;
	}
	if (physical)
		*pt_id = ioas->hwpt;
	return 0;
}

/* ioctls */

static int ioas_alloc(struct vfm_sim *sim, uint32_t ctx, struct iommu_ioas_alloc *cmd)
{
	uint32_t i;

	if (cmd->flags) {
		vfmi_sim_strict(sim, "IOMMU_IOAS_ALLOC with flags %#x", cmd->flags);
		return -EOPNOTSUPP;
	}
	for (i = 0; i < SIM_MAX_IOAS; i++)
		if (!sim->machine->ioas[i].id)
			break;
	if (i == SIM_MAX_IOAS)
		return -ENOMEM;
	cmd->out_ioas_id = vfmi_sim_new_id(sim, ctx);
	sim->machine->ioas[i] = (struct sim_ioas){ .ctx = ctx };
	__atomic_store_n(&sim->machine->ioas[i].id, cmd->out_ioas_id, __ATOMIC_RELEASE);
	return 0;
}

static int destroy(struct vfm_sim *sim, uint32_t ctx, const struct iommu_destroy *cmd)
{
	struct sim_ioas *ioas = ioas_of(sim, ctx, cmd->id);

	if (!ioas)
		return id_taken(sim->machine, ctx, cmd->id) ? -EBUSY : unknown_id(sim, cmd->id);
	if (attached(sim, ioas, false))
		return -EBUSY;
	ioas_free(sim, ioas);
	return 0;
}

static int iova_ranges(struct vfm_sim *sim, uint32_t ctx, struct iommu_ioas_iova_ranges *cmd)
{
	struct iommu_iova_range list[2], *out = (struct iommu_iova_range *)(uintptr_t)cmd->allowed_iovas;
	const struct sim_ioas *ioas;
	uint32_t room = cmd->num_iovas, n;

	if (cmd->reserved) {
		vfmi_sim_strict(sim, "IOMMU_IOAS_IOVA_RANGES with a reserved field set");
		return -EOPNOTSUPP;
	}
	ioas = ioas_of(sim, ctx, cmd->ioas_id);
	if (!ioas)
		return unknown_id(sim, cmd->ioas_id);
	n = windows(sim, ioas, list);
	if (room && !out)
		return -EFAULT;
	if (room)
		memcpy(out, list, sizeof(*out) * (size_t)vfmi_min_u64(room, n));
	cmd->num_iovas = n;
	cmd->out_iova_alignment = alignment(sim, ioas);
	return n > room ? -EMSGSIZE : 0;
}

static uint64_t round_up_pow2(uint64_t value)
{
	return value <= 1 ? 1 : 1ull << (64 - __builtin_clzll(value - 1));
}

/* Lowest place in a window that is free, aligned and keeps the address's offset in its page; 0 when there is none. */
static uint64_t find_free(struct vfm_sim *sim, uint32_t slot, struct iommu_iova_range window, uint64_t align,
			  uint64_t offset, uint64_t length)
{
	uint64_t at = window.start < PAGE ? PAGE : window.start;
	const struct sim_map *map;

	for (;;) {
		if (vfmi_add_overflows(at, align - 1, &at))
			return 0;
		at = (at & ~(align - 1)) | offset;
		if (at >= window.last || window.last - at < length - 1 || at > UINT64_MAX - PAGE - length)
			return 0;
		map = map_next(sim, slot, at, at + (length - 1));
		if (!map)
			return at;
		at = map->iova + map->length;
	}
}

static int place_map(struct vfm_sim *sim, const struct sim_ioas *ioas, struct iommu_ioas_map *cmd)
{
	uint64_t align = round_up_pow2(cmd->length);
	struct iommu_iova_range list[2];
	uint32_t i, n = windows(sim, ioas, list);

	if (!cmd->length || cmd->length >= UINT64_MAX / 2)
		return -EOVERFLOW;
	if (cmd->user_va)
		align = vfmi_min_u64(align, 1ull << __builtin_ctzll(cmd->user_va));
	align = vfmi_min_u64(align, HUGE_ALIGN);
	if (align < alignment(sim, ioas))
		return -EINVAL;
	for (i = 0; i < n; i++) {
		cmd->iova = find_free(sim, slot_of(sim, ioas), list[i], align, cmd->user_va % PAGE, cmd->length);
		if (cmd->iova)
			return 0;
	}
	return -ENOSPC;
}

static int check_place(struct vfm_sim *sim, const struct sim_ioas *ioas, const struct iommu_ioas_map *cmd)
{
	uint64_t last;

	if (cmd->iova % alignment(sim, ioas))
		return -EINVAL;
	if (vfmi_add_overflows(cmd->iova, cmd->length - 1, &last))
		return -EOVERFLOW;
	if (attached(sim, ioas, true) && reserved(cmd->iova, last))
		return -EINVAL;
	return map_next(sim, slot_of(sim, ioas), cmd->iova, last) ? -EEXIST : 0;
}

static int map_check(struct vfm_sim *sim, const struct sim_ioas *ioas, struct iommu_ioas_map *cmd)
{
	bool writable = cmd->flags & IOMMU_IOAS_MAP_WRITEABLE;
	uint64_t end;
	int r;

	if (vfmi_add_overflows(cmd->user_va, cmd->length, &end))
		return -EOVERFLOW;
	if (!cmd->length || cmd->length % alignment(sim, ioas)) {
		vfmi_sim_strict(sim, "IOMMU_IOAS_MAP of %#lx bytes", (unsigned long)cmd->length);
		return -EINVAL;
	}
	r = cmd->flags & IOMMU_IOAS_MAP_FIXED_IOVA ? check_place(sim, ioas, cmd) : place_map(sim, ioas, cmd);
	if (r)
		return r;
	if (cmd->user_va % PAGE % alignment(sim, ioas))
		return -EINVAL;
	if (attached(sim, ioas, true) && !vfmi_sim_is_mapped(cmd->user_va, cmd->length, writable))
		return -EFAULT;
	return 0;
}

static int ioas_map(struct vfm_sim *sim, uint32_t ctx, struct iommu_ioas_map *cmd)
{
	const uint32_t access = IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE;
	struct sim_machine *machine = sim->machine;
	const struct sim_ioas *ioas;
	uint32_t i;
	int r;

	if ((cmd->flags & ~(IOMMU_IOAS_MAP_FIXED_IOVA | access)) || cmd->reserved) {
		vfmi_sim_strict(sim, "IOMMU_IOAS_MAP with flags %#x and reserved %#x", cmd->flags, cmd->reserved);
		return -EOPNOTSUPP;
	}
	if (cmd->iova == UINT64_MAX || cmd->length == UINT64_MAX)
		return -EOVERFLOW;
	if (!(cmd->flags & access)) {
		vfmi_sim_strict(sim, "IOMMU_IOAS_MAP neither readable nor writable");
		return -EINVAL;
	}
	ioas = ioas_of(sim, ctx, cmd->ioas_id);
	if (!ioas)
		return unknown_id(sim, cmd->ioas_id);
	r = map_check(sim, ioas, cmd);
	if (r)
		return r;
	for (i = 0; i < SIM_MAX_MAPS; i++)
		if (!machine->maps[i].length)
			break;
	if (i == SIM_MAX_MAPS)
		return -ENOMEM;
	machine->maps[i] = (struct sim_map){ .iova = cmd->iova,
					     .vaddr = cmd->user_va,
					     .start_time = vfmi_sim_start_time(sim->pid),
					     .ioas = slot_of(sim, ioas),
					     .pid = (uint32_t)sim->pid,
					     .flags = cmd->flags };
	if (machine->maps_used <= i)
		machine->maps_used = i + 1;
	__atomic_store_n(&machine->maps[i].length, cmd->length, __ATOMIC_RELEASE);
	return 0;
}

/* Upward, and not undone when it meets a map that reaches out of the range: maps below that are gone by then. */
static int unmap_range(struct vfm_sim *sim, uint32_t slot, uint64_t first, uint64_t last, uint64_t *ret_bytes,
		       const struct sim_call *call)
{
	struct sim_map *map;

	*ret_bytes = 0;
	while ((map = map_next(sim, slot, first, last))) {
		uint64_t map_last = map->iova + (map->length - 1);

		if (map->iova < first || map_last > last)
			return -ENOENT;
		if (call->mode == VFM_SIM_FAULT_PARTIAL && *ret_bytes)
			return -call->error;
		*ret_bytes += map->length;
		map_free(sim, map);
		if (map_last == last)
			break;
		first = map_last + 1;
	}
	return call->mode == VFM_SIM_FAULT_PARTIAL ? -call->error : 0;
}

static int ioas_unmap(struct vfm_sim *sim, uint32_t ctx, struct iommu_ioas_unmap *cmd, const struct sim_call *call)
{
	const struct sim_ioas *ioas = ioas_of(sim, ctx, cmd->ioas_id);
	bool all = !cmd->iova && cmd->length == UINT64_MAX;
	uint64_t last, bytes;
	int r;

	if (!ioas)
		return unknown_id(sim, cmd->ioas_id);
	if (!all && (cmd->iova == UINT64_MAX || cmd->length == UINT64_MAX))
		return -EOVERFLOW;
	if (!cmd->length) {
		vfmi_sim_strict(sim, "IOMMU_IOAS_UNMAP of nothing");
		return -EINVAL;
	}
	if (all)
		last = UINT64_MAX;
	else if (vfmi_add_overflows(cmd->iova, cmd->length - 1, &last))
		return -EOVERFLOW;
	r = unmap_range(sim, slot_of(sim, ioas), cmd->iova, last, &bytes, call);
	if (r)
		return r;
	if (!bytes && !all)
		return -ENOENT;
	cmd->length = bytes;
	return 0;
}

static const struct {
	unsigned long request;
	uint32_t min;
	uint32_t size;
} sizes[] = {
	{ IOMMU_DESTROY, sizeof(struct iommu_destroy), sizeof(struct iommu_destroy) },
	{ IOMMU_IOAS_ALLOC, sizeof(struct iommu_ioas_alloc), sizeof(struct iommu_ioas_alloc) },
	{ IOMMU_IOAS_IOVA_RANGES, sizeof(struct iommu_ioas_iova_ranges), sizeof(struct iommu_ioas_iova_ranges) },
	{ IOMMU_IOAS_MAP, sizeof(struct iommu_ioas_map), sizeof(struct iommu_ioas_map) },
	{ IOMMU_IOAS_UNMAP, sizeof(struct iommu_ioas_unmap), sizeof(struct iommu_ioas_unmap) },
};

/* Too short is EINVAL; longer is fine as long as the rest is zero. */
static int size_check(struct vfm_sim *sim, unsigned long request, const void *arg)
{
	uint32_t size;
	size_t i, at;

	for (i = 0; i < VFMI_ARRAY_SIZE(sizes); i++)
		if (sizes[i].request == request)
			break;
	if (i == VFMI_ARRAY_SIZE(sizes)) {
		if (request != VFIO_DEVICE_GET_INFO)
			vfmi_sim_strict(sim, "iommufd: unknown ioctl %#lx", request);
		return -ENOTTY;
	}
	if (!arg)
		return -EFAULT;
	memcpy(&size, arg, sizeof(size));
	if (size < sizes[i].min) {
		vfmi_sim_strict(sim, "iommufd: ioctl %#lx with size %u", request, size);
		return -EINVAL;
	}
	for (at = sizes[i].size; at < size; at++)
		if (((const uint8_t *)arg)[at]) {
			vfmi_sim_strict(sim, "iommufd: ioctl %#lx with a tail that is not zero", request);
			return -E2BIG;
		}
	return 0;
}

int vfmi_sim_iommu_ioctl(struct vfm_sim *sim, uint32_t ctx, unsigned long request, void *arg, struct sim_call *call)
{
	int r = size_check(sim, request, arg);

	if (r)
		return r;
	switch (request) {
	case IOMMU_DESTROY:
		return destroy(sim, ctx, arg);
	case IOMMU_IOAS_ALLOC:
		return ioas_alloc(sim, ctx, arg);
	case IOMMU_IOAS_IOVA_RANGES:
		return iova_ranges(sim, ctx, arg);
	case IOMMU_IOAS_MAP:
		return ioas_map(sim, ctx, arg);
	default:
		return ioas_unmap(sim, ctx, arg, call);
	}
}

/* DMA */

static bool dma_piece(struct vfm_sim *sim, struct sim_device *dev, uint64_t iova, uint8_t *buf, size_t length,
		      bool to_memory, size_t *ret_done)
{
	const uint32_t right = to_memory ? IOMMU_IOAS_MAP_WRITEABLE : IOMMU_IOAS_MAP_READABLE;
	const struct sim_map *map = map_next(sim, dev->ioas - 1, iova, iova);

	if (!map || !(map->flags & right))
		return false;
	*ret_done = (size_t)vfmi_min_u64(length, map->length - (iova - map->iova));
	if (map->pid != (uint32_t)sim->pid && !vfmi_sim_alive(map->pid, map->start_time))
		return false;
	return vfmi_sim_memory(map->pid, map->vaddr + (iova - map->iova), buf, *ret_done, to_memory);
}

bool vfmi_sim_dma(struct vfm_sim *sim, struct sim_device *dev, uint64_t iova, void *buf, size_t length, bool to_memory)
{
	size_t done = 0, n = 0;

	for (; done < length; done += n) {
		if (!dev->ioas || !vfmi_sim_config_master(dev) || iova + done < iova ||
		    !dma_piece(sim, dev, iova + done, (uint8_t *)buf + done, length - done, to_memory, &n)) {
			dev->dma_faults++;
			return false;
		}
	}
	return true;
}
