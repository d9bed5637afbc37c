/* SPDX-License-Identifier: MIT */
/* The seam: libc table entries that do more than pass on, and the helpers over a table that falls short. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"
#include "suite.h"

static struct vfmi_sys *const sys = &vfmi_sys_libc;
static char directory[64];

static void setup(void)
{
	snprintf(directory, sizeof(directory), "/tmp/vfm-sys-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chdir(directory), 0);
}

static void teardown(void)
{
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(rmdir(directory), 0);
}

static void put_file(const char *name, const char *text, size_t length)
{
	int fd = sys->ops->open(sys, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(sys->ops->write(sys, fd, text, length), (ssize_t)length);
	ck_assert_int_eq(sys->ops->close(sys, fd), 0);
}

START_TEST(every_descriptor_closes_on_exec)
{
	int fds[6];

	fds[0] = sys->ops->open(sys, "/dev/null", O_RDWR, 0);
	fds[1] = sys->ops->dup(sys, fds[0]);
	fds[2] = sys->ops->eventfd(sys, 0, EFD_NONBLOCK);
	fds[3] = sys->ops->socket(sys, AF_UNIX, SOCK_STREAM, 0);
	fds[4] = sys->ops->open(sys, ".", O_RDONLY | O_DIRECTORY, 0);
	fds[5] = sys->ops->dup(sys, fds[3]);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(fds); i++) {
		ck_assert_int_ge(fds[i], 0);
		ck_assert_int_eq(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		ck_assert_int_eq(sys->ops->close(sys, fds[i]), 0);
	}
}
END_TEST

START_TEST(failures_are_negative_errnos)
{
	char buf[1] = "";
	struct stat st;
	void *ptr;

	ck_assert_int_eq(sys->ops->open(sys, "absent", O_RDONLY, 0), -ENOENT);
	ck_assert_int_eq(sys->ops->close(sys, -1), -EBADF);
	ck_assert_int_eq(sys->ops->read(sys, -1, buf, 1), -EBADF);
	ck_assert_int_eq(sys->ops->write(sys, -1, buf, 1), -EBADF);
	ck_assert_int_eq(sys->ops->pread(sys, -1, buf, 1, 0), -EBADF);
	ck_assert_int_eq(sys->ops->pwrite(sys, -1, buf, 1, 0), -EBADF);
	ck_assert_int_eq(sys->ops->stat(sys, "absent", &st), -ENOENT);
	ck_assert_int_eq(sys->ops->lstat(sys, "absent", &st), -ENOENT);
	ck_assert_int_eq(sys->ops->unlink(sys, "absent"), -ENOENT);
	ck_assert_int_eq(sys->ops->rename(sys, "absent", "b"), -ENOENT);
	ck_assert_int_eq(sys->ops->readlink(sys, "absent", buf, 1), -ENOENT);
	ck_assert_int_eq(sys->ops->dup(sys, -1), -EBADF);
	ck_assert_int_eq(sys->ops->ioctl(sys, -1, 0, NULL), -EBADF);
	ck_assert_int_eq(sys->ops->isatty(sys, -1), -EBADF);
	ck_assert_int_eq(sys->ops->mmap(sys, NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &ptr), -EINVAL);
}
END_TEST

START_TEST(a_file_is_not_a_terminal)
{
	int fd = sys->ops->open(sys, "/dev/null", O_RDWR, 0);

	ck_assert_int_eq(sys->ops->isatty(sys, fd), 0);
	ck_assert_int_eq(sys->ops->get_flags(sys, fd) & O_ACCMODE, O_RDWR);
	sys->ops->close(sys, fd);
}
END_TEST

static int count_names(void *user, const char *name)
{
	ck_assert_str_ne(name, ".");
	ck_assert_str_ne(name, "..");
	(*(int *)user)++;
	return 0;
}

static int stop_at_once(void *user, const char *name)
{
	(void)name;
	(*(int *)user)++;
	return 42;
}

START_TEST(listdir_walks_and_stops)
{
	int seen = 0;

	ck_assert_int_eq(sys->ops->listdir(sys, ".", count_names, &seen), 0);
	ck_assert_int_eq(seen, 0);
	put_file("a", "", 0);
	put_file("b", "", 0);
	ck_assert_int_eq(sys->ops->listdir(sys, ".", count_names, &seen), 0);
	ck_assert_int_eq(seen, 2);
	seen = 0;
	ck_assert_int_eq(sys->ops->listdir(sys, ".", stop_at_once, &seen), 42);
	ck_assert_int_eq(seen, 1);
	ck_assert_int_eq(sys->ops->unlink(sys, "a"), 0);
	ck_assert_int_eq(sys->ops->unlink(sys, "b"), 0);
	ck_assert_int_eq(sys->ops->listdir(sys, "absent", count_names, &seen), -ENOENT);
}
END_TEST

START_TEST(clocks_run_and_sleep_lasts)
{
	uint64_t before = sys->ops->now_ns(sys);

	sys->ops->sleep_ns(sys, 2000000);
	ck_assert_uint_ge(sys->ops->now_ns(sys) - before, 2000000);
	ck_assert_uint_gt(sys->ops->wall_s(sys), 1600000000);
}
END_TEST

START_TEST(random_bytes_differ)
{
	uint8_t a[32] = { 0 };
	uint8_t b[32] = { 0 };

	ck_assert_int_eq(sys->ops->getrandom(sys, a, sizeof(a)), 0);
	ck_assert_int_eq(sys->ops->getrandom(sys, b, sizeof(b)), 0);
	ck_assert_mem_ne(a, b, sizeof(a));
	ck_assert_int_eq(sys->ops->getrandom(sys, a, 0), 0);
}
END_TEST

START_TEST(page_size_is_a_power_of_two)
{
	uint64_t size = vfmi_page_size(&vfmi_sys_libc);

	ck_assert_uint_ge(size, 4096);
	ck_assert_uint_eq(size & (size - 1), 0);
}
END_TEST

static const struct {
	const char *text;
	size_t room;
	int result;
	const char *expect;
} texts[] = {
	{ "", 1, 0, "" },
	{ "", 8, 0, "" },
	{ "abc\n", 8, 3, "abc" },
	{ "abc \t\r\n\n", 16, 3, "abc" },
	{ " abc", 16, 4, " abc" },
	{ "\n\n", 16, 0, "" },
	{ "abcdefg", 9, 7, "abcdefg" },
	{ "abcdefg", 8, 7, "abcdefg" },
	{ "abcdefg", 7, -EFBIG, NULL },
	{ "abcdefg", 1, -EFBIG, NULL },
	{ "abcdefg", 0, -EINVAL, NULL },
};

START_TEST(read_file_trims_and_bounds)
{
	char buf[32];
	int r;

	put_file("t", texts[_i].text, strlen(texts[_i].text));
	r = vfmi_sys_read_file(sys, "t", buf, texts[_i].room);
	unlink("t");
	ck_assert_int_eq(r, texts[_i].result);
	if (r >= 0)
		ck_assert_str_eq(buf, texts[_i].expect);
}
END_TEST

/* a table that falls short */

static struct {
	int step;
	int opened;
	ssize_t plan[8]; /* what read answers, call by call; positive: at most that many bytes */
} script;

static ssize_t planned(size_t length)
{
	ssize_t answer = script.plan[script.step++];

	return answer > (ssize_t)length ? (ssize_t)length : answer;
}

static int fake_open(struct vfmi_sys *s, const char *path, int flags, mode_t mode)
{
	(void)s, (void)path, (void)flags, (void)mode;
	script.opened++;
	return 3;
}

static int fake_close(struct vfmi_sys *s, int fd)
{
	(void)s, (void)fd;
	script.opened--;
	return 0;
}

static ssize_t fake_read(struct vfmi_sys *s, int fd, void *buf, size_t length)
{
	ssize_t n = planned(length);

	(void)s, (void)fd;
	if (n > 0)
		memset(buf, 'x', (size_t)n);
	return n;
}

static const struct vfmi_sys_ops fake_ops = {
	.open = fake_open,
	.close = fake_close,
	.read = fake_read,
};
static struct vfmi_sys fake = { .ops = &fake_ops };

static void plan(const ssize_t *answers, size_t count)
{
	memset(&script, 0, sizeof(script));
	memcpy(script.plan, answers, count * sizeof(*answers));
}
#define PLAN(...) plan((const ssize_t[]){ __VA_ARGS__ }, VFMI_ARRAY_SIZE(((const ssize_t[]){ __VA_ARGS__ })))

START_TEST(read_file_survives_short_reads)
{
	char buf[8];

	PLAN(1, -EINTR, 2, 0);
	ck_assert_int_eq(vfmi_sys_read_file(&fake, "f", buf, sizeof(buf)), 3);
	ck_assert_str_eq(buf, "xxx");
	ck_assert_int_eq(script.opened, 0);
	PLAN(1, -EIO);
	ck_assert_int_eq(vfmi_sys_read_file(&fake, "f", buf, sizeof(buf)), -EIO);
	ck_assert_int_eq(script.opened, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sys");
	TCase *tests = tcase_create("sys");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, every_descriptor_closes_on_exec);
	tcase_add_test(tests, failures_are_negative_errnos);
	tcase_add_test(tests, a_file_is_not_a_terminal);
	tcase_add_test(tests, listdir_walks_and_stops);
	tcase_add_test(tests, clocks_run_and_sleep_lasts);
	tcase_add_test(tests, random_bytes_differ);
	tcase_add_test(tests, page_size_is_a_power_of_two);
	tcase_add_loop_test(tests, read_file_trims_and_bounds, 0, (int)VFMI_ARRAY_SIZE(texts));
	tcase_add_test(tests, read_file_survives_short_reads);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
