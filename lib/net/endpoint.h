/* SPDX-License-Identifier: MIT */
/* What the files of libvfiomig-net share: the endpoint object, its kinds, and byte channels over descriptors. */
#ifndef VFIOMIG_NET_ENDPOINT_H
#define VFIOMIG_NET_ENDPOINT_H

#include <pthread.h>

#include <vfiomig/transport.h>

#include "internal.h"

/* How a descriptor has to be treated so that no call on it blocks past a cancel or a timeout. */
enum vfmi_channel_kind {
	VFMI_CHANNEL_PLAIN,  /* files and block devices: never wait for a peer */
	VFMI_CHANNEL_OWN,    /* non-blocking description of our own: EAGAIN, then poll */
	VFMI_CHANNEL_SHARED, /* blocking description that others use too: poll first */
	VFMI_CHANNEL_PIPE,   /* the same, a pipe to write to: also little at a time */
	VFMI_CHANNEL_SOCKET, /* MSG_DONTWAIT on each call, whatever the description says */
};

struct vfmi_channel {
	int fd; /* -1: this direction is closed */
	enum vfmi_channel_kind kind;
};

struct vfmi_endpoint_kind;

struct vfm_endpoint {
	struct vfm_context *ctx;
	struct vfmi_sys *sys;
	const struct vfmi_endpoint_kind *kind;
	uint32_t flags;
	uint32_t timeout_ms;
	struct vfm_cancel *cancel;
	char *spec;	    /* as the caller gave it */
	char *name;	    /* what messages call it; NULL: spec */
	const char *target; /* what follows the kind's prefix, inside spec */
	char *address;
	struct vfmi_channel in;
	struct vfmi_channel out;
	struct vfm_io io;
	bool duplex;

	/* files: what commit turns into the target */
	char *temporary;
	char *directory;
	int directory_fd; /* synced after the rename */

	/* sockets: who waits for the peer, and under which lock it is taken at first use */
	pthread_mutex_t accept_lock;
	int listen_fd;
	int listen_domain; /* of "fd:N" that is a listening socket; 0: it is none */
	char *bound_path;
	dev_t bound_dev;
	ino_t bound_ino;
};

/* One file per kind; a NULL entry means there is nothing to do. */
struct vfmi_endpoint_kind {
	const char *prefix; /* "tcp:"; "" takes what no other kind wants */
	int (*open)(struct vfm_endpoint *ep, struct vfm_error *err);
	int (*ready)(struct vfm_endpoint *ep, struct vfm_error *err); /* before each use: a peer is there */
	int (*commit)(struct vfm_endpoint *ep, struct vfm_error *err);
	void (*close)(struct vfm_endpoint *ep);
};

extern const struct vfmi_endpoint_kind vfmi_endpoint_file;
extern const struct vfmi_endpoint_kind vfmi_endpoint_file_path;
extern const struct vfmi_endpoint_kind vfmi_endpoint_fd;
extern const struct vfmi_endpoint_kind vfmi_endpoint_stdio;
extern const struct vfmi_endpoint_kind vfmi_endpoint_unix;
extern const struct vfmi_endpoint_kind vfmi_endpoint_tcp;
extern const struct vfmi_endpoint_kind vfmi_endpoint_vsock;

/* Failure of the endpoint @ep; @flags of enum vfm_error_flag. Returns -@code. */
VFM_PRINTF(5, 6)
int vfmi_endpoint_fail(struct vfm_endpoint *ep, struct vfm_error *err, int code, uint32_t flags, const char *fmt, ...);

/* The most common one: "@what: errno in words", the cause being the endpoint. @r is the negative errno returned. */
int vfmi_endpoint_fail_errno(struct vfm_endpoint *ep, struct vfm_error *err, int r, const char *what);

/* Decimal digits and nothing else from @text up to @end, a number up to @max. */
bool vfmi_endpoint_number(const char *text, const char *end, uint32_t max, uint32_t *ret);

/* Channels (channel.c). All honour the endpoint's cancel token and timeout. */

/* Wait for @events on @fd. Return: 0, -ECANCELED, -ETIMEDOUT, or errno. @limit_ns: absolute, UINT64_MAX for none. */
int vfmi_endpoint_wait_until(struct vfm_endpoint *ep, int fd, short events, uint64_t limit_ns);

/* The same for one or more of @fds, which has room for one more than its @count: the cancel token's. */
int vfmi_endpoint_poll_until(struct vfm_endpoint *ep, struct pollfd *fds, nfds_t count, uint64_t limit_ns);

/* Absolute time at which a wait that starts now gives up. */
uint64_t vfmi_endpoint_limit(struct vfm_endpoint *ep);

int64_t vfmi_channel_read(struct vfm_endpoint *ep, const struct vfmi_channel *ch, void *buf, size_t length);
int vfmi_channel_write(struct vfm_endpoint *ep, const struct vfmi_channel *ch, const void *buf, size_t length);
void vfmi_channel_close(struct vfm_endpoint *ep, struct vfmi_channel *ch);

/* fsync(); what cannot be synced (pipes, sockets, /dev/null) is fine. */
int vfmi_channel_sync(struct vfm_endpoint *ep, const struct vfmi_channel *ch);

#endif
