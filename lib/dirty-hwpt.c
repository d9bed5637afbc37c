/* SPDX-License-Identifier: MIT */
/* Dirty bits of one page table of an iommufd (Linux 6.7): everything mapped is seen, whatever is mapped later too. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "dirty-iommu.h"

#define START "start dirty tracking"

/* 2 MiB of bitmap, as much as the kernel pins at once. With 4 KiB pages 64 GiB: larger than any huge page. */
#define CHUNK_PAGES (UINT64_C(16) << 20)

struct hwpt {
	struct vfmi_dirty_iommu base; /* first */
	uint32_t id;
};

static struct hwpt *hwpt_of(struct vfmi_dirty_source *source)
{
	return (struct hwpt *)source;
}

static int fail_start(struct hwpt *hwpt, int code, const char *why, struct vfm_error *err)
{
	return VFMI_FAIL(hwpt->base.source.ctx, err, code, NULL, START, "%s: %s%s", hwpt->base.name,
			 vfmi_errno_text(code), why);
}

static int take_page_size(struct hwpt *hwpt, struct vfm_error *err)
{
	const uint64_t least = UINT64_C(1) << VFMI_DIRTY_PAGE_SHIFT;
	uint64_t page = 0;
	int r = vfmi_iommu_page_size(hwpt->base.iommu, &page);

	if (r < 0)
		return fail_start(hwpt, -r, "; the size of its pages cannot be asked", err);
	if (!vfmi_dirty_iommu_set_page(&hwpt->base, page > least ? page : least))
		return fail_start(hwpt, EIO, "; no page is as large as the kernel says", err);
	hwpt->base.chunk_bytes = CHUNK_PAGES << hwpt->base.source.page_shift;
	return 0;
}

static int hwpt_start(struct vfmi_dirty_source *source, const struct vfmi_dirty_area *areas, size_t count,
		      struct vfm_error *err)
{
	struct hwpt *hwpt = hwpt_of(source);
	int r;

	(void)areas, (void)count;
	if (!vfmi_iommu_hwpt_tracks(hwpt->base.iommu, hwpt->id))
		return fail_start(hwpt, EOPNOTSUPP,
				  "; it was made without dirty tracking, which needs VFM_IOMMU_DIRTY_TRACKING and an "
				  "IOMMU that has it",
				  err);
	r = take_page_size(hwpt, err);
	if (r < 0)
		return r;
	r = vfmi_iommu_hwpt_start(hwpt->base.iommu, hwpt->id);
	if (r == -ENOTTY || r == -EOPNOTSUPP)
		return fail_start(hwpt, EOPNOTSUPP, "; the kernel has it since Linux 6.7, with CONFIG_IOMMUFD_DRIVER",
				  err);
	if (r < 0)
		return fail_start(hwpt, -r, r == -EBUSY ? "; another tracker reads it" : "", err);
	hwpt->base.runs = true;
	return 0;
}

/* A map made later gets its bits with its pages. */
static bool hwpt_covers(const struct vfmi_dirty_source *source, const struct vfmi_dirty_area *area)
{
	(void)area;
	return ((const struct vfmi_dirty_iommu *)source)->runs;
}

static int hwpt_read(struct vfmi_dirty_iommu *self, const struct vfmi_dirty_bits *bits, bool keep,
		     struct vfm_error *err)
{
	int r = vfmi_iommu_hwpt_dirty(self->iommu, hwpt_of(&self->source)->id, bits, keep);

	if (r == 0)
		return 0;
	return VFMI_FAIL(self->source.ctx, err, -r, NULL, VFMI_DIRTY_READ,
			 "%s: %" PRIu64 " bytes at IOVA 0x%" PRIx64 ": %s%s", self->name, bits->length, bits->iova,
			 vfmi_errno_text(-r), r == -EINVAL ? "; the kernel does not have it mapped as a whole" : "");
}

static void hwpt_stop(struct vfmi_dirty_source *source)
{
	struct hwpt *hwpt = hwpt_of(source);
	int r = hwpt->base.runs ? vfmi_iommu_hwpt_stop(hwpt->base.iommu, hwpt->id, source->shared) : 0;

	if (r < 0)
		vfmi_log(source->ctx, VFM_LOG_WARNING, "stop dirty tracking: %s: %s", hwpt->base.name,
			 vfmi_errno_text(-r));
	hwpt->base.runs = false;
	vfmi_dirty_iommu_clear(&hwpt->base);
}

static void hwpt_free(struct vfmi_dirty_source *source)
{
	hwpt_stop(source);
	free(hwpt_of(source));
}

static const struct vfmi_dirty_ops hwpt_ops = {
	.kind = VFM_DIRTY_HWPT,
	.start = hwpt_start,
	.covers = hwpt_covers,
	.report = vfmi_dirty_iommu_report,
	.dies_with_map = true,
	.stop = hwpt_stop,
	.free = hwpt_free,
};

int vfmi_dirty_hwpt_new(struct vfm_iommu *iommu, uint32_t hwpt_id, struct vfmi_dirty_source **ret)
{
	struct hwpt *hwpt = calloc(1, sizeof(*hwpt));

	if (!hwpt)
		return -ENOMEM;
	hwpt->id = hwpt_id;
	hwpt->base = (struct vfmi_dirty_iommu){
		.source = { .ops = &hwpt_ops, .ctx = vfmi_iommu_context(iommu) },
		.iommu = iommu,
		.read = hwpt_read,
		.peeks = true,
	};
	snprintf(hwpt->base.name, sizeof(hwpt->base.name), "page table %" PRIu32, hwpt_id);
	*ret = &hwpt->base.source;
	return 0;
}
