/* SPDX-License-Identifier: MIT */
/* An iommufd that stands in for a container: VFIO's ioctls on it, and the IOAS behind them. */
#include "spaces.h"
#include "uapi/iommufd.h"
#include "uapi/vfio.h"

bool vfmi_sim_is_compat(unsigned long request)
{
	return request == VFIO_GET_API_VERSION || request == VFIO_CHECK_EXTENSION || request == VFIO_SET_IOMMU ||
	       request == VFIO_IOMMU_GET_INFO || request == VFIO_IOMMU_MAP_DMA || request == VFIO_IOMMU_UNMAP_DMA;
}

static bool no_iommu(const struct vfm_sim *sim, uint32_t ctx)
{
	return sim->machine->objects[ctx].mode & SIM_IOMMUFD_NO_IOMMU;
}

struct sim_space *vfmi_sim_compat_ioas(struct vfm_sim *sim, uint32_t ctx)
{
	return vfmi_sim_ioas(sim, ctx, sim->machine->objects[ctx].link);
}

/* A group has come: there is an IOAS from now on. */
int vfmi_sim_compat_create(struct vfm_sim *sim, uint32_t ctx, bool group_has_no_iommu)
{
	struct sim_object *iommufd = &sim->machine->objects[ctx];
	const struct sim_space *space = vfmi_sim_compat_ioas(sim, ctx);

	if (group_has_no_iommu) {
		if (space)
			return -EINVAL;
		iommufd->mode |= SIM_IOMMUFD_NO_IOMMU;
		return 0;
	}
	if (no_iommu(sim, ctx))
		return -EINVAL;
	if (space)
		return 0;
	space = vfmi_sim_space_new(sim, ctx, 0, vfmi_sim_new_id(sim, ctx));
	if (!space)
		return -ENOMEM;
	iommufd->link = space->id;
	return 0;
}

int vfmi_sim_vfio_ioas(struct vfm_sim *sim, uint32_t ctx, void *arg)
{
	struct sim_object *iommufd = &sim->machine->objects[ctx];
	struct iommu_vfio_ioas *cmd = arg;

	if (cmd->reserved || cmd->op > IOMMU_VFIO_IOAS_CLEAR) {
		vfmi_sim_strict(sim, "IOMMU_VFIO_IOAS with operation %u", cmd->op);
		return -EOPNOTSUPP;
	}
	if (cmd->op == IOMMU_VFIO_IOAS_CLEAR) {
		iommufd->link = 0;
	} else if (cmd->op == IOMMU_VFIO_IOAS_SET) {
		if (!vfmi_sim_ioas(sim, ctx, cmd->ioas_id))
			return vfmi_sim_unknown_id(sim, cmd->ioas_id);
		iommufd->link = cmd->ioas_id;
	} else {
		if (!vfmi_sim_compat_ioas(sim, ctx))
			return -ENODEV;
		cmd->ioas_id = iommufd->link;
	}
	return 0;
}

static int check_extension(struct vfm_sim *sim, uint32_t ctx, unsigned long what)
{
	switch (what) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL:
		return !no_iommu(sim, ctx);
	case VFIO_NOIOMMU_IOMMU:
		return 1; /* compiled in, whether it is switched on or not */
	case VFIO_DMA_CC_IOMMU:
		return vfmi_sim_compat_ioas(sim, ctx) ? 1 : -ENODEV;
	default:
		return 0; /* VFIO_UPDATE_VADDR too */
	}
}

/* The first version may cut maps, which large pages would not let it do. */
static int set_iommu(struct vfm_sim *sim, uint32_t ctx, unsigned long type)
{
	struct sim_space *space = vfmi_sim_compat_ioas(sim, ctx);

	if (type == VFIO_NOIOMMU_IOMMU && no_iommu(sim, ctx))
		return 0;
	if ((type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU) || no_iommu(sim, ctx)) {
		vfmi_sim_strict(sim, "iommufd: VFIO_SET_IOMMU with %lu", type);
		return -EINVAL;
	}
	if (!space)
		return -ENODEV;
	return type == VFIO_TYPE1_IOMMU ? vfmi_sim_small_pages(sim, space) : 0;
}

static int map_dma(struct vfm_sim *sim, uint32_t ctx, const struct vfio_iommu_type1_dma_map *cmd)
{
	struct sim_map map = { .iova = cmd->iova, .length = cmd->size, .vaddr = cmd->vaddr };
	struct sim_space *space = vfmi_sim_compat_ioas(sim, ctx);

	if (cmd->argsz < sizeof(*cmd) || (cmd->flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE))) {
		vfmi_sim_strict(sim, "iommufd: VFIO_IOMMU_MAP_DMA with argsz %u and flags %#x", cmd->argsz, cmd->flags);
		return -EINVAL;
	}
	if (!space)
		return -ENODEV;
	map.flags = IOMMU_IOAS_MAP_FIXED_IOVA | (cmd->flags & VFIO_DMA_MAP_FLAG_READ ? IOMMU_IOAS_MAP_READABLE : 0) |
		    (cmd->flags & VFIO_DMA_MAP_FLAG_WRITE ? IOMMU_IOAS_MAP_WRITEABLE : 0);
	map.pid = (uint32_t)sim->pid;
	map.start_time = vfmi_sim_own_start(sim);
	return vfmi_sim_ioas_map(sim, space, &map);
}

/* Where large pages are off a map is cut behind @iova, unless that is its first or last byte. */
static int cut_behind(struct vfm_sim *sim, struct sim_space *space, uint64_t iova)
{
	struct sim_map *map = vfmi_sim_map_next(sim, vfmi_sim_slot(sim, space), iova, iova);

	if (!map || map->iova == iova || vfmi_sim_map_last(map) == iova)
		return 0;
	if ((iova + 1) % vfmi_sim_alignment(sim, vfmi_sim_slot(sim, space)))
		return -EINVAL;
	return vfmi_sim_map_cut(sim, map, iova + 1);
}

static int unmap_range(struct vfm_sim *sim, struct sim_space *space, const struct vfio_iommu_type1_dma_unmap *cmd,
		       uint64_t *ret_bytes, const struct sim_call *call)
{
	uint64_t last = cmd->iova + cmd->size - 1;
	int r = 0;

	if (space->small_pages)
		r = cut_behind(sim, space, last);
	if (!r && space->small_pages && cmd->iova)
		r = cut_behind(sim, space, cmd->iova - 1);
	if (r)
		return r;
	if (!cmd->size)
		return -EINVAL;
	if (vfmi_add_overflows(cmd->iova, cmd->size - 1, &last))
		return -EOVERFLOW;
	return vfmi_sim_unmap(sim, vfmi_sim_slot(sim, space), cmd->iova, last, ret_bytes, call);
}

/* What is gone is told, also when it failed. */
static int unmap_dma(struct vfm_sim *sim, uint32_t ctx, struct vfio_iommu_type1_dma_unmap *cmd,
		     const struct sim_call *call)
{
	struct sim_space *space = vfmi_sim_compat_ioas(sim, ctx);
	uint64_t bytes = 0;
	int r;

	if (cmd->argsz < sizeof(*cmd) || (cmd->flags & ~VFIO_DMA_UNMAP_FLAG_ALL))
		return -EINVAL;
	if (!space)
		return -ENODEV;
	if (!(cmd->flags & VFIO_DMA_UNMAP_FLAG_ALL))
		r = unmap_range(sim, space, cmd, &bytes, call);
	else if (cmd->iova || cmd->size)
		return -EINVAL;
	else
		r = vfmi_sim_unmap(sim, vfmi_sim_slot(sim, space), 0, UINT64_MAX, &bytes, call);
	cmd->size = bytes;
	return r;
}

int vfmi_sim_compat_ioctl(struct vfm_sim *sim, uint32_t ctx, unsigned long request, void *arg,
			  const struct sim_call *call)
{
	const struct vfio_iommu_type1_info *info = arg;
	const struct sim_space *space;

	if (!arg && (request == VFIO_IOMMU_MAP_DMA || request == VFIO_IOMMU_UNMAP_DMA))
		return -EFAULT;
	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return check_extension(sim, ctx, (unsigned long)(uintptr_t)arg);
	case VFIO_SET_IOMMU:
		return set_iommu(sim, ctx, (unsigned long)(uintptr_t)arg);
	case VFIO_IOMMU_MAP_DMA:
		return map_dma(sim, ctx, arg);
	case VFIO_IOMMU_UNMAP_DMA:
		return unmap_dma(sim, ctx, arg, call);
	default:
		if (info && info->argsz < offsetof(struct vfio_iommu_type1_info, cap_offset)) {
			vfmi_sim_strict(sim, "iommufd: VFIO_IOMMU_GET_INFO with argsz %u", info->argsz);
			return -EINVAL;
		}
		space = vfmi_sim_compat_ioas(sim, ctx);
		return space ? vfmi_sim_type1_info(sim, vfmi_sim_slot(sim, space), arg) : -ENODEV;
	}
}
