// SPDX-License-Identifier: GPL-2.0-only
/*
 * All at once, for the lock validator: states, data, contents and resets from four threads, each
 * failing as often as it likes. One reads the stream into the device's own BAR, so that copying to
 * the user faults in vfio-pci.
 */
#include "edu_rig.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct probe stressed;
static atomic_bool stress_over;
static unsigned char *stress_bar;
static unsigned int stress_done[4]; /* sessions, copied pieces, writes, resets */

static void *stress_states(void *arg)
{
	unsigned int seed = 1;
	int fd;

	(void)arg;
	while (!stress_over) {
		uint32_t state = STATE_STOP + (uint32_t)rand_r(&seed) % (STATES - 1);

		if (probe_set_state(&stressed, state, &fd) || fd < 0)
			continue;
		for (int i = 0; i < 4; i++) {
			/* Where the BAR has no registers: it must not start a DMA. */
			ssize_t n = read(fd, stress_bar + 0x1000, 0x4000);

			if (n < 0 && errno == EBADF)
				n = write(fd, stress_bar, 16);
			if (n <= 0)
				break;
			stress_done[1]++;
		}
		close(fd);
		stress_done[0]++;
	}
	return NULL;
}

static void *stress_contents(void *arg)
{
	unsigned char piece[5000] = { 0 };
	unsigned int seed = 2;

	(void)arg;
	while (!stress_over) {
		stress_done[2] += !probe_write(&stressed, &stressed.contents,
					       (unsigned int)rand_r(&seed) % MIB, piece,
					       sizeof(piece));
		probe_write(&stressed, &stressed.control, VFIOMIG_EDU_PUMP_CTRL,
			    &(uint64_t){ (unsigned int)rand_r(&seed) & 1 }, 8);
		probe_get(&stressed, &stressed.control, VFIOMIG_EDU_DIRTY_BLOCKS, 8);
	}
	return NULL;
}

static void *stress_resets(void *arg)
{
	unsigned int seed = 3;

	(void)arg;
	while (!stress_over) {
		poll(NULL, 0, rand_r(&seed) % 60);
		stress_done[3] += !probe_reset(&stressed);
		probe_bus_master(&stressed, true);
		probe_write(&stressed, &stressed.control, VFIOMIG_EDU_PUMP_LENGTH,
			    &(uint64_t){ 64 }, 8);
		probe_write(&stressed, &stressed.control, VFIOMIG_EDU_PUMP_SLOTS, &(uint64_t){ 4 },
			    8);
	}
	return NULL;
}

static void *stress_queries(void *arg)
{
	(void)arg;
	while (!stress_over) {
		probe_state(&stressed);
		probe_data_size(&stressed);
	}
	return NULL;
}

void test_stress(void)
{
	void *(*const work[])(void *) = {
		stress_states,
		stress_contents,
		stress_resets,
		stress_queries,
	};
	pthread_t threads[4];
	time_t end = time(NULL) + (argument ? argument : 5);

	set_param("state_mb", 2);
	probe_open(&stressed, node_a);
	probe_map(&stressed, 0, new_memory(), MEMORY);
	stress_bar = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_SHARED, stressed.fd,
			  stressed.bar.offset);
	if (stress_bar == MAP_FAILED)
		bail("BAR");
	for (size_t i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, work[i], NULL))
			bail("thread");
	while (time(NULL) < end)
		poll(NULL, 0, 50);
	stress_over = true;
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	munmap(stress_bar, 0x10000);
	note("%u sessions, %u pieces read or written, %u writes to the contents, %u resets",
	     stress_done[0], stress_done[1], stress_done[2], stress_done[3]);

	ok(!probe_reset(&stressed), "the device can be reset after all that");
	ok(probe_state(&stressed) == STATE_RUNNING && registers_are(&stressed, false) &&
		   contents_blank(&stressed),
	   "and is as new");
	probe_close(&stressed);
	set_param("state_mb", 64);
}
