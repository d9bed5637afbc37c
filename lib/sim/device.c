/* SPDX-License-Identifier: MIT */
/* The device file: binding, attaching, reset, access to its regions. */
#include <sys/mman.h>
#include <unistd.h>

#include "profile.h"
#include "uapi/vfio.h"
#include "wire.h"

#define REGION_SHIFT 40u
#define REGION_MASK ((1ull << REGION_SHIFT) - 1)

/* Forget everything: registers, contents, session; back to RUNNING. What config and interrupts are, they stay. */
void vfmi_sim_reset(struct vfm_sim *sim, struct sim_device *dev)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);

	sim->machine->resets++;
	dev->reset_count++;
	vfmi_sim_session_close(dev);
	dev->state = VFIO_DEVICE_STATE_RUNNING;
	if (profile->quirks & SIM_MDEV)
		return;
	vfmi_sim_contents_wipe(sim, dev);
	if (profile->reset)
		profile->reset(dev);
}

static int bind_check(struct vfm_sim *sim, const struct sim_device *dev, const struct vfio_device_bind_iommufd *bind)
{
	if (bind->argsz >= sizeof(*bind) && !bind->flags && bind->iommufd >= 0)
		return 0;
	vfmi_sim_strict(sim, "%s: VFIO_DEVICE_BIND_IOMMUFD with argsz %u, flags %#x, iommufd %d", dev->name,
			bind->argsz, bind->flags, bind->iommufd);
	return -EINVAL;
}

int vfmi_sim_bind(struct vfm_sim *sim, uint32_t id, void *arg)
{
	struct sim_device *dev = &sim->machine->device[sim->machine->objects[id].device];
	struct vfio_device_bind_iommufd *bind = arg;
	uint32_t ctx;
	int r;

	if (!arg)
		return -EFAULT;
	r = bind_check(sim, dev, bind);
	if (r)
		return r;
	if (dev->bound == id + 1) {
		vfmi_sim_strict(sim, "%s: bound a second time", dev->name);
		return -EINVAL;
	}
	r = vfmi_sim_object_of(sim, bind->iommufd, &ctx);
	if (r == -EBADF)
		return r;
	if (r || sim->machine->objects[ctx].kind != SIM_OBJECT_IOMMUFD)
		return -EBADFD;
	if (dev->bound)
		return -EINVAL;

	vfmi_sim_change(sim, dev);
	dev->devid = vfmi_sim_new_id(sim, ctx);
	dev->ctx = ctx + 1;
	dev->bound = id + 1;
	if (!vfmi_sim_quirk(dev, SIM_MDEV)) {
		vfmi_sim_reset(sim, dev);
		vfmi_sim_config_open(dev);
	}
	if (vfmi_sim_profile(dev)->open)
		vfmi_sim_profile(dev)->open(sim, dev);
	bind->out_devid = dev->devid;
	return 0;
}

void vfmi_sim_unbind(struct vfm_sim *sim, struct sim_device *dev)
{
	vfmi_sim_irq_drop(sim, dev);
	vfmi_sim_session_close(dev);
	if (!vfmi_sim_quirk(dev, SIM_MDEV))
		vfmi_sim_reset(sim, dev);
	vfmi_sim_detach(sim, dev);
	dev->bound = 0;
	dev->ctx = 0;
	dev->devid = 0;
}

static int device_attach(struct vfm_sim *sim, struct sim_device *dev, struct vfio_device_attach_iommufd_pt *attach)
{
	if (attach->argsz < sizeof(*attach) || attach->flags) {
		vfmi_sim_strict(sim, "%s: VFIO_DEVICE_ATTACH_IOMMUFD_PT with argsz %u and flags %#x", dev->name,
				attach->argsz, attach->flags);
		return -EINVAL;
	}
	vfmi_sim_change(sim, dev);
	return vfmi_sim_attach(sim, dev, &attach->pt_id);
}

static int device_detach(struct vfm_sim *sim, struct sim_device *dev,
			 const struct vfio_device_detach_iommufd_pt *detach)
{
	if (detach->argsz < sizeof(*detach) || detach->flags) {
		vfmi_sim_strict(sim, "%s: VFIO_DEVICE_DETACH_IOMMUFD_PT with argsz %u and flags %#x", dev->name,
				detach->argsz, detach->flags);
		return -EINVAL;
	}
	vfmi_sim_change(sim, dev);
	vfmi_sim_detach(sim, dev);
	return 0;
}

/* A bound device; @arg may be NULL only where there is none. */
int vfmi_sim_device_ioctl(struct vfm_sim *sim, struct sim_device *dev, unsigned long request, void *arg,
			  struct sim_call *call)
{
	if (!arg && request != VFIO_DEVICE_RESET)
		return -EFAULT;
	switch (request) {
	case VFIO_DEVICE_ATTACH_IOMMUFD_PT:
		return device_attach(sim, dev, arg);
	case VFIO_DEVICE_DETACH_IOMMUFD_PT:
		return device_detach(sim, dev, arg);
	case VFIO_DEVICE_FEATURE:
		return vfmi_sim_feature(sim, dev, arg, call);
	case VFIO_DEVICE_GET_INFO:
		return vfmi_sim_device_info(sim, dev, arg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return vfmi_sim_region_info(sim, dev, arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return vfmi_sim_irq_info(sim, dev, arg);
	case VFIO_DEVICE_SET_IRQS:
		vfmi_sim_change(sim, dev);
		return vfmi_sim_set_irqs(sim, dev, arg);
	case VFIO_DEVICE_RESET:
		vfmi_sim_change(sim, dev);
		vfmi_sim_reset(sim, dev);
		return 0;
	default:
		vfmi_sim_strict(sim, "%s: unknown ioctl %#lx", dev->name, request);
		return -ENOTTY;
	}
}

/* regions */

static uint64_t region_size(const struct sim_device *dev, uint32_t index)
{
	uint64_t size = vfmi_sim_profile(dev)->region[index].size;

	return size == UINT64_MAX ? dev->state_bytes : size;
}

static uint32_t access_width(uint64_t pos, size_t length)
{
	uint32_t width;

	for (width = 8; width > 1; width /= 2)
		if (length >= width && !(pos % width))
			break;
	return width;
}

/* The widest aligned accesses that fit, as vfio-pci makes them. */
static ssize_t bar_rw(struct vfm_sim *sim, struct sim_device *dev, uint32_t bar, uint8_t *buf, size_t length,
		      uint64_t pos, bool write)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);
	uint64_t size = region_size(dev, bar);
	size_t done = 0;
	uint32_t width;

	if (pos >= size)
		return -EINVAL;
	length = (size_t)vfmi_min_u64(length, size - pos);
	for (; done < length; done += width) {
		if (!vfmi_sim_config_memory(dev))
			return -EIO;
		width = access_width(pos + done, length - done);
		if (write)
			profile->bar_write(sim, dev, bar, pos + done, width, vfmi_get_le(buf + done, width));
		else
			vfmi_put_le(buf + done, width, profile->bar_read(sim, dev, bar, pos + done, width));
	}
	return (ssize_t)done;
}

ssize_t vfmi_sim_region_rw(struct vfm_sim *sim, struct sim_device *dev, void *buf, size_t length, uint64_t offset,
			   bool write)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);
	uint32_t index = (uint32_t)vfmi_min_u64(offset >> REGION_SHIFT, UINT32_MAX);
	uint64_t pos = offset & REGION_MASK;

	if (!length)
		return 0;
	if (!buf)
		return -EFAULT;
	vfmi_sim_change(sim, dev);
	if (profile->quirks & SIM_MDEV)
		return profile->region_rw(sim, dev, index, buf, length, pos, write);
	if (index >= profile->regions) {
		vfmi_sim_strict(sim, "%s: access to region %u", dev->name, index);
		return -EINVAL;
	}
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		return vfmi_sim_config_rw(sim, dev, buf, length, pos, write);
	if (index < VFIO_PCI_ROM_REGION_INDEX)
		return bar_rw(sim, dev, index, buf, length, pos, write);
	if (index < VFIO_PCI_NUM_REGIONS)
		return -EINVAL; /* neither ROM nor VGA */
	return profile->region_rw(sim, dev, index, buf, length, pos, write);
}

/* Only where what is mapped is memory: the device's contents. */
int vfmi_sim_region_map(struct vfm_sim *sim, struct sim_device *dev, int fd, void *hint, size_t length, int prot,
			int flags, uint64_t offset, void **ret_ptr)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);
	uint32_t index = (uint32_t)vfmi_min_u64(offset >> REGION_SHIFT, UINT32_MAX);
	uint64_t pos = offset & REGION_MASK;
	void *ptr;

	(void)sim;
	if (index >= profile->regions || !(profile->region[index].flags & VFIO_REGION_INFO_FLAG_MMAP) ||
	    !(flags & MAP_SHARED) || !length || pos % 4096 || pos > region_size(dev, index) ||
	    length > region_size(dev, index) - pos)
		return -EINVAL;
	/* By the device's own descriptor: a mapping keeps the device open, as it does in the kernel. */
	ptr = mmap(hint, length, prot, flags, fd, (off_t)(dev->contents_at + pos));
	if (ptr == MAP_FAILED)
		return -errno;
	*ret_ptr = ptr;
	return 0;
}
