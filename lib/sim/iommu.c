/* SPDX-License-Identifier: MIT */
/* iommufd: its objects, address spaces and maps. Page tables: hwpt.c; a container's ioctls: compat.c. */
#include "spaces.h"
#include "uapi/iommufd.h"
#include "uapi/vfio.h"

#define ACCESS (IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE)

/* ids */

bool vfmi_sim_id_taken(const struct sim_machine *machine, uint32_t ctx, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < SIM_MAX_SPACES; i++)
		if (machine->space[i].owner == ctx && machine->space[i].id == id)
			return true;
	for (i = 0; i < SIM_MAX_HWPTS; i++)
		if (machine->hwpt[i].owner == ctx && machine->hwpt[i].id == id)
			return true;
	for (i = 0; i < machine->devices; i++)
		if (machine->device[i].ctx == ctx + 1 && machine->device[i].devid == id)
			return true;
	return false;
}

uint32_t vfmi_sim_new_id(struct vfm_sim *sim, uint32_t ctx)
{
	uint32_t id = 1;

	while (vfmi_sim_id_taken(sim->machine, ctx, id))
		id++;
	return id;
}

struct sim_space *vfmi_sim_ioas(struct vfm_sim *sim, uint32_t ctx, uint32_t id)
{
	struct sim_space *space = sim->machine->space;
	uint32_t i;

	for (i = 0; id && i < SIM_MAX_SPACES; i++)
		if (space[i].id == id && space[i].owner == ctx && !space[i].type)
			return &space[i];
	return NULL;
}

int vfmi_sim_unknown_id(struct vfm_sim *sim, uint32_t id)
{
	vfmi_sim_strict(sim, "iommufd: there is no object %u of that kind", id);
	return -ENOENT;
}

void vfmi_sim_iommu_close(struct vfm_sim *sim, uint32_t ctx)
{
	struct sim_machine *machine = sim->machine;
	uint32_t i;

	for (i = 0; i < SIM_MAX_HWPTS; i++)
		if (machine->hwpt[i].owner == ctx)
			__atomic_store_n(&machine->hwpt[i].id, 0, __ATOMIC_RELEASE);
	for (i = 0; i < SIM_MAX_SPACES; i++)
		if (machine->space[i].id && !machine->space[i].type && machine->space[i].owner == ctx)
			vfmi_sim_space_free(sim, &machine->space[i]);
}

/* ioctls */

static int ioas_alloc(struct vfm_sim *sim, uint32_t ctx, struct iommu_ioas_alloc *cmd)
{
	uint32_t id = vfmi_sim_new_id(sim, ctx);

	if (cmd->flags) {
		vfmi_sim_strict(sim, "IOMMU_IOAS_ALLOC with flags %#x", cmd->flags);
		return -EOPNOTSUPP;
	}
	if (!vfmi_sim_space_new(sim, ctx, 0, id))
		return -ENOMEM;
	cmd->out_ioas_id = id;
	return 0;
}

/* What somebody uses is busy; devices are used by their files. */
static int destroy(struct vfm_sim *sim, uint32_t ctx, const struct iommu_destroy *cmd)
{
	struct sim_space *space = vfmi_sim_ioas(sim, ctx, cmd->id);
	struct sim_hwpt *hwpt = vfmi_sim_hwpt(sim, ctx, cmd->id);
	struct sim_object *iommufd = &sim->machine->objects[ctx];

	if (hwpt) {
		if (vfmi_sim_hwpt_used(sim, hwpt))
			return -EBUSY;
		__atomic_store_n(&hwpt->id, 0, __ATOMIC_RELEASE);
		sim->machine->space[hwpt->space].full_length = 0;
		return 0;
	}
	if (!space)
		return cmd->id && vfmi_sim_id_taken(sim->machine, ctx, cmd->id) ? -EBUSY
										: vfmi_sim_unknown_id(sim, cmd->id);
	if (vfmi_sim_attached(sim, vfmi_sim_slot(sim, space), false) ||
	    vfmi_sim_has_hwpt(sim, vfmi_sim_slot(sim, space)))
		return -EBUSY;
	if (iommufd->link == cmd->id)
		iommufd->link = 0;
	vfmi_sim_space_free(sim, space);
	return 0;
}

static int iova_ranges(struct vfm_sim *sim, uint32_t ctx, struct iommu_ioas_iova_ranges *cmd)
{
	struct sim_window list[SIM_MAX_WINDOWS];
	const struct sim_space *space;
	uint32_t room = cmd->num_iovas, n;

	if (cmd->reserved) {
		vfmi_sim_strict(sim, "IOMMU_IOAS_IOVA_RANGES with a reserved field set");
		return -EOPNOTSUPP;
	}
	space = vfmi_sim_ioas(sim, ctx, cmd->ioas_id);
	if (!space)
		return vfmi_sim_unknown_id(sim, cmd->ioas_id);
	n = vfmi_sim_windows(sim, vfmi_sim_slot(sim, space), list);
	if (room && !cmd->allowed_iovas)
		return -EFAULT;
	if (room)
		memcpy((void *)(uintptr_t)cmd->allowed_iovas, list, sizeof(*list) * (size_t)vfmi_min_u64(room, n));
	cmd->num_iovas = n;
	cmd->out_iova_alignment = vfmi_sim_alignment(sim, vfmi_sim_slot(sim, space));
	return n > room ? -EMSGSIZE : 0;
}

static int check_place(struct vfm_sim *sim, uint32_t slot, const struct sim_map *map)
{
	uint64_t last;

	if (map->iova % vfmi_sim_alignment(sim, slot))
		return -EINVAL;
	if (vfmi_add_overflows(map->iova, map->length - 1, &last))
		return -EOVERFLOW;
	if (!vfmi_sim_in_windows(sim, slot, map->iova, last))
		return -EINVAL;
	return vfmi_sim_map_next(sim, slot, map->iova, last) ? -EEXIST : 0;
}

int vfmi_sim_map_check(struct vfm_sim *sim, uint32_t slot, struct sim_map *map)
{
	uint64_t end;
	int r;
	bool too_long = map->length > UINT64_MAX - sim->machine->page_size, file = map->flags & SIM_OF_A_FILE;

	/* Which is looked at first changed with maps of files. */
	if (too_long && sim->machine->host.kernel < SIM_KERNEL(6, 13))
		return -EINVAL;
	if (!file && vfmi_add_overflows(map->vaddr, map->length, &end))
		return -EOVERFLOW;
	if (too_long)
		return -EINVAL;
	if (!map->length || map->length % vfmi_sim_alignment(sim, slot)) {
		vfmi_sim_strict(sim, "mapping of %#lx bytes", (unsigned long)map->length);
		return -EINVAL;
	}
	r = map->flags & IOMMU_IOAS_MAP_FIXED_IOVA
		    ? check_place(sim, slot, map)
		    : vfmi_sim_place(sim, slot, file ? map->file_at : map->vaddr, map->length, &map->iova);
	if (r)
		return r;
	if (map->vaddr % sim->machine->page_size % vfmi_sim_alignment(sim, slot))
		return -EINVAL;
	return 0;
}

/* Memory is looked at when it is pinned, and that is when there is a page table. */
static int pin_check(struct vfm_sim *sim, uint32_t slot, const struct sim_map *map)
{
	int r;

	if (!vfmi_sim_pinned(sim, slot))
		return 0;
	r = vfmi_sim_file_check(sim, map);
	if (r || (map->flags & SIM_MAP_COPY))
		return r;
	if (!(map->flags & ACCESS))
		return -EINVAL; /* which only the container that an iommufd can be lets come so far */
	if (map->pid == (uint32_t)sim->pid && !(map->flags & SIM_OF_A_FILE) && !vfmi_sim_can_pin(sim, map))
		return -EFAULT;
	return vfmi_sim_over_limit(sim, map->length) ? -ENOMEM : 0;
}

int vfmi_sim_ioas_map(struct vfm_sim *sim, struct sim_space *space, struct sim_map *what)
{
	uint32_t slot = vfmi_sim_slot(sim, space);
	int r;

	what->space = slot;
	r = vfmi_sim_map_check(sim, slot, what);
	if (!r)
		r = pin_check(sim, slot, what);
	return r ? r : vfmi_sim_map_add(sim, what);
}

static int ioas_map(struct vfm_sim *sim, uint32_t ctx, struct iommu_ioas_map *cmd)
{
	struct sim_map map = { .iova = cmd->iova, .length = cmd->length, .vaddr = cmd->user_va, .flags = cmd->flags };
	struct sim_space *space;
	int r;

	if ((cmd->flags & ~(IOMMU_IOAS_MAP_FIXED_IOVA | ACCESS)) || cmd->reserved) {
		vfmi_sim_strict(sim, "IOMMU_IOAS_MAP with flags %#x and reserved %#x", cmd->flags, cmd->reserved);
		return -EOPNOTSUPP;
	}
	if (cmd->iova == UINT64_MAX || cmd->length == UINT64_MAX)
		return -EOVERFLOW;
	if (!(cmd->flags & ACCESS)) {
		vfmi_sim_strict(sim, "IOMMU_IOAS_MAP neither readable nor writable");
		return -EINVAL;
	}
	space = vfmi_sim_ioas(sim, ctx, cmd->ioas_id);
	if (!space)
		return vfmi_sim_unknown_id(sim, cmd->ioas_id);
	map.pid = (uint32_t)sim->pid;
	map.start_time = vfmi_sim_own_start(sim);
	r = vfmi_sim_ioas_map(sim, space, &map);
	if (!r)
		cmd->iova = map.iova;
	return r;
}

static int ioas_unmap(struct vfm_sim *sim, uint32_t ctx, struct iommu_ioas_unmap *cmd, const struct sim_call *call)
{
	const struct sim_space *space = vfmi_sim_ioas(sim, ctx, cmd->ioas_id);
	bool all = !cmd->iova && cmd->length == UINT64_MAX;
	uint64_t last, bytes;
	int r;

	if (!space)
		return vfmi_sim_unknown_id(sim, cmd->ioas_id);
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
	r = vfmi_sim_unmap(sim, vfmi_sim_slot(sim, space), cmd->iova, last, &bytes, call);
	if (r)
		return r;
	if (!bytes && !all)
		return -ENOENT;
	cmd->length = bytes;
	return 0;
}

/* dispatch */

static const struct {
	unsigned long request;
	uint32_t min;
	uint32_t size;
	uint32_t since;
} known[] = {
	{ IOMMU_DESTROY, 8, sizeof(struct iommu_destroy), 0 },
	{ IOMMU_IOAS_ALLOC, 12, sizeof(struct iommu_ioas_alloc), 0 },
	{ IOMMU_IOAS_ALLOW_IOVAS, 24, sizeof(struct iommu_ioas_allow_iovas), 0 },
	{ IOMMU_IOAS_COPY, 40, sizeof(struct iommu_ioas_copy), 0 },
	{ IOMMU_IOAS_IOVA_RANGES, 32, sizeof(struct iommu_ioas_iova_ranges), 0 },
	{ IOMMU_IOAS_MAP, 40, sizeof(struct iommu_ioas_map), 0 },
	{ IOMMU_IOAS_UNMAP, 24, sizeof(struct iommu_ioas_unmap), 0 },
	{ IOMMU_OPTION, 24, sizeof(struct iommu_option), 0 },
	{ IOMMU_VFIO_IOAS, 12, sizeof(struct iommu_vfio_ioas), 0 },
	{ IOMMU_HWPT_ALLOC, 24, sizeof(struct iommu_hwpt_alloc), SIM_KERNEL(6, 6) },
	{ IOMMU_GET_HW_INFO, 32, sizeof(struct iommu_hw_info), SIM_KERNEL(6, 6) },
	{ IOMMU_HWPT_SET_DIRTY_TRACKING, 16, sizeof(struct iommu_hwpt_set_dirty_tracking), SIM_KERNEL(6, 7) },
	{ IOMMU_HWPT_GET_DIRTY_BITMAP, 48, sizeof(struct iommu_hwpt_get_dirty_bitmap), SIM_KERNEL(6, 7) },
	{ IOMMU_IOAS_MAP_FILE, 40, sizeof(struct iommu_ioas_map_file), SIM_KERNEL(6, 13) },
	{ IOMMU_IOAS_CHANGE_PROCESS, 8, sizeof(struct iommu_ioas_change_process), SIM_KERNEL(6, 14) },
};

/* Too short is EINVAL; longer is fine as long as the rest is zero. */
static int size_check(struct vfm_sim *sim, unsigned long request, const void *arg)
{
	uint32_t size;
	size_t i, at;

	for (i = 0; i < VFMI_ARRAY_SIZE(known); i++)
		if (known[i].request == request)
			break;
	if (i == VFMI_ARRAY_SIZE(known)) {
		if (request != VFIO_DEVICE_GET_INFO)
			vfmi_sim_strict(sim, "iommufd: unknown ioctl %#lx", request);
		return -ENOTTY;
	}
	if (known[i].since > sim->machine->host.kernel)
		return -ENOTTY;
	if (!arg)
		return -EFAULT;
	memcpy(&size, arg, sizeof(size));
	if (size < known[i].min) {
		vfmi_sim_strict(sim, "iommufd: ioctl %#lx with size %u", request, size);
		return -EINVAL;
	}
	for (at = known[i].size; at < size; at++)
		if (((const uint8_t *)arg)[at]) {
			vfmi_sim_strict(sim, "iommufd: ioctl %#lx with a tail that is not zero", request);
			return -E2BIG;
		}
	return 0;
}

static int dispatch(struct vfm_sim *sim, uint32_t ctx, unsigned long request, void *arg, const struct sim_call *call)
{
	switch (request) {
	case IOMMU_DESTROY:
		return destroy(sim, ctx, arg);
	case IOMMU_IOAS_ALLOC:
		return ioas_alloc(sim, ctx, arg);
	case IOMMU_IOAS_ALLOW_IOVAS:
		return vfmi_sim_allow_iovas(sim, ctx, arg);
	case IOMMU_IOAS_COPY:
		return vfmi_sim_ioas_copy(sim, ctx, arg);
	case IOMMU_IOAS_IOVA_RANGES:
		return iova_ranges(sim, ctx, arg);
	case IOMMU_IOAS_MAP:
		return ioas_map(sim, ctx, arg);
	case IOMMU_IOAS_UNMAP:
		return ioas_unmap(sim, ctx, arg, call);
	case IOMMU_OPTION:
		return vfmi_sim_option(sim, ctx, arg);
	case IOMMU_VFIO_IOAS:
		return vfmi_sim_vfio_ioas(sim, ctx, arg);
	case IOMMU_IOAS_MAP_FILE:
		return vfmi_sim_ioas_map_file(sim, ctx, arg);
	case IOMMU_IOAS_CHANGE_PROCESS:
		return vfmi_sim_change_process(sim, ctx, arg);
	default:
		return vfmi_sim_hwpt_ioctl(sim, ctx, request, arg);
	}
}

int vfmi_sim_iommu_ioctl(struct vfm_sim *sim, uint32_t ctx, unsigned long request, void *arg, struct sim_call *call)
{
	int r;

	if (vfmi_sim_is_compat(request))
		return vfmi_sim_compat_ioctl(sim, ctx, request, arg, call);
	r = size_check(sim, request, arg);
	return r ? r : dispatch(sim, ctx, request, arg, call);
}
