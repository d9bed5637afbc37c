/* SPDX-License-Identifier: MIT */
/* The kernel's migration state machine as const tables: what it predicts, the device's GET decides. Pure. */
#include "internal.h"

#define NUM_STATES 8u

/* The states, short enough for a table. */
enum {
	BLOCKED = VFM_STATE_ERROR,
	STOP = VFM_STATE_STOP,
	RUN = VFM_STATE_RUNNING,
	SAVE = VFM_STATE_STOP_COPY,
	LOAD = VFM_STATE_RESUMING,
	RUNP = VFM_STATE_RUNNING_P2P,
	PRE = VFM_STATE_PRE_COPY,
	PREP = VFM_STATE_PRE_COPY_P2P,
};

/*
 * First hop from a row's state towards a column's, on a device that has every state. Where the device lacks that hop
 * the table is asked again, from the missing state; so four flag sets need one table. Linux 6.2,
 * vfio_mig_get_next_state.
 */
/* clang-format off */
static const uint8_t next_hop[NUM_STATES][NUM_STATES] = {
	/* towards:    0        STOP  RUN   SAVE  LOAD  RUNP  PRE      PREP */
	[STOP] = { BLOCKED, STOP, RUNP, SAVE, LOAD, RUNP, RUNP,    RUNP    },
	[RUN]  = { BLOCKED, RUNP, RUN,  RUNP, RUNP, RUNP, PRE,     RUNP    },
	[SAVE] = { BLOCKED, STOP, STOP, SAVE, STOP, STOP, BLOCKED, BLOCKED },
	[LOAD] = { BLOCKED, STOP, STOP, STOP, LOAD, STOP, STOP,    STOP    },
	[RUNP] = { BLOCKED, STOP, RUN,  STOP, STOP, RUNP, RUN,     PREP    },
	[PRE]  = { BLOCKED, RUN,  RUN,  PREP, RUN,  RUN,  PRE,     PREP    },
	[PREP] = { BLOCKED, RUNP, RUNP, SAVE, RUNP, RUNP, PRE,     PREP    },
};

/* Migration flags a device must have for a state. */
static const uint8_t state_needs[NUM_STATES] = {
	[STOP] = VFM_MIGRATION_STOP_COPY,
	[RUN]  = VFM_MIGRATION_STOP_COPY,
	[SAVE] = VFM_MIGRATION_STOP_COPY,
	[LOAD] = VFM_MIGRATION_STOP_COPY,
	[RUNP] = VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_P2P,
	[PRE]  = VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_PRE_COPY,
	[PREP] = VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_P2P | VFM_MIGRATION_PRE_COPY,
};
/* clang-format on */

static bool flags_are_legal(uint32_t flags)
{
	const uint32_t optional = VFM_MIGRATION_P2P | VFM_MIGRATION_PRE_COPY;

	return (flags & ~optional) == VFM_MIGRATION_STOP_COPY;
}

bool vfm_fsm_has_state(uint32_t flags, uint32_t state)
{
	if (!flags_are_legal(flags) || state == VFM_STATE_ERROR || state >= NUM_STATES)
		return false;

	return (state_needs[state] & ~flags) == 0;
}

int vfm_fsm_next(uint32_t flags, uint32_t from, uint32_t to)
{
	if (!vfm_fsm_has_state(flags, from) || !vfm_fsm_has_state(flags, to))
		return -EINVAL;

	uint32_t hop = next_hop[from][to];

	/* Ends: row @to of the table is never BLOCKED towards itself, and each look-up is one hop nearer to it. */
	while (hop != BLOCKED && !vfm_fsm_has_state(flags, hop))
		hop = next_hop[hop][to];

	return hop == BLOCKED ? -EINVAL : (int)hop;
}

int vfm_fsm_path(uint32_t flags, uint32_t from, uint32_t to, uint32_t path[8])
{
	int next = vfm_fsm_next(flags, from, to);
	int hops = 0;

	while (next >= 0 && from != to) {
		from = (uint32_t)next;
		path[hops++] = from;
		next = vfm_fsm_next(flags, from, to);
	}

	return next < 0 ? next : hops;
}
