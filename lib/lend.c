/* SPDX-License-Identifier: MIT */
/* The holder's side of lending: one peer at a time is served from the caller's loop, and can neither block nor hurt. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "describe.h"
#include "device-internal.h"
#include "lend-place.h"
#include "lend-socket.h"

#define LEND_STEP "lend"
#define BACKLOG 8
#define MESSAGES_PER_DISPATCH 64
/* A peer that holds the one place without asking for anything must leave when another comes. */
#define IDLE_PEER_NS 3000000000u

enum peer_phase {
	PEER_NONE,     /* nobody is there */
	PEER_GREETED,  /* our HELLO is out, its HELLO is awaited */
	PEER_FETCHING, /* it asks for one device after the other */
	PEER_BORROWS,  /* it has them all */
};

struct peer {
	enum peer_phase phase;
	bool lent; /* it was sent a descriptor */
	int fd;
	struct ucred who;
	uint64_t since_ns;
	size_t device;	/* next thing to send: this device ... */
	size_t vectors; /* ... itself when 0 and !described, else its vectors from this one on */
	bool described;
};

struct vfm_lender {
	struct vfm_context *ctx;
	struct vfmi_sys *sys;
	struct vfmi_lend_place *place;
	struct vfm_device *devices[VFMI_LEND_MAX_DEVICES];
	size_t count;
	struct peer peer;
};

int vfm_lender_open(struct vfm_context *ctx, const char *path, struct vfm_lender **ret_lender,
		    struct vfm_error *ret_error)
{
	struct vfm_lender *lender;
	int r;

	if (!ctx || !path || !ret_lender)
		return VFMI_FAIL(ctx, ret_error, EINVAL, NULL, LEND_STEP, "a required argument is NULL");
	lender = calloc(1, sizeof(*lender));
	if (!lender)
		return VFMI_FAIL(ctx, ret_error, ENOMEM, NULL, LEND_STEP, "%s", vfmi_errno_text(ENOMEM));
	lender->ctx = ctx;
	lender->sys = ctx->sys;
	lender->peer.fd = -1;
	r = vfmi_lend_place_open(ctx, path, BACKLOG, &lender->place, ret_error);
	if (r < 0) {
		free(lender);
		return r;
	}
	*ret_lender = lender;
	return 0;
}

static void forget_peer(struct vfm_lender *lender)
{
	if (lender->peer.fd >= 0)
		lender->sys->ops->close(lender->sys, lender->peer.fd);
	lender->peer = (struct peer){ .fd = -1 };
}

void vfm_lender_close(struct vfm_lender *lender)
{
	if (!lender)
		return;
	forget_peer(lender);
	vfmi_lend_place_close(lender->place);
	free(lender);
}

int vfm_lender_add(struct vfm_lender *lender, struct vfm_device *dev, struct vfm_error *ret_error)
{
	const char *name = vfm_device_name(dev);

	if (lender->peer.phase >= PEER_FETCHING)
		return VFMI_FAIL(lender->ctx, ret_error, EBUSY, name, LEND_STEP, "the devices are lent right now");
	if (lender->count == VFMI_LEND_MAX_DEVICES)
		return VFMI_FAIL(lender->ctx, ret_error, ENOSPC, name, LEND_STEP, "%u devices at most on one socket",
				 VFMI_LEND_MAX_DEVICES);
	for (size_t i = 0; i < lender->count; i++) {
		if (lender->devices[i] == dev)
			return VFMI_FAIL(lender->ctx, ret_error, EEXIST, name, LEND_STEP, "it is lent here already");
	}
	lender->devices[lender->count++] = dev;
	/* Who was only greeted was told another number of devices. */
	forget_peer(lender);
	return 0;
}

size_t vfm_lender_fds(const struct vfm_lender *lender, int *fds, size_t room)
{
	size_t count = 0;

	if (count < room)
		fds[count++] = vfmi_lend_place_fd(lender->place);
	if (count < room && lender->peer.fd >= 0)
		fds[count++] = lender->peer.fd;
	return count;
}

/* sending the devices */

/* Collects up to a message full of a device's vectors, from number @skip on. */
struct vector_batch {
	struct vfmi_lend_message *msg;
	size_t skip;
	size_t taken;
};

static int batch_vector(void *user, uint32_t index, uint32_t vector, int eventfd)
{
	struct vector_batch *batch = user;
	struct vfmi_lend_vector pair = { index, vector };

	if (batch->skip) {
		batch->skip--;
		return 0;
	}
	if (vfmi_lend_add_vector(batch->msg, &pair, eventfd) < 0)
		return 1;
	batch->taken++;
	return 0;
}

_Static_assert(VFMI_DESCRIPTION_REST <= VFMI_LEND_MAX_PAYLOAD, "a device without its vectors fits a message");

static int put_device(struct vfm_device *dev, struct vfmi_lend_message *msg)
{
	char text[VFMI_LEND_MAX_PAYLOAD + 1];
	struct vfmi_description desc;
	int r = vfmi_description_of(dev, &desc);

	if (r < 0)
		return r;
	msg->fd_count = 0;
	msg->fds[msg->fd_count] = desc.device_fd;
	desc.device_fd = (int)msg->fd_count++;
	if (desc.iommufd >= 0) {
		msg->fds[msg->fd_count] = desc.iommufd;
		desc.iommufd = (int)msg->fd_count++;
	}
	r = vfmi_description_print(&desc, false, text, sizeof(text));
	vfmi_description_clear(&desc);
	return r < 0 ? r : vfmi_lend_put_device(msg, text);
}

/* What comes after what was sent last: a device, its vectors, the next device, the end. */
static int put_next(struct vfm_lender *lender, struct vfmi_lend_message *msg)
{
	struct peer *peer = &lender->peer;

	while (peer->device < lender->count) {
		struct vfm_device *dev = lender->devices[peer->device];
		struct vector_batch batch = { .msg = msg, .skip = peer->vectors };

		if (!peer->described) {
			peer->described = true;
			return put_device(dev, msg);
		}
		vfmi_lend_begin_vectors(msg, VFMI_LEND_VECTORS, (uint32_t)peer->device);
		(void)vfmi_device_irq_each(dev, batch_vector, &batch);
		if (batch.taken) {
			peer->vectors += batch.taken;
			return 0;
		}
		peer->device++;
		peer->vectors = 0;
		peer->described = false;
	}
	vfmi_lend_put_plain(msg, VFMI_LEND_END);
	return 0;
}

static int answer_next(struct vfm_lender *lender, struct vfm_lend_info *info)
{
	struct peer *peer = &lender->peer;
	struct vfmi_lend_message msg;
	int r = put_next(lender, &msg);

	if (r == 0)
		r = vfmi_lend_send(lender->sys, peer->fd, &msg);
	if (r < 0)
		return r;
	if (!peer->lent)
		info->event = VFM_LEND_BORROWED;
	peer->lent = true;
	if (peer->device == lender->count)
		peer->phase = PEER_BORROWS;
	return 0;
}

/* what a peer says */

/*
 * Only what has no file type - an anonymous inode, as eventfds are - may become an interrupt's eventfd: a holder that
 * reads it must not end up waiting on a peer's pipe.
 */
static int take_vector(struct vfm_lender *lender, struct vfm_device *dev, const struct vfmi_lend_vector *pair, int fd)
{
	struct stat st;
	int r = lender->sys->ops->fstat(lender->sys, fd, &st);

	if (r < 0)
		return r;
	if (st.st_mode & S_IFMT)
		return -EPROTO;
	return vfmi_device_irq_hand_back(dev, pair->index, pair->vector, fd);
}

/* VECTORS, or DISARMED, which brings no descriptors. */
static int take_vectors(struct vfm_lender *lender, const struct vfmi_lend_message *msg)
{
	uint32_t device = vfmi_lend_vectors_device(msg);

	if (device >= lender->count)
		return -EPROTO;
	for (size_t i = 0; i < vfmi_lend_vector_count(msg); i++) {
		struct vfm_device *dev = lender->devices[device];
		struct vfmi_lend_vector pair;
		int r;

		vfmi_lend_get_vector(msg, i, &pair);
		if (msg->fd_count)
			r = take_vector(lender, dev, &pair, msg->fds[i]);
		else
			r = vfmi_device_irq_hand_back_disarmed(dev, pair.index, pair.vector);
		if (r < 0)
			return r;
	}
	return 0;
}

static int greet_back(struct vfm_lender *lender, const struct vfmi_lend_message *msg)
{
	struct vfmi_lend_hello hello;

	vfmi_lend_get_hello(msg, &hello);
	if (hello.oldest != hello.newest || hello.newest < VFMI_LEND_OLDEST || hello.newest > VFMI_LEND_NEWEST)
		return -EPROTONOSUPPORT;
	lender->peer.phase = PEER_FETCHING;
	return 0;
}

static int hear(struct vfm_lender *lender, const struct vfmi_lend_message *msg, struct vfm_lend_info *info)
{
	enum peer_phase phase = lender->peer.phase;
	int type = vfmi_lend_check(msg);

	if (type == VFMI_LEND_HELLO && phase == PEER_GREETED)
		return greet_back(lender, msg);
	if (type == VFMI_LEND_NEXT && phase == PEER_FETCHING)
		return answer_next(lender, info);
	if ((type == VFMI_LEND_VECTORS || type == VFMI_LEND_DISARMED) && phase == PEER_BORROWS)
		return take_vectors(lender, msg);
	if (type == VFMI_LEND_RETURN && phase == PEER_BORROWS) {
		info->event = VFM_LEND_RETURNED;
		return 0;
	}
	return type < 0 ? type : -EPROTO;
}

static void fill_info(struct vfm_lend_info *info, const struct ucred *who)
{
	info->pid = who->pid;
	info->uid = who->uid;
}

/* Best effort: a peer that is turned away may be gone already, or not reading. */
static void refuse(struct vfm_lender *lender, int fd, int code, const char *text)
{
	struct vfmi_lend_message msg;

	vfmi_lend_put_refused(&msg, code, text);
	(void)vfmi_lend_send(lender->sys, fd, &msg);
}

static void part(struct vfm_lender *lender, int r, struct vfm_lend_info *info)
{
	fill_info(info, &lender->peer.who);
	if (r < 0) {
		vfmi_log(lender->ctx, VFM_LOG_DEBUG, "lend: process %d: %s", (int)lender->peer.who.pid,
			 vfmi_errno_text(-r));
		refuse(lender, lender->peer.fd, -r, vfmi_errno_text(-r));
	}
	if (lender->peer.lent)
		info->event = VFM_LEND_DIED;
	else if (r < 0)
		info->event = VFM_LEND_REFUSED;
	forget_peer(lender);
}

/* One message of the peer. Return: 0 more may be there, -EAGAIN nothing is, or it parted (peer.fd is -1). */
static int serve_message(struct vfm_lender *lender, struct vfm_lend_info *info)
{
	struct vfmi_lend_message msg;
	int r = vfmi_lend_recv(lender->sys, lender->peer.fd, &msg);

	if (r == -EAGAIN)
		return r;
	if (r <= 0) {
		/* Somebody who only knocked, to see whether the socket is alive, is no event. */
		part(lender, lender->peer.lent || r != -ECONNRESET ? r : 0, info);
		return 0;
	}
	r = hear(lender, &msg, info);
	vfmi_lend_drop_fds(lender->sys, &msg);
	if (r < 0)
		part(lender, r, info);
	else if (info->event != VFM_LEND_NONE)
		fill_info(info, &lender->peer.who);
	if (info->event == VFM_LEND_RETURNED)
		forget_peer(lender);
	return 0;
}

static void serve_peer(struct vfm_lender *lender, struct vfm_lend_info *info)
{
	for (int i = 0; i < MESSAGES_PER_DISPATCH; i++) {
		if (lender->peer.fd < 0 || info->event != VFM_LEND_NONE || serve_message(lender, info) == -EAGAIN)
			return;
	}
}

/* who may come in */

static bool may_borrow(const struct vfm_lender *lender, const struct ucred *who)
{
	return who->uid == 0 || who->uid == lender->sys->ops->geteuid(lender->sys);
}

static bool place_is_taken(const struct vfm_lender *lender)
{
	const struct peer *peer = &lender->peer;

	if (peer->phase == PEER_NONE)
		return false;
	return peer->lent || lender->sys->ops->now_ns(lender->sys) - peer->since_ns < IDLE_PEER_NS;
}

/* Return: 0 let in, or the errno it is turned away with. */
static int let_in(struct vfm_lender *lender, int fd, struct ucred *ret_who, char *why, size_t room)
{
	struct vfmi_lend_message msg;
	int r = vfmi_lend_peer(lender->sys, fd, ret_who);

	if (r < 0) {
		snprintf(why, room, "who asks could not be told: %s", vfmi_errno_text(-r));
		return r;
	}
	if (!may_borrow(lender, ret_who)) {
		snprintf(why, room, "user %u may not borrow from user %u", (unsigned int)ret_who->uid,
			 (unsigned int)lender->sys->ops->geteuid(lender->sys));
		return -EPERM;
	}
	if (place_is_taken(lender)) {
		snprintf(why, room, "lent to process %d", (int)lender->peer.who.pid);
		return -EBUSY;
	}
	vfmi_lend_put_hello(
		&msg, &(const struct vfmi_lend_hello){ VFMI_LEND_OLDEST, VFMI_LEND_NEWEST, (uint32_t)lender->count });
	r = vfmi_lend_send(lender->sys, fd, &msg);
	if (r < 0)
		snprintf(why, room, "%s", vfmi_errno_text(-r));
	return r;
}

static int admit(struct vfm_lender *lender, struct vfm_lend_info *info)
{
	char why[VFMI_LEND_MAX_TEXT];
	struct ucred who = { 0 };
	int fd = lender->sys->ops->accept(lender->sys, vfmi_lend_place_fd(lender->place), NULL, NULL);
	int r;

	if (fd == -EAGAIN || fd == -EINTR || fd == -ECONNABORTED)
		return 0;
	if (fd < 0)
		return fd;
	/* Whoever was there may have returned the loan since it was looked at, and this one comes after it. */
	if (place_is_taken(lender))
		serve_peer(lender, info);
	r = let_in(lender, fd, &who, why, sizeof(why));
	/* Who knocked and left before the answer was no borrower to refuse. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET) {
		refuse(lender, fd, -r, why);
		if (info->event == VFM_LEND_NONE) {
			info->event = VFM_LEND_REFUSED;
			fill_info(info, &who);
		}
	}
	if (r < 0) {
		lender->sys->ops->close(lender->sys, fd);
		return 0;
	}
	forget_peer(lender);
	lender->peer = (struct peer){ .phase = PEER_GREETED, .fd = fd, .who = who };
	lender->peer.since_ns = lender->sys->ops->now_ns(lender->sys);
	return 0;
}

int vfm_lender_dispatch(struct vfm_lender *lender, struct vfm_lend_info *ret_info, struct vfm_error *ret_error)
{
	VFM_OPTS(vfm_lend_info, info);
	int r = 0;

	info.pid = -1;
	/* What is served cannot be told a second time. */
	if (!ret_info || ret_info->size < offsetof(struct vfm_lend_info, pid))
		return VFMI_FAIL(lender->ctx, ret_error, EINVAL, NULL, LEND_STEP,
				 "no room to tell the event: the info is missing or its size is not set");
	/* First who is there: it may just have returned what the next one comes for. */
	serve_peer(lender, &info);
	if (info.event == VFM_LEND_NONE)
		r = admit(lender, &info);
	if (r < 0)
		return VFMI_FAIL(lender->ctx, ret_error, -r, NULL, LEND_STEP, "a borrower could not be let in: %s",
				 vfmi_errno_text(-r));
	return vfmi_sized_out(ret_info, &info, sizeof(info));
}
