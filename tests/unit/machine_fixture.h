/* SPDX-License-Identifier: MIT */
/* A simulated machine with four devices, opened; what is left behind is counted at the end. */
#ifndef MACHINE_FIXTURE_H
#define MACHINE_FIXTURE_H

#include <check.h>
#include <errno.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vfiomig.h>
#include <vfiomig/sim.h>

#include "suite.h"

#define EDU_A "0000:01:00.0"
#define EDU_B "0000:02:00.0"
#define MTTY_A "11111111-1111-4111-8111-111111111111"
#define MTTY_B "22222222-2222-4222-8222-222222222222"
#define STATE_BYTES (256u * 1024u)
#define DEFAULT_SPEC "edu@" EDU_A ",state=256k;edu@" EDU_B ",state=256k;mtty@" MTTY_A ";mtty@" MTTY_B

#define MACHINE_DEVICES 4u

struct machine {
	struct vfm_sim *sim;
	struct vfm_context *ctx;
	struct vfm_iommu *iommu;
	struct vfm_device *dev[MACHINE_DEVICES];
	struct vfm_sim_usage before;
};

/* On the stack of check: a failed assertion leaves the process, so nothing here outlives a test. */
static inline struct vfm_device *machine_device(struct machine *m, unsigned int slot, const char *name)
{
	VFM_OPTS(vfm_error, err);
	int r = vfm_device_open_attached(m->ctx, name, m->iommu, &m->dev[slot], &err);

	ck_assert_msg(r == 0, "open %s: %s", name, err.message);
	return m->dev[slot];
}

static inline void machine_start(struct machine *m, const char *spec)
{
	char message[256] = "";
	VFM_OPTS(vfm_error, err);

	memset(m, 0, sizeof(*m));
	ck_assert_msg(vfm_sim_open(NULL, spec ? spec : DEFAULT_SPEC, &m->sim, message, sizeof(message)) == 0, "%s",
		      message);
	ck_assert_int_eq(vfm_sim_context(m->sim, &m->ctx), 0);
	ck_assert_msg(vfm_iommu_open(m->ctx, NULL, &m->iommu, &err) == 0, "%s", err.message);
}

/* The four devices of the default machine, with different contents in the two edu ones. */
static inline void machine_open(struct machine *m)
{
	static const char *const names[MACHINE_DEVICES] = { EDU_A, EDU_B, MTTY_A, MTTY_B };
	uint8_t *contents = malloc(STATE_BYTES);

	machine_start(m, NULL);
	for (unsigned int i = 0; i < MACHINE_DEVICES; i++)
		machine_device(m, i, names[i]);
	for (size_t i = 0; i < STATE_BYTES; i++)
		contents[i] = (uint8_t)(i * 7 + i / 4096);
	ck_assert_int_eq(vfm_sim_contents_write(m->sim, EDU_A, 0, contents, STATE_BYTES), 0);
	memset(contents, 0x55, STATE_BYTES);
	ck_assert_int_eq(vfm_sim_contents_write(m->sim, EDU_B, 0, contents, STATE_BYTES), 0);
	free(contents);
	m->before.size = sizeof(m->before);
	vfm_sim_usage(m->sim, &m->before);
}

static inline struct vfm_sim_usage machine_usage(struct machine *m)
{
	struct vfm_sim_usage usage = { .size = sizeof(usage) };

	vfm_sim_usage(m->sim, &usage);
	return usage;
}

/* Nothing opened since machine_open() is still open, and no call was made that no correct program makes. */
static inline void machine_check(struct machine *m)
{
	struct vfm_sim_usage now = machine_usage(m);

	ck_assert_msg(now.strict_errors == 0, "%s", vfm_sim_strict_message(m->sim));
	ck_assert_uint_eq(now.open_fds, m->before.open_fds);
	ck_assert_uint_eq(now.maps, m->before.maps);
	ck_assert_uint_eq(now.mmaps, m->before.mmaps);
}

static inline void machine_close(struct machine *m)
{
	ck_assert_int_eq(vfm_sim_set_faults(m->sim, NULL, 0), 0);
	machine_check(m);
	for (unsigned int i = 0; i < MACHINE_DEVICES; i++)
		vfm_device_close(m->dev[i]);
	vfm_iommu_close(m->iommu);
	vfm_context_free(m->ctx);
	ck_assert_uint_eq(machine_usage(m).devices_open, 0);
	vfm_sim_close(m->sim);
}

/* The device's own word, faults lifted. */
static inline uint32_t machine_state(struct machine *m, unsigned int slot)
{
	uint32_t state = VFM_STATE_UNKNOWN;

	ck_assert_int_eq(vfm_sim_set_faults(m->sim, NULL, 0), 0);
	ck_assert_int_eq(vfm_device_get_state(m->dev[slot], &state, NULL), 0);
	return state;
}

static inline void machine_move(struct machine *m, unsigned int slot, uint32_t state)
{
	VFM_OPTS(vfm_error, err);

	ck_assert_msg(vfm_device_set_state(m->dev[slot], state, NULL, &err) == 0, "%s", err.message);
}

static inline bool machine_same_contents(struct machine *m, const char *a, const char *b)
{
	uint8_t *first = malloc(STATE_BYTES);
	uint8_t *second = malloc(STATE_BYTES);
	bool same;

	ck_assert_int_eq(vfm_sim_contents_read(m->sim, a, 0, first, STATE_BYTES), 0);
	ck_assert_int_eq(vfm_sim_contents_read(m->sim, b, 0, second, STATE_BYTES), 0);
	same = memcmp(first, second, STATE_BYTES) == 0;
	free(first);
	free(second);
	return same;
}

static inline bool machine_is_blank(struct machine *m, const char *name)
{
	uint8_t *contents = malloc(STATE_BYTES);
	bool blank = true;

	ck_assert_int_eq(vfm_sim_contents_read(m->sim, name, 0, contents, STATE_BYTES), 0);
	for (size_t i = 0; i < STATE_BYTES; i++)
		blank = blank && !contents[i];
	free(contents);
	return blank;
}

/* One fault: the @call th call that @op covers (NULL: any), @count times. */
static inline void machine_fault(struct machine *m, const char *op, uint32_t mode, uint64_t call, uint64_t count,
				 int code)
{
	const struct vfm_sim_fault fault = {
		.size = sizeof(fault), .mode = mode, .call = call, .count = count, .error = code, .op = op
	};

	ck_assert_int_eq(vfm_sim_set_faults(m->sim, &fault, 1), 0);
}

/* Of this process, the real ones. */
static inline unsigned int open_descriptors(void)
{
	DIR *list = opendir("/proc/self/fd");
	unsigned int count = 0;

	while (readdir(list))
		count++;
	closedir(list);
	return count;
}

#endif
