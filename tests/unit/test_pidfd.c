/* SPDX-License-Identifier: MIT */
/* Descriptors out of another process: all or none, from the process that was meant, and why not. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "describe.h"
#include "suite.h"

static struct vfm_context *ctx;
static struct vfm_error error;
static int pipes[2], extra;

/* The seam: the real one for this very process, unless a call is told to fail. */
static struct vfmi_sys_ops ops;
static struct vfmi_sys sys = { .ops = &ops };
static int open_error, getfd_error, getfd_calls, getfd_fails_at;
static const char *scope;

static int world_pidfd_open(struct vfmi_sys *s, pid_t pid)
{
	return open_error ? open_error : vfmi_sys_libc.ops->pidfd_open(s, pid);
}

static int world_pidfd_getfd(struct vfmi_sys *s, int pidfd, int fd)
{
	if (getfd_error && getfd_calls++ == getfd_fails_at)
		return getfd_error;
	return vfmi_sys_libc.ops->pidfd_getfd(s, pidfd, fd);
}

static int world_open(struct vfmi_sys *s, const char *path, int flags, mode_t mode)
{
	int ends[2];

	if (strcmp(path, "/proc/sys/kernel/yama/ptrace_scope"))
		return vfmi_sys_libc.ops->open(s, path, flags, mode);
	if (!scope)
		return -ENOENT;
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(write(ends[1], scope, strlen(scope)), (ssize_t)strlen(scope));
	close(ends[1]);
	return ends[0];
}

static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static int descriptors_before;

static void setup(void)
{
	ops = *vfmi_sys_libc.ops;
	ops.pidfd_open = world_pidfd_open;
	ops.pidfd_getfd = world_pidfd_getfd;
	ops.open = world_open;
	open_error = getfd_error = getfd_calls = getfd_fails_at = 0;
	scope = NULL;
	error = (struct vfm_error){ .size = sizeof(error) };
	ck_assert_int_eq(vfmi_context_new_on(&sys, &ctx), 0);
	ck_assert_int_eq(pipe(pipes), 0);
	extra = open("/dev/null", O_RDONLY);
	descriptors_before = open_descriptors();
}

static void teardown(void)
{
	ck_assert_int_eq(open_descriptors(), descriptors_before);
	close(pipes[0]);
	close(pipes[1]);
	close(extra);
	vfm_context_free(ctx);
}

static struct vfmi_description describe(const char *keys)
{
	struct vfmi_parse_trouble trouble;
	struct vfmi_description desc;
	char text[256];

	snprintf(text, sizeof(text), "pidfd:%d:%d,iommufd=%d%s,irq=0:0:%d", (int)getpid(), pipes[0], pipes[1], keys,
		 extra);
	ck_assert_int_eq(vfmi_description_parse(text, &desc, &trouble), 0);
	return desc;
}

START_TEST(all_are_fetched)
{
	struct vfmi_description desc = describe("");
	char byte = 'x';

	ck_assert_int_eq(vfmi_description_fetch(ctx, &desc, &error), 0);
	ck_assert_int_eq(open_descriptors(), descriptors_before + 3);
	ck_assert_int_ne(desc.device_fd, pipes[0]);
	ck_assert_int_eq(fcntl(desc.device_fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(write(desc.iommufd, "y", 1), 1);
	ck_assert_int_eq(read(desc.device_fd, &byte, 1), 1);
	ck_assert_int_eq(byte, 'y');
	ck_assert_int_eq(fcntl(desc.vectors[0].fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	vfmi_description_put(ctx, &desc);
	vfmi_description_clear(&desc);
}
END_TEST

START_TEST(none_stays_when_one_fails)
{
	struct vfmi_description desc = describe("");

	getfd_error = -EBADF;
	getfd_fails_at = _i;
	ck_assert_int_eq(vfmi_description_fetch(ctx, &desc, &error), -EBADF);
	ck_assert_ptr_nonnull(strstr(error.message, "has no descriptor"));
	ck_assert_int_eq(open_descriptors(), descriptors_before);
	vfmi_description_clear(&desc);
}
END_TEST

START_TEST(a_device_without_iommufd_is_enough)
{
	struct vfmi_parse_trouble trouble;
	struct vfmi_description desc;
	char text[64];

	snprintf(text, sizeof(text), "pidfd:%d:%d", (int)getpid(), extra);
	ck_assert_int_eq(vfmi_description_parse(text, &desc, &trouble), 0);
	ck_assert_str_eq(desc.identity.name, text);
	ck_assert_int_eq(vfmi_description_fetch(ctx, &desc, &error), 0);
	ck_assert_int_eq(desc.iommufd, -1);
	ck_assert_int_eq(open_descriptors(), descriptors_before + 1);
	vfmi_description_put(ctx, &desc);
	vfmi_description_clear(&desc);
}
END_TEST

static const struct {
	const char *scope;
	const char *said;
} scopes[] = {
	{ NULL, "the same user, or CAP_SYS_PTRACE." },
	{ "0\n", "the same user, or CAP_SYS_PTRACE." },
	{ "1\n", "kernel.yama.ptrace_scope 0 where it is 1 now." },
	{ "2\n", "CAP_SYS_PTRACE, since kernel.yama.ptrace_scope is 2." },
	{ "3\n", "forbids it to everybody" },
};

START_TEST(refusals_name_the_rule)
{
	struct vfmi_description desc = describe("");

	getfd_error = -EPERM;
	scope = scopes[_i].scope;
	ck_assert_int_eq(vfmi_description_fetch(ctx, &desc, &error), -EPERM);
	ck_assert_msg(strstr(error.message, scopes[_i].said), "%s", error.message);
	ck_assert_ptr_nonnull(strstr(error.message, "scm:PATH"));
	vfmi_description_clear(&desc);
}
END_TEST

START_TEST(missing_processes_are_told)
{
	struct vfmi_description desc = describe("");

	open_error = -ESRCH;
	ck_assert_int_eq(vfmi_description_fetch(ctx, &desc, &error), -ESRCH);
	ck_assert_ptr_nonnull(strstr(error.message, "there is no process"));
	open_error = -ENOSYS;
	ck_assert_int_eq(vfmi_description_fetch(ctx, &desc, &error), -ENOSYS);
	open_error = 0;
	getfd_error = -ESRCH;
	ck_assert_int_eq(vfmi_description_fetch(ctx, &desc, &error), -ESRCH);
	ck_assert_ptr_nonnull(strstr(error.message, "has ended"));
	vfmi_description_clear(&desc);
}
END_TEST

/* Field 22, counted from the front on a name without blanks. */
static unsigned long long own_start(void)
{
	unsigned long long start = 0;
	char buf[1024], *at = buf;
	FILE *file;

	ck_assert_int_eq(prctl(PR_SET_NAME, "plain", 0, 0, 0), 0);
	file = fopen("/proc/self/stat", "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(fgets(buf, sizeof(buf), file));
	fclose(file);
	for (int i = 1; i < 22; i++)
		at = strchr(at, ' ') + 1;
	ck_assert_int_eq(sscanf(at, "%llu", &start), 1);
	return start;
}

START_TEST(the_process_is_the_one_that_was_meant)
{
	const unsigned long long start = own_start();
	struct vfmi_description desc;
	char key[48];

	ck_assert_int_eq(prctl(PR_SET_NAME, ") R (1 2 3", 0, 0, 0), 0);
	snprintf(key, sizeof(key), ",start=%llu", start);
	desc = describe(key);
	ck_assert_int_eq(vfmi_description_fetch(ctx, &desc, &error), 0);
	vfmi_description_put(ctx, &desc);
	vfmi_description_clear(&desc);
	snprintf(key, sizeof(key), ",start=%llu", start + 1);
	desc = describe(key);
	ck_assert_int_eq(vfmi_description_fetch(ctx, &desc, &error), -ESRCH);
	ck_assert_ptr_nonnull(strstr(error.message, "is not the one that was meant"));
	vfmi_description_clear(&desc);
}
END_TEST

START_TEST(what_is_no_device_is_not_adopted)
{
	struct vfm_device *dev = NULL;
	char text[64];

	snprintf(text, sizeof(text), "pidfd:%d:%d", (int)getpid(), extra);
	ck_assert_int_eq(vfm_device_adopt_described(ctx, text, &dev, &error), -EINVAL);
	ck_assert_ptr_null(dev);
	ck_assert_str_eq(error.device, text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pidfd");
	TCase *tests = tcase_create("pidfd");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, all_are_fetched);
	tcase_add_loop_test(tests, none_stays_when_one_fails, 0, 3);
	tcase_add_test(tests, a_device_without_iommufd_is_enough);
	tcase_add_loop_test(tests, refusals_name_the_rule, 0, (int)VFMI_ARRAY_SIZE(scopes));
	tcase_add_test(tests, missing_processes_are_told);
	tcase_add_test(tests, the_process_is_the_one_that_was_meant);
	tcase_add_test(tests, what_is_no_device_is_not_adopted);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
