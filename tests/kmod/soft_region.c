// SPDX-License-Identifier: GPL-2.0-only
/* The regions: registers, contents, journal, configuration space. */

#include <linux/uaccess.h>

#include "soft.h"

#define OFFSET_SHIFT 40

int soft_region_info(struct soft_device *sdev, struct vfio_region_info *info)
{
	if (info->index >= VFIO_PCI_NUM_REGIONS)
		return -EINVAL;
	info->offset = (u64)info->index << OFFSET_SHIFT;
	info->cap_offset = 0;
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	switch (info->index) {
	case VFIOMIG_SOFT_REGISTERS:
		info->size = VFIOMIG_SOFT_REGISTER_BYTES;
		break;
	case VFIOMIG_SOFT_CONTENTS:
		info->size = sdev->contents_bytes;
		break;
	case VFIOMIG_SOFT_JOURNAL:
		info->size = SOFT_JOURNAL * sizeof(*sdev->journal);
		info->flags = VFIO_REGION_INFO_FLAG_READ;
		break;
	case VFIOMIG_SOFT_CONFIG:
		info->size = sizeof(sdev->config);
		break;
	default:
		info->size = 0;
		info->flags = 0;
	}
	return 0;
}

/* Registers */

static u64 *soft_setting(struct soft_regs *regs, u64 reg)
{
	switch (reg) {
	case VFIOMIG_SOFT_DMA_MODE:
		return &regs->dma_mode;
	case VFIOMIG_SOFT_RUN_CTRL:
		return &regs->ctrl;
	case VFIOMIG_SOFT_RUN_BASE:
		return &regs->base;
	case VFIOMIG_SOFT_RUN_PAGES:
		return &regs->pages;
	case VFIOMIG_SOFT_RUN_LENGTH:
		return &regs->length;
	case VFIOMIG_SOFT_RUN_BATCH:
		return &regs->batch;
	case VFIOMIG_SOFT_RUN_PAUSE_US:
		return &regs->pause_us;
	case VFIOMIG_SOFT_RUN_SEED:
		return &regs->seed;
	default:
		return NULL;
	}
}

static u64 *soft_argument(struct soft_device *sdev, u64 reg)
{
	switch (reg) {
	case VFIOMIG_SOFT_DMA_IOVA:
		return &sdev->command.iova;
	case VFIOMIG_SOFT_DMA_LENGTH:
		return &sdev->command.length;
	case VFIOMIG_SOFT_DMA_VALUE:
		return &sdev->command.value;
	case VFIOMIG_SOFT_DMA_PASID:
		return &sdev->command.pasid;
	default:
		return NULL;
	}
}

static u64 soft_status(struct soft_device *sdev, u64 reg)
{
	switch (reg) {
	case VFIOMIG_SOFT_ID:
		return VFIOMIG_SOFT_MAGIC;
	case VFIOMIG_SOFT_FLAVOUR:
		return sdev->physical;
	case VFIOMIG_SOFT_STATE:
		return sdev->state;
	case VFIOMIG_SOFT_CONTENTS_BYTES:
		return sdev->contents_bytes;
	case VFIOMIG_SOFT_BLOCK_BYTES:
		return VFIOMIG_SOFT_BLOCK;
	case VFIOMIG_SOFT_JOURNAL_ENTRIES:
		return SOFT_JOURNAL;
	case VFIOMIG_SOFT_DIRTY_BLOCKS:
		return soft_session_dirty_blocks(sdev);
	case VFIOMIG_SOFT_DMA_RESULT:
		return sdev->command.result;
	case VFIOMIG_SOFT_RUN_WRITES:
		return sdev->regs.writes;
	case VFIOMIG_SOFT_RUN_READ:
		return sdev->regs.reads;
	case VFIOMIG_SOFT_RUN_FAULTS:
		return sdev->regs.faults;
	case VFIOMIG_SOFT_FAULT_IOVA:
		return sdev->regs.fault_iova;
	case VFIOMIG_SOFT_FAULT_ERROR:
		return sdev->regs.fault_error;
	case VFIOMIG_SOFT_PINNED:
		return READ_ONCE(sdev->pins.count);
	case VFIOMIG_SOFT_UNMAPS:
		return READ_ONCE(sdev->pins.unmaps);
	case VFIOMIG_SOFT_LOG_ON:
		return sdev->log.on;
	case VFIOMIG_SOFT_LOG_RANGES:
		return sdev->log.count;
	case VFIOMIG_SOFT_LOG_PAGE:
		return sdev->log.on ? BIT_ULL(sdev->log.shift) : 0;
	case VFIOMIG_SOFT_LOG_DIRTY:
		return sdev->log.pages;
	default:
		return 0;
	}
}

static bool soft_knob_at(u64 reg, enum vfiomig_soft_knob *knob)
{
	u64 number = (reg - VFIOMIG_SOFT_KNOB(0)) / 8;

	*knob = number;
	return reg >= VFIOMIG_SOFT_KNOB(0) && number < VFIOMIG_SOFT_KNOB_COUNT;
}

static u64 soft_register_read(struct soft_device *sdev, u64 reg)
{
	enum vfiomig_soft_knob knob;
	u64 *at = soft_setting(&sdev->regs, reg);

	if (!at)
		at = soft_argument(sdev, reg);
	if (at)
		return *at;
	if (soft_knob_at(reg, &knob))
		return soft_knob(sdev->id, knob);
	return soft_status(sdev, reg);
}

/* While the engine runs it can only be switched off. */
static int soft_set(struct soft_device *sdev, u64 reg, u64 value)
{
	struct soft_regs regs = sdev->regs;

	if (regs.ctrl & VFIOMIG_SOFT_RUN && reg != VFIOMIG_SOFT_RUN_CTRL)
		return -EBUSY;
	*soft_setting(&regs, reg) = value;
	if (!soft_regs_valid(sdev, &regs))
		return -EINVAL;
	*soft_setting(&sdev->regs, reg) = value;
	soft_engine_kick(sdev);
	return 0;
}

static int soft_register_write(struct soft_device *sdev, u64 reg, u64 value)
{
	enum vfiomig_soft_knob knob;
	u64 *at = soft_argument(sdev, reg);

	if (at) {
		*at = value;
		return 0;
	}
	if (soft_knob_at(reg, &knob)) {
		soft_set_knob(sdev->id, knob, value);
		return 0;
	}
	if (reg == VFIOMIG_SOFT_DMA_COMMAND)
		return soft_command(sdev, value);
	if (reg == VFIOMIG_SOFT_INTERRUPT) {
		soft_raise(sdev, VFIO_PCI_MSI_IRQ_INDEX);
		return 0;
	}
	if (reg == VFIOMIG_SOFT_BREAK) {
		soft_break(sdev);
		return 0;
	}
	if (!soft_setting(&sdev->regs, reg))
		return -EINVAL;
	return soft_frozen(sdev) ? -EBUSY : soft_set(sdev, reg, value);
}

static ssize_t soft_registers_rw(struct soft_device *sdev, char __user *buf, size_t count, u64 reg,
				 bool write)
{
	__le64 value;
	int ret = 0;

	if (count != sizeof(value) || reg % sizeof(value) || reg >= VFIOMIG_SOFT_REGISTER_BYTES)
		return -EINVAL;
	if (write && copy_from_user(&value, buf, sizeof(value)))
		return -EFAULT;
	mutex_lock(&sdev->lock);
	if (write)
		ret = soft_register_write(sdev, reg, le64_to_cpu(value));
	else
		value = cpu_to_le64(soft_register_read(sdev, reg));
	mutex_unlock(&sdev->lock);
	if (ret)
		return ret;
	if (!write && copy_to_user(buf, &value, sizeof(value)))
		return -EFAULT;
	return sizeof(value);
}

/* Memory */

static ssize_t soft_copy_out(char __user *buf, size_t count, const void *from, size_t size, u64 pos)
{
	if (pos >= size)
		return -EINVAL;
	count = min_t(size_t, count, size - pos);
	return copy_to_user(buf, from + pos, count) ? -EFAULT : count;
}

static ssize_t soft_contents_write(struct soft_device *sdev, const char __user *buf, size_t count,
				   u64 pos)
{
	if (pos >= sdev->contents_bytes)
		return -EINVAL;
	if (soft_frozen(sdev))
		return -EBUSY;
	count = min_t(size_t, count, sdev->contents_bytes - pos);
	/* A copy that fails has written some of it, too. */
	soft_session_written(sdev, pos, count);
	return copy_from_user(sdev->contents + pos, buf, count) ? -EFAULT : count;
}

static ssize_t soft_config_write(struct soft_device *sdev, const char __user *buf, size_t count,
				 u64 pos)
{
	u8 bytes[sizeof(sdev->config)];

	if (pos >= sizeof(bytes))
		return -EINVAL;
	count = min_t(size_t, count, sizeof(bytes) - pos);
	if (copy_from_user(bytes, buf, count))
		return -EFAULT;
	for (size_t i = 0; i < count; i++)
		if ((pos + i) / 2 == PCI_COMMAND / 2)
			sdev->config[pos + i] = bytes[i];
	return count;
}

static ssize_t soft_memory_read(struct soft_device *sdev, char __user *buf, size_t count,
				unsigned int index, u64 pos)
{
	switch (index) {
	case VFIOMIG_SOFT_CONTENTS:
		return soft_copy_out(buf, count, sdev->contents, sdev->contents_bytes, pos);
	case VFIOMIG_SOFT_JOURNAL:
		return soft_copy_out(buf, count, sdev->journal,
				     SOFT_JOURNAL * sizeof(*sdev->journal), pos);
	case VFIOMIG_SOFT_CONFIG:
		return soft_copy_out(buf, count, sdev->config, sizeof(sdev->config), pos);
	default:
		return -EINVAL;
	}
}

static ssize_t soft_memory_write(struct soft_device *sdev, const char __user *buf, size_t count,
				 unsigned int index, u64 pos)
{
	switch (index) {
	case VFIOMIG_SOFT_CONTENTS:
		return soft_contents_write(sdev, buf, count, pos);
	case VFIOMIG_SOFT_CONFIG:
		return soft_config_write(sdev, buf, count, pos);
	default:
		return -EINVAL;
	}
}

static u64 soft_place(loff_t pos, unsigned int *index)
{
	*index = (u64)pos >> OFFSET_SHIFT;
	return pos & (BIT_ULL(OFFSET_SHIFT) - 1);
}

ssize_t soft_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos)
{
	struct soft_device *sdev = to_soft(vdev);
	unsigned int index;
	u64 pos = soft_place(*ppos, &index);
	ssize_t ret;

	if (index == VFIOMIG_SOFT_REGISTERS) {
		ret = soft_registers_rw(sdev, buf, count, pos, false);
	} else {
		mutex_lock(&sdev->lock);
		ret = soft_memory_read(sdev, buf, count, index, pos);
		mutex_unlock(&sdev->lock);
	}
	if (ret > 0)
		*ppos += ret;
	return ret;
}

ssize_t soft_write(struct vfio_device *vdev, const char __user *buf, size_t count, loff_t *ppos)
{
	struct soft_device *sdev = to_soft(vdev);
	unsigned int index;
	u64 pos = soft_place(*ppos, &index);
	ssize_t ret;

	if (index == VFIOMIG_SOFT_REGISTERS) {
		ret = soft_registers_rw(sdev, (char __user *)buf, count, pos, true);
	} else {
		mutex_lock(&sdev->lock);
		ret = soft_memory_write(sdev, buf, count, index, pos);
		mutex_unlock(&sdev->lock);
	}
	if (ret > 0)
		*ppos += ret;
	return ret;
}
