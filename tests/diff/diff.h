/* SPDX-License-Identifier: MIT */
/*
 * Differential run: the same random calls on a real device and on its simulated profile; every result must be equal.
 * A call is three numbers drawn from the seed, so that a sequence can be replayed and shrunk.
 */
#ifndef VFIOMIG_DIFF_H
#define VFIOMIG_DIFF_H

#include "device-internal.h"
#include "uapi/iommufd.h"
#include "uapi/vfio.h"

#include <vfiomig/sim.h>

#define DIFF_MAX_CALLS 64
#define DIFF_STREAM (1u << 20)

struct call {
	uint32_t op;
	uint32_t a;
	uint32_t b;
};

/* What a call gave; two machines agree when these are equal. */
struct outcome {
	int64_t result;	   /* 0, a count, or -errno */
	uint64_t value[3]; /* what came back: sizes, flags, a hash of bytes */
	uint32_t state;	   /* by GET, after the call */
	bool has_data_fd;  /* whether the call returned a descriptor */
};

/* One machine with the device under test. */
struct subject {
	const char *machine;
	struct vfm_context *ctx;
	struct vfm_sim *sim;
	struct vfmi_sys *sys;
	char name[64];
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	int data_fd;
	int eventfd;
	uint8_t *stream; /* a whole good state of this device, saved at the start */
	size_t stream_length;
	size_t cursor; /* what of it has been written in this load */
	bool is_edu;
};

int subject_open(struct subject *s);
void subject_close(struct subject *s);
int subject_record(struct subject *s); /* fill stream */

void call_draw(struct call *call, uint64_t *rng);
void call_print(const struct call *call, char *buf, size_t room);
void call_run(struct subject *s, const struct call *call, struct outcome *ret);

#endif
