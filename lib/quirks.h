/* SPDX-License-Identifier: MIT */
/* What drivers do beside the book: data by driver name, to be looked up and printed. No policy here. */
#ifndef VFIOMIG_LIB_QUIRKS_H
#define VFIOMIG_LIB_QUIRKS_H

#include "internal.h"

/* Keys; the enums below are their values where these have names. Zero is not what an unlisted driver has: ask. */
enum vfmi_quirk_key {
	VFMI_QUIRK_FLAGS,	   /* migration flags to expect */
	VFMI_QUIRK_PRECOPY_END,	   /* enum vfmi_precopy_end */
	VFMI_QUIRK_PRECOPY_INFO,   /* 1: asking for it fetches more */
	VFMI_QUIRK_PRECOPY_ROUNDS, /* rounds of PRE_COPY that pay, 0 as many as the device makes pay */
	VFMI_QUIRK_POLL,	   /* 1: poll of the data file tells the truth; 0: it is always ready */
	VFMI_QUIRK_BAD_HEADER,	   /* enum vfmi_bad_header */
	VFMI_QUIRK_INCOMPLETE,	   /* enum vfmi_incomplete */
	VFMI_QUIRK_DATA_SIZE,	   /* enum vfmi_data_size */
	VFMI_QUIRK_ILLEGAL_ARC,	   /* 1: an arc the kernel refuses marks the device failed */
	VFMI_QUIRK_P2P,		   /* enum vfmi_p2p */
	VFMI_QUIRK_DMA_LOG,	   /* enum vfmi_dma_log */
	VFMI_QUIRK_DMA_LOG_RANGES, /* ranges it keeps apart, 0 as many as it is given */
	VFMI_QUIRK_DMA_LOG_PAGES,  /* reports start at multiples of that many pages */
	VFMI_QUIRK_RESET,	   /* 1: VFIO_DEVICE_RESET works although the device does not say so */
	VFMI_QUIRK_CLOSE,	   /* 1: the state outlives the last close */
	VFMI_QUIRK_READY_MS,	   /* how long the device may take to answer after a reset */
	VFMI_QUIRK_READY_REGS,	   /* which registers tell: vfmi_quirk_ready() */
	VFMI_QUIRK_KEYS,
};

enum vfmi_precopy_end {
	VFMI_PRECOPY_NONE,
	VFMI_PRECOPY_ENOMSG,
	VFMI_PRECOPY_ZERO,
};

/* Where bytes that are no state of this driver's are refused. */
enum vfmi_bad_header {
	VFMI_BAD_HEADER_NOWHERE,
	VFMI_BAD_HEADER_WRITE,
	VFMI_BAD_HEADER_ARC,
};

/* What RESUMING -> STOP says to a stream cut short. */
enum vfmi_incomplete {
	VFMI_INCOMPLETE_REFUSED,
	VFMI_INCOMPLETE_PARTLY,
	VFMI_INCOMPLETE_ACCEPTED,
};

enum vfmi_data_size {
	VFMI_DATA_SIZE_ESTIMATE,
	VFMI_DATA_SIZE_EXACT,
	VFMI_DATA_SIZE_ERRNO, /* an estimate, or a negative errno read as unsigned */
};

/* What entering a P2P state stops. */
enum vfmi_p2p {
	VFMI_P2P_NONE, /* no such states */
	VFMI_P2P_PEERS,
	VFMI_P2P_ALL, /* the device as a whole, so that downtime begins there */
};

enum vfmi_dma_log {
	VFMI_DMA_LOG_NO,
	VFMI_DMA_LOG_YES,
	VFMI_DMA_LOG_STUB, /* it can be started and never reports a page */
};

/* Value for @driver as the context has it, the usual one for a driver without an entry. */
uint32_t vfmi_quirk(const struct vfm_context *ctx, const char *driver, enum vfmi_quirk_key key);

#define VFMI_READY_REGISTERS 8u

/* A register of 32 bits that has @value in the bits of @mask once the device is ready. */
struct vfmi_ready_register {
	uint64_t offset;
	uint32_t region;
	uint32_t value;
	uint32_t mask;
};

/*
 * What has to be so beside configuration space that answers.
 *
 * @cxl: a device with the CXL DVSEC tells there that its memory is active; its registers are not looked at then
 */
struct vfmi_ready {
	bool cxl;
	uint32_t count;
	struct vfmi_ready_register registers[VFMI_READY_REGISTERS];
};

/* Of @driver as the context has it, never NULL; until the context's quirks change. */
const struct vfmi_ready *vfmi_quirk_ready(const struct vfm_context *ctx, const char *driver);

/* Of a context that goes. */
void vfmi_quirks_free(struct vfmi_quirk_set *set);

#endif
