/* SPDX-License-Identifier: MIT */
/* What tells that a device is ready, as text: a list of words and registers. Pure. */
#include <inttypes.h>
#include <stdio.h>

#include "quirk-table.h"

#define NONE "none"
#define CXL "cxl"
#define BLANKS " \t"
#define REGISTER_BYTES 4u

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

/* Decimal, or hexadecimal behind "0x"; false when there is none, or none up to @max. */
static bool take_number(const char **at, uint64_t max, uint64_t *ret_value)
{
	const int base = (*at)[0] == '0' && ((*at)[1] | 0x20) == 'x' ? 16 : 10;
	const char *begin = *at + (base == 16 ? 2 : 0);
	uint64_t value = 0;
	int d;

	for (*at = begin; (d = digit(**at)) < base; (*at)++)
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)d, &value) || value > max)
			return false;
	*ret_value = value;
	return *at > begin;
}

static bool take_char(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

/* REGION:OFFSET=VALUE, with /MASK when not all bits count. A value outside its mask would be waited for for ever. */
static bool take_register(const char **at, struct vfmi_ready_register *ret)
{
	uint64_t region, offset, value, mask = UINT32_MAX;

	if (!take_number(at, UINT32_MAX, &region) || !take_char(at, ':') ||
	    !take_number(at, INT64_MAX - REGISTER_BYTES, &offset) || !take_char(at, '=') ||
	    !take_number(at, UINT32_MAX, &value))
		return false;
	if (take_char(at, '/') && !take_number(at, UINT32_MAX, &mask))
		return false;
	if (offset % REGISTER_BYTES || !mask || value & ~mask)
		return false;
	*ret = (struct vfmi_ready_register){
		.region = (uint32_t)region,
		.offset = offset,
		.value = (uint32_t)value,
		.mask = (uint32_t)mask,
	};
	return true;
}

static bool take_word(const char **at, const char *word)
{
	const size_t length = strlen(word);

	if (strncmp(*at, word, length) != 0)
		return false;
	*at += length;
	return true;
}

int vfmi_ready_parse(const char *text, struct vfmi_ready *ret)
{
	struct vfmi_ready ready = { 0 };
	const char *at = text;

	if (!strcmp(text, NONE)) {
		*ret = ready;
		return 0;
	}
	for (;;) {
		at += strspn(at, BLANKS);
		if (take_word(&at, CXL))
			ready.cxl = true;
		else if (ready.count < VFMI_READY_REGISTERS && take_register(&at, &ready.registers[ready.count]))
			ready.count++;
		else
			return -EINVAL;
		at += strspn(at, BLANKS);
		if (!*at)
			break;
		if (!take_char(&at, ','))
			return -EINVAL;
	}
	*ret = ready;
	return 0;
}

void vfmi_ready_print(const struct vfmi_ready *ready, char *buf, size_t room)
{
	size_t at = (size_t)snprintf(buf, room, "%s", ready->cxl ? CXL : ready->count ? "" : NONE);

	for (uint32_t i = 0; i < ready->count && at < room; i++) {
		const struct vfmi_ready_register *reg = &ready->registers[i];

		at += (size_t)snprintf(buf + at, room - at, "%s%" PRIu32 ":0x%" PRIx64 "=0x%" PRIx32, at ? ", " : "",
				       reg->region, reg->offset, reg->value);
		if (reg->mask != UINT32_MAX && at < room)
			at += (size_t)snprintf(buf + at, room - at, "/0x%" PRIx32, reg->mask);
	}
}
