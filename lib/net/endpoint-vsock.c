/* SPDX-License-Identifier: MIT */
/* "vsock:CID:PORT": between a machine and its guests, or within one; why a connection fails, as far as it can be told.
 */
#include <stdio.h>
#include <sys/socket.h>

/* Older versions of it do not stand alone. */
#include <linux/vm_sockets.h>

#include "socket.h"

#define NS_MODE_PATH "/proc/sys/net/vsock/ns_mode"
#define MODE_ROOM 16u

static const struct {
	const char *name;
	unsigned int cid;
} cids[] = {
	{ "local", VMADDR_CID_LOCAL },
	{ "host", VMADDR_CID_HOST },
	{ "any", VMADDR_CID_ANY },
};

/* A number is below the one that stands for any, here and for ports. */
static bool parse_cid(const char *text, const char *end, unsigned int *ret)
{
	const size_t length = (size_t)(end - text);

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(cids); i++) {
		if (strlen(cids[i].name) == length && !memcmp(cids[i].name, text, length)) {
			*ret = cids[i].cid;
			return true;
		}
	}
	return vfmi_endpoint_number(text, end, UINT32_MAX - 1, ret);
}

static int make_address(struct vfm_endpoint *ep, struct vfmi_address *ret, struct vfm_error *err)
{
	struct sockaddr_vm *vm = (struct sockaddr_vm *)&ret->storage;
	const bool listening = ep->flags & VFM_ENDPOINT_LISTEN;
	const char *colon = strchr(ep->target, ':');

	*ret = (struct vfmi_address){ .length = sizeof(*vm) };
	vm->svm_family = AF_VSOCK;
	if (!colon || !parse_cid(ep->target, colon, &vm->svm_cid) ||
	    !vfmi_endpoint_number(colon + 1, colon + strlen(colon), UINT32_MAX - 1, &vm->svm_port))
		return vfmi_endpoint_fail(ep, err, EINVAL, 0,
					  "not vsock:CID:PORT (CID a number, local, host, or any to listen)");
	if (vm->svm_cid == VMADDR_CID_ANY && !listening)
		return vfmi_endpoint_fail(ep, err, EINVAL, 0, "any is for listening only");
	if (vm->svm_port == 0 && !listening)
		return vfmi_endpoint_fail(ep, err, EINVAL, 0, "port 0 is for listening only");
	if (vm->svm_port == 0)
		vm->svm_port = VMADDR_PORT_ANY;
	return 0;
}

/* As a peer that reaches this socket by the same CID would have to say it. */
static int set_address(struct vfm_endpoint *ep)
{
	struct sockaddr_vm vm = { 0 };
	socklen_t length = sizeof(vm);
	int r = ep->sys->ops->getsockname(ep->sys, ep->listen_fd, (struct sockaddr *)&vm, &length);

	if (r < 0)
		return r;
	if (vm.svm_cid == VMADDR_CID_ANY)
		r = asprintf(&ep->address, "vsock:any:%u", vm.svm_port);
	else
		r = asprintf(&ep->address, "vsock:%u:%u", vm.svm_cid, vm.svm_port);
	if (r >= 0)
		return 0;
	ep->address = NULL;
	return -ENOMEM;
}

/* Since Linux 7.0 a network namespace is open to all others of its kind ("global") or closed ("local"). */
static const char *namespace_words(struct vfm_endpoint *ep)
{
	char mode[MODE_ROOM];
	int r = vfmi_sys_read_file(ep->sys, NS_MODE_PATH, mode, sizeof(mode));

	if (r == -ENOENT)
		return "network namespaces do not explain it, vsock ignores them on this kernel";
	if (r < 0)
		return "whether the vsock mode of the network namespace explains it cannot be read";
	if (!strcmp(mode, "local"))
		return "the vsock mode of this network namespace is local: only sockets of the same namespace are "
		       "reached";
	return "the vsock mode of this network namespace is global, which explains it only if the peer is in one "
	       "whose mode is local";
}

/* The errnos that a peer out of reach gives; others are told as they are. */
static const char *reach_words(int r)
{
	switch (-r) {
	case ECONNREFUSED:
	case ECONNRESET:
		return "nobody listens there";
	case ENODEV:
		return "no such guest runs, or the kernel has no vsock transport to it";
	case ENETUNREACH:
	case EHOSTUNREACH:
		return "there is no way to that CID";
	case ETIMEDOUT:
		return "no answer";
	default:
		return NULL;
	}
}

static int fail_open(struct vfm_endpoint *ep, struct vfm_error *err, int r)
{
	const char *what = ep->flags & VFM_ENDPOINT_LISTEN ? "cannot listen" : "cannot connect";
	const char *reach = ep->flags & VFM_ENDPOINT_LISTEN ? NULL : reach_words(r);

	if (r == -EAFNOSUPPORT)
		return vfmi_endpoint_fail(ep, err, EAFNOSUPPORT, VFM_ERROR_PEER, "%s: this kernel has no vsock", what);
	if (!reach)
		return vfmi_endpoint_fail_errno(ep, err, r, what);
	return vfmi_endpoint_fail(ep, err, -r, VFM_ERROR_PEER | VFM_ERROR_RETRYABLE, "%s: %s: %s; %s", what,
				  vfmi_errno_text(-r), reach, namespace_words(ep));
}

static int open_vsock(struct vfm_endpoint *ep, struct vfm_error *err)
{
	const bool listening = ep->flags & VFM_ENDPOINT_LISTEN;
	struct vfmi_address addr;
	int r = make_address(ep, &addr, err);

	if (r < 0)
		return r;
	ep->duplex = true;
	r = listening ? vfmi_socket_listen(ep, &addr) : vfmi_socket_connect(ep, &addr);
	if (r == 0 && listening)
		r = set_address(ep);
	if (r < 0)
		return fail_open(ep, err, r);
	if (!listening || (ep->flags & VFM_ENDPOINT_BACKGROUND_BIND))
		return 0;
	return vfmi_socket_accept(ep, NULL, err);
}

static int ready(struct vfm_endpoint *ep, struct vfm_error *err)
{
	return vfmi_socket_accept(ep, NULL, err);
}

const struct vfmi_endpoint_kind vfmi_endpoint_vsock = {
	.prefix = "vsock:",
	.open = open_vsock,
	.ready = ready,
	.commit = vfmi_socket_commit,
	.close = vfmi_socket_close_listener,
};
