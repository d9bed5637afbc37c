/* SPDX-License-Identifier: MIT */
/* Damaged streams, full channels and failing calls: what a transfer that fails leaves behind. */
#include "transfer_fixture.h"

/* damage */

/* Whatever a damaged stream does, the device leaves RESUMING by reset only. */
static void check_refused(unsigned int slot, uint64_t resets)
{
	uint64_t more = machine_usage(&m).resets - resets;

	ck_assert_uint_eq(machine_state(&m, slot), VFM_STATE_RUNNING);
	ck_assert_uint_eq(more, error.flags & VFM_ERROR_WAS_RESET ? 1 : 0);
}

START_TEST(every_prefix_is_refused)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	unsigned int slot = 3;
	size_t whole;

	opts.flags = VFM_TRANSFER_LIVE;
	must_save(2, &opts);
	whole = memory.length;
	for (memory.length = 0; memory.length < whole; memory.length++) {
		uint64_t resets = machine_usage(&m).resets;

		ck_assert_int_eq(restore_to(&slot, 1, NULL), -EBADMSG);
		check_refused(3, resets);
	}
	must_restore(3, NULL);
}
END_TEST

START_TEST(every_byte_counts)
{
	static const uint8_t masks[] = { 0xff, 0x01, 0x80 };
	VFM_OPTS(vfm_transfer_opts, opts);
	unsigned int slot = 3;

	opts.flags = VFM_TRANSFER_LIVE;
	must_save(2, &opts);
	for (size_t i = 0; i < memory.length; i++) {
		uint64_t resets = machine_usage(&m).resets;
		int r;

		memory.data[i] ^= masks[_i];
		r = restore_to(&slot, 1, NULL);
		ck_assert_msg(r < 0, "byte %zu", i);
		check_refused(3, resets);
		memory.data[i] ^= masks[_i];
	}
	must_restore(3, NULL);
}
END_TEST

START_TEST(nothing_may_follow_the_end)
{
	unsigned int slot = 3;
	uint64_t resets = machine_usage(&m).resets;

	must_save(2, NULL);
	ck_assert_int_eq(memory_write(&memory, "", 1), 0);
	ck_assert_int_eq(restore_to(&slot, 1, NULL), -EBADMSG);
	check_refused(3, resets);
}
END_TEST

START_TEST(source_survives_a_full_channel)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	unsigned int slot = 2;
	size_t whole;

	opts.flags = VFM_TRANSFER_LIVE;
	must_save(2, &opts);
	whole = memory.length;
	for (memory.limit = 1; memory.limit < whole; memory.limit++) {
		memory.length = 0;
		ck_assert_int_eq(save_of(&slot, 1, &opts), -ENOSPC);
		ck_assert(error.flags & VFM_ERROR_PEER);
		ck_assert_uint_eq(machine_state(&m, 2), VFM_STATE_RUNNING);
	}
	ck_assert_uint_eq(machine_usage(&m).resets, m.before.resets);
}
END_TEST

/* every call failing */

struct scenario {
	int (*run)(void);
	unsigned int source; /* must run afterwards unless the scenario succeeded; 99: none */
	unsigned int target; /* must never be left half loaded; 99: none */
};

static int run_save(void)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	unsigned int slot = 2;

	memory.length = 0;
	opts.flags = VFM_TRANSFER_LIVE;
	return save_of(&slot, 1, &opts);
}

static int run_restore(void)
{
	unsigned int slot = 3;

	return restore_to(&slot, 1, NULL);
}

static int run_copy(void)
{
	return vfm_copy(m.dev[2], m.dev[3], NULL, &result, &error);
}

static const struct scenario scenarios[] = { { run_save, 2, 99 }, { run_restore, 99, 3 }, { run_copy, 2, 3 } };

static void check_after_fault(const struct scenario *s, int r, const char *where)
{
	if (s->source != 99) {
		uint32_t state = machine_state(&m, s->source);

		ck_assert_msg(state == (r == 0 && s->target != 99 ? VFM_STATE_STOP : VFM_STATE_RUNNING),
			      "%s: source in %s: %s", where, vfm_state_name(state), error.message);
		if (state != VFM_STATE_RUNNING)
			machine_move(&m, s->source, VFM_STATE_RUNNING);
	}
	if (s->target != 99) {
		uint32_t state = machine_state(&m, s->target);

		ck_assert_msg(state == (r == 0 ? VFM_STATE_STOP : VFM_STATE_RUNNING), "%s: target in %s: %s", where,
			      vfm_state_name(state), error.message);
		if (state != VFM_STATE_RUNNING)
			machine_move(&m, s->target, VFM_STATE_RUNNING);
	}
}

START_TEST(every_call_failing_once)
{
	const struct scenario *s = &scenarios[_i / 3];
	const uint32_t mode = VFM_SIM_FAULT_BEFORE + (uint32_t)_i % 3;

	must_save(2, NULL);
	for (uint64_t call = 1; call < 5000; call++) {
		char where[64];
		int r;

		machine_fault(&m, NULL, mode, call, 1, 0);
		r = s->run();
		snprintf(where, sizeof(where), "call %u, mode %u, %s", (unsigned int)call, mode,
			 vfm_sim_last_fault(m.sim));
		if (!vfm_sim_faults_hit(m.sim)) {
			ck_assert_msg(r == 0, "%s", error.message);
			return;
		}
		machine_check(&m);
		check_after_fault(s, r, where);
	}
	ck_abort_msg("it does not end");
}
END_TEST

/* From some call on nothing works any more: whatever is said of the devices must be true. */
START_TEST(everything_failing_from_some_call_on)
{
	const struct scenario *s = &scenarios[_i / 3];
	const uint32_t mode = VFM_SIM_FAULT_BEFORE + (uint32_t)_i % 3;

	must_save(2, NULL);
	for (uint64_t call = 1; call < 5000; call++) {
		uint32_t state;
		int r;

		machine_fault(&m, NULL, mode, call, UINT64_MAX, 0);
		r = s->run();
		if (!vfm_sim_faults_hit(m.sim)) {
			ck_assert_msg(r == 0, "%s", error.message);
			return;
		}
		for (unsigned int i = 2; i <= 3; i++) {
			state = machine_state(&m, i);
			if (r < 0 && !strcmp(error.device, vfm_device_name(m.dev[i])))
				ck_assert_msg(error.state_now == state || error.state_now == VFM_STATE_UNKNOWN,
					      "call %u, %s: said %s, is in %s: %s", (unsigned int)call,
					      vfm_sim_last_fault(m.sim), vfm_state_name(error.state_now),
					      vfm_state_name(state), error.message);
			if (state != VFM_STATE_RUNNING)
				ck_assert_int_eq(vfm_device_reset(m.dev[i], NULL), 0);
		}
		machine_check(&m);
	}
	ck_abort_msg("it does not end");
}
END_TEST

static void add_damage(Suite *suite)
{
	TCase *tc = tcase_create("damage");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, every_prefix_is_refused);
	tcase_add_loop_test(tc, every_byte_counts, 0, 3);
	tcase_add_test(tc, nothing_may_follow_the_end);
	tcase_add_test(tc, source_survives_a_full_channel);
	tcase_add_loop_test(tc, every_call_failing_once, 0, 9);
	tcase_add_loop_test(tc, everything_failing_from_some_call_on, 0, 9);
	tcase_set_timeout(tc, 100);
	suite_add_tcase(suite, tc);
}

int main(void)
{
	Suite *suite = suite_create("transfer_damage");

	add_damage(suite);
	return run_suite(suite);
}
