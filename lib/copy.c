/* SPDX-License-Identifier: MIT */
/* vfm_copy(): source side and destination side in one process, joined by the pipeline; no stream between. */
#include <stdio.h>
#include <stdlib.h>

#include "source.h"
#include "target.h"

struct copy {
	struct vfmi_transfer t;
	struct vfmi_source source;
	struct vfmi_target target;
	struct vfm_error write_error; /* the worker's */
	bool given_up;		      /* the source is in STOP, the target may run */
};

static int check_world(struct copy *c)
{
	if (vfmi_device_sys(c->source.devices[0].dev)->simulated ==
	    vfmi_device_sys(c->target.devices[0].dev)->simulated)
		return 0;
	return vfmi_transfer_refuse(&c->t, EREMOTEIO, "one device is simulated, the other is real");
}

static int match_devices(struct copy *c)
{
	const struct vfm_transfer_opts *opts = &c->t.opts;
	int r = vfm_match(&c->source.devices[0].identity, &c->target.devices[0].identity, opts->match,
			  opts->match_user);

	if (r == 0 || (r == -EREMOTEIO && (opts->flags & VFM_TRANSFER_ALLOW_MISMATCH)))
		return 0;
	return VFMI_FAIL(c->t.ctx, &c->t.error, r == -EREMOTEIO ? EREMOTEIO : ECANCELED,
			 vfm_device_name(c->target.devices[0].dev), "match", "%s",
			 r == -EREMOTEIO ? "the devices differ in what must be the same"
					 : "ended by the caller's callback");
}

static int write_chunks(void *user, struct vfmi_pipeline *pipeline)
{
	struct copy *c = user;
	struct vfmi_slot *slot;
	int r;

	while ((r = vfmi_pipeline_full(pipeline, &slot)) == 0) {
		r = vfm_session_write(c->target.devices[0].session, slot->data, slot->length, &c->write_error);
		if (r < 0)
			return r;
		vfmi_pipeline_pop(pipeline);
	}
	return r == -ENODATA ? 0 : r;
}

static int move_state(struct copy *c)
{
	int r = vfmi_pipeline_consume(c->t.ctx, write_chunks, c, &c->source.pipeline);

	if (r < 0)
		return vfmi_transfer_refuse(&c->t, -r, "no worker thread: %s", vfmi_errno_text(-r));
	r = vfmi_source_precopy(&c->source);
	if (!r)
		r = vfmi_source_stop(&c->source);
	if (!r)
		r = vfmi_source_read(&c->source, 0);
	if (!r) {
		vfmi_pipeline_close(c->source.pipeline, 0);
		r = vfmi_pipeline_join(c->source.pipeline);
		c->source.consumer_failed = r < 0;
	}
	if (r < 0 && c->source.consumer_failed)
		c->t.error = c->write_error;
	return r;
}

static int move_config(struct copy *c)
{
	uint8_t record[VFM_CONFIG_MAX];
	int r;

	if (c->t.opts.flags & VFM_TRANSFER_NO_CONFIG)
		return 0;
	r = vfm_device_config_capture(c->source.devices[0].dev, record, sizeof(record), &c->t.error);
	return r <= 0 ? r : vfmi_target_keep_config(&c->target, 0, record, (size_t)r);
}

/* The target's verdict comes before the source gives up, and the source stands still before the target runs. */
static int hand_over(struct copy *c)
{
	int r = vfmi_transfer_phase(&c->t, VFM_PHASE_FINISH, c->t.progress.bytes);

	if (!r)
		r = vfmi_target_verdict(&c->target);
	if (!r)
		r = vfmi_source_finish(&c->source, VFM_STATE_STOP);
	if (!r) {
		c->given_up = true;
		r = vfmi_target_run(&c->target, vfmi_transfer_then(&c->t, VFM_STATE_STOP));
	}
	if (r < 0)
		return r;
	c->t.result.commit = VFM_COMMIT_DONE;
	return vfmi_transfer_phase(&c->t, VFM_PHASE_DONE, c->t.progress.bytes);
}

/* A target that failed to start may run all the same: only its reset makes sure that the source is alone again. */
static void take_back(struct copy *c)
{
	if (vfmi_target_reset(&c->target)) {
		vfmi_source_rollback(&c->source);
		return;
	}
	c->t.result.commit = VFM_COMMIT_DOUBT;
	vfmi_error_amend(c->t.ctx, &c->t.error, 0, c->t.error.state_now,
			 "the target may run or hold the state: the source stays stopped");
}

static int copy_run(struct copy *c)
{
	int r = vfmi_transfer_phase(&c->t, VFM_PHASE_SETUP, vfmi_source_estimate(&c->source));

	if (!r)
		r = check_world(c);
	if (!r)
		r = match_devices(c);
	if (!r)
		r = vfmi_target_open(&c->target, 1);
	if (!r)
		r = move_state(c);
	if (!r)
		r = move_config(c);
	if (!r)
		r = hand_over(c);
	/* the source first: it is what somebody waits for */
	if (r < 0 && !c->given_up)
		vfmi_source_rollback(&c->source);
	vfmi_pipeline_free(c->source.pipeline);
	if (r < 0 && c->given_up)
		take_back(c);
	else if (r < 0)
		(void)vfmi_target_reset(&c->target);
	return r;
}

int vfm_copy(struct vfm_device *source, struct vfm_device *target, const struct vfm_transfer_opts *opts,
	     struct vfm_transfer_result *ret_result, struct vfm_error *ret_error)
{
	struct vfm_device *const devs[2] = { source, target };
	struct copy *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return VFMI_FAIL(NULL, ret_error, ENOMEM, NULL, "copy", "%s", vfmi_errno_text(ENOMEM));
	c->write_error.size = sizeof(c->write_error);
	r = vfmi_transfer_begin(&c->t, devs, 2, opts,
				VFM_TRANSFER_LIVE | VFM_TRANSFER_ALLOW_MISMATCH | VFM_TRANSFER_NO_CONFIG);
	c->t.progress.devices = 1;
	if (!r)
		r = vfmi_target_init(&c->target, &c->t, &devs[1], 1);
	if (!r)
		r = vfmi_source_init(&c->source, &c->t, &devs[0], 1);
	if (!r)
		r = copy_run(c);
	r = vfmi_transfer_end(&c->t, r, source, ret_result, ret_error);
	vfmi_target_destroy(&c->target);
	free(c);
	return r;
}
