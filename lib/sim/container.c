/* SPDX-License-Identifier: MIT */
/* The container: groups come and go, VFIO_SET_IOMMU gives it an address space, the last group takes that away. */
#include "pages.h"
#include "uapi/vfio.h"

#define VFIO_TYPE1_NESTING_IOMMU 6u /* until Linux 6.13 */

static struct sim_object *object_at(const struct vfm_sim *sim, uint32_t id)
{
	return &sim->machine->objects[id];
}

/* One of its groups; NULL when there is none. */
static const struct sim_object *any_group(const struct vfm_sim *sim, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < sim->machine->objects_used; i++)
		if (object_at(sim, i)->kind == SIM_OBJECT_GROUP && object_at(sim, i)->link == id + 1)
			return object_at(sim, i);
	return NULL;
}

static bool is_no_iommu(const struct vfm_sim *sim, uint32_t id)
{
	const struct sim_object *group = any_group(sim, id);

	return group && vfmi_sim_group_no_iommu(sim, group->group);
}

/* Some device of the group takes part in its IOMMU; mediated ones do not. */
static bool is_physical(const struct vfm_sim *sim, uint32_t group)
{
	uint32_t i;

	for (i = 0; i < sim->machine->devices; i++)
		if (sim->machine->device[i].group == group && !vfmi_sim_quirk(&sim->machine->device[i], SIM_MDEV))
			return true;
	return false;
}

int vfmi_sim_container_join(struct vfm_sim *sim, uint32_t id, uint32_t group)
{
	const struct sim_object *container = object_at(sim, id);
	int r;

	if (any_group(sim, id) && is_no_iommu(sim, id) != vfmi_sim_group_no_iommu(sim, group))
		return -EPERM;
	if (!vfmi_sim_group_viable(sim, group))
		return -EPERM;
	/* An iommufd has its DMA, through a device that is open still. */
	if (vfmi_sim_group_owned(sim, group, SIM_NOBODY))
		return -EPERM;
	if (container->link && sim->machine->space[container->link - 1].no_vaddr)
		return -EBUSY;
	if (!container->link || !is_physical(sim, group))
		return 0;
	/* A conflict of windows is EINVAL here, not what iommufd says. */
	r = vfmi_sim_space_check(sim, container->link - 1, true);
	return r == -EADDRINUSE ? -EINVAL : r;
}

static void drop_space(struct vfm_sim *sim, struct sim_object *container)
{
	uint32_t slot = container->link;

	if (slot)
		vfmi_sim_space_free(sim, &sim->machine->space[slot - 1]);
	container->mode = 0;
	container->link = 0;
}

/* With the last device of an IOMMU all that it could reach is dirty, once. */
static void settle_tracking(struct vfm_sim *sim, uint32_t slot)
{
	struct sim_pages *set = vfmi_sim_pages(sim, SIM_PAGES_SPACE, slot);
	struct sim_space *space = &sim->machine->space[slot];
	bool physical = vfmi_sim_attached(sim, slot, true);
	const struct sim_map *map;
	uint64_t from = 0;

	while (space->physical && !physical && (map = vfmi_sim_map_next(sim, slot, from, UINT64_MAX))) {
		vfmi_sim_pages_add(sim, set, map->iova, vfmi_sim_map_last(map));
		from = vfmi_sim_map_last(map) + 1;
		if (!from)
			break;
	}
	space->physical = physical;
}

/* Without a group there is no IOMMU, and no address space is without its container. */
void vfmi_sim_containers_settle(struct vfm_sim *sim)
{
	uint32_t i;

	for (i = 0; i < sim->machine->objects_used; i++)
		if (object_at(sim, i)->kind == SIM_OBJECT_CONTAINER && object_at(sim, i)->mode && !any_group(sim, i))
			drop_space(sim, object_at(sim, i));
	for (i = 0; i < SIM_MAX_SPACES; i++) {
		struct sim_space *space = &sim->machine->space[i];

		if (space->id && space->type && object_at(sim, space->owner)->link != i + 1)
			vfmi_sim_space_free(sim, space);
		else if (space->id && space->tracking)
			settle_tracking(sim, i);
	}
}

void vfmi_sim_container_close(struct vfm_sim *sim, uint32_t id)
{
	drop_space(sim, object_at(sim, id));
}

static int check_extension(struct vfm_sim *sim, uint32_t id, unsigned long what)
{
	const struct sim_object *container = object_at(sim, id);
	bool no_iommu = is_no_iommu(sim, id), set = container->mode, any = any_group(sim, id);

	switch (what) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL:
		return !no_iommu;
	case VFIO_TYPE1_NESTING_IOMMU:
		return !no_iommu && sim->machine->host.kernel < SIM_KERNEL(6, 13);
	case VFIO_NOIOMMU_IOMMU:
		return sim->machine->host.noiommu && (no_iommu || !any);
	case VFIO_DMA_CC_IOMMU:
		return set && !no_iommu;
	case VFIO_UPDATE_VADDR:
		return set && !no_iommu && !vfmi_sim_emulated(sim, container->link - 1);
	default:
		return 0;
	}
}

static int set_iommu(struct vfm_sim *sim, uint32_t id, unsigned long type)
{
	struct sim_object *container = object_at(sim, id);
	bool no_iommu = is_no_iommu(sim, id);
	struct sim_space *space;

	if (!any_group(sim, id) || container->mode) {
		vfmi_sim_strict(sim, "VFIO_SET_IOMMU on a container %s",
				container->mode ? "that has one" : "without a group");
		return -EINVAL;
	}
	if (no_iommu ? type != VFIO_NOIOMMU_IOMMU : type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU)
		return -ENODEV;
	vfmi_sim_groups_change(sim);
	if (!no_iommu) {
		space = vfmi_sim_space_new(sim, id, (uint32_t)type, SIM_CONTAINER_SPACE);
		if (!space)
			return -ENOMEM;
		container->link = vfmi_sim_slot(sim, space) + 1;
	}
	container->mode = (uint32_t)type;
	vfmi_sim_groups_settle(sim);
	return 0;
}

int vfmi_sim_container_ioctl(struct vfm_sim *sim, uint32_t id, unsigned long request, void *arg)
{
	const struct sim_object *container = object_at(sim, id);
	int r = -ENOTTY;

	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return check_extension(sim, id, (unsigned long)(uintptr_t)arg);
	case VFIO_SET_IOMMU:
		return set_iommu(sim, id, (unsigned long)(uintptr_t)arg);
	default:
		if (!container->mode)
			return -EINVAL;
		if (container->link)
			r = vfmi_sim_type1_ioctl(sim, container->link - 1, request, arg);
		if (r == -ENOTTY && request != VFIO_DEVICE_GET_INFO)
			vfmi_sim_strict(sim, "container: unknown ioctl %#lx", request);
		return r;
	}
}
