/* SPDX-License-Identifier: MIT */
/* The quirk table as it lies in the library: see quirks.h for who reads it. */
#ifndef VFIOMIG_QUIRK_TABLE_H
#define VFIOMIG_QUIRK_TABLE_H

#include "quirks.h"

struct vfmi_quirk_key_def {
	const char *name;
	const char *const *values; /* in the order of the key's enum, NULL at the end; NULL for a number */
	uint32_t max;		   /* of a number */
	uint32_t usual;		   /* of a driver without an entry */
	bool acted_on;
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

extern const struct vfmi_ready_register vfmi_ready_registers[];
extern const size_t vfmi_ready_register_count;

#endif
