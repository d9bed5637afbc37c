/* SPDX-License-Identifier: MIT */
/*
 * A table of the numbers and layouts in uapi-list.h, as the headers included before this one define them.
 * UAPI_KERNEL, LINUX_VERSION_CODE of these headers, leaves out what is newer; without it everything is there.
 */
#ifndef VFIOMIG_TEST_UAPI_TABLE_H
#define VFIOMIG_TEST_UAPI_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct uapi_entry {
	const char *name; /* "value NAME", "size STRUCT" or "offset STRUCT.MEMBER" */
	unsigned long long number;
};

#ifdef UAPI_KERNEL
#define UAPI_SINCE(major, minor) (UAPI_KERNEL >= ((major) << 16 | (minor) << 8))
#else
#define UAPI_SINCE(major, minor) 1
#endif

#define VALUE(name) { "value " #name, (uint32_t)(name) },
#define SIZE(type) { "size " #type, sizeof(struct type) },
#define FIELD(type, member) { "offset " #type "." #member, offsetof(struct type, member) },

static const struct uapi_entry uapi_entries[] = {
#include "uapi-list.h"
};

#undef VALUE
#undef SIZE
#undef FIELD

#define UAPI_ENTRIES (sizeof(uapi_entries) / sizeof(uapi_entries[0]))

#endif
