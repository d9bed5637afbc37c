/* SPDX-License-Identifier: MIT */
/*
 * The listening socket of a lender. It is made under a name nobody knows and linked to its own once it listens: so it
 * never stands there with wider permissions, and a socket that refuses connections is known to be a dead one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lend-place.h"
#include "lend-socket.h"

#define PLACE_STEP "lend"
#define PLACE_TRIES 3
#define HIDDEN_FORMAT "%.*s.vfm-%08" PRIx32

struct vfmi_lend_place {
	struct vfm_context *ctx;
	char *path; /* NULL in the abstract namespace: nothing to take away */
	int fd;
	dev_t device; /* of the socket's inode, to take away only our own */
	ino_t inode;
};

static int place_fail(struct vfm_context *ctx, struct vfm_error *err, int r, const char *path, const char *what)
{
	return VFMI_FAIL(ctx, err, -r, NULL, PLACE_STEP, "%s: %s%s%s", path, what ? what : "", what ? ": " : "",
			 vfmi_errno_text(-r));
}

/* An unguessable name in the directory of @path. */
static int hidden_name(struct vfmi_sys *sys, const char *path, char *buf, size_t room)
{
	const char *slash = strrchr(path, '/');
	int directory = slash ? (int)(slash - path) + 1 : 0;
	uint32_t number;
	int r = sys->ops->getrandom(sys, &number, sizeof(number));

	if (r < 0)
		return r;
	r = snprintf(buf, room, HIDDEN_FORMAT, directory, path, number);
	return r < 0 || (size_t)r >= room ? -ENAMETOOLONG : 0;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Return: 0 somebody listens there (or might), -ECONNREFUSED nobody does, -ENOENT it is gone. */
static int knock(struct vfmi_sys *sys, const char *path)
{
	struct sockaddr_un addr;
	socklen_t length;
	int r = vfmi_lend_address(path, &addr, &length);
	int fd;

	if (r < 0)
		return r;
	fd = vfmi_lend_socket(sys);
	if (fd < 0)
		return fd;
	r = sys->ops->connect(sys, fd, (const struct sockaddr *)&addr, length);
	sys->ops->close(sys, fd);
	return r == -ECONNREFUSED || r == -ENOENT ? r : 0;
}

/* Between the knock and now another lender may have come: look at what was moved before it is thrown away. */
static int remove_dead(struct vfmi_sys *sys, const char *path, const struct stat *dead)
{
	char aside[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct stat st;
	int r = hidden_name(sys, path, aside, sizeof(aside));

	if (r < 0)
		return r;
	r = sys->ops->rename(sys, path, aside);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = sys->ops->lstat(sys, aside, &st);
	if (r == 0 && !is_same(&st, dead)) {
		r = sys->ops->link(sys, aside, path);
		r = r < 0 ? r : -EADDRINUSE;
	}
	sys->ops->unlink(sys, aside);
	return r;
}

static int make_room(struct vfm_context *ctx, const char *path, struct vfm_error *err)
{
	struct stat st;
	int r = ctx->sys->ops->lstat(ctx->sys, path, &st);

	if (r < 0)
		return r == -ENOENT ? 0 : place_fail(ctx, err, r, path, NULL);
	if (!S_ISSOCK(st.st_mode))
		return place_fail(ctx, err, -EEXIST, path, "there is something that is not a socket");
	r = knock(ctx->sys, path);
	if (r == 0)
		return place_fail(ctx, err, -EADDRINUSE, path, "somebody listens there");
	if (r == -ECONNREFUSED)
		r = remove_dead(ctx->sys, path, &st);
	return r < 0 && r != -ENOENT ? place_fail(ctx, err, r, path, "a dead socket could not be removed") : 0;
}

static int link_into_place(struct vfmi_lend_place *place, const char *hidden, struct vfm_error *err)
{
	struct vfmi_sys *sys = place->ctx->sys;
	int r = -EEXIST;

	for (int i = 0; i < PLACE_TRIES && r == -EEXIST; i++) {
		int made = make_room(place->ctx, place->path, err);

		if (made < 0)
			return made;
		r = sys->ops->link(sys, hidden, place->path);
	}
	return r < 0 ? place_fail(place->ctx, err, r, place->path, "socket could not be put in place") : 0;
}

static int bind_and_listen(struct vfmi_lend_place *place, const char *path, int backlog)
{
	struct vfmi_sys *sys = place->ctx->sys;
	struct sockaddr_un addr;
	socklen_t length;
	int r = vfmi_lend_address(path, &addr, &length);

	if (r < 0)
		return r;
	r = sys->ops->bind(sys, place->fd, (const struct sockaddr *)&addr, length);
	return r < 0 ? r : sys->ops->listen(sys, place->fd, backlog);
}

static int open_path(struct vfmi_lend_place *place, int backlog, struct vfm_error *err)
{
	struct vfmi_sys *sys = place->ctx->sys;
	char hidden[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct stat st = { 0 };
	int r = hidden_name(sys, place->path, hidden, sizeof(hidden));

	/* Linux gives the path the mode of the socket's own inode: no moment at which others could connect. */
	if (r == 0)
		r = sys->ops->fchmod(sys, place->fd, 0600);
	if (r < 0)
		return place_fail(place->ctx, err, r, place->path, NULL);
	r = bind_and_listen(place, hidden, backlog);
	if (r == 0)
		r = sys->ops->lstat(sys, hidden, &st);
	if (r < 0)
		r = place_fail(place->ctx, err, r, place->path, "socket could not be made");
	else
		r = link_into_place(place, hidden, err);
	sys->ops->unlink(sys, hidden);
	place->device = st.st_dev;
	place->inode = st.st_ino;
	return r;
}

static int open_abstract(struct vfmi_lend_place *place, const char *name, int backlog, struct vfm_error *err)
{
	int r = bind_and_listen(place, name, backlog);

	return r < 0 ? place_fail(place->ctx, err, r, name, r == -EADDRINUSE ? "somebody listens there" : NULL) : 0;
}

static void free_place(struct vfmi_lend_place *place)
{
	if (place->fd >= 0)
		place->ctx->sys->ops->close(place->ctx->sys, place->fd);
	free(place->path);
	free(place);
}

/* Descriptor and, outside the abstract namespace, a copy of the path. */
static int new_place(struct vfm_context *ctx, const char *path, struct vfmi_lend_place **ret)
{
	struct vfmi_lend_place *place = calloc(1, sizeof(*place));

	if (!place)
		return -ENOMEM;
	place->ctx = ctx;
	place->fd = vfmi_lend_socket(ctx->sys);
	if (place->fd < 0) {
		int r = place->fd;

		free_place(place);
		return r;
	}
	if (path[0] != '@') {
		place->path = strdup(path);
		if (!place->path) {
			free_place(place);
			return -ENOMEM;
		}
	}
	*ret = place;
	return 0;
}

int vfmi_lend_place_open(struct vfm_context *ctx, const char *path, int backlog, struct vfmi_lend_place **ret,
			 struct vfm_error *err)
{
	struct vfmi_lend_place *place = NULL;
	struct sockaddr_un addr;
	socklen_t length;
	int r = vfmi_lend_address(path, &addr, &length);

	if (r == 0)
		r = new_place(ctx, path, &place);
	if (r < 0)
		return place_fail(ctx, err, r, path, NULL);
	r = place->path ? open_path(place, backlog, err) : open_abstract(place, path, backlog, err);
	if (r < 0) {
		free_place(place);
		return r;
	}
	*ret = place;
	return 0;
}

int vfmi_lend_place_fd(const struct vfmi_lend_place *place)
{
	return place->fd;
}

void vfmi_lend_place_close(struct vfmi_lend_place *place)
{
	struct vfmi_sys *sys = place->ctx->sys;
	struct stat st;

	if (place->path && sys->ops->lstat(sys, place->path, &st) == 0 && st.st_dev == place->device &&
	    st.st_ino == place->inode)
		sys->ops->unlink(sys, place->path);
	free_place(place);
}
