/* SPDX-License-Identifier: MIT */
/*
 * The table of scenarios that run on every machine: the simulated one in `meson test`, the lab's kernel in the suite
 * "kernel". A scenario uses the public API only and never asks which machine it is on: disagreement is a bug.
 */
#ifndef VFIOMIG_SCENARIO_H
#define VFIOMIG_SCENARIO_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vfiomig.h>
#include <vfiomig/sim.h>

#define ENV_DEVICES 8
#define ENV_BUFFERS 8

/* A machine and what the running scenario has opened on it; everything is closed after the scenario. */
struct env {
	struct vfm_context *ctx;
	struct vfm_sim *sim; /* NULL on a real kernel */
	char names[4][64];   /* by enum which */
	uint64_t page;	     /* of the machine; 0 in programs that run no table */
	struct vfm_device *devs[ENV_DEVICES];
	struct vfm_iommu *iommus[ENV_DEVICES];
	size_t opened;
	void *buffers[ENV_BUFFERS];
	size_t buffer_lengths[ENV_BUFFERS];
	size_t buffer_count;
	int eventfds[ENV_BUFFERS];
	size_t eventfd_count;
	struct vfm_error err;
};

enum which { EDU_A, EDU_B, MTTY_A, MTTY_B };

struct scenario {
	const char *name;
	int (*run)(struct env *env);
};

extern const struct scenario device_scenarios[];
extern const struct scenario iommu_scenarios[];
extern const struct scenario control_scenarios[];
extern const struct scenario state_scenarios[];
extern const struct scenario session_scenarios[];
extern const struct scenario transfer_scenarios[];
extern const struct scenario lend_scenarios[];

/* Say where and why, then fail the scenario. */
#define REQUIRE(condition)                                                                                             \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			printf("# %s:%d: not so: %s (last error: %s)\n", __FILE__, __LINE__, #condition,               \
			       env->err.message);                                                                      \
			return -1;                                                                                     \
		}                                                                                                      \
	} while (0)

#define REQUIRE_RESULT(call, want)                                                                                     \
	do {                                                                                                           \
		int got_ = (int)(call);                                                                                \
		if (got_ != (want)) {                                                                                  \
			printf("# %s:%d: %s gave %d (%s), not %d: %s\n", __FILE__, __LINE__, #call, got_,              \
			       got_ < 0 ? strerror(-got_) : "", (want), env->err.message);                             \
			return -1;                                                                                     \
		}                                                                                                      \
	} while (0)

#define OK(call) REQUIRE_RESULT(call, 0)

/* tools.c */
int env_open(struct env *env, enum which which, struct vfm_device **ret);
int env_space(struct env *env, uint32_t backend, struct vfm_iommu **ret);
/* another device of an address space, bus master on; closed before that is */
int env_add(struct env *env, struct vfm_iommu *iommu, enum which which, struct vfm_device **ret);
int env_map(struct env *env, struct vfm_iommu *iommu, void *memory, uint64_t length, uint64_t iova);
/* Memory decode in the command register of a PCI device: without it nobody reaches the BARs. */
int env_decode_memory(struct env *env, struct vfm_device *dev, bool on);
void env_forget(struct env *env, struct vfm_device *dev); /* close it now */
void env_close_all(struct env *env);
void *env_memory(struct env *env, size_t length); /* anonymous pages, zeroed */
int env_eventfd(struct env *env);
void env_sleep_ms(struct env *env, unsigned int ms);
int env_state(struct env *env, struct vfm_device *dev, uint32_t want);

/* A byte channel in memory. */
struct memory {
	uint8_t *bytes;
	size_t length;
	size_t room;
	size_t position;
	size_t fail_after; /* write fails with EIO once this many bytes are in; 0: never */
	struct vfm_io io;
};
void memory_init(struct memory *memory);
void memory_rewind(struct memory *memory);
void memory_free(struct memory *memory);

/* edu.c: the edu device as a program sees it */
int edu_regions(struct env *env, struct vfm_device *dev, uint32_t *ret_contents, uint32_t *ret_control);
int edu_fill(struct env *env, struct vfm_device *dev, uint64_t offset, size_t length, uint32_t seed);
int edu_compare(struct env *env, struct vfm_device *dev, uint64_t offset, size_t length, uint32_t seed);
int edu_contents_bytes(struct env *env, struct vfm_device *dev, uint64_t *ret);
int edu_control_read(struct env *env, struct vfm_device *dev, uint32_t reg, uint64_t *ret);
int edu_control_write(struct env *env, struct vfm_device *dev, uint32_t reg, uint64_t value);
int edu_reg_read(struct env *env, struct vfm_device *dev, uint32_t reg, uint32_t *ret);
int edu_reg_write(struct env *env, struct vfm_device *dev, uint32_t reg, uint32_t value);
/* one DMA through the engine, waited for; @to_device: memory to the device's buffer */
int edu_dma(struct env *env, struct vfm_device *dev, uint64_t iova, uint32_t length, bool to_device, bool irq);
/* 1 KiB goes from one page of memory through the device to another and must be there */
int edu_copy(struct env *env, struct vfm_device *dev, uint8_t *from, uint64_t from_iova, const uint8_t *to,
	     uint64_t to_iova, uint8_t seed);

/* mtty.c: the serial port; what was sent waits in the FIFO until it is read, the FIFO is device state */
int mtty_send(struct env *env, struct vfm_device *dev, const char *text);
int mtty_expect(struct env *env, struct vfm_device *dev, const char *text); /* drains it; nothing may be left */

#endif
