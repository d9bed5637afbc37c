// SPDX-License-Identifier: MIT
/* Scenarios: lending to another process and to another object. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scenario.h"

static void socket_name(char *buf, size_t room)
{
	snprintf(buf, room, "@vfiomig-scenario-%d", (int)getpid());
}

/* Serve until @want comes; other events but NONE fail. */
static int serve(struct env *env, struct vfm_lender *lender, uint32_t want, uint32_t *ret_pid)
{
	for (int i = 0; i < 3000; i++) {
		struct vfm_lend_info info = { .size = sizeof(info) };

		OK(vfm_lender_dispatch(lender, &info, &env->err));
		if (info.event == want) {
			*ret_pid = (uint32_t)info.pid;
			return 0;
		}
		if (info.event != VFM_LEND_NONE)
			printf("# lend event %u instead of %u\n", info.event, want);
		REQUIRE(info.event == VFM_LEND_NONE);
		usleep(1000);
	}
	printf("# lend event %u never came\n", want);
	return -1;
}

enum borrower { SAVES, STOPS_AND_DIES, SAVES_HALF_AND_DIES };

static int null_write(void *user, const void *buf, size_t length)
{
	size_t *left = user;

	(void)buf;
	if (left && *left < length)
		_exit(9);
	if (left)
		*left -= length;
	return 0;
}

/* In the child: borrow over the socket and do as told. */
static int borrower(const char *name, struct vfm_sim *sim, enum borrower what)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_UNKNOWN };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct vfm_error err = { .size = sizeof(err) };
	struct vfm_context *ctx;
	struct vfm_borrow *borrow;
	struct vfm_device *dev;
	size_t left = 200000;
	struct vfm_io io = { .size = sizeof(io), .write = null_write };
	uint32_t state;
	int r;

	r = sim ? vfm_sim_context(sim, &ctx) : vfm_context_new(&ctx);
	if (r || vfm_borrow_open(ctx, name, NULL, &borrow, &err))
		return 1;
	dev = vfm_borrow_device(borrow, 0);
	if (!dev || vfm_borrow_count(borrow) != 1 || vfm_borrow_device(borrow, 1))
		return 2;
	if (what == STOPS_AND_DIES) {
		r = vfm_device_set_state(dev, VFM_STATE_STOP, &state, &err);
		_exit(r ? 3 : 0);
	}
	if (what == SAVES_HALF_AND_DIES)
		io.user = &left;
	r = vfm_save(&dev, 1, &io, &opts, &result, &err);
	if (r)
		fprintf(stderr, "# borrower: %s\n", err.message);
	vfm_borrow_close(borrow);
	vfm_context_free(ctx);
	return r ? 4 : 0;
}

static int lend_to_child(struct env *env, enum borrower what, int want_exit, uint32_t want_event, uint32_t want_state)
{
	struct vfm_lender *lender;
	struct vfm_device *dev;
	char name[64];
	uint32_t pid;
	int status, r;
	pid_t child;

	if (env_open(env, EDU_A, &dev) || edu_fill(env, dev, 0, 3000, 71))
		return -1;
	socket_name(name, sizeof(name));
	OK(vfm_lender_open(env->ctx, name, &lender, &env->err));
	r = vfm_lender_add(lender, dev, &env->err);
	fflush(stdout);
	child = fork();
	if (child == 0)
		_exit(borrower(name, env->sim, what));
	r = r || serve(env, lender, VFM_LEND_BORROWED, &pid) || pid != (uint32_t)child ||
	    serve(env, lender, want_event, &pid);
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != want_exit) {
		printf("# borrower ended with %x\n", (unsigned int)status);
		r = -1;
	}
	vfm_lender_close(lender);
	return r || env_state(env, dev, want_state) || edu_compare(env, dev, 0, 3000, 71);
}

static int lend_and_save(struct env *env)
{
	return lend_to_child(env, SAVES, 0, VFM_LEND_RETURNED, VFM_STATE_RUNNING);
}

static int borrower_dies_stopped(struct env *env)
{
	return lend_to_child(env, STOPS_AND_DIES, 0, VFM_LEND_DIED, VFM_STATE_STOP);
}

/* Killed in the middle of a save: the holder finds STOP_COPY by asking, goes back to RUNNING, nothing is lost. */
static int borrower_dies_saving(struct env *env)
{
	uint32_t state;

	if (lend_to_child(env, SAVES_HALF_AND_DIES, 9, VFM_LEND_DIED, VFM_STATE_STOP_COPY))
		return -1;
	OK(vfm_device_set_state(env->devs[0], VFM_STATE_RUNNING, &state, &env->err));
	return env_state(env, env->devs[0], VFM_STATE_RUNNING) || edu_compare(env, env->devs[0], 0, 3000, 71);
}

static int nobody_lends(struct env *env)
{
	struct vfm_borrow *borrow = NULL;

	REQUIRE_RESULT(vfm_borrow_open(env->ctx, "@vfiomig-nobody-here", NULL, &borrow, &env->err), -ECONNREFUSED);
	REQUIRE_RESULT(vfm_borrow_open(env->ctx, "/nonexistent/socket", NULL, &borrow, &env->err), -ENOENT);
	REQUIRE(!borrow);
	return 0;
}

static int describe_and_adopt(struct env *env)
{
	struct vfm_device *dev, *twin = NULL;
	char text[VFM_DESCRIPTION_MAX];
	int fd, r;

	if (env_open(env, EDU_A, &dev))
		return -1;
	fd = env_eventfd(env);
	OK(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, &fd, &env->err));
	REQUIRE(vfm_device_describe(dev, text, sizeof(text)) > 0);
	REQUIRE_RESULT(vfm_device_describe(dev, text, 10), -ENOSPC);
	REQUIRE(vfm_device_describe(dev, text, sizeof(text)) == (int)strlen(text));
	OK(vfm_device_adopt_described(env->ctx, text, &twin, &env->err));
	r = strcmp(vfm_device_name(twin), vfm_device_name(dev)) || vfm_device_id(twin) != vfm_device_id(dev) ||
	    vfm_device_irq_eventfd(twin, VFM_IRQ_MSI, 0) < 0 || !vfm_device_iommu(twin);
	vfm_device_close(twin);
	REQUIRE(!r);
	twin = NULL;
	REQUIRE_RESULT(vfm_device_adopt_described(env->ctx, "fd:", &twin, &env->err), -EINVAL);
	REQUIRE_RESULT(vfm_device_adopt_described(env->ctx, "fd:99999999999999", &twin, &env->err), -EINVAL);
	REQUIRE_RESULT(vfm_device_adopt_described(env->ctx, "fd:1,fd:2", &twin, &env->err), -EINVAL);
	REQUIRE(!twin);
	return 0;
}

const struct scenario lend_scenarios[] = {
	{ "lent to another process, which saves", lend_and_save },
	{ "a borrower that dies leaves the device to its holder", borrower_dies_stopped },
	{ "a borrower killed while saving", borrower_dies_saving },
	{ "nobody lends", nobody_lends },
	{ "described and adopted", describe_and_adopt },
	{ NULL, NULL },
};
