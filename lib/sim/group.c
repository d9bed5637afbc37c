/* SPDX-License-Identifier: MIT */
/* Groups: who has one open, what container it belongs to, and the devices it gives out. */
#include <fcntl.h>
#include <unistd.h>

#include "spaces.h"
#include "uapi/vfio.h"

static struct sim_object *object_at(const struct vfm_sim *sim, uint32_t id)
{
	return &sim->machine->objects[id];
}

static uint32_t id_of(const struct vfm_sim *sim, const struct sim_object *object)
{
	return (uint32_t)(object - sim->machine->objects);
}

/* A device in a container keeps its group open. One that an iommufd has does not: the group's file can be had anew. */
struct sim_object *vfmi_sim_group(const struct vfm_sim *sim, uint32_t number)
{
	uint32_t i;

	for (i = 0; i < sim->machine->objects_used; i++) {
		struct sim_object *object = object_at(sim, i);

		if (object->kind == SIM_OBJECT_GROUP && object->group == number && (!object->closed || object->link))
			return object;
	}
	return NULL;
}

/* Each in turn that is a member; @from starts at 0. */
static struct sim_device *member(const struct vfm_sim *sim, uint32_t group, uint32_t *from)
{
	while (*from < sim->machine->devices) {
		struct sim_device *dev = &sim->machine->device[(*from)++];

		if (dev->group == group && !(dev->flags & SIM_DEVICE_UNPLUGGED))
			return dev;
	}
	return NULL;
}

/* No member is driven by the host. */
bool vfmi_sim_group_viable(const struct vfm_sim *sim, uint32_t number)
{
	const struct sim_device *dev;
	uint32_t at = 0;

	while ((dev = member(sim, number, &at)))
		if (!(dev->flags & SIM_DEVICE_VFIO) && !vfmi_sim_quirk(dev, SIM_MDEV))
			return false;
	return true;
}

bool vfmi_sim_group_no_iommu(const struct vfm_sim *sim, uint32_t number)
{
	const struct sim_device *dev;
	uint32_t at = 0;

	while ((dev = member(sim, number, &at)))
		if (dev->flags & SIM_DEVICE_NO_IOMMU)
			return true;
	return false;
}

/* Another iommufd than @ctx has the group's DMA; that of mediated devices is nobody's. */
bool vfmi_sim_group_owned(const struct vfm_sim *sim, uint32_t number, uint32_t ctx)
{
	const struct sim_device *dev;
	uint32_t at = 0;

	while ((dev = member(sim, number, &at)))
		if (dev->ctx && dev->ctx != ctx + 1 && !vfmi_sim_quirk(dev, SIM_MDEV))
			return true;
	return false;
}

bool vfmi_sim_group_linked(const struct vfm_sim *sim, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < sim->machine->objects_used; i++)
		if (object_at(sim, i)->kind == SIM_OBJECT_GROUP && object_at(sim, i)->link == id + 1)
			return true;
	return false;
}

bool vfmi_sim_group_used(const struct vfm_sim *sim, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < sim->machine->devices; i++)
		if (sim->machine->device[i].bound == id + 1)
			return true;
	return false;
}

static bool by_cdev(const struct vfm_sim *sim, const struct sim_device *dev)
{
	return dev->bound && object_at(sim, dev->bound - 1)->kind == SIM_OBJECT_CDEV;
}

/* opening and closing */

int vfmi_sim_group_open(struct vfm_sim *sim, uint32_t number, int flags)
{
	const struct sim_object object = { .kind = SIM_OBJECT_GROUP, .group = number };
	const struct sim_device *dev;
	uint32_t at = 0, drivers = 0;

	while ((dev = member(sim, number, &at))) {
		drivers += !!(dev->flags & SIM_DEVICE_VFIO);
		if (by_cdev(sim, dev))
			return -EBUSY;
	}
	if (!drivers)
		return -ENODEV;
	return vfmi_sim_group(sim, number) ? -EBUSY : vfmi_sim_object_open(sim, &object, flags);
}

/* Of type1; what goes through an iommufd is attached device by device. */
static uint32_t container_space(const struct vfm_sim *sim, const struct sim_device *dev)
{
	const struct sim_object *group = vfmi_sim_group(sim, dev->group);

	if (!group || !group->link || object_at(sim, group->link - 1)->kind != SIM_OBJECT_CONTAINER)
		return 0;
	return dev->flags & SIM_DEVICE_VFIO ? object_at(sim, group->link - 1)->link : 0;
}

void vfmi_sim_groups_change(struct vfm_sim *sim)
{
	__atomic_or_fetch(&sim->machine->busy, SIM_BUSY_GROUPS, __ATOMIC_SEQ_CST);
}

void vfmi_sim_groups_settle(struct vfm_sim *sim)
{
	struct sim_machine *machine = sim->machine;
	uint32_t i;

	for (i = 0; i < machine->devices; i++) {
		struct sim_device *dev = &machine->device[i];
		uint32_t space = container_space(sim, dev);

		if (space || (dev->space && machine->space[dev->space - 1].type) ||
		    (dev->space && !machine->space[dev->space - 1].id))
			dev->space = space;
	}
	vfmi_sim_containers_settle(sim);
	__atomic_and_fetch(&machine->busy, ~(uint32_t)SIM_BUSY_GROUPS, __ATOMIC_SEQ_CST);
}

static void leave(struct vfm_sim *sim, struct sim_object *group)
{
	vfmi_sim_groups_change(sim);
	group->link = 0;
	vfmi_sim_groups_settle(sim);
}

void vfmi_sim_group_close(struct vfm_sim *sim, uint32_t id)
{
	leave(sim, object_at(sim, id));
}

void vfmi_sim_group_closed(struct vfm_sim *sim, uint32_t id)
{
	struct sim_object *group = object_at(sim, id);

	if (group->link && object_at(sim, group->link - 1)->kind == SIM_OBJECT_IOMMUFD)
		leave(sim, group);
}

/* ioctls */

static int get_status(struct vfm_sim *sim, const struct sim_object *group, struct vfio_group_status *status)
{
	if (!status)
		return -EFAULT;
	if (status->argsz < sizeof(*status)) {
		vfmi_sim_strict(sim, "VFIO_GROUP_GET_STATUS with argsz %u", status->argsz);
		return -EINVAL;
	}
	status->flags = 0;
	if (group->link)
		status->flags = VFIO_GROUP_FLAGS_CONTAINER_SET | VFIO_GROUP_FLAGS_VIABLE;
	else if (vfmi_sim_group_viable(sim, group->group) && !vfmi_sim_group_owned(sim, group->group, SIM_NOBODY))
		status->flags = VFIO_GROUP_FLAGS_VIABLE;
	return 0;
}

static int set_container(struct vfm_sim *sim, struct sim_object *group, const int32_t *fd)
{
	uint32_t kind, id;
	int r;

	if (!fd)
		return -EFAULT;
	r = vfmi_sim_object_of(sim, *fd, &id);
	if (r == -EBADF)
		return r;
	if (group->link) {
		vfmi_sim_strict(sim, "group %u is put into a second container", group->group);
		return -EINVAL;
	}
	kind = r ? SIM_OBJECT_NONE : object_at(sim, id)->kind;
	if (kind == SIM_OBJECT_CONTAINER)
		r = vfmi_sim_container_join(sim, id, group->group);
	else if (kind == SIM_OBJECT_IOMMUFD)
		r = vfmi_sim_compat_create(sim, id, vfmi_sim_group_no_iommu(sim, group->group));
	else
		return -EBADFD;
	if (r)
		return r;
	vfmi_sim_groups_change(sim);
	group->link = id + 1;
	vfmi_sim_groups_settle(sim);
	return 0;
}

/* Devices that were opened while the group was in a container, not those that have an iommufd on their own. */
static bool uses_container(const struct vfm_sim *sim, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < sim->machine->devices; i++)
		if (sim->machine->device[i].bound == id + 1 && !sim->machine->device[i].ctx)
			return true;
	return false;
}

static int unset_container(struct vfm_sim *sim, struct sim_object *group)
{
	if (!group->link) {
		vfmi_sim_strict(sim, "group %u is taken out of no container", group->group);
		return -EINVAL;
	}
	/* An iommufd is let go all the same. */
	if (object_at(sim, group->link - 1)->kind == SIM_OBJECT_CONTAINER && uses_container(sim, id_of(sim, group)))
		return -EBUSY;
	leave(sim, group);
	return 0;
}

/* The device a name means, "0000:01:00.1" or "0000:01:00.1 vf_token=UUID"; *ret_rest is what follows the name. */
static struct sim_device *find_device(const struct vfm_sim *sim, uint32_t group, const char *name,
				      const char **ret_rest)
{
	struct sim_device *dev;
	uint32_t at = 0;

	while ((dev = member(sim, group, &at))) {
		size_t length = strlen(dev->name);

		if (!(dev->flags & SIM_DEVICE_VFIO) || strncmp(name, dev->name, length))
			continue;
		*ret_rest = name + length;
		if (!name[length] || (name[length] == ' ' && !vfmi_sim_quirk(dev, SIM_MDEV)))
			return dev;
	}
	return NULL;
}

/* What the group's container or iommufd says to a device's first open. */
static int first_open(struct vfm_sim *sim, const struct sim_object *group, struct sim_device *dev)
{
	const struct sim_object *link = object_at(sim, group->link - 1);
	const struct sim_space *ioas;
	bool iommufd = link->kind == SIM_OBJECT_IOMMUFD;
	uint32_t pt_id;
	int r;

	if (!iommufd && !link->mode) {
		vfmi_sim_strict(sim, "%s: asked for before VFIO_SET_IOMMU", dev->name);
		return -EINVAL;
	}
	vfmi_sim_change(sim, dev);
	r = vfmi_sim_first_open(sim, dev, id_of(sim, group), iommufd ? group->link : 0);
	if (r || !iommufd || (dev->flags & SIM_DEVICE_NO_IOMMU))
		return r;
	ioas = vfmi_sim_compat_ioas(sim, group->link - 1);
	pt_id = ioas ? ioas->id : 0;
	r = ioas ? vfmi_sim_attach(sim, dev, &pt_id) : -ENODEV;
	if (r)
		vfmi_sim_unbind(sim, dev);
	return r;
}

static int get_device(struct vfm_sim *sim, struct sim_object *group, const char *name, const struct sim_call *call)
{
	struct sim_object object = { .kind = SIM_OBJECT_DEVICE };
	struct sim_device *dev;
	const char *rest;
	bool first;
	int r;

	if (!name)
		return -EFAULT;
	dev = find_device(sim, group->group, name, &rest);
	if (!dev)
		return -ENODEV;
	r = vfmi_sim_name_options(sim, dev, rest);
	if (r)
		return r;
	if (!group->link) {
		vfmi_sim_strict(sim, "%s: asked for before its group has a container", dev->name);
		return -EINVAL;
	}
	first = !dev->bound;
	if (first)
		r = first_open(sim, group, dev);
	if (r)
		return r;
	object.device = vfmi_sim_index(sim, dev);
	r = vfmi_sim_object_open(sim, &object, O_RDWR);
	if (r < 0 && first)
		vfmi_sim_unbind(sim, dev);
	if (r >= 0 && call->mode == VFM_SIM_FAULT_AFTER) {
		close(r);
		return -call->error;
	}
	return vfmi_sim_books_opened(sim, r);
}

int vfmi_sim_group_ioctl(struct vfm_sim *sim, uint32_t id, unsigned long request, void *arg, struct sim_call *call)
{
	struct sim_object *group = object_at(sim, id);

	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		return get_status(sim, group, arg);
	case VFIO_GROUP_SET_CONTAINER:
		return set_container(sim, group, arg);
	case VFIO_GROUP_UNSET_CONTAINER:
		return unset_container(sim, group);
	case VFIO_GROUP_GET_DEVICE_FD:
		return get_device(sim, group, arg, call);
	default:
		if (request != VFIO_DEVICE_GET_INFO)
			vfmi_sim_strict(sim, "group %u: unknown ioctl %#lx", group->group, request);
		return -ENOTTY;
	}
}

/* Of all files a group gave out for a device, @id was the last. */
bool vfmi_sim_device_closed(const struct vfm_sim *sim, const struct sim_device *dev, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < sim->machine->objects_used; i++)
		if (i != id && object_at(sim, i)->kind == SIM_OBJECT_DEVICE &&
		    object_at(sim, i)->device == vfmi_sim_index(sim, dev))
			return false;
	return true;
}
