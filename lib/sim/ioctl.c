/* SPDX-License-Identifier: MIT */
/*
 * ioctls on descriptors of the machine: which object takes them, and their names. VFIO_DEVICE_GET_INFO may be asked of
 * anything: that is how a descriptor that came from elsewhere is found to be a bound device.
 */
#include <stdio.h>

#include "profile.h"
#include "uapi/iommufd.h"
#include "uapi/vfio.h"

static int cdev_ioctl(struct vfm_sim *sim, uint32_t id, unsigned long request, void *arg, struct sim_call *call)
{
	struct sim_device *dev = &sim->machine->device[sim->machine->objects[id].device];

	if (request == VFIO_DEVICE_BIND_IOMMUFD)
		return vfmi_sim_bind(sim, id, arg);
	if (dev->bound != id + 1) {
		if (request != VFIO_DEVICE_GET_INFO)
			vfmi_sim_strict(sim, "%s: ioctl %#lx before it was bound", dev->name, request);
		return -EINVAL;
	}
	return vfmi_sim_device_ioctl(sim, dev, request, arg, call);
}

int vfmi_sim_ioctl(struct vfm_sim *sim, uint32_t id, unsigned long request, void *arg, struct sim_call *call)
{
	const struct sim_object *object = &sim->machine->objects[id];

	switch (object->kind) {
	case SIM_OBJECT_CDEV:
		return cdev_ioctl(sim, id, request, arg, call);
	case SIM_OBJECT_IOMMUFD:
		return vfmi_sim_iommu_ioctl(sim, id, request, arg, call);
	case SIM_OBJECT_DATA:
		return vfmi_sim_session_ioctl(sim, object, request, arg);
	default:
		return -EBADF;
	}
}

/* Numbers are used anew by each kind of file. */
static const struct {
	unsigned long request;
	const char *name;
	int likely;
} names[] = {
	{ VFIO_DEVICE_GET_INFO, "VFIO_DEVICE_GET_INFO", EIO },
	{ VFIO_DEVICE_GET_REGION_INFO, "VFIO_DEVICE_GET_REGION_INFO", EIO },
	{ VFIO_DEVICE_GET_IRQ_INFO, "VFIO_DEVICE_GET_IRQ_INFO", EIO },
	{ VFIO_DEVICE_SET_IRQS, "VFIO_DEVICE_SET_IRQS", ENOSPC },
	{ VFIO_DEVICE_RESET, "VFIO_DEVICE_RESET", EAGAIN },
	{ VFIO_DEVICE_FEATURE, "VFIO_DEVICE_FEATURE", EIO },
	{ VFIO_DEVICE_BIND_IOMMUFD, "VFIO_DEVICE_BIND_IOMMUFD", EBUSY },
	{ VFIO_DEVICE_ATTACH_IOMMUFD_PT, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", EADDRINUSE },
	{ VFIO_DEVICE_DETACH_IOMMUFD_PT, "VFIO_DEVICE_DETACH_IOMMUFD_PT", EIO },
	{ VFIO_MIG_GET_PRECOPY_INFO, "VFIO_MIG_GET_PRECOPY_INFO", EIO },
	{ IOMMU_DESTROY, "IOMMU_DESTROY", EBUSY },
	{ IOMMU_IOAS_ALLOC, "IOMMU_IOAS_ALLOC", ENOMEM },
	{ IOMMU_IOAS_IOVA_RANGES, "IOMMU_IOAS_IOVA_RANGES", ENOMEM },
	{ IOMMU_IOAS_MAP, "IOMMU_IOAS_MAP", ENOMEM },
	{ IOMMU_IOAS_UNMAP, "IOMMU_IOAS_UNMAP", EBUSY },
};

static void feature_name(struct sim_call *call, const struct vfio_device_feature *feature)
{
	static const struct {
		uint32_t number;
		const char *name;
	} features[] = {
		{ VFIO_DEVICE_FEATURE_MIGRATION, "VFIO_DEVICE_FEATURE(MIGRATION)" },
		{ VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, "VFIO_DEVICE_FEATURE(MIG_DEVICE_STATE)" },
		{ VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, "VFIO_DEVICE_FEATURE(MIG_DATA_SIZE)" },
		{ VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, "VFIO_DEVICE_FEATURE(MIG_PRECOPY_INFOv2)" },
	};
	size_t i;

	for (i = 0; i < VFMI_ARRAY_SIZE(features); i++)
		if ((feature->flags & VFIO_DEVICE_FEATURE_MASK) == features[i].number)
			call->name = features[i].name;
	call->verb = feature->flags & VFIO_DEVICE_FEATURE_PROBE ? "PROBE"
		     : feature->flags & VFIO_DEVICE_FEATURE_SET ? "SET"
								: "GET";
}

void vfmi_sim_ioctl_name(struct sim_call *call, unsigned long request, const void *arg)
{
	size_t i;

	for (i = 0; i < VFMI_ARRAY_SIZE(names); i++)
		if (names[i].request == request) {
			call->name = names[i].name;
			call->likely = names[i].likely;
		}
	if (request == VFIO_DEVICE_FEATURE && arg)
		feature_name(call, arg);
}
