/* SPDX-License-Identifier: MIT */
/* What is mapped goes over to another process: new user addresses, and who is charged for locked memory. */
#include <inttypes.h>
#include <stdio.h>

#include "iommu-backend.h"

static int fail_process(struct vfm_iommu *iommu, const char *step, int code, const char *remedy, struct vfm_error *err)
{
	return VFMI_FAIL(iommu->ctx, err, code, NULL, step, "%s: %s%s", vfm_backend_name(iommu->backend),
			 vfmi_errno_text(code), remedy);
}

/* @bytes: what this process is to be charged for from now on. */
static int fail_owner(struct vfm_iommu *iommu, const char *step, int code, uint64_t bytes, const char *more,
		      const char *remedy, struct vfm_error *err)
{
	char text[320] = "; ";

	if (code != ENOMEM)
		return fail_process(iommu, step, code, remedy, err);
	vfmi_iommu_memlock_text(iommu, bytes, more, text + strlen(text), sizeof(text) - strlen(text));
	return fail_process(iommu, step, code, text, err);
}

int vfm_iommu_vaddr_invalidate(struct vfm_iommu *iommu, struct vfm_error *ret_error)
{
	const char *step = "invalidate user addresses";
	int r = -EOPNOTSUPP;

	pthread_mutex_lock(&iommu->lock);
	if (iommu->ops->vaddr_invalidate)
		r = iommu->ops->vaddr_invalidate(iommu);
	pthread_mutex_unlock(&iommu->lock);
	if (r == -EINVAL)
		return fail_process(iommu, step, EINVAL, "; an area has lost its address already, give it the new one",
				    ret_error);
	/* EBUSY: a mediated device, whose driver could ask for a page at any time */
	if (r == -EOPNOTSUPP || r == -EBUSY)
		return fail_process(iommu, step, EOPNOTSUPP,
				    "; containers of type1 and type1v2 do, since Linux 5.12, as long as no mediated "
				    "device is attached",
				    ret_error);
	return r < 0 ? fail_process(iommu, step, -r, "", ret_error) : 0;
}

int vfm_iommu_vaddr_set(struct vfm_iommu *iommu, uint64_t iova, uint64_t length, void *vaddr,
			struct vfm_error *ret_error)
{
	const char *step = "set user address";
	struct vfmi_area *area;
	int r = -EOPNOTSUPP;

	pthread_mutex_lock(&iommu->lock);
	area = vfmi_iommu_find_area(iommu, iova, length);
	if (!area) {
		r = vfmi_iommu_fail_find(iommu, step, iova, length, ret_error);
		goto end;
	}
	if (iommu->ops->vaddr_set && (uintptr_t)vaddr & (vfmi_page_size(iommu->sys) - 1)) {
		r = VFMI_FAIL(iommu->ctx, ret_error, EINVAL, NULL, step,
			      "the address %p for IOVA 0x%" PRIx64 " is no multiple of the page size", vaddr, iova);
		goto end;
	}
	if (iommu->ops->vaddr_set)
		r = iommu->ops->vaddr_set(iommu, iova, length, vaddr);
	if (r < 0) {
		fail_owner(iommu, step, -r, length, ", which CAP_IPC_LOCK lifts",
			   r == -EINVAL ? "; the area has its address still" : "", ret_error);
		goto end;
	}
	vfmi_iommu_drop_memory(iommu, area);
end:
	pthread_mutex_unlock(&iommu->lock);
	return r;
}

static int change_patiently(struct vfm_iommu *iommu)
{
	int r;

	if (!iommu->ops->change_process)
		return -EOPNOTSUPP;
	r = iommu->ops->change_process(iommu);
	for (int i = 1; i < VFMI_BUSY_TRIES && r == -EBUSY; i++) {
		iommu->sys->ops->sleep_ns(iommu->sys, VFMI_BUSY_PAUSE_NS);
		r = iommu->ops->change_process(iommu);
	}
	return r;
}

int vfm_iommu_change_process(struct vfm_iommu *iommu, struct vfm_error *ret_error)
{
	const char *step = "change process";
	uint64_t bytes;
	int r;

	pthread_mutex_lock(&iommu->lock);
	r = change_patiently(iommu);
	bytes = iommu->mapped_bytes;
	pthread_mutex_unlock(&iommu->lock);
	if (r == -ENOTTY || r == -EOPNOTSUPP)
		return fail_process(iommu, step, EOPNOTSUPP,
				    "; an iommufd does (IOMMU_IOAS_CHANGE_PROCESS, Linux 6.14)", ret_error);
	if (r == -EINVAL)
		return fail_process(iommu, step, EINVAL,
				    "; some map of its iommufd, in this IOAS or another, is not of a file that the "
				    "kernel pinned; a dma-buf is none",
				    ret_error);
	return r < 0 ? fail_owner(iommu, step, -r, bytes,
				  ", and where both processes are of one user, twice as much while they change",
				  r == -EBUSY ? "; it stayed so" : "", ret_error)
		     : 0;
}
