/* SPDX-License-Identifier: MIT */
/*
 * Process address spaces of a device. The kernel wants page tables that were made for PASIDs (IOMMU_HWPT_ALLOC_PASID),
 * for the device itself as well once it has one: they are made here and belong to the device object, and so do the
 * PASIDs, which go with it whoever else holds the device.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "device-body.h"
#include "iommu-internal.h"
#include "iommufd.h"

#define ATTACH_STEP "attach PASID"
#define DETACH_STEP "detach PASID"
#define MAX_PASID ((1u << 20) - 1)
#define WHOLE_DEVICE 0u /* the entry of the device's own page table */

struct vfmi_pasid {
	struct vfmi_pasid *next;
	struct vfm_iommu *iommu;
	uint32_t pasid;
	uint32_t hwpt;
};

static struct vfmi_pasid **find(struct vfm_device *dev, uint32_t pasid)
{
	struct vfmi_pasid **at;

	for (at = &dev->pasids; *at && (*at)->pasid != pasid; at = &(*at)->next)
		;
	return at;
}

static void forget(struct vfm_device *dev, struct vfmi_pasid **at)
{
	struct vfmi_pasid *gone = *at;
	int r = vfmi_iommufd_destroy(dev->sys, vfm_iommu_fd(gone->iommu), gone->hwpt);

	if (r < 0)
		vfmi_log(dev->ctx, VFM_LOG_WARNING, "%s: cannot destroy a page table for PASIDs: %s", dev->name,
			 vfmi_errno_text(-r));
	*at = gone->next;
	free(gone);
}

void vfmi_device_pasid_clear(struct vfm_device *dev)
{
	while (dev->pasids)
		forget(dev, &dev->pasids);
}

bool vfmi_device_has_pasids(struct vfm_device *dev)
{
	return dev->pasids && (dev->pasids->pasid != WHOLE_DEVICE || dev->pasids->next);
}

void vfmi_device_pasid_left(struct vfm_device *dev)
{
	struct vfmi_pasid **own = find(dev, WHOLE_DEVICE);

	if (*own)
		forget(dev, own);
}

/* A page table for PASIDs in @iommu, entered for @pasid. */
static int make(struct vfm_device *dev, struct vfm_iommu *iommu, uint32_t pasid)
{
	struct vfmi_pasid *entry = calloc(1, sizeof(*entry));
	int r;

	if (!entry)
		return -ENOMEM;
	entry->iommu = iommu;
	entry->pasid = pasid;
	r = vfmi_iommufd_hwpt_alloc(dev->sys, vfm_iommu_fd(iommu), IOMMU_HWPT_ALLOC_PASID, dev->devid,
				    vfm_iommu_ioas_id(iommu), &entry->hwpt);
	if (r < 0) {
		free(entry);
		return r;
	}
	entry->next = dev->pasids;
	dev->pasids = entry;
	return 0;
}

/* The page table that the device itself is to move to: it may have one of an earlier time, before it was detached. */
static int make_own(struct vfm_device *dev, uint32_t *ret_hwpt)
{
	struct vfmi_pasid *own = *find(dev, WHOLE_DEVICE);
	int r = own ? 0 : make(dev, dev->iommu, WHOLE_DEVICE);

	if (r < 0)
		return r;
	*ret_hwpt = (*find(dev, WHOLE_DEVICE))->hwpt;
	return 0;
}

/*
 * The device itself moves to a page table for PASIDs of the address space it is attached to; not away from one with
 * dirty tracking, which would end unseen. Where it is believed to be there it is told so once more: a way back that
 * was reported as failed may have been gone.
 */
static int move_device(struct vfm_device *dev)
{
	uint32_t pt_id;
	int r;

	if (!dev->iommu || dev->pt_id == 0 || vfmi_iommu_wants_tracking(dev->iommu))
		return -EINVAL;
	r = make_own(dev, &pt_id);
	if (r < 0)
		return r;
	r = vfmi_vfio_attach(dev->sys, dev->fd, &pt_id);
	if (r < 0) {
		if (dev->pt_id != pt_id)
			forget(dev, find(dev, WHOLE_DEVICE));
		return r;
	}
	vfmi_iommu_detached(dev->iommu, dev->pt_id);
	dev->pt_id = pt_id;
	vfmi_iommu_attached(dev->iommu, pt_id);
	return 0;
}

/* No PASID is left: the device gets the page table it would have had without. */
static void move_back(struct vfm_device *dev, const char *step)
{
	int r = vfmi_iommu_attach(dev->iommu, dev->fd, dev->devid, &dev->pt_id);

	if (r < 0)
		vfmi_log(dev->ctx, VFM_LOG_WARNING, "%s: %s: it stays on a page table for PASIDs: %s", dev->name, step,
			 vfmi_errno_text(-r));
}

/* Where somebody else has the file, to close it here ends nothing. */
void vfmi_device_pasid_detach_all(struct vfm_device *dev)
{
	const struct vfmi_pasid *own = *find(dev, WHOLE_DEVICE);

	for (const struct vfmi_pasid *at = dev->pasids; at; at = at->next) {
		int r = at == own ? 0 : vfmi_vfio_detach_pasid(dev->sys, dev->fd, at->pasid);

		if (r < 0)
			vfmi_log(dev->ctx, VFM_LOG_WARNING,
				 "%s: close: cannot detach PASID %" PRIu32 ", it may still reach the address space: %s",
				 dev->name, at->pasid, vfmi_errno_text(-r));
	}
	if (own && dev->pt_id == own->hwpt)
		move_back(dev, "close");
}

/* Asked first, since later kernels (seen: Linux 7.2) attach a device without PASIDs, to no effect. */
static int has_pasid(struct vfm_device *dev, struct vfm_iommu *iommu, uint32_t pasid)
{
	uint32_t bits = 0;
	int r = vfmi_iommufd_pasid_bits(dev->sys, vfm_iommu_fd(iommu), dev->devid, &bits);

	if (r < 0)
		return r;
	return bits < 32 && pasid >> bits ? -EOPNOTSUPP : 0;
}

static int attach(struct vfm_device *dev, uint32_t pasid, struct vfm_iommu *iommu)
{
	const uint32_t before = dev->pt_id;
	uint32_t pt_id;
	int r = has_pasid(dev, iommu, pasid);

	if (r == 0)
		r = make(dev, iommu, pasid);
	if (r < 0)
		return r;
	pt_id = dev->pasids->hwpt;
	r = vfmi_vfio_attach_pasid(dev->sys, dev->fd, pasid, &pt_id);
	if (r == -EINVAL && move_device(dev) == 0) {
		pt_id = (*find(dev, pasid))->hwpt;
		r = vfmi_vfio_attach_pasid(dev->sys, dev->fd, pasid, &pt_id);
		if (r < 0 && dev->pt_id != before)
			move_back(dev, ATTACH_STEP);
	}
	if (r < 0)
		forget(dev, find(dev, pasid));
	return r;
}

/* What ids are good for: page tables are made in one iommufd, by the id that the device has in it. */
static const char *space_flaw(const struct vfm_device *dev, const struct vfm_iommu *iommu)
{
	if (!dev->iommu)
		return "no address space of the device is known";
	if (!vfmi_iommu_is_beside(iommu, dev->iommu))
		return "the address space is not known to be of the iommufd that the device is bound to";
	return dev->devid ? NULL : "the id that it has in its iommufd (devid) is not known";
}

static int check(struct vfm_device *dev, uint32_t pasid, const char *step, struct vfm_error *err)
{
	int r = vfmi_device_need_bound(dev, step, err);

	if (r < 0)
		return r;
	if (pasid == 0 || pasid > MAX_PASID)
		return VFMI_FAIL(dev->ctx, err, EINVAL, dev->name, step, "%" PRIu32 " is not from 1 to %u", pasid,
				 MAX_PASID);
	if (dev->group)
		return VFMI_FAIL(dev->ctx, err, EOPNOTSUPP, dev->name, step,
				 "it was opened through its group; PASIDs are of devices opened through their cdev");
	return 0;
}

static int fail_attach(struct vfm_device *dev, uint32_t pasid, int code, struct vfm_error *err)
{
	const char *why = vfmi_errno_text(code);

	if (code == EINVAL && dev->iommu && vfmi_iommu_wants_tracking(dev->iommu)) {
		code = EOPNOTSUPP;
		why = "the device would have to move to a page table without dirty tracking";
	} else if (code == EINVAL || code == EOPNOTSUPP || code == ENOTTY) {
		code = EOPNOTSUPP;
		why = "the kernel (Linux 6.15 has them), the device or its IOMMU has no PASIDs, or not so many";
	} else if (code == ENOENT) {
		code = EOPNOTSUPP;
		why = "it is an emulated device, or its id (devid) is not one of the iommufd";
	}
	return VFMI_FAIL(dev->ctx, err, code, dev->name, ATTACH_STEP, "PASID %" PRIu32 ": %s", pasid, why);
}

int vfm_device_attach_pasid(struct vfm_device *dev, uint32_t pasid, struct vfm_iommu *iommu,
			    struct vfm_error *ret_error)
{
	const char *flaw;
	int r;

	r = check(dev, pasid, ATTACH_STEP, ret_error);
	if (r < 0)
		return r;
	if (vfm_iommu_backend(iommu) != VFM_BACKEND_IOMMUFD)
		return VFMI_FAIL(dev->ctx, ret_error, EOPNOTSUPP, dev->name, ATTACH_STEP,
				 "a container has no PASIDs, an IOAS of an iommufd has");
	flaw = space_flaw(dev, iommu);
	if (flaw)
		return VFMI_FAIL(dev->ctx, ret_error, EINVAL, dev->name, ATTACH_STEP, "%s", flaw);
	if (vfmi_iommu_wants_tracking(iommu))
		return VFMI_FAIL(dev->ctx, ret_error, EOPNOTSUPP, dev->name, ATTACH_STEP,
				 "the address space tracks dirty pages, which page tables made for PASIDs do not");
	r = vfmi_device_begin(dev, NULL, ATTACH_STEP, ret_error);
	if (r < 0)
		return r;
	if (*find(dev, pasid))
		r = VFMI_FAIL(dev->ctx, ret_error, EEXIST, dev->name, ATTACH_STEP, "PASID %" PRIu32 " is attached",
			      pasid);
	if (r == 0) {
		r = attach(dev, pasid, iommu);
		if (r < 0)
			r = fail_attach(dev, pasid, -r, ret_error);
	}
	vfmi_device_end(dev);
	return r;
}

int vfm_device_detach_pasid(struct vfm_device *dev, uint32_t pasid, struct vfm_error *ret_error)
{
	int r;

	r = check(dev, pasid, DETACH_STEP, ret_error);
	if (r < 0)
		return r;
	r = vfmi_device_begin(dev, NULL, DETACH_STEP, ret_error);
	if (r < 0)
		return r;
	if (!*find(dev, pasid)) {
		r = VFMI_FAIL(dev->ctx, ret_error, ENOENT, dev->name, DETACH_STEP, "PASID %" PRIu32 " is not attached",
			      pasid);
		goto end;
	}
	r = vfmi_vfio_detach_pasid(dev->sys, dev->fd, pasid);
	if (r < 0)
		r = vfmi_device_fail(dev, ret_error, -r, DETACH_STEP, "it may still reach the address space");
	else
		forget(dev, find(dev, pasid));
end:
	vfmi_device_end(dev);
	return r;
}
