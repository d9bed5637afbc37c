/* SPDX-License-Identifier: MIT */
/* Operations for the fault sweep: what each needs before the faults begin, and what it promises after one. */
#ifndef VFIOMIG_SWEEP_H
#define VFIOMIG_SWEEP_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <vfiomig.h>
#include <vfiomig/sim.h>

#define SOURCE "0000:01:00.0"
#define TARGET "0000:02:00.0"
#define PAGE 4096u

struct bench {
	struct vfm_sim *sim;
	struct vfm_context *ctx;
	struct vfm_iommu *iommu;
	struct vfm_device *source;
	struct vfm_device *target;
	struct vfm_error err;
	const struct operation *op;
	char file[64];
	char machine[64];
	uint8_t *stream;
	size_t stream_length;
	size_t position;
	uint64_t resets_before;
	int eventfd;	 /* for whatever wants one */
	bool forever;	 /* the fault's call fails, and all that follow */
	bool after;	 /* faults come after the effect: the kernel may hold more than it says */
	bool wrong;	 /* found by the operation itself */
	uint64_t struck; /* by a plan that the operation has cleared itself */
	char struck_at[64];
};

/* What an operation promises about the two devices; checked after every failure. */
struct operation {
	const char *name;
	int (*run)(struct bench *b);
	int (*prepare)(struct bench *b); /* last thing before the faults begin; may be NULL */
	const char *spec;		 /* machine; NULL for two edu, SOURCE and TARGET */
	const char *names[2];		 /* devices to open in place of SOURCE and TARGET */
	uint32_t backend;		 /* of the address space */
	uint32_t flags;			 /* of it */
	bool devices;			 /* open both devices before the faults begin */
	bool small;			 /* has few calls, and something to undo: every pair can fail */
	bool shared;			 /* the machine is in a file, for a peer with a handle of its own */
	bool loads;			 /* the target may end blank and reset, never half loaded */
	bool saved;			 /* a stream of the source lies ready */
	bool both;			 /* the states are no matter, or the operation checks them itself */
	uint32_t lasting;		 /* calls that a lasting fault strikes; 0: all that follow */
	uint32_t source_then;		 /* state of the source after success */
	uint32_t target_then;
};

struct operations {
	const char *name;
	const struct operation *list;
	size_t count;
};

#define OPERATIONS(list) list, sizeof(list) / sizeof((list)[0])

extern const struct operations ops_device;
extern const struct operations ops_dirty;
extern const struct operations ops_endpoint;
extern const struct operations ops_iommu;
extern const struct operations ops_start;
extern const struct operations ops_transfer;

/* How many of the two marks that the source's contents began with @device has; -1: not to be read. */
int sweep_marks_of(struct bench *b, const char *device);

int sweep_save(struct bench *b, uint32_t flags, uint32_t then);

/* No more faults: what follows looks at what they left. Return: 0, or not. */
int sweep_quiet(struct bench *b);

/* What is found wrong ends the run. */
void sweep_wrong(struct bench *b, const char *what);

#endif
