/* SPDX-License-Identifier: MIT */
/* The state tables against a search over the written rules, and the names of the states. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "suite.h"

#define NUM_STATES 8u

struct arc {
	uint32_t from, to;
};

/* The arcs drivers implement, for each set of flags (linux/vfio.h, enum vfio_device_mig_state). */
#define S VFM_STATE_STOP
#define R VFM_STATE_RUNNING
#define SC VFM_STATE_STOP_COPY
#define RES VFM_STATE_RESUMING
#define RP VFM_STATE_RUNNING_P2P
#define PC VFM_STATE_PRE_COPY
#define PCP VFM_STATE_PRE_COPY_P2P

/* clang-format off */
static const struct {
	uint32_t flags;
	struct arc arcs[16]; /* ends with ERROR -> ERROR */
} written[] = {
	{ 1, { { S, R }, { S, SC }, { S, RES }, { R, S }, { SC, S }, { RES, S } } },
	{ 3, { { S, RP }, { S, SC }, { S, RES }, { R, RP }, { RP, S }, { RP, R }, { SC, S }, { RES, S } } },
	{ 5, { { S, R }, { S, SC }, { S, RES }, { R, S }, { R, PC }, { PC, R }, { PC, SC }, { SC, S }, { RES, S } } },
	{ 7, { { S, RP }, { S, SC }, { S, RES }, { R, RP }, { R, PC }, { RP, S }, { RP, R }, { RP, PCP }, { PC, R },
	       { PC, PCP }, { PCP, RP }, { PCP, PC }, { PCP, SC }, { SC, S }, { RES, S } } },
};

static const struct arc blocked[] = { { SC, PC }, { SC, PCP } };
/* clang-format on */

static const uint32_t odd_values[] = { 0, 8, 9, 255, 256, 0x7fffffff, 0x80000000, UINT32_MAX - 1, UINT32_MAX };

static bool is_arc(int set, uint32_t from, uint32_t to)
{
	for (const struct arc *arc = written[set].arcs; arc->from != VFM_STATE_ERROR; arc++) {
		if (arc->from == from && arc->to == to)
			return true;
	}

	return false;
}

/* A state exists on a device if some arc of it enters it. */
static bool exists(int set, uint32_t state)
{
	for (uint32_t from = 0; from < NUM_STATES; from++) {
		if (is_arc(set, from, state))
			return true;
	}

	return false;
}

static bool is_blocked(uint32_t from, uint32_t to)
{
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(blocked); i++) {
		if (blocked[i].from == from && blocked[i].to == to)
			return true;
	}

	return false;
}

static bool is_saving(uint32_t state)
{
	return state == SC || state == PC || state == PCP;
}

/*
 * The two rules a path is chosen by: the fewest arcs; among those, the fewest saving states on the way, since entering
 * one starts a session. One number orders by the first, then by the second. Fills @cost with that of each state to @to.
 */
#define ARC 16u
#define NO_PATH 0xffffu

static void search(int set, uint32_t to, unsigned int cost[NUM_STATES])
{
	for (uint32_t state = 0; state < NUM_STATES; state++)
		cost[state] = state == to ? 0 : NO_PATH;

	for (unsigned int round = 0; round < NUM_STATES; round++) {
		for (uint32_t from = 0; from < NUM_STATES; from++) {
			for (uint32_t via = 0; via < NUM_STATES; via++) {
				const unsigned int through = cost[via] + ARC + (via != to && is_saving(via));

				if (cost[via] != NO_PATH && is_arc(set, from, via) && through < cost[from])
					cost[from] = through;
			}
		}
	}
}

/* The first hop of the best path; the rules must leave exactly one. */
static uint32_t best_hop(int set, uint32_t from, uint32_t to)
{
	unsigned int cost[NUM_STATES];
	uint32_t best = VFM_STATE_ERROR;
	unsigned int found = 0;

	search(set, to, cost);
	for (uint32_t via = 0; via < NUM_STATES; via++) {
		if (is_arc(set, from, via) && cost[via] + ARC + (via != to && is_saving(via)) == cost[from]) {
			best = via;
			found++;
		}
	}
	ck_assert_msg(found == 1, "flags %u, %u -> %u: %u best hops", written[set].flags, from, to, found);
	return best;
}

static int expected_hop(int set, uint32_t from, uint32_t to)
{
	if (from >= NUM_STATES || to >= NUM_STATES || !exists(set, from) || !exists(set, to) || is_blocked(from, to))
		return -EINVAL;

	return from == to ? (int)to : (int)best_hop(set, from, to);
}

START_TEST(next_hop_is_the_one_the_rules_give)
{
	for (uint32_t from = 0; from <= NUM_STATES; from++) {
		for (uint32_t to = 0; to <= NUM_STATES; to++) {
			const int hop = vfm_fsm_next(written[_i].flags, from, to);

			ck_assert_msg(hop == expected_hop(_i, from, to), "flags %u, %u -> %u: %d", written[_i].flags,
				      from, to, hop);
		}
	}
}
END_TEST

START_TEST(paths_are_shortest_and_made_of_arcs)
{
	for (uint32_t from = 1; from < NUM_STATES; from++) {
		for (uint32_t to = 1; to < NUM_STATES; to++) {
			unsigned int cost[NUM_STATES];
			uint32_t path[8], at = from;
			const int hops = vfm_fsm_path(written[_i].flags, from, to, path);

			if (expected_hop(_i, from, to) < 0) {
				ck_assert_int_eq(hops, -EINVAL);
				continue;
			}
			search(_i, to, cost);
			ck_assert_int_eq(hops, cost[from] / ARC);
			for (int i = 0; i < hops; i++) {
				ck_assert(is_arc(_i, at, path[i]));
				at = path[i];
			}
			ck_assert_uint_eq(at, to);
		}
	}
}
END_TEST

START_TEST(states_exist_as_the_arcs_say)
{
	for (uint32_t state = 0; state < NUM_STATES; state++)
		ck_assert_int_eq(vfm_fsm_has_state(written[_i].flags, state), exists(_i, state));
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(odd_values); i++)
		ck_assert(!vfm_fsm_has_state(written[_i].flags, odd_values[i]));
}
END_TEST

START_TEST(odd_states_are_refused)
{
	uint32_t path[8];

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(odd_values); i++) {
		for (uint32_t state = 0; state < NUM_STATES; state++) {
			ck_assert_int_eq(vfm_fsm_next(written[_i].flags, odd_values[i], state), -EINVAL);
			ck_assert_int_eq(vfm_fsm_next(written[_i].flags, state, odd_values[i]), -EINVAL);
			ck_assert_int_eq(vfm_fsm_path(written[_i].flags, odd_values[i], state, path), -EINVAL);
			ck_assert_int_eq(vfm_fsm_path(written[_i].flags, state, odd_values[i], path), -EINVAL);
		}
		ck_assert_int_eq(vfm_fsm_next(written[_i].flags, odd_values[i], odd_values[i]), -EINVAL);
	}
}
END_TEST

static bool is_legal(uint32_t flags)
{
	return flags == 1 || flags == 3 || flags == 5 || flags == 7;
}

START_TEST(odd_flags_are_refused)
{
	uint32_t path[8];

	for (uint32_t bit = 0; bit < 32; bit++) {
		for (uint32_t low = 0; low < 8; low++) {
			const uint32_t flags = (1u << bit) | low;

			ck_assert_int_eq(vfm_fsm_has_state(flags, S), is_legal(flags));
			ck_assert_int_eq(vfm_fsm_next(flags, S, R) > 0, is_legal(flags));
			ck_assert_int_eq(vfm_fsm_path(flags, S, S, path), is_legal(flags) ? 0 : -EINVAL);
		}
	}
	ck_assert(!vfm_fsm_has_state(0, S));
	ck_assert_int_eq(vfm_fsm_next(0, S, S), -EINVAL);
	ck_assert_int_eq(vfm_fsm_next(UINT32_MAX, S, R), -EINVAL);
}
END_TEST

START_TEST(states_have_names_and_back)
{
	static const char *const names[] = { "ERROR",	 "STOP",	"RUNNING",  "STOP_COPY",
					     "RESUMING", "RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P" };

	for (uint32_t state = 0; state < NUM_STATES; state++) {
		uint32_t back = VFM_STATE_UNKNOWN;

		ck_assert_str_eq(vfm_state_name(state), names[state]);
		ck_assert_int_eq(vfm_state_from_name(names[state], &back), 0);
		ck_assert_uint_eq(back, state);
	}
	ck_assert_str_eq(vfm_state_name(8), "UNKNOWN");
	ck_assert_str_eq(vfm_state_name(VFM_STATE_UNKNOWN), "UNKNOWN");
}
END_TEST

START_TEST(names_are_read_loosely_but_wholly)
{
	static const char *const wrong[] = { "",	   "STO",     "STOPP", "STOP_", "STOP COPY", "_STOP",
					     "STOP_COPY_", "UNKNOWN", "3",     " STOP", "RUNNING_P" };
	uint32_t state = 77;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(wrong); i++)
		ck_assert_int_eq(vfm_state_from_name(wrong[i], &state), -EINVAL);
	ck_assert_uint_eq(state, 77);

	ck_assert_int_eq(vfm_state_from_name("stop-copy", &state), 0);
	ck_assert_uint_eq(state, VFM_STATE_STOP_COPY);
	ck_assert_int_eq(vfm_state_from_name("Pre_Copy-p2p", &state), 0);
	ck_assert_uint_eq(state, VFM_STATE_PRE_COPY_P2P);
}
END_TEST

int main(void)
{
	const int sets = (int)VFMI_ARRAY_SIZE(written);
	Suite *suite = suite_create("fsm");
	TCase *tests = tcase_create("fsm");

	tcase_add_loop_test(tests, next_hop_is_the_one_the_rules_give, 0, sets);
	tcase_add_loop_test(tests, paths_are_shortest_and_made_of_arcs, 0, sets);
	tcase_add_loop_test(tests, states_exist_as_the_arcs_say, 0, sets);
	tcase_add_loop_test(tests, odd_states_are_refused, 0, sets);
	tcase_add_test(tests, odd_flags_are_refused);
	tcase_add_test(tests, states_have_names_and_back);
	tcase_add_test(tests, names_are_read_loosely_but_wholly);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
