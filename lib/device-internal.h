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

struct vfmi_sys *vfmi_device_sys(const struct vfm_device *dev);

/* Migration flags, asked once and remembered; -EOPNOTSUPP when the device does not migrate. */
int vfmi_device_flags(struct vfm_device *dev, uint32_t *ret_flags, struct vfm_error *err);

/* Device without lock or session check, for session.c: reset. */
int vfmi_device_reset_now(struct vfm_device *dev, struct vfm_error *err);

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
