/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of the vfiomig_soft driver.
 *
 * Lock order: sdev->set_lock, sdev->lock, then whatever the kernel takes for a DMA or a pin. The
 * unmap callback comes with locks of type1 held that a pin takes, so it never takes sdev->lock:
 * pages that are pinned have a lock of their own, see soft_pin.c.
 */
#ifndef SOFT_H
#define SOFT_H

#include <linux/eventfd.h>
#include <linux/mutex.h>
#include <linux/pci_regs.h>
#include <linux/platform_device.h>
#include <linux/vfio.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "vfiomig_soft.h"

#define SOFT_MAX_DEVICES 32
#define SOFT_JOURNAL	 65536

/* The device's registers that migrate. */
struct soft_regs {
	u64 dma_mode;
	u64 ctrl;
	u64 base;
	u64 pages;
	u64 length;
	u64 batch;
	u64 pause_us;
	u64 seed;
	u64 writes;
	u64 reads;
	u64 faults;
	u64 fault_iova;
	u64 fault_error;
};

struct soft_command {
	u64 iova;
	u64 length;
	u64 value;
	u64 pasid;
	u64 result;
};

struct soft_range {
	u64 first;
	u64 last;
};

struct soft_log {
	bool on;
	bool lost; /* no memory to note a write */
	unsigned int shift;
	u32 count;
	struct soft_range *ranges;
	struct xarray dirty; /* by granule; the mark tells that it was withheld once */
	u64 pages;
};

struct soft_pins {
	struct xarray pages; /* by IOVA page; its lock guards the rest, and writes into the pages */
	u64 count;
	u64 unmaps;
	bool busy; /* the device itself pins or unpins */
	unsigned int barred;
	unsigned long barred_until;
	wait_queue_head_t wait;
};

struct soft_session;

struct soft_device {
	struct vfio_device vdev;
	unsigned int id;
	bool physical;

	struct mutex set_lock; /* one SET at a time; taken first of all */
	struct mutex lock;     /* everything down to bounce */
	enum vfio_device_mig_state state;
	struct soft_session *session;
	u8 *contents;
	size_t contents_bytes;
	unsigned int blocks;
	struct soft_regs regs;
	struct soft_command command;
	struct soft_log log;
	struct vfiomig_soft_entry *journal;
	u32 pasid;     /* of the access under way */
	u64 unnoticed; /* writes towards dirty_miss */
	u8 config[PCI_STD_HEADER_SIZEOF];
	u8 *bounce;

	struct task_struct *engine;
	wait_queue_head_t wake;
	struct soft_pins pins;

	struct mutex irq_lock; /* triggers, by VFIO_PCI_*_IRQ_INDEX */
	struct eventfd_ctx *triggers[VFIO_PCI_NUM_IRQS];
};

static inline struct soft_device *to_soft(struct vfio_device *vdev)
{
	return container_of(vdev, struct soft_device, vdev);
}

static inline bool soft_frozen(const struct soft_device *sdev)
{
	return sdev->state == VFIO_DEVICE_STATE_STOP ||
	       sdev->state == VFIO_DEVICE_STATE_STOP_COPY ||
	       sdev->state == VFIO_DEVICE_STATE_RESUMING || sdev->state == VFIO_DEVICE_STATE_ERROR;
}

/* soft_knobs.c: by the number of the device, as they outlive it */
extern const struct attribute_group soft_knob_group;
void soft_knobs_init(void);
u64 soft_knob(unsigned int id, enum vfiomig_soft_knob knob);
void soft_set_knob(unsigned int id, enum vfiomig_soft_knob knob, u64 value);
bool soft_hit(unsigned int id, enum vfiomig_soft_knob knob);
int soft_errno(unsigned int id, enum vfiomig_soft_knob knob);
bool soft_hides(unsigned int id, u64 iova, u64 length, u64 at);
#define KNOB(name)	  VFIOMIG_SOFT_KNOB_##name
#define knob(sdev, name)  soft_knob((sdev)->id, KNOB(name))
#define hit(sdev, name)	  soft_hit((sdev)->id, KNOB(name))
#define error(sdev, name) soft_errno((sdev)->id, KNOB(name))

/* soft_iommu.c */
int soft_iommu_init(void);
void soft_iommu_exit(void);
int soft_iommu_adopt(struct platform_device *pdev);
int soft_iommu_rw(struct device *dev, u32 pasid, u64 iova, void *buf, size_t len, bool write,
		  bool notice);

/* soft_pin.c: all but the callback of vfio need sdev->lock */
void soft_pins_init(struct soft_pins *pins);
int soft_pins_rw(struct soft_device *sdev, u64 iova, void *buf, size_t len, bool write);
void soft_unpin_all(struct soft_device *sdev);
void soft_dma_unmap(struct vfio_device *vdev, u64 iova, u64 length);

/* soft_dma.c: all but start and stop need sdev->lock */
int soft_engine_start(struct soft_device *sdev);
void soft_engine_stop(struct soft_device *sdev);
void soft_engine_kick(struct soft_device *sdev);
bool soft_regs_valid(const struct soft_device *sdev, const struct soft_regs *regs);
int soft_command(struct soft_device *sdev, u64 command);

/* soft_log.c: those without a vfio_device need sdev->lock */
extern const struct vfio_log_ops soft_log_ops;
void soft_log_note(struct soft_device *sdev, u64 iova, u64 length);
void soft_log_forget(struct soft_device *sdev);
void soft_log_reset(struct soft_device *sdev);

/* soft_region.c */
int soft_region_info(struct soft_device *sdev, struct vfio_region_info *info);
ssize_t soft_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos);
ssize_t soft_write(struct vfio_device *vdev, const char __user *buf, size_t count, loff_t *ppos);

/* soft_irq.c */
int soft_irq_info(struct vfio_irq_info *info);
long soft_set_irqs(struct soft_device *sdev, void __user *arg);
void soft_raise(struct soft_device *sdev, unsigned int index);
void soft_irq_forget(struct soft_device *sdev);

/* soft_states.c */
void soft_break(struct soft_device *sdev); /* needs sdev->lock */
extern const struct vfio_migration_ops soft_migration_ops;

/* soft_session.c: all need sdev->lock */
struct file *soft_session_open(struct soft_device *sdev, bool saving);
void soft_session_close(struct soft_device *sdev);
void soft_session_finish_save(struct soft_device *sdev);
int soft_session_finish_load(struct soft_device *sdev);
u64 soft_session_bytes(struct soft_device *sdev);
void soft_session_written(struct soft_device *sdev, size_t offset, size_t length);
unsigned int soft_session_dirty_blocks(struct soft_device *sdev);

#endif
