/* SPDX-License-Identifier: MIT */
/* What the two files of the seam's table share: how the fault plan is put before a call. */
#ifndef VFIOMIG_SIM_SEAM_H
#define VFIOMIG_SIM_SEAM_H

#include <unistd.h>

#include "machine.h"

#define CALL(op_name, likely_errno)                                                                                    \
	{                                                                                                              \
		.op = (op_name), .name = (op_name), .likely = (likely_errno)                                           \
	}
#define MAX_IOV 64

/* For calls that have no half: partial is before. */
static inline bool fails(struct vfm_sim *sim, struct sim_call *call)
{
	vfmi_sim_fault(sim, call);
	return call->mode == VFM_SIM_FAULT_BEFORE || call->mode == VFM_SIM_FAULT_PARTIAL;
}

static inline int after(const struct sim_call *call, int r)
{
	return r >= 0 && call->mode == VFM_SIM_FAULT_AFTER ? -call->error : r;
}

static inline ssize_t after_size(const struct sim_call *call, ssize_t r)
{
	return r >= 0 && call->mode == VFM_SIM_FAULT_AFTER ? -call->error : r;
}

/* A descriptor that was made and then not reported is gone again. */
static inline int after_open(struct vfm_sim *sim, const struct sim_call *call, int fd)
{
	if (fd >= 0 && call->mode == VFM_SIM_FAULT_AFTER) {
		close(fd);
		return -call->error;
	}
	return vfmi_sim_books_opened(sim, fd);
}

/* How much to move; 0 when the call is to fail instead. */
static inline size_t half(struct vfm_sim *sim, struct sim_call *call, size_t length)
{
	vfmi_sim_fault(sim, call);
	if (call->mode == VFM_SIM_FAULT_BEFORE)
		return 0;
	return call->mode == VFM_SIM_FAULT_PARTIAL ? length / 2 : length;
}

static inline bool refuses(const struct sim_call *call, size_t length, size_t asked)
{
	return call->mode == VFM_SIM_FAULT_BEFORE || (call->mode == VFM_SIM_FAULT_PARTIAL && asked && !length);
}

/* seam-socket.c */
int vfmi_sim_seam_socket(struct vfmi_sys *sys, int domain, int type, int protocol);
int vfmi_sim_seam_bind(struct vfmi_sys *sys, int fd, const struct sockaddr *addr, socklen_t length);
int vfmi_sim_seam_listen(struct vfmi_sys *sys, int fd, int backlog);
int vfmi_sim_seam_accept(struct vfmi_sys *sys, int fd, struct sockaddr *addr, socklen_t *length);
int vfmi_sim_seam_connect(struct vfmi_sys *sys, int fd, const struct sockaddr *addr, socklen_t length);
int vfmi_sim_seam_shutdown(struct vfmi_sys *sys, int fd, int how);
ssize_t vfmi_sim_seam_sendmsg(struct vfmi_sys *sys, int fd, const struct msghdr *msg, int flags);
ssize_t vfmi_sim_seam_recvmsg(struct vfmi_sys *sys, int fd, struct msghdr *msg, int flags);
int vfmi_sim_seam_getsockopt(struct vfmi_sys *sys, int fd, int level, int name, void *value, socklen_t *length);
int vfmi_sim_seam_setsockopt(struct vfmi_sys *sys, int fd, int level, int name, const void *value, socklen_t length);
int vfmi_sim_seam_getsockname(struct vfmi_sys *sys, int fd, struct sockaddr *addr, socklen_t *length);
int vfmi_sim_seam_resolve(struct vfmi_sys *sys, const char *host, const char *port, bool passive,
			  struct vfmi_address *addrs, size_t room);

#endif
