/* SPDX-License-Identifier: MIT */
/* Inside of the wait until a device is ready: reading registers of one that may not answer. */
#ifndef VFIOMIG_DEVICE_READY_H
#define VFIOMIG_DEVICE_READY_H

#include "internal.h"

/* In the DVSEC of CXL devices: low half of the first range's size, and what is known of its memory */
#define VFMI_CXL_RANGE_LOW 0x1cu

/* All of these return 1 for yes, 0 for not yet, or -errno. */

/* EIO is the kernel's word for a device that does not decode memory now: not yet. */
int vfmi_device_read_word(struct vfm_device *dev, uint32_t region, uint64_t offset, uint32_t *ret_value);

/* Where configuration space has the DVSEC of CXL devices; 1 and 0 in *@ret_at when it has none. */
int vfmi_device_find_cxl(struct vfm_device *dev, uint32_t *ret_at);

/* Is the memory active; *@ret_own_ms is set once the device tells how long it may take for that. */
int vfmi_device_look_at_cxl(struct vfm_device *dev, uint32_t at, uint32_t *ret_status, uint32_t *ret_own_ms);

#endif
