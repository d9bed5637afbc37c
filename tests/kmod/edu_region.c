// SPDX-License-Identifier: GPL-2.0-only
/* The two device-specific regions: contents and control. */

#include <linux/jiffies.h>
#include <linux/uaccess.h>

#include "edu.h"

static int edu_fill_ones(char __user *buf, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (put_user((char)0xff, buf + i))
			return -EFAULT;
	return 0;
}

/* Nobody answers on the bus: what is the device's own reads as all ones. */
ssize_t edu_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos)
{
	const bool own = VFIO_PCI_OFFSET_TO_INDEX(*ppos) < VFIO_PCI_NUM_REGIONS;
	const u64 silent_until = READ_ONCE(to_edu(vdev)->silent_until);
	ssize_t ret = vfio_pci_core_read(vdev, buf, count, ppos);

	if (ret > 0 && own && time_before64(get_jiffies_64(), silent_until) &&
	    edu_fill_ones(buf, ret))
		return -EFAULT;
	return ret;
}

static ssize_t edu_contents_rw(struct vfio_pci_core_device *core, char __user *buf, size_t count,
			       loff_t *ppos, bool iswrite)
{
	struct edu_device *edev = container_of(core, struct edu_device, core);
	u64 pos = *ppos & VFIO_PCI_OFFSET_MASK;
	ssize_t ret = 0;

	edu_lock(edev);
	if (pos >= edev->contents_bytes) {
		ret = -EINVAL;
		goto out;
	}
	count = min_t(size_t, count, edev->contents_bytes - pos);
	if (!iswrite) {
		if (copy_to_user(buf, edev->contents + pos, count))
			ret = -EFAULT;
	} else if (edu_frozen(edev)) {
		ret = -EBUSY;
	} else {
		/* A copy that fails has written some of it, too. */
		edu_session_written(edev, pos, count);
		if (copy_from_user(edev->contents + pos, buf, count))
			ret = -EFAULT;
	}
	if (!ret) {
		*ppos += count;
		ret = count;
	}
out:
	edu_unlock(edev);
	return ret;
}

static u64 edu_control_read(struct edu_device *edev, u64 reg)
{
	switch (reg) {
	case VFIOMIG_EDU_PUMP_CTRL:
		return edev->pump.ctrl;
	case VFIOMIG_EDU_PUMP_SRC:
		return edev->pump.src;
	case VFIOMIG_EDU_PUMP_DST:
		return edev->pump.dst;
	case VFIOMIG_EDU_PUMP_LENGTH:
		return edev->pump.length;
	case VFIOMIG_EDU_PUMP_STRIDE:
		return edev->pump.stride;
	case VFIOMIG_EDU_PUMP_SLOTS:
		return edev->pump.slots;
	case VFIOMIG_EDU_PUMP_COMPLETED:
		return edev->pump.completed;
	case VFIOMIG_EDU_PUMP_ERRORS:
		return edev->pump.errors;
	case VFIOMIG_EDU_CONTENTS_BYTES:
		return edev->contents_bytes;
	case VFIOMIG_EDU_BLOCK_BYTES:
		return VFIOMIG_EDU_BLOCK;
	case VFIOMIG_EDU_DIRTY_BLOCKS:
		return edu_session_dirty_blocks(edev);
	case VFIOMIG_EDU_MIG_STATE:
		return edev->state;
	default:
		return 0;
	}
}

static int edu_pump_switch(struct edu_device *edev, u64 ctrl)
{
	struct edu_pump pump = edev->pump;
	int ret;

	pump.ctrl = ctrl;
	if (!edu_pump_valid(&pump))
		return -EINVAL;
	ret = edu_hw_begin(edev);
	if (ret)
		return ret;
	ret = edu_hw_quiesce(edev);
	edu_hw_end(edev);
	if (ret)
		return ret;
	edev->pump.ctrl = ctrl;
	edu_pump_kick(edev);
	return 0;
}

static int edu_control_write(struct edu_device *edev, u64 reg, u64 value)
{
	u64 *setting;

	if (edu_frozen(edev))
		return -EBUSY;
	switch (reg) {
	case VFIOMIG_EDU_PUMP_CTRL:
		return edu_pump_switch(edev, value);
	case VFIOMIG_EDU_PUMP_SRC:
		setting = &edev->pump.src;
		break;
	case VFIOMIG_EDU_PUMP_DST:
		setting = &edev->pump.dst;
		break;
	case VFIOMIG_EDU_PUMP_LENGTH:
		setting = &edev->pump.length;
		break;
	case VFIOMIG_EDU_PUMP_STRIDE:
		setting = &edev->pump.stride;
		break;
	case VFIOMIG_EDU_PUMP_SLOTS:
		setting = &edev->pump.slots;
		break;
	default:
		return -EINVAL;
	}
	if (edev->pump.ctrl & VFIOMIG_EDU_PUMP_RUN)
		return -EBUSY;
	*setting = value;
	return 0;
}

static ssize_t edu_control_rw(struct vfio_pci_core_device *core, char __user *buf, size_t count,
			      loff_t *ppos, bool iswrite)
{
	struct edu_device *edev = container_of(core, struct edu_device, core);
	u64 reg = *ppos & VFIO_PCI_OFFSET_MASK;
	__le64 value;
	int ret = 0;

	if (count != sizeof(value) || reg % sizeof(value) || reg >= VFIOMIG_EDU_CONTROL_BYTES)
		return -EINVAL;
	if (iswrite && copy_from_user(&value, buf, sizeof(value)))
		return -EFAULT;
	edu_lock(edev);
	if (iswrite)
		ret = edu_control_write(edev, reg, le64_to_cpu(value));
	else
		value = cpu_to_le64(edu_control_read(edev, reg));
	edu_unlock(edev);
	if (ret)
		return ret;
	if (!iswrite && copy_to_user(buf, &value, sizeof(value)))
		return -EFAULT;
	*ppos += sizeof(value);
	return sizeof(value);
}

/* What the regions show belongs to the device, which frees it itself. */
static void edu_region_release(struct vfio_pci_core_device *core, struct vfio_pci_region *region)
{
}

static const struct vfio_pci_regops edu_contents_ops = {
	.rw = edu_contents_rw,
	.release = edu_region_release,
};

static const struct vfio_pci_regops edu_control_ops = {
	.rw = edu_control_rw,
	.release = edu_region_release,
};

int edu_register_regions(struct edu_device *edev)
{
	const u32 flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	int ret;

	ret = vfio_pci_core_register_dev_region(&edev->core, VFIOMIG_EDU_REGION_TYPE,
						VFIOMIG_EDU_REGION_CONTENTS, &edu_contents_ops,
						edev->contents_bytes, flags, NULL);
	if (ret)
		return ret;
	return vfio_pci_core_register_dev_region(&edev->core, VFIOMIG_EDU_REGION_TYPE,
						 VFIOMIG_EDU_REGION_CONTROL, &edu_control_ops,
						 VFIOMIG_EDU_CONTROL_BYTES, flags, NULL);
}
