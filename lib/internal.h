/* SPDX-License-Identifier: MIT */
/* What the files of the library share: context, errors, sized structs. Object bodies stay in their own files. */
#ifndef VFIOMIG_INTERNAL_H
#define VFIOMIG_INTERNAL_H

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <vfiomig.h>

#include "numbers.h"
#include "sys.h"

#define VFMI_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct vfm_context {
	struct vfmi_sys *sys;
	vfm_log_fn *log;
	void *log_user;
	int log_level;
	struct vfmi_error_slot *last;	  /* newest error, behind its own lock (error.c) */
	struct vfmi_iommu_groups *groups; /* IOMMU groups that are open (iommu-group.c) */
	struct vfmi_device_list *devices; /* those that are bound (device-list.c) */
	struct vfmi_quirk_set *quirks;	  /* what overrides the table (quirks.c); NULL: nothing */
	struct vfm_executor executor;	  /* of the caller (executor.c); zeros: the default */
	uint64_t hot_resets;		  /* atomic: any device may have lost its log */
	uint64_t iommufds;		  /* atomic: how many were opened or adopted */
};

/* Exported for libvfiomig-sim and libvfiomig-net only (version node VFIOMIG_PRIVATE_ and the version). */
VFM_API int vfmi_context_new_on(struct vfmi_sys *sys, struct vfm_context **ret_ctx);
VFM_API struct vfmi_sys *vfmi_context_sys(const struct vfm_context *ctx);

/* errors (error.c) */

/* What a failure is about; NULL or VFM_STATE_UNKNOWN where nothing is meant. */
struct vfmi_where {
	const char *device;
	const char *step;
	uint32_t state_from;
	uint32_t state_to;
	uint32_t state_now;
	uint32_t flags;
};

/*
 * Record a failure in @err (may be NULL) and in the context, log it at DEBUG, return -@code. @code is a positive
 * errno. The sentence is put together as "DEVICE: STEP: MESSAGE"; a transition's states are added by the function.
 */
VFM_API VFM_PRINTF(5, 6) int vfmi_fail(struct vfm_context *ctx, struct vfm_error *err, int code,
				       const struct vfmi_where *where, const char *fmt, ...);

/* The common short form: device and step, no states. */
#define VFMI_FAIL(ctx, err, code, device_name, step_name, ...)                                                         \
	vfmi_fail(ctx, err, code,                                                                                      \
		  &(const struct vfmi_where){ .device = (device_name),                                                 \
					      .step = (step_name),                                                     \
					      .state_from = VFM_STATE_UNKNOWN,                                         \
					      .state_to = VFM_STATE_UNKNOWN,                                           \
					      .state_now = VFM_STATE_UNKNOWN },                                        \
		  __VA_ARGS__)

/* The context's copy of the newest error. */
int vfmi_error_slot_new(struct vfmi_error_slot **ret_slot);
void vfmi_error_slot_free(struct vfmi_error_slot *slot);

/*
 * Add what was done about a failure to the error that reports it: "; " and a sentence, flags, the state left now. It
 * becomes the newest error of the context again. @error is whole (sizeof(struct vfm_error)), not a caller's of any
 * size.
 */
VFM_PRINTF(5, 6)
void vfmi_error_amend(struct vfm_context *ctx, struct vfm_error *error, uint32_t flags, uint32_t state_now,
		      const char *fmt, ...);

/* errno in words, thread-safe: "no such device (ENODEV)". Static string. */
VFM_API const char *vfmi_errno_text(int code);

/* log (log.c); errno is preserved */
VFM_API VFM_PRINTF(3, 4) void vfmi_log(struct vfm_context *ctx, int level, const char *fmt, ...);

/* Control characters become '?'; for text that came from outside. */
void vfmi_make_printable(char *text);

/*
 * Sized structs: copy what the caller's size covers. _in: -EINVAL when smaller than @min, -E2BIG when it has an
 * unknown non-zero tail or no sane size; the rest of @to is zeroed, its size is @known. _out: copies min(size), zeroes
 * a tail it does not know, keeps the caller's size field; -EINVAL or -E2BIG, nothing written, for a size never set.
 */
VFM_API int vfmi_sized_in(void *to, size_t known, const void *from, size_t min);
/* A caller's channel, which is at least what struct vfm_io was in its first version. */
int vfmi_io_in(struct vfm_io *to, const struct vfm_io *from);
VFM_API int vfmi_sized_out(void *to, const void *from, size_t known);

/*
 * For @min: the struct up to the last member it had in the version that brought it. It stays when the struct grows, so
 * that callers built before are still understood.
 */
#define VFMI_SIZE_TO(type, last) (offsetof(type, last) + sizeof(((type *)0)->last))
#define VFMI_IDENTITY_MIN VFMI_SIZE_TO(struct vfm_identity, kernel)

#endif
