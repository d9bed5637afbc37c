/* SPDX-License-Identifier: MIT */
/* Save and restore on the simulated machine over one-way channels: what arrives and what is refused. */
#include "transfer_fixture.h"

/* mtty: its serial state is what a save of it carries, byte for byte. */
static struct memory state_of(unsigned int slot)
{
	struct memory state = { 0 };
	struct vfm_session *session = NULL;
	uint8_t chunk[512];
	size_t length;

	ck_assert_int_eq(vfm_session_save(m.dev[slot], NULL, &session, &error), 0);
	while (vfm_session_read(session, chunk, sizeof(chunk), &length, &error) == VFM_READ_DATA)
		ck_assert_int_eq(memory_write(&state, chunk, length), 0);
	vfm_session_close(session);
	return state;
}

static bool same_mtty_state(unsigned int a, unsigned int b)
{
	struct memory first = state_of(a);
	struct memory second = state_of(b);
	bool same = first.length == second.length && !memcmp(first.data, second.data, first.length);

	free(first.data);
	free(second.data);
	return same;
}

/* one way */

START_TEST(round_trip)
{
	static const uint32_t ends[] = { 0, VFM_STATE_UNKNOWN, VFM_STATE_STOP, VFM_STATE_RUNNING,
					 VFM_STATE_RUNNING_P2P };
	VFM_OPTS(vfm_transfer_opts, opts);
	const bool live = _i >= 5;
	uint32_t then = ends[_i % 5];

	opts.flags = live ? VFM_TRANSFER_LIVE : 0;
	opts.then_state = then;
	must_save(0, &opts);
	ck_assert_uint_eq(result.state_before, VFM_STATE_RUNNING);
	ck_assert_uint_eq(result.commit, VFM_COMMIT_NONE);
	ck_assert_uint_ge(result.bytes, STATE_BYTES);
	ck_assert_uint_eq(result.stream_bytes, memory.length);
	ck_assert(live ? result.precopy_bytes >= STATE_BYTES : result.precopy_bytes == 0);
	then = _i % 5 < 2 ? VFM_STATE_RUNNING : then;
	ck_assert_uint_eq(result.state_now, then);
	ck_assert_uint_eq(machine_state(&m, 0), then);
	ck_assert_uint_eq(machine_usage(&m).resets, m.before.resets);

	opts.flags = 0;
	must_restore(1, &opts);
	then = _i % 5 < 2 ? VFM_STATE_STOP : then;
	ck_assert_uint_eq(result.state_now, then);
	ck_assert_uint_eq(machine_state(&m, 1), then);
	ck_assert(machine_same_contents(&m, EDU_A, EDU_B));
}
END_TEST

START_TEST(round_trip_of_mtty)
{
	VFM_OPTS(vfm_transfer_opts, opts);

	mark_mtty(2, 0x5a);
	mark_mtty(3, 0x11);
	opts.flags = _i ? VFM_TRANSFER_LIVE : 0;
	must_save(2, &opts);
	must_restore(3, NULL);
	machine_move(&m, 3, VFM_STATE_RUNNING);
	ck_assert_uint_eq(mark_of_mtty(3), 0x5a);
	ck_assert(same_mtty_state(2, 3));
}
END_TEST

START_TEST(stream_is_whole_for_inspect)
{
	VFM_OPTS(vfm_stream_summary, summary);
	struct vfm_io io;

	must_save(0, NULL);
	io = memory_reader(&memory);
	ck_assert_msg(vfm_stream_inspect(m.ctx, &io, NULL, NULL, &summary, &error) == 0, "%s", error.message);
	ck_assert_uint_eq(summary.devices, 1);
	ck_assert_uint_eq(summary.flags, VFM_STREAM_SIMULATED);
	ck_assert_uint_eq(summary.stream_id, result.stream_id);
	ck_assert_uint_eq(summary.total_bytes, memory.length);
	ck_assert_str_ne(summary.producer, "");
}
END_TEST

START_TEST(stopped_device_stays_stopped)
{
	VFM_OPTS(vfm_transfer_opts, opts);

	opts.flags = VFM_TRANSFER_LIVE;
	machine_move(&m, 0, VFM_STATE_STOP);
	must_save(0, &opts);
	ck_assert_uint_eq(result.state_before, VFM_STATE_STOP);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_STOP);
	ck_assert_uint_eq(result.precopy_bytes, 0);
}
END_TEST

/* A device that never stops giving is stopped by the limits. */
START_TEST(limits_end_precopy)
{
	VFM_OPTS(vfm_transfer_opts, opts);

	opts.flags = VFM_TRANSFER_LIVE;
	opts.precopy_limit_bytes = STATE_BYTES / 2;
	must_save(0, &opts);
	ck_assert_uint_lt(result.precopy_bytes, 2 * STATE_BYTES);
	must_restore(1, NULL);
	ck_assert(machine_same_contents(&m, EDU_A, EDU_B));
}
END_TEST

START_TEST(refuses_before_anything_moves)
{
	struct vfm_device *twice[] = { m.dev[0], m.dev[0] };
	struct vfm_device *missing[] = { m.dev[0], NULL };
	VFM_OPTS(vfm_transfer_opts, opts);
	struct vfm_io writer = memory_writer(&memory);
	struct vfm_io nothing = { .size = sizeof(nothing) };

	ck_assert_int_eq(vfm_save(NULL, 1, &writer, NULL, &result, &error), -EINVAL);
	ck_assert_int_eq(vfm_save(twice, 0, &writer, NULL, &result, &error), -EINVAL);
	ck_assert_int_eq(vfm_save(twice, 65, &writer, NULL, &result, &error), -EINVAL);
	ck_assert_int_eq(vfm_save(twice, 2, &writer, NULL, &result, &error), -EINVAL);
	ck_assert_int_eq(vfm_save(missing, 2, &writer, NULL, &result, &error), -EINVAL);
	ck_assert_int_eq(vfm_save(twice, 1, &nothing, NULL, &result, &error), -EINVAL);
	ck_assert_int_eq(vfm_save(twice, 1, NULL, NULL, &result, &error), -EINVAL);
	ck_assert_int_eq(vfm_restore(twice, 1, &writer, NULL, &result, &error), -EINVAL);
	opts.flags = 16;
	ck_assert_int_eq(vfm_save(twice, 1, &writer, &opts, &result, &error), -EINVAL);
	opts.flags = 0;
	opts.then_state = VFM_STATE_RESUMING;
	ck_assert_int_eq(vfm_save(twice, 1, &writer, &opts, &result, &error), -EINVAL);
	opts.then_state = 8;
	ck_assert_int_eq(vfm_save(twice, 1, &writer, &opts, &result, &error), -EINVAL);
	opts.then_state = 0;
	opts.reserved = 1;
	ck_assert_int_eq(vfm_save(twice, 1, &writer, &opts, &result, &error), -EINVAL);
	opts.reserved = 0;
	writer.flags = 1;
	ck_assert_int_eq(vfm_save(twice, 1, &writer, &opts, &result, &error), -EINVAL);
	writer.flags = 0;
	opts.blob = &opts;
	opts.blob_length = (size_t)VFM_STREAM_MAX_BLOB + 1;
	ck_assert_int_eq(vfm_save(twice, 1, &writer, &opts, &result, &error), -EINVAL);
	ck_assert_uint_eq(memory.length, 0);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
}
END_TEST

START_TEST(device_in_error_is_refused)
{
	unsigned int slots[] = { 2, 0 };

	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_A, "error"), 0);
	ck_assert_int_eq(save_of(slots, 2, NULL), -ENOTRECOVERABLE);
	ck_assert(error.flags & VFM_ERROR_NEEDS_RESET);
	ck_assert_str_eq(error.device, EDU_A);
	ck_assert_uint_eq(memory.length, 0);
	ck_assert_uint_eq(machine_state(&m, 2), VFM_STATE_RUNNING);
}
END_TEST

START_TEST(blob_arrives)
{
	static const size_t lengths[] = { 0, 1, 1024 * 1024, 1024 * 1024 + 1, 5 * 1024 * 1024 };
	size_t length = lengths[_i];
	uint8_t *blob = malloc(length + 1);
	VFM_OPTS(vfm_transfer_opts, opts);
	void *copy = NULL;
	size_t copy_length = 99;

	for (size_t i = 0; i < length; i++)
		blob[i] = (uint8_t)(i * 31);
	opts.blob = blob;
	opts.blob_length = length;
	must_save(2, &opts);
	opts.blob = NULL;
	opts.blob_length = 0;
	opts.ret_blob = &copy;
	opts.ret_blob_length = &copy_length;
	must_restore(3, &opts);
	ck_assert_uint_eq(copy_length, length);
	ck_assert(!length || !memcmp(blob, copy, length));
	free(copy);
	free(blob);
}
END_TEST

/* What VFIO state leaves out: the bus master bit stands for it here. */
static bool is_bus_master(unsigned int slot)
{
	uint8_t command[2];

	ck_assert_int_eq(vfm_device_region_read(m.dev[slot], VFM_REGION_CONFIG, 4, command, 2, &error), 0);
	return command[0] & 4;
}

START_TEST(configuration_arrives)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	const bool on_save = _i & 1;
	const bool on_restore = _i & 2;

	ck_assert_int_eq(vfm_device_bus_master(m.dev[0], true, &error), 0);
	ck_assert_int_eq(vfm_device_bus_master(m.dev[1], false, &error), 0);
	opts.flags = on_save ? 0 : VFM_TRANSFER_NO_CONFIG;
	must_save(0, &opts);
	opts.flags = on_restore ? 0 : VFM_TRANSFER_NO_CONFIG;
	must_restore(1, &opts);
	ck_assert_int_eq(is_bus_master(1), on_save && on_restore);
	ck_assert(is_bus_master(0));
}
END_TEST

/* A reset keeps configuration space: what was applied must not leave a blank device with access to memory. */
START_TEST(reset_target_is_no_bus_master)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	unsigned int resets = 0;
	bool hit = true;

	opts.then_state = VFM_STATE_RUNNING;
	ck_assert_int_eq(vfm_device_bus_master(m.dev[0], true, &error), 0);
	for (uint64_t call = 1; hit; call++) {
		int r;

		ck_assert_int_eq(vfm_device_bus_master(m.dev[1], false, &error), 0);
		machine_fault(&m, "VFIO_DEVICE_FEATURE(MIG_DEVICE_STATE)", VFM_SIM_FAULT_BEFORE, call, 1, EIO);
		r = vfm_copy(m.dev[0], m.dev[1], &opts, &result, &error);
		hit = vfm_sim_faults_hit(m.sim);
		ck_assert_int_eq(vfm_sim_set_faults(m.sim, NULL, 0), 0);
		if (r < 0 && (error.flags & VFM_ERROR_WAS_RESET)) {
			resets++;
			ck_assert_msg(!is_bus_master(1), "call %u", (unsigned int)call);
			ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
		}
		ck_assert(r || is_bus_master(1));
		machine_move(&m, 0, VFM_STATE_RUNNING);
		machine_move(&m, 1, VFM_STATE_RUNNING);
	}
	ck_assert_uint_gt(resets, 0);
}
END_TEST

/* progress and cancellation */

struct watch {
	uint32_t last_phase;
	uint32_t seen;
	uint32_t cancel_at;
	uint64_t bytes;
};

static int watch(void *user, const struct vfm_progress *progress)
{
	struct watch *w = user;

	ck_assert_uint_eq(progress->size, sizeof(*progress));
	ck_assert_uint_ge(progress->phase, w->last_phase);
	ck_assert_uint_ge(progress->bytes, w->bytes);
	w->last_phase = progress->phase;
	w->bytes = progress->bytes;
	w->seen |= 1u << progress->phase;
	return progress->phase == w->cancel_at;
}

START_TEST(progress_tells_each_phase)
{
	struct watch w = { .cancel_at = 99 };
	VFM_OPTS(vfm_transfer_opts, opts);

	opts.progress = watch;
	opts.progress_user = &w;
	opts.flags = VFM_TRANSFER_LIVE;
	must_save(0, &opts);
	ck_assert_uint_eq(w.seen, 1u << VFM_PHASE_SETUP | 1u << VFM_PHASE_PRE_COPY | 1u << VFM_PHASE_STOP_COPY |
					  1u << VFM_PHASE_FINISH | 1u << VFM_PHASE_DONE);
	ck_assert_uint_eq(w.bytes, result.bytes);
	w = (struct watch){ .cancel_at = 99 };
	opts.flags = 0;
	must_restore(1, &opts);
	ck_assert_uint_eq(w.seen,
			  1u << VFM_PHASE_SETUP | 1u << VFM_PHASE_LOAD | 1u << VFM_PHASE_FINISH | 1u << VFM_PHASE_DONE);
}
END_TEST

/* A borrower of the same device that is at work while it is saved. */
static int move_to_stop(void *user, const struct vfm_progress *progress)
{
	struct vfm_device *other = user;

	if (progress->phase == VFM_PHASE_STOP_COPY)
		ck_assert_int_eq(vfm_device_set_state(other, VFM_STATE_STOP, NULL, NULL), 0);
	return 0;
}

/* What they put into it by then is neither to be made run nor to be told as what was found. */
START_TEST(device_moved_in_a_save_is_left_to_whom_moved_it)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	VFM_OPTS(vfm_adopt, adopt);
	unsigned int slot = 0;
	struct vfm_device *other;

	adopt.device_fd = vfm_device_fd(m.dev[0]);
	adopt.iommufd = -1;
	ck_assert_int_eq(vfm_device_adopt(m.ctx, &adopt, &other, NULL), 0);
	opts.progress = move_to_stop;
	opts.progress_user = other;
	ck_assert_int_eq(save_of(&slot, 1, &opts), -ECANCELED);
	ck_assert_uint_eq(error.state_now, VFM_STATE_STOP);
	ck_assert_ptr_null(strstr(error.message, "back in the state found"));
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_STOP);
	vfm_device_close(other);
}
END_TEST

START_TEST(callback_cancels)
{
	struct watch w = { .cancel_at = (uint32_t)_i };
	VFM_OPTS(vfm_transfer_opts, opts);
	unsigned int slot = 0;

	opts.progress = watch;
	opts.progress_user = &w;
	opts.flags = VFM_TRANSFER_LIVE;
	if (_i != VFM_PHASE_LOAD) {
		ck_assert_int_eq(save_of(&slot, 1, &opts), -ECANCELED);
		ck_assert(!(error.flags & VFM_ERROR_PEER));
	}
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
	ck_assert_uint_eq(machine_usage(&m).resets, m.before.resets);
	if (_i == VFM_PHASE_PRE_COPY || _i == VFM_PHASE_STOP_COPY)
		return;
	must_save(0, NULL);
	w = (struct watch){ .cancel_at = (uint32_t)_i };
	opts.flags = 0;
	slot = 1;
	ck_assert_int_eq(restore_to(&slot, 1, &opts), -ECANCELED);
	ck_assert_uint_eq(machine_state(&m, 1), VFM_STATE_RUNNING);
}
END_TEST

START_TEST(token_cancels)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	struct vfm_cancel *cancel;
	unsigned int slot = 0;

	ck_assert_int_eq(vfm_cancel_new(m.ctx, &cancel), 0);
	vfm_cancel_trigger(cancel);
	opts.cancel = cancel;
	ck_assert_int_eq(save_of(&slot, 1, &opts), -ECANCELED);
	ck_assert_int_eq(vfm_copy(m.dev[0], m.dev[1], &opts, &result, &error), -ECANCELED);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
	vfm_cancel_free(cancel);
}
END_TEST

/* several devices */

START_TEST(several_devices_by_match)
{
	const unsigned int from[] = { 0, 2 };
	const unsigned int to[] = { 3, 1 };
	VFM_OPTS(vfm_transfer_opts, opts);

	mark_mtty(2, 0x77);
	opts.flags = _i ? VFM_TRANSFER_LIVE : 0;
	ck_assert_msg(save_of(from, 2, &opts) == 0, "%s", error.message);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
	ck_assert_uint_eq(machine_state(&m, 2), VFM_STATE_RUNNING);
	opts.flags = 0;
	opts.then_state = VFM_STATE_RUNNING;
	ck_assert_msg(restore_to(to, 2, &opts) == 0, "%s", error.message);
	ck_assert(machine_same_contents(&m, EDU_A, EDU_B));
	ck_assert_uint_eq(mark_of_mtty(3), 0x77);
	ck_assert_uint_eq(machine_state(&m, 1), VFM_STATE_RUNNING);
	ck_assert_uint_eq(machine_state(&m, 3), VFM_STATE_RUNNING);
}
END_TEST

START_TEST(like_devices_need_a_map)
{
	const unsigned int slots[] = { 2, 3 };
	static const uint32_t crossed[] = { 1, 0 };
	static const uint32_t broken[][2] = { { 0, 0 }, { 0, 2 }, { UINT32_MAX, 0 } };
	VFM_OPTS(vfm_transfer_opts, opts);

	mark_mtty(2, 0x21);
	mark_mtty(3, 0x43);
	ck_assert_msg(save_of(slots, 2, NULL) == 0, "%s", error.message);
	ck_assert_int_eq(restore_to(slots, 2, NULL), -EINVAL);
	ck_assert_int_eq(restore_to(slots, 1, NULL), -EREMOTEIO);
	opts.map_length = 2;
	for (unsigned int i = 0; i < 3; i++) {
		opts.map = broken[i];
		ck_assert_int_eq(restore_to(slots, 2, &opts), -EINVAL);
	}
	opts.map = crossed;
	opts.map_length = 1;
	ck_assert_int_eq(restore_to(slots, 2, &opts), -EINVAL);
	ck_assert_uint_eq(machine_state(&m, 2), VFM_STATE_RUNNING);
	ck_assert_uint_eq(machine_usage(&m).resets, m.before.resets);
	opts.map_length = 2;
	opts.then_state = VFM_STATE_RUNNING;
	ck_assert_msg(restore_to(slots, 2, &opts) == 0, "%s", error.message);
	ck_assert_uint_eq(mark_of_mtty(2), 0x43);
	ck_assert_uint_eq(mark_of_mtty(3), 0x21);
}
END_TEST

/* A spare device that nothing of the stream goes to is left alone. */
START_TEST(spare_device_is_not_touched)
{
	const unsigned int to[] = { 2, 1 };

	must_save(0, NULL);
	mark_mtty(2, 0x31);
	ck_assert_msg(restore_to(to, 2, NULL) == 0, "%s", error.message);
	ck_assert_uint_eq(machine_state(&m, 2), VFM_STATE_RUNNING);
	ck_assert_uint_eq(mark_of_mtty(2), 0x31);
}
END_TEST

START_TEST(several_without_p2p)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	struct vfm_io io = memory_writer(&memory);
	struct machine plain;

	machine_start(&plain, "edu@" EDU_A ",state=64k,flags=1;edu@" EDU_B ",state=64k,flags=5");
	machine_device(&plain, 0, EDU_A);
	machine_device(&plain, 1, EDU_B);
	ck_assert_int_eq(vfm_save(plain.dev, 2, &io, NULL, &result, &error), -EOPNOTSUPP);
	ck_assert_uint_eq(memory.length, 0);
	opts.flags = VFM_TRANSFER_NO_P2P | VFM_TRANSFER_LIVE;
	ck_assert_msg(vfm_save(plain.dev, 2, &io, &opts, &result, &error) == 0, "%s", error.message);
	ck_assert_uint_eq(machine_state(&plain, 0), VFM_STATE_RUNNING);
	ck_assert_uint_eq(machine_state(&plain, 1), VFM_STATE_RUNNING);
	opts.then_state = VFM_STATE_RUNNING_P2P;
	ck_assert_int_eq(vfm_save(plain.dev, 1, &io, &opts, &result, &error), -EOPNOTSUPP);
	vfm_device_close(plain.dev[0]);
	vfm_device_close(plain.dev[1]);
	vfm_iommu_close(plain.iommu);
	vfm_context_free(plain.ctx);
	vfm_sim_close(plain.sim);
}
END_TEST

/* One of several fails: all are back, and the error names the one. */
START_TEST(all_come_back)
{
	const unsigned int slots[] = { 0, 2, 3 };
	VFM_OPTS(vfm_transfer_opts, opts);

	opts.flags = _i ? VFM_TRANSFER_LIVE : 0;
	ck_assert_int_eq(vfm_sim_poke(m.sim, MTTY_B, "fail-arc=2"), 0);
	ck_assert_int_eq(save_of(slots, 3, &opts), -EIO);
	ck_assert_str_eq(error.device, MTTY_B);
	ck_assert_uint_eq(error.state_now, VFM_STATE_RUNNING);
	ck_assert_ptr_nonnull(strstr(error.message, "back in the state found"));
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_uint_eq(machine_state(&m, slots[i]), VFM_STATE_RUNNING);
	ck_assert_uint_eq(machine_usage(&m).resets, m.before.resets);
}
END_TEST

/* matching */

static int see(void *user, const struct vfm_match_line *line)
{
	ck_assert_ptr_nonnull(line->field);
	++*(unsigned int *)user;
	return 0;
}

START_TEST(mismatch_is_refused)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	unsigned int slot = 3;
	unsigned int lines = 0;

	mark_mtty(3, 0x12);
	must_save(0, NULL);
	opts.match = see;
	opts.match_user = &lines;
	ck_assert_int_eq(restore_to(&slot, 1, &opts), -EREMOTEIO);
	ck_assert_uint_gt(lines, 0);
	ck_assert_uint_eq(mark_of_mtty(3), 0x12);
	ck_assert_int_eq(vfm_copy(m.dev[0], m.dev[3], &opts, &result, &error), -EREMOTEIO);
	ck_assert_uint_eq(machine_usage(&m).resets, m.before.resets);
	/* tried all the same: the driver refuses, the device is reset */
	opts.flags = VFM_TRANSFER_ALLOW_MISMATCH;
	ck_assert_int_lt(restore_to(&slot, 1, &opts), 0);
	ck_assert(error.flags & VFM_ERROR_WAS_RESET);
	ck_assert(!(error.flags & VFM_ERROR_NEEDS_RESET));
	ck_assert_uint_eq(error.state_now, VFM_STATE_RUNNING);
	ck_assert_uint_eq(machine_state(&m, 3), VFM_STATE_RUNNING);
}
END_TEST

static void add_one_way(Suite *suite)
{
	TCase *tc = tcase_create("one-way");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, round_trip, 0, 10);
	tcase_add_loop_test(tc, round_trip_of_mtty, 0, 2);
	tcase_add_test(tc, stream_is_whole_for_inspect);
	tcase_add_test(tc, stopped_device_stays_stopped);
	tcase_add_test(tc, limits_end_precopy);
	tcase_add_test(tc, refuses_before_anything_moves);
	tcase_add_test(tc, device_in_error_is_refused);
	tcase_add_loop_test(tc, blob_arrives, 0, 5);
	tcase_add_test(tc, progress_tells_each_phase);
	tcase_add_test(tc, device_moved_in_a_save_is_left_to_whom_moved_it);
	tcase_add_loop_test(tc, callback_cancels, VFM_PHASE_SETUP, VFM_PHASE_DONE);
	tcase_add_test(tc, token_cancels);
	tcase_add_loop_test(tc, configuration_arrives, 0, 4);
	tcase_add_test(tc, reset_target_is_no_bus_master);
	tcase_add_loop_test(tc, several_devices_by_match, 0, 2);
	tcase_add_test(tc, like_devices_need_a_map);
	tcase_add_test(tc, spare_device_is_not_touched);
	tcase_add_test(tc, several_without_p2p);
	tcase_add_loop_test(tc, all_come_back, 0, 2);
	tcase_add_test(tc, mismatch_is_refused);
	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
}

int main(void)
{
	Suite *suite = suite_create("transfer");

	add_one_way(suite);
	return run_suite(suite);
}
