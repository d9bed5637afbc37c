/* SPDX-License-Identifier: MIT */
/*
 * The source side of a transfer: one or many devices read through sessions into a pipeline, stopped together, finished
 * or brought back together. Never resets. Knows no stream and no channel.
 */
#ifndef VFIOMIG_SOURCE_H
#define VFIOMIG_SOURCE_H

#include "pipeline.h"
#include "transfer.h"

struct vfmi_source_device {
	struct vfm_device *dev;
	struct vfm_session *session; /* NULL before its first arc and after its end */
	struct vfm_identity identity;
	uint32_t flags;	    /* enum vfm_migration_flag */
	uint32_t found;	    /* state at the start, and after any failure */
	uint32_t rest;	    /* state an abandoned session goes to: @found, or P2P while others are still stopped */
	bool touched;	    /* moved, and by nobody else since: the way back is ours */
	bool precopied;	    /* pre-copying it further does not pay */
	uint32_t rounds;    /* of PRE_COPY begun */
	uint64_t data_size; /* estimate, VFM_SIZE_UNKNOWN when there is none */
	uint64_t pending;   /* PRE_COPY: bytes announced when last asked */
	uint64_t initial;   /* of these, bytes that should arrive before the stop */
	uint64_t bytes;
	uint64_t chunks;
};

struct vfmi_source {
	struct vfmi_transfer *t;
	struct vfmi_pipeline *pipeline; /* set by the owner before _precopy(); DATA frames go there */
	uint64_t seed;			/* stream id for the sums */
	bool sums;			/* take the sum of each chunk while it is warm */
	bool consumer_failed;		/* the pipeline's other side is the cause: the owner knows more */
	size_t count;
	struct vfmi_source_device devices[VFM_STREAM_MAX_DEVICES];
};

/* Ask every device who and where it is, refuse what cannot be saved. Nothing is moved. */
int vfmi_source_init(struct vfmi_source *source, struct vfmi_transfer *t, struct vfm_device *const *devs, size_t count);

/* Sum of the devices' estimates, VFM_SIZE_UNKNOWN when one has none. */
uint64_t vfmi_source_estimate(const struct vfmi_source *source);

/* With VFM_TRANSFER_LIVE: PRE_COPY on all devices that have it, until it does not pay any more or hits a limit. */
int vfmi_source_precopy(struct vfmi_source *source);

/* All to P2P, then all to STOP_COPY. */
int vfmi_source_stop(struct vfmi_source *source);

/* Read a stopped device to its end. */
int vfmi_source_read(struct vfmi_source *source, uint32_t index);

/* End every session: to @then, or each to the state found with VFM_STATE_UNKNOWN; P2P before anything runs. */
int vfmi_source_finish(struct vfmi_source *source, uint32_t then);

/* After a failure: every device back to the state found, the outcome added to the error. Safe at any point. */
void vfmi_source_rollback(struct vfmi_source *source);

#endif
