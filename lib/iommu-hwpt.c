/* SPDX-License-Identifier: MIT */
/* Page tables of an IOAS: shared by devices where they fit, made where none does, kept until the address space goes. */
#include <stdlib.h>

#include "iommu-backend.h"
#include "iommufd.h"
#include "vfio.h"

static int add_hwpt(struct vfm_iommu *iommu, const struct vfmi_hwpt *hwpt)
{
	struct vfmi_hwpt *grown = reallocarray(iommu->hwpts, (size_t)iommu->hwpt_count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	iommu->hwpts = grown;
	iommu->hwpts[iommu->hwpt_count++] = *hwpt;
	return 0;
}

int vfmi_iommu_adopt_hwpts(struct vfm_iommu *iommu, const uint32_t *ids, uint32_t count)
{
	int r = 0;

	for (uint32_t i = 0; i < count && r == 0; i++) {
		const struct vfmi_hwpt hwpt = {
			.id = ids[i],
			.flags = iommu->flags & VFM_IOMMU_DIRTY_TRACKING,
			.adopted = true,
		};

		r = add_hwpt(iommu, &hwpt);
	}
	return r;
}

void vfmi_iommu_destroy_hwpts(struct vfm_iommu *iommu)
{
	for (uint32_t i = 0; i < iommu->hwpt_count; i++) {
		int r = iommu->hwpts[i].adopted ? 0 : vfmi_iommufd_destroy(iommu->sys, iommu->fd, iommu->hwpts[i].id);

		if (r < 0)
			vfmi_log(iommu->ctx, VFM_LOG_WARNING, "close address space: cannot destroy a page table: %s%s",
				 vfmi_errno_text(-r), r == -EBUSY ? "; a device is still attached" : "");
	}
	iommu->hwpt_count = 0;
}

static struct vfmi_hwpt *find_hwpt(struct vfm_iommu *iommu, uint32_t id)
{
	for (uint32_t i = 0; i < iommu->hwpt_count; i++)
		if (iommu->hwpts[i].id == id)
			return &iommu->hwpts[i];
	return NULL;
}

/* the books */

static void count_device(struct vfm_iommu *iommu, uint32_t pt_id, bool more)
{
	struct vfmi_hwpt *hwpt = find_hwpt(iommu, pt_id);
	const uint32_t one = more ? 1 : UINT32_MAX; /* modulo 2^32 */

	if (pt_id == 0)
		return;
	iommu->attached += one;
	if (hwpt)
		hwpt->devices += one;
	if (hwpt && hwpt->flags & VFM_IOMMU_DIRTY_TRACKING)
		iommu->tracked += one;
}

/* attaching */

bool vfmi_iommu_wants_tracking(const struct vfm_iommu *iommu)
{
	return iommu->flags & VFM_IOMMU_DIRTY_TRACKING;
}

bool vfmi_iommu_hwpt_tracks(struct vfm_iommu *iommu, uint32_t pt_id)
{
	const struct vfmi_hwpt *hwpt;
	bool tracks;

	pthread_mutex_lock(&iommu->hwpt_lock);
	hwpt = find_hwpt(iommu, pt_id);
	tracks = hwpt && hwpt->flags & VFM_IOMMU_DIRTY_TRACKING;
	pthread_mutex_unlock(&iommu->hwpt_lock);
	return tracks;
}

static int attach_to(struct vfm_iommu *iommu, int device_fd, uint32_t id, uint32_t *ret_pt)
{
	uint32_t pt_id = id;
	int r = vfmi_vfio_attach(iommu->sys, device_fd, &pt_id);

	if (r == 0)
		*ret_pt = pt_id;
	return r;
}

/* A page table that does not suit the device's IOMMU says EINVAL; to an emulated device none is there. */
static bool means_next(int code)
{
	return code == -EINVAL || code == -ENOENT;
}

/* To the first that takes it. */
static int attach_to_any(struct vfm_iommu *iommu, int device_fd, uint32_t *ret_pt)
{
	int r = -EINVAL;

	for (uint32_t i = 0; i < iommu->hwpt_count && means_next(r); i++)
		r = attach_to(iommu, device_fd, iommu->hwpts[i].id, ret_pt);
	return r;
}

static int attach_to_new(struct vfm_iommu *iommu, int device_fd, uint32_t devid, uint32_t *ret_pt)
{
	struct vfmi_hwpt hwpt = { .flags = VFM_IOMMU_DIRTY_TRACKING };
	int r = vfmi_iommufd_hwpt_alloc(iommu->sys, iommu->fd, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, devid, iommu->ioas_id,
					&hwpt.id);

	if (r < 0)
		return r;
	r = add_hwpt(iommu, &hwpt);
	if (r < 0)
		goto err_destroy;
	r = attach_to(iommu, device_fd, hwpt.id, ret_pt);
	if (r < 0)
		goto err_remove;
	return 0;

err_remove:
	iommu->hwpt_count--;
err_destroy:
	(void)vfmi_iommufd_destroy(iommu->sys, iommu->fd, hwpt.id);
	return r;
}

/*
 * Which page table the device gets. An emulated device (ENOENT) has no IOMMU and goes to the IOAS itself, as does one
 * whose IOMMU tells nothing of itself. Without @devid nobody can be asked: those there are may suit it.
 */
static int choose_and_attach(struct vfm_iommu *iommu, int device_fd, uint32_t devid, uint32_t *ret_pt)
{
	const bool wanted = vfmi_iommu_wants_tracking(iommu);
	uint64_t capabilities = 0;
	int r = devid ? -EOPNOTSUPP : 0;

	if (devid && (wanted || iommu->hwpt_count > 0))
		r = vfmi_iommufd_hw_info(iommu->sys, iommu->fd, devid, &capabilities);
	if (r == -ENOENT || r == -EOPNOTSUPP || r == -ENOTTY)
		return attach_to(iommu, device_fd, iommu->ioas_id, ret_pt);
	if (r < 0)
		return r;
	r = attach_to_any(iommu, device_fd, ret_pt);
	if (!means_next(r))
		return r;
	if (wanted && capabilities & IOMMU_HW_CAP_DIRTY_TRACKING) {
		r = attach_to_new(iommu, device_fd, devid, ret_pt);
		if (r != -EOPNOTSUPP)
			return r;
	}
	return attach_to(iommu, device_fd, iommu->ioas_id, ret_pt);
}

int vfmi_iommu_attach(struct vfm_iommu *iommu, int device_fd, uint32_t devid, uint32_t *pt_id)
{
	uint32_t before = *pt_id;
	int r;

	pthread_mutex_lock(&iommu->hwpt_lock);
	r = choose_and_attach(iommu, device_fd, devid, pt_id);
	if (r == 0) {
		count_device(iommu, before, false);
		count_device(iommu, *pt_id, true);
	}
	pthread_mutex_unlock(&iommu->hwpt_lock);
	vfmi_iommu_changed(iommu);
	return r;
}

int vfmi_iommu_move(struct vfm_iommu *from, struct vfm_iommu *to, int device_fd, uint32_t devid, uint32_t *pt_id)
{
	uint32_t now = 0;
	int r = vfmi_iommu_attach(to, device_fd, devid, &now);

	if (r < 0)
		return r;
	vfmi_iommu_detached(from, *pt_id);
	*pt_id = now;
	return 0;
}

int vfmi_iommu_detach(struct vfm_iommu *iommu, int device_fd, uint32_t *pt_id)
{
	int r = vfmi_vfio_detach(iommu->sys, device_fd);

	if (r == 0) {
		vfmi_iommu_detached(iommu, *pt_id);
		*pt_id = 0;
	}
	return r;
}

void vfmi_iommu_attached(struct vfm_iommu *iommu, uint32_t pt_id)
{
	pthread_mutex_lock(&iommu->hwpt_lock);
	count_device(iommu, pt_id, true);
	pthread_mutex_unlock(&iommu->hwpt_lock);
}

void vfmi_iommu_detached(struct vfm_iommu *iommu, uint32_t pt_id)
{
	pthread_mutex_lock(&iommu->hwpt_lock);
	count_device(iommu, pt_id, false);
	pthread_mutex_unlock(&iommu->hwpt_lock);
	vfmi_iommu_changed(iommu);
}

int vfm_iommu_hwpt(struct vfm_iommu *iommu, uint32_t index, struct vfm_hwpt *ret)
{
	VFM_OPTS(vfm_hwpt, hwpt);
	int r = -ENODATA;

	pthread_mutex_lock(&iommu->hwpt_lock);
	if (index < iommu->hwpt_count) {
		hwpt.id = iommu->hwpts[index].id;
		hwpt.flags = iommu->hwpts[index].flags;
		hwpt.devices = iommu->hwpts[index].devices;
		r = 0;
	}
	pthread_mutex_unlock(&iommu->hwpt_lock);
	return r < 0 ? r : vfmi_sized_out(ret, &hwpt, sizeof(hwpt));
}

/* dirty bits */

struct vfm_context *vfmi_iommu_context(const struct vfm_iommu *iommu)
{
	return iommu->ctx;
}

int vfmi_iommu_page_size(struct vfm_iommu *iommu, uint64_t *ret_bytes)
{
	uint64_t sizes = 0;
	uint64_t entries;
	int r;

	pthread_mutex_lock(&iommu->lock);
	r = iommu->ops->limits(iommu, &sizes, &entries);
	pthread_mutex_unlock(&iommu->lock);
	if (r < 0)
		return r;
	*ret_bytes = sizes ? sizes & -sizes : vfmi_page_size(iommu->sys);
	return 0;
}

bool vfmi_iommu_is_adopted(const struct vfm_iommu *iommu)
{
	return iommu->adopted;
}

/* To start anew clears every bit: whoever reads them already would lose what he has not read. */
int vfmi_iommu_hwpt_start(struct vfm_iommu *iommu, uint32_t pt_id)
{
	struct vfmi_hwpt *hwpt;
	int r = -EBUSY;

	pthread_mutex_lock(&iommu->hwpt_lock);
	hwpt = find_hwpt(iommu, pt_id);
	if (!hwpt || !hwpt->runs)
		r = vfmi_iommufd_hwpt_track(iommu->sys, iommu->fd, pt_id, true);
	if (hwpt && r == 0)
		hwpt->runs = true;
	pthread_mutex_unlock(&iommu->hwpt_lock);
	return r;
}

int vfmi_iommu_hwpt_stop(struct vfm_iommu *iommu, uint32_t pt_id, bool leave_on)
{
	struct vfmi_hwpt *hwpt;

	pthread_mutex_lock(&iommu->hwpt_lock);
	hwpt = find_hwpt(iommu, pt_id);
	if (hwpt)
		hwpt->runs = false;
	pthread_mutex_unlock(&iommu->hwpt_lock);
	return leave_on ? 0 : vfmi_iommufd_hwpt_track(iommu->sys, iommu->fd, pt_id, false);
}

int vfmi_iommu_hwpt_dirty(struct vfm_iommu *iommu, uint32_t pt_id, const struct vfmi_dirty_bits *bits, bool keep)
{
	return vfmi_iommufd_hwpt_dirty(iommu->sys, iommu->fd, pt_id, keep ? IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR : 0,
				       bits->iova, bits->length, bits->page_size, bits->words);
}
