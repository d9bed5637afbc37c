/* SPDX-License-Identifier: MIT */
/*
 * iommufd user API, our own definitions of the part we use (linux/iommufd.h, since Linux 6.2). See vfio.h beside it.
 */
#ifndef VFIOMIG_UAPI_IOMMUFD_H
#define VFIOMIG_UAPI_IOMMUFD_H

#include <stdint.h>

#define IOMMU_IOCTL(n) (0x3b80u + (n))

#define IOMMU_DESTROY IOMMU_IOCTL(0u)
#define IOMMU_IOAS_ALLOC IOMMU_IOCTL(1u)
#define IOMMU_IOAS_IOVA_RANGES IOMMU_IOCTL(4u)
#define IOMMU_IOAS_MAP IOMMU_IOCTL(5u)
#define IOMMU_IOAS_UNMAP IOMMU_IOCTL(6u)

struct iommu_destroy {
	uint32_t size;
	uint32_t id;
};

struct iommu_ioas_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t out_ioas_id;
};

struct iommu_iova_range {
	uint64_t start;
	uint64_t last; /* inclusive */
};

struct iommu_ioas_iova_ranges {
	uint32_t size;
	uint32_t ioas_id;
	uint32_t num_iovas;
	uint32_t reserved;
	uint64_t allowed_iovas; /* user pointer to iommu_iova_range[num_iovas] */
	uint64_t out_iova_alignment;
};

#define IOMMU_IOAS_MAP_FIXED_IOVA 0x1u
#define IOMMU_IOAS_MAP_WRITEABLE 0x2u
#define IOMMU_IOAS_MAP_READABLE 0x4u

struct iommu_ioas_map {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	uint32_t reserved;
	uint64_t user_va;
	uint64_t length;
	uint64_t iova;
};

struct iommu_ioas_unmap {
	uint32_t size;
	uint32_t ioas_id;
	uint64_t iova;
	uint64_t length;
};

#endif
