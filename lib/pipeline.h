/* SPDX-License-Identifier: MIT */
/*
 * A bounded ring of frame buffers between the calling thread and one worker: reading and writing overlap, payloads are
 * not copied, memory is fixed. Knows neither devices nor channels.
 *
 * One side produces, the other consumes; which of them is the worker is the caller's choice. A producer's last word
 * reaches the consumer behind everything it has pushed, so what is reported does not depend on timing; a consumer's
 * failure reaches the producer at once.
 */
#ifndef VFIOMIG_PIPELINE_H
#define VFIOMIG_PIPELINE_H

#include "stream-format.h"

/* Few: each is written by one side and read by the other, and what they share has to stay in their caches. */
#define VFMI_PIPELINE_SLOTS 4u

struct vfmi_pipeline;

struct vfmi_slot {
	struct vfmi_frame frame;
	uint64_t sum;
	size_t length;
	uint8_t *data; /* VFM_STREAM_MAX_CHUNK bytes */
};

/* Runs on the worker thread; what it returns is handed to vfmi_pipeline_close() or _fail() for it. */
typedef int vfmi_pipeline_fn(void *user, struct vfmi_pipeline *pipeline);

/* Start a worker that consumes (or, _produce, produces), on a thread of the context's executor. */
int vfmi_pipeline_consume(struct vfm_context *ctx, vfmi_pipeline_fn *worker, void *user, struct vfmi_pipeline **ret);
int vfmi_pipeline_produce(struct vfm_context *ctx, vfmi_pipeline_fn *worker, void *user, struct vfmi_pipeline **ret);

/* End whichever side is still at it, join the worker, free; NULL is fine. */
void vfmi_pipeline_free(struct vfmi_pipeline *pipeline);

/* Producer: wait for an empty slot, fill it, push it. -errno: what the consumer failed with. */
int vfmi_pipeline_empty(struct vfmi_pipeline *pipeline, struct vfmi_slot **ret_slot);
void vfmi_pipeline_push(struct vfmi_pipeline *pipeline);

/* Producer: nothing more comes; @r 0 or the failure that is the reason. */
void vfmi_pipeline_close(struct vfmi_pipeline *pipeline, int r);

/* Consumer: wait for a full slot, use it, pop it. -ENODATA: closed, and all is used; -errno: what it was closed with.
 */
int vfmi_pipeline_full(struct vfmi_pipeline *pipeline, struct vfmi_slot **ret_slot);
void vfmi_pipeline_pop(struct vfmi_pipeline *pipeline);

/* Consumer: nothing more will be used; @r is the failure. */
void vfmi_pipeline_fail(struct vfmi_pipeline *pipeline, int r);

/* The worker's return value, once it has come back. To be called by the other side after its own last word. */
int vfmi_pipeline_join(struct vfmi_pipeline *pipeline);

#endif
