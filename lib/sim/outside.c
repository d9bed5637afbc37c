/* SPDX-License-Identifier: MIT */
/* What tests and demonstrations do to a machine from outside: poking devices, looking at state and counters. */
#include <stdlib.h>

#include "profile.h"
#include "uapi/vfio.h"

void vfm_sim_usage(struct vfm_sim *sim, struct vfm_sim_usage *ret)
{
	struct vfm_sim_usage usage = { .size = sizeof(usage) };
	const struct sim_machine *machine = sim->machine;
	uint32_t i;

	if (!vfmi_sim_enter(sim)) {
		usage.maps = machine->maps_live;
		for (i = 0; i < machine->devices; i++) {
			usage.devices_open += !!machine->device[i].bound;
			usage.data_sessions += !!machine->device[i].session.kind;
		}
		usage.strict_errors = machine->strict_errors;
		usage.resets = machine->resets;
		usage.loads = machine->loads;
		vfmi_sim_leave(sim);
	}
	usage.open_fds = vfmi_sim_books_open(sim);
	pthread_mutex_lock(&sim->books);
	usage.mmaps = (uint32_t)sim->mapping_count;
	usage.calls = sim->calls;
	pthread_mutex_unlock(&sim->books);
	(void)vfmi_sized_out(ret, &usage, sizeof(usage));
}

const char *vfm_sim_strict_message(struct vfm_sim *sim)
{
	if (!vfmi_sim_enter(sim)) {
		memcpy(sim->strict_message, sim->machine->strict_message, sizeof(sim->strict_message));
		sim->strict_message[sizeof(sim->strict_message) - 1] = '\0';
		vfmi_sim_leave(sim);
	}
	return sim->strict_message;
}

/* pokes */

static bool number_of(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 0);
	return text[0] >= '0' && text[0] <= '9' && !*end && !errno;
}

/* As much of the contents as that counts as changed, from the start. */
static int poke_dirty(struct vfm_sim *sim, struct sim_device *dev, const char *value)
{
	uint64_t bytes;

	if (!number_of(value, &bytes) || !vfmi_sim_quirk(dev, SIM_HAS_CONTENTS) || bytes > dev->state_bytes)
		return -EINVAL;
	vfmi_sim_session_touch(sim, dev, 0, bytes);
	return 0;
}

static int poke_irq(struct vfm_sim *sim, struct sim_device *dev, const char *value)
{
	char *end;
	uint64_t index = strtoull(value, &end, 10), vector;

	if (end == value || *end != ':' || !number_of(end + 1, &vector))
		return -EINVAL;
	if (index == VFIO_PCI_ERR_IRQ_INDEX || index == VFIO_PCI_REQ_IRQ_INDEX) {
		if (vector)
			return -EINVAL;
		vfmi_sim_irq_signal(sim, dev, index == VFIO_PCI_ERR_IRQ_INDEX ? SIM_SIGNAL_ERR : SIM_SIGNAL_REQ);
		return 0;
	}
	if (index != dev->irq.type || vector >= SIM_MAX_VECTORS || vector >= dev->irq.vectors)
		return -EINVAL;
	if (index == VFIO_PCI_INTX_IRQ_INDEX || vfmi_sim_quirk(dev, SIM_MDEV))
		vfmi_sim_irq_simple(sim, dev);
	else
		vfmi_sim_irq_message(sim, dev, (uint32_t)vector);
	return 0;
}

/* The device writes to memory, other bytes each time, without a driver that makes it do so. */
static int poke_write(struct vfm_sim *sim, struct sim_device *dev, const char *value)
{
	char *end;
	uint64_t iova = strtoull(value, &end, 0), length, done = 0, n;
	uint8_t bytes[4096];

	if (end == value || *end != ':' || !number_of(end + 1, &length) || !length || !dev->bound ||
	    !vfmi_sim_runs(dev))
		return -EINVAL;
	memset(bytes, (int)(++sim->machine->serial & 0xff), sizeof(bytes));
	for (; done < length; done += n) {
		n = vfmi_min_u64(length - done, sizeof(bytes));
		if (!vfmi_sim_dma(sim, dev, iova + done, bytes, (size_t)n, true))
			return -EINVAL;
	}
	return 0;
}

static int poke_fail_arc(struct sim_device *dev, const char *value)
{
	uint64_t n;

	if (!number_of(value, &n) || n > UINT32_MAX || !dev->migration_flags)
		return -EINVAL;
	dev->fail_arc = (uint32_t)n;
	return 0;
}

/* The device is asked back by its REQ interrupt and is gone for whoever comes; who holds it may finish. */
static void poke_unplug(struct vfm_sim *sim, struct sim_device *dev)
{
	dev->flags |= SIM_DEVICE_UNPLUGGED;
	vfmi_sim_irq_signal(sim, dev, SIM_SIGNAL_REQ);
}

static int poke(struct vfm_sim *sim, struct sim_device *dev, const char *action)
{
	if (!strcmp(action, "reset")) {
		vfmi_sim_reset(sim, dev);
		return 0;
	}
	if (!strcmp(action, "error")) {
		if (!dev->migration_flags)
			return -EINVAL;
		vfmi_sim_session_close(dev);
		dev->log_shift = 0;
		dev->state = VFIO_DEVICE_STATE_ERROR;
		return 0;
	}
	if (!strcmp(action, "request")) {
		vfmi_sim_irq_signal(sim, dev, SIM_SIGNAL_REQ);
		return 0;
	}
	if (!strcmp(action, "error-interrupt")) {
		if (!vfmi_sim_quirk(dev, SIM_PCIE))
			return -EINVAL;
		vfmi_sim_irq_signal(sim, dev, SIM_SIGNAL_ERR);
		return 0;
	}
	if (!strcmp(action, "unplug")) {
		poke_unplug(sim, dev);
		return 0;
	}
	if (!strncmp(action, "dirty=", 6))
		return poke_dirty(sim, dev, action + 6);
	if (!strncmp(action, "write=", 6))
		return poke_write(sim, dev, action + 6);
	if (!strncmp(action, "irq=", 4))
		return poke_irq(sim, dev, action + 4);
	if (!strncmp(action, "fail-arc=", 9))
		return poke_fail_arc(dev, action + 9);
	return -EINVAL;
}

int vfm_sim_poke(struct vfm_sim *sim, const char *device, const char *action)
{
	struct sim_device *dev;
	int r = vfmi_sim_enter(sim);

	if (r)
		return r;
	dev = vfmi_sim_find(sim, device);
	if (dev)
		vfmi_sim_change(sim, dev);
	r = dev ? poke(sim, dev, action) : -ENODEV;
	vfmi_sim_leave(sim);
	return r;
}

/* contents */

static int contents_of(struct vfm_sim *sim, const char *device, uint64_t offset, size_t length, struct sim_device **ret)
{
	struct sim_device *dev = vfmi_sim_find(sim, device);

	if (!dev)
		return -ENODEV;
	if (offset > dev->state_bytes || length > dev->state_bytes - offset)
		return -EINVAL;
	*ret = dev;
	return 0;
}

int vfm_sim_contents_read(struct vfm_sim *sim, const char *device, uint64_t offset, void *buf, size_t length)
{
	struct sim_device *dev;
	int r = vfmi_sim_enter(sim);

	if (r)
		return r;
	r = contents_of(sim, device, offset, length, &dev);
	if (!r)
		r = vfmi_sim_contents_get(sim, dev, offset, buf, length);
	vfmi_sim_leave(sim);
	return r;
}

int vfm_sim_contents_write(struct vfm_sim *sim, const char *device, uint64_t offset, const void *buf, size_t length)
{
	struct sim_device *dev;
	int r = vfmi_sim_enter(sim);

	if (r)
		return r;
	r = contents_of(sim, device, offset, length, &dev);
	if (!r && length) {
		vfmi_sim_change(sim, dev);
		vfmi_sim_session_touch(sim, dev, offset, length);
		r = vfmi_sim_contents_put(sim, dev, offset, buf, length);
	}
	vfmi_sim_leave(sim);
	return r;
}
