/* SPDX-License-Identifier: MIT */
/* The listening socket of a lender on the running kernel: permissions, dead and live ones, races, traces left. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lend-place.h"
#include "lend-socket.h"
#include "suite.h"

static struct vfm_context *ctx;
static char dir[64];
static char path[128];

static void setup(void)
{
	ck_assert_int_eq(vfm_context_new(&ctx), 0);
	snprintf(dir, sizeof(dir), "/tmp/vfiomig-place-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/lend", dir);
}

static unsigned int entries(void)
{
	DIR *list = opendir(dir);
	unsigned int count = 0;

	ck_assert_ptr_nonnull(list);
	for (const struct dirent *entry = readdir(list); entry; entry = readdir(list))
		count += entry->d_name[0] != '.' || !strncmp(entry->d_name, ".vfm", 4);
	closedir(list);
	return count;
}

static void teardown(void)
{
	unlink(path);
	ck_assert_uint_eq(entries(), 0);
	rmdir(dir);
	vfm_context_free(ctx);
}

static int place_at(const char *where, struct vfmi_lend_place **ret)
{
	VFM_OPTS(vfm_error, err);
	int r = vfmi_lend_place_open(ctx, where, 4, ret, &err);

	ck_assert(r == 0 || (err.code == -r && err.message[0]));
	return r;
}

/* 0 also when the backlog is full: somebody listens. */
static int connect_to(const char *where)
{
	struct sockaddr_un addr;
	socklen_t length;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	int r;

	ck_assert_int_eq(vfmi_lend_address(where, &addr, &length), 0);
	r = connect(fd, (const struct sockaddr *)&addr, length) < 0 ? -errno : 0;
	close(fd);
	return r == -EAGAIN ? 0 : r;
}

/* A socket nobody listens on any more. */
static void leave_dead_socket(void)
{
	struct sockaddr_un addr;
	socklen_t length;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	ck_assert_int_eq(vfmi_lend_address(path, &addr, &length), 0);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&addr, length), 0);
	close(fd);
}

START_TEST(test_open_and_close)
{
	struct vfmi_lend_place *place;
	mode_t before = umask(0);
	struct stat st;

	ck_assert_int_eq(place_at(path, &place), 0);
	umask(before);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert(S_ISSOCK(st.st_mode));
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq(entries(), 1);
	ck_assert_int_eq(connect_to(path), 0);
	ck_assert(fcntl(vfmi_lend_place_fd(place), F_GETFD) & FD_CLOEXEC);
	vfmi_lend_place_close(place);
	ck_assert_uint_eq(entries(), 0);
}
END_TEST

START_TEST(test_live_one_stays)
{
	struct vfmi_lend_place *place;
	struct vfmi_lend_place *second = NULL;

	ck_assert_int_eq(place_at(path, &place), 0);
	ck_assert_int_eq(place_at(path, &second), -EADDRINUSE);
	ck_assert_ptr_null(second);
	ck_assert_int_eq(connect_to(path), 0);
	ck_assert_uint_eq(entries(), 1);
	vfmi_lend_place_close(place);
}
END_TEST

START_TEST(test_dead_one_is_replaced)
{
	struct vfmi_lend_place *place;

	leave_dead_socket();
	ck_assert_int_eq(place_at(path, &place), 0);
	ck_assert_int_eq(connect_to(path), 0);
	vfmi_lend_place_close(place);
	ck_assert_uint_eq(entries(), 0);
}
END_TEST

START_TEST(test_full_backlog_is_alive)
{
	struct vfmi_lend_place *place;
	struct vfmi_lend_place *second;
	struct sockaddr_un addr;
	socklen_t length;
	int fds[8];

	ck_assert_int_eq(place_at(path, &place), 0);
	ck_assert_int_eq(vfmi_lend_address(path, &addr, &length), 0);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(fds); i++) {
		fds[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
		(void)connect(fds[i], (const struct sockaddr *)&addr, length);
	}
	ck_assert_int_eq(place_at(path, &second), -EADDRINUSE);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(fds); i++)
		close(fds[i]);
	vfmi_lend_place_close(place);
}
END_TEST

START_TEST(test_other_things_stay)
{
	struct vfmi_lend_place *place;
	struct stat st;
	int fd = open(path, O_CREAT | O_WRONLY, 0644);

	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
	ck_assert_int_eq(place_at(path, &place), -EEXIST);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 1);
	unlink(path);
	/* A link to nowhere is something too. */
	ck_assert_int_eq(symlink("/nonexistent", path), 0);
	ck_assert_int_eq(place_at(path, &place), -EEXIST);
	unlink(path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(place_at(path, &place), -EEXIST);
	rmdir(path);
}
END_TEST

START_TEST(test_stream_socket_is_alive)
{
	struct vfmi_lend_place *place;
	struct sockaddr_un addr;
	socklen_t length;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert_int_eq(vfmi_lend_address(path, &addr, &length), 0);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&addr, length), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(place_at(path, &place), -EADDRINUSE);
	close(fd);
}
END_TEST

START_TEST(test_names)
{
	struct vfmi_lend_place *place;
	char longer[200];

	ck_assert_int_eq(place_at("", &place), -EINVAL);
	ck_assert_int_eq(place_at("@", &place), -EINVAL);
	memset(longer, 'x', sizeof(longer));
	longer[108] = '\0';
	ck_assert_int_eq(place_at(longer, &place), -ENAMETOOLONG);
	longer[0] = '@';
	ck_assert_int_eq(place_at(longer, &place), -ENAMETOOLONG);
	longer[107] = '\0';
	ck_assert_int_eq(place_at(longer, &place), 0);
	vfmi_lend_place_close(place);
	snprintf(longer, sizeof(longer), "%s/none/lend", dir);
	ck_assert_int_eq(place_at(longer, &place), -ENOENT);
}
END_TEST

START_TEST(test_abstract)
{
	struct vfmi_lend_place *place;
	struct vfmi_lend_place *second;
	char name[64];

	snprintf(name, sizeof(name), "@vfiomig-test-%d", (int)getpid());
	ck_assert_int_eq(place_at(name, &place), 0);
	ck_assert_int_eq(connect_to(name), 0);
	ck_assert_int_eq(place_at(name, &second), -EADDRINUSE);
	vfmi_lend_place_close(place);
	ck_assert_int_eq(connect_to(name), -ECONNREFUSED);
}
END_TEST

START_TEST(test_close_leaves_what_is_not_ours)
{
	struct vfmi_lend_place *place;
	struct vfmi_lend_place *second;

	ck_assert_int_eq(place_at(path, &place), 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(place_at(path, &second), 0);
	vfmi_lend_place_close(place);
	ck_assert_int_eq(connect_to(path), 0);
	vfmi_lend_place_close(second);
	ck_assert_uint_eq(entries(), 0);
}
END_TEST

#define RACERS 8

static struct vfmi_lend_place *won[RACERS];
static int result[RACERS];

static void *race(void *user)
{
	size_t i = (size_t)(uintptr_t)user;

	result[i] = vfmi_lend_place_open(ctx, path, 4, &won[i], NULL);
	return NULL;
}

START_TEST(test_one_of_many_wins)
{
	for (int round = 0; round < 30; round++) {
		pthread_t threads[RACERS];
		unsigned int winners = 0;

		leave_dead_socket();
		for (size_t i = 0; i < RACERS; i++)
			ck_assert_int_eq(pthread_create(&threads[i], NULL, race, (void *)(uintptr_t)i), 0);
		for (size_t i = 0; i < RACERS; i++)
			pthread_join(threads[i], NULL);
		ck_assert_int_eq(connect_to(path), 0);
		for (size_t i = 0; i < RACERS; i++) {
			ck_assert(result[i] == 0 || result[i] == -EADDRINUSE || result[i] == -EEXIST);
			winners += result[i] == 0;
			if (result[i] == 0)
				vfmi_lend_place_close(won[i]);
		}
		ck_assert_uint_eq(winners, 1);
		ck_assert_uint_eq(entries(), 0);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lend-place");
	TCase *tcase = tcase_create("lend-place");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_open_and_close);
	tcase_add_test(tcase, test_live_one_stays);
	tcase_add_test(tcase, test_dead_one_is_replaced);
	tcase_add_test(tcase, test_full_backlog_is_alive);
	tcase_add_test(tcase, test_other_things_stay);
	tcase_add_test(tcase, test_stream_socket_is_alive);
	tcase_add_test(tcase, test_names);
	tcase_add_test(tcase, test_abstract);
	tcase_add_test(tcase, test_close_leaves_what_is_not_ours);
	tcase_add_test(tcase, test_one_of_many_wins);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
