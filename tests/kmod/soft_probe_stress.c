// SPDX-License-Identifier: GPL-2.0-only
/* Everything at once, at random: what comes of it is for the kernel's own checks to say. */
#include "soft_rig.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECONDS 3

struct stress {
	struct soft s;
	source_fn source;
	atomic_bool over;
	atomic_uint turns;
};

static bool goes_on(struct stress *t)
{
	atomic_fetch_add(&t->turns, 1);
	return !atomic_load(&t->over);
}

/* A data file is used for a little and let go of, whatever the device makes of it. */
static void *states(void *arg)
{
	struct stress *t = arg;
	unsigned int seed = 1;
	char bytes[5000];
	ssize_t n;
	int fd;

	memset(bytes, 0x5a, sizeof(bytes));
	while (goes_on(t)) {
		if (probe_set_state(&t->s.p, rand_r(&seed) % STATES, &fd) || fd < 0)
			continue;
		n = read(fd, bytes, sizeof(bytes));
		if (n < 0)
			n = write(fd, bytes, 64);
		close(fd);
	}
	return NULL;
}

static void *resets(void *arg)
{
	struct stress *t = arg;

	while (goes_on(t)) {
		probe_reset(&t->s.p);
		poll(NULL, 0, 7);
	}
	return NULL;
}

static void *maps(void *arg)
{
	struct stress *t = arg;
	unsigned int seed = 2;

	while (goes_on(t)) {
		uint64_t half = rand_r(&seed) % 2;

		soft_unmap(&t->s, IOVA + half * MEMORY / 2, MEMORY / 2, NULL);
		soft_try_map(&t->s, IOVA + half * MEMORY / 2, (unsigned int)half * PAGES / 2,
			     PAGES / 2, true);
		poll(NULL, 0, rand_r(&seed) % 4);
	}
	return NULL;
}

/* What the device refuses it refuses. */
static void *work(void *arg)
{
	static const struct {
		uint64_t at, value;
	} settings[] = {
		{ VFIOMIG_SOFT_RUN_CTRL, 0 },	   { VFIOMIG_SOFT_RUN_BASE, IOVA },
		{ VFIOMIG_SOFT_RUN_PAGES, PAGES }, { VFIOMIG_SOFT_RUN_LENGTH, 256 },
		{ VFIOMIG_SOFT_RUN_BATCH, 8 },	   { VFIOMIG_SOFT_RUN_SEED, 77 },
		{ VFIOMIG_SOFT_RUN_CTRL, 0xf },	   { VFIOMIG_SOFT_DMA_IOVA, IOVA + 100 },
		{ VFIOMIG_SOFT_DMA_LENGTH, 9999 }, { VFIOMIG_SOFT_DMA_COMMAND, 1 },
		{ VFIOMIG_SOFT_DMA_COMMAND, 2 },   { VFIOMIG_SOFT_DMA_COMMAND, 3 },
	};
	struct stress *t = arg;
	unsigned int seed = 3;

	while (goes_on(t)) {
		try_reg(&t->s, VFIOMIG_SOFT_RUN_CTRL, 0);
		try_reg(&t->s, VFIOMIG_SOFT_DMA_MODE, rand_r(&seed) % 3);
		for (unsigned int i = 0; i < sizeof(settings) / sizeof(*settings); i++)
			try_reg(&t->s, settings[i].at, settings[i].value);
	}
	return NULL;
}

static void *reports(void *arg)
{
	struct stress *t = arg;
	struct bits bits;
	uint64_t page = PAGE;

	while (goes_on(t)) {
		log_start(&t->s, IOVA, MEMORY, &page);
		for (int i = 0; i < 20; i++) {
			memset(&bits, 0, sizeof(bits));
			log_source(&t->s, &bits);
			t->source(&t->s, &bits);
		}
		log_stop(&t->s);
	}
	return NULL;
}

/* stress hwpt|emulated NODE -, stress type1 GROUP NAME */
void test_stress(char **args)
{
	static void *(*const bodies[])(void *) = { states, resets, maps, work, reports };
	pthread_t threads[sizeof(bodies) / sizeof(*bodies)];
	struct stress t = { .source = log_source };

	if (!strcmp(args[0], "hwpt")) {
		soft_open_hwpt(&t.s, args[1]);
		hwpt_track(&t.s, true);
		t.source = hwpt_source;
	} else if (!strcmp(args[0], "type1")) {
		soft_open_type1(&t.s, args[1], args[2]);
		type1_track(&t.s, 1);
		t.source = type1_source;
	} else {
		soft_open(&t.s, args[1]);
	}
	for (unsigned int i = 0; i < sizeof(bodies) / sizeof(*bodies); i++)
		if (pthread_create(&threads[i], NULL, bodies[i], &t))
			bail("thread");
	poll(NULL, 0, SECONDS * 1000);
	atomic_store(&t.over, true);
	for (unsigned int i = 0; i < sizeof(bodies) / sizeof(*bodies); i++)
		pthread_join(threads[i], NULL);
	ok(true, "%s: %u turns at random", args[0], atomic_load(&t.turns));
	ok(!probe_reset(&t.s.p) && probe_state(&t.s.p) == STATE_RUNNING, "and the device is well");
	soft_close(&t.s);
}
