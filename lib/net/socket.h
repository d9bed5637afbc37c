/* SPDX-License-Identifier: MIT */
/* What unix and TCP endpoints have in common: connecting, listening (socket.c), taking one peer (accept.c). */
#ifndef VFIOMIG_NET_SOCKET_H
#define VFIOMIG_NET_SOCKET_H

#include "endpoint.h"

/* Connect a new socket to @addr within the endpoint's timeout; both channels are set. Return: 0 or -errno. */
int vfmi_socket_connect(struct vfm_endpoint *ep, const struct vfmi_address *addr);

/* Bind and listen on @addr; ep->listen_fd is set. Return: 0 or -errno. */
int vfmi_socket_listen(struct vfm_endpoint *ep, const struct vfmi_address *addr);

/* A connected socket becomes both channels; it is closed on failure. Return: 0 or -errno. */
int vfmi_socket_take(struct vfm_endpoint *ep, int fd, sa_family_t family);

/*
 * Take one peer, unless there is one, and stop listening. An endpoint to read from takes the first that says something.
 * Thread-safe: both directions may use a socket first. Callback @check turns a peer away with a negative value; NULL
 * takes everyone.
 */
typedef int vfmi_peer_fn(struct vfm_endpoint *ep, int fd);
vfmi_peer_fn vfmi_unix_check_peer; /* endpoint-unix.c: the same user, or root */
int vfmi_socket_accept(struct vfm_endpoint *ep, vfmi_peer_fn *check, struct vfm_error *err);

int vfmi_socket_commit(struct vfm_endpoint *ep, struct vfm_error *err);
void vfmi_socket_close_listener(struct vfm_endpoint *ep);

#endif
