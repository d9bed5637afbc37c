/* SPDX-License-Identifier: MIT */
/* "file:PATH" and plain paths: files replaced whole or not at all, other kinds of file opened in place. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "endpoint.h"

#define TEMPORARY_MODE 0600 /* device state holds whatever the guest kept in the device */
#define TEMPORARY_TRIES 16
#define FIFO_RETRY_NS 20000000u

enum target_kind {
	TARGET_REPLACED, /* absent, or a regular file with FORCE */
	TARGET_IN_PLACE, /* FIFO, character or block device */
};

static int fail_plain(struct vfm_endpoint *ep, struct vfm_error *err, int code, const char *why)
{
	return vfmi_endpoint_fail(ep, err, code, VFM_ERROR_PEER, "%s", why);
}

/* What may be opened in place; @st is of the file itself, links followed. */
static int check_in_place(struct vfm_endpoint *ep, const struct stat *st, struct vfm_error *err)
{
	if (S_ISDIR(st->st_mode))
		return fail_plain(ep, err, EISDIR, "is a directory");
	if (S_ISSOCK(st->st_mode))
		return fail_plain(ep, err, ENXIO, "is a socket; say unix:PATH");
	if (S_ISBLK(st->st_mode) && (ep->flags & VFM_ENDPOINT_WRITE) && !(ep->flags & VFM_ENDPOINT_FORCE))
		return fail_plain(ep, err, EEXIST, "is a block device; it is overwritten only when forced");
	return 0;
}

/*
 * A rename over a symbolic link would replace the link and leave the file it means as it was, so links lead only to
 * what is opened in place (/dev/stdout).
 */
static int classify_target(struct vfm_endpoint *ep, enum target_kind *ret_kind, struct vfm_error *err)
{
	struct stat st;
	int r = ep->sys->ops->lstat(ep->sys, ep->target, &st);
	bool link = r == 0 && S_ISLNK(st.st_mode);

	*ret_kind = TARGET_REPLACED;
	if (r == -ENOENT)
		return 0;
	if (link)
		r = ep->sys->ops->stat(ep->sys, ep->target, &st);
	if (link && (r == -ENOENT || (r == 0 && S_ISREG(st.st_mode))))
		return fail_plain(ep, err, ELOOP, "is a symbolic link; name the file it leads to");
	if (r < 0)
		return vfmi_endpoint_fail_errno(ep, err, r, "cannot be looked at");
	if (!S_ISREG(st.st_mode)) {
		*ret_kind = TARGET_IN_PLACE;
		return check_in_place(ep, &st, err);
	}
	if (!(ep->flags & VFM_ENDPOINT_FORCE))
		return fail_plain(ep, err, EEXIST, "exists; it is replaced only when forced");
	return 0;
}

static int set_directory(struct vfm_endpoint *ep)
{
	const char *slash = strrchr(ep->target, '/');

	if (!slash)
		ep->directory = strdup(".");
	else if (slash == ep->target)
		ep->directory = strdup("/");
	else
		ep->directory = strndup(ep->target, (size_t)(slash - ep->target));
	return ep->directory ? 0 : -ENOMEM;
}

/* Opens a name that nobody has; -EEXIST when somebody was faster. */
static int try_temporary(struct vfm_endpoint *ep)
{
	uint64_t random;
	int fd, r = ep->sys->ops->getrandom(ep->sys, &random, sizeof(random));

	if (r < 0)
		return r;
	if (asprintf(&ep->temporary, "%s/.vfiomig-%016llx", ep->directory, (unsigned long long)random) < 0) {
		ep->temporary = NULL;
		return -ENOMEM;
	}
	fd = ep->sys->ops->open(ep->sys, ep->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, TEMPORARY_MODE);
	if (fd < 0) {
		free(ep->temporary);
		ep->temporary = NULL;
	}
	return fd;
}

/* Syncing it is the last step of all; that it cannot be is found out before the first. */
static int open_directory(struct vfm_endpoint *ep, struct vfm_error *err)
{
	int r = set_directory(ep);

	if (r == 0)
		r = ep->sys->ops->open(ep->sys, ep->directory, O_RDONLY | O_DIRECTORY, 0);
	if (r < 0)
		return vfmi_endpoint_fail_errno(ep, err, r, "its directory cannot be opened");
	ep->directory_fd = r;
	return 0;
}

static int open_temporary(struct vfm_endpoint *ep, struct vfm_error *err)
{
	int r = open_directory(ep, err);

	if (r < 0)
		return r;
	r = -EEXIST;
	for (int i = 0; i < TEMPORARY_TRIES && r == -EEXIST; i++)
		r = try_temporary(ep);
	if (r < 0)
		return vfmi_endpoint_fail_errno(ep, err, r, "cannot make a file in its directory");
	ep->out = (struct vfmi_channel){ .fd = r, .kind = VFMI_CHANNEL_PLAIN };
	return 0;
}

/* A FIFO has no open for writing that waits and can be cancelled: ENXIO until a reader is there. */
static int open_waiting(struct vfm_endpoint *ep, int flags)
{
	const uint64_t limit_ns = ep->timeout_ms ? (uint64_t)ep->timeout_ms * 1000000u : UINT64_MAX;
	uint64_t waited_ns = 0;

	for (;;) {
		int r = ep->sys->ops->open(ep->sys, ep->target, flags | O_NONBLOCK | O_NOCTTY, 0);

		if (r != -EINTR && !(r == -ENXIO && (flags & O_WRONLY)))
			return r;
		if (waited_ns >= limit_ns)
			return -ETIMEDOUT;
		r = vfmi_endpoint_wait_until(ep, -1, 0, ep->sys->ops->now_ns(ep->sys) + FIFO_RETRY_NS);
		if (r != -ETIMEDOUT)
			return r;
		waited_ns += FIFO_RETRY_NS;
	}
}

/*
 * The file may have become another since it was looked at. A FIFO to read polls first: without a writer yet, a read
 * would take that for the end.
 */
static int check_opened(struct vfm_endpoint *ep, struct vfmi_channel *ch, struct vfm_error *err)
{
	struct stat st;
	int r = ep->sys->ops->fstat(ep->sys, ch->fd, &st);

	if (r < 0)
		return vfmi_endpoint_fail_errno(ep, err, r, "cannot be looked at");
	r = check_in_place(ep, &st, err);
	if (r < 0)
		return r;
	if (S_ISREG(st.st_mode) && (ep->flags & VFM_ENDPOINT_WRITE))
		return fail_plain(ep, err, EEXIST, "became a regular file just now");
	if (ep->sys->ops->isatty(ep->sys, ch->fd) == 1)
		return vfmi_endpoint_fail(ep, err, ENOTTY, 0, "a stream is binary, this is a terminal");
	ch->kind = VFMI_CHANNEL_OWN;
	if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
		ch->kind = VFMI_CHANNEL_PLAIN;
	else if (S_ISFIFO(st.st_mode) && (ep->flags & VFM_ENDPOINT_READ))
		ch->kind = VFMI_CHANNEL_SHARED;
	return 0;
}

static int open_in_place(struct vfm_endpoint *ep, struct vfmi_channel *ch, int flags, struct vfm_error *err)
{
	ch->fd = open_waiting(ep, flags);
	if (ch->fd == -ENXIO)
		return fail_plain(ep, err, ENXIO, "is a socket (say unix:PATH), or a device that is not there");
	if (ch->fd < 0)
		return vfmi_endpoint_fail_errno(ep, err, ch->fd, "cannot open");
	return check_opened(ep, ch, err);
}

static int open_file(struct vfm_endpoint *ep, struct vfm_error *err)
{
	enum target_kind kind;
	int r;

	if (ep->target[0] == '\0')
		return vfmi_endpoint_fail(ep, err, EINVAL, 0, "a path is missing");
	if (ep->flags & VFM_ENDPOINT_READ)
		return open_in_place(ep, &ep->in, O_RDONLY, err);
	r = classify_target(ep, &kind, err);
	if (r < 0)
		return r;
	if (kind == TARGET_IN_PLACE)
		return open_in_place(ep, &ep->out, O_WRONLY, err);
	return open_temporary(ep, err);
}

/*
 * Where there are no hard links an empty file takes the name first: O_EXCL proves that nothing was lost, and the
 * rename then replaces only what was put there.
 */
static int take_name_without_link(struct vfm_endpoint *ep)
{
	int r = ep->sys->ops->open(ep->sys, ep->target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, TEMPORARY_MODE);

	if (r < 0)
		return r;
	ep->sys->ops->close(ep->sys, r);
	r = ep->sys->ops->rename(ep->sys, ep->temporary, ep->target);
	if (r < 0)
		ep->sys->ops->unlink(ep->sys, ep->target);
	return r;
}

/* Gives the temporary its name; afterwards the temporary's is gone. */
static int take_name(struct vfm_endpoint *ep)
{
	int r;

	if (ep->flags & VFM_ENDPOINT_FORCE)
		return ep->sys->ops->rename(ep->sys, ep->temporary, ep->target);
	r = ep->sys->ops->link(ep->sys, ep->temporary, ep->target);
	if (r == -EPERM || r == -EOPNOTSUPP || r == -EMLINK)
		return take_name_without_link(ep);
	/* the second name is only litter should it stay */
	if (r == 0)
		ep->sys->ops->unlink(ep->sys, ep->temporary);
	return r;
}

static int sync_directory(struct vfm_endpoint *ep)
{
	const struct vfmi_channel dir = { .fd = ep->directory_fd, .kind = VFMI_CHANNEL_PLAIN };

	return vfmi_channel_sync(ep, &dir);
}

static int commit_temporary(struct vfm_endpoint *ep, struct vfm_error *err)
{
	int r = take_name(ep);

	if (r == -EEXIST)
		return fail_plain(ep, err, EEXIST, "appeared meanwhile and was left alone");
	if (r < 0)
		return vfmi_endpoint_fail_errno(ep, err, r, "cannot take its name");
	free(ep->temporary);
	ep->temporary = NULL;
	r = sync_directory(ep);
	if (r < 0)
		return vfmi_endpoint_fail_errno(ep, err, r, "written whole, but a power cut may still undo it");
	return 0;
}

static int commit_file(struct vfm_endpoint *ep, struct vfm_error *err)
{
	int r;

	if (ep->out.fd < 0)
		return 0;
	r = vfmi_channel_sync(ep, &ep->out);
	if (r < 0)
		return vfmi_endpoint_fail_errno(ep, err, r, "cannot be brought to disk");
	return ep->temporary ? commit_temporary(ep, err) : 0;
}

static void close_file(struct vfm_endpoint *ep)
{
	if (ep->temporary)
		ep->sys->ops->unlink(ep->sys, ep->temporary);
	if (ep->directory_fd >= 0)
		ep->sys->ops->close(ep->sys, ep->directory_fd);
}

const struct vfmi_endpoint_kind vfmi_endpoint_file = {
	.prefix = "file:",
	.open = open_file,
	.commit = commit_file,
	.close = close_file,
};

const struct vfmi_endpoint_kind vfmi_endpoint_file_path = {
	.prefix = "",
	.open = open_file,
	.commit = commit_file,
	.close = close_file,
};
