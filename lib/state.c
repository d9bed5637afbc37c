/* SPDX-License-Identifier: MIT */
/* Names of the migration states. Pure. */
#include "internal.h"

static const char *const state_names[] = {
	[VFM_STATE_ERROR] = "ERROR",	   [VFM_STATE_STOP] = "STOP",
	[VFM_STATE_RUNNING] = "RUNNING",   [VFM_STATE_STOP_COPY] = "STOP_COPY",
	[VFM_STATE_RESUMING] = "RESUMING", [VFM_STATE_RUNNING_P2P] = "RUNNING_P2P",
	[VFM_STATE_PRE_COPY] = "PRE_COPY", [VFM_STATE_PRE_COPY_P2P] = "PRE_COPY_P2P",
};

const char *vfm_state_name(uint32_t state)
{
	return state < VFMI_ARRAY_SIZE(state_names) ? state_names[state] : "UNKNOWN";
}

/* The letter as names have it, whatever the locale says. */
static char canonical(char c)
{
	if (c >= 'a' && c <= 'z')
		return (char)(c - 'a' + 'A');

	return c == '-' ? '_' : c;
}

static bool is_name(const char *text, const char *name)
{
	while (*name && canonical(*text) == *name) {
		text++;
		name++;
	}

	return !*text && !*name;
}

int vfm_state_from_name(const char *name, uint32_t *ret_state)
{
	for (uint32_t state = 0; state < VFMI_ARRAY_SIZE(state_names); state++) {
		if (is_name(name, state_names[state])) {
			*ret_state = state;
			return 0;
		}
	}

	return -EINVAL;
}
