// SPDX-License-Identifier: MIT
/*
 * What goes over sockets and descriptors: endpoints that were opened before the jail was closed, and a lender whose
 * borrower is a thread outside of it.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <vfiomig/lend.h>
#include <vfiomig/transport.h>

#include "jail.h"

#define WAIT_MS 20000
#define UNWATCHED PHASES /* of nobody's list */

struct way {
	struct vfm_endpoint *out;
	struct vfm_endpoint *in;
};

struct peers {
	char directory[32]; /* for what has a path; "" in a jail */
	struct way socket;  /* the reading end takes its peer inside */
	struct way pipe;
	struct way tcp; /* NULL where there is no loopback */
	struct vfm_endpoint *memory;
	struct vfm_lender *lender;
	char place[64];
	pthread_t borrower;
	bool has_borrower;
	int begin;     /* eventfd: the borrower may */
	bool needless; /* and has nothing to do */
	int armed;     /* eventfd: what it arms */
	int borrowed;
};

/* opening */

static int open_end(struct jail *j, const char *spec, uint32_t flags, struct vfm_endpoint **ret)
{
	struct vfm_endpoint_opts opts = { .size = sizeof(opts), .flags = flags, .timeout_ms = WAIT_MS };
	struct env *env = &j->env;

	OK(vfm_endpoint_open(env->ctx, spec, &opts, ret, &env->err));
	return 0;
}

static int open_fd(struct jail *j, int fd, uint32_t flags, struct vfm_endpoint **ret)
{
	char spec[16];
	int r;

	snprintf(spec, sizeof(spec), "fd:%d", fd);
	r = open_end(j, spec, flags, ret);
	close(fd);
	return r;
}

static int open_pipe(struct jail *j, struct peers *peers)
{
	struct env *env = &j->env;
	int fds[2];

	REQUIRE(pipe(fds) == 0);
	return open_fd(j, fds[0], VFM_ENDPOINT_READ, &peers->pipe.in) ||
	       open_fd(j, fds[1], VFM_ENDPOINT_WRITE, &peers->pipe.out);
}

static int open_socket(struct jail *j, struct peers *peers)
{
	char spec[64];

	snprintf(spec, sizeof(spec), "unix:@vfm-jail-%d", (int)getpid());
	return open_end(j, spec, VFM_ENDPOINT_READ | VFM_ENDPOINT_LISTEN | VFM_ENDPOINT_BACKGROUND_BIND,
			&peers->socket.in) ||
	       open_end(j, spec, VFM_ENDPOINT_WRITE, &peers->socket.out);
}

static void open_tcp(struct jail *j, struct peers *peers)
{
	const uint32_t listen = VFM_ENDPOINT_WRITE | VFM_ENDPOINT_LISTEN | VFM_ENDPOINT_BACKGROUND_BIND;
	struct vfm_endpoint_opts to = { .size = sizeof(to), .flags = listen, .timeout_ms = WAIT_MS };
	struct vfm_endpoint_opts from = { .size = sizeof(from), .flags = VFM_ENDPOINT_READ, .timeout_ms = WAIT_MS };
	struct env *env = &j->env;

	if (vfm_endpoint_open(env->ctx, "tcp:127.0.0.1:0", &to, &peers->tcp.out, &env->err))
		return;
	if (vfm_endpoint_open(env->ctx, vfm_endpoint_address(peers->tcp.out), &from, &peers->tcp.in, &env->err) == 0)
		return;
	vfm_endpoint_close(peers->tcp.out);
	peers->tcp.out = NULL;
}

static int open_ends(struct jail *j, struct peers *peers)
{
	j->phase = UNWATCHED;
	open_tcp(j, peers);
	return open_socket(j, peers) || open_pipe(j, peers) ||
	       open_fd(j, memfd_create("saved", MFD_CLOEXEC), VFM_ENDPOINT_WRITE, &peers->memory);
}

/* The socket of a lender that died: it is found out and taken away. */
static int leave_dead_socket(struct jail *j, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct env *env = &j->env;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	close(fd);
	return 0;
}

static int open_lender(struct jail *j, struct peers *peers)
{
	struct env *env = &j->env;

	j->phase = UNWATCHED;
	if (j->jailed) {
		snprintf(peers->place, sizeof(peers->place), "@vfm-jail-lender-%d", (int)getpid());
	} else {
		strcpy(peers->directory, "/tmp/vfm-jail-XXXXXX");
		REQUIRE(mkdtemp(peers->directory));
		snprintf(peers->place, sizeof(peers->place), "%s/lender", peers->directory);
		if (leave_dead_socket(j, peers->place))
			return -1;
	}
	j->phase = PHASE_lend;
	OK(vfm_lender_open(env->ctx, peers->place, &peers->lender, &env->err));
	return 0;
}

/* borrowing */

/* Arms an interrupt of the device and hands it back so. */
static int borrow(struct jail *j, struct peers *peers, struct vfm_context *ctx)
{
	struct vfm_error err = { .size = sizeof(err) };
	struct vfm_borrow *borrow;
	struct vfm_device *dev;
	int r;

	j->other_phase = PHASE_borrow;
	r = vfm_borrow_open(ctx, peers->place, NULL, &borrow, &err);
	if (r == 0) {
		dev = vfm_borrow_device(borrow, 0);
		j->other_phase = PHASE_interrupts;
		r = vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, &peers->armed, &err);
		j->other_phase = PHASE_hand_back;
		vfm_borrow_close(borrow);
	}
	j->other_phase = UNWATCHED;
	if (r)
		printf("# borrower: %s\n", err.message);
	return r;
}

static void *borrower_main(void *user)
{
	struct jail *j = user;
	struct peers *peers = j->peers;
	struct vfm_context *ctx = NULL;
	uint64_t word;

	j->other = gettid();
	if (read(peers->begin, &word, sizeof(word)) != sizeof(word) || peers->needless)
		return NULL;
	if ((j->env.sim ? vfm_sim_context(j->env.sim, &ctx) : vfm_context_new(&ctx)) == 0) {
		if (j->env.sim && !j->jailed)
			seam_watch(ctx);
		peers->borrowed = borrow(j, peers, ctx);
	}
	vfm_context_free(ctx);
	return NULL;
}

static int start_borrower(struct jail *j, struct peers *peers)
{
	struct env *env = &j->env;

	j->phase = UNWATCHED;
	j->other_phase = UNWATCHED;
	peers->begin = eventfd(0, EFD_CLOEXEC);
	peers->armed = env_eventfd(env);
	peers->borrowed = -1;
	REQUIRE(peers->begin >= 0 && peers->armed >= 0);
	REQUIRE(pthread_create(&peers->borrower, NULL, borrower_main, j) == 0);
	peers->has_borrower = true;
	while (!j->other) /* or what it asks for would be taken for this thread's */
		usleep(1000);
	return 0;
}

static int serve(struct jail *j, struct peers *peers)
{
	struct vfm_lend_info info = { .size = sizeof(info) };
	struct env *env = &j->env;

	for (int turns = 0; info.event != VFM_LEND_RETURNED && turns < 1000; turns++) {
		struct pollfd pfds[2];
		int fds[2];
		size_t count = vfm_lender_fds(peers->lender, fds, 2);

		j->phase = PHASE_program;
		for (size_t i = 0; i < count; i++)
			pfds[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
		(void)!poll(pfds, count, 20);
		j->phase = PHASE_serve;
		OK(vfm_lender_dispatch(peers->lender, &info, &env->err));
		REQUIRE(info.event <= VFM_LEND_RETURNED);
	}
	REQUIRE(info.event == VFM_LEND_RETURNED);
	return 0;
}

static int end_borrower(struct peers *peers)
{
	peers->has_borrower = false;
	return pthread_join(peers->borrower, NULL) || peers->borrowed;
}

static int let_begin(struct jail *j, struct peers *peers)
{
	const uint64_t one = 1;

	j->phase = PHASE_program;
	return write(peers->begin, &one, sizeof(one)) == sizeof(one) ? 0 : -1;
}

int peers_lend(struct jail *j)
{
	struct peers *peers = j->peers;
	struct env *env = &j->env;
	int r;

	if (!peers->has_borrower)
		return 0;
	j->phase = PHASE_serve;
	OK(vfm_lender_add(peers->lender, j->devs[0], &env->err));
	REQUIRE(let_begin(j, peers) == 0);
	r = serve(j, peers);
	j->phase = PHASE_program;
	REQUIRE(end_borrower(peers) == 0 && r == 0);
	REQUIRE(vfm_device_irq_eventfd(j->devs[0], VFM_IRQ_MSI, 0) >= 0);
	return 0;
}

/* moving */

struct arrival {
	struct jail *jail;
	struct way *way;
	int result;
	struct vfm_error err;
};

static void arrive(void *user)
{
	struct arrival *a = user;
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_RUNNING };
	struct vfm_transfer_result result = { .size = sizeof(result) };

	a->result = vfm_endpoint_accept(a->way->in, &a->err);
	if (a->result == 0)
		a->result = vfm_restore(&a->jail->devs[1], 1, vfm_endpoint_io(a->way->in), &opts, &result, &a->err);
	if (a->result == 0)
		a->result = vfm_endpoint_commit(a->way->in, &a->err);
}

static void close_way(struct way *way)
{
	vfm_endpoint_close(way->out);
	vfm_endpoint_close(way->in);
	way->out = way->in = NULL;
}

/* From the first device to the second one; both ends are in the jail. */
static int move(struct jail *j, struct way *way)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_UNKNOWN };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct arrival a = { .jail = j, .way = way, .err = { .size = sizeof(a.err) } };
	struct env *env = &j->env;
	void *task;
	int r;

	j->phase = PHASE_endpoint;
	OK(pool_run(arrive, &a, &task));
	r = vfm_save(&j->devs[0], 1, vfm_endpoint_io(way->out), &opts, &result, &env->err);
	if (r == 0)
		r = vfm_endpoint_commit(way->out, &env->err);
	if (vfm_endpoint_is_duplex(way->out) && result.commit != VFM_COMMIT_DONE)
		r = -1;
	vfm_endpoint_close(way->out);
	way->out = NULL;
	pool_join(task);
	close_way(way);
	if (a.result)
		printf("# arrival: %s\n", a.err.message);
	REQUIRE(r == 0 && a.result == 0);
	return 0;
}

int peers_hand_over(struct jail *j)
{
	struct env *env = &j->env;

	if (move(j, &j->peers->socket))
		return -1;
	j->phase = PHASE_migrate;
	if (env_state(env, j->devs[0], VFM_STATE_STOP) || env_state(env, j->devs[1], VFM_STATE_RUNNING))
		return -1;
	OK(vfm_device_set_state(j->devs[0], VFM_STATE_RUNNING, NULL, &env->err));
	return 0;
}

/* An endpoint that was bound in the background takes its peer. */
static int take_peer(struct jail *j, struct way *way)
{
	struct env *env = &j->env;

	if (!way->out)
		return 0;
	j->phase = PHASE_endpoint;
	OK(vfm_endpoint_accept(way->out, &env->err));
	OK(vfm_endpoint_commit(way->out, &env->err));
	close_way(way);
	return 0;
}

int peers_save(struct jail *j)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_UNKNOWN };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct peers *peers = j->peers;
	struct env *env = &j->env;

	if (move(j, &peers->pipe) || take_peer(j, &peers->tcp))
		return -1;
	j->phase = PHASE_endpoint;
	OK(vfm_save(&j->devs[0], 1, vfm_endpoint_io(peers->memory), &opts, &result, &env->err));
	OK(vfm_endpoint_commit(peers->memory, &env->err));
	vfm_endpoint_close(peers->memory);
	peers->memory = NULL;
	return 0;
}

/* what has a path */

static int commit_file(struct jail *j, uint32_t flags, bool commit)
{
	struct env *env = &j->env;
	struct vfm_endpoint *ep;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "%s/file", j->peers->directory);
	j->phase = UNWATCHED;
	if (open_end(j, path, VFM_ENDPOINT_WRITE | flags, &ep))
		return -1;
	j->phase = PHASE_endpoint;
	r = vfm_endpoint_io(ep)->write(vfm_endpoint_io(ep)->user, path, sizeof(path));
	j->phase = PHASE_paths;
	if (r == 0 && commit)
		r = vfm_endpoint_commit(ep, &env->err);
	vfm_endpoint_close(ep);
	REQUIRE(r == 0);
	return 0;
}

static int use_paths(struct jail *j, struct peers *peers)
{
	const uint32_t listen = VFM_ENDPOINT_READ | VFM_ENDPOINT_LISTEN | VFM_ENDPOINT_BACKGROUND_BIND;
	struct vfm_endpoint *ep;
	char spec[64];

	snprintf(spec, sizeof(spec), "unix:%s/socket", peers->directory);
	j->phase = UNWATCHED;
	if (open_end(j, spec, listen, &ep))
		return -1;
	j->phase = PHASE_paths;
	vfm_endpoint_close(ep);
	return commit_file(j, 0, true) || commit_file(j, VFM_ENDPOINT_FORCE, true) ||
	       commit_file(j, VFM_ENDPOINT_FORCE, false);
}

static void remove_directory(const struct peers *peers)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/file", peers->directory);
	(void)unlink(path);
	(void)rmdir(peers->directory);
}

int peers_open(struct jail *j)
{
	struct peers *peers = calloc(1, sizeof(*peers));
	struct env *env = &j->env;

	REQUIRE(peers);
	j->peers = peers;
	return open_ends(j, peers) || open_lender(j, peers) || (!j->no_threads && start_borrower(j, peers));
}

int peers_close(struct jail *j)
{
	struct peers *peers = j->peers;
	int bad = j->jailed ? 0 : use_paths(j, peers);

	if (peers->has_borrower) { /* something failed before */
		peers->needless = true;
		(void)let_begin(j, peers);
		(void)end_borrower(peers);
	}
	j->phase = j->jailed ? PHASE_close : PHASE_paths;
	vfm_lender_close(peers->lender);
	j->phase = PHASE_close;
	close_way(&peers->socket);
	close_way(&peers->pipe);
	close_way(&peers->tcp);
	vfm_endpoint_close(peers->memory);
	j->phase = UNWATCHED;
	if (!j->jailed)
		remove_directory(peers);
	free(peers);
	return bad;
}
