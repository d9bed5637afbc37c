/* SPDX-License-Identifier: MIT */
/* VFIO ioctls of the device file, 1:1: argsz filled, what comes back validated, no policy. -errno as the kernel gave.
 */
#ifndef VFIOMIG_VFIO_H
#define VFIOMIG_VFIO_H

#include "sys.h"
#include "uapi/vfio.h"

/* @token: 16 bytes of UUID, for the kernel 6.17 and later, or NULL */
int vfmi_vfio_bind(struct vfmi_sys *sys, int fd, int iommufd, const uint8_t *token, uint32_t *ret_devid);
int vfmi_vfio_attach(struct vfmi_sys *sys, int fd, uint32_t *pt_id); /* in: IOAS or HWPT; out: what was attached */
int vfmi_vfio_detach(struct vfmi_sys *sys, int fd);
/* Linux 6.15; -EINVAL before */
int vfmi_vfio_attach_pasid(struct vfmi_sys *sys, int fd, uint32_t pasid, uint32_t *pt_id);
int vfmi_vfio_detach_pasid(struct vfmi_sys *sys, int fd, uint32_t pasid);

int vfmi_vfio_device_info(struct vfmi_sys *sys, int fd, struct vfio_device_info *ret);

/* The same with its whole capability chain: malloc()ed, free() it; *ret_length bytes, chain already validated. */
int vfmi_vfio_device_info_caps(struct vfmi_sys *sys, int fd, struct vfio_device_info **ret, size_t *ret_length);

/* Region info with its whole capability chain: malloc()ed, free() it; *ret_length bytes, chain already validated. */
int vfmi_vfio_region_info(struct vfmi_sys *sys, int fd, uint32_t index, struct vfio_region_info **ret,
			  size_t *ret_length);
/* The capability @id of a chain, NULL when absent or shorter than @min; pure. May be unaligned: memcpy() it out. */
const void *vfmi_vfio_find_cap(const void *info, size_t length, uint32_t cap_offset, uint16_t id, size_t min);
/* Bytes from the capability at @offset to the next one in place, or to the end. The chain was validated. */
size_t vfmi_vfio_cap_length(const void *info, size_t length, uint32_t cap_offset, size_t offset);

int vfmi_vfio_irq_info(struct vfmi_sys *sys, int fd, uint32_t index, struct vfio_irq_info *ret);
/*
 * @flags: one DATA and one ACTION bit; @data may be NULL for DATA_NONE. Above 0: vectors that could be had, when not
 * all that were asked for can; then none is enabled (vfio_msi_enable(), Linux 6.12 and 7.2).
 */
int vfmi_vfio_set_irqs(struct vfmi_sys *sys, int fd, uint32_t index, uint32_t flags, uint32_t start, uint32_t count,
		       const void *data, size_t data_length);
int vfmi_vfio_reset(struct vfmi_sys *sys, int fd);

/* The functions a hot reset reaches, malloc()ed: free() it. */
int vfmi_vfio_hot_reset_info(struct vfmi_sys *sys, int fd, struct vfio_pci_hot_reset_info **ret);
/* @count 0: the device was opened through its cdev */
int vfmi_vfio_hot_reset(struct vfmi_sys *sys, int fd, const int32_t *group_fds, uint32_t count);

/* @position: in the device file; @eventfd: -1 takes the entry back */
int vfmi_vfio_ioeventfd(struct vfmi_sys *sys, int fd, uint64_t position, uint32_t width, uint64_t data, int eventfd);

/* DEVICE_FEATURE. @op: VFIO_DEVICE_FEATURE_GET, _SET or _PROBE; data in and out. */
int vfmi_vfio_feature(struct vfmi_sys *sys, int fd, uint32_t feature, uint32_t op, void *data, size_t length);

/* Parts of a region as a dma-buf, opened close-on-exec for reading and writing. */
int vfmi_vfio_dma_buf(struct vfmi_sys *sys, int fd, uint32_t index, const struct vfio_region_dma_range *ranges,
		      uint32_t count, int *ret_fd);

int vfmi_vfio_mig_flags(struct vfmi_sys *sys, int fd, uint64_t *ret_flags);
int vfmi_vfio_mig_get(struct vfmi_sys *sys, int fd, uint32_t *ret_state);
/* @ret_data_fd: -1 when no session started; written on success only */
int vfmi_vfio_mig_set(struct vfmi_sys *sys, int fd, uint32_t state, int *ret_data_fd);
int vfmi_vfio_mig_size(struct vfmi_sys *sys, int fd, uint64_t *ret_bytes);
int vfmi_vfio_precopy_info(struct vfmi_sys *sys, int data_fd, struct vfio_precopy_info *ret);

/*
 * The device's log of what it writes, Linux 6.1. @page_size: in: what is wanted; out: the driver's choice, not checked.
 * _report() ORs bits into @bitmap, whole words of it, bit 0 being the page at @iova; what it answers is cleared in the
 * log, and after any error, EINTR too, it is not known what was.
 */
int vfmi_vfio_log_start(struct vfmi_sys *sys, int fd, const struct vfio_device_feature_dma_logging_range *ranges,
			uint32_t count, uint64_t *page_size);
int vfmi_vfio_log_stop(struct vfmi_sys *sys, int fd);
int vfmi_vfio_log_report(struct vfmi_sys *sys, int fd, uint64_t iova, uint64_t length, uint64_t page_size,
			 uint64_t *bitmap);

#endif
