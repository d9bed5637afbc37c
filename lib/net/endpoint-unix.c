/* SPDX-License-Identifier: MIT */
/* "unix:PATH" and "unix:@NAME". */
#include <stdlib.h>
#include <sys/un.h>

#include "socket.h"

static bool is_abstract(const struct vfm_endpoint *ep)
{
	return ep->target[0] == '@';
}

static int make_address(struct vfm_endpoint *ep, struct vfmi_address *ret, struct vfm_error *err)
{
	struct sockaddr_un *sun = (struct sockaddr_un *)&ret->storage;
	size_t length = strlen(ep->target);

	if (length == 0 || (is_abstract(ep) && length == 1))
		return vfmi_endpoint_fail(ep, err, EINVAL, 0, "a path or @NAME is missing");
	if (length >= sizeof(sun->sun_path))
		return vfmi_endpoint_fail(ep, err, ENAMETOOLONG, 0, "a socket's name has at most %zu bytes",
					  sizeof(sun->sun_path) - 1);
	*ret = (struct vfmi_address){ 0 };
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, ep->target, length);
	ret->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	if (is_abstract(ep))
		sun->sun_path[0] = '\0';
	else
		ret->length++;
	return 0;
}

/*
 * What a stream holds is nobody else's. Whoever may connect to a path or take an abstract name first is not decided by
 * us, so the peer has to be the same user, or root.
 */
int vfmi_unix_check_peer(struct vfm_endpoint *ep, int fd)
{
	struct ucred cred = { .pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t length = sizeof(cred);
	int r = ep->sys->ops->getsockopt(ep->sys, fd, SOL_SOCKET, SO_PEERCRED, &cred, &length);

	if (r < 0)
		return r;
	if (cred.uid == 0 || cred.uid == ep->sys->ops->geteuid(ep->sys))
		return 0;
	vfmi_log(ep->ctx, VFM_LOG_WARNING, "%s: process %d of user %u was turned away", ep->spec, (int)cred.pid,
		 (unsigned int)cred.uid);
	return -EPERM;
}

/* A socket file nobody listens on is left from a process that died; anything else there is not ours to remove. */
static int remove_stale(struct vfm_endpoint *ep, const struct vfmi_address *addr)
{
	struct stat st;
	int fd, r = ep->sys->ops->lstat(ep->sys, ep->target, &st);

	if (r < 0)
		return r;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	/* of another type than the listener's: it answers EPROTOTYPE and never takes the question for its peer */
	fd = ep->sys->ops->socket(ep->sys, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	r = ep->sys->ops->connect(ep->sys, fd, (const struct sockaddr *)&addr->storage, addr->length);
	ep->sys->ops->close(ep->sys, fd);
	return r == -ECONNREFUSED ? ep->sys->ops->unlink(ep->sys, ep->target) : -EADDRINUSE;
}

/* What cannot be remembered would not be taken away at the end; bind() made it a moment ago, so it is ours. */
static int remember_path(struct vfm_endpoint *ep)
{
	struct stat st;
	int r = ep->sys->ops->lstat(ep->sys, ep->target, &st);

	if (r == 0) {
		ep->bound_path = strdup(ep->target);
		ep->bound_dev = st.st_dev;
		ep->bound_ino = st.st_ino;
		r = ep->bound_path ? 0 : -ENOMEM;
	}
	if (r < 0)
		ep->sys->ops->unlink(ep->sys, ep->target);
	return r;
}

static int open_listening(struct vfm_endpoint *ep, const struct vfmi_address *addr, struct vfm_error *err)
{
	int r = vfmi_socket_listen(ep, addr);

	if (r == -EADDRINUSE && !is_abstract(ep)) {
		r = remove_stale(ep, addr);
		if (r == 0)
			r = vfmi_socket_listen(ep, addr);
	}
	if (r == 0 && !is_abstract(ep))
		r = remember_path(ep);
	if (r < 0)
		return vfmi_endpoint_fail_errno(ep, err, r, "cannot listen");
	if (ep->flags & VFM_ENDPOINT_BACKGROUND_BIND)
		return 0;
	return vfmi_socket_accept(ep, vfmi_unix_check_peer, err);
}

static int open_unix(struct vfm_endpoint *ep, struct vfm_error *err)
{
	struct vfmi_address addr;
	int r = make_address(ep, &addr, err);

	if (r < 0)
		return r;
	ep->duplex = true;
	if (ep->flags & VFM_ENDPOINT_LISTEN)
		return open_listening(ep, &addr, err);
	r = vfmi_socket_connect(ep, &addr);
	if (r < 0)
		return vfmi_endpoint_fail_errno(ep, err, r, "cannot connect");
	if (is_abstract(ep) && vfmi_unix_check_peer(ep, ep->in.fd) < 0)
		return vfmi_endpoint_fail(ep, err, EPERM, VFM_ERROR_PEER, "another user listens there");
	return 0;
}

static int ready(struct vfm_endpoint *ep, struct vfm_error *err)
{
	return vfmi_socket_accept(ep, vfmi_unix_check_peer, err);
}

const struct vfmi_endpoint_kind vfmi_endpoint_unix = {
	.prefix = "unix:",
	.open = open_unix,
	.ready = ready,
	.commit = vfmi_socket_commit,
	.close = vfmi_socket_close_listener,
};
