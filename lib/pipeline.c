/* SPDX-License-Identifier: MIT */
/* The ring of pipeline.h: one lock, two conditions, one worker. */
#include <pthread.h>
#include <stdlib.h>

#include "executor.h"
#include "pipeline.h"

struct vfmi_pipeline {
	pthread_mutex_t lock;
	pthread_cond_t moved; /* a slot changed hands, or a side had its last word */
	struct vfm_context *ctx;
	void *task;
	vfmi_pipeline_fn *worker;
	void *user;
	bool worker_produces;
	bool joined;
	int worker_result;
	uint64_t pushed;
	uint64_t popped;
	bool closed;
	int close_reason;
	int failure;
	uint8_t *memory;
	struct vfmi_slot slots[VFMI_PIPELINE_SLOTS];
};

static void run_worker(void *user)
{
	struct vfmi_pipeline *p = user;

	p->worker_result = p->worker(p->user, p);
	if (p->worker_produces)
		vfmi_pipeline_close(p, p->worker_result);
	else
		vfmi_pipeline_fail(p, p->worker_result);
}

static int init_ring(struct vfmi_pipeline *p)
{
	int r;

	p->memory = malloc((size_t)VFMI_PIPELINE_SLOTS * VFM_STREAM_MAX_CHUNK);
	if (!p->memory)
		return -ENOMEM;
	for (size_t i = 0; i < VFMI_PIPELINE_SLOTS; i++)
		p->slots[i].data = p->memory + i * VFM_STREAM_MAX_CHUNK;
	r = pthread_mutex_init(&p->lock, NULL);
	if (r)
		goto err_memory;
	r = pthread_cond_init(&p->moved, NULL);
	if (r)
		goto err_lock;
	return 0;

err_lock:
	pthread_mutex_destroy(&p->lock);
err_memory:
	free(p->memory);
	return -r;
}

static void free_ring(struct vfmi_pipeline *p)
{
	pthread_cond_destroy(&p->moved);
	pthread_mutex_destroy(&p->lock);
	free(p->memory);
	free(p);
}

static int pipeline_new(struct vfm_context *ctx, vfmi_pipeline_fn *worker, void *user, bool worker_produces,
			struct vfmi_pipeline **ret)
{
	struct vfmi_pipeline *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->ctx = ctx;
	p->worker = worker;
	p->user = user;
	p->worker_produces = worker_produces;
	r = init_ring(p);
	if (r < 0) {
		free(p);
		return r;
	}
	r = vfmi_executor_run(ctx, run_worker, p, &p->task);
	if (r < 0) {
		free_ring(p);
		return r;
	}
	*ret = p;
	return 0;
}

int vfmi_pipeline_consume(struct vfm_context *ctx, vfmi_pipeline_fn *worker, void *user, struct vfmi_pipeline **ret)
{
	return pipeline_new(ctx, worker, user, false, ret);
}

int vfmi_pipeline_produce(struct vfm_context *ctx, vfmi_pipeline_fn *worker, void *user, struct vfmi_pipeline **ret)
{
	return pipeline_new(ctx, worker, user, true, ret);
}

int vfmi_pipeline_join(struct vfmi_pipeline *p)
{
	if (!p->joined)
		vfmi_executor_join(p->ctx, p->task);
	p->joined = true;
	return p->worker_result;
}

void vfmi_pipeline_free(struct vfmi_pipeline *p)
{
	if (!p)
		return;
	if (p->worker_produces)
		vfmi_pipeline_fail(p, -ECANCELED);
	else
		vfmi_pipeline_close(p, -ECANCELED);
	(void)vfmi_pipeline_join(p);
	free_ring(p);
}

int vfmi_pipeline_empty(struct vfmi_pipeline *p, struct vfmi_slot **ret_slot)
{
	int r;

	pthread_mutex_lock(&p->lock);
	while (!p->failure && p->pushed - p->popped == VFMI_PIPELINE_SLOTS)
		pthread_cond_wait(&p->moved, &p->lock);
	r = p->failure;
	if (!r)
		*ret_slot = &p->slots[p->pushed % VFMI_PIPELINE_SLOTS];
	pthread_mutex_unlock(&p->lock);
	return r;
}

void vfmi_pipeline_push(struct vfmi_pipeline *p)
{
	pthread_mutex_lock(&p->lock);
	p->pushed++;
	pthread_cond_signal(&p->moved);
	pthread_mutex_unlock(&p->lock);
}

void vfmi_pipeline_close(struct vfmi_pipeline *p, int r)
{
	pthread_mutex_lock(&p->lock);
	if (!p->closed) {
		p->closed = true;
		p->close_reason = r;
	}
	pthread_cond_signal(&p->moved);
	pthread_mutex_unlock(&p->lock);
}

int vfmi_pipeline_full(struct vfmi_pipeline *p, struct vfmi_slot **ret_slot)
{
	int r = 0;

	pthread_mutex_lock(&p->lock);
	while (!p->closed && p->pushed == p->popped)
		pthread_cond_wait(&p->moved, &p->lock);
	if (p->pushed != p->popped)
		*ret_slot = &p->slots[p->popped % VFMI_PIPELINE_SLOTS];
	else
		r = p->close_reason ? p->close_reason : -ENODATA;
	pthread_mutex_unlock(&p->lock);
	return r;
}

void vfmi_pipeline_pop(struct vfmi_pipeline *p)
{
	pthread_mutex_lock(&p->lock);
	p->popped++;
	pthread_cond_signal(&p->moved);
	pthread_mutex_unlock(&p->lock);
}

void vfmi_pipeline_fail(struct vfmi_pipeline *p, int r)
{
	pthread_mutex_lock(&p->lock);
	if (!p->failure)
		p->failure = r;
	pthread_cond_signal(&p->moved);
	pthread_mutex_unlock(&p->lock);
}
