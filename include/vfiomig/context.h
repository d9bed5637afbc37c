/* SPDX-License-Identifier: MIT */
/* Context: the root object every other one hangs off; error detail, log sink, cancellation, version. */
#ifndef VFIOMIG_CONTEXT_H
#define VFIOMIG_CONTEXT_H

#include <vfiomig/visibility.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfm_context;
struct vfm_cancel;

/* Migration states. Values are those of the kernel (enum vfio_device_mig_state, linux/vfio.h), carried as uint32_t. */
enum vfm_state {
	VFM_STATE_ERROR = 0,
	VFM_STATE_STOP = 1,
	VFM_STATE_RUNNING = 2,
	VFM_STATE_STOP_COPY = 3,
	VFM_STATE_RESUMING = 4,
	VFM_STATE_RUNNING_P2P = 5,
	VFM_STATE_PRE_COPY = 6,
	VFM_STATE_PRE_COPY_P2P = 7,
};
#define VFM_STATE_UNKNOWN 0xffffffffu /* not even asking the device gave an answer; never a target */

/* Bits of vfm_error.flags */
enum vfm_error_flag {
	VFM_ERROR_RETRYABLE = 1,   /* nothing was lost; the same call may succeed later */
	VFM_ERROR_NEEDS_RESET = 2, /* the device is in ERROR, or half loaded: only a reset helps */
	VFM_ERROR_WAS_RESET = 4,   /* the library reset the device on the way out: it is blank and RUNNING */
	VFM_ERROR_TRANSITION = 8,  /* state_from and state_to hold the transition that failed */
	VFM_ERROR_PEER = 16,	   /* the cause lies with the peer or the endpoint, not with a device */
};

/**
 * struct vfm_error - why a call failed and what it left behind
 * @size:       sizeof(struct vfm_error), set by the caller (VFM_OPTS)
 * @code:       positive errno of the dictionary in libvfiomig(7); 0 when nothing failed
 * @flags:      enum vfm_error_flag
 * @state_from: migration state before the failed transition, VFM_STATE_UNKNOWN when there was none
 * @state_to:   state asked for, VFM_STATE_UNKNOWN when there was none
 * @state_now:  state the device was found in after the failure, asked from the device; VFM_STATE_UNKNOWN if unknown
 * @device:     name of the device (PCI address, mdev UUID or the adopter's name), "" when no device is meant
 * @step:       what was being done, e.g. "attach" or "RESUMING -> STOP"
 * @message:    one sentence for people, without newline: device, step, cause, state left
 */
struct vfm_error {
	uint32_t size;
	int32_t code;
	uint32_t flags;
	uint32_t state_from;
	uint32_t state_to;
	uint32_t state_now;
	char device[64];
	char step[64];
	char message[512];
};

enum vfm_log_level {
	VFM_LOG_NONE = 0,
	VFM_LOG_ERROR = 1,
	VFM_LOG_WARNING = 2,
	VFM_LOG_INFO = 3,
	VFM_LOG_DEBUG = 4,
};

/* Called on the thread that logs, errno preserved around it; @message ends without newline and dies with the call. */
typedef void vfm_log_fn(void *user, int level, const char *message);

/**
 * vfm_version() - version of the library linked at run time, "MAJOR.MINOR.PATCH"
 *
 * Return: static string. Thread: any. Since: 0.1
 */
VFM_API const char *vfm_version(void);

/**
 * vfm_context_new() - make a context on the running kernel
 * @ret_ctx: written on success; free with vfm_context_free() after everything made from it
 *
 * Opens nothing. Return: 0 or -ENOMEM. Thread: any. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_context_new(struct vfm_context **ret_ctx);

/**
 * vfm_context_free() - free a context; NULL is fine
 *
 * Every object made from the context must have been closed. Since: 0.1
 */
VFM_API void vfm_context_free(struct vfm_context *ctx);

/**
 * vfm_context_set_log() - send log lines up to @level to @fn
 * @fn: NULL for silence, the default
 *
 * Not thread-safe against running calls: set it before the context is shared. Since: 0.1
 */
VFM_API void vfm_context_set_log(struct vfm_context *ctx, int level, vfm_log_fn *fn, void *user);

/**
 * struct vfm_executor - where worker threads come from
 * @reserved: 0
 * @user:     handed to both functions
 * @run:      start work(arg) on a thread of its own, with all signals blocked; 0 and *ret_task, or -errno and nothing
 *            started. It must not wait for the work
 * @join:     wait for the end of a task that run() started, free what belongs to it; called once for each, by the
 *            thread that called run()
 */
struct vfm_executor {
	uint32_t size;
	uint32_t reserved;
	void *user;
	int (*run)(void *user, void (*work)(void *arg), void *arg, void **ret_task);
	void (*join)(void *user, void *task);
};

/**
 * vfm_context_set_executor() - have worker threads made by the caller; NULL for the default, pthreads
 * @executor: copied; what its @user points at must outlive the context, or the next call of this
 *
 * Threads exist only inside vfm_save(), vfm_restore(), vfm_copy() (one each) and vfm_devices_start(), and are joined
 * before those return. Not thread-safe against running calls. Return: 0, -EINVAL, -E2BIG (struct). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_context_set_executor(struct vfm_context *ctx, const struct vfm_executor *executor);

/**
 * vfm_context_last_error() - copy of the newest error any call on this context reported
 * @ret_error: size set by the caller
 *
 * Return: 0, or -ENODATA when nothing failed yet. Thread: any. Since: 0.1
 */
VFM_API int vfm_context_last_error(struct vfm_context *ctx, struct vfm_error *ret_error);

/**
 * vfm_context_is_simulated() - whether this context stands on a simulated machine
 *
 * Since: 0.1
 */
VFM_API bool vfm_context_is_simulated(const struct vfm_context *ctx);

/**
 * vfm_state_name() - the kernel's name of a migration state, "STOP_COPY"
 *
 * Return: static string, "UNKNOWN" for values outside enum vfm_state. Since: 0.1
 */
VFM_API const char *vfm_state_name(uint32_t state);

/**
 * vfm_state_from_name() - inverse of vfm_state_name(), case-insensitive, '-' taken as '_'
 *
 * Return: 0 or -EINVAL, @ret_state untouched. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_state_from_name(const char *name, uint32_t *ret_state);

/**
 * vfm_cancel_new() - make a cancel token to hand to long calls
 * @ret_cancel: free with vfm_cancel_free() once no call uses it
 *
 * Return: 0 or -errno (one eventfd is opened). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_cancel_new(struct vfm_context *ctx, struct vfm_cancel **ret_cancel);
VFM_API void vfm_cancel_free(struct vfm_cancel *cancel);

/**
 * vfm_cancel_trigger() - ask every call that uses @cancel to stop at its next safe point with -ECANCELED
 *
 * Async-signal-safe, thread-safe, sticky. Since: 0.1
 */
VFM_API void vfm_cancel_trigger(struct vfm_cancel *cancel);
VFM_API bool vfm_cancel_is_set(const struct vfm_cancel *cancel);

/* Descriptor that polls readable once triggered; borrowed until vfm_cancel_free(). */
VFM_API int vfm_cancel_fd(const struct vfm_cancel *cancel);

#ifdef __cplusplus
}
#endif
#endif
