/* SPDX-License-Identifier: MIT */
/* Bytes over one descriptor: every wait goes through poll with the cancel token and the timeout; nothing is opened. */
#include <limits.h>
#include <sys/uio.h>

#include "endpoint.h"

#define NS_PER_MS 1000000u

/* The one length a pipe that polls writable takes without blocking. */
#define POLITE_WRITE ((size_t)PIPE_BUF)

uint64_t vfmi_endpoint_limit(struct vfm_endpoint *ep)
{
	if (ep->timeout_ms == 0)
		return UINT64_MAX;
	return ep->sys->ops->now_ns(ep->sys) + (uint64_t)ep->timeout_ms * NS_PER_MS;
}

/* Milliseconds for poll(), rounded up so that it never returns just before the limit; -1 for ever. */
static int poll_time(struct vfm_endpoint *ep, uint64_t limit_ns)
{
	uint64_t now, left;

	if (limit_ns == UINT64_MAX)
		return -1;
	now = ep->sys->ops->now_ns(ep->sys);
	left = now < limit_ns ? (limit_ns - now + NS_PER_MS - 1) / NS_PER_MS : 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

static bool any_came(const struct pollfd *fds, nfds_t count)
{
	for (nfds_t i = 0; i < count; i++) {
		if (fds[i].revents)
			return true;
	}
	return false;
}

int vfmi_endpoint_poll_until(struct vfm_endpoint *ep, struct pollfd *fds, nfds_t count, uint64_t limit_ns)
{
	fds[count] = (struct pollfd){ .fd = vfm_cancel_fd(ep->cancel), .events = POLLIN };
	for (;;) {
		int timeout = poll_time(ep, limit_ns);
		int r = ep->sys->ops->poll(ep->sys, fds, count + 1, timeout);

		if (vfm_cancel_is_set(ep->cancel))
			return -ECANCELED;
		if (r < 0 && r != -EINTR)
			return r;
		if (r > 0 && any_came(fds, count))
			return 0;
		if (r == 0 && timeout < INT_MAX)
			return -ETIMEDOUT;
	}
}

int vfmi_endpoint_wait_until(struct vfm_endpoint *ep, int fd, short events, uint64_t limit_ns)
{
	struct pollfd fds[2] = { { .fd = fd, .events = events } };
	int r = vfmi_endpoint_poll_until(ep, fds, 1, limit_ns);

	return r == 0 && (fds[0].revents & POLLNVAL) ? -EBADF : r;
}

static int wait_for(struct vfm_endpoint *ep, int fd, short events)
{
	return vfmi_endpoint_wait_until(ep, fd, events, vfmi_endpoint_limit(ep));
}

static ssize_t read_once(struct vfm_endpoint *ep, const struct vfmi_channel *ch, void *buf, size_t length)
{
	struct iovec iov = { .iov_base = buf, .iov_len = length };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (ch->kind == VFMI_CHANNEL_SOCKET)
		return ep->sys->ops->recvmsg(ep->sys, ch->fd, &msg, MSG_DONTWAIT);
	return ep->sys->ops->read(ep->sys, ch->fd, buf, length);
}

/* A pipe raises SIGPIPE here when its reader is gone; transport.h tells callers. Sockets never do. */
static ssize_t write_once(struct vfm_endpoint *ep, const struct vfmi_channel *ch, const void *buf, size_t length)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = length };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (ch->kind == VFMI_CHANNEL_SOCKET)
		return ep->sys->ops->sendmsg(ep->sys, ch->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (ch->kind == VFMI_CHANNEL_PIPE && length > POLITE_WRITE)
		length = POLITE_WRITE;
	return ep->sys->ops->write(ep->sys, ch->fd, buf, length);
}

/* 0 when a call may be made now. */
static int before_call(struct vfm_endpoint *ep, const struct vfmi_channel *ch, short events)
{
	if (ch->fd < 0)
		return -EBADF;
	if (vfm_cancel_is_set(ep->cancel))
		return -ECANCELED;
	if (ch->kind == VFMI_CHANNEL_SHARED || ch->kind == VFMI_CHANNEL_PIPE)
		return wait_for(ep, ch->fd, events);
	return 0;
}

/* Whether the call's result says to try again, once what it waits for has come; else it is handed to the caller. */
static int retry(struct vfm_endpoint *ep, const struct vfmi_channel *ch, ssize_t done, short events)
{
	if (done == -EAGAIN)
		return wait_for(ep, ch->fd, events);
	return done == -EINTR ? 0 : (int)done;
}

int64_t vfmi_channel_read(struct vfm_endpoint *ep, const struct vfmi_channel *ch, void *buf, size_t length)
{
	if (length > SSIZE_MAX)
		length = SSIZE_MAX;
	for (;;) {
		int r = before_call(ep, ch, POLLIN);
		ssize_t done;

		if (r < 0)
			return r;
		done = read_once(ep, ch, buf, length);
		if (done >= 0)
			return (size_t)done <= length ? done : -EIO;
		r = retry(ep, ch, done, POLLIN);
		if (r < 0)
			return r;
	}
}

int vfmi_channel_write(struct vfm_endpoint *ep, const struct vfmi_channel *ch, const void *buf, size_t length)
{
	const char *at = buf;

	while (length > 0) {
		int r = before_call(ep, ch, POLLOUT);
		ssize_t done;

		if (r < 0)
			return r;
		done = write_once(ep, ch, at, length);
		if (done == 0 || (done > 0 && (size_t)done > length))
			return -EIO;
		if (done > 0) {
			at += done;
			length -= (size_t)done;
			continue;
		}
		r = retry(ep, ch, done, POLLOUT);
		if (r < 0)
			return r;
	}
	return 0;
}

int vfmi_channel_sync(struct vfm_endpoint *ep, const struct vfmi_channel *ch)
{
	int r = ep->sys->ops->fsync(ep->sys, ch->fd);

	return r == -EINVAL || r == -EROFS || r == -EOPNOTSUPP ? 0 : r;
}

void vfmi_channel_close(struct vfm_endpoint *ep, struct vfmi_channel *ch)
{
	if (ch->fd >= 0)
		ep->sys->ops->close(ep->sys, ch->fd);
	ch->fd = -1;
}
