/* SPDX-License-Identifier: MIT */
/* "fd:N" and "-": descriptors the process came with. Their open file description belongs to others too. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "socket.h"

static int parse_number(struct vfm_endpoint *ep, int *ret_fd, struct vfm_error *err)
{
	uint32_t number;

	if (!vfmi_endpoint_number(ep->target, ep->target + strlen(ep->target), INT_MAX, &number))
		return vfmi_endpoint_fail(ep, err, EINVAL, 0, "not the number of a descriptor");
	*ret_fd = (int)number;
	return 0;
}

/* Whether the descriptor was opened for the direction asked. */
static int check_access(struct vfm_endpoint *ep, int fd, bool write, struct vfm_error *err)
{
	int flags = ep->sys->ops->get_flags(ep->sys, fd);
	int mode = flags & O_ACCMODE;

	if (flags < 0)
		return vfmi_endpoint_fail_errno(ep, err, flags, "cannot be used");
	if (mode != O_RDWR && mode != (write ? O_WRONLY : O_RDONLY))
		return vfmi_endpoint_fail(ep, err, EBADF, VFM_ERROR_PEER, "descriptor %d is not open for %s", fd,
					  write ? "writing" : "reading");
	if (ep->sys->ops->isatty(ep->sys, fd) == 1)
		return vfmi_endpoint_fail(ep, err, ENOTTY, 0, "a stream is binary, descriptor %d is a terminal", fd);
	return 0;
}

/*
 * A pipe to write to: a description of our own can be non-blocking without changing the one that is shared. Where
 * /proc is out of reach the shared one serves, a little at a time.
 */
static int open_pipe(struct vfm_endpoint *ep, int fd, struct vfmi_channel *ch)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ch->fd = ep->sys->ops->open(ep->sys, path, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (ch->fd >= 0) {
		ch->kind = VFMI_CHANNEL_OWN;
		return 0;
	}
	ch->kind = VFMI_CHANNEL_PIPE;
	ch->fd = ep->sys->ops->dup(ep->sys, fd);
	return ch->fd < 0 ? ch->fd : 0;
}

static int open_channel(struct vfm_endpoint *ep, int fd, bool write, struct vfmi_channel *ch)
{
	struct stat st;
	int r = ep->sys->ops->fstat(ep->sys, fd, &st);

	if (r < 0)
		return r;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (S_ISFIFO(st.st_mode) && write)
		return open_pipe(ep, fd, ch);
	ch->kind = VFMI_CHANNEL_SHARED;
	if (S_ISSOCK(st.st_mode))
		ch->kind = VFMI_CHANNEL_SOCKET;
	else if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
		ch->kind = VFMI_CHANNEL_PLAIN;
	ch->fd = ep->sys->ops->dup(ep->sys, fd);
	return ch->fd < 0 ? ch->fd : 0;
}

static int open_direction(struct vfm_endpoint *ep, int fd, bool write, struct vfm_error *err)
{
	struct vfmi_channel *ch = write ? &ep->out : &ep->in;
	int r = check_access(ep, fd, write, err);

	if (r < 0)
		return r;
	r = open_channel(ep, fd, write, ch);
	return r < 0 ? vfmi_endpoint_fail_errno(ep, err, r, "cannot be used") : 0;
}

static int open_both(struct vfm_endpoint *ep, int read_fd, int write_fd, struct vfm_error *err)
{
	int r = 0;

	ep->duplex = ep->flags & VFM_ENDPOINT_DUPLEX;
	if (ep->duplex || (ep->flags & VFM_ENDPOINT_READ))
		r = open_direction(ep, read_fd, false, err);
	if (r == 0 && (ep->duplex || (ep->flags & VFM_ENDPOINT_WRITE)))
		r = open_direction(ep, write_fd, true, err);
	return r;
}

static int option_of(struct vfm_endpoint *ep, int fd, int name)
{
	int value = 0;
	socklen_t length = sizeof(value);

	return ep->sys->ops->getsockopt(ep->sys, fd, SOL_SOCKET, name, &value, &length) < 0 ? 0 : value;
}

/* Whoever may reach a unix socket's path is not decided by us, also where somebody else made the socket. */
static int ready_fd(struct vfm_endpoint *ep, struct vfm_error *err)
{
	if (!ep->listen_domain)
		return 0;
	return vfmi_socket_accept(ep, ep->listen_domain == AF_UNIX ? vfmi_unix_check_peer : NULL, err);
}

/*
 * A listening socket that was handed over goes on listening with who made it: only our descriptor of it is closed.
 * That it is non-blocking from now on keeps a peer who went away again from blocking us; nobody else accepts on it.
 */
static int open_listener(struct vfm_endpoint *ep, int fd, struct vfm_error *err)
{
	int flags = ep->sys->ops->get_flags(ep->sys, fd);
	int r = flags < 0 ? flags : ep->sys->ops->set_flags(ep->sys, fd, flags | O_NONBLOCK);

	if (r == 0)
		r = ep->sys->ops->dup(ep->sys, fd);
	if (r < 0)
		return vfmi_endpoint_fail_errno(ep, err, r, "cannot be used");
	ep->listen_fd = r;
	ep->listen_domain = option_of(ep, fd, SO_DOMAIN);
	ep->duplex = true;
	return ep->flags & VFM_ENDPOINT_BACKGROUND_BIND ? 0 : ready_fd(ep, err);
}

static int open_fd(struct vfm_endpoint *ep, struct vfm_error *err)
{
	int fd = -1, r = parse_number(ep, &fd, err);

	if (r < 0)
		return r;
	return option_of(ep, fd, SO_ACCEPTCONN) ? open_listener(ep, fd, err) : open_both(ep, fd, fd, err);
}

static int open_stdio(struct vfm_endpoint *ep, struct vfm_error *err)
{
	return open_both(ep, STDIN_FILENO, STDOUT_FILENO, err);
}

/* The descriptor stays open with whoever gave it, so a socket is told that no more will come. */
static int commit(struct vfm_endpoint *ep, struct vfm_error *err)
{
	int r;

	if (ep->out.fd < 0)
		return 0;
	if (ep->out.kind == VFMI_CHANNEL_SOCKET)
		r = ep->sys->ops->shutdown(ep->sys, ep->out.fd, SHUT_WR);
	else
		r = vfmi_channel_sync(ep, &ep->out);
	return r < 0 ? vfmi_endpoint_fail_errno(ep, err, r, "what was written may not have arrived") : 0;
}

const struct vfmi_endpoint_kind vfmi_endpoint_fd = {
	.prefix = "fd:",
	.open = open_fd,
	.ready = ready_fd,
	.commit = commit,
	.close = vfmi_socket_close_listener,
};
const struct vfmi_endpoint_kind vfmi_endpoint_stdio = { .prefix = "-", .open = open_stdio, .commit = commit };
