/* SPDX-License-Identifier: MIT */
/* Low power: a device that is let go to sleep, and what wakes it. */
#include "profile.h"
#include "uapi/vfio.h"

enum {
	POWER_ON,
	POWER_LOW,   /* an access wakes it while it lasts */
	POWER_WAKES, /* an access wakes it for good, and is told */
};

void vfmi_sim_wake(struct vfm_sim *sim, struct sim_device *dev)
{
	if (dev->power != POWER_WAKES)
		return;
	vfmi_sim_change(sim, dev);
	dev->power = POWER_ON;
	vfmi_sim_irq_signal(sim, dev, SIM_SIGNAL_WAKE);
}

static int enter(struct vfm_sim *sim, struct sim_device *dev, uint32_t power, int fd)
{
	int r;

	if (dev->power)
		return -EINVAL;
	vfmi_sim_change(sim, dev);
	r = power == POWER_WAKES ? vfmi_sim_signal_arm(sim, dev, SIM_SIGNAL_WAKE, fd) : 0;
	if (r)
		return r;
	vfmi_sim_dma_buf_revoke(sim, dev);
	dev->power = power;
	return 0;
}

static int enter_with_wakeup(struct vfm_sim *sim, struct sim_device *dev, const struct vfio_device_feature *feature)
{
	struct vfio_device_low_power_entry_with_wakeup entry;
	int r = vfmi_sim_feature_op(feature, VFIO_DEVICE_FEATURE_SET, sizeof(entry));

	if (r != 1)
		return r;
	memcpy(&entry, feature->data, sizeof(entry));
	return entry.wakeup_eventfd < 0 ? -EINVAL : enter(sim, dev, POWER_WAKES, entry.wakeup_eventfd);
}

int vfmi_sim_power(struct vfm_sim *sim, struct sim_device *dev, const struct vfio_device_feature *feature)
{
	uint32_t number = feature->flags & VFIO_DEVICE_FEATURE_MASK;
	int r;

	if (number == VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP)
		return enter_with_wakeup(sim, dev, feature);
	r = vfmi_sim_feature_op(feature, VFIO_DEVICE_FEATURE_SET, 0);
	if (r != 1)
		return r;
	if (number == VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY)
		return enter(sim, dev, POWER_LOW, -1);
	vfmi_sim_change(sim, dev);
	vfmi_sim_signal_disarm(sim, dev, SIM_SIGNAL_WAKE);
	dev->power = POWER_ON;
	return 0;
}
