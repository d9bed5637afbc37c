/* SPDX-License-Identifier: MIT */
/* Whole transfers: devices to a channel, a channel to devices, device to device. */
#ifndef VFIOMIG_TRANSFER_H
#define VFIOMIG_TRANSFER_H

#include <vfiomig/migration.h>
#include <vfiomig/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

enum vfm_phase {
	VFM_PHASE_SETUP = 0,
	VFM_PHASE_PRE_COPY = 1,
	VFM_PHASE_STOP_COPY = 2,
	VFM_PHASE_LOAD = 3,
	VFM_PHASE_FINISH = 4,
	VFM_PHASE_DONE = 5,
};

/* Snapshot of a running transfer. estimate_bytes is VFM_SIZE_UNKNOWN when no device says; rates in bytes per second. */
struct vfm_progress {
	uint32_t size;
	uint32_t phase;
	uint32_t device; /* index being worked on */
	uint32_t devices;
	uint64_t bytes;
	uint64_t estimate_bytes;
	uint64_t elapsed_ns;
	uint64_t rate;
	uint64_t eta_ns;	/* VFM_SIZE_UNKNOWN when it cannot be told */
	uint32_t notices;	/* enum vfm_notice that came so far */
	uint32_t notice_device; /* index of the device that VFM_NOTICE_REQUEST is about */
};

/* On the calling thread of the transfer, at most ten times a second and once per phase; non-zero cancels. */
typedef int vfm_progress_fn(void *user, const struct vfm_progress *progress);

enum vfm_transfer_flag {
	VFM_TRANSFER_LIVE = 1,		 /* save: PRE_COPY where the devices have it */
	VFM_TRANSFER_ALLOW_MISMATCH = 2, /* load although the match table refuses */
	VFM_TRANSFER_NO_P2P = 4,	 /* several devices: the caller vouches that none does peer-to-peer DMA */
	VFM_TRANSFER_NO_CONFIG = 8,	 /* leave PCI configuration and interrupts alone */
};

/**
 * struct vfm_transfer_opts - options of save, restore and copy
 * @flags:      enum vfm_transfer_flag
 * @then_state: state of the devices after success: STOP, RUNNING, RUNNING_P2P; 0 or VFM_STATE_UNKNOWN for the default:
 *              save to a one-way channel: back to the state found; save to a duplex peer: STOP, and nothing else is
 *              allowed; restore: STOP; copy: the target's, default STOP, while the source always ends in STOP
 * @precopy_limit_bytes: LIVE: stop pre-copying after this many bytes; 0: 4 times the first estimate
 * @precopy_limit_ns: LIVE: stop pre-copying after this time; 0: 30 s
 * @progress, @progress_user: may be NULL
 * @cancel:     may be NULL
 * @blob, @blob_length: caller's opaque bytes, carried in the stream (save); borrowed for the call
 * @ret_blob, @ret_blob_length: restore: malloc()ed copy of the blob, to be freed by the caller; may be NULL
 * @map:        restore: map[i] is the index in @devs that stream device i goes to; NULL: by the match table, which
 *              must leave exactly one assignment
 */
struct vfm_transfer_opts {
	uint32_t size;
	uint32_t flags;
	uint32_t then_state;
	uint32_t reserved;
	uint64_t precopy_limit_bytes;
	uint64_t precopy_limit_ns;
	vfm_progress_fn *progress;
	void *progress_user;
	struct vfm_cancel *cancel;
	const void *blob;
	size_t blob_length;
	void **ret_blob;
	size_t *ret_blob_length;
	const uint32_t *map;
	size_t map_length;
	vfm_match_fn *match;
	void *match_user;
};

enum vfm_commit {
	VFM_COMMIT_NONE = 0,  /* one-way channel, or failed before the verdict: nothing was handed over */
	VFM_COMMIT_DONE = 1,  /* the destination has the state, the source gave it up */
	VFM_COMMIT_DOUBT = 2, /* the verdict came or was sent, what followed did not: each side holds what it has */
};

/**
 * struct vfm_transfer_result - written on success and on failure
 * @state_before, @state_now: of the first device; per device through vfm_device_get_state()
 * @downtime_ns: from the first arc that left RUNNING to the last read (save) or the final state (restore, copy)
 * @commit: enum vfm_commit
 */
struct vfm_transfer_result {
	uint32_t size;
	uint32_t commit;
	uint32_t state_before;
	uint32_t state_now;
	uint64_t bytes;
	uint64_t precopy_bytes;
	uint64_t stream_bytes;
	uint64_t elapsed_ns;
	uint64_t downtime_ns;
	uint64_t stream_id;
};

/**
 * vfm_save() - save @count devices to a channel
 *
 * Reading, checksumming and writing overlap: one worker thread writes, all signals blocked, joined before return.
 * Several devices are all brought to P2P before any stops; they need P2P unless VFM_TRANSFER_NO_P2P.
 * On a duplex channel the destination's match comes before any device stops, and its verdict on the load before the
 * source gives up; after a failure before that every device is back in the state found. Never resets a device.
 * Once the source gave up it waits for the destination's answer past any -ETIMEDOUT of the channel, which would be
 * doubt where there is none; so does vfm_restore() once it has told its verdict. @cancel and the end of the channel end
 * that.
 *
 * Return: 0, -EREMOTEIO (the destination refuses: incompatible), -EOPNOTSUPP, -EPIPE and other channel errnos
 * (VFM_ERROR_PEER), -EPROTO (the peer broke order), -ECANCELED, -EINPROGRESS (result.commit is DOUBT), or as for
 * sessions. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_save(struct vfm_device *const *devs, size_t count, const struct vfm_io *io,
				    const struct vfm_transfer_opts *opts, struct vfm_transfer_result *ret_result,
				    struct vfm_error *ret_error);

/**
 * vfm_restore() - load a stream into devices
 *
 * No device leaves RESUMING before the whole stream has been checked to its end. After a failure the devices that were
 * touched are reset: blank, RUNNING (VFM_ERROR_WAS_RESET says so). On a duplex channel, once the source was told the
 * verdict, the state here may be the only one: nothing is reset any more unless the source says that it keeps its own.
 * result.commit tells: DOUBT, the source's decision is not known and the devices stay in STOP; DONE, the source gave up
 * but a device did not start: its state is here alone, so go on holding it; the blob is handed out as after success.
 * A stream that is cut short is damaged; on a channel that can be written too it is the source that hung up, and
 * VFM_ERROR_RETRYABLE says that no device had been touched.
 * Return: 0, -EBADMSG, -EPROTONOSUPPORT, -EREMOTEIO (the match table refuses), -EINVAL (map), -EPIPE (the source hung
 * up) and other channel errnos (VFM_ERROR_PEER), -ECANCELED, -EINPROGRESS (as for vfm_save()), or as for sessions.
 * Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_restore(struct vfm_device *const *devs, size_t count, const struct vfm_io *io,
				       const struct vfm_transfer_opts *opts, struct vfm_transfer_result *ret_result,
				       struct vfm_error *ret_error);

/*
 * Device to device in one process, no stream between; the target's verdict comes before the source gives up. A target
 * that does not start is reset before the source goes back to the state found; when that reset fails the source stays
 * stopped and result.commit is DOUBT.
 */
VFM_API VFM_MUST_CHECK int vfm_copy(struct vfm_device *source, struct vfm_device *target,
				    const struct vfm_transfer_opts *opts, struct vfm_transfer_result *ret_result,
				    struct vfm_error *ret_error);

/**
 * vfm_device_config_capture() - what VFIO state leaves out: PCI configuration and which interrupts are armed
 * @buf: room for VFM_CONFIG_MAX bytes
 *
 * Return: bytes written, 0 for devices that are not PCI and have no interrupts armed, or -errno. Since: 0.1
 */
#define VFM_CONFIG_MAX 8192u
VFM_API VFM_MUST_CHECK int vfm_device_config_capture(struct vfm_device *dev, void *buf, size_t room,
						     struct vfm_error *ret_error);

/**
 * vfm_device_config_apply() - put a captured record onto a device in STOP
 *
 * Writes configuration, arms every interrupt vector of the record that is not armed yet with eventfds of its own
 * (vfm_device_irq_eventfd()), sets bus master last; INTx is unmasked after that. Every field is checked. No other
 * thread may write the configuration space of the device meanwhile: what it writes may be overwritten or taken for a
 * failure.
 *
 * Return: 0, -EBADMSG (not a record), -EPROTONOSUPPORT (of a version not known), -EINVAL (does not fit this device).
 * Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_config_apply(struct vfm_device *dev, const void *record, size_t length,
						   struct vfm_error *ret_error);

#ifdef __cplusplus
}
#endif
#endif
