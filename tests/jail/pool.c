// SPDX-License-Identifier: MIT
/* An executor as a program in a jail has it: its threads are made before the jail is closed. */
#include <pthread.h>
#include <signal.h>

#include "jail.h"

#define MAX_THREADS 4u

enum task_state { TASK_FREE, TASK_GIVEN, TASK_DONE };

struct task {
	enum task_state state;
	void (*work)(void *arg);
	void *arg;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct task tasks[MAX_THREADS];
static unsigned int thread_count;

static void *serve(void *user)
{
	struct task *task = user;

	pthread_mutex_lock(&lock);
	for (;;) {
		while (task->state != TASK_GIVEN)
			pthread_cond_wait(&changed, &lock);
		pthread_mutex_unlock(&lock);
		task->work(task->arg);
		pthread_mutex_lock(&lock);
		task->state = TASK_DONE;
		pthread_cond_broadcast(&changed);
	}
	return NULL;
}

static int run(void *user, void (*work)(void *arg), void *arg, void **ret_task)
{
	int r = -EAGAIN;

	(void)user;
	pthread_mutex_lock(&lock);
	for (unsigned int i = 0; i < thread_count && r; i++) {
		if (tasks[i].state != TASK_FREE)
			continue;
		tasks[i] = (struct task){ TASK_GIVEN, work, arg };
		*ret_task = &tasks[i];
		r = 0;
	}
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	return r;
}

static void join(void *user, void *arg)
{
	struct task *task = arg;

	(void)user;
	pthread_mutex_lock(&lock);
	while (task->state != TASK_DONE)
		pthread_cond_wait(&changed, &lock);
	task->state = TASK_FREE;
	pthread_mutex_unlock(&lock);
}

struct single {
	pthread_t thread;
	void (*work)(void *arg);
	void *arg;
};

static void *single_main(void *user)
{
	struct single *single = user;

	single->work(single->arg);
	return NULL;
}

int pool_run(void (*work)(void *arg), void *arg, void **ret_task)
{
	struct single *single;
	int r;

	if (thread_count)
		return run(NULL, work, arg, ret_task);
	single = malloc(sizeof(*single));
	if (!single)
		return -ENOMEM;
	single->work = work;
	single->arg = arg;
	r = pthread_create(&single->thread, NULL, single_main, single);
	if (r)
		free(single);
	else
		*ret_task = single;
	return -r;
}

void pool_join(void *task)
{
	struct single *single = task;

	if (thread_count) {
		join(NULL, task);
		return;
	}
	pthread_join(single->thread, NULL);
	free(single);
}

int pool_start(struct vfm_context *ctx, unsigned int count)
{
	const struct vfm_executor executor = { .size = sizeof(executor), .run = run, .join = join };
	sigset_t all, before;
	int r = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (; thread_count < count && thread_count < MAX_THREADS && !r; thread_count++) {
		pthread_t thread;

		r = pthread_create(&thread, NULL, serve, &tasks[thread_count]);
		if (!r)
			pthread_detach(thread);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r ? -r : vfm_context_set_executor(ctx, &executor);
}
