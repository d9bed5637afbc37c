/* SPDX-License-Identifier: MIT */
/* Body of a device object, for the device*.c files and nobody else. */
#ifndef VFIOMIG_DEVICE_BODY_H
#define VFIOMIG_DEVICE_BODY_H

#include <pthread.h>

#include "device-internal.h"
#include "iommu-group.h"
#include "vfio.h"

#define VFMI_MAX_IRQ_INDEXES 64u
#define VFMI_MAX_VECTORS 2048u /* of one index; MSI-X of PCI ends there */
#define VFMI_REMEMBERED_REGIONS 16u

/* What a borrowed device's lender knows of a vector. */
enum vfmi_vector_loan {
	VFMI_LOAN_ARMED = 1,   /* it was armed when it was lent */
	VFMI_LOAN_CHANGED = 2, /* armed or disarmed since */
};

/*
 * Eventfds of one interrupt index, ours (duplicated); -1 where a vector has none. @loan: enum vfmi_vector_loan.
 * @watched: vfm_device_watch() made and armed them.
 */
struct vfmi_vectors {
	int *fds;
	uint8_t *loan;
	uint32_t room;
	bool watched;
	bool enabled; /* was by arming here; stays so in the kernel when the last vector is disarmed by -1 */
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
	struct vfmi_iommu_group *group; /* it was opened through; its own file comes with bind */
	bool member;			/* one of those that hold the group in its container */
	bool has_token;
	uint8_t vf_token[16];
	struct vfm_iommu *iommu;
	struct vfm_iommu *own_iommu; /* adopted with it, and closed with it; NULL: none */
	/* Of the call that starts it, until that is over. */
	const struct vfm_cancel *cancel;
	struct vfm_identity identity; /* what sysfs or the lender told */
	struct vfmi_pasid *pasids;    /* page tables made for them (device-pasid.c) */
	uint64_t log_losses;	      /* atomic: resets, and times it was seen in ERROR */
	uint64_t moves;		      /* atomic: to another address space */
	/* Of the context's list (device-list.c), behind its lock. */
	bool listed;
	struct vfm_device *next;
	uint32_t holders;

	pthread_mutex_t lock; /* over the fields below, never held over a call to the kernel */
	bool busy;
	const struct vfm_session *session;
	bool flags_known;
	uint32_t flags;
	uint32_t notices; /* enum vfm_notice, not asked for yet */
	struct vfmi_region_facts regions[VFMI_REMEMBERED_REGIONS];

	/* Held over the kernel calls that belong to them: writes to configuration space, and the interrupt tables. */
	pthread_mutex_t config_lock;
	pthread_mutex_t io_lock;
	struct vfmi_vectors irqs[VFMI_MAX_IRQ_INDEXES];
};

/* An object without a file (device.c); vfm_device_close() takes any there is. */
int vfmi_device_new(struct vfm_context *ctx, const char *name, const struct vfm_identity *identity,
		    struct vfm_device **ret_dev);

/* The common failure: device, step and the kernel's errno in words. */
int vfmi_device_fail(struct vfm_device *dev, struct vfm_error *err, int code, const char *step, const char *what);

/* A device that is not bound answers nothing (uapi: EINVAL): -EINVAL without asking. */
int vfmi_device_need_bound(struct vfm_device *dev, const char *step, struct vfm_error *err);

/*
 * The bound devices of a context (device-list.c). _remove(), before the file is closed, waits until nobody holds it.
 * _hold() adds those that @fn wants, and that are not there yet, to the malloc()ed @devs; they stay until _release(),
 * also after -ENOMEM. @fn may ask the device, and nothing of the list.
 */
typedef bool vfmi_device_list_fn(void *user, struct vfm_device *dev);
void vfmi_device_list_add(struct vfm_device *dev);
void vfmi_device_list_remove(struct vfm_device *dev);
int vfmi_device_list_hold(struct vfm_context *ctx, vfmi_device_list_fn *fn, void *user, struct vfm_device ***devs,
			  size_t *count);
void vfmi_device_list_release(struct vfm_device *dev);

/* A pause of what may be canceled; false when it is (device-ready.c). */
bool vfmi_device_rest(struct vfm_device *dev, uint64_t ns);

/* Migration flags without a report: -EOPNOTSUPP when the device has none, or a set that is not defined. */
int vfmi_device_ask_flags(struct vfm_device *dev, uint32_t *ret_flags);

/* Close every eventfd of the tables (device-irq.c). */
void vfmi_device_irq_clear(struct vfm_device *dev);
/* What stands armed at @index was made by vfm_device_watch(), until it is armed anew or disarmed. */
void vfmi_device_irq_mark_watched(struct vfm_device *dev, uint32_t index);
bool vfmi_device_irq_watched(struct vfm_device *dev, uint32_t index);

/*
 * Before the device's file is closed: no PASID of this object reaches anything any more, and the device itself is on a
 * page table that is not of this object; after it: page tables that were made for PASIDs go (device-pasid.c).
 */
void vfmi_device_pasid_detach_all(struct vfm_device *dev);
void vfmi_device_pasid_clear(struct vfm_device *dev);

/* It has PASIDs. _pasid_left(): it has none, and has left the page table that was made for it when it had. */
bool vfmi_device_has_pasids(struct vfm_device *dev);
void vfmi_device_pasid_left(struct vfm_device *dev);

#endif
