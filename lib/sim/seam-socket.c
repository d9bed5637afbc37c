/* SPDX-License-Identifier: MIT */
/* Sockets behind the seam: the running kernel's, with the fault plan before them and an eye on descriptors passed. */
#include "seam.h"

int vfmi_sim_seam_socket(struct vfmi_sys *sys, int domain, int type, int protocol)
{
	struct sim_call call = CALL("socket", EMFILE);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	if (fails(sim, &call))
		return -call.error;
	return after_open(sim, &call, sim->host->ops->socket(sim->host, domain, type, protocol));
}

int vfmi_sim_seam_bind(struct vfmi_sys *sys, int fd, const struct sockaddr *addr, socklen_t length)
{
	struct sim_call call = CALL("bind", EADDRINUSE);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after(&call, sim->host->ops->bind(sim->host, fd, addr, length));
}

int vfmi_sim_seam_listen(struct vfmi_sys *sys, int fd, int backlog)
{
	struct sim_call call = CALL("listen", EADDRINUSE);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after(&call, sim->host->ops->listen(sim->host, fd, backlog));
}

int vfmi_sim_seam_accept(struct vfmi_sys *sys, int fd, struct sockaddr *addr, socklen_t *length)
{
	struct sim_call call = CALL("accept", ECONNABORTED);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	if (fails(sim, &call))
		return -call.error;
	return after_open(sim, &call, sim->host->ops->accept(sim->host, fd, addr, length));
}

int vfmi_sim_seam_connect(struct vfmi_sys *sys, int fd, const struct sockaddr *addr, socklen_t length)
{
	struct sim_call call = CALL("connect", ECONNREFUSED);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after(&call, sim->host->ops->connect(sim->host, fd, addr, length));
}

int vfmi_sim_seam_shutdown(struct vfmi_sys *sys, int fd, int how)
{
	struct sim_call call = CALL("shutdown", ENOTCONN);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after(&call, sim->host->ops->shutdown(sim->host, fd, how));
}

static size_t message_bytes(const struct msghdr *msg)
{
	size_t i, bytes = 0;

	for (i = 0; i < msg->msg_iovlen; i++)
		bytes += msg->msg_iov[i].iov_len;
	return bytes;
}

/* @msg with room or data for @length bytes only; @iov has MAX_IOV entries. */
static struct msghdr cut_message(const struct msghdr *msg, size_t length, struct iovec *iov)
{
	struct msghdr cut = *msg;
	size_t i;

	for (i = 0; i < msg->msg_iovlen && i < MAX_IOV && length; i++) {
		iov[i] = msg->msg_iov[i];
		if (iov[i].iov_len > length)
			iov[i].iov_len = length;
		length -= iov[i].iov_len;
	}
	cut.msg_iov = iov;
	cut.msg_iovlen = i;
	return cut;
}

ssize_t vfmi_sim_seam_sendmsg(struct vfmi_sys *sys, int fd, const struct msghdr *msg, int flags)
{
	struct sim_call call = CALL("sendmsg", EPIPE);
	struct vfm_sim *sim = vfmi_sim_of(sys);
	size_t asked = message_bytes(msg), length = half(sim, &call, asked);
	struct iovec iov[MAX_IOV];
	struct msghdr cut;

	if (refuses(&call, length, asked))
		return -call.error;
	if (length == asked)
		return after_size(&call, sim->host->ops->sendmsg(sim->host, fd, msg, flags));
	cut = cut_message(msg, length, iov);
	return sim->host->ops->sendmsg(sim->host, fd, &cut, flags);
}

typedef int received_fn(struct vfm_sim *sim, int fd);

static int close_received(struct vfm_sim *sim, int fd)
{
	(void)sim;
	return close(fd);
}

static void each_received(struct vfm_sim *sim, struct msghdr *msg, received_fn *fn)
{
	struct cmsghdr *cmsg;
	size_t i;
	int fd;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (i = 0; CMSG_LEN((i + 1) * sizeof(fd)) <= cmsg->cmsg_len; i++) {
			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
			fn(sim, fd);
		}
	}
}

ssize_t vfmi_sim_seam_recvmsg(struct vfmi_sys *sys, int fd, struct msghdr *msg, int flags)
{
	struct sim_call call = CALL("recvmsg", ECONNRESET);
	struct vfm_sim *sim = vfmi_sim_of(sys);
	size_t asked = message_bytes(msg), length = half(sim, &call, asked);
	struct iovec iov[MAX_IOV];
	struct msghdr cut;
	ssize_t n;

	if (refuses(&call, length, asked))
		return -call.error;
	cut = length == asked ? *msg : cut_message(msg, length, iov);
	n = sim->host->ops->recvmsg(sim->host, fd, &cut, flags);
	msg->msg_namelen = cut.msg_namelen;
	msg->msg_controllen = cut.msg_controllen;
	msg->msg_flags = cut.msg_flags;
	if (n >= 0)
		each_received(sim, msg, call.mode == VFM_SIM_FAULT_AFTER ? close_received : vfmi_sim_books_opened);
	return after_size(&call, n);
}

int vfmi_sim_seam_getsockopt(struct vfmi_sys *sys, int fd, int level, int name, void *value, socklen_t *length)
{
	struct sim_call call = CALL("getsockopt", ENOTSOCK);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	if (fails(sim, &call))
		return -call.error;
	return after(&call, sim->host->ops->getsockopt(sim->host, fd, level, name, value, length));
}

int vfmi_sim_seam_setsockopt(struct vfmi_sys *sys, int fd, int level, int name, const void *value, socklen_t length)
{
	struct sim_call call = CALL("setsockopt", ENOPROTOOPT);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	if (fails(sim, &call))
		return -call.error;
	return after(&call, sim->host->ops->setsockopt(sim->host, fd, level, name, value, length));
}

int vfmi_sim_seam_getsockname(struct vfmi_sys *sys, int fd, struct sockaddr *addr, socklen_t *length)
{
	struct sim_call call = CALL("getsockname", ENOBUFS);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	if (fails(sim, &call))
		return -call.error;
	return after(&call, sim->host->ops->getsockname(sim->host, fd, addr, length));
}

int vfmi_sim_seam_resolve(struct vfmi_sys *sys, const char *host, const char *port, bool passive,
			  struct vfmi_address *addrs, size_t room)
{
	struct sim_call call = CALL("resolve", ENOENT);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	if (fails(sim, &call))
		return -call.error;
	return after(&call, sim->host->ops->resolve(sim->host, host, port, passive, addrs, room));
}
