/* SPDX-License-Identifier: MIT */
/* Transfers that end with one owner: over a duplex channel that may break at any byte, and from device to device. */
#include "transfer_fixture.h"

/* duplex */

/* An end whose channel gives up a wait for the peer again and again once the verdict is near. */
struct impatient {
	struct duplex_end *end;
	struct vfm_cancel *cancel; /* triggered by the last of its timeouts, or NULL */
	unsigned int timeouts;
	bool near;
};

static int64_t impatient_read(void *user, void *buf, size_t length)
{
	struct impatient *impatient = user;

	if (!impatient->near || !impatient->timeouts)
		return duplex_read(impatient->end, buf, length);
	if (--impatient->timeouts == 0)
		vfm_cancel_trigger(impatient->cancel);
	return -ETIMEDOUT;
}

static int impatient_write(void *user, const void *buf, size_t length)
{
	struct impatient *impatient = user;

	return duplex_write(impatient->end, buf, length);
}

static int see_verdict(void *user, const struct vfm_progress *progress)
{
	struct impatient *impatient = user;

	impatient->near = progress->phase == VFM_PHASE_FINISH;
	return 0;
}

static struct vfm_io impatient_io(struct impatient *impatient, struct duplex_end *end, struct vfm_transfer_opts *opts)
{
	impatient->end = end;
	opts->progress = see_verdict;
	opts->progress_user = impatient;
	opts->cancel = impatient->cancel;
	return (struct vfm_io){
		.size = sizeof(struct vfm_io), .user = impatient, .read = impatient_read, .write = impatient_write
	};
}

struct destination {
	struct duplex_end end;
	struct vfm_transfer_opts source_opts;
	struct impatient *impatient[2]; /* of the source and of the destination, NULL: one that waits */
	struct vfm_transfer_opts opts;
	struct vfm_transfer_result result;
	struct vfm_error error;
	unsigned int slot;
	int r;
};

static void *run_destination(void *user)
{
	struct destination *d = user;
	struct vfm_io io = d->impatient[1] ? impatient_io(d->impatient[1], &d->end, &d->opts) : duplex_io(&d->end);

	d->r = vfm_restore(&m.dev[d->slot], 1, &io, &d->opts, &d->result, &d->error);
	duplex_hang_up(&d->end);
	return NULL;
}

static int hand_over(unsigned int from, struct destination *d, struct duplex *duplex)
{
	struct duplex_end end = { duplex, 0 };
	struct vfm_io io = d->impatient[0] ? impatient_io(d->impatient[0], &end, &d->source_opts) : duplex_io(&end);
	pthread_t thread;
	int r;

	d->source_opts.size = sizeof(d->source_opts);
	d->end = (struct duplex_end){ duplex, 1 };
	d->opts.size = sizeof(d->opts);
	d->opts.then_state = VFM_STATE_RUNNING;
	d->result.size = sizeof(d->result);
	d->error.size = sizeof(d->error);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_destination, d), 0);
	r = vfm_save(&m.dev[from], 1, &io, &d->source_opts, &result, &error);
	duplex_hang_up(&end);
	pthread_join(thread, NULL);
	return r;
}

START_TEST(handover)
{
	struct destination d = { .slot = 1 };
	struct duplex duplex;

	duplex_init(&duplex);
	ck_assert_msg(hand_over(0, &d, &duplex) == 0, "%s", error.message);
	ck_assert_msg(d.r == 0, "%s", d.error.message);
	ck_assert_uint_eq(result.commit, VFM_COMMIT_DONE);
	ck_assert_uint_eq(d.result.commit, VFM_COMMIT_DONE);
	ck_assert_uint_eq(result.stream_id, d.result.stream_id);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_STOP);
	ck_assert_uint_eq(machine_state(&m, 1), VFM_STATE_RUNNING);
	ck_assert(machine_same_contents(&m, EDU_A, EDU_B));
	duplex_destroy(&duplex);
}
END_TEST

/* The destination says no before anything stops. */
START_TEST(handover_refused)
{
	struct destination d = { .slot = 3 };
	struct duplex duplex;

	duplex_init(&duplex);
	ck_assert_int_eq(hand_over(0, &d, &duplex), -EREMOTEIO);
	ck_assert_int_eq(d.r, -EREMOTEIO);
	ck_assert(error.flags & VFM_ERROR_PEER);
	ck_assert_uint_eq(result.downtime_ns, 0);
	ck_assert_uint_eq(result.bytes, 0);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
	ck_assert_uint_eq(machine_usage(&m).resets, m.before.resets);
	duplex_destroy(&duplex);
}
END_TEST

/* A verdict that fails at the destination leaves the source running, with the destination's reason. */
START_TEST(handover_failed)
{
	struct destination d = { .slot = 1 };
	struct duplex duplex;

	duplex_init(&duplex);
	/* RUNNING -> P2P -> STOP -> RESUMING, then the verdict */
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_B, "fail-arc=4"), 0);
	ck_assert_int_eq(hand_over(0, &d, &duplex), -EIO);
	ck_assert_int_eq(d.r, -EIO);
	ck_assert(d.error.flags & VFM_ERROR_WAS_RESET);
	ck_assert(error.flags & VFM_ERROR_PEER);
	ck_assert_ptr_nonnull(strstr(error.message, EDU_B));
	ck_assert_uint_eq(result.commit, VFM_COMMIT_NONE);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
	ck_assert_uint_eq(machine_state(&m, 1), VFM_STATE_RUNNING);
	ck_assert(machine_is_blank(&m, EDU_B));
	duplex_destroy(&duplex);
}
END_TEST

/* The source has given up: what does not start here is here all the same, whole, and no second try would find it. */
START_TEST(handover_that_does_not_start)
{
	struct destination d = { .slot = 1, .source_opts = { .blob = "blob", .blob_length = 4 } };
	struct duplex duplex;
	char *blob = NULL, fault[24];
	size_t length = 0;

	duplex_init(&duplex);
	d.opts.ret_blob = (void **)&blob;
	d.opts.ret_blob_length = &length;
	/* RUNNING -> P2P -> STOP -> RESUMING -> STOP, then P2P and RUNNING */
	snprintf(fault, sizeof(fault), "fail-arc=%d", _i);
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_B, fault), 0);
	ck_assert_msg(hand_over(0, &d, &duplex) == 0, "%s", error.message);
	ck_assert_uint_eq(result.commit, VFM_COMMIT_DONE);
	ck_assert_int_eq(d.r, -EIO);
	ck_assert_uint_eq(d.result.commit, VFM_COMMIT_DONE);
	ck_assert(!(d.error.flags & (VFM_ERROR_RETRYABLE | VFM_ERROR_WAS_RESET)));
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_STOP);
	ck_assert_uint_eq(machine_state(&m, 1), _i == 5 ? VFM_STATE_STOP : VFM_STATE_RUNNING_P2P);
	ck_assert(machine_same_contents(&m, EDU_A, EDU_B));
	ck_assert_uint_eq(length, 4);
	ck_assert_mem_eq(blob, "blob", 4);
	free(blob);
	duplex_destroy(&duplex);
}
END_TEST

/* A wait that ends after the verdict would be the doubt itself. */
START_TEST(timeout_after_the_verdict_is_no_doubt)
{
	struct impatient impatient = { .timeouts = 3 };
	struct destination d = { .slot = 1 };
	struct duplex duplex;

	duplex_init(&duplex);
	d.impatient[_i] = &impatient;
	ck_assert_msg(hand_over(0, &d, &duplex) == 0, "%s", error.message);
	ck_assert_msg(d.r == 0, "%s", d.error.message);
	ck_assert_uint_eq(impatient.timeouts, 0);
	ck_assert_uint_eq(result.commit, VFM_COMMIT_DONE);
	ck_assert_uint_eq(d.result.commit, VFM_COMMIT_DONE);
	duplex_destroy(&duplex);
}
END_TEST

/* A caller who has enough of waiting still ends it, and knows what that means. */
START_TEST(cancel_after_the_verdict_is_doubt)
{
	struct impatient impatient = { .timeouts = 2 };
	struct destination d = { .slot = 1 };
	struct duplex duplex;

	duplex_init(&duplex);
	ck_assert_int_eq(vfm_cancel_new(m.ctx, &impatient.cancel), 0);
	d.impatient[_i] = &impatient;
	hand_over(0, &d, &duplex);
	ck_assert_int_eq(_i ? d.r : error.code, _i ? -EINPROGRESS : EINPROGRESS);
	ck_assert_uint_eq(_i ? d.result.commit : result.commit, VFM_COMMIT_DOUBT);
	ck_assert_uint_eq(machine_state(&m, (unsigned int)_i), VFM_STATE_STOP);
	duplex_destroy(&duplex);
	vfm_cancel_free(impatient.cancel);
}
END_TEST

/* Source cannot give up after the verdict: it keeps the state, the destination drops it. */
START_TEST(handover_kept)
{
	struct destination d = { .slot = 1 };
	struct duplex duplex;

	duplex_init(&duplex);
	/* RUNNING -> P2P -> STOP -> STOP_COPY, then STOP */
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_A, "fail-arc=4"), 0);
	ck_assert_int_eq(hand_over(0, &d, &duplex), -EIO);
	ck_assert_int_eq(d.r, -ECONNABORTED);
	ck_assert_uint_eq(d.result.commit, VFM_COMMIT_NONE);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
	ck_assert(machine_is_blank(&m, EDU_B));
	duplex_destroy(&duplex);
}
END_TEST

/* A reset that fails once is tried again: what was loaded in vain must not stay. */
START_TEST(dropping_is_tried_twice)
{
	struct destination d = { .slot = 1 };
	struct duplex duplex;

	duplex_init(&duplex);
	machine_fault(&m, "VFIO_DEVICE_RESET", VFM_SIM_FAULT_BEFORE, 1, (uint64_t)_i, EIO);
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_A, "fail-arc=4"), 0);
	ck_assert_int_eq(hand_over(0, &d, &duplex), -EIO);
	ck_assert_int_eq(d.r, -ECONNABORTED);
	ck_assert_uint_eq(vfm_sim_faults_hit(m.sim), (uint64_t)_i);
	if (_i == 1) {
		ck_assert(d.error.flags & VFM_ERROR_WAS_RESET);
		ck_assert_uint_eq(machine_state(&m, 1), VFM_STATE_RUNNING);
	} else {
		ck_assert(!(d.error.flags & VFM_ERROR_WAS_RESET));
		ck_assert(d.error.flags & VFM_ERROR_NEEDS_RESET);
		ck_assert_uint_eq(d.error.state_now, VFM_STATE_STOP);
		ck_assert_uint_eq(machine_state(&m, 1), VFM_STATE_STOP);
	}
	duplex_destroy(&duplex);
}
END_TEST

/* Never two runners, and never none without somebody in doubt about it. */
static void check_handover(int r, const struct destination *d, const char *where)
{
	uint32_t source = machine_state(&m, 2);
	uint32_t target = machine_state(&m, 3);

	if (d->r == 0) {
		ck_assert_msg(target == VFM_STATE_RUNNING && source == VFM_STATE_STOP, "%s: two runners", where);
		ck_assert_msg(r == 0 || r == -EINPROGRESS, "%s: %d", where, r);
		ck_assert_uint_eq(result.commit, r ? VFM_COMMIT_DOUBT : VFM_COMMIT_DONE);
	} else if (d->r == -EINPROGRESS) {
		ck_assert_uint_eq(d->result.commit, VFM_COMMIT_DOUBT);
		ck_assert_uint_eq(target, VFM_STATE_STOP);
		ck_assert_int_lt(r, 0);
	} else {
		ck_assert_uint_eq(d->result.commit, VFM_COMMIT_NONE);
		ck_assert_msg(source == VFM_STATE_RUNNING && r < 0 && r != -EINPROGRESS, "%s: nobody has the state",
			      where);
	}
	ck_assert_uint_eq(source, r == 0 || r == -EINPROGRESS ? VFM_STATE_STOP : VFM_STATE_RUNNING);
}

START_TEST(handover_cut_at_every_byte)
{
	bool cut = true;

	for (uint64_t at = 0; cut; at++) {
		struct destination d = { .slot = 3 };
		struct duplex duplex;
		char where[64];
		int r;

		duplex_init(&duplex);
		duplex.queues[_i].cut = at;
		r = hand_over(2, &d, &duplex);
		snprintf(where, sizeof(where), "direction %d cut at byte %u", _i, (unsigned int)at);
		check_handover(r, &d, where);
		cut = duplex.dead;
		duplex_destroy(&duplex);
		if (machine_state(&m, 2) != VFM_STATE_RUNNING)
			machine_move(&m, 2, VFM_STATE_RUNNING);
		ck_assert_int_eq(vfm_device_reset(m.dev[3], NULL), 0);
	}
}
END_TEST

/* The context keeps the error that the call returns: in doubt, whatever broke the channel. */
static void check_last_error(void)
{
	VFM_OPTS(vfm_error, last);

	ck_assert_int_eq(vfm_context_last_error(m.ctx, &last), 0);
	ck_assert_int_eq(last.code, EINPROGRESS);
	ck_assert_ptr_nonnull(strstr(last.message, "is not known"));
}

START_TEST(doubt_of_the_source_is_the_last_error)
{
	uint64_t replies = UINT64_MAX;

	for (int i = 0; i < 2; i++) {
		struct destination d = { .slot = 3 };
		struct duplex duplex;
		int r;

		/* First the whole handover, then one without the last byte of its last reply. */
		duplex_init(&duplex);
		duplex.queues[1].cut = i ? replies - 1 : UINT64_MAX;
		r = hand_over(2, &d, &duplex);
		replies = duplex.queues[1].written;
		duplex_destroy(&duplex);
		ck_assert_int_eq(r, i ? -EINPROGRESS : 0);
		ck_assert_int_eq(d.r, 0);
		if (i)
			break;
		machine_move(&m, 2, VFM_STATE_RUNNING);
		ck_assert_int_eq(vfm_device_reset(m.dev[3], NULL), 0);
	}
	ck_assert_int_eq(error.code, EINPROGRESS);
	check_last_error();
}
END_TEST

static int swallow(void *user, const void *buf, size_t length)
{
	(void)user, (void)buf, (void)length;
	return 0;
}

START_TEST(doubt_of_the_destination_is_the_last_error)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	struct destination d = { .slot = 3 };
	struct duplex duplex;
	struct vfm_io io;

	duplex_init(&duplex);
	ck_assert_int_eq(hand_over(2, &d, &duplex), 0);
	/* What the source wrote, without its last frame: GIVEN_UP. */
	ck_assert_int_eq(memory_write(&memory, duplex.queues[0].data, duplex.queues[0].written - 40), 0);
	duplex_destroy(&duplex);
	ck_assert_int_eq(vfm_device_reset(m.dev[3], NULL), 0);
	io = memory_reader(&memory);
	io.write = swallow;
	opts.then_state = VFM_STATE_RUNNING;
	ck_assert_int_eq(vfm_restore(&m.dev[3], 1, &io, &opts, &result, &error), -EINPROGRESS);
	ck_assert_uint_eq(result.commit, VFM_COMMIT_DOUBT);
	ck_assert_uint_eq(machine_state(&m, 3), VFM_STATE_STOP);
	ck_assert_int_eq(error.code, EINPROGRESS);
	check_last_error();
}
END_TEST

START_TEST(handover_takes_no_other_end)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	struct duplex duplex;
	struct duplex_end end = { &duplex, 0 };
	struct vfm_io io = duplex_io(&end);

	duplex_init(&duplex);
	opts.then_state = VFM_STATE_RUNNING;
	ck_assert_int_eq(vfm_save(m.dev, 1, &io, &opts, &result, &error), -EINVAL);
	duplex_destroy(&duplex);
}
END_TEST

/* copy */

START_TEST(copy_moves_the_state)
{
	VFM_OPTS(vfm_transfer_opts, opts);

	opts.flags = _i ? VFM_TRANSFER_LIVE : 0;
	opts.then_state = _i ? VFM_STATE_RUNNING : 0;
	ck_assert_msg(vfm_copy(m.dev[0], m.dev[1], &opts, &result, &error) == 0, "%s", error.message);
	ck_assert_uint_eq(result.commit, VFM_COMMIT_DONE);
	ck_assert_uint_eq(result.state_before, VFM_STATE_RUNNING);
	ck_assert_uint_eq(result.state_now, VFM_STATE_STOP);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_STOP);
	ck_assert_uint_eq(machine_state(&m, 1), _i ? VFM_STATE_RUNNING : VFM_STATE_STOP);
	ck_assert(machine_same_contents(&m, EDU_A, EDU_B));
	ck_assert_int_eq(vfm_copy(m.dev[0], m.dev[0], &opts, &result, &error), -EINVAL);
}
END_TEST

/* The worker's failure is the one that is told. */
START_TEST(copy_tells_what_the_target_says)
{
	VFM_OPTS(vfm_transfer_opts, opts);

	opts.flags = VFM_TRANSFER_ALLOW_MISMATCH;
	ck_assert_int_eq(vfm_copy(m.dev[0], m.dev[3], &opts, &result, &error), -ENOMEM);
	ck_assert_str_eq(error.device, MTTY_B);
	ck_assert_str_eq(error.step, "write");
	ck_assert(error.flags & VFM_ERROR_WAS_RESET);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
	ck_assert_uint_eq(machine_state(&m, 3), VFM_STATE_RUNNING);
	ck_assert_uint_eq(machine_usage(&m).resets, m.before.resets + 1);
}
END_TEST

static void add_duplex(Suite *suite)
{
	TCase *tc = tcase_create("duplex");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, handover);
	tcase_add_test(tc, handover_refused);
	tcase_add_test(tc, handover_failed);
	tcase_add_test(tc, handover_kept);
	tcase_add_loop_test(tc, handover_that_does_not_start, 5, 7);
	tcase_add_loop_test(tc, timeout_after_the_verdict_is_no_doubt, 0, 2);
	tcase_add_loop_test(tc, cancel_after_the_verdict_is_doubt, 0, 2);
	tcase_add_loop_test(tc, dropping_is_tried_twice, 1, 3);
	tcase_add_loop_test(tc, handover_cut_at_every_byte, 0, 2);
	tcase_add_test(tc, doubt_of_the_source_is_the_last_error);
	tcase_add_test(tc, doubt_of_the_destination_is_the_last_error);
	tcase_add_test(tc, handover_takes_no_other_end);
	tcase_add_loop_test(tc, copy_moves_the_state, 0, 2);
	tcase_add_test(tc, copy_tells_what_the_target_says);
	tcase_set_timeout(tc, 100);
	suite_add_tcase(suite, tc);
}

int main(void)
{
	Suite *suite = suite_create("handover");

	add_duplex(suite);
	return run_suite(suite);
}
