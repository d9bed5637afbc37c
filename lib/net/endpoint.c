/* SPDX-License-Identifier: MIT */
/* The endpoint object: which kind a name means, options, the channel handed out. What a kind does is in its own file.
 */
#include <stdio.h>
#include <stdlib.h>

#include "endpoint.h"

#define KNOWN_FLAGS                                                                                                    \
	(VFM_ENDPOINT_READ | VFM_ENDPOINT_WRITE | VFM_ENDPOINT_LISTEN | VFM_ENDPOINT_FORCE | VFM_ENDPOINT_DUPLEX |     \
	 VFM_ENDPOINT_BACKGROUND_BIND)
#define DIRECTION (VFM_ENDPOINT_READ | VFM_ENDPOINT_WRITE)

static const struct vfmi_endpoint_kind *const kinds[] = {
	&vfmi_endpoint_file, &vfmi_endpoint_fd,	   &vfmi_endpoint_unix,
	&vfmi_endpoint_tcp,  &vfmi_endpoint_vsock, &vfmi_endpoint_stdio,
};

int vfmi_endpoint_fail(struct vfm_endpoint *ep, struct vfm_error *err, int code, uint32_t flags, const char *fmt, ...)
{
	const struct vfmi_where where = {
		.step = "endpoint",
		.state_from = VFM_STATE_UNKNOWN,
		.state_to = VFM_STATE_UNKNOWN,
		.state_now = VFM_STATE_UNKNOWN,
		.flags = flags,
	};
	char text[384];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return vfmi_fail(ep->ctx, err, code, &where, "%s: %s", ep->name ? ep->name : ep->spec, text);
}

/* Causes that go away by themselves or with the peer's help. */
static bool is_retryable(int code)
{
	switch (code) {
	case EAGAIN:
	case EADDRINUSE:
	case ECONNREFUSED:
	case ECONNRESET:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENOSPC:
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

int vfmi_endpoint_fail_errno(struct vfm_endpoint *ep, struct vfm_error *err, int r, const char *what)
{
	uint32_t flags = VFM_ERROR_PEER | (is_retryable(-r) ? VFM_ERROR_RETRYABLE : 0u);

	return vfmi_endpoint_fail(ep, err, -r, r == -ECANCELED ? 0 : flags, "%s: %s", what, vfmi_errno_text(-r));
}

/* "word:" before any '/' looks like a kind; taking it for a file name would hide typing errors. */
static bool looks_like_kind(const char *spec)
{
	size_t length = strspn(spec, "abcdefghijklmnopqrstuvwxyz0123456789");

	return length > 1 && spec[length] == ':';
}

bool vfmi_endpoint_number(const char *text, const char *end, uint32_t max, uint32_t *ret)
{
	uint64_t value = 0;

	if (text == end)
		return false;
	for (; text < end; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > max)
			return false;
	}
	*ret = (uint32_t)value;
	return true;
}

static const struct vfmi_endpoint_kind *find_kind(const char *spec)
{
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(kinds); i++) {
		size_t length = strlen(kinds[i]->prefix);
		bool whole = kinds[i]->prefix[length - 1] != ':';

		if (!strncmp(spec, kinds[i]->prefix, length) && (!whole || spec[length] == '\0'))
			return kinds[i];
	}
	return looks_like_kind(spec) ? NULL : &vfmi_endpoint_file_path;
}

static int64_t io_read(void *user, void *buf, size_t length)
{
	struct vfm_endpoint *ep = user;
	int r = ep->kind->ready ? ep->kind->ready(ep, NULL) : 0;

	return r < 0 ? r : vfmi_channel_read(ep, &ep->in, buf, length);
}

static int io_write(void *user, const void *buf, size_t length)
{
	struct vfm_endpoint *ep = user;
	int r = ep->kind->ready ? ep->kind->ready(ep, NULL) : 0;

	return r < 0 ? r : vfmi_channel_write(ep, &ep->out, buf, length);
}

static void set_io(struct vfm_endpoint *ep)
{
	ep->io.size = sizeof(ep->io);
	ep->io.user = ep;
	if (ep->duplex || (ep->flags & VFM_ENDPOINT_READ))
		ep->io.read = io_read;
	if (ep->duplex || (ep->flags & VFM_ENDPOINT_WRITE))
		ep->io.write = io_write;
}

static int check_flags(struct vfm_endpoint *ep, struct vfm_error *err)
{
	const uint32_t direction = ep->flags & DIRECTION;
	const bool socket = ep->kind == &vfmi_endpoint_unix || ep->kind == &vfmi_endpoint_tcp ||
			    ep->kind == &vfmi_endpoint_vsock;
	const bool descriptor = ep->kind == &vfmi_endpoint_fd || ep->kind == &vfmi_endpoint_stdio;

	if ((ep->flags & ~KNOWN_FLAGS) || direction == 0 || direction == DIRECTION)
		return vfmi_endpoint_fail(ep, err, EINVAL, 0, "exactly one of reading and writing must be asked for");
	if ((ep->flags & VFM_ENDPOINT_LISTEN) && !socket)
		return vfmi_endpoint_fail(ep, err, EINVAL, 0, "only sockets can wait for a peer");
	if ((ep->flags & VFM_ENDPOINT_DUPLEX) && !socket && !descriptor)
		return vfmi_endpoint_fail(ep, err, EINVAL, 0, "a file is one-way, nobody there can answer");
	return 0;
}

static int set_kind(struct vfm_endpoint *ep, struct vfm_error *err)
{
	ep->kind = find_kind(ep->spec);
	if (!ep->kind)
		return vfmi_endpoint_fail(ep, err, EINVAL, 0,
					  "unknown kind of endpoint (a file of that name is \"file:%s\")", ep->spec);
	ep->target = ep->spec + strlen(ep->kind->prefix);
	return check_flags(ep, err);
}

static int make(struct vfm_context *ctx, const char *spec, const struct vfm_endpoint_opts *opts,
		struct vfm_endpoint **ret_ep)
{
	struct vfm_endpoint *ep = calloc(1, sizeof(*ep));

	if (!ep)
		return -ENOMEM;
	ep->spec = strdup(spec);
	ep->name = opts->name ? strdup(opts->name) : NULL;
	if (!ep->spec || (opts->name && !ep->name)) {
		free(ep->spec);
		free(ep->name);
		free(ep);
		return -ENOMEM;
	}
	ep->ctx = ctx;
	ep->sys = vfmi_context_sys(ctx);
	ep->flags = opts->flags;
	ep->timeout_ms = opts->timeout_ms;
	ep->cancel = opts->cancel;
	ep->in.fd = ep->out.fd = ep->listen_fd = ep->directory_fd = -1;
	pthread_mutex_init(&ep->accept_lock, NULL);
	*ret_ep = ep;
	return 0;
}

int vfm_endpoint_open(struct vfm_context *ctx, const char *spec, const struct vfm_endpoint_opts *opts,
		      struct vfm_endpoint **ret_endpoint, struct vfm_error *ret_error)
{
	struct vfm_endpoint_opts known;
	struct vfm_endpoint *ep = NULL;
	int r;

	if (!ctx || !spec || !opts || !ret_endpoint)
		return -EINVAL;
	r = vfmi_sized_in(&known, sizeof(known), opts, offsetof(struct vfm_endpoint_opts, cancel));
	if (r == 0)
		r = make(ctx, spec, &known, &ep);
	if (r < 0)
		return VFMI_FAIL(ctx, ret_error, -r, NULL, "endpoint", "%s: %s", spec, vfmi_errno_text(-r));
	r = known.reserved ? vfmi_endpoint_fail(ep, ret_error, EINVAL, 0, "what is reserved in the options must be 0")
			   : set_kind(ep, ret_error);
	if (r == 0)
		r = ep->kind->open(ep, ret_error);
	if (r < 0) {
		vfm_endpoint_close(ep);
		return r;
	}
	set_io(ep);
	*ret_endpoint = ep;
	return 0;
}

const struct vfm_io *vfm_endpoint_io(struct vfm_endpoint *endpoint)
{
	return &endpoint->io;
}

bool vfm_endpoint_is_duplex(const struct vfm_endpoint *endpoint)
{
	return endpoint->duplex;
}

const char *vfm_endpoint_address(const struct vfm_endpoint *endpoint)
{
	if (endpoint->address)
		return endpoint->address;
	return endpoint->name ? endpoint->name : endpoint->spec;
}

int vfm_endpoint_accept(struct vfm_endpoint *endpoint, struct vfm_error *ret_error)
{
	return endpoint->kind->ready ? endpoint->kind->ready(endpoint, ret_error) : 0;
}

int vfm_endpoint_commit(struct vfm_endpoint *endpoint, struct vfm_error *ret_error)
{
	return endpoint->kind->commit ? endpoint->kind->commit(endpoint, ret_error) : 0;
}

void vfm_endpoint_close(struct vfm_endpoint *endpoint)
{
	if (!endpoint)
		return;
	if (endpoint->kind && endpoint->kind->close)
		endpoint->kind->close(endpoint);
	vfmi_channel_close(endpoint, &endpoint->in);
	vfmi_channel_close(endpoint, &endpoint->out);
	pthread_mutex_destroy(&endpoint->accept_lock);
	free(endpoint->temporary);
	free(endpoint->directory);
	free(endpoint->bound_path);
	free(endpoint->address);
	free(endpoint->spec);
	free(endpoint->name);
	free(endpoint);
}
