/* SPDX-License-Identifier: MIT */
/* Cancel token: a sticky flag and an eventfd that becomes readable with it. */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "internal.h"

struct vfm_cancel {
	struct vfmi_sys *sys;
	atomic_bool set;
	int fd;
};

int vfm_cancel_new(struct vfm_context *ctx, struct vfm_cancel **ret_cancel)
{
	struct vfm_cancel *cancel;
	int fd;

	if (!ctx || !ret_cancel)
		return -EINVAL;
	cancel = calloc(1, sizeof(*cancel));
	if (!cancel)
		return -ENOMEM;
	fd = ctx->sys->ops->eventfd(ctx->sys, 0, EFD_NONBLOCK);
	if (fd < 0) {
		free(cancel);
		return VFMI_FAIL(ctx, NULL, -fd, NULL, "cancel token", "cannot make an eventfd: %s",
				 vfmi_errno_text(-fd));
	}
	cancel->sys = ctx->sys;
	cancel->fd = fd;
	atomic_init(&cancel->set, false);
	*ret_cancel = cancel;
	return 0;
}

void vfm_cancel_free(struct vfm_cancel *cancel)
{
	if (!cancel)
		return;
	cancel->sys->ops->close(cancel->sys, cancel->fd);
	free(cancel);
}

/*
 * Runs in signal handlers, where a simulated machine's table could wait for a lock the interrupted thread holds.
 * Eventfds are real in either world, so the libc table serves both.
 */
void vfm_cancel_trigger(struct vfm_cancel *cancel)
{
	const uint64_t one = 1;
	int saved = errno;

	if (!cancel)
		return;
	atomic_store(&cancel->set, true);
	/* the one way to fail is a full counter, and that polls readable too */
	(void)vfmi_sys_libc.ops->write(&vfmi_sys_libc, cancel->fd, &one, sizeof(one));
	errno = saved;
}

bool vfm_cancel_is_set(const struct vfm_cancel *cancel)
{
	return cancel && atomic_load(&cancel->set);
}

int vfm_cancel_fd(const struct vfm_cancel *cancel)
{
	return cancel ? cancel->fd : -1;
}
