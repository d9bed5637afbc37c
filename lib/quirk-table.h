/* SPDX-License-Identifier: MIT */
/* The quirk table as it lies in the library: see quirks.h for who reads it. */
#ifndef VFIOMIG_QUIRK_TABLE_H
#define VFIOMIG_QUIRK_TABLE_H

#include "quirks.h"

struct vfmi_quirk_key_def {
	const char *name;
	const char *const *values; /* in the order of the key's enum, NULL at the end; NULL for a number */
	uint32_t max;		   /* of a number, or of an index into the table of what tells readiness */
	uint32_t usual;		   /* of a driver without an entry */
	bool acted_on;
	bool ready; /* the value is an index into vfmi_ready_lists[] */
};

extern const struct vfmi_quirk_key_def vfmi_quirk_keys[VFMI_QUIRK_KEYS];

struct vfmi_quirk_row {
	const char *driver;
	enum vfmi_quirk_key key;
	uint32_t value;
	const char *reason;
	const char *source;
};

/* In the order of drivers' names, then of keys; a driver and key stands once. */
extern const struct vfmi_quirk_row vfmi_quirk_rows[];
extern const size_t vfmi_quirk_row_count;

/* The first one is empty. */
#define VFMI_READY_LISTS 2u
extern const struct vfmi_ready vfmi_ready_lists[VFMI_READY_LISTS];

/* "none", or a list of "cxl" and REGION:OFFSET=VALUE[/MASK]. Return: 0 or -EINVAL. */
int vfmi_ready_parse(const char *text, struct vfmi_ready *ret);

/* The longest list, with its zero byte, fits. */
#define VFMI_READY_TEXT 512u
void vfmi_ready_print(const struct vfmi_ready *ready, char *buf, size_t room);

#endif
