/* SPDX-License-Identifier: MIT */
/* What save, restore and copy share: options, devices, cancellation, progress, the one error that is reported. */
#ifndef VFIOMIG_TRANSFER_INTERNAL_H
#define VFIOMIG_TRANSFER_INTERNAL_H

#include "device-internal.h"

struct vfmi_mark {
	uint64_t ns;
	uint64_t bytes;
};

/* One running transfer. The first failure stands in @error; what is undone after it only amends it. */
struct vfmi_transfer {
	struct vfm_context *ctx;
	struct vfmi_sys *sys;
	struct vfm_transfer_opts opts; /* the caller's, in this library's size */
	struct vfm_transfer_result result;
	struct vfm_error error;
	struct vfm_progress progress;
	uint64_t start_ns;
	uint64_t left_running_ns; /* 0: nothing has been stopped yet */
	uint64_t told_ns;
	struct vfmi_mark marks[2];	/* rate: the older one to two seconds back */
	struct vfm_device *const *devs; /* the caller's, watched until the end */
	size_t count;
	uint32_t watched[VFM_STREAM_MAX_DEVICES]; /* what vfmi_device_watch_begin() armed */
	struct vfm_io channel;			  /* the caller's, in this library's size */
	bool patient;				  /* a read goes on past the channel's timeout */
};

/*
 * Take the options and check the list of devices: 1 to VFM_STREAM_MAX_DEVICES, none twice. @flags: the transfer flags
 * this call knows.
 */
int vfmi_transfer_begin(struct vfmi_transfer *t, struct vfm_device *const *devs, size_t count,
			const struct vfm_transfer_opts *opts, uint32_t flags);

/* then_state of the options, @fallback when they leave it open. */
uint32_t vfmi_transfer_then(const struct vfmi_transfer *t, uint32_t fallback);

/* Enter a phase and tell so; -ECANCELED. */
int vfmi_transfer_phase(struct vfmi_transfer *t, uint32_t phase, uint64_t estimate_bytes);

/* Account @bytes of device @index, tell when it is time, look at the cancel token; -ECANCELED. 0 bytes is fine. */
int vfmi_transfer_moved(struct vfmi_transfer *t, uint32_t index, uint64_t bytes);

/* The first arc out of RUNNING is about to be made; downtime ends with the last call of _downtime_end(). */
void vfmi_transfer_downtime_begin(struct vfmi_transfer *t);
void vfmi_transfer_downtime_end(struct vfmi_transfer *t);

/* Failures that concern no device: the caller's options, and the channel or the peer (VFM_ERROR_PEER; @r negative). */
VFM_PRINTF(3, 4) int vfmi_transfer_refuse(struct vfmi_transfer *t, int code, const char *fmt, ...);
VFM_PRINTF(4, 5) int vfmi_transfer_peer(struct vfmi_transfer *t, int r, const char *step, const char *fmt, ...);

/*
 * A channel as the caller passed it; the write or the read side must be there. While t->patient is set, which is for
 * the thread that reads, its reads do not end by -ETIMEDOUT.
 */
int vfmi_transfer_io(struct vfmi_transfer *t, const struct vfm_io *from, bool writes, struct vfm_io *ret);

/* A random stream id. */
int vfmi_transfer_id(struct vfmi_transfer *t, uint64_t *ret_id);

/* Write the caller's results; returns @r. @first: the device whose state is reported. */
int vfmi_transfer_end(struct vfmi_transfer *t, int r, struct vfm_device *first, struct vfm_transfer_result *ret_result,
		      struct vfm_error *ret_error);

#endif
