/* SPDX-License-Identifier: MIT */
/* Unix sockets for lending, over the seam: one message with its descriptors at a time. No policy here. */
#include <stddef.h>

#include "lend-socket.h"

int vfmi_lend_address(const char *path, struct sockaddr_un *ret_addr, socklen_t *ret_length)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	bool abstract = path[0] == '@';
	size_t length = strlen(path);

	if (length <= (abstract ? 1 : 0))
		return -EINVAL;
	if (length >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, length);
	if (abstract)
		addr.sun_path[0] = '\0';
	*ret_addr = addr;
	/* An abstract name ends where the length says, a path at its NUL. */
	*ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (abstract ? 0 : 1));
	return 0;
}

int vfmi_lend_socket(struct vfmi_sys *sys)
{
	return sys->ops->socket(sys, AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
}

int vfmi_lend_peer(struct vfmi_sys *sys, int fd, struct ucred *ret_peer)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	int r = sys->ops->getsockopt(sys, fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);

	if (r < 0)
		return r;
	if (length != sizeof(peer))
		return -EPROTO;
	*ret_peer = peer;
	return 0;
}

union control {
	char bytes[CMSG_SPACE(VFMI_LEND_MAX_FDS * sizeof(int))];
	struct cmsghdr align;
};

static void attach_fds(struct msghdr *hdr, union control *control, const struct vfmi_lend_message *msg)
{
	size_t bytes = msg->fd_count * sizeof(int);
	struct cmsghdr *cmsg;

	memset(control, 0, sizeof(*control));
	hdr->msg_control = control->bytes;
	hdr->msg_controllen = CMSG_SPACE(bytes);
	cmsg = CMSG_FIRSTHDR(hdr);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(cmsg), msg->fds, bytes);
}

int vfmi_lend_send(struct vfmi_sys *sys, int fd, const struct vfmi_lend_message *msg)
{
	struct iovec iov = { .iov_base = (void *)msg->bytes, .iov_len = msg->length };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control;
	ssize_t sent;

	if (msg->fd_count)
		attach_fds(&hdr, &control, msg);
	do
		sent = sys->ops->sendmsg(sys, fd, &hdr, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent == -EINTR);
	if (sent < 0)
		return (int)sent;
	return (size_t)sent == msg->length ? 0 : -EIO;
}

void vfmi_lend_drop_fds(struct vfmi_sys *sys, struct vfmi_lend_message *msg)
{
	for (size_t i = 0; i < msg->fd_count; i++)
		sys->ops->close(sys, msg->fds[i]);
	msg->fd_count = 0;
}

/* The kernel may deliver several control messages; every descriptor in any of them is ours to close. */
static void collect_fds(struct msghdr *hdr, struct vfmi_lend_message *msg)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(hdr); cmsg; cmsg = CMSG_NXTHDR(hdr, cmsg)) {
		size_t count;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS || cmsg->cmsg_len < CMSG_LEN(0))
			continue;
		count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (count > VFMI_LEND_MAX_FDS - msg->fd_count)
			count = VFMI_LEND_MAX_FDS - msg->fd_count;
		memcpy(msg->fds + msg->fd_count, CMSG_DATA(cmsg), count * sizeof(int));
		msg->fd_count += count;
	}
}

int vfmi_lend_recv(struct vfmi_sys *sys, int fd, struct vfmi_lend_message *msg)
{
	struct iovec iov = { .iov_base = msg->bytes, .iov_len = sizeof(msg->bytes) };
	union control control;
	struct msghdr hdr = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t got;

	msg->fd_count = 0;
	do
		got = sys->ops->recvmsg(sys, fd, &hdr, MSG_DONTWAIT);
	while (got == -EINTR);
	if (got < 0)
		return (int)got;
	collect_fds(&hdr, msg);
	msg->length = (size_t)got;
	if (!(hdr.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) && got > 0 && (size_t)got <= sizeof(msg->bytes))
		return 1;
	vfmi_lend_drop_fds(sys, msg);
	/* All that one message can carry fits the control buffer: what was cut off found no free descriptor. */
	if (hdr.msg_flags & MSG_CTRUNC)
		return -EMFILE;
	return got == 0 ? 0 : -EPROTO;
}

int vfmi_lend_wait(struct vfmi_sys *sys, int fd, short events, int timeout_ms, const struct vfm_cancel *cancel)
{
	struct pollfd fds[] = {
		{ .fd = fd, .events = events },
		{ .fd = vfm_cancel_fd(cancel), .events = POLLIN },
	};
	int r;

	do
		r = sys->ops->poll(sys, fds, cancel ? 2 : 1, timeout_ms);
	while (r == -EINTR);
	if (vfm_cancel_is_set(cancel))
		return -ECANCELED;
	if (r < 0)
		return r;
	return r == 0 ? -ETIMEDOUT : 0;
}
