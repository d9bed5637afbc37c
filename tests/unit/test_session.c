/* SPDX-License-Identifier: MIT */
/* Sessions on the simulated machine: directions, ends, aborts, and every call failing once in every mode. */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "machine_fixture.h"

#define CHUNK (64u * 1024u)
#define SET_STATE "VFIO_DEVICE_FEATURE(MIG_DEVICE_STATE)"

static struct machine m;
static uint8_t buf[CHUNK];

static void setup(void)
{
	machine_open(&m);
}

static void teardown(void)
{
	machine_close(&m);
}

static struct vfm_session *save(unsigned int slot, uint32_t flags)
{
	VFM_OPTS(vfm_session_opts, opts);
	VFM_OPTS(vfm_error, err);
	struct vfm_session *session = NULL;

	opts.flags = flags;
	ck_assert_msg(vfm_session_save(m.dev[slot], &opts, &session, &err) == 0, "%s", err.message);
	return session;
}

static struct vfm_session *load(unsigned int slot)
{
	VFM_OPTS(vfm_error, err);
	struct vfm_session *session = NULL;

	ck_assert_msg(vfm_session_load(m.dev[slot], NULL, &session, &err) == 0, "%s", err.message);
	return session;
}

/* Read until there is nothing (more), into @to when there is one; what ended it. */
static int pump(struct vfm_session *from, struct vfm_session *to)
{
	VFM_OPTS(vfm_error, err);
	size_t length;
	int r;

	while ((r = vfm_session_read(from, buf, sizeof(buf), &length, &err)) == VFM_READ_DATA) {
		ck_assert_uint_gt(length, 0);
		if (to)
			ck_assert_msg(vfm_session_write(to, buf, length, &err) == 0, "%s", err.message);
	}
	ck_assert_msg(r >= 0, "%s", err.message);
	return r;
}

static void finish(struct vfm_session *session, uint32_t target)
{
	VFM_OPTS(vfm_error, err);
	uint32_t state = VFM_STATE_UNKNOWN;

	ck_assert_msg(vfm_session_finish(session, target, &state, &err) == 0, "%s", err.message);
	ck_assert_uint_eq(state, target);
	vfm_session_close(session);
}

/* save */

START_TEST(save_reads_to_the_end)
{
	static const uint32_t ends[] = { VFM_STATE_STOP, VFM_STATE_RUNNING, VFM_STATE_RUNNING_P2P };
	struct vfm_session *session = save(_i / 3 ? 2 : 0, 0);

	ck_assert_uint_eq(machine_state(&m, _i / 3 ? 2 : 0), VFM_STATE_STOP_COPY);
	ck_assert_int_eq(pump(session, NULL), VFM_READ_END);
	ck_assert_uint_gt(vfm_session_bytes(session), _i / 3 ? 0 : STATE_BYTES - 1);
	ck_assert_int_eq(pump(session, NULL), VFM_READ_END);
	finish(session, ends[_i % 3]);
	ck_assert_uint_eq(machine_state(&m, _i / 3 ? 2 : 0), ends[_i % 3]);
	ck_assert_uint_eq(machine_usage(&m).resets, m.before.resets);
}
END_TEST

START_TEST(live_save_keeps_its_file)
{
	const unsigned int slot = _i ? 2 : 0; /* edu ends a round with ENOMSG, mtty with 0: both mean idle */
	struct vfm_session *session = save(slot, VFM_SESSION_LIVE);
	VFM_OPTS(vfm_precopy_info, info);
	VFM_OPTS(vfm_error, err);
	uint64_t precopied;

	ck_assert_uint_eq(machine_state(&m, slot), VFM_STATE_PRE_COPY);
	ck_assert_int_eq(vfm_session_precopy_info(session, &info, &err), 0);
	ck_assert_uint_gt(info.initial_bytes, 0);
	ck_assert_uint_eq(info.flags, 0);
	ck_assert_int_eq(pump(session, NULL), VFM_READ_IDLE);
	precopied = vfm_session_bytes(session);
	ck_assert_uint_ge(precopied, info.initial_bytes);
	ck_assert_int_eq(vfm_session_precopy_info(session, &info, &err), 0);
	ck_assert_uint_eq(info.initial_bytes, 0);
	ck_assert_int_eq(vfm_session_quiesce(session, &err), 0);
	ck_assert_int_eq(vfm_session_quiesce(session, &err), 0);
	ck_assert_uint_eq(machine_state(&m, slot), VFM_STATE_PRE_COPY_P2P);
	ck_assert_int_eq(vfm_session_stop_copy(session, &err), 0);
	ck_assert_int_eq(vfm_session_stop_copy(session, &err), 0);
	ck_assert_uint_eq(machine_state(&m, slot), VFM_STATE_STOP_COPY);
	ck_assert_int_eq(vfm_session_precopy_info(session, &info, &err), -EINVAL);
	ck_assert_int_eq(vfm_session_quiesce(session, &err), -EINVAL);
	ck_assert_int_eq(pump(session, NULL), VFM_READ_END);
	ck_assert_uint_gt(vfm_session_bytes(session), precopied);
	finish(session, VFM_STATE_RUNNING);
}
END_TEST

/* A save makes nothing run that did not. */
START_TEST(live_save_begins_where_the_device_is)
{
	struct vfm_session *session;

	machine_move(&m, 0, VFM_STATE_STOP);
	session = save(0, VFM_SESSION_LIVE);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_STOP_COPY);
	ck_assert_int_eq(vfm_session_abort(session, NULL, NULL), 0);
	vfm_session_close(session);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_STOP);

	machine_move(&m, 0, VFM_STATE_RUNNING_P2P);
	session = save(0, VFM_SESSION_LIVE | VFM_SESSION_HOLD_P2P);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_PRE_COPY_P2P);
	vfm_session_close(session);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING_P2P);
}
END_TEST

START_TEST(save_refuses)
{
	VFM_OPTS(vfm_session_opts, opts);
	VFM_OPTS(vfm_error, err);
	struct vfm_session *session = NULL;

	ck_assert_int_eq(vfm_session_save(NULL, &opts, &session, &err), -EINVAL);
	ck_assert_int_eq(vfm_session_save(m.dev[0], &opts, NULL, &err), -EINVAL);
	opts.flags = 4;
	ck_assert_int_eq(vfm_session_save(m.dev[0], &opts, &session, &err), -EINVAL);
	opts.flags = VFM_SESSION_HOLD_P2P;
	ck_assert_int_eq(vfm_session_save(m.dev[0], &opts, &session, &err), -EINVAL);
	opts.flags = 0;
	opts.abort_state = VFM_STATE_STOP_COPY;
	ck_assert_int_eq(vfm_session_save(m.dev[0], &opts, &session, &err), -EINVAL);
	opts.abort_state = 8;
	ck_assert_int_eq(vfm_session_save(m.dev[0], &opts, &session, &err), -EINVAL);
	ck_assert_ptr_null(session);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_A, "error"), 0);
	opts.abort_state = 0;
	ck_assert_int_eq(vfm_session_save(m.dev[0], &opts, &session, &err), -ENOTRECOVERABLE);
	ck_assert_uint_eq(err.state_now, VFM_STATE_ERROR);
	ck_assert(err.flags & VFM_ERROR_NEEDS_RESET);
	ck_assert_int_eq(vfm_session_load(m.dev[0], NULL, &session, &err), -ENOTRECOVERABLE);
}
END_TEST

START_TEST(one_session_a_device)
{
	struct vfm_session *session = save(0, 0);
	struct vfm_session *second = NULL;
	VFM_OPTS(vfm_error, err);
	uint32_t state;

	ck_assert_int_eq(vfm_session_save(m.dev[0], NULL, &second, &err), -EBUSY);
	ck_assert_int_eq(vfm_session_load(m.dev[0], NULL, &second, &err), -EBUSY);
	ck_assert_int_eq(vfm_device_set_state(m.dev[0], VFM_STATE_RUNNING, &state, &err), -EBUSY);
	ck_assert_uint_eq(state, VFM_STATE_STOP_COPY);
	ck_assert_int_eq(vfm_device_reset(m.dev[0], &err), -EBUSY);
	vfm_session_close(session);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
	vfm_session_close(save(0, 0));
	vfm_session_close(NULL);
}
END_TEST

/* The same device behind another object: what that one has begun is not ours to end. */
START_TEST(foreign_session_is_refused)
{
	VFM_OPTS(vfm_adopt, adopt);
	VFM_OPTS(vfm_error, err);
	struct vfm_session *session = save(0, 0);
	struct vfm_session *second = NULL;
	const uint32_t to = _i ? VFM_STATE_STOP : VFM_STATE_RUNNING;
	struct vfm_device *other;
	uint32_t state;

	adopt.device_fd = vfm_device_fd(m.dev[0]);
	adopt.iommufd = -1;
	ck_assert_int_eq(vfm_device_adopt(m.ctx, &adopt, &other, &err), 0);
	ck_assert_int_eq(vfm_session_save(other, NULL, &second, &err), -EBUSY);
	ck_assert_int_eq(vfm_session_load(other, NULL, &second, &err), -EBUSY);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_STOP_COPY);
	/* it may still move the device: then the session finds that it is over */
	ck_assert_int_eq(vfm_device_set_state(other, to, NULL, &err), 0);
	ck_assert_int_eq(vfm_session_read(session, buf, sizeof(buf), &(size_t){ 0 }, &err), -ECANCELED);
	ck_assert_uint_eq(err.state_now, to);
	ck_assert_int_eq(vfm_session_read(session, buf, sizeof(buf), &(size_t){ 0 }, &err), -EPROTO);
	/* and leaves it to them, wherever they put it */
	ck_assert_int_eq(vfm_session_abort(session, &state, &err), _i ? -ECANCELED : 0);
	ck_assert_uint_eq(state, to);
	vfm_session_close(session);
	vfm_device_close(other);
	ck_assert_uint_eq(machine_state(&m, 0), to);
}
END_TEST

/* From RUNNING the same SET would begin another session: what was read before would not belong to what follows. */
START_TEST(moved_device_does_not_stop_copy)
{
	VFM_OPTS(vfm_error, err);
	struct vfm_session *session = save(0, VFM_SESSION_LIVE);

	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_A, "reset"), 0);
	ck_assert_int_eq(vfm_session_stop_copy(session, &err), -ECANCELED);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
	vfm_session_close(session);
}
END_TEST

START_TEST(finish_needs_the_end)
{
	struct vfm_session *session = save(0, 0);
	VFM_OPTS(vfm_error, err);
	uint32_t state;

	ck_assert_int_eq(vfm_session_finish(session, VFM_STATE_STOP, &state, &err), -EPROTO);
	ck_assert_uint_eq(state, VFM_STATE_STOP_COPY);
	ck_assert_int_eq(pump(session, NULL), VFM_READ_END);
	ck_assert_int_eq(vfm_session_finish(session, VFM_STATE_PRE_COPY, &state, &err), -EINVAL);
	finish(session, VFM_STATE_STOP);
}
END_TEST

START_TEST(directions_do_not_mix)
{
	struct vfm_session *out = save(0, 0);
	struct vfm_session *in = load(1);
	VFM_OPTS(vfm_precopy_info, info);
	VFM_OPTS(vfm_error, err);
	size_t length;

	ck_assert_int_eq(vfm_session_write(out, buf, 1, &err), -EINVAL);
	ck_assert_int_eq(vfm_session_read(in, buf, 1, &length, &err), -EINVAL);
	ck_assert_int_eq(vfm_session_read(out, buf, 0, &length, &err), -EINVAL);
	ck_assert_int_eq(vfm_session_precopy_info(in, &info, &err), -EINVAL);
	ck_assert_int_eq(vfm_session_quiesce(in, &err), -EINVAL);
	ck_assert_int_eq(vfm_session_stop_copy(in, &err), -EINVAL);
	ck_assert_int_eq(vfm_session_write(in, NULL, 0, &err), 0);
	vfm_session_close(out);
	vfm_session_close(in);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
	ck_assert_uint_eq(machine_state(&m, 1), VFM_STATE_RUNNING);
}
END_TEST

START_TEST(abort_of_save_goes_back)
{
	static const uint32_t states[] = { VFM_STATE_STOP, VFM_STATE_RUNNING, VFM_STATE_RUNNING_P2P };
	VFM_OPTS(vfm_session_opts, opts);
	VFM_OPTS(vfm_error, err);
	struct vfm_session *session;
	uint32_t state = VFM_STATE_UNKNOWN;

	machine_move(&m, 0, states[_i % 3]);
	opts.flags = _i >= 9 ? VFM_SESSION_LIVE : 0;
	opts.abort_state = states[_i / 3 % 3];
	ck_assert_int_eq(vfm_session_save(m.dev[0], &opts, &session, &err), 0);
	ck_assert_int_ge(vfm_session_read(session, buf, 100, &(size_t){ 0 }, &err), 0);
	ck_assert_msg(vfm_session_abort(session, &state, &err) == 0, "%s", err.message);
	ck_assert_uint_eq(state, opts.abort_state);
	ck_assert_int_eq(vfm_session_abort(session, &state, &err), -EINVAL);
	ck_assert_int_eq(vfm_session_read(session, buf, 100, &(size_t){ 0 }, &err), -ECANCELED);
	vfm_session_close(session);
	ck_assert_uint_eq(machine_state(&m, 0), opts.abort_state);
	ck_assert_uint_eq(machine_usage(&m).resets, m.before.resets);
}
END_TEST

START_TEST(abort_in_error_is_honest)
{
	struct vfm_session *session = save(0, 0);
	VFM_OPTS(vfm_error, err);
	uint32_t state;

	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_A, "error"), 0);
	ck_assert_int_lt(vfm_session_read(session, buf, sizeof(buf), &(size_t){ 0 }, &err), 0);
	ck_assert_uint_eq(err.state_now, VFM_STATE_ERROR);
	ck_assert(err.flags & VFM_ERROR_NEEDS_RESET);
	ck_assert_int_eq(vfm_session_abort(session, &state, &err), -ENOTRECOVERABLE);
	ck_assert_uint_eq(state, VFM_STATE_ERROR);
	vfm_session_close(session);
	ck_assert_uint_eq(machine_usage(&m).resets, m.before.resets);
	ck_assert_int_eq(vfm_device_reset(m.dev[0], &err), 0);
}
END_TEST

/* load */

START_TEST(load_carries_the_state)
{
	static const uint32_t ends[] = { VFM_STATE_STOP, VFM_STATE_RUNNING, VFM_STATE_RUNNING_P2P };
	struct vfm_session *out = save(0, _i >= 3 ? VFM_SESSION_LIVE : 0);
	struct vfm_session *in = load(1);
	VFM_OPTS(vfm_error, err);

	ck_assert_uint_eq(machine_state(&m, 1), VFM_STATE_RESUMING);
	if (_i >= 3) {
		ck_assert_int_eq(pump(out, in), VFM_READ_IDLE);
		ck_assert_int_eq(vfm_session_stop_copy(out, &err), 0);
	}
	ck_assert_int_eq(pump(out, in), VFM_READ_END);
	ck_assert_uint_eq(vfm_session_bytes(in), vfm_session_bytes(out));
	finish(out, VFM_STATE_STOP);
	finish(in, ends[_i % 3]);
	ck_assert_uint_eq(machine_state(&m, 1), ends[_i % 3]);
	ck_assert(machine_same_contents(&m, EDU_A, EDU_B));
}
END_TEST

START_TEST(abort_of_load_resets)
{
	struct vfm_session *in = load(1);
	VFM_OPTS(vfm_error, err);
	uint32_t state;

	ck_assert_int_eq(vfm_session_abort(in, &state, &err), 0);
	ck_assert_uint_eq(state, VFM_STATE_RUNNING);
	ck_assert(machine_is_blank(&m, EDU_B));
	vfm_session_close(in);
	/* mtty does not say that it can be reset; the quirk table does */
	in = load(3);
	vfm_session_close(in);
	ck_assert_uint_eq(machine_state(&m, 3), VFM_STATE_RUNNING);
}
END_TEST

/* mtty answers EFAULT to a bad header and would load it all the same on the way to STOP. */
START_TEST(failed_write_ends_a_load)
{
	struct vfm_session *in = load(3);
	VFM_OPTS(vfm_error, err);
	uint32_t state;

	memset(buf, 0xee, sizeof(buf));
	ck_assert_int_lt(vfm_session_write(in, buf, 96, &err), 0);
	ck_assert_uint_eq(err.state_now, VFM_STATE_RESUMING);
	ck_assert(err.flags & VFM_ERROR_NEEDS_RESET);
	ck_assert_int_eq(vfm_session_write(in, buf, 1, &err), -EPROTO);
	ck_assert_int_eq(vfm_session_finish(in, VFM_STATE_STOP, &state, &err), -EPROTO);
	ck_assert_uint_eq(machine_state(&m, 3), VFM_STATE_RESUMING);
	ck_assert_int_eq(vfm_session_abort(in, &state, &err), 0);
	ck_assert_uint_eq(state, VFM_STATE_RUNNING);
	vfm_session_close(in);
}
END_TEST

START_TEST(bad_verdict_leaves_only_the_reset)
{
	struct vfm_session *in = load(3);
	VFM_OPTS(vfm_error, err);
	uint32_t state;

	/* nothing was written: a short state */
	ck_assert_int_lt(vfm_session_finish(in, VFM_STATE_RUNNING, &state, &err), 0);
	ck_assert_uint_eq(state, VFM_STATE_RESUMING);
	ck_assert(err.flags & VFM_ERROR_TRANSITION);
	ck_assert_uint_eq(err.state_from, VFM_STATE_RESUMING);
	ck_assert_uint_eq(err.state_to, VFM_STATE_STOP);
	ck_assert_int_eq(vfm_session_write(in, buf, 1, &err), -EPROTO);
	vfm_session_close(in);
	ck_assert_uint_eq(machine_state(&m, 3), VFM_STATE_RUNNING);
}
END_TEST

/* descriptors and threads */

START_TEST(full_table_after_the_arc)
{
	VFM_OPTS(vfm_error, err);
	struct vfm_session *session = NULL;
	uint64_t resets = m.before.resets;

	/* the first GET is ours, the second call of this kind is the SET */
	machine_fault(&m, SET_STATE, VFM_SIM_FAULT_AFTER, 2, 1, EMFILE);
	ck_assert_msg(vfm_session_save(m.dev[0], NULL, &session, &err) == 0, "%s", err.message);
	ck_assert_uint_eq(vfm_sim_faults_hit(m.sim), 1);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_STOP_COPY);
	ck_assert_int_eq(pump(session, NULL), VFM_READ_END);
	finish(session, VFM_STATE_RUNNING);
	ck_assert_uint_eq(machine_usage(&m).resets, resets);

	machine_fault(&m, SET_STATE, VFM_SIM_FAULT_AFTER, 2, 1, EMFILE);
	ck_assert_msg(vfm_session_load(m.dev[1], NULL, &session, &err) == 0, "%s", err.message);
	ck_assert_uint_eq(machine_state(&m, 1), VFM_STATE_RESUMING);
	ck_assert_uint_eq(machine_usage(&m).resets, resets + 1);
	vfm_session_close(session);
}
END_TEST

START_TEST(full_table_before_the_arc)
{
	VFM_OPTS(vfm_error, err);
	struct vfm_session *session = NULL;

	machine_fault(&m, "eventfd", VFM_SIM_FAULT_BEFORE, 1, 1, EMFILE);
	ck_assert_int_eq(vfm_session_save(m.dev[0], NULL, &session, &err), -EMFILE);
	ck_assert(err.flags & VFM_ERROR_RETRYABLE);
	ck_assert_uint_eq(err.state_now, VFM_STATE_RUNNING);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
}
END_TEST

static void *abort_soon(void *session)
{
	usleep(20000);
	ck_assert_int_eq(vfm_session_abort(session, NULL, NULL), 0);
	return NULL;
}

START_TEST(abort_cancels_a_reader)
{
	struct vfm_session *session = save(0, VFM_SESSION_LIVE);
	VFM_OPTS(vfm_error, err);
	pthread_t thread;
	size_t length;
	int r;

	ck_assert_int_eq(pthread_create(&thread, NULL, abort_soon, session), 0);
	do
		r = vfm_session_read(session, buf, sizeof(buf), &length, &err);
	while (r >= 0);
	ck_assert_int_eq(r, -ECANCELED);
	pthread_join(thread, NULL);
	vfm_session_close(session);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
}
END_TEST

/* Every call fails once, in every mode: no leak, no strict error, no reset of a source, and the report is true. */

static int save_once(struct vfm_error *err)
{
	VFM_OPTS(vfm_session_opts, opts);
	struct vfm_session *session = NULL;
	size_t length;
	int r;

	opts.flags = VFM_SESSION_LIVE;
	r = vfm_session_save(m.dev[2], &opts, &session, err);
	while (!r && (r = vfm_session_read(session, buf, sizeof(buf), &length, err)) == VFM_READ_DATA)
		r = 0;
	if (r == VFM_READ_IDLE)
		r = vfm_session_quiesce(session, err);
	if (!r)
		r = vfm_session_stop_copy(session, err);
	while (!r && (r = vfm_session_read(session, buf, sizeof(buf), &length, err)) == VFM_READ_DATA)
		r = 0;
	if (r == VFM_READ_END)
		r = vfm_session_finish(session, VFM_STATE_RUNNING, NULL, err);
	if (r < 0 && session) {
		VFM_OPTS(vfm_error, why);
		uint32_t state;

		if (vfm_session_abort(session, &state, &why) == 0)
			err->state_now = state;
		else
			*err = why;
	}
	vfm_session_close(session);
	return r;
}

START_TEST(save_with_every_call_failing)
{
	for (uint64_t call = 1; call < 1000; call++) {
		VFM_OPTS(vfm_error, err);
		int r;

		machine_fault(&m, NULL, (uint32_t)_i, call, 1, 0);
		r = save_once(&err);
		if (!vfm_sim_faults_hit(m.sim)) {
			ck_assert_int_eq(r, 0);
			ck_assert_uint_gt(call, 10);
			return;
		}
		machine_check(&m);
		ck_assert_msg(machine_state(&m, 2) == VFM_STATE_RUNNING, "call %u, mode %d: left in %s; %s",
			      (unsigned int)call, _i, vfm_state_name(machine_state(&m, 2)), err.message);
		/* unknown where the failure came before the device was asked */
		if (r < 0 && err.state_now != VFM_STATE_UNKNOWN)
			ck_assert_uint_eq(err.state_now, VFM_STATE_RUNNING);
		ck_assert_uint_eq(machine_usage(&m).resets, m.before.resets);
	}
	ck_abort_msg("the save does not end");
}
END_TEST

START_TEST(save_with_all_that_follow_failing)
{
	for (uint64_t call = 1; call < 1000; call++) {
		VFM_OPTS(vfm_error, err);
		uint32_t state;
		int r;

		machine_fault(&m, NULL, (uint32_t)_i, call, UINT64_MAX, 0);
		r = save_once(&err);
		if (!vfm_sim_faults_hit(m.sim)) {
			ck_assert_int_eq(r, 0);
			return;
		}
		state = machine_state(&m, 2);
		machine_check(&m);
		if (r < 0)
			ck_assert_msg(err.state_now == state || err.state_now == VFM_STATE_UNKNOWN,
				      "call %u: said %s, is in %s", (unsigned int)call, vfm_state_name(err.state_now),
				      vfm_state_name(state));
		ck_assert_uint_eq(machine_usage(&m).resets, m.before.resets);
		if (state != VFM_STATE_RUNNING)
			machine_move(&m, 2, VFM_STATE_RUNNING);
	}
	ck_abort_msg("the save does not end");
}
END_TEST

static int load_once(const uint8_t *state, size_t length, struct vfm_error *err)
{
	struct vfm_session *session = NULL;
	int r = vfm_session_load(m.dev[3], NULL, &session, err);

	if (!r)
		r = vfm_session_write(session, state, length, err);
	if (!r)
		r = vfm_session_finish(session, VFM_STATE_STOP, NULL, err);
	vfm_session_close(session);
	return r;
}

START_TEST(load_with_every_call_failing)
{
	struct vfm_session *session = save(2, 0);
	uint8_t state[256];
	size_t length;

	ck_assert_int_eq(vfm_session_read(session, state, sizeof(state), &length, NULL), VFM_READ_DATA);
	vfm_session_close(session);
	for (uint64_t call = 1; call < 1000; call++) {
		VFM_OPTS(vfm_error, err);
		uint32_t now;
		int r;

		machine_fault(&m, NULL, (uint32_t)_i, call, 1, 0);
		r = load_once(state, length, &err);
		if (!vfm_sim_faults_hit(m.sim)) {
			ck_assert_int_eq(r, 0);
			ck_assert_uint_gt(call, 5);
			return;
		}
		machine_check(&m);
		now = machine_state(&m, 3);
		/* never half loaded: stopped with a verdict, or running, blank or untouched */
		ck_assert_uint_eq(now, r == 0 ? VFM_STATE_STOP : VFM_STATE_RUNNING);
		if (r == 0)
			machine_move(&m, 3, VFM_STATE_RUNNING);
	}
	ck_abort_msg("the load does not end");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("session");
	TCase *tc = tcase_create("session");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, save_reads_to_the_end, 0, 6);
	tcase_add_loop_test(tc, live_save_keeps_its_file, 0, 2);
	tcase_add_test(tc, live_save_begins_where_the_device_is);
	tcase_add_test(tc, save_refuses);
	tcase_add_test(tc, one_session_a_device);
	tcase_add_loop_test(tc, foreign_session_is_refused, 0, 2);
	tcase_add_test(tc, moved_device_does_not_stop_copy);
	tcase_add_test(tc, finish_needs_the_end);
	tcase_add_test(tc, directions_do_not_mix);
	tcase_add_loop_test(tc, abort_of_save_goes_back, 0, 18);
	tcase_add_test(tc, abort_in_error_is_honest);
	tcase_add_loop_test(tc, load_carries_the_state, 0, 6);
	tcase_add_test(tc, abort_of_load_resets);
	tcase_add_test(tc, failed_write_ends_a_load);
	tcase_add_test(tc, bad_verdict_leaves_only_the_reset);
	tcase_add_test(tc, full_table_after_the_arc);
	tcase_add_test(tc, full_table_before_the_arc);
	tcase_add_test(tc, abort_cancels_a_reader);
	tcase_add_loop_test(tc, save_with_every_call_failing, VFM_SIM_FAULT_BEFORE, VFM_SIM_FAULT_PARTIAL + 1);
	tcase_add_loop_test(tc, save_with_all_that_follow_failing, VFM_SIM_FAULT_BEFORE, VFM_SIM_FAULT_PARTIAL + 1);
	tcase_add_loop_test(tc, load_with_every_call_failing, VFM_SIM_FAULT_BEFORE, VFM_SIM_FAULT_PARTIAL + 1);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
