/* SPDX-License-Identifier: MIT */
/*
 * The borrower's side of lending: fetches devices from a holder, hands back what it armed and disarmed. Every wait is
 * bounded.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "describe.h"
#include "device-internal.h"
#include "lend-socket.h"

#define BORROW_STEP "borrow"
#define ANSWER_MS 5000
#define CONNECT_PAUSE_NS 20000000u
#define CONNECT_TRIES 250 /* as long as an answer may take */
/* More messages than 64 devices with all vectors of MSI-X need: a lender that never ends is not believed. */
#define MAX_MESSAGES 4096

struct vfm_borrow {
	struct vfm_context *ctx;
	struct vfmi_sys *sys;
	const char *path;		 /* the caller's, while opening */
	const struct vfm_cancel *cancel; /* the same */
	int fd;
	struct vfm_device *devices[VFMI_LEND_MAX_DEVICES];
	size_t count;
	size_t announced;
};

static VFM_PRINTF(4, 5) int borrow_fail(const struct vfm_borrow *borrow, struct vfm_error *err, int code,
					const char *fmt, ...)
{
	const struct vfmi_where where = {
		.step = BORROW_STEP,
		.flags = code == ECANCELED ? 0 : VFM_ERROR_PEER,
		.state_from = VFM_STATE_UNKNOWN,
		.state_to = VFM_STATE_UNKNOWN,
		.state_now = VFM_STATE_UNKNOWN,
	};
	char cause[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(cause, sizeof(cause), fmt, args);
	va_end(args);
	return vfmi_fail(borrow->ctx, err, code, &where, "%s: %s", borrow->path, cause);
}

/* reaching the holder */

static int connect_within(struct vfm_borrow *borrow, const struct sockaddr_un *addr, socklen_t length)
{
	struct vfmi_sys *sys = borrow->sys;
	int r = -EAGAIN;

	/* A unix socket with a full backlog says EAGAIN at once and cannot be polled for. */
	for (int i = 0; i < CONNECT_TRIES && (r == -EAGAIN || r == -EINTR); i++) {
		if (vfm_cancel_is_set(borrow->cancel))
			return -ECANCELED;
		if (i)
			sys->ops->sleep_ns(sys, CONNECT_PAUSE_NS);
		r = sys->ops->connect(sys, borrow->fd, (const struct sockaddr *)addr, length);
	}
	return r == -EAGAIN ? -ETIMEDOUT : r;
}

/* Abstract names belong to whoever takes them first: only root trusts everybody, as it can look anyway. */
static int check_holder(struct vfm_borrow *borrow, struct vfm_error *err)
{
	uid_t us = borrow->sys->ops->geteuid(borrow->sys);
	struct ucred holder;
	int r = vfmi_lend_peer(borrow->sys, borrow->fd, &holder);

	if (r < 0)
		return borrow_fail(borrow, err, -r, "who lends could not be told: %s", vfmi_errno_text(-r));
	if (us != 0 && holder.uid != 0 && holder.uid != us)
		return borrow_fail(borrow, err, EPERM, "the holder is user %u, not trusted by user %u",
				   (unsigned int)holder.uid, (unsigned int)us);
	return 0;
}

static int reach(struct vfm_borrow *borrow, struct vfm_error *err)
{
	struct sockaddr_un addr;
	socklen_t length;
	int r = vfmi_lend_address(borrow->path, &addr, &length);

	if (r < 0)
		return borrow_fail(borrow, err, -r, "not a socket's path or @NAME: %s", vfmi_errno_text(-r));
	borrow->fd = vfmi_lend_socket(borrow->sys);
	if (borrow->fd < 0)
		return borrow_fail(borrow, err, -borrow->fd, "%s", vfmi_errno_text(-borrow->fd));
	r = connect_within(borrow, &addr, length);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return borrow_fail(borrow, err, -r, "nobody lends there");
	if (r < 0)
		return borrow_fail(borrow, err, -r, "%s", vfmi_errno_text(-r));
	return check_holder(borrow, err);
}

/* talking to it */

/* The type of the lender's next message, whose descriptors are the caller's to drop; none after a failure. */
static int listen_for(struct vfm_borrow *borrow, struct vfmi_lend_message *msg, struct vfm_error *err)
{
	int r = vfmi_lend_wait(borrow->sys, borrow->fd, POLLIN, ANSWER_MS, borrow->cancel);

	if (r == -ECANCELED)
		return borrow_fail(borrow, err, ECANCELED, "canceled while the holder's answer was waited for");
	if (r == -ETIMEDOUT)
		return borrow_fail(borrow, err, ETIMEDOUT, "the holder does not answer within %d s", ANSWER_MS / 1000);
	if (r == 0)
		r = vfmi_lend_recv(borrow->sys, borrow->fd, msg);
	/* Reported once, ahead of what the lender said before it hung up on something it had not read. */
	if (r == -ECONNRESET)
		r = vfmi_lend_recv(borrow->sys, borrow->fd, msg);
	if (r == 0)
		return borrow_fail(borrow, err, ECONNRESET, "the holder hung up");
	if (r < 0)
		return borrow_fail(borrow, err, -r, "the holder's answer did not arrive: %s", vfmi_errno_text(-r));
	r = vfmi_lend_check(msg);
	if (r < 0)
		vfmi_lend_drop_fds(borrow->sys, msg);
	return r < 0 ? borrow_fail(borrow, err, EPROTO, "what answers is not a lender of this kind") : r;
}

static int say(struct vfm_borrow *borrow, const struct vfmi_lend_message *msg)
{
	int r = vfmi_lend_send(borrow->sys, borrow->fd, msg);

	if (r == -EAGAIN) {
		r = vfmi_lend_wait(borrow->sys, borrow->fd, POLLOUT, ANSWER_MS, borrow->cancel);
		if (r == 0)
			r = vfmi_lend_send(borrow->sys, borrow->fd, msg);
	}
	return r;
}

static int ask(struct vfm_borrow *borrow, const struct vfmi_lend_message *msg, struct vfm_error *err)
{
	int r = say(borrow, msg);

	/* A lender that refused and hung up has left its reason to be read. */
	if (r == 0 || r == -EPIPE || r == -ECONNRESET)
		return 0;
	return borrow_fail(borrow, err, -r, "the holder cannot be spoken to: %s", vfmi_errno_text(-r));
}

static int refused(struct vfm_borrow *borrow, const struct vfmi_lend_message *msg, struct vfm_error *err)
{
	char text[VFMI_LEND_MAX_TEXT + 1];
	int code = vfmi_lend_get_refused(msg, text);

	return borrow_fail(borrow, err, code, "the holder refuses: %s", text);
}

static int unexpected(struct vfm_borrow *borrow, const struct vfmi_lend_message *msg, int type, struct vfm_error *err)
{
	if (type == VFMI_LEND_REFUSED)
		return refused(borrow, msg, err);
	return borrow_fail(borrow, err, EPROTO, "the holder sent message %d out of order", type);
}

static int greet(struct vfm_borrow *borrow, struct vfm_error *err)
{
	struct vfmi_lend_message msg;
	struct vfmi_lend_hello hello;
	int type = listen_for(borrow, &msg, err);

	if (type < 0)
		return type;
	if (type != VFMI_LEND_HELLO) {
		vfmi_lend_drop_fds(borrow->sys, &msg);
		return unexpected(borrow, &msg, type, err);
	}
	vfmi_lend_get_hello(&msg, &hello);
	if (hello.oldest > VFMI_LEND_NEWEST || hello.newest < VFMI_LEND_OLDEST)
		return borrow_fail(borrow, err, EPROTONOSUPPORT,
				   "the holder speaks versions %u to %u, this library %u to %u", hello.oldest,
				   hello.newest, VFMI_LEND_OLDEST, VFMI_LEND_NEWEST);
	if (hello.devices > VFMI_LEND_MAX_DEVICES)
		return borrow_fail(borrow, err, EPROTO, "the holder claims to lend %" PRIu32 " devices", hello.devices);
	borrow->announced = hello.devices;
	hello.newest = hello.newest < VFMI_LEND_NEWEST ? hello.newest : VFMI_LEND_NEWEST;
	hello.oldest = hello.newest;
	hello.devices = 0;
	vfmi_lend_put_hello(&msg, &hello);
	return ask(borrow, &msg, err);
}

/* devices */

/* A number in the description is an index of the descriptors that came with it, each used once. */
static int resolve(const struct vfmi_lend_message *msg, bool *used, int *fd)
{
	if (*fd < 0 || (size_t)*fd >= msg->fd_count || used[*fd])
		return -EPROTO;
	used[*fd] = true;
	*fd = msg->fds[*fd];
	return 0;
}

static int resolve_all(const struct vfmi_lend_message *msg, struct vfmi_description *desc)
{
	bool used[VFMI_LEND_MAX_FDS] = { false };
	size_t needed = desc->iommufd >= 0 ? 2 : 1;
	int r = msg->fd_count == needed && desc->count == 0 && desc->pid == 0 ? 0 : -EPROTO;

	if (r == 0)
		r = resolve(msg, used, &desc->device_fd);
	if (r == 0 && desc->iommufd >= 0)
		r = resolve(msg, used, &desc->iommufd);
	return r;
}

static int take_device(struct vfm_borrow *borrow, const struct vfmi_lend_message *msg, struct vfm_error *err)
{
	char text[VFMI_LEND_MAX_PAYLOAD + 1];
	struct vfmi_parse_trouble trouble;
	struct vfmi_description desc;
	int r;

	if (borrow->count == borrow->announced)
		return borrow_fail(borrow, err, EPROTO, "the holder sent more devices than it announced");
	vfmi_lend_get_device(msg, text);
	r = vfmi_description_parse(text, &desc, &trouble);
	if (r == -ENOMEM)
		return borrow_fail(borrow, err, ENOMEM, "%s", vfmi_errno_text(ENOMEM));
	if (r < 0)
		return borrow_fail(borrow, err, EPROTO, "device %zu, character %zu of its description: %s",
				   borrow->count, trouble.at + 1, trouble.why);
	r = resolve_all(msg, &desc);
	if (r < 0)
		r = borrow_fail(borrow, err, -r, "device %zu: its descriptors do not fit its description",
				borrow->count);
	else
		r = vfmi_description_adopt(borrow->ctx, &desc, &borrow->devices[borrow->count], err);
	if (r == 0)
		borrow->count++;
	vfmi_description_clear(&desc);
	return r;
}

static int take_vectors(struct vfm_borrow *borrow, const struct vfmi_lend_message *msg, struct vfm_error *err)
{
	if (borrow->count == 0 || vfmi_lend_vectors_device(msg) != borrow->count - 1)
		return borrow_fail(borrow, err, EPROTO, "the holder sent interrupts of another device");
	for (size_t i = 0; i < msg->fd_count; i++) {
		struct vfmi_lend_vector pair;
		int r;

		vfmi_lend_get_vector(msg, i, &pair);
		r = vfmi_device_irq_declare(borrow->devices[borrow->count - 1], pair.index, pair.vector, msg->fds[i]);
		if (r < 0)
			return borrow_fail(borrow, err, -r, "device %zu, interrupt %" PRIu32 " vector %" PRIu32 ": %s",
					   borrow->count - 1, pair.index, pair.vector, vfmi_errno_text(-r));
	}
	return 0;
}

static int take(struct vfm_borrow *borrow, const struct vfmi_lend_message *msg, int type, struct vfm_error *err)
{
	if (type == VFMI_LEND_DEVICE)
		return take_device(borrow, msg, err);
	if (type == VFMI_LEND_VECTORS)
		return take_vectors(borrow, msg, err);
	if (type == VFMI_LEND_END && borrow->count != borrow->announced)
		return borrow_fail(borrow, err, EPROTO, "the holder announced %zu devices and sent %zu",
				   borrow->announced, borrow->count);
	return type == VFMI_LEND_END ? 0 : unexpected(borrow, msg, type, err);
}

static int fetch(struct vfm_borrow *borrow, struct vfm_error *err)
{
	for (int i = 0; i < MAX_MESSAGES; i++) {
		struct vfmi_lend_message msg;
		int type;
		int r;

		vfmi_lend_put_plain(&msg, VFMI_LEND_NEXT);
		r = ask(borrow, &msg, err);
		if (r < 0)
			return r;
		type = listen_for(borrow, &msg, err);
		if (type < 0)
			return type;
		r = take(borrow, &msg, type, err);
		vfmi_lend_drop_fds(borrow->sys, &msg);
		if (r < 0 || type == VFMI_LEND_END)
			return r;
	}
	return borrow_fail(borrow, err, EPROTO, "the holder does not come to an end");
}

/* handing back */

struct give_back {
	struct vfm_borrow *borrow;
	uint32_t device;
	struct vfmi_lend_message armed;
	struct vfmi_lend_message disarmed;
};

static void begin_batches(struct give_back *give)
{
	vfmi_lend_begin_vectors(&give->armed, VFMI_LEND_VECTORS, give->device);
	vfmi_lend_begin_vectors(&give->disarmed, VFMI_LEND_DISARMED, give->device);
}

static int send_batches(struct give_back *give)
{
	int r = vfmi_lend_vector_count(&give->disarmed) ? say(give->borrow, &give->disarmed) : 0;

	if (r == 0 && vfmi_lend_vector_count(&give->armed))
		r = say(give->borrow, &give->armed);
	begin_batches(give);
	return r;
}

static int give_vector(void *user, uint32_t index, uint32_t vector, int eventfd)
{
	struct give_back *give = user;
	struct vfmi_lend_message *msg = eventfd < 0 ? &give->disarmed : &give->armed;
	struct vfmi_lend_vector pair = { index, vector };
	int r;

	if (vfmi_lend_add_vector(msg, &pair, eventfd) == 0)
		return 0;
	r = send_batches(give);
	return r < 0 ? r : vfmi_lend_add_vector(msg, &pair, eventfd);
}

static int give_back_device(struct vfm_borrow *borrow, size_t index)
{
	struct give_back give = { .borrow = borrow, .device = (uint32_t)index };
	int r;

	begin_batches(&give);
	r = vfmi_device_irq_each_news(borrow->devices[index], give_vector, &give);
	return r < 0 ? r : send_batches(&give);
}

static void close_devices(struct vfm_borrow *borrow)
{
	for (size_t i = 0; i < borrow->count; i++)
		vfm_device_close(borrow->devices[i]);
	borrow->count = 0;
}

static void free_borrow(struct vfm_borrow *borrow)
{
	close_devices(borrow);
	if (borrow->fd >= 0)
		borrow->sys->ops->close(borrow->sys, borrow->fd);
	free(borrow);
}

int vfm_borrow_open(struct vfm_context *ctx, const char *path, const struct vfm_borrow_opts *opts,
		    struct vfm_borrow **ret_borrow, struct vfm_error *ret_error)
{
	struct vfm_borrow_opts known = { 0 };
	struct vfm_borrow *borrow;
	int r = 0;

	if (!ctx || !path || !ret_borrow)
		return VFMI_FAIL(ctx, ret_error, EINVAL, NULL, BORROW_STEP, "a required argument is NULL");
	if (opts)
		r = vfmi_sized_in(&known, sizeof(known), opts, VFMI_SIZE_TO(struct vfm_borrow_opts, cancel));
	if (r < 0 || known.reserved)
		return VFMI_FAIL(ctx, ret_error, r < 0 ? -r : EINVAL, NULL, BORROW_STEP,
				 "options of a wrong size or with unknown members");
	borrow = calloc(1, sizeof(*borrow));
	if (!borrow)
		return VFMI_FAIL(ctx, ret_error, ENOMEM, NULL, BORROW_STEP, "%s", vfmi_errno_text(ENOMEM));
	borrow->ctx = ctx;
	borrow->sys = ctx->sys;
	borrow->path = path;
	borrow->cancel = known.cancel;
	borrow->fd = -1;
	r = reach(borrow, ret_error);
	if (r == 0)
		r = greet(borrow, ret_error);
	if (r == 0)
		r = fetch(borrow, ret_error);
	if (r < 0) {
		free_borrow(borrow);
		return r;
	}
	for (size_t i = 0; i < borrow->count; i++)
		vfmi_device_irq_mark_lent(borrow->devices[i]);
	borrow->path = NULL;
	borrow->cancel = NULL;
	*ret_borrow = borrow;
	return 0;
}

size_t vfm_borrow_count(const struct vfm_borrow *borrow)
{
	return borrow->count;
}

struct vfm_device *vfm_borrow_device(struct vfm_borrow *borrow, size_t index)
{
	return index < borrow->count ? borrow->devices[index] : NULL;
}

void vfm_borrow_close(struct vfm_borrow *borrow)
{
	struct vfmi_lend_message msg;
	int r = 0;

	if (!borrow)
		return;
	for (size_t i = 0; i < borrow->count && r == 0; i++)
		r = give_back_device(borrow, i);
	/* Our descriptors go first: told that it has its devices back, the holder has them alone. */
	close_devices(borrow);
	vfmi_lend_put_plain(&msg, VFMI_LEND_RETURN);
	if (r == 0)
		r = say(borrow, &msg);
	if (r < 0)
		vfmi_log(borrow->ctx, VFM_LOG_DEBUG, "borrow: the holder was not told of the return: %s",
			 vfmi_errno_text(-r));
	free_borrow(borrow);
}
