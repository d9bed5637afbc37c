/* SPDX-License-Identifier: MIT */
/*
 * Threads that share virtual time: it moves on when all of them sleep, to where the first one wakes. Who is not among
 * them moves it on by itself.
 */
#include <stdlib.h>

#include "executor.h"
#include "machine.h"

enum runner_state {
	RUNNER_AWAKE,
	RUNNER_ASLEEP,
	RUNNER_JOINING,
};

/* A thread that counts: a worker, or one that has started workers and not joined them all. */
struct sim_runner {
	struct sim_runner *next;
	struct sim_clock *clock;
	pthread_t thread;
	bool known; /* the thread: a worker tells its own */
	enum runner_state state;
	uint64_t wake_ns;
	unsigned int tasks; /* started and not joined */

	/* of a worker */
	void *task;
	void (*work)(void *arg);
	void *arg;
};

/* The lock is outer to the machine's. */
struct sim_clock {
	struct vfm_sim *sim;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	struct sim_runner *first;
};

int vfmi_sim_clock_new(struct vfm_sim *sim, struct sim_clock **ret_clock)
{
	struct sim_clock *clock = calloc(1, sizeof(*clock));

	if (!clock)
		return -ENOMEM;
	clock->sim = sim;
	/* defaults cannot fail to be made */
	(void)pthread_mutex_init(&clock->lock, NULL);
	(void)pthread_cond_init(&clock->moved, NULL);
	*ret_clock = clock;
	return 0;
}

void vfmi_sim_clock_free(struct sim_clock *clock)
{
	if (!clock)
		return;
	pthread_cond_destroy(&clock->moved);
	pthread_mutex_destroy(&clock->lock);
	free(clock);
}

/* Under the lock from here on. */

static struct sim_runner *find_self(const struct sim_clock *clock)
{
	struct sim_runner *runner = clock->first;

	while (runner && !(runner->known && pthread_equal(runner->thread, pthread_self())))
		runner = runner->next;
	return runner;
}

static struct sim_runner *add_runner(struct sim_clock *clock)
{
	struct sim_runner *runner = calloc(1, sizeof(*runner));

	if (!runner)
		return NULL;
	runner->clock = clock;
	runner->next = clock->first;
	clock->first = runner;
	return runner;
}

static void remove_runner(struct sim_clock *clock, struct sim_runner *runner)
{
	struct sim_runner **at = &clock->first;

	while (*at != runner)
		at = &(*at)->next;
	*at = runner->next;
}

/* When nobody is at work, time passes until somebody is. */
static void settle(struct sim_clock *clock)
{
	uint64_t now_ns = vfm_sim_now_ns(clock->sim);
	uint64_t wake_ns = UINT64_MAX;
	bool asleep = false;

	for (struct sim_runner *runner = clock->first; runner; runner = runner->next) {
		if (runner->state == RUNNER_AWAKE)
			return;
		if (runner->state != RUNNER_ASLEEP)
			continue;
		asleep = true;
		wake_ns = vfmi_min_u64(wake_ns, runner->wake_ns);
	}
	if (!asleep)
		return;
	if (wake_ns > now_ns)
		vfm_sim_advance_ns(clock->sim, wake_ns - now_ns);
	for (struct sim_runner *runner = clock->first; runner; runner = runner->next)
		if (runner->state == RUNNER_ASLEEP && runner->wake_ns <= wake_ns)
			runner->state = RUNNER_AWAKE;
	pthread_cond_broadcast(&clock->moved);
}

static void sleep_among(struct sim_clock *clock, struct sim_runner *self, uint64_t ns)
{
	if (vfmi_add_overflows(vfm_sim_now_ns(clock->sim), ns, &self->wake_ns))
		self->wake_ns = UINT64_MAX;
	self->state = RUNNER_ASLEEP;
	settle(clock);
	while (self->state == RUNNER_ASLEEP)
		pthread_cond_wait(&clock->moved, &clock->lock);
}

void vfmi_sim_clock_sleep(struct sim_clock *clock, uint64_t ns)
{
	struct sim_runner *self;

	pthread_mutex_lock(&clock->lock);
	self = find_self(clock);
	if (self)
		sleep_among(clock, self, ns);
	pthread_mutex_unlock(&clock->lock);
	if (!self)
		vfm_sim_advance_ns(clock->sim, ns);
}

/* executor */

static void run_worker(void *arg)
{
	struct sim_runner *self = arg;
	struct sim_clock *clock = self->clock;

	pthread_mutex_lock(&clock->lock);
	self->thread = pthread_self();
	self->known = true;
	pthread_mutex_unlock(&clock->lock);
	self->work(self->arg);
	pthread_mutex_lock(&clock->lock);
	remove_runner(clock, self);
	settle(clock);
	pthread_mutex_unlock(&clock->lock);
}

static struct sim_runner *add_self(struct sim_clock *clock)
{
	struct sim_runner *self = find_self(clock);

	if (self)
		return self;
	self = add_runner(clock);
	if (self) {
		self->thread = pthread_self();
		self->known = true;
	}
	return self;
}

/* A worker stays in memory until it is joined, others as long as they have workers. */
static void drop_starter(struct sim_clock *clock, struct sim_runner *self)
{
	if (self->tasks > 0 || self->work)
		return;
	remove_runner(clock, self);
	free(self);
}

static int clock_run(void *user, void (*work)(void *arg), void *arg, void **ret_task)
{
	struct sim_clock *clock = user;
	struct sim_runner *self, *worker;
	int r = -ENOMEM;

	pthread_mutex_lock(&clock->lock);
	self = add_self(clock);
	if (!self)
		goto out;
	worker = add_runner(clock);
	if (!worker)
		goto err_self;
	worker->work = work;
	worker->arg = arg;
	r = vfmi_executor_pthread.run(NULL, run_worker, worker, &worker->task);
	if (r < 0)
		goto err_worker;
	self->tasks++;
	*ret_task = worker;
	goto out;

err_worker:
	remove_runner(clock, worker);
	free(worker);
err_self:
	drop_starter(clock, self);
out:
	pthread_mutex_unlock(&clock->lock);
	return r;
}

static void clock_join(void *user, void *task)
{
	struct sim_clock *clock = user;
	struct sim_runner *worker = task;
	struct sim_runner *self;

	pthread_mutex_lock(&clock->lock);
	self = find_self(clock);
	self->state = RUNNER_JOINING;
	settle(clock);
	pthread_mutex_unlock(&clock->lock);
	vfmi_executor_pthread.join(NULL, worker->task);
	free(worker);
	pthread_mutex_lock(&clock->lock);
	self->state = RUNNER_AWAKE;
	self->tasks--;
	drop_starter(clock, self);
	settle(clock);
	pthread_mutex_unlock(&clock->lock);
}

int vfm_sim_executor(struct vfm_sim *sim, struct vfm_executor *ret)
{
	const struct vfm_executor executor = { .user = sim->clock, .run = clock_run, .join = clock_join };

	return vfmi_sized_out(ret, &executor, sizeof(executor));
}
