/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of the vfiomig_edu driver.
 *
 * Lock order: edev->lock, mmap_lock, core.memory_lock, edev->hw_lock. A reset arrives with
 * memory_lock held for writing, so it must not wait for edev->lock: it only counts itself, and
 * whoever takes edev->lock next makes the device forget, see edu_lock().
 */
#ifndef EDU_H
#define EDU_H

#include <linux/atomic.h>
#include <linux/mutex.h>
#include <linux/vfio_pci_core.h>
#include <linux/workqueue.h>

#include "vfiomig_edu.h"

enum edu_pump_phase {
	EDU_PUMP_IDLE,
	EDU_PUMP_READING, /* memory to device */
	EDU_PUMP_WRITING, /* device to memory */
};

struct edu_pump {
	enum edu_pump_phase phase;
	u64 ctrl;
	u64 src;
	u64 dst;
	u64 length;
	u64 stride;
	u64 slots;
	u64 completed;
	u64 errors;
};

struct edu_session;

struct edu_device {
	struct vfio_pci_core_device core;

	struct mutex lock; /* everything down to resets */
	enum vfio_device_mig_state state;
	struct edu_session *session;
	u8 *contents;
	size_t contents_bytes;
	unsigned int blocks;
	struct edu_pump pump;
	int resets_seen;

	atomic_t resets;
	u64 silent_until; /* in jiffies */
	struct delayed_work pump_work;

	struct mutex hw_lock; /* the registers, bar and command */
	void __iomem *bar;
	u16 command;
};

static inline struct edu_device *to_edu(struct vfio_device *vdev)
{
	return container_of(vdev, struct edu_device, core.vdev);
}

/* Doing what it was made for: the pump may start a DMA. */
static inline bool edu_runs(const struct edu_device *edev)
{
	return edev->state == VFIO_DEVICE_STATE_RUNNING ||
	       edev->state == VFIO_DEVICE_STATE_PRE_COPY;
}

/* Nobody should write to the device. */
static inline bool edu_frozen(const struct edu_device *edev)
{
	return edev->state == VFIO_DEVICE_STATE_STOP ||
	       edev->state == VFIO_DEVICE_STATE_STOP_COPY ||
	       edev->state == VFIO_DEVICE_STATE_RESUMING || edev->state == VFIO_DEVICE_STATE_ERROR;
}

/* edu_main.c */
void edu_lock(struct edu_device *edev);
int edu_lock_interruptible(struct edu_device *edev);
void edu_unlock(struct edu_device *edev);
bool edu_fail_this_arc(void);
bool edu_break_this_arc(void);
bool edu_reinit_now(void);
size_t edu_chunk(size_t len);
bool edu_precopy_eof(void);

/* edu_hw.c: all but begin and end need the hardware begun, all need edev->lock */
int edu_hw_begin(struct edu_device *edev);
void edu_hw_end(struct edu_device *edev);
int edu_hw_quiesce(struct edu_device *edev);
void edu_hw_save(struct edu_device *edev, struct vfiomig_edu_registers *regs);
bool edu_hw_can_load(const struct vfiomig_edu_registers *regs);
int edu_hw_load(struct edu_device *edev, const struct vfiomig_edu_registers *regs);
void edu_hw_forget(struct edu_device *edev);
bool edu_pump_valid(const struct edu_pump *pump);
void edu_pump_kick(struct edu_device *edev);
void edu_pump_work(struct work_struct *work);

/* edu_region.c */
int edu_register_regions(struct edu_device *edev);
ssize_t edu_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos);

/* edu_states.c */
extern const struct vfio_migration_ops edu_migration_ops;

/* edu_session.c: all need edev->lock */
struct file *edu_session_open(struct edu_device *edev, bool saving);
void edu_session_close(struct edu_device *edev);
int edu_session_finish_save(struct edu_device *edev);
int edu_session_finish_load(struct edu_device *edev);
u64 edu_session_bytes(struct edu_device *edev);
void edu_session_written(struct edu_device *edev, size_t offset, size_t length);
unsigned int edu_session_dirty_blocks(struct edu_device *edev);

#endif
