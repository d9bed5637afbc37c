/* SPDX-License-Identifier: MIT */
/* Body of a device object, for the device*.c files and nobody else. */
#ifndef VFIOMIG_DEVICE_BODY_H
#define VFIOMIG_DEVICE_BODY_H

#include <pthread.h>

#include "device-internal.h"
#include "vfio.h"

#define VFMI_MAX_IRQ_INDEXES 64u
#define VFMI_MAX_VECTORS 2048u /* of one index; MSI-X of PCI ends there */
#define VFMI_REMEMBERED_REGIONS 16u

/* What a borrowed device's lender knows of a vector. */
enum vfmi_vector_loan {
	VFMI_LOAN_ARMED = 1,   /* it was armed when it was lent */
	VFMI_LOAN_CHANGED = 2, /* armed or disarmed since */
};

/* Eventfds of one interrupt index, ours (duplicated); -1 where a vector has none. @loan: enum vfmi_vector_loan. */
struct vfmi_vectors {
	int *fds;
	uint8_t *loan;
	uint32_t room;
};

/* What does not change about a region while its device is open; asked once. */
struct vfmi_region_facts {
	bool known;
	uint32_t flags;
	uint64_t length;
	uint64_t offset;
};

struct vfm_device {
	struct vfm_context *ctx;
	struct vfmi_sys *sys;
	char name[sizeof(((struct vfm_identity *)0)->name)];
	int fd;
	bool adopted;
	bool bound;
	uint32_t devid;
	uint32_t pt_id;
	struct vfm_iommu *iommu;
	bool owns_iommu;
	struct vfm_identity identity; /* what sysfs or the lender told */

	pthread_mutex_t lock; /* over the fields below, never held over a call to the kernel */
	bool busy;
	const struct vfm_session *session;
	bool flags_known;
	uint32_t flags;
	struct vfmi_region_facts regions[VFMI_REMEMBERED_REGIONS];

	/* Held over the kernel calls that belong to them: writes to configuration space, and the interrupt tables. */
	pthread_mutex_t config_lock;
	pthread_mutex_t io_lock;
	struct vfmi_vectors irqs[VFMI_MAX_IRQ_INDEXES];
};

/* The common failure: device, step and the kernel's errno in words. */
int vfmi_device_fail(struct vfm_device *dev, struct vfm_error *err, int code, const char *step, const char *what);

/* A device that is not bound answers nothing (uapi: EINVAL): -EINVAL without asking. */
int vfmi_device_need_bound(struct vfm_device *dev, const char *step, struct vfm_error *err);

/* Migration flags without a report: -EOPNOTSUPP when the device has none, or a set that is not defined. */
int vfmi_device_ask_flags(struct vfm_device *dev, uint32_t *ret_flags);

/* Close every eventfd of the tables (device-irq.c). */
void vfmi_device_irq_clear(struct vfm_device *dev);

#endif
