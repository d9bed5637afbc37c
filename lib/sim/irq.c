/* SPDX-License-Identifier: MIT */
/*
 * Interrupts. An armed eventfd is duplicated in the process that armed it; another process that lets the device
 * interrupt signals a duplicate of that, or leaves a note for its owner.
 */
#include <fcntl.h>
#include <unistd.h>

#include "profile.h"
#include "uapi/vfio.h"

#define DATA_MASK (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_DATA_EVENTFD)
#define ACTION_MASK (VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_ACTION_TRIGGER)

static struct sim_local_signal *local_of(struct vfm_sim *sim, const struct sim_device *dev, uint32_t index)
{
	return &sim->signals[vfmi_sim_index(sim, dev) * SIM_SIGNALS + index];
}

static void local_close(struct sim_local_signal *local)
{
	if (local->fd >= 0)
		close(local->fd);
	local->fd = -1;
}

static void disarm(struct vfm_sim *sim, struct sim_device *dev, uint32_t index)
{
	struct sim_signal *signal = &dev->irq.signals[index];

	if (signal->pid == (uint32_t)sim->pid && local_of(sim, dev, index)->serial == signal->serial)
		local_close(local_of(sim, dev, index));
	memset(signal, 0, sizeof(*signal));
}

static int arm(struct vfm_sim *sim, struct sim_device *dev, uint32_t index, int fd)
{
	struct sim_local_signal *local = local_of(sim, dev, index);
	uint64_t id = vfmi_sim_eventfd_id((uint32_t)sim->pid, fd);
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return -errno;
	if (!id) {
		close(copy); /* not an eventfd */
		return -EINVAL;
	}
	disarm(sim, dev, index);
	local_close(local);
	*local = (struct sim_local_signal){ .fd = copy, .serial = ++sim->machine->serial };
	dev->irq.signals[index] =
		(struct sim_signal){ .pid = (uint32_t)sim->pid, .fd = copy, .eventfd_id = id, .serial = local->serial };
	return 0;
}

int vfmi_sim_signal_arm(struct vfm_sim *sim, struct sim_device *dev, uint32_t signal, int fd)
{
	return arm(sim, dev, signal, fd);
}

void vfmi_sim_signal_disarm(struct vfm_sim *sim, struct sim_device *dev, uint32_t signal)
{
	disarm(sim, dev, signal);
}

int vfmi_sim_signal_fd(struct vfm_sim *sim, const struct sim_device *dev, uint32_t signal)
{
	const struct sim_local_signal *local = local_of(sim, dev, signal);

	return dev->irq.signals[signal].pid && local->serial == dev->irq.signals[signal].serial ? local->fd : -1;
}

/* All that waits, or nothing. */
static void deliver(struct vfm_sim *sim, struct sim_device *dev, uint32_t index)
{
	struct sim_signal *signal = &dev->irq.signals[index];
	const struct sim_local_signal *local = local_of(sim, dev, index);
	uint64_t count = signal->pending;
	bool done;

	if (local->fd >= 0 && local->serial == signal->serial)
		done = write(local->fd, &count, sizeof(count)) == sizeof(count);
	else
		done = vfmi_sim_eventfd_signal(signal->pid, signal->fd, signal->eventfd_id, count);
	if (done)
		signal->pending = 0;
}

void vfmi_sim_irq_signal(struct vfm_sim *sim, struct sim_device *dev, uint32_t index)
{
	if (!dev->irq.signals[index].pid)
		return;
	dev->irq.signals[index].pending++;
	deliver(sim, dev, index);
}

/*
 * Who armed the vector is gone, but an eventfd lives as long as anybody has it: whoever does delivers from now on. A
 * tool that hands a device on with its eventfds counts on that.
 */
static void take_over(struct vfm_sim *sim, struct sim_signal *signal, struct sim_local_signal *local)
{
	int fd;

	if (local->looked == signal->pending || vfmi_sim_eventfd_id(signal->pid, signal->fd) == signal->eventfd_id)
		return;
	local->looked = signal->pending;
	fd = vfmi_sim_eventfd_find(signal->eventfd_id);
	if (fd < 0)
		return;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return;
	*local = (struct sim_local_signal){ .fd = fd, .serial = signal->serial };
	signal->pid = (uint32_t)sim->pid;
	signal->fd = fd;
}

void vfmi_sim_irq_deliver(struct vfm_sim *sim)
{
	uint32_t i, index;

	for (i = 0; i < sim->machine->devices; i++) {
		struct sim_device *dev = &sim->machine->device[i];

		for (index = 0; index < SIM_SIGNALS; index++) {
			struct sim_signal *signal = &dev->irq.signals[index];
			struct sim_local_signal *local = local_of(sim, dev, index);

			if (local->fd >= 0 && local->serial != signal->serial)
				local_close(local);
			if (signal->pending && local->fd < 0)
				take_over(sim, signal, local);
			if (signal->pending && local->fd >= 0)
				deliver(sim, dev, index);
		}
	}
}

/* What the device does */

void vfmi_sim_irq_message(struct vfm_sim *sim, struct sim_device *dev, uint32_t vector)
{
	if (dev->irq.type != VFIO_PCI_INTX_IRQ_INDEX && vector < dev->irq.vectors && vfmi_sim_config_master(dev))
		vfmi_sim_irq_signal(sim, dev, vector);
}

static void intx_look(struct vfm_sim *sim, struct sim_device *dev)
{
	if (!dev->irq.intx_asserted || dev->irq.type != VFIO_PCI_INTX_IRQ_INDEX || dev->irq.intx_masked ||
	    dev->virq_disabled)
		return;
	dev->irq.intx_masked = 1;
	vfmi_sim_irq_signal(sim, dev, 0);
}

void vfmi_sim_irq_pin(struct vfm_sim *sim, struct sim_device *dev, bool asserted)
{
	dev->irq.intx_asserted = asserted;
	intx_look(sim, dev);
}

static void intx_mask(struct vfm_sim *sim, struct sim_device *dev, bool masked)
{
	dev->irq.intx_masked = masked;
	intx_look(sim, dev);
}

void vfmi_sim_irq_unmask(struct vfm_sim *sim, struct sim_device *dev)
{
	if (dev->irq.type == VFIO_PCI_INTX_IRQ_INDEX && !dev->virq_disabled)
		intx_mask(sim, dev, false);
}

void vfmi_sim_irq_masking(struct vfm_sim *sim, struct sim_device *dev, bool masked)
{
	dev->virq_disabled = masked;
	if (dev->irq.type == VFIO_PCI_INTX_IRQ_INDEX)
		intx_mask(sim, dev, masked);
}

/* mtty's way: a signal masks its pin. */
void vfmi_sim_irq_simple(struct vfm_sim *sim, struct sim_device *dev)
{
	if (dev->irq.type == VFIO_PCI_INTX_IRQ_INDEX && dev->irq.intx_masked)
		return;
	dev->irq.intx_masked = dev->irq.type == VFIO_PCI_INTX_IRQ_INDEX;
	vfmi_sim_irq_signal(sim, dev, 0);
}

static void vectors_off(struct vfm_sim *sim, struct sim_device *dev)
{
	uint32_t i;

	for (i = 0; i < SIM_MAX_VECTORS; i++)
		disarm(sim, dev, i);
	disarm(sim, dev, SIM_SIGNAL_UNMASK);
	dev->irq.type = SIM_IRQ_NONE;
	dev->irq.vectors = 0;
	dev->irq.intx_masked = 0;
}

void vfmi_sim_irq_drop(struct vfm_sim *sim, struct sim_device *dev)
{
	uint32_t i;

	vectors_off(sim, dev);
	for (i = SIM_SIGNAL_ERR; i < SIM_SIGNALS; i++)
		disarm(sim, dev, i);
	memset(dev->ioevents, 0, sizeof(dev->ioevents));
}

/* GET_IRQ_INFO */

static uint32_t irq_count(const struct sim_device *dev, uint32_t index)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);

	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return profile->pin && dev->intx != SIM_INTX_ABSENT ? 1 : 0;
	case VFIO_PCI_MSI_IRQ_INDEX:
		return profile->msi_cap ? 1 : 0;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return profile->msix_vectors;
	case VFIO_PCI_ERR_IRQ_INDEX:
		return profile->quirks & SIM_PCIE ? 1 : 0;
	case VFIO_PCI_REQ_IRQ_INDEX:
		return 1;
	default:
		return 0;
	}
}

static bool irqs_known(struct vfm_sim *sim, const struct sim_device *dev)
{
	if (!dev->u.mtty.irqs_known)
		vfmi_sim_strict(sim, "%s: mtty knows of interrupts only after VFIO_DEVICE_GET_INFO", dev->name);
	return dev->u.mtty.irqs_known;
}

/* Indexes that can be asked about. */
static bool irq_exists(struct vfm_sim *sim, const struct sim_device *dev, uint32_t index)
{
	if (vfmi_sim_quirk(dev, SIM_MDEV))
		return irqs_known(sim, dev) && index <= VFIO_PCI_MSI_IRQ_INDEX;
	if (index == VFIO_PCI_ERR_IRQ_INDEX)
		return vfmi_sim_quirk(dev, SIM_PCIE);
	return index < VFIO_PCI_NUM_IRQS;
}

int vfmi_sim_irq_info(struct vfm_sim *sim, struct sim_device *dev, void *arg)
{
	struct vfio_irq_info *info = arg;

	if (info->argsz < sizeof(*info)) {
		vfmi_sim_strict(sim, "%s: VFIO_DEVICE_GET_IRQ_INFO with argsz %u", dev->name, info->argsz);
		return -EINVAL;
	}
	if (!irq_exists(sim, dev, info->index))
		return -EINVAL;
	info->flags = VFIO_IRQ_INFO_EVENTFD;
	info->count = irq_count(dev, info->index);
	if (info->index == VFIO_PCI_INTX_IRQ_INDEX)
		info->flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	else if (info->index != VFIO_PCI_MSIX_IRQ_INDEX || !info->count || dev->msix_static)
		info->flags |= VFIO_IRQ_INFO_NORESIZE; /* MSI-X vectors can be added where there are any */
	return 0;
}

/* SET_IRQS */

static int set_check(struct vfm_sim *sim, const struct sim_device *dev, const struct vfio_irq_set *set)
{
	uint32_t max = !vfmi_sim_quirk(dev, SIM_MDEV) ? irq_count(dev, set->index)
		       : irqs_known(sim, dev)	      ? VFIO_PCI_NUM_IRQS
						      : 0;
	uint32_t data = set->flags & DATA_MASK;
	size_t each = data == VFIO_IRQ_SET_DATA_EVENTFD ? sizeof(int32_t) : data == VFIO_IRQ_SET_DATA_BOOL ? 1 : 0;

	if (set->argsz < sizeof(*set) || set->index >= VFIO_PCI_NUM_IRQS || set->count >= UINT32_MAX - set->start ||
	    (set->flags & ~(DATA_MASK | ACTION_MASK)) || !data || (data & (data - 1)) ||
	    (set->start < max && set->start + set->count <= max && set->argsz - sizeof(*set) < set->count * each)) {
		vfmi_sim_strict(sim, "%s: VFIO_DEVICE_SET_IRQS with argsz %u, flags %#x, index %u, start %u, count %u",
				dev->name, set->argsz, set->flags, set->index, set->start, set->count);
		return -EINVAL;
	}
	return set->start >= max || set->start + set->count > max ? -EINVAL : 0;
}

static int data_fd(const struct vfio_irq_set *set, uint32_t i)
{
	int32_t fd;

	memcpy(&fd, set->data + i * sizeof(fd), sizeof(fd));
	return fd;
}

/* What DATA_NONE and DATA_BOOL ask for entry @i. */
static bool data_true(const struct vfio_irq_set *set, uint32_t i)
{
	return (set->flags & VFIO_IRQ_SET_DATA_NONE) || ((set->flags & VFIO_IRQ_SET_DATA_BOOL) && set->data[i]);
}

static int set_intx_mask(struct vfm_sim *sim, struct sim_device *dev, const struct vfio_irq_set *set, bool masked)
{
	if (dev->irq.type != VFIO_PCI_INTX_IRQ_INDEX || set->start || set->count != 1)
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		if (masked || vfmi_sim_quirk(dev, SIM_MDEV))
			return -ENOTTY;
		if (data_fd(set, 0) >= 0 && dev->irq.signals[SIM_SIGNAL_UNMASK].pid)
			return -EBUSY;
		if (data_fd(set, 0) >= 0)
			return arm(sim, dev, SIM_SIGNAL_UNMASK, data_fd(set, 0));
		disarm(sim, dev, SIM_SIGNAL_UNMASK);
		return 0;
	}
	if (data_true(set, 0))
		intx_mask(sim, dev, masked);
	return 0;
}

/* As mtty and vfio-pci both do it; mtty has its one MSI vector treated alike. */
static int set_single(struct vfm_sim *sim, struct sim_device *dev, const struct vfio_irq_set *set)
{
	bool ours = dev->irq.type == set->index;
	int fd, r;

	if (ours && !set->count && (set->flags & VFIO_IRQ_SET_DATA_NONE)) {
		vectors_off(sim, dev);
		return 0;
	}
	if (!(ours || dev->irq.type == SIM_IRQ_NONE) || set->start || set->count != 1)
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		if (!ours && set->index == VFIO_PCI_INTX_IRQ_INDEX && dev->intx)
			return -ENODEV;
		fd = data_fd(set, 0);
		if (vfmi_sim_quirk(dev, SIM_MDEV))
			vectors_off(sim, dev);
		r = fd >= 0 ? arm(sim, dev, 0, fd) : 0;
		if (r)
			return r;
		if (fd < 0 && vfmi_sim_quirk(dev, SIM_MDEV))
			return 0;
		if (fd < 0)
			disarm(sim, dev, 0);
		if (!ours)
			dev->irq.intx_masked = dev->virq_disabled;
		dev->irq.type = set->index;
		dev->irq.vectors = 1;
		if (set->index == VFIO_PCI_INTX_IRQ_INDEX)
			intx_look(sim, dev);
		return 0;
	}
	if (!ours)
		return -EINVAL;
	if (data_true(set, 0) && vfmi_sim_quirk(dev, SIM_MDEV))
		vfmi_sim_irq_simple(sim, dev);
	else if (data_true(set, 0) && !dev->virq_disabled)
		vfmi_sim_irq_signal(sim, dev, 0);
	return 0;
}

static int arm_block(struct vfm_sim *sim, struct sim_device *dev, const struct vfio_irq_set *set)
{
	uint32_t i, end;
	int r = 0, fd;

	for (i = 0; i < set->count && !r; i++) {
		disarm(sim, dev, set->start + i);
		fd = data_fd(set, i);
		if (fd >= 0)
			r = arm(sim, dev, set->start + i, fd);
	}
	for (end = i, i = 0; r && i < end; i++)
		disarm(sim, dev, set->start + i);
	return r;
}

/* How many of @end vectors the platform gives. */
static uint32_t given(const struct sim_device *dev, uint32_t end)
{
	return dev->vectors_max && dev->vectors_max < end ? dev->vectors_max : end;
}

static int arm_messages(struct vfm_sim *sim, struct sim_device *dev, const struct vfio_irq_set *set, bool ours)
{
	const uint32_t end = set->start + set->count;
	uint32_t i;
	int r;

	if (ours && end > dev->irq.vectors)
		return -EINVAL;
	if (!ours && end == 0)
		return -ERANGE; /* the kernel asks its PCI core for no vector at all */
	if (!ours && given(dev, end) < end)
		return (int)given(dev, end); /* how vfio-pci says so; none is enabled */
	r = given(dev, end) < end ? -ENOSPC : arm_block(sim, dev, set);
	for (i = set->start; r == -ENOSPC && i < end; i++)
		disarm(sim, dev, i);
	if (r && !ours)
		vectors_off(sim, dev);
	if (r || ours)
		return r;
	dev->irq.type = set->index;
	dev->irq.vectors = set->index == VFIO_PCI_MSIX_IRQ_INDEX && !dev->msix_static ? irq_count(dev, set->index)
										      : end;
	return 0;
}

static int set_messages(struct vfm_sim *sim, struct sim_device *dev, const struct vfio_irq_set *set)
{
	bool ours = dev->irq.type == set->index;
	uint32_t i;

	if (ours && !set->count && (set->flags & VFIO_IRQ_SET_DATA_NONE)) {
		vectors_off(sim, dev);
		return 0;
	}
	if (!ours && dev->irq.type != SIM_IRQ_NONE)
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return arm_messages(sim, dev, set, ours);
	if (!ours)
		return -EINVAL;
	for (i = 0; i < set->count; i++)
		if (data_true(set, i))
			vfmi_sim_irq_signal(sim, dev, set->start + i);
	return 0;
}

/* ERR and REQ */
static int set_event(struct vfm_sim *sim, struct sim_device *dev, const struct vfio_irq_set *set, uint32_t signal)
{
	bool armed = dev->irq.signals[signal].pid;

	if (set->start || set->count > 1)
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_DATA_NONE) {
		if (!armed)
			return -EINVAL;
		if (set->count)
			vfmi_sim_irq_signal(sim, dev, signal);
		else
			disarm(sim, dev, signal);
		return 0;
	}
	if (!set->count)
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_DATA_BOOL) {
		if (set->data[0])
			vfmi_sim_irq_signal(sim, dev, signal);
		return 0;
	}
	if (data_fd(set, 0) >= 0)
		return arm(sim, dev, signal, data_fd(set, 0));
	if (data_fd(set, 0) != -1)
		return -EINVAL;
	disarm(sim, dev, signal);
	return 0;
}

int vfmi_sim_set_irqs(struct vfm_sim *sim, struct sim_device *dev, void *arg)
{
	const struct vfio_irq_set *set = arg;
	uint32_t action;
	bool mdev = vfmi_sim_quirk(dev, SIM_MDEV);
	int r = set_check(sim, dev, set);

	if (r)
		return r;
	action = set->flags & ACTION_MASK;
	switch (set->index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		if (action == VFIO_IRQ_SET_ACTION_TRIGGER)
			return set_single(sim, dev, set);
		if (action == VFIO_IRQ_SET_ACTION_MASK || action == VFIO_IRQ_SET_ACTION_UNMASK)
			return set_intx_mask(sim, dev, set, action == VFIO_IRQ_SET_ACTION_MASK);
		break;
	case VFIO_PCI_MSI_IRQ_INDEX:
	case VFIO_PCI_MSIX_IRQ_INDEX:
		if (action == VFIO_IRQ_SET_ACTION_TRIGGER && !mdev)
			return set_messages(sim, dev, set);
		if (action == VFIO_IRQ_SET_ACTION_TRIGGER && set->index == VFIO_PCI_MSI_IRQ_INDEX)
			return set_single(sim, dev, set);
		break;
	case VFIO_PCI_ERR_IRQ_INDEX:
		if (action == VFIO_IRQ_SET_ACTION_TRIGGER && vfmi_sim_quirk(dev, SIM_PCIE))
			return set_event(sim, dev, set, SIM_SIGNAL_ERR);
		break;
	default:
		if (action == VFIO_IRQ_SET_ACTION_TRIGGER && !mdev)
			return set_event(sim, dev, set, SIM_SIGNAL_REQ);
		break;
	}
	/* mtty takes a combination of actions for an index it has as nothing to do. */
	return mdev && set->index <= VFIO_PCI_MSI_IRQ_INDEX && (!action || (action & (action - 1))) ? 0 : -ENOTTY;
}
