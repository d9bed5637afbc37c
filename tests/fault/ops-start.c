// SPDX-License-Identifier: MIT
/* Starting devices together: all, or none and each told why; by one thread, so that a call's number says what it is. */
#include <stdio.h>

#include "sweep.h"

#define DEVICES 4u

/* The second and third share a group. */
#define SPEC                                                                                                           \
	"edu@0000:01:00.0,state=64k,ready=5ms;edu@0000:02:00.0,state=64k,group=100;"                                   \
	"edu@0000:03:00.0,state=64k,group=100;edu@0000:04:00.0,state=64k"

static const char *const names[DEVICES] = { "0000:01:00.0", "0000:02:00.0", "0000:03:00.0", "0000:04:00.0" };

static void check_starts(struct bench *b, const struct vfm_start *starts, const struct vfm_error *errors, int r)
{
	bool told = false;

	for (size_t i = 0; i < DEVICES; i++) {
		if (r == 0 ? starts[i].ret_code || !starts[i].ret_dev : !starts[i].ret_code || starts[i].ret_dev)
			sweep_wrong(b, "a start says otherwise than the call");
		told |= starts[i].ret_code == r;
		if (starts[i].ret_code && starts[i].ret_code != -ECANCELED && errors[i].code != -starts[i].ret_code)
			sweep_wrong(b, "a start failed without an error of its own");
	}
	if (r && !told)
		sweep_wrong(b, "no start failed as the call says");
}

static int op_start(struct bench *b)
{
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_error errors[DEVICES];
	struct vfm_start starts[DEVICES];
	struct vfm_open opens[DEVICES];
	struct vfm_iommu *iommu;
	int r;

	options.backend = b->op->backend;
	r = vfm_iommu_open(b->ctx, &options, &iommu, &b->err);
	if (r)
		return r;
	for (size_t i = 0; i < DEVICES; i++) {
		errors[i] = (struct vfm_error){ .size = sizeof(errors[i]) };
		opens[i] = (struct vfm_open){ .size = sizeof(opens[i]), .name = names[i] };
		starts[i] = (struct vfm_start){ .size = sizeof(starts[i]), .open = &opens[i], .ret_error = &errors[i] };
	}
	r = vfm_devices_start(b->ctx, iommu, starts, DEVICES, 1, &b->err);
	check_starts(b, starts, errors, r);
	for (size_t i = 0; i < DEVICES; i++)
		vfm_device_close(starts[i].ret_dev);
	vfm_iommu_close(iommu);
	return r;
}

static const struct operation list[] = {
	{ "start", op_start, .spec = SPEC, .backend = VFM_BACKEND_IOMMUFD },
	{ "start-container", op_start, .spec = SPEC, .backend = VFM_BACKEND_TYPE1V2 },
};

const struct operations ops_start = { "start", OPERATIONS(list) };
