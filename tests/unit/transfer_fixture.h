/* SPDX-License-Identifier: MIT */
/* Transfers of the devices of a simulated machine to and from memory. */
#ifndef TRANSFER_FIXTURE_H
#define TRANSFER_FIXTURE_H

#include "channel_fixture.h"
#include "machine_fixture.h"

static struct machine m;
static struct memory memory;
static struct vfm_transfer_result result;
static struct vfm_error error;

static inline void setup(void)
{
	machine_open(&m);
	memset(&memory, 0, sizeof(memory));
	result.size = sizeof(result);
	error.size = sizeof(error);
}

static inline void teardown(void)
{
	free(memory.data);
	machine_close(&m);
}

static inline int save_of(const unsigned int *slots, size_t count, const struct vfm_transfer_opts *opts)
{
	struct vfm_io io = memory_writer(&memory);
	struct vfm_device *devs[MACHINE_DEVICES];

	for (size_t i = 0; i < count; i++)
		devs[i] = m.dev[slots[i]];
	return vfm_save(devs, count, &io, opts, &result, &error);
}

static inline int restore_to(const unsigned int *slots, size_t count, const struct vfm_transfer_opts *opts)
{
	struct vfm_io io = memory_reader(&memory);
	struct vfm_device *devs[MACHINE_DEVICES];

	for (size_t i = 0; i < count; i++)
		devs[i] = m.dev[slots[i]];
	return vfm_restore(devs, count, &io, opts, &result, &error);
}

static inline void must_save(unsigned int slot, const struct vfm_transfer_opts *opts)
{
	memory.length = 0;
	ck_assert_msg(save_of(&slot, 1, opts) == 0, "%s", error.message);
}

static inline void must_restore(unsigned int slot, const struct vfm_transfer_opts *opts)
{
	ck_assert_msg(restore_to(&slot, 1, opts) == 0, "%s", error.message);
}

/* Scratch register of the first port: offset 7 of BAR 0. */
static inline void mark_mtty(unsigned int slot, uint8_t value)
{
	ck_assert_msg(vfm_device_region_write(m.dev[slot], VFM_REGION_BAR0, 7, &value, 1, &error) == 0, "%s",
		      error.message);
}

static inline uint8_t mark_of_mtty(unsigned int slot)
{
	uint8_t value = 0;

	ck_assert_int_eq(vfm_device_region_read(m.dev[slot], VFM_REGION_BAR0, 7, &value, 1, &error), 0);
	return value;
}

#endif
