/* SPDX-License-Identifier: MIT */
/* Context: the root object. Holds the seam, the log sink and the newest error; opens nothing. */
#include <stdlib.h>

#include "device-internal.h"
#include "iommu-group.h"
#include "quirks.h"

const char *vfm_version(void)
{
	return VFMI_VERSION;
}

int vfmi_context_new_on(struct vfmi_sys *sys, struct vfm_context **ret_ctx)
{
	struct vfm_context *ctx;
	int r;

	if (!sys || !ret_ctx)
		return -EINVAL;
	ctx = calloc(1, sizeof(*ctx));
	if (!ctx)
		return -ENOMEM;
	ctx->sys = sys;
	r = vfmi_error_slot_new(&ctx->last);
	if (r < 0)
		goto err_free;
	r = vfmi_iommu_groups_new(&ctx->groups);
	if (r < 0)
		goto err_free_slot;
	r = vfmi_device_list_new(&ctx->devices);
	if (r < 0)
		goto err_free_groups;
	*ret_ctx = ctx;
	return 0;

err_free_groups:
	vfmi_iommu_groups_free(ctx->groups);
err_free_slot:
	vfmi_error_slot_free(ctx->last);
err_free:
	free(ctx);
	return r;
}

int vfm_context_new(struct vfm_context **ret_ctx)
{
	return vfmi_context_new_on(&vfmi_sys_libc, ret_ctx);
}

void vfm_context_free(struct vfm_context *ctx)
{
	if (!ctx)
		return;
	vfmi_device_list_free(ctx->devices);
	vfmi_iommu_groups_free(ctx->groups);
	vfmi_quirks_free(ctx->quirks);
	vfmi_error_slot_free(ctx->last);
	free(ctx);
}

struct vfmi_sys *vfmi_context_sys(const struct vfm_context *ctx)
{
	return ctx->sys;
}

bool vfm_context_is_simulated(const struct vfm_context *ctx)
{
	return ctx && ctx->sys->simulated;
}
