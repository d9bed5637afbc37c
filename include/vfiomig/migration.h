/* SPDX-License-Identifier: MIT */
/* Migration of one device: states, transitions, data sessions. Whole transfers are in transfer.h. */
#ifndef VFIOMIG_MIGRATION_H
#define VFIOMIG_MIGRATION_H

#include <vfiomig/device.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfm_session;

enum vfm_migration_flag { /* VFIO_MIGRATION_* of the kernel; the legal sets are 1, 3, 5 and 7 */
			  VFM_MIGRATION_STOP_COPY = 1,
			  VFM_MIGRATION_P2P = 2,
			  VFM_MIGRATION_PRE_COPY = 4,
};

#define VFM_SIZE_UNKNOWN UINT64_MAX

/**
 * vfm_fsm_next() - first hop the kernel takes from @from towards @to on a device with @flags
 *
 * Pure. Return: the state of the first hop (@to itself when equal), or -EINVAL when the kernel would refuse: unknown
 * flag set, state not backed by the flags, ERROR on either side, blocked pair. Since: 0.1
 */
VFM_API int vfm_fsm_next(uint32_t flags, uint32_t from, uint32_t to);

/* Whether a device with @flags has @state and can be asked for it; ERROR never can. */
VFM_API bool vfm_fsm_has_state(uint32_t flags, uint32_t state);

/**
 * vfm_fsm_path() - all hops from @from to @to, without @from
 * @path: room for 8
 *
 * Return: number of hops (0 when equal), or -EINVAL. Since: 0.1
 */
VFM_API int vfm_fsm_path(uint32_t flags, uint32_t from, uint32_t to, uint32_t path[8]);

/**
 * vfm_device_migration_flags() - VFIO_DEVICE_FEATURE_MIGRATION (Linux 5.18)
 *
 * Return: 0, -EOPNOTSUPP (no migration, or a flag set the UAPI does not define). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_migration_flags(struct vfm_device *dev, uint32_t *ret_flags,
						      struct vfm_error *ret_error);

/* The state, asked from the device now. Thread: any, also while a session runs. */
VFM_API VFM_MUST_CHECK int vfm_device_get_state(struct vfm_device *dev, uint32_t *ret_state,
						struct vfm_error *ret_error);

/**
 * vfm_device_set_state() - move a device to a state that starts no data session
 * @target:    STOP, RUNNING or RUNNING_P2P
 * @ret_state: state the device is in now, written on success and on failure; VFM_STATE_UNKNOWN if it cannot be had
 *
 * Legality is checked before the kernel is asked. Leaving STOP_COPY or PRE_COPY ends whatever session somebody had.
 * RESUMING is refused: what was loaded so far may be half a state; only vfm_session_finish() or a reset leave it.
 *
 * Blocking: as long as the driver takes. Thread: any, one mutating call a device at a time (else -EBUSY).
 * Return: 0, -EINVAL (no such arc, or a session state), -EOPNOTSUPP, -EBUSY (a session is open),
 * -ENOTRECOVERABLE (device in ERROR: reset it), or the kernel's errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_set_state(struct vfm_device *dev, uint32_t target, uint32_t *ret_state,
						struct vfm_error *ret_error);

/* Estimate of the STOP_COPY bytes; VFM_SIZE_UNKNOWN when the driver does not say or says nonsense. Linux 6.2. */
VFM_API VFM_MUST_CHECK int vfm_device_data_size(struct vfm_device *dev, uint64_t *ret_bytes,
						struct vfm_error *ret_error);

enum vfm_session_flag {
	/*
	 * save: begin in PRE_COPY where the device has it, else in STOP_COPY. A device found in RUNNING_P2P begins in
	 * PRE_COPY_P2P and one in STOP in STOP_COPY: a save makes nothing run that did not.
	 */
	VFM_SESSION_LIVE = 1,
	VFM_SESSION_HOLD_P2P = 2, /* save: the device must be found in RUNNING_P2P, else -EINVAL */
};

/**
 * struct vfm_session_opts - how a session begins
 * @flags: enum vfm_session_flag
 * @abort_state: save: state to go back to when the session is aborted (STOP, RUNNING or RUNNING_P2P); 0 or
 *               VFM_STATE_UNKNOWN: the state found at start. Not used by a load
 */
struct vfm_session_opts {
	uint32_t size;
	uint32_t flags;
	uint32_t abort_state;
};

/**
 * vfm_session_save() - begin saving: the device goes to PRE_COPY or STOP_COPY and a data file comes back
 *
 * The device takes no other mutating call until the session ends. On failure the device is brought back to the state
 * found (never reset) and ret_error tells where it is; a device that somebody else moved is left to them. When the
 * descriptor table is full the kernel has moved the device all the same (uapi: EMFILE after the arc); the session frees
 * its reserve descriptor, goes back and retries.
 *
 * Return: 0, -EINVAL, -EOPNOTSUPP, -EBUSY, -ENOTRECOVERABLE, or the kernel's errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_session_save(struct vfm_device *dev, const struct vfm_session_opts *opts,
					    struct vfm_session **ret_session, struct vfm_error *ret_error);

/**
 * vfm_session_load() - begin loading: the device goes to RESUMING
 *
 * Refused with -EOPNOTSUPP when the device has no reset that works, since a reset is the only way to abandon a load. A
 * device that neither says so itself nor by its driver's quirks is reset at once to find out; when the start fails
 * after that, ret_error says so (VFM_ERROR_WAS_RESET). A session somebody else has open is left alone: -EBUSY.
 * Return: as for vfm_session_save(). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_session_load(struct vfm_device *dev, const struct vfm_session_opts *opts,
					    struct vfm_session **ret_session, struct vfm_error *ret_error);

enum vfm_read_result {
	VFM_READ_DATA = 0, /* *ret_length bytes, above 0 */
	VFM_READ_IDLE = 1, /* PRE_COPY: nothing now (ENOMSG, or 0 as hisi_acc, qat and mtty answer) */
	VFM_READ_END = 2,  /* STOP_COPY: the state is complete */
};

/**
 * vfm_session_read() - next bytes of the state
 *
 * Short reads are normal. EINTR is retried inside. Blocking: yes, as long as the driver takes.
 * Return: enum vfm_read_result, or -ECANCELED (state moved by another thread or a reset: the session is over),
 * or -errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_session_read(struct vfm_session *session, void *buf, size_t room, size_t *ret_length,
					    struct vfm_error *ret_error);

/**
 * vfm_session_write() - hand the device @length more bytes, all of them
 *
 * Success proves nothing: the verdict is vfm_session_finish(). After any failure the session is dead and only
 * vfm_session_abort() (reset) or _close() may follow: some drivers would load the broken state otherwise.
 * Return: 0 or -errno of the driver. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_session_write(struct vfm_session *session, const void *buf, size_t length,
					     struct vfm_error *ret_error);

/* VFIO_MIG_GET_PRECOPY_INFO (Linux 6.2): bytes; estimates. Asking makes mlx5 fetch its next increment. */
struct vfm_precopy_info {
	uint32_t size;
	uint32_t flags;
	uint64_t initial_bytes;
	uint64_t dirty_bytes;
};
VFM_API VFM_MUST_CHECK int vfm_session_precopy_info(struct vfm_session *session, struct vfm_precopy_info *ret,
						    struct vfm_error *ret_error);

/* PRE_COPY to PRE_COPY_P2P (devices with P2P); no data file comes back, the session's goes on. */
VFM_API VFM_MUST_CHECK int vfm_session_quiesce(struct vfm_session *session, struct vfm_error *ret_error);

/* PRE_COPY(_P2P) to STOP_COPY on the same data file; a no-op in STOP_COPY. */
VFM_API VFM_MUST_CHECK int vfm_session_stop_copy(struct vfm_session *session, struct vfm_error *ret_error);

/**
 * vfm_session_finish() - end a session whose data is complete
 * @target: save: STOP, RUNNING_P2P or RUNNING; load: the same, by way of STOP, which is the verdict on the load
 * @ret_state: as in vfm_device_set_state()
 *
 * Load: refused (-EPROTO) after a failed write. A failed verdict leaves the device in RESUMING or ERROR: abort it.
 * Save: refused (-EPROTO) before VFM_READ_END; when the device does not go, the session can still be aborted. After the
 * verdict a load is over: if only the arcs behind STOP fail, *ret_state tells and nothing is reset any more.
 * The session object stays until vfm_session_close(). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_session_finish(struct vfm_session *session, uint32_t target, uint32_t *ret_state,
					      struct vfm_error *ret_error);

/**
 * vfm_session_abort() - give up: save goes back to the state at start (never by reset), load resets the device
 *
 * Thread: any; a vfm_session_read() or _write() that blocks on another thread then returns -ECANCELED. The session is
 * over whatever comes back, except for -EBUSY (another call is moving the device).
 * Return: 0 when the device is in the state meant (save: abort_state; load: RUNNING, blank), else -errno with the
 * truth in *ret_state;
 * -ENOTRECOVERABLE when a saved device is in ERROR, -ECANCELED when somebody else loads into it by now, or a read found
 * that they had moved it (it is left to them), -EINVAL when the session was over. Since: 0.1
 */
VFM_API int vfm_session_abort(struct vfm_session *session, uint32_t *ret_state, struct vfm_error *ret_error);

/* Abort unless finished, free; NULL is fine. */
VFM_API void vfm_session_close(struct vfm_session *session);

/* Bytes read or written so far. Thread: any. */
VFM_API uint64_t vfm_session_bytes(const struct vfm_session *session);

#ifdef __cplusplus
}
#endif
#endif
