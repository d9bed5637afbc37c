/* SPDX-License-Identifier: MIT */
/* Sized structs: what crosses the API by value, between callers and libraries of different age. Pure. */
#include "internal.h"

/* No sized struct comes near this; a size above it is an uninitialised one. */
#define SIZE_SANE 4096u

static uint32_t size_of(const void *sized)
{
	uint32_t size;

	memcpy(&size, sized, sizeof(size));
	return size;
}

static bool is_zero(const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i])
			return false;
	return true;
}

int vfmi_sized_in(void *to, size_t known, const void *from, size_t min)
{
	uint32_t known_size = (uint32_t)known;
	uint32_t size;

	if (!from)
		return -EINVAL;
	size = size_of(from);
	if (size < min || size < sizeof(size))
		return -EINVAL;
	if (size > SIZE_SANE)
		return -E2BIG;
	if (size > known && !is_zero((const unsigned char *)from + known, size - known))
		return -E2BIG;
	memset(to, 0, known);
	memcpy(to, from, size < known ? size : known);
	memcpy(to, &known_size, sizeof(known_size));
	return 0;
}

int vfmi_io_in(struct vfm_io *to, const struct vfm_io *from)
{
	const size_t oldest = offsetof(struct vfm_io, flush) + sizeof(from->flush);

	return vfmi_sized_in(to, sizeof(*to), from, oldest);
}

int vfmi_sized_out(void *to, const void *from, size_t known)
{
	const size_t head = sizeof(uint32_t);
	uint32_t size;

	if (!to)
		return -EINVAL;
	size = size_of(to);
	if (size < head)
		return -EINVAL;
	if (size > SIZE_SANE)
		return -E2BIG;
	memcpy((char *)to + head, (const char *)from + head, (size < known ? size : known) - head);
	if (size > known)
		memset((char *)to + known, 0, size - known);
	return 0;
}
