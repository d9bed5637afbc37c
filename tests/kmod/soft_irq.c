// SPDX-License-Identifier: GPL-2.0-only
/* Interrupts: one MSI and the request to let go of the device, both by eventfd. */

#include <linux/eventfd.h>
#include <linux/uaccess.h>

#include "soft.h"

static bool soft_has_irq(unsigned int index)
{
	return index == VFIO_PCI_MSI_IRQ_INDEX || index == VFIO_PCI_REQ_IRQ_INDEX;
}

int soft_irq_info(struct vfio_irq_info *info)
{
	if (info->index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	info->flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE;
	info->count = soft_has_irq(info->index);
	return 0;
}

void soft_raise(struct soft_device *sdev, unsigned int index)
{
	mutex_lock(&sdev->irq_lock);
	if (sdev->triggers[index])
		eventfd_signal(sdev->triggers[index]);
	mutex_unlock(&sdev->irq_lock);
}

static void soft_set_trigger(struct soft_device *sdev, unsigned int index,
			     struct eventfd_ctx *trigger)
{
	mutex_lock(&sdev->irq_lock);
	swap(sdev->triggers[index], trigger);
	mutex_unlock(&sdev->irq_lock);
	if (trigger)
		eventfd_ctx_put(trigger);
}

void soft_irq_forget(struct soft_device *sdev)
{
	for (unsigned int i = 0; i < VFIO_PCI_NUM_IRQS; i++)
		soft_set_trigger(sdev, i, NULL);
}

static long soft_set_eventfd(struct soft_device *sdev, unsigned int index, void __user *data)
{
	struct eventfd_ctx *trigger = NULL;
	s32 fd;

	if (copy_from_user(&fd, data, sizeof(fd)))
		return -EFAULT;
	if (fd >= 0) {
		trigger = eventfd_ctx_fdget(fd);
		if (IS_ERR(trigger))
			return PTR_ERR(trigger);
	}
	soft_set_trigger(sdev, index, trigger);
	return 0;
}

long soft_set_irqs(struct soft_device *sdev, void __user *arg)
{
	const unsigned long minsz = offsetofend(struct vfio_irq_set, count);
	struct vfio_irq_set set;
	size_t data_size;
	int ret;

	if (copy_from_user(&set, arg, minsz))
		return -EFAULT;
	if (set.index >= VFIO_PCI_NUM_IRQS || !soft_has_irq(set.index))
		return -EINVAL;
	ret = vfio_set_irqs_validate_and_prepare(&set, 1, VFIO_PCI_NUM_IRQS, &data_size);
	if (ret)
		return ret;
	if ((set.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) != VFIO_IRQ_SET_ACTION_TRIGGER)
		return -EINVAL;
	switch (set.flags & VFIO_IRQ_SET_DATA_TYPE_MASK) {
	case VFIO_IRQ_SET_DATA_EVENTFD:
		return set.count ? soft_set_eventfd(sdev, set.index, arg + minsz) : -EINVAL;
	case VFIO_IRQ_SET_DATA_NONE:
		if (set.count)
			soft_raise(sdev, set.index);
		else
			soft_set_trigger(sdev, set.index, NULL);
		return 0;
	default:
		return -EINVAL;
	}
}
