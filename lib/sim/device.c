/* SPDX-License-Identifier: MIT */
/* The device file: binding, attaching, reset, access to its regions. */
#include <sys/mman.h>
#include <unistd.h>

#include "spaces.h"
#include "uapi/vfio.h"
#include "wire.h"

#define REGION_SHIFT 40u
#define REGION_MASK ((1ull << REGION_SHIFT) - 1)
#define LOOK_NS 1000000u /* what looking at a device that is not ready takes */

/* Forget everything: registers, contents, session; back to RUNNING. What config and interrupts are, they stay. */
void vfmi_sim_reset(struct vfm_sim *sim, struct sim_device *dev)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);

	sim->machine->resets++;
	dev->reset_count++;
	vfmi_sim_session_close(dev);
	dev->log_shift = 0;
	dev->state = VFIO_DEVICE_STATE_RUNNING;
	if (profile->quirks & SIM_MDEV)
		return;
	vfmi_sim_owe(sim, dev->reset_ns);
	if (vfmi_add_overflows(sim->machine->now_ns, dev->reset_ns, &dev->ready_at_ns) ||
	    vfmi_add_overflows(dev->ready_at_ns, dev->ready_ns, &dev->ready_at_ns))
		dev->ready_at_ns = UINT64_MAX;
	vfmi_sim_contents_wipe(sim, dev);
	if (profile->reset)
		profile->reset(dev);
}

static int bind_check(struct vfm_sim *sim, const struct sim_device *dev, const struct vfio_device_bind_iommufd *bind)
{
	const uint32_t min = offsetof(struct vfio_device_bind_iommufd, token_uuid_ptr);

	/* Where tokens are not known their flag is refused like any other, and asking is how to find that out. */
	if (bind->argsz >= min && !(bind->flags & ~VFIO_DEVICE_BIND_FLAG_TOKEN) && bind->iommufd >= 0)
		return bind->flags && sim->machine->host.kernel < SIM_KERNEL(6, 17) ? -EINVAL : 0;
	vfmi_sim_strict(sim, "%s: VFIO_DEVICE_BIND_IOMMUFD with argsz %u, flags %#x, iommufd %d", dev->name,
			bind->argsz, bind->flags, bind->iommufd);
	return -EINVAL;
}

/* Devices of kernels without tokens on this path are given to whoever has the file. */
static int bind_token(struct vfm_sim *sim, struct sim_device *dev, const struct vfio_device_bind_iommufd *bind)
{
	const uint8_t *token = NULL;

	if (sim->machine->host.kernel < SIM_KERNEL(6, 17))
		return 0;
	if (vfmi_sim_quirk(dev, SIM_MDEV))
		return bind->flags ? -EINVAL : 0;
	if (!bind->flags)
		return vfmi_sim_token_check(sim, dev, NULL);
	if (bind->argsz >= sizeof(*bind))
		token = (const uint8_t *)(uintptr_t)bind->token_uuid_ptr;
	return token ? vfmi_sim_token_check(sim, dev, token) : -EFAULT;
}

/* By its cdev or by a group's first file, @by; @ctx its iommufd, object + 1, 0 in a container. */
int vfmi_sim_first_open(struct vfm_sim *sim, struct sim_device *dev, uint32_t by, uint32_t ctx)
{
	if (ctx && (!vfmi_sim_group_viable(sim, dev->group) || vfmi_sim_group_owned(sim, dev->group, ctx - 1)))
		return -EPERM;
	if (ctx) {
		dev->devid = vfmi_sim_new_id(sim, ctx - 1);
		dev->ctx = ctx;
	}
	dev->bound = by + 1;
	if (!vfmi_sim_quirk(dev, SIM_MDEV)) {
		vfmi_sim_reset(sim, dev);
		vfmi_sim_config_open(dev);
	}
	if (vfmi_sim_profile(dev)->open)
		vfmi_sim_profile(dev)->open(sim, dev);
	return 0;
}

bool vfmi_sim_is_open(const struct vfm_sim *sim, const struct sim_device *dev, uint32_t id)
{
	return sim->machine->objects[id].kind == SIM_OBJECT_DEVICE ? dev->bound : dev->bound == id + 1;
}

int vfmi_sim_bind(struct vfm_sim *sim, uint32_t id, void *arg)
{
	struct sim_device *dev = &sim->machine->device[sim->machine->objects[id].device];
	struct vfio_device_bind_iommufd *bind = arg;
	uint32_t ctx;
	int r;

	if (!sim->machine->host.cdev)
		return -ENOTTY;
	if (!arg)
		return -EFAULT;
	r = bind_check(sim, dev, bind);
	if (r)
		return r;
	if (sim->machine->objects[id].kind == SIM_OBJECT_DEVICE)
		return -EINVAL;
	if (vfmi_sim_group(sim, dev->group))
		return -EBUSY;
	if (dev->bound == id + 1) {
		vfmi_sim_strict(sim, "%s: bound a second time", dev->name);
		return -EINVAL;
	}
	r = bind_token(sim, dev, bind);
	if (r)
		return r;
	r = vfmi_sim_object_of(sim, bind->iommufd, &ctx);
	if (r == -EBADF)
		return r;
	if (r || sim->machine->objects[ctx].kind != SIM_OBJECT_IOMMUFD)
		return -EBADFD;
	if (dev->bound)
		return -EINVAL;

	vfmi_sim_change(sim, dev);
	r = vfmi_sim_first_open(sim, dev, id, ctx + 1);
	if (!r)
		bind->out_devid = dev->devid;
	return r;
}

void vfmi_sim_unbind(struct vfm_sim *sim, struct sim_device *dev)
{
	vfmi_sim_dma_buf_closed(sim, dev);
	vfmi_sim_irq_drop(sim, dev);
	vfmi_sim_session_close(dev);
	dev->log_shift = 0;
	if (!vfmi_sim_quirk(dev, SIM_MDEV))
		vfmi_sim_reset(sim, dev);
	/* What a container holds it holds by the group. */
	if (dev->ctx) {
		memset(dev->pasids, 0, sizeof(dev->pasids));
		vfmi_sim_detach(sim, dev);
		vfmi_sim_hwpt_repair(sim);
	}
	dev->bound = 0;
	dev->power = 0;
	dev->ctx = 0;
	dev->devid = 0;
}

/* Shared by attach and detach: PASIDs came with Linux 6.15, and emulated devices have none. */
static int pasid_check(struct vfm_sim *sim, const struct sim_device *dev, uint32_t argsz, uint32_t flags, uint32_t min,
		       const char *what)
{
	if (argsz < min || (flags & ~VFIO_DEVICE_ATTACH_PASID)) {
		vfmi_sim_strict(sim, "%s: %s with argsz %u and flags %#x", dev->name, what, argsz, flags);
		return -EINVAL;
	}
	if (!flags)
		return 0;
	if (sim->machine->host.kernel < SIM_KERNEL(6, 15))
		return -EINVAL;
	if (vfmi_sim_quirk(dev, SIM_MDEV))
		return -EOPNOTSUPP;
	return argsz < min + sizeof(uint32_t) ? -EINVAL : 0;
}

static int device_attach(struct vfm_sim *sim, struct sim_device *dev, struct vfio_device_attach_iommufd_pt *attach)
{
	int r = pasid_check(sim, dev, attach->argsz, attach->flags,
			    offsetof(struct vfio_device_attach_iommufd_pt, pasid), "VFIO_DEVICE_ATTACH_IOMMUFD_PT");

	if (r)
		return r;
	vfmi_sim_change(sim, dev);
	return attach->flags ? vfmi_sim_attach_pasid(sim, dev, attach->pasid, &attach->pt_id)
			     : vfmi_sim_attach(sim, dev, &attach->pt_id);
}

static int device_detach(struct vfm_sim *sim, struct sim_device *dev,
			 const struct vfio_device_detach_iommufd_pt *detach)
{
	int r = pasid_check(sim, dev, detach->argsz, detach->flags,
			    offsetof(struct vfio_device_detach_iommufd_pt, pasid), "VFIO_DEVICE_DETACH_IOMMUFD_PT");

	if (r)
		return r;
	vfmi_sim_change(sim, dev);
	if (detach->flags)
		vfmi_sim_detach_pasid(sim, dev, detach->pasid);
	else
		vfmi_sim_detach(sim, dev);
	return 0;
}

/* A bound device; @arg may be NULL only where there is none. */
int vfmi_sim_device_ioctl(struct vfm_sim *sim, struct sim_device *dev, unsigned long request, void *arg,
			  struct sim_call *call)
{
	if (!arg && request != VFIO_DEVICE_RESET)
		return -EFAULT;
	vfmi_sim_wake(sim, dev);
	if (sim->machine->objects[dev->bound - 1].kind == SIM_OBJECT_CDEV) {
		if (request == VFIO_DEVICE_ATTACH_IOMMUFD_PT)
			return device_attach(sim, dev, arg);
		if (request == VFIO_DEVICE_DETACH_IOMMUFD_PT)
			return device_detach(sim, dev, arg);
	}
	switch (request) {
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
		vfmi_sim_dma_buf_revoke(sim, dev);
		vfmi_sim_reset(sim, dev);
		return 0;
	case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
		return vfmi_sim_hot_reset_info(sim, dev, arg);
	case VFIO_DEVICE_PCI_HOT_RESET:
		return vfmi_sim_hot_reset(sim, dev, arg);
	case VFIO_DEVICE_IOEVENTFD:
		vfmi_sim_change(sim, dev);
		return vfmi_sim_ioeventfd(sim, dev, arg);
	default:
		vfmi_sim_strict(sim, "%s: unknown ioctl %#lx", dev->name, request);
		return -ENOTTY;
	}
}

/* regions */

/* Contents that cannot be told apart from a BAR have the size of one: what is behind them reads as ones. */
uint64_t vfmi_sim_region_size(const struct sim_device *dev, uint32_t index)
{
	uint64_t size = vfmi_sim_profile(dev)->region[index].size;

	if (size != UINT64_MAX)
		return size;
	if (index >= VFIO_PCI_ROM_REGION_INDEX)
		return dev->state_bytes;
	for (size = 16; size < dev->state_bytes; size *= 2)
		;
	return size;
}

static uint32_t access_width(uint64_t pos, size_t length)
{
	uint32_t width;

	for (width = 8; width > 1; width /= 2)
		if (length >= width && !(pos % width))
			break;
	return width;
}

bool vfmi_sim_is_ready(const struct vfm_sim *sim, const struct sim_device *dev)
{
	return sim->machine->now_ns >= dev->ready_at_ns;
}

/* Looking at what is not ready takes time, also for who polls without sleeping. */
static bool is_silent(struct vfm_sim *sim, const struct sim_device *dev)
{
	if (vfmi_sim_is_ready(sim, dev))
		return false;
	vfmi_sim_spend(sim, LOOK_NS);
	return dev->unready == SIM_UNREADY_ONES;
}

static uint64_t bar_access(struct vfm_sim *sim, struct sim_device *dev, uint32_t bar, uint64_t pos, uint32_t width,
			   uint64_t value, bool write)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);

	if (is_silent(sim, dev))
		return UINT64_MAX;
	if (!write)
		return profile->bar_read(sim, dev, bar, pos, width);
	profile->bar_write(sim, dev, bar, pos, width, value);
	return 0;
}

/* How many bytes from @pos on are in the MSI-X table, which vfio-pci keeps to itself unless it is mapped. */
static uint32_t in_msix_table(const struct sim_device *dev, uint32_t bar, uint64_t pos, size_t length)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);
	const uint64_t start = dev->plain_bar ? 0 : SIM_MSIX_TABLE;
	const uint64_t end = start + 16u * profile->msix_vectors;

	if (!profile->msix_cap || bar != (dev->plain_bar ? SIM_PLAIN_BAR : 0) || pos < start || pos >= end)
		return 0;
	return (uint32_t)vfmi_min_u64(length, end - pos);
}

/* The widest aligned accesses that fit, as vfio-pci makes them. */
static ssize_t bar_rw(struct vfm_sim *sim, struct sim_device *dev, uint32_t bar, uint8_t *buf, size_t length,
		      uint64_t pos, bool write)
{
	uint64_t size = vfmi_sim_region_size(dev, bar), value;
	size_t done = 0;
	uint32_t width;

	if (pos >= size)
		return -EINVAL;
	length = (size_t)vfmi_min_u64(length, size - pos);
	for (; done < length; done += width) {
		width = in_msix_table(dev, bar, pos + done, length - done);
		if (width) {
			if (!write)
				memset(buf + done, 0xff, width);
			continue;
		}
		if (!vfmi_sim_config_memory(dev))
			return -EIO;
		width = access_width(pos + done, length - done);
		value = bar_access(sim, dev, bar, pos + done, width, write ? vfmi_get_le(buf + done, width) : 0, write);
		if (!write)
			vfmi_put_le(buf + done, width, value);
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
	vfmi_sim_wake(sim, dev);
	vfmi_sim_change(sim, dev);
	if (profile->quirks & SIM_MDEV)
		return profile->region_rw(sim, dev, index, buf, length, pos, write);
	if (index >= profile->regions) {
		vfmi_sim_strict(sim, "%s: access to region %u", dev->name, index);
		return -EINVAL;
	}
	if (index == VFIO_PCI_CONFIG_REGION_INDEX && is_silent(sim, dev)) {
		if (!write)
			memset(buf, 0xff, length);
		return (ssize_t)length;
	}
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		return vfmi_sim_config_rw(sim, dev, buf, length, pos, write);
	if (index < VFIO_PCI_ROM_REGION_INDEX)
		return bar_rw(sim, dev, index, buf, length, pos, write);
	if (index < VFIO_PCI_NUM_REGIONS)
		return -EINVAL; /* neither ROM nor VGA */
	return profile->region_rw(sim, dev, index, buf, length, pos, write);
}

int vfmi_sim_map_pages(const struct vfm_sim *sim, void *hint, size_t length, int prot, int flags, int fd, off_t at,
		       void **ret_ptr)
{
	const size_t page = (size_t)sim->machine->page_size;
	size_t room, head;
	char *area;
	void *ptr;

	if (!hint && page > (size_t)sysconf(_SC_PAGESIZE)) {
		if (__builtin_add_overflow(length, page, &room))
			return -ENOMEM;
		area = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (area == MAP_FAILED)
			return -errno;
		head = (page - (uintptr_t)area % page) % page;
		if (head)
			munmap(area, head);
		munmap(area + head + length, page - head);
		hint = area + head;
		flags |= MAP_FIXED;
	}
	ptr = mmap(hint, length, prot, flags, fd, at);
	if (ptr == MAP_FAILED)
		return -errno;
	*ret_ptr = ptr;
	return 0;
}

/*
 * What is mapped of its regions is there when it is touched: vfio-pci's fault handler refuses while memory decode is
 * off or the device sleeps, and what was there before was taken away (vfio_pci_zap_bars(), Linux 6.12 and 7.2).
 * nvgrace-gpu has such a handler in 7.2 and none in 6.12, where what is mapped anew of its memory is there at once.
 */
bool vfmi_sim_region_answers(const struct vfm_sim *sim, const struct sim_device *dev)
{
	const bool at_once = vfmi_sim_quirk(dev, SIM_OWN_MEMORY) && !dev->plain_bar &&
			     sim->machine->host.kernel < SIM_KERNEL(6, 19);

	return at_once || (!dev->power && vfmi_sim_config_memory(dev));
}

/* Only where what is mapped is memory: the device's contents. */
int vfmi_sim_region_map(struct vfm_sim *sim, struct sim_device *dev, int fd, void *hint, size_t length, int prot,
			int flags, uint64_t offset, void **ret_ptr)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);
	uint32_t index = (uint32_t)vfmi_min_u64(offset >> REGION_SHIFT, UINT32_MAX);
	uint64_t pos = offset & REGION_MASK, limit = dev->state_bytes;
	const uint64_t page = sim->machine->page_size;

	if (dev->plain_bar)
		limit = (limit + page - 1) / page * page; /* of a short BAR its whole page, which it has to itself */
	if (index >= profile->regions || !(profile->region[index].flags & VFIO_REGION_INFO_FLAG_MMAP) ||
	    !(flags & MAP_SHARED) || !length || pos % page || pos > limit || length > limit - pos)
		return -EINVAL;
	/* By the device's own descriptor: a mapping keeps the device open, as it does in the kernel. */
	return vfmi_sim_map_pages(sim, hint, length, prot, flags, fd, (off_t)(dev->contents_at + pos), ret_ptr);
}
