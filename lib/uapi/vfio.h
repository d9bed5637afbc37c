/* SPDX-License-Identifier: MIT */
/*
 * VFIO user API, our own definitions of the part we use: numbers, layouts and flags of linux/vfio.h up to 7.1. The
 * build host's headers may be older than iommufd (Debian 12: 6.1), so they are never included.
 * tests/unit/test_uapi.c compares every value here with the reference table.
 */
#ifndef VFIOMIG_UAPI_VFIO_H
#define VFIOMIG_UAPI_VFIO_H

#include <stdint.h>

/* ioctl codes carry neither size nor direction: type ';' and a number */
#define VFIO_IOCTL(n) (0x3b00u + 100u + (n))

/* container, and an iommufd that stands in for one */
#define VFIO_GET_API_VERSION VFIO_IOCTL(0u)
#define VFIO_CHECK_EXTENSION VFIO_IOCTL(1u) /* argument: the number itself */
#define VFIO_SET_IOMMU VFIO_IOCTL(2u)	    /* argument: the number itself */
#define VFIO_IOMMU_GET_INFO VFIO_IOCTL(12u)
#define VFIO_IOMMU_MAP_DMA VFIO_IOCTL(13u)
#define VFIO_IOMMU_UNMAP_DMA VFIO_IOCTL(14u)
#define VFIO_IOMMU_DIRTY_PAGES VFIO_IOCTL(17u)

/* group */
#define VFIO_GROUP_GET_STATUS VFIO_IOCTL(3u)
#define VFIO_GROUP_SET_CONTAINER VFIO_IOCTL(4u) /* argument: pointer to the descriptor, int32_t */
#define VFIO_GROUP_UNSET_CONTAINER VFIO_IOCTL(5u)
#define VFIO_GROUP_GET_DEVICE_FD VFIO_IOCTL(6u) /* argument: the name; answers a descriptor */

/* device; numbers are used anew by each kind of file */
#define VFIO_DEVICE_GET_INFO VFIO_IOCTL(7u)
#define VFIO_DEVICE_GET_REGION_INFO VFIO_IOCTL(8u)
#define VFIO_DEVICE_GET_IRQ_INFO VFIO_IOCTL(9u)
#define VFIO_DEVICE_SET_IRQS VFIO_IOCTL(10u)
#define VFIO_DEVICE_RESET VFIO_IOCTL(11u)
#define VFIO_DEVICE_GET_PCI_HOT_RESET_INFO VFIO_IOCTL(12u)
#define VFIO_DEVICE_PCI_HOT_RESET VFIO_IOCTL(13u)
#define VFIO_DEVICE_IOEVENTFD VFIO_IOCTL(16u)
#define VFIO_DEVICE_FEATURE VFIO_IOCTL(17u)
#define VFIO_DEVICE_BIND_IOMMUFD VFIO_IOCTL(18u)
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT VFIO_IOCTL(19u)
#define VFIO_DEVICE_DETACH_IOMMUFD_PT VFIO_IOCTL(20u)
#define VFIO_MIG_GET_PRECOPY_INFO VFIO_IOCTL(21u) /* on the data file of a saving session */

struct vfio_info_cap_header {
	uint16_t id;
	uint16_t version;
	uint32_t next; /* from the start of the info struct, 0 ends */
};

#define VFIO_DEVICE_FLAGS_RESET 0x1u
#define VFIO_DEVICE_FLAGS_PCI 0x2u
#define VFIO_DEVICE_FLAGS_CAPS 0x80u

struct vfio_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
	uint32_t cap_offset;
	uint32_t pad;
};

#define VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP 5u /* Linux 6.5 */

struct vfio_device_info_cap_pci_atomic_comp {
	struct vfio_info_cap_header header;
	uint32_t flags; /* widths: 1 of 32 bits, 2 of 64, 4 of 128 */
	uint32_t reserved;
};

#define VFIO_REGION_INFO_FLAG_READ 0x1u
#define VFIO_REGION_INFO_FLAG_WRITE 0x2u
#define VFIO_REGION_INFO_FLAG_MMAP 0x4u
#define VFIO_REGION_INFO_FLAG_CAPS 0x8u

#define VFIO_REGION_INFO_CAP_SPARSE_MMAP 1u
#define VFIO_REGION_INFO_CAP_TYPE 2u
#define VFIO_REGION_INFO_CAP_MSIX_MAPPABLE 3u
#define VFIO_REGION_TYPE_PCI_VENDOR_TYPE 0x80000000u

struct vfio_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size;
	uint64_t offset;
};

struct vfio_region_sparse_mmap_area {
	uint64_t offset;
	uint64_t size;
};

struct vfio_region_info_cap_sparse_mmap {
	struct vfio_info_cap_header header;
	uint32_t nr_areas;
	uint32_t reserved;
	struct vfio_region_sparse_mmap_area areas[];
};

struct vfio_region_info_cap_type {
	struct vfio_info_cap_header header;
	uint32_t type;
	uint32_t subtype;
};

#define VFIO_PCI_BAR0_REGION_INDEX 0u
#define VFIO_PCI_ROM_REGION_INDEX 6u
#define VFIO_PCI_CONFIG_REGION_INDEX 7u
#define VFIO_PCI_VGA_REGION_INDEX 8u
#define VFIO_PCI_NUM_REGIONS 9u

#define VFIO_PCI_INTX_IRQ_INDEX 0u
#define VFIO_PCI_MSI_IRQ_INDEX 1u
#define VFIO_PCI_MSIX_IRQ_INDEX 2u
#define VFIO_PCI_ERR_IRQ_INDEX 3u
#define VFIO_PCI_REQ_IRQ_INDEX 4u
#define VFIO_PCI_NUM_IRQS 5u

#define VFIO_IRQ_INFO_EVENTFD 0x1u
#define VFIO_IRQ_INFO_MASKABLE 0x2u
#define VFIO_IRQ_INFO_AUTOMASKED 0x4u
#define VFIO_IRQ_INFO_NORESIZE 0x8u

struct vfio_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};

#define VFIO_IRQ_SET_DATA_NONE 0x1u
#define VFIO_IRQ_SET_DATA_BOOL 0x2u
#define VFIO_IRQ_SET_DATA_EVENTFD 0x4u
#define VFIO_IRQ_SET_ACTION_MASK 0x8u
#define VFIO_IRQ_SET_ACTION_UNMASK 0x10u
#define VFIO_IRQ_SET_ACTION_TRIGGER 0x20u

struct vfio_irq_set {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
	uint8_t data[];
};

#define VFIO_DEVICE_BIND_FLAG_TOKEN 0x1u /* Linux 6.17; EINVAL before */

/* Before Linux 6.17 16 bytes: argsz covers token_uuid_ptr only where the flag is set. */
struct vfio_device_bind_iommufd {
	uint32_t argsz;
	uint32_t flags;
	int32_t iommufd;
	uint32_t out_devid;
	uint64_t token_uuid_ptr;
};

#define VFIO_DEVICE_ATTACH_PASID 0x1u /* Linux 6.15 */
#define VFIO_DEVICE_DETACH_PASID 0x1u

/* Before Linux 6.15 without pasid, 12 and 8 bytes. */
struct vfio_device_attach_iommufd_pt {
	uint32_t argsz;
	uint32_t flags;
	uint32_t pt_id;
	uint32_t pasid;
};

struct vfio_device_detach_iommufd_pt {
	uint32_t argsz;
	uint32_t flags;
	uint32_t pasid;
};

/* Hot reset: a bus or slot reset, and all functions it reaches. */
#define VFIO_PCI_HOT_RESET_FLAG_DEV_ID 0x1u	  /* cdev: devid instead of group_id */
#define VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED 0x2u /* all of them belong to this iommufd */
#define VFIO_PCI_DEVID_OWNED 0u			  /* through the group of an owned device */
#define VFIO_PCI_DEVID_NOT_OWNED 0xffffffffu

struct vfio_pci_dependent_device {
	uint32_t group_id; /* or devid */
	uint16_t segment;
	uint8_t bus;
	uint8_t devfn;
};

struct vfio_pci_hot_reset_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
	struct vfio_pci_dependent_device devices[];
};

struct vfio_pci_hot_reset {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
	int32_t group_fds[];
};

#define VFIO_DEVICE_IOEVENTFD_SIZE_MASK 0xfu /* 1, 2, 4 or 8 bytes */

struct vfio_device_ioeventfd {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset; /* in the device file */
	uint64_t data;
	int32_t fd; /* -1 takes it back */
	uint32_t reserved;
};

/* DEVICE_FEATURE: feature number in the low half of flags, operation above */
#define VFIO_DEVICE_FEATURE_MASK 0xffffu
#define VFIO_DEVICE_FEATURE_GET (1u << 16)
#define VFIO_DEVICE_FEATURE_SET (1u << 17)
#define VFIO_DEVICE_FEATURE_PROBE (1u << 18)

#define VFIO_DEVICE_FEATURE_PCI_VF_TOKEN 0u /* 16 bytes of UUID */
#define VFIO_DEVICE_FEATURE_MIGRATION 1u
#define VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE 2u
#define VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY 3u
#define VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP 4u
#define VFIO_DEVICE_FEATURE_LOW_POWER_EXIT 5u
#define VFIO_DEVICE_FEATURE_DMA_LOGGING_START 6u
#define VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP 7u
#define VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT 8u
#define VFIO_DEVICE_FEATURE_MIG_DATA_SIZE 9u
#define VFIO_DEVICE_FEATURE_BUS_MASTER 10u /* CDX devices */
#define VFIO_DEVICE_FEATURE_DMA_BUF 11u	   /* Linux 6.19; answers a descriptor */
#define VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 12u

struct vfio_device_feature {
	uint32_t argsz;
	uint32_t flags;
	uint8_t data[];
};

struct vfio_device_feature_dma_logging_control {
	uint64_t page_size; /* in: wanted; out: used */
	uint32_t num_ranges;
	uint32_t reserved;
	uint64_t ranges; /* user pointer */
};

struct vfio_device_feature_dma_logging_range {
	uint64_t iova;
	uint64_t length;
};

struct vfio_device_feature_dma_logging_report {
	uint64_t iova;
	uint64_t length;
	uint64_t page_size;
	uint64_t bitmap; /* user pointer */
};

#define VFIO_MIGRATION_STOP_COPY 0x1u
#define VFIO_MIGRATION_P2P 0x2u
#define VFIO_MIGRATION_PRE_COPY 0x4u

struct vfio_device_feature_migration {
	uint64_t flags;
};

#define VFIO_DEVICE_STATE_ERROR 0u
#define VFIO_DEVICE_STATE_STOP 1u
#define VFIO_DEVICE_STATE_RUNNING 2u
#define VFIO_DEVICE_STATE_STOP_COPY 3u
#define VFIO_DEVICE_STATE_RESUMING 4u
#define VFIO_DEVICE_STATE_RUNNING_P2P 5u
#define VFIO_DEVICE_STATE_PRE_COPY 6u
#define VFIO_DEVICE_STATE_PRE_COPY_P2P 7u
#define VFIO_DEVICE_STATE_NR 8u

struct vfio_device_feature_mig_state {
	uint32_t device_state;
	int32_t data_fd;
};

struct vfio_device_low_power_entry_with_wakeup {
	int32_t wakeup_eventfd;
	uint32_t reserved;
};

struct vfio_device_feature_bus_master {
	uint32_t op; /* 0 clear, 1 set */
};

struct vfio_region_dma_range {
	uint64_t offset;
	uint64_t length;
};

struct vfio_device_feature_dma_buf {
	uint32_t region_index;
	uint32_t open_flags;
	uint32_t flags;
	uint32_t nr_ranges;
	struct vfio_region_dma_range dma_ranges[];
};

struct vfio_device_feature_mig_data_size {
	uint64_t stop_copy_length;
};

struct vfio_precopy_info {
	uint32_t argsz;
	uint32_t flags; /* echoed before MIG_PRECOPY_INFOv2 is set: pass 0, ignore */
	uint64_t initial_bytes;
	uint64_t dirty_bytes;
};

#define VFIO_API_VERSION 0u

#define VFIO_TYPE1_IOMMU 1u
#define VFIO_TYPE1v2_IOMMU 3u
#define VFIO_DMA_CC_IOMMU 4u
#define VFIO_NOIOMMU_IOMMU 8u
#define VFIO_UNMAP_ALL 9u
#define VFIO_UPDATE_VADDR 10u

#define VFIO_GROUP_FLAGS_VIABLE 0x1u
#define VFIO_GROUP_FLAGS_CONTAINER_SET 0x2u

struct vfio_group_status {
	uint32_t argsz;
	uint32_t flags;
};

#define VFIO_IOMMU_INFO_PGSIZES 0x1u
#define VFIO_IOMMU_INFO_CAPS 0x2u

#define VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE 1u
#define VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION 2u
#define VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL 3u

struct vfio_iommu_type1_info {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova_pgsizes;
	uint32_t cap_offset;
	uint32_t pad;
};

struct vfio_iova_range {
	uint64_t start;
	uint64_t end; /* inclusive */
};

struct vfio_iommu_type1_info_cap_iova_range {
	struct vfio_info_cap_header header;
	uint32_t nr_iovas;
	uint32_t reserved;
	struct vfio_iova_range iova_ranges[];
};

struct vfio_iommu_type1_info_cap_migration {
	struct vfio_info_cap_header header;
	uint32_t flags;
	uint64_t pgsize_bitmap;
	uint64_t max_dirty_bitmap_size; /* bytes */
};

struct vfio_iommu_type1_info_dma_avail {
	struct vfio_info_cap_header header;
	uint32_t avail;
};

#define VFIO_DMA_MAP_FLAG_READ 0x1u
#define VFIO_DMA_MAP_FLAG_WRITE 0x2u
#define VFIO_DMA_MAP_FLAG_VADDR 0x4u

struct vfio_iommu_type1_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t vaddr;
	uint64_t iova;
	uint64_t size;
};

#define VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP 0x1u
#define VFIO_DMA_UNMAP_FLAG_ALL 0x2u
#define VFIO_DMA_UNMAP_FLAG_VADDR 0x4u

struct vfio_iommu_type1_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova;
	uint64_t size; /* out: bytes taken back */
	uint8_t data[];
};

struct vfio_bitmap {
	uint64_t pgsize;
	uint64_t size; /* bytes */
	uint64_t data; /* user pointer */
};

#define VFIO_IOMMU_DIRTY_PAGES_FLAG_START 0x1u
#define VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP 0x2u
#define VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP 0x4u

struct vfio_iommu_type1_dirty_bitmap {
	uint32_t argsz;
	uint32_t flags;
	uint8_t data[];
};

struct vfio_iommu_type1_dirty_bitmap_get {
	uint64_t iova;
	uint64_t size;
	struct vfio_bitmap bitmap;
};

#endif
