/* SPDX-License-Identifier: MIT */
/* Sockets below their address family: one connection for one stream, never blocking past a cancel or the timeout. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Older versions of it do not stand alone. */
#include <linux/vm_sockets.h>

#include "socket.h"

#define BACKLOG 1
#define CONNECT_RETRY_NS 20000000u
#define NS_PER_S 1000000000u
#define FOR_EVER_S 1000000u /* eleven days; the kernel takes no much larger number everywhere */

/*
 * Frames that wait for an answer must not wait for more data. A host that has died is noticed within a minute and a
 * half, also where nothing is due; TCP_USER_TIMEOUT would cut off a peer that is busy with its devices and does not
 * read.
 */
static void tune(struct vfm_endpoint *ep, int fd, sa_family_t family)
{
	static const struct {
		int level;
		int name;
		int value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },    { SOL_SOCKET, SO_KEEPALIVE, 1 }, { IPPROTO_TCP, TCP_KEEPIDLE, 30 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 10 }, { IPPROTO_TCP, TCP_KEEPCNT, 6 },
	};

	if (family != AF_INET && family != AF_INET6)
		return;
	/* one that fails costs time, not correctness */
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(options); i++)
		ep->sys->ops->setsockopt(ep->sys, fd, options[i].level, options[i].name, &options[i].value,
					 sizeof(options[i].value));
}

/* Both directions get a descriptor of their own: each may be closed without the other noticing. */
int vfmi_socket_take(struct vfm_endpoint *ep, int fd, sa_family_t family)
{
	int second = ep->sys->ops->dup(ep->sys, fd);

	if (second < 0) {
		ep->sys->ops->close(ep->sys, fd);
		return second;
	}
	tune(ep, fd, family);
	ep->in = (struct vfmi_channel){ .fd = fd, .kind = VFMI_CHANNEL_SOCKET };
	ep->out = (struct vfmi_channel){ .fd = second, .kind = VFMI_CHANNEL_SOCKET };
	return 0;
}

static int connect_result(struct vfm_endpoint *ep, int fd, uint64_t limit)
{
	int error = 0, r = vfmi_endpoint_wait_until(ep, fd, POLLOUT, limit);
	socklen_t length = sizeof(error);

	if (r < 0)
		return r;
	r = ep->sys->ops->getsockopt(ep->sys, fd, SOL_SOCKET, SO_ERROR, &error, &length);
	return r < 0 ? r : -error;
}

/* A unix socket whose listener is busy says EAGAIN, and nothing can be polled for. */
static int connect_within(struct vfm_endpoint *ep, int fd, const struct vfmi_address *addr, uint64_t limit)
{
	const struct sockaddr *sa = (const struct sockaddr *)&addr->storage;

	for (;;) {
		int r = ep->sys->ops->connect(ep->sys, fd, sa, addr->length);
		uint64_t now;

		if (r == -EINPROGRESS || r == -EINTR)
			return connect_result(ep, fd, limit);
		if (r != -EAGAIN)
			return r;
		now = ep->sys->ops->now_ns(ep->sys);
		if (now >= limit)
			return -ETIMEDOUT;
		r = vfmi_endpoint_wait_until(ep, -1, 0, vfmi_min_u64(limit, now + CONNECT_RETRY_NS));
		if (r != -ETIMEDOUT)
			return r;
	}
}

/* By itself vsock gives up after two seconds (Linux 6.12). The limit, which is kept here, must end before its own. */
static void be_patient(struct vfm_endpoint *ep, int fd, sa_family_t family, uint64_t limit)
{
	struct timeval patience = { .tv_sec = FOR_EVER_S };
	const uint64_t now = ep->sys->ops->now_ns(ep->sys);

	if (family != AF_VSOCK)
		return;
	if (limit != UINT64_MAX)
		patience.tv_sec = (time_t)(now < limit ? (limit - now) / NS_PER_S + 1 : 1);
	/* where that fails the kernel's two seconds remain */
	ep->sys->ops->setsockopt(ep->sys, fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &patience, sizeof(patience));
}

int vfmi_socket_connect(struct vfm_endpoint *ep, const struct vfmi_address *addr)
{
	const uint64_t limit = vfmi_endpoint_limit(ep);
	int fd = ep->sys->ops->socket(ep->sys, addr->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return fd;
	be_patient(ep, fd, addr->storage.ss_family, limit);
	r = connect_within(ep, fd, addr, limit);
	if (r == 0)
		return vfmi_socket_take(ep, fd, addr->storage.ss_family);
	ep->sys->ops->close(ep->sys, fd);
	return r;
}

/* What bind() has just made in the file system is ours. */
static void unname(struct vfm_endpoint *ep, const struct vfmi_address *addr)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&addr->storage;

	if (un->sun_family == AF_UNIX && un->sun_path[0])
		ep->sys->ops->unlink(ep->sys, un->sun_path);
}

int vfmi_socket_listen(struct vfm_endpoint *ep, const struct vfmi_address *addr)
{
	const int one = 1;
	int fd = ep->sys->ops->socket(ep->sys, addr->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return fd;
	/* connections of an earlier run that linger do not block the port; without it the bind says so */
	if (addr->storage.ss_family != AF_UNIX)
		ep->sys->ops->setsockopt(ep->sys, fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	r = ep->sys->ops->bind(ep->sys, fd, (const struct sockaddr *)&addr->storage, addr->length);
	if (r == 0) {
		r = ep->sys->ops->listen(ep->sys, fd, BACKLOG);
		if (r < 0)
			unname(ep, addr);
	}
	if (r < 0) {
		ep->sys->ops->close(ep->sys, fd);
		return r;
	}
	ep->listen_fd = fd;
	return 0;
}

int vfmi_socket_commit(struct vfm_endpoint *ep, struct vfm_error *err)
{
	int r;

	if (ep->out.fd < 0)
		return vfmi_endpoint_fail_errno(ep, err, -ENOTCONN, "no peer was ever there");
	r = ep->sys->ops->shutdown(ep->sys, ep->out.fd, SHUT_WR);
	/* a peer that has all it wants may be gone by now */
	if (r < 0 && !(r == -ENOTCONN && ep->duplex))
		return vfmi_endpoint_fail_errno(ep, err, r, "what was written may not have arrived");
	return 0;
}

/* The path goes with the listener, unless somebody else's socket has taken it meanwhile. */
void vfmi_socket_close_listener(struct vfm_endpoint *ep)
{
	struct stat st;

	if (ep->listen_fd >= 0)
		ep->sys->ops->close(ep->sys, ep->listen_fd);
	ep->listen_fd = -1;
	if (!ep->bound_path)
		return;
	if (ep->sys->ops->lstat(ep->sys, ep->bound_path, &st) == 0 && st.st_dev == ep->bound_dev &&
	    st.st_ino == ep->bound_ino)
		ep->sys->ops->unlink(ep->sys, ep->bound_path);
	free(ep->bound_path);
	ep->bound_path = NULL;
}
