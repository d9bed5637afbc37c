/* SPDX-License-Identifier: MIT */
/* Address spaces whatever made them: their windows and alignment, places in them, unmapping, DMA through them. */
#include "pages.h"
#include "uapi/iommufd.h"
#include "uapi/vfio.h"

#define HUGE_ALIGN (1ull << 21)
#define MSI_FIRST 0xfee00000ull
#define MSI_LAST 0xfeefffffull
#define APERTURE_LAST ((1ull << 39) - 1)

uint32_t vfmi_sim_slot(const struct vfm_sim *sim, const struct sim_space *space)
{
	return (uint32_t)(space - sim->machine->space);
}

struct sim_space *vfmi_sim_space_new(struct vfm_sim *sim, uint32_t owner, uint32_t type, uint32_t id)
{
	struct sim_space *space = sim->machine->space;
	uint32_t i;

	for (i = 0; i < SIM_MAX_SPACES; i++)
		if (!space[i].id)
			break;
	if (i == SIM_MAX_SPACES)
		return NULL;
	space[i] = (struct sim_space){ .owner = owner, .type = type };
	__atomic_store_n(&space[i].id, id, __ATOMIC_RELEASE);
	return &space[i];
}

void vfmi_sim_space_free(struct vfm_sim *sim, struct sim_space *space)
{
	struct sim_map *map;

	while ((map = vfmi_sim_map_next(sim, vfmi_sim_slot(sim, space), 0, UINT64_MAX)))
		vfmi_sim_map_free(sim, map);
	__atomic_store_n(&space->id, 0, __ATOMIC_RELEASE);
}

/* what is attached */

bool vfmi_sim_attached(const struct vfm_sim *sim, uint32_t slot, bool physical)
{
	uint32_t i;

	for (i = 0; i < sim->machine->devices; i++) {
		const struct sim_device *dev = &sim->machine->device[i];

		if (dev->space == slot + 1 && !(physical && vfmi_sim_quirk(dev, SIM_MDEV)))
			return true;
	}
	return false;
}

bool vfmi_sim_emulated(const struct vfm_sim *sim, uint32_t slot)
{
	uint32_t i;

	for (i = 0; i < sim->machine->devices; i++)
		if (sim->machine->device[i].space == slot + 1 && vfmi_sim_quirk(&sim->machine->device[i], SIM_MDEV))
			return true;
	return false;
}

bool vfmi_sim_pinned(const struct vfm_sim *sim, uint32_t slot)
{
	return vfmi_sim_has_hwpt(sim, slot) || vfmi_sim_attached(sim, slot, true);
}

uint64_t vfmi_sim_alignment(const struct vfm_sim *sim, uint32_t slot)
{
	const struct sim_space *space = &sim->machine->space[slot];

	return space->type || space->small_pages || vfmi_sim_has_hwpt(sim, slot) || vfmi_sim_attached(sim, slot, false)
		       ? sim->machine->page_size
		       : 1;
}

/* Page tables bound the addresses, devices reserve the window of message interrupts. */
static uint32_t windows(bool table, bool device, struct sim_window out[SIM_MAX_WINDOWS])
{
	out[0] = (struct sim_window){ 0, table ? APERTURE_LAST : UINT64_MAX };
	if (!device)
		return 1;
	out[1] = (struct sim_window){ MSI_LAST + 1, out[0].last };
	out[0].last = MSI_FIRST - 1;
	return 2;
}

uint32_t vfmi_sim_windows(const struct vfm_sim *sim, uint32_t slot, struct sim_window out[SIM_MAX_WINDOWS])
{
	return windows(vfmi_sim_pinned(sim, slot), vfmi_sim_attached(sim, slot, true), out);
}

static bool inside(const struct sim_window *list, uint32_t count, uint64_t first, uint64_t last)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if (first >= list[i].first && last <= list[i].last)
			return true;
	return false;
}

bool vfmi_sim_in_windows(const struct vfm_sim *sim, uint32_t slot, uint64_t first, uint64_t last)
{
	struct sim_window list[SIM_MAX_WINDOWS];

	return inside(list, vfmi_sim_windows(sim, slot, list), first, last);
}

/* memory */

/*
 * By its address, in this process. An iommufd pins no region of a device; type1 takes one page by page as a fault would
 * bring them, and fails where there is none to be had.
 */
bool vfmi_sim_can_pin(struct vfm_sim *sim, const struct sim_map *map)
{
	const bool type1 = sim->machine->space[map->space].type;

	return vfmi_sim_is_mapped(map->vaddr, map->length, map->flags & IOMMU_IOAS_MAP_WRITEABLE) &&
	       !vfmi_sim_books_is_region(sim, map->vaddr, map->length, type1);
}

static int memory_check(struct vfm_sim *sim, const struct sim_map *map)
{
	if (map->flags & SIM_OF_A_FILE)
		return vfmi_sim_file_check(sim, map);
	return map->pid != (uint32_t)sim->pid || vfmi_sim_can_pin(sim, map) ? 0 : -EFAULT;
}

/* Where the maps are, or, with @memory, what is behind them. */
static int maps_check(struct vfm_sim *sim, uint32_t slot, const struct sim_window *list, uint32_t count, bool memory)
{
	const struct sim_map *map;
	uint64_t from = 0;
	int r = 0;

	while (!r && (map = vfmi_sim_map_next(sim, slot, from, UINT64_MAX))) {
		if (memory)
			r = memory_check(sim, map);
		else if (!inside(list, count, map->iova, vfmi_sim_map_last(map)) ||
			 (map->iova | map->length | map->vaddr) % sim->machine->page_size)
			r = -EADDRINUSE;
		from = vfmi_sim_map_last(map) + 1;
		if (!from)
			break;
	}
	return r;
}

uint64_t vfmi_sim_locked(const struct vfm_sim *sim)
{
	uint64_t used = 0;
	uint32_t i;

	for (i = 0; i < SIM_MAX_SPACES; i++)
		if (sim->machine->space[i].id && vfmi_sim_pinned(sim, i))
			used += sim->machine->space[i].bytes;
	return used;
}

bool vfmi_sim_over_limit(const struct vfm_sim *sim, uint64_t more)
{
	uint64_t used;

	if (sim->machine->host.memlock == UINT64_MAX)
		return false;
	return vfmi_add_overflows(vfmi_sim_locked(sim), more, &used) || used > sim->machine->host.memlock;
}

/* What is mapped already has to fit what is asked for now. */
int vfmi_sim_space_check(struct vfm_sim *sim, uint32_t slot, bool device)
{
	const struct sim_space *space = &sim->machine->space[slot];
	bool pinned = vfmi_sim_pinned(sim, slot);
	struct sim_window list[SIM_MAX_WINDOWS];
	uint32_t i, n = windows(true, device || vfmi_sim_attached(sim, slot, true), list);
	int r;

	for (i = 0; i < space->allowed_count; i++)
		if (!inside(list, n, space->allowed[i].first, space->allowed[i].last))
			return -EADDRINUSE;
	r = maps_check(sim, slot, list, n, false);
	if (!r && !pinned)
		r = maps_check(sim, slot, list, n, true);
	if (r)
		return r;
	return !pinned && vfmi_sim_over_limit(sim, space->bytes) ? -ENOMEM : 0;
}

/* places */

static uint64_t round_up_pow2(uint64_t value)
{
	return value <= 1 ? 1 : 1ull << (64 - __builtin_clzll(value - 1));
}

struct wanted {
	uint64_t length;
	uint64_t align;
	uint64_t offset; /* in the page */
};

/* Lowest place in a window that is free, aligned and keeps the address's offset in its page; 0 when there is none. */
static uint64_t find_free(struct vfm_sim *sim, uint32_t slot, struct sim_window window, const struct wanted *wanted)
{
	const uint64_t page = sim->machine->page_size;
	uint64_t place = window.first < page ? page : window.first;
	const struct sim_map *map;

	for (;;) {
		if (vfmi_add_overflows(place, wanted->align - 1, &place))
			return 0;
		place = (place & ~(wanted->align - 1)) | wanted->offset;
		if (place >= window.last || window.last - place < wanted->length - 1 ||
		    place > UINT64_MAX - page - wanted->length)
			return 0;
		map = vfmi_sim_map_next(sim, slot, place, place + (wanted->length - 1));
		if (!map)
			return place;
		place = vfmi_sim_map_last(map) + 1;
	}
}

static uint64_t find_in(struct vfm_sim *sim, uint32_t slot, const struct sim_window *list, uint32_t count,
			const struct wanted *wanted)
{
	const struct sim_space *space = &sim->machine->space[slot];
	uint64_t place = 0, from = 0;
	uint32_t i;

	if (space->full_length && space->full_length <= wanted->length && space->full_align <= wanted->align)
		from = space->full_below;
	for (i = 0; !place && i < count; i++) {
		struct sim_window window = list[i];

		if (window.last < from)
			continue;
		if (window.first < from)
			window.first = from;
		place = find_free(sim, slot, window, wanted);
	}
	return place;
}

/* The windows, or what is allowed of them. */
static uint32_t places(const struct vfm_sim *sim, uint32_t slot, struct sim_window out[SIM_MAX_ALLOWED])
{
	const struct sim_space *space = &sim->machine->space[slot];

	if (!space->allowed_count)
		return vfmi_sim_windows(sim, slot, out);
	memcpy(out, space->allowed, sizeof(space->allowed));
	return space->allowed_count;
}

int vfmi_sim_place(struct vfm_sim *sim, uint32_t slot, uint64_t address, uint64_t length, uint64_t *ret_iova)
{
	struct sim_space *space = &sim->machine->space[slot];
	struct wanted wanted = { .length = length, .offset = address % sim->machine->page_size };
	struct sim_window list[SIM_MAX_ALLOWED];
	uint32_t n = places(sim, slot, list);

	if (!length || length >= UINT64_MAX / 2)
		return -EOVERFLOW;
	wanted.align = round_up_pow2(length);
	if (address)
		wanted.align = vfmi_min_u64(wanted.align, 1ull << __builtin_ctzll(address));
	wanted.align = vfmi_min_u64(wanted.align, HUGE_ALIGN);
	if (wanted.align < vfmi_sim_alignment(sim, slot))
		return -EINVAL;
	*ret_iova = find_in(sim, slot, list, n, &wanted);
	if (!*ret_iova)
		return -ENOSPC;
	if (!wanted.offset) {
		space->full_length = length;
		space->full_align = wanted.align;
		space->full_below = *ret_iova;
	}
	return 0;
}

/* Not undone when it meets a map that reaches out of the range: maps below that are gone by then. */
int vfmi_sim_unmap(struct vfm_sim *sim, uint32_t slot, uint64_t first, uint64_t last, uint64_t *ret_bytes,
		   const struct sim_call *call)
{
	struct sim_map *map;

	*ret_bytes = 0;
	while ((map = vfmi_sim_map_next(sim, slot, first, last))) {
		uint64_t map_last = vfmi_sim_map_last(map);

		if (map->iova < first || map_last > last)
			return -ENOENT;
		if (call->mode == VFM_SIM_FAULT_PARTIAL && *ret_bytes)
			return -call->error;
		*ret_bytes += map->length;
		vfmi_sim_map_free(sim, map);
		if (map_last == last)
			break;
		first = map_last + 1;
	}
	return call->mode == VFM_SIM_FAULT_PARTIAL ? -call->error : 0;
}

/* DMA */

static bool dma_piece(struct vfm_sim *sim, struct sim_device *dev, uint64_t iova, uint8_t *buf, size_t length,
		      bool to_memory, size_t *ret_done)
{
	const uint32_t right = to_memory ? IOMMU_IOAS_MAP_WRITEABLE : IOMMU_IOAS_MAP_READABLE;
	const struct sim_map *map = vfmi_sim_map_next(sim, dev->space - 1, iova, iova);

	if (!map || !(map->flags & right) || map->flags & SIM_MAP_REVOKED)
		return false;
	*ret_done = (size_t)vfmi_min_u64(length, map->length - (iova - map->iova));
	if (!(map->flags & SIM_MAP_DMABUF) && map->pid != (uint32_t)sim->pid &&
	    !vfmi_sim_alive(map->pid, map->start_time))
		return false;
	if (to_memory)
		vfmi_sim_wrote(sim, dev, iova, *ret_done);
	if (map->flags & SIM_MAP_DMABUF)
		return vfmi_sim_dma_buf_access(sim, dev, map, iova - map->iova, buf, *ret_done, to_memory);
	return vfmi_sim_memory(map->pid, map->vaddr + (iova - map->iova), buf, *ret_done, to_memory);
}

/* Mediated devices have no command register that would hold them back. */
static bool may_dma(const struct sim_device *dev)
{
	return dev->space && (vfmi_sim_quirk(dev, SIM_MDEV) || vfmi_sim_config_master(dev));
}

bool vfmi_sim_dma(struct vfm_sim *sim, struct sim_device *dev, uint64_t iova, void *buf, size_t length, bool to_memory)
{
	size_t done = 0, n = 0;

	for (; done < length; done += n) {
		if (!may_dma(dev) || iova + done < iova ||
		    !dma_piece(sim, dev, iova + done, (uint8_t *)buf + done, length - done, to_memory, &n)) {
			dev->dma_faults++;
			return false;
		}
	}
	return true;
}
