// SPDX-License-Identifier: GPL-2.0-only
/* Every request from every state, against the tables that the UAPI implies. */
#include "edu_rig.h"

#include <errno.h>
#include <unistd.h>

/* The next steps of UAPI, row from, column to: 0 for no way, X for a state not supported. */
#define X    9
#define SELF 8
/* clang-format off */
static const struct next_table {
	unsigned int flags;
	unsigned char next[STATES][STATES];
} next_tables[] = {
	{ 1, {
		/* to:      E  S     R     SC    RES   RP PC PCP */
		[1] = { 0, SELF, 2, 3, 4, X, X, X },
		[2] = { 0, 1, SELF, 1, 1, X, X, X },
		[3] = { 0, 1, 1, SELF, 1, X, X, X },
		[4] = { 0, 1, 1, 1, SELF, X, X, X },
	} },
	{ 3, {
		[1] = { 0, SELF, 5, 3, 4, 5, X, X },
		[2] = { 0, 5, SELF, 5, 5, 5, X, X },
		[3] = { 0, 1, 1, SELF, 1, 1, X, X },
		[4] = { 0, 1, 1, 1, SELF, 1, X, X },
		[5] = { 0, 1, 2, 1, 1, SELF, X, X },
	} },
	{ 5, {
		[1] = { 0, SELF, 2, 3, 4, X, 2, X },
		[2] = { 0, 1, SELF, 1, 1, X, 6, X },
		[3] = { 0, 1, 1, SELF, 1, X, 0, X },
		[4] = { 0, 1, 1, 1, SELF, X, 1, X },
		[6] = { 0, 2, 2, 3, 2, X, SELF, X },
	} },
	{ 7, {
		[1] = { 0, SELF, 5, 3, 4, 5, 5, 5 },
		[2] = { 0, 5, SELF, 5, 5, 5, 6, 5 },
		[3] = { 0, 1, 1, SELF, 1, 1, 0, 0 },
		[4] = { 0, 1, 1, 1, SELF, 1, 1, 1 },
		[5] = { 0, 1, 2, 1, 1, SELF, 2, 7 },
		[6] = { 0, 2, 2, 7, 2, 2, SELF, 7 },
		[7] = { 0, 5, 5, 3, 5, 5, 6, SELF },
	} },
};
/* clang-format on */

/* From RUNNING to @state, whatever it takes. */
static int go(struct probe *p, uint32_t state, const struct blob *b)
{
	int fd;

	if (probe_set_state(p, state, &fd))
		bail("cannot get to state %u", state);
	if (state == STATE_RESUMING && blob_write(b, 0, fd, MIB))
		bail("load");
	return fd;
}

/*
 * The first arc shows when the second one fails. An arc to the target itself has no second one: the
 * request succeeds and takes one count only.
 */
static bool step_is(struct probe *p, uint32_t from, uint32_t to, unsigned int next,
		    const struct blob *b)
{
	bool starts = to == STATE_RESUMING || to == STATE_STOP_COPY || to == STATE_PRE_COPY ||
		      to == STATE_PRE_COPY_P2P;
	bool continues = from == STATE_PRE_COPY || from == STATE_PRE_COPY_P2P;
	int first = go(p, from, b);
	int fd, ret;
	bool good;

	set_param("fail_arc", 2);
	ret = probe_set_state(p, to, &fd);
	if (next == 0 || next == X)
		good = ret == -EINVAL && probe_state(p) == from;
	else if (next == SELF)
		good = !ret && fd == -1 && probe_state(p) == from;
	else if (next == to)
		good = !ret && probe_state(p) == to && (fd >= 0) == (starts && !continues);
	else
		good = ret == -EIO && fd == -1 && probe_state(p) == next;
	set_param("fail_arc", 0);

	if (fd >= 0) {
		if (to == STATE_RESUMING)
			blob_write(b, 0, fd, MIB);
		close(fd);
	}
	/* Loading or not, everything leads back to RUNNING. */
	probe_leave(p, STATE_RUNNING);
	if (first >= 0)
		close(first);
	return good;
}

void test_states(void)
{
	const struct next_table *table = next_tables;
	struct blob b = { NULL, 0 };
	struct probe p;
	int fd;

	while (table->flags != (unsigned int)argument)
		table++;
	set_param("state_kb", 4);
	probe_open(&p, node_a);
	ok(probe_mig_flags(&p) == table->flags, "migration flags are %u", table->flags);
	save(&p, &b);
	probe_leave(&p, STATE_RUNNING);

	for (uint32_t from = STATE_STOP; from < STATES; from++) {
		if (!table->next[from][STATE_STOP])
			continue;
		for (uint32_t to = STATE_ERROR; to < STATES; to++)
			ok(step_is(&p, from, to, table->next[from][to], &b),
			   "flags %u: from %u to %u by way of %u", table->flags, from, to,
			   table->next[from][to]);
	}
	ok(probe_set_state(&p, STATES, &fd) == -EINVAL, "flags %u: there is no state 8",
	   table->flags);
	blob_free(&b);
	probe_close(&p);
	set_param("state_kb", 0);
}
