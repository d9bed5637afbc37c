/* SPDX-License-Identifier: MIT */
/* A table of the numbers and layouts in uapi-list.h, as the headers included before this one define them. */
#ifndef VFIOMIG_TEST_UAPI_TABLE_H
#define VFIOMIG_TEST_UAPI_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct uapi_entry {
	const char *name; /* "value NAME", "size STRUCT" or "offset STRUCT.MEMBER" */
	unsigned long long number;
	const char *text; /* of an optional macro: what it expands to, its own name when it is not defined */
};

#define TEXT_OF(name) #name
#define VALUE(name) { "value " #name, (uint32_t)(name), NULL },
#define OPTIONAL(name) { "value " #name, 0, TEXT_OF(name) },
#define SIZE(type) { "size " #type, sizeof(struct type), NULL },
#define FIELD(type, member) { "offset " #type "." #member, offsetof(struct type, member), NULL },

static const struct uapi_entry uapi_entries[] = {
#include "uapi-list.h"
};

#undef VALUE
#undef OPTIONAL
#undef SIZE
#undef FIELD

#define UAPI_ENTRIES (sizeof(uapi_entries) / sizeof(uapi_entries[0]))

/* Returns 0 when these headers do not have it. */
static inline int uapi_number(const struct uapi_entry *entry, unsigned long long *ret)
{
	char *end;

	*ret = entry->number;
	if (!entry->text)
		return 1;
	*ret = strtoull(entry->text, &end, 0);
	return end != entry->text;
}

#endif
