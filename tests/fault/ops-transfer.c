// SPDX-License-Identifier: MIT
/* Operations that move state: saving, restoring, copying, handing over to a peer, lending. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
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

const struct operations ops_transfer = { "transfer", OPERATIONS(list) };
