/* SPDX-License-Identifier: MIT */
/*
 * ioctls on descriptors of the machine: which object takes them, and their names. VFIO_DEVICE_GET_INFO may be asked of
 * anything: that is how a descriptor that came from elsewhere is found to be a bound device.
 */
#include <stdio.h>

#include "spaces.h"
#include "uapi/iommufd.h"
#include "uapi/vfio.h"

static int device_ioctl(struct vfm_sim *sim, uint32_t id, unsigned long request, void *arg, struct sim_call *call)
{
	struct sim_device *dev = &sim->machine->device[sim->machine->objects[id].device];

	if (request == VFIO_DEVICE_BIND_IOMMUFD)
		return vfmi_sim_bind(sim, id, arg);
	if (!vfmi_sim_is_open(sim, dev, id)) {
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
	case SIM_OBJECT_DEVICE:
		return device_ioctl(sim, id, request, arg, call);
	case SIM_OBJECT_IOMMUFD:
		return vfmi_sim_iommu_ioctl(sim, id, request, arg, call);
	case SIM_OBJECT_CONTAINER:
		return vfmi_sim_container_ioctl(sim, id, request, arg);
	case SIM_OBJECT_GROUP:
		return vfmi_sim_group_ioctl(sim, id, request, arg, call);
	case SIM_OBJECT_DATA:
		return vfmi_sim_session_ioctl(sim, object, request, arg);
	case SIM_OBJECT_DMABUF:
		return -ENOTTY;
	default:
		return -EBADF;
	}
}

/* Numbers are used anew by each kind of file: some of a device's mean other things to what maps memory. */
struct ioctl_name {
	unsigned long request;
	const char *name;
	int likely;
};

static const struct ioctl_name memory_names[] = {
	{ VFIO_GET_API_VERSION, "VFIO_GET_API_VERSION", EIO },
	{ VFIO_CHECK_EXTENSION, "VFIO_CHECK_EXTENSION", EIO },
	{ VFIO_SET_IOMMU, "VFIO_SET_IOMMU", EPERM },
	{ VFIO_IOMMU_GET_INFO, "VFIO_IOMMU_GET_INFO", ENOMEM },
	{ VFIO_IOMMU_MAP_DMA, "VFIO_IOMMU_MAP_DMA", ENOMEM },
	{ VFIO_IOMMU_UNMAP_DMA, "VFIO_IOMMU_UNMAP_DMA", EBUSY },
	{ VFIO_IOMMU_DIRTY_PAGES, "VFIO_IOMMU_DIRTY_PAGES", ENOMEM },
	{ IOMMU_DESTROY, "IOMMU_DESTROY", EBUSY },
	{ IOMMU_IOAS_ALLOC, "IOMMU_IOAS_ALLOC", ENOMEM },
	{ IOMMU_IOAS_ALLOW_IOVAS, "IOMMU_IOAS_ALLOW_IOVAS", ENOMEM },
	{ IOMMU_IOAS_COPY, "IOMMU_IOAS_COPY", ENOMEM },
	{ IOMMU_IOAS_IOVA_RANGES, "IOMMU_IOAS_IOVA_RANGES", ENOMEM },
	{ IOMMU_IOAS_MAP, "IOMMU_IOAS_MAP", ENOMEM },
	{ IOMMU_IOAS_UNMAP, "IOMMU_IOAS_UNMAP", EBUSY },
	{ IOMMU_OPTION, "IOMMU_OPTION", EPERM },
	{ IOMMU_VFIO_IOAS, "IOMMU_VFIO_IOAS", ENOMEM },
	{ IOMMU_HWPT_ALLOC, "IOMMU_HWPT_ALLOC", ENOMEM },
	{ IOMMU_GET_HW_INFO, "IOMMU_GET_HW_INFO", EIO },
	{ IOMMU_HWPT_SET_DIRTY_TRACKING, "IOMMU_HWPT_SET_DIRTY_TRACKING", EIO },
	{ IOMMU_HWPT_GET_DIRTY_BITMAP, "IOMMU_HWPT_GET_DIRTY_BITMAP", EIO },
	{ IOMMU_IOAS_MAP_FILE, "IOMMU_IOAS_MAP_FILE", ENOMEM },
	{ IOMMU_IOAS_CHANGE_PROCESS, "IOMMU_IOAS_CHANGE_PROCESS", ENOMEM },
};

static const struct ioctl_name names[] = {
	{ VFIO_GROUP_GET_STATUS, "VFIO_GROUP_GET_STATUS", EIO },
	{ VFIO_GROUP_SET_CONTAINER, "VFIO_GROUP_SET_CONTAINER", EBUSY },
	{ VFIO_GROUP_UNSET_CONTAINER, "VFIO_GROUP_UNSET_CONTAINER", EBUSY },
	{ VFIO_GROUP_GET_DEVICE_FD, "VFIO_GROUP_GET_DEVICE_FD", EMFILE },
	{ VFIO_DEVICE_GET_INFO, "VFIO_DEVICE_GET_INFO", EIO },
	{ VFIO_DEVICE_GET_REGION_INFO, "VFIO_DEVICE_GET_REGION_INFO", EIO },
	{ VFIO_DEVICE_GET_IRQ_INFO, "VFIO_DEVICE_GET_IRQ_INFO", EIO },
	{ VFIO_DEVICE_SET_IRQS, "VFIO_DEVICE_SET_IRQS", ENOSPC },
	{ VFIO_DEVICE_RESET, "VFIO_DEVICE_RESET", EAGAIN },
	{ VFIO_DEVICE_FEATURE, "VFIO_DEVICE_FEATURE", EIO },
	{ VFIO_DEVICE_BIND_IOMMUFD, "VFIO_DEVICE_BIND_IOMMUFD", EBUSY },
	{ VFIO_DEVICE_ATTACH_IOMMUFD_PT, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", EADDRINUSE },
	{ VFIO_DEVICE_DETACH_IOMMUFD_PT, "VFIO_DEVICE_DETACH_IOMMUFD_PT", EIO },
	{ VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", ENODEV },
	{ VFIO_DEVICE_PCI_HOT_RESET, "VFIO_DEVICE_PCI_HOT_RESET", EBUSY },
	{ VFIO_DEVICE_IOEVENTFD, "VFIO_DEVICE_IOEVENTFD", ENOSPC },
	{ VFIO_MIG_GET_PRECOPY_INFO, "VFIO_MIG_GET_PRECOPY_INFO", EIO },
};

static void feature_name(struct sim_call *call, const struct vfio_device_feature *feature)
{
	static const struct {
		uint32_t number;
		const char *name;
	} features[] = {
		{ VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, "VFIO_DEVICE_FEATURE(PCI_VF_TOKEN)" },
		{ VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, "VFIO_DEVICE_FEATURE(LOW_POWER_ENTRY)" },
		{ VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, "VFIO_DEVICE_FEATURE(LOW_POWER_ENTRY_WITH_WAKEUP)" },
		{ VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, "VFIO_DEVICE_FEATURE(LOW_POWER_EXIT)" },
		{ VFIO_DEVICE_FEATURE_MIGRATION, "VFIO_DEVICE_FEATURE(MIGRATION)" },
		{ VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, "VFIO_DEVICE_FEATURE(MIG_DEVICE_STATE)" },
		{ VFIO_DEVICE_FEATURE_DMA_LOGGING_START, "VFIO_DEVICE_FEATURE(DMA_LOGGING_START)" },
		{ VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, "VFIO_DEVICE_FEATURE(DMA_LOGGING_STOP)" },
		{ VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, "VFIO_DEVICE_FEATURE(DMA_LOGGING_REPORT)" },
		{ VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, "VFIO_DEVICE_FEATURE(MIG_DATA_SIZE)" },
		{ VFIO_DEVICE_FEATURE_DMA_BUF, "VFIO_DEVICE_FEATURE(DMA_BUF)" },
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

static void plain_name(struct sim_call *call, const struct ioctl_name *list, size_t count, unsigned long request)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (list[i].request == request) {
			call->name = list[i].name;
			call->likely = list[i].likely;
		}
}

/* @kind: of the descriptor, SIM_OBJECT_NONE where it is not one of the machine's */
void vfmi_sim_ioctl_name(struct sim_call *call, uint32_t kind, unsigned long request, const void *arg)
{
	bool memory = kind == SIM_OBJECT_CONTAINER || kind == SIM_OBJECT_IOMMUFD;

	if (memory) {
		plain_name(call, memory_names, VFMI_ARRAY_SIZE(memory_names), request);
		return;
	}
	plain_name(call, names, VFMI_ARRAY_SIZE(names), request);
	if (request == VFIO_DEVICE_FEATURE && arg)
		feature_name(call, arg);
}
