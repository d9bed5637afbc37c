/* SPDX-License-Identifier: MIT */
/* vfio_iommu_type1: the maps of a container, in its first version and its second. */
#include "pages.h"
#include "uapi/iommufd.h"
#include "uapi/vfio.h"

#define HUGE_SIZES (1ull << 21 | 1ull << 30)
#define MAX_BITMAP (1ull << 28) /* of VFIO_IOMMU_DIRTY_PAGES, bytes */

static struct sim_space *space_at(struct vfm_sim *sim, uint32_t slot)
{
	return &sim->machine->space[slot];
}

static int bad(struct vfm_sim *sim, const char *what, uint32_t argsz, uint32_t flags)
{
	vfmi_sim_strict(sim, "%s with argsz %u and flags %#x", what, argsz, flags);
	return -EINVAL;
}

/* VFIO_IOMMU_GET_INFO */

uint64_t vfmi_sim_page_sizes(const struct vfm_sim *sim, uint32_t slot)
{
	uint64_t page = sim->machine->page_size;

	return vfmi_sim_pinned(sim, slot) ? page | (HUGE_SIZES & ~(page - 1)) : ~(page - 1);
}

struct chain {
	uint8_t bytes[256];
	uint32_t length; /* with what stands before the chain */
	uint32_t last;	 /* the newest capability, 0 for none */
};

static void chain_add(struct chain *chain, const void *cap, size_t size)
{
	uint32_t next = chain->length;

	if (chain->last)
		memcpy(chain->bytes + chain->last + offsetof(struct vfio_info_cap_header, next), &next, sizeof(next));
	memcpy(chain->bytes + next, cap, size);
	chain->last = next;
	chain->length = (uint32_t)((next + size + 7) & ~7ull);
}

static void add_migration(struct vfm_sim *sim, struct chain *chain)
{
	const struct vfio_iommu_type1_info_cap_migration cap = {
		.header = { .id = VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, .version = 1 },
		.pgsize_bitmap = sim->machine->page_size,
		.max_dirty_bitmap_size = MAX_BITMAP,
	};

	chain_add(chain, &cap, sizeof(cap));
}

static void add_avail(struct chain *chain, uint32_t avail)
{
	const struct vfio_iommu_type1_info_dma_avail cap = {
		.header = { .id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, .version = 1 },
		.avail = avail,
	};

	/* The struct ends after 12 bytes; what follows is aligned. */
	chain_add(chain, &cap, offsetof(struct vfio_iommu_type1_info_dma_avail, avail) + sizeof(cap.avail));
}

static void add_windows(struct vfm_sim *sim, uint32_t slot, struct chain *chain)
{
	struct sim_window list[SIM_MAX_WINDOWS];
	uint8_t cap[sizeof(struct vfio_iommu_type1_info_cap_iova_range) + sizeof(list)] = { 0 };
	struct vfio_iommu_type1_info_cap_iova_range head = {
		.header = { .id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, .version = 1 },
		.nr_iovas = vfmi_sim_windows(sim, slot, list),
	};

	memcpy(cap, &head, sizeof(head));
	memcpy(cap + sizeof(head), list, head.nr_iovas * sizeof(*list));
	chain_add(chain, cap, sizeof(head) + head.nr_iovas * sizeof(*list));
}

int vfmi_sim_type1_info(struct vfm_sim *sim, uint32_t slot, void *arg)
{
	const size_t min = offsetof(struct vfio_iommu_type1_info, iova_pgsizes) + sizeof(uint64_t);
	const struct sim_space *space = space_at(sim, slot);
	struct vfio_iommu_type1_info info = { 0 };
	struct chain chain = { .length = sizeof(info) };

	if (!arg)
		return -EFAULT;
	memcpy(&info, arg, min);
	if (info.argsz < min)
		return bad(sim, "VFIO_IOMMU_GET_INFO", info.argsz, 0);
	info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info.iova_pgsizes = vfmi_sim_page_sizes(sim, slot);
	if (space->type)
		add_migration(sim, &chain);
	add_avail(&chain, space->type ? sim->machine->host.entries - space->maps : UINT32_MAX);
	if (!space->type || vfmi_sim_pinned(sim, slot))
		add_windows(sim, slot, &chain);
	if (info.argsz >= chain.length) {
		info.cap_offset = sizeof(info);
		memcpy((char *)arg + sizeof(info), chain.bytes + sizeof(info), chain.length - sizeof(info));
		memcpy(arg, &info, sizeof(info));
		if (!space->type)
			memcpy(arg, &chain.length, sizeof(chain.length)); /* iommufd: whatever was asked for */
		return 0;
	}
	memcpy(chain.bytes, &info, sizeof(info));
	memcpy(chain.bytes, &chain.length, sizeof(chain.length));
	memcpy(arg, chain.bytes, (size_t)vfmi_min_u64(info.argsz, sizeof(info)));
	return 0;
}

/* VFIO_IOMMU_MAP_DMA */

static int set_vaddr(struct vfm_sim *sim, struct sim_map *map, const struct vfio_iommu_type1_dma_map *cmd)
{
	if (!map)
		return -ENOENT;
	if (!(map->flags & SIM_MAP_NO_VADDR) || map->iova != cmd->iova || map->length != cmd->size)
		return -EINVAL;
	map->vaddr = cmd->vaddr;
	map->start_time = vfmi_sim_own_start(sim);
	map->pid = (uint32_t)sim->pid;
	space_at(sim, map->space)->no_vaddr--;
	map->flags &= ~(uint32_t)SIM_MAP_NO_VADDR;
	return 0;
}

/* While pages are tracked each map has a bitmap, and there is an end to their size. */
static bool has_bitmap(const struct vfm_sim *sim, uint64_t length)
{
	return length / sim->machine->page_size <= INT32_MAX;
}

static int map_check(struct vfm_sim *sim, uint32_t slot, const struct sim_map *map)
{
	if (space_at(sim, slot)->maps >= sim->machine->host.entries)
		return -ENOSPC;
	if (space_at(sim, slot)->tracking && !has_bitmap(sim, map->length))
		return -EINVAL;
	if (!vfmi_sim_pinned(sim, slot))
		return 0; /* nobody looks at addresses until a mediated device uses them */
	if (!vfmi_sim_in_windows(sim, slot, map->iova, vfmi_sim_map_last(map)))
		return -EINVAL;
	if (!vfmi_sim_can_pin(sim, map))
		return -EFAULT;
	return vfmi_sim_over_limit(sim, map->length) ? -ENOMEM : 0;
}

static int map_new(struct vfm_sim *sim, uint32_t slot, const struct vfio_iommu_type1_dma_map *cmd)
{
	struct sim_map map = { .iova = cmd->iova, .length = cmd->size, .vaddr = cmd->vaddr, .space = slot };
	int r;

	map.pid = (uint32_t)sim->pid;
	map.start_time = vfmi_sim_own_start(sim);
	map.flags = (cmd->flags & VFIO_DMA_MAP_FLAG_READ ? IOMMU_IOAS_MAP_READABLE : 0) |
		    (cmd->flags & VFIO_DMA_MAP_FLAG_WRITE ? IOMMU_IOAS_MAP_WRITEABLE : 0);
	r = map_check(sim, slot, &map);
	return r ? r : vfmi_sim_map_add(sim, &map);
}

/* What an area that wraps around gives. */
static int wrap_error(const struct vfm_sim *sim)
{
	return sim->machine->host.kernel < SIM_KERNEL(6, 18) ? -EINVAL : -EOVERFLOW;
}

static int map_dma(struct vfm_sim *sim, uint32_t slot, const struct vfio_iommu_type1_dma_map *cmd)
{
	const uint32_t rights = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	bool update = cmd->flags & VFIO_DMA_MAP_FLAG_VADDR;
	struct sim_map *map;
	uint64_t last, end;

	if (cmd->argsz < sizeof(*cmd) || (cmd->flags & ~(rights | VFIO_DMA_MAP_FLAG_VADDR)))
		return bad(sim, "VFIO_IOMMU_MAP_DMA", cmd->argsz, cmd->flags);
	if (!cmd->size)
		return -EINVAL;
	if (vfmi_add_overflows(cmd->iova, cmd->size - 1, &last) || vfmi_add_overflows(cmd->vaddr, cmd->size - 1, &end))
		return wrap_error(sim);
	if (!!(cmd->flags & rights) == update)
		return bad(sim, "VFIO_IOMMU_MAP_DMA", cmd->argsz, cmd->flags);
	if ((cmd->size | cmd->iova | cmd->vaddr) % sim->machine->page_size)
		return -EINVAL;
	map = vfmi_sim_map_next(sim, slot, cmd->iova, last);
	if (update)
		return set_vaddr(sim, map, cmd);
	return map ? -EEXIST : map_new(sim, slot, cmd);
}

/* VFIO_IOMMU_UNMAP_DMA */

/* The second version refuses what would cut a map at either end. */
static bool cuts(struct vfm_sim *sim, uint32_t slot, uint64_t first, uint64_t last)
{
	const struct sim_map *low = vfmi_sim_map_next(sim, slot, first, first);
	const struct sim_map *high = vfmi_sim_map_next(sim, slot, last, last);

	return (low && low->iova != first) || (high && vfmi_sim_map_last(high) != last);
}

static void mark(struct vfm_sim *sim, struct sim_map *map, bool gone)
{
	struct sim_space *space = space_at(sim, map->space);

	space->no_vaddr += gone ? 1 : -1u;
	map->flags = gone ? map->flags | SIM_MAP_NO_VADDR : map->flags & ~(uint32_t)SIM_MAP_NO_VADDR;
}

/* Where it stops is as with unmapping. All of them or none: what this call marked is unmarked again when it meets one
 * that was marked before. */
static int take_vaddr(struct vfm_sim *sim, uint32_t slot, uint64_t first, uint64_t last, uint64_t *ret_bytes)
{
	uint64_t from = first, bytes = 0;
	struct sim_map *map, *done;

	while ((map = vfmi_sim_map_next(sim, slot, from, last)) && map->iova >= first) {
		if (map->flags & SIM_MAP_NO_VADDR) {
			for (from = first; (done = vfmi_sim_map_next(sim, slot, from, last)) != map;
			     from = vfmi_sim_map_last(done) + 1)
				mark(sim, done, false);
			return -EINVAL;
		}
		mark(sim, map, true);
		bytes += map->length;
		from = vfmi_sim_map_last(map) + 1;
		if (!from)
			break;
	}
	*ret_bytes = bytes;
	return 0;
}

/* VFIO_IOMMU_DIRTY_PAGES, and the bitmap that comes with an unmap */

static bool pages_fit(const struct vfio_bitmap *bitmap, uint64_t size)
{
	uint64_t pages = size >> __builtin_ctzll(bitmap->pgsize);

	return pages && bitmap->size && bitmap->size <= MAX_BITMAP && bitmap->size / 8 >= (pages - 1) / 64 + 1;
}

/* access_ok(): the upper half of the addresses is the kernel's. */
static bool is_users(const struct vfio_bitmap *bitmap)
{
	uint64_t end;

	return !vfmi_add_overflows(bitmap->data, bitmap->size, &end) && end <= INT64_MAX;
}

static bool bitmap_fits(struct vfm_sim *sim, const struct vfio_bitmap *bitmap, uint64_t size)
{
	if (!is_users(bitmap))
		return false;
	if (bitmap->pgsize)
		return pages_fit(bitmap, size);
	vfmi_sim_strict(sim, "a bitmap of pages of 0 bytes");
	return false;
}

/*
 * The kernel shifts a map's bits to their place in the first word, along with what the caller's word holds, and then
 * forgets as many as the map has pages. What stands above them is told once more the next time, shifted again (Linux
 * 6.12 and 7.2): pages behind the map's end.
 */
static int tell_rest(const struct vfm_sim *sim, struct sim_map *map, const struct sim_bits *bits)
{
	const uint64_t pages = map->length >> bits->shift, at = (map->iova - bits->iova) >> bits->shift;
	const uint64_t shift = at % 64, words = (pages + shift + 63) / 64;
	uint64_t i, data, word, carry = 0;

	for (i = 0; i < VFMI_ARRAY_SIZE(map->rest) && pages / 64 + i < words; i++) {
		data = bits->data + (at / 64 + pages / 64 + i) * sizeof(word);
		if (!vfmi_sim_memory((uint32_t)sim->pid, data, &word, sizeof(word), false))
			return -EFAULT;
		word |= map->rest[i] << shift | carry;
		carry = shift ? map->rest[i] >> (64 - shift) : 0;
		if (!vfmi_sim_memory((uint32_t)sim->pid, data, &word, sizeof(word), true))
			return -EFAULT;
		map->rest[i] = i ? word : word >> pages % 64 << pages % 64;
	}
	return 0;
}

/* The word that a map begins in keeps its other bits, those behind it are written whole. */
static int tell_map(struct vfm_sim *sim, struct sim_map *map, const struct sim_bits *bits)
{
	struct sim_pages *set = vfmi_sim_pages(sim, SIM_PAGES_SPACE, map->space);
	uint64_t last = vfmi_sim_map_last(map);

	if (!vfmi_sim_bits_clear(sim, bits, map->iova, last))
		return -EFAULT;
	/* What an IOMMU has mapped may be written at any time: all of it is dirty, whenever one asks. */
	if (vfmi_sim_attached(sim, map->space, true) && !vfmi_sim_bits_set(sim, bits, map->iova, last))
		return -EFAULT;
	return vfmi_sim_pages_tell(sim, set, map->iova, last, bits, false) ? tell_rest(sim, map, bits) : -EFAULT;
}

static struct sim_bits bits_of(const struct vfio_bitmap *bitmap, uint64_t iova, uint64_t size)
{
	return (struct sim_bits){
		.iova = iova, .length = size, .data = bitmap->data, .shift = (uint32_t)__builtin_ctzll(bitmap->pgsize)
	};
}

static int tell_range(struct vfm_sim *sim, uint32_t slot, const struct vfio_iommu_type1_dirty_bitmap_get *get)
{
	const struct sim_bits bits = bits_of(&get->bitmap, get->iova, get->size);
	uint64_t from = get->iova, last = get->iova + (get->size - 1);
	struct sim_map *map;
	int r;

	if (cuts(sim, slot, from, last))
		return -EINVAL;
	while ((map = vfmi_sim_map_next(sim, slot, from, last))) {
		r = tell_map(sim, map, &bits);
		if (r)
			return r;
		if (vfmi_sim_map_last(map) == last)
			break;
		from = vfmi_sim_map_last(map) + 1;
	}
	return 0;
}

/* Kernels that call a wrap by its name can also tell what ends with the last address; older ones take it for one. */
static bool wraps(const struct vfm_sim *sim, uint64_t iova, uint64_t size)
{
	uint64_t end;

	return vfmi_add_overflows(iova, wrap_error(sim) == -EINVAL ? size : size - 1, &end);
}

static int get_dirty(struct vfm_sim *sim, uint32_t slot, const struct vfio_iommu_type1_dirty_bitmap *cmd)
{
	const uint64_t page = sim->machine->page_size;
	struct vfio_iommu_type1_dirty_bitmap_get get;

	if (cmd->argsz < sizeof(*cmd) + sizeof(get))
		return bad(sim, "VFIO_IOMMU_DIRTY_PAGES", cmd->argsz, cmd->flags);
	memcpy(&get, cmd->data, sizeof(get));
	if (get.size && wraps(sim, get.iova, get.size))
		return wrap_error(sim);
	if (!bitmap_fits(sim, &get.bitmap, get.size))
		return -EINVAL;
	if (get.bitmap.pgsize != page || (get.iova | get.size) % page || !get.size)
		return -EINVAL;
	return space_at(sim, slot)->tracking ? tell_range(sim, slot, &get) : -EINVAL;
}

static int start_tracking(struct vfm_sim *sim, uint32_t slot)
{
	struct sim_space *space = space_at(sim, slot);
	struct sim_map *map;
	uint64_t from = 0;

	if (space->tracking)
		return 0;
	while ((map = vfmi_sim_map_next(sim, slot, from, UINT64_MAX))) {
		if (!has_bitmap(sim, map->length))
			return -EINVAL;
		memset(map->rest, 0, sizeof(map->rest));
		from = vfmi_sim_map_last(map) + 1;
		if (!from)
			break;
	}
	vfmi_sim_pages_clear(sim, vfmi_sim_pages(sim, SIM_PAGES_SPACE, slot));
	space->physical = vfmi_sim_attached(sim, slot, true);
	space->tracking = 1;
	return 0;
}

static int dirty_pages(struct vfm_sim *sim, uint32_t slot, const struct vfio_iommu_type1_dirty_bitmap *cmd)
{
	if (space_at(sim, slot)->type != VFIO_TYPE1v2_IOMMU)
		return -EACCES;
	if (!cmd)
		return -EFAULT;
	if (cmd->argsz < sizeof(*cmd))
		return bad(sim, "VFIO_IOMMU_DIRTY_PAGES", cmd->argsz, 0);
	switch (cmd->flags) {
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
		return start_tracking(sim, slot);
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
		space_at(sim, slot)->tracking = 0;
		return 0;
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
		return get_dirty(sim, slot, cmd);
	default:
		return bad(sim, "VFIO_IOMMU_DIRTY_PAGES", cmd->argsz, cmd->flags);
	}
}

static int unmap_range(struct vfm_sim *sim, uint32_t slot, const struct vfio_iommu_type1_dma_unmap *cmd,
		       uint64_t *ret_first, uint64_t *ret_last)
{
	*ret_first = cmd->iova;
	if (cmd->iova % sim->machine->page_size)
		return -EINVAL;
	if (cmd->flags & VFIO_DMA_UNMAP_FLAG_ALL) {
		*ret_last = UINT64_MAX;
		return cmd->iova || cmd->size ? -EINVAL : 0;
	}
	if (!cmd->size || cmd->size % sim->machine->page_size)
		return -EINVAL;
	if (vfmi_add_overflows(cmd->iova, cmd->size - 1, ret_last))
		return wrap_error(sim);
	return space_at(sim, slot)->type == VFIO_TYPE1v2_IOMMU && cuts(sim, slot, *ret_first, *ret_last) ? -EINVAL : 0;
}

/*
 * The first version takes maps that begin in the range whole, however far they reach, and stops at one before it.
 * Where @bits cannot be written, what was taken before stays taken.
 */
static int take_maps(struct vfm_sim *sim, uint32_t slot, uint64_t first, uint64_t last, const struct sim_bits *bits,
		     uint64_t *ret_bytes)
{
	struct sim_map *map;
	int r;

	*ret_bytes = 0;
	while ((map = vfmi_sim_map_next(sim, slot, first, last)) && map->iova >= first) {
		r = bits ? tell_map(sim, map, bits) : 0;
		if (r)
			return r;
		*ret_bytes += map->length;
		vfmi_sim_map_free(sim, map);
	}
	return 0;
}

static int unmap_telling(struct vfm_sim *sim, uint32_t slot, const struct vfio_iommu_type1_dma_unmap *cmd,
			 uint64_t *ret_bytes)
{
	struct vfio_bitmap bitmap;
	struct sim_bits bits;
	uint64_t first, last;
	int r;

	if (cmd->argsz < sizeof(*cmd) + sizeof(bitmap))
		return bad(sim, "VFIO_IOMMU_UNMAP_DMA", cmd->argsz, cmd->flags);
	memcpy(&bitmap, cmd->data, sizeof(bitmap));
	if (!bitmap_fits(sim, &bitmap, cmd->size))
		return -EINVAL;
	r = unmap_range(sim, slot, cmd, &first, &last);
	if (!r && (!space_at(sim, slot)->tracking || bitmap.pgsize != sim->machine->page_size))
		r = -EINVAL;
	if (r)
		return r;
	bits = bits_of(&bitmap, cmd->iova, cmd->size);
	return take_maps(sim, slot, first, last, &bits, ret_bytes);
}

static int unmap_dma(struct vfm_sim *sim, uint32_t slot, struct vfio_iommu_type1_dma_unmap *cmd)
{
	const uint32_t others = VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR;
	uint64_t first, last, bytes = 0;
	int r;

	if (cmd->argsz < sizeof(*cmd) || (cmd->flags & ~(others | VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)) ||
	    ((cmd->flags & others) && (cmd->flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)))
		return bad(sim, "VFIO_IOMMU_UNMAP_DMA", cmd->argsz, cmd->flags);
	if ((cmd->flags & VFIO_DMA_UNMAP_FLAG_VADDR) && vfmi_sim_emulated(sim, slot))
		return -EBUSY;
	if (cmd->flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) {
		r = unmap_telling(sim, slot, cmd, &bytes);
	} else {
		r = unmap_range(sim, slot, cmd, &first, &last);
		if (!r && (cmd->flags & VFIO_DMA_UNMAP_FLAG_VADDR))
			r = take_vaddr(sim, slot, first, last, &bytes);
		else if (!r)
			r = take_maps(sim, slot, first, last, NULL, &bytes);
	}
	if (!r)
		cmd->size = bytes;
	return r;
}

int vfmi_sim_type1_ioctl(struct vfm_sim *sim, uint32_t slot, unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_IOMMU_GET_INFO:
		return vfmi_sim_type1_info(sim, slot, arg);
	case VFIO_IOMMU_MAP_DMA:
		return arg ? map_dma(sim, slot, arg) : -EFAULT;
	case VFIO_IOMMU_UNMAP_DMA:
		return arg ? unmap_dma(sim, slot, arg) : -EFAULT;
	case VFIO_IOMMU_DIRTY_PAGES:
		return dirty_pages(sim, slot, arg);
	default:
		return -ENOTTY;
	}
}
