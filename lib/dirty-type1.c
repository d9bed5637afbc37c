/* SPDX-License-Identifier: MIT */
/* Dirty pages of a container of type1v2 (Linux 5.8): those that drivers pinned, or all that an IOMMU can reach. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "dirty-iommu.h"

#define START "start dirty tracking"

/* What the kernel itself says it takes; a larger claim is not used. */
#define MOST_BITMAP_BYTES (UINT64_C(1) << 28)

static struct vfmi_dirty_iommu *type1_of(struct vfmi_dirty_source *source)
{
	return (struct vfmi_dirty_iommu *)source;
}

static int fail_start(struct vfmi_dirty_iommu *self, int code, const char *why, struct vfm_error *err)
{
	return VFMI_FAIL(self->source.ctx, err, code, NULL, START, "%s: %s%s", self->name, vfmi_errno_text(code), why);
}

static const char *wrong_backend(uint32_t backend)
{
	switch (backend) {
	case VFM_BACKEND_TYPE1V2:
		return NULL;
	case VFM_BACKEND_TYPE1:
		return "; only the second version of the container has it: use type1v2";
	case VFM_BACKEND_COMPAT_TYPE1:
	case VFM_BACKEND_COMPAT_TYPE1V2:
		return "; an iommufd that stands in for a container does not have VFIO_IOMMU_DIRTY_PAGES";
	default:
		return "; the address space is no container";
	}
}

static int take_limits(struct vfmi_dirty_iommu *self, struct vfm_error *err)
{
	uint64_t sizes = 0;
	uint64_t bytes = 0;
	int r = vfmi_iommu_container_dirty_limits(self->iommu, &sizes, &bytes);

	if (r == -EOPNOTSUPP)
		return fail_start(self, EOPNOTSUPP, "; the kernel has it since Linux 5.8", err);
	if (r == -EAGAIN)
		return fail_start(self, EAGAIN, "; a container has no IOMMU before the first device is bound to it",
				  err);
	if (r < 0)
		return fail_start(self, -r, "; the container cannot be asked what it can do", err);
	if (!vfmi_dirty_iommu_set_page(self, sizes & -sizes) || bytes < sizeof(uint64_t))
		return fail_start(self, EIO, "; the kernel names no page or bitmap that can be", err);
	self->bitmap_bytes = vfmi_min_u64(bytes, MOST_BITMAP_BYTES);
	return 0;
}

/* A map whose bitmap is too long for the kernel could never be read. */
static int check_maps(struct vfmi_dirty_iommu *self, const struct vfmi_dirty_area *area, struct vfm_error *err)
{
	struct vfm_iova_range map = { 0 };
	uint64_t bytes;

	for (uint64_t at = area->iova; vfmi_iommu_map_at(self->iommu, at, &map); at = map.last + 1) {
		bytes = vfm_bitmap_words(((map.last - map.first) >> self->source.page_shift) + 1) * sizeof(uint64_t);
		if (bytes > self->bitmap_bytes)
			return VFMI_FAIL(self->source.ctx, err, EOPNOTSUPP, NULL, START,
					 "%s: the map [0x%" PRIx64 ", 0x%" PRIx64 "] needs a bitmap of %" PRIu64
					 " bytes and the kernel takes %" PRIu64 "; map it as several smaller areas",
					 self->name, map.first, map.last, bytes, self->bitmap_bytes);
		if (map.last - area->iova >= area->length - 1)
			break;
	}
	return 0;
}

static int type1_start(struct vfmi_dirty_source *source, const struct vfmi_dirty_area *areas, size_t count,
		       struct vfm_error *err)
{
	struct vfmi_dirty_iommu *self = type1_of(source);
	const char *wrong = wrong_backend(vfm_iommu_backend(self->iommu));
	int r;

	if (wrong)
		return fail_start(self, EOPNOTSUPP, wrong, err);
	r = take_limits(self, err);
	for (size_t i = 0; i < count && r == 0; i++)
		r = check_maps(self, &areas[i], err);
	if (r < 0)
		return r;
	r = vfmi_iommu_container_track(self->iommu, true);
	if (r == -ENOTTY || r == -EACCES)
		return fail_start(self, EOPNOTSUPP, "; the container does not have VFIO_IOMMU_DIRTY_PAGES", err);
	if (r < 0)
		return fail_start(self, -r, "", err);
	self->runs = true;
	return 0;
}

/* A map made later gets its bitmap with it. */
static bool type1_covers(const struct vfmi_dirty_source *source, const struct vfmi_dirty_area *area)
{
	(void)area;
	return ((const struct vfmi_dirty_iommu *)source)->runs;
}

static int type1_read(struct vfmi_dirty_iommu *self, const struct vfmi_dirty_bits *bits, bool keep,
		      struct vfm_error *err)
{
	int r = vfmi_iommu_container_dirty(self->iommu, bits);

	(void)keep; /* it always clears: what is to be kept is held */
	if (r == 0)
		return 0;
	return VFMI_FAIL(
		self->source.ctx, err, -r, NULL, VFMI_DIRTY_READ, "%s: %" PRIu64 " bytes at IOVA 0x%" PRIx64 ": %s%s",
		self->name, bits->length, bits->iova, vfmi_errno_text(-r),
		r == -EINVAL ? "; tracking was stopped by somebody else, or the kernel has other maps there" : "");
}

/* What is not known of the pages counts as written. */
static int unmap_and_merge(struct vfmi_dirty_iommu *self, const struct vfmi_dirty_area *area,
			   const struct vfmi_dirty_bits *bits, const struct vfmi_dirty_sink *sink,
			   struct vfm_error *err)
{
	struct vfm_iova_range map;
	uint64_t unmapped = 0;
	int r = vfmi_iommu_unmap_dirty(self->iommu, bits, &unmapped, err);

	if (r < 0) {
		if (r != -ENOENT && !vfmi_iommu_map_at(self->iommu, area->iova, &map))
			vfmi_dirty_all(sink, area);
		return r;
	}
	if (unmapped != area->length || vfmi_dirty_merge(sink, area, bits->words, bits->iova, self->source.page_shift))
		vfmi_dirty_all(sink, area);
	if (vfmi_dirty_iommu_merge_held(self, area, sink, false) < 0)
		vfmi_dirty_all(sink, area);
	return 0;
}

static int type1_unmap(struct vfmi_dirty_source *source, const struct vfmi_dirty_area *area,
		       const struct vfmi_dirty_sink *sink, struct vfm_error *err)
{
	struct vfmi_dirty_iommu *self = type1_of(source);
	struct vfmi_dirty_bits bits;
	int r;

	if (!self->runs)
		return VFMI_FAIL(source->ctx, err, EINVAL, NULL, "unmap", "%s: tracking does not run", self->name);
	r = vfmi_dirty_iommu_bits(self, area->iova, area->iova + (area->length - 1), "unmap", &bits, err);
	return r < 0 ? r : unmap_and_merge(self, area, &bits, sink, err);
}

static void type1_stop(struct vfmi_dirty_source *source)
{
	struct vfmi_dirty_iommu *self = type1_of(source);
	int r = self->runs ? vfmi_iommu_container_track(self->iommu, false) : 0;

	if (r < 0)
		vfmi_log(source->ctx, VFM_LOG_WARNING, "stop dirty tracking: %s: %s", self->name, vfmi_errno_text(-r));
	self->runs = false;
	vfmi_dirty_iommu_clear(self);
}

static void type1_free(struct vfmi_dirty_source *source)
{
	type1_stop(source);
	free(type1_of(source));
}

static const struct vfmi_dirty_ops type1_ops = {
	.kind = VFM_DIRTY_TYPE1,
	.start = type1_start,
	.covers = type1_covers,
	.report = vfmi_dirty_iommu_report,
	.unmap = type1_unmap,
	.dies_with_map = true,
	.stop = type1_stop,
	.free = type1_free,
};

int vfmi_dirty_type1_new(struct vfm_iommu *iommu, struct vfmi_dirty_source **ret)
{
	struct vfmi_dirty_iommu *self = calloc(1, sizeof(*self));

	if (!self)
		return -ENOMEM;
	*self = (struct vfmi_dirty_iommu){
		.source = { .ops = &type1_ops,
			    .ctx = vfmi_iommu_context(iommu),
			    .note = "pages are told apart for mediated devices that pin them only; with any other "
				    "device in the container all are dirty at every sync" },
		.iommu = iommu,
		.read = type1_read,
	};
	snprintf(self->name, sizeof(self->name), "address space of %s", vfm_backend_name(vfm_iommu_backend(iommu)));
	*ret = &self->source;
	return 0;
}
