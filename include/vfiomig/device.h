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
 * vfm_discover() - walk the devices bound to VFIO drivers (PCI, mdev, and all that have a vfioN), opening none
 *
 * Return: 0, the callback's value, or -errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_discover(struct vfm_context *ctx, vfm_discover_fn *fn, void *user,
					struct vfm_error *ret_error);

/**
 * vfm_find() - the candidate a name means: PCI address (0000:01:00.0 or 01:00.0), mdev UUID, cdev (vfio0, path), or
 * what sysfs calls a device of another bus
 * @ret: size set by the caller
 *
 * Return: 0, -ENODEV (no such device, or not bound to a VFIO driver: the message tells which), -EINVAL (not a name of
 * any kind). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_find(struct vfm_context *ctx, const char *name, struct vfm_candidate *ret,
				    struct vfm_error *ret_error);

enum vfm_open_flag {
	VFM_OPEN_GROUP = 1, /* through its IOMMU group, for a container; without it through its cdev, else the group */
	VFM_OPEN_CDEV = 2,  /* through its cdev only */
	VFM_OPEN_TOKEN = 4, /* vf_token is given */
};

/*
 * Called by vfm_device_open_with() and what uses it, with what was opened: the device's cdev, or the file of its IOMMU
 * group. The device is bound after that, which is when its driver is given the KVM that the kernel was told of for this
 * file (KVM_DEV_VFIO_FILE_ADD, before Linux 6.6 KVM_DEV_VFIO_GROUP_ADD). Each device calls it, one whose group was open
 * already as well: KVM answers EEXIST for a file that it has, and that is no failure.
 *
 * @fd is borrowed for the call. KVM keeps the file open, and so the device bound or its group busy, until
 * KVM_DEV_VFIO_FILE_DEL, which wants a descriptor of the same file: vfm_device_fd() or vfm_device_group_fd() until the
 * device is closed, or a dup() of @fd, which is also there after a failure.
 *
 * Runs on the thread that opens, in vfm_devices_start() on any of its workers, for several devices at the same time. No
 * lock is held: any call may be made, but for those that end the context or the address space.
 *
 * Return: 0; or -errno, which the opening call returns, step "opened": the device was closed again. Since: 0.1
 */
typedef int vfm_opened_fn(void *user, int fd);

/**
 * struct vfm_open - how a device is to be opened
 * @name:     as for vfm_find()
 * @flags:    enum vfm_open_flag
 * @vf_token: UUID shared by the owners of an SR-IOV physical function and of its virtual ones, 16 bytes in the order of
 *            the text; used when the device is bound (group: Linux 5.7, cdev: VFIO_DEVICE_BIND_FLAG_TOKEN, Linux 6.17)
 * @opened:   told of the file, with @user, before the device is bound; may be NULL
 */
struct vfm_open {
	uint32_t size;
	uint32_t flags;
	const char *name;
	uint8_t vf_token[16];
	vfm_opened_fn *opened;
	void *user;
};

/**
 * vfm_device_open() - open the file of a device: its cdev, or its IOMMU group
 *
 * The kernel answers nothing but BIND until vfm_device_bind(); a VMM tells KVM of vfm_device_fd(), or of
 * vfm_device_group_fd(), in between, or has itself called (vfm_opened_fn). vfio-pci resets the device when it is bound
 * and again at the last close. Devices of one group opened on one context share its file, which the kernel opens once
 * only.
 *
 * Return: 0, -ENODEV, -EOPNOTSUPP (neither cdev nor group; or the device is there without an IOMMU, "noiommu", which is
 * not used: nothing would keep its DMA inside what is mapped), -EACCES, -EBUSY, -EPERM (group not viable: the message
 * names the device of the group that a host driver has), -EINVAL, -E2BIG (struct vfm_open), or what its @opened gave.
 * Close with vfm_device_close(). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_open(struct vfm_context *ctx, const char *name, struct vfm_device **ret_dev,
					   struct vfm_error *ret_error);
VFM_API VFM_MUST_CHECK int vfm_device_open_with(struct vfm_context *ctx, const struct vfm_open *open,
						struct vfm_device **ret_dev, struct vfm_error *ret_error);

/**
 * vfm_device_bind() - give the device to an address space; cannot be undone but by close
 *
 * A device opened through its cdev is bound to an iommufd. One opened through its group: the group joins the container
 * (the first one gives it its IOMMU), and the device's own file is opened; it is attached with that.
 *
 * vfio-pci resets it first, and gives up at once when somebody holds the device's lock: that is tried again for five
 * seconds, unless vfm_devices_start() is canceled.
 *
 * It is then waited for until it answers. If it does not, -ETIMEDOUT or the errno that looking at it gave, it is bound
 * all the same: vfm_device_wait_ready() goes on waiting, vfm_device_close() gives it back. After any other failure it
 * is not bound. Blocking: up to the time that vfm_device_wait_ready() tells.
 *
 * Return: 0, -ETIMEDOUT (bound, and not ready), -EAGAIN (the lock is still held; VFM_ERROR_RETRYABLE), -EBUSY (held by
 * somebody else: another file or iommufd, or its group is open), -EINVAL (bound already), -EPERM (group not viable: the
 * message names the device that a host driver has; or no MSI isolation), -EACCES (VF token wrong or missing),
 * -EOPNOTSUPP (VF token: kernel too old; cdev and container do not go together). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_bind(struct vfm_device *dev, struct vfm_iommu *iommu,
					   struct vfm_error *ret_error);

/**
 * vfm_device_attach() - attach a bound device to the IOAS of the address space it was bound to
 *
 * With VFM_IOMMU_DIRTY_TRACKING to an HWPT of the address space that takes it (tried in turn), else to a new one, with
 * dirty tracking if its IOMMU has it; else the kernel chooses. Nothing to do, and 0, for a device of a group.
 *
 * Return: 0, -EADDRINUSE (a reserved region of the device hits a mapped area), or the kernel's errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_attach(struct vfm_device *dev, struct vfm_error *ret_error);

/**
 * vfm_device_attach_to() - attach a bound device to another address space, as a vIOMMU does with its domains
 * @iommu: of the iommufd that the device is bound to: that it was bound or adopted with, opened beside that
 *         (vfm_iommu_open_beside()) or adopted beside it (vfm_iommu_adopt.beside)
 *
 * One that is attached is moved in one step: its DMA meets the old maps or the new ones, and is not blocked in between.
 * What it is attached to there is chosen as in vfm_device_attach(), which from then on means @iommu, as
 * vfm_device_iommu() does. The address space that it left may be closed before the device; one that was adopted with
 * the device lives on until that is closed. After a failure the device is attached where it was, or still detached.
 *
 * Devices of one IOMMU group have one page table: the kernel takes the others that are attached along. To be called for
 * each of them then, until which vfm_device_iommu() and vfm_device_pt_id() of the others tell the old one.
 *
 * A tracker that the device has joined notices at its next vfm_tracker_sync(), _unmap() or _leave(): all areas it has
 * of both address spaces become dirty. Until then the old one must not be closed. Maps of its regions
 * (vfm_iommu_map_region()) stay.
 *
 * Thread: one at a time for each device; no call may run beside it that looks where the device is attached: describing
 * and lending it, and those of a tracker it has joined.
 * Return: 0, -EINVAL (not bound, no address space of the device is known, or @iommu is not known to be of its iommufd),
 * -EOPNOTSUPP (a container), -EBUSY (it has PASIDs; a data session is open), or as vfm_device_attach().
 * Source: VFIO_DEVICE_ATTACH_IOMMUFD_PT, Linux 6.6. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_attach_to(struct vfm_device *dev, struct vfm_iommu *iommu,
						struct vfm_error *ret_error);
/* Its DMA is blocked after that. -EOPNOTSUPP for a device of a group, which is in its container until it is closed. */
VFM_API VFM_MUST_CHECK int vfm_device_detach(struct vfm_device *dev, struct vfm_error *ret_error);

/*
 * One-shot vfm_device_open(), through its cdev for an IOAS and its group for a container, _bind() and _attach(); on
 * failure everything before is undone. With struct vfm_open: vfm_devices_start() of one device. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_open_attached(struct vfm_context *ctx, const char *name, struct vfm_iommu *iommu,
						    struct vfm_device **ret_dev, struct vfm_error *ret_error);

enum vfm_adopt_flag {
	VFM_ADOPT_TRACKS = 1, /* @pt_id is a page table with dirty tracking (IOMMU_HWPT_ALLOC_DIRTY_TRACKING) */
};

/**
 * struct vfm_adopt - a device another program opened and bound
 * @device_fd: bound device file; duplicated
 * @iommufd:   the iommufd or container it is bound to, or -1 when only migration is wanted; duplicated, and not kept
 *             without @ioas_id (iommufd) or a @backend of containers
 * @ioas_id, @devid, @pt_id: object ids in that iommufd, 0 when unknown. Without @devid it has no PASIDs, and no page
 *             table with dirty tracking is made for it: attached again it gets one that is known, or the kernel's
 * @backend:   enum vfm_iommu_backend, VFM_BACKEND_UNKNOWN when unknown
 * @flags:     enum vfm_adopt_flag
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
	uint32_t flags;
	const char *name;
	const struct vfm_identity *identity;
};

/**
 * vfm_device_adopt() - drive a device whose descriptors came from elsewhere; looks up no path
 *
 * Closing it closes the duplicates only: the device lives on with whoever else holds it, without the PASIDs that were
 * attached by this object.
 * Return: 0, -EBADF, -EINVAL (not a VFIO device file, or not bound yet; structs, flags), -E2BIG (structs). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_adopt(struct vfm_context *ctx, const struct vfm_adopt *adopt,
					    struct vfm_device **ret_dev, struct vfm_error *ret_error);

/**
 * vfm_device_close() - close the device's descriptors; NULL is fine
 *
 * When no other descriptor of the device is open anywhere, vfio-pci resets it and its state is gone. PASIDs that were
 * attached by this object are detached first, and the device itself moves back to a page table that vfm_device_attach()
 * would give it; where the kernel refuses, the log tells (VFM_LOG_WARNING). Waits while vfm_device_hot_reset() of
 * another thread has the device. Since: 0.1
 */
VFM_API void vfm_device_close(struct vfm_device *dev);

VFM_API const char *vfm_device_name(const struct vfm_device *dev); /* borrowed until close */
VFM_API int vfm_device_fd(const struct vfm_device *dev);	   /* borrowed until close */
VFM_API uint32_t vfm_device_id(const struct vfm_device *dev);	   /* out_devid of BIND, 0 when unknown */
VFM_API uint32_t vfm_device_pt_id(const struct vfm_device *dev);   /* HWPT or IOAS attached to, 0 when unknown */
VFM_API int vfm_device_group_fd(const struct vfm_device *dev);	   /* borrowed until close; -1 when opened by cdev */
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

enum vfm_atomic { /* VFIO_PCI_ATOMIC_COMP* of the kernel */
		  VFM_ATOMIC_32 = 1,
		  VFM_ATOMIC_64 = 2,
		  VFM_ATOMIC_128 = 4,
};

/**
 * struct vfm_device_info - what the kernel tells of a device (VFIO_DEVICE_GET_INFO)
 * @flags:   enum vfm_device_flag, and whatever else the kernel sets there
 * @atomics: enum vfm_atomic: widths of PCIe AtomicOps that memory completes for this device, which a VMM can show its
 *           guest in the root port (Linux 6.5); 0 for none, and before
 */
struct vfm_device_info {
	uint32_t size;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
	uint32_t atomics;
};

/* Return: 0, -EINVAL (not bound yet, size), -EIO (its capabilities are no chain), or errno. Thread: any. Since: 0.1 */
VFM_API VFM_MUST_CHECK int vfm_device_info(struct vfm_device *dev, struct vfm_device_info *ret,
					   struct vfm_error *ret_error);

/**
 * vfm_device_info_cap() - a capability of VFIO_DEVICE_GET_INFO as the kernel gives it, for those without a field here
 * @id:         VFIO_DEVICE_INFO_CAP_* of linux/vfio.h: 1 to 4 zPCI
 * @buf:        filled from struct vfio_info_cap_header on, whose "next" means nothing here
 * @ret_length: of the capability, up to 7 bytes of padding with it; set with -EMSGSIZE too, 0 when there is none. May
 *              be NULL
 *
 * The chain is checked, what the capability says is not. Return: 0, -ENOENT (the device tells no such), -EMSGSIZE
 * (@room is too small), or as vfm_device_info(). Thread: any. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_info_cap(struct vfm_device *dev, uint32_t id, void *buf, size_t room,
					       size_t *ret_length, struct vfm_error *ret_error);

enum vfm_region_flag { /* VFIO_REGION_INFO_FLAG_* of the kernel */
		       VFM_REGION_READ = 1,
		       VFM_REGION_WRITE = 2,
		       VFM_REGION_MMAP = 4,
		       VFM_REGION_TYPED = 0x10000,	   /* type and subtype hold VFIO_REGION_INFO_CAP_TYPE */
		       VFM_REGION_MSIX_MAPPABLE = 0x20000, /* the MSI-X table may be mapped with the rest */
		       VFM_REGION_SPARSE = 0x40000, /* only the areas of vfm_device_region_sparse() may be mapped */
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
 * Areas that may be mapped, offsets from the region's start: the sparse ones, else the whole region, else none. A whole
 * region is counted in whole pages of the host: of a BAR shorter than a page the area is longer than the region, and
 * what is behind the region's end is not the device's. -EMSGSIZE with *ret_count when @room is too small.
 */
struct vfm_area {
	uint64_t offset;
	uint64_t length;
};
VFM_API VFM_MUST_CHECK int vfm_device_region_sparse(struct vfm_device *dev, uint32_t index, struct vfm_area *areas,
						    size_t room, size_t *ret_count, struct vfm_error *ret_error);

/**
 * vfm_device_region_read(), _write() - access a region through the device file
 *
 * In calls of at most 1 MiB, one after the other, of which the kernel makes accesses to the device. What is not all
 * inside the region, or not allowed, is refused before the first. After another failure part of it may have been done,
 * in order of offsets: as many bytes as the message tells, or more.
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
 * What vfm_device_region_sparse() names can be mapped, so a BAR shorter than a page with that page (vfio-pci lets those
 * be mapped that have it to themselves). From 2 MiB and from 1 GiB on the address is congruent to @offset modulo that
 * size, for huge pages in the kernel. Return: 0, -EOPNOTSUPP (region or area cannot be mapped), -EINVAL. Undo with
 * vfm_device_region_unmap(). Since: 0.1
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
 * Vectors are added while others are enabled. Where the kernel cannot do that (VFM_IRQ_NORESIZE) all are disabled and
 * enabled together with the new ones; what a vector said in between may be lost, so each eventfd armed before is
 * signalled once, possibly without cause.
 *
 * Of a PCI device's INTx, MSI and MSI-X one is enabled at a time: from the first arming, also with -1, until
 * vfm_device_irq_disarm(). Vectors disarmed one by one leave it enabled.
 *
 * Return: 0, -EINVAL (vector out of range), -EOPNOTSUPP (INTx that is not wired on this host), -EBUSY (another one of
 * INTx, MSI and MSI-X is enabled; or VFM_IRQ_NORESIZE, and the lender of an adopted device did not tell what is
 * enabled), -ENOSPC (the platform gives fewer vectors, how many is in the message; those armed before are armed), or
 * the kernel's errno. Since: 0.1
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
 * lost by it. Of another bus (CDX): VFIO_DEVICE_FEATURE_BUS_MASTER, Linux 6.7. Return: 0, -EOPNOTSUPP (not PCI, and its
 * driver has no such switch), or errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_bus_master(struct vfm_device *dev, bool on, struct vfm_error *ret_error);

/**
 * vfm_device_set_vf_token() - the token that virtual functions of this physical function are opened with
 * @token: 16 bytes of UUID
 *
 * Source: VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, Linux 5.7. Return: 0, -EOPNOTSUPP (no physical function with SR-IOV).
 * Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_set_vf_token(struct vfm_device *dev, const uint8_t token[16],
						   struct vfm_error *ret_error);

enum vfm_hot_reset_flag {
	VFM_HOT_RESET_OWNED = 1,    /* this function belongs to the caller's address space, itself or by its group */
	VFM_HOT_RESET_BY_GROUP = 2, /* @id is a group number; else an id of the iommufd, 0 where there is none */
};

/* A PCI function that a hot reset of a device reaches. */
struct vfm_hot_reset_peer {
	uint32_t size;
	uint32_t flags;
	uint32_t id;
	uint16_t segment;
	uint8_t bus;
	uint8_t devfn;
};

/**
 * vfm_device_hot_reset_info() - the functions that a hot reset (of slot or bus) of this device reaches, itself among
 * them
 * @peers: @room of them, each with its size set
 *
 * Source: VFIO_DEVICE_GET_PCI_HOT_RESET_INFO. Return: 0, -EMSGSIZE (*ret_count tells how many), -EOPNOTSUPP (no PCI
 * device, or neither its slot nor its bus can be reset). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_hot_reset_info(struct vfm_device *dev, struct vfm_hot_reset_peer *peers,
						     size_t room, size_t *ret_count, struct vfm_error *ret_error);

/**
 * vfm_device_hot_reset() - reset the slot or bus of a device, and with it every function that hangs there
 * @others: devices of the same caller whose groups are affected (group path), which prove that these are his; may be
 *          NULL with @count 0. On the cdev path the kernel knows what belongs to the iommufd
 *
 * All that are named, and those bound or adopted on the context of @dev that the reset reaches, named or not, must be
 * idle (no data session); they are blank and RUNNING afterwards, and have been waited for. vfm_device_close() of one in
 * another thread waits until this is over. What is bound to the same iommufd by another context or by another process
 * cannot be known here: the kernel resets it without a word, session or not, and nobody waits for it.
 *
 * Return: 0, -EPERM (a function that is reached belongs to somebody else: the message names it), -EOPNOTSUPP (nothing
 * to reset; or the device was adopted from a container, of which the kernel wants to see files of groups: these are
 * with whoever opened it), -EBUSY (one that is reached is in use; or somebody holds a lock), -EIO (reset, and the link
 * or a device did not come back from it). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_hot_reset(struct vfm_device *dev, struct vfm_device *const *others, size_t count,
						struct vfm_error *ret_error);

/**
 * vfm_device_wait_ready() - wait until the device answers: configuration space not all ones, and what its quirks demand
 * @timeout_ms: 0 looks once
 *
 * Bind, vfm_device_reset() and vfm_device_hot_reset() wait by themselves: as long as the quirk table says (ready-ms), a
 * minute at least, or as long as a device with memory on CXL asks for in its DVSEC, up to 256 s, and give -ETIMEDOUT
 * after that. What is looked at beside configuration space: quirk ready-registers, in libvfiomig(7). Devices that are
 * not PCI are ready. Blocking.
 * Return: 0, -ETIMEDOUT (the message names what is missing), or what a read of it gave. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_wait_ready(struct vfm_device *dev, uint32_t timeout_ms,
						 struct vfm_error *ret_error);

enum vfm_power {
	VFM_POWER_ON = 0,
	VFM_POWER_LOW = 1, /* any access wakes it */
};

/**
 * vfm_device_power() - let the device go to low power, or wake it
 * @wakeup_eventfd: with VFM_POWER_LOW: signalled when the device was woken, which then stays awake; -1 for none
 *
 * Without @wakeup_eventfd an access wakes it for as long as it lasts. Every call that reaches the kernel is an access,
 * asking for its state too. While it is low, touching a mapped region is a SIGBUS.
 * Source: VFIO_DEVICE_FEATURE_LOW_POWER_*, Linux 6.1. Return: 0, -EOPNOTSUPP, -EINVAL (low already). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_power(struct vfm_device *dev, uint32_t power, int wakeup_eventfd,
					    struct vfm_error *ret_error);

/**
 * vfm_device_attach_pasid() - attach one process address space id of the device to an address space
 * @pasid: 1 to 2^20 - 1
 * @iommu: of the iommufd that the device is bound to: the device's own, opened beside that (vfm_iommu_open_beside())
 *         or adopted beside it (vfm_iommu_adopt.beside); to be closed after @dev
 *
 * The kernel wants page tables made for PASIDs, also for the device itself: it is moved to one if need be, and
 * vfm_device_attach() is -EINVAL as long as it has a PASID. These page tables do not track dirty pages, so that an
 * address space with VFM_IOMMU_DIRTY_TRACKING has no PASIDs, and a device attached to one is not moved away from it.
 * Source: VFIO_DEVICE_ATTACH_PASID, Linux 6.15. Return: 0, -EOPNOTSUPP (kernel, device, back end or dirty tracking),
 * -EINVAL (@pasid, @iommu is not known to be of that iommufd, or the device was adopted without its id there), -EEXIST
 * (attached); detaching: 0, -ENOENT. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_attach_pasid(struct vfm_device *dev, uint32_t pasid, struct vfm_iommu *iommu,
						   struct vfm_error *ret_error);
VFM_API VFM_MUST_CHECK int vfm_device_detach_pasid(struct vfm_device *dev, uint32_t pasid, struct vfm_error *ret_error);

/**
 * vfm_device_region_export() - a dma-buf of parts of a region, to map it for other devices or to pass it on
 * @areas: inside the region, page aligned
 * @ret_fd: descriptor, the caller's
 *
 * vfm_iommu_map() takes it as a file (VFM_MAP_FILE, fd_offset counts from the first area) for devices behind any
 * iommufd, if it has one area; with several it is -EOPNOTSUPP there, which leaves other drivers to take it. It can be
 * made while memory decode is off and mapped once that is on; until then, while the device sleeps, and for ever once
 * it was closed, mapping is -ENODEV. For what a map of it outlives see vfm_iommu_map_region().
 * Source: VFIO_DEVICE_FEATURE_DMA_BUF, Linux 6.19; vfio-pci itself and nvgrace-gpu have it, as of 7.2 no other driver.
 * Return: 0, -EOPNOTSUPP (kernel or driver), -EINVAL, -ENODEV (no BAR). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_region_export(struct vfm_device *dev, uint32_t index,
						    const struct vfm_area *areas, size_t count, int *ret_fd,
						    struct vfm_error *ret_error);

/**
 * vfm_iommu_map_region() - map part of a device's region for the devices of an address space (peer-to-peer DMA)
 * @offset: in the region; with map->length page aligned, see vfm_device_region_map(). @map: vaddr and fd are not used
 *
 * As a dma-buf where the kernel exports and takes one, else by its mapped address, which containers take and iommufd
 * before Linux 6.19 does not. A BAR shorter than a page is in no dma-buf.
 *
 * The kernel takes a dma-buf's pages away from the others for good: whenever memory decode goes off in the command
 * register of @dev (as a guest does to size BARs), a power state of D3 or a function level reset is written to its
 * configuration space, it goes to low power, is reset, alone or with its bus, or closed. Nobody is told. The area stays
 * in the books and what devices do there faults until the caller, who sees these events, unmaps it, which succeeds,
 * and maps it again. What a container maps by address has to be unmapped before these events, since devices would
 * reach what does not answer.
 * Return: as vfm_iommu_map(), -EOPNOTSUPP (by address in an iommufd, also one that plays a container), -EACCES (a
 * region that can only be read), -ENODEV (memory decode is off, the device sleeps, or no BAR). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_map_region(struct vfm_iommu *iommu, struct vfm_device *dev, uint32_t index,
						uint64_t offset, struct vfm_map *map, struct vfm_error *ret_error);

/**
 * vfm_device_ioeventfd() - write @value to a region whenever an eventfd is signalled, in the kernel
 * @width: 1, 2 or 4 bytes, or 8, which not every kernel writes (Linux 6.12 does, 7.2 does not)
 * @eventfd: the kernel keeps it; -1 takes the entry with this offset, width and value back
 *
 * BARs only. Source: VFIO_DEVICE_IOEVENTFD, Linux 4.17. Return: 0, -EOPNOTSUPP, -EINVAL, -EEXIST, -ENODEV (none to
 * take back), -ENOSPC (1000 at most). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_ioeventfd(struct vfm_device *dev, uint32_t index, uint64_t offset, uint32_t width,
						uint64_t value, int eventfd, struct vfm_error *ret_error);

/**
 * vfm_device_irq_resample() - unmask an interrupt in the kernel whenever @eventfd is signalled; -1 ends that
 * @index: with VFM_IRQ_AUTOMASKED: INTx of a PCI device (VFM_IRQ_INTX), level interrupts of a platform device
 *
 * Return: 0, -EOPNOTSUPP (its signal does not mask it, its driver does not unmask by eventfd, or INTx that is not
 * wired), -EINVAL (no such interrupt; not armed), -EBUSY (another eventfd does it). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_irq_resample(struct vfm_device *dev, uint32_t index, int eventfd,
						   struct vfm_error *ret_error);

enum vfm_notice {
	VFM_NOTICE_ERROR = 1,	/* uncorrectable error: what the device does from here on is not to be trusted */
	VFM_NOTICE_REQUEST = 2, /* the kernel wants the device back (unplug, unbind): close it soon */
};

/**
 * vfm_device_watch() - have the kernel tell of errors and of wanting the device back (ERR and REQ interrupts)
 *
 * Saving, restoring and copying watch by themselves, and leave as it was what they armed: an error ends them with -EIO,
 * a request is logged and told in progress. An adopted device they watch only by what was declared with it: its owner's
 * eventfd, which the kernel has one of, would be displaced. An eventfd armed by vfm_device_irq_arm(), or that came with
 * the device, is looked at and never read, so that its notice stands until its owner reads it.
 * Return: 0, also when the device has neither. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_watch(struct vfm_device *dev, struct vfm_error *ret_error);
/* Notices (enum vfm_notice) since the last call; a reset takes an error back. Never blocks. Since: 0.1 */
VFM_API uint32_t vfm_device_notices(struct vfm_device *dev);

/**
 * struct vfm_start - one device of vfm_devices_start()
 * @ret_code:  0, -errno of this device, or -ECANCELED: closed again or never opened, because another one failed
 * @open:      how to open it; without VFM_OPEN_GROUP and VFM_OPEN_CDEV the way that the address space takes
 * @ret_error: NULL, or with its size set; filled when the device itself failed
 * @ret_dev:   the device when the call succeeds, else NULL
 * @ret_ns:    time from the begin of opening it to the end of attaching it, or to its failure; 0 when never opened
 * @cancel:    may be NULL; once triggered this device fails with -ECANCELED, and all others with it: at the latest when
 *             the kernel has opened it, and within the wait until it is ready after that
 */
struct vfm_start {
	uint32_t size;
	int32_t ret_code;
	const struct vfm_open *open;
	struct vfm_error *ret_error;
	struct vfm_device *ret_dev;
	uint64_t ret_ns;
	struct vfm_cancel *cancel;
};

/**
 * vfm_devices_start() - open, bind and attach many devices at once: their resets are waited for side by side
 * @starts:  @count of them, 1 to 1024, all of the same size
 * @threads: how many may be at work at a time, the calling one among them; 0 for one per device; never more than 64
 *
 * All or nothing: once one has failed no other is begun, those under way are waited for, and those that did start are
 * closed. Devices of one IOMMU group, and those opened with the same VF token, are started one after the other in the
 * order of @starts: name the physical function before its virtual ones, and its token is set when they need it. All
 * names are looked up, and a device that is named twice refused, before any is opened.
 *
 * The caller's thread works along; the others are those of the context's executor (vfm_context_set_executor()), all
 * joined before return. One that it refuses to start is done without. The log function (vfm_context_set_log()) is
 * called by all of them, at the same time; so is @opened of struct vfm_open, where a VMM tells KVM of the files.
 * Blocking; on one context and address space any other call may run beside it.
 *
 * Return: 0, -EINVAL (count, sizes, named twice), -E2BIG (struct vfm_start), or the -errno of the first, in order of
 * @starts, that failed: those of vfm_device_open_with(), _bind() and _attach(), -ENOMEM, -ECANCELED (by a token).
 * Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_devices_start(struct vfm_context *ctx, struct vfm_iommu *iommu, struct vfm_start *starts,
					     size_t count, uint32_t threads, struct vfm_error *ret_error);

#ifdef __cplusplus
}
#endif
#endif
