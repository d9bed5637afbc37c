/* SPDX-License-Identifier: MIT */
/* The destination side of a transfer: see target.h. */
#include <stdlib.h>

#include "target.h"

#define RESET_TRIES 2u /* what was loaded in vain may be half of something */

static int refuse_state(struct vfmi_target *target, const struct vfmi_target_device *d, uint32_t state)
{
	const struct vfmi_where where = {
		.device = vfm_device_name(d->dev),
		.step = "load",
		.state_from = VFM_STATE_UNKNOWN,
		.state_to = VFM_STATE_UNKNOWN,
		.state_now = state,
		.flags = state == VFM_STATE_ERROR || state == VFM_STATE_RESUMING ? VFM_ERROR_NEEDS_RESET : 0,
	};

	switch (state) {
	case VFM_STATE_STOP:
	case VFM_STATE_RUNNING:
	case VFM_STATE_RUNNING_P2P:
		return 0;
	case VFM_STATE_ERROR:
		return vfmi_fail(target->t->ctx, &target->t->error, ENOTRECOVERABLE, &where,
				 "a device in ERROR takes no state before it is reset");
	default:
		return vfmi_fail(target->t->ctx, &target->t->error, EBUSY, &where,
				 "somebody else's session is open or was left behind");
	}
}

static int ask_device(struct vfmi_target *target, struct vfmi_target_device *d, uint32_t *ret_state)
{
	struct vfm_error *err = &target->t->error;
	const uint32_t then = target->t->opts.then_state;
	uint32_t flags;
	int r;

	d->identity.size = sizeof(d->identity);
	r = vfmi_device_flags(d->dev, &flags, err);
	if (!r)
		r = vfm_device_identity(d->dev, &d->identity, err);
	if (!r)
		r = vfm_device_get_state(d->dev, ret_state, err);
	if (!r)
		r = refuse_state(target, d, *ret_state);
	if (!r && then == VFM_STATE_RUNNING_P2P && !(flags & VFM_MIGRATION_P2P))
		r = VFMI_FAIL(target->t->ctx, err, EOPNOTSUPP, vfm_device_name(d->dev), "load",
			      "it has no P2P states to end in");
	return r;
}

int vfmi_target_init(struct vfmi_target *target, struct vfmi_transfer *t, struct vfm_device *const *devs, size_t count)
{
	target->t = t;
	target->count = count;
	for (size_t i = 0; i < count; i++) {
		uint32_t state = VFM_STATE_UNKNOWN;
		int r;

		target->devices[i].dev = devs[i];
		r = ask_device(target, &target->devices[i], &state);
		if (r < 0)
			return r;
		if (i == 0)
			t->result.state_before = state;
	}
	return 0;
}

void vfmi_target_destroy(struct vfmi_target *target)
{
	for (size_t i = 0; i < target->count; i++)
		free(target->devices[i].config);
}

int vfmi_target_open(struct vfmi_target *target, uint64_t used)
{
	if (target->opened)
		return 0;
	target->opened = true;
	for (size_t i = 0; i < target->count; i++) {
		struct vfmi_target_device *d = &target->devices[i];
		int r;

		if (!(used & (1ull << i)))
			continue;
		r = vfm_session_load(d->dev, NULL, &d->session, &target->t->error);
		/* a start that fails undoes itself; where that failed too it is tried once more with the others */
		d->touched = !r || (r != -EBUSY && (target->t->error.flags & VFM_ERROR_NEEDS_RESET));
		if (r < 0)
			return r;
	}
	return 0;
}

int vfmi_target_write(struct vfmi_target *target, uint32_t index, const void *data, size_t length)
{
	return vfm_session_write(target->devices[index].session, data, length, &target->t->error);
}

int vfmi_target_keep_config(struct vfmi_target *target, uint32_t index, const void *record, size_t length)
{
	struct vfmi_target_device *d = &target->devices[index];

	if (target->t->opts.flags & VFM_TRANSFER_NO_CONFIG)
		return 0;
	if (length > VFM_CONFIG_MAX)
		return VFMI_FAIL(target->t->ctx, &target->t->error, EBADMSG, vfm_device_name(d->dev), "load",
				 "its configuration record is longer than any");
	free(d->config);
	d->config = malloc(length);
	if (!d->config)
		return VFMI_FAIL(target->t->ctx, &target->t->error, ENOMEM, vfm_device_name(d->dev), "load", "%s",
				 vfmi_errno_text(ENOMEM));
	memcpy(d->config, record, length);
	d->config_length = length;
	return 0;
}

int vfmi_target_verdict(struct vfmi_target *target)
{
	for (size_t i = 0; i < target->count; i++) {
		struct vfmi_target_device *d = &target->devices[i];
		int r;

		if (!d->session)
			continue;
		r = vfm_session_finish(d->session, VFM_STATE_STOP, NULL, &target->t->error);
		if (r < 0)
			return r;
		vfm_session_close(d->session);
		d->session = NULL;
	}
	for (size_t i = 0; i < target->count; i++) {
		struct vfmi_target_device *d = &target->devices[i];
		int r = 0;

		if (d->touched && d->config)
			r = vfm_device_config_apply(d->dev, d->config, d->config_length, &target->t->error);
		if (r < 0)
			return r;
		d->configured = d->touched && d->config;
	}
	return 0;
}

static int move_all(struct vfmi_target *target, uint32_t state, bool p2p_only)
{
	for (size_t i = 0; i < target->count; i++) {
		struct vfmi_target_device *d = &target->devices[i];
		int r;

		if (!d->touched || (p2p_only && !(d->identity.migration_flags & VFM_MIGRATION_P2P)))
			continue;
		r = vfm_device_set_state(d->dev, state, NULL, &target->t->error);
		if (r < 0)
			return r;
	}
	return 0;
}

int vfmi_target_run(struct vfmi_target *target, uint32_t then)
{
	int r = 0;

	if (then == VFM_STATE_RUNNING && target->count > 1)
		r = move_all(target, VFM_STATE_RUNNING_P2P, true);
	if (!r && then != VFM_STATE_STOP)
		r = move_all(target, then, false);
	vfmi_transfer_downtime_end(target->t);
	return r;
}

/* The reset keeps what configuration space holds, and a blank device has nothing to do in anybody's memory. */
static int clear_bus_master(struct vfmi_target_device *d, struct vfm_error *why)
{
	int r = d->configured ? vfm_device_bus_master(d->dev, false, why) : 0;

	return r == -EOPNOTSUPP ? 0 : r; /* not PCI */
}

static int reset_loaded(struct vfmi_target *target, struct vfmi_target_device *d, struct vfm_error *why)
{
	struct vfmi_where where = {
		.device = vfm_device_name(d->dev),
		.step = "reset",
		.state_from = VFM_STATE_UNKNOWN,
		.state_to = VFM_STATE_UNKNOWN,
	};
	int bus = clear_bus_master(d, why);
	int r = vfm_device_reset(d->dev, why);

	if (!r)
		r = vfm_device_get_state(d->dev, &where.state_now, why);
	if (!r && where.state_now != VFM_STATE_RUNNING)
		r = vfmi_fail(target->t->ctx, why, EIO, &where, "the reset succeeded but the device does not run");
	return r < 0 ? r : bus;
}

static int reset_device(struct vfmi_target *target, struct vfmi_target_device *d, struct vfm_error *why)
{
	int r = -EIO;

	if (!d->session) {
		for (unsigned int tries = 0; r < 0 && tries < RESET_TRIES; tries++)
			r = reset_loaded(target, d, why);
		return r;
	}
	r = vfm_session_abort(d->session, NULL, why);
	vfm_session_close(d->session);
	d->session = NULL;
	return r;
}

/* Whether the error is about a device not reset here, as the source of a copy: what it says of that one stays true. */
static bool is_about_other(const struct vfmi_target *target)
{
	const char *name = target->t->error.device;

	for (size_t i = 0; i < target->count; i++)
		if (!strcmp(vfm_device_name(target->devices[i].dev), name))
			return !target->devices[i].touched;
	return *name;
}

bool vfmi_target_reset(struct vfmi_target *target)
{
	struct vfmi_transfer *t = target->t;
	bool touched = false;
	bool all = true;

	for (size_t i = target->count; i-- > 0;) {
		struct vfmi_target_device *d = &target->devices[i];
		VFM_OPTS(vfm_error, why);

		if (!d->touched)
			continue;
		touched = true;
		if (reset_device(target, d, &why) == 0)
			continue;
		all = false;
		vfmi_error_amend(t->ctx, &t->error, VFM_ERROR_NEEDS_RESET, why.state_now, "not reset: %s", why.message);
	}
	if (!touched || !all)
		return all;
	if (!is_about_other(target)) {
		t->error.flags &= ~(uint32_t)VFM_ERROR_NEEDS_RESET;
		t->error.state_now = VFM_STATE_RUNNING;
	}
	vfmi_error_amend(t->ctx, &t->error, VFM_ERROR_WAS_RESET, t->error.state_now,
			 "what was touched has been reset, is blank and RUNNING");
	return true;
}
