/* SPDX-License-Identifier: MIT */
/* What drivers do beside the book: const data by driver name, to be looked up and printed. No policy here. */
#ifndef VFIOMIG_QUIRKS_H
#define VFIOMIG_QUIRKS_H

#include <stddef.h>
#include <stdint.h>

enum vfmi_quirk_flag {
	VFMI_QUIRK_RESET_UNFLAGGED = 1,	     /* VFIO_DEVICE_RESET works although VFIO_DEVICE_FLAGS_RESET is not set */
	VFMI_QUIRK_ZERO_IS_IDLE = 2,	     /* PRE_COPY: read answers 0, not ENOMSG, when there is nothing now */
	VFMI_QUIRK_INFO_FETCHES = 4,	     /* asking for PRE_COPY info makes the driver fetch its next increment */
	VFMI_QUIRK_ACCEPTS_PARTIAL = 8,	     /* RESUMING -> STOP succeeds on a state cut short */
	VFMI_QUIRK_ILLEGAL_ARC_POISONS = 16, /* an arc the kernel refuses marks the device failed */
	VFMI_QUIRK_SIZE_MAY_BE_ERRNO = 32,   /* the data size can be a negative errno read as unsigned */
};

struct vfmi_quirk {
	const char *driver; /* as sysfs names it */
	uint32_t flags;	    /* enum vfmi_quirk_flag */
	const char *note;   /* one sentence for people */
};

/* The table, in name order. */
const struct vfmi_quirk *vfmi_quirks(size_t *ret_count);

/* Flags of @driver, 0 for one without an entry. */
uint32_t vfmi_quirk_flags(const char *driver);

#endif
