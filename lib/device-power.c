/* SPDX-License-Identifier: MIT */
/* Low power of a device: into it, with or without being told when it wakes, and out of it. */
#include <inttypes.h>

#include "device-body.h"

#define STEP "power"

static int set_feature(struct vfm_device *dev, uint32_t feature, void *data, size_t length)
{
	return vfmi_vfio_feature(dev->sys, dev->fd, feature, VFIO_DEVICE_FEATURE_SET, data, length);
}

static int enter_low(struct vfm_device *dev, int wakeup_eventfd)
{
	struct vfio_device_low_power_entry_with_wakeup entry = { .wakeup_eventfd = wakeup_eventfd };

	if (wakeup_eventfd < 0)
		return set_feature(dev, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, NULL, 0);
	return set_feature(dev, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, &entry, sizeof(entry));
}

static int fail_power(struct vfm_device *dev, uint32_t power, int code, struct vfm_error *err)
{
	if (code == ENOTTY)
		return VFMI_FAIL(dev->ctx, err, EOPNOTSUPP, dev->name, STEP,
				 "its driver has no low power (vfio-pci since Linux 6.1, with CONFIG_PM)");
	if (code == EINVAL && power == VFM_POWER_LOW)
		return VFMI_FAIL(dev->ctx, err, EINVAL, dev->name, STEP,
				 "it is in low power already, or what is to tell of its waking is no eventfd");
	return vfmi_device_fail(dev, err, code, STEP, power == VFM_POWER_LOW ? "it stays awake" : "it is not woken");
}

static const char *power_flaw(uint32_t power, int wakeup_eventfd)
{
	if (power != VFM_POWER_ON && power != VFM_POWER_LOW)
		return "no such power state";
	if (power == VFM_POWER_ON && wakeup_eventfd >= 0)
		return "a device that is to be awake does not wake";
	return NULL;
}

int vfm_device_power(struct vfm_device *dev, uint32_t power, int wakeup_eventfd, struct vfm_error *ret_error)
{
	const char *flaw = power_flaw(power, wakeup_eventfd);
	int r;

	if (flaw)
		return VFMI_FAIL(dev->ctx, ret_error, EINVAL, dev->name, STEP, "%s", flaw);
	r = vfmi_device_begin(dev, NULL, STEP, ret_error);
	if (r < 0)
		return r;
	r = vfmi_device_need_bound(dev, STEP, ret_error);
	if (r < 0)
		goto end;
	r = power == VFM_POWER_LOW ? enter_low(dev, wakeup_eventfd)
				   : set_feature(dev, VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, NULL, 0);
	if (r < 0)
		r = fail_power(dev, power, -r, ret_error);
end:
	vfmi_device_end(dev);
	return r;
}
