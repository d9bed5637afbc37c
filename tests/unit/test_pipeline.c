/* SPDX-License-Identifier: MIT */
/* The ring between two threads: order, bounds, last words of either side, signals. */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "pipeline.h"
#include "stuck.h"
#include "suite.h"

static struct vfm_context *context;

struct peer {
	uint64_t count;	       /* slots a worker handles before it stops by itself */
	_Atomic uint64_t seen; /* slots it handled */
	uint64_t disorder;     /* of these, out of order */
	int result;	       /* what it then returns */
	int last;	       /* what the pipeline told it in the end */
	atomic_bool held;      /* it waits while this is set */
	atomic_int tid;	       /* of a producer */
	sigset_t mask;
};

static void hold(const struct peer *peer)
{
	while (atomic_load(&peer->held))
		usleep(100);
}

static int consume(void *user, struct vfmi_pipeline *p)
{
	struct peer *peer = user;
	struct vfmi_slot *slot;

	pthread_sigmask(SIG_SETMASK, NULL, &peer->mask);
	hold(peer);
	while (peer->seen < peer->count) {
		peer->last = vfmi_pipeline_full(p, &slot);
		if (peer->last < 0)
			return peer->last == -ENODATA ? 0 : peer->last;
		peer->disorder += slot->frame.sequence != peer->seen;
		peer->seen++;
		vfmi_pipeline_pop(p);
	}
	return peer->result;
}

static int produce(void *user, struct vfmi_pipeline *p)
{
	struct peer *peer = user;
	struct vfmi_slot *slot;

	atomic_store(&peer->tid, gettid());
	hold(peer);
	while (peer->seen < peer->count) {
		peer->last = vfmi_pipeline_empty(p, &slot);
		if (peer->last < 0)
			return peer->last;
		slot->frame.sequence = peer->seen++;
		vfmi_pipeline_push(p);
	}
	return peer->result;
}

static int push_one(struct vfmi_pipeline *p, uint64_t number)
{
	struct vfmi_slot *slot;
	int r = vfmi_pipeline_empty(p, &slot);

	if (r < 0)
		return r;
	slot->frame.sequence = number;
	vfmi_pipeline_push(p);
	return 0;
}

START_TEST(passes_everything_in_order)
{
	static const uint64_t counts[] = {
		0, 1, VFMI_PIPELINE_SLOTS - 1, VFMI_PIPELINE_SLOTS, VFMI_PIPELINE_SLOTS + 1, 20000
	};
	struct peer peer = { .count = UINT64_MAX };
	struct vfmi_pipeline *p;

	ck_assert_int_eq(vfmi_pipeline_consume(context, consume, &peer, &p), 0);
	for (uint64_t i = 0; i < counts[_i]; i++)
		ck_assert_int_eq(push_one(p, i), 0);
	vfmi_pipeline_close(p, 0);
	ck_assert_int_eq(vfmi_pipeline_join(p), 0);
	ck_assert_uint_eq(peer.seen, counts[_i]);
	ck_assert_uint_eq(peer.disorder, 0);
	ck_assert_int_eq(peer.last, -ENODATA);
	vfmi_pipeline_free(p);
}
END_TEST

START_TEST(consumes_everything_in_order)
{
	struct peer peer = { .count = 20000 };
	struct vfmi_pipeline *p;
	struct vfmi_slot *slot;
	uint64_t seen = 0;
	int r;

	ck_assert_int_eq(vfmi_pipeline_produce(context, produce, &peer, &p), 0);
	while ((r = vfmi_pipeline_full(p, &slot)) == 0) {
		ck_assert_uint_eq(slot->frame.sequence, seen);
		seen++;
		vfmi_pipeline_pop(p);
	}
	ck_assert_int_eq(r, -ENODATA);
	ck_assert_uint_eq(seen, peer.count);
	ck_assert_int_eq(vfmi_pipeline_join(p), 0);
	vfmi_pipeline_free(p);
}
END_TEST

/* A producer's failure comes behind what it pushed before: the report does not depend on who was faster. */
START_TEST(failure_of_producer_comes_last)
{
	struct peer peer = { .count = 5, .result = -EBADMSG };
	struct vfmi_pipeline *p;
	struct vfmi_slot *slot;

	ck_assert_int_eq(vfmi_pipeline_produce(context, produce, &peer, &p), 0);
	usleep(10000);
	for (uint64_t i = 0; i < 5; i++) {
		ck_assert_int_eq(vfmi_pipeline_full(p, &slot), 0);
		vfmi_pipeline_pop(p);
	}
	ck_assert_int_eq(vfmi_pipeline_full(p, &slot), -EBADMSG);
	ck_assert_int_eq(vfmi_pipeline_full(p, &slot), -EBADMSG);
	ck_assert_int_eq(vfmi_pipeline_join(p), -EBADMSG);
	vfmi_pipeline_free(p);
}
END_TEST

START_TEST(failure_of_consumer_stops_producer)
{
	struct peer peer = { .count = 3, .result = -EPIPE };
	struct vfmi_pipeline *p;
	uint64_t pushed = 0;
	int r = 0;

	ck_assert_int_eq(vfmi_pipeline_consume(context, consume, &peer, &p), 0);
	while (r == 0 && pushed < 1000)
		r = push_one(p, pushed++);
	ck_assert_int_eq(r, -EPIPE);
	ck_assert_uint_le(pushed, 3 + VFMI_PIPELINE_SLOTS + 1);
	ck_assert_int_eq(vfmi_pipeline_join(p), -EPIPE);
	vfmi_pipeline_free(p);
}
END_TEST

START_TEST(producer_runs_ahead_by_the_ring_only)
{
	struct peer peer = { .count = UINT64_MAX };
	struct vfmi_pipeline *p;
	struct vfmi_slot *slot;

	atomic_init(&peer.held, false);
	ck_assert_int_eq(vfmi_pipeline_produce(context, produce, &peer, &p), 0);
	ck_assert_int_eq(vfmi_pipeline_full(p, &slot), 0);
	/* the ring filled, the worker waits for a slot, and comes out of it */
	while (atomic_load(&peer.seen) < VFMI_PIPELINE_SLOTS || !is_asleep(atomic_load(&peer.tid)))
		usleep(1000);
	vfmi_pipeline_fail(p, -ECANCELED);
	ck_assert_int_eq(vfmi_pipeline_join(p), -ECANCELED);
	ck_assert_uint_eq(peer.seen, VFMI_PIPELINE_SLOTS);
	vfmi_pipeline_free(p);
}
END_TEST

START_TEST(buffers_are_whole_and_apart)
{
	struct peer peer = { .count = UINT64_MAX };
	struct vfmi_pipeline *p;
	uint8_t *seen[VFMI_PIPELINE_SLOTS];
	struct vfmi_slot *slot;

	atomic_init(&peer.held, true);
	ck_assert_int_eq(vfmi_pipeline_consume(context, consume, &peer, &p), 0);
	for (unsigned int i = 0; i < VFMI_PIPELINE_SLOTS; i++) {
		ck_assert_int_eq(vfmi_pipeline_empty(p, &slot), 0);
		memset(slot->data, (int)i, VFM_STREAM_MAX_CHUNK);
		slot->frame.sequence = i;
		seen[i] = slot->data;
		vfmi_pipeline_push(p);
	}
	for (unsigned int i = 0; i < VFMI_PIPELINE_SLOTS; i++) {
		ck_assert_uint_eq(seen[i][0], i);
		ck_assert_uint_eq(seen[i][VFM_STREAM_MAX_CHUNK - 1], i);
	}
	atomic_store(&peer.held, false);
	vfmi_pipeline_free(p);
	ck_assert_uint_eq(peer.seen, VFMI_PIPELINE_SLOTS);
}
END_TEST

START_TEST(worker_takes_no_signals)
{
	struct peer peer = { .count = UINT64_MAX };
	struct vfmi_pipeline *p;
	sigset_t before;
	sigset_t after;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	ck_assert_int_eq(vfmi_pipeline_consume(context, consume, &peer, &p), 0);
	vfmi_pipeline_free(p);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int i = 1; i < NSIG; i++) {
		if (i != SIGKILL && i != SIGSTOP && i != 32 && i != 33)
			ck_assert_int_eq(sigismember(&peer.mask, i), 1);
		ck_assert_int_eq(sigismember(&before, i), sigismember(&after, i));
	}
}
END_TEST

START_TEST(free_ends_either_side)
{
	struct peer peer = { .count = UINT64_MAX };
	struct vfmi_pipeline *p;

	vfmi_pipeline_free(NULL);
	ck_assert_int_eq(vfmi_pipeline_consume(context, consume, &peer, &p), 0);
	vfmi_pipeline_free(p);
	ck_assert_int_eq(peer.last, -ECANCELED);
	peer = (struct peer){ .count = UINT64_MAX };
	ck_assert_int_eq(vfmi_pipeline_produce(context, produce, &peer, &p), 0);
	vfmi_pipeline_free(p);
	ck_assert_int_eq(peer.last, -ECANCELED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pipeline");
	TCase *tc = tcase_create("ring");
	int result;

	tcase_add_loop_test(tc, passes_everything_in_order, 0, 6);
	tcase_add_test(tc, consumes_everything_in_order);
	tcase_add_test(tc, failure_of_producer_comes_last);
	tcase_add_test(tc, failure_of_consumer_stops_producer);
	tcase_add_test(tc, producer_runs_ahead_by_the_ring_only);
	tcase_add_test(tc, buffers_are_whole_and_apart);
	tcase_add_test(tc, worker_takes_no_signals);
	tcase_add_test(tc, free_ends_either_side);
	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	if (vfm_context_new(&context) < 0)
		return EXIT_FAILURE;
	result = run_suite(suite);
	vfm_context_free(context);
	return result;
}
