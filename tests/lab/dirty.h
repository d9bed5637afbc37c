/* SPDX-License-Identifier: MIT */
/* Machines for the tracker's scenarios: which devices, in which address spaces, seen by what. */
#ifndef VFIOMIG_LAB_DIRTY_H
#define VFIOMIG_LAB_DIRTY_H

#include "../kmod/vfiomig_soft.h"
#include "lab.h"

#define SPACES 2u
#define SEATS 4u

#define KNOB(name) VFIOMIG_SOFT_KNOB(VFIOMIG_SOFT_KNOB_##name)

/*
 * A device: in which space, by which source it is to be seen, how it is set up before. A visitor comes and goes.
 */
struct seat {
	enum which which;
	unsigned int space;
	uint32_t source;
	bool visitor;
	uint64_t mode;
	uint64_t run;
	uint64_t knobs[2][2]; /* register, value; before it is attached */
};

struct layout {
	uint32_t backends[SPACES];
	uint32_t iommu_flags;
	uint32_t sources;
	uint32_t flags;
	const char *log_pages; /* reports begin at multiples of that many; NULL: 1 */
	unsigned int rounds;
	bool all;	/* nothing is told apart: every sync reports all */
	bool parts;	/* a block is one map and two areas; not for a log, which has to be read after the unmap */
	uint32_t hwpts; /* page tables that the devices need */
	int (*steal)(struct vfm_device *dev);
	unsigned int seat_count;
	struct seat seats[SEATS];
};

/* The tracker while all of it goes on: devices, areas, resets; the mirror is right in the end. */
int dirty_everything(struct env *env, const struct layout *layout);
int dirty_unnoticed(struct env *env, const struct layout *layout); /* writes that are not told of show in the mirror */
int dirty_hole(struct env *env, const struct layout *layout);	   /* an area of which the middle is not mapped */

#endif
