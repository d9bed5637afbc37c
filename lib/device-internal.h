/* SPDX-License-Identifier: MIT */
/* What other files of the library may ask of a device object beyond the public API. The body is in device-body.h. */
#ifndef VFIOMIG_DEVICE_INTERNAL_H
#define VFIOMIG_DEVICE_INTERNAL_H

#include "internal.h"

/*
 * One mutating call at a time: _begin() gives -EBUSY (error filled) while another runs or a session is open, unless
 * @session is that session. Sessions hold the device from their start to their end by _claim()/_release().
 */
int vfmi_device_begin(struct vfm_device *dev, const struct vfm_session *session, const char *step,
		      struct vfm_error *err);
void vfmi_device_end(struct vfm_device *dev);
int vfmi_device_claim(struct vfm_device *dev, struct vfm_session *session, struct vfm_error *err);
void vfmi_device_release(struct vfm_device *dev, struct vfm_session *session);

/*
 * Opening (device-open.c). _take_open(): the caller's struct in whole, checked. _start(): open, bind and attach it,
 * unless @cancel, which may be NULL, is triggered before all is done.
 */
int vfmi_device_take_open(struct vfm_context *ctx, const struct vfm_open *from, struct vfm_open *open,
			  struct vfm_error *err);
int vfmi_device_start(struct vfm_context *ctx, const struct vfm_open *open, struct vfm_iommu *iommu,
		      const struct vfm_cancel *cancel, struct vfm_device **ret_dev, struct vfm_error *err);

struct vfmi_sys *vfmi_device_sys(const struct vfm_device *dev);

/* The bound devices of a context (device-list.c). */
int vfmi_device_list_new(struct vfmi_device_list **ret_list);
void vfmi_device_list_free(struct vfmi_device_list *list);

/* Migration flags, asked once and remembered; -EOPNOTSUPP when the device does not migrate. */
int vfmi_device_flags(struct vfm_device *dev, uint32_t *ret_flags, struct vfm_error *err);

/* As vfm_device_get_state() without a report. */
int vfmi_device_peek_state(struct vfm_device *dev, uint32_t *ret_state);

/*
 * Grows whenever the device's own log of what it wrote may have been lost. _lost_log(): a reset has reached it, or it
 * was seen in ERROR.
 */
uint64_t vfmi_device_log_losses(const struct vfm_device *dev);
void vfmi_device_lost_log(struct vfm_device *dev);

/* Grows whenever it comes to another address space. */
uint64_t vfmi_device_moves(const struct vfm_device *dev);

/* Device without lock or session check, for session.c: reset, and wait until it is ready again. */
int vfmi_device_reset_now(struct vfm_device *dev, struct vfm_error *err);

/* Wait as long as the quirk table has it, a minute at least; @step for messages. -ETIMEDOUT (device-ready.c). */
int vfmi_device_wait_ready(struct vfm_device *dev, const char *step, struct vfm_error *err);

/*
 * Notices for the time of a transfer (device-events.c). _begin() watches where nobody does and says what it armed, to
 * be given to _end(); where that cannot be, nothing is noticed. _peek_ leaves them for vfm_device_notices().
 */
uint32_t vfmi_device_watch_begin(struct vfm_device *dev);
void vfmi_device_watch_end(struct vfm_device *dev, uint32_t armed);
uint32_t vfmi_device_peek_notices(struct vfm_device *dev);
/* A reset has made good what they told of. */
void vfmi_device_forget_errors(struct vfm_device *dev);

/* Interrupts: a vector's eventfd declared by a lender (duplicated); used by adoption and lending. */
int vfmi_device_irq_declare(struct vfm_device *dev, uint32_t index, uint32_t vector, int eventfd);
/* What is declared now came from a lender; only what is armed or disarmed from now on is news to it. */
void vfmi_device_irq_mark_lent(struct vfm_device *dev);
/*
 * A vector's eventfd declared by a borrower, who is not believed: -EPROTO for a vector the device does not have. Of
 * INTX, MSI and MSI-X a PCI device has one enabled at a time: what was known of the others is forgotten.
 */
int vfmi_device_irq_hand_back(struct vfm_device *dev, uint32_t index, uint32_t vector, int eventfd);
/* A vector that a borrower says it has disarmed; the same rule. */
int vfmi_device_irq_hand_back_disarmed(struct vfm_device *dev, uint32_t index, uint32_t vector);
/* Walk the vectors that have an eventfd, or what is news to the lender (-1: disarmed); non-zero stops and is returned.
 */
typedef int vfmi_irq_fn(void *user, uint32_t index, uint32_t vector, int eventfd);
int vfmi_device_irq_each(const struct vfm_device *dev, vfmi_irq_fn *fn, void *user);
int vfmi_device_irq_each_news(const struct vfm_device *dev, vfmi_irq_fn *fn, void *user);

#endif
