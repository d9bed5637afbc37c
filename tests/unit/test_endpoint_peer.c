/* SPDX-License-Identifier: MIT */
/* Endpoints beyond files and plain sockets: vsock on a seam that stands in for it, sockets that were handed over. */
#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Older versions of it do not stand alone. */
#include <linux/vm_sockets.h>

#include <vfiomig/transport.h>

#include "internal.h"
#include "suite.h"

#define CHOSEN_PORT 4711u

static struct vfm_context *ctx;
static struct vfm_error error;
static char directory[64];

/* The seam: vsock is TCP on this host, fails as told, and the kernel's file says what it is told to. */
static struct vfmi_sys_ops ops;
static struct vfmi_sys sys = { .ops = &ops };
static struct {
	int socket_error;
	int connect_error;
	const char *ns_mode; /* NULL: no such file */
	int ns_mode_error;
	struct sockaddr_vm bound, called;
	struct sockaddr_in tcp;
	struct timeval patience; /* for a connection, in seconds and less */
} world;

static int world_socket(struct vfmi_sys *s, int domain, int type, int protocol)
{
	if (domain == AF_VSOCK && world.socket_error)
		return world.socket_error;
	return vfmi_sys_libc.ops->socket(s, domain == AF_VSOCK ? AF_INET : domain, type, protocol);
}

static int world_bind(struct vfmi_sys *s, int fd, const struct sockaddr *addr, socklen_t length)
{
	socklen_t room = sizeof(world.tcp);
	int r;

	if (addr->sa_family != AF_VSOCK)
		return vfmi_sys_libc.ops->bind(s, fd, addr, length);
	ck_assert_uint_eq(length, sizeof(world.bound));
	memcpy(&world.bound, addr, length);
	world.tcp = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	r = vfmi_sys_libc.ops->bind(s, fd, (const struct sockaddr *)&world.tcp, sizeof(world.tcp));
	return r < 0 ? r : vfmi_sys_libc.ops->getsockname(s, fd, (struct sockaddr *)&world.tcp, &room);
}

static int world_connect(struct vfmi_sys *s, int fd, const struct sockaddr *addr, socklen_t length)
{
	if (addr->sa_family != AF_VSOCK)
		return vfmi_sys_libc.ops->connect(s, fd, addr, length);
	memcpy(&world.called, addr, sizeof(world.called));
	if (world.connect_error)
		return world.connect_error;
	return vfmi_sys_libc.ops->connect(s, fd, (const struct sockaddr *)&world.tcp, sizeof(world.tcp));
}

static int world_setsockopt(struct vfmi_sys *s, int fd, int level, int name, const void *value, socklen_t length)
{
	if (level != AF_VSOCK)
		return vfmi_sys_libc.ops->setsockopt(s, fd, level, name, value, length);
	ck_assert_int_eq(name, SO_VM_SOCKETS_CONNECT_TIMEOUT);
	ck_assert_uint_eq(length, sizeof(world.patience));
	memcpy(&world.patience, value, length);
	return 0;
}

static int world_getsockname(struct vfmi_sys *s, int fd, struct sockaddr *addr, socklen_t *length)
{
	struct sockaddr_vm vm = world.bound;

	(void)s, (void)fd;
	if (vm.svm_port == VMADDR_PORT_ANY)
		vm.svm_port = CHOSEN_PORT;
	memcpy(addr, &vm, sizeof(vm));
	*length = sizeof(vm);
	return 0;
}

static int world_open(struct vfmi_sys *s, const char *path, int flags, mode_t mode)
{
	FILE *file;

	if (strcmp(path, "/proc/sys/net/vsock/ns_mode"))
		return vfmi_sys_libc.ops->open(s, path, flags, mode);
	if (!world.ns_mode)
		return world.ns_mode_error ? world.ns_mode_error : -ENOENT;
	file = fopen("ns_mode", "w");
	ck_assert_ptr_nonnull(file);
	fputs(world.ns_mode, file);
	fclose(file);
	return vfmi_sys_libc.ops->open(s, "ns_mode", flags, mode);
}

static uid_t somebody(struct vfmi_sys *s)
{
	(void)s;
	return 1000;
}

static int stranger_getsockopt(struct vfmi_sys *s, int fd, int level, int name, void *value, socklen_t *length)
{
	int r = vfmi_sys_libc.ops->getsockopt(s, fd, level, name, value, length);

	if (r == 0 && level == SOL_SOCKET && name == SO_PEERCRED)
		((struct ucred *)value)->uid = 4242;
	return r;
}

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	memset(&world, 0, sizeof(world));
	ops = *vfmi_sys_libc.ops;
	ops.socket = world_socket;
	ops.bind = world_bind;
	ops.connect = world_connect;
	ops.getsockname = world_getsockname;
	ops.setsockopt = world_setsockopt;
	ops.open = world_open;
	error = (struct vfm_error){ .size = sizeof(error) };
	ck_assert_int_eq(vfmi_context_new_on(&sys, &ctx), 0);
	snprintf(directory, sizeof(directory), "/tmp/vfm-peer-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chdir(directory), 0);
}

static void teardown(void)
{
	char command[128];

	vfm_context_free(ctx);
	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	ck_assert_int_eq(system(command), 0);
}

static int open_named(const char *spec, uint32_t flags, uint32_t timeout_ms, const char *name,
		      struct vfm_endpoint **ret)
{
	const struct vfm_endpoint_opts opts = {
		.size = sizeof(opts),
		.flags = flags,
		.timeout_ms = timeout_ms,
		.name = name,
	};

	*ret = NULL;
	return vfm_endpoint_open(ctx, spec, &opts, ret, &error);
}

static int open_flags(const char *spec, uint32_t flags, struct vfm_endpoint **ret)
{
	return open_named(spec, flags, 5000, NULL, ret);
}

#define LISTENING (VFM_ENDPOINT_READ | VFM_ENDPOINT_LISTEN | VFM_ENDPOINT_BACKGROUND_BIND)

/* Both ends in one thread: what is small waits in the sockets. */
static void exchange(struct vfm_endpoint *server, struct vfm_endpoint *client)
{
	const struct vfm_io *near = vfm_endpoint_io(server), *far = vfm_endpoint_io(client);
	char buf[8];

	ck_assert_int_eq(far->write(far->user, "ask", 3), 0);
	ck_assert_int_eq(near->read(near->user, buf, sizeof(buf)), 3);
	ck_assert_int_eq(near->write(near->user, "tell", 4), 0);
	ck_assert_int_eq(far->read(far->user, buf, sizeof(buf)), 4);
	ck_assert_int_eq(vfm_endpoint_commit(client, &error), 0);
	ck_assert_int_eq(near->read(near->user, buf, sizeof(buf)), 0);
}

START_TEST(vsock_carries_both_directions)
{
	struct vfm_endpoint *server, *client;

	ck_assert_int_eq(open_flags("vsock:any:0", LISTENING, &server), 0);
	ck_assert_uint_eq(world.bound.svm_cid, UINT32_MAX);
	ck_assert_uint_eq(world.bound.svm_port, UINT32_MAX);
	ck_assert_str_eq(vfm_endpoint_address(server), "vsock:any:4711");
	ck_assert_int_eq(open_flags("vsock:local:4711", VFM_ENDPOINT_WRITE, &client), 0);
	ck_assert_uint_eq(world.called.svm_cid, VMADDR_CID_LOCAL);
	ck_assert_uint_eq(world.called.svm_port, CHOSEN_PORT);
	ck_assert(vfm_endpoint_is_duplex(server) && vfm_endpoint_is_duplex(client));
	exchange(server, client);
	vfm_endpoint_close(client);
	vfm_endpoint_close(server);
}
END_TEST

START_TEST(vsock_names_are_numbers_too)
{
	struct vfm_endpoint *ep;

	world.connect_error = -ECONNRESET;
	ck_assert_int_eq(open_flags("vsock:host:1", VFM_ENDPOINT_WRITE, &ep), -ECONNRESET);
	ck_assert_uint_eq(world.called.svm_cid, VMADDR_CID_HOST);
	ck_assert_int_eq(open_flags("vsock:4294967294:4294967294", VFM_ENDPOINT_WRITE, &ep), -ECONNRESET);
	ck_assert_uint_eq(world.called.svm_cid, UINT32_MAX - 1);
	ck_assert_uint_eq(world.called.svm_port, UINT32_MAX - 1);
	ck_assert_int_eq(open_flags("vsock:3:7", LISTENING, &ep), 0);
	ck_assert_str_eq(vfm_endpoint_address(ep), "vsock:3:7");
	vfm_endpoint_close(ep);
}
END_TEST

/* The kernel's own two seconds are not what the caller asked for, nor is for ever. */
START_TEST(vsock_waits_as_long_as_told)
{
	struct vfm_endpoint *ep;

	world.connect_error = -ECONNRESET;
	ck_assert_int_eq(open_named("vsock:3:7", VFM_ENDPOINT_WRITE, 20000, NULL, &ep), -ECONNRESET);
	ck_assert_int_ge(world.patience.tv_sec, 20);
	ck_assert_int_le(world.patience.tv_sec, 22);
	ck_assert_int_eq(open_named("vsock:3:7", VFM_ENDPOINT_WRITE, 0, NULL, &ep), -ECONNRESET);
	ck_assert_int_ge(world.patience.tv_sec, 3600);
}
END_TEST

/* What a refused connection may have to do with the namespace. */
static const struct {
	int code;
	const char *ns_mode;
	int ns_mode_error;
	const char *said;
} refusals[] = {
	{ ECONNRESET, NULL, 0, "nobody listens there; network namespaces do not explain it" },
	{ ECONNREFUSED, "local\n", 0, "is local: only sockets of the same namespace are reached" },
	{ ENODEV, "local\n", 0, "no such guest runs, or the kernel has no vsock transport to it; the vsock mode" },
	{ ENETUNREACH, "local\n", 0, "there is no way to that CID; the vsock mode of this network namespace is local" },
	{ ETIMEDOUT, "global\n", 0, "is global, which explains it only if the peer is in one whose mode is local" },
	{ ECONNRESET, NULL, -EACCES, "cannot be read" },
	{ EACCES, "local\n", 0, "cannot connect: " },
};

START_TEST(vsock_refusals_are_explained)
{
	struct vfm_endpoint *ep;

	world.connect_error = -refusals[_i].code;
	world.ns_mode = refusals[_i].ns_mode;
	world.ns_mode_error = refusals[_i].ns_mode_error;
	ck_assert_int_eq(open_flags("vsock:3:7", VFM_ENDPOINT_WRITE, &ep), -refusals[_i].code);
	ck_assert_msg(strstr(error.message, refusals[_i].said), "%s", error.message);
	ck_assert_int_eq(!strstr(error.message, "namespace"), refusals[_i].code == EACCES);
	ck_assert(error.flags & VFM_ERROR_PEER);
}
END_TEST

START_TEST(kernel_without_vsock_says_so)
{
	struct vfm_endpoint *ep;

	world.socket_error = -EAFNOSUPPORT;
	ck_assert_int_eq(open_flags("vsock:local:7", VFM_ENDPOINT_WRITE, &ep), -EAFNOSUPPORT);
	ck_assert_ptr_nonnull(strstr(error.message, "this kernel has no vsock"));
	ck_assert_int_eq(open_flags("vsock:any:7", LISTENING, &ep), -EAFNOSUPPORT);
}
END_TEST

static int deaf(struct vfmi_sys *s, int fd, int backlog)
{
	(void)s, (void)fd, (void)backlog;
	return -ENOMEM;
}

START_TEST(socket_nobody_can_listen_on_is_taken_away)
{
	struct vfm_endpoint *ep;
	char abstract[64];

	name_socket(abstract, sizeof(abstract), "deaf");
	ops.listen = deaf;
	ck_assert_int_eq(open_flags("unix:deaf.sock", LISTENING, &ep), -ENOMEM);
	ck_assert_int_eq(access("deaf.sock", F_OK), -1);
	ck_assert_int_eq(open_flags(abstract, LISTENING, &ep), -ENOMEM);
}
END_TEST

/* A unix socket that somebody else made and listens on, as "fd:N" of @spec. */
static int make_listener(char *spec, size_t room)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = "activated" };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(listen(fd, 4), 0);
	snprintf(spec, room, "fd:%d", fd);
	return fd;
}

START_TEST(listening_descriptor_accepts_one)
{
	struct vfm_endpoint *server, *client;
	char spec[16];
	int fd = make_listener(spec, sizeof(spec));

	ck_assert_int_eq(open_flags(spec, VFM_ENDPOINT_READ | VFM_ENDPOINT_BACKGROUND_BIND, &server), 0);
	ck_assert(vfm_endpoint_is_duplex(server));
	ck_assert_int_eq(open_flags("unix:activated", VFM_ENDPOINT_WRITE, &client), 0);
	exchange(server, client);
	vfm_endpoint_close(client);
	vfm_endpoint_close(server);
	/* who made it still listens, for the next one */
	ck_assert_int_eq(access("activated", F_OK), 0);
	ck_assert_int_eq(open_flags("unix:activated", VFM_ENDPOINT_WRITE, &client), 0);
	/* who is to be written to is taken before it has said anything */
	ck_assert_int_eq(open_flags(spec, VFM_ENDPOINT_WRITE, &server), 0);
	exchange(server, client);
	vfm_endpoint_close(client);
	vfm_endpoint_close(server);
	close(fd);
}
END_TEST

START_TEST(listening_descriptor_waits_no_longer_than_told)
{
	struct vfm_endpoint *ep;
	char spec[16];
	int fd = make_listener(spec, sizeof(spec));

	ck_assert_int_eq(open_named(spec, VFM_ENDPOINT_READ, 20, NULL, &ep), -ETIMEDOUT);
	ck_assert_int_eq(open_named(spec, VFM_ENDPOINT_READ, 20, "systemd:stream", &ep), -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(error.message, "systemd:stream: nobody came"));
	close(fd);
}
END_TEST

START_TEST(listening_descriptor_turns_strangers_away)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = "activated" };
	struct vfm_endpoint *ep;
	char spec[16], byte;
	int fd = make_listener(spec, sizeof(spec)), caller = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ops.geteuid = somebody;
	ops.getsockopt = stranger_getsockopt;
	ck_assert_int_eq(connect(caller, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(write(caller, "x", 1), 1); /* it is not turned away for being silent */
	ck_assert_int_eq(open_named(spec, VFM_ENDPOINT_READ, 20, NULL, &ep), -ETIMEDOUT);
	ck_assert_int_le(read(caller, &byte, 1), 0);
	close(caller);
	close(fd);
}
END_TEST

/* What the caller calls it is what messages and the address say, and it is the caller's string no longer. */
START_TEST(name_stands_for_the_endpoint)
{
	char name[] = "exec:command";
	struct vfm_endpoint *ep;
	char spec[16];
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	snprintf(spec, sizeof(spec), "fd:%d", pair[0]);
	ck_assert_int_eq(open_named(spec, VFM_ENDPOINT_WRITE | VFM_ENDPOINT_DUPLEX, 20, name, &ep), 0);
	memset(name, 'x', sizeof(name) - 1);
	ck_assert_str_eq(vfm_endpoint_address(ep), "exec:command");
	vfm_endpoint_close(ep);
	close(pair[0]);
	close(pair[1]);
	ck_assert_int_eq(open_named("absent", VFM_ENDPOINT_READ, 20, "there", &ep), -ENOENT);
	ck_assert_ptr_nonnull(strstr(error.message, "there: "));
	ck_assert_ptr_null(strstr(error.message, "absent"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("endpoint-peer");
	TCase *tests = tcase_create("endpoint-peer");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, vsock_carries_both_directions);
	tcase_add_test(tests, vsock_names_are_numbers_too);
	tcase_add_test(tests, vsock_waits_as_long_as_told);
	tcase_add_loop_test(tests, vsock_refusals_are_explained, 0, (int)VFMI_ARRAY_SIZE(refusals));
	tcase_add_test(tests, kernel_without_vsock_says_so);
	tcase_add_test(tests, socket_nobody_can_listen_on_is_taken_away);
	tcase_add_test(tests, listening_descriptor_accepts_one);
	tcase_add_test(tests, listening_descriptor_waits_no_longer_than_told);
	tcase_add_test(tests, listening_descriptor_turns_strangers_away);
	tcase_add_test(tests, name_stands_for_the_endpoint);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
