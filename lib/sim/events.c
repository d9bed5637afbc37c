/* SPDX-License-Identifier: MIT */
/*
 * Eventfds that a device listens to: ioeventfds and the one that unmasks INTx. Nobody runs while the program does not
 * call: what was signalled takes effect when the process that armed the eventfd next asks the machine for anything,
 * which is before it can see that it has not.
 */
#include <sys/uio.h>

#include "profile.h"
#include "uapi/vfio.h"

#define REGION_SHIFT 40u
#define REGION_MASK ((1ull << REGION_SHIFT) - 1)

static struct sim_ioevent *find(struct sim_device *dev, const struct sim_ioevent *what, uint32_t *ret_signal)
{
	uint32_t i;

	for (i = 0; i < SIM_MAX_IOEVENTS; i++) {
		struct sim_ioevent *entry = &dev->ioevents[i];

		if (entry->width == what->width && entry->position == what->position && entry->data == what->data) {
			*ret_signal = SIM_SIGNAL_IOEVENT + i;
			return entry;
		}
	}
	return NULL;
}

static struct sim_ioevent *find_free(struct sim_device *dev, uint32_t *ret_signal)
{
	uint32_t i;

	for (i = 0; i < SIM_MAX_IOEVENTS; i++)
		if (!dev->ioevents[i].width) {
			*ret_signal = SIM_SIGNAL_IOEVENT + i;
			return &dev->ioevents[i];
		}
	return NULL;
}

static int check(struct vfm_sim *sim, const struct sim_device *dev, const struct vfio_device_ioeventfd *arg)
{
	const uint32_t width = arg->flags & VFIO_DEVICE_IOEVENTFD_SIZE_MASK;
	uint64_t bar = arg->offset >> REGION_SHIFT, pos = arg->offset & REGION_MASK;

	if (arg->argsz < offsetof(struct vfio_device_ioeventfd, reserved) || (arg->flags & ~width) || !width ||
	    (width & (width - 1)) || arg->fd < -1) {
		vfmi_sim_strict(sim, "%s: VFIO_DEVICE_IOEVENTFD with argsz %u, flags %#x, descriptor %d", dev->name,
				arg->argsz, arg->flags, arg->fd);
		return -EINVAL;
	}
	/* The kernel has forgotten about them. */
	if (width == 8 && sim->machine->host.kernel >= SIM_KERNEL(6, 14))
		return -EINVAL;
	return bar >= VFIO_PCI_ROM_REGION_INDEX || pos + width > vfmi_sim_region_size(dev, (uint32_t)bar) ? -EINVAL : 0;
}

int vfmi_sim_ioeventfd(struct vfm_sim *sim, struct sim_device *dev, const void *arg)
{
	const struct vfio_device_ioeventfd *ioeventfd = arg;
	struct sim_ioevent *entry, what;
	uint32_t signal;
	int r;

	if (vfmi_sim_quirk(dev, SIM_MDEV))
		return -ENOTTY;
	r = check(sim, dev, ioeventfd);
	if (r)
		return r;
	what = (struct sim_ioevent){ .width = ioeventfd->flags & VFIO_DEVICE_IOEVENTFD_SIZE_MASK,
				     .position = ioeventfd->offset,
				     .data = ioeventfd->data };
	entry = find(dev, &what, &signal);
	if (entry && ioeventfd->fd >= 0)
		return -EEXIST;
	if (!entry && ioeventfd->fd < 0)
		return -ENODEV;
	if (entry) {
		vfmi_sim_signal_disarm(sim, dev, signal);
		memset(entry, 0, sizeof(*entry));
		return 0;
	}
	entry = find_free(dev, &signal);
	if (!entry)
		return -ENOSPC;
	r = vfmi_sim_signal_arm(sim, dev, signal, ioeventfd->fd);
	if (!r)
		*entry = what;
	return r;
}

/* Without waiting, whatever the eventfd was made for. */
static bool was_signalled(struct vfm_sim *sim, const struct sim_device *dev, uint32_t signal)
{
	int fd = vfmi_sim_signal_fd(sim, dev, signal);
	struct iovec iov;
	uint64_t count;

	iov = (struct iovec){ &count, sizeof(count) };
	return fd >= 0 && preadv2(fd, &iov, 1, -1, RWF_NOWAIT) == (ssize_t)sizeof(count);
}

static void do_write(struct vfm_sim *sim, struct sim_device *dev, const struct sim_ioevent *entry)
{
	uint8_t bytes[sizeof(entry->data)];

	memcpy(bytes, &entry->data, sizeof(bytes));
	(void)vfmi_sim_region_rw(sim, dev, bytes, entry->width, entry->position, true);
}

void vfmi_sim_events_take(struct vfm_sim *sim)
{
	uint32_t i, k;

	for (i = 0; i < sim->machine->devices; i++) {
		struct sim_device *dev = &sim->machine->device[i];

		if (!dev->bound)
			continue;
		if (was_signalled(sim, dev, SIM_SIGNAL_UNMASK)) {
			vfmi_sim_change(sim, dev);
			vfmi_sim_irq_unmask(sim, dev);
		}
		for (k = 0; k < SIM_MAX_IOEVENTS; k++)
			if (dev->ioevents[k].width && was_signalled(sim, dev, SIM_SIGNAL_IOEVENT + k))
				do_write(sim, dev, &dev->ioevents[k]);
	}
}
