/* SPDX-License-Identifier: MIT */
/* Sessions: one device's state out of it or into it, the data file owned, the device's truth asked after failures. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "device-internal.h"
#include "quirks.h"
#include "vfio.h"

#define SET_TRIES 3u	    /* a SET that a signal interrupted is resumed this often */
#define BACK_TRIES 2u	    /* a way back that stopped midway is taken up once more from there */
#define RESET_TRIES 2u	    /* without the reset a half loaded device is all that is left */
#define POLL_MS 100	    /* how long an abort from another thread can go unnoticed in a wait */
#define READ_MAX (1u << 30) /* keeps lengths clear of SSIZE_MAX on every platform */

enum session_phase {
	SESSION_OPEN,
	SESSION_DEAD, /* data lost or damaged: only abort and close may follow */
	SESSION_LOST, /* the same, somebody else having moved the device: where it is now is theirs to say */
	SESSION_OVER, /* finished or aborted: the device is free again */
};

struct vfm_session {
	struct vfm_device *dev;
	struct vfm_context *ctx;
	struct vfmi_sys *sys;
	bool load;
	bool was_reset;	       /* load: by the start, to find out that it can be */
	_Atomic bool complete; /* save: read to its end */
	int data_fd;	       /* from the start to the close: another thread may sit in a read while one aborts */
	uint32_t flags;
	uint32_t found;
	uint32_t abort_state;
	_Atomic uint32_t state; /* as last moved to or asked; written by the mutating call only */
	_Atomic uint32_t phase;
	_Atomic uint64_t bytes;
};

/* errors */

static struct vfmi_where where_of(const struct vfm_session *s, const char *step)
{
	uint32_t now = atomic_load(&s->state);

	return (struct vfmi_where){
		.device = vfm_device_name(s->dev),
		.step = step,
		.state_from = VFM_STATE_UNKNOWN,
		.state_to = VFM_STATE_UNKNOWN,
		.state_now = now,
		.flags = now == VFM_STATE_ERROR || (s->load && now == VFM_STATE_RESUMING) ? VFM_ERROR_NEEDS_RESET : 0,
	};
}

static int transition_fail(const struct vfm_session *s, struct vfm_error *err, int code, uint32_t from, uint32_t to,
			   const char *cause)
{
	struct vfmi_where where = where_of(s, NULL);

	where.state_from = from;
	where.state_to = to;
	where.flags |= VFM_ERROR_TRANSITION;
	return vfmi_fail(s->ctx, err, code, &where, "%s", cause);
}

static int step_fail(const struct vfm_session *s, struct vfm_error *err, int code, const char *step, const char *cause)
{
	struct vfmi_where where = where_of(s, step);

	return vfmi_fail(s->ctx, err, code, &where, "%s", cause);
}

/* transitions */

/* The state by the device's own word. Asked twice: without an answer there is no way back. */
static uint32_t ask_state(const struct vfm_session *s)
{
	for (unsigned int tries = 0; tries < 2; tries++) {
		uint32_t state;

		if (vfmi_vfio_mig_get(s->sys, vfm_device_fd(s->dev), &state) >= 0)
			return state <= VFM_STATE_PRE_COPY_P2P ? state : VFM_STATE_UNKNOWN;
	}
	return VFM_STATE_UNKNOWN;
}

static int refuse_arc(const struct vfm_session *s, uint32_t from, uint32_t to, struct vfm_error *err)
{
	if (from == VFM_STATE_ERROR)
		return transition_fail(s, err, ENOTRECOVERABLE, from, to, "the device is in ERROR");
	if (from == VFM_STATE_UNKNOWN)
		return transition_fail(s, err, EIO, from, to, "the device does not tell its state");
	return transition_fail(s, err, EINVAL, from, to, "no such arc on this device");
}

/*
 * One SET with all its arcs. @ret_fd: the data file, -1 when none came; NULL where none may come: one that does means
 * that the kernel began anew, so the session was lost before.
 */
static int set_state(struct vfm_session *s, uint32_t to, int *ret_fd, struct vfm_error *err)
{
	uint32_t from = atomic_load(&s->state);
	uint32_t now = from;
	int fd = -1;
	int r = -EINTR;

	for (unsigned int tries = 0; r == -EINTR && tries < SET_TRIES; tries++) {
		if (vfm_fsm_next(s->flags, now, to) < 0)
			return refuse_arc(s, now, to, err);
		r = vfmi_vfio_mig_set(s->sys, vfm_device_fd(s->dev), to, &fd);
		now = r < 0 ? ask_state(s) : to;
		atomic_store(&s->state, now);
		if (now == to)
			break;
	}
	if (r < 0)
		return transition_fail(s, err, -r, from, to, vfmi_errno_text(-r));
	if (ret_fd) {
		*ret_fd = fd;
	} else if (fd >= 0) {
		s->sys->ops->close(s->sys, fd);
		atomic_store(&s->phase, SESSION_DEAD);
		return transition_fail(s, err, ECANCELED, from, to,
				       "the device was moved by somebody else, what was read is void");
	}
	return 0;
}

static int go_back(struct vfm_session *s, uint32_t goal, struct vfm_error *err)
{
	int r = 0;

	for (unsigned int tries = 0; tries < BACK_TRIES && atomic_load(&s->state) != goal; tries++) {
		if (atomic_load(&s->state) == VFM_STATE_RESUMING)
			return step_fail(s, err, ECANCELED, "way back",
					 "somebody else loads into the device meanwhile, it is left to them");
		r = set_state(s, goal, NULL, err);
	}
	return atomic_load(&s->state) == goal ? 0 : r;
}

static int reset(struct vfm_session *s, struct vfm_error *err)
{
	int r = -EIO;

	for (unsigned int tries = 0; r < 0 && tries < RESET_TRIES; tries++)
		r = vfmi_device_reset_now(s->dev, err);
	atomic_store(&s->state, ask_state(s));
	if (!r && atomic_load(&s->state) != VFM_STATE_RUNNING)
		r = step_fail(s, err, EIO, "reset", "the reset succeeded but the device does not run");
	return r;
}

/* start */

static int refuse_found(const struct vfm_session *s, struct vfm_error *err)
{
	const char *step = s->load ? "start of load" : "start of save";

	switch (s->found) {
	case VFM_STATE_STOP:
	case VFM_STATE_RUNNING:
	case VFM_STATE_RUNNING_P2P:
		return 0;
	case VFM_STATE_ERROR:
		return step_fail(s, err, ENOTRECOVERABLE, step, "the device is in ERROR");
	case VFM_STATE_RESUMING:
		return step_fail(s, err, EBUSY, step, "a load is under way or was left behind; a reset would end it");
	case VFM_STATE_PRE_COPY:
	case VFM_STATE_PRE_COPY_P2P:
	case VFM_STATE_STOP_COPY:
		return step_fail(s, err, EBUSY, step,
				 "a save is under way or was left behind; moving the device to RUNNING would end it");
	default:
		return step_fail(s, err, EBUSY, step, "the device is in a state this library does not know");
	}
}

static int find_out(struct vfm_session *s, struct vfm_error *err)
{
	int r;

	r = vfmi_device_flags(s->dev, &s->flags, err);
	if (r < 0)
		return r;
	r = vfm_device_get_state(s->dev, &s->found, err);
	if (r < 0)
		return r;
	atomic_store(&s->state, s->found);
	return refuse_found(s, err);
}

static int take_abort_state(struct vfm_session *s, uint32_t wanted, struct vfm_error *err)
{
	if (wanted == VFM_STATE_ERROR || wanted == VFM_STATE_UNKNOWN)
		wanted = s->found;
	if ((wanted != VFM_STATE_STOP && wanted != VFM_STATE_RUNNING && wanted != VFM_STATE_RUNNING_P2P) ||
	    !vfm_fsm_has_state(s->flags, wanted))
		return step_fail(s, err, EINVAL, "start of save", "not a state this device can be brought back to");
	s->abort_state = wanted;
	return 0;
}

/* A save makes nothing run that did not, so where PRE_COPY begins depends on the state found. */
static uint32_t save_target(const struct vfm_session *s, uint32_t session_flags)
{
	if (!(session_flags & VFM_SESSION_LIVE) || !(s->flags & VFM_MIGRATION_PRE_COPY))
		return VFM_STATE_STOP_COPY;
	if (s->found == VFM_STATE_RUNNING)
		return VFM_STATE_PRE_COPY;
	return s->found == VFM_STATE_RUNNING_P2P ? VFM_STATE_PRE_COPY_P2P : VFM_STATE_STOP_COPY;
}

/* What a start left behind goes: a save by arcs, never by reset; a load that has begun by reset, the only way. */
static int undo_start(struct vfm_session *s, struct vfm_error *err)
{
	uint32_t now = atomic_load(&s->state);
	VFM_OPTS(vfm_error, why);
	int r;

	if (now == s->found)
		return 0;
	if (s->load && (now == VFM_STATE_RESUMING || now == VFM_STATE_ERROR || now == VFM_STATE_UNKNOWN)) {
		r = reset(s, &why);
		vfmi_error_amend(s->ctx, err, r ? VFM_ERROR_NEEDS_RESET : VFM_ERROR_WAS_RESET, atomic_load(&s->state),
				 "%s", r ? why.message : "the device was reset and is blank");
		return r;
	}
	r = go_back(s, s->found, &why);
	now = atomic_load(&s->state);
	vfmi_error_amend(s->ctx, err, now == VFM_STATE_ERROR ? VFM_ERROR_NEEDS_RESET : 0, now, "%s%s",
			 r ? "not brought back: " : "brought back to ", r ? why.message : vfm_state_name(now));
	return r;
}

/*
 * The kernel takes a descriptor for the data file only after the arc (vfio_main.c, all versions so far): with a full
 * table SET fails though the device has moved, its file dropped. So one descriptor is held ready for a second try.
 */
static int enter(struct vfm_session *s, uint32_t target, struct vfm_error *err)
{
	int reserve = s->sys->ops->eventfd(s->sys, 0, EFD_CLOEXEC);
	int r;

	if (reserve < 0) {
		struct vfmi_where where = where_of(s, "data file");

		where.flags |= VFM_ERROR_RETRYABLE;
		return vfmi_fail(s->ctx, err, -reserve, &where, "no descriptor is left for it: %s",
				 vfmi_errno_text(-reserve));
	}
	r = set_state(s, target, &s->data_fd, err);
	if (r < 0 && atomic_load(&s->state) == target && undo_start(s, err) == 0) {
		s->sys->ops->close(s->sys, reserve);
		reserve = -1;
		r = set_state(s, target, &s->data_fd, err);
	}
	if (r < 0)
		(void)undo_start(s, err);
	else if (s->data_fd < 0)
		r = step_fail(s, err, EBUSY, "data file", "none came: somebody else has begun a session meanwhile");
	if (reserve >= 0)
		s->sys->ops->close(s->sys, reserve);
	return r;
}

static int begin_save(struct vfm_session *s, const struct vfm_session_opts *opts, struct vfm_error *err)
{
	int r;

	if ((opts->flags & VFM_SESSION_HOLD_P2P) && s->found != VFM_STATE_RUNNING_P2P)
		return step_fail(s, err, EINVAL, "start of save", "the device is not held in RUNNING_P2P");
	r = take_abort_state(s, opts->abort_state, err);
	return r < 0 ? r : enter(s, save_target(s, opts->flags), err);
}

/* Only a reset abandons a load: one that works must be known before the device enters RESUMING. */
static int require_reset(struct vfm_session *s, struct vfm_error *err)
{
	VFM_OPTS(vfm_device_info, info);
	VFM_OPTS(vfm_identity, identity);
	int r;

	r = vfm_device_info(s->dev, &info, err);
	if (r < 0)
		return r;
	if (info.flags & VFM_DEVICE_RESET)
		return 0;
	r = vfm_device_identity(s->dev, &identity, NULL);
	if (!r && vfmi_quirk(s->ctx, identity.driver, VFMI_QUIRK_RESET))
		return 0;
	/* what the device holds is about to be replaced, so finding out costs nothing */
	r = reset(s, err);
	if (r == -EINVAL || r == -ENOTTY || r == -EOPNOTSUPP)
		return step_fail(s, err, EOPNOTSUPP, "start of load",
				 "the device has no reset that works, so a load could never be abandoned");
	if (r < 0)
		return r;
	s->was_reset = true;
	s->found = atomic_load(&s->state);
	return 0;
}

/* A start that failed after that reset has not left the device as it was: trying again is not all there is to it. */
static void own_up_to_reset(const struct vfm_session *s, struct vfm_error *err)
{
	err->flags &= ~(uint32_t)VFM_ERROR_RETRYABLE;
	if (!(err->flags & VFM_ERROR_WAS_RESET))
		vfmi_error_amend(s->ctx, err, err->flags & VFM_ERROR_NEEDS_RESET ? 0 : VFM_ERROR_WAS_RESET,
				 err->state_now, "before that the device was reset, to find out that it can be");
}

static int begin_load(struct vfm_session *s, const struct vfm_session_opts *opts, struct vfm_error *err)
{
	int r;

	if (opts->flags)
		return step_fail(s, err, EINVAL, "start of load", "a load has no flags");
	r = require_reset(s, err);
	if (r < 0)
		return r;
	r = enter(s, VFM_STATE_RESUMING, err);
	if (r < 0 && s->was_reset)
		own_up_to_reset(s, err);
	return r;
}

static int take_opts(struct vfm_device *dev, const struct vfm_session_opts *from, struct vfm_session_opts *opts,
		     struct vfm_error *err)
{
	int r = from ? vfmi_sized_in(opts, sizeof(*opts), from, sizeof(opts->size)) : 0;

	if (!r && (opts->flags & ~(uint32_t)(VFM_SESSION_LIVE | VFM_SESSION_HOLD_P2P)))
		r = -EINVAL;
	return r < 0 ? VFMI_FAIL(vfm_device_context(dev), err, -r, vfm_device_name(dev), "start of session",
				 "options of a wrong size or with unknown flags")
		     : 0;
}

static struct vfm_session *session_new(struct vfm_device *dev, bool load)
{
	struct vfm_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->dev = dev;
	s->ctx = vfm_device_context(dev);
	s->sys = vfmi_device_sys(dev);
	s->load = load;
	s->data_fd = -1;
	s->found = VFM_STATE_UNKNOWN;
	s->abort_state = VFM_STATE_UNKNOWN;
	atomic_init(&s->state, VFM_STATE_UNKNOWN);
	atomic_init(&s->phase, SESSION_OPEN);
	atomic_init(&s->complete, false);
	atomic_init(&s->bytes, 0);
	return s;
}

static int session_open(struct vfm_device *dev, bool load, const struct vfm_session_opts *from,
			struct vfm_session **ret_session, struct vfm_error *err)
{
	VFM_OPTS(vfm_session_opts, opts);
	struct vfm_session *s;
	int r;

	r = take_opts(dev, from, &opts, err);
	if (r < 0)
		return r;
	s = session_new(dev, load);
	if (!s)
		return VFMI_FAIL(vfm_device_context(dev), err, ENOMEM, vfm_device_name(dev), "start of session", "%s",
				 vfmi_errno_text(ENOMEM));
	r = vfmi_device_claim(dev, s, err);
	if (r < 0)
		goto err_free;
	r = find_out(s, err);
	if (!r)
		r = load ? begin_load(s, &opts, err) : begin_save(s, &opts, err);
	if (r < 0)
		goto err_release;
	*ret_session = s;
	return 0;

err_release:
	vfmi_device_release(dev, s);
err_free:
	free(s);
	return r;
}

/* The error is put together in one of full size: amending needs that, whatever size the caller's has. */
static int open_reported(struct vfm_device *dev, bool load, const struct vfm_session_opts *opts,
			 struct vfm_session **ret_session, struct vfm_error *ret_error)
{
	VFM_OPTS(vfm_error, err);
	int r;

	if (!dev || !ret_session)
		return -EINVAL;
	r = session_open(dev, load, opts, ret_session, &err);
	if (r < 0 && ret_error)
		(void)vfmi_sized_out(ret_error, &err, sizeof(err));
	return r;
}

int vfm_session_save(struct vfm_device *dev, const struct vfm_session_opts *opts, struct vfm_session **ret_session,
		     struct vfm_error *ret_error)
{
	return open_reported(dev, false, opts, ret_session, ret_error);
}

int vfm_session_load(struct vfm_device *dev, const struct vfm_session_opts *opts, struct vfm_session **ret_session,
		     struct vfm_error *ret_error)
{
	return open_reported(dev, true, opts, ret_session, ret_error);
}

/* data */

static bool is_data_state(const struct vfm_session *s, uint32_t state)
{
	if (s->load)
		return state == VFM_STATE_RESUMING;
	return state == VFM_STATE_STOP_COPY || state == VFM_STATE_PRE_COPY || state == VFM_STATE_PRE_COPY_P2P;
}

static bool in_precopy(const struct vfm_session *s)
{
	uint32_t state = atomic_load(&s->state);

	return state == VFM_STATE_PRE_COPY || state == VFM_STATE_PRE_COPY_P2P;
}

/*
 * The data file failed. ENODEV means that the session is gone: moved away by an abort, another holder or a reset, which
 * is a cancellation, or the hardware with it. May run beside an abort, so it leaves the remembered state alone.
 */
static int data_fail(struct vfm_session *s, int code, const char *step, struct vfm_error *err)
{
	struct vfmi_where where = where_of(s, step);
	uint32_t open = SESSION_OPEN, dead = SESSION_DEAD;

	(void)atomic_compare_exchange_strong(&s->phase, &open, SESSION_DEAD);
	where.state_now = ask_state(s);
	where.flags = 0;
	if (where.state_now == VFM_STATE_ERROR || (s->load && where.state_now == VFM_STATE_RESUMING))
		where.flags |= VFM_ERROR_NEEDS_RESET;
	if (code == ENODEV && where.state_now != VFM_STATE_UNKNOWN && where.state_now != VFM_STATE_ERROR &&
	    !is_data_state(s, where.state_now))
		(void)atomic_compare_exchange_strong(&s->phase, &dead, SESSION_LOST);
	if (atomic_load(&s->phase) == SESSION_OVER || atomic_load(&s->phase) == SESSION_LOST)
		return vfmi_fail(s->ctx, err, ECANCELED, &where, "the session is over: the device was moved meanwhile");
	return vfmi_fail(s->ctx, err, code, &where, "%s", vfmi_errno_text(code));
}

static int refuse_use(const struct vfm_session *s, bool load, const char *step, struct vfm_error *err)
{
	uint32_t phase = atomic_load(&s->phase);

	if (s->load != load)
		return step_fail(s, err, EINVAL, step, load ? "this session saves" : "this session loads");
	if (phase == SESSION_DEAD || phase == SESSION_LOST)
		return step_fail(s, err, EPROTO, step, "the session failed before; it can only be aborted");
	if (phase == SESSION_OVER)
		return step_fail(s, err, ECANCELED, step, "the session is over");
	return 0;
}

/* After EAGAIN. Drivers without poll are always ready, so whoever waits here may find nothing and come again. */
static int wait_ready(const struct vfm_session *s, short events)
{
	struct pollfd pfd = { .fd = s->data_fd, .events = events };
	int r = s->sys->ops->poll(s->sys, &pfd, 1, POLL_MS);

	if (r < 0 && r != -EINTR)
		return r;
	return atomic_load(&s->phase) == SESSION_OPEN ? 0 : -ENODEV;
}

int vfm_session_read(struct vfm_session *s, void *buf, size_t room, size_t *ret_length, struct vfm_error *ret_error)
{
	bool precopy;
	ssize_t n;
	int r;

	if (!s || !buf || !room || !ret_length)
		return -EINVAL;
	r = refuse_use(s, false, "read", ret_error);
	if (r < 0)
		return r;
	if (room > READ_MAX)
		room = READ_MAX;
	do {
		/* before the read: another thread may stop the device while PRE_COPY's answer is on its way */
		precopy = in_precopy(s);
		n = s->sys->ops->read(s->sys, s->data_fd, buf, room);
		if (n == -EAGAIN)
			r = wait_ready(s, POLLIN);
	} while ((n == -EINTR || n == -EAGAIN) && !r);
	if (r < 0)
		n = r;
	if (n > 0 && (size_t)n <= room) {
		atomic_fetch_add_explicit(&s->bytes, (uint64_t)n, memory_order_relaxed);
		*ret_length = (size_t)n;
		return VFM_READ_DATA;
	}
	/* PRE_COPY: ENOMSG by the book, 0 by hisi_acc, qat and mtty; 0 is an end in STOP_COPY only */
	if (precopy && (n == 0 || n == -ENOMSG))
		return VFM_READ_IDLE;
	if (n == 0) {
		atomic_store(&s->complete, true);
		return VFM_READ_END;
	}
	return data_fail(s, n > 0 ? EIO : (int)-n, "read", ret_error);
}

int vfm_session_write(struct vfm_session *s, const void *buf, size_t length, struct vfm_error *ret_error)
{
	const uint8_t *from = buf;
	int r;

	if (!s || (!buf && length))
		return -EINVAL;
	r = refuse_use(s, true, "write", ret_error);
	while (length && !r) {
		ssize_t n = s->sys->ops->write(s->sys, s->data_fd, from, length > READ_MAX ? READ_MAX : length);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			n = wait_ready(s, POLLOUT);
			if (!n)
				continue;
		}
		if (n <= 0 || (size_t)n > length)
			return data_fail(s, n < 0 ? (int)-n : EIO, "write", ret_error);
		atomic_fetch_add_explicit(&s->bytes, (uint64_t)n, memory_order_relaxed);
		from += n;
		length -= (size_t)n;
	}
	return r;
}

int vfm_session_precopy_info(struct vfm_session *s, struct vfm_precopy_info *ret, struct vfm_error *ret_error)
{
	VFM_OPTS(vfm_precopy_info, info);
	struct vfio_precopy_info raw = { .argsz = sizeof(raw) };
	int r;

	if (!s || !ret)
		return -EINVAL;
	r = refuse_use(s, false, "pre-copy info", ret_error);
	if (r < 0)
		return r;
	if (!in_precopy(s))
		return step_fail(s, ret_error, EINVAL, "pre-copy info", "the device is not in PRE_COPY");
	do
		r = vfmi_vfio_precopy_info(s->sys, s->data_fd, &raw);
	while (r == -EINTR);
	if (r == -ENODEV)
		return data_fail(s, ENODEV, "pre-copy info", ret_error);
	if (r < 0)
		return step_fail(s, ret_error, -r, "pre-copy info", vfmi_errno_text(-r));
	/* flags echo the caller's until MIG_PRECOPY_INFOv2 (Linux 7.1) is set, which it never is here */
	info.initial_bytes = raw.initial_bytes > INT64_MAX ? VFM_SIZE_UNKNOWN : raw.initial_bytes;
	info.dirty_bytes = raw.dirty_bytes > INT64_MAX ? VFM_SIZE_UNKNOWN : raw.dirty_bytes;
	return vfmi_sized_out(ret, &info, sizeof(info));
}

/* moving on */

/* An arc that keeps the data file. The device is asked first: from elsewhere the same SET would begin a new session. */
static int continue_to(struct vfm_session *s, uint32_t to, struct vfm_error *err)
{
	uint32_t now = ask_state(s);

	if (now != atomic_load(&s->state))
		return data_fail(s, ENODEV, "state", err);
	return set_state(s, to, NULL, err);
}

static int begin_call(struct vfm_session *s, const char *step, struct vfm_error *err)
{
	int r = refuse_use(s, s->load, step, err);

	return r < 0 ? r : vfmi_device_begin(s->dev, s, step, err);
}

int vfm_session_quiesce(struct vfm_session *s, struct vfm_error *ret_error)
{
	int r;

	if (!s)
		return -EINVAL;
	r = begin_call(s, "quiesce", ret_error);
	if (r < 0)
		return r;
	if (!in_precopy(s))
		r = step_fail(s, ret_error, EINVAL, "quiesce", "the device is not in PRE_COPY");
	else if (!(s->flags & VFM_MIGRATION_P2P))
		r = step_fail(s, ret_error, EOPNOTSUPP, "quiesce", "the device has no P2P states");
	else if (atomic_load(&s->state) != VFM_STATE_PRE_COPY_P2P)
		r = continue_to(s, VFM_STATE_PRE_COPY_P2P, ret_error);
	vfmi_device_end(s->dev);
	return r;
}

int vfm_session_stop_copy(struct vfm_session *s, struct vfm_error *ret_error)
{
	int r;

	if (!s)
		return -EINVAL;
	r = begin_call(s, "stop", ret_error);
	if (r < 0)
		return r;
	if (s->load)
		r = step_fail(s, ret_error, EINVAL, "stop", "this session loads");
	else if (atomic_load(&s->state) != VFM_STATE_STOP_COPY)
		r = continue_to(s, VFM_STATE_STOP_COPY, ret_error);
	vfmi_device_end(s->dev);
	return r;
}

/* ending */

static void session_over(struct vfm_session *s)
{
	atomic_store(&s->phase, SESSION_OVER);
	vfmi_device_release(s->dev, s);
}

static int finish(struct vfm_session *s, uint32_t target, struct vfm_error *err)
{
	int r;

	if (!s->load && !atomic_load(&s->complete))
		return step_fail(s, err, EPROTO, "finish", "the state was not read to its end");
	/* a load passes STOP by a SET of its own: that arc is the verdict, what follows is not */
	r = continue_to(s, s->load ? VFM_STATE_STOP : target, err);
	if (r < 0) {
		if (s->load)
			atomic_store(&s->phase, SESSION_DEAD);
		return r;
	}
	r = atomic_load(&s->state) == target ? 0 : set_state(s, target, NULL, err);
	return r;
}

int vfm_session_finish(struct vfm_session *s, uint32_t target, uint32_t *ret_state, struct vfm_error *ret_error)
{
	int r;

	if (!s)
		return -EINVAL;
	r = begin_call(s, "finish", ret_error);
	if (r < 0)
		goto out;
	if (target != VFM_STATE_STOP && target != VFM_STATE_RUNNING && target != VFM_STATE_RUNNING_P2P)
		r = step_fail(s, ret_error, EINVAL, "finish", "a session ends in STOP, RUNNING or RUNNING_P2P");
	else
		r = finish(s, target, ret_error);
	vfmi_device_end(s->dev);
	if (!r || (s->load && atomic_load(&s->phase) == SESSION_OPEN && atomic_load(&s->state) != VFM_STATE_RESUMING))
		session_over(s);
out:
	if (ret_state)
		*ret_state = atomic_load(&s->state);
	return r;
}

static int abort_save(struct vfm_session *s, bool lost, struct vfm_error *err)
{
	if (lost && atomic_load(&s->state) != s->abort_state)
		return step_fail(s, err, ECANCELED, "abort", "somebody else has moved the device, it is left to them");
	if (atomic_load(&s->state) == VFM_STATE_ERROR)
		return step_fail(s, err, ENOTRECOVERABLE, "abort", "the device is in ERROR");
	return go_back(s, s->abort_state, err);
}

int vfm_session_abort(struct vfm_session *s, uint32_t *ret_state, struct vfm_error *ret_error)
{
	uint32_t phase;
	int r;

	if (!s)
		return -EINVAL;
	if (atomic_load(&s->phase) == SESSION_OVER)
		return step_fail(s, ret_error, EINVAL, "abort", "the session is over");
	r = vfmi_device_begin(s->dev, s, "abort", ret_error);
	if (r < 0)
		return r;
	phase = atomic_exchange(&s->phase, SESSION_OVER);
	if (phase != SESSION_OVER) {
		atomic_store(&s->state, ask_state(s));
		r = s->load ? reset(s, ret_error) : abort_save(s, phase == SESSION_LOST, ret_error);
	}
	if (ret_state)
		*ret_state = atomic_load(&s->state);
	vfmi_device_end(s->dev);
	if (phase != SESSION_OVER)
		session_over(s);
	return r;
}

void vfm_session_close(struct vfm_session *s)
{
	if (!s)
		return;
	if (atomic_load(&s->phase) != SESSION_OVER)
		(void)vfm_session_abort(s, NULL, NULL);
	if (s->data_fd >= 0)
		s->sys->ops->close(s->sys, s->data_fd);
	free(s);
}

uint64_t vfm_session_bytes(const struct vfm_session *s)
{
	return s ? atomic_load_explicit(&s->bytes, memory_order_relaxed) : 0;
}
