/* SPDX-License-Identifier: MIT */
/* Hot reset: functions at one bus are reset together, if they all belong to who asks. */
#include <unistd.h>

#include "spaces.h"
#include "uapi/vfio.h"

#define ROOT_BUS "0000:00:"
#define BUS_TEXT 8u /* "DDDD:BB:" */

static bool shares_bus(const struct sim_device *a, const struct sim_device *b)
{
	return !vfmi_sim_quirk(b, SIM_MDEV) && !(b->flags & SIM_DEVICE_UNPLUGGED) &&
	       !strncmp(a->name, b->name, BUS_TEXT);
}

static uint32_t count_peers(const struct vfm_sim *sim, const struct sim_device *dev)
{
	uint32_t i, n = 0;

	for (i = 0; i < sim->machine->devices; i++)
		n += shares_bus(dev, &sim->machine->device[i]);
	return n;
}

static bool by_cdev(const struct vfm_sim *sim, const struct sim_device *dev)
{
	return sim->machine->objects[dev->bound - 1].kind == SIM_OBJECT_CDEV;
}

/* In a group of which @dev's iommufd has a device. */
static bool owned_by_group(const struct vfm_sim *sim, const struct sim_device *dev, const struct sim_device *peer)
{
	uint32_t i;

	for (i = 0; i < sim->machine->devices; i++)
		if (sim->machine->device[i].group == peer->group && sim->machine->device[i].ctx == dev->ctx)
			return true;
	return false;
}

static uint32_t devid_of(const struct vfm_sim *sim, const struct sim_device *dev, const struct sim_device *peer)
{
	if (!(peer->flags & SIM_DEVICE_VFIO))
		return VFIO_PCI_DEVID_NOT_OWNED;
	if (peer->ctx && peer->ctx == dev->ctx)
		return peer->devid;
	return !peer->ctx && owned_by_group(sim, dev, peer) ? VFIO_PCI_DEVID_OWNED : VFIO_PCI_DEVID_NOT_OWNED;
}

/* "0000:01:02.3" */
static uint32_t hex_at(const char *text, uint32_t digits)
{
	uint32_t value = 0;

	for (; digits; digits--, text++)
		value = value << 4 | (uint32_t)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
	return value;
}

static struct vfio_pci_dependent_device describe(const struct vfm_sim *sim, const struct sim_device *dev,
						 const struct sim_device *peer)
{
	return (struct vfio_pci_dependent_device){
		.group_id = by_cdev(sim, dev) ? devid_of(sim, dev, peer) : peer->group,
		.segment = (uint16_t)hex_at(peer->name, 4),
		.bus = (uint8_t)hex_at(peer->name + 5, 2),
		.devfn = (uint8_t)(hex_at(peer->name + 8, 2) << 3 | hex_at(peer->name + 11, 1)),
	};
}

static int has_bus(const struct sim_device *dev)
{
	if (vfmi_sim_quirk(dev, SIM_MDEV))
		return -ENOTTY;
	return strncmp(dev->name, ROOT_BUS, BUS_TEXT) ? 0 : -ENODEV;
}

int vfmi_sim_hot_reset_info(struct vfm_sim *sim, struct sim_device *dev, void *arg)
{
	struct vfio_pci_hot_reset_info *info = arg;
	uint32_t i, n = 0;
	int r = has_bus(dev);

	if (r)
		return r;
	if (info->argsz < sizeof(*info)) {
		vfmi_sim_strict(sim, "%s: VFIO_DEVICE_GET_PCI_HOT_RESET_INFO with argsz %u", dev->name, info->argsz);
		return -EINVAL;
	}
	info->flags = 0;
	info->count = count_peers(sim, dev);
	if (info->count > (info->argsz - sizeof(*info)) / sizeof(info->devices[0]))
		return -ENOSPC;
	if (by_cdev(sim, dev))
		info->flags = VFIO_PCI_HOT_RESET_FLAG_DEV_ID | VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
	for (i = 0; i < sim->machine->devices; i++) {
		const struct sim_device *peer = &sim->machine->device[i];

		if (!shares_bus(dev, peer))
			continue;
		info->devices[n] = describe(sim, dev, peer);
		if (info->flags && info->devices[n].group_id == VFIO_PCI_DEVID_NOT_OWNED)
			info->flags &= ~VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
		n++;
	}
	return 0;
}

static int check_groups(struct vfm_sim *sim, const struct vfio_pci_hot_reset *reset)
{
	uint32_t i, id;
	int r;

	for (i = 0; i < reset->count; i++) {
		r = vfmi_sim_object_of(sim, reset->group_fds[i], &id);
		if (r == -EBADF)
			return r;
		if (r || sim->machine->objects[id].kind != SIM_OBJECT_GROUP)
			return -EINVAL;
	}
	return 0;
}

static bool is_given(struct vfm_sim *sim, const struct vfio_pci_hot_reset *reset, const struct sim_device *peer)
{
	uint32_t i, id;

	for (i = 0; i < reset->count; i++)
		if (!vfmi_sim_object_of(sim, reset->group_fds[i], &id) &&
		    sim->machine->objects[id].group == peer->group)
			return true;
	return false;
}

static int check_owned(struct vfm_sim *sim, const struct sim_device *dev, const struct vfio_pci_hot_reset *reset)
{
	uint32_t i;

	for (i = 0; i < sim->machine->devices; i++) {
		const struct sim_device *peer = &sim->machine->device[i];

		if (!shares_bus(dev, peer))
			continue;
		if (!(peer->flags & SIM_DEVICE_VFIO) ||
		    (reset->count ? !is_given(sim, reset, peer) : devid_of(sim, dev, peer) == VFIO_PCI_DEVID_NOT_OWNED))
			return -EINVAL;
	}
	return 0;
}

int vfmi_sim_hot_reset(struct vfm_sim *sim, struct sim_device *dev, const void *arg)
{
	const struct vfio_pci_hot_reset *reset = arg;
	uint32_t i;
	int r;

	if (vfmi_sim_quirk(dev, SIM_MDEV))
		return -ENOTTY;
	if (reset->argsz < sizeof(*reset) || reset->flags || !reset->count != by_cdev(sim, dev)) {
		vfmi_sim_strict(sim, "%s: VFIO_DEVICE_PCI_HOT_RESET with argsz %u, flags %#x, %u groups", dev->name,
				reset->argsz, reset->flags, reset->count);
		return -EINVAL;
	}
	r = has_bus(dev);
	if (!r && reset->count > count_peers(sim, dev))
		r = -EINVAL;
	if (!r)
		r = check_groups(sim, reset);
	if (!r)
		r = check_owned(sim, dev, reset);
	for (i = 0; !r && i < sim->machine->devices; i++)
		if (shares_bus(dev, &sim->machine->device[i])) {
			vfmi_sim_change(sim, &sim->machine->device[i]);
			vfmi_sim_dma_buf_revoke(sim, &sim->machine->device[i]);
			vfmi_sim_reset(sim, &sim->machine->device[i]);
		}
	return r;
}
