/* SPDX-License-Identifier: MIT */
/* Which of the connections that come is taken for the peer: those that end or say nothing must not be. */
#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <vfiomig/transport.h>

#include "internal.h"
#include "suite.h"

#define MOST 12
#define LISTEN (VFM_ENDPOINT_LISTEN | VFM_ENDPOINT_BACKGROUND_BIND)

static char unix_spec[64];
static const char *const specs[] = { unix_spec, "tcp:127.0.0.1:0" };

static struct vfm_context *ctx;
static struct vfm_cancel *waiting_cancel;
static struct vfm_error error;
static struct vfm_endpoint *ep;

/* Who calls, in this order, before the one that speaks: connections that end at once, and some that say nothing. */
struct crowd {
	int gone, silent;
	bool speaks;
	int fds[MOST];
	pthread_t thread;
};

static void setup(void)
{
	name_socket(unix_spec, sizeof(unix_spec), "accept");
	ck_assert_int_eq(vfm_context_new(&ctx), 0);
	ck_assert_int_eq(vfm_cancel_new(ctx, &waiting_cancel), 0);
	error = (struct vfm_error){ .size = sizeof(error) };
}

static void teardown(void)
{
	vfm_endpoint_close(ep);
	vfm_cancel_free(waiting_cancel);
	vfm_context_free(ctx);
}

static void open_listening(const char *spec, uint32_t direction, uint32_t timeout_ms)
{
	struct vfm_endpoint_opts opts = {
		.size = sizeof(opts), .flags = LISTEN | direction, .timeout_ms = timeout_ms, .cancel = waiting_cancel
	};

	ck_assert_int_eq(vfm_endpoint_open(ctx, spec, &opts, &ep, &error), 0);
}

static int call(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const char *address = vfm_endpoint_address(ep);
	unsigned int port;
	int fd;

	if (sscanf(address, "tcp:127.0.0.1:%u", &port) == 1) {
		sin.sin_port = htons((uint16_t)port);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		ck_assert_int_eq(connect(fd, (const struct sockaddr *)&sin, sizeof(sin)), 0);
		return fd;
	}
	memcpy(sun.sun_path + 1, address + 6, strlen(address + 6));
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&sun,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(address + 6))),
			 0);
	return fd;
}

/* Every second one ends by a reset where the family knows one. */
static void call_and_end(bool reset)
{
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
	int fd = call();

	if (reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}

static void *come(void *user)
{
	struct crowd *crowd = user;

	for (int i = 0; i < crowd->gone; i++)
		call_and_end(i % 2);
	for (int i = 0; i < crowd->silent; i++)
		crowd->fds[i] = call();
	if (crowd->speaks) {
		crowd->fds[crowd->silent] = call();
		ck_assert_int_eq(write(crowd->fds[crowd->silent], "it is me", 8), 8);
	}
	return NULL;
}

static void begin(struct crowd *crowd)
{
	ck_assert_int_eq(pthread_create(&crowd->thread, NULL, come, crowd), 0);
}

static void end(struct crowd *crowd)
{
	for (int i = 0; i < crowd->silent + crowd->speaks; i++)
		close(crowd->fds[i]);
}

static void expect_speaker(struct crowd *crowd)
{
	char buf[16];

	begin(crowd);
	ck_assert_int_eq(vfm_endpoint_accept(ep, &error), 0);
	ck_assert_int_eq(pthread_join(crowd->thread, NULL), 0);
	ck_assert_int_eq(vfm_endpoint_io(ep)->read(ep, buf, sizeof(buf)), 8);
	ck_assert_mem_eq(buf, "it is me", 8);
}

START_TEST(who_ends_is_not_the_peer)
{
	struct crowd crowd = { .gone = 4, .speaks = true };

	open_listening(specs[_i], VFM_ENDPOINT_READ, 5000);
	expect_speaker(&crowd);
	end(&crowd);
}
END_TEST

START_TEST(who_is_silent_keeps_nobody_waiting)
{
	struct crowd crowd = { .silent = 3, .speaks = true };
	char byte;

	open_listening(specs[_i], VFM_ENDPOINT_READ, 5000);
	expect_speaker(&crowd);
	for (int i = 0; i < crowd.silent; i++)
		ck_assert_int_eq(read(crowd.fds[i], &byte, 1), 0);
	end(&crowd);
}
END_TEST

/* There is room for eight: the ninth takes the place of the first, and is heard. */
START_TEST(a_crowd_is_let_through)
{
	struct crowd crowd = { .silent = 11, .speaks = true };

	open_listening(unix_spec, VFM_ENDPOINT_READ, 5000);
	expect_speaker(&crowd);
	end(&crowd);
}
END_TEST

START_TEST(a_silent_peer_times_out)
{
	struct crowd crowd = { .silent = 1, .gone = 1 };

	open_listening(specs[_i], VFM_ENDPOINT_READ, 100);
	begin(&crowd);
	ck_assert_int_eq(vfm_endpoint_accept(ep, &error), -ETIMEDOUT);
	ck_assert_uint_eq(error.flags, VFM_ERROR_PEER | VFM_ERROR_RETRYABLE);
	ck_assert_int_eq(pthread_join(crowd.thread, NULL), 0);
	end(&crowd);
}
END_TEST

START_TEST(a_wait_for_the_first_word_can_be_canceled)
{
	struct crowd crowd = { .silent = 1 };

	open_listening(unix_spec, VFM_ENDPOINT_READ, 0);
	begin(&crowd);
	ck_assert_int_eq(pthread_join(crowd.thread, NULL), 0);
	vfm_cancel_trigger(waiting_cancel);
	ck_assert_int_eq(vfm_endpoint_accept(ep, &error), -ECANCELED);
	end(&crowd);
}
END_TEST

/* Who is written to speaks second, if ever; one that has gone already is no reader either. */
START_TEST(a_reader_need_not_speak_first)
{
	struct crowd crowd = { .gone = 1, .silent = 1 };
	char byte;

	open_listening(unix_spec, VFM_ENDPOINT_WRITE, 5000);
	begin(&crowd);
	ck_assert_int_eq(pthread_join(crowd.thread, NULL), 0);
	ck_assert_int_eq(vfm_endpoint_accept(ep, &error), 0);
	ck_assert_int_eq(vfm_endpoint_io(ep)->write(ep, "x", 1), 0);
	ck_assert_int_eq(read(crowd.fds[0], &byte, 1), 1);
	end(&crowd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("accept");
	TCase *tests = tcase_create("accept");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, who_ends_is_not_the_peer, 0, (int)VFMI_ARRAY_SIZE(specs));
	tcase_add_loop_test(tests, who_is_silent_keeps_nobody_waiting, 0, (int)VFMI_ARRAY_SIZE(specs));
	tcase_add_test(tests, a_crowd_is_let_through);
	tcase_add_loop_test(tests, a_silent_peer_times_out, 0, (int)VFMI_ARRAY_SIZE(specs));
	tcase_add_test(tests, a_wait_for_the_first_word_can_be_canceled);
	tcase_add_test(tests, a_reader_need_not_speak_first);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
