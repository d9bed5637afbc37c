// SPDX-License-Identifier: MIT
/* Operations that move state: saving, restoring, copying, handing over to a peer, lending. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <vfiomig/transport.h>

#include "sweep.h"

/* memory channel */

static int memory_write(void *user, const void *buf, size_t length)
{
	struct bench *b = user;
	uint8_t *bytes = realloc(b->stream, b->stream_length + length);

	if (!bytes)
		return -ENOMEM;
	memcpy(bytes + b->stream_length, buf, length);
	b->stream = bytes;
	b->stream_length += length;
	return 0;
}

static int64_t memory_read(void *user, void *buf, size_t length)
{
	struct bench *b = user;
	size_t n = b->stream_length - b->position < length ? b->stream_length - b->position : length;

	memcpy(buf, b->stream + b->position, n);
	b->position += n;
	return (int64_t)n;
}

int sweep_save(struct bench *b, uint32_t flags, uint32_t then)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .flags = flags, .then_state = then };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct vfm_io io = { .size = sizeof(io), .user = b, .write = memory_write };

	return vfm_save(&b->source, 1, &io, &opts, &result, &b->err);
}

static int op_save(struct bench *b)
{
	return sweep_save(b, 0, VFM_STATE_UNKNOWN);
}

static int op_save_live(struct bench *b)
{
	return sweep_save(b, VFM_TRANSFER_LIVE, VFM_STATE_STOP);
}

static int op_save_file(struct bench *b)
{
	struct vfm_endpoint_opts how = { .size = sizeof(how), .flags = VFM_ENDPOINT_WRITE };
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_UNKNOWN };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct vfm_endpoint *to;
	int r = vfm_endpoint_open(b->ctx, b->file, &how, &to, &b->err);

	if (r)
		return r;
	r = vfm_save(&b->source, 1, vfm_endpoint_io(to), &opts, &result, &b->err);
	if (!r)
		r = vfm_endpoint_commit(to, &b->err);
	vfm_endpoint_close(to);
	return r;
}

static int op_restore(struct bench *b)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_RUNNING };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct vfm_io io = { .size = sizeof(io), .user = b, .read = memory_read };
	int r = vfm_restore(&b->target, 1, &io, &opts, &result, &b->err);

	return r;
}

static int op_copy(struct bench *b)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_RUNNING };
	struct vfm_transfer_result result = { .size = sizeof(result) };

	return vfm_copy(b->source, b->target, &opts, &result, &b->err);
}

/* The peer of a lending: on a handle of its own, without faults. */
struct peer {
	struct bench *b;
	char name[64];
	_Atomic bool stop;
	bool asked; /* got the device and its state */
};

static void *peer_main(void *arg)
{
	struct peer *p = arg;
	struct vfm_sim *sim = NULL;
	struct vfm_context *ctx = NULL;
	struct vfm_borrow *borrow = NULL;
	uint32_t state = VFM_STATE_UNKNOWN;
	char message[256];

	if (vfm_sim_open(p->b->machine, NULL, &sim, message, sizeof(message)) || vfm_sim_context(sim, &ctx)) {
		printf("# peer: %s\n", message);
		goto out;
	}
	for (int i = 0; i < 200 && !p->stop; i++) {
		if (!vfm_borrow_open(ctx, p->name, NULL, &borrow, NULL))
			break;
		usleep(2000);
	}
	if (borrow && vfm_borrow_device(borrow, 0))
		(void)!vfm_device_get_state(vfm_borrow_device(borrow, 0), &state, NULL);
	p->asked = state == VFM_STATE_RUNNING;
	vfm_borrow_close(borrow);
out:
	vfm_context_free(ctx);
	vfm_sim_close(sim);
	return NULL;
}

/* The holder's side fails; the borrower is whole. */
static int op_lend(struct bench *b)
{
	struct vfm_lend_info info = { .size = sizeof(info) };
	struct peer peer = { .b = b };
	struct vfm_lender *lender;
	pthread_t thread;
	int r;

	snprintf(peer.name, sizeof(peer.name), "@vfiomig-sweep-%d", (int)getpid());
	r = vfm_lender_open(b->ctx, peer.name, &lender, &b->err);
	if (r)
		return r;
	r = vfm_lender_add(lender, b->source, &b->err);
	if (!r && pthread_create(&thread, NULL, peer_main, &peer) == 0) {
		for (int i = 0; i < 100 && !r && info.event != VFM_LEND_RETURNED && info.event != VFM_LEND_DIED &&
				info.event != VFM_LEND_REFUSED;
		     i++) {
			r = vfm_lender_dispatch(lender, &info, &b->err);
			usleep(500);
		}
		vfm_lender_close(lender);
		peer.stop = true;
		pthread_join(thread, NULL);
		if (!r && info.event == VFM_LEND_RETURNED && !peer.asked)
			r = -EPROTO;
		return r;
	}
	vfm_lender_close(lender);
	return r;
}

/* A handover over a socket pair: both ends on one machine, faults strike either. */

static int64_t socket_read(void *user, void *buf, size_t length)
{
	ssize_t n = recv(*(int *)user, buf, length, 0);

	return n < 0 ? -errno : n;
}

static int socket_write(void *user, const void *buf, size_t length)
{
	for (const char *p = buf; length;) {
		ssize_t n = send(*(int *)user, p, length, MSG_NOSIGNAL);

		if (n < 0)
			return -errno;
		p += n;
		length -= (size_t)n;
	}
	return 0;
}

struct destination {
	struct bench *b;
	int fd;
	int result;
	struct vfm_transfer_result transfer;
};

static void *destination_main(void *arg)
{
	struct destination *d = arg;
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_RUNNING };
	struct vfm_io io = { .size = sizeof(io), .user = &d->fd, .read = socket_read, .write = socket_write };

	d->transfer.size = sizeof(d->transfer);
	d->result = vfm_restore(&d->b->target, 1, &io, &opts, &d->transfer, NULL);
	shutdown(d->fd, SHUT_RDWR);
	return NULL;
}

/* Never two runners; in doubt both stopped; the source runs again whenever nothing was handed over. */
static int check_handover(struct bench *b, int r, const struct vfm_transfer_result *result, const struct destination *d)
{
	uint32_t source = VFM_STATE_UNKNOWN, target = VFM_STATE_UNKNOWN;
	bool loaded;

	if (vfm_sim_set_faults(b->sim, NULL, 0) || vfm_device_get_state(b->source, &source, NULL) ||
	    vfm_device_get_state(b->target, &target, NULL))
		return -1;
	loaded = sweep_marks_of(b, TARGET) == 2 && target == VFM_STATE_RUNNING;
	if (source == VFM_STATE_RUNNING && loaded)
		return -1;
	if (r == 0 && (result->commit != VFM_COMMIT_DONE || source != VFM_STATE_STOP))
		return -1;
	if (result->commit == VFM_COMMIT_DOUBT && source != VFM_STATE_STOP)
		return -1;
	if (d->transfer.commit == VFM_COMMIT_DOUBT && target == VFM_STATE_RUNNING)
		return -1;
	return 0;
}

static int op_handover(struct bench *b)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_UNKNOWN };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct destination d = { .b = b };
	struct vfm_io io = { .size = sizeof(io), .read = socket_read, .write = socket_write };
	pthread_t thread;
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	d.fd = fds[1];
	io.user = &fds[0];
	if (pthread_create(&thread, NULL, destination_main, &d))
		return -EAGAIN;
	r = vfm_save(&b->source, 1, &io, &opts, &result, &b->err);
	shutdown(fds[0], SHUT_RDWR);
	pthread_join(thread, NULL);
	close(fds[0]);
	close(fds[1]);
	b->struck = vfm_sim_faults_hit(b->sim);
	if (check_handover(b, r, &result, &d)) {
		printf("# save gave %d commit %u, restore %d commit %u\n", r, result.commit, d.result,
		       d.transfer.commit);
		b->wrong = true;
	}
	return r;
}

/* The same over endpoints, each of which is opened, used and closed while faults strike. */

struct way {
	struct vfm_endpoint *in; /* takes its peer at first use */
	struct vfm_endpoint *out;
};

struct arrival {
	struct bench *b;
	struct vfm_endpoint *in;
	struct destination d;
};

static void *arrival_main(void *arg)
{
	struct arrival *a = arg;
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_RUNNING };

	a->d.transfer.size = sizeof(a->d.transfer);
	a->d.result = vfm_restore(&a->b->target, 1, vfm_endpoint_io(a->in), &opts, &a->d.transfer, NULL);
	vfm_endpoint_close(a->in);
	return NULL;
}

static int open_end(struct bench *b, const char *spec, uint32_t flags, struct vfm_endpoint **ret)
{
	struct vfm_endpoint_opts how = { .size = sizeof(how), .flags = flags, .timeout_ms = 500 };

	return vfm_endpoint_open(b->ctx, spec, &how, ret, &b->err);
}

/* Closes both ends. */
static int hand_over(struct bench *b, const struct way *way)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_UNKNOWN };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct arrival a = { .b = b, .in = way->in };
	pthread_t thread;
	int r;

	if (pthread_create(&thread, NULL, arrival_main, &a))
		return -EAGAIN;
	r = vfm_save(&b->source, 1, vfm_endpoint_io(way->out), &opts, &result, &b->err);
	if (r == 0)
		r = vfm_endpoint_commit(way->out, &b->err);
	vfm_endpoint_close(way->out);
	pthread_join(thread, NULL);
	b->struck = vfm_sim_faults_hit(b->sim);
	snprintf(b->struck_at, sizeof(b->struck_at), "%s", vfm_sim_last_fault(b->sim));
	if (check_handover(b, r && result.commit == VFM_COMMIT_DONE ? 0 : r, &result, &a.d)) {
		printf("# save gave %d commit %u, restore %d commit %u\n", r, result.commit, a.d.result,
		       a.d.transfer.commit);
		b->wrong = true;
	}
	return r;
}

/* @to: NULL for where the listener says it is. */
static int connect_and_hand_over(struct bench *b, const char *listener, uint32_t flags, const char *to)
{
	struct way way;
	int r = open_end(b, listener, VFM_ENDPOINT_READ | VFM_ENDPOINT_BACKGROUND_BIND | flags, &way.in);

	if (r)
		return r;
	r = open_end(b, to ? to : vfm_endpoint_address(way.in), VFM_ENDPOINT_WRITE, &way.out);
	if (r) {
		vfm_endpoint_close(way.in);
		return r;
	}
	return hand_over(b, &way);
}

/* A socket's file that was left behind must have been out of reach: to be looked at, or to be taken away. */
static void check_no_socket(struct bench *b, bool opened)
{
	const char *fault = opened ? b->struck_at : vfm_sim_last_fault(b->sim);

	if (b->forever || access(b->file, F_OK) || strstr(fault, "unlink") || (opened && strstr(fault, "lstat")) ||
	    (b->after && strstr(fault, "bind")))
		return;
	sweep_wrong(b, "the socket's file was left behind");
}

static int op_handover_unix(struct bench *b)
{
	char spec[sizeof(b->file) + 8];
	int r;

	snprintf(spec, sizeof(spec), "unix:%s", b->file);
	r = connect_and_hand_over(b, spec, VFM_ENDPOINT_LISTEN, spec);
	check_no_socket(b, b->struck > 0);
	return r;
}

static int op_handover_tcp(struct bench *b)
{
	return connect_and_hand_over(b, "tcp:127.0.0.1:0", VFM_ENDPOINT_LISTEN, NULL);
}

/* The listening socket comes from whoever started the program. */
static int op_listen_fd(struct bench *b)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char spec[16], to[sizeof(b->file) + 8];
	int r;

	memcpy(addr.sun_path, b->file, strlen(b->file));
	snprintf(spec, sizeof(spec), "fd:%d", fd);
	snprintf(to, sizeof(to), "unix:%s", b->file);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 1))
		r = -errno;
	else
		r = connect_and_hand_over(b, spec, 0, to);
	close(fd);
	return r;
}

#define BOTH_RUN .source_then = VFM_STATE_RUNNING, .target_then = VFM_STATE_RUNNING

static const struct operation list[] = {
	{ "save", op_save, .devices = true, .small = true, BOTH_RUN },
	{ "save-live", op_save_live, .devices = true, .small = true, .source_then = VFM_STATE_STOP,
	  .target_then = VFM_STATE_RUNNING },
	{ "save-file", op_save_file, .devices = true, .small = true, BOTH_RUN },
	{ "restore", op_restore, .devices = true, .small = true, .loads = true, .saved = true, BOTH_RUN },
	{ "copy", op_copy, .devices = true, .small = true, .loads = true, .source_then = VFM_STATE_STOP,
	  .target_then = VFM_STATE_RUNNING },
	{ "handover", op_handover, .devices = true, .loads = true, .both = true },
	{ "lend", op_lend, .devices = true, .shared = true, BOTH_RUN },
};

/* Who waits for a peer is interrupted by a fault, and waits on: none lasts for ever. */
#define ENDPOINTS .devices = true, .loads = true, .both = true, .lasting = 20

static const struct operation endpoints[] = {
	{ "handover-unix", op_handover_unix, ENDPOINTS },
	{ "handover-tcp", op_handover_tcp, ENDPOINTS },
	{ "listen-fd", op_listen_fd, ENDPOINTS },
};

const struct operations ops_endpoint = { "endpoint", OPERATIONS(endpoints) };
const struct operations ops_transfer = { "transfer", OPERATIONS(list) };
