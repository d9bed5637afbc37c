/* SPDX-License-Identifier: MIT */
/* Taking one peer: of the connections that came, the first that has something to say. */
#include "socket.h"

#define ROOM 8 /* connections that may be silent at the same time */

/*
 * Whoever looks whether a port is open connects too. A connection is the peer's once its first byte is there; those
 * that end before it count for nothing, and those that stay silent keep nobody else from being heard.
 */
struct waiting {
	struct pollfd fds[1 + ROOM + 1]; /* the listener, the connections as they came, room for the cancel token */
	nfds_t count;			 /* of the listener and the connections */
	sa_family_t family;
};

static void forget(struct waiting *waiting, nfds_t at)
{
	waiting->count--;
	memmove(&waiting->fds[at], &waiting->fds[at + 1], (waiting->count - at) * sizeof(waiting->fds[0]));
}

static void turn_away(struct vfm_endpoint *ep, struct waiting *waiting, nfds_t at)
{
	ep->sys->ops->close(ep->sys, waiting->fds[at].fd);
	forget(waiting, at);
}

/* Takes in who is at the door; those that went away again or are refused do not end the wait. */
static int let_in(struct vfm_endpoint *ep, struct waiting *waiting, vfmi_peer_fn *check)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t length = sizeof(peer);
	int fd = ep->sys->ops->accept(ep->sys, ep->listen_fd, (struct sockaddr *)&peer, &length);

	if (fd == -EAGAIN || fd == -EINTR || fd == -ECONNABORTED)
		return 0;
	if (fd < 0)
		return fd;
	if (check && check(ep, fd) < 0) {
		ep->sys->ops->close(ep->sys, fd);
		return 0;
	}
	if (waiting->count == 1 + ROOM) {
		vfmi_log(ep->ctx, VFM_LOG_WARNING, "%s: %d connections say nothing, the oldest was closed", ep->spec,
			 ROOM);
		turn_away(ep, waiting, 1);
	}
	waiting->family = peer.ss_family;
	waiting->fds[waiting->count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	return 0;
}

/* Return: 1 when @fd has something to say, 0 when not yet, or -errno when it never will. */
static int listen_to(struct vfm_endpoint *ep, int fd)
{
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = sizeof(byte) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n = ep->sys->ops->recvmsg(ep->sys, fd, &msg, MSG_PEEK | MSG_DONTWAIT);

	if (n == 0)
		return -ECONNRESET;
	/* who is to be written to speaks second */
	if (n == -EAGAIN || n == -EINTR)
		return ep->flags & VFM_ENDPOINT_READ ? 0 : 1;
	return n > 0 ? 1 : (int)n;
}

/* Return: where the peer stands, or 0. */
static nfds_t find_peer(struct vfm_endpoint *ep, struct waiting *waiting)
{
	nfds_t at = 1;

	while (at < waiting->count) {
		int r = listen_to(ep, waiting->fds[at].fd);

		if (r > 0)
			return at;
		if (r == 0) {
			at++;
			continue;
		}
		vfmi_log(ep->ctx, VFM_LOG_INFO, "%s: a connection ended before it said anything, the wait goes on",
			 ep->spec);
		turn_away(ep, waiting, at);
	}
	return 0;
}

/* Return: the peer's descriptor, or -errno. */
static int wait_for_peer(struct vfm_endpoint *ep, struct waiting *waiting, vfmi_peer_fn *check)
{
	const uint64_t limit = vfmi_endpoint_limit(ep);

	waiting->fds[0] = (struct pollfd){ .fd = ep->listen_fd, .events = POLLIN };
	waiting->count = 1;
	for (;;) {
		int r = vfmi_endpoint_poll_until(ep, waiting->fds, waiting->count, limit);
		nfds_t at;

		if (r == 0 && waiting->fds[0].revents)
			r = let_in(ep, waiting, check);
		if (r < 0)
			return r;
		at = find_peer(ep, waiting);
		if (at) {
			r = waiting->fds[at].fd;
			forget(waiting, at);
			return r;
		}
	}
}

static int accept_locked(struct vfm_endpoint *ep, vfmi_peer_fn *check)
{
	struct waiting waiting = { 0 };
	int r;

	if (ep->in.fd >= 0)
		return 0;
	if (ep->listen_fd < 0)
		return -ENOTCONN;
	r = wait_for_peer(ep, &waiting, check);
	if (r >= 0)
		r = vfmi_socket_take(ep, r, waiting.family);
	while (waiting.count > 1)
		turn_away(ep, &waiting, waiting.count - 1);
	if (r == 0)
		vfmi_socket_close_listener(ep);
	return r;
}

int vfmi_socket_accept(struct vfm_endpoint *ep, vfmi_peer_fn *check, struct vfm_error *err)
{
	int r;

	pthread_mutex_lock(&ep->accept_lock);
	r = accept_locked(ep, check);
	pthread_mutex_unlock(&ep->accept_lock);
	return r < 0 ? vfmi_endpoint_fail_errno(ep, err, r, "nobody came") : 0;
}
