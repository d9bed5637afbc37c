/* SPDX-License-Identifier: MIT */
/* "tcp:HOST:PORT", HOST a name, an IPv4 address, "[IPv6]", or nothing for any when listening. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "socket.h"

#define MAX_ADDRESSES 16
#define HOST_ROOM 256 /* the longest name DNS knows, and NUL */

struct host_port {
	char host[HOST_ROOM];
	char port[8];
};

static bool is_port(const char *text)
{
	const size_t length = strlen(text);
	uint32_t port;

	return length <= 5 && vfmi_endpoint_number(text, text + length, UINT16_MAX, &port);
}

static bool is_port_zero(const char *port)
{
	return strspn(port, "0") == strlen(port);
}

/* The host's first byte and length in "HOST:PORT" or "[HOST]:PORT"; the port, or NULL when there is none. */
static const char *split(const char *text, const char **ret_host, size_t *ret_length)
{
	const char *end;

	if (text[0] == '[') {
		end = strchr(text, ']');
		*ret_host = text + 1;
		*ret_length = end ? (size_t)(end - text) - 1 : 0;
		return end && end[1] == ':' ? end + 2 : NULL;
	}
	end = strrchr(text, ':');
	*ret_host = text;
	*ret_length = end ? (size_t)(end - text) : 0;
	/* two colons are an IPv6 address without its brackets */
	return end && !memchr(text, ':', *ret_length) ? end + 1 : NULL;
}

static int parse(struct vfm_endpoint *ep, struct host_port *ret, struct vfm_error *err)
{
	const bool listening = ep->flags & VFM_ENDPOINT_LISTEN;
	const char *host, *port;
	size_t length;

	port = split(ep->target, &host, &length);
	if (!port || !is_port(port) || length >= sizeof(ret->host))
		return vfmi_endpoint_fail(ep, err, EINVAL, 0, "not tcp:HOST:PORT (IPv6 addresses in brackets)");
	if (length == 0 && !listening)
		return vfmi_endpoint_fail(ep, err, EINVAL, 0, "a host is missing");
	if (is_port_zero(port) && !listening)
		return vfmi_endpoint_fail(ep, err, EINVAL, 0, "port 0 is for listening only");
	memcpy(ret->host, host, length);
	ret->host[length] = '\0';
	snprintf(ret->port, sizeof(ret->port), "%s", port);
	return 0;
}

/* The kernel's choice for port 0, as a peer on the same network would have to say it. */
static int set_address(struct vfm_endpoint *ep)
{
	struct sockaddr_storage addr = { 0 };
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&addr;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&addr;
	socklen_t length = sizeof(addr);
	char host[INET6_ADDRSTRLEN];
	int r = ep->sys->ops->getsockname(ep->sys, ep->listen_fd, (struct sockaddr *)&addr, &length);

	if (r < 0)
		return r;
	if (addr.ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		r = asprintf(&ep->address, "tcp:[%s]:%u", host, (unsigned int)ntohs(v6->sin6_port));
	} else {
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		r = asprintf(&ep->address, "tcp:%s:%u", host, (unsigned int)ntohs(v4->sin_port));
	}
	if (r >= 0)
		return 0;
	ep->address = NULL;
	return -ENOMEM;
}

/* The first address that works; the last one's error when none does. */
static int try_addresses(struct vfm_endpoint *ep, const struct vfmi_address *addrs, int count)
{
	int r = -EHOSTUNREACH;

	for (int i = 0; i < count; i++) {
		if (ep->flags & VFM_ENDPOINT_LISTEN)
			r = vfmi_socket_listen(ep, &addrs[i]);
		else
			r = vfmi_socket_connect(ep, &addrs[i]);
		if (r == 0 || r == -ECANCELED)
			break;
	}
	return r;
}

static int open_tcp(struct vfm_endpoint *ep, struct vfm_error *err)
{
	const bool listening = ep->flags & VFM_ENDPOINT_LISTEN;
	struct vfmi_address addrs[MAX_ADDRESSES];
	struct host_port to;
	int r = parse(ep, &to, err);

	if (r < 0)
		return r;
	ep->duplex = true;
	r = ep->sys->ops->resolve(ep->sys, to.host[0] ? to.host : NULL, to.port, listening, addrs, MAX_ADDRESSES);
	if (r < 0)
		return vfmi_endpoint_fail_errno(ep, err, r, "no such host");
	r = try_addresses(ep, addrs, r);
	if (r == 0 && listening)
		r = set_address(ep);
	if (r < 0)
		return vfmi_endpoint_fail_errno(ep, err, r, listening ? "cannot listen" : "cannot connect");
	if (!listening || (ep->flags & VFM_ENDPOINT_BACKGROUND_BIND))
		return 0;
	return vfmi_socket_accept(ep, NULL, err);
}

static int ready(struct vfm_endpoint *ep, struct vfm_error *err)
{
	return vfmi_socket_accept(ep, NULL, err);
}

const struct vfmi_endpoint_kind vfmi_endpoint_tcp = {
	.prefix = "tcp:",
	.open = open_tcp,
	.ready = ready,
	.commit = vfmi_socket_commit,
	.close = vfmi_socket_close_listener,
};
