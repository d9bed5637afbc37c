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
#define IOMMU_IOAS_ALLOW_IOVAS IOMMU_IOCTL(2u)
#define IOMMU_IOAS_COPY IOMMU_IOCTL(3u)
#define IOMMU_IOAS_IOVA_RANGES IOMMU_IOCTL(4u)
#define IOMMU_IOAS_MAP IOMMU_IOCTL(5u)
#define IOMMU_IOAS_UNMAP IOMMU_IOCTL(6u)
#define IOMMU_OPTION IOMMU_IOCTL(7u)
#define IOMMU_VFIO_IOAS IOMMU_IOCTL(8u)
#define IOMMU_HWPT_ALLOC IOMMU_IOCTL(9u)
#define IOMMU_GET_HW_INFO IOMMU_IOCTL(10u)
#define IOMMU_HWPT_SET_DIRTY_TRACKING IOMMU_IOCTL(11u)
#define IOMMU_HWPT_GET_DIRTY_BITMAP IOMMU_IOCTL(12u)
#define IOMMU_IOAS_MAP_FILE IOMMU_IOCTL(15u)	   /* Linux 6.13 */
#define IOMMU_IOAS_CHANGE_PROCESS IOMMU_IOCTL(18u) /* Linux 6.14 */

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

struct iommu_ioas_allow_iovas {
	uint32_t size;
	uint32_t ioas_id;
	uint32_t num_iovas;
	uint32_t reserved;
	uint64_t allowed_iovas; /* user pointer to iommu_iova_range[num_iovas] */
};

/* Flags as of IOMMU_IOAS_MAP. */
struct iommu_ioas_copy {
	uint32_t size;
	uint32_t flags;
	uint32_t dst_ioas_id;
	uint32_t src_ioas_id;
	uint64_t length;
	uint64_t dst_iova;
	uint64_t src_iova;
};

/* Flags as of IOMMU_IOAS_MAP. */
struct iommu_ioas_map_file {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	int32_t fd;
	uint64_t start; /* byte in the file */
	uint64_t length;
	uint64_t iova;
};

struct iommu_ioas_change_process {
	uint32_t size;
	uint32_t reserved;
};

#define IOMMU_OPTION_RLIMIT_MODE 0u
#define IOMMU_OPTION_HUGE_PAGES 1u
#define IOMMU_OPTION_OP_SET 0u
#define IOMMU_OPTION_OP_GET 1u

struct iommu_option {
	uint32_t size;
	uint32_t option_id;
	uint16_t op;
	uint16_t reserved;
	uint32_t object_id;
	uint64_t val64;
};

#define IOMMU_VFIO_IOAS_GET 0u
#define IOMMU_VFIO_IOAS_SET 1u
#define IOMMU_VFIO_IOAS_CLEAR 2u

/* The IOAS behind the container interface of this iommufd. */
struct iommu_vfio_ioas {
	uint32_t size;
	uint32_t ioas_id;
	uint16_t op;
	uint16_t reserved;
};

#define IOMMU_HWPT_ALLOC_DIRTY_TRACKING 0x2u
#define IOMMU_HWPT_ALLOC_PASID 0x8u

#define IOMMU_HWPT_DATA_NONE 0u

struct iommu_hwpt_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t dev_id;
	uint32_t pt_id;
	uint32_t out_hwpt_id;
	uint32_t reserved;
	uint32_t data_type;
	uint32_t data_len;
	uint64_t data_uptr;
	uint32_t fault_id;
	uint32_t reserved2;
};

#define IOMMU_HW_CAP_DIRTY_TRACKING 0x1u

struct iommu_hw_info {
	uint32_t size;
	uint32_t flags;
	uint32_t dev_id;
	uint32_t data_len;
	uint64_t data_uptr;
	uint32_t out_data_type;
	uint8_t out_max_pasid_log2; /* Linux 6.15 */
	uint8_t reserved[3];
	uint64_t out_capabilities;
};

#define IOMMU_HWPT_DIRTY_TRACKING_ENABLE 0x1u

struct iommu_hwpt_set_dirty_tracking {
	uint32_t size;
	uint32_t flags;
	uint32_t hwpt_id;
	uint32_t reserved;
};

#define IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR 0x1u

struct iommu_hwpt_get_dirty_bitmap {
	uint32_t size;
	uint32_t hwpt_id;
	uint32_t flags;
	uint32_t reserved;
	uint64_t iova;
	uint64_t length;
	uint64_t page_size;
	uint64_t data; /* user pointer to the bitmap */
};

#endif
