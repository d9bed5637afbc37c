/* SPDX-License-Identifier: MIT */
/* Where worker threads come from: the only place of the library that makes one. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "executor.h"

#define EXECUTOR_MIN VFMI_SIZE_TO(struct vfm_executor, join)

struct task {
	pthread_t thread;
	void (*work)(void *arg);
	void *arg;
};

static void *run_task(void *user)
{
	struct task *task = user;

	task->work(task->arg);
	return NULL;
}

/* The process's signals are its own threads' business: none may land on a worker, not even at its first instruction. */
static int start_blocked(struct task *task)
{
	sigset_t all;
	sigset_t before;
	int r;

	sigfillset(&all);
	r = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (r)
		return -r;
	r = pthread_create(&task->thread, NULL, run_task, task);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

static int pthread_run(void *user, void (*work)(void *arg), void *arg, void **ret_task)
{
	struct task *task = malloc(sizeof(*task));
	int r;

	(void)user;
	if (!task)
		return -ENOMEM;
	task->work = work;
	task->arg = arg;
	r = start_blocked(task);
	if (r < 0)
		free(task);
	else
		*ret_task = task;
	return r;
}

static void pthread_join_task(void *user, void *arg)
{
	struct task *task = arg;

	(void)user;
	(void)pthread_join(task->thread, NULL);
	free(task);
}

const struct vfm_executor vfmi_executor_pthread = {
	.size = sizeof(vfmi_executor_pthread),
	.run = pthread_run,
	.join = pthread_join_task,
};

int vfm_context_set_executor(struct vfm_context *ctx, const struct vfm_executor *executor)
{
	struct vfm_executor own;
	int r;

	if (!ctx)
		return -EINVAL;
	r = vfmi_sized_in(&own, sizeof(own), executor ? executor : &vfmi_executor_pthread, EXECUTOR_MIN);
	if (r < 0)
		return r;
	if (own.reserved || !own.run || !own.join)
		return -EINVAL;
	ctx->executor = own;
	return 0;
}

static const struct vfm_executor *executor_of(const struct vfm_context *ctx)
{
	return ctx->executor.run ? &ctx->executor : &vfmi_executor_pthread;
}

int vfmi_executor_run(struct vfm_context *ctx, void (*work)(void *arg), void *arg, void **ret_task)
{
	const struct vfm_executor *executor = executor_of(ctx);
	int r = executor->run(executor->user, work, arg, ret_task);

	return r > 0 ? -EIO : r;
}

void vfmi_executor_join(struct vfm_context *ctx, void *task)
{
	const struct vfm_executor *executor = executor_of(ctx);

	executor->join(executor->user, task);
}
