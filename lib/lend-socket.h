/* SPDX-License-Identifier: MIT */
/* Unix sockets for lending: addresses, peers, one message with its descriptors. Never blocks unless it says so. */
#ifndef VFIOMIG_LEND_SOCKET_H
#define VFIOMIG_LEND_SOCKET_H

#include <sys/un.h>

#include "lend-wire.h"

/* PATH, or "@NAME" in the abstract namespace. Return: 0, -EINVAL (empty), -ENAMETOOLONG. */
int vfmi_lend_address(const char *path, struct sockaddr_un *ret_addr, socklen_t *ret_length);

/* A non-blocking SOCK_SEQPACKET socket; -errno. */
int vfmi_lend_socket(struct vfmi_sys *sys);

/* Who is at the other end, fixed when it connected (SO_PEERCRED). */
int vfmi_lend_peer(struct vfmi_sys *sys, int fd, struct ucred *ret_peer);

/* 0, -EAGAIN (its socket is full), -EPIPE and other errnos. */
int vfmi_lend_send(struct vfmi_sys *sys, int fd, const struct vfmi_lend_message *msg);

/*
 * 1 with a message, whose descriptors are then the caller's to drop; 0 at the end; -EAGAIN (nothing there), -EMFILE
 * (no room for its descriptors), -EPROTO (longer than any message) or errno. After a failure none is left open.
 */
int vfmi_lend_recv(struct vfmi_sys *sys, int fd, struct vfmi_lend_message *msg);
void vfmi_lend_drop_fds(struct vfmi_sys *sys, struct vfmi_lend_message *msg);

/* Blocking: wait for @events at most @timeout_ms. @cancel may be NULL. 0, -ETIMEDOUT, -ECANCELED or errno. */
int vfmi_lend_wait(struct vfmi_sys *sys, int fd, short events, int timeout_ms, const struct vfm_cancel *cancel);

#endif
