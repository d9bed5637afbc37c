/* SPDX-License-Identifier: MIT */
/* Little-endian fields in byte buffers; pure. Used by the stream, its records and the configuration record. */
#ifndef VFIOMIG_WIRE_H
#define VFIOMIG_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void vfmi_put_le16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void vfmi_put_le32(uint8_t *p, uint32_t v)
{
	vfmi_put_le16(p, (uint16_t)v);
	vfmi_put_le16(p + 2, (uint16_t)(v >> 16));
}

static inline void vfmi_put_le64(uint8_t *p, uint64_t v)
{
	vfmi_put_le32(p, (uint32_t)v);
	vfmi_put_le32(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t vfmi_get_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | (uint16_t)(p[1] << 8));
}

static inline uint32_t vfmi_get_le32(const uint8_t *p)
{
	return (uint32_t)vfmi_get_le16(p) | (uint32_t)vfmi_get_le16(p + 2) << 16;
}

static inline uint64_t vfmi_get_le64(const uint8_t *p)
{
	return (uint64_t)vfmi_get_le32(p) | (uint64_t)vfmi_get_le32(p + 4) << 32;
}

/* Fields of any width up to 8 bytes. */
static inline void vfmi_put_le(uint8_t *p, size_t width, uint64_t v)
{
	for (size_t i = 0; i < width; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static inline uint64_t vfmi_get_le(const uint8_t *p, size_t width)
{
	uint64_t v = 0;

	for (size_t i = 0; i < width; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

#endif
