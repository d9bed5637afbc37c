/* SPDX-License-Identifier: MIT */
/* Device: discovery, opening and adoption, regions, configuration space, interrupts, reset. */
#ifndef VFIOMIG_DEVICE_H
#define VFIOMIG_DEVICE_H

#include <vfiomig/iommu.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfm_device;

enum vfm_identity_flag {
	VFM_IDENTITY_PCI = 1,	     /* pci_vendor and pci_device are known */
	VFM_IDENTITY_SUBSYSTEM = 2,  /* pci_subvendor and pci_subdevice are known */
	VFM_IDENTITY_REVISION = 4,   /* pci_revision and pci_class are known */
	VFM_IDENTITY_MIGRATION = 8,  /* migration_flags are known: asked from the device */
	VFM_IDENTITY_SIMULATED = 16, /* lives on a simulated machine */
};

/**
 * struct vfm_identity - what a device is, for matching and display; a field that is not known is empty or unflagged
 * @migration_flags: VFIO_MIGRATION_* bits of the kernel: STOP_COPY 1, P2P 2, PRE_COPY 4
 * @driver: kernel driver bound to it, "mtty"; @mdev_type: "mtty-2"; @firmware, @kernel: free text
 */
struct vfm_identity {
	uint32_t size;
	uint32_t flags;
	uint16_t pci_vendor;
	uint16_t pci_device;
	uint16_t pci_subvendor;
	uint16_t pci_subdevice;
	uint32_t pci_class;
	uint32_t pci_revision;
	uint32_t migration_flags;
	uint32_t reserved;
	char name[64];
	char driver[32];
	char mdev_type[48];
	char firmware[48];
	char kernel[64];
};

enum vfm_candidate_flag {
	VFM_CANDIDATE_CDEV = 1,		 /* has a cdev node: iommufd can be used */
	VFM_CANDIDATE_GROUP = 2,	 /* belongs to an IOMMU group, iommu_group holds its number */
	VFM_CANDIDATE_VFIO = 4,		 /* a VFIO driver is bound */
	VFM_CANDIDATE_MDEV = 8,		 /* mediated device */
	VFM_CANDIDATE_MIGRATES = 16,	 /* debugfs shows a migration state: the driver can migrate */
	VFM_CANDIDATE_NO_MIGRATION = 32, /* debugfs is there and shows none: the driver cannot */
};

/**
 * struct vfm_candidate - a device as sysfs shows it, nothing opened
 * @state: migration state from debugfs, VFM_STATE_UNKNOWN where that is absent (CONFIG_VFIO_DEBUGFS, Linux 6.8)
 */
struct vfm_candidate {
	uint32_t size;
	uint32_t flags;
	uint32_t iommu_group;
	uint32_t state;
	char cdev[64]; /* "/dev/vfio/devices/vfio0" or "" */
	char sysfs[256];
	struct vfm_identity identity;
};

/* Called once per device in name order; non-zero stops the walk and is returned by vfm_discover(). */
typedef int vfm_discover_fn(void *user, const struct vfm_candidate *candidate);

/**
 * vfm_discover() - walk the devices bound to VFIO drivers (PCI and mdev), opening none
 *
 * Return: 0, the callback's value, or -errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_discover(struct vfm_context *ctx, vfm_discover_fn *fn, void *user,
					struct vfm_error *ret_error);

/**
 * vfm_find() - the candidate a name means: PCI address (0000:01:00.0 or 01:00.0), mdev UUID, or cdev (vfio0, path)
 * @ret: size set by the caller
 *
 * Return: 0, -ENODEV (no such device, or not bound to a VFIO driver: the message tells which), -EINVAL (not a name of
 * any kind). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_find(struct vfm_context *ctx, const char *name, struct vfm_candidate *ret,
				    struct vfm_error *ret_error);

/**
 * vfm_device_open() - open the cdev of a device, nothing more
 * @name: as for vfm_find()
 *
 * The kernel answers nothing but BIND until vfm_device_bind(); a VMM tells KVM of vfm_device_fd() in between. vfio-pci
 * resets the device when it is bound and again at the last close.
 *
 * Return: 0, -ENODEV, -EOPNOTSUPP (no cdev: kernel without CONFIG_VFIO_DEVICE_CDEV, Linux 6.6), -EACCES, -EBUSY.
 * Close with vfm_device_close(). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_open(struct vfm_context *ctx, const char *name, struct vfm_device **ret_dev,
					   struct vfm_error *ret_error);

/**
 * vfm_device_bind() - give the device to an iommufd; cannot be undone but by close
 *
 * Return: 0, -EBUSY (held by somebody else: another file or iommufd, or its group is open), -EINVAL (bound already),
 * -EPERM (no MSI isolation). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_bind(struct vfm_device *dev, struct vfm_iommu *iommu,
					   struct vfm_error *ret_error);

/**
 * vfm_device_attach() - attach a bound device to the IOAS of the address space it was bound to
 *
 * Return: 0, -EADDRINUSE (a reserved region of the device hits a mapped area), or the kernel's errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_attach(struct vfm_device *dev, struct vfm_error *ret_error);
VFM_API VFM_MUST_CHECK int vfm_device_detach(struct vfm_device *dev, struct vfm_error *ret_error);

/* One-shot vfm_device_open(), _bind() and _attach(); on failure everything before is undone. Since: 0.1 */
VFM_API VFM_MUST_CHECK int vfm_device_open_attached(struct vfm_context *ctx, const char *name, struct vfm_iommu *iommu,
						    struct vfm_device **ret_dev, struct vfm_error *ret_error);

/**
 * struct vfm_adopt - a device another program opened and bound
 * @device_fd: bound device file; duplicated
 * @iommufd:   the iommufd it is bound to, or -1 when only migration is wanted; duplicated, not kept without @ioas_id
 * @ioas_id, @devid, @pt_id: object ids in that iommufd, 0 when unknown
 * @backend:   enum vfm_iommu_backend, VFM_BACKEND_UNKNOWN when unknown
 * @name:      shown in messages and matched against --map; NULL for "fd:N"
 * @identity:  what the lender knows of the device (size set), or NULL; PCI ids are read from the device
 */
struct vfm_adopt {
	uint32_t size;
	int32_t device_fd;
	int32_t iommufd;
	uint32_t ioas_id;
	uint32_t devid;
	uint32_t pt_id;
	uint32_t backend;
	uint32_t reserved;
	const char *name;
	const struct vfm_identity *identity;
};

/**
 * vfm_device_adopt() - drive a device whose descriptors came from elsewhere; looks up no path
 *
 * Closing it closes the duplicates only: the device lives on with whoever else holds it.
 * Return: 0, -EBADF, -EINVAL (not a VFIO device file, or not bound yet). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_adopt(struct vfm_context *ctx, const struct vfm_adopt *adopt,
					    struct vfm_device **ret_dev, struct vfm_error *ret_error);

/**
 * vfm_device_close() - close the device's descriptors; NULL is fine
 *
 * When no other descriptor of the device is open anywhere, vfio-pci resets it and its state is gone. Since: 0.1
 */
VFM_API void vfm_device_close(struct vfm_device *dev);

VFM_API const char *vfm_device_name(const struct vfm_device *dev); /* borrowed until close */
VFM_API int vfm_device_fd(const struct vfm_device *dev);	   /* borrowed until close */
VFM_API uint32_t vfm_device_id(const struct vfm_device *dev);	   /* out_devid of BIND, 0 when unknown */
VFM_API uint32_t vfm_device_pt_id(const struct vfm_device *dev);   /* HWPT or IOAS attached to, 0 when unknown */
VFM_API bool vfm_device_is_adopted(const struct vfm_device *dev);
VFM_API struct vfm_context *vfm_device_context(const struct vfm_device *dev);
VFM_API struct vfm_iommu *vfm_device_iommu(const struct vfm_device *dev); /* NULL when none is known */

/**
 * vfm_device_identity() - who the device is; asks the device for its PCI ids and migration flags
 * @ret: size set by the caller
 */
VFM_API VFM_MUST_CHECK int vfm_device_identity(struct vfm_device *dev, struct vfm_identity *ret,
					       struct vfm_error *ret_error);

enum vfm_device_flag { /* VFIO_DEVICE_FLAGS_* of the kernel */
		       VFM_DEVICE_RESET = 1,
		       VFM_DEVICE_PCI = 2,
};

struct vfm_device_info {
	uint32_t size;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
};

VFM_API VFM_MUST_CHECK int vfm_device_info(struct vfm_device *dev, struct vfm_device_info *ret,
					   struct vfm_error *ret_error);

enum vfm_region_flag { /* VFIO_REGION_INFO_FLAG_* of the kernel */
		       VFM_REGION_READ = 1,
		       VFM_REGION_WRITE = 2,
		       VFM_REGION_MMAP = 4,
		       VFM_REGION_TYPED = 0x10000,	   /* type and subtype hold VFIO_REGION_INFO_CAP_TYPE */
		       VFM_REGION_MSIX_MAPPABLE = 0x20000, /* the MSI-X table may be mapped with the rest */
		       VFM_REGION_SPARSE = 0x40000, /* only the areas of vfm_region_sparse_areas() may be mapped */
};

/* @length 0 means the region is absent. */
struct vfm_region {
	uint32_t size;
	uint32_t flags;
	uint32_t index;
	uint32_t type;
	uint32_t subtype;
	uint32_t sparse_count;
	uint64_t length;
	uint64_t offset; /* in the device file */
};

/* Region indexes of PCI devices (linux/vfio.h) */
enum vfm_pci_region {
	VFM_REGION_BAR0 = 0,
	VFM_REGION_ROM = 6,
	VFM_REGION_CONFIG = 7,
	VFM_REGION_VGA = 8,
};

VFM_API VFM_MUST_CHECK int vfm_device_region(struct vfm_device *dev, uint32_t index, struct vfm_region *ret,
					     struct vfm_error *ret_error);

/*
 * Areas that may be mapped, offsets from the region's start: the sparse ones, else the whole region, else none.
 * -EMSGSIZE with *ret_count when @room is too small.
 */
struct vfm_area {
	uint64_t offset;
	uint64_t length;
};
VFM_API VFM_MUST_CHECK int vfm_device_region_sparse(struct vfm_device *dev, uint32_t index, struct vfm_area *areas,
						    size_t room, size_t *ret_count, struct vfm_error *ret_error);

/**
 * vfm_device_region_read(), _write() - access a region through the device file, whole or not at all
 *
 * Return: 0, -EINVAL (outside the region, overflow), -EACCES (direction not allowed), -EIO (short), or errno. Since:
 * 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_region_read(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
						  size_t length, struct vfm_error *ret_error);
VFM_API VFM_MUST_CHECK int vfm_device_region_write(struct vfm_device *dev, uint32_t index, uint64_t offset,
						   const void *buf, size_t length, struct vfm_error *ret_error);

/**
 * vfm_device_region_map() - map part of a region; offset and length page aligned
 *
 * Return: 0, -EOPNOTSUPP (region or area cannot be mapped), -EINVAL. Undo with vfm_device_region_unmap(). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_region_map(struct vfm_device *dev, uint32_t index, uint64_t offset, size_t length,
						 void **ret_ptr, struct vfm_error *ret_error);
VFM_API void vfm_device_region_unmap(struct vfm_device *dev, void *ptr, size_t length);

enum vfm_irq_flag { /* VFIO_IRQ_INFO_* of the kernel */
		    VFM_IRQ_EVENTFD = 1,
		    VFM_IRQ_MASKABLE = 2,
		    VFM_IRQ_AUTOMASKED = 4,
		    VFM_IRQ_NORESIZE = 8,
};

enum vfm_pci_irq { /* interrupt indexes of PCI devices (linux/vfio.h) */
		   VFM_IRQ_INTX = 0,
		   VFM_IRQ_MSI = 1,
		   VFM_IRQ_MSIX = 2,
		   VFM_IRQ_ERR = 3,
		   VFM_IRQ_REQ = 4,
};

/* @count 0 means the interrupt is absent; @armed: vectors armed through this object or declared by the lender. */
struct vfm_irq {
	uint32_t size;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
	uint32_t armed;
};

VFM_API VFM_MUST_CHECK int vfm_device_irq(struct vfm_device *dev, uint32_t index, struct vfm_irq *ret,
					  struct vfm_error *ret_error);

/**
 * vfm_device_irq_arm() - deliver vectors [@start, @start + @count) to eventfds
 * @eventfds: one per vector, -1 to disarm one; duplicated by the kernel and by the library (so they can be lent)
 *
 * Return: 0, -EINVAL (vector out of range), or the kernel's errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_irq_arm(struct vfm_device *dev, uint32_t index, uint32_t start, uint32_t count,
					      const int *eventfds, struct vfm_error *ret_error);
/* Disarm every vector of @index. */
VFM_API VFM_MUST_CHECK int vfm_device_irq_disarm(struct vfm_device *dev, uint32_t index, struct vfm_error *ret_error);
/* The eventfd a vector was armed with here, or came with when adopted or borrowed; -1 when none. Borrowed until close.
 */
VFM_API int vfm_device_irq_eventfd(const struct vfm_device *dev, uint32_t index, uint32_t vector);
/* Make the kernel signal the vector as if the device had. */
VFM_API VFM_MUST_CHECK int vfm_device_irq_trigger(struct vfm_device *dev, uint32_t index, uint32_t vector,
						  struct vfm_error *ret_error);
/* Mask (@masked) or unmask an interrupt that has VFM_IRQ_MASKABLE. */
VFM_API VFM_MUST_CHECK int vfm_device_irq_mask(struct vfm_device *dev, uint32_t index, bool masked,
					       struct vfm_error *ret_error);

/**
 * vfm_device_reset() - VFIO_DEVICE_RESET: blank and RUNNING afterwards, data sessions dead
 *
 * What it leaves of configuration and interrupts is told in libvfiomig(7).
 * Return: 0, -EINVAL (the device has no reset), -EAGAIN (contended), -EBUSY (another mutating call). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_reset(struct vfm_device *dev, struct vfm_error *ret_error);

/*
 * PCI command register's bus master bit; no write to configuration space of another thread, through this object, is
 * lost by it. Return: 0, -EOPNOTSUPP (not PCI).
 */
VFM_API VFM_MUST_CHECK int vfm_device_bus_master(struct vfm_device *dev, bool on, struct vfm_error *ret_error);

#ifdef __cplusplus
}
#endif
#endif
