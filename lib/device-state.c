/* SPDX-License-Identifier: MIT */
/* Migration state of a device outside data sessions: flags, asking, moving, reset. The truth is asked, never assumed.
 */
#include <inttypes.h>

#include <vfiomig/migration.h>

#include "device-body.h"

#define RESET_TRIES 10
#define RESET_PAUSE_NS 10000000u /* after the first try; doubles */

/* What a driver without the feature answers: core ENOTTY, drivers without feature ops EINVAL (6.12). */
static bool means_absent(int r)
{
	return r == -ENOTTY || r == -EINVAL || r == -EOPNOTSUPP;
}

static bool flags_defined(uint64_t flags)
{
	return flags == VFM_MIGRATION_STOP_COPY || flags == (VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_P2P) ||
	       flags == (VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_PRE_COPY) ||
	       flags == (VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_P2P | VFM_MIGRATION_PRE_COPY);
}

/* Asks the device; bits later kernels may add are ignored (uapi). */
static int ask_flags(struct vfm_device *dev, uint32_t *ret_flags)
{
	const uint64_t known = VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_P2P | VFM_MIGRATION_PRE_COPY;
	uint64_t flags;
	int r = vfmi_vfio_mig_flags(dev->sys, dev->fd, &flags);

	if (r < 0)
		return means_absent(r) ? -EOPNOTSUPP : r;
	if (!flags_defined(flags & known))
		return -EOPNOTSUPP;
	*ret_flags = (uint32_t)(flags & known);
	return 0;
}

int vfmi_device_ask_flags(struct vfm_device *dev, uint32_t *ret_flags)
{
	uint32_t flags;
	bool known;
	int r;

	pthread_mutex_lock(&dev->lock);
	known = dev->flags_known;
	flags = dev->flags;
	pthread_mutex_unlock(&dev->lock);
	if (!known) {
		r = ask_flags(dev, &flags);
		if (r < 0)
			return r;
		pthread_mutex_lock(&dev->lock);
		dev->flags = flags;
		dev->flags_known = true;
		pthread_mutex_unlock(&dev->lock);
	}
	*ret_flags = flags;
	return 0;
}

int vfmi_device_flags(struct vfm_device *dev, uint32_t *ret_flags, struct vfm_error *err)
{
	int r = vfmi_device_need_bound(dev, "migration flags", err);

	if (r < 0)
		return r;
	r = vfmi_device_ask_flags(dev, ret_flags);
	if (r == -EOPNOTSUPP)
		return vfmi_device_fail(dev, err, EOPNOTSUPP, "migration flags",
					"its driver cannot migrate, or claims a set of abilities that is not defined");
	return r < 0 ? vfmi_device_fail(dev, err, -r, "migration flags", "the device does not tell") : 0;
}

int vfm_device_migration_flags(struct vfm_device *dev, uint32_t *ret_flags, struct vfm_error *ret_error)
{
	return vfmi_device_flags(dev, ret_flags, ret_error);
}

/* A state newer than this library is a device that is busy with something, not a broken one. */
static int ask_state(struct vfm_device *dev, uint32_t *ret_state)
{
	uint32_t state;
	int r = vfmi_vfio_mig_get(dev->sys, dev->fd, &state);

	if (r < 0)
		return r;
	if (state == VFM_STATE_ERROR)
		vfmi_device_lost_log(dev);
	*ret_state = state < VFIO_DEVICE_STATE_NR ? state : VFM_STATE_UNKNOWN;
	return 0;
}

int vfmi_device_peek_state(struct vfm_device *dev, uint32_t *ret_state)
{
	return dev->bound ? ask_state(dev, ret_state) : -EINVAL;
}

/* Hot resets reach devices that nobody named. */
uint64_t vfmi_device_log_losses(const struct vfm_device *dev)
{
	return __atomic_load_n(&dev->log_losses, __ATOMIC_ACQUIRE) +
	       __atomic_load_n(&dev->ctx->hot_resets, __ATOMIC_ACQUIRE);
}

void vfmi_device_lost_log(struct vfm_device *dev)
{
	__atomic_fetch_add(&dev->log_losses, 1, __ATOMIC_RELEASE);
}

static uint32_t state_or_unknown(struct vfm_device *dev)
{
	uint32_t state;

	return !dev->bound || ask_state(dev, &state) < 0 ? VFM_STATE_UNKNOWN : state;
}

int vfm_device_get_state(struct vfm_device *dev, uint32_t *ret_state, struct vfm_error *ret_error)
{
	int r;

	r = vfmi_device_need_bound(dev, "ask for the state", ret_error);
	if (r < 0)
		return r;
	r = ask_state(dev, ret_state);
	if (r == 0)
		return 0;
	if (means_absent(r))
		return vfmi_device_fail(dev, ret_error, EOPNOTSUPP, "ask for the state", "its driver cannot migrate");
	return vfmi_device_fail(dev, ret_error, -r, "ask for the state", "the device does not tell");
}

struct transition {
	uint32_t flags;
	uint32_t from;
	uint32_t to;
	uint32_t now;
};

static int fail_transition(struct vfm_device *dev, struct vfm_error *err, int code, const struct transition *move,
			   const char *why)
{
	bool broken = move->now == VFM_STATE_ERROR;
	bool untouched = move->now == move->from && !broken;
	struct vfmi_where where = {
		.device = dev->name,
		.state_from = move->from,
		.state_to = move->to,
		.state_now = move->now,
		.flags = VFM_ERROR_TRANSITION | (broken ? VFM_ERROR_NEEDS_RESET : 0) |
			 (untouched && code != EINVAL ? VFM_ERROR_RETRYABLE : 0),
	};

	return vfmi_fail(dev->ctx, err, code, &where, "%s", why);
}

static bool starts_session(uint32_t state)
{
	return state == VFM_STATE_STOP_COPY || state == VFM_STATE_RESUMING || state == VFM_STATE_PRE_COPY ||
	       state == VFM_STATE_PRE_COPY_P2P;
}

/* Everything that can be told before the kernel is asked: an illegal request can poison a real device (xe). */
static int check_move(struct vfm_device *dev, const struct transition *move, struct vfm_error *err)
{
	uint32_t path[8];
	int hops;

	if (move->from == VFM_STATE_UNKNOWN)
		return fail_transition(dev, err, EBUSY, move, "the device is in a state this library does not know");
	if (move->from == VFM_STATE_ERROR)
		return fail_transition(dev, err, ENOTRECOVERABLE, move, "only a reset leads out of ERROR");
	if (move->from == VFM_STATE_RESUMING)
		return fail_transition(dev, err, EINVAL, move,
				       "what was loaded may be half a state: finish the load or reset the device");
	hops = vfm_fsm_path(move->flags, move->from, move->to, path);
	if (hops < 0)
		return fail_transition(dev, err, EINVAL, move, "the device has no such state, or no way there");
	for (int i = 0; i < hops; i++)
		if (starts_session(path[i]))
			return fail_transition(dev, err, EINVAL, move, "the way leads through a data session");
	return 0;
}

/* Asks for the move, then for the truth, whatever the kernel said. */
static int make_move(struct vfm_device *dev, struct transition *move, struct vfm_error *err)
{
	int data_fd = -1;
	int get;
	int r;

	r = vfmi_vfio_mig_set(dev->sys, dev->fd, move->to, &data_fd);
	/* No state allowed here starts a session; a driver that thinks otherwise must not leak one. */
	if (r == 0 && data_fd >= 0)
		dev->sys->ops->close(dev->sys, data_fd);
	move->now = VFM_STATE_UNKNOWN;
	get = ask_state(dev, &move->now);
	if (r < 0)
		return fail_transition(dev, err, move->now == VFM_STATE_ERROR ? ENOTRECOVERABLE : -r, move,
				       vfmi_errno_text(-r));
	if (get < 0)
		return fail_transition(dev, err, -get, move, "made, but then the device did not tell its state");
	if (move->now != move->to)
		return fail_transition(dev, err, move->now == VFM_STATE_ERROR ? ENOTRECOVERABLE : EIO, move,
				       "the kernel reported success, the device is elsewhere");
	return 0;
}

/* move->now holds the truth on return. */
static int move_device(struct vfm_device *dev, struct transition *move, struct vfm_error *err)
{
	int r = vfmi_device_flags(dev, &move->flags, err);

	if (r < 0)
		return r;
	r = vfm_device_get_state(dev, &move->from, err);
	if (r < 0)
		return r;
	move->now = move->from;
	r = check_move(dev, move, err);
	if (r < 0 || move->from == move->to)
		return r;
	return make_move(dev, move, err);
}

int vfm_device_set_state(struct vfm_device *dev, uint32_t target, uint32_t *ret_state, struct vfm_error *ret_error)
{
	struct transition move = { .from = VFM_STATE_UNKNOWN, .to = target, .now = VFM_STATE_UNKNOWN };
	int r;

	if (target != VFM_STATE_STOP && target != VFM_STATE_RUNNING && target != VFM_STATE_RUNNING_P2P) {
		move.from = move.now = state_or_unknown(dev);
		r = fail_transition(dev, ret_error, EINVAL, &move, "not a state a device can be left in");
		goto out;
	}
	r = vfmi_device_begin(dev, NULL, "change the state", ret_error);
	if (r < 0) {
		move.now = state_or_unknown(dev);
		goto out;
	}
	r = move_device(dev, &move, ret_error);
	vfmi_device_end(dev);
out:
	if (ret_state)
		*ret_state = move.now;
	return r;
}

int vfm_device_data_size(struct vfm_device *dev, uint64_t *ret_bytes, struct vfm_error *ret_error)
{
	uint64_t bytes;
	uint32_t flags;
	int r;

	r = vfmi_device_flags(dev, &flags, ret_error);
	if (r < 0)
		return r;
	r = vfmi_vfio_mig_size(dev->sys, dev->fd, &bytes);
	if (r < 0 && !means_absent(r))
		return vfmi_device_fail(dev, ret_error, -r, "data size", "the device does not tell");
	/* xe stores a negative errno in the unsigned size */
	*ret_bytes = r < 0 || bytes > INT64_MAX ? VFM_SIZE_UNKNOWN : bytes;
	return 0;
}

static const char *reset_remedy(int code)
{
	switch (code) {
	case EINVAL:
	case ENOTTY:
		return "the device has no reset";
	case EAGAIN:
		return "somebody else holds the device's lock";
	default:
		return "the device may be half reset";
	}
}

int vfmi_device_reset_now(struct vfm_device *dev, struct vfm_error *err)
{
	uint64_t pause_ns = RESET_PAUSE_NS;
	struct vfmi_where where;
	int r = vfmi_device_need_bound(dev, "reset", err);

	if (r < 0)
		return r;
	r = -EAGAIN;
	for (int i = 0; i < RESET_TRIES && r == -EAGAIN; i++) {
		if (i > 0) {
			dev->sys->ops->sleep_ns(dev->sys, pause_ns);
			pause_ns *= 2;
		}
		r = vfmi_vfio_reset(dev->sys, dev->fd);
	}
	if (r != -EAGAIN && r != -EINVAL && r != -ENOTTY) /* what failed may be half done */
		vfmi_device_lost_log(dev);
	if (r == 0) {
		vfmi_device_forget_errors(dev);
		return vfmi_device_wait_ready(dev, "reset", err);
	}
	where = (struct vfmi_where){
		.device = dev->name,
		.step = "reset",
		.state_from = VFM_STATE_UNKNOWN,
		.state_to = VFM_STATE_UNKNOWN,
		.state_now = state_or_unknown(dev),
		.flags = r == -EAGAIN ? VFM_ERROR_RETRYABLE : 0,
	};
	return vfmi_fail(dev->ctx, err, r == -ENOTTY ? EINVAL : -r, &where, "%s: %s", reset_remedy(-r),
			 vfmi_errno_text(-r));
}

int vfm_device_reset(struct vfm_device *dev, struct vfm_error *ret_error)
{
	int r;

	r = vfmi_device_begin(dev, NULL, "reset", ret_error);
	if (r < 0)
		return r;
	r = vfmi_device_reset_now(dev, ret_error);
	vfmi_device_end(dev);
	return r;
}
