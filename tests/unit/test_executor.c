/* SPDX-License-Identifier: MIT */
/* Worker threads: made by whom the context says, without signals, joined before a call returns. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "executor.h"
#include "transfer_fixture.h"

/* An executor that counts, and refuses when told. */
struct counting {
	atomic_uint runs;
	atomic_uint joins;
	atomic_uint done;
	int refuse;
};

struct counted {
	struct counting *owner;
	void (*work)(void *arg);
	void *arg;
	void *task;
};

static void counted_work(void *arg)
{
	struct counted *counted = arg;

	counted->work(counted->arg);
	atomic_fetch_add(&counted->owner->done, 1);
}

static int counting_run(void *user, void (*work)(void *arg), void *arg, void **ret_task)
{
	struct counting *owner = user;
	struct counted *counted;
	int r;

	if (owner->refuse)
		return owner->refuse;
	counted = malloc(sizeof(*counted));
	ck_assert_ptr_nonnull(counted);
	*counted = (struct counted){ .owner = owner, .work = work, .arg = arg };
	r = vfmi_executor_pthread.run(NULL, counted_work, counted, &counted->task);
	ck_assert_int_eq(r, 0);
	atomic_fetch_add(&owner->runs, 1);
	*ret_task = counted;
	return 0;
}

static void counting_join(void *user, void *task)
{
	struct counting *owner = user;
	struct counted *counted = task;

	vfmi_executor_pthread.join(NULL, counted->task);
	atomic_fetch_add(&owner->joins, 1);
	free(counted);
}

static void use(struct vfm_context *ctx, struct counting *owner)
{
	VFM_OPTS(vfm_executor, executor);

	executor.user = owner;
	executor.run = counting_run;
	executor.join = counting_join;
	ck_assert_int_eq(vfm_context_set_executor(ctx, &executor), 0);
}

/* the default */

struct seen {
	sigset_t mask;
	pthread_t thread;
	atomic_bool done;
};

static void look(void *arg)
{
	struct seen *seen = arg;

	pthread_sigmask(SIG_SETMASK, NULL, &seen->mask);
	seen->thread = pthread_self();
	usleep(20000);
	atomic_store(&seen->done, true);
}

START_TEST(default_takes_no_signals)
{
	struct vfm_context *ctx;
	struct seen seen = { .done = false };
	sigset_t before, after;
	void *task;

	ck_assert_int_eq(vfm_context_new(&ctx), 0);
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	ck_assert_int_eq(vfmi_executor_run(ctx, look, &seen, &task), 0);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	vfmi_executor_join(ctx, task);
	ck_assert(atomic_load(&seen.done));
	ck_assert(!pthread_equal(seen.thread, pthread_self()));
	for (int i = 1; i < NSIG; i++) {
		if (i != SIGKILL && i != SIGSTOP && i != 32 && i != 33)
			ck_assert_int_eq(sigismember(&seen.mask, i), 1);
		ck_assert_int_eq(sigismember(&before, i), sigismember(&after, i));
	}
	vfm_context_free(ctx);
}
END_TEST

/* setting one */

START_TEST(half_an_executor_is_refused)
{
	VFM_OPTS(vfm_executor, executor);
	struct counting owner = { 0 };
	struct vfm_context *ctx;
	struct seen seen = { .done = false };
	void *task;

	ck_assert_int_eq(vfm_context_set_executor(NULL, NULL), -EINVAL);
	ck_assert_int_eq(vfm_context_new(&ctx), 0);
	use(ctx, &owner);
	ck_assert_int_eq(vfm_context_set_executor(ctx, &executor), -EINVAL);
	executor.run = counting_run;
	ck_assert_int_eq(vfm_context_set_executor(ctx, &executor), -EINVAL);
	executor.join = counting_join;
	executor.reserved = 1;
	ck_assert_int_eq(vfm_context_set_executor(ctx, &executor), -EINVAL);
	executor.reserved = 0;
	executor.size = 8;
	ck_assert_int_eq(vfm_context_set_executor(ctx, &executor), -EINVAL);
	/* the one before stays */
	ck_assert_int_eq(vfmi_executor_run(ctx, look, &seen, &task), 0);
	vfmi_executor_join(ctx, task);
	ck_assert_uint_eq(atomic_load(&owner.runs), 1);
	ck_assert_uint_eq(atomic_load(&owner.joins), 1);
	ck_assert_int_eq(vfm_context_set_executor(ctx, NULL), 0);
	ck_assert_int_eq(vfmi_executor_run(ctx, look, &seen, &task), 0);
	vfmi_executor_join(ctx, task);
	ck_assert_uint_eq(atomic_load(&owner.runs), 1);
	vfm_context_free(ctx);
}
END_TEST

/* A caller's answer that is neither is not taken for a thread. */
START_TEST(positive_answer_is_a_failure)
{
	struct counting owner = { .refuse = 1 };
	struct vfm_context *ctx;
	void *task;

	ck_assert_int_eq(vfm_context_new(&ctx), 0);
	use(ctx, &owner);
	ck_assert_int_eq(vfmi_executor_run(ctx, look, NULL, &task), -EIO);
	vfm_context_free(ctx);
}
END_TEST

/* transfers */

static void check_joined(const struct counting *owner, unsigned int runs)
{
	ck_assert_uint_eq(atomic_load(&owner->runs), runs);
	ck_assert_uint_eq(atomic_load(&owner->done), runs);
	ck_assert_uint_eq(atomic_load(&owner->joins), runs);
}

START_TEST(transfers_use_it)
{
	struct counting owner = { 0 };
	VFM_OPTS(vfm_transfer_opts, opts);

	opts.then_state = VFM_STATE_UNKNOWN;
	setup();
	use(m.ctx, &owner);
	must_save(0, &opts);
	check_joined(&owner, 1);
	must_restore(1, &opts);
	check_joined(&owner, 2);
	ck_assert_msg(vfm_copy(m.dev[0], m.dev[1], &opts, &result, &error) == 0, "%s", error.message);
	check_joined(&owner, 3);
	teardown();
}
END_TEST

START_TEST(transfer_without_a_thread_leaves_the_device_as_it_was)
{
	static const unsigned int source = 0, target = 1;
	struct counting owner = { .refuse = -EAGAIN };
	VFM_OPTS(vfm_transfer_opts, opts);

	opts.then_state = VFM_STATE_UNKNOWN;
	setup();
	use(m.ctx, &owner);
	ck_assert_int_eq(save_of(&source, 1, &opts), -EAGAIN);
	ck_assert_ptr_nonnull(strstr(error.message, "thread"));
	ck_assert_uint_eq(machine_state(&m, source), VFM_STATE_RUNNING);
	check_joined(&owner, 0);
	owner.refuse = 0;
	must_save(source, &opts);
	owner.refuse = -EAGAIN;
	ck_assert_int_eq(restore_to(&target, 1, &opts), -EAGAIN);
	ck_assert_ptr_nonnull(strstr(error.message, "thread"));
	ck_assert_int_eq(vfm_copy(m.dev[0], m.dev[1], &opts, &result, &error), -EAGAIN);
	ck_assert_uint_eq(machine_state(&m, source), VFM_STATE_RUNNING);
	check_joined(&owner, 1);
	teardown();
}
END_TEST

/* virtual time */

struct napper {
	struct vfmi_sys *sys;
	uint64_t ns;
	unsigned int naps;
	uint64_t woke_ns;
};

static void nap(void *arg)
{
	struct napper *napper = arg;

	for (unsigned int i = 0; i < napper->naps; i++)
		napper->sys->ops->sleep_ns(napper->sys, napper->ns);
	napper->woke_ns = napper->sys->ops->now_ns(napper->sys);
}

static uint64_t nap_together(struct napper *nappers, size_t count)
{
	uint64_t begin = vfm_sim_now_ns(m.sim);
	void *tasks[8];

	for (size_t i = 0; i < count; i++) {
		nappers[i].sys = vfmi_context_sys(m.ctx);
		ck_assert_int_eq(vfmi_executor_run(m.ctx, nap, &nappers[i], &tasks[i]), 0);
	}
	for (size_t i = 0; i < count; i++) {
		vfmi_executor_join(m.ctx, tasks[i]);
		ck_assert_uint_eq(nappers[i].woke_ns - begin, nappers[i].naps * nappers[i].ns);
	}
	return vfm_sim_now_ns(m.sim) - begin;
}

START_TEST(virtual_time_passes_side_by_side)
{
	struct napper equal[8],
		steps[3] = { { .ns = 5, .naps = 20 }, { .ns = 100, .naps = 3 }, { .ns = 7, .naps = 1 } };
	VFM_OPTS(vfm_executor, executor);

	machine_start(&m, NULL);
	ck_assert_int_eq(vfm_sim_executor(m.sim, &executor), 0);
	ck_assert_int_eq(vfm_context_set_executor(m.ctx, &executor), 0);
	for (size_t i = 0; i < 8; i++)
		equal[i] = (struct napper){ .ns = 1000000, .naps = 10 };
	ck_assert_uint_eq(nap_together(equal, 8), 10000000);
	ck_assert_uint_eq(nap_together(steps, 3), 300);
	/* alone again, a thread waits for nobody */
	vfmi_context_sys(m.ctx)->ops->sleep_ns(vfmi_context_sys(m.ctx), 50);
	vfm_iommu_close(m.iommu);
	vfm_context_free(m.ctx);
	vfm_sim_close(m.sim);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("executor");
	TCase *tc = tcase_create("threads");

	tcase_add_test(tc, default_takes_no_signals);
	tcase_add_test(tc, half_an_executor_is_refused);
	tcase_add_test(tc, positive_answer_is_a_failure);
	tcase_add_test(tc, transfers_use_it);
	tcase_add_test(tc, transfer_without_a_thread_leaves_the_device_as_it_was);
	tcase_add_test(tc, virtual_time_passes_side_by_side);
	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
