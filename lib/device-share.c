/* SPDX-License-Identifier: MIT */
/* What a device shares: parts of its regions, as a dma-buf or for the DMA of others, and the token of its functions. */
#include <inttypes.h>
#include <stdlib.h>

#include "device-body.h"
#include "iommu-internal.h"

#define EXPORT_STEP "export region"
#define MAP_STEP "map region for others"

/* VF token */

int vfm_device_set_vf_token(struct vfm_device *dev, const uint8_t token[16], struct vfm_error *ret_error)
{
	uint8_t bytes[16];
	int r;

	r = vfmi_device_need_bound(dev, "set VF token", ret_error);
	if (r < 0)
		return r;
	memcpy(bytes, token, sizeof(bytes));
	r = vfmi_vfio_feature(dev->sys, dev->fd, VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, VFIO_DEVICE_FEATURE_SET, bytes,
			      sizeof(bytes));
	if (r == -ENOTTY)
		return VFMI_FAIL(dev->ctx, ret_error, EOPNOTSUPP, dev->name, "set VF token",
				 "it is no physical function whose virtual ones vfio-pci hands out (SR-IOV; module "
				 "parameter enable_sriov=1; Linux 5.7)");
	return r < 0 ? vfmi_device_fail(dev, ret_error, -r, "set VF token", "the old one stays") : 0;
}

/* parts of a region */

static int fail_part(struct vfm_device *dev, struct vfm_error *err, int code, const char *step, uint32_t index,
		     const char *why)
{
	return VFMI_FAIL(dev->ctx, err, code, dev->name, step, "region %" PRIu32 ": %s", index, why);
}

/*
 * Whole pages inside the region, as mapping wants them. @ret_beyond, if not NULL: also those of its last page that it
 * does not fill, as vfm_device_region_map() takes them.
 */
static int check_part(struct vfm_device *dev, uint32_t index, const struct vfm_area *area, const char *step,
		      bool *ret_beyond, struct vfm_error *err)
{
	const uint64_t mask = vfmi_page_size(dev->sys) - 1;
	VFM_OPTS(vfm_region, region);
	uint64_t limit;
	int r = vfm_device_region(dev, index, &region, err);

	if (r < 0)
		return r;
	limit = region.length;
	if (ret_beyond && !(region.flags & VFM_REGION_SPARSE))
		limit = (limit + mask) & ~mask;
	if (area->length == 0 || (area->offset | area->length) & mask || area->offset > limit ||
	    area->length > limit - area->offset)
		return fail_part(dev, err, EINVAL, step, index,
				 "offset and length must be whole pages inside the region");
	if (ret_beyond)
		*ret_beyond = area->offset + area->length > region.length;
	return 0;
}

static const char *export_text(int code)
{
	return code == ENODEV ? "it is no BAR, or one that the kernel could not claim" : vfmi_errno_text(code);
}

static int export_parts(struct vfm_device *dev, uint32_t index, const struct vfm_area *areas, size_t count, int *ret_fd)
{
	struct vfio_region_dma_range *ranges = calloc(count, sizeof(*ranges));
	int r;

	if (!ranges)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		ranges[i] = (struct vfio_region_dma_range){ .offset = areas[i].offset, .length = areas[i].length };
	r = vfmi_vfio_dma_buf(dev->sys, dev->fd, index, ranges, (uint32_t)count, ret_fd);
	free(ranges);
	return r == -ENOTTY ? -EOPNOTSUPP : r;
}

int vfm_device_region_export(struct vfm_device *dev, uint32_t index, const struct vfm_area *areas, size_t count,
			     int *ret_fd, struct vfm_error *ret_error)
{
	int r = 0;

	if (count == 0 || count > UINT16_MAX)
		return fail_part(dev, ret_error, EINVAL, EXPORT_STEP, index, "1 to 65535 areas make a dma-buf");
	for (size_t i = 0; i < count && r == 0; i++)
		r = check_part(dev, index, &areas[i], EXPORT_STEP, NULL, ret_error);
	if (r < 0)
		return r;
	r = export_parts(dev, index, areas, count, ret_fd);
	if (r == -EOPNOTSUPP)
		return fail_part(dev, ret_error, EOPNOTSUPP, EXPORT_STEP, index,
				 "the kernel or its driver exports none as a dma-buf (vfio-pci, Linux 6.19)");
	return r < 0 ? fail_part(dev, ret_error, -r, EXPORT_STEP, index, export_text(-r)) : 0;
}

/* for others' DMA */

static int map_dma_buf(struct vfm_iommu *iommu, struct vfm_device *dev, int fd, const struct vfm_map *from,
		       struct vfm_map *map, struct vfm_error *err)
{
	struct vfm_map file = *from;
	int r;

	file.flags |= VFM_MAP_FILE;
	file.fd = fd;
	r = vfm_iommu_map(iommu, &file, err);
	dev->sys->ops->close(dev->sys, fd); /* the map keeps the buffer */
	if (r == 0)
		map->iova = file.iova;
	return r;
}

/*
 * An iommufd, also one that plays the container, pins no region of a device. type1 takes its pages as a fault brings
 * them, which fails where nobody answers (vfio_pci_mmap_huge_fault(), Linux 6.12 and 7.2).
 */
static int fail_address(struct vfm_iommu *iommu, struct vfm_device *dev, uint32_t index, uint32_t flags,
			struct vfm_error *err)
{
	const uint32_t backend = vfm_iommu_backend(iommu);
	VFM_OPTS(vfm_region, region);

	if (backend != VFM_BACKEND_TYPE1 && backend != VFM_BACKEND_TYPE1V2)
		return fail_part(dev, err, EOPNOTSUPP, MAP_STEP, index,
				 "an iommufd maps the memory of a device as a dma-buf only, of whole pages (Linux "
				 "6.19; vfio-pci and few other drivers); a container of type1 maps it by address");
	if (flags & VFM_MAP_WRITE && vfm_device_region(dev, index, &region, NULL) == 0 &&
	    !(region.flags & VFM_REGION_WRITE))
		return fail_part(dev, err, EACCES, MAP_STEP, index, "it can be read only");
	return fail_part(dev, err, ENODEV, MAP_STEP, index,
			 "it does not answer: memory decode of the device is off, or the device sleeps");
}

/* The mapping lives as long as the area: whoever unmaps the one gives back the other. */
static int map_address(struct vfm_iommu *iommu, struct vfm_device *dev, uint32_t index, uint64_t offset,
		       const struct vfm_map *from, struct vfm_map *map, struct vfm_error *err)
{
	struct vfm_map memory = *from;
	int r = vfm_device_region_map(dev, index, offset, (size_t)from->length, &memory.vaddr, err);

	if (r < 0)
		return r;
	r = vfmi_iommu_map_memory(iommu, &memory, err);
	if (r == 0) {
		map->iova = memory.iova;
		return 0;
	}
	vfm_device_region_unmap(dev, memory.vaddr, (size_t)from->length);
	return r == -EFAULT ? fail_address(iommu, dev, index, from->flags, err) : r;
}

static int take_map(struct vfm_device *dev, const struct vfm_map *from, struct vfm_map *map, struct vfm_error *err)
{
	int r = vfmi_sized_in(map, sizeof(*map), from, VFMI_SIZE_TO(struct vfm_map, fd_offset));

	if (r < 0)
		return VFMI_FAIL(dev->ctx, err, -r, dev->name, MAP_STEP, "struct vfm_map of a size not known here");
	if (map->flags & VFM_MAP_FILE)
		return VFMI_FAIL(dev->ctx, err, EINVAL, dev->name, MAP_STEP, "a region is no file (VFM_MAP_FILE)");
	map->vaddr = NULL;
	map->fd = -1;
	map->fd_offset = 0;
	return 0;
}

int vfm_iommu_map_region(struct vfm_iommu *iommu, struct vfm_device *dev, uint32_t index, uint64_t offset,
			 struct vfm_map *map, struct vfm_error *ret_error)
{
	struct vfm_area part = { .offset = offset };
	struct vfm_map copy;
	bool beyond = false;
	int fd;
	int r;

	r = take_map(dev, map, &copy, ret_error);
	if (r < 0)
		return r;
	part.length = copy.length;
	r = check_part(dev, index, &part, MAP_STEP, &beyond, ret_error);
	if (r < 0)
		return r;
	r = -EOPNOTSUPP;
	if (vfm_iommu_backend(iommu) == VFM_BACKEND_IOMMUFD && !beyond)
		r = export_parts(dev, index, &part, 1, &fd);
	if (r == 0)
		return map_dma_buf(iommu, dev, fd, &copy, map, ret_error);
	if (r != -EOPNOTSUPP)
		return fail_part(dev, ret_error, -r, MAP_STEP, index, export_text(-r));
	return map_address(iommu, dev, index, offset, &copy, map, ret_error);
}
