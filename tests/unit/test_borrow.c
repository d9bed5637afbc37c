/* SPDX-License-Identifier: MIT */
/* Borrowing: holders that are absent, silent, of another version, or that lie about what they send. */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"
#include "lend-socket.h"
#include "machine_fixture.h"

static struct machine m;
static struct vfm_error err;
static struct vfmi_lend_message msg;

static void setup(void)
{
	machine_open(&m);
	err = (struct vfm_error){ .size = sizeof(err) };
}

static void teardown(void)
{
	machine_close(&m);
}

START_TEST(test_nobody_there)
{
	struct vfm_borrow *borrow;

	ck_assert_int_eq(vfm_borrow_open(m.ctx, "/nonexistent/lend", NULL, &borrow, &err), -ENOENT);
	ck_assert_int_eq(vfm_borrow_open(m.ctx, "@vfiomig-nobody", NULL, &borrow, &err), -ECONNREFUSED);
	ck_assert_uint_eq(err.flags & VFM_ERROR_PEER, VFM_ERROR_PEER);
	ck_assert_int_eq(vfm_borrow_open(m.ctx, "", NULL, &borrow, &err), -EINVAL);
	ck_assert_int_eq(vfm_borrow_open(m.ctx, NULL, NULL, &borrow, &err), -EINVAL);
}
END_TEST

START_TEST(test_described)
{
	char text[VFM_DESCRIPTION_MAX];
	char again[VFM_DESCRIPTION_MAX];
	struct vfm_device *dev;
	int fd = eventfd(0, 0);

	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_MSI, 0, 1, &fd, &err), 0);
	ck_assert_int_gt(vfm_device_describe(m.dev[0], text, sizeof(text)), 0);
	ck_assert_ptr_nonnull(strstr(text, ",name=" EDU_A ","));
	ck_assert_ptr_nonnull(strstr(text, ",sim=1,irq=1:0:"));
	ck_assert_msg(vfm_device_adopt_described(m.ctx, text, &dev, &err) == 0, "%s", err.message);
	ck_assert_str_eq(vfm_device_name(dev), EDU_A);
	ck_assert_int_ge(vfm_device_irq_eventfd(dev, VFM_IRQ_MSI, 0), 0);
	ck_assert_int_gt(vfm_device_describe(dev, again, sizeof(again)), 0);
	ck_assert_ptr_nonnull(strstr(again, strstr(text, ",ioas=") ? ",ioas=" : ",devid="));
	vfm_device_close(dev);
	ck_assert_int_eq(vfm_device_describe(m.dev[0], text, 10), -ENOSPC);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[0], VFM_IRQ_MSI, &err), 0);
	close(fd);
}
END_TEST

/* A lender played by hand: each step answers one message, then it hangs up. */
struct script {
	int expected; /* errno of vfm_borrow_open() */
	int steps;
	void (*play)(int step);
};

static int fake_listener;
static const struct script *script;

static void *play_script(void *user)
{
	int fd = accept4(fake_listener, NULL, NULL, SOCK_CLOEXEC);
	struct vfmi_lend_message heard;

	(void)user;
	for (int step = 0; step < script->steps; step++) {
		if (step > 0 && (vfmi_lend_wait(&vfmi_sys_libc, fd, POLLIN, 2000, NULL) < 0 ||
				 vfmi_lend_recv(&vfmi_sys_libc, fd, &heard) <= 0))
			break;
		script->play(step);
		if (vfmi_lend_send(&vfmi_sys_libc, fd, &msg) < 0)
			break;
	}
	close(fd);
	return NULL;
}

static void hello(uint16_t oldest, uint16_t newest, uint32_t devices)
{
	vfmi_lend_put_hello(&msg, &(struct vfmi_lend_hello){ oldest, newest, devices });
}

static void play_garbage(int step)
{
	vfmi_lend_put_plain(&msg, (uint16_t)(step + 77));
}

static void play_old(int step)
{
	(void)step;
	hello(0, 0, 1);
}

static void play_new(int step)
{
	(void)step;
	hello(2, 9, 1);
}

static void play_too_many(int step)
{
	(void)step;
	hello(1, 1, VFMI_LEND_MAX_DEVICES + 1);
}

static void play_refusal(int step)
{
	(void)step;
	vfmi_lend_put_refused(&msg, EBUSY, "busy");
}

static void play_end_first(int step)
{
	if (step == 0)
		hello(1, 1, 1);
	else if (step > 1)
		vfmi_lend_put_plain(&msg, VFMI_LEND_END);
	else
		play_refusal(step);
}

static const char *description;
static size_t description_fds;

static void play_description(int step)
{
	hello(1, 1, 1);
	if (step == 0)
		return;
	msg.fd_count = description_fds;
	for (size_t i = 0; i < description_fds; i++)
		msg.fds[i] = vfm_device_fd(m.dev[0]);
	ck_assert_int_eq(vfmi_lend_put_device(&msg, description), 0);
}

static void play_vectors_first(int step)
{
	hello(1, 1, 1);
	if (step == 0)
		return;
	vfmi_lend_begin_vectors(&msg, VFMI_LEND_VECTORS, 0);
	ck_assert_int_eq(vfmi_lend_add_vector(&msg, &(struct vfmi_lend_vector){ 0, 0 }, 0), 0);
}

static struct vfm_cancel *token;

/* Once the device has come, the next message is what is waited for. */
static void play_cancel(int step)
{
	if (step == 2)
		vfm_cancel_trigger(token);
	play_description(step);
}

static void play_missing_device(int step)
{
	if (step == 0)
		hello(1, 1, 1);
	else
		vfmi_lend_put_plain(&msg, VFMI_LEND_END);
}

/* The borrower's HELLO is answered by nothing: step 1 answers it and the NEXT behind it at once. */
static void expect(const struct script *what)
{
	struct sockaddr_un addr;
	socklen_t length;
	struct vfm_borrow_opts opts = { .size = sizeof(opts), .cancel = token };
	struct vfm_borrow *borrow = NULL;
	char name[64];
	pthread_t thread;
	unsigned int before = open_descriptors();
	int r;

	snprintf(name, sizeof(name), "@vfiomig-fake-%d", (int)getpid());
	ck_assert_int_eq(vfmi_lend_address(name, &addr, &length), 0);
	fake_listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fake_listener, (const struct sockaddr *)&addr, length), 0);
	ck_assert_int_eq(listen(fake_listener, 1), 0);
	script = what;
	ck_assert_int_eq(pthread_create(&thread, NULL, play_script, NULL), 0);
	r = vfm_borrow_open(m.ctx, name, token ? &opts : NULL, &borrow, &err);
	pthread_join(thread, NULL);
	close(fake_listener);
	ck_assert_msg(r == -what->expected, "%d instead of %d: %s", r, -what->expected, err.message);
	ck_assert_ptr_null(borrow);
	ck_assert_uint_eq(open_descriptors(), before);
}

START_TEST(test_holders_that_lie)
{
	const struct script scripts[] = {
		{ EPROTO, 1, play_garbage },	     { EPROTONOSUPPORT, 1, play_old },
		{ EPROTONOSUPPORT, 1, play_new },    { EPROTO, 1, play_too_many },
		{ EBUSY, 1, play_refusal },	     { ECONNRESET, 0, play_garbage },
		{ ECONNRESET, 1, play_description }, { EBUSY, 2, play_end_first },
		{ EPROTO, 2, play_vectors_first },   { EPROTO, 2, play_missing_device },
	};

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(scripts); i++)
		expect(&scripts[i]);
}
END_TEST

START_TEST(test_descriptions_that_lie)
{
	const struct {
		const char *text;
		size_t fds;
	} lies[] = { { "fd:1", 1 },	      { "fd:0", 2 },
		     { "fd:0,iommufd=1", 1 }, { "fd:0,iommufd=0", 2 },
		     { "fd:0,iommufd=2", 2 }, { "fd:2147483647", 1 },
		     { "fd:0,irq=1:0:0", 1 }, { "nonsense", 1 },
		     { "fd:0,name=%0a", 1 },  { "fd:0,iommufd=1", VFMI_LEND_MAX_FDS },
		     { "pidfd:1:0", 1 } };
	const struct script lie = { EPROTO, 2, play_description };

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(lies); i++) {
		description = lies[i].text;
		description_fds = lies[i].fds;
		expect(&lie);
	}
	/* Whole and in order, and then the holder is gone. */
	description = "fd:0";
	description_fds = 1;
	expect(&(const struct script){ ECONNRESET, 2, play_description });
}
END_TEST

START_TEST(test_holder_that_is_silent)
{
	struct vfm_lender *lender;
	struct vfm_borrow *borrow;
	char name[64];

	/* Nobody dispatches: the connection is made by the kernel and nothing follows. */
	snprintf(name, sizeof(name), "@vfiomig-silent-%d", (int)getpid());
	ck_assert_int_eq(vfm_lender_open(m.ctx, name, &lender, &err), 0);
	ck_assert_int_eq(vfm_borrow_open(m.ctx, name, NULL, &borrow, &err), -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(err.message, "does not answer"));
	vfm_lender_close(lender);
}
END_TEST

START_TEST(test_canceled_after_a_device)
{
	struct vfm_borrow_opts opts = { .size = sizeof(opts) };
	struct vfm_borrow *borrow = NULL;

	ck_assert_int_eq(vfm_cancel_new(m.ctx, &token), 0);
	description = "fd:0";
	description_fds = 1;
	expect(&(const struct script){ ECANCELED, 3, play_cancel });
	ck_assert_uint_eq(err.flags & VFM_ERROR_PEER, 0);
	opts.cancel = token;
	/* nobody is called any more */
	ck_assert_int_eq(vfm_borrow_open(m.ctx, "@vfiomig-nobody", &opts, &borrow, &err), -ECANCELED);
	vfm_cancel_free(token);
	token = NULL;
}
END_TEST

static void *trigger_later(void *user)
{
	usleep(200000);
	vfm_cancel_trigger(user);
	return NULL;
}

START_TEST(test_canceled_while_the_holder_is_silent)
{
	struct vfm_borrow_opts opts = { .size = sizeof(opts) };
	struct vfm_borrow *borrow = NULL;
	struct vfm_lend_info info = { .size = sizeof(info) };
	struct vfm_lender *lender;
	struct timespec begin, end;
	unsigned int before;
	pthread_t thread;
	char name[64];

	snprintf(name, sizeof(name), "@vfiomig-canceled-%d", (int)getpid());
	ck_assert_int_eq(vfm_lender_open(m.ctx, name, &lender, &err), 0);
	ck_assert_int_eq(vfm_cancel_new(m.ctx, &opts.cancel), 0);
	before = open_descriptors();
	clock_gettime(CLOCK_MONOTONIC, &begin);
	ck_assert_int_eq(pthread_create(&thread, NULL, trigger_later, opts.cancel), 0);
	ck_assert_int_eq(vfm_borrow_open(m.ctx, name, &opts, &borrow, &err), -ECANCELED);
	clock_gettime(CLOCK_MONOTONIC, &end);
	pthread_join(thread, NULL);
	ck_assert_int_lt(end.tv_sec - begin.tv_sec, 4);
	ck_assert_ptr_nonnull(strstr(err.message, "canceled while"));
	ck_assert_ptr_null(borrow);
	ck_assert_uint_eq(open_descriptors(), before);
	/* whoever has gone is nobody's borrower */
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(vfm_lender_dispatch(lender, &info, &err), 0);
		ck_assert_uint_ne(info.event, VFM_LEND_BORROWED);
	}
	vfm_cancel_free(opts.cancel);
	vfm_lender_close(lender);
}
END_TEST

START_TEST(test_options_that_are_not_known)
{
	struct vfm_borrow_opts opts = { .size = sizeof(opts) - 1 };
	struct vfm_borrow *borrow = NULL;

	ck_assert_int_eq(vfm_borrow_open(m.ctx, "@vfiomig-nobody", &opts, &borrow, &err), -EINVAL);
	opts = (struct vfm_borrow_opts){ .size = sizeof(opts), .reserved = 1 };
	ck_assert_int_eq(vfm_borrow_open(m.ctx, "@vfiomig-nobody", &opts, &borrow, &err), -EINVAL);
	opts.reserved = 0;
	ck_assert_int_eq(vfm_borrow_open(m.ctx, "@vfiomig-nobody", &opts, &borrow, &err), -ECONNREFUSED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("borrow");
	TCase *tcase = tcase_create("borrow");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_described);
	tcase_add_test(tcase, test_nobody_there);
	tcase_add_test(tcase, test_holders_that_lie);
	tcase_add_test(tcase, test_descriptions_that_lie);
	tcase_add_test(tcase, test_holder_that_is_silent);
	tcase_add_test(tcase, test_canceled_after_a_device);
	tcase_add_test(tcase, test_canceled_while_the_holder_is_silent);
	tcase_add_test(tcase, test_options_that_are_not_known);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
