/* SPDX-License-Identifier: MIT */
/* Errors, log, sized structs, context and cancel token: what a caller is told, whatever its age. */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "suite.h"

static struct vfm_context *ctx;

static void setup(void)
{
	ck_assert_int_eq(vfm_context_new(&ctx), 0);
}

static void teardown(void)
{
	vfm_context_free(ctx);
}

/* sentences */

#define UNKNOWN VFM_STATE_UNKNOWN

static const struct {
	struct vfmi_where where;
	const char *step;
	const char *message;
} sentences[] = {
	{ { "dev0", "attach", UNKNOWN, UNKNOWN, UNKNOWN, 0 }, "attach", "dev0: attach: cause" },
	{ { NULL, "attach", UNKNOWN, UNKNOWN, UNKNOWN, 0 }, "attach", "attach: cause" },
	{ { "dev0", NULL, UNKNOWN, UNKNOWN, UNKNOWN, 0 }, "", "dev0: cause" },
	{ { NULL, NULL, UNKNOWN, UNKNOWN, UNKNOWN, 0 }, "", "cause" },
	{ { "dev0", NULL, VFM_STATE_RUNNING, VFM_STATE_STOP, VFM_STATE_RUNNING, VFM_ERROR_TRANSITION },
	  "RUNNING -> STOP",
	  "dev0: RUNNING -> STOP: cause; device now in RUNNING" },
	{ { "dev0", "save", VFM_STATE_PRE_COPY_P2P, VFM_STATE_STOP_COPY, UNKNOWN, VFM_ERROR_TRANSITION },
	  "save, PRE_COPY_P2P -> STOP_COPY",
	  "dev0: save, PRE_COPY_P2P -> STOP_COPY: cause; state of the device now unknown" },
	{ { "dev0", "RESUMING -> STOP", VFM_STATE_RESUMING, VFM_STATE_STOP, VFM_STATE_ERROR,
	    VFM_ERROR_TRANSITION | VFM_ERROR_NEEDS_RESET },
	  "RESUMING -> STOP",
	  "dev0: RESUMING -> STOP: cause; device now in ERROR, only a reset helps" },
	{ { "dev0", "load", UNKNOWN, UNKNOWN, VFM_STATE_RUNNING, VFM_ERROR_WAS_RESET },
	  "load",
	  "dev0: load: cause; device was reset, it is blank and in RUNNING" },
};

START_TEST(sentence_names_all)
{
	VFM_OPTS(vfm_error, error);
	int r = vfmi_fail(ctx, &error, EIO, &sentences[_i].where, "%s", "cause");

	ck_assert_int_eq(r, -EIO);
	ck_assert_int_eq(error.code, EIO);
	ck_assert_uint_eq(error.flags, sentences[_i].where.flags);
	ck_assert_uint_eq(error.state_from, sentences[_i].where.state_from);
	ck_assert_uint_eq(error.state_to, sentences[_i].where.state_to);
	ck_assert_uint_eq(error.state_now, sentences[_i].where.state_now);
	ck_assert_str_eq(error.step, sentences[_i].step);
	ck_assert_str_eq(error.message, sentences[_i].message);
}
END_TEST

START_TEST(nowhere_is_no_state)
{
	VFM_OPTS(vfm_error, error);

	ck_assert_int_eq(vfmi_fail(ctx, &error, ENOMEM, NULL, "no memory"), -ENOMEM);
	ck_assert_uint_eq(error.state_now, VFM_STATE_UNKNOWN);
	ck_assert_str_eq(error.message, "no memory");
}
END_TEST

START_TEST(long_cause_keeps_the_state)
{
	struct vfmi_where where = { "dev0", "step", 1, 2, VFM_STATE_STOP, VFM_ERROR_TRANSITION };
	const char *tail = "; device now in STOP";
	VFM_OPTS(vfm_error, error);
	char cause[2000];

	memset(cause, 'c', sizeof(cause) - 1);
	cause[sizeof(cause) - 1] = '\0';
	vfmi_fail(ctx, &error, EIO, &where, "%s", cause);
	ck_assert_uint_eq(strlen(error.message), sizeof(error.message) - 1);
	ck_assert_str_eq(error.message + strlen(error.message) - strlen(tail), tail);
}
END_TEST

START_TEST(long_names_fit)
{
	VFM_OPTS(vfm_error, error);
	char name[300];
	struct vfmi_where where = { name, name, 6, 7, UNKNOWN, VFM_ERROR_TRANSITION };

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	vfmi_fail(ctx, &error, EIO, &where, "%s", name);
	ck_assert_uint_eq(strlen(error.device), sizeof(error.device) - 1);
	ck_assert_uint_lt(strlen(error.step), sizeof(error.step));
	ck_assert_ptr_nonnull(strstr(error.step, "PRE_COPY -> PRE_COPY_P2P"));
}
END_TEST

START_TEST(control_characters_do_not_pass)
{
	VFM_OPTS(vfm_error, error);

	VFMI_FAIL(ctx, &error, EIO, "a\nb", "c\033d", "e\r\x7f");
	ck_assert_str_eq(error.device, "a?b");
	ck_assert_str_eq(error.step, "c?d");
	ck_assert_str_eq(error.message, "a?b: c?d: e??");
}
END_TEST

START_TEST(no_error_struct_is_fine)
{
	VFM_OPTS(vfm_error, last);

	ck_assert_int_eq(vfm_context_last_error(ctx, &last), -ENODATA);
	ck_assert_int_eq(VFMI_FAIL(ctx, NULL, EBUSY, "d", "s", "m"), -EBUSY);
	ck_assert_int_eq(vfm_context_last_error(ctx, &last), 0);
	ck_assert_int_eq(last.code, EBUSY);
	ck_assert_str_eq(last.message, "d: s: m");
	ck_assert_int_eq(VFMI_FAIL(NULL, NULL, EBUSY, "d", "s", "m"), -EBUSY);
}
END_TEST

START_TEST(errno_survives)
{
	errno = 77;
	VFMI_FAIL(ctx, NULL, EBUSY, "d", "s", "m");
	ck_assert_int_eq(errno, 77);
}
END_TEST

START_TEST(amending_keeps_what_was_said)
{
	VFM_OPTS(vfm_error, error);
	VFM_OPTS(vfm_error, last);

	VFMI_FAIL(ctx, &error, EIO, "d", "s", "m");
	vfmi_error_amend(ctx, &error, VFM_ERROR_WAS_RESET, VFM_STATE_RUNNING, "it was %s", "reset");
	ck_assert_str_eq(error.message, "d: s: m; it was reset");
	ck_assert_uint_eq(error.flags, VFM_ERROR_WAS_RESET);
	ck_assert_uint_eq(error.state_now, VFM_STATE_RUNNING);
	ck_assert_int_eq(vfm_context_last_error(ctx, &last), 0);
	ck_assert_str_eq(last.message, error.message);
}
END_TEST

static void *fail_often(void *user)
{
	const char *name = user;

	for (int i = 0; name && i < 2000; i++) {
		VFM_OPTS(vfm_error, error);

		VFMI_FAIL(ctx, &error, EIO, name, name, "%s", name);
		ck_assert_str_eq(error.step, name);
	}
	return NULL;
}

START_TEST(last_error_is_never_torn)
{
	static char names[2][20] = { "aaaaaaaaaaaaaaaa", "bbbbbbbb" };
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, fail_often, names[i]), 0);
	for (int i = 0; i < 2000; i++) {
		VFM_OPTS(vfm_error, last);

		if (vfm_context_last_error(ctx, &last) == 0)
			ck_assert_str_eq(last.device, last.step);
	}
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}
END_TEST

START_TEST(errno_texts_name_the_errno)
{
	const int codes[] = { EPERM, EIO, ENOTRECOVERABLE, EBADFD, EOPNOTSUPP, ECANCELED };

	ck_assert_str_eq(vfmi_errno_text(ENODEV), "no such device (ENODEV)");
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(codes); i++)
		ck_assert_ptr_nonnull(strstr(vfmi_errno_text(codes[i]), "(E"));
	ck_assert_ptr_nonnull(vfmi_errno_text(0));
	ck_assert_ptr_nonnull(vfmi_errno_text(-1));
	ck_assert_ptr_nonnull(vfmi_errno_text(1 << 20));
}
END_TEST

/* 524 is the kernel's ENOTSUPP, which comes out of it and has no name here. */
START_TEST(errno_without_a_name_tells_its_number)
{
	struct vfmi_where where = { "dev0", "step", 1, 2, VFM_STATE_STOP, VFM_ERROR_TRANSITION };
	VFM_OPTS(vfm_error, error);
	char cause[2000];

	ck_assert_int_eq(VFMI_FAIL(ctx, &error, 524, "dev0", "step", "%s", vfmi_errno_text(524)), -524);
	ck_assert_str_eq(error.message, "dev0: step: an error without a name here (errno 524)");
	VFMI_FAIL(ctx, &error, EHWPOISON, "dev0", "step", "%s", vfmi_errno_text(EHWPOISON));
	ck_assert_str_eq(error.message, "dev0: step: memory is broken (EHWPOISON)");
	memset(cause, 'c', sizeof(cause) - 1);
	cause[sizeof(cause) - 1] = '\0';
	vfmi_fail(ctx, &error, INT32_MAX, &where, "%s", cause);
	ck_assert_ptr_nonnull(strstr(error.message, "c (errno 2147483647); device now in STOP"));
}
END_TEST

/* sized structs */

struct grown { /* a struct as this library knows it: 16 bytes */
	uint32_t size;
	uint32_t a;
	uint64_t b;
};

struct newer { /* the same, as a later caller knows it */
	struct grown old;
	uint64_t c;
};

START_TEST(sized_in_takes_older_and_newer)
{
	struct newer newer = { { sizeof(newer), 1, 2 }, 0 };
	struct grown to = { .a = 9, .b = 9 };
	struct grown from = { 8, 5, 77 };

	ck_assert_int_eq(vfmi_sized_in(&to, sizeof(to), &from, 8), 0);
	ck_assert_uint_eq(to.a, 5);
	ck_assert_uint_eq(to.b, 0);
	ck_assert_uint_eq(to.size, sizeof(to));
	ck_assert_int_eq(vfmi_sized_in(&to, sizeof(to), &newer, sizeof(to)), 0);
	ck_assert_uint_eq(to.b, 2);
	newer.c = (uint64_t)1 << 63;
	ck_assert_int_eq(vfmi_sized_in(&to, sizeof(to), &newer, sizeof(to)), -E2BIG);
}
END_TEST

static const struct {
	uint32_t size;
	int result;
} sizes[] = {
	{ 0, -EINVAL }, { 1, -EINVAL }, { 3, -EINVAL }, { 4, -EINVAL },	  { 15, -EINVAL },
	{ 16, 0 },	{ 17, 0 },	{ 4096, 0 },	{ 4097, -E2BIG }, { UINT32_MAX, -E2BIG },
};

START_TEST(sized_in_bounds)
{
	static unsigned char from[8192];
	struct grown to;

	memset(from, 0, sizeof(from));
	memcpy(from, &sizes[_i].size, sizeof(sizes[_i].size));
	ck_assert_int_eq(vfmi_sized_in(&to, sizeof(to), from, sizeof(to)), sizes[_i].result);
}
END_TEST

START_TEST(sized_in_refuses_null)
{
	struct grown to;

	ck_assert_int_eq(vfmi_sized_in(&to, sizeof(to), NULL, sizeof(to)), -EINVAL);
}
END_TEST

START_TEST(sized_out_covers_what_the_caller_has)
{
	const struct grown from = { sizeof(from), 1, 2 };
	struct newer newer = { { sizeof(newer), 0, 0 }, 99 };
	struct grown to = { 8, 0, 77 };

	ck_assert_int_eq(vfmi_sized_out(&to, &from, sizeof(from)), 0);
	ck_assert_uint_eq(to.size, 8);
	ck_assert_uint_eq(to.a, 1);
	ck_assert_uint_eq(to.b, 77);
	ck_assert_int_eq(vfmi_sized_out(&newer, &from, sizeof(from)), 0);
	ck_assert_uint_eq(newer.old.size, sizeof(newer));
	ck_assert_uint_eq(newer.old.b, 2);
	ck_assert_uint_eq(newer.c, 0);
	to = (struct grown){ .size = 0, .a = 5 };
	ck_assert_int_eq(vfmi_sized_out(&to, &from, sizeof(from)), -EINVAL);
	to.size = UINT32_MAX;
	ck_assert_int_eq(vfmi_sized_out(&to, &from, sizeof(from)), -E2BIG);
	ck_assert_uint_eq(to.a, 5);
	ck_assert_int_eq(vfmi_sized_out(NULL, &from, sizeof(from)), -EINVAL);
}
END_TEST

START_TEST(short_error_struct_is_not_overrun)
{
	struct {
		uint32_t size;
		int32_t code;
		uint32_t guard;
	} old = { 8, 0, 0xabcd };

	VFMI_FAIL(ctx, (struct vfm_error *)(void *)&old, EIO, "d", "s", "m");
	ck_assert_int_eq(old.code, EIO);
	ck_assert_uint_eq(old.guard, 0xabcd);
}
END_TEST

/* log */

static struct {
	int lines;
	int level;
	char text[1100];
} heard;

static void listen_log(void *user, int level, const char *message)
{
	ck_assert_ptr_eq(user, &heard);
	heard.lines++;
	heard.level = level;
	snprintf(heard.text, sizeof(heard.text), "%s", message);
	errno = 1;
}

START_TEST(log_filters_by_level)
{
	memset(&heard, 0, sizeof(heard));
	vfmi_log(ctx, VFM_LOG_ERROR, "nobody listens");
	vfm_context_set_log(ctx, VFM_LOG_INFO, listen_log, &heard);
	errno = 55;
	vfmi_log(ctx, VFM_LOG_DEBUG, "too fine");
	ck_assert_int_eq(heard.lines, 0);
	vfmi_log(ctx, VFM_LOG_NONE, "no level");
	ck_assert_int_eq(heard.lines, 0);
	vfmi_log(ctx, VFM_LOG_INFO, "n=%d\n", 3);
	ck_assert_int_eq(heard.lines, 1);
	ck_assert_int_eq(heard.level, VFM_LOG_INFO);
	ck_assert_str_eq(heard.text, "n=3?");
	ck_assert_int_eq(errno, 55);
	vfm_context_set_log(ctx, VFM_LOG_DEBUG, NULL, NULL);
	vfmi_log(ctx, VFM_LOG_ERROR, "nobody listens");
	ck_assert_int_eq(heard.lines, 1);
	vfmi_log(NULL, VFM_LOG_ERROR, "no context");
}
END_TEST

START_TEST(failures_are_logged_at_debug)
{
	memset(&heard, 0, sizeof(heard));
	vfm_context_set_log(ctx, VFM_LOG_DEBUG, listen_log, &heard);
	VFMI_FAIL(ctx, NULL, EIO, "d", "s", "m");
	ck_assert_int_eq(heard.lines, 1);
	ck_assert_int_eq(heard.level, VFM_LOG_DEBUG);
	ck_assert_str_eq(heard.text, "d: s: m");
}
END_TEST

/* context and cancel token */

START_TEST(context_stands_on_the_kernel)
{
	ck_assert(!vfm_context_is_simulated(ctx));
	ck_assert_ptr_eq(vfmi_context_sys(ctx), &vfmi_sys_libc);
	ck_assert_ptr_nonnull(strchr(vfm_version(), '.'));
	ck_assert_int_eq(vfm_context_new(NULL), -EINVAL);
	vfm_context_free(NULL);
}
END_TEST

static bool readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1;
}

START_TEST(cancel_is_sticky_and_polls)
{
	struct vfm_cancel *cancel;

	ck_assert_int_eq(vfm_cancel_new(ctx, &cancel), 0);
	ck_assert(!vfm_cancel_is_set(cancel));
	ck_assert(!readable(vfm_cancel_fd(cancel)));
	errno = 66;
	for (int i = 0; i < 3; i++) {
		vfm_cancel_trigger(cancel);
		ck_assert(vfm_cancel_is_set(cancel));
		ck_assert(readable(vfm_cancel_fd(cancel)));
	}
	ck_assert_int_eq(errno, 66);
	vfm_cancel_free(cancel);
	vfm_cancel_free(NULL);
	vfm_cancel_trigger(NULL);
	ck_assert(!vfm_cancel_is_set(NULL));
	ck_assert_int_eq(vfm_cancel_fd(NULL), -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("error");
	TCase *tests = tcase_create("error");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, sentence_names_all, 0, (int)VFMI_ARRAY_SIZE(sentences));
	tcase_add_test(tests, nowhere_is_no_state);
	tcase_add_test(tests, long_cause_keeps_the_state);
	tcase_add_test(tests, long_names_fit);
	tcase_add_test(tests, control_characters_do_not_pass);
	tcase_add_test(tests, no_error_struct_is_fine);
	tcase_add_test(tests, errno_survives);
	tcase_add_test(tests, amending_keeps_what_was_said);
	tcase_add_test(tests, last_error_is_never_torn);
	tcase_add_test(tests, errno_texts_name_the_errno);
	tcase_add_test(tests, errno_without_a_name_tells_its_number);
	tcase_add_test(tests, sized_in_takes_older_and_newer);
	tcase_add_loop_test(tests, sized_in_bounds, 0, (int)VFMI_ARRAY_SIZE(sizes));
	tcase_add_test(tests, sized_in_refuses_null);
	tcase_add_test(tests, sized_out_covers_what_the_caller_has);
	tcase_add_test(tests, short_error_struct_is_not_overrun);
	tcase_add_test(tests, log_filters_by_level);
	tcase_add_test(tests, failures_are_logged_at_debug);
	tcase_add_test(tests, context_stands_on_the_kernel);
	tcase_add_test(tests, cancel_is_sticky_and_polls);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
