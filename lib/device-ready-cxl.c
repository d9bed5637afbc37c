/* SPDX-License-Identifier: MIT */
/* Readiness of a device with memory on CXL: its DVSEC in configuration space, and what that tells of the memory. */
#include "device-body.h"
#include "device-ready.h"

/* Extended configuration space of PCI Express and the head of its capabilities */
#define EXTENDED_BYTES 4096u
#define EXTENDED_FIRST 256u
#define HEAD_BYTES 8u
#define ID(head) ((head)&0xffffu)
#define NEXT(head) ((head) >> 20 & 0xffcu)

/* Designated vendor-specific capabilities: whose, how long, which of them */
#define DVSEC 0x23u
#define DVSEC_VENDOR 4u
#define DVSEC_BYTES(word) ((word) >> 20)
#define DVSEC_ID 8u

/* The one of CXL devices (CXL 3.1, 8.1.3); its first memory range */
#define CXL_VENDOR 0x1e98u
#define CXL_DEVICE 0u
#define RANGE_VALID 1u
#define RANGE_ACTIVE 2u
#define RANGE_TIMEOUT(word) ((word) >> 13 & 7u) /* 1 s, 4, 16, 64, 256; the rest is reserved */
#define LONGEST_TIMEOUT 4u

static int read_config(struct vfm_device *dev, uint32_t at, uint32_t *ret_value)
{
	int r = vfmi_device_read_word(dev, VFM_REGION_CONFIG, at, ret_value);

	return r > 0 && *ret_value == UINT32_MAX ? 0 : r;
}

/* Return: 1 with *@ret_is, or as read_config(). */
static int is_cxl(struct vfm_device *dev, uint32_t at, bool *ret_is)
{
	uint32_t vendor = 0, id = 0;
	int r = read_config(dev, at + DVSEC_VENDOR, &vendor);

	if (r > 0)
		r = read_config(dev, at + DVSEC_ID, &id);
	*ret_is = ID(vendor) == CXL_VENDOR && ID(id) == CXL_DEVICE && DVSEC_BYTES(vendor) >= VFMI_CXL_RANGE_LOW + 4;
	return r;
}

int vfmi_device_find_cxl(struct vfm_device *dev, uint32_t *ret_at)
{
	VFM_OPTS(vfm_region, config);
	uint32_t at = EXTENDED_FIRST, head = 0;
	bool found = false;
	int r = vfm_device_region(dev, VFM_REGION_CONFIG, &config, NULL);

	*ret_at = 0;
	if (r < 0)
		return r;
	/* a chain with more hops than there is room for heads goes round in circles */
	for (uint32_t hops = (EXTENDED_BYTES - EXTENDED_FIRST) / HEAD_BYTES; hops; hops--) {
		if (at < EXTENDED_FIRST || (uint64_t)at + VFMI_CXL_RANGE_LOW + 4 > config.length)
			return 1;
		r = read_config(dev, at, &head);
		if (r > 0 && ID(head) == DVSEC)
			r = is_cxl(dev, at, &found);
		if (r <= 0)
			return r;
		if (found) {
			*ret_at = at;
			return 1;
		}
		at = NEXT(head);
	}
	return 1;
}

int vfmi_device_look_at_cxl(struct vfm_device *dev, uint32_t at, uint32_t *ret_status, uint32_t *ret_own_ms)
{
	uint32_t timeout;
	int r = read_config(dev, at + VFMI_CXL_RANGE_LOW, ret_status);

	if (r <= 0 || !(*ret_status & RANGE_VALID))
		return r < 0 ? r : 0;
	timeout = RANGE_TIMEOUT(*ret_status);
	*ret_own_ms = 1000u << 2 * (timeout < LONGEST_TIMEOUT ? timeout : LONGEST_TIMEOUT);
	return !!(*ret_status & RANGE_ACTIVE);
}
