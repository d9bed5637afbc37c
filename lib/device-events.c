/* SPDX-License-Identifier: MIT */
/* Eventfds beside a device's interrupts: notices of its errors and of its being wanted back, writes by the kernel. */
#include <inttypes.h>
#include <sys/eventfd.h>

#include "device-body.h"

#define WATCH_STEP "watch"
#define IOEVENTFD_STEP "ioeventfd"

static const struct {
	uint32_t index;
	uint32_t notice;
} notices[] = {
	{ VFM_IRQ_ERR, VFM_NOTICE_ERROR },
	{ VFM_IRQ_REQ, VFM_NOTICE_REQUEST },
};

/* watching */

/* 1: there is such an interrupt and nobody armed it yet. */
static int is_free(struct vfm_device *dev, uint32_t index)
{
	VFM_OPTS(vfm_irq, irq);
	int r = vfm_device_irq(dev, index, &irq, NULL);

	if (r == -EINVAL || r == -ENOTTY) /* ERR is of PCI Express; mediated devices mostly have neither */
		return 0;
	return r < 0 ? r : irq.count > 0 && irq.flags & VFM_IRQ_EVENTFD && irq.armed == 0;
}

static int arm_notice(struct vfm_device *dev, uint32_t index, struct vfm_error *err)
{
	int fd = dev->sys->ops->eventfd(dev->sys, 0, EFD_NONBLOCK | EFD_CLOEXEC);
	int r;

	if (fd < 0)
		return vfmi_device_fail(dev, err, -fd, WATCH_STEP, "no eventfd to be had");
	r = vfm_device_irq_arm(dev, index, 0, 1, &fd, err);
	dev->sys->ops->close(dev->sys, fd); /* the table has one of its own */
	if (r == 0)
		vfmi_device_irq_mark_watched(dev, index);
	return r;
}

static int arm_notices(struct vfm_device *dev, uint32_t *ret_armed, struct vfm_error *err)
{
	*ret_armed = 0;
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(notices); i++) {
		int r = is_free(dev, notices[i].index);

		if (r > 0)
			r = arm_notice(dev, notices[i].index, err);
		else if (r < 0)
			r = vfmi_device_fail(dev, err, -r, WATCH_STEP, "the device does not tell its interrupts");
		else
			continue;
		if (r < 0)
			return r;
		*ret_armed |= notices[i].notice;
	}
	return 0;
}

static int watch(struct vfm_device *dev, uint32_t *ret_armed, struct vfm_error *err)
{
	VFM_OPTS(vfm_device_info, info);
	int r = vfm_device_info(dev, &info, err);

	*ret_armed = 0;
	/* elsewhere these indexes are other interrupts */
	if (r < 0 || !(info.flags & VFM_DEVICE_PCI))
		return r;
	return arm_notices(dev, ret_armed, err);
}

int vfm_device_watch(struct vfm_device *dev, struct vfm_error *ret_error)
{
	uint32_t armed;

	return watch(dev, &armed, ret_error);
}

uint32_t vfmi_device_watch_begin(struct vfm_device *dev)
{
	uint32_t armed = 0;

	/* What the owner of an adopted device armed without telling would be lost to it. */
	if (!dev->adopted)
		(void)watch(dev, &armed, NULL);
	return armed;
}

void vfmi_device_watch_end(struct vfm_device *dev, uint32_t armed)
{
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(notices); i++)
		if (armed & notices[i].notice && vfmi_device_irq_watched(dev, notices[i].index) &&
		    vfm_device_irq_disarm(dev, notices[i].index, NULL) < 0)
			vfmi_log(dev->ctx, VFM_LOG_DEBUG, "%s: interrupt index %" PRIu32 " stays armed", dev->name,
				 notices[i].index);
}

/* noticing */

/*
 * What came over one of the interrupts. An eventfd armed here is read, so that it tells once; one of somebody else's is
 * looked at only: its reader is to find it as it is.
 */
static bool has_come(struct vfm_device *dev, uint32_t index)
{
	struct pollfd pfd = { .fd = vfm_device_irq_eventfd(dev, index, 0), .events = POLLIN };
	uint64_t count;

	if (pfd.fd < 0 || dev->sys->ops->poll(dev->sys, &pfd, 1, 0) <= 0 || !(pfd.revents & POLLIN))
		return false;
	if (vfmi_device_irq_watched(dev, index))
		(void)dev->sys->ops->read(dev->sys, pfd.fd, &count, sizeof(count));
	return true;
}

static uint32_t collect(struct vfm_device *dev)
{
	uint32_t found = 0;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(notices); i++)
		if (has_come(dev, notices[i].index))
			found |= notices[i].notice;
	return found;
}

uint32_t vfmi_device_peek_notices(struct vfm_device *dev)
{
	uint32_t found = collect(dev);

	pthread_mutex_lock(&dev->lock);
	dev->notices |= found;
	found = dev->notices;
	pthread_mutex_unlock(&dev->lock);
	return found;
}

uint32_t vfm_device_notices(struct vfm_device *dev)
{
	uint32_t found = collect(dev);

	pthread_mutex_lock(&dev->lock);
	found |= dev->notices;
	dev->notices = 0;
	pthread_mutex_unlock(&dev->lock);
	return found;
}

void vfmi_device_forget_errors(struct vfm_device *dev)
{
	(void)vfmi_device_peek_notices(dev);
	pthread_mutex_lock(&dev->lock);
	dev->notices &= ~(uint32_t)VFM_NOTICE_ERROR;
	pthread_mutex_unlock(&dev->lock);
}

/* ioeventfd */

static const char *ioeventfd_flaw(const struct vfm_region *region, uint64_t offset, uint32_t width, uint64_t value)
{
	if (width != 1 && width != 2 && width != 4 && width != 8)
		return "1, 2, 4 or 8 bytes can be written";
	if (width < 8 && value >> (8 * width))
		return "the value is wider than the write";
	if (offset % width)
		return "the offset must be a multiple of the width";
	if (offset > region->length || width > region->length - offset)
		return "not inside the region";
	return NULL;
}

static int fail_ioeventfd(struct vfm_device *dev, uint32_t index, uint64_t offset, int code, struct vfm_error *err)
{
	const char *why = vfmi_errno_text(code);

	if (code == ENOTTY) {
		code = EOPNOTSUPP;
		why = "its driver has no ioeventfds (vfio-pci, Linux 4.17)";
	} else if (code == EINVAL) {
		why = "only BARs take it, their MSI-X table excepted, and not every kernel writes 8 bytes; or that "
		      "is no eventfd";
	} else if (code == EEXIST) {
		why = "there is one with this offset, width and value already";
	} else if (code == ENODEV) {
		why = "there is none with this offset, width and value";
	} else if (code == ENOSPC) {
		why = "the device has as many as it may (1000)";
	}
	return VFMI_FAIL(dev->ctx, err, code, dev->name, IOEVENTFD_STEP, "region %" PRIu32 ", offset 0x%" PRIx64 ": %s",
			 index, offset, why);
}

int vfm_device_ioeventfd(struct vfm_device *dev, uint32_t index, uint64_t offset, uint32_t width, uint64_t value,
			 int eventfd, struct vfm_error *ret_error)
{
	VFM_OPTS(vfm_region, region);
	const char *flaw;
	int r;

	r = vfm_device_region(dev, index, &region, ret_error);
	if (r < 0)
		return r;
	flaw = ioeventfd_flaw(&region, offset, width, value);
	if (flaw)
		return VFMI_FAIL(dev->ctx, ret_error, EINVAL, dev->name, IOEVENTFD_STEP,
				 "region %" PRIu32 ", offset 0x%" PRIx64 ", %" PRIu32 " bytes: %s", index, offset,
				 width, flaw);
	r = vfmi_vfio_ioeventfd(dev->sys, dev->fd, region.offset + offset, width, value, eventfd < 0 ? -1 : eventfd);
	return r < 0 ? fail_ioeventfd(dev, index, offset, -r, ret_error) : 0;
}
