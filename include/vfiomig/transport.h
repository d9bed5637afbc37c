/* SPDX-License-Identifier: MIT */
/* Endpoints (libvfiomig-net): the named places a stream goes to or comes from. */
#ifndef VFIOMIG_TRANSPORT_H
#define VFIOMIG_TRANSPORT_H

#include <vfiomig/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfm_endpoint;

enum vfm_endpoint_flag {
	VFM_ENDPOINT_READ = 1,		   /* a stream will be read from it */
	VFM_ENDPOINT_WRITE = 2,		   /* a stream will be written to it */
	VFM_ENDPOINT_LISTEN = 4,	   /* sockets: wait for the peer instead of calling it */
	VFM_ENDPOINT_FORCE = 8,		   /* files: replace an existing one */
	VFM_ENDPOINT_DUPLEX = 16,	   /* "fd:N", "-" (both standard streams): a channel to a peer that answers */
	VFM_ENDPOINT_BACKGROUND_BIND = 32, /* LISTEN: bind now, accept at first use: the address is known early */
};

/**
 * struct vfm_endpoint_opts
 * @flags: enum vfm_endpoint_flag, exactly one of READ and WRITE
 * @timeout_ms: for connecting, accepting and each wait for the peer; 0: for ever. Transfers wait past it for the last
 *              words of a handover, see vfm_save()
 * @reserved: 0
 * @cancel: may be NULL; makes every wait end with -ECANCELED
 * @name: what messages call the endpoint, for callers that name it otherwise ("exec:COMMAND"); NULL: as it is opened
 */
struct vfm_endpoint_opts {
	uint32_t size;
	uint32_t flags;
	uint32_t timeout_ms;
	uint32_t reserved;
	struct vfm_cancel *cancel;
	const char *name;
};

/**
 * vfm_endpoint_open() - open "file:PATH", a path, "-", "fd:N", "unix:PATH", "unix:@NAME", "tcp:HOST:PORT" or
 * "vsock:CID:PORT"
 *
 * tcp: HOST may be "[v6]", or empty when listening; PORT 0 when listening lets the kernel choose, see
 * vfm_endpoint_address(). vsock: CID is a number, "local" (1, this machine), "host" (2), or "any" when listening; a
 * connection that fails says whether the vsock mode of the network namespace may be why. Sockets are two-way,
 * everything else is one-way unless DUPLEX. The peer of a listening unix socket, and of an abstract one in either role,
 * must be of the same user or root.
 *
 * "fd:N" may be a socket that listens already (socket activation): one peer is accepted on it, as with LISTEN.
 *
 * A listening endpoint to read from takes the first peer that sends something: connections that end before their first
 * byte are forgotten, and while one is silent others may come, eight at a time. So whoever reads must not speak first.
 *
 * Only regular or absent files are replaced: written as an O_EXCL temporary (0600) in the same directory, which takes
 * the name at commit; the directory must be readable, or it could not be synced then. A file that appeared meanwhile is
 * left alone unless FORCE. Other kinds of file are opened in place (block devices to write to: with FORCE only),
 * symbolic links to regular files are not written through.
 *
 * Every wait heeds the cancel token and the timeout; only name resolution blocks past them. Writing to a pipe that has
 * no reader raises SIGPIPE as write(2) does: ignore the signal or block it on the thread that writes (vfm_save()'s
 * worker blocks all). Sockets never raise it.
 *
 * Return: 0, -EINVAL (syntax), -EEXIST (file exists, no FORCE), -EISDIR, -ELOOP (symbolic link), -ECONNREFUSED,
 * -EHOSTUNREACH, -ETIMEDOUT, -ECANCELED, -EPERM (another user), -ENOTTY (binary to or from a terminal), or errno.
 * Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_endpoint_open(struct vfm_context *ctx, const char *spec,
					     const struct vfm_endpoint_opts *opts, struct vfm_endpoint **ret_endpoint,
					     struct vfm_error *ret_error);

/* The channel, borrowed until close. Its read side is set for duplex endpoints opened for WRITE, and vice versa. */
VFM_API const struct vfm_io *vfm_endpoint_io(struct vfm_endpoint *endpoint);
VFM_API bool vfm_endpoint_is_duplex(const struct vfm_endpoint *endpoint);

/* Where a listening socket listens, as a spec a peer can use: "tcp:0.0.0.0:45123". Else the spec given. Borrowed. */
VFM_API const char *vfm_endpoint_address(const struct vfm_endpoint *endpoint);

/**
 * vfm_endpoint_accept() - wait for the peer of an endpoint that was bound in the background; does nothing on others
 *
 * The peer is there once it has sent something, if the endpoint is to be read; timeout_ms counts to that.
 * First use does the same, but can report no more than an errno. Blocking: yes, until timeout or cancel.
 * Return: 0, -ETIMEDOUT, -ECANCELED, or errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_endpoint_accept(struct vfm_endpoint *endpoint, struct vfm_error *ret_error);

/**
 * vfm_endpoint_commit() - what was written is complete: sync, rename into place, sync the directory; shut a socket's
 * write side
 *
 * Return: 0 or -errno; after a failure the old file is untouched or, if only the last directory sync failed, replaced
 * (the message says so). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_endpoint_commit(struct vfm_endpoint *endpoint, struct vfm_error *ret_error);

/* Close; a file that was not committed leaves no trace. NULL is fine. */
VFM_API void vfm_endpoint_close(struct vfm_endpoint *endpoint);

#ifdef __cplusplus
}
#endif
#endif
