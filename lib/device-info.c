/* SPDX-License-Identifier: MIT */
/* What a device tells of itself in VFIO_DEVICE_GET_INFO, with the capabilities behind it. */
#include <inttypes.h>
#include <stdlib.h>

#include "device-body.h"

#define STEP "device info"

static int ask(struct vfm_device *dev, struct vfio_device_info **ret, size_t *ret_length, struct vfm_error *err)
{
	int r = vfmi_device_need_bound(dev, STEP, err);

	if (r < 0)
		return r;
	r = vfmi_vfio_device_info_caps(dev->sys, dev->fd, ret, ret_length);
	return r < 0 ? vfmi_device_fail(dev, err, -r, STEP, "the device does not tell what it is") : 0;
}

static uint32_t atomics_of(const struct vfio_device_info *info, size_t length)
{
	struct vfio_device_info_cap_pci_atomic_comp cap;
	const void *found =
		vfmi_vfio_find_cap(info, length, info->cap_offset, VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP, sizeof(cap));

	if (!found)
		return 0;
	memcpy(&cap, found, sizeof(cap));
	return cap.flags;
}

int vfm_device_info(struct vfm_device *dev, struct vfm_device_info *ret, struct vfm_error *ret_error)
{
	struct vfm_device_info info;
	struct vfio_device_info *found;
	size_t length;
	int r;

	r = ask(dev, &found, &length, ret_error);
	if (r < 0)
		return r;
	info = (struct vfm_device_info){
		.flags = found->flags,
		.num_regions = found->num_regions,
		.num_irqs = found->num_irqs,
		.atomics = atomics_of(found, length),
	};
	free(found);
	r = vfmi_sized_out(ret, &info, sizeof(info));
	return r < 0 ? vfmi_device_fail(dev, ret_error, -r, STEP, "size of the caller's struct") : 0;
}

int vfm_device_info_cap(struct vfm_device *dev, uint32_t id, void *buf, size_t room, size_t *ret_length,
			struct vfm_error *ret_error)
{
	struct vfio_device_info *info;
	const char *cap = NULL;
	size_t length, found = 0;
	int r;

	r = ask(dev, &info, &length, ret_error);
	if (r < 0)
		return r;
	if (id <= UINT16_MAX)
		cap = vfmi_vfio_find_cap(info, length, info->cap_offset, (uint16_t)id, 0);
	if (cap)
		found = vfmi_vfio_cap_length(info, length, info->cap_offset, (size_t)(cap - (const char *)info));
	if (ret_length)
		*ret_length = found;
	if (!cap)
		r = VFMI_FAIL(dev->ctx, ret_error, ENOENT, dev->name, STEP, "the device tells no capability %" PRIu32,
			      id);
	else if (found > room)
		r = VFMI_FAIL(dev->ctx, ret_error, EMSGSIZE, dev->name, STEP,
			      "capability %" PRIu32 " has %zu bytes, more than the caller's room of %zu", id, found,
			      room);
	else
		memcpy(buf, cap, found);
	free(info);
	return r;
}
