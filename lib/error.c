/* SPDX-License-Identifier: MIT */
/* Errors: puts the sentence together, hands it to the caller and keeps a copy of the newest in the context. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

static const char unnamed[] = "an error without a name here";

struct vfmi_error_slot {
	pthread_mutex_t lock;
	bool used;
	struct vfm_error error;
};

int vfmi_error_slot_new(struct vfmi_error_slot **ret_slot)
{
	struct vfmi_error_slot *slot = calloc(1, sizeof(*slot));
	int r;

	if (!slot)
		return -ENOMEM;
	r = pthread_mutex_init(&slot->lock, NULL);
	if (r) {
		free(slot);
		return -r;
	}
	*ret_slot = slot;
	return 0;
}

void vfmi_error_slot_free(struct vfmi_error_slot *slot)
{
	if (!slot)
		return;
	pthread_mutex_destroy(&slot->lock);
	free(slot);
}

static void slot_store(struct vfmi_error_slot *slot, const struct vfm_error *error)
{
	pthread_mutex_lock(&slot->lock);
	slot->error = *error;
	slot->used = true;
	pthread_mutex_unlock(&slot->lock);
}

int vfm_context_last_error(struct vfm_context *ctx, struct vfm_error *ret_error)
{
	VFM_OPTS(vfm_error, error);
	bool used;

	if (!ctx || !ret_error)
		return -EINVAL;
	pthread_mutex_lock(&ctx->last->lock);
	used = ctx->last->used;
	error = ctx->last->error;
	pthread_mutex_unlock(&ctx->last->lock);
	return used ? vfmi_sized_out(ret_error, &error, sizeof(error)) : -ENODATA;
}

static void copy_text(char *to, size_t room, const char *from)
{
	snprintf(to, room, "%s", from ? from : "");
	vfmi_make_printable(to);
}

/* "save", "RESUMING -> STOP" or "save, RUNNING -> STOP_COPY" */
static void fill_step(struct vfm_error *error, const char *step)
{
	char arc[32];

	if (!(error->flags & VFM_ERROR_TRANSITION) || (step && strstr(step, " -> "))) {
		copy_text(error->step, sizeof(error->step), step);
		return;
	}
	snprintf(arc, sizeof(arc), "%.12s -> %.12s", vfm_state_name(error->state_from),
		 vfm_state_name(error->state_to));
	if (step && *step)
		snprintf(error->step, sizeof(error->step), "%.28s, %s", step, arc);
	else
		copy_text(error->step, sizeof(error->step), arc);
	vfmi_make_printable(error->step);
}

/* What the failure left behind, "" when it concerns no device's state. */
static void print_left_behind(const struct vfm_error *error, char *buf, size_t room)
{
	const char *advice = error->flags & VFM_ERROR_NEEDS_RESET ? ", only a reset helps" : "";

	if (error->flags & VFM_ERROR_WAS_RESET)
		snprintf(buf, room, "; device was reset, it is blank and in %s", vfm_state_name(error->state_now));
	else if (error->state_now != VFM_STATE_UNKNOWN)
		snprintf(buf, room, "; device now in %s%s", vfm_state_name(error->state_now), advice);
	else if (error->flags & (VFM_ERROR_TRANSITION | VFM_ERROR_NEEDS_RESET))
		snprintf(buf, room, "; state of the device now unknown%s", advice);
	else
		buf[0] = '\0';
}

/* vfmi_errno_text() is a constant and cannot hold the number of what has no name. */
static size_t print_number(const struct vfm_error *error, char *buf, size_t room)
{
	if (error->code <= 0 || vfmi_errno_text(error->code) != unnamed)
		return 0;
	return (size_t)snprintf(buf, room, " (errno %" PRId32 ")", error->code);
}

/* The number and the state left must not be what a long cause cuts off. */
static void fill_message(struct vfm_error *error, const char *cause)
{
	char tail[96] = "";
	size_t room = sizeof(error->message);
	size_t number_length = print_number(error, tail, sizeof(tail));
	size_t tail_length;
	size_t head = 0;

	print_left_behind(error, tail + number_length, sizeof(tail) - number_length);
	tail_length = strlen(tail);
	if (error->device[0])
		head += (size_t)snprintf(error->message + head, room - head, "%s: ", error->device);
	if (error->step[0])
		head += (size_t)snprintf(error->message + head, room - head, "%s: ", error->step);
	snprintf(error->message + head, room - head - tail_length, "%s", cause);
	strcat(error->message, tail);
	vfmi_make_printable(error->message);
}

int vfmi_fail(struct vfm_context *ctx, struct vfm_error *err, int code, const struct vfmi_where *where, const char *fmt,
	      ...)
{
	static const struct vfmi_where nowhere = {
		.state_from = VFM_STATE_UNKNOWN,
		.state_to = VFM_STATE_UNKNOWN,
		.state_now = VFM_STATE_UNKNOWN,
	};
	VFM_OPTS(vfm_error, full);
	char cause[sizeof(full.message)];
	int saved = errno;
	va_list args;

	if (!where)
		where = &nowhere;
	full.code = code;
	full.flags = where->flags;
	full.state_from = where->state_from;
	full.state_to = where->state_to;
	full.state_now = where->state_now;
	copy_text(full.device, sizeof(full.device), where->device);
	fill_step(&full, where->step);
	va_start(args, fmt);
	vsnprintf(cause, sizeof(cause), fmt, args);
	va_end(args);
	fill_message(&full, cause);

	if (err)
		(void)vfmi_sized_out(err, &full, sizeof(full));
	if (ctx)
		slot_store(ctx->last, &full);
	vfmi_log(ctx, VFM_LOG_DEBUG, "%s", full.message);
	errno = saved;
	return -code;
}

void vfmi_error_amend(struct vfm_context *ctx, struct vfm_error *error, uint32_t flags, uint32_t state_now,
		      const char *fmt, ...)
{
	size_t length = strnlen(error->message, sizeof(error->message) - 1);
	va_list args;

	error->flags |= flags;
	error->state_now = state_now;
	if (length + 2 < sizeof(error->message)) {
		memcpy(error->message + length, "; ", 3);
		va_start(args, fmt);
		vsnprintf(error->message + length + 2, sizeof(error->message) - length - 2, fmt, args);
		va_end(args);
		vfmi_make_printable(error->message);
	}
	if (ctx)
		slot_store(ctx->last, error);
	vfmi_log(ctx, VFM_LOG_DEBUG, "%s", error->message);
}

#define TEXT(name, words) [name] = words " (" #name ")"

static const char *const errno_texts[] = {
	TEXT(EPERM, "not permitted"),
	TEXT(ENOENT, "not there"),
	TEXT(ESRCH, "no such process"),
	TEXT(EINTR, "interrupted"),
	TEXT(EIO, "input or output failed"),
	TEXT(ENXIO, "no such device or address"),
	TEXT(E2BIG, "too big"),
	TEXT(ENOEXEC, "of a format not known"),
	TEXT(EBADF, "bad file descriptor"),
	TEXT(EAGAIN, "try again"),
	TEXT(ENOMEM, "out of memory"),
	TEXT(EACCES, "permission denied"),
	TEXT(EFAULT, "bad address"),
	TEXT(EBUSY, "busy"),
	TEXT(EEXIST, "exists already"),
	TEXT(EXDEV, "on another file system"),
	TEXT(ENODEV, "no such device"),
	TEXT(ENOTDIR, "not a directory"),
	TEXT(EISDIR, "is a directory"),
	TEXT(EINVAL, "invalid"),
	TEXT(ENFILE, "too many open files in the system"),
	TEXT(EMFILE, "too many open files"),
	TEXT(ENOTTY, "the file does not know this request"),
	TEXT(ETXTBSY, "being executed"),
	TEXT(EFBIG, "file too large"),
	TEXT(ENOSPC, "no space left"),
	TEXT(ESPIPE, "cannot seek"),
	TEXT(EROFS, "file system is read-only"),
	TEXT(EMLINK, "too many links"),
	TEXT(EPIPE, "nobody reads any more"),
	TEXT(EDOM, "outside of what is defined"),
	TEXT(ERANGE, "out of range"),
	TEXT(EDEADLK, "would deadlock"),
	TEXT(ENAMETOOLONG, "name too long"),
	TEXT(ENOLCK, "no locks left"),
	TEXT(ENOSYS, "not in this kernel"),
	TEXT(ENOTEMPTY, "not empty"),
	TEXT(ELOOP, "too many symbolic links"),
	TEXT(ENOMSG, "no message"),
	TEXT(EIDRM, "removed"),
	TEXT(ENODATA, "no data"),
	TEXT(ETIME, "timer expired"),
	TEXT(ENOLINK, "link is down"),
	TEXT(ECOMM, "sending failed"),
	TEXT(EPROTO, "protocol broken"),
	TEXT(EBADMSG, "damaged"),
	TEXT(EOVERFLOW, "value too large"),
	TEXT(EBADFD, "file descriptor of the wrong kind"),
	TEXT(EILSEQ, "not what may stand there"),
	TEXT(ERESTART, "to be started again"),
	TEXT(EUSERS, "none left"),
	TEXT(ENOTSOCK, "not a socket"),
	TEXT(EDESTADDRREQ, "destination address required"),
	TEXT(EMSGSIZE, "message too long"),
	TEXT(EPROTOTYPE, "protocol of the wrong kind"),
	TEXT(ENOPROTOOPT, "option not known"),
	TEXT(EPROTONOSUPPORT, "protocol not supported"),
	TEXT(ESOCKTNOSUPPORT, "kind of socket not supported"),
	TEXT(EOPNOTSUPP, "not supported"),
	TEXT(EPFNOSUPPORT, "protocol family not supported"),
	TEXT(EAFNOSUPPORT, "address family not supported"),
	TEXT(EADDRINUSE, "address in use"),
	TEXT(EADDRNOTAVAIL, "address not available"),
	TEXT(ENETDOWN, "network is down"),
	TEXT(ENETUNREACH, "network unreachable"),
	TEXT(ENETRESET, "connection lost by a reset of the network"),
	TEXT(ECONNABORTED, "connection aborted"),
	TEXT(ECONNRESET, "connection reset by peer"),
	TEXT(ENOBUFS, "no buffer space"),
	TEXT(EISCONN, "already connected"),
	TEXT(ENOTCONN, "not connected"),
	TEXT(ESHUTDOWN, "shut down"),
	TEXT(ETIMEDOUT, "timed out"),
	TEXT(ECONNREFUSED, "connection refused"),
	TEXT(EHOSTDOWN, "host is down"),
	TEXT(EHOSTUNREACH, "no route to host"),
	TEXT(EALREADY, "in progress already"),
	TEXT(EINPROGRESS, "in progress"),
	TEXT(ESTALE, "stale file handle"),
	TEXT(EUCLEAN, "needs cleaning"),
	TEXT(EREMOTEIO, "remote side failed"),
	TEXT(EDQUOT, "disk quota exceeded"),
	TEXT(ENOMEDIUM, "no medium"),
	TEXT(ECANCELED, "canceled"),
	TEXT(ENOKEY, "key not there"),
	TEXT(EKEYEXPIRED, "key expired"),
	TEXT(EKEYREVOKED, "key revoked"),
	TEXT(EKEYREJECTED, "key rejected"),
	TEXT(EOWNERDEAD, "owner died"),
	TEXT(ENOTRECOVERABLE, "not recoverable"),
	TEXT(ERFKILL, "switched off by RF-kill"),
	TEXT(EHWPOISON, "memory is broken"),
};

const char *vfmi_errno_text(int code)
{
	const char *text = NULL;

	if (code >= 0 && (size_t)code < VFMI_ARRAY_SIZE(errno_texts))
		text = errno_texts[code];
	return text ? text : unnamed;
}
