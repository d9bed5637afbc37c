/* SPDX-License-Identifier: MIT */
/* Descriptors taken out of another process by the right to trace it; the process is neither asked nor told. */
#include <inttypes.h>
#include <stdio.h>

#include "describe.h"

#define FETCH_STEP "adopt"
#define SCOPE_PATH "/proc/sys/kernel/yama/ptrace_scope"
#define STAT_ROOM 1024u
#define FIELDS_TO_START 20 /* of /proc/PID/stat, from the one behind the command's name */

/* The description's descriptors in a row; NULL after the last. */
static int *descriptor_at(struct vfmi_description *desc, size_t i)
{
	if (i == 0)
		return &desc->device_fd;
	if (i == 1)
		return &desc->iommufd;
	return i - 2 < desc->count ? &desc->vectors[i - 2].fd : NULL;
}

static void put_first(struct vfmi_sys *sys, struct vfmi_description *desc, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int *fd = descriptor_at(desc, i);

		if (*fd >= 0)
			sys->ops->close(sys, *fd);
		*fd = -1;
	}
}

void vfmi_description_put(struct vfm_context *ctx, struct vfmi_description *desc)
{
	put_first(vfmi_context_sys(ctx), desc, desc->count + 2);
}

/* What besides the same user Yama asks for: the words that end the sentence. */
static const char *scope_words(struct vfmi_sys *sys)
{
	char scope[8];

	if (vfmi_sys_read_file(sys, SCOPE_PATH, scope, sizeof(scope)) < 0 || scope[0] == '0')
		return "the same user, or CAP_SYS_PTRACE";
	if (scope[0] == '1')
		return "CAP_SYS_PTRACE, or the same user and kernel.yama.ptrace_scope 0 where it is 1 now";
	if (scope[0] == '2')
		return "CAP_SYS_PTRACE, since kernel.yama.ptrace_scope is 2";
	return "nothing: kernel.yama.ptrace_scope 3 forbids it to everybody until the next boot";
}

static int fail_fetch(struct vfm_context *ctx, const struct vfmi_description *desc, int fd, int r,
		      struct vfm_error *err)
{
	const char *name = desc->identity.name;

	switch (-r) {
	case EBADF:
		return VFMI_FAIL(ctx, err, EBADF, name, FETCH_STEP, "process %" PRIu32 " has no descriptor %d",
				 desc->pid, fd);
	case ESRCH:
		return VFMI_FAIL(ctx, err, ESRCH, name, FETCH_STEP, "process %" PRIu32 " has ended", desc->pid);
	case EPERM:
		return VFMI_FAIL(ctx, err, EPERM, name, FETCH_STEP,
				 "taking a descriptor out of process %" PRIu32 " needs the right to trace it: %s. Its "
				 "holder can lend it instead (scm:PATH)",
				 desc->pid, scope_words(vfmi_context_sys(ctx)));
	default:
		return VFMI_FAIL(ctx, err, -r, name, FETCH_STEP, "descriptor %d of process %" PRIu32 ": %s", fd,
				 desc->pid, vfmi_errno_text(-r));
	}
}

/* When the process began, in ticks after boot, as text; "" when it cannot be read. */
static void read_start(struct vfmi_sys *sys, uint32_t pid, char *ret, size_t room)
{
	char path[32], stat[STAT_ROOM], *at;
	size_t length;

	*ret = '\0';
	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/stat", pid);
	if (vfmi_sys_read_file(sys, path, stat, sizeof(stat)) < 0)
		return;
	/* the name may hold blanks and parentheses, nothing after it does */
	at = strrchr(stat, ')');
	for (int i = 0; at && i < FIELDS_TO_START; i++)
		at = strchr(at + 1, ' ');
	length = at ? strspn(at + 1, "0123456789") : 0;
	if (length && length < room)
		snprintf(ret, room, "%.*s", (int)length, at + 1);
}

/*
 * The number of a process that ended may be another's by now. The pidfd is open already: should it be of an earlier
 * process than the one read here, that one has ended, and nothing can be taken out of it.
 */
static int check_start(struct vfm_context *ctx, const struct vfmi_description *desc, struct vfm_error *err)
{
	char start[sizeof(desc->start)];

	if (!desc->start[0])
		return 0;
	read_start(vfmi_context_sys(ctx), desc->pid, start, sizeof(start));
	if (!strcmp(start, desc->start))
		return 0;
	return VFMI_FAIL(ctx, err, ESRCH, desc->identity.name, FETCH_STEP,
			 "process %" PRIu32 " is not the one that was meant: it began at %s, not %s", desc->pid,
			 start[0] ? start : "a time that is not known", desc->start);
}

static int fetch_all(struct vfm_context *ctx, struct vfmi_description *desc, int pidfd, struct vfm_error *err)
{
	struct vfmi_sys *sys = vfmi_context_sys(ctx);
	int *fd;

	for (size_t i = 0; (fd = descriptor_at(desc, i)); i++) {
		int r = *fd < 0 ? -1 : sys->ops->pidfd_getfd(sys, pidfd, *fd);

		if (*fd >= 0 && r < 0) {
			r = fail_fetch(ctx, desc, *fd, r, err);
			put_first(sys, desc, i);
			return r;
		}
		*fd = r;
	}
	return 0;
}

int vfmi_description_fetch(struct vfm_context *ctx, struct vfmi_description *desc, struct vfm_error *err)
{
	struct vfmi_sys *sys = vfmi_context_sys(ctx);
	int r, pidfd = sys->ops->pidfd_open(sys, (pid_t)desc->pid);

	if (pidfd == -ESRCH)
		return VFMI_FAIL(ctx, err, ESRCH, desc->identity.name, FETCH_STEP, "there is no process %" PRIu32,
				 desc->pid);
	if (pidfd < 0)
		return VFMI_FAIL(ctx, err, -pidfd, desc->identity.name, FETCH_STEP, "process %" PRIu32 ": %s",
				 desc->pid, vfmi_errno_text(-pidfd));
	r = check_start(ctx, desc, err);
	if (r == 0)
		r = fetch_all(ctx, desc, pidfd, err);
	sys->ops->close(sys, pidfd);
	return r;
}
