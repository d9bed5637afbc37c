/* SPDX-License-Identifier: MIT */
/* Endpoints: names, file rules, pipes, sockets, waits that end. Everything runs in a directory of its own. */
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <vfiomig/transport.h>

#include "internal.h"
#include "suite.h"

static struct vfm_context *ctx;
static char directory[64];
static char abstract[64];
static struct vfm_error error;

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
	signal(SIGPIPE, SIG_IGN);
	name_socket(abstract, sizeof(abstract), "endpoint");
	descriptors_before = open_descriptors();
	ck_assert_int_eq(vfm_context_new(&ctx), 0);
	error = (struct vfm_error){ .size = sizeof(error) };
	snprintf(directory, sizeof(directory), "/tmp/vfm-endpoint-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chdir(directory), 0);
}

static void teardown(void)
{
	char command[128];

	vfm_context_free(ctx);
	ck_assert_int_eq(open_descriptors(), descriptors_before);
	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	ck_assert_int_eq(system(command), 0);
}

static int open_with(const char *spec, const struct vfm_endpoint_opts *opts, struct vfm_endpoint **ret)
{
	*ret = NULL;
	return vfm_endpoint_open(ctx, spec, opts, ret, &error);
}

static int open_flags(const char *spec, uint32_t flags, struct vfm_endpoint **ret)
{
	const struct vfm_endpoint_opts opts = { .size = sizeof(opts), .flags = flags, .timeout_ms = 5000 };

	return open_with(spec, &opts, ret);
}

static void put_file(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

static void assert_file(const char *name, const char *text)
{
	char buf[256] = "";
	FILE *file = fopen(name, "r");
	size_t length;

	ck_assert_msg(file != NULL, "%s is missing", name);
	length = fread(buf, 1, sizeof(buf) - 1, file);
	fclose(file);
	ck_assert_uint_eq(length, strlen(text));
	ck_assert_str_eq(buf, text);
}

/* Names in the working directory, hidden ones too. */
static int count_names(void)
{
	FILE *list = popen("ls -A | wc -l", "r");
	int count = -1;

	ck_assert_int_eq(fscanf(list, "%d", &count), 1);
	pclose(list);
	return count;
}

static int write_text(struct vfm_endpoint *ep, const char *text)
{
	const struct vfm_io *io = vfm_endpoint_io(ep);

	return io->write(io->user, text, strlen(text));
}

/* Names that are no endpoint, with the errno each gives. */
static const struct {
	const char *spec;
	uint32_t flags;
	int code;
} bad_names[] = {
	{ "", VFM_ENDPOINT_READ, EINVAL },
	{ "file:", VFM_ENDPOINT_WRITE, EINVAL },
	{ "fd:", VFM_ENDPOINT_READ, EINVAL },
	{ "fd:x", VFM_ENDPOINT_READ, EINVAL },
	{ "fd:-1", VFM_ENDPOINT_READ, EINVAL },
	{ "fd:1x", VFM_ENDPOINT_READ, EINVAL },
	{ "fd: 1", VFM_ENDPOINT_READ, EINVAL },
	{ "fd:2147483648", VFM_ENDPOINT_READ, EINVAL },
	{ "fd:18446744073709551616", VFM_ENDPOINT_READ, EINVAL },
	{ "fd:2147483647", VFM_ENDPOINT_READ, EBADF },
	{ "unix:", VFM_ENDPOINT_READ, EINVAL },
	{ "unix:@", VFM_ENDPOINT_READ, EINVAL },
	{ "unix:absent", VFM_ENDPOINT_WRITE, ENOENT },
	{ "unix:@vfm-nobody-listens", VFM_ENDPOINT_WRITE, ECONNREFUSED },
	{ "tcp:", VFM_ENDPOINT_READ, EINVAL },
	{ "tcp:localhost", VFM_ENDPOINT_READ, EINVAL },
	{ "tcp:localhost:", VFM_ENDPOINT_READ, EINVAL },
	{ "tcp::1", VFM_ENDPOINT_READ, EINVAL },
	{ "tcp:127.0.0.1:0", VFM_ENDPOINT_READ, EINVAL },
	{ "tcp:127.0.0.1:65536", VFM_ENDPOINT_READ, EINVAL },
	{ "tcp:127.0.0.1:99999999999", VFM_ENDPOINT_READ, EINVAL },
	{ "tcp:127.0.0.1:1x", VFM_ENDPOINT_READ, EINVAL },
	{ "tcp:::1:80", VFM_ENDPOINT_READ, EINVAL },
	{ "tcp:[::1:80", VFM_ENDPOINT_READ, EINVAL },
	{ "tcp:[::1]80", VFM_ENDPOINT_READ, EINVAL },
	{ "vsock:", VFM_ENDPOINT_READ, EINVAL },
	{ "vsock:2", VFM_ENDPOINT_READ, EINVAL },
	{ "vsock:2:", VFM_ENDPOINT_READ, EINVAL },
	{ "vsock::1", VFM_ENDPOINT_READ, EINVAL },
	{ "vsock:2:0", VFM_ENDPOINT_READ, EINVAL },
	{ "vsock:any:1", VFM_ENDPOINT_READ, EINVAL },
	{ "vsock:2:1:1", VFM_ENDPOINT_READ, EINVAL },
	{ "vsock:guest:1", VFM_ENDPOINT_READ, EINVAL },
	{ "vsock:hos:1", VFM_ENDPOINT_READ, EINVAL },
	{ "vsock:2:4294967295", VFM_ENDPOINT_READ, EINVAL },
	{ "vsock:2:4294967297", VFM_ENDPOINT_READ, EINVAL },
	{ "vsock:2:18446744073709551617", VFM_ENDPOINT_READ, EINVAL },
	{ "vsock:2:+1", VFM_ENDPOINT_READ, EINVAL },
	{ "vsock:4294967295:1", VFM_ENDPOINT_READ, EINVAL },
	{ "fiel:state", VFM_ENDPOINT_READ, EINVAL },
	{ "absent", VFM_ENDPOINT_READ, ENOENT },
	{ "absent/state", VFM_ENDPOINT_WRITE, ENOENT },
	{ ".", VFM_ENDPOINT_READ, EISDIR },
	{ ".", VFM_ENDPOINT_WRITE, EISDIR },
	{ ".", VFM_ENDPOINT_WRITE | VFM_ENDPOINT_FORCE, EISDIR },
	{ "state", 0, EINVAL },
	{ "state", VFM_ENDPOINT_READ | VFM_ENDPOINT_WRITE, EINVAL },
	{ "state", VFM_ENDPOINT_WRITE | 64, EINVAL },
	{ "state", VFM_ENDPOINT_WRITE | 0x80000000u, EINVAL },
	{ "state", VFM_ENDPOINT_WRITE | VFM_ENDPOINT_LISTEN, EINVAL },
	{ "state", VFM_ENDPOINT_WRITE | VFM_ENDPOINT_DUPLEX, EINVAL },
	{ "fd:0", VFM_ENDPOINT_READ | VFM_ENDPOINT_LISTEN, EINVAL },
};

START_TEST(refuses_bad_names)
{
	struct vfm_endpoint *ep;
	int r = open_flags(bad_names[_i].spec, bad_names[_i].flags, &ep);

	ck_assert_msg(r == -bad_names[_i].code, "\"%s\": %d, not %d", bad_names[_i].spec, r, -bad_names[_i].code);
	ck_assert_ptr_null(ep);
	ck_assert_int_eq(error.code, bad_names[_i].code);
	ck_assert_ptr_nonnull(strstr(error.message, bad_names[_i].spec));
	ck_assert_int_eq(count_names(), 0);
}
END_TEST

START_TEST(refuses_long_unix_names)
{
	char spec[6 + 109] = "unix:";
	struct vfm_endpoint *ep;

	memset(spec + 5, 'a', 107);
	ck_assert_int_eq(open_flags(spec, VFM_ENDPOINT_READ, &ep), -ENOENT);
	spec[5 + 107] = 'a';
	ck_assert_int_eq(open_flags(spec, VFM_ENDPOINT_READ, &ep), -ENAMETOOLONG);
}
END_TEST

START_TEST(options_are_sized)
{
	struct {
		struct vfm_endpoint_opts opts;
		uint64_t tail;
	} longer = { .opts = { .size = sizeof(longer), .flags = VFM_ENDPOINT_WRITE } };
	struct vfm_endpoint *ep;

	ck_assert_int_eq(open_with("state", &longer.opts, &ep), 0);
	vfm_endpoint_close(ep);
	longer.tail = 1;
	ck_assert_int_eq(open_with("state", &longer.opts, &ep), -E2BIG);
	longer.tail = 0;
	longer.opts.reserved = 1;
	ck_assert_int_eq(open_with("state", &longer.opts, &ep), -EINVAL);
	longer.opts.reserved = 0;
	longer.opts.size = 4;
	ck_assert_int_eq(open_with("state", &longer.opts, &ep), -EINVAL);
	longer.opts.size = 0;
	ck_assert_int_eq(open_with("state", &longer.opts, &ep), -EINVAL);
}
END_TEST

START_TEST(file_appears_at_commit)
{
	struct vfm_endpoint *ep;
	struct stat st;

	ck_assert_int_eq(open_flags("file:state", VFM_ENDPOINT_WRITE, &ep), 0);
	ck_assert(!vfm_endpoint_is_duplex(ep));
	ck_assert_ptr_null(vfm_endpoint_io(ep)->read);
	ck_assert_int_eq(write_text(ep, "whole"), 0);
	ck_assert_int_eq(access("state", F_OK), -1);
	ck_assert_int_eq(vfm_endpoint_commit(ep, &error), 0);
	vfm_endpoint_close(ep);
	assert_file("state", "whole");
	ck_assert_int_eq(count_names(), 1);
	ck_assert_int_eq(stat("state", &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq(st.st_nlink, 1);
}
END_TEST

START_TEST(file_without_commit_leaves_no_trace)
{
	struct vfm_endpoint *ep;

	put_file("state", "old");
	ck_assert_int_eq(open_flags("state", VFM_ENDPOINT_WRITE | VFM_ENDPOINT_FORCE, &ep), 0);
	ck_assert_int_eq(write_text(ep, "new"), 0);
	vfm_endpoint_close(ep);
	assert_file("state", "old");
	ck_assert_int_eq(count_names(), 1);
}
END_TEST

START_TEST(existing_file_needs_force)
{
	struct vfm_endpoint *ep;

	put_file("state", "old");
	ck_assert_int_eq(open_flags("state", VFM_ENDPOINT_WRITE, &ep), -EEXIST);
	ck_assert(error.flags & VFM_ERROR_PEER);
	assert_file("state", "old");
	ck_assert_int_eq(open_flags("state", VFM_ENDPOINT_WRITE | VFM_ENDPOINT_FORCE, &ep), 0);
	ck_assert_int_eq(write_text(ep, "new"), 0);
	assert_file("state", "old");
	ck_assert_int_eq(vfm_endpoint_commit(ep, &error), 0);
	vfm_endpoint_close(ep);
	assert_file("state", "new");
	ck_assert_int_eq(count_names(), 1);
}
END_TEST

START_TEST(file_that_appears_meanwhile_is_kept)
{
	struct vfm_endpoint *ep;

	ck_assert_int_eq(open_flags("state", VFM_ENDPOINT_WRITE, &ep), 0);
	ck_assert_int_eq(write_text(ep, "ours"), 0);
	put_file("state", "theirs");
	ck_assert_int_eq(vfm_endpoint_commit(ep, &error), -EEXIST);
	vfm_endpoint_close(ep);
	assert_file("state", "theirs");
	ck_assert_int_eq(count_names(), 1);
}
END_TEST

/* A seam on which nothing reaches the disk, every peer is user 4242 and we are user 1000. */
static int failing_fsync(struct vfmi_sys *sys, int fd)
{
	(void)sys, (void)fd;
	return -EIO;
}

static int stranger_getsockopt(struct vfmi_sys *sys, int fd, int level, int name, void *value, socklen_t *length)
{
	int r = vfmi_sys_libc.ops->getsockopt(sys, fd, level, name, value, length);

	if (r == 0 && level == SOL_SOCKET && name == SO_PEERCRED)
		((struct ucred *)value)->uid = 4242;
	return r;
}

static uid_t somebody(struct vfmi_sys *sys)
{
	(void)sys;
	return 1000;
}

static void use_hostile_world(void)
{
	static struct vfmi_sys_ops ops;
	static struct vfmi_sys sys = { .ops = &ops };

	ops = *vfmi_sys_libc.ops;
	ops.fsync = failing_fsync;
	ops.getsockopt = stranger_getsockopt;
	ops.geteuid = somebody;
	vfm_context_free(ctx);
	ck_assert_int_eq(vfmi_context_new_on(&sys, &ctx), 0);
}

START_TEST(file_is_on_disk_before_it_has_its_name)
{
	struct vfm_endpoint *ep;

	use_hostile_world();
	ck_assert_int_eq(open_flags("state", VFM_ENDPOINT_WRITE, &ep), 0);
	ck_assert_int_eq(write_text(ep, "whole"), 0);
	ck_assert_int_eq(vfm_endpoint_commit(ep, &error), -EIO);
	vfm_endpoint_close(ep);
	ck_assert_int_eq(count_names(), 0);
}
END_TEST

static int unreadable_directory_open(struct vfmi_sys *sys, const char *path, int flags, mode_t mode)
{
	return flags & O_DIRECTORY ? -EACCES : vfmi_sys_libc.ops->open(sys, path, flags, mode);
}

/* What would fail last of all, when the file has its name already, fails first. */
START_TEST(directory_that_cannot_be_synced_is_found_early)
{
	static struct vfmi_sys_ops ops;
	static struct vfmi_sys sys = { .ops = &ops };
	struct vfm_endpoint *ep;

	ops = *vfmi_sys_libc.ops;
	ops.open = unreadable_directory_open;
	vfm_context_free(ctx);
	ck_assert_int_eq(vfmi_context_new_on(&sys, &ctx), 0);
	ck_assert_int_eq(open_flags("state", VFM_ENDPOINT_WRITE, &ep), -EACCES);
	ck_assert(error.flags & VFM_ERROR_PEER);
	ck_assert_ptr_nonnull(strstr(error.message, "directory"));
	ck_assert_int_eq(count_names(), 0);
	ck_assert_int_eq(open_flags("/dev/null", VFM_ENDPOINT_WRITE, &ep), 0);
	vfm_endpoint_close(ep);
}
END_TEST

START_TEST(symlinks_are_not_replaced)
{
	struct vfm_endpoint *ep;

	put_file("real", "old");
	ck_assert_int_eq(symlink("real", "link"), 0);
	ck_assert_int_eq(symlink("absent", "dangling"), 0);
	ck_assert_int_eq(symlink("/dev/null", "null"), 0);
	ck_assert_int_eq(open_flags("link", VFM_ENDPOINT_WRITE | VFM_ENDPOINT_FORCE, &ep), -ELOOP);
	ck_assert_int_eq(open_flags("dangling", VFM_ENDPOINT_WRITE, &ep), -ELOOP);
	assert_file("real", "old");
	ck_assert_int_eq(open_flags("null", VFM_ENDPOINT_WRITE, &ep), 0);
	ck_assert_int_eq(write_text(ep, "gone"), 0);
	ck_assert_int_eq(vfm_endpoint_commit(ep, &error), 0);
	vfm_endpoint_close(ep);
	ck_assert_int_eq(open_flags("link", VFM_ENDPOINT_READ, &ep), 0);
	vfm_endpoint_close(ep);
	ck_assert_int_eq(count_names(), 4);
}
END_TEST

START_TEST(file_reads_to_its_end)
{
	struct vfm_endpoint *ep;
	const struct vfm_io *io;
	char buf[16];

	put_file("state", "0123456789");
	ck_assert_int_eq(open_flags("state", VFM_ENDPOINT_READ, &ep), 0);
	io = vfm_endpoint_io(ep);
	ck_assert_ptr_null(io->write);
	ck_assert_int_eq(io->read(io->user, buf, 4), 4);
	ck_assert_int_eq(io->read(io->user, buf, sizeof(buf)), 6);
	ck_assert_int_eq(io->read(io->user, buf, sizeof(buf)), 0);
	ck_assert_int_eq(vfm_endpoint_commit(ep, &error), 0);
	vfm_endpoint_close(ep);
}
END_TEST

START_TEST(descriptor_directions_are_checked)
{
	struct vfm_endpoint *ep;
	char spec[16];
	int pipes[2];

	ck_assert_int_eq(pipe(pipes), 0);
	snprintf(spec, sizeof(spec), "fd:%d", pipes[0]);
	ck_assert_int_eq(open_flags(spec, VFM_ENDPOINT_WRITE, &ep), -EBADF);
	ck_assert_int_eq(open_flags(spec, VFM_ENDPOINT_READ | VFM_ENDPOINT_DUPLEX, &ep), -EBADF);
	snprintf(spec, sizeof(spec), "fd:%d", pipes[1]);
	ck_assert_int_eq(open_flags(spec, VFM_ENDPOINT_READ, &ep), -EBADF);
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

/* Drains a descriptor to its end, a little at a time, so that the writer has to wait. */
static void *drain(void *user)
{
	static char buf[3001];
	int fd = *(int *)user;
	size_t total = 0;
	ssize_t got;

	while ((got = read(fd, buf, sizeof(buf))) > 0)
		total += (size_t)got;
	close(fd);
	return (void *)(uintptr_t)total;
}

#define MUCH (300u * 1024u)

START_TEST(pipe_takes_more_than_it_holds)
{
	static char much[MUCH];
	struct vfm_endpoint *ep;
	const struct vfm_io *io;
	pthread_t thread;
	char spec[16];
	int pipes[2], flags;
	void *total;

	ck_assert_int_eq(pipe(pipes), 0);
	flags = fcntl(pipes[1], F_GETFL);
	snprintf(spec, sizeof(spec), "fd:%d", pipes[1]);
	ck_assert_int_eq(open_flags(spec, VFM_ENDPOINT_WRITE, &ep), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, drain, &pipes[0]), 0);
	io = vfm_endpoint_io(ep);
	ck_assert_int_eq(io->write(io->user, much, sizeof(much)), 0);
	ck_assert_int_eq(vfm_endpoint_commit(ep, &error), 0);
	ck_assert_int_eq(fcntl(pipes[1], F_GETFL), flags);
	vfm_endpoint_close(ep);
	close(pipes[1]);
	ck_assert_int_eq(pthread_join(thread, &total), 0);
	ck_assert_uint_eq((uintptr_t)total, MUCH);
}
END_TEST

START_TEST(pipe_without_reader_fails)
{
	struct vfm_endpoint *ep;
	char spec[16];
	int pipes[2];

	ck_assert_int_eq(pipe(pipes), 0);
	snprintf(spec, sizeof(spec), "fd:%d", pipes[1]);
	ck_assert_int_eq(open_flags(spec, VFM_ENDPOINT_WRITE, &ep), 0);
	close(pipes[0]);
	ck_assert_int_eq(write_text(ep, "nobody"), -EPIPE);
	vfm_endpoint_close(ep);
	close(pipes[1]);
}
END_TEST

START_TEST(full_pipe_times_out_and_cancels)
{
	static char much[MUCH];
	struct vfm_endpoint_opts opts = { .size = sizeof(opts), .flags = VFM_ENDPOINT_WRITE, .timeout_ms = 20 };
	struct vfm_endpoint *ep;
	struct vfm_cancel *cancel;
	char spec[16];
	int pipes[2];

	ck_assert_int_eq(vfm_cancel_new(ctx, &cancel), 0);
	ck_assert_int_eq(pipe(pipes), 0);
	snprintf(spec, sizeof(spec), "fd:%d", pipes[1]);
	ck_assert_int_eq(open_with(spec, &opts, &ep), 0);
	ck_assert_int_eq(vfm_endpoint_io(ep)->write(ep, much, sizeof(much)), -ETIMEDOUT);
	vfm_endpoint_close(ep);
	opts.timeout_ms = 0;
	opts.cancel = cancel;
	ck_assert_int_eq(open_with(spec, &opts, &ep), 0);
	vfm_cancel_trigger(cancel);
	ck_assert_int_eq(vfm_endpoint_io(ep)->write(ep, much, sizeof(much)), -ECANCELED);
	vfm_endpoint_close(ep);
	vfm_cancel_free(cancel);
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

START_TEST(fifo_waits_for_both_ends)
{
	struct vfm_endpoint_opts opts = { .size = sizeof(opts), .flags = VFM_ENDPOINT_WRITE, .timeout_ms = 30 };
	struct vfm_endpoint *reader, *writer;
	char buf[8];

	ck_assert_int_eq(mkfifo("fifo", 0600), 0);
	ck_assert_int_eq(open_with("fifo", &opts, &writer), -ETIMEDOUT);
	opts.flags = VFM_ENDPOINT_READ;
	ck_assert_int_eq(open_with("fifo", &opts, &reader), 0);
	ck_assert_int_eq(vfm_endpoint_io(reader)->read(reader, buf, sizeof(buf)), -ETIMEDOUT);
	ck_assert_int_eq(open_flags("fifo", VFM_ENDPOINT_WRITE, &writer), 0);
	ck_assert_int_eq(write_text(writer, "abc"), 0);
	ck_assert_int_eq(vfm_endpoint_commit(writer, &error), 0);
	vfm_endpoint_close(writer);
	ck_assert_int_eq(vfm_endpoint_io(reader)->read(reader, buf, sizeof(buf)), 3);
	ck_assert_int_eq(vfm_endpoint_io(reader)->read(reader, buf, sizeof(buf)), 0);
	vfm_endpoint_close(reader);
}
END_TEST

START_TEST(terminals_are_refused)
{
	struct vfm_endpoint *ep;
	char spec[16];
	int fd = posix_openpt(O_RDWR | O_NOCTTY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(grantpt(fd), 0);
	ck_assert_int_eq(unlockpt(fd), 0);
	snprintf(spec, sizeof(spec), "fd:%d", fd);
	ck_assert_int_eq(open_flags(spec, VFM_ENDPOINT_WRITE, &ep), -ENOTTY);
	ck_assert_int_eq(open_flags(spec, VFM_ENDPOINT_READ, &ep), -ENOTTY);
	ck_assert_int_eq(open_flags(ptsname(fd), VFM_ENDPOINT_WRITE, &ep), -ENOTTY);
	close(fd);
}
END_TEST

/* Sockets: one side waits, the other calls; both directions work and commit ends one of them. */
struct caller {
	const char *spec;
	int result;
};

static void *call_and_answer(void *user)
{
	struct vfm_endpoint_opts opts = { .size = sizeof(opts), .flags = VFM_ENDPOINT_WRITE, .timeout_ms = 5000 };
	struct vfm_endpoint *ep = NULL;
	struct caller *caller = user;
	char buf[8];

	caller->result = vfm_endpoint_open(ctx, caller->spec, &opts, &ep, NULL);
	if (caller->result < 0)
		return NULL;
	caller->result = write_text(ep, "question");
	if (caller->result == 0)
		caller->result = vfm_endpoint_commit(ep, NULL);
	if (caller->result == 0)
		caller->result = (int)vfm_endpoint_io(ep)->read(ep, buf, sizeof(buf));
	vfm_endpoint_close(ep);
	return NULL;
}

static void read_all(struct vfm_endpoint *ep, const char *text)
{
	const struct vfm_io *io = vfm_endpoint_io(ep);
	char buf[64];
	size_t length = 0;
	int64_t got;

	while ((got = io->read(io->user, buf + length, sizeof(buf) - length)) > 0)
		length += (size_t)got;
	ck_assert_int_eq(got, 0);
	ck_assert_uint_eq(length, strlen(text));
	ck_assert_mem_eq(buf, text, length);
}

static void talk(const char *listen_spec)
{
	struct vfm_endpoint *ep;
	struct caller caller;
	pthread_t thread;

	ck_assert_int_eq(
		open_flags(listen_spec, VFM_ENDPOINT_READ | VFM_ENDPOINT_LISTEN | VFM_ENDPOINT_BACKGROUND_BIND, &ep),
		0);
	ck_assert(vfm_endpoint_is_duplex(ep));
	caller.spec = vfm_endpoint_address(ep);
	ck_assert_int_eq(pthread_create(&thread, NULL, call_and_answer, &caller), 0);
	read_all(ep, "question");
	ck_assert_int_eq(write_text(ep, "yes"), 0);
	ck_assert_int_eq(vfm_endpoint_commit(ep, &error), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(caller.result, 3);
	vfm_endpoint_close(ep);
}

static const char *const listen_specs[] = { "unix:socket", abstract, "tcp:127.0.0.1:0", "tcp::0", "tcp:localhost:0" };

START_TEST(sockets_carry_both_directions)
{
	talk(listen_specs[_i]);
	ck_assert_int_eq(count_names(), 0);
}
END_TEST

START_TEST(chosen_port_is_told)
{
	struct vfm_endpoint *ep;
	unsigned int port = 0;

	ck_assert_int_eq(open_flags("tcp:127.0.0.1:0",
				    VFM_ENDPOINT_READ | VFM_ENDPOINT_LISTEN | VFM_ENDPOINT_BACKGROUND_BIND, &ep),
			 0);
	ck_assert_int_eq(sscanf(vfm_endpoint_address(ep), "tcp:127.0.0.1:%u", &port), 1);
	ck_assert_uint_gt(port, 0);
	ck_assert_int_eq(vfm_endpoint_commit(ep, &error), -ENOTCONN);
	vfm_endpoint_close(ep);
}
END_TEST

START_TEST(accept_tells_why_nobody_came)
{
	struct vfm_endpoint_opts opts = { .size = sizeof(opts), .timeout_ms = 20 };
	struct vfm_endpoint *ep;

	opts.flags = VFM_ENDPOINT_READ | VFM_ENDPOINT_LISTEN | VFM_ENDPOINT_BACKGROUND_BIND;
	ck_assert_int_eq(open_with("unix:socket", &opts, &ep), 0);
	ck_assert_int_eq(vfm_endpoint_accept(ep, &error), -ETIMEDOUT);
	ck_assert_uint_eq(error.flags, VFM_ERROR_PEER | VFM_ERROR_RETRYABLE);
	ck_assert_ptr_nonnull(strstr(error.message, "unix:socket"));
	vfm_endpoint_close(ep);
	ck_assert_int_eq(open_flags("state", VFM_ENDPOINT_WRITE, &ep), 0);
	ck_assert_int_eq(vfm_endpoint_accept(ep, &error), 0);
	vfm_endpoint_close(ep);
}
END_TEST

START_TEST(listening_times_out)
{
	struct vfm_endpoint_opts opts = { .size = sizeof(opts), .timeout_ms = 20 };
	struct vfm_endpoint *ep;

	opts.flags = VFM_ENDPOINT_READ | VFM_ENDPOINT_LISTEN;
	ck_assert_int_eq(open_with("unix:socket", &opts, &ep), -ETIMEDOUT);
	ck_assert(error.flags & VFM_ERROR_RETRYABLE);
	ck_assert_int_eq(open_with("tcp:127.0.0.1:0", &opts, &ep), -ETIMEDOUT);
	ck_assert_int_eq(count_names(), 0);
}
END_TEST

START_TEST(only_dead_sockets_are_replaced)
{
	const uint32_t flags = VFM_ENDPOINT_READ | VFM_ENDPOINT_LISTEN | VFM_ENDPOINT_BACKGROUND_BIND;
	struct vfm_endpoint *first, *second;

	ck_assert_int_eq(open_flags("unix:socket", flags, &first), 0);
	ck_assert_int_eq(open_flags("unix:socket", flags, &second), -EADDRINUSE);
	ck_assert_int_eq(link("socket", "left"), 0);
	vfm_endpoint_close(first);
	ck_assert_int_eq(open_flags("unix:left", flags, &second), 0);
	vfm_endpoint_close(second);
	put_file("plain", "text");
	ck_assert_int_eq(open_flags("unix:plain", flags, &second), -EEXIST);
	assert_file("plain", "text");
}
END_TEST

/* What calls is let in by nobody but its own user and root, and what listens under an abstract name is not believed. */
START_TEST(strangers_are_turned_away)
{
	struct vfm_endpoint_opts opts = { .size = sizeof(opts), .timeout_ms = 50 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = "socket" };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct vfm_endpoint *ep, *caller;
	char byte;

	opts.flags = VFM_ENDPOINT_READ | VFM_ENDPOINT_LISTEN | VFM_ENDPOINT_BACKGROUND_BIND;
	use_hostile_world();
	ck_assert_int_eq(open_with("unix:socket", &opts, &ep), 0);
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(vfm_endpoint_accept(ep, &error), -ETIMEDOUT);
	ck_assert_int_eq(read(fd, &byte, 1), 0);
	close(fd);
	vfm_endpoint_close(ep);
	ck_assert_int_eq(open_with(abstract, &opts, &ep), 0);
	ck_assert_int_eq(open_flags(abstract, VFM_ENDPOINT_WRITE, &caller), -EPERM);
	vfm_endpoint_close(ep);
}
END_TEST

START_TEST(socket_path_of_another_stays)
{
	const uint32_t flags = VFM_ENDPOINT_READ | VFM_ENDPOINT_LISTEN | VFM_ENDPOINT_BACKGROUND_BIND;
	struct vfm_endpoint *ep;

	ck_assert_int_eq(open_flags("unix:socket", flags, &ep), 0);
	ck_assert_int_eq(unlink("socket"), 0);
	put_file("socket", "other");
	vfm_endpoint_close(ep);
	assert_file("socket", "other");
}
END_TEST

START_TEST(inherited_socket_is_duplex_on_request)
{
	struct vfm_endpoint *ep;
	char spec[16], buf[8];
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	snprintf(spec, sizeof(spec), "fd:%d", pair[0]);
	ck_assert_int_eq(open_flags(spec, VFM_ENDPOINT_WRITE, &ep), 0);
	ck_assert(!vfm_endpoint_is_duplex(ep));
	vfm_endpoint_close(ep);
	ck_assert_int_eq(open_flags(spec, VFM_ENDPOINT_WRITE | VFM_ENDPOINT_DUPLEX, &ep), 0);
	ck_assert(vfm_endpoint_is_duplex(ep));
	ck_assert_int_eq(write_text(ep, "hello"), 0);
	ck_assert_int_eq(read(pair[1], buf, sizeof(buf)), 5);
	ck_assert_int_eq(write(pair[1], "ok", 2), 2);
	ck_assert_int_eq(vfm_endpoint_io(ep)->read(ep, buf, sizeof(buf)), 2);
	/* the write side ends although the descriptor stays open with its owner */
	ck_assert_int_eq(vfm_endpoint_commit(ep, &error), 0);
	ck_assert_int_eq(read(pair[1], buf, sizeof(buf)), 0);
	close(pair[1]);
	ck_assert_int_eq(write_text(ep, "late"), -EPIPE);
	vfm_endpoint_close(ep);
	close(pair[0]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("endpoint");
	TCase *tests = tcase_create("endpoint");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, refuses_bad_names, 0, (int)VFMI_ARRAY_SIZE(bad_names));
	tcase_add_test(tests, refuses_long_unix_names);
	tcase_add_test(tests, options_are_sized);
	tcase_add_test(tests, file_appears_at_commit);
	tcase_add_test(tests, file_without_commit_leaves_no_trace);
	tcase_add_test(tests, existing_file_needs_force);
	tcase_add_test(tests, file_that_appears_meanwhile_is_kept);
	tcase_add_test(tests, file_is_on_disk_before_it_has_its_name);
	tcase_add_test(tests, directory_that_cannot_be_synced_is_found_early);
	tcase_add_test(tests, symlinks_are_not_replaced);
	tcase_add_test(tests, file_reads_to_its_end);
	tcase_add_test(tests, descriptor_directions_are_checked);
	tcase_add_test(tests, pipe_takes_more_than_it_holds);
	tcase_add_test(tests, pipe_without_reader_fails);
	tcase_add_test(tests, full_pipe_times_out_and_cancels);
	tcase_add_test(tests, fifo_waits_for_both_ends);
	tcase_add_test(tests, terminals_are_refused);
	tcase_add_loop_test(tests, sockets_carry_both_directions, 0, (int)VFMI_ARRAY_SIZE(listen_specs));
	tcase_add_test(tests, chosen_port_is_told);
	tcase_add_test(tests, accept_tells_why_nobody_came);
	tcase_add_test(tests, listening_times_out);
	tcase_add_test(tests, only_dead_sockets_are_replaced);
	tcase_add_test(tests, strangers_are_turned_away);
	tcase_add_test(tests, socket_path_of_another_stays);
	tcase_add_test(tests, inherited_socket_is_duplex_on_request);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
