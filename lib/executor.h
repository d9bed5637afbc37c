/* SPDX-License-Identifier: MIT */
/* Worker threads of a context: its caller's, or pthreads with all signals blocked. */
#ifndef VFIOMIG_EXECUTOR_H
#define VFIOMIG_EXECUTOR_H

#include "internal.h"

/* What a context has that was given no other. Stateless. */
VFM_API extern const struct vfm_executor vfmi_executor_pthread;

/* Start work(arg) on a thread of its own. Whoever started it joins it. Return: 0 or -errno, then nothing runs. */
int vfmi_executor_run(struct vfm_context *ctx, void (*work)(void *arg), void *arg, void **ret_task);
void vfmi_executor_join(struct vfm_context *ctx, void *task);

#endif
